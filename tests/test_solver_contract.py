"""The contract of a solver, for every one in `SOLVERS`, on the cheapest PDE that it accepts."""

import dataclasses
import json
from functools import cache

import pytest
import torch
from helpers import (
    PAIRS,
    TINY,
    Shifted,
    accepts,
    brief_searches,
    brief_solver,
    gaussian_prior,
    observe,
    on_rectangle,
    quick_prior,
    quick_solver,
    rms,
    seeded,
    suited_prior,
    surroundings,
    vector,
)

from pdeinv import InputError, NumericalError, Observation, Posterior, layouts
from pdeinv.datasets import PDES, NavierStokes, Problem, pde_by_name
from pdeinv.footprints import FootprintObservation
from pdeinv.priors import DiffusionPrior
from pdeinv.solvers import SOLVERS, GaussianSolver
from pdeinv.solvers.supported_readings import FOOTPRINTS
from pdeinv.torch_state import default_dtype

N, NOISE = 16, 0.1
RECORD = {"solver", "solver_settings", "seconds", "reduced_chi_squared"}
COUNTS = {"network_evaluations", "solver_calls"}
# Standard deviations of the noise that these leave: a regression minimises no misfit, and few steps
# do not end that of the samplers, the less on a finer grid
LOOSE = {"fno": 4.0, "daps": 2.5, "ddis": 2.5, "object-chains": 2.2, ("daps", "rectangle"): 4.5}

# Where no number is compared with the truth
FEW = {"object-chains": {"steps": 20, "levels": 2}}

# The models of the fno solver are shipped, and of the unit square
each_solver = pytest.mark.parametrize(
    ("name", "place"),
    [(name, "square") for name in SOLVERS]
    + [(name, "rectangle") for name in SOLVERS if name != "fno"],
)


@cache
def cheapest(name, place="square"):
    """Return the PDE on which the solver takes least: a linear one, else one that is not a flow."""
    accepted = [pde_by_name(p) for s, p in PAIRS if s == name]
    pde = min(accepted, key=lambda pde: (pde.waves, not pde.linear, pde.grid(N).periodic))
    return pde if place == "square" else on_rectangle(pde)


def shape_of(pde):
    return (N, N) if pde.domain.square else (24, 40)


@cache
def problem(pde, name=""):
    """Return a truth, of the prior that suits a solver, and noisy readings of both fields, off the
    nodes."""
    points = torch.as_tensor(layouts.random(24, 1, pde.domain))
    world = Problem.of(pde, suited_prior(name, pde))
    return observe(world, pde.grid(*shape_of(pde)), points, [0, 1] * 12, noise=NOISE, seed=3)


def prior_of(name, pde):
    return quick_prior(name, pde, shape_of(pde))


def run(name, place="square", seed=5, n_samples=3, pde=None, quick=quick_solver, **changed):
    pde = pde or cheapest(name, place)
    generator = None if seed is None else seeded(seed)
    solver = dataclasses.replace(quick(name), **changed)
    return solver(
        pde, prior_of(name, pde), problem(pde, name)[1], n_samples=n_samples, generator=generator
    )


posterior = cache(run)


@cache
def again(name, place):
    """Return a second run where the caller's default dtype is another, and whether it left the
    caller's settings and its arguments as they were."""
    observation = problem(cheapest(name, place), name)[1]
    torch.manual_seed(99)  # the global state does not matter
    given = (observation.points, observation.values, observation.noise_std)
    copies = [x.clone() for x in given]
    with default_dtype(torch.float64):
        before = surroundings()
        found = run(name, place)
        after = surroundings()
    same = all(torch.equal(a, b) for a, b in zip(copies, given, strict=True))
    return found, before == after, same


@each_solver
def test_it_returns_a_finite_posterior_of_both_fields(name, place):
    pde, found = cheapest(name, place), posterior(name, place)
    assert isinstance(found, Posterior)
    assert found.fields == pde.fields and found.grid == pde.grid(*shape_of(pde))
    assert found.mean.shape == found.std.shape == (2, *shape_of(pde))
    assert found.samples.shape == (3, 2, *shape_of(pde))
    for values in (found.mean, found.std, found.samples):
        assert values.dtype == torch.float64 and bool(values.isfinite().all())
    assert bool((found.std >= 0).all()) and bool((found.std > 0).flatten(1).any(dim=1).all())
    bounds = pde.default_prior.bounds
    if bounds and name != "kriging":  # which reports what it interpolates
        low, high = bounds
        for a in (found.mean[0], found.samples[:, 0]):
            assert low <= float(a.min()) and float(a.max()) <= high


@each_solver
def test_its_record_tells_how_it_was_made(name, place):
    solver, record = quick_solver(name), posterior(name, place).record
    assert record.keys() >= RECORD | COUNTS
    assert record["solver"] == name and record["seconds"] > 0
    settings = json.loads(json.dumps(dataclasses.asdict(solver), default=repr))
    given = {k: v for k, v in settings.items() if v is not None}
    recorded = json.loads(record["solver_settings"])
    assert recorded.keys() == settings.keys() and recorded | given == recorded
    assert all(isinstance(record[key], int) and record[key] >= 0 for key in COUNTS)
    assert all(isinstance(value, str | int | float) for value in record.values())


@each_solver
def test_the_seed_alone_decides_the_answer_and_not_the_default_dtype(name, place):
    first, other = posterior(name, place), run(name, place, seed=6)
    for values in ("mean", "std", "samples"):
        assert torch.equal(getattr(first, values), getattr(again(name, place)[0], values))
    for c in (0, 1):
        assert not torch.allclose(first.samples[:, c], other.samples[:, c])
        assert not torch.allclose(first.samples[0, c], first.samples[1, c])


@each_solver
def test_it_reads_by_the_operator_alone_or_refuses(name, place):
    first, pde = posterior(name, place), cheapest(name, place)
    plain = problem(pde, name)[1]
    given = Shifted.of(plain, 0.2 * (plain.points - pde.domain.absolute(vector(0.5, 0.5))))
    solver, prior = quick_solver(name), prior_of(name, pde)
    try:
        found = solver(pde, prior, given, n_samples=3, generator=seeded(5))
    except InputError as error:
        alone = FOOTPRINTS not in solver.takes
        assert ("something else than points" if alone else "must read points") in str(error)
        assert name in ("kriging", "fno", "level-set")
    else:
        apart = (found.mean - first.mean).abs()
        assert bool((apart <= 1e-3 * first.std.amax(dim=(1, 2), keepdim=True)).all())


@each_solver
def test_the_settings_of_the_caller_and_what_it_is_given_stay_as_they_are(name, place):
    _, caller_unchanged, arguments_unchanged = again(name, place)
    assert caller_unchanged
    assert arguments_unchanged


@pytest.mark.parametrize(("name", "pde"), [(s, None) for s in SOLVERS] + [("moment", "darcy")])
def test_the_number_of_threads_of_the_caller_does_not_matter(name, pde):
    threads, given = torch.get_num_threads(), {"pde": pde_by_name(pde)} if pde else {}
    given |= FEW.get(name, {})
    one = posterior(name, "square", **given)
    wanted = 2 if threads == 1 else 1
    try:
        torch.set_num_threads(wanted)
        two = run(name, **given)
        assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(threads)
    for values in ("mean", "std", "samples"):
        apart = (getattr(one, values) - getattr(two, values)).abs()
        assert bool((apart <= 1e-3 * one.std.amax(dim=(1, 2), keepdim=True)).all())


@pytest.mark.parametrize(
    ("name", "pde"),
    [(n, None) for n, s in SOLVERS.items() if s.amplifies_rounding] + [("moment", "darcy")],
)
def test_what_amplifies_rounding_computes_with_one_thread(name, pde, monkeypatch):
    used = set()
    seen = Observation.__call__

    def spy(observation, state):
        used.add(torch.get_num_threads())
        return seen(observation, state)

    pde = pde_by_name(pde) if pde else cheapest(name)
    problem(pde)
    monkeypatch.setattr(Observation, "__call__", spy)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(name, pde=pde)
        assert 1 in used and (used == {1} or name == "moment")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


class Broken(GaussianSolver):
    """Spoils its own result."""

    def __init__(self, spoil):
        object.__setattr__(self, "spoil", spoil)
        super().__init__()

    def condition(self, *arguments):
        found = super().condition(*arguments)
        self.spoil(found)
        return found


def set_to_nan(values):
    def spoil(found):
        getattr(found, values)[..., 1, 3, 3] = torch.nan

    return spoil


def with_a_shape(found):
    found.samples = found.samples[:-1]


def with_a_misfit(found):
    found.record["reduced_chi_squared"] = float("inf")


def with_an_exception(found):
    torch.linalg.cholesky(-torch.eye(2))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_to_nan("mean"), "the mean of potential of the gaussian solver must be finite"),
        (set_to_nan("std"), "the std of potential of the gaussian .*; check the units"),
        (set_to_nan("samples"), "the samples of potential of the gaussian solver must be finite"),
        (
            with_a_shape,
            r"the samples of the gaussian solver must have the shape \(3, 2, 16",
        ),
        (with_a_misfit, "the reduced chi-squared of the gaussian .* finite, got inf; check"),
        (with_an_exception, "the linear algebra of the gaussian solver failed"),
    ],
)
def test_a_result_that_is_not_finite_or_of_another_shape_is_refused(spoil, message):
    before, (_, observation) = surroundings(), problem(PDES["poisson"]())
    with pytest.raises(NumericalError, match=message):
        Broken(spoil)(PDES["poisson"](), None, observation, n_samples=3)
    assert surroundings() == before


@each_solver
def test_readings_beyond_all_bounds_end_in_a_finite_result_or_in_an_error(name, place):
    pde = cheapest(name, place)
    observation, prior = problem(pde)[1], prior_of(name, pde)
    solver = dataclasses.replace(brief_solver(name), **FEW.get(name, {}))
    ones = torch.ones_like(observation.values)
    for values, noise in ((1e36, 0.1), (1e100, 1e100), (0.0, 0.0), (0.0, 1e100), (1.0, 1e-100)):
        extreme = dataclasses.replace(observation, values=values * ones, noise_std=noise * ones)
        try:
            with brief_searches():
                found = solver(pde, prior, extreme, n_samples=2, generator=seeded())
        except (InputError, NumericalError) as error:
            assert name in str(error) or isinstance(error, InputError)
        else:
            assert bool(found.mean.isfinite().all() and found.std.isfinite().all())


class WithoutDerivative(NavierStokes):
    def surrogate(self, a):
        return self.solve(a) * torch.nan


@pytest.mark.parametrize("name", ["moment", "gauss-newton"])
def test_a_new_pde_whose_derivative_is_not_finite_is_named(name):
    pde = WithoutDerivative(time=0.1)
    few_modes = pde.default_prior.with_numbers(modes=16)
    solver, prior = quick_solver(name), quick_prior(name, "navier-stokes", (N, N))
    prior = gaussian_prior(pde, N, channels=1) if prior else few_modes
    with pytest.raises(NumericalError, match=rf"the {name} solver failed: the derivative of .*"):
        solver(pde, prior, problem(pde)[1], n_samples=2, generator=seeded())


def test_states_of_a_pde_and_samples_of_a_prior_that_are_not_finite_are_refused():
    class Lost(NavierStokes):
        def solve(self, a):
            return a / 0

    with pytest.raises(NumericalError, match="the states of navier-stokes must be finite"):
        Problem(Lost()).sample(2, Lost().grid(N), seeded())
    prior = DiffusionPrior.untrained(gaussian_prior(PDES["poisson"](), N), **TINY)
    for p in prior.network.parameters():
        p.data.fill_(torch.inf)
    with pytest.raises(NumericalError, match="the samples of DiffusionPrior must be finite"):
        prior.sample(1, PDES["poisson"]().grid(N), seeded(), steps=2)


@each_solver
def test_there_are_as_many_samples_as_asked_and_the_streams_of_the_caller_stay(name, place):
    before = surroundings()
    one = run(name, place, n_samples=1, seed=None, quick=brief_solver)
    assert surroundings() == before
    state = (2, *shape_of(cheapest(name, place)))
    assert one.samples.shape == (1, *state) and bool(one.std.isfinite().all())
    several = run(name, place, n_samples=20, quick=brief_solver)
    assert several.samples.shape == (20, *state)


@each_solver
def test_the_readings_are_met_to_their_noise(name, place):
    truth, observation = problem(cheapest(name, place), name)
    found = posterior(name, place)
    constant = truth.mean(dim=(2, 3), keepdim=True).expand_as(truth)
    blind, ours = (
        rms((observation(state)[0] - observation.values) / observation.noise_std)
        for state in (constant, found.mean[None])
    )
    allowed = LOOSE.get((name, place), LOOSE.get(name, 1.5))
    assert blind > 8 and ours < allowed
    assert found.record["reduced_chi_squared"] < max(3, allowed**2)


@pytest.mark.parametrize("name", SOLVERS)
def test_it_refuses_what_it_is_not_made_for_with_the_reason(name):
    solver, pde = quick_solver(name), cheapest(name)
    for other in (kind() for kind in PDES.values()):
        if not accepts(solver, other):
            assert solver.needs or solver.wants_prior
            reason = rf"{other.name}.*{solver.needs}"
            if suited_prior(name, pde) is not None:  # to which no PDE's default prior is one
                reason = rf"solver needs {solver.wants_prior}, got "
            with pytest.raises(InputError, match=rf"{name} .*{reason}"):
                solver(other, None, problem(other)[1])
    foreign = next(
        kind()
        for kind in PDES.values()
        if kind.coefficient_field.name != pde.coefficient_field.name
    )
    with pytest.raises(InputError, match=f"{name} solver"):
        solver(pde, gaussian_prior(foreign, N), problem(pde)[1])


@pytest.mark.parametrize("special", ["footprints", "biases", "censored"])
@pytest.mark.parametrize("name", SOLVERS)
def test_it_supports_special_readings_or_refuses_them(name, special):
    solver, pde = quick_solver(name), cheapest(name)
    o = problem(pde, name)[1]
    on_solution = o.channel == 1
    ends = o.grid.domain.absolute(torch.full_like(o.points, 0.5))
    given = {f.name: getattr(o, f.name) for f in dataclasses.fields(o) if f.init}
    special_ones = {
        "footprints": lambda: FootprintObservation(**given, kind=2 * on_solution, ends=ends),
        "biases": lambda: Observation(**given | {"common": 0.1 * on_solution[:, None].double()}),
        "censored": lambda: Observation(
            **given | {"censored": torch.eye(len(o), dtype=torch.long)[0]}
        ),
    }[special]()
    arguments = {"n_samples": 3, "generator": seeded(5)}
    if special in solver.takes:
        found = solver(pde, prior_of(name, pde), special_ones, **arguments)
        assert not torch.equal(found.mean, posterior(name, "square").mean)
        return
    count = 1 if special == "censored" else len(o) // 2
    with pytest.raises(InputError, match=f"sensors of the {name} solver must not be .*{count} of"):
        solver(pde, prior_of(name, pde), special_ones, **arguments)
