"""Moment matching: at every noise level, the denoiser's Gaussian approximation conditioned on the
sensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from pdeinv.checks import MOST, Bounds, Positive, Steps, check_below
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import DenoisingPrior, Prior
from pdeinv.priors.latent import threshold_prior
from pdeinv.priors.schedule import noise_levels
from pdeinv.priors.storage import Role
from pdeinv.solvers.antithetic import antithetic
from pdeinv.solvers.base import MisfitTest, ProgressBar
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.faults import at_level
from pdeinv.solvers.diffusion.guidance import Step, combine_steps, term_gradients
from pdeinv.solvers.diffusion.noise_levels import MANY, PRIOR_LEVEL, LevelConditioning
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.unknown_noise import over_unknown_noise
from pdeinv.solvers.joint_readings import joint_readings
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.learned import shipped_model
from pdeinv.solvers.level_set import LevelSet
from pdeinv.solvers.supported_readings import UNKNOWNS, Special
from pdeinv.solvers.trained_problem import (
    fields_of,
    joint_fields,
    of_coefficient,
    trained_coefficients,
)
from pdeinv.symmetry import Symmetry
from pdeinv.torch_state import one_thread

__all__ = ["Moment"]

_BAND = 784  # coordinates along the eigenvectors of correlated blocks, about


@dataclass(frozen=True, kw_only=True)
class Moment(DiffusionSolver):
    """Moment-matched posterior sampling: the first choice for a learned prior of a PDE whose solver
    is at hand.

    At noise level σ the state is x0 ~ N(D(x, σ), S(σ)), with D the denoiser and S the posterior
    covariance of the prior's Gaussian part. A draw of it, conditioned on the sensors,

        x0 = z + S Hᵀ (H S Hᵀ + R)⁻¹ (y - ε - H z),    z ~ N(D(x, σ), S), ε ~ N(0, R),

    is noised to the next level, x ← x0 + σ' ξ; the first x0 is conditioned on the prior's mean and
    covariance. For a Gaussian prior and linear sensors that is an exact draw of the posterior after
    any number of levels; what a network adds to its Gaussian part enters through D. The network is
    not differentiated, and there is no weight to choose.

    With a prior of the coefficient alone, the default, H is the sensors of the PDE's solve: exact
    for a linear PDE, iterated Gauss–Newton steps for a nonlinear one; it reads derived fields, such
    as a flux, too. Such a prior goes with any sides, sources, wells and experiments on its domain.
    With a joint prior of coefficient and solution the PDE is not needed.

    A coefficient alone that is the threshold of a Gaussian field is far from Gaussian. `LevelSet`
    draws it, with the latent field that the prior's covariance implies (`threshold_prior`); this
    path does not evaluate the denoiser. Other coefficients of two values, such as `Channels`, are
    denoised.

    Guidance terms, such as `EquiReg()`, move the denoised state before it is conditioned, so that
    the readings are met. Draws come in antithetic pairs, which cancels the sampling error of a
    Gaussian's mean; no pair is divided among batches.

    Arguments:
        steps: noise levels, one denoising each.
        sigma_max, sigma_min: the first level and the last.
        thorough: for such a threshold that is seen through the PDE, anneal in the
            "thorough" stages of `LevelSet`, which take longer and have a lower error, not in the
            "brief" ones.

    Reference:
        Chung et al., *Diffusion posterior sampling for general noisy inverse problems*, ICLR 2023
        (arXiv 2209.14687), and Song et al., *Pseudoinverse-guided diffusion models for inverse
        problems*, ICLR 2023, for the guidance that this replaces; Zhang et al. (DAPS), CVPR 2025
        (arXiv 2407.01521), for the noising after each draw.
    """

    steps: Steps = 20
    sigma_max: Positive = 3.0
    sigma_min: Positive = 0.02
    batch: Annotated[int, Bounds(least=2, most=MOST, even=True)] = 32
    thorough: bool = False

    name: ClassVar[str] = "moment"
    role: ClassVar[Role] = "coefficient"
    published_role: ClassVar[Role | None] = None
    misfit: ClassVar[MisfitTest] = "one-sided"
    amplifies_rounding: ClassVar[bool] = False  # but for `LevelSet`'s part, see below
    pairs: ClassVar[bool] = True
    takes: ClassVar[frozenset[Special]] = DiffusionSolver.takes | {UNKNOWNS}
    infers_numbers: ClassVar[bool] = True
    held: ClassVar[tuple[int, float]] = (20, 0.0)
    misfit_remedy: ClassVar[str] = (
        "use more steps; for a coefficient with two values, in Python, Moment(thorough=True); for "
        "a nonlinear PDE gauss-newton with a prior of pdeinv.coefficients"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_below(self.name, ("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max))

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return isinstance(prior, CoefficientPrior) or of_coefficient(prior)

    def check(self, pde: PDE, prior: Prior) -> None:
        super().check(pde, prior)
        self._check_phases(pde, prior)
        if (self.guidance or self.group_average) and _is_threshold(self._model(pde, prior)):
            raise InputError(
                f"the moment solver does not evaluate the denoiser for a two-valued "
                f"{pde.fields[0].name}, and supports neither guidance nor group_average there; "
                f"choose fundps, or a prior of both fields"
            )

    def _check_phases(self, pde: PDE, prior: Prior) -> None:
        """Refuse a learned medium of two phases of which `threshold_prior` is none."""
        model = self._model(pde, prior)
        known = trained_coefficients(model)
        if not _is_threshold(model) or known is None:
            return
        mirrored = Symmetry(((-1, 0), (0, 1)), (1.0, 0.0))
        if known.threshold or not known.keeps(mirrored, pde.domain):
            raise InputError(
                f"the moment solver needs phases of equal shares whose axes are x and y, got a "
                f"prior trained on a {pde.fields[0].name} that is {known.phrase(pde.domain)}; "
                f"choose level-set with that prior, or ddis"
            )

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        model = self._model(pde, prior)
        fields = fields_of(model) or pde.fields[:1]
        if _is_threshold(model):
            drawn = min(self.batch, n_samples)
            states = super().memory(pde, prior, observation, n_samples)
            coefficients = trained_coefficients(model)
            assert coefficients is not None
            return states + LevelSet(ensemble=4).memory(pde, coefficients, observation, drawn)
        m, coordinates = len(observation), len(fields) * (observation.grid.nodes + _BAND)
        linear = len(fields) > 1 or pde.linear or not bool((observation.channel >= 1).any())
        rows = 0.0 if linear and m > MANY else m * (2 * coordinates + 4 * m)
        return super().memory(pde, prior, observation, n_samples) + NUMBER * rows

    def suits_prior(self, prior: Prior) -> bool:
        """Return whether "auto" may take the method for this prior.

        It may not for a joint prior whose Gaussian part correlates nothing: that carries no
        readings of one field over to the other.
        """
        uncorrelated = (
            isinstance(prior, DenoisingPrior)
            and len(prior.fields) > 1
            and not prior.gaussian.blocks
        )
        return self.accepts_prior(prior) and not uncorrelated

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        """Return the posterior, over unknown noise where there is some."""
        if unknown := Problem(pde, prior).unknowns:
            raise InputError(
                f"numbers of the moment solver but those of the noise must be known, got unknown "
                f"{', '.join(number.name for number in unknown)}; state them, or choose the solver "
                f"'auto' with a prior of pdeinv.coefficients"
            )

        def known(readings: Observation, n: int) -> Posterior:
            return super(Moment, self).condition(pde, prior, readings, n, generator, progress)

        if not observation.unknown_noise:
            return known(observation, n_samples)
        model = self.resolve_prior(pde, prior)[0]
        joint = len(model.fields) > 1
        read = joint_readings(self.name, pde, observation, linear=True) if joint else observation
        problem = SamplingProblem(pde, model, read, generator=generator)
        return over_unknown_noise(problem, known, observation, n_samples, generator)

    def prior_fields(self, pde: PDE, prior: Prior) -> tuple[Field, ...]:
        """Return the coefficient for a prior of one field, else the fields of a joint prior."""
        return pde.fields[:1] if of_coefficient(prior) else joint_fields(pde)

    def _model(self, pde: PDE, prior: Prior) -> object:
        """The learned prior, which is the shipped one for one of the coefficient."""
        if isinstance(prior, CoefficientPrior):
            return shipped_model(pde, prior, self.shipped_role())
        return prior

    @torch.no_grad()
    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Return n samples (n, channel, ny, nx) of the fields of the prior."""
        if _is_threshold(problem.prior):
            return self._draw_thresholds(problem, n, bar)
        mean = problem.gaussian.mean(problem.grid).to(problem.scale.device).expand(n, -1, -1, -1)
        condition = LevelConditioning(problem, mean, self.sigma_min)
        x, moved = condition(mean, PRIOR_LEVEL)
        sigmas = noise_levels(self.steps, self.sigma_min, self.sigma_max)[:-1].tolist()
        for i, sigma in bar(list(enumerate(sigmas))):
            with at_level(i, len(sigmas), sigma, x):
                noised = x + sigma * antithetic(problem.noise, n)
                mean = problem.check_finite(problem.denoise(noised, sigma), "the denoised states")
                pushed = _pushed(problem, noised, sigma, mean, moved)
                x, moved = condition(mean - pushed, sigma)
                problem.check_finite(x, "the states that meet the readings")
        return condition.finished(x)

    def _draw_thresholds(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """n coefficients (n, 1, ny, nx) by `LevelSet`, with the latent field of the prior."""
        assert problem.phases is not None
        medium = Problem(problem.pde, threshold_prior(problem.gaussian, *problem.phases))
        level_set = LevelSet(stages="thorough" if self.thorough else "brief")
        forward = LatentMap(medium, problem.observation.to("cpu"), problem.counts)
        with one_thread():  # as `LevelSet` itself
            found = level_set.draw_latent(forward, n + n % 2, n, problem.generator, bar)
        problem.reduced_chi_squared = found.misfit
        return medium.coefficient(found.field(problem.grid)[:n]).to(problem.scale.device)


def _pushed(problem, x_t, sigma, mean, moved):
    """The step of the guidance terms, for a denoised state; relative to how far the readings moved
    the one before."""
    unit = problem.scale
    steps = [
        Step(unit**2 * problem.to_function_space(g), share)
        for _, g, share in term_gradients(problem.terms, x_t, sigma, mean)
    ]
    return combine_steps(moved, steps, unit) - moved


def _is_threshold(model: object) -> bool:
    """Whether a learned prior is of the threshold of a latent Gaussian field alone."""
    known = trained_coefficients(model)
    return of_coefficient(model) and bool(known and known.phases and known.has_latent)
