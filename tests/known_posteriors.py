"""Posteriors that are known: dense linear algebra, closed forms and rejection, without a solver.

The unknown of all is the latent field at the nodes, of mean zero, or the state, node by node.
"""

import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from helpers import seeded
from scipy.special import gamma, kv

from pdeinv.coefficients import GaussianField, LogNormal
from pdeinv.observation import Observation

VAGUE = 1e3
"""Standard deviations of the field that stand in for a mean of which nothing is known."""


class Moments(NamedTuple):
    """Pointwise mean and standard deviation, both (channel, ny, nx)."""

    mean: torch.Tensor
    std: torch.Tensor


class Gaussian(NamedTuple):
    """Mean (k,) and covariance (k, k) of as many numbers."""

    mean: torch.Tensor
    covariance: torch.Tensor

    def given(self, rows, values, variance):
        """Return the conditional distribution given values (m,) of linear readings with noise.

        Arguments:
            rows: (m, k), of the readings.
            values: (m,).
            variance: of their noise, (m,).
        """
        cross = self.covariance @ rows.T
        gain = torch.linalg.solve(rows @ cross + torch.diag(variance), cross.T).T
        mean = self.mean + gain @ (values - rows @ self.mean)
        return Gaussian(mean, self.covariance - gain @ cross.T)

    def mapped(self, matrix, offset):
        """Return the distribution of matrix x + offset."""
        return Gaussian(matrix @ self.mean + offset, matrix @ self.covariance @ matrix.T)

    def draws(self, n, seed=0):
        """Return n draws (n, k)."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root = vectors * values.clamp(min=0).sqrt()
        normal = torch.randn(n, len(values), dtype=torch.float64, generator=seeded(seed))
        return self.mean + normal @ root.T

    def moments(self, grid):
        std = self.covariance.diagonal().clamp(min=0).sqrt()
        return Moments(self.mean.reshape(-1, *grid.shape), std.reshape(-1, *grid.shape))


def moments(states):
    """Return the moments of draws (n, channel, ny, nx)."""
    return Moments(states.mean(dim=0), states.std(dim=0))


def field_of(prior):
    """Return the `GaussianField` behind a prior, None for one without."""
    if isinstance(prior, LogNormal):
        return prior.logarithm
    if isinstance(prior, GaussianField):
        return prior
    return getattr(prior, "field", None) and field_of(prior.field)


def with_known_mean(prior):
    """Return a prior with the mean known, where it is that of a `GaussianField`."""
    unknown = [n for n in ("mean_std", "log_median_std") if prior.numbers.get(n)]
    return prior.with_numbers(**dict.fromkeys(unknown, 0.0))


@cache
def latent(prior, grid):
    """Return the distribution of the latent field at the nodes, of mean zero."""
    field, n = field_of(prior), grid.nodes
    about_mean = with_known_mean(prior).latent(grid.domain, grid.kind)
    eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, *grid.shape)
    covariance = about_mean.covariance(eye, grid).reshape(n, n)
    if field is not None and field.mean_std:
        covariance = covariance + min(field.mean_std, VAGUE * field.std) ** 2
    return Gaussian(torch.zeros(n, dtype=torch.float64), (covariance + covariance.T) / 2)


def matern_covariance(field, grid):
    """Return the covariance (k, k) of a `GaussianField` at the nodes, by its closed form."""
    angle, nu = math.radians(field.angle), field.smoothness
    points = grid.points().numpy()
    apart = points[:, None] - points[None]
    along = apart @ np.array([math.cos(angle), math.sin(angle)]) / field.length
    across = apart @ np.array([-math.sin(angle), math.cos(angle)])
    r = np.hypot(along, across / (field.anisotropy * field.length))

    def matern(z):
        z = np.maximum(z, 1e-10)
        return 2 ** (1 - nu) / gamma(nu) * z**nu * kv(nu, z)

    low, high = 1e-6, 50.0  # the argument at which the correlation is 1/e, by bisection
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if matern(middle) > math.exp(-1) else (low, middle)
    return torch.as_tensor(field.std**2 * matern(low * r))


@cache
def response(pde, grid):
    """Return the matrix (channels k, k) and the offset (channels k,) of a state that is affine in
    its coefficient, by solves of unit vectors."""
    k = grid.nodes
    unit = torch.eye(k, dtype=torch.float64).reshape(k, 1, *grid.shape)

    def state(a):
        a = pde.restrict(a)
        return torch.cat([a, pde.respond(a)], dim=1).flatten(1)

    offset = state(torch.zeros_like(unit[:1]))[0]
    return (state(unit) - offset).T, offset


def rows_of(observation):
    """Return the readings as a matrix (m, channels k) of zeros and ones: they are at nodes."""
    grid = observation.grid
    shares = grid.domain.relative(observation.points)
    ix, iy = (
        (shares[:, d] * cells).round().long()
        for d, cells in zip((0, 1), grid.cells[::-1], strict=True)
    )
    rows = torch.zeros(len(observation), len(observation.order) * grid.nodes, dtype=torch.float64)
    rows[torch.arange(len(rows)), observation.channel * grid.nodes + iy * grid.nx + ix] = 1.0
    return rows


def prior_mean(prior):
    """Return the mean of a Gaussian coefficient."""
    field = field_of(prior)
    return field.mean if field is not None else 0.0


def linear_posterior(problem, observation):
    """Return the distribution of the state, (channels k,), of a linear problem."""
    grid = observation.grid
    matrix, offset = response(problem.physics, grid)
    mean = torch.full((grid.nodes,), prior_mean(problem.prior), dtype=torch.float64)
    states = Gaussian(mean, latent(problem.prior, grid).covariance).mapped(matrix, offset)
    return states.given(rows_of(observation), observation.values, observation.noise_std**2)


def latent_posterior(prior, observation, values):
    """Return the distribution of the latent field (k,), given its values at sensors of the
    coefficient."""
    rows = rows_of(observation)[:, : observation.grid.nodes]
    variance = torch.full_like(values, 1e-12 * float(values.var()))
    return latent(prior, observation.grid).given(rows, values, variance)


def pushed_forward(prior, gaussian, grid):
    """Return mean and standard deviation (ny, nx) of the coefficient, a function of the latent
    field, node by node: by the log-normal formulas, or by quadrature."""
    mean, variance = gaussian.mean, gaussian.covariance.diagonal().clamp(min=0)
    if isinstance(prior, LogNormal):
        first = prior.median * (mean + variance / 2).exp()
        std = first * torch.expm1(variance).sqrt()
    else:
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        x, w = torch.as_tensor(nodes)[:, None], torch.as_tensor(weights / weights.sum())
        values = prior.coefficient(mean + variance.sqrt() * x)
        first = w @ values
        std = (w @ (values - first) ** 2).sqrt()
    return first.reshape(grid.shape), std.reshape(grid.shape)


@lru_cache(maxsize=3)
def latent_draws(prior, grid, n):
    """Return n latent fields (n, k); those of three grids are kept, since they are large."""
    return latent(prior, grid).draws(n)


def rejected(prior, observation, draws=40_000):
    """Return latent fields (n, k) of a two-phase medium that agree with exact readings of it."""
    rows = rows_of(observation)[:, : observation.grid.nodes]
    g = latent_draws(prior, observation.grid, draws)
    field, share = field_of(prior), torch.tensor(prior.share, dtype=torch.float64)
    threshold = 0.0
    if prior.share != 0.5:  # of a field of one variance
        threshold = math.sqrt(2) * float(torch.special.erfinv(1 - 2 * share))
        threshold *= math.hypot(field.std, field.mean_std)
    high = g >= threshold
    wanted = observation.values > (prior.low + prior.high) / 2
    kept = (high[:, rows.argmax(dim=1)] == wanted).all(dim=1)
    return torch.where(high[kept], prior.high, prior.low)


@cache
def coefficient_moments(prior, grid):
    """Return the prior distribution of the coefficient at the nodes up to second moments, whose
    conditional mean is the best linear estimate; (k,) and (k, k)."""
    covariance = latent(prior, grid).covariance
    one = torch.ones(len(covariance), dtype=torch.float64)
    if isinstance(prior, LogNormal):
        mean = prior.median * (covariance.diagonal() / 2).exp()
        return Gaussian(mean, mean[:, None] * mean * torch.expm1(covariance))
    if prior.affine:
        return Gaussian(prior_mean(prior) * one, covariance)
    a = prior.coefficient(latent(prior, grid).draws(20_000, seed=9))
    return Gaussian(a.mean(dim=0), a.T.cov())


@cache
def linearised_prior(problem, grid, step=1e-2):
    """Return the distribution of the state, (channels k,), of a problem that is linearised at the
    prior's mean, by differences of states; the step is relative to the latent field's."""
    k = grid.nodes
    unit = torch.eye(k, dtype=torch.float64).reshape(k, 1, *grid.shape)

    def states(g):
        a = problem.coefficient(g)
        return torch.cat([a, problem.physics.respond(a)], dim=1).flatten(1)

    scale = step * problem.latent.std
    matrix = ((states(scale * unit) - states(-scale * unit)) / (2 * scale)).T
    centre = states(0 * unit[:1])[0]
    return latent(problem.prior, grid).mapped(matrix, centre)


def learned_posterior(model, pde, observation):
    """Return the distribution of the state, (channels k,), of a fitted Gaussian prior."""
    grid = observation.grid
    channels = len(model.fields)
    size = channels * grid.nodes
    eye = torch.eye(size, dtype=torch.float64).reshape(size, channels, *grid.shape)
    states = Gaussian(model.mean(grid).flatten().double(), model.covariance(eye).reshape(size, -1))
    if channels == 1:
        states = states.mapped(*response(pde, grid))
    return states.given(rows_of(observation), observation.values, observation.noise_std**2)


def at_nodes(pde, grid, channel, state, noise, seed=0):
    """Return readings of a state (channel, ny, nx) at nodes that are not on a side.

    Arguments:
        channel: of each reading.
        noise: its standard deviation relative to that of its field.
    """
    inner = torch.zeros(grid.shape, dtype=torch.bool)
    inner[(slice(None) if grid.periodic else slice(1, -1),) * 2] = True
    candidates, channel = inner.flatten().nonzero()[:, 0], torch.as_tensor(channel)
    chosen = torch.cat(
        [
            candidates[torch.randperm(len(candidates), generator=seeded(seed + 10 + c))][
                : int((channel == c).sum())
            ]
            for c in channel.unique().tolist()
        ]
    )
    channel = channel.sort().values
    std = noise * state.flatten(1).std(dim=1)[channel]
    values = state.flatten(1)[channel, chosen]
    values = values + std * torch.randn(len(std), dtype=torch.float64, generator=seeded(seed + 5))
    order = tuple(f.interpolation_order for f in pde.fields)
    return Observation(grid, grid.points()[chosen], channel, values, std, order)
