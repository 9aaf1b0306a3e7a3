"""What the solvers with a diffusion prior share: the prior, the state, one guided sampling loop,
and the result."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Real
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import DivergedError, InputError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors import DiffusionPrior, GaussianPrior
from pdeinv.priors.group_average import GroupAveraged
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.diffusion.guidance import (
    Measure,
    Misfit,
    Term,
    combine_steps,
    polyak,
    term_gradients,
    value_and_gradient,
)
from pdeinv.solvers.learned import LearnedSolver

__all__ = ["DiffusionSolver", "Problem", "guided_sampling", "heun_step", "published_residual"]

_LEFT = 0.1  # of a field's standard deviation: what is expected to be left of an exact reading
_LEAST = {"steps": 2, "batch": 1, "ode_steps": 1, "langevin": 1, "every": 1}
_POSITIVE = ("weight", "rate", "last_rate", "tau", "sigma_min", "sigma_max")
_PUBLISHED_NODES = 128  # per side, of all published runs
# Of Polyak's step length for a term that is weighed against the sensors: its loss is nowhere zero
_TRUSTED = 0.5
_FEWEST = 2  # samples behind a spread


class Problem:
    """One inverse problem as the samplers see it: a denoiser that counts, the sensors, and the
    terms that guide.

    Arguments:
        pde, observation: of the state (coefficient, solution).
        prior: of the state, or of the coefficient alone.
        terms: guidance terms beside the sensors'.
        generator: source of all randomness.
        careful: cut gradient steps that would overshoot.
    """

    def __init__(
        self,
        pde: PDE,
        prior,
        observation: Observation,
        terms: tuple[Term, ...],
        generator,
        careful=True,
        counts=None,
    ):
        self.pde, self.prior, self.observation, self.terms, self.generator = (
            pde,
            prior,
            observation,
            terms,
            generator,
        )
        self.careful = careful
        self.grid, self.gaussian, self.spread = observation.grid, _gaussian(prior), _spread(pde)
        self.counts = (
            counts if counts is not None else {"network_evaluations": 0, "solver_calls": 0}
        )
        self.scale = self.gaussian.scale[:, None, None]
        """(channel, 1, 1): physical units of a normalised one, whose fields have the standard
        deviation 0.5."""
        self.reduced_chi_squared = 0.0
        """Of the readings under the prior, where a sampler knows it; that of the posterior mean
        alone is no test of a sampler that meets any readings."""

    def on_grid(self, grid: Grid) -> Problem:
        """The same with states on another grid."""
        moved = self.observation.on_grid(grid)
        return Problem(
            self.pde, self.prior, moved, self.terms, self.generator, self.careful, self.counts
        )

    def denoise(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        self.counts["network_evaluations"] += getattr(self.prior, "evaluations_per_call", 1)
        return self.prior.denoise(x, sigma)

    def noise(self, n: int) -> torch.Tensor:
        """n draws of the noise of level 1, in physical units."""
        return self.prior.sample_noise(n, self.grid, self.generator)

    def checked(self, x: torch.Tensor) -> torch.Tensor:
        """The states, unless they have left all bounds."""
        if not bool(x.isfinite().all()):
            raise DivergedError(
                f"the samples of {self.pde.name} diverged; use more steps, a smaller weight of "
                f"the sensors, or careful=True"
            )
        return x

    def start(self, n: int, sigma: float) -> torch.Tensor:
        """n states that are all noise."""
        return self.gaussian.shift[:, None, None] + sigma * self.noise(n)

    def to_function_space(self, gradient: torch.Tensor) -> torch.Tensor:
        """A gradient with respect to the nodes' values as a direction in function space, (batch,
        channel, n, n).

        What multiplies the score, and so every guidance, in the reverse of a diffusion is the
        covariance of its noise. White noise has the identity. Another noise's is normalised to act
        on coarse scales as the identity does on the 128 x 128 nodes of the published runs, so that
        their weights mean the same function on every grid.
        """
        noise = self.gaussian.noise
        size = (
            1.0 if noise.kind == "white" else 2 * torch.pi * (noise.length * _PUBLISHED_NODES) ** 2
        )
        return self.gaussian.noise_covariance(gradient) / size

    def misfit(
        self,
        weights: tuple[float, float],
        measures: tuple[Measure, Measure],
        scale: torch.Tensor | None = None,
        blur: float = 0.05,
    ) -> Misfit:
        """The sensors' loss of states; `scale` (2,) if not that of a standard deviation of 0.5,
        blur in these units."""
        unit = 2 * self.spread
        return Misfit(
            self.observation, weights, measures, unit if scale is None else scale, blur * unit
        )


def published_residual(pde: PDE, state: torch.Tensor) -> torch.Tensor:
    """What DiffusionPDE and FunDPS call the residual of a state, (batch, 1, n, n).

    That of the PDE; but ∂w/∂x + ∂w/∂y of the final vorticity for Navier–Stokes, which no flow makes
    zero. It is kept for a faithful comparison alone.
    """
    a, u = state[:, :1], state[:, 1:]
    if pde.grid_kind != "periodic":
        return pde.residual(a, u)
    n = u.shape[-1]
    return sum((u.roll(-1, dim) - u.roll(1, dim)) * n / 2 for dim in (-1, -2))


@dataclass(frozen=True, kw_only=True)
class DiffusionSolver(LearnedSolver):
    """Base of the solvers that draw samples with a diffusion prior.

    A subclass says how to draw them from a `Problem`, in `draw`.

    Arguments:
        guidance: further terms, each a callable `(x_t, sigma, x0_hat) -> loss (batch,)`, such as
            `EquiReg()`.
        group_average: average the denoiser over the PDE's symmetries: exactly equivariant, and as
            many times the cost.
        careful: cut a gradient step to Polyak's length (the loss over its squared gradient) where
            it is longer, and in `guided_sampling` that of a term with a share, such as EquiReg, to
            half of it; the published constants overshoot with few steps and few sensors. False for
            the formula as it stands.
        batch: samples drawn side by side.

    Reference:
        Polyak, *Introduction to Optimization*, 1987, section 5.3 (the step length).
    """

    guidance: tuple = ()
    group_average: bool = False
    careful: bool = True
    batch: int = 16

    def __post_init__(self):
        for name, least in _LEAST.items():
            value = getattr(self, name, least)
            if not isinstance(value, int) or value < least:
                raise InputError(
                    f"{name} = {value!r} of the {self.name} solver must be a whole number, at "
                    f"least {least}"
                )
        for name in _POSITIVE:
            value = getattr(self, name, 1.0)
            if not isinstance(value, Real) or not 0 < value < math.inf:
                raise InputError(
                    f"{name} = {value!r} of the {self.name} solver must be a positive number"
                )
        weights = getattr(self, "weights", (1.0, 1.0))
        numbers = weights if isinstance(weights, tuple | list) else ()
        if len(numbers) != 2 or not all(isinstance(w, Real) and 0 <= w < math.inf for w in numbers):
            raise InputError(
                f"weights = {weights!r} of the {self.name} solver must be two numbers, none "
                f"negative"
            )
        if not isinstance(self.guidance, tuple) or not all(
            callable(t) or hasattr(t, "bind") for t in self.guidance
        ):
            raise InputError(
                f"guidance = {self.guidance!r} of the {self.name} solver must be a tuple of "
                f"callables, as in (EquiReg(),)"
            )

    models: ClassVar[tuple[type, ...]] = (DiffusionPrior, GaussianPrior)
    wants_prior: ClassVar[str] = "a prior with a denoiser, such as `pdeinv.priors.load` returns"
    judges_sensors: ClassVar[bool] = False

    @abstractmethod
    def draw(self, problem: Problem, n: int, bar: Callable) -> torch.Tensor:
        """n posterior samples (n, channel, grid.n, grid.n) of what the prior knows; bar(iterable)
        shows progress."""

    def _fields(self, pde, prior):
        """What the prior must know."""
        return pde.fields[:1] if self.suffix else pde.fields

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        prior, told = self.resolve_prior(pde, prior)
        plain = prior  # an averaged denoiser is equivariant everywhere, and tells EquiReg nothing
        if self.group_average:
            prior = GroupAveraged(prior, pde.symmetries)
        terms = tuple(
            t.bind(pde, plain, generator) if hasattr(t, "bind") else t for t in self.guidance
        )
        problem = Problem(pde, prior, observation, terms, generator, self.careful)
        draws = max(n_samples, _FEWEST)
        batches = torch.arange(draws).split(self.batch)
        parts = []
        for i, batch in enumerate(batches):
            label = (
                self.name if len(batches) == 1 else f"{self.name}, batch {i + 1} of {len(batches)}"
            )
            parts.append(
                self.draw(
                    problem,
                    len(batch),
                    partial(progress_bar, description=label, show=progress, unit="step"),
                )
            )
        samples = torch.cat(parts)
        problem.counts["network_evaluations"] += sum(getattr(t, "evaluations", 0) for t in terms)
        problem.counts["network_evaluations"] //= len(batches)  # for each sample
        return self._posterior(problem, samples, n_samples, told)

    def _posterior(self, problem, samples, n_samples, record):
        pde = problem.pde
        samples = pde.clamp(samples)
        if samples.shape[1] == 1:
            samples = torch.cat([samples, pde.solve(samples)], dim=1)
            problem.counts["solver_calls"] += len(samples)
        for term in problem.terms:
            if hasattr(term, "resample"):
                samples = samples[term.resample(len(samples))]
        mean = samples.mean(dim=0)
        probability = None
        if pde.coefficient_range and not pde.gaussian_coefficient:
            probability = (samples[:, 0] > sum(pde.coefficient_range) / 2).double().mean(dim=0)
        o = problem.observation
        variance = o.noise_std**2 + (_LEFT * _spread(pde)[o.channel]) ** 2
        misfit = float(((o.values - o(mean[None])[0]) ** 2 / variance).mean())
        return Posterior(
            pde.fields,
            problem.grid,
            mean=mean,
            std=samples.std(dim=0),
            samples=samples[:n_samples],
            probability=probability,
            record={
                "reduced_chi_squared": max(problem.reduced_chi_squared, misfit),
                **problem.counts,
                **record,
            },
        )


def guided_sampling(
    problem: Problem,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    step: Callable[[Problem, torch.Tensor, float, float], tuple[torch.Tensor, torch.Tensor]],
    loss: Callable[[int, float, torch.Tensor], torch.Tensor],
    scale: torch.Tensor,
    bar: Callable,
) -> torch.Tensor:
    """The sampling loop: down the levels step by step, and after each a push against the gradient
    of a loss.

    Arguments:
        x: states at the first level.
        step: (problem, x, σ, next σ) -> the state at the next level, and the denoised one that
            guides.
        loss: (number of the step, σ, x0_hat) -> (batch,), zero where the sensors are met; its
            gradient and those of the problem's terms are taken back from x0_hat to x through the
            denoiser.
        scale: (channel, 1, 1), physical unit of the variable in which the gradient step is taken.
    """
    pairs = list(zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True))
    for i, (sigma, after) in bar(list(enumerate(pairs))):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            ahead, x0_hat = step(problem, x, sigma, after)
            value, main = value_and_gradient(
                lambda state, i=i, sigma=sigma: loss(i, sigma, state), x0_hat
            )
            others = term_gradients(problem.terms, x.detach(), sigma, x0_hat)
            gradients = [main, *(gradient for _, gradient, _ in others)]
            slopes = [
                torch.autograd.grad(x0_hat, x, gradient, retain_graph=i < len(others))[0]
                for i, gradient in enumerate(gradients)
            ]
        push, *further = (scale**2 * problem.to_function_space(slope) for slope in slopes)
        if problem.careful:
            # A longer step overshoots the zero of the sensors' loss, the more so at the next level.
            push = push * polyak(value, slopes[0], push).clamp(max=1)[:, None, None, None]
        weighed = [
            (way, share, _TRUSTED * polyak(loss_of, slope, way) if problem.careful else None)
            for (loss_of, _, share), slope, way in zip(others, slopes[1:], further, strict=True)
        ]
        push = combine_steps(push, weighed, scale)
        x = problem.checked((ahead - push).detach())
    return x


def heun_step(
    problem: Problem, x: torch.Tensor, sigma: float, after: float, *, second: bool = False
):
    """Heun's step of the probability flow, guided by its first denoising, or by its second, through
    both."""
    x0_hat = problem.denoise(x, sigma)
    slope = (x - x0_hat) / sigma
    ahead = x + (after - sigma) * slope
    if after == 0:
        return ahead, x0_hat
    with torch.set_grad_enabled(second):
        other = problem.denoise(ahead, after)
    return x + (after - sigma) * (slope + (ahead - other) / after) / 2, other if second else x0_hat


def _gaussian(prior) -> GaussianPrior:
    return getattr(prior, "gaussian", prior)


@lru_cache(maxsize=8)
def _spread(pde: PDE) -> torch.Tensor:
    """Standard deviation of the PDE's two fields, (2,), over nodes and instances."""
    states = pde.sample(64, pde.grid(32), torch.Generator().manual_seed(0))
    return states.transpose(0, 1).flatten(1).std(dim=1)
