"""Elliptic equations on a rectangle: finite volumes, side conditions and two solvers."""
