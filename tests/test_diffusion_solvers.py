"""What all solvers with a diffusion prior do: approach the exact posterior, stay stable, count, and
refuse."""

import dataclasses
import math

import pandas as pd
import pytest
import torch
from helpers import gaussian_prior, seeded, training_data, tuning_task

from pdeinv import Ensemble, InputError, SpectralField, reconstruct
from pdeinv.datasets import PDES, Darcy, Helmholtz, pde_by_name
from pdeinv.errors import DivergedError
from pdeinv.priors import DiffusionPrior, NeuralOperator, load
from pdeinv.solvers import DAPS, DDIS, DPS, DiffusionPDE, FunDPS, GaussianSolver, Moment
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.equireg import EquiReg
from pdeinv.solvers.diffusion.problem import SamplingProblem

N = 16
FEW_LEVELS = {"steps": 40, "ode_steps": 3, "langevin": 20, "weights": (1000.0, 1000.0)}


def fitted(name="helmholtz", channels=2, noise="exponential"):
    return gaussian_prior(name, N, 600, channels=channels, noise=noise)


def errors(solver, kind, noise=0.0, instances=4, prior=None):
    """Mean relative errors of the solver's posterior mean and of the exact one."""
    ours = best = 0.0
    for i in range(instances):
        task = tuning_task("helmholtz", kind, grid=N, sensors=25, noise=noise, seed=1)
        truth, observation = task.instance(i)
        c = task.scored[0]
        prior = prior or fitted(channels=1 if solver.name == "ddis" else 2)
        found = solver(Helmholtz(), prior, observation, n_samples=8, generator=seeded(i))
        exact = GaussianSolver()(Helmholtz(), None, observation, n_samples=1, generator=seeded())
        for_truth = truth[c].norm() * instances
        ours += float((found.mean[c] - truth[c]).norm() / for_truth)
        best += float((exact.mean[c] - truth[c]).norm() / for_truth)
    return ours, best


@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize(
    ("solver", "factor"),
    [
        (DPS(steps=100), 2.2),
        (FunDPS(steps=60), 1.7),
        (DiffusionPDE(steps=60, weight=4.0), 2.2),
        (DDIS(steps=40, ode_steps=3, langevin=30), 2.0),
    ],
    ids=lambda s: getattr(s, "name", ""),
)
def test_the_mean_approaches_the_exact_one(solver, factor, kind):
    ours, best = errors(solver, kind)
    assert best < ours < factor * best


@pytest.mark.parametrize(
    ("kind", "factor", "spread"), [("forward", 2.7, 0.25), ("inverse", 1.8, 0.12)]
)
def test_the_mean_of_daps_misses_the_exact_one_by_a_known_factor(kind, factor, spread):
    """A shortfall. The factor and the standard deviation of its logarithm are those of seven sets
    of four instances. On these four, 100 levels leave 2.6 and 1.4, five times the Langevin steps
    3.5 and 1.9. The record behind docs/equireg.md shows the same on more nodes."""
    ours, best = errors(DAPS(**FEW_LEVELS), kind)
    assert abs(math.log(ours / best / factor)) < 3 * spread


@pytest.mark.parametrize(
    "solver",
    [
        DPS(steps=60),
        FunDPS(steps=40),
        DiffusionPDE(steps=60, weight=4.0),
        DAPS(steps=25, ode_steps=3, langevin=20, weights=(1000.0, 1000.0)),
        DDIS(steps=20, ode_steps=3, langevin=20),
    ],
    ids=lambda s: s.name,
)
def test_noisy_readings_are_trusted_less_than_exact_ones(solver):
    prior = fitted(channels=1 if solver.name == "ddis" else 2)
    errors = {True: 0.0, False: 0.0}
    for i in range(3):
        truth, exact = tuning_task("helmholtz", "forward", grid=N, sensors=60, seed=1).instance(i)
        std = torch.where(torch.arange(60) % 2 == 0, 0.0, 2 * exact.values.std())  # every other one
        noise = std * torch.randn(60, dtype=torch.float64, generator=seeded(i))
        told = dataclasses.replace(exact, values=exact.values + noise, noise_std=std)
        untold = dataclasses.replace(told, noise_std=torch.zeros_like(std))
        for known, observation in ((True, told), (False, untold)):
            mean = solver(Helmholtz(), prior, observation, n_samples=4, generator=seeded(i)).mean
            errors[known] += float((mean[0] - truth[0]).norm() / truth[0].norm()) / 3
    assert errors[True] < 0.7 * errors[False]


def test_default_steps_do_not_diverge_where_the_published_ones_do():
    _, observation = tuning_task("helmholtz", "forward", grid=N, sensors=25).instance(0)
    spread = float(observation.values.std())
    for preset, converges in (("default", True), ("published", False)):
        found = FunDPS(steps=20, preset=preset)(
            Helmholtz(), fitted(), observation, n_samples=2, generator=seeded()
        )
        assert (float(found.samples[:, 0].abs().max()) < 10 * spread) == converges


def test_half_of_the_steps_can_be_coarse():
    fine, best = errors(FunDPS(steps=40), "forward")
    coarse, _ = errors(FunDPS(steps=40, coarse=0.5), "forward")
    assert best < coarse < 1.3 * fine
    with pytest.raises(InputError, match="coarse of fundps must be a finite number below 1"):
        FunDPS(coarse=1.0)


def test_white_noise_needs_no_smoothing_of_the_gradient():
    ours, best = errors(FunDPS(steps=60), "inverse", prior=fitted(noise="white"))
    assert best < ours < 2.5 * best


def test_samples_come_in_batches_and_evaluations_are_counted_for_one():
    _, observation = tuning_task("helmholtz", "forward", grid=N, sensors=25).instance(0)
    found = FunDPS(steps=5, batch=2)(
        Helmholtz(), fitted(), observation, n_samples=5, generator=seeded()
    )
    assert found.samples.shape == (5, 2, N, N) and found.record["network_evaluations"] == 9
    assert len(found.samples.flatten(1).unique(dim=0)) == 5
    for solver, evaluations in [
        (FunDPS(steps=10, coarse=0.5), 19),
        (FunDPS(steps=5, group_average=True), 8 * 9),
    ]:
        record = solver(Helmholtz(), fitted(), observation, n_samples=2, generator=seeded()).record
        assert record["network_evaluations"] == evaluations
    one = FunDPS(steps=5)(Helmholtz(), fitted(), observation, n_samples=1, generator=seeded())
    assert one.samples.shape == (1, 2, N, N) and bool(one.std.isfinite().all())


def test_ddis_solves_for_what_the_sensors_saw():
    _, observation = tuning_task("helmholtz", "inverse", grid=N, sensors=25).instance(0)
    solver = DDIS(steps=3, ode_steps=2, langevin=4)
    found = solver(Helmholtz(), fitted(channels=1), observation, n_samples=2, generator=seeded())
    assert torch.allclose(Helmholtz().solve(found.samples[:, :1]), found.samples[:, 1:])
    # Three levels of four Langevin steps, solved forward and back, of both samples; two curvatures
    # of one sample by eight products, forward and back, after one gradient; and the solutions.
    assert found.record["solver_calls"] == 2 * (2 * 12) + 2 * (2 + 8 * 2) + 2


def test_a_prior_of_something_else_is_refused():
    _, observation = tuning_task("helmholtz", "forward", grid=N, sensors=25).instance(0)
    for solver, prior, message in [
        (
            FunDPS(),
            Ensemble(torch.randn(4, 2, N, N)),
            "needs a prior with a denoiser.*got Ensemble",
        ),
        (
            FunDPS(),
            fitted(channels=1),
            "prior of the fundps solver must be of source and wavefield for helmholtz, got one of "
            "source;",
        ),
        (DDIS(), fitted(), "must be of source for helmholtz, got one of source and wavefield"),
        (
            DDIS(physics="magic"),
            fitted(channels=1),
            "physics of ddis must be 'solver', 'operator' or a callable, got 'magic'",
        ),
        (
            FunDPS(coarse=0.5),
            fitted(noise="white"),
            "must be the same function on every grid for coarse steps, got white noise",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            solver(Helmholtz(), prior, observation)


@pytest.mark.parametrize("settings", [{"steps": 1}, {"steps": 2.5}, {"batch": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(InputError, match=f"{next(iter(settings))} of fundps must be an integer"):
        FunDPS(**settings)
    with pytest.raises(InputError, match="every of daps must be an integer of at least 1, got 0"):
        DAPS(every=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FunDPS(weight="abc"),
            "weight of fundps must be a finite number, got 'abc'",
        ),
        (
            lambda: FunDPS(sigma_min=-1.0),
            "sigma_min of fundps must be a finite number above 0, got -1.0",
        ),
        (lambda: DAPS(tau=0.0), "tau of daps must be a finite number above 0, got 0.0"),
        (
            lambda: DAPS(weights=(1.0,)),
            r"weights of daps must be a tuple of 2 entries, got \(1.0,\)",
        ),
        (
            lambda: Moment(sigma_max="abc"),
            "sigma_max of moment must be a finite number, got 'abc'",
        ),
        (
            lambda: FunDPS(guidance=EquiReg()),
            r"guidance of fundps must be a tuple, got EquiReg",
        ),
        (
            lambda: FunDPS(guidance=(3,)),
            r"guidance of fundps must be a tuple of callables, .*, got \(3,\)",
        ),
    ],
)
def test_settings_of_another_kind_are_refused_when_they_are_given(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_what_needs_a_denoiser_is_refused_before_the_work_begins():
    with pytest.raises(
        InputError, match="does not evaluate the denoiser for a two-valued permeability"
    ):
        Moment(guidance=(EquiReg(),)).check(Darcy(), Darcy().default_prior)
    with pytest.raises(InputError, match="does not evaluate the denoiser"):
        Moment(group_average=True).check(Darcy(), load("darcy-coefficient"))
    Moment(guidance=(EquiReg(),)).check(Darcy(), load("darcy"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lost(DiffusionSolver):
    """A sampler that leaves all bounds."""

    name = "lost"

    def draw(self, problem, n, bar):
        return problem.start(n, float("inf"))


def test_a_sampler_that_leaves_all_bounds_is_an_error_with_a_remedy():
    _, observation = tuning_task("helmholtz", "forward", grid=N, sensors=30).instance(0)
    with pytest.raises(DivergedError, match="diverged; use more steps, or a smaller weight"):
        Lost()(Helmholtz(), fitted(), observation)


def test_physics_that_answers_the_wrong_way_round_is_refused():
    pde = Helmholtz()
    data = training_data(pde, N, 8, symmetric=False)
    inverse = NeuralOperator.untrained(data.swapped(), width=4, modes=2, layers=1)
    with pytest.raises(
        InputError,
        match="must be an operator from source to wavefield, got one from wavefield to source",
    ):
        DDIS(physics=inverse).check(Helmholtz(), Helmholtz().default_prior)


def test_an_operator_of_other_physics_is_refused():
    for pde, told in (
        (Helmholtz(k=2.0), "k = 1.0, not 2.0"),
        (pde_by_name("navier-stokes", viscosity=1e-2), "viscosity = 0.001, not 0.01"),
    ):
        for physics in ("operator", load(f"{pde.name}-operator")):
            with pytest.raises(
                InputError,
                match=f"must be trained for these parameters of {pde.name}, got {told}; train",
            ):
                DDIS(physics=physics).check(pde, pde.default_prior)
        DDIS(physics="operator").check(pde_by_name(pde.name), pde.default_prior)


def test_a_prior_with_a_denoiser_chooses_its_solver():
    table = pd.DataFrame(
        {"field": "solution", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [1e-3, -1e-3]}
    )
    plain = DiffusionPrior.untrained(
        fitted(channels=2), widths=(16, 32), modes=4, preconditioning="edm"
    )
    for prior, name in (
        (fitted(channels=2), "moment"),
        (fitted(channels=1), "moment"),
        (plain, "fundps"),
    ):
        result = reconstruct(
            table, "helmholtz", noise=0, grid=16, prior=prior, steps=3, n_samples=2
        )
        assert result.attrs["solver"] == name
    with pytest.raises(
        InputError, match=r"or a regressor, got NeuralOperator; .* without --model operator"
    ):
        reconstruct(table, "navier-stokes", grid=16, prior="navier-stokes-operator")


def test_the_shipped_prior_is_taken_and_knows_one_problem_alone():
    task = tuning_task("darcy", "forward", grid=16, sensors=40)
    truth, observation = task.instance(0)
    found = FunDPS(steps=12)(Darcy(), None, observation, n_samples=2, generator=seeded())
    assert found.record["prior"] == "the shipped darcy"
    given = FunDPS(steps=12)(Darcy(), load("darcy"), observation, n_samples=2, generator=seeded())
    assert torch.equal(found.samples, given.samples)
    assert float((found.mean[1] - truth[1]).norm() / truth[1].norm()) < 0.2
    for solver in (FunDPS(), DDIS()):
        with pytest.raises(
            InputError,
            match="prior of the permeability must be that of the training of the shipped",
        ):
            solver.check(Darcy(), Darcy().default_prior.with_numbers(low=4.0))
    FunDPS().check(Darcy(), load("darcy"))  # given, its coefficient is what the user wants


def test_a_prior_of_other_physics_is_refused_unless_it_is_of_the_coefficient_alone():
    for solver in (FunDPS(), Moment()):
        with pytest.raises(
            InputError,
            match=r"the wavefield of helmholtz with .* got one with k = 1.0, not 2.0; train one",
        ):
            solver.check(Helmholtz(k=2.0), load("helmholtz"))
    Moment().check(Helmholtz(k=2.0), load("helmholtz-coefficient"))
    default = Helmholtz().default_prior
    Moment().check(Helmholtz(k=2.0), default)
    with pytest.raises(InputError, match="parameters of helmholtz must be the defaults"):
        FunDPS().check(Helmholtz(k=2.0), default)
    with pytest.raises(InputError, match="that of the training of the shipped 'helmholtz-coeff"):
        Moment().check(Helmholtz(), SpectralField(alpha=2.5))


# A Gaussian with the moments of a log-normal field has draws that no physics of it takes
GAUSSIAN_OR_PHASES = [name for name in PDES if not pde_by_name(name).default_prior.logarithmic]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", GAUSSIAN_OR_PHASES)
def test_the_fields_of_a_problem_have_the_spread_that_the_prior_learned(name, channels):
    pde = pde_by_name(name)
    prior = gaussian_prior(pde, 32, 300, channels=channels, symmetric=False)
    prior = dataclasses.replace(prior, coefficient_prior=pde.default_prior.to_json())
    _, observation = tuning_task(name, "both", grid=N, sensors=5).instance(0)
    found = SamplingProblem(pde, prior, observation).field_std
    states = training_data(pde, 32, 300, seed=1).states.double()
    # 64 draws of a few large modes know a spread to 10 %, a threshold of a Gaussian field to 15 %
    true = states.std(dim=(0, 2, 3))
    assert float((found / true).log().abs().max()) < (0.1 if channels == 2 else 0.3)
    assert torch.allclose(found[:channels], 0.5 * prior.scale)
