"""Claims of the project: each text with numbers, and the query of records that it states.

`tests/test_claims.py` compares them with the texts. A module has the claims of one source: of a
page, of the notebooks, or of the docstrings and messages of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pdeinv.benchmarks.claims import (
    acoustics,
    assumed,
    benchmark,
    code,
    equireg,
    instruments,
    limits,
    moment,
    overview,
    published,
    tutorials,
)
from pdeinv.benchmarks.claims.claim import Claim, Constant
from pdeinv.benchmarks.reports.queries import Results

__all__ = ["SOURCES", "Source"]


def _none(_: Results) -> Iterator[Claim]:
    """Yield no claim: the source measures nothing."""
    return iter(())


class Source(NamedTuple):
    """What the texts of some files state.

    Arguments:
        constants: texts with numbers or comparisons that are none of recorded results.
        claims: texts whose numbers and comparisons are computed from the records.
    """

    constants: tuple[Constant, ...] = ()
    claims: Callable[[Results], Iterator[Claim]] = _none


SOURCES: dict[str, Source] = {
    "README.md": Source((Constant("torch==2.13.0", "a version"),)),
    "CHANGELOG.md": Source((Constant("0.1.0", "a version"),)),
    "CONTRIBUTING.md": Source(
        (
            Constant("standard deviation is 0.5", "a setting"),
            Constant("below 20 minutes", "a limit"),
            Constant("within 1e-6 of", "a tolerance"),
            Constant("within 1e-3 of", "a tolerance"),
            Constant("within 1 % of the baseline's", "a tolerance"),
            Constant("`lower(a, b)`", "a function"),
            Constant("two standard errors of the paired instances", "a rule"),
        )
    ),
    "docs/acoustics.md": Source(acoustics.CONSTANTS),
    "docs/add-your-denoiser.md": Source(
        (Constant("0.5 in EDM, often 1 elsewhere | 0.5", "settings"),)
    ),
    "docs/add-your-guidance-term.md": Source(
        (
            Constant("standard deviation 0.5", "a setting"),
            Constant("`LossTerm(function, share=0.5)`", "a setting"),
        )
    ),
    "docs/add-your-observation.md": Source(),
    "docs/add-your-pde.md": Source(),
    "docs/add-your-prior.md": Source(),
    "docs/any-shape.md": Source(),
    "docs/beyond.md": Source(
        (
            Constant("2 to 4 winding bands", "a definition"),
            Constant("of the value 12 in 3", "a definition"),
            Constant("above 1.05 use more steps", "advice"),
            Constant("one for each of 48 chains at each step", "arithmetic"),
        )
    ),
    "docs/calibration.md": Source(
        (
            Constant("below 0.01", "the rule itself"),
            Constant("too narrow; with a peak in the middle, too wide", "how to read a figure"),
        )
    ),
    "docs/changes.md": Source(),
    "docs/contributing.md": Source(),
    "docs/decisions.md": Source(),
    "docs/design.md": Source(),
    "docs/index.md": Source(),
    "docs/overview.md": Source(overview.CONSTANTS, overview.claims),
    "docs/reference/command-line.md": Source(),
    "docs/speed.md": Source(
        (
            Constant("with a noise of 5 % of their spread", "a setting"),
            Constant("time ~ sizeᵖ", "a definition"),
            Constant("1 + s factorisations by nested dissection of 2 · 829/84 n³", "a count"),
            Constant("4 · 31/4 n² log₂ n", "a count"),
            Constant("states are no larger", "a size"),
        )
    ),
    "docs/start.md": Source(),
    "docs/warnings.md": Source(
        (
            Constant("in at most 5 % of tables", "the rule itself"),
            Constant("the others predict 49.8 ± 0.1)`", "an example"),
            Constant("head 51.2", "an example"),
            Constant("fit 1000 times smaller", "an example"),
            Constant("with 3 times their", "an example"),
            Constant("viscosity of 0.002 in place of 0.001`", "an example"),
            Constant("with 2.1 times the rate", "an example"),
        )
    ),
    "docs/which-solver.md": Source(),
    "docs/plans.md": Source(
        (
            Constant("by 0.05 radians a table", "a setting"),
            Constant("with a noise of 2 %", "a setting"),
            Constant('`noise="5%"`', "an example"),
            Constant("A file that becomes shorter", "a rule"),
            Constant("--noise 0.001", "a setting"),
        )
    ),
    "docs/functions-as-physics.md": Source(),
    "docs/quantities.md": Source(
        (
            Constant("(90 %: 21–90)", "an example"),
            Constant("porosity=0.2", "an example"),
            Constant("`quantile:head:0.9`", "an example"),
            Constant("For 90 % that needs 19 samples", "theory"),
            Constant("by 0.86, where the prior has 0.74", "the table, and 2000 draws"),
            Constant(
                "by 0.88 % on 33 x 33 nodes and by 0.26 % on 65 x 65", "tests/test_quantities.py"
            ),
            Constant("level=0.5", "an example"),
            Constant("with a probability of 99 %", "arithmetic"),
        )
    ),
    "docs/modflow.md": Source(),
    "docs/interoperability.md": Source(
        (Constant("`smoothness` 0.5, `inf`, `nu`", "the names of covariances"),)
    ),
    "docs/flow-sensors.md": Source(
        (
            Constant("the same 4 times: 60 in all, and 240 in all", "the study's readings"),
            Constant("The noise has 2 % of the standard deviation", "a setting"),
            Constant("zero is not resolved", "the rule itself"),
        ),
        instruments.flow_claims,
    ),
    "docs/instruments.md": Source(
        (
            Constant("its 90 % interval", "a definition"),
            Constant("Of 125 readings 5 % have an error of 10 to 100", "a setting"),
        )
    ),
    "docs/pumping-test.md": Source(
        (
            Constant("the head falls", "theory"),
            Constant("`initial=30.0`", "an example"),
            Constant("`pumping=0.2`", "an example"),
            Constant("10 boreholes with 8 times each, and 5 logarithms", "the example's readings"),
            Constant("interval of 90 %", "a definition"),
        )
    ),
    "docs/readings-in-turns.md": Source(
        (Constant("within 1e-6 of the largest", "a tolerance, which its test asserts"),)
    ),
    "docs/two-pumping-tests.md": Source((), instruments.two_tests_claims),
    "docs/unknown-numbers.md": Source(
        (
            Constant("`length 0.057 (90 %: 0.042–0.076)`", "an example"),
            Constant("`--param viscosity=1e-3..3e-2`", "an example"),
            Constant("`NavierStokes(viscosity=(1e-3, 3e-2))`", "an example"),
            Constant("60 velocities at 4 times", "a setting"),
            Constant("between 2e-4 and 6e-3", "a setting"),
            Constant("with a noise of 2 %", "a setting"),
            Constant("The 90 % interval", "a definition"),
            Constant("95 % of the law", "a definition"),
        ),
        assumed.unknown_claims,
    ),
    "docs/assumptions-measured.md": Source(
        (
            Constant("from 0.06 to 0.48 sides", "a setting"),
            Constant("smoothness from 0.5 to 3", "a setting"),
            Constant("a noise of 1 %", "a setting"),
            Constant("a nominal level of 5 %", "the rule itself"),
            Constant("the 90 % interval", "a definition"),
            Constant("hold 0.9 n ± 0.3 √n truths of n", "arithmetic"),
        )
    ),
    "docs/your-own-domain.md": Source(),
    "docs/checking-a-result.md": Source(
        (
            Constant("within their 90 % intervals", "a definition"),
            Constant("the 95 % interval of the share", "a definition"),
            Constant("Where that lies below 90 %, the intervals are too narrow", "advice"),
            Constant("says that the range is too narrow", "advice"),
            Constant("the interval of 95 %", "a definition"),
            Constant("with its 90 % interval", "a definition"),
            Constant("(90 %: 280–640)", "an example"),
            Constant("`reconstruct(..., holdout=0.2)`", "an example"),
        )
    ),
    "docs/problem-files.md": Source(
        (
            Constant("`{flux = 0.1}`", "an example"),
            Constant("51.5", "an example"),
            Constant("0.5 is rough, 1.5 the default", "settings"),
            Constant("`source = {unknown = [-1e-3, 1e-3]}`", "an example"),
            Constant("`--noise head=0.01..0.1`", "an example"),
            Constant("`{impedance = 0.5}`", "an example"),
            Constant("viscosity=1e-4..1e-2`", "an example"),
            Constant("with a probability of 95 %", "a definition"),
            Constant("between 0.05 and 1.5 times the shorter side", "settings"),
            Constant("a smoothness between 0.5 and 5", "settings"),
            Constant("between 0.1 % and 100 % of the spread", "settings"),
            Constant("the central 90 % interval", "a definition"),
        )
    ),
    "docs/priors-of-your-own.md": Source(
        (
            Constant("0.5 is rough, 1.5 the default", "settings"),
            Constant("of 1, two of three values lie within a factor e of it; with 2.3,", "theory"),
            Constant("`share` other than 0.5", "a setting"),
        )
    ),
    "docs/add-your-solver.md": Source(),
    "docs/benchmark.md": Source(benchmark.CONSTANTS, benchmark.claims),
    "docs/equireg.md": Source(equireg.CONSTANTS, equireg.claims),
    "docs/limits.md": Source(limits.CONSTANTS, limits.claims),
    "docs/moment.md": Source(moment.CONSTANTS, moment.claims),
    "docs/published.md": Source(published.CONSTANTS, published.claims),
    "docs/reliability.md": Source(
        (
            Constant("float64", "a type"),
            Constant("float32", "a type"),
        ),
    ),
    "SECURITY.md": Source(),
    "docs/robustness.md": Source(
        (
            Constant("5 % of equal readings", "an input"),
            Constant("1e20, -9999", "inputs"),
            Constant("-999.25", "an input"),
            Constant("of 1e30 and more, and noise below 1e-30", "inputs"),
            Constant("a number above 1e100", "an input"),
            Constant("Readings of 1e36 to 1e100", "inputs"),
            Constant("MATLAB 5 and 7.3 files", "versions"),
            Constant("within a factor 1.5", "a test's tolerance"),
        )
    ),
    "docs/timings.md": Source(
        (
            Constant("made something slower?", "a question"),
            Constant("If everything takes 1.6 times as long, the machine is slower.", "an example"),
            Constant("takes 1.6 times as long and another 4 times", "an example"),
            Constant("the second has become slower", "an example"),
            Constant("takes three times as long", "a setting"),
        )
    ),
    "docs/tutorials/aquifer_from_wells.ipynb": Source(
        (Constant("has a 90 % interval", "a setting"),)
    ),
    "docs/tutorials/benchmark.ipynb": Source(tutorials.BENCHMARK, tutorials.benchmark),
    "docs/tutorials/equivariance_explored.ipynb": Source(tutorials.EQUIVARIANCE),
    "docs/tutorials/flow_from_velocities.ipynb": Source(tutorials.FLOW),
    "docs/tutorials/sensors_to_fields.ipynb": Source(tutorials.SENSORS, tutorials.sensors),
    "docs/tutorials/your_own_data.ipynb": Source(),
    "pdeinv/**/*.py": Source(code.PDEINV),
    "datasets/**/*.py": Source(code.DATASETS),
    "solvers/**/*.py": Source(code.SOLVERS, code.solvers),
    "benchmarks/**/*.py": Source(code.BENCHMARKS),
}
"""Sources by a pattern of files. `docs/priors.md` is generated as a whole, by `prior_cards`."""
