"""The published solvers' formulas as in the papers' code, written once more in plain torch, and
what they are compared on: a small network, sensors on one field."""

import itertools
import math
from dataclasses import fields
from functools import cache

import torch
import torch.nn.functional as F
from helpers import seeded, tuning_task

from pdeinv import Problem
from pdeinv.datasets import pde_by_name
from pdeinv.priors import GaussianPrior, Noise, TrainingData
from pdeinv.solvers.diffusion.problem import SamplingProblem

N, SENSORS, LENGTH = 16, 12, 0.005
STEPS, LANGEVIN = 6, 5  # few: rounding grows where the published weights overshoot
# A factor of FunDPS's weights and τ of DAPS and DDIS, with which the samples stay near the prior,
# so that all terms count
GENTLE, SOFT = 1e-3, 0.1


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
def setting(name, kind="both", channels=2, noise="exponential"):
    """A PDE, a prior and noisy sensors."""
    pde = pde_by_name(name)
    grid = pde.grid(N)
    states, known = Problem(pde).sample(40, grid, seeded())[:, :channels], pde.default_prior
    fitted = GaussianPrior.fit(
        TrainingData(states.float(), pde.fields[:channels], grid, pde, "here", prior=known),
        noise=Noise(noise, LENGTH),
    )
    prior = SmallNetwork(
        **{f.name: getattr(fitted, f.name) for f in fields(fitted) if not f.name.startswith("_")}
    )
    _, observation = tuning_task(name, kind, grid=N, sensors=SENSORS, noise=0.1).instance(0)
    return pde, prior, observation


class Formulas:
    """D, H and y of the papers, for normalised fields."""

    def __init__(self, pde, prior, observation, seed, gentle=False):
        self.pde, self.prior, self.observation = pde, prior, observation
        self.weight, self.tau = (GENTLE, SOFT) if gentle else (1, 0.001)
        self.generator = seeded(seed)
        self.scale, self.shift = prior.scale[:, None, None], prior.shift[:, None, None]
        self.kind = "forward" if bool((observation.channel == 0).any()) else "inverse"
        self.spread = standard_deviations(pde, prior, observation)

    def D(self, z, sigma):
        return (self.prior.denoise(self.physical(z), sigma) - self.shift) / self.scale

    def physical(self, z):
        return self.shift + self.scale * z

    def xi(self, n):
        return self.prior.sample_noise(n, self.observation.grid, self.generator) / self.scale

    def misfit(self, state, normalised=True):
        """y - H x of the one field that is read, (batch, m), whatever its noise."""
        channel = 0 if self.kind == "forward" else 1
        unit = 2 * self.spread[channel] if normalised else 1
        return (self.observation.values - self.observation(state)) / unit


def standard_deviations(pde, prior, observation):
    """Those of the training data; of the prior's draws and their solves if it has one field."""
    if len(prior.fields) == 2:
        return prior.scale / 2
    return SamplingProblem(pde, prior, observation).field_std


def edm(n, low, high):
    levels = [
        (high ** (1 / 7) + i / (n - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7 for i in range(n)
    ]
    return [*levels, 0.0]


def wrt(loss, z):
    return torch.autograd.grad(loss.sum(), z)[0]


def heun(f, z, s, after):
    d = (z - f.D(z, s)) / s
    ahead = z + (after - s) * d
    if after == 0:
        return ahead, f.D(z, s)
    z0 = f.D(ahead, after)
    return z + (after - s) * (d + (ahead - z0) / after) / 2, z0


def dps(f, n):
    """DDPM's steps for x = (x0 + σ ξ) / sqrt(1 + σ²), with ζ' = 1."""
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    bar = torch.cumprod(1 - beta, 0)[[999, 799, 599, 400, 200, 0]].tolist() + [1.0]
    x = f.xi(n)
    for now, then in itertools.pairwise(bar):
        x = x.detach().requires_grad_()
        x0 = f.D(x / math.sqrt(now), math.sqrt((1 - now) / now))
        alpha = now / then  # 1 - β of the step
        after = math.sqrt(alpha) * (1 - then) / (1 - now) * x
        after = after + math.sqrt(then) * (1 - alpha) / (1 - now) * x0
        if then < 1:
            after = after + math.sqrt((1 - alpha) * (1 - then) / (1 - now)) * f.xi(n)
        squared = (f.misfit(f.physical(x0)) ** 2).sum(dim=1)
        step = 1 / squared.detach().sqrt()
        x = after - step[:, None, None, None] * wrt(squared, x)
    return f.physical(x)


FUNDPS = {  # loss, weight, weight of the residual, first level, last level
    ("poisson", "forward"): ("mse", 10000, 0, 80, 0.002),
    ("poisson", "inverse"): ("mse", 20000, 0, 10, 0.01),
    ("helmholtz", "forward"): ("mse", 10000, 1, 80, 0.002),
    ("helmholtz", "inverse"): ("l2", 5000, 1, 80, 0.002),
    ("darcy", "forward"): ("mse", 10000, 0, 80, 0.002),
    ("darcy", "inverse"): ("mse", 50000, 0, 80, 0.002),
    ("navier-stokes", "forward"): ("mse", 5000, 1, 80, 0.002),
    ("navier-stokes", "inverse"): ("l2", 7500, 10, 80, 0.002),
}


def fundps(f, n):
    loss, weight, physics, high, low = FUNDPS[f.pde.name, f.kind]
    s = edm(STEPS, low, high)
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        z = z.detach().requires_grad_()
        after, z0 = heun(f, z, s[i], s[i + 1])
        if i < STEPS - 1:
            mse = (f.misfit(f.physical(z0)) ** 2).mean(dim=1)
            total = f.weight * weight * (mse if loss == "mse" else mse.sqrt())
            if physics and s[i] <= 1:
                r = their_residual(f.pde, f.physical(z0))[:, :, 1:-1, 1:-1]
                total = total + physics * F.huber_loss(r, 0 * r, reduction="none").mean((1, 2, 3))
            after = after - wrt(total * (s[i] if s[i] <= 1 else 1), z)
        z = after
    return f.physical(z)


def their_residual(pde, state):
    """With a ring of nodes at the boundary that some of the codes leave out."""
    a, u = state[:, :1], state[:, 1:]
    out = F.pad(u, (1, 1, 1, 1))
    if pde.name in ("poisson", "helmholtz"):
        near = out[:, :, :-2, 1:-1] + out[:, :, 2:, 1:-1] + out[:, :, 1:-1, :-2]
        laplacian = (near + out[:, :, 1:-1, 2:] - 4 * u) * (N - 1) ** 2
        return laplacian - a + (u if pde.name == "helmholtz" else 0)
    kernel = torch.tensor([[[[-0.5, 0.0, 0.5]]]], dtype=torch.float64)

    def dx(w):
        return F.conv2d(w, kernel, padding=(0, 1))

    def dy(w):
        return F.conv2d(w, kernel.transpose(2, 3), padding=(1, 0))

    return dx(u) + dy(u) if pde.name == "navier-stokes" else dx(a * dx(u)) + dy(a * dy(u)) + 1


DIFFUSIONPDE = {  # units of the network, ζ of a, u and the residual, what its norm is divided by
    "poisson": ((1 / 2.15, 36.5), 0.8, 40, 1, (N - 1) ** 2),
    "helmholtz": ((1 / 2.15, 1 / 0.028), 0.8, 60, 1, (N - 1) ** 2),
    "darcy": ((0.2, 115), 5, 5000, 100, N**2),
    "navier-stokes": ((1 / 1.6, 1 / 1.6), 1, 1, 1, N**2),
}


def diffusionpde(f, n):
    s = edm(STEPS, 0.002, 80)
    units, zeta_a, zeta_u, zeta_pde, count = DIFFUSIONPDE[f.pde.name]
    zeta = zeta_a if f.kind == "forward" else zeta_u
    # A step in their variable, which is (units · field), in ours
    theirs = (torch.tensor(units, dtype=torch.float64)[:, None, None] * f.scale) ** -2
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        z = z.detach().requires_grad_()
        after, z0 = heun(f, z, s[i], s[i + 1])
        step = zeta * f.misfit(f.physical(z0), normalised=False).norm(dim=1)
        if i > 0.8 * STEPS:
            r = their_residual(f.pde, f.physical(z0))
            if f.pde.name != "darcy":
                r = r[:, :, 1:-1, 1:-1]
            step = 0.1 * step + zeta_pde * r.flatten(1).norm(dim=1) / count
        z = after - theirs * wrt(step, z)
    return f.physical(z)


def ode(f, z, levels, sigma):
    inner = edm(levels, 0.001, sigma)
    for j in range(levels):
        z, _ = heun(f, z, inner[j], inner[j + 1])
    return z.detach()


def langevin(f, z, sigma, rate, loss):
    start = z
    for _ in range(LANGEVIN):
        z = z.detach().requires_grad_()
        total = loss(f.physical(z)) / (2 * f.tau**2)
        total = total + ((z - start) ** 2).sum(dim=(1, 2, 3)) / (2 * sigma**2)
        z = z - rate * wrt(total, z) + 0.1 * math.sqrt(2 * rate) * f.xi(len(z))
    return z.detach()


def daps(f, n):
    s, weight = edm(STEPS, 0.01, 10), 10 if f.kind == "forward" else 1
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        z = ode(f, z, 10, s[i])
        rate = 1e-4 * (1 + i / STEPS * (0.01 - 1))
        z = langevin(f, z, s[i], rate, lambda x: weight * (f.misfit(x) ** 2).mean(dim=1))
        if s[i + 1] > 0:
            z = z + s[i + 1] * f.xi(n)
    return f.physical(z)


DDIS_WEIGHTS = {"poisson": (10, 15), "helmholtz": (5, 10), "navier-stokes": (20, 10)}


def ddis(f, n, solve):
    """In the first half of the levels on half as many nodes."""
    s, fine = edm(STEPS, 0.01, 10), f.observation
    f.observation = fine.on_grid(f.pde.grid(N // 2))
    z = s[0] * f.xi(n)
    for i in range(STEPS):
        if i == STEPS // 2:
            f.observation = fine
            z = F.interpolate(z, (N, N), mode="bilinear", align_corners=True) + s[i + 1] * f.xi(n)
        weight = DDIS_WEIGHTS.get(f.pde.name, (10, 15))[0 if i < STEPS // 2 else 1]

        def loss(a, weight=weight):
            a = f.pde.restrict(a)  # on whose sides this network is not 0
            return weight * f.misfit(torch.cat([a, solve(a)], dim=1)).abs().mean(dim=1)

        z = langevin(f, ode(f, z, 5, s[i]), s[i], 1e-4 * (1 + i / STEPS * (0.01 - 1)), loss)
        if s[i + 1] > 0:
            z = z + s[i + 1] * f.xi(n)
    return f.physical(z)
