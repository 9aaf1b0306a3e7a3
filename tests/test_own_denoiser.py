"""A denoiser of one's own as a prior: every solver by diffusion takes it."""

from functools import cache

import pandas as pd
import pytest
from helpers import gaussian_prior, seeded, tuning_task

from pdeinv import reconstruct
from pdeinv.datasets import Helmholtz
from pdeinv.priors import as_denoising_prior
from pdeinv.solvers import DAPS, DDIS, DPS, DiffusionPDE, FunDPS, Moment

N = 16


def fitted(channels=2):
    return gaussian_prior("helmholtz", N, 600, channels=channels)


class OwnDenoiser:
    """A prior as a user writes it, with no Gaussian part: here the denoiser of a Gaussian."""

    def __init__(self, known):
        self._known, self.fields = known, known.fields

    def denoise(self, x, sigma):
        return self._known.denoise(x, sigma)

    def sample_noise(self, n, grid, generator=None):
        return self._known.sample_noise(n, grid, generator)

    def sample(self, n, grid, generator=None):
        return self._known.sample(n, grid, generator)


@cache
def adapted(channels):
    return as_denoising_prior(OwnDenoiser(fitted(channels=channels)), Helmholtz())


@pytest.mark.parametrize(
    "solver",
    [
        DPS(steps=40),
        FunDPS(steps=30),
        DiffusionPDE(steps=30, weight=4.0),
        DAPS(steps=20, ode_steps=3, langevin=20, weights=(1000.0, 1000.0)),
        DDIS(steps=20, ode_steps=3, langevin=20),
        Moment(),
    ],
    ids=lambda s: s.name,
)
def test_a_denoiser_of_ones_own_is_as_good_as_the_same_prior_of_the_package(solver):
    channels = 1 if solver.role == "coefficient" else 2
    _, observation = tuning_task("helmholtz", "both", grid=N, sensors=30, seed=1).instance(0)
    solver.check(Helmholtz(), OwnDenoiser(fitted(channels=channels)))
    ours, theirs = (
        solver(Helmholtz(), prior, observation, n_samples=8, generator=seeded()).mean
        for prior in (adapted(channels), fitted(channels=channels))
    )
    apart = (ours - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)
    assert float(apart.max()) < 0.1


def test_a_denoiser_of_ones_own_goes_through_the_door():
    table = pd.DataFrame(
        {"field": "solution", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [1e-3, -1e-3]}
    )
    own = OwnDenoiser(fitted())
    result = reconstruct(
        table, "helmholtz", noise=0, grid=16, solver="fundps", prior=own, steps=12, n_samples=2
    )
    assert result.attrs["prior"] == "OwnDenoiser" and result.attrs["network_evaluations"] == 23
