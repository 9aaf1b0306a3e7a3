"""Simulation-based calibration: whether the intervals of one's own problem hold their truths."""

from pdeinv.solvers.calibration.run import calibrate as calibrate

__all__ = ["calibrate"]
