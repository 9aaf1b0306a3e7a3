"""Files of records with random faults: each is read and used, or refused in one sentence."""

import copy
import json
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nested import places
from tally import tally
from time_limit import time_limit

from pdeinv import InputError
from pdeinv.benchmarks import (
    assumption_kinds,
    crash_kinds,
    family_kinds,
    kinds,
    memory_kinds,
    plan_kinds,
    prior_kinds,
    problem_kinds,
    quantity_kinds,
    soak_kinds,
    speed_kinds,
    study_kinds,
    testing_kinds,
    worker_kinds,
)
from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.records import JsonLines, read_records
from pdeinv.benchmarks.reports.assumed_tables import (
    alarm_rates_table,
    alarms_table,
    assumed_table,
    calibrations_table,
    model_choice_table,
    number_table,
)
from pdeinv.benchmarks.reports.figures import FIGURES
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.benchmarks.reports.tables import (
    beside_limit,
    overall_table,
    published_table,
    table,
    tasks_table,
)
from pdeinv.benchmarks.reports.testing import covered_table, generated_table, mutations_table
from pdeinv.benchmarks.studies.ablation import ablation_page, alternatives_table, plot_gain
from pdeinv.benchmarks.studies.any_experiment import experiment_table
from pdeinv.benchmarks.studies.aquifer import aquifer_table
from pdeinv.benchmarks.studies.basin import basin_table
from pdeinv.benchmarks.studies.black_box import black_box_table
from pdeinv.benchmarks.studies.crashes import crashes_table
from pdeinv.benchmarks.studies.equivariance import equivariance_page, plot
from pdeinv.benchmarks.studies.flow_sensors import flow_sensors_table
from pdeinv.benchmarks.studies.further_readings import further_readings_table
from pdeinv.benchmarks.studies.gaussian_limit import limit_table
from pdeinv.benchmarks.studies.memory import memory_table
from pdeinv.benchmarks.studies.plan_speed import plans_table
from pdeinv.benchmarks.studies.prior_ablation import ablation_section
from pdeinv.benchmarks.studies.prior_cards import cards
from pdeinv.benchmarks.studies.pumping_test import pumping_table
from pdeinv.benchmarks.studies.quantities import quantities_table
from pdeinv.benchmarks.studies.roofline import speed_growth_table, speed_table
from pdeinv.benchmarks.studies.scene_limits import scene_limits_table
from pdeinv.benchmarks.studies.soak import soak_table
from pdeinv.benchmarks.studies.timing import cost_table, plot_scaling, scaling_table
from pdeinv.benchmarks.studies.two_inclusions import two_inclusions_table
from pdeinv.benchmarks.studies.two_pumping_tests import two_tests_table
from pdeinv.benchmarks.studies.workers import fields_table, workers_table
from pdeinv.benchmarks.summary import summarise
from pdeinv.benchmarks.verify import BASELINE, differences
from pdeinv.files import save_figure

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def lines(name, first=8, **values):
    """The first records of a file that have these values."""
    path = BASELINE if name == "baseline" else RESULTS / f"{name}.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [r for r in found if all(r.get(k) == v for k, v in values.items())][:first]


def rows(*methods, name="suite-standard.instances", **values):
    """Three instances of some methods on one task, so that pairs and limits are there."""
    found = [lines(name, 3, pde="darcy", method=m, **values) for m in methods]
    return [r for part in found for r in part]


def limits_and_rivals():
    task = {"task": "forward", "metric": "relative_l2"}
    guided = [rows("fundps", equireg=on, **task) for on in (False, True)]
    return [*rows("level-set", "moment", "kriging", **task), *guided[0], *guided[1]]


def pages(records):
    summaries = summarise(records)
    for text in (table, tasks_table, overall_table, published_table):
        assert isinstance(text(summaries), str)
    beside_limit(records)


def ablations(records):
    ablation_page(records)
    alternatives_table(records)
    plot_gain(records)


def compare(records):
    for row in records:
        differences(BASELINES[0], row)


def drawn(kind):
    return lambda records: save_figure(FIGURES[kind](records), "figure.png")


BASELINES = lines("baseline", 3)
SUMMARIES = summarise(limits_and_rivals())
INSTANCES = limits_and_rivals()
TIMINGS = lines("moment-cost", 40, method="moment")
EQUIVARIANCES = lines("equivariance")
AQUIFERS = [
    {
        **{
            "pde": "darcy",
            "log_std": 1.5,
            "instance": i,
            "seed": i,
            "method": "kriging",
            "field": field,
        },
        **{"error": 0.1 * i, "relative_error": 0.5, "spread": 0.1, "coverage90": 0.9},
        **{"converged": 1, "reduced_chi_squared": 1.0, "solver_calls": 9, "seconds": 1.0},
        "rows": 2,
    }
    for i in range(3)
    for field in ("head", "log_hydraulic_conductivity")
]
BLACK_BOXES = [
    {k: v for k, v in record.items() if k != "log_std"} | {"budget": 200} for record in AQUIFERS
]

BASINS = [
    {k: v for k, v in record.items() if k != "log_std"} | {"active": 99} for record in AQUIFERS
]
PUMPING_TESTS = [
    {k: v for k, v in record.items() if k != "log_std"} | {"times": 8} for record in AQUIFERS
]
TWO_PUMPING_TESTS = [
    {k: v for k, v in record.items() if k != "log_std"} | {"arm": arm, "heads": 24}
    for arm in ("both tests", "west alone")
    for record in AQUIFERS
]
FURTHER_READINGS = [
    {k: v for k, v in record.items() if k != "log_std"} | {"case": "poisson", "arm": arm}
    for arm in ("design", "random")
    for record in AQUIFERS
]
TWO_INCLUSIONS = [
    {k: v for k, v in record.items() if k != "log_std"}
    | {"method": method, "field": "squared_slowness", "contrast_error": 0.2, "rows": 1}
    for method in ("gauss-newton", "born")
    for record in AQUIFERS[::2]
]
FLOW_SENSORS = [
    {k: v for k, v in record.items() if k != "log_std"}
    | {"reads": what, "readings": 60, "grid": 64, "field": field}
    for what in ("velocity", "vorticity")
    for record in AQUIFERS[::2]
    for field in ("initial_vorticity", "final_vorticity")
]

RECONSTRUCTED = {
    **{"pde": "poisson", "case": "poisson", "setting": "known", "seed": 0, "method": "gaussian"},
    **{"grid": 16, "sensors": 9, "seconds": 0.1},
}
ASSUMED = [
    RECONSTRUCTED
    | {"setting": setting, "instance": i, "field": field, "measure": "relative_l2", "rows": 2}
    | {"error": error, "coverage90": 0.9, "rank_coverage90": 0.9, "alarm": "", "converged": 1}
    | {"numbers": {"length": [0.2, 0.3, 0.1, 0.5]}, "true_numbers": {"length": 0.2}}
    for i, error in ((0, 0.1), (1, 0.2), (2, None))
    for setting in ("known", "left out")
    for field in ("source", "potential")
]
ALARM_RATES = [
    RECONSTRUCTED | {"instance": i, "size": size, "alarm": "", "found": 0, "p_value": 0.5}
    for i in range(2)
    for size in (0.0, 3.0)
]
MODEL_CHOICES = [
    RECONSTRUCTED | {"setting": setting, "instance": i, "log_evidence": 2.0 * i, "right": right}
    for i in range(3)
    for right, setting in enumerate(("length 0.1", "length 0.3"))
]
CALIBRATIONS = [
    RECONSTRUCTED
    | {"instance": i, "draws": 20, "p_value": 0.1, "coverage50": 0.5, "coverage90": 0.9}
    | {"verdict": "nothing speaks against the intervals"}
    for i in range(2)
]
SCENE_LIMITS = [
    {"family": "channels", "pde": "darcy", "task": "inverse", "method": "object-chains"}
    | {"grid": 16, "sensors": 20, "noise": 0.05, "seed": 0, "instance": i, "start": start}
    | {"steps": 100, "levels": 12, "measure": "error_rate", "draw_errors": [0.1, 0.2 + i, 0.1]}
    | {"error": 0.1, "expected_error": 0.1, "log_evidence": -3.0, "reduced_chi_squared": 1.0}
    | {"r_hat": 1.1, "effective_sample_size": 9.0, "solver_calls": 10, "seconds": 1.0}
    for i in range(2)
    for start in ("prior", "truth")
]
QUANTITIES = [
    {"pde": "darcy", "case": "aquifer", "quantity": name, "units": "m3 day-1", "instance": i}
    | {"seed": i, "method": "gauss-newton", "samples": 99, "level": 0.9, "infinite": 0, "rows": 2}
    | {"truth": 1.0 + i, "mean": 1.5, "std": 0.5, "low": 0.6, "high": 2.4, "within": 1 - i // 2}
    | {"seconds": 1.0}
    for i in range(3)
    for name in ("outflow", "mean")
]

PLANS = [
    {"case": case, "pde": "poisson", "grid": 16, "sensors": 9, "instance": i, "method": method}
    | {
        "seed": 0,
        "prepare_seconds": 1.0,
        "seconds": 0.5,
        "fresh_seconds": 1.0,
        "distance": 0.0,
        **more,
    }
    for case, method, more in (
        ("a", "stored gain", {"product_seconds": 0.4}),
        ("b", "search from the last mode", {"iterations": 2, "fresh_iterations": 4}),
    )
    for i in range(2)
]

CRASHES = [
    {"case": case, "pde": "poisson", "kill": kill, "seed": 0, "share": 0.5, "seconds": 1.0}
    | {"hit": 1, "kept": kill, "whole": 1, "identical": 1, "left": 0}
    for case in ("generate", "train")
    for kill in range(2)
]

WORKERS = [
    {"pde": "darcy", "work": work, "grid": 16, "items": 4, "workers": n, "instance": i, "cores": 2}
    | {"others": 0.5, "seconds": 2.0 / n, "processor_seconds": 2.0, **more}
    for work, more in (("generation", {"bytes": 4096}), ("benchmark", {}))
    for n in (1, 2)
    for i in range(2)
]

SOAKS = [
    {"part": part, "pde": "all", "reconstructions": 100, "workers": 4, "seed": 0, "failed": 0}
    | {"hung": 0, "identical": 100, "different": 0, "largest_difference": 0.0, "slope": -0.5}
    | {"second_tenth": 600.0, "last_tenth": 601.0, "changed": "", "files_before": 6}
    | {"files_after": 6, "seconds": 9.0, "processor_seconds": 8.0}
    for part in ("single", "threads")
]

GENERATED = [
    {"inputs": name, "pde": "all", "used": 3, "refused": 4, "seed": 0, "seconds": 9.0}
    for name in ("tables of sensors", "models")
]

COVERED = [
    {"folder": name, "pde": "all", "tests": 9, "lines": 40, "covered": 39, "seed": 0}
    for name in ("pdeinv", "solvers")
]

MUTATIONS = [
    {"group": name, "pde": "all", "of": 40, "mutants": 20, "killed": 18, "survived": 1}
    | {"untested": 1, "seed": 0, "seconds": 9.0}
    for name in ("symmetry", "evidence")
]

PEAKS = [
    {"work": "reconstruct", "pde": "poisson", "grid": 64, "sensors": m, "seed": 0, "seconds": 9.0}
    | {"megabytes": 900.0, "small": 700.0, "estimate": 300.0}
    for m in (100, 1000)
]

SPEEDS = [
    {"pde": "poisson", "grid": grid, "sensors": 50, "samples": 16, "seed": 0, "method": "gaussian"}
    | {"first": 2.0, "seconds": 1.0, "bound": 0.5, "products": 2e10, "transforms": 1e9}
    | {"copied": 1e10, "error": 0.1, "megabytes": 600.0}
    for grid in (64, 128)
]

USES = {
    "speed": (speed_kinds.SPEEDS, SPEEDS, speed_table),
    "speed growth": (speed_kinds.SPEEDS, SPEEDS, speed_growth_table),
    "memory": (memory_kinds.PEAKS, PEAKS, memory_table),
    "generated": (testing_kinds.GENERATED, GENERATED, generated_table),
    "covered": (testing_kinds.COVERED, COVERED, covered_table),
    "mutations": (testing_kinds.MUTATIONS, MUTATIONS, mutations_table),
    "crashes": (crash_kinds.CRASHES, CRASHES, crashes_table),
    "workers": (worker_kinds.WORKERS, WORKERS, workers_table),
    "million fields": (worker_kinds.WORKERS, WORKERS, fields_table),
    "soak": (soak_kinds.SOAKS, SOAKS, soak_table),
    "plans": (plan_kinds.PLANS, PLANS, plans_table),
    "quantities": (quantity_kinds.QUANTITIES, QUANTITIES, quantities_table),
    "scene limits": (family_kinds.SCENE_LIMITS, SCENE_LIMITS, scene_limits_table),
    "assumed": (assumption_kinds.ASSUMED, ASSUMED, assumed_table),
    "alarms": (assumption_kinds.ASSUMED, ASSUMED, alarms_table),
    "inferred numbers": (assumption_kinds.ASSUMED, ASSUMED, number_table),
    "alarm rates": (assumption_kinds.ALARM_RATES, ALARM_RATES, alarm_rates_table),
    "model choices": (assumption_kinds.MODEL_CHOICES, MODEL_CHOICES, model_choice_table),
    "calibrations": (assumption_kinds.CALIBRATIONS, CALIBRATIONS, calibrations_table),
    "pages": (kinds.INSTANCES, INSTANCES, pages),
    "ablation": (kinds.INSTANCES, INSTANCES, ablations),
    "summaries": (kinds.SUMMARIES, SUMMARIES, table),
    "tasks": (kinds.SUMMARIES, SUMMARIES, tasks_table),
    "overall": (kinds.SUMMARIES, SUMMARIES, overall_table),
    "published": (kinds.SUMMARIES, SUMMARIES, published_table),
    **{f"figure {kind}": (kinds.SUMMARIES, SUMMARIES, drawn(kind)) for kind in FIGURES},
    "baseline": (kinds.BASELINES, BASELINES, compare),
    "reference": (study_kinds.REFERENCES, lines("reference-64"), table),
    "aquifer": (problem_kinds.AQUIFERS, AQUIFERS, aquifer_table),
    "black box": (problem_kinds.BLACK_BOXES, BLACK_BOXES, black_box_table),
    "further readings": (
        problem_kinds.FURTHER_READINGS,
        FURTHER_READINGS,
        further_readings_table,
    ),
    "two inclusions": (
        problem_kinds.TWO_INCLUSIONS,
        TWO_INCLUSIONS,
        two_inclusions_table,
    ),
    "basin": (problem_kinds.BASINS, BASINS, basin_table),
    "pumping test": (problem_kinds.PUMPING_TESTS, PUMPING_TESTS, pumping_table),
    "two pumping tests": (
        *(problem_kinds.TWO_PUMPING_TESTS, TWO_PUMPING_TESTS),
        two_tests_table,
    ),
    "flow sensors": (problem_kinds.FLOW_SENSORS, FLOW_SENSORS, flow_sensors_table),
    "numerics": (study_kinds.NUMERICS, lines("numerics"), table),
    "limit": (study_kinds.GAUSSIAN_LIMITS, lines("gaussian-limit-64"), limit_table),
    "experiments": (study_kinds.ANY_EXPERIMENTS, lines("any-experiment"), experiment_table),
    "scaling": (study_kinds.TIMINGS, TIMINGS, scaling_table),
    "cost": (study_kinds.TIMINGS, TIMINGS, cost_table),
    "figure of scaling": (study_kinds.TIMINGS, TIMINGS, plot_scaling),
    "equivariance": (study_kinds.EQUIVARIANCES, EQUIVARIANCES, equivariance_page),
    "figure of equivariance": (study_kinds.EQUIVARIANCES, EQUIVARIANCES, plot),
    "cards": (prior_kinds.PRIORS, lines("priors", 20), cards),
    "prior ablation": (prior_kinds.PRIOR_ABLATIONS, lines("prior-ablation"), ablation_section),
}

OTHERS = {"instance": INSTANCES[0], "baseline": BASELINES[0], "object": {}, "number": 3}
ODD = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2.5, 10**30, "", "x", "{", "[]", [], {}, [None]]),
    st.sampled_from([0.0, -0.0, 1e-320, 1e308, -1e99, 1e99, float("nan"), float("inf")]),
    st.text(max_size=5),
    st.integers(-3, 100),
)


def mutate(data, records):
    """Change one place of a record, or the lines."""
    number = data.draw(st.integers(0, len(records) - 1))
    act = data.draw(st.sampled_from(["set"] * 5 + ["drop", "drop", "repeat", "lose", "add"]))
    if act == "repeat":
        records.append(copy.deepcopy(records[number]))
    elif act == "lose":
        del records[number]
    elif act == "add":
        other = OTHERS[data.draw(st.sampled_from(list(OTHERS)))]
        records.insert(number, copy.deepcopy(other))
    else:
        found = list(places(records[number]))[1:]
        *path, last = data.draw(st.sampled_from(found)) if found else [None]
        holder = records[number]
        for key in path:
            holder = holder[key]
        if last is None:
            return
        if act == "drop":
            del holder[last]
        else:
            holder[last] = copy.deepcopy(data.draw(ODD))  # a later change may be in it


def spoilt(data, text):
    """Perhaps spoil the bytes of a file."""
    content = text.encode()
    act = data.draw(st.sampled_from(["none"] * 6 + ["cut", "junk", "deep"]))
    if act == "cut":
        return content[: data.draw(st.integers(0, len(content)))]
    if act == "junk":
        place = data.draw(st.integers(0, len(content)))
        return content[:place] + data.draw(st.binary(min_size=1, max_size=4)) + content[place:]
    if act == "deep":
        return content + b'{"pde": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n"
    return content


@given(st.data())
def test_records_with_faults_are_used_or_refused(tmp_path_factory, data):
    kind, known, use = USES[data.draw(st.sampled_from(list(USES)))]
    records = copy.deepcopy(known)
    for _ in range(data.draw(st.integers(0, 2))):
        if records:
            mutate(data, records)
    folder = tmp_path_factory.mktemp("records")
    path = folder / "records.jsonl"
    path.write_bytes(spoilt(data, "".join(json.dumps(r) + "\n" for r in records)))
    with time_limit(20), pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        try:
            use(read_records(path, kinds=(kind,)))
        except InputError as error:
            assert str(error)[-1] not in ".\n" and "; " in str(error)
            tally("records", refused=True)
        else:
            tally("records", refused=False)


@given(st.data())
def test_a_run_goes_on_with_a_faulty_file_or_leaves_it_as_it_is(tmp_path_factory, data):
    records = copy.deepcopy(INSTANCES)
    mutate(data, records)
    path = tmp_path_factory.mktemp("records") / "records.instances.jsonl"
    content = spoilt(data, "".join(json.dumps(r) + "\n" for r in records))
    path.write_bytes(content)
    with time_limit(20):
        try:
            log = JsonLines(path, kinds.INSTANCES)
        except InputError:
            assert path.read_bytes() == content
            tally("records", refused=True)
        else:
            tally("records", refused=False)
            whole = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
            assert len(whole) - len(log.read()) <= 2


def test_a_report_is_made_of_records_that_older_versions_wrote(tmp_path):
    old = lines("sensors-64.instances", 40, sensors=50, noise=0.0)
    (tmp_path / "old.instances.jsonl").write_text("".join(json.dumps(r) + "\n" for r in old))
    page, _ = write_page(tmp_path / "old.jsonl", pictures=False)
    assert old[0]["method"] in page.read_text()
    cell = Cell.of_record(old[0])  # as drawing its instances does
    assert (cell.samples, cell.steps, cell.prior) == (19, None, None)
