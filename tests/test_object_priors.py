"""Coefficients without a latent Gaussian field: objects, scenarios, vortices; their symmetries."""

import math
from dataclasses import replace

import pytest
import torch
from helpers import seeded
from scipy import stats

from pdeinv import (
    Channels,
    Grid,
    Inclusions,
    InputError,
    Problem,
    Scenarios,
    Spikes,
    TwoPhase,
)
from pdeinv.coefficients.objects import Scenes
from pdeinv.datasets import Darcy, NavierStokes, Poisson, Vortices
from pdeinv.solvers.scene_moves import SceneMoves
from pdeinv.symmetry import Symmetry, square_group

OBJECTS = {"channels": Channels(), "inclusions": Inclusions(), "spikes": Spikes()}
each_prior = pytest.mark.parametrize("prior", OBJECTS.values(), ids=OBJECTS)
EIGHT = tuple(22.5 * i for i in range(8))
INVARIANT = OBJECTS | {"scenarios": Scenarios((0.2, 0.4), EIGHT)}


def scores(a, moved):
    """Differences of several moments of fields and of moved ones, in standard errors."""
    weights = torch.randn(6, a[0].numel(), dtype=torch.float64, generator=seeded(5)).T
    one, other = (x.flatten(1) @ weights for x in (a - a.mean(), moved - moved.mean()))
    found = []
    for statistic in (
        lambda v: v,
        lambda v: v * v.roll(1, dims=1),
        lambda v: v * v.roll(1, dims=1) * v.roll(2, dims=1),
    ):
        difference = statistic(one) - statistic(other)
        found.append(difference.mean(dim=0) / difference.std(dim=0) * len(a) ** 0.5)
    return torch.cat(found).abs()


@pytest.mark.parametrize("prior", INVARIANT.values(), ids=INVARIANT)
def test_every_symmetry_of_the_square_keeps_the_law(prior):
    grid = Grid(12)
    a = prior.sample(1500, grid, seeded(1))
    for element in square_group():
        assert prior.keeps(element, grid.domain)
        if element != Symmetry():
            assert float(scores(a, element(a, grid)).max()) < 4.5
    assert len(Problem(Poisson(), prior if prior.name != "channels" else Spikes()).symmetries) == 8


UNBALANCED = {
    "inclusions": Inclusions(centre=(0.05, 0.6)),
    "spikes": Spikes(centre=(0.15, 0.6)),
    "scenarios": Scenarios((0.4,), (0, 30)),
}


@pytest.mark.parametrize("prior", UNBALANCED.values(), ids=UNBALANCED)
def test_a_law_that_is_not_symmetric_claims_nothing(prior):
    grid = Grid(12)
    a = prior.sample(1500, grid, seeded(1))
    quarter = Symmetry(((0, -1), (1, 0)), (1.0, 0.0))
    assert not prior.keeps(quarter, grid.domain)
    assert float(scores(a, quarter(a, grid)).max()) > 4.5


def test_vortices_keep_the_symmetries_of_the_torus_and_mirrored_ones_change_their_sign():
    prior, grid = Vortices(time=1.0, nodes=16), Grid(16, kind="periodic")
    problem = Problem(NavierStokes(viscosity=1e-4), prior)
    a = prior.sample(300, grid, seeded(1))
    assert len(problem.symmetries) == 8 and problem.symmetries.translations
    for element in problem.symmetries.elements[1:]:
        moved = element(torch.cat([a, a], dim=1), grid)[:, :1]
        assert float(scores(a, moved).max()) < 4.5
    mirrored = Symmetry(((-1, 0), (0, 1)))
    assert prior.keeps_as_pseudo_scalar(mirrored, grid.domain)
    assert not prior.keeps(mirrored, grid.domain)
    assert float(scores(a, a.roll((3, 5), dims=(2, 3))).max()) < 4.5


def test_vortices_are_those_of_the_flow_and_the_same_on_every_grid():
    prior, grid = Vortices(time=0.4, nodes=16, strength=2.0), Grid(16, kind="periodic")
    start = Problem(NavierStokes()).prior.sample(2, grid, seeded())
    flow = NavierStokes(viscosity=1e-4, time=0.4, dt=0.05)
    torch.testing.assert_close(prior.sample(2, grid, seeded()), flow.solve(2 * start))
    coarse = prior.sample(2, Grid(8, kind="periodic"), seeded())
    torch.testing.assert_close(coarse, flow.solve(2 * start)[..., ::2, ::2])


@each_prior
def test_moves_leave_the_prior_as_it_is(prior):
    """Chains that all start at one scene, with no readings, end as draws of the prior."""
    chains = 1500
    moves, rows = SceneMoves(prior, 1, chains, seeded(3)), torch.arange(chains)
    first = prior.draw_scenes(1, seeded(4))
    scenes = replace(first, count=torch.full((1,), prior.fewest)).repeated(chains)
    for _ in range(250):
        proposed, allowed = moves(scenes, rows)
        scenes = proposed.where(allowed, scenes)
        moves.learn(allowed)
        moves.keep(scenes)
    # One object of each, at random: the moves put them in order
    which = (torch.rand(chains, generator=seeded(5)) * scenes.count).long()
    numbers = [scenes.common]
    if prior.fewest:
        numbers.append(scenes.objects[rows, which])
    for column in torch.cat(numbers, dim=1).T:
        assert stats.kstest(column.numpy(), "uniform").pvalue > 1e-5
    for k in range(prior.fewest, prior.most + 1):
        expected = chains / (prior.most - prior.fewest + 1)
        assert abs(int((scenes.count == k).sum()) - expected) < 4.5 * math.sqrt(expected)
    for k in (0, scenes.common.shape[1] - 1):
        assert not scenes.common.numel() or float(scenes.common[:, k].std()) > 0.2


@each_prior
def test_numbers_beyond_their_ends_are_other_names_of_the_same_scenes(prior):
    scenes, grid = prior.draw_scenes(5, seeded()), Grid(24)
    image = prior.render(scenes, grid)
    turned = Scenes(scenes.common + 1, scenes.objects.clone(), scenes.count)
    if prior.common:  # half a turn of the direction: offsets and phases change their signs
        turned.objects[..., 0] = 1 - turned.objects[..., 0]
        turned.objects[..., 4] = -turned.objects[..., 4]
    torch.testing.assert_close(prior.render(prior.wrapped(turned), grid), image)
    far = Scenes(scenes.common, 5 * scenes.objects - 2, scenes.count)
    wrapped = prior.wrapped(far)
    assert float(wrapped.objects.min()) >= 0 and float(wrapped.objects.max()) <= 1
    cyclic = list(prior.cyclic)
    assert torch.allclose(
        wrapped.objects[..., cyclic], (5 * scenes.objects - 2)[..., cyclic].remainder(1)
    )


def test_channels_are_those_of_the_formula():
    prior, grid = Channels(fewest=1, most=1), Grid(33)
    scenes = prior.draw_scenes(20, seeded())
    y, x = torch.meshgrid(*grid.coordinates(), indexing="ij")
    for scene, image in zip(
        torch.cat([scenes.common, scenes.objects[:, 0]], 1), prior.render(scenes, grid), strict=True
    ):
        theta, offset, amplitude, wavelength, width, phase = scene.tolist()
        theta, phase = math.pi * theta, 2 * math.pi * phase
        offset = (2 * offset - 1) * 0.99 * math.sqrt(2) / 2
        amplitude, wavelength = 0.03 + 0.09 * amplitude, 0.35 + 0.45 * wavelength
        width = 0.05 + 0.05 * width
        a = (x - 0.5) * math.cos(theta) + (y - 0.5) * math.sin(theta)
        b = (y - 0.5) * math.cos(theta) - (x - 0.5) * math.sin(theta)
        turns = 2 * math.pi / wavelength
        slope = amplitude * turns * (turns * a + phase).cos()
        off = (b - offset - amplitude * (turns * a + phase).sin()).abs()
        inside = off / (1 + slope**2).sqrt() < width / 2
        assert torch.equal(image[0], torch.where(inside, 12.0, 3.0).double())


def test_ellipses_have_their_stated_areas():
    prior = Inclusions(fewest=1, most=1, centre=(0.4, 0.6))
    scenes = prior.draw_scenes(40, seeded())
    share = (prior.render(scenes, Grid(401)) > 5).double().mean(dim=(1, 2, 3))
    one, other = (0.06 + 0.12 * scenes.objects[:, 0, k] for k in (2, 3))
    torch.testing.assert_close(share, math.pi * one * other, rtol=0.01, atol=0)


def test_spikes_have_their_stated_integrals():
    prior = Spikes(fewest=1, most=1, centre=(0.3, 0.7))
    scenes = prior.draw_scenes(40, seeded())
    mean = prior.render(scenes, Grid(400, extent=(0, 1, 0, 1))).mean(dim=(1, 2, 3))
    radius, signed = 0.05 + 0.1 * scenes.objects[:, 0, 2], 2 * scenes.objects[:, 0, 3] - 1
    height = signed.sign() * (0.5 + 1.5 * signed.abs())
    torch.testing.assert_close(mean, height * math.pi * radius**2 / 3, rtol=0.01, atol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Channels(low=5, high=3), r"low must be below high in a channels prior"),
        (lambda: Channels(width=(0.2, 0.1)), "width of the channels prior must be the least and"),
        (lambda: Inclusions(fewest=4, most=2), "most of the inclusions prior must be .* got 2"),
        (lambda: Scenarios(()), "must be 1 to 100 scenarios, got 0; give some"),
        (lambda: Spikes(radius=0.1), r"radius of the spikes prior must be a tuple of 2 entries"),
        (lambda: Vortices(nodes=3), "nodes of the vortices prior must be"),
        (lambda: TwoPhase(Channels(), 1, 2), "must be a Gaussian field .* got channels"),
        (lambda: Problem(NavierStokes(), Spikes()), "spikes prior must have sides, got a periodic"),
        (lambda: Problem(Poisson(), Vortices()), "vortices prior must be periodic, got one with"),
        (lambda: Problem(Darcy(), Spikes()), "must be positive everywhere, got the spikes prior"),
        (lambda: Problem(Darcy(), Channels()).latent, "which has none; use one such as a gauss"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()
