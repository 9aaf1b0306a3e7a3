"""The best linear estimator from an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from pdeinv.checks import MOST, Bounds, Count
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.priors.ensemble import Ensemble
from pdeinv.solvers.base import LEAST_SAMPLES, Solver, progress_bar
from pdeinv.solvers.ensemble_members import (
    completed_members,
    copying_elements,
    draw_ensemble,
    solved_ensemble,
)
from pdeinv.solvers.forward import ForwardMap, allowed
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.leave_one_out import closed_leave_one_out
from pdeinv.solvers.linear_algebra import (
    carries_weight,
    cholesky_with_nugget,
    explained_variance,
    reduced,
)
from pdeinv.solvers.supported_readings import BIASES, FOOTPRINTS, Special
from pdeinv.solvers.trained_checks import check_same_problem
from pdeinv.solvers.trained_problem import of_coefficient
from pdeinv.symmetry import Symmetry

__all__ = ["OptimalInterpolation"]

_NUGGETS = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # relative to the variance of a reading
_TARGETS = 256  # nodes on which the cross-validation scores its predictions
_TINY = 1e-300


@dataclass(frozen=True)
class OptimalInterpolation(Solver):
    """The best linear estimate from simulated examples: for nonlinear PDEs, where seconds count.

    With mean μ and covariance C of an ensemble of states, enlarged by the symmetries that the PDE
    and the distribution of its coefficient have (none for an `Ensemble` that does not state it),
    the estimate is

        x = μ + C Hᵀ (H C Hᵀ + R + λ D)⁻¹ (y - H μ),

    the best linear one as the ensemble grows. D is the diagonal of H C Hᵀ. The nugget λ is the one
    that predicts best from one half of the ensemble to the other, which keeps a finite ensemble
    from being over-fitted. The standard deviation is scaled to the errors in that test.

    Samples are ensemble members, each updated with the sensors (the stochastic ensemble Kalman
    analysis); more samples than members x copies repeat members. What leaves the coefficient's
    bounds (Darcy; those of the states, if theirs are wider) is brought back to them, which can only
    lower the error of a truth within them. The record counts under `nodes_clamped` where that moves
    the mean by more than its standard deviation. With sensors on the coefficient of a nonlinear PDE
    alone, the estimated coefficient is solved for the other fields.

    A given prior is of the coefficient alone, and is solved for the other fields with any sides,
    sources, wells and experiments; or of coefficient and solution of one experiment, from which
    derived fields are computed.

    Arguments:
        members: states drawn from the prior.
        copies: images of each member under the symmetry group, the finite part in turn and
            translations at random; 1 uses the members alone.

    Reference:
        Gandin, *Objective analysis of meteorological fields*, 1963; Evensen, *Data Assimilation*,
        2009, chapter 9.
    """

    members: Annotated[int, Bounds(least=16, most=MOST)] = 1000
    copies: Count = 8

    name: ClassVar[str] = "optimal-interpolation"
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS, BIASES})
    needs: ClassVar[str] = "it draws from the prior, whose mean must not be flat"
    wants_prior: ClassVar[str] = "a prior that can be sampled, such as an `Ensemble`"
    memory_remedy: ClassVar[str] = (
        "use a coarser grid or fewer members, or average neighbouring readings"
    )

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return not isinstance(prior, CoefficientPrior) or prior.proper

    def accepts_prior(self, prior: Prior) -> bool:
        # A regressor may be given as a prior, and draws no states
        return isinstance(prior, Prior)

    def check(self, pde: PDE, prior: Prior) -> None:
        super().check(pde, prior)
        if isinstance(prior, CoefficientPrior):
            return
        alone = of_coefficient(prior) or (isinstance(prior, Ensemble) and prior.channels == 1)
        if pde.experiments and not alone:
            raise InputError(
                f"the {self.name} solver needs a prior of the {pde.coefficient_field.name} alone "
                f"for several experiments, got {type(prior).__name__} of other fields; choose "
                f"another prior"
            )
        check_same_problem(self.name, pde, pde.fields[: 1 if alone else 2], prior)

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        m, channels = len(observation), len(pde.fields)
        state, images = channels * observation.grid.nodes, self.members * self.copies
        targets = 2.5 * channels * _TARGETS
        ours = 3 * self.members * state + images * (3 * m + targets) + m * (state + 4 * m)
        return super().memory(pde, prior, observation, n_samples) + NUMBER * ours

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        grid = observation.grid
        forward: ForwardMap = ForwardMap(pde, observation)
        bounds = None
        if isinstance(prior, CoefficientPrior):
            forward = ours = LatentMap(Problem(pde, prior), observation)
            states = solved_ensemble(ours, self.members, grid, generator, progress)
            if prior.bounds:  # no wider than the members': a prior without ends has wide ones
                low, high = float(states[:, 0].min()), float(states[:, 0].max())
                bounds = max(prior.bounds[0], low), min(prior.bounds[1], high)
        else:
            given = (
                prior.sample(self.members, grid, generator)
                if isinstance(prior, Ensemble)
                else draw_ensemble(prior, self.members, grid, generator, progress)
            )
            given = given.to(observation.values)
            states, bounds = completed_members(forward, prior, given, progress)
        elements = copying_elements(pde, prior, grid, self.copies, generator)
        analysis = _Analysis(observation, states, elements, generator, progress)

        innovation = observation.values - (expected := observation(analysis.mean[None]))
        estimate, std = (analysis.mean + analysis.update(innovation))[0], analysis.std()
        deviations = analysis.deviations(max(n_samples, LEAST_SAMPLES), generator)
        mean = allowed(pde, estimate[None], bounds)[0]
        samples = allowed(pde, mean + deviations, bounds)
        if not (pde.linear or forward.sees_solution):
            others, spread, solved = forward.propagate(mean[0], samples[:, 0])
            mean, std = torch.cat([mean[:1], others]), torch.cat([std[:1], spread])
            samples = torch.cat([samples[:, :1], solved], dim=1)
        record: dict[str, str | float | int] = {
            "reduced_chi_squared": analysis.reduced_chi_squared(innovation),
            "solver_calls": forward.solver_calls,
            "nugget": analysis.nugget,
            "nodes_clamped": int(((estimate - mean).abs() > std).sum()),
        }
        left_out = closed_leave_one_out(
            analysis.scale[:, None] * analysis.lower, expected[0], observation
        )
        samples = samples[:n_samples]
        return Posterior(pde.fields, grid, mean, std, samples, record, leave_one_out=left_out)


class _Analysis:
    """The linear update of an ensemble by the sensors.

    Readings are divided by their standard deviation over the ensemble.

    Arguments:
        observation: the sensors.
        states: the members, (N, channels, ny, nx).
        elements: the symmetries that enlarge the ensemble; each gives a copy of all members.
        generator: of the cross-validation.
        progress: show a bar.
    """

    def __init__(
        self,
        observation: Observation,
        states: torch.Tensor,
        elements: list[Symmetry],
        generator: torch.Generator | None,
        progress: bool,
    ):
        self.observation, self.states, self.elements = observation, states, elements
        self.grid, self.shape, m = observation.grid, states.shape[1:], len(observation)
        self.mean = torch.stack([g(states.mean(dim=0), self.grid) for g in elements]).mean(dim=0)
        nodes, parts = torch.randperm(self.grid.nodes, generator=generator)[:_TARGETS], []
        targets = []  # and C Hᵀ in double: the variance is a small difference of large numbers
        cross = observation.values.new_zeros(self.shape.numel(), m)
        variance = observation.values.new_zeros(self.shape)
        for g in progress_bar(elements, "covariances", progress, "copy"):
            anomalies = g(states, self.grid) - self.mean
            parts.append(observation(anomalies))
            targets.append(anomalies.flatten(2)[:, :, nodes])
            cross.addmm_(anomalies.flatten(1).T, parts[-1])
            variance += anomalies.square().sum(dim=0)
        # Copies of one member are dependent, so they stay together: dimension 0 is the copy, 1 the
        # member.
        readings = torch.stack(parts)
        scale = readings.square().mean(dim=(0, 1)).sqrt()
        # A sensor on a fixed boundary never varies
        self.scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        readings = readings / self.scale
        noise = (observation.noise_std / self.scale) ** 2
        common = observation.shared / self.scale[:, None]
        self.nugget, self.inflation = _cross_validate(
            torch.stack(targets), readings, noise, common, generator
        )
        count, data = len(states) * len(elements) - 1, readings.flatten(0, 1)
        self.lower = cholesky_with_nugget(
            data.T @ data / count + torch.diag(noise) + common @ common.T,
            torch.full((m,), self.nugget, dtype=torch.float64, device=states.device),
        )
        cross /= count * self.scale
        self.cross, self.variance = cross, variance / count

    def update(self, innovation: torch.Tensor) -> torch.Tensor:
        """Return the change of the state, (b, channels, ny, nx), for readings less their
        prediction."""
        weights = torch.cholesky_solve((innovation / self.scale).T, self.lower).T
        return (weights @ self.cross.T).reshape(-1, *self.shape)

    def std(self) -> torch.Tensor:
        """Return the standard deviation of the state, (channels, ny, nx)."""
        explained = explained_variance(self.lower, self.cross.T)
        variance = self.variance - explained.reshape(self.shape)
        return variance.clamp(min=0).sqrt() * self.inflation[:, None, None]

    def deviations(self, n: int, generator: torch.Generator | None) -> torch.Tensor:
        """Return n updated members less the updated mean, (n, channels, ny, nx)."""
        copies = len(self.elements)
        order = torch.randperm(len(self.states) * copies, generator=generator).tolist()
        chosen = (order * -(-n // len(order)))[:n]
        members = [self.elements[i % copies](self.states[i // copies], self.grid) for i in chosen]
        anomalies = torch.stack(members) - self.mean
        o = self.observation
        white = torch.randn(n, len(o) + o.biases, dtype=torch.float64, generator=generator)
        change = self.update(o(anomalies) + o.noise(white.to(anomalies)))
        return (anomalies - change) * self.inflation[:, None, None]

    def reduced_chi_squared(self, innovation: torch.Tensor) -> float:
        """Return rᵀ (H C Hᵀ + R + λ D)⁻¹ r / m of readings less their prediction (1, m)."""
        white = torch.linalg.solve_triangular(self.lower, (innovation / self.scale).T, upper=False)
        weighty = carries_weight(self.scale**2, self.observation)
        return reduced(white[:, 0].square(), weighty)


def _cross_validate(
    targets: torch.Tensor,
    readings: torch.Tensor,
    noise: torch.Tensor,
    common: torch.Tensor,
    generator: torch.Generator | None,
) -> tuple[float, torch.Tensor]:
    """Choose the nugget that predicts best from one half of the members to the other.

    Arguments:
        targets: (copies, N, channels, nodes), the anomalies at some nodes.
        readings: (copies, N, m), those of the sensors, scaled to unit variance.
        noise: (m,), variances in that scale.
        common: (m, k), B of the biases in that scale.
        generator: of the noise of the readings.

    Returns:
        The nugget, and for each channel the ratio of the errors to the predicted standard
        deviation, (channels,).
    """
    count, channels, nodes = targets.shape[1:]
    error = torch.zeros(len(_NUGGETS), channels, dtype=torch.float64, device=targets.device)
    predicted = torch.zeros_like(error)
    halves = torch.arange(count, device=targets.device).split((count + 1) // 2)
    for train, test in (halves, halves[::-1]):
        y, x = readings[:, train].flatten(0, 1), targets[:, train].flatten(0, 1)
        cross = y.T @ x.flatten(1) / len(y)
        gram = y.T @ y / len(y) + torch.diag(noise) + common @ common.T
        own = torch.randn(readings[0, test].shape, dtype=y.dtype, generator=generator).to(y)
        shared = torch.randn(len(own), common.shape[1], dtype=y.dtype, generator=generator).to(y)
        perturbed = readings[0, test] + noise.sqrt() * own + shared @ common.T
        for i, nugget in enumerate(_NUGGETS):
            # Not by eigenvalues: these are lost to rounding next to a reading of very large noise
            lower = cholesky_with_nugget(gram, torch.full_like(noise, nugget))
            half = torch.linalg.solve_triangular(lower, cross, upper=False)
            estimate = torch.linalg.solve_triangular(lower, perturbed.T, upper=False).T @ half
            explained = half.square().sum(dim=0).reshape(channels, -1)
            left = targets[0, test] - estimate.reshape(-1, channels, nodes)
            error[i] += left.square().mean(dim=(0, 2))
            predicted[i] += (x.square().mean(dim=0) - explained).clamp(min=0).mean(dim=1)
    # All channels count, whatever their scale, but for those that are zero with every nugget
    best = int(error.clamp(min=_TINY).log().sum(dim=1).argmin())
    constant = error[best] == 0  # a field that is the same in every member
    return _NUGGETS[best], torch.where(constant, 1.0, error[best] / predicted[best]).sqrt()
