"""Moment matching: at every noise level, the denoiser's Gaussian approximation conditioned on the sensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from pdeinv.errors import InputError
from pdeinv.priors.sampling import noise_levels
from pdeinv.solvers.conditioning import Dense, Linearised, MatrixFree, Thresholded, sensitivity
from pdeinv.solvers.diffusion import DiffusionSolver
from pdeinv.solvers.guidance import combined, pushes

__all__ = ["Moment"]

_NOTHING = 1e4  # noise level at which nothing is known but the prior
_MOVED = 0.1  # relative change of the mean state beyond which the PDE is linearised anew
_MANY = 2000  # readings, beyond which a linear map's matrix is not built
_FINAL = 3.0  # times the last noise level, above which the PDE's surrogate stands for its solve
_ROUNDS = 4  # of linearisation at the first level
_CHORDS = 3  # iterations with one linearisation
_WIDE, _NARROW = 0.5, 0.05  # of a two-valued coefficient's jump where all is open, and where nothing is
_WIDER = 1.4  # times the standard deviation of a two-valued coefficient that is read itself
_SOLVED = 64  # nodes per side, beyond which no two-valued coefficient is solved for on the way
_SETTLED = 0.2  # noise level below which the denoiser moves no interface of a two-valued coefficient
_BLURRED, _SHARP = 0.1, 1e-3  # error that the smoothing of the jump may make in a reading, in the same cases


@dataclass(frozen=True, kw_only=True)
class Moment(DiffusionSolver):
    """Moment-matched posterior sampling: the first choice for a learned prior of a PDE whose solver is known.

    At noise level σ the state is x0 ~ N(D(x, σ), S(σ)), with D the denoiser and S the posterior covariance of the prior's
    Gaussian part. A draw of it, conditioned on the sensors,

        x0 = z + S Hᵀ (H S Hᵀ + R)⁻¹ (y - ε - H z),    z ~ N(D(x, σ), S), ε ~ N(0, R),

    is noised anew with the next level's noise, x ← x0 + σ' ξ; the first x0 is conditioned on the prior's mean and covariance.
    For a Gaussian prior and linear sensors that is an exact draw of the posterior after any number of levels; what a network
    knows beyond its Gaussian part enters through D. Nothing is differentiated through the network, and no weight is to be
    chosen.

    With a prior of the coefficient alone, the default, H is the sensors of the PDE's solve: exact for a linear PDE, iterated
    Gauss–Newton steps for a nonlinear one; a two-valued coefficient whose solution is read takes states with these two values
    (`Thresholded`): the most probable ones, as draws of their deviations would be too ragged for the denoiser; what differs
    between samples is the noise. With a joint prior of coefficient and solution the PDE is not needed.

    Guidance terms, such as `EquiReg()`, push what the denoiser found before it is conditioned, so that the readings are met.

    Draws come in antithetic pairs, which cancels the sampling error of a Gaussian's mean.

    Arguments:
        steps: noise levels, one denoising each.
        sigma_max, sigma_min: the first level and the last.
        iterations: minimisation steps at each level, for a two-valued coefficient whose solution is read.

    Reference:
        Chung et al., *Diffusion posterior sampling for general noisy inverse problems*, ICLR 2023 (arXiv 2209.14687), and Song
        et al., *Pseudoinverse-guided diffusion models for inverse problems*, ICLR 2023, for the guidance that this replaces;
        Zhang et al. (DAPS), CVPR 2025 (arXiv 2407.01521), for noising anew.
    """

    steps: int = 20
    sigma_max: float = 3.0
    sigma_min: float = 0.02
    iterations: int = 20

    name: ClassVar[str] = "moment"
    suffix: ClassVar[str] = "-coefficient"

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                f"sigma_min = {self.sigma_min} and sigma_max = {self.sigma_max} must be positive and in that order"
            )

    def _fields(self, pde, prior):
        return pde.fields[: len(prior.fields)]

    @torch.no_grad()
    def draw(self, problem, n, bar):
        condition = _conditioning(self, problem)
        x, moved = condition(problem.gaussian.mean(problem.grid).expand(n, -1, -1, -1), _NOTHING)
        for sigma in bar(noise_levels(self.steps, self.sigma_min, self.sigma_max)[:-1].tolist()):
            noised = x + sigma * _pairs(problem.noise, n)
            mean = problem.denoise(noised, sigma)
            x, moved = condition(mean - _pushed(problem, noised, sigma, mean, moved), sigma)
        return x


def _pushed(problem, x_t, sigma, mean, moved):
    """The step of the guidance terms, for a denoised state; relative to how far the readings moved the one before."""
    unit = problem.scale
    steps = [(unit**2 * problem.raised(g), share) for g, share in pushes(problem.terms, x_t, sigma, mean)]
    return combined(moved, steps, unit) - moved


def _pairs(draw, n: int) -> torch.Tensor:
    half = draw((n + 1) // 2)
    return torch.cat([half, -half])[:n]


def _conditioning(solver, problem):
    pde, o = problem.pde, problem.observation
    alone = len(problem.gaussian.fields) == 1
    through = alone and bool((o.channel == 1).any())
    if alone and not pde.gaussian_coefficient and pde.coefficient_range:
        return _TwoValuedThrough(solver, problem) if through else _TwoValued(solver, problem, through)
    return _Gaussian(solver, problem, through)


class _Gaussian:
    """Conditioning of the state as a Gaussian."""

    wider: ClassVar[float] = 1.0  # factor on the draws of what a noised state leaves open

    def __init__(self, solver, problem, through: bool):
        self.problem, self.through = problem, through
        self.finest = _FINAL * solver.sigma_min
        self.spread = problem.gaussian.spread(problem.grid)
        self.nonlinear = through and not problem.pde.linear
        self.centre = self.linearised = None

    def __call__(self, mean, sigma):
        pde = self.problem.pde
        predict = partial(self._predict, solve=pde.solve if sigma <= self.finest else pde.surrogate)
        draws, noise = (
            self.wider * self._normal(len(mean), self.spread),
            self._normal(len(mean), self.problem.observation),
        )
        iterations = _CHORDS if self.nonlinear else 1
        if self.linearised is None:
            centre = mean.mean(dim=0, keepdim=True)
            self._linearise(centre)
            for _ in range(_ROUNDS - 1 if self.nonlinear else 0):  # towards the most probable state
                still = torch.zeros_like(draws[:1]), torch.zeros_like(noise[:1])
                self._linearise(self.linearised(centre, sigma, *still, predict, iterations)[0])
        x, moved = self.linearised(mean, sigma, draws, noise, predict, iterations)
        if self.nonlinear:
            centre = x.mean(dim=0, keepdim=True)
            if float((centre - self.centre).norm()) > _MOVED * float(centre.norm()):
                self._linearise(centre)
        return x, moved

    def _normal(self, n, coordinates):
        size, generator = len(coordinates), self.problem.generator
        return _pairs(lambda k: torch.randn(k, size, dtype=torch.float64, generator=generator), n)

    def _linearise(self, centre):
        self.centre = centre
        self.linearised = Linearised(self.spread, self.problem.observation, self._derivative(centre))

    def _derivative(self, centre):
        o = self.problem.observation
        if len(o) > _MANY and not self.nonlinear:
            return MatrixFree(self.spread, o, self._predict, self._pull_back)
        if centre.shape[1] == 2:
            return Dense(self.spread, o, o.adjoint(torch.eye(len(o), dtype=torch.float64)))
        self.problem.counts["solver_calls"] += len(o) if self.through else 0
        return Dense(self.spread, o, sensitivity(self.problem.pde, o, centre))

    def _predict(self, x, solve=None):
        o = self.problem.observation
        if x.shape[1] == 2:
            return o(x)
        if not self.through:
            return o(torch.cat([x, torch.zeros_like(x)], dim=1))
        self.problem.counts["solver_calls"] += len(x)
        return o(torch.cat([x, (solve or self.problem.pde.solve)(x)], dim=1))

    def _pull_back(self, weights):
        v = self.problem.observation.adjoint(weights)
        if len(self.problem.gaussian.fields) == 2 or not self.through:
            return v[:, : len(self.problem.gaussian.fields)]
        self.problem.counts["solver_calls"] += len(v)
        _, pull_back = torch.func.vjp(self.problem.pde.solve, torch.zeros_like(v[:, 1:]))
        return v[:, :1] + pull_back(v[:, 1:])[0]


class _TwoValued(_Gaussian):
    """Conditioning of a two-valued coefficient that is read itself: as a Gaussian, then the nearer value at every node.

    The Gaussian's draws are widened, as few of them would reach the other value.
    """

    wider = _WIDER

    def __call__(self, mean, sigma):
        x, moved = super().__call__(mean, sigma)
        return _nearer(x, self.problem.pde), moved


class _TwoValuedThrough:
    """Conditioning of a two-valued coefficient on its solution, tighter as it becomes certain."""

    def __init__(self, solver, problem):
        self.solver, self.problem = solver, problem
        self.spread = problem.gaussian.spread(problem.pde.grid(min(problem.grid.n, _SOLVED)))
        self.thresholded = Thresholded(self.spread, problem.pde, problem.observation, problem.spread)

    def __call__(self, mean, sigma):
        if sigma < _SETTLED:
            return _nearer(mean, self.problem.pde), torch.zeros_like(mean)
        low, high = self.problem.pde.coefficient_range
        variance = ((high - mean) * (mean - low)).clamp(min=0).mean()
        left = 2 * float(variance.sqrt()) / (high - low)  # 1 where both values are equally likely everywhere
        g, before = self.problem.gaussian, self.thresholded.calls
        x = self.thresholded(
            mean,
            sigma,
            spread_std=float(g.error(torch.tensor([sigma]))[0, 0] * g.scale[0]),
            width=max(_NARROW, _WIDE * left),
            allowance=max(_SHARP, _BLURRED * left**2),
            iterations=self.solver.iterations,
        )
        self.problem.counts["solver_calls"] += self.thresholded.calls - before
        return x, x - mean


def _nearer(a, pde):
    low, high = pde.coefficient_range
    return torch.where(2 * a > low + high, a.new_tensor(high), a.new_tensor(low))
