"""Waves of one frequency: compact stencils of fourth order, open sides, sparse factorisations."""
