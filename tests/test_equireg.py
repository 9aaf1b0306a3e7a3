"""EquiReg: its losses, its place in the solvers, and what a wrong group does."""

import dataclasses

import pytest
import torch
from helpers import gaussian_prior, normal, quick_solver, seeded, tuning_task

from pdeinv import EquiReg, Grid, InputError, Problem
from pdeinv.datasets import Helmholtz, Poisson, pde_by_name
from pdeinv.priors.group_average import GroupAveraged
from pdeinv.solvers import SOLVERS, DiffusionPDE, FunDPS
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.equireg import (
    DenoisingMap,
    EquiReweight,
    StateMap,
    equivariance_loss,
)
from pdeinv.solvers.diffusion.guidance import LossTerm, Step, combine_steps, polyak
from pdeinv.symmetry import Group, Symmetry, act, square_group, torus_group

N = 16
GUIDED = [name for name, kind in SOLVERS.items() if issubclass(kind, DiffusionSolver)]


def fitted(name, channels=2, symmetric=True):
    """Return a Gaussian prior; one of few samples without their symmetries is only nearly
    equivariant."""
    samples = 300 if symmetric else 60
    return gaussian_prior(name, N, samples, channels=channels, symmetric=symmetric)


def shift_invariant(x):
    return torch.tanh(x) + x.roll(1, -1) + x.roll(-1, -1) + x.roll(1, -2) + x.roll(-1, -2)


def test_the_loss_is_zero_for_an_equivariant_function_and_only_then():
    x, grid = normal(4, 1, N, N), Grid(N, kind="periodic")
    group = torus_group()
    elements = [group.sample(seeded(i)) for i in range(4)]
    elements = [
        dataclasses.replace(g, shift=tuple(round(s * N) / N for s in g.shift)) for g in elements
    ]
    # Tanh is odd: signs commute
    assert float(equivariance_loss(shift_invariant, x, elements, grid).max()) < 1e-10
    assert float(equivariance_loss(lambda x: x * torch.arange(N), x, elements, grid).min()) > 1


def test_both_losses_are_those_of_their_formulas():
    prior = fitted("poisson", symmetric=False)
    x, grid = Problem.of(Poisson()).sample(3, Poisson().grid(N), seeded(4)), Grid(N)
    elements = [square_group().sample(seeded(i)) for i in range(3)]
    scale = prior.scale[:, None, None]
    f = DenoisingMap(prior, 0.2)
    con = equivariance_loss(f, x, elements, grid, scale)
    equi = equivariance_loss(lambda x: f(x)[:, :1], x, elements, grid)
    both = equivariance_loss(f, x, elements, grid, scale, loss="equi")
    # The denoiser works in single precision, so that a loss of zero is that of its rounding.
    units, unit = float((x / scale).norm()), float(x[:, :1].norm())
    assert float(con.min()) > 1e-3 * units and float(equi.max()) > 1e-3 * unit
    for i, g in enumerate(elements):
        one = x[i : i + 1]
        here, there = f(one), f(g(one, grid))
        for found, expected, size in (
            (con[i], (one - g.inverse()(there, grid)) / scale, units),
            (equi[i], g(here[:, :1], grid) - there[:, :1], unit),
            (both[i], (g(here, grid) - there) / scale, units),
        ):
            assert float(found) == pytest.approx(float(expected.norm()), rel=1e-5, abs=1e-5 * size)


class Doubled(StateMap):
    def __call__(self, x):
        return 2 * x


def test_a_function_from_states_to_states_is_compared_with_its_state():
    x, grid = normal(2, 2, N, N), Grid(N)
    elements = [square_group().sample(seeded(i)) for i in range(2)]
    scale = torch.tensor([4.0, 0.5])[:, None, None]
    size = (x / scale).flatten(1).norm(dim=1)
    assert torch.allclose(equivariance_loss(Doubled(), x, elements, grid, scale), size)
    assert float(equivariance_loss(lambda x: 2 * x, x, elements, grid, scale).max()) < 1e-12
    loss = equivariance_loss(lambda x: 2 * x, x, elements, grid, scale, loss="equicon")
    assert torch.allclose(loss, size)


def test_the_loss_tells_fields_of_the_prior_from_others():
    prior, pde = fitted("helmholtz", symmetric=False), Helmholtz()
    grid = pde.grid(N)
    x = Problem.of(pde).sample(16, grid, seeded(4))
    elements = [square_group().sample(seeded(i)) for i in range(16)]
    scale = prior.scale[:, None, None]
    on, off = (
        equivariance_loss(DenoisingMap(prior), fields, elements, grid, scale)
        for fields in (x, x + 0.5 * prior.sample_noise(16, grid, seeded(5)))
    )
    assert float((off / on).min()) > 1.5


@pytest.mark.parametrize("name", ["helmholtz", "navier-stokes"])
@pytest.mark.parametrize("solver", GUIDED)
def test_it_works_in_every_solver_and_changes_what_it_finds(solver, name):
    solver = dataclasses.replace(quick_solver(solver), steps=6)
    prior = fitted(name, 1 if solver.name in ("ddis", "moment") else 2, symmetric=False)
    pde, (_, observation) = (
        pde_by_name(name),
        tuning_task(name, "both", grid=N, sensors=20).instance(0),
    )
    found = []
    for terms in ((), (EquiReg(sigma_max=20.0),), (EquiReg(sigma_max=20.0),)):
        found.append(
            dataclasses.replace(solver, guidance=terms)(
                pde, prior, observation, n_samples=2, generator=seeded(1)
            )
        )
    plain, guided, again = found
    assert torch.equal(guided.samples, again.samples)
    assert not torch.allclose(guided.samples, plain.samples)
    assert guided.samples.isfinite().all()
    assert guided.record["network_evaluations"] > plain.record["network_evaluations"]
    assert "EquiReg" in guided.record["solver_settings"]


def test_the_share_is_that_of_the_sensors_step():
    main, push = normal(3, 2, N, N), 1e4 * normal(3, 2, N, N, seed=1)
    scale = torch.tensor([2.0, 0.1])[:, None, None]
    added = combine_steps(main, [Step(push, 0.3)], scale) - main
    assert torch.allclose(
        (added / scale).flatten(1).norm(dim=1), 0.3 * (main / scale).flatten(1).norm(dim=1)
    )
    assert torch.equal(combine_steps(main, [Step(push, None)], scale), main + push)


def test_a_plain_loss_is_a_term_with_and_without_a_share():
    _, observation = tuning_task("helmholtz", "inverse", grid=N, sensors=20).instance(0)
    seen = []

    def loss(x_t, sigma, x0_hat):
        seen.append(sigma)
        return x0_hat.square().sum(dim=(1, 2, 3)) if sigma < 1 else None

    plain, unweighed, weighed = (
        FunDPS(steps=6, guidance=terms)(
            Helmholtz(), fitted("helmholtz"), observation, n_samples=2, generator=seeded()
        ).samples
        for terms in ((loss,), (LossTerm(loss),), (LossTerm(loss, share=0.5),))
    )
    assert len(seen) == 18 and torch.equal(plain, unweighed)
    assert not torch.allclose(plain, weighed)
    with pytest.raises(InputError, match="share of LossTerm must be a finite number above 0"):
        LossTerm(loss, share=-1.0)


def test_a_term_that_is_zero_adds_nothing():
    main = 1e9 * normal(2, 2, N, N)
    assert torch.equal(
        combine_steps(main, [Step(torch.zeros_like(main), 0.3)], torch.ones(2, 1, 1)), main
    )


def test_it_acts_when_it_is_told_to():
    prior, pde = fitted("poisson", symmetric=False), Poisson()
    x = Problem.of(pde).sample(2, pde.grid(N), seeded(4))
    term = EquiReg(every=3, sigma_max=1.0, sigma_min=0.1).bind(pde, prior, seeded())
    acted = [term(x, s, x) is not None for s in (5.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.05)]
    assert acted == [False, True, False, False, True, False, False, False]
    again = [term(x, s, x) is not None for s in (5.0, 1.0, 0.9)]  # another batch begins anew
    assert again == [False, True, False] and term.evaluations == 3
    term = EquiReg(every=1, sigma_max=1.0, loss="equi").bind(pde, prior, seeded())
    assert term(x, 0.5, x) is not None and term.evaluations == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0.0}, "share of EquiReg must be a finite number above 0, got 0.0"),
        ({"every": 0}, "every of EquiReg must be an integer of at least 1, got 0"),
        ({"function": 3}, "function of EquiReg must be a callable, got 3"),
        ({"sigma_min": 0.5}, "sigma_min of EquiReg must be below sigma_max = 0.3, got 0.5"),
        ({"loss": "mse"}, "loss of EquiReg must be 'equi' or 'equicon', got 'mse'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        EquiReg(**settings)
    with pytest.raises(TypeError):
        EquiReg(wieght=1.0)


def test_reweighting_prefers_the_more_equivariant_and_changes_no_sample():
    prior, pde = fitted("helmholtz", symmetric=False), Helmholtz()
    grid = pde.grid(N)
    x = Problem.of(pde).sample(6, grid, seeded(4))
    x[3:] += 0.5 * prior.sample_noise(3, grid, seeded(5))
    term = EquiReweight(strength=5.0).bind(pde, prior, seeded())
    for sigma in (2.0, 0.5, 0.2):
        assert term(x, sigma, x) is None
    weights = term.weights()
    assert float(weights.sum()) == pytest.approx(1.0) and float(weights[:3].min()) > 3 * float(
        weights[3:].max()
    )
    assert set(term.resample(6).tolist()) <= {0, 1, 2}
    _, observation = tuning_task("helmholtz", "both", grid=N, sensors=20).instance(0)
    plain, drawn = (
        FunDPS(steps=6, guidance=g)(
            pde, prior, observation, n_samples=4, generator=seeded(1)
        ).samples
        for g in ((), (EquiReweight(),))
    )
    starts = torch.cdist(drawn.flatten(1), plain.flatten(1)).min(dim=1).values
    # The random elements are drawn from the solver's generator, but only after the starting noise.
    assert float(starts.max()) < 1e-9 * float(plain.norm())


def test_a_batch_of_elements_acts_member_by_member():
    x, grid = (
        normal(5, 2, 15, 15),
        Grid(15, kind="periodic"),
    )  # an odd number resolves all of its modes
    group = pde_by_name("navier-stokes").symmetries
    elements = [group.sample(seeded(i)) for i in range(4)]
    elements.append(elements[0])
    moved = act(elements, x, grid)
    for g, before, after in zip(elements, x, moved, strict=True):
        assert torch.allclose(g(before, grid), after)
    assert torch.allclose(act([g.inverse() for g in elements], moved, grid), x, atol=1e-12)


@pytest.mark.parametrize(("name", "size"), [("poisson", 8), ("navier-stokes", 8)])
def test_a_group_average_is_equivariant_where_the_denoiser_is_not(name, size):
    pde, prior = pde_by_name(name), fitted(name, symmetric=False)
    grid, scale = pde.grid(N), prior.scale[:, None, None]
    x = Problem.of(pde).sample(2, grid, seeded(4))
    averaged = GroupAveraged(prior, pde.symmetries)
    # The four elements of the diagonal forcing make four more
    assert averaged.evaluations_per_call == size
    for g in pde.symmetries:
        once, twice = g(averaged.denoise(x, 0.3), grid), averaged.denoise(g(x, grid), 0.3)
        assert torch.allclose(once / scale, twice / scale, atol=1e-5)
    g = list(pde.symmetries)[2]
    one, other = g(prior.denoise(x, 0.3), grid), prior.denoise(g(x, grid), 0.3)
    assert float(((one - other) / scale).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["poisson", "darcy"])
def test_a_wrong_group_hurts(name):
    """Translations are no symmetry of fields that are held at the boundary."""
    pde, prior = pde_by_name(name), fitted(name)
    errors = {"none": 0.0, "right": 0.0, "wrong": 0.0}
    for i in range(12):
        truth, observation = tuning_task(name, "forward", grid=N, sensors=40).instance(i)
        for key, group in (
            ("none", None),
            ("right", pde.symmetries),
            ("wrong", Rolls((Symmetry(),))),
        ):
            terms = () if group is None else (EquiReg(group=group, share=2.0, every=1),)
            solver = FunDPS(steps=20, guidance=terms)
            found = solver(pde, prior, observation, n_samples=4, generator=seeded(i)).samples[:, 1]
            # Of single samples, whose error varies less from instance to instance than the mean's
            errors[key] += float((found - truth[1]).square().mean().sqrt() / truth[1].norm())
    assert errors["right"] < 0.99 * errors["none"] and errors["wrong"] > 1.05 * errors["right"]


class Rolls(Group):
    """Translations of the nodes' values by whole cells, around the edge."""

    def sample(self, generator=None):
        return Roll(int(torch.randint(1, N, (1,), generator=generator)))


@dataclasses.dataclass(frozen=True)
class Roll:
    cells: int

    def __call__(self, field, grid):
        return field.roll(self.cells, -1)

    def inverse(self):
        return Roll(-self.cells)


def test_a_step_is_no_longer_than_its_loss_allows():
    """Of a quadratic loss, Polyak's step leads half the way to the minimum; shares beyond the limit
    are cut to it."""
    x, minimum = normal(3, 2, N, N), normal(3, 2, N, N, seed=1)
    slope = 2 * (x - minimum)
    limit = polyak((x - minimum).square().sum(dim=(1, 2, 3)), slope, slope)
    assert torch.allclose(x - limit[:, None, None, None] * slope, (x + minimum) / 2)
    unit, main = torch.ones(2, 1, 1), normal(3, 2, N, N, seed=2)
    for share, cut in ((1e3, True), (1e-3, False)):
        free, held = (
            combine_steps(main, [Step(slope, share, most)], unit) - main for most in (None, limit)
        )
        assert torch.allclose(held, limit[:, None, None, None] * slope if cut else free)


def test_few_long_steps_do_not_let_the_term_run_away():
    """A term that would move the state a thousand times as far as the sensors moves it little,
    but for the published preset."""
    prior, pde = fitted("helmholtz", symmetric=False), pde_by_name("helmholtz")
    _, observation = tuning_task("helmholtz", "both", grid=N, sensors=20).instance(0)
    sizes = []
    for preset in ("default", "published"):
        term = EquiReg(share=1e3, every=1, sigma_max=20.0)
        solver = DiffusionPDE(steps=8, preset=preset, guidance=(term,))
        found = solver(pde, prior, observation, n_samples=2, generator=seeded())
        sizes.append(float((found.samples.std(dim=(0, 2, 3)) / prior.scale).max()))
    assert sizes[0] < 2 and not sizes[1] < 20
