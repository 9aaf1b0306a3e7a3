"""The best linear estimator from an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.posterior import Posterior
from pdeinv.solvers.base import (
    LEAST_SAMPLES,
    Solver,
    check_memory,
    cholesky_with_nugget,
    progress_bar,
    propagate,
)
from pdeinv.solvers.learned import check_same_problem
from pdeinv.symmetry import Symmetry

__all__ = ["OptimalInterpolation", "draw_ensemble"]

_NUGGETS = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # relative to the variance of a reading
_TARGETS = 256  # nodes on which the cross-validation scores its predictions


@dataclass(frozen=True)
class OptimalInterpolation(Solver):
    """The best linear estimate from simulated examples: for nonlinear PDEs, where seconds count.

    With mean μ and covariance C of an ensemble of states, enlarged by the PDE's symmetries, the
    estimate is

        x = μ + C Hᵀ (H C Hᵀ + R + λ D)⁻¹ (y - H μ),

    the best linear one as the ensemble grows. D is the diagonal of H C Hᵀ and λ the nugget that
    predicts best from one half of the ensemble to the other, which keeps a finite ensemble from
    being over-fitted; the spread is scaled to the errors seen in that test. Samples are ensemble
    members, each updated with the sensors (the stochastic ensemble Kalman analysis); more samples
    than members x copies repeat members.
    What leaves the coefficient's bounds (Darcy) is brought back to them, which can only lower the
    error. With no sensor on the solution of a nonlinear PDE, the estimated coefficient is solved
    for it, which beats any linear estimate by far.

    Arguments:
        members: states drawn from the prior.
        copies: images of each member under the symmetry group, the finite part in turn and
            translations at random; 1 uses the members alone.

    Reference:
        Gandin, *Objective analysis of meteorological fields*, 1963; Evensen, *Data Assimilation*,
        2009, chapter 9.
    """

    members: int = 1000
    copies: int = 8

    name: ClassVar[str] = "optimal-interpolation"
    takes_prior: ClassVar[bool] = True

    def __post_init__(self):
        if self.members < 16 or self.copies < 1:
            raise InputError(
                f"members = {self.members}, copies = {self.copies}: use at least 16 members and 1 "
                f"copy"
            )

    def check(self, pde, prior):
        super().check(pde, prior)
        if prior is not None and not hasattr(prior, "sample"):
            raise InputError(
                f"optimal interpolation needs a prior that can be sampled, such as an `Ensemble`, "
                f"not {type(prior).__name__}"
            )
        check_same_problem(self.name, pde, pde.fields, prior)

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        grid, m = observation.grid, len(observation)
        size = 2 * grid.n**2 * (3 * self.members + 2 * m) + 2 * m**2
        what = f"optimal interpolation of {m} sensors on a grid of {grid.n} nodes with {self.members} states"
        check_memory(size, what, "use a coarser grid or fewer members")
        if prior is None:
            states = draw_ensemble(pde, self.members, grid, generator, progress)
        else:
            states = prior.sample(self.members, grid, generator).double()
        elements = [pde.symmetries.element(i, generator, grid) for i in range(self.copies)]
        if self.copies == 1:
            elements = [Symmetry()]  # the members as they are, not translated
        mean = torch.stack([g(states.mean(dim=0), grid) for g in elements]).mean(dim=0)
        nodes = torch.randperm(grid.n**2, generator=generator)[:_TARGETS]
        readings, targets = [], []
        # C Hᵀ, in double: the variance will be a small difference of large numbers.
        cross = torch.zeros(2 * grid.n**2, m, dtype=torch.float64)
        variance = torch.zeros(2, *grid.shape, dtype=torch.float64)
        for g in progress_bar(elements, "covariances", progress, "copy"):
            anomalies = g(states, grid) - mean
            readings.append(observation(anomalies))
            targets.append(anomalies.flatten(2)[:, :, nodes])
            cross.addmm_(anomalies.flatten(1).T, readings[-1])
            variance += anomalies.square().sum(dim=0)
        # Copies of one member are dependent, so they stay together: dimension 0 is the copy, 1 the
        # member.
        readings, targets = torch.stack(readings), torch.stack(targets)
        scale = readings.square().mean(dim=(0, 1)).sqrt()
        # a sensor on a fixed boundary never varies
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        readings = readings / scale
        noise = (observation.noise_std / scale) ** 2
        nugget, inflation = _cross_validate(targets, readings, noise, generator)

        count, data = len(states) * len(elements) - 1, readings.flatten(0, 1)
        lower = cholesky_with_nugget(
            data.T @ data / count + torch.diag(noise), torch.full((m,), nugget, dtype=torch.float64)
        )
        cross /= count * scale

        def update(innovation):
            return (torch.cholesky_solve((innovation / scale).T, lower).T @ cross.T).reshape(
                -1, 2, *grid.shape
            )

        innovation = observation.values - observation(mean[None])
        explained = torch.linalg.solve_triangular(lower, cross.T, upper=False).square_().sum(dim=0)
        variance = variance / count - explained.reshape(2, *grid.shape)
        std = variance.clamp(min=0).sqrt() * inflation[:, None, None]
        posterior_mean = pde.clamp(mean + update(innovation))[0]

        chosen = torch.randperm(len(states) * len(elements), generator=generator)
        wanted = max(n_samples, LEAST_SAMPLES)
        chosen = chosen.repeat(-(-wanted // len(chosen)))[:wanted].tolist()
        members = (
            torch.stack(
                [elements[i % len(elements)](states[i // len(elements)], grid) for i in chosen]
            )
            - mean
        )
        perturbed = observation.noise_std * torch.randn(
            len(chosen), m, dtype=torch.float64, generator=generator
        )
        deviations = members - update(observation(members) + perturbed)
        white = torch.linalg.solve_triangular(lower, (innovation / scale).T, upper=False)
        samples = pde.clamp(posterior_mean + deviations * inflation[:, None, None])
        calls = self.members if prior is None else 0
        if not pde.linear and not bool((observation.channel == 1).any()):
            solution, spread, solved = propagate(pde, posterior_mean[0], samples[:, 0])
            posterior_mean, std = (
                torch.stack([posterior_mean[0], solution]),
                torch.stack([std[0], spread]),
            )
            samples = torch.stack([samples[:, 0], solved], dim=1)
            calls += 1 + len(samples)
        record = {
            "reduced_chi_squared": float(white.square().mean()),
            "solver_calls": calls,
            "nugget": nugget,
        }
        return Posterior(pde.fields, grid, posterior_mean, std, samples[:n_samples], record)


def draw_ensemble(
    pde: PDE, members: int, grid: Grid, generator: torch.Generator | None, progress: bool
) -> torch.Tensor:
    """States (members, 2, n, n) of the PDE's own prior, batch by batch under a progress bar."""
    sizes = [len(part) for part in torch.arange(members).split(50)]
    return torch.cat(
        [pde.sample(n, grid, generator) for n in progress_bar(sizes, "ensemble", progress, "batch")]
    )


def _cross_validate(targets, readings, noise, generator):
    """The nugget that predicts best from one half of the members to the other, and the spread's
    correction per channel.

    targets (copies, N, 2, nodes), the anomalies at some nodes; readings (copies, N, m), theirs at
    the sensors, scaled to unit variance; noise (m,), variances in that scale.
    """
    count, channels, nodes = targets.shape[1:]
    error = torch.zeros(len(_NUGGETS), channels, dtype=torch.float64)
    predicted = torch.zeros_like(error)
    halves = torch.arange(count).split((count + 1) // 2)
    for train, test in (halves, halves[::-1]):
        y, x = readings[:, train].flatten(0, 1), targets[:, train].flatten(0, 1)
        cross = y.T @ x.flatten(1) / len(y)
        eigenvalues, vectors = torch.linalg.eigh(y.T @ y / len(y) + torch.diag(noise))
        cross = vectors.T @ cross
        perturbed = readings[0, test] + noise.sqrt() * torch.randn(
            readings[0, test].shape, dtype=y.dtype, generator=generator
        )
        for i, nugget in enumerate(_NUGGETS):
            inverse = 1 / (eigenvalues.clamp(min=0) + nugget)
            estimate = (perturbed @ vectors) @ (inverse[:, None] * cross)
            explained = (inverse[:, None] * cross.square()).sum(dim=0).reshape(channels, -1)
            error[i] += (
                (targets[0, test] - estimate.reshape(-1, channels, nodes)).square().mean(dim=(0, 2))
            )
            predicted[i] += (x.square().mean(dim=0) - explained).clamp(min=0).mean(dim=1)
    best = int(error.log().sum(dim=1).argmin())  # both channels count, whatever their scale
    return _NUGGETS[best], (error[best] / predicted[best]).sqrt()
