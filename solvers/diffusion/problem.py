"""One inverse problem as the samplers use it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from pdeinv import seeds
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.errors import DivergedError, InputError, NumericalError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.priors.base import DenoisingPrior
from pdeinv.priors.data import STD
from pdeinv.priors.gaussian import GaussianPrior
from pdeinv.solvers.diffusion.guidance import BoundTerm
from pdeinv.solvers.diffusion.published import NODES, Measure, Preset
from pdeinv.solvers.diffusion.sensor_misfit import Misfit
from pdeinv.solvers.forward import clamped
from pdeinv.solvers.joint_readings import JointReadings
from pdeinv.solvers.trained_problem import trained_coefficients
from pdeinv.solvers.unstable import solved_or_infinite

__all__ = ["SamplingProblem"]

_BLUR = 0.05  # noise of a reading, in standard deviations of a normalised field
_LEAST = 1e-3  # of the largest coefficient, to which negative draws of a positive one are brought
_MOST_NEGATIVE = 0.4  # share of nodes, which a Gaussian part of a skewed positive field may have
_DRAWS, _DRAW_NODES = 64, 32  # of a prior of the coefficient, for the spread of the solution
_FEWEST = 4  # of these that must be stable


class SamplingProblem:
    """A denoiser that counts its evaluations, the sensors, and the terms that guide.

    Arguments:
        pde: the physics.
        prior: of coefficient and solution, or of the coefficient alone.
        observation: of the fields of a joint prior, or `JointReadings`; of all channels of the
            PDE's state for a prior of the coefficient.
        terms: the guidance terms of this run.
        generator: source of all randomness.
        preset: of the solver.
        counts: where network evaluations and solves are counted; new counts if None.

    Attributes:
        grid: of the states.
        gaussian: the Gaussian part of the prior.
        coefficients: the distribution of the coefficients that the prior was trained on; None where
            it does not state it.
        bounds: of the coefficients, where they have some, or must be positive.
        field_std: standard deviations of the observation's channels under the prior, in physical
            units.
        scale: (channel, 1, 1), the physical unit of normalised fields, whose standard deviation is
            0.5.
        reduced_chi_squared: of the readings under the prior, from a sampler that computes it. The
            misfit of the posterior mean is no test of a sampler that fits any readings.
    """

    def __init__(
        self,
        pde: PDE,
        prior: DenoisingPrior,
        observation: Observation,
        terms: Sequence[BoundTerm] = (),
        generator: torch.Generator | None = None,
        preset: Preset = "default",
        counts: dict[str, int] | None = None,
    ) -> None:
        self.pde, self.prior, self.observation = pde, prior, observation
        self.terms, self.generator, self.preset = tuple(terms), generator, preset
        self.counts = {"network_evaluations": 0, "solver_calls": 0} if counts is None else counts
        self.grid, self.gaussian = observation.grid, prior.gaussian
        self.coefficients = trained_coefficients(prior)
        self.bounds = _bounds(pde, self.coefficients, self.gaussian)
        std = _field_std(pde, self.gaussian, self.phases, self.bounds)
        if isinstance(observation, JointReadings):
            derived = observation.derived(_drawn(pde, self.gaussian)).to(std)
            std = torch.cat([std, _spreads(derived)])
        device = observation.values.device
        self.field_std = std.to(device)
        self.scale = self.gaussian.scale[:, None, None].to(device)
        self.reduced_chi_squared = 0.0

    @property
    def phases(self) -> tuple[float, float] | None:
        """The two values of the coefficient; None for any other."""
        return self.coefficients.phases if self.coefficients else None

    @property
    def published(self) -> bool:
        """Whether the method is that of its paper, without our changes."""
        return self.preset == "published"

    def on_grid(self, grid: Grid) -> SamplingProblem:
        """Return the same problem, with the same counts, for states on another grid."""
        moved = self.observation.on_grid(grid)
        return SamplingProblem(
            self.pde, self.prior, moved, self.terms, self.generator, self.preset, self.counts
        )

    def denoise(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return the denoised states of x (batch, channel, ny, nx) at the noise level sigma."""
        self.counts["network_evaluations"] += self.prior.evaluations_per_call
        return self.prior.denoise(x, sigma)

    def noise(self, n: int) -> torch.Tensor:
        """Draw the noise of level 1, (n, channel, ny, nx), in physical units."""
        noise = self.prior.sample_noise(n, self.grid, self.generator)
        return noise.to(self.observation.values.device)

    def start(self, n: int, sigma: float) -> torch.Tensor:
        """Draw states (n, channel, ny, nx) of pure noise of the level sigma."""
        noise = self.noise(n)
        return self.gaussian.shift[:, None, None].to(noise.device) + sigma * noise

    def check_finite(self, x: torch.Tensor, what: str = "") -> torch.Tensor:
        """Return the states x.

        Arguments:
            x: the states, or what moves them.
            what: they are, such as "the denoised states", for the message.

        Raises:
            DivergedError: a value is infinite or not a number.
        """
        if not bool(x.isfinite().all()):
            remedy = "use more steps, or a smaller weight or rate"
            if self.published:
                remedy += ", or preset='default'"
            place = f"{what} were nan or infinite, and " if what else ""
            raise DivergedError(f"{place}the samples of {self.pde.name} diverged; {remedy}")
        return x

    def to_function_space(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the direction in function space of a gradient with respect to the nodes' values.

        In the reverse of a diffusion the covariance of the noise multiplies the score, and so the
        guidance. White noise has the identity. The covariance of other noise is normalised: on
        coarse scales it acts as the identity does on the nodes of the published runs. The published
        weights then mean the same function on every grid.

        With the preset "published" the direction is the gradient itself.

        Arguments:
            gradient: (batch, channel, ny, nx), of normalised fields.
        """
        if self.published:
            return gradient
        noise, size = self.gaussian.noise, 1.0
        if noise.kind != "white":
            size = 2 * torch.pi * (noise.length * NODES) ** 2
        return self.gaussian.noise_covariance(gradient) / size

    def misfit(
        self,
        weights: Sequence[float],
        measures: Sequence[Measure],
        scale: torch.Tensor | None = None,
        blur: float = _BLUR,
    ) -> Misfit:
        """Return the sensors' loss.

        Arguments:
            weights, measures: of the coefficient and of the solution; those of the latter serve
                the further channels too.
            scale: (channel,), what residuals are divided by, in physical units; that of normalised
                fields if None.
            blur: noise of a reading that halves the weight of its squared residual, in units of
                normalised fields. With the preset "published" all readings count alike.
        """
        unit = 2 * self.field_std
        blur = torch.inf if self.published else blur
        return Misfit(
            self.observation,
            (*weights, *[weights[-1]] * (len(unit) - len(weights))),
            (*measures, *[measures[-1]] * (len(unit) - len(measures))),
            unit if scale is None else scale,
            blur * unit,
        )


Range = tuple[float, float]


def _bounds(pde: PDE, coefficients: CoefficientPrior | None, prior: GaussianPrior) -> Range | None:
    if coefficients is not None:
        return coefficients.bounds
    if not pde.positive_coefficient:
        return None
    a = _drawn(pde, prior)[:, :1]
    wrong = float((a <= 0).double().mean())
    if wrong > _MOST_NEGATIVE:
        raise InputError(
            f"the prior of the {pde.coefficient_field.name} of {pde.name} must be positive "
            f"everywhere, got values that are not at {100 * wrong:.0f} % of the nodes of its "
            f"draws; use a prior of a positive field"
        )
    return (max(float(a.min()), _LEAST * float(a.max())), float(a.max()))


def _field_std(
    pde: PDE, prior: GaussianPrior, phases: Range | None, bounds: Range | None
) -> torch.Tensor:
    """Return the standard deviations (channel,) of a joint prior's fields, or of all channels of
    the PDE's state for a prior of the coefficient, over nodes and states."""
    std = STD * prior.scale
    return std if len(std) > 1 else torch.cat([std, _other_std(pde, prior, phases, bounds)])


@lru_cache(maxsize=8)
def _other_std(
    pde: PDE, prior: GaussianPrior, phases: Range | None, bounds: Range | None
) -> torch.Tensor:
    """Return the standard deviations (channel - 1,) of the other fields for draws of a prior of the
    coefficient."""
    a = _drawn(pde, prior)[:, :1]
    if phases:
        low, high = phases
        a = torch.where(a > (low + high) / 2, high, low).float()
    a = pde.restrict(clamped(a, bounds))
    shape = (len(pde.fields) - 1, *a.shape[-2:])
    solved, reason = solved_or_infinite(pde.respond, a, shape)
    stable = solved.flatten(1).isfinite().all(dim=1)
    if int(stable.sum()) < _FEWEST:
        raise NumericalError(
            reason
            or f"the states of {pde.name} must be finite, got nan or inf; check its parameters"
        )
    return _spreads(solved[stable])


def _spreads(states: torch.Tensor) -> torch.Tensor:
    """Return the standard deviations (channel,) over nodes and states."""
    return torch.stack([u.std() for u in states.unbind(dim=1)])


def _drawn(pde: PDE, prior: GaussianPrior) -> torch.Tensor:
    grid = pde.grid(_DRAW_NODES)
    return prior.sample(_DRAWS, grid, seeds.generator(seeds.STATISTICS)).double()
