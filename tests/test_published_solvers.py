"""The preset "published" follows the papers' formulas, with their constants for each PDE and task,
and differs from our default where it should."""

from dataclasses import dataclass, fields, replace

import pytest
import torch
from helpers import TINY, seeded
from published_formulas import (
    GENTLE,
    LANGEVIN,
    SOFT,
    STEPS,
    Formulas,
    N,
    daps,
    ddis,
    diffusionpde,
    dps,
    fundps,
    setting,
)

from pdeinv.benchmarks import published
from pdeinv.datasets import Helmholtz, pde_by_name
from pdeinv.errors import InputError
from pdeinv.priors import DiffusionPrior, GaussianPrior, load
from pdeinv.solvers import DAPS, DDIS, DPS, DiffusionPDE, FunDPS, Moment
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import diffusionpde_constants, fundps_constants

SMALL = {"steps": STEPS, "preset": "published"}
JOINT = [
    (DPS(**SMALL), dps, {}),
    (FunDPS(**SMALL), fundps, {"weight": GENTLE}),
    (DiffusionPDE(**SMALL), diffusionpde, {}),
    (DAPS(**SMALL, langevin=LANGEVIN), daps, {"tau": SOFT}),
]


def drawn(solver, pde, prior, observation):
    """Samples as the sampler leaves them, before a coefficient is cut to its range."""
    problem = SamplingProblem(pde, prior, observation, (), seeded(5), solver.preset)
    return solver.draw(problem, 2, lambda steps, **_: steps)


@pytest.mark.parametrize(("noise", "gentle"), [("exponential", False), ("white", True)])
@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize("name", published.PDES)
@pytest.mark.parametrize(("solver", "formula", "soft"), JOINT, ids=lambda s: getattr(s, "name", ""))
def test_a_published_solver_follows_its_formula(solver, formula, soft, name, kind, noise, gentle):
    pde, prior, observation = setting(name, kind, noise=noise)
    solver = replace(solver, **(soft if gentle else {}))
    theirs = formula(Formulas(pde, prior, observation, 5, gentle), 2)
    assert relative_distance(drawn(solver, pde, prior, observation), theirs) < 1e-8


@pytest.mark.parametrize("gentle", [False, True])
@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize("name", published.PDES)
def test_ddis_follows_its_formula(name, kind, gentle):
    pde, prior, observation = setting(name, kind, channels=1)

    def solve(a):
        return torch.tanh(a.roll(1, -1)) / 9

    tau = SOFT if gentle else None
    solver = DDIS(**SMALL, langevin=LANGEVIN, physics=solve, tau=tau)
    theirs = ddis(Formulas(pde, prior, observation, 5, gentle), 2, solve)
    assert relative_distance(drawn(solver, pde, prior, observation), theirs) < 1e-8


def test_published_levels_and_settings():
    for solver, settings in (
        (DPS, {"steps": 1000, "weight": 2.0}),
        (DiffusionPDE, {"steps": 2000, "weight": 1.0, "sigma_min": 0.002}),
        (FunDPS, {"steps": 500, "weight": 1.0, "coarse": 0.0}),
        (DAPS, {"steps": 200, "ode_steps": 10, "langevin": 100, "weights": (10.0, 1.0)}),
        (DDIS, {"steps": 100, "ode_steps": 5, "langevin": 20, "physics": "operator"}),
    ):
        assert solver(preset="published").settings().items() >= settings.items()
    for solver in (DAPS, DDIS):
        rates = {"rate": 1e-4, "last_rate": 1e-6, "tau": 1e-3}
        assert solver(preset="published").settings().items() >= rates.items()


def test_the_shipped_prior_of_the_preset_is_the_papers_or_a_remedy_is_named():
    pde = Unpublished()
    for solver in (DPS, DiffusionPDE, FunDPS, DAPS):
        with pytest.raises(
            InputError,
            match="no 'unpublished-white' is shipped; train one with `pdeinv train --precondition "
            "edm --noise white` and give it as prior",
        ):
            solver(preset="published").check(pde, pde.default_prior)
    DDIS(preset="published").check(
        Helmholtz(), Helmholtz().default_prior
    )  # of the coefficient, as by default
    with pytest.raises(InputError, match="preset of moment must be 'default', got 'published'"):
        Moment(preset="published")


def plain_prior(name):
    """A prior as in the papers: EDM's preconditioning, no closed-form part, white noise."""
    _, fitted, _ = setting(name, noise="white")
    gaussian = GaussianPrior(
        **{f.name: getattr(fitted, f.name) for f in fields(fitted) if not f.name.startswith("_")}
    )
    return DiffusionPrior.untrained(gaussian, **TINY, preconditioning="edm")


@pytest.mark.parametrize("preset", ["default", "published"])
@pytest.mark.parametrize("solver", [DPS, DiffusionPDE, FunDPS, DAPS], ids=lambda s: s.name)
def test_both_presets_take_a_network_without_a_gaussian_part(solver, preset):
    pde, _, observation = setting("helmholtz", "forward")
    few = {"ode_steps": 2, "langevin": 2} if solver is DAPS else {}
    found = solver(steps=3, preset=preset, **few)(
        pde, plain_prior("helmholtz"), observation, n_samples=2, generator=seeded()
    )
    assert found.samples.shape == (2, 2, N, N) and bool(found.samples.isfinite().all())


@pytest.mark.parametrize("solver", [FunDPS, DAPS], ids=lambda s: s.name)
def test_the_default_cuts_steps_that_the_published_preset_takes(solver):
    pde, prior, observation = setting("helmholtz", "forward")
    settings = {"langevin": LANGEVIN} if solver is DAPS else {}
    unit, far = prior.scale[:, None, None], {}
    for preset in ("default", "published"):
        one = solver(steps=STEPS, preset=preset, **settings)
        far[preset] = float((drawn(one, pde, prior, observation) / unit).abs().max())
    assert far["default"] < 10 < 1e3 < far["published"]


def test_noisy_readings_count_less_by_default_alone():
    pde, prior, observation = setting("helmholtz", "forward")
    exact = replace(observation, noise_std=torch.zeros_like(observation.noise_std))
    for preset, same in (("default", False), ("published", True)):
        solver = DiffusionPDE(steps=STEPS, preset=preset)
        noisy, sure = (drawn(solver, pde, prior, o) for o in (observation, exact))
        assert torch.equal(noisy, sure) == same


@dataclass(frozen=True)
class Unpublished(Helmholtz):
    """A PDE that no paper has."""

    name = "unpublished"

    def residual(self, a, u):
        raise AssertionError("no paper gives a weight for it")


@dataclass(frozen=True)
class InOtherUnits(Unpublished):
    """Both fields in a unit a thousand times as small."""

    def sample(self, n, grid, generator=None):
        return UNIT * super().sample(n, grid, generator)


UNIT = 1024.0


@pytest.mark.parametrize("solver", [FunDPS(**SMALL), DiffusionPDE(**SMALL)], ids=lambda s: s.name)
def test_weights_of_a_pde_that_no_paper_has_do_not_depend_on_units(solver):
    _, prior, observation = setting("helmholtz")
    scaled = replace(prior, scale=UNIT * prior.scale, shift=UNIT * prior.shift)
    read = replace(
        observation, values=UNIT * observation.values, noise_std=UNIT * observation.noise_std
    )
    one = solver(Unpublished(), prior, observation, n_samples=2, generator=seeded()).samples
    other = solver(InOtherUnits(), scaled, read, n_samples=2, generator=seeded()).samples
    assert relative_distance(other / UNIT, one) < 1e-9


def test_neutral_weights_are_near_the_published_ones_in_normalised_units():
    for name in ("poisson", "helmholtz", "navier-stokes"):
        pde = pde_by_name(name)
        std = load(name).gaussian.scale / 2
        neutral = diffusionpde_constants(Unpublished(), std)
        published = diffusionpde_constants(pde, std)
        for c in (0, 1):
            # A step in physical units is proportional to this
            ours, theirs = (k.weights[c] / k.units[c] ** 2 for k in (neutral, published))
            assert 0.7 < ours / theirs < 1.4
    first, second = fundps_constants(Unpublished())
    assert first == second and first.residual_weight == 0


def relative_distance(a, b):
    return float((a - b).detach().norm() / b.detach().norm())
