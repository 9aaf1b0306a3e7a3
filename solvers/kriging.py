"""Kriging: each field by itself, as off-the-shelf geostatistics would do it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from scipy.linalg import cho_solve
from sklearn.gaussian_process import GaussianProcessRegressor

from pdeinv.checks import Bounds
from pdeinv.datasets.base import PDE
from pdeinv.errors import warn_input
from pdeinv.grid import Grid
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import LEAST_SAMPLES, Solver, progress_bar
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.kernel_fit import JITTER, Kernel, Regression, fit_regression, warn_of_bounds
from pdeinv.solvers.linear_algebra import cholesky_with_nugget

__all__ = ["Kriging"]

_LATTICE = 64  # nodes per side up to which samples are exact
_PRIOR_DRAWS = 256  # coefficients that stand for the prior where no sensor sees it
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
    is solved for it, mean and samples alike. Where it leaves the PDE's range, the nearer bound is
    solved for; the coefficient that is returned is the interpolated one. A coefficient without
    sensors keeps its prior mean and standard deviation.

    The record has the kernel of each field under `kernels`, as JSON: its standard deviation in the
    field's units, and its length scale in the domain's unit (of the chord, on a torus). A kernel at
    a bound is a warning, since the readings do not determine it.

    Arguments:
        smoothness: ν of the Matérn kernel, 0.5, 1.5 or 2.5; None takes the likeliest of the three.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, sections 4.2 and 5.4.
    """

    smoothness: Annotated[float, Bounds(least=0.5, most=2.5)] | None = None

    name: ClassVar[str] = "kriging"

    def memory(
        self, pde: PDE, prior: Prior | None, observation: Observation, n_samples: int
    ) -> float:
        m = max(int((observation.channel == c).sum()) for c in (0, 1))
        lattice = min(observation.grid.nodes, _LATTICE**2)
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
        kernels: dict[str, Kernel] = {}
        chi2, clamped = [], 0
        channels = [c for c in (0, 1) if bool((observation.channel == c).any())]
        for c in progress_bar(channels, "kriging", progress, "field"):
            mine, field = observation.subset(observation.channel == c), pde.fields[c]
            fields[c], found = self._krige(mine, max(n_samples, LEAST_SAMPLES), generator)
            kernels[field.name] = found.kernel(field.units)
            chi2.append(found.reduced_chi_squared())
        warn_of_bounds(kernels)
        forward = ForwardMap(pde, observation)
        if 0 not in fields:
            draws = pde.sample_coefficient(max(n_samples, _PRIOR_DRAWS), grid, generator)[:, 0]
            kept = draws[: len(fields[1].samples)]
            fields[0] = _Field(draws.mean(dim=0), draws.std(dim=0), kept)
        if 1 not in fields:
            fields[1], clamped = _solved(forward, fields[0])
        mean, std, samples = (
            torch.stack(parts, dim=-3) for parts in zip(fields[0], fields[1], strict=True)
        )
        record: dict[str, str | float | int] = {
            "reduced_chi_squared": float(np.mean(chi2)),
            "solver_calls": forward.solver_calls,
            "nodes_clamped": clamped,
            "kernels": json.dumps({name: kernel._asdict() for name, kernel in kernels.items()}),
        }
        return Posterior(pde.fields, grid, mean, std, samples[:n_samples], record)

    def _krige(
        self, observation: Observation, n_samples: int, generator: torch.Generator | None
    ) -> tuple[_Field, Regression]:
        """The one field that the sensors read, and the regression behind it."""
        shape = observation.grid.shape
        sensors, nodes = (
            _embed(p.numpy(), observation.grid)
            for p in (observation.points, observation.grid.points())
        )
        values, noise_std = observation.values.numpy(), observation.noise_std.numpy()
        found = fit_regression(sensors, values, noise_std, self.smoothness, generator)
        centre, scale, model = found
        parts = [
            model.predict(part, return_std=True)
            for part in np.array_split(nodes, 1 + len(nodes) // _CHUNK)
        ]
        mean, std = (np.concatenate(p) for p in zip(*parts, strict=True))
        samples = mean + _deviations(model, nodes.reshape(*shape, -1), n_samples, generator)
        field = _Field(
            centre + scale * torch.as_tensor(mean.reshape(shape)),
            scale * torch.as_tensor(std.reshape(shape)),
            centre + scale * torch.as_tensor(samples.reshape(-1, *shape)),
        )
        return field, found


def _solved(forward: ForwardMap, coefficient: _Field) -> tuple[_Field, int]:
    """The solution of an interpolated coefficient that is brought into the PDE's range, and the
    number of nodes for which that took a bound."""
    pde, o = forward.pde, forward.observation
    mean = pde.clamp(coefficient.mean[None, None])[0, 0]
    if outside := int((mean != coefficient.mean).sum()):
        low, high = pde.coefficient_range or (-np.inf, np.inf)
        margin = 3 * o.noise_std
        foreign = bool(((o.values < low - margin) | (o.values > high + margin)).any())
        remedy = (
            "check the units of its readings"
            if foreign
            else "interpolation overshoots; choose a solver that uses the range, such as 'auto'"
        )
        names = [field.name for field in pde.fields]
        warn_input(
            f"{outside} of {mean.numel()} nodes of the kriged {names[0]} are outside {low:g} to "
            f"{high:g}, the range of {pde.name}, and the nearer bound was used to solve for the "
            f"{names[1]}; {remedy}"
        )
    samples = pde.clamp(coefficient.samples[:, None])[:, 0]
    return _Field(*forward.propagate(mean, samples)), outside


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

    jitter = JITTER * model.kernel_.k1.constant_value
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
