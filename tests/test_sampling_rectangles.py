"""The samplers off the unit square: rectangles, side values, derived fields, and which model is for
which problem."""

import dataclasses
from functools import cache

import pytest
import torch
from helpers import normal, observe, quick_solver, seeded

from pdeinv import EquiReg, Field, Grid, InputError, Problem, SpectralField, TwoPhase
from pdeinv.datasets import Darcy, NavierStokes, NoFlux, Poisson, Sides, Value, Well
from pdeinv.grid import Domain
from pdeinv.priors import GaussianPrior, TrainingData, load
from pdeinv.priors.group_average import GroupAveraged
from pdeinv.solvers import (
    DAPS,
    DDIS,
    DPS,
    FNO,
    SOLVERS,
    DiffusionPDE,
    FunDPS,
    GaussianSolver,
    LevelSet,
    Moment,
    annealing,
)
from pdeinv.solvers.diffusion import noise_levels
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.equireg import DenoisingMap, equivariance_loss
from pdeinv.solvers.diffusion.published import (
    ddis_weights,
    diffusionpde_constants,
    fundps_constants,
)
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.symmetry import rectangle_group, square_group, torus_group

NODES = (24, 40)
DOMAIN = Domain((0.0, 5.0, 0.0, 3.0), "km")
MOVED = Domain((100.0, 105.0, -3.0, 0.0), "km")
SIDES = Sides(left=Value(5.0), right=Value(-2.0))
FLOW = Darcy(
    domain=MOVED,
    boundary=Sides(Value(52.0), Value(50.0), NoFlux(), NoFlux()),
    wells=(Well(102.0, -1.5, -5.0),),
)
JOINT = [
    name
    for name, kind in SOLVERS.items()
    if issubclass(kind, DiffusionSolver) and kind.role == "joint"
]


def poisson(domain=DOMAIN, kind=Poisson, boundary=SIDES):
    return kind(domain=domain, boundary=boundary)


def posed(pde):
    """Return a problem whose coefficients have few modes."""
    return Problem(pde, pde.default_prior.with_numbers(modes=16))


@cache
def fitted(pde, channels, samples=400):
    grid, problem = pde.grid(*NODES), posed(pde)
    states = problem.sample(samples, grid, seeded())[:, :channels].float()
    fields = pde.fields[:channels]
    return GaussianPrior.fit(TrainingData(states, fields, grid, None, "here", prior=problem.prior))


def observed(pde, channel, sensors=12, noise=0.1, seed=1):
    points = torch.rand(sensors, 2, dtype=torch.float64, generator=seeded(seed))
    channel = torch.as_tensor(channel).repeat(sensors)[:sensors]
    points = pde.domain.absolute(points)
    state = posed(pde).sample(1, pde.grid(*NODES), seeded(seed))
    return observe(pde, pde.grid(*NODES), points, channel, noise=noise, state=state, seed=seed)


# The posterior


@pytest.mark.parametrize("many", [1000, 1], ids=["dense", "matrix-free"])
@pytest.mark.parametrize("domain", [DOMAIN, MOVED], ids=str)
@pytest.mark.parametrize("channels", [1, 2])
def test_moments_mean_and_spread_are_those_of_the_posterior(channels, domain, many, monkeypatch):
    monkeypatch.setattr(noise_levels, "MANY", many)
    pde = poisson(domain)
    prior, (_, o) = fitted(pde, channels), observed(pde, [0, 1])
    found = Moment(steps=6, batch=200)(pde, prior, o, n_samples=200, generator=seeded())

    forward, centre = ForwardMap(pde, o), prior.mean(o.grid)
    if channels == 1:
        predicted, rows = forward(centre)[0], forward.jacobian(centre)
    else:
        predicted, rows = o(centre)[0], o.adjoint(torch.eye(len(o), dtype=torch.float64))
    carried = prior.covariance(rows).double().flatten(1)
    known = rows.flatten(1) @ carried.T
    gram = known + torch.diag(o.noise_std**2)
    mean = centre.flatten() + torch.linalg.solve(gram, o.values - predicted) @ carried
    mean = mean.reshape(channels, *NODES)
    apart, moved = (
        (state - other).flatten(1).norm(dim=1)
        for state, other in ((found.mean[:channels], mean), (mean, centre[0]))
    )
    assert bool((apart < 0.02 * moved).all())
    # The spread at the sensors; antithetic pairs are half as many draws
    variances = (known - known @ torch.linalg.solve(gram, known)).diagonal()
    ratio = o(found.samples).var(dim=0) / variances
    assert float((ratio - 1).abs().max()) < 5 * (2 / 100) ** 0.5
    if channels == 1:
        assert torch.allclose(found.samples[:, 1:], pde.solve(found.samples[:, :1]))


@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize(
    ("solver", "factor"),
    [
        (DPS(steps=100), 2.2),
        (FunDPS(steps=60), 1.7),
        (FunDPS(steps=60, coarse=0.5), 1.9),
        (DiffusionPDE(steps=60, weight=4.0), 2.2),
        (DAPS(steps=40, ode_steps=3, langevin=20, weights=(1000.0, 1000.0)), 4.0),
        (DDIS(steps=40, ode_steps=3, langevin=30), 2.6),
    ],
    ids=lambda s: getattr(s, "name", ""),
)
def test_the_mean_approaches_the_exact_one(solver, factor, kind):
    pde, c = poisson(boundary=Sides()), ("inverse", "forward").index(kind)
    prior, ours, best = fitted(pde, 1 if solver.name == "ddis" else 2), 0.0, 0.0
    for i in range(3):
        truth, o = observed(pde, 1 - c, sensors=25, noise=0.01, seed=i)
        found = solver(pde, prior, o, n_samples=8, generator=seeded(i))
        exact = GaussianSolver()(pde, posed(pde).prior, o, n_samples=1, generator=seeded())
        ours += float((found.mean[c] - truth[0, c]).norm())
        best += float((exact.mean[c] - truth[0, c]).norm())
    assert ours < factor * best


class _Two(SpectralField):
    """A Gaussian coefficient that passes for one with two values: its posterior is known."""

    affine = False
    phases = (-1.0, 1.0)


def test_the_level_set_gets_the_exact_posterior_of_an_affine_map():
    pde = poisson(MOVED)
    _, o = observed(pde, 1)
    exact = GaussianSolver()(pde, posed(pde).prior, o, generator=seeded())
    ours = LevelSet(ensemble=100)(pde, _Two(modes=16), o, generator=seeded(1))
    left = exact.std > 1e-3 * exact.std.amax(dim=(1, 2), keepdim=True)
    assert float(((ours.mean - exact.mean) / exact.std)[left].abs().max()) < 0.2
    ratio = (ours.std / exact.std - 1)[left]
    assert float(ratio.abs().max()) < 4 / ours.record["members_kept"] ** 0.5


def test_each_field_has_its_own_allowance_and_a_common_slope_has_none():
    """Heads fall by 10,000 between the sides, of which the prior varies little."""
    steep = Sides(Value(1e4), Value(0.0), NoFlux(), NoFlux())
    pde = dataclasses.replace(FLOW, boundary=steep, wells=()).reading(["flux_x"])
    problem = Problem(pde, TwoPhase(SpectralField(modes=16), low=5.0, high=5.001))
    _, o = observed(pde, [1, 2, 3])
    typical = annealing._typical_std(LatentMap(problem, o))
    states = problem.sample(16, pde.grid(*NODES), seeded())
    between, varied = (f(o(states)) for f in (torch.std, lambda r: r.var(dim=0).mean().sqrt()))
    heads, fluxes = typical[o.channel == 1], typical[o.channel == 2]
    assert len(heads.unique()) == len(fluxes.unique()) == 1
    assert float(heads[0]) < 0.01 * float(between) and float(varied) > 0
    assert not torch.isclose(heads[0], fluxes[0])


# Derived fields


@pytest.mark.parametrize("name", [*JOINT, "moment"])
def test_a_joint_prior_takes_no_readings_of_fluxes_and_reports_these(name):
    pde, solver = FLOW.reading(["flux_x", "log_permeability"]), quick_solver(name)
    prior = fitted(FLOW, 2, samples=100)
    _, flux = observed(pde, [1, 3])
    with pytest.raises(
        InputError, match=f"the {name} solver with a prior of permeability and .* of flux_y; drop"
    ):
        solver(pde, prior, flux, n_samples=2, generator=seeded())
    _, o = observed(pde, [0, 1])
    found = solver(pde, prior, o, n_samples=2, generator=seeded())
    assert [f.name for f in found.fields][2:] == ["flux_x", "flux_y", "log_permeability"]
    made = pde.derive(found.samples[:, :1], found.samples[:, 1:2])
    assert torch.equal(found.samples[:, 2:], made)
    plain = observed(FLOW, [0, 1])[1]
    bare = solver(FLOW, prior, plain, n_samples=2, generator=seeded())
    assert torch.equal(bare.samples, found.samples[:, :2])


@pytest.mark.parametrize("name", ["ddis", "moment", "level-set"])
def test_a_prior_of_the_coefficient_meets_readings_of_derived_fields(name):
    pde, solver = FLOW.reading(["flux_x"]), quick_solver(name)
    if name == "ddis":
        solver = dataclasses.replace(solver, steps=12, langevin=15)
    prior = None if name == "level-set" else fitted(FLOW, 1, samples=100)
    truth, o = observed(pde, [1, 2, 3])
    found = solver(pde, prior, o, n_samples=4, generator=seeded())
    assert found.mean.shape == (4, *NODES)
    blind = o(truth.mean(dim=(2, 3), keepdim=True).expand_as(truth))[0]
    for c in (1, 2, 3):
        off, without = (
            ((read - o.values)[o.channel == c]).norm() for read in (o(found.mean[None])[0], blind)
        )
        assert float(off) < 0.7 * float(without)


def test_the_regressor_derives_fields_and_reads_none():
    pde = Darcy().reading(["flux_x"])
    grid = pde.grid(32)
    points = torch.rand(20, 2, dtype=torch.float64, generator=seeded(1))
    for channel, refused in ((1, False), (2, True)):
        _, o = observe(pde, grid, points, channel)
        if refused:
            with pytest.raises(InputError, match=r"the fno solver .* got readings of flux_x"):
                FNO()(pde, None, o, n_samples=2, generator=seeded())
            continue
        found = FNO()(pde, None, o, n_samples=2, generator=seeded())
        assert found.mean.shape == found.std.shape == (4, 32, 32)
        made = pde.derive(found.samples[:, :1], found.samples[:, 1:2])
        assert torch.equal(found.samples[:, 2:], made)


# Symmetries


def test_the_term_is_zero_for_equivariant_maps_of_a_rectangle_alone():
    grid, group = Grid(*NODES, DOMAIN.extent), rectangle_group()
    elements = [group.sample(seeded(i)) for i in range(6)]
    x = normal(6, 1, *NODES)

    def even(x):
        return torch.tanh(x) + x.roll(1, -1) + x.roll(-1, -1)

    assert float(equivariance_loss(even, x, elements, grid).max()) < 1e-9
    assert float(equivariance_loss(lambda x: x.roll(1, -1), x, elements, grid).max()) > 1
    pde = poisson()
    prior = fitted(pde, 2, samples=100)
    averaged = DenoisingMap(GroupAveraged(prior, group))
    x = Problem.of(pde).sample(4, pde.grid(*NODES), seeded(4))
    unit = prior.scale[:, None, None]
    exact, rough = (
        equivariance_loss(f, x, elements[:4], pde.grid(*NODES), unit, loss="equi")
        for f in (averaged, DenoisingMap(prior))
    )
    assert float(exact.max()) < 1e-3 < float(rough.max())


@pytest.mark.parametrize("group", [square_group(), torus_group()], ids=["square", "torus"])
def test_elements_that_swap_the_axes_need_a_square_grid(group):
    kind = "periodic" if group.translations else "vertex"
    assert group.on_grid(Grid(12, kind=kind)) == group
    for grid in (Grid(12, 20, kind=kind), Grid(12, 12, (0.0, 2.0, 0.0, 1.0), kind=kind)):
        kept = group.on_grid(grid)
        assert len(kept) == len(group) / 2 and kept.translations == group.translations
        for element in kept:
            element(normal(1, 1, *grid.shape), grid)


def test_equireg_acts_on_the_fields_of_the_prior():
    flow = NavierStokes()
    prior = fitted_on(flow, 16)
    plain = dataclasses.replace(
        prior, fields=tuple(dataclasses.replace(f, kind="scalar") for f in prior.fields)
    )
    for known in (prior, plain):  # the first version of the format had no kinds
        group = EquiReg().bind(flow, known, seeded()).group
        assert {g.kinds for g in group} == {("pseudo-scalar",)}
    pde, joint = FLOW.reading(["flux_x"]), fitted(FLOW, 2, samples=100)
    group = EquiReg().bind(pde, joint, seeded()).group
    x = Problem.of(FLOW).sample(2, FLOW.grid(*NODES), seeded())
    for element in group:
        if element.matrix[0][0]:
            assert element(x, FLOW.grid(*NODES)).shape == x.shape


def fitted_on(pde, n):
    states = Problem.of(pde).sample(40, pde.grid(n), seeded()).float()
    return GaussianPrior.fit(TrainingData(states, pde.fields, pde.grid(n), None, "here"))


# Which model is for which problem


def stated(pde, channels):
    """Return a prior that states the PDE of its training."""
    known = fitted(pde, channels, samples=60)
    stored = (pde.name, pde.json_parameters())
    return dataclasses.replace(known, pde=stored)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"boundary": Sides()}, "boundary = .*52.*, not "),
        ({"wells": ()}, r"wells = \(Well\(x=102.0, y=-1.5, rate=-5.0\),\), not \(\)"),
        ({"source": 2.0}, "source = .*1.*, not .*2"),
        ({"face_mean": "harmonic"}, "face_mean = 'arithmetic', not 'harmonic'"),
        (
            {"domain": Domain((0.0, 50.0, 0.0, 30.0), "km"), "wells": ()},
            r"domain = \[100, 105\] x \[-3, 0\] km, not \[0, 50\] x \[0, 30\] km",
        ),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_a_joint_prior_needs_its_physics_and_one_of_the_coefficient_does_not(change, told):
    pde = dataclasses.replace(FLOW, **change)
    with pytest.raises(InputError, match=f"with these parameters, got one with .*{told}.*; train"):
        FunDPS().check(pde, stated(FLOW, 2))
    FunDPS().check(FLOW, stated(FLOW, 2))
    for solver in (Moment(), DDIS()):
        solver.check(pde, stated(FLOW, 1))


def test_a_model_is_for_the_aspect_of_its_training():
    for pde in (Darcy(), dataclasses.replace(FLOW, domain=Domain((0, 5, 0, 4)), wells=())):
        for solver, channels in ((FunDPS(), 2), (Moment(), 1)):
            with pytest.raises(InputError, match=r"(must have the aspect 1\.667|with these param)"):
                solver.check(pde, stated(FLOW, channels))


def test_a_shipped_model_is_for_the_default_problem_or_for_any_physics_of_its_coefficient():
    square = Domain((0.0, 300.0, 0.0, 300.0), "m")
    aquifer = Darcy(domain=square, boundary=FLOW.boundary, wells=(Well(100.0, 50.0, -1.0),))
    default = aquifer.default_prior
    Moment().check(aquifer, default)
    Moment().check(aquifer, load("darcy-coefficient"))
    Moment().check(aquifer.reading(["flux_x"]), default)
    named = dataclasses.replace(aquifer, coefficient_field=Field("conductivity", "conductivity"))
    Moment().check(named, default)
    with pytest.raises(
        InputError, match=r"must be the defaults for the shipped 'darcy', got domain = \[0, 300\]"
    ):
        FunDPS().check(aquifer, default)
    with pytest.raises(InputError, match=r"must have the aspect 1 to 1 of its training data"):
        Moment().check(Darcy(domain=DOMAIN), default)
    for solver, name in ((Moment(), "darcy-coefficient"), (FunDPS(), "darcy")):
        with pytest.raises(InputError, match=f"that of the training of the shipped '{name}', got"):
            solver.check(Darcy(), default.with_numbers(low=4.0))


def test_published_constants_are_those_of_the_unit_square():
    std = torch.tensor([2.0, 0.1], dtype=torch.float64)
    for pde in (poisson(), Poisson(boundary=SIDES), FLOW, Darcy(source=2.0)):
        constants = diffusionpde_constants(pde, std)
        assert constants.units == pytest.approx((0.25, 5.0)) and constants.residual_weight == 0
        assert fundps_constants(pde)[0] == fundps_constants(pde)[1]
    for pde in (Poisson(), Darcy().reading(["flux_x"])):
        assert diffusionpde_constants(pde, std).residual_weight > 0
    flow = NavierStokes(forcing=0.1)
    for pde in (flow, NavierStokes(viscosity=1e-2, forcing=0.1)):
        assert ddis_weights(pde) == (20.0, 10.0)
        assert fundps_constants(pde)[1].residual_weight == 10.0
    elsewhere = dataclasses.replace(flow, domain=DOMAIN)
    for pde in (NavierStokes(forcing=0.2), NavierStokes(), elsewhere):
        assert ddis_weights(pde) == (10.0, 15.0)
