"""The least operations, and the study of times over them."""

import math

import pytest
from helpers import read_lines

from pdeinv.benchmarks.operations import Operations, Rates, least_operations, measured_rates
from pdeinv.benchmarks.studies.roofline import run, speed_growth_table, speed_table
from pdeinv.datasets import TransientDarcy, pde_by_name
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError

RATES = Rates(products=1e10, transforms=1e9, copied=1e10)
PUBLISHED = ("poisson", "helmholtz", "darcy", "navier-stokes")


def least(name, n, m, samples=16):
    problem = Problem(pde_by_name(name))
    return least_operations(problem, problem.physics.grid(n), m, samples)


def test_the_operations_of_a_linear_problem_are_those_written_down():
    n, m, samples, modes = 64, 100, 16, 64**2
    found = least("poisson", n, m, samples)
    assert found.transforms == 3 * (2 * m + samples)
    assert found.products == pytest.approx(2 * m**2 * modes + m**3 / 3)
    assert found.moved == 32 * m * modes


def test_a_time_is_that_of_the_arithmetic_or_of_the_memory():
    field = 5 * 64**2 * 6 / 1e9  # by an FFT, cheaper than 4 · 64³ / 1e10
    assert field > 4 * 64**3 / 1e10
    one = Operations(side=64, transforms=10, products=2e9, moved=1e9)
    assert one.seconds(RATES) == pytest.approx(10 * 4 * 64**3 / 1e10 + 0.2)
    assert one._replace(moved=9e9).seconds(RATES) == pytest.approx(0.9)
    slow = RATES._replace(products=1e9)
    assert one.seconds(slow) == pytest.approx(10 * field + 2.0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_bounds_grow_with_the_grid_and_with_the_sensors(name):
    few, many, fine = (least(name, *size).seconds(RATES) for size in ((32, 20), (32, 80), (64, 20)))
    assert few < many and few < fine


def test_other_physics_have_no_bound():
    physics = TransientDarcy(duration=1.0)
    with pytest.raises(InputError, match="roofline must be one of the published ones, got trans"):
        least_operations(Problem(physics), physics.grid(16), 9, 4)


def test_rates_are_those_of_a_product_a_transform_and_a_copy(monkeypatch):
    seconds = iter([0.25, 0.5, 0.125])
    monkeypatch.setattr("pdeinv.benchmarks.operations._least", lambda work: next(seconds))
    rates = measured_rates(32)
    assert rates.products == 2 * 512**3 / 0.25
    assert rates.transforms == 2.5 * 16 * 32**2 * math.log2(32**2) / 0.5
    assert rates.copied == 16 * 2**23 / 0.125


def test_the_study_measures_and_goes_on_with_its_file(tmp_path):
    out, lines = tmp_path / "speed.jsonl", []
    given = {"pdes": ["poisson"], "grids": [16, 24], "sensors": [9], "echo": lines.append}
    found = run(out, **given)
    assert [(r["grid"], r["method"]) for r in found] == [(16, "gaussian"), (24, "gaussian")]
    assert all(0 < r["bound"] < r["seconds"] and 0 < r["error"] < 1.5 for r in found)
    assert run(out, **given) == read_lines(out) and len(lines) == 2
    assert "| poisson | 24 x 24 | 9 | gaussian |" in speed_table(found)
    assert "(16, 24; 9 sensors) |  |" in speed_growth_table(found)
