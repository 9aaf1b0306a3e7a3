"""Bayesian level-set inversion: a two-valued coefficient, the threshold of a Gaussian field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.observation import Observation, interpolation_stencil
from pdeinv.posterior import Posterior
from pdeinv.random_field import RandomField
from pdeinv.solvers.base import Solver, check_memory, cholesky_with_nugget, progress_bar
from pdeinv.solvers.diffusion.conditioning import sensitivity
from pdeinv.solvers.lbfgs import minimise
from pdeinv.solvers.truncated_gaussian import sample_given_signs

__all__ = ["BRIEF_STAGES", "STAGES", "LevelSet", "members"]

# Width of the jump relative to the latent field's standard deviation, error of the solution's
# readings relative to their spread, refinement of the grid relative to the result's, and
# iterations.
STAGES = (
    (1.0, 1e-1, 4, 20),
    (0.6, 4e-2, 4, 20),
    (0.4, 2e-2, 4, 20),
    (0.25, 1e-2, 4, 20),
    (0.15, 5e-3, 4, 20),
    (0.1, 3e-3, 2, 20),
    # Again, with the preconditioner of where the first ended: so the worst members get out
    (0.1, 3e-3, 2, 20),
    (0.07, 1e-3, 2, 20),
    (0.07, 1e-3, 2, 20),
    (0.05, 7e-4, 2, 20),
    (0.03, 1e-3, 1, 15),
)
BRIEF_STAGES = (
    (1.0, 1e-1, 4, 12),
    (0.5, 3e-2, 4, 12),
    (0.25, 1e-2, 4, 15),
    (0.12, 4e-3, 2, 15),
    (0.07, 1e-3, 2, 20),
    (0.04, 1e-3, 1, 6),
)
"""Less than half the time, and an error that is a fifth larger."""
_COARSEST = 32  # nodes per side, below which no stage goes
_EXACT = 0.01  # noise of an exact reading of the coefficient, relative to its jump
_TOLERATED = 5e-3  # misfit of an exact reading of the solution, relative to the readings' spread
_CHAINS = 16
_RANK = 200  # directions of the data that the preconditioner knows
# a member whose objective is beyond this many times the median, and chance, has not converged
_STUCK = 2.0


@dataclass(frozen=True)
class LevelSet(Solver):
    """The posterior of a coefficient with two values, the threshold of a Gaussian field: the first
    choice for Darcy.

    The unknown is the vector ξ of Karhunen–Loève coefficients of the latent field g, standard
    normal a priori. A reading of the coefficient tells (up to its noise) the sign of g at its node;
    given these alone, draws of g are exact (`sample_given_signs` at the sensors, conditional
    simulation between them) and their solves are the posterior.

    Readings of the solution are met by randomised maximum likelihood: from each such draw η and a
    noise draw ε the member

        argmin ½|ξ - η|² + ½|(y + ε - F(ξ)) / σ|²

    is found by annealing: the jump of the coefficient is first as wide as the latent field's
    standard deviation and then narrowed, while σ, an allowance for that smoothing added to the
    stated noise, falls, and the grid is refined. Each stage is an L-BFGS minimisation of all
    members side by side, preconditioned with the Gauss–Newton Hessian of each (of one shared
    sensitivity to the coefficient, and each member's own sensitivity of the coefficient to ξ).
    Members whose objective stays far above the median are left out.

    The coefficient's mean is low + (high - low) P with P the share of members with g >= 0, the
    posterior probability of the high value. The solution's samples belong to the coefficient with
    the last stage's narrow jump, which meets the readings closer than that of the sharp samples.

    Arguments:
        ensemble: members where the solution is read, an even number; more samples than members
            repeat members.
        draws: draws where only the coefficient is read.
        latent: the latent field, such as `latent_field(prior.gaussian, low, high)` of a learned
            prior; the PDE's own if None.

    Reference:
        Iglesias, Lu & Stuart, *A Bayesian level set method for geometric inverse problems*,
        Interfaces and Free Boundaries 18(2), 2016; Oliver, Reynolds & Liu, *Inverse Theory for
        Petroleum Reservoir Characterization and History Matching*, 2008, section 10.8 (randomised
        maximum likelihood).
    """

    ensemble: int = 16
    draws: int = 128
    latent: RandomField | None = None

    name: ClassVar[str] = "level-set"
    needs: ClassVar[str] = (
        "it needs a coefficient with two values, the threshold of a Gaussian field"
    )

    def __post_init__(self):
        if self.ensemble < 4 or self.ensemble % 2:
            raise InputError(f"ensemble = {self.ensemble} must be an even number of at least 4")
        if self.draws < _CHAINS:
            raise InputError(f"draws = {self.draws} must be at least {_CHAINS}")

    def accepts(self, pde):
        return not pde.gaussian_coefficient and pde.coefficient_range is not None

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        latent = self.latent or pde.latent_prior
        sees_solution = bool((observation.channel == 1).any())
        wanted = self.ensemble if sees_solution else max(self.draws, n_samples)
        bar = partial(progress_bar, show=progress)
        found = members(pde, latent, observation, wanted, generator, bar, STAGES)
        g = found.field(observation.grid)
        a = pde.coefficient(g)
        batches = (a if found.width is None else pde.smoothed(g, found.width)).split(16)
        u = torch.cat(
            [pde.solve(part) for part in bar(batches, description="solves", unit="batch")]
        )
        states = torch.cat([a, u], dim=1)
        chosen = torch.arange(n_samples) % len(states)
        return Posterior(
            pde.fields,
            observation.grid,
            mean=states.mean(dim=0),
            std=states.std(dim=0),
            samples=states[chosen],
            record={
                "reduced_chi_squared": max(
                    found.misfit, _misfit(observation, states.mean(dim=0), found.spread)
                ),
                "solver_calls": found.calls + len(states),
                "members_kept": len(states),
                **found.diagnostics,
            },
            probability=(g >= 0).double().mean(dim=0)[0],
            latent=found.xi[chosen],
        )


@dataclass
class Members:
    """Draws of the latent field given the readings: its coefficients (k, modes²), and what is known
    of them.

    Arguments:
        xi: the coefficients.
        latent: the field.
        width: of the jump with which they meet readings of the solution; None without such.
        spread: standard deviation of these readings a priori; None without them.
        misfit: of the readings of the coefficient.
        calls: solves.
        diagnostics: of the sampler of signs.
    """

    xi: torch.Tensor
    latent: RandomField
    width: float | None
    spread: float | None
    misfit: float
    calls: int
    diagnostics: dict

    def field(self, grid: Grid) -> torch.Tensor:
        """Values of the latent field, (k, 1, n, n)."""
        return _latent(self.latent, self.xi, grid)


def members(
    pde: PDE,
    latent: RandomField,
    observation: Observation,
    n: int,
    generator,
    bar: Callable,
    stages: tuple,
) -> Members:
    """n draws, an even number where the solution is read; fewer where some did not converge (see
    `LevelSet`).

    `bar` is `progress_bar` with its `show`; `stages` are those of the annealing, such as `STAGES`
    or `BRIEF_STAGES`.
    """
    sees_solution = bool((observation.channel == 1).any())
    m, modes, nodes = len(observation), latent.eigenvalues.numel(), observation.grid.n**2
    size = n * (45 * modes if sees_solution else 5 * nodes) + m * (modes + nodes)
    check_memory(
        size,
        f"{n} samples for {m} sensors",
        "ask for fewer samples or average neighbouring readings",
    )
    signs = _Signs(latent, pde, observation)
    eta, diagnostics = signs.sample(n, generator, bar)
    if not sees_solution:
        return Members(eta, latent, None, None, signs.misfit, 0, diagnostics)
    observation = observation.subset(observation.channel == 1)
    m, spread = len(observation), _typical_spread(pde, latent, observation)
    half = torch.randn(n // 2, m, dtype=torch.float64, generator=generator)
    # The first member is the mode: nothing in its problem is random.
    noise = torch.cat([half.new_zeros(1, m), half, -half])
    centre = torch.cat([signs.mode(eta)[None], eta])
    std = float(latent.eigenvalues.sum()) ** 0.5
    xi, calls = centre.clone(), 0
    for width, error, coarsening, iterations in bar(stages, description="level set", unit="stage"):
        sigma = (observation.noise_std**2 + (error * spread) ** 2).sqrt()
        n = max(min(_COARSEST, observation.grid.n), observation.grid.n // coarsening)
        stage = _Stage(pde, signs, observation, n, width * std, sigma, centre, sigma * noise)
        xi, value = minimise(stage.objective, xi, stage.preconditioner(xi), iterations)
        calls += stage.calls
    # At its minimum the objective is distributed as half a chi-squared of m degrees of freedom.
    kept = value[1:] <= _STUCK * value[1:].median() + 3 * (2 * m) ** 0.5
    return Members(xi[1:][kept], latent, width * std, spread, signs.misfit, calls, diagnostics)


class _Signs:
    """What the readings of the coefficient say about the latent field: its probable signs at their
    nodes."""

    def __init__(self, latent: RandomField, pde: PDE, observation: Observation):
        low, high = pde.coefficient_range
        mine = observation.channel == 0
        y = observation.values[mine]
        variance = observation.noise_std[mine] ** 2 + (_EXACT * (high - low)) ** 2
        self.latent, self.grid = latent, observation.grid
        # Readings at one node add up.
        node = interpolation_stencil(observation.points[mine], self.grid, 0)[0][:, 0]
        self.nodes, place = torch.unique(node, return_inverse=True)
        self.log_ratio = torch.zeros(len(self.nodes), dtype=torch.float64)
        self.log_ratio.index_add_(0, place, ((y - low) ** 2 - (y - high) ** 2) / (2 * variance))
        chosen = torch.where(self.log_ratio[place] >= 0, high, low)
        self.misfit = float(((y - chosen) ** 2 / variance).mean()) if len(y) else 0.0
        unit = torch.zeros(len(self.nodes), self.grid.n**2, dtype=torch.float64)
        unit[torch.arange(len(self.nodes)), self.nodes] = 1.0
        self.rows = latent.square_root_adjoint(
            unit.reshape(-1, 1, *self.grid.shape), self.grid
        ).flatten(1)

    def sample(self, n: int, generator, bar) -> tuple[torch.Tensor, dict]:
        """n draws of ξ given the signs, (n, modes²), with the sampler's diagnostics; antithetic
        pairs without signs."""
        if not len(self.nodes):
            half = self.latent.white((n + 1) // 2, generator).flatten(1)
            return torch.cat([half, -half])[:n], {}
        gram = self.rows @ self.rows.T
        length = max(32, -(-n // _CHAINS))
        chains = sample_given_signs(gram, self.log_ratio, _CHAINS, length, generator, bar)
        xi = self.latent.white(n, generator).flatten(1)
        picked = chains.transpose(0, 1).flatten(0, 1)[
            torch.linspace(0, _CHAINS * length - 1, n).long()
        ]
        lower = cholesky_with_nugget(gram, 1e-10 * gram.diagonal().mean().expand(len(gram)))
        xi = xi + torch.cholesky_solve((picked - xi @ self.rows.T).T, lower).T @ self.rows
        return xi, _diagnostics(chains)

    def mode(self, draws: torch.Tensor) -> torch.Tensor:
        """Where the mode of the posterior starts: the mean of what the signs allow."""
        return draws.mean(dim=0) if len(self.nodes) else torch.zeros_like(draws[0])

    def log_likelihood(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """Of the signs of g plus logistic noise of the given width, at most 0, for g at the nodes
        (k, s): (k, s)."""
        sharp = self.log_ratio - self.log_ratio.clamp(min=0)
        positive, negative = (torch.nn.functional.logsigmoid(s * latent / width) for s in (1, -1))
        return torch.logaddexp(positive + sharp, negative - self.log_ratio.clamp(min=0))


class _Stage:
    """The members' objectives with one width of the jump, on one grid."""

    def __init__(self, pde, signs, observation, n, width, sigma, centre, noise):
        self.pde, self.signs, self.width, self.sigma = pde, signs, width, sigma
        self.centre, self.grid, self.calls = centre, pde.grid(n), 0
        self.observation = observation.on_grid(self.grid)
        self.data = observation.values + noise

    def objective(self, xi, members):
        """-log posterior (k,) of the members' ξ (k, modes²), up to a constant, and its gradient."""
        self.calls += 2 * len(xi)
        departure = xi - self.centre[members]
        with torch.enable_grad():
            latent = _latent(self.signs.latent, xi, self.grid).requires_grad_()
            residual = (self.data[members] - self._readings(latent)) / self.sigma
            misfit = residual.square().sum(dim=1) / 2
            (slope,) = torch.autograd.grad(misfit.sum(), latent)
            at_signs = (xi @ self.signs.rows.T).requires_grad_()
            told = self.signs.log_likelihood(at_signs, self.width).sum(dim=1)
            (push,) = torch.autograd.grad(told.sum(), at_signs)
        value = departure.square().sum(dim=1) / 2 + misfit.detach() - told.detach()
        gradient = departure + self.signs.latent.square_root_adjoint(slope, self.grid).flatten(1)
        return value, gradient - push @ self.signs.rows

    def preconditioner(self, xi):
        """The members' inverse Gauss–Newton Hessians, (I + Jᵀ J)⁻¹ with J = S D K^½.

        S, the sensitivity of the readings to the coefficient over σ, is that of the first member on
        a coarse grid, reduced to its leading directions; D, the slope of the smoothed coefficient
        at the latent field, is each member's own.
        """
        prior, grid = self.signs.latent, self.pde.grid(min(self.grid.n, 64))
        with torch.enable_grad():
            latent = _latent(prior, xi, grid).requires_grad_()
            a = self.pde.smoothed(latent, self.width)
            (slope,) = torch.autograd.grad(a.sum(), latent)
        rows = (
            sensitivity(self.pde, self.observation.on_grid(grid), a[:1].detach()).flatten(1)
            / self.sigma[:, None]
        )
        self.calls += len(rows)
        directions = torch.linalg.eigh(rows @ rows.T).eigenvectors
        leading = (directions[:, -_RANK:].T @ rows).float()
        slope = slope.float()
        resolved = prior.truncated(grid.n)  # the others would alias; they are left alone
        seen = (prior.wavenumbers <= resolved.wavenumbers.max()).float()
        seen = (seen[:, None] * seen[None, :]).flatten()
        lowers = []
        for d in slope:
            rows = (leading * d.flatten()).reshape(-1, 1, *grid.shape)
            rows = resolved.square_root_adjoint(rows, grid).flatten(1)
            gram = (rows @ rows.T).double()
            lowers.append(cholesky_with_nugget(gram, torch.ones(len(gram), dtype=torch.float64)))
        lowers = torch.stack(lowers)

        def apply(z):  # z - Jᵀ (I + J Jᵀ)⁻¹ J z
            field = slope * _latent(prior, seen * z.float(), grid)
            readings = (field.flatten(1) @ leading.T).double()
            weights = torch.cholesky_solve(readings[:, :, None], lowers)[:, :, 0].float()
            back = slope * (weights @ leading).reshape(field.shape)
            return z - (seen * prior.square_root_adjoint(back, grid).flatten(1)).double()

        return apply

    def _readings(self, latent):
        a = self.pde.smoothed(latent, self.width)
        return self.observation(torch.cat([a, self.pde.surrogate(a)], dim=1))


def _latent(prior, xi, grid):
    """Latent field (k, 1, n, n) of flat coefficients (k, modes²)."""
    return prior.square_root(xi.unflatten(1, (1, *prior.eigenvalues.shape)), grid)


def _misfit(observation: Observation, mean: torch.Tensor, spread: float | None) -> float:
    """Mean square residual of the readings of the solution, over their variance with an allowance
    for the smoothing."""
    if spread is None:  # there are none
        return 0.0
    observation = observation.subset(observation.channel == 1)
    variance = observation.noise_std**2 + (_TOLERATED * spread) ** 2
    return float(((observation.values - observation(mean[None])[0]) ** 2 / variance).mean())


def _typical_spread(pde: PDE, latent: RandomField, observation: Observation) -> float:
    """Standard deviation of the readings of the solution over the prior and the sensors."""
    grid = pde.grid(min(_COARSEST, observation.grid.n))
    a = pde.coefficient(latent.sample(_CHAINS, grid, torch.Generator().manual_seed(0)))
    spread = float(observation.on_grid(grid)(torch.cat([a, pde.surrogate(a)], dim=1)).std())
    # Sensors where the solution is fixed tell nothing at any scale
    return spread if spread > 0 else 1.0


def _diagnostics(chains: torch.Tensor) -> dict:
    """Split R-hat (the largest) and effective sample size (the smallest) over the latent values
    (chains, draws, m)."""
    from arviz_stats.base import array_stats  # takes a second or two to import

    values = chains.numpy()
    return {
        "r_hat": round(float(array_stats.rhat(values, chain_axis=0, draw_axis=1).max()), 4),
        "effective_sample_size": round(
            float(array_stats.ess(values, chain_axis=0, draw_axis=1).min()), 1
        ),
    }
