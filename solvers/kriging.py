"""Kriging: each field by itself, as off-the-shelf geostatistics would do it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np
import scipy
import torch

from pdeinv.checks import Bounds
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import warn_input
from pdeinv.grid import Grid
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import LEAST_SAMPLES, Solver, progress_bar
from pdeinv.solvers.forward import ForwardMap, clamped
from pdeinv.solvers.kernel_fit import JITTER, Kernel, Regression, fit_regression, warn_of_bounds
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.supported_readings import Special

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

__all__ = ["Kriging"]

_LATTICE = 64**2  # nodes up to which samples are exact
_LONG = 1.5  # ratio of two spacings from which the longer one is kept
_PRIOR_DRAWS = 256  # coefficients that stand for the prior where no sensor sees it
_CHUNK = 512  # nodes that are predicted at a time


class _Field(NamedTuple):
    """Mean and standard deviation (ny, nx) of one field, and samples (n_samples, ny, nx)."""

    mean: torch.Tensor
    std: torch.Tensor
    samples: torch.Tensor


@dataclass(frozen=True)
class Kriging(Solver):
    """Gaussian-process regression of each field by itself, blind to the PDE: the baseline.

    scikit-learn's, with the likeliest Matérn kernel: what most people reach for. The distance is
    that in the domain's unit, and wraps around on a periodic grid.

    The PDE enters for fields without sensors only. A coefficient without sensors, of itself or of
    its logarithm, keeps its prior mean and standard deviation. A solution without sensors is that
    of the result's coefficient, mean and samples alike. A derived field without sensors is derived
    from these two. Where the interpolated coefficient leaves the prior's range, they use the nearer
    bound; the coefficient that is returned is the interpolated one.

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
    on_processor: ClassVar[bool] = True
    takes: ClassVar[frozenset[Special]] = frozenset()
    prior_used: ClassVar[str] = "of each field by itself, with a kernel fitted to its readings"

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        m = int(observation.channel.bincount().max())
        lattice = min(observation.grid.nodes, _LATTICE)
        ours = 3 * lattice**2 + m * (1.5 * lattice + 2.5 * m)
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
        fields: dict[int, _Field] = {}
        kernels: dict[str, Kernel] = {}
        chi2, moved = [], 0
        drawn, channels = max(n_samples, LEAST_SAMPLES), observation.channel.unique().tolist()
        for c in progress_bar(channels, "kriging", progress, "field"):
            mine, field = observation.subset(observation.channel == c), pde.fields[c]
            fields[c], found = self._krige(mine, drawn, generator)
            kernels[field.label] = found.kernel(field.units, grid.domain.shorter)
            chi2.append(found.reduced_chi_squared())
        warn_of_bounds(kernels)
        forward = ForwardMap(pde, observation)
        log = pde.fields.index(pde.logarithm) if pde.logarithm in pde.fields else None
        if 0 not in fields and log in fields:
            fields[0] = _exponential(fields[log])
        if 0 not in fields:
            count = max(n_samples, _PRIOR_DRAWS)
            draws = Problem(pde, prior).sample_coefficient(count, grid, generator)[:, 0]
            fields[0] = _Field(draws.mean(dim=0), draws.std(dim=0), draws[:drawn])
        if len(fields) < len(pde.fields):
            bounds = Problem(pde, prior).coefficient_prior.bounds
            others, moved = _computed(forward, fields, bounds)
            fields = others | fields
        mean, std, samples = (
            torch.stack(parts, dim=-3)
            for parts in zip(*(fields[c] for c in sorted(fields)), strict=True)
        )
        record: dict[str, str | float | int] = {
            "reduced_chi_squared": float(np.mean(chi2)),
            "solver_calls": forward.solver_calls,
            "nodes_clamped": moved,
            "kernels": json.dumps({name: kernel._asdict() for name, kernel in kernels.items()}),
        }
        return Posterior(pde.fields, grid, mean, std, samples[:n_samples], record)

    def _krige(
        self, observation: Observation, n_samples: int, generator: torch.Generator | None
    ) -> tuple[_Field, Regression]:
        """The one field that the sensors read, and the regression behind it."""
        grid = observation.grid
        shape, longer = grid.shape, max(grid.domain.aspect)
        sensors, nodes = (_embed(p, grid) for p in (observation.read_points, grid.points()))
        values, noise_std = observation.values.numpy(), observation.noise_std.numpy()
        found = fit_regression(sensors, values, noise_std, self.smoothness, longer, generator)
        centre, scale, model = found
        parts = [
            model.predict(part, return_std=True)
            for part in np.array_split(nodes, 1 + len(nodes) // _CHUNK)
        ]
        mean, std = (np.concatenate(p) for p in zip(*parts, strict=True))
        lattice = nodes.reshape(*shape, -1)[_thinned(grid)].reshape(-1, nodes.shape[-1])
        samples = mean + _deviations(model, nodes, lattice, n_samples, generator)
        field = _Field(
            centre + scale * torch.as_tensor(mean.reshape(shape)),
            scale * torch.as_tensor(std.reshape(shape)),
            centre + scale * torch.as_tensor(samples.reshape(-1, *shape)),
        )
        return field, found


def _exponential(logarithm: _Field) -> _Field:
    """The field of a logarithm: log-normal, node by node."""
    variance = logarithm.std**2
    mean = (logarithm.mean + variance / 2).exp()
    return _Field(mean, mean * variance.expm1().sqrt(), logarithm.samples.exp())


def _computed(
    forward: ForwardMap, known: dict[int, _Field], bounds: tuple[float, float] | None
) -> tuple[dict[int, _Field], int]:
    """All fields but the coefficient that the PDE makes of the known ones, by channel; and the
    number of nodes at which the coefficient is brought into the bounds of the prior.

    Arguments:
        forward: the PDE and the sensors.
        known: fields by channel, that of the coefficient among them.
        bounds: of the prior.
    """
    pde = forward.pde
    # The mean first, and then the samples
    batches = {c: torch.cat([f.mean[None], f.samples])[:, None] for c, f in known.items()}
    a = clamped(batches[0], bounds)
    if outside := int((a[0] != batches[0][0]).sum()):
        unknown = [f.label for c, f in enumerate(pde.fields) if c not in known]
        assert bounds is not None
        _warn_of_range(forward, outside, bounds, " and ".join(unknown))
    if not all(c in batches for c in pde.solution_channels):
        solved = forward.solve(a)
        batches = {c: solved[:, c - 1 : c] for c in pde.solution_channels} | batches
    others = pde.completed(a, torch.cat([batches[c] for c in pde.solution_channels], dim=1))
    spread = (others[1:] - others[0]).square().mean(dim=0).sqrt()
    return {
        c: _Field(others[0, c - 1], spread[c - 1], others[1:, c - 1])
        for c in range(1, len(pde.fields))
    }, outside


def _warn_of_range(
    forward: ForwardMap, outside: int, bounds: tuple[float, float], unknown: str
) -> None:
    pde, o, (low, high) = forward.pde, forward.observation, bounds
    margin = 3 * o.noise_std
    foreign = (o.channel == 0) & ((o.values < low - margin) | (o.values > high + margin))
    remedy = (
        "check the units of its readings"
        if bool(foreign.any())
        else "interpolation overshoots; choose a solver that uses the range, such as 'auto'"
    )
    warn_input(
        f"{outside} of {forward.grid.nodes} nodes of the kriged {pde.fields[0].name} are outside "
        f"{low:g} to {high:g}, the range of the prior, and the nearer bound was used to compute "
        f"the {unknown}; {remedy}"
    )


def _embed(points: torch.Tensor, grid: Grid) -> np.ndarray:
    """Coordinates in which the kernel measures distance, in units of the domain's shorter side.

    A torus is a product of two circles, with its sides as circumferences.
    """
    shares, aspect = grid.domain.relative(points).numpy(), np.array(grid.domain.aspect)
    if not grid.periodic:
        return shares * aspect
    angle = 2 * np.pi * shares
    return np.concatenate([np.cos(angle) * aspect, np.sin(angle) * aspect], axis=1) / (2 * np.pi)


def _thinned(grid: Grid) -> tuple[slice, slice]:
    """Every so many-th row and column, which leaves at most so many nodes that samples are exact,
    and spacings that are nearly equal."""
    steps = [1, 1]
    while math.prod(-(-n // s) for n, s in zip(grid.shape, steps, strict=True)) > _LATTICE:
        spacings = [s * h for s, h in zip(steps, grid.spacing, strict=True)]
        shorter = [spacing < _LONG * min(spacings) for spacing in spacings]
        steps = [s + 1 if short else s for s, short in zip(steps, shorter, strict=True)]
    return slice(None, None, steps[0]), slice(None, None, steps[1])


def _deviations(
    model: GaussianProcessRegressor,
    nodes: np.ndarray,
    lattice: np.ndarray,
    n_samples: int,
    generator: torch.Generator | None,
) -> np.ndarray:
    """Posterior draws less their mean, (n_samples, nodes), at nodes (nodes, d).

    They are exact on the lattice (k, d) of some of the nodes, or all. The others are kriged from
    it, which leaves out the little that is uncertain between its nodes.
    """
    to_sensors = scipy.linalg.cho_solve((model.L_, True), model.kernel_(model.X_train_, lattice))

    def covariance(points: np.ndarray) -> np.ndarray:  # of the posterior, with the lattice
        return model.kernel_(points, lattice) - model.kernel_(points, model.X_train_) @ to_sensors

    jitter = JITTER * model.kernel_.k1.constant_value
    on_lattice = torch.empty(len(lattice), len(lattice), dtype=torch.float64)
    for rows in torch.arange(len(lattice)).split(_CHUNK):
        on_lattice[rows] = torch.as_tensor(covariance(lattice[rows.numpy()]))
    lower = cholesky_with_nugget(
        on_lattice, torch.full((len(lattice),), jitter, dtype=torch.float64)
    ).numpy()
    del on_lattice
    normal = torch.randn(len(lattice), n_samples, dtype=torch.float64, generator=generator)
    draws = lower @ normal.numpy()
    if len(lattice) < len(nodes):
        weights = scipy.linalg.cho_solve((lower, True), draws)
        parts = np.array_split(nodes, 1 + len(nodes) // _CHUNK)
        draws = np.concatenate([covariance(p) @ weights for p in parts])
    return np.ascontiguousarray(draws.T)
