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
from pdeinv.errors import DivergedError, InputError, NumericalError
from pdeinv.fields import Field
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.priors.base import DenoisingPrior, Prior
from pdeinv.priors.covariance import CovarianceRoot
from pdeinv.priors.latent import threshold_prior
from pdeinv.priors.schedule import noise_levels
from pdeinv.priors.storage import Role
from pdeinv.solvers.base import MisfitTest, ProgressBar, antithetic
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.conditioning import Dense, Linearised, MatrixFree, StateReadings
from pdeinv.solvers.diffusion.guidance import Step, combine_steps, term_gradients
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.forward import ForwardMap, TensorMap
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.learned import shipped_model
from pdeinv.solvers.level_set import LevelSet
from pdeinv.solvers.trained_problem import (
    fields_of,
    joint_fields,
    of_coefficient,
    trained_coefficients,
)
from pdeinv.symmetry import Symmetry
from pdeinv.torch_state import one_thread

__all__ = ["Moment"]

_PRIOR_LEVEL = 1e4  # noise level at which only the prior counts
_MOVED = 0.1  # relative change of the mean state beyond which the PDE is linearised again
_MANY = 2000  # readings, beyond which a linear map's matrix is not built
_BAND = 784  # coordinates along the eigenvectors of correlated blocks, about
_FINAL = 3.0  # times the last noise level, above which the PDE's surrogate stands for its solve
_ROUNDS = 4  # of linearisation at the first level
_CHORDS = 3  # iterations with one linearisation


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

    A coefficient alone that has two values is far from Gaussian. `LevelSet` draws it, as the
    threshold of the latent field that the prior's covariance implies (`threshold_prior`); this path
    does not evaluate the denoiser.

    Guidance terms, such as `EquiReg()`, move the denoised state before it is conditioned, so that
    the readings are met. Draws come in antithetic pairs, which cancels the sampling error of a
    Gaussian's mean; no pair is divided among batches.

    Arguments:
        steps: noise levels, one denoising each.
        sigma_max, sigma_min: the first level and the last.
        thorough: for a coefficient with two values that is seen through the PDE, anneal in the
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
    held: ClassVar[tuple[int, float]] = (20, 0.0)
    misfit_remedy: ClassVar[str] = (
        "use more steps, or for a coefficient with two values, in Python, Moment(thorough=True)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_below(self.name, ("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max))

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return isinstance(prior, CoefficientPrior) or of_coefficient(prior)

    def check(self, pde: PDE, prior: Prior) -> None:
        super().check(pde, prior)
        self._check_phases(pde, prior)
        if (self.guidance or self.group_average) and _two_valued(self._model(pde, prior)):
            raise InputError(
                f"the moment solver does not evaluate the denoiser for a two-valued "
                f"{pde.fields[0].name}, and supports neither guidance nor group_average there; "
                f"choose fundps, or a prior of both fields"
            )

    def _check_phases(self, pde: PDE, prior: Prior) -> None:
        """Refuse a learned medium of two phases of which `threshold_prior` is none."""
        model = self._model(pde, prior)
        known = trained_coefficients(model)
        if not _two_valued(model) or known is None:
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
        if _two_valued(model):
            drawn = min(self.batch, n_samples)
            states = super().memory(pde, prior, observation, n_samples)
            coefficients = trained_coefficients(model)
            assert coefficients is not None
            return states + LevelSet(ensemble=4).memory(pde, coefficients, observation, drawn)
        m, coordinates = len(observation), len(fields) * (observation.grid.nodes + _BAND)
        linear = len(fields) > 1 or pde.linear or not bool((observation.channel >= 1).any())
        rows = 0.0 if linear and m > _MANY else m * (2 * coordinates + 4 * m)
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

    def prior_fields(self, pde: PDE, prior: Prior) -> tuple[Field, ...]:
        """Return the coefficient for a prior of one field, else the fields of a joint prior."""
        return pde.fields[:1] if of_coefficient(prior) else joint_fields(pde)

    def _model(self, pde: PDE, prior: Prior) -> object:
        """The learned prior, which is the shipped one for one of the coefficient."""
        if isinstance(prior, CoefficientPrior):
            return shipped_model(pde, self.shipped_role())
        return prior

    @torch.no_grad()
    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Return n samples (n, channel, ny, nx) of the fields of the prior."""
        if problem.phases and len(problem.gaussian.fields) == 1:
            return self._draw_thresholds(problem, n, bar)
        mean = problem.gaussian.mean(problem.grid).expand(n, -1, -1, -1)
        condition = _Conditioning(self, problem, mean)
        x, moved = condition(mean, _PRIOR_LEVEL)
        for sigma in bar(noise_levels(self.steps, self.sigma_min, self.sigma_max)[:-1].tolist()):
            noised = x + sigma * antithetic(problem.noise, n)
            mean = problem.denoise(noised, sigma)
            x, moved = condition(mean - _pushed(problem, noised, sigma, mean, moved), sigma)
        return x

    def _draw_thresholds(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """n coefficients (n, 1, ny, nx) by `LevelSet`, with the latent field of the prior."""
        assert problem.phases is not None
        medium = Problem(problem.pde, threshold_prior(problem.gaussian, *problem.phases))
        level_set = LevelSet(stages="thorough" if self.thorough else "brief")
        forward = LatentMap(medium, problem.observation, problem.counts)
        with one_thread():  # as `LevelSet` itself
            found = level_set.draw_latent(forward, n + n % 2, n, problem.generator, bar)
        problem.reduced_chi_squared = found.misfit
        return medium.coefficient(found.field(problem.grid)[:n])


def _pushed(problem, x_t, sigma, mean, moved):
    """The step of the guidance terms, for a denoised state; relative to how far the readings moved
    the one before."""
    unit = problem.scale
    steps = [
        Step(unit**2 * problem.to_function_space(g), share)
        for _, g, share in term_gradients(problem.terms, x_t, sigma, mean)
    ]
    return combine_steps(moved, steps, unit) - moved


def _two_valued(model: object) -> bool:
    """Whether a learned prior is of a coefficient with two values alone."""
    coefficients = trained_coefficients(model)
    return of_coefficient(model) and bool(coefficients and coefficients.phases)


class _Conditioning:
    """Conditions states that are Gaussian about their means, one noise level after the other.

    Arguments:
        solver: its last noise level.
        problem: the prior and the sensors.
        mean: of the prior, (batch, channel, ny, nx); the search for the most probable state,
            where F is linearised first, starts there.
    """

    def __init__(self, solver: Moment, problem: SamplingProblem, mean: torch.Tensor):
        self.problem, self.observation = problem, problem.observation
        self.forward: ForwardMap | StateReadings = (
            ForwardMap(problem.pde, problem.observation, problem.counts, problem.bounds)
            if len(problem.gaussian.fields) == 1
            else StateReadings(problem.observation)
        )
        self.finest = _FINAL * solver.sigma_min
        self.root = problem.gaussian.covariance_root(problem.grid)
        self.iterations = 1 if self.forward.linear else _CHORDS
        self._find_mode(mean.mean(dim=0, keepdim=True))

    def __call__(self, mean: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a draw for each mean (batch, channel, ny, nx), and how far the readings moved
        it."""
        predict = self._predict_at(sigma)
        draws, noise = (self._normal(len(mean), what) for what in (self.root, self.observation))
        x, moved = self.linearised(mean, sigma, draws, noise, predict, self.iterations)
        if not self.forward.linear:
            centre = x.mean(dim=0, keepdim=True)
            if float((centre - self.centre).norm()) > _MOVED * float(centre.norm()):
                self._linearise(centre)
        return x, moved

    def _predict_at(self, sigma: float) -> TensorMap:
        return self.forward if sigma <= self.finest else self.forward.approximate

    def _find_mode(self, mean: torch.Tensor) -> None:
        """Linearise at the most probable state, and record the readings' chi-squared there."""
        pde, mode, predict = self.problem.pde, mean, self._predict_at(_PRIOR_LEVEL)
        for _ in range(1 if self.forward.linear else _ROUNDS):
            self._linearise(mode)
            mode, residual = self.linearised.mode(mean, _PRIOR_LEVEL, predict, self.iterations)
            if not bool(mode.isfinite().all()):
                raise DivergedError(
                    f"no {pde.fields[0].name} for which {pde.name} is stable comes near the "
                    f"readings; check their units and the PDE's parameters"
                )
        chi2 = self.linearised.reduced_chi_squared(residual, _PRIOR_LEVEL)
        self.problem.reduced_chi_squared = chi2

    def _normal(self, n: int, coordinates: CovarianceRoot | Observation) -> torch.Tensor:
        size, generator = len(coordinates), self.problem.generator
        return antithetic(
            lambda k: torch.randn(k, size, dtype=torch.float64, generator=generator), n
        )

    def _linearise(self, centre: torch.Tensor) -> None:
        self.centre = centre
        self.linearised = Linearised(self.root, self.observation, self._derivative(centre))

    def _derivative(self, centre: torch.Tensor) -> Dense | MatrixFree:
        forward, o = self.forward, self.observation
        if len(o) > _MANY and forward.linear:
            zero = torch.zeros_like(centre)
            offset = forward(zero)  # of an affine map, that of the sides and the sources
            return MatrixFree(self.root, o, lambda x: forward(x) - offset, forward.adjoint_at(zero))
        rows = forward.jacobian(centre)
        if not bool(rows.isfinite().all()):
            raise NumericalError(
                f"the derivative of {self.problem.pde.name} must be finite where the search is, "
                f"and is not; check the PDE's parameters and the units of the readings"
            )
        return Dense(self.root, o, rows)
