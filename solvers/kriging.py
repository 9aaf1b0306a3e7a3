"""Kriging: each field by itself, as off-the-shelf geostatistics would do it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from scipy.linalg import cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from pdeinv.datasets.base import PDE
from pdeinv.grid import Grid
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import LEAST_SAMPLES, Solver, progress_bar
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.linear_algebra import cholesky_with_nugget

__all__ = ["Kriging"]

_FIT_ON = 500  # readings in the likelihood; its cost grows with their cube
_LATTICE = 64  # nodes per side up to which samples are exact
_PRIOR_DRAWS = 256  # coefficients that stand for the prior where no sensor sees it
_JITTER = 1e-10  # variance added to a reading, relative to the readings' variance
_CHUNK = 512  # nodes that are predicted at a time


class _Field(NamedTuple):
    """Mean and standard deviation (n, n) of one field, and samples (n_samples, n, n)."""

    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor


@dataclass(frozen=True)
class Kriging(Solver):
    """Gaussian-process regression of each field by itself, blind to the PDE: the baseline.

    scikit-learn's, with the likeliest Matérn kernel: what most people reach for. The distance wraps
    around on a periodic grid.

    The PDE enters in one place only. With no sensor on the solution, the interpolated coefficient
    is solved for it, mean and samples alike. A coefficient without sensors keeps its prior mean and
    standard deviation.

    Arguments:
        smoothness: ν of the Matérn kernel, 0.5, 1.5 or 2.5; None takes the likeliest of the three.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, sections 4.2 and 5.4.
    """

    smoothness: float | None = None

    name: ClassVar[str] = "kriging"

    def memory(
        self, pde: PDE, prior: Prior | None, observation: Observation, n_samples: int
    ) -> float:
        m = max(int((observation.channel == c).sum()) for c in (0, 1))
        lattice = min(observation.grid.n, _LATTICE) ** 2
        ours = 3 * lattice**2 + m * (1.5 * lattice + 2.5 * m)
        return super().memory(pde, prior, observation, n_samples) + NUMBER * ours

    def condition(
        self,
        pde: PDE,
        prior: Prior | None,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        grid = observation.grid
        fields: dict[int, _Field] = {}
        chi2 = []
        channels = [c for c in (0, 1) if bool((observation.channel == c).any())]
        for c in progress_bar(channels, "kriging", progress, "field"):
            mine = observation.subset(observation.channel == c)
            found, misfit = self._krige(mine, max(n_samples, LEAST_SAMPLES), generator)
            if c == 0:  # a permeability below zero has no solution
                mean, samples = pde.clamp(found.mean[None, None]), pde.clamp(found.samples[:, None])
                found = _Field(mean[0, 0], found.std, samples[:, 0])
            fields[c] = found
            chi2.append(misfit)
        forward = ForwardMap(pde, observation)
        if 0 not in fields:
            draws = pde.sample_coefficient(max(n_samples, _PRIOR_DRAWS), grid, generator)[:, 0]
            kept = draws[: len(fields[1].samples)]
            fields[0] = _Field(draws.mean(dim=0), draws.std(dim=0), kept)
        if 1 not in fields:
            fields[1] = _Field(*forward.propagate(fields[0].mean, fields[0].samples))
        mean, std, samples = (
            torch.stack(parts, dim=-3) for parts in zip(fields[0], fields[1], strict=True)
        )
        record: dict[str, str | float | int] = {
            "reduced_chi_squared": float(np.mean(chi2)),
            "solver_calls": forward.solver_calls,
        }
        return Posterior(pde.fields, grid, mean, std, samples[:n_samples], record)

    def _krige(
        self, observation: Observation, n_samples: int, generator: torch.Generator | None
    ) -> tuple[_Field, float]:
        """The one field that the sensors read, and the readings' reduced chi-squared."""
        shape, values = observation.grid.shape, observation.values.numpy()
        centre, scale = values.mean(), max(values.std(), float(observation.noise_std.mean()))
        if scale <= 1e-12 * abs(centre):  # equal readings: any scale fits them
            scale = abs(centre) or 1.0
        noise_std = observation.noise_std.numpy() / scale
        sensors, nodes = (
            _embed(p.numpy(), observation.grid)
            for p in (observation.points, observation.grid.points())
        )
        model = self._fit(sensors, (values - centre) / scale, noise_std, generator)
        parts = [
            model.predict(part, return_std=True)
            for part in np.array_split(nodes, 1 + len(nodes) // _CHUNK)
        ]
        mean, std = (np.concatenate(p) for p in zip(*parts, strict=True))
        samples = mean + _deviations(model, nodes.reshape(*shape, -1), n_samples, generator)
        found = _Field(
            centre + scale * torch.as_tensor(mean.reshape(shape)),
            scale * torch.as_tensor(std.reshape(shape)),
            centre + scale * torch.as_tensor(samples.reshape(-1, *shape)),
        )
        return found, float(model.y_train_ @ model.alpha_) / len(values)

    def _fit(
        self,
        points: np.ndarray,
        values: np.ndarray,
        noise_std: np.ndarray,
        generator: torch.Generator | None,
    ) -> GaussianProcessRegressor:
        """The likeliest Matérn kernel on a subset of the readings, conditioned on all of them."""
        chosen = torch.randperm(len(points), generator=generator)[:_FIT_ON].numpy()
        alpha = noise_std**2 + _JITTER
        candidates = []
        for nu in (0.5, 1.5, 2.5) if self.smoothness is None else (self.smoothness,):
            kernel = ConstantKernel(1.0, (1e-3, 1e4)) * Matern(0.2, (1e-2, 1e2), nu=nu)
            candidate = GaussianProcessRegressor(kernel, alpha=alpha[chosen])
            with warnings.catch_warnings():
                # A length at its bound is a fit as good as any
                warnings.simplefilter("ignore", ConvergenceWarning)
                candidates.append(candidate.fit(points[chosen], values[chosen]))
        kernel = max(candidates, key=lambda c: c.log_marginal_likelihood_value_).kernel_
        return GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None).fit(points, values)


def _embed(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Coordinates in which the kernel measures distance: the torus as a product of circles of
    circumference 1."""
    if not grid.periodic:
        return points
    angle = 2 * np.pi * points
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / (2 * np.pi)


def _deviations(
    model: GaussianProcessRegressor,
    nodes: np.ndarray,
    n_samples: int,
    generator: torch.Generator | None,
) -> np.ndarray:
    """Posterior draws less their mean, (n_samples, n²), at nodes (n, n, d).

    Exact on up to 64 x 64 nodes. A finer grid is drawn on every second (third, ...) node and kriged
    in between, which leaves out the little that is uncertain between two such nodes.
    """
    step = -(-len(nodes) // _LATTICE)
    coarse = nodes[::step, ::step].reshape(-1, nodes.shape[-1])
    to_sensors = cho_solve((model.L_, True), model.kernel_(model.X_train_, coarse))

    def covariance(points: np.ndarray) -> np.ndarray:  # of the posterior, with the lattice
        return model.kernel_(points, coarse) - model.kernel_(points, model.X_train_) @ to_sensors

    jitter = _JITTER * model.kernel_.k1.constant_value
    on_lattice = torch.empty(len(coarse), len(coarse), dtype=torch.float64)
    for rows in torch.arange(len(coarse)).split(_CHUNK):
        on_lattice[rows] = torch.as_tensor(covariance(coarse[rows.numpy()]))
    lower = cholesky_with_nugget(
        on_lattice, torch.full((len(coarse),), jitter, dtype=torch.float64)
    ).numpy()
    del on_lattice
    normal = torch.randn(len(coarse), n_samples, dtype=torch.float64, generator=generator)
    draws = lower @ normal.numpy()
    if step > 1:
        weights = cho_solve((lower, True), draws)
        everywhere = nodes.reshape(-1, nodes.shape[-1])
        parts = np.array_split(everywhere, 1 + len(everywhere) // _CHUNK)
        draws = np.concatenate([covariance(p) @ weights for p in parts])
    return np.ascontiguousarray(draws.T)
