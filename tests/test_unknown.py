"""Numbers that are not known: ranges, laws, and where they may stand."""

import math
import pickle

import pytest
import torch

from pdeinv import GaussianField, Grid, InputError, LogNormal, Problem, TwoPhase
from pdeinv.datasets import Darcy, Experiments, Helmholtz, NavierStokes, NoFlux, Sides, Value, Well
from pdeinv.unknown import Unknown

RANGES = {
    "log-normal": Unknown(1e-4, 1e-2),
    "normal": Unknown(-3.0, 5.0),
    "log-uniform": Unknown(0.5, 5.0, "log-uniform"),
    "uniform": Unknown(-90.0, 90.0, "uniform"),
}


@pytest.mark.parametrize("law", RANGES)
def test_a_number_and_its_standard_normal_are_inverse(law):
    unknown = RANGES[law]
    for z in (-2.5, -0.3, 0.0, 1.7):
        assert unknown.white(unknown.at(z)) == pytest.approx(z, abs=1e-9)
    assert unknown.at(0.0) == pytest.approx(float(unknown))


@pytest.mark.parametrize(("law", "share"), [("log-normal", 0.95), ("normal", 0.95), ("uniform", 1)])
def test_the_range_holds_the_share_that_its_law_states(law, share):
    unknown = RANGES[law]
    z = torch.randn(4000, generator=torch.Generator().manual_seed(0)).tolist()
    inside = sum(unknown.low <= unknown.at(one) <= unknown.high for one in z) / len(z)
    assert inside == pytest.approx(share, abs=0.015)


def test_an_unknown_is_equal_to_its_like_and_not_to_its_middle():
    unknown = Unknown(1, 100)
    assert unknown == Unknown(1, 100) and unknown != 10.0 and float(unknown) == pytest.approx(10)
    assert pickle.loads(pickle.dumps(unknown)) == unknown
    assert f"{unknown:g}" == "unknown (1 to 100)"
    assert Unknown.of_value("it", unknown.to_json()) == unknown


def test_draws_of_a_prior_have_their_own_numbers():
    prior = GaussianField(0.0, std=(0.1, 10), length=0.2)
    fields = prior.sample(40, Grid(16), torch.Generator().manual_seed(0))
    spread = fields.flatten(1).std(dim=1).log()
    assert float(spread.std()) > 0.5 * math.log(100) / 4
    again = prior.sample(40, Grid(16), torch.Generator().manual_seed(0))
    torch.testing.assert_close(fields, again, rtol=0, atol=0)


def test_the_numbers_of_a_problem_are_found_wherever_they_stand():
    sides = Sides(Value(Unknown(40, 60)), NoFlux(), NoFlux(), Value(3))
    physics = Darcy(boundary=sides, wells=(Well(0.3, 0.4, (-2, -1)),))
    problem = Problem(physics, LogNormal(median=(1e-4, 1e-2), length=0.3))
    found = {number.name: number.role for number in problem.unknowns}
    assert found == {
        "median": "values",
        "log_std": "field",
        "value of left": "physics",
        "rate of well 1": "physics",
    }
    stated = {"median": 1e-3, "log_std": 1.0, "value of left": 50.0, "rate of well 1": -1.5}
    known = problem.at(stated)
    assert known.unknowns == ()
    expected = Sides(Value(50.0), NoFlux(), NoFlux(), Value(3))
    assert known.physics.boundary == expected and known.physics.wells == (Well(0.3, 0.4, -1.5),)


def test_experiments_share_a_number_that_is_the_same_in_all():
    prior = GaussianField(0.0, 1.0, 0.2)
    own = Experiments((Helmholtz(k=(1, 2)), Helmholtz(k=(3, 4))), ("low", "high"))
    assert [number.name for number in Problem(own, prior).unknowns] == ["k of low", "k of high"]
    shared = Experiments((Helmholtz(k=(1, 2)), Helmholtz(k=(1, 2), source=2.0)))
    (number,) = Problem(shared, prior).unknowns
    assert number.name == "k"
    assert [pde.k for pde in Problem(shared, prior).at({"k": 1.5}).physics.physics] == [1.5, 1.5]


def test_a_problem_with_ranges_is_stored_in_a_file(tmp_path):
    physics = Darcy(boundary=Sides(Value(Unknown(-1, 1)), NoFlux(), NoFlux(), Value(3)))
    field = GaussianField(length=(0.1, 0.4), smoothness=Unknown(0.5, 2, "log-uniform"))
    problem = Problem(physics, TwoPhase(field, low=(1, 2), high=(5, 9)))
    assert Problem.load(problem.save(tmp_path / "p.toml")).unknowns == problem.unknowns


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Unknown(2, 1), "must rise, got 2 to 1; swap its ends"),
        (lambda: Unknown(0, 1, "log-normal"), "must be positive, got 0 to 1; use the law 'normal'"),
        (lambda: NavierStokes(viscosity=(-1, 1)), "viscosity of navier-stokes .* above 0, got -1"),
        (lambda: NavierStokes(viscosity=None), "viscosity .* a number or a range, got None"),
        (lambda: NavierStokes(dt=(0.1, 0.2)), "dt of navier-stokes must be a finite number"),
        (lambda: NavierStokes(time=(1.0, 2.0)), "time of navier-stokes must be a finite number"),
        (lambda: GaussianField(0, 1, 0.2, mean_std=(1, 2)), "mean_std .* must be a number"),
        (lambda: Well(0.1, (0.1, 0.2), 1.0), "y of a well must be a finite number"),
    ],
    ids=range(8),
)
def test_what_may_not_be_unknown_is_refused(use, message):
    with pytest.raises(InputError, match=message):
        use()
