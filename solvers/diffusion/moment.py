"""Moment matching: at every noise level, the denoiser's Gaussian approximation conditioned on the
sensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from pdeinv.errors import DivergedError, InputError
from pdeinv.priors.latent import latent_field
from pdeinv.priors.schedule import noise_levels
from pdeinv.priors.storage import Role
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.checks import check_below, check_positive, check_whole
from pdeinv.solvers.diffusion.conditioning import Dense, Linearised, MatrixFree, sensitivity
from pdeinv.solvers.diffusion.guidance import Step, combine_steps, term_gradients
from pdeinv.solvers.level_set import BRIEF_STAGES, STAGES, members

__all__ = ["Moment"]

_NOTHING = 1e4  # noise level at which nothing is known but the prior
_MOVED = 0.1  # relative change of the mean state beyond which the PDE is linearised anew
_MANY = 2000  # readings, beyond which a linear map's matrix is not built
_FINAL = 3.0  # times the last noise level, above which the PDE's surrogate stands for its solve
_ROUNDS = 4  # of linearisation at the first level
_CHORDS = 3  # iterations with one linearisation


@dataclass(frozen=True, kw_only=True)
class Moment(DiffusionSolver):
    """Moment-matched posterior sampling: the first choice for a learned prior of a PDE whose solver
    is known.

    At noise level σ the state is x0 ~ N(D(x, σ), S(σ)), with D the denoiser and S the posterior
    covariance of the prior's Gaussian part. A draw of it, conditioned on the sensors,

        x0 = z + S Hᵀ (H S Hᵀ + R)⁻¹ (y - ε - H z),    z ~ N(D(x, σ), S), ε ~ N(0, R),

    is noised anew with the next level's noise, x ← x0 + σ' ξ; the first x0 is conditioned on the
    prior's mean and covariance. For a Gaussian prior and linear sensors that is an exact draw of
    the posterior after any number of levels; what a network knows beyond its Gaussian part enters
    through D. Nothing is differentiated through the network, and no weight is to be chosen.

    With a prior of the coefficient alone, the default, H is the sensors of the PDE's solve: exact
    for a linear PDE, iterated Gauss–Newton steps for a nonlinear one. With a joint prior of
    coefficient and solution the PDE is not needed.

    A coefficient alone that has two values is no small step from a Gaussian: it is taken for the
    threshold of the latent field that the prior's covariance implies (`latent_field`), and drawn as
    `LevelSet` does; the denoiser is not asked.

    Guidance terms, such as `EquiReg()`, push what the denoiser found before it is conditioned, so
    that the readings are met.

    Draws come in antithetic pairs, which cancels the sampling error of a Gaussian's mean.

    Arguments:
        steps: noise levels, one denoising each.
        sigma_max, sigma_min: the first level and the last.
        thorough: for a coefficient with two values that is seen through the PDE, anneal in as many
            stages as `LevelSet`: more than twice the time for an error that is a sixth lower.

    Reference:
        Chung et al., *Diffusion posterior sampling for general noisy inverse problems*, ICLR 2023
        (arXiv 2209.14687), and Song et al., *Pseudoinverse-guided diffusion models for inverse
        problems*, ICLR 2023, for the guidance that this replaces; Zhang et al. (DAPS), CVPR 2025
        (arXiv 2407.01521), for noising anew.
    """

    steps: int = 20
    sigma_max: float = 3.0
    sigma_min: float = 0.02
    batch: int = 32
    thorough: bool = False

    name: ClassVar[str] = "moment"
    role: ClassVar[Role] = "coefficient"

    def __post_init__(self):
        super().__post_init__()
        check_whole(self.name, "steps", self.steps, 2)
        check_positive(self.name, "sigma_min", self.sigma_min)
        check_positive(self.name, "sigma_max", self.sigma_max)
        check_below(self.name, ("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max))

    def check(self, pde, prior):
        super().check(pde, prior)
        if (self.guidance or self.group_average) and _two_valued(
            pde, 1 if prior is None else len(prior.fields)
        ):
            raise InputError(
                f"the moment solver asks no denoiser for a two-valued {pde.fields[0].name}, and "
                f"so takes no guidance and no "
                "group average; choose fundps, or a prior of both fields"
            )

    def prior_fields(self, pde, prior):
        return pde.fields[: len(prior.fields)]

    @torch.no_grad()
    def draw(self, problem, n, bar):
        pde = problem.pde
        if _two_valued(pde, len(problem.gaussian.fields)):
            return _thresholds(problem, n, bar, STAGES if self.thorough else BRIEF_STAGES)
        condition = _Conditioning(self, problem)
        x, moved = condition(problem.gaussian.mean(problem.grid).expand(n, -1, -1, -1), _NOTHING)
        for sigma in bar(noise_levels(self.steps, self.sigma_min, self.sigma_max)[:-1].tolist()):
            noised = x + sigma * _pairs(problem.noise, n)
            mean = problem.denoise(noised, sigma)
            x, moved = condition(mean - _pushed(problem, noised, sigma, mean, moved), sigma)
        return x


def _pushed(problem, x_t, sigma, mean, moved):
    """The step of the guidance terms, for a denoised state; relative to how far the readings moved
    the one before."""
    unit = problem.scale
    steps = [
        Step(unit**2 * problem.to_function_space(g), share)
        for _, g, share in term_gradients(problem.terms, x_t, sigma, mean)
    ]
    return combine_steps(moved, steps, unit) - moved


def _two_valued(pde, fields: int) -> bool:
    """Whether a prior of so many fields knows nothing but a coefficient with two values."""
    return fields == 1 and bool(pde.coefficient_range) and not pde.gaussian_coefficient


def _pairs(draw, n: int) -> torch.Tensor:
    half = draw((n + 1) // 2)
    return torch.cat([half, -half])[:n]


def _thresholds(problem, n, bar, stages):
    """n coefficients that are the threshold of the latent field which the prior's covariance
    implies."""
    latent = latent_field(problem.gaussian, *problem.pde.coefficient_range)
    found = members(
        problem.pde, latent, problem.observation, n + n % 2, problem.generator, bar, stages
    )
    problem.counts["solver_calls"] += found.calls
    problem.reduced_chi_squared = found.misfit
    a = problem.pde.coefficient(found.field(problem.grid))
    return a[torch.arange(n) % len(a)]


class _Conditioning:
    """What the sensors make of a state that is known up to a Gaussian deviation."""

    def __init__(self, solver, problem):
        self.problem, self.alone = problem, len(problem.gaussian.fields) == 1
        self.through = self.alone and bool((problem.observation.channel == 1).any())
        self.finest = _FINAL * solver.sigma_min
        self.spread = problem.gaussian.spread(problem.grid)
        self.nonlinear = self.through and not problem.pde.linear
        self.centre = self.linearised = None

    def __call__(self, mean, sigma):
        pde = self.problem.pde
        predict = partial(self._predict, solve=pde.solve if sigma <= self.finest else pde.surrogate)
        draws, noise = (
            self._normal(len(mean), what) for what in (self.spread, self.problem.observation)
        )
        iterations = _CHORDS if self.nonlinear else 1
        if self.linearised is None:
            mode = centre = mean.mean(dim=0, keepdim=True)
            for _ in range(_ROUNDS if self.nonlinear else 1):  # towards the most probable state
                self._linearise(mode)
                mode, residual = self.linearised.mode(centre, sigma, predict, iterations)
                if not bool(mode.isfinite().all()):
                    raise DivergedError(
                        f"no {pde.fields[0].name} for which {pde.name} is stable comes near the "
                        f"readings; check their units "
                        "and the PDE's parameters"
                    )
            self.problem.reduced_chi_squared = self.linearised.reduced_chi_squared(residual, sigma)
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
        self.linearised = Linearised(
            self.spread, self.problem.observation, self._derivative(centre)
        )

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
        if not self.alone:
            return v
        if not self.through:
            return v[:, :1]
        self.problem.counts["solver_calls"] += len(v)
        with torch.enable_grad():
            a = torch.zeros_like(v[:, 1:]).requires_grad_()
            (through,) = torch.autograd.grad(self.problem.pde.solve(a), a, v[:, 1:])
        return v[:, :1] + through
