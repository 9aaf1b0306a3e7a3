"""A PDE needs `solve` alone: everything else has a default."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import seeded

from pdeinv import GaussianField, InputError, Problem, Symmetry, reconstruct
from pdeinv.datasets import PDE, Darcy, Experiments, generate
from pdeinv.datasets.evolving import Evolving
from pdeinv.solvers import SOLVERS

PRIOR = GaussianField(0.0, 1.0, 0.3)


class HeatBump(PDE):
    """u = a + a³ / 10, point by point.

    More about it.
    """

    def solve(self, a):
        return a + a**3 / 10


class HTTPModel(HeatBump):
    pass


@dataclass(frozen=True)
class BlackBox(HeatBump):
    strength: float = 1.0

    differentiable = False

    def solve(self, a):
        return self.strength * super().solve(a).detach()


TABLE = {"field": "solution", "x": [0.2, 0.5, 0.8], "y": [0.3, 0.6, 0.2], "value": [0.5, -0.4, 0.1]}


def test_its_defaults():
    pde = HeatBump()
    assert pde.name == "heat-bump" and HTTPModel.name == "http-model"
    assert pde.equation == "u = a + a³ / 10, point by point"
    assert BlackBox().equation == "black-box"  # what a dataclass writes is no equation
    assert [f.name for f in pde.fields] == ["coefficient", "solution"]
    assert not pde.linear and pde.differentiable and pde.end_time is None
    assert tuple(pde.symmetries) == (Symmetry(),)
    a = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=seeded())
    assert torch.equal(pde.respond_roughly(a), pde.respond(a))
    assert float(pde.residual(a, pde.solve(a)).abs().max()) == 0
    assert float(pde.residual(a, a).abs().max()) > 0.1
    state = Problem(pde).sample(2, pde.grid(12), seeded())
    assert state.shape == (2, 2, 12, 12)


def test_a_class_below_one_with_a_name_keeps_it():
    class Mine(Darcy):
        pass

    assert Mine.name == "darcy" and Evolving.name == "evolving"


@pytest.mark.parametrize("solver", ["auto", "gauss-newton", "optimal-interpolation", "kriging"])
def test_it_is_reconstructed(solver):
    result = reconstruct(
        TABLE, HeatBump(), prior=PRIOR, noise=0.02, grid=16, solver=solver, n_samples=3
    )
    assert np.isfinite(result["coefficient_mean"]).all()
    if solver == "auto":
        assert result.attrs["solver"] == "gauss-newton"
        a = result["coefficient_mean"].sel(x=0.2, y=0.3, method="nearest")
        assert abs(float(a) - 0.48) < 0.2


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda a: a[:, 0], r"got the shape \(2, 8, 8\)"),
        (lambda a: a.numpy(), "got a"),
        (lambda a: None, "got None"),
        (lambda a: torch.cat([a, a], dim=1), r"got the shape \(2, 2, 8, 8\)"),
    ],
)
def test_what_solve_returns_is_checked(returned, message):
    class Wrong(PDE):
        def solve(self, a):
            return returned(a)

    with pytest.raises(InputError, match=f"solve of Wrong must return .* {message}"):
        Wrong().respond(torch.zeros(2, 1, 8, 8, dtype=torch.float64))


def test_without_derivatives_other_solvers_are_taken():
    pde = BlackBox()
    result = reconstruct(TABLE, pde, prior=PRIOR, noise=0.02, grid=16, n_samples=3)
    assert result.attrs["solver"] in ("ensemble-smoother", "optimal-interpolation")
    for name in ("gaussian", "gauss-newton", "level-set", "moment", "ddis", "diffusionpde"):
        solver = SOLVERS[name]()
        assert solver.differentiates(pde, PRIOR)
        with pytest.raises(InputError, match=f"the {name} solver needs derivatives of the sol"):
            reconstruct(TABLE, pde, prior=PRIOR, noise=0.02, grid=16, solver=name)
    both = Experiments((HeatBump(), pde))
    assert not both.differentiable and Experiments((HeatBump(), HeatBump())).differentiable


def test_a_dataset_has_one_time(tmp_path):
    class Slow(Evolving):
        end_time = 1.0
        solution_field = Evolving.at(Darcy().solution_field, 1.0)

        @property
        def derived(self):
            return self.at_times(self.solution_field)

        def solve(self, a):
            return a

    with pytest.raises(InputError, match="one time for each field, got 'pressure at time 1'"):
        generate(Slow(times=(0.5,)), 4, 16, 1, tmp_path / "d.h5")
