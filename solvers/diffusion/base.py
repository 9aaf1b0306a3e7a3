"""The contract of the diffusion solvers: from a prior with a denoiser to a posterior."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, get_args

import torch

from pdeinv.checks import Count, choice
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import DenoisingPrior, Prior
from pdeinv.priors.group_average import GroupAveraged
from pdeinv.priors.storage import Role
from pdeinv.solvers.base import MisfitTest, ProgressBar, progress_bar
from pdeinv.solvers.diffusion.guidance import Guidance, bind_terms, check_guidance
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import Preset
from pdeinv.solvers.forward import ForwardMap, allowed
from pdeinv.solvers.joint_readings import joint_readings
from pdeinv.solvers.learned import LearnedSolver
from pdeinv.solvers.linear_algebra import carries_weight, reduced
from pdeinv.solvers.supported_readings import BIASES, FOOTPRINTS, Special
from pdeinv.solvers.trained_problem import shared_symmetries, with_derived

__all__ = ["DiffusionSolver"]

# Expected misfit of an exact reading, in standard deviations of its field
_EXACT_MISFIT = 0.1
_FEWEST = 2  # samples that a standard deviation needs


@dataclass(frozen=True, kw_only=True)
class DiffusionSolver(LearnedSolver[DenoisingPrior]):
    """Base of the solvers that draw posterior samples with a denoiser.

    A subclass implements `draw`. It sets `role` to "coefficient" if its prior is of the coefficient
    alone; the samples' solutions are then solved for. With a joint prior the readings are of its
    fields and of what is linear in these (`PDE.linear_in_channels`). What the PDE derives is then
    derived from the samples. `published_role` is that of the shipped prior for the preset
    "published", None where the method has no such preset.

    Arguments:
        guidance: further terms, such as `EquiReg()`, or plain callables `(x_t, sigma, x0_hat) ->
            loss (batch,)`.
        group_average: average the denoiser over the PDE's symmetries. It becomes exactly
            equivariant, at as many times the cost.
        preset: "default" or "published". By default a gradient step is cut to Polyak's length, the
            loss over its squared gradient, where it is longer, and that of a term with a share,
            such as EquiReg, to half of it in `guided_sampling`: the published constants overshoot
            with few steps and few sensors. Gradients are those of functions
            (`SamplingProblem.to_function_space`), and noisy readings count less. "published" is the
            algorithm of the paper's code, with none of these; docs/published.md lists all
            differences.
        batch: samples drawn at once.

    Raises:
        InputError: a setting is out of range.
    """

    guidance: Guidance = ()
    group_average: bool = False
    preset: Preset = "default"
    batch: Count = 16

    role: ClassVar[Role] = "joint"
    published_role: ClassVar[Role | None] = "white"
    wants_prior: ClassVar[str] = (
        "a prior with a denoiser, such as `load` or `prior_from_denoiser` of pdeinv.priors returns"
    )

    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS, BIASES})
    misfit: ClassVar[MisfitTest] = "none"
    amplifies_rounding: ClassVar[bool] = True
    pairs: ClassVar[bool] = False
    """Whether `draw` returns antithetic pairs; see `Posterior`."""
    held: ClassVar[tuple[int, float]] = (48, 60e6)
    """Numbers that `draw` holds for each node of a state, and bytes whatever the grid; these are
    those of a differentiated network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_guidance(self.name, self.guidance)
        presets = get_args(Preset) if self.published_role else get_args(Preset)[:1]
        choice(f"preset of {self.name}", self.preset, presets)

    @property
    def uses_noise(self) -> bool:
        return self.preset != "published"

    def preset_values(self) -> dict[str, Any]:
        """Return the preset's values of settings that are None unless given."""
        return {}

    def settings(self) -> dict[str, Any]:
        """Return the settings by name, with the preset's values of those not given."""
        given = super().settings()
        return given | {k: v for k, v in self.preset_values().items() if given[k] is None}

    def shipped_role(self) -> Role:
        """Return the role of the shipped model that is used where none is given."""
        return (self.preset == "published" and self.published_role) or self.role

    @abstractmethod
    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Draw n posterior samples (n, channel, ny, nx) of the prior's fields.

        Arguments:
            problem: the denoiser, the sensors and the guidance terms.
            n: number of samples.
            bar: wraps the iterable of the steps and shows the progress.

        Raises:
            DivergedError: the samples leave all bounds.
        """

    def accepts_prior(self, prior: Prior) -> bool:
        """Return whether the method can use this prior."""
        return isinstance(prior, DenoisingPrior | CoefficientPrior)

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        drawn = min(self.batch, max(n_samples, _FEWEST))
        each, network = self.held
        state = each * observation.grid.nodes + 16 * len(observation)
        return super().memory(pde, prior, observation, n_samples) + network + NUMBER * drawn * state

    def prepare_prior(self, pde: PDE, prior: object) -> DenoisingPrior:
        """Return an accepted prior as it is."""
        assert isinstance(prior, DenoisingPrior)
        return prior

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        """Draw samples batch by batch and sum them up; see `Solver.__call__`."""
        if self.preset == "published" and observation.biases:
            raise InputError(
                f"preset of {self.name} must be 'default' for readings that share a bias, got "
                f"'published', which is for exact readings; change it, or leave out the bias of "
                f"their instrument"
            )
        plain, record = self.resolve_prior(pde, prior)
        if len(plain.fields) > 1:
            observation = joint_readings(self.name, pde, observation, linear=True)
        denoiser: DenoisingPrior = plain
        if self.group_average:
            fields = pde.fields[: len(plain.fields)]
            group = shared_symmetries(pde, plain).acting_on(fields)
            denoiser = GroupAveraged(plain, group.on_grid(observation.grid))
        # A group average is exactly equivariant, which leaves EquiReg nothing to measure
        terms = bind_terms(self.guidance, pde, plain, generator)
        problem = SamplingProblem(pde, denoiser, observation, terms, generator, self.preset)
        samples = self._draw_batches(problem, max(n_samples, _FEWEST), progress)
        return _posterior(problem, samples, n_samples, record, self.pairs)

    def _draw_batches(self, problem: SamplingProblem, n: int, progress: bool) -> torch.Tensor:
        """Draw n samples and make the count of network evaluations that of one sample."""
        batches = torch.arange(n).split(self.batch)
        parts = []
        for i, batch in enumerate(batches):
            label = self.name
            if len(batches) > 1:
                label = f"{self.name}, batch {i + 1} of {len(batches)}"
            bar = partial(progress_bar, description=label, show=progress, unit="step")
            parts.append(self.draw(problem, len(batch), bar))
        counts = problem.counts
        counts["network_evaluations"] += sum(term.evaluations for term in problem.terms)
        counts["network_evaluations"] //= len(batches)
        return problem.check_finite(torch.cat(parts))


def _posterior(
    problem: SamplingProblem,
    samples: torch.Tensor,
    n_samples: int,
    record: dict[str, str],
    pairs: bool,
) -> Posterior:
    """Return the posterior of samples (n, channel, ny, nx); it keeps `n_samples` of
    them."""
    pde = problem.pde
    samples, joint = allowed(pde, samples, problem.bounds), samples.shape[1]
    if joint == 1:
        samples = pde.restrict(samples)
        forward = ForwardMap(pde, problem.observation, problem.counts)
        samples = torch.cat([samples, forward.solve(samples)], dim=1)
        joint = samples.shape[1]
    else:
        samples = with_derived(pde, samples)
    for term in problem.terms:
        kept = term.resample(len(samples))
        if kept is not None:
            samples, pairs = samples[kept], False
    mean = samples.mean(dim=0)
    probability = None
    if problem.phases:
        probability = (samples[:, 0] > sum(problem.phases) / 2).double().mean(dim=0)
    return Posterior(
        pde.fields,
        problem.grid,
        mean=mean,
        std=samples.std(dim=0),
        samples=samples[:n_samples],
        probability=probability,
        record={
            "reduced_chi_squared": max(problem.reduced_chi_squared, _misfit(problem, mean[:joint])),
            **problem.counts,
            **record,
        },
        pairs=pairs,
    )


def _misfit(problem: SamplingProblem, mean: torch.Tensor) -> float:
    """Return the mean square misfit of a state (channel, ny, nx), less the biases, over the
    variance that is expected."""
    o, variances = problem.observation, problem.field_std[problem.observation.channel] ** 2
    expected, left = o.noise_std**2 + _EXACT_MISFIT**2 * variances, o.values - o(mean[None])
    terms = (left * o.without_bias(left, expected) / expected)[0]
    return reduced(terms, carries_weight(variances, o))
