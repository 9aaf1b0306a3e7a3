"""The forward map: its adjoint and Jacobian belong together, and every solver counts its solves."""

import numpy as np
import pytest
import torch
from helpers import (
    PAIRS,
    Exact,
    by_turns,
    normal,
    quick_prior,
    quick_solver,
    seeded,
    tuning_task,
    with_modes,
)

from pdeinv import NumericalError, Sensors
from pdeinv.datasets import PDE, PDES, Darcy, Helmholtz, Poisson, Problem, pde_by_name
from pdeinv.errors import DivergedError
from pdeinv.solvers import (
    DAPS,
    DDIS,
    DPS,
    SOLVERS,
    DiffusionPDE,
    FunDPS,
    GaussNewton,
    LevelSet,
    Moment,
    OptimalInterpolation,
)
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.stages import SCHEDULES
from pdeinv.solvers.unstable import solved_or_infinite

N = 16
KINDS = ("forward", "inverse", "both")


def forward_map(pde, kind, sensors=7):
    _, observation = tuning_task(pde.name, kind, grid=N, sensors=sensors).instance(0)
    return LatentMap(Problem(pde), observation)


def smoothed(pde):
    """A differentiable map from the latent field to the coefficient."""
    return lambda latent: Problem(pde).smoothed(latent, 1.0)


def point(pde, seed=0):
    """A coefficient at which F has a derivative, and its latent table."""
    latent = Problem(pde).latent
    xi = latent.white(1, seeded(seed))
    return smoothed(pde)(latent.square_root(xi, pde.grid(N))), xi


CASES = [
    (pde, kind) for pde in (with_modes(Poisson(), 8), with_modes(Helmholtz(), 8)) for kind in KINDS
]


@pytest.mark.parametrize(("pde", "kind"), CASES, ids=lambda v: getattr(v, "name", v))
def test_a_linear_map_has_its_adjoint(pde, kind):
    forward, problem = forward_map(pde, kind), Problem(pde)
    a = problem.sample_coefficient(3, pde.grid(N), seeded())
    xi = problem.latent.white(3, seeded(1))
    weights = normal(3, len(forward.observation), seed=2)
    for readings, x, adjoint in (
        (forward(a), a, forward.adjoint_at(torch.zeros_like(a[:1]))),
        (forward(forward.coefficient(xi)), xi, forward.whitened_adjoint_at(xi[:1])),
    ):
        left, right = (readings * weights).sum(dim=1), (x * adjoint(weights)).sum(dim=(1, 2, 3))
        assert torch.allclose(left, right, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "pde", [with_modes(pde, 8) for pde in (Darcy(), pde_by_name("navier-stokes"), Poisson())]
)
def test_jacobian_and_adjoint_are_transposes(pde, kind):
    forward = forward_map(pde, kind)
    a, xi = point(pde)
    weights = normal(2, len(forward.observation), seed=3)
    for rows, pulled, x in (
        (forward.jacobian(a), forward.adjoint_at(a)(weights), a),
        (
            forward.whitened_jacobian(xi, smoothed(pde)),
            forward.whitened_adjoint_at(xi, smoothed(pde))(weights),
            xi,
        ),
    ):
        direction = normal(*x.shape, seed=4).flatten()
        left, right = weights @ (rows.flatten(1) @ direction), pulled.flatten(1) @ direction
        scale = float((weights.abs() @ rows.flatten(1).abs() @ direction.abs()).max())
        assert torch.allclose(
            left, right, atol=1e-4 * scale
        )  # the surrogate is in single precision


@pytest.mark.parametrize("kind", KINDS)
def test_the_jacobian_is_the_derivative_of_the_readings(kind):
    pde, step = with_modes(Exact(), 8), 1e-5
    forward, (a, xi), field = forward_map(pde, kind), point(pde), Problem(pde).latent
    latent = field.square_root(xi, pde.grid(N))
    d, dxi = normal(1, 1, N, N, seed=2), field.white(1, seeded(5))
    change = field.square_root(dxi, pde.grid(N))
    for product, ahead, behind in (
        ((forward.jacobian(a) * d).sum(dim=(1, 2, 3)), a + step * d, a - step * d),
        (
            forward.whitened_jacobian(xi, smoothed(pde)) @ dxi.flatten(),
            *(smoothed(pde)(latent + s * step * change) for s in (1, -1)),
        ),
    ):
        difference = (forward(ahead) - forward(behind))[0] / (2 * step)
        assert torch.allclose(
            difference, product, rtol=1e-4, atol=1e-6 * float(product.abs().max())
        )


def test_maps_share_their_count_and_solve_nothing_that_no_sensor_reads():
    pde = with_modes(Darcy(), 8)
    forward = forward_map(pde, "forward")
    a, _ = point(pde)
    forward(a), forward.jacobian(a)
    assert forward.solver_calls == 0
    other = forward.observing(forward_map(pde, "inverse").observation)
    other(a), other.jacobian(a), other.approximate(a.expand(3, -1, -1, -1))
    # A solve, the Jacobian's solve and seven adjoint ones, and three of the surrogate
    assert forward.solver_calls == other.solver_calls == 1 + (1 + 7) + 3


def test_each_coefficient_counts_once_where_one_of_its_batch_is_unstable():
    class Torn(PDE):
        def solve(self, a):
            if bool((a > 0).any()):
                raise NumericalError("it blows up")
            return a.clone()

    pde, solved = Torn(), []
    table = {"field": "solution", "x": [0.5], "y": [0.5], "value": [0.0]}
    observation = Sensors.read(table).observation(pde, pde.grid(N), noise=1.0)
    for unstable in (0, 1):
        forward = ForwardMap(pde, observation)
        a = -torch.ones(6, 1, N, N, dtype=torch.float64)
        a[6 - unstable :] = 1.0
        values, _ = solved_or_infinite(forward, a, (1,))
        assert int(values.isinf().sum()) == unstable
        solved.append(forward.solver_calls)
    assert solved == [6, 6]


# Every solver


class Tally:
    def __init__(self):
        self.solves = self.depth = 0


class Passing(torch.autograd.Function):
    """The identity; it counts fields on their way into a solve, and gradients on their way out."""

    @staticmethod
    def forward(a, tally):
        tally.solves += len(a)
        return a.view_as(a)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.tally = inputs[1]

    @staticmethod
    def vmap(info, in_dims, a, tally):
        a = a.movedim(in_dims[0], 0)
        return Passing.apply(a.flatten(0, 1), tally).unflatten(0, a.shape[:2]), 0

    @staticmethod
    def backward(ctx, gradient):
        return Passing.apply(gradient, ctx.tally), None


def tallied(base):
    """A PDE whose solves and surrogates count themselves, one inside the other once; its tally."""
    tally = Tally()

    def counted(method):
        def call(self, a):
            tally.depth += 1
            try:
                return method(self, a if tally.depth > 1 else Passing.apply(a, tally))
            finally:
                tally.depth -= 1

        return call

    names = ("solve", "surrogate", "respond", "respond_roughly")
    methods = {name: counted(getattr(base, name)) for name in names}
    return type(base.__name__, (base,), methods)(**base.benchmark_parameters), tally


SMALL = {
    "gauss-newton": GaussNewton(ensemble=4),
    "optimal-interpolation": OptimalInterpolation(members=32, copies=2),
    "level-set": LevelSet(ensemble=4, draws=16, stages="brief"),
    "dps": DPS(steps=3),
    "diffusionpde": DiffusionPDE(steps=3),
    "fundps": FunDPS(steps=3),
    "daps": DAPS(steps=2, ode_steps=2, langevin=2),
    "ddis": DDIS(steps=2, ode_steps=2, langevin=2),
    "moment": Moment(steps=2),
}


# By turns: each solver and each PDE with both kinds
TURNS = [
    (name, pde, ("forward", "both")[(list(SOLVERS).index(name) + list(PDES).index(pde)) % 2])
    for name, pde in PAIRS
]


@pytest.mark.parametrize(("name", "pde_name", "kind"), by_turns(TURNS))
def test_the_record_counts_every_solve(name, pde_name, kind, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "brief", SCHEDULES["brief"][:2])
    pde, tally = tallied(PDES[pde_name])
    solver = SMALL.get(name, quick_solver(name))
    prior = quick_prior(name, pde_name)
    _, observation = tuning_task(pde_name, kind, grid=N, sensors=6).instance(0)
    for _ in range(2):  # what is solved once for a PDE and kept is not of the run
        tally.solves = 0
        found = solver(pde, prior, observation, n_samples=3, generator=seeded())
    assert found.record["solver_calls"] == tally.solves
    assert np.isfinite(float(found.mean.sum()))


def test_a_sampler_that_leaves_the_stable_range_has_diverged():
    pde = pde_by_name("navier-stokes")
    _, observation = tuning_task(pde.name, "inverse", grid=N, sensors=6).instance(0)
    prior = quick_prior("ddis", pde.name)
    problem = SamplingProblem(pde, prior, observation, (), seeded())
    wild = 1e4 * Problem(pde).sample_coefficient(2, pde.grid(N), seeded())
    with pytest.raises(DivergedError, match=r"left the range where its solver is stable .* steps"):
        DDIS().full(problem, wild)
