"""Draws of a latent Gaussian field whose threshold is a two-valued coefficient, given readings.

The signs that readings of the coefficient imply are drawn exactly; readings of the solution are met
by annealed randomised maximum likelihood. See `LevelSet` for the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from pdeinv import seeds
from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField
from pdeinv.solvers.base import ProgressBar, antithetic
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.lbfgs import Preconditioner, minimise
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.signs import Signs

__all__ = ["SCHEDULES", "Members", "Stage", "anneal"]


class Stage(NamedTuple):
    """One stage of the annealing.

    Arguments:
        width: of the jump, relative to the latent field's standard deviation.
        error: allowed in the solution's readings, relative to their prior standard deviation.
        coarsening: nodes of the result for each node of the stage, along each side.
        iterations: of the minimisation.
    """

    width: float
    error: float
    coarsening: int
    iterations: int


SCHEDULES: dict[str, tuple[Stage, ...]] = {
    "thorough": (
        Stage(1.0, 1e-1, 4, 20),
        Stage(0.6, 4e-2, 4, 20),
        Stage(0.4, 2e-2, 4, 20),
        Stage(0.25, 1e-2, 4, 20),
        Stage(0.15, 5e-3, 4, 20),
        Stage(0.1, 3e-3, 2, 20),
        # Again, with the preconditioner of where the first ended: so the worst members get out
        Stage(0.1, 3e-3, 2, 20),
        Stage(0.07, 1e-3, 2, 20),
        Stage(0.07, 1e-3, 2, 20),
        Stage(0.05, 7e-4, 2, 20),
        Stage(0.03, 1e-3, 1, 15),
    ),
    "brief": (
        Stage(1.0, 1e-1, 4, 12),
        Stage(0.5, 3e-2, 4, 12),
        Stage(0.25, 1e-2, 4, 15),
        Stage(0.12, 4e-3, 2, 15),
        Stage(0.07, 1e-3, 2, 20),
        Stage(0.04, 1e-3, 1, 6),
    ),
}
"""Stages by name. The thorough ones take longer and have a lower error (docs/moment.md)."""

_COARSEST = 32  # nodes on the shorter side, below which no stage goes
_RANK = 200  # directions of the data that the preconditioner resolves
_PRECONDITIONER_NODES = 64  # on the shorter side, at most
_PRIOR_DRAWS = 16  # behind the typical standard deviation of the readings
_MOST_SHARED = 10.0  # of the spread between sensors, in standard deviations of the prior
# A member whose objective is beyond this many times the median, and chance, has not converged
_STUCK = 2.0


@dataclass(frozen=True)
class Members:
    """Draws of the latent field given the readings.

    Arguments:
        xi: draws of the latent field, flat, (k, size); antithetic pairs first where the solution is
            read.
        paired: how many of them are in pairs.
        latent: the field.
        width: of the jump with which they meet readings of the solution; None without such.
        reading_std: prior standard deviations of these readings, (m,); None without them.
        misfit: mean square misfit of the readings of the coefficient over its variance.
        diagnostics: of the sampler of signs.
    """

    xi: torch.Tensor
    paired: int
    latent: LatentField
    width: float | None
    reading_std: torch.Tensor | None
    misfit: float
    diagnostics: dict[str, float]

    def joined(self, others: Members) -> Members:
        """Return the members of both, drawn for the same readings."""
        (pairs, singles), (more_pairs, more_singles) = (
            (m.xi[: m.paired], m.xi[m.paired :]) for m in (self, others)
        )
        xi = torch.cat([pairs, more_pairs, singles, more_singles])
        return replace(self, xi=xi, paired=self.paired + others.paired)

    def field(self, grid: Grid) -> torch.Tensor:
        """Return the values of the latent field, (k, 1, ny, nx)."""
        return _latent(self.latent, self.xi, grid)


def anneal(
    forward: LatentMap,
    n: int,
    generator: torch.Generator | None,
    bar: ProgressBar,
    stages: Sequence[Stage],
) -> Members:
    """Draw the latent field given the readings.

    Arguments:
        forward: the map to the readings, with the prior; it counts the solves.
        n: draws, an even number where the solution is read; fewer are returned where some did not
            converge.
        generator: source of all randomness.
        bar: shows progress.
        stages: of the annealing, such as `SCHEDULES["thorough"]`.
    """
    latent, observation = forward.problem.latent, forward.observation
    signs = Signs(forward.problem, observation)
    eta, diagnostics = signs.sample(n, generator, bar)
    if not forward.sees_solution:
        return Members(eta, 0, latent, None, None, signs.misfit, diagnostics)
    seen = forward.observing(observation.subset(observation.channel >= 1))
    m, reading_std = len(seen.observation), _typical_std(seen)
    noise = antithetic(lambda k: torch.randn(k, m, dtype=torch.float64, generator=generator), n)
    # The first member is the mode: nothing in its problem is random.
    noise = torch.cat([noise.new_zeros(1, m), noise])
    centre = torch.cat([signs.mode(eta)[None], eta])
    std = latent.std
    xi = centre.clone()
    for width, error, coarsening, iterations in bar(stages, description="level set", unit="stage"):
        sigma = (seen.observation.noise_std**2 + (error * reading_std) ** 2).sqrt()
        fewest = min(observation.grid.shape)
        grid = observation.grid.at_most(max(min(_COARSEST, fewest), fewest // coarsening))
        on_grid = seen.observing(seen.observation.on_grid(grid))
        problem = SmoothedProblem(on_grid, signs, width * std, sigma, centre, sigma * noise)
        xi, value = minimise(problem.objective, xi, problem.preconditioner(xi), iterations)
    # At its minimum the objective is distributed as half a chi-squared of m degrees of freedom.
    kept = value[1:] <= _STUCK * value[1:].median() + 3 * (2 * m) ** 0.5
    whole = kept.unflatten(0, (-1, 2)).all(dim=1).repeat_interleave(2)
    ordered = torch.cat([xi[1:][whole], xi[1:][kept & ~whole]])
    return Members(
        *(ordered, int(whole.sum()), latent, width * std, reading_std, signs.misfit, diagnostics)
    )


class SmoothedProblem:
    """The members' objectives with one width of the jump, on one grid.

    Arguments:
        forward: the map to the readings of the solution, on the grid of the stage.
        signs: the readings of the coefficient.
        width: of the jump, in units of the latent field.
        sigma: standard deviation of the readings' error, (m,).
        centre: prior mean of each member's ξ, (k, size).
        noise: added to each member's readings, (k, m).
    """

    def __init__(
        self,
        forward: LatentMap,
        signs: Signs,
        width: float,
        sigma: torch.Tensor,
        centre: torch.Tensor,
        noise: torch.Tensor,
    ):
        self.forward, self.signs, self.width, self.sigma = forward, signs, width, sigma
        self.model, self.grid, self.centre = forward.problem, forward.grid, centre
        self.data = forward.observation.values + noise

    def objective(
        self, xi: torch.Tensor, members: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return -log posterior up to a constant, (k,), and its gradient (k, size).

        Arguments:
            xi: (k, size).
            members: whose objectives, indices (k,).
        """
        departure = xi - self.centre[members]
        with torch.enable_grad():
            latent = _latent(self.signs.latent, xi, self.grid).requires_grad_()
            a = self.model.smoothed(latent, self.width)
            residual = self.data[members] - self.forward.approximate(a)
            misfit = (residual / self.sigma).square().sum(dim=1) / 2
            (slope,) = torch.autograd.grad(misfit.sum(), latent)
            at_signs = (xi @ self.signs.rows.T).requires_grad_()
            likelihood = self.signs.log_likelihood(at_signs, self.width).sum(dim=1)
            (push,) = torch.autograd.grad(likelihood.sum(), at_signs)
        value = departure.square().sum(dim=1) / 2 + misfit.detach() - likelihood.detach()
        gradient = departure + self.signs.latent.square_root_adjoint(slope, self.grid).flatten(1)
        return value, gradient - push @ self.signs.rows

    def preconditioner(self, xi: torch.Tensor) -> Preconditioner:
        """Return the members' inverse Gauss–Newton Hessians, (I + Jᵀ J)⁻¹ with J = S D K^½.

        S, the sensitivity of the readings to the coefficient over σ, is that of the first member on
        a coarse grid, reduced to its leading directions; D, the slope of the smoothed coefficient
        at the latent field, is each member's own.

        Arguments:
            xi: (k, size), all members.
        """
        prior, grid = self.signs.latent, self.grid.at_most(_PRECONDITIONER_NODES)
        with torch.enable_grad():
            latent = _latent(prior, xi, grid).requires_grad_()
            a = self.model.smoothed(latent, self.width)
            (slope,) = torch.autograd.grad(a.sum(), latent)
        coarse = self.forward.observing(self.forward.observation.on_grid(grid))
        rows = coarse.jacobian(a[:1].detach()).flatten(1) / self.sigma[:, None]
        directions = torch.linalg.eigh(rows @ rows.T).eigenvectors
        leading = (directions[:, -_RANK:].T @ rows).float()
        slope = slope.float()
        resolved = prior.truncated(grid)  # the others would alias; they are left alone
        mask = prior.resolved(grid).float().flatten()
        factors = []
        for d in slope:
            rows = (leading * d.flatten()).reshape(-1, 1, *grid.shape)
            rows = resolved.square_root_adjoint(rows, grid).flatten(1)
            gram = (rows @ rows.T).double()
            factors.append(cholesky_with_nugget(gram, torch.ones(len(gram), dtype=torch.float64)))
        lowers = torch.stack(factors)

        def apply(z: torch.Tensor) -> torch.Tensor:  # z - Jᵀ (I + J Jᵀ)⁻¹ J z
            field = slope * _latent(prior, mask * z.float(), grid)
            readings = (field.flatten(1) @ leading.T).double()
            weights = torch.cholesky_solve(readings[:, :, None], lowers)[:, :, 0].float()
            back = slope * (weights @ leading).reshape(field.shape)
            return z - (mask * prior.square_root_adjoint(back, grid).flatten(1)).double()

        return apply


def _latent(prior: LatentField, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Latent field (k, 1, ny, nx) of flat draws (k, size)."""
    return prior.square_root(xi.unflatten(1, prior.shape), grid)


def _typical_std(forward: LatentMap) -> torch.Tensor:
    """Standard deviations (m,) of the readings over the prior and the sensors of their field.

    A slope that all draws share, such as that between two sides, counts up to a multiple of what
    the prior varies.
    """
    observation = forward.observation
    grid = observation.grid.at_most(_COARSEST)
    generator = seeds.generator(seeds.STATISTICS)
    a = forward.problem.sample_coefficient(_PRIOR_DRAWS, grid, generator)
    coarse = forward.observing(observation.on_grid(grid))
    readings = coarse.approximate(a)
    typical = torch.ones_like(observation.values)
    for channel in observation.channel.unique():
        mine = observation.channel == channel
        varied = _MOST_SHARED * readings[:, mine].var(dim=0).mean().sqrt()
        std = torch.minimum(readings[:, mine].std(), varied)
        # Sensors where the field is fixed have no scale of their own
        typical[mine] = std if std > 0 else 1.0
    return typical
