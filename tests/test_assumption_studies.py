"""The studies of unknown numbers, wrong assumptions, alarms, evidence and calibration: their
truths, their records and their tables."""

import re

import numpy as np
import pytest
from helpers import read_lines, run_command
from scipy.stats import beta

from pdeinv import InputError
from pdeinv.benchmarks.reports.assumed_tables import (
    alarm_rates_table,
    alarms_table,
    assumed_table,
    model_choice_table,
    number_table,
)
from pdeinv.benchmarks.studies import (
    alarm_rates,
    calibrated,
    model_choice,
    robust_readings,
    unknown_numbers,
    unknown_viscosity,
    wrong_assumptions,
)
from pdeinv.benchmarks.studies.assumed import measure_cases
from pdeinv.benchmarks.studies.assumed_cases import Reads, Setting, Size, draw_case
from pdeinv.datasets import Problem
from pdeinv.unknown import is_unknown

TINY = Size(grid=16, sensors=12)
ALL = {
    **{f"unknown numbers: {name}": make for name, make in unknown_numbers.CASES.items()},
    **{f"wrong assumptions: {name}": make for name, make in wrong_assumptions.CASES.items()},
    **{f"robust readings: {name}": make for name, make in robust_readings.CASES.items()},
    **{f"model choice: {name}": make for name, make in model_choice.CASES.items()},
    **{f"alarm rates: {name}": table.case for name, table in alarm_rates.CASES.items()},
    "unknown viscosity": unknown_viscosity.CASES["viscosity"],
}


@pytest.mark.parametrize("name", ALL)
def test_a_truth_depends_on_its_number_alone_and_meets_its_readings(name):
    one, again, other = (ALL[name](TINY, i) for i in (5, 5, 6))
    assert bool((one.state == again.state).all())
    assert one.sensors.table.equals(again.sensors.table)
    assert not bool((one.state == other.state).all())
    o = one.sensors.observation(one.world.physics, one.grid)
    noise = o.noise_std.clamp(min=1e-9)
    assert float(((o.values - o(one.state)[0]) / noise).square().mean()) < 4
    names = {f.name for f in one.world.physics.fields}
    assert set(one.scored) <= names and one.world.unknowns == ()


def test_truths_span_the_ranges_of_lengths_and_amplitudes():
    for make in unknown_numbers.CASES.values():
        numbers = [dict(make(TINY, i).numbers) for i in range(12)]
        lengths = [one["length"] for one in numbers]
        assert max(lengths) / min(lengths) == pytest.approx(8, rel=1e-3)
        sizes = [
            one.get("log_std") or (one["low"] * one["high"]) ** 0.5
            if "low" in one or "log_std" in one
            else one["std"]
            for one in numbers
        ]
        assert max(sizes) / min(sizes) == pytest.approx(30, rel=1e-2)
        shares = [round(size / min(sizes)) for size in sizes]
        ends = set(zip([round(length, 2) for length in lengths], shares, strict=True))
        assert {(0.06, 1), (0.06, 30), (0.48, 1), (0.48, 30)} <= ends
        assert len({one["smoothness"] for one in numbers}) == 12


def test_what_is_left_out_is_unknown():
    case = unknown_numbers.CASES["poisson"](TINY, 0)
    assert case.settings["known"].problem.prior == case.world.prior
    names = {number.name for number in case.settings["left out"].problem.unknowns}
    assert names == {"mean", "std", "length", "smoothness"}
    flow = unknown_viscosity.CASES["viscosity"](TINY, 3)
    low, high = unknown_viscosity.RANGE
    assert high / low == pytest.approx(30) and low < flow.numbers["viscosity"] < high
    assert is_unknown(flow.settings["unknown"].problem.physics.viscosity)
    assert set(flow.sensors.table.field) == {"velocity_x", "velocity_y"}
    assert flow.sensors.table.time.nunique() == 4 and len(flow.sensors) == 12


def test_each_number_of_the_physics_that_is_left_out_has_a_true_value():
    """A flow without forcing has the amplitude 0."""
    found = {}
    for name in ("navier-stokes, without its forcing", "navier-stokes, viscosity 1e-2 for 1e-3"):
        case = wrong_assumptions.CASES[name](TINY, 0)
        (number,) = case.settings["left out"].problem.unknowns
        found[number.name] = case.numbers[number.name]
    assert found == {"forcing": 0.0, "viscosity": 1e-2}


def test_a_share_of_readings_has_gross_errors():
    case = robust_readings.CASES["poisson"](Size(16, 40), 0)
    wrong = case.settings["outliers"].spoil(case.sensors).table
    off = (wrong.value - case.sensors.table.value).abs() / wrong.noise_std
    assert (off > 0).sum() == 2 and off[off > 0].between(10, 100).all()
    again = case.settings["outliers, robust"].spoil(case.sensors).table
    assert wrong.equals(again) and case.settings["outliers, robust"].options == {"robust": True}


@pytest.fixture(scope="module")
def viscosities(tmp_path_factory):
    out = tmp_path_factory.mktemp("v") / "v.jsonl"
    command = ("study", "unknown-viscosity", "--out", out, "--grid", 16, "--sensors", 8)
    first = run_command(*command, "--instances", 1, "--setting", "known").output
    content = out.read_bytes()
    again = run_command(*command, "--instances", 1, "--setting", "known").output
    assert out.read_bytes() == content and first.endswith(again)
    assert "| viscosity | known | - | 0 of 1 |" in again
    return read_lines(out)


def test_the_records_have_both_fields_and_the_true_number(viscosities):
    assert [r["field"] for r in viscosities] == ["initial_vorticity", "final_vorticity"]
    for record in viscosities:
        assert 0 < record["error"] < 2 and 0 <= record["coverage90"] <= 1
        assert set(record["true_numbers"]) == {"viscosity"} and record["numbers"] == {}
        assert (record["grid"], record["sensors"], record["rows"]) == (16, 8, 2)


def test_errors_are_compared_truth_by_truth(tmp_path):
    """Readings with a noise of a tenth and of a hundredth, of the same truths."""

    usual = Problem.named("poisson")

    def make(size, i):
        worse = lambda sensors: type(sensors)(  # noqa: E731
            sensors.table.assign(noise_std=10 * sensors.table.noise_std)
        )
        settings = {"known": Setting(usual), "worse": Setting(usual, spoil=worse)}
        return draw_case(usual, [Reads("potential", size.sensors)], size, i, settings)

    quiet = {"echo": lambda line: None}
    records = measure_cases(tmp_path / "r.jsonl", {"poisson": make}, range(3), TINY, **quiet)
    assert len(records) == 3 * 2 * 2
    head, _, *rows = assumed_table(records).splitlines()
    assert "| over that of *known* | mean of the ratios |" in head
    places = [tuple(row.split(" | ")[1:3]) for row in rows]
    fields, settings = ("source", "potential"), ("known", "worse")
    assert places == [(field, setting) for field in fields for setting in settings]
    worse, known = (
        np.array(
            [r["error"] for r in records if (r["setting"], r["field"]) == (name, "source")],
        )
        for name in ("worse", "known")
    )
    ratios = worse / known
    compared = rf"\| {worse.mean() / known.mean():.3f} ± [\d.]+ \| {ratios.mean():.3f} ± "
    assert re.search(compared + f"{ratios.std(ddof=1) / 3**0.5:.3f} ", rows[1])
    assert " ± " in rows[0] and " | - | - | " in rows[0]
    with pytest.raises(InputError, match=r"setting must be one of known; worse, got 'best'; "):
        measure_cases(tmp_path / "s.jsonl", {"p": make}, range(1), TINY, settings=["best"], **quiet)


def test_a_solver_that_fails_leaves_a_record_without_scores(tmp_path):
    from test_calibrate import Failing

    usual = Problem.named("poisson")

    def make(size, i):
        settings = {"known": Setting(usual, Failing())}
        return draw_case(usual, [Reads("potential", size.sensors)], size, i, settings)

    records = measure_cases(
        tmp_path / "r.jsonl", {"p": make}, range(2), TINY, echo=lambda line: None
    )
    assert {r["error"] for r in records} == {None} and "must end" in records[0]["alarm"]
    assert "| - | - | - | 2 of 2 |" in assumed_table(records)
    assert "must end, and did not; wait | 2 of 2 |" in alarms_table(records)


def test_an_interval_holds_a_number_or_not():
    shared = {"case": "c", "setting": "left out"}
    records = [
        shared | {"instance": i, "numbers": {"length": [0.2, 0.3, low, 0.5], "std": [None] * 4}}
        for i, low in enumerate((0.1, 0.15, 0.25))
    ]
    assert "| c | left out | length | 2 of 3 | 1 | 0 |" in number_table(records)


def test_the_wrong_reading_has_the_stated_error(tmp_path):
    def judge(power):
        quiet = {"cases": ["poisson, gaussian"], "size": TINY, "echo": lambda line: None}
        return alarm_rates.run(tmp_path / "a.jsonl", instances=range(2), power=power, **quiet)

    made = judge(1)
    assert [(r["instance"], r["size"]) for r in made] == [(0, 0), (0, 3), (0, 5), (0, 10), (1, 0)]
    again = judge(2)  # adds the wrong readings of the other table alone
    assert again[:5] == made
    assert [(r["instance"], r["size"]) for r in again[5:]] == [(1, 3), (1, 5), (1, 10)]
    case = alarm_rates.CASES["poisson, gaussian"].case(TINY, 0)
    moved = alarm_rates._with_error(case.sensors, 4, 0.5).table.value - case.sensors.table.value
    assert moved.tolist() == pytest.approx([0.5 if k == 4 else 0.0 for k in range(12)])


def test_the_right_length_has_the_larger_evidence(tmp_path):
    quiet = {"echo": lambda line: None, "size": Size(20, 60), "cases": ["poisson"]}
    made = model_choice.run(tmp_path / "m.jsonl", instances=range(4), **quiet)
    assert "| poisson | 4 of 4 |" in model_choice_table(made)
    for i in range(4):
        mine = {r["setting"]: r["right"] for r in made if r["instance"] == i}
        assert mine == {"length 0.1": 1 - i % 2, "length 0.3": i % 2}


def test_half_the_deviation_is_found_and_the_right_one_passes(tmp_path):
    out = tmp_path / "c.jsonl"
    size = ("--grid", 16, "--sensors", 12, "--draws", 20, "--instances", 1)
    text = run_command("study", "calibrated", "--only", "poisson", "--out", out, *size).output
    right, half = read_lines(out)
    assert right["setting"] == "right" and right["p_value"] > 0.01 > half["p_value"]
    assert half["coverage90"] < 0.8 < right["coverage90"]
    assert "| poisson | half the deviation | 1 of 1 |" in text
    assert list(calibrated.CASES) == ["poisson", "darcy, log-normal"]


def test_rates_of_alarms_have_an_interval_and_a_power():
    shared = {"case": "c", "setting": "gaussian"}
    clean = [shared | {"size": 0.0, "alarm": "a" if i < 20 else "", "found": 0} for i in range(400)]
    wrong = [
        shared | {"size": size, "alarm": "a" if i < alarms else "", "found": int(i >= 10)}
        for size, alarms in ((3.0, 15), (10.0, 100))
        for i in range(100)
    ]
    head, _, row = alarm_rates_table([*clean, *wrong]).splitlines()
    assert "| alarms at 3 | alarms at 10 | named at 3 | named at 10 |" in head
    # The exact interval of 20 of 400, by the quantiles of beta distributions
    low, high = (beta.ppf(0.025, 20, 381), beta.ppf(0.975, 21, 380))
    rate = f"20 of 400 | 5.0 ({100 * low:.1f} to {100 * high:.1f})"
    assert f"| {rate} | 15 of 100 | 100 of 100 | 5 of 100 | 90 of 100 |" in row


@pytest.mark.parametrize("name", alarm_rates.CASES)
def test_the_wrong_reading_is_one_that_the_physics_does_not_state(name):
    case = alarm_rates.CASES[name].case(Size(16, 60), 0)
    for i in range(20):
        row = case.sensors.table.iloc[alarm_rates._wrong(case, i)]
        assert 0 < row.x < 1 and 0 < row.y < 1
