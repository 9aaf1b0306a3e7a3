"""Tables of documentation pages, made of recorded results: `pdeinv study docs-tables PAGE ...`.

Every block `<!-- KIND: NAME ... -->` ... `<!-- end -->` of a page holds a table of the records in
benchmarks/results/NAME.jsonl, of one or more names. Kinds of summaries are `table` (methods on
tasks), `tasks` (methods ranked on each task) and `overall` (on all of them). Kinds of instances are
`ablation` (EquiReg on and off), `alternatives` (to EquiReg) and `beside` (our solver and the
limit). The others are of studies: `equivariance`, `limit` (of a Gaussian prior), `aquifer`,
`black-box` (the aquifer by solves alone), `basin`, `pumping-test`, `two-pumping-tests`,
`flow-sensors`, `further-readings`, `two-inclusions`, `uncertain-sides`, `experiments` (of a
prior of the coefficient), `assumed` (numbers right, wrong or left out), `numbers` (that were
inferred), `alarms` (their texts), `alarm-rates`, `model-choice`, `calibrated`, `scene-limits` (of
chains over objects), `plans` (their speed), `quantities`, `soak` (many reconstructions), `workers`,
`million-fields` (on clusters), `crashes`, `generated` (inputs of tests), `memory` (of
commands), `speed` and `speed-growth` (of default solvers, over what they must compute), `cost` and
`scaling` (of our solver).
These compare instances of files: `verdict` (EquiReg in suites), `corrected` (on each task of one),
`joint` (our solver with the prior of its rivals), `best` (each with its best prior) and `setting`
(published solvers at their papers' setting). `published` has the single samples of papers and of
summaries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pdeinv.benchmarks.assumption_kinds import (
    ALARM_RATES,
    ASSUMED,
    CALIBRATIONS,
    MODEL_CHOICES,
)
from pdeinv.benchmarks.crash_kinds import CRASHES
from pdeinv.benchmarks.family_kinds import SCENE_LIMITS
from pdeinv.benchmarks.kinds import INSTANCES, SUMMARIES, Kind
from pdeinv.benchmarks.memory_kinds import PEAKS
from pdeinv.benchmarks.plan_kinds import PLANS
from pdeinv.benchmarks.problem_kinds import (
    AQUIFERS,
    BASINS,
    BLACK_BOXES,
    FLOW_SENSORS,
    FURTHER_READINGS,
    PUMPING_TESTS,
    TWO_INCLUSIONS,
    TWO_PUMPING_TESTS,
    UNCERTAIN_SIDES,
)
from pdeinv.benchmarks.quantity_kinds import QUANTITIES
from pdeinv.benchmarks.records import Record, read_records
from pdeinv.benchmarks.reports.assumed_tables import (
    alarm_rates_table,
    alarms_table,
    assumed_table,
    calibrations_table,
    model_choice_table,
    number_table,
)
from pdeinv.benchmarks.reports.published_setting import published_setting_table
from pdeinv.benchmarks.reports.queried_tables import (
    best_prior_table,
    equireg_tasks_table,
    equireg_verdict_table,
    joint_prior_table,
)
from pdeinv.benchmarks.reports.queries import Results
from pdeinv.benchmarks.reports.tables import (
    TABULATED,
    beside_limit,
    overall_table,
    published_table,
    table,
    tasks_table,
)
from pdeinv.benchmarks.reports.testing import covered_table, generated_table, mutations_table
from pdeinv.benchmarks.soak_kinds import SOAKS
from pdeinv.benchmarks.speed_kinds import SPEEDS
from pdeinv.benchmarks.studies.ablation import ablation_page, alternatives_table
from pdeinv.benchmarks.studies.any_experiment import experiment_table
from pdeinv.benchmarks.studies.aquifer import aquifer_table
from pdeinv.benchmarks.studies.basin import basin_table
from pdeinv.benchmarks.studies.black_box import black_box_table
from pdeinv.benchmarks.studies.crashes import crashes_table
from pdeinv.benchmarks.studies.equivariance import equivariance_page
from pdeinv.benchmarks.studies.flow_sensors import flow_sensors_table
from pdeinv.benchmarks.studies.further_readings import further_readings_table
from pdeinv.benchmarks.studies.gaussian_limit import limit_table
from pdeinv.benchmarks.studies.memory import memory_table
from pdeinv.benchmarks.studies.plan_speed import plans_table
from pdeinv.benchmarks.studies.pumping_test import pumping_table
from pdeinv.benchmarks.studies.quantities import quantities_table
from pdeinv.benchmarks.studies.roofline import speed_growth_table, speed_table
from pdeinv.benchmarks.studies.scene_limits import scene_limits_table
from pdeinv.benchmarks.studies.soak import soak_table
from pdeinv.benchmarks.studies.timing import cost_table, scaling_table
from pdeinv.benchmarks.studies.two_inclusions import two_inclusions_table
from pdeinv.benchmarks.studies.two_pumping_tests import two_tests_table
from pdeinv.benchmarks.studies.uncertain_sides import uncertain_table
from pdeinv.benchmarks.studies.workers import fields_table, workers_table
from pdeinv.benchmarks.study_kinds import (
    ANY_EXPERIMENTS,
    EQUIVARIANCES,
    GAUSSIAN_LIMITS,
    TIMINGS,
)
from pdeinv.benchmarks.testing_kinds import COVERED, GENERATED, MUTATIONS
from pdeinv.benchmarks.worker_kinds import WORKERS
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, read_text

__all__ = ["update_pages", "with_tables"]

RESULTS = Path("benchmarks/results")
"""Where the records are, in the repository."""
_KINDS: dict[str, tuple[Callable[[list[Record]], str], tuple[Kind, ...]]] = {
    "table": (table, TABULATED),
    "overall": (overall_table, (SUMMARIES,)),
    "tasks": (tasks_table, (SUMMARIES,)),
    "ablation": (ablation_page, (INSTANCES,)),
    "alternatives": (alternatives_table, (INSTANCES,)),
    "equivariance": (equivariance_page, (EQUIVARIANCES,)),
    "aquifer": (aquifer_table, (AQUIFERS,)),
    "black-box": (black_box_table, (BLACK_BOXES,)),
    "basin": (basin_table, (BASINS,)),
    "pumping-test": (pumping_table, (PUMPING_TESTS,)),
    "two-pumping-tests": (two_tests_table, (TWO_PUMPING_TESTS,)),
    "flow-sensors": (flow_sensors_table, (FLOW_SENSORS,)),
    "further-readings": (further_readings_table, (FURTHER_READINGS,)),
    "two-inclusions": (two_inclusions_table, (TWO_INCLUSIONS,)),
    "uncertain-sides": (uncertain_table, (UNCERTAIN_SIDES,)),
    "assumed": (assumed_table, (ASSUMED,)),
    "alarms": (alarms_table, (ASSUMED,)),
    "numbers": (number_table, (ASSUMED,)),
    "alarm-rates": (alarm_rates_table, (ALARM_RATES,)),
    "model-choice": (model_choice_table, (MODEL_CHOICES,)),
    "calibrated": (calibrations_table, (CALIBRATIONS,)),
    "scene-limits": (scene_limits_table, (SCENE_LIMITS,)),
    "plans": (plans_table, (PLANS,)),
    "crashes": (crashes_table, (CRASHES,)),
    "memory": (memory_table, (PEAKS,)),
    "generated": (generated_table, (GENERATED,)),
    "covered": (covered_table, (COVERED,)),
    "mutations": (mutations_table, (MUTATIONS,)),
    "quantities": (quantities_table, (QUANTITIES,)),
    "workers": (workers_table, (WORKERS,)),
    "million-fields": (fields_table, (WORKERS,)),
    "soak": (soak_table, (SOAKS,)),
    "speed": (speed_table, (SPEEDS,)),
    "speed-growth": (speed_growth_table, (SPEEDS,)),
    "limit": (limit_table, (GAUSSIAN_LIMITS,)),
    "experiments": (experiment_table, (ANY_EXPERIMENTS,)),
    "beside": (beside_limit, (INSTANCES,)),
    "published": (published_table, (SUMMARIES,)),
    "cost": (cost_table, (TIMINGS,)),
    "scaling": (scaling_table, (TIMINGS,)),
}
_COMPARISONS: dict[str, Callable[..., str]] = {
    "verdict": equireg_verdict_table,
    "corrected": equireg_tasks_table,
    "joint": joint_prior_table,
    "best": best_prior_table,
    "setting": published_setting_table,
}
_ALL = (*_KINDS, *_COMPARISONS)
_BLOCK = re.compile(rf"(<!-- ({'|'.join(_ALL)}): ([\w. -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def with_tables(text: str, results: Path) -> str:
    """Return a page's text with the tables of its blocks made of the records.

    Arguments:
        text: of the page, in Markdown.
        results: folder of the records.

    Raises:
        InputError: a block is of an unknown kind, or has no end; or its records are missing.
    """

    def render(match: re.Match[str]) -> str:
        if match[2] in _COMPARISONS:
            names = (name.removesuffix(".instances") for name in match[3].split())
            content = _COMPARISONS[match[2]](all_results, *names)
        else:
            made, kinds = _KINDS[match[2]]
            files = (results / f"{name}.jsonl" for name in match[3].split())
            content = made(read_records(*files, kinds=kinds))
        return f"{match[1]}\n{content}\n\n{match[4]}"

    all_results = Results(results)
    begun = re.findall(r"^<!-- (?!end ).*-->$", text, re.MULTILINE)
    known = len(_BLOCK.findall(text))
    if known != len(begun):
        raise InputError(
            f"every block must be of a known kind ({', '.join(_ALL)}) and have an end, got "
            f"{len(begun) - known} others among {', '.join(begun)}; correct the kind or add "
            f"the end"
        )
    return _BLOCK.sub(render, text)


def update_pages(pages: Iterable[Path], results: Path = RESULTS) -> None:
    """Write pages again with the tables of their blocks made of the records."""
    for page in pages:
        text = with_tables(read_text(page), results)
        with atomic_write(page) as temporary:
            temporary.write_text(text)
