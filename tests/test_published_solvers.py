"""The published solvers against a second transcription of their formulas, line by line, on a small
network."""

import math
from dataclasses import dataclass, fields, replace
from functools import cache

import pytest
import torch
from helpers import seeded, tuning_task

from pdeinv.datasets import Helmholtz, pde_by_name
from pdeinv.priors import GaussianPrior, Noise, TrainingData
from pdeinv.solvers import DAPS, DDIS, DPS, DiffusionPDE, FunDPS
from pdeinv.solvers.diffusion.problem import Problem
from pdeinv.solvers.diffusion.published import diffusionpde_constants, fundps_constants

N, STEPS, BOTH = 16, 10, ("helmholtz", "navier-stokes")
PUBLISHED_NODES = 128
GENTLE = 0.05  # of the weights that ten steps would have, with which rounding grows a thousandfold


class SmallNetwork(GaussianPrior):
    """In double precision, so that only the algorithms can differ."""

    def denoise(self, x, sigma):
        torch.manual_seed(0)
        channels = len(self.fields)
        first = 0.3 * torch.randn(8, channels, 3, 3, dtype=torch.float64)
        second = 0.3 * torch.randn(channels, 8, 3, 3, dtype=torch.float64)
        z = (x - self.shift[:, None, None]) / self.scale[:, None, None]
        inside = z / math.sqrt(sigma**2 + 0.25)
        learned = torch.conv2d(
            torch.tanh(torch.conv2d(inside, first, padding=1)), second, padding=1
        )
        z = z * 0.25 / (sigma**2 + 0.25) + 0.5 * sigma / math.sqrt(sigma**2 + 0.25) * learned
        return z * self.scale[:, None, None] + self.shift[:, None, None]


@cache
def setting(name, channels=2, noise="exponential"):
    """A PDE, a prior, sensors on both fields; and the formulas' own view of the prior, in
    normalised fields."""
    pde = pde_by_name(name)
    grid = pde.grid(N)
    states = pde.sample(40, grid, seeded())[:, :channels]
    fitted = GaussianPrior.fit(
        TrainingData(states.float(), pde.fields[:channels], grid, pde, "here"), noise=Noise(noise)
    )
    prior = SmallNetwork(
        **{f.name: getattr(fitted, f.name) for f in fields(fitted) if not f.name.startswith("_")}
    )
    _, observation = tuning_task(name, "both", grid=N, sensors=12, noise=0.1).instance(0)
    return pde, prior, observation


class Formulas:
    """D, H, y and C of the papers, for normalised fields."""

    def __init__(self, pde, prior, observation, seed):
        self.pde, self.prior, self.observation, self.generator = (
            pde,
            prior,
            observation,
            seeded(seed),
        )
        self.scale, self.shift = prior.scale[:, None, None], prior.shift[:, None, None]
        self.units = 2 * Problem(pde, prior, observation).field_std
        # The covariance of the noise, column by column, scaled to be one on coarse scales of 128 x
        # 128 nodes.
        modes = max(b.capacity(observation.grid) for b in prior.bases)
        unit = torch.eye(modes**2, dtype=torch.float64).reshape(-1, 1, modes, modes)
        self.C = []
        for basis in prior.bases:
            columns = prior.noise.sample((basis,), observation.grid, unit).flatten(1)
            low = (
                2 * math.pi * (prior.noise.length * PUBLISHED_NODES) ** 2
                if prior.noise.kind != "white"
                else 1.0
            )
            self.C.append(columns.T @ columns / low)

    def D(self, z, sigma):
        return (self.prior.denoise(self.physical(z), sigma) - self.shift) / self.scale

    def physical(self, z):
        return self.shift + self.scale * z

    def xi(self, n):
        return self.prior.sample_noise(n, self.observation.grid, self.generator) / self.scale

    def residuals(self, state, units, blur=0.1):
        """(y - H x) / unit of the coefficient's and of the solution's sensors, the noisy ones
        discounted."""
        o, spread = self.observation, self.units / 2
        y = o.values - o(state)
        trust = 1 / torch.sqrt(1 + (o.noise_std / (blur * spread[o.channel])) ** 2)
        return [(y * trust)[:, o.channel == c] / units[c] for c in (0, 1)]

    def to_function_space(self, gradient):
        return torch.stack(
            [
                (g.flatten(1) @ C).reshape(g.shape)
                for g, C in zip(gradient.unbind(1), self.C, strict=True)
            ],
            dim=1,
        )


@cache
def standard_deviations(pde):
    states = pde.sample(64, pde.grid(32), seeded())
    return torch.stack([states[:, 0].std(), states[:, 1].std()])


def edm(n, low, high):
    levels = [
        (high ** (1 / 7) + i / (n - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(n)
    ]
    return [*levels, 0.0]


def wrt(loss, z):
    return torch.autograd.grad(loss.sum(), z)[0]


def dps(f, n):
    s = edm(STEPS, 0.01, 80)
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        z = z.detach().requires_grad_()
        z0 = f.D(z, s[i])
        r_a, r_u = f.residuals(f.physical(z0), f.units)
        loss = 40 * 1000 / STEPS * (r_a.norm(dim=1) + r_u.norm(dim=1))
        after = z0 + s[i + 1] ** 2 / s[i] ** 2 * (z - z0)
        if s[i + 1] > 0:
            after = after + s[i + 1] * math.sqrt(1 - s[i + 1] ** 2 / s[i] ** 2) * f.xi(n)
        z = after - f.to_function_space(wrt(loss, z))
    return f.physical(z)


def heun(f, z, s, after):
    d = (z - f.D(z, s)) / s
    ahead = z + (after - s) * d
    if after == 0:
        return ahead, f.D(z, s)
    z0 = f.D(ahead, after)
    return z + (after - s) * (d + (ahead - z0) / after) / 2, z0


def fundps(f, n):
    s = edm(STEPS, 0.002, 80)
    weights, roots, physics = {
        "helmholtz": ((1e4, 5e3), (False, True), 1.0),
        "navier-stokes": ((5e3, 7.5e3), (False, True), 10.0),
    }[f.pde.name]
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        z = z.detach().requires_grad_()
        after, _ = heun(f, z, s[i], s[i + 1])
        state = f.physical(f.D(z, s[i]))
        loss = 0
        for r, w, root in zip(f.residuals(state, f.units), weights, roots, strict=True):
            loss = loss + w * (r**2).mean(dim=1) ** (0.5 if root else 1)
        if s[i] <= 1:
            loss = s[i] * (loss + physics * (their_residual(f.pde, state) ** 2).mean(dim=(1, 2, 3)))
        z = after - f.to_function_space(wrt(500 / STEPS * loss, z))
    return f.physical(z)


def their_residual(pde, state):
    if pde.name == "helmholtz":
        return pde.residual(state[:, :1], state[:, 1:])
    w = state[:, 1:]
    return (torch.roll(w, -1, 3) - torch.roll(w, 1, 3)) * N / 2 + (
        torch.roll(w, -1, 2) - torch.roll(w, 1, 2)
    ) * N / 2


def diffusionpde(f, n):
    s = edm(STEPS, 0.002, 80)
    scales, zeta, zeta_pde, nodes = {
        "helmholtz": ((1 / 2.15, 1 / 0.028), (0.8, 60), 1, (N - 1) ** 2),
        "navier-stokes": ((1 / 1.6, 1 / 1.6), (1, 1), 1, N**2),
    }[f.pde.name]
    # Their network sees (scale · field): that many of our units.
    theirs = torch.tensor(scales)[:, None, None] * f.scale
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        z = z.detach().requires_grad_()
        after, z0 = heun(f, z, s[i], s[i + 1])
        state = f.physical(z0)
        r_a, r_u = f.residuals(state, (1.0, 1.0))
        gradient = GENTLE * wrt(zeta[0] * r_a.norm(dim=1) + zeta[1] * r_u.norm(dim=1), z)
        if i > 0.8 * STEPS:
            after, z0 = heun(f, z, s[i], s[i + 1])
            misfit = wrt(
                zeta_pde * their_residual(f.pde, f.physical(z0)).flatten(1).norm(dim=1) / nodes, z
            )
            gradient = 0.1 * gradient + misfit
        z = after - 2000 / STEPS * f.to_function_space(gradient) / theirs**2
    return f.physical(z)


def daps(f, n, full=lambda state: state, weights=(10.0, 1.0), langevin=7):
    s = edm(STEPS, 0.01, 10)
    tau = 1e-3
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        inner, x = edm(4, 0.001, s[i]), z
        for j in range(4):
            x, _ = heun(f, x, inner[j], inner[j + 1])
        x0 = start = x.detach()
        rate = 200 / STEPS * 1e-8 * (1e-2) ** (i / (STEPS - 1))
        for _ in range(langevin):
            x0 = x0.detach().requires_grad_()
            # A noisy reading's variance is added to τ², both in units of the normalised field.
            loss = 0
            for r, w in zip(
                f.residuals(full(f.physical(x0)), f.units, blur=2 * tau),
                weights,
                strict=True,
            ):
                loss = loss + w * (r**2).mean(dim=1) / (2 * tau**2)
            step = (x0 - start) / s[i] ** 2 + f.to_function_space(wrt(loss, x0))
            x0 = x0 - rate * step + 0.1 * math.sqrt(2 * rate) * f.xi(n)
        z = x0.detach()
        if s[i + 1] > 0:
            z = z + s[i + 1] * f.xi(n)
    return f.physical(z)


SMALL = {"steps": STEPS, "careful": False}
JOINT = [
    (DPS(**SMALL), dps),
    (FunDPS(**SMALL), fundps),
    (DiffusionPDE(weight=GENTLE, **SMALL), diffusionpde),
    (DAPS(**SMALL, ode_steps=4, langevin=7, rate=1e-8, last_rate=1e-10), daps),
]


@pytest.mark.parametrize("noise", ["exponential", "white"])
@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("solver", "formula"), JOINT, ids=lambda s: getattr(s, "name", ""))
def test_a_published_solver_follows_its_formula(solver, formula, name, noise):
    pde, prior, observation = setting(name, noise=noise)
    ours = solver(pde, prior, observation, n_samples=2, generator=seeded(5)).samples
    theirs = formula(Formulas(pde, prior, observation, 5), 2)
    assert relative_distance(ours, theirs) < 1e-6


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("physics", ["solver", "mine"])
def test_ddis_follows_its_formula(name, physics):
    pde, _, observation = setting(name)
    _, prior, _ = setting(name, channels=1)
    solve = pde.solve if physics == "solver" else lambda a: torch.tanh(a.roll(1, -1)) / 9
    solver = DDIS(
        **SMALL,
        ode_steps=4,
        langevin=7,
        rate=1e-8,
        last_rate=1e-10,
        physics="solver" if physics == "solver" else solve,
    )
    ours = solver(pde, prior, observation, n_samples=2, generator=seeded(5)).samples
    formulas = Formulas(pde, prior, observation, 5)
    theirs = daps(
        formulas, 2, full=lambda a: torch.cat([a, solve(a)], dim=1), weights=(100.0, 100.0)
    )
    assert relative_distance(ours[:, :1], theirs) < 1e-6
    assert torch.equal(ours[:, 1:], pde.solve(ours[:, :1]))


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
        std = standard_deviations(pde)
        neutral = diffusionpde_constants(Unpublished(), std)
        published = diffusionpde_constants(pde, std)
        for c in (0, 1):
            # A step in physical units is proportional to this
            ours, theirs = (k.weights[c] / k.units[c] ** 2 for k in (neutral, published))
            assert 0.7 < ours / theirs < 1.4
    first, second = fundps_constants(Unpublished()).sensors
    assert first == second and first.residual_weight == 0


def relative_distance(a, b):
    return float((a - b).detach().norm() / b.detach().norm())
