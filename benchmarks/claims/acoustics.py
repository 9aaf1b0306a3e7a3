"""Numbers of docs/acoustics.md: each is measured by a test."""

from __future__ import annotations

from pdeinv.benchmarks.claims.claim import Constant

__all__ = ["CONSTANTS"]

_REFLECTIONS = "of tests/test_acoustics_page.py"
_ERRORS = "of tests/test_acoustics_page.py, at few nodes of tests/test_acoustics.py"
_FOUND = "of tests/test_point_source.py"
_SCAN = "a setting of the study"

CONSTANTS = (
    Constant("`0.3-0.1j`", "an example"),
    Constant("`{impedance = 0.6}`", "an example"),
    Constant("`Impedance(0.5)`", "a setting"),
    Constant("| 0° | 0.00002 | 0.333 | 0.000002 |", _REFLECTIONS),
    Constant("| 30° | 0.072 | 0.268 | 0.00002 |", _REFLECTIONS),
    Constant("| 60° | 0.333 | 0.000006 | 0.000004 |", _REFLECTIONS),
    Constant("| 80° | 0.704 | 0.484 | 0.00006 |", _REFLECTIONS),
    Constant(
        "(kh)⁴/480. That is 0.03 % with ten nodes per wavelength", "of tests/test_acoustics.py"
    ),
    Constant("a phase of 0.02 radians after ten wavelengths", "arithmetic"),
    Constant("at distances above 0.15", "a setting"),
    Constant("| 48 | 9.8 | 0.29 % |", _ERRORS),
    Constant("| 72 | 14.9 | 0.055 % |", _ERRORS),
    Constant("| 96 | 19.9 | 0.017 % |", _ERRORS),
    Constant("| 144 | 29.9 | 0.003 % |", _ERRORS),
    Constant("with 5 % noise", "a setting"),
    Constant("a `GaussianField` of the length 0.04", "a setting"),
    Constant("in 15 of 16 places", _FOUND),
    Constant("a squared slowness 20 % above or below", _SCAN),
    Constant("radii are 0.08 to 0.14", _SCAN),
    Constant("with noise of 2 % of the spread", _SCAN),
    Constant("log_std=0.1, length=0.1, smoothness=2.5", _SCAN),
)
