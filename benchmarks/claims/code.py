"""The claims of docstrings and messages, by the top-level folder of the package."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim, Constant, lower
from pdeinv.benchmarks.claims.places import D_I
from pdeinv.benchmarks.reports.queries import Results

__all__ = ["BENCHMARKS", "DATASETS", "PDEINV", "SOLVERS", "solvers"]

_SETTING, _MATHS, _ADVICE = "a setting", "mathematics", "advice in a message"


def _all(reason: str, *texts: str) -> tuple[Constant, ...]:
    return tuple(Constant(text, reason) for text in texts)


PDEINV = (
    *_all("of every interval", "50 % intervals hold", "90 % intervals in", "a probability of 95 %"),
    *_all(_SETTING, "outside lower center"),
    *_all(_SETTING, "standard deviation 0.5", "standard deviation is 0.5", "length of 0.02"),
    *_all(_SETTING, "below 1e-12 of its largest octave"),
    *_all(
        _SETTING,
        "suspects (sensor_weight below 0.2)",
        "0.7 of the geometric and 0.3 of the arithmetic mean",
    ),
    *_all(_SETTING, "lengths of 0.05 to 1.5 times the shorter side of the domain"),
    *_all(_SETTING, "a smoothness of 0.5 to 5", "with a probability of 95 %"),
    *_all(_MATHS, "a covariance falls", "It falls no faster than the spectrum", "falls to zero"),
    *_all(_MATHS, "falls with its noise"),
    *_all(_MATHS, "the larger, the more levels"),
    *_all(_MATHS, "by 2 % for 19 samples of a calibrated Gaussian posterior"),
    *_all(_MATHS, "With 4 samples 60 % is", "and 90 % is eighteen"),
    *_all(_MATHS, "covers 61.8 % for 60 and 90.5 % for 90", "it covers 66.7 % for 60"),
    *_all(_ADVICE, "at least 1e-6", "such as 0.02", "use a larger value"),
    *_all(_ADVICE, "train with a lower rate"),
    *_all(
        "an example",
        "0.02 in the field's units",
        "=0.02 for one field",
        "=0.02' for one field",
        "`:porosity=0.25`",
        "pressure=0.02",
        "=0.02'",
        "1e-4..1e-2 for one that is not known",
        "a range such as 0.01..0.1, to infer it",
        "'5%', '0.01..0.1' for a range",
        "A value such as 0.3+0.1j, or 0.3+0.1i",
        "becomes 0.3 of `wavefield_real` and 0.1 of `wavefield_imag`",
        'such as `"0.01..0.1"`, `"1%..20%"` or `(0.01, 0.1)`, or an `Unknown`',
    ),
    *_all(
        "a definition",
        "left-out readings within their 90 % interval (95 % interval of the share",
        "central 90 % interval",
        "with a 90 % interval",
        "end of the 90 % interval",
        "(90 %: {} to {})",
    ),
    *_all(_MATHS, "19 draws for 90 %"),
    *_all(_SETTING, "from 0.1 % to 100 % of the spread of the field's readings"),
    *_all("a reference", "section 2.1"),
)
DATASETS = (
    *_all(_SETTING, "twice the time step"),
    *_all(_MATHS, "the first at k = 4.44", "viscosity lowers it; an unstable scheme raises it"),
    *_all(_ADVICE, "lower the contrast"),
    *_all("a format", "version 7.3", "version-7.3", "MATLAB 7.3"),
    *_all(
        "of tests/test_acoustics.py",
        "At β = 1, that is 0 at 0°, 7.2 % at 30° and 33 % at 60°",
        "its waves are 0.03 % too long or less",
    ),
)
SOLVERS = (
    *_all("an example", '0.2 or "20%"', "0.2 or '20%'"),
    *_all("a definition", "within their central 90 % intervals", "the interval of 95 %"),
    *_all(_SETTING, "at a level of 1e-4 then"),
    *_all(_ADVICE, "give a larger share, or more sensors"),
    *_all(
        _SETTING, "standard deviation 0.5", "standard deviation is 0.5", "σ = 0.1", "0.1 sqrt(2η)"
    ),
    *_all(
        _SETTING, "falls from 1e-4 to 1e-6", "from 10 to 0.01", "down to 0.001", "the weight 1e4"
    ),
    *_all(_SETTING, "0.5, 1.5 or 2.5", "larger in proportion for fewer"),
    *_all(_SETTING, "η falls geometrically", "η falls linearly"),
    *_all(_SETTING, "starts at 1e-10 of their own and falls tenfold"),
    *_all(_SETTING, "starts at about 1e-10. It falls tenfold"),
    *_all(_MATHS, "falls by that"),
    *_all(
        _MATHS,
        "added to the stated noise, falls",
        "lower Cholesky factor",
        "lower: Cholesky factor",
    ),
    *_all(_MATHS, "which can only lower the error", "which also falls with more steps"),
    *_all(_ADVICE, "use a larger ensemble", "What lowers the misfit"),
)
BENCHMARKS = (
    *_all("of every interval", "90 % interval of", "90 % interval holds", "their 90 % intervals"),
    *_all("of every interval", "within the 90 % interval"),
    *_all(_SETTING, "p below 0.01", "amplitude 5 times", "viscosity 1e-2 for 1e-3"),
    *_all(_SETTING, "The noise is 1 % of each field's", "up or down by 0.5", 'lower `"contrast"`'),
    *_all(_SETTING, "hold 99 % of the variance", "σ = 0.25", "within 15 %", "3 % of the nodes"),
    *_all(_SETTING, "there it rises from 1e-4 to 1, by the same"),
    *_all(_SETTING, "95 % interval", "95 % `interval`", "in 90 %"),
    *_all(
        _SETTING,
        "coverage of 60 %",
        "font:15px/1.5",
        "noise first falls below a level",
    ),
    *_all(
        _MATHS, "sqrt(1 + 1/8) = 1.06", "√2 times", "0.5 for mean squares", "is resolved from zero"
    ),
    *_all(
        _MATHS,
        "has a larger loss than",
        "It is 0.5 if",
        "at 0.5 the losses",
        "a jump falls between",
    ),
    *_all(_MATHS, "one that rises at both ends"),
    *_all(_ADVICE, "use --noise 0.01", "or such as 0.01"),
    *_all(
        "counted from records", "EquiReg lowers the error in {} of {}", "raises it significantly in"
    ),
)


def solvers(results: Results) -> Iterator[Claim]:
    """Yield the claims of the solvers' docstrings."""
    thorough, brief = "moment-thorough-128", "moment-128"
    yield Claim(
        "take longer and have a lower error",
        holds=(
            lower(
                results.values(small, D_I, "moment", measure),
                results.values(large, D_I, "moment", measure),
            )
            for small, large, measure in (
                (thorough, brief, "error"),
                (brief, thorough, "seconds_per_instance"),
            )
        ),
    )
