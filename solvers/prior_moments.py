"""Pointwise mean and variance of the states of a linear problem's prior."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from pdeinv.coefficients import Conditioned
from pdeinv.datasets.kept import Kept
from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import unit_vectors
from pdeinv.solvers.product_variance import product_variance

__all__ = ["Moments", "prior_moments"]

_CHUNK = 64  # fields transformed at a time
_CHECKED, _AGREES = 5, 1e-9  # nodes of a closed form that are checked, and its relative error
_KEPT, _BYTES = 8, 1e9  # moments of priors, and the size of all


class Moments(NamedTuple):
    """Pointwise mean and variance of a PDE's prior, both (channels, ny, nx)."""

    mean: torch.Tensor
    variance: torch.Tensor


_moments: Kept[Moments] = Kept(_KEPT, _BYTES)


def prior_moments(problem: Problem, grid: Grid, progress: bool, device: torch.device) -> Moments:
    """Return the moments of the states, kept for the last few pairs of a problem and a grid.

    Arguments:
        problem: all of whose channels are affine in the latent field.
        grid: of the states.
        progress: show a bar.
        device: of the moments.

    Raises:
        NumericalError: if a moment is not finite.
    """
    key = (problem, grid, device)
    found = _moments.get(key)
    if found is None:
        mean = problem.state(problem.latent.origin().to(device), grid)[0]
        of = _conditioned_variance if isinstance(problem.prior, Conditioned) else _prior_variance
        found = Moments(mean, of(problem, grid, progress, device))
        if not all(bool(each.isfinite().all()) for each in found):
            raise NumericalError(
                f"the mean and variance of {problem.physics.name} before readings must be finite, "
                f"got nan or inf; check its parameters"
            )
        _moments.add(key, found, sum(each.numel() * NUMBER for each in found))
    return found


def _conditioned_variance(
    problem: Problem, grid: Grid, progress: bool, device: torch.device
) -> torch.Tensor:
    """`_prior_variance` after earlier readings: that before them, less what they explain."""
    prior = problem.prior
    assert isinstance(prior, Conditioned)
    before = replace(problem, prior=prior.base)
    none = torch.zeros(0, dtype=torch.float64)
    order = (0,) * len(problem.physics.fields)
    sensors = Observation(grid, grid.points()[:0], none.long(), none, none, order).to(device)
    variance = prior_moments(before, grid, progress, device).variance.clone()
    forward = LatentMap(before, sensors)
    origin = before.state(forward.origin(), grid)
    parts = prior.field.less.split(_CHUNK)
    for less in progress_bar(parts, "earlier readings", progress, "batch"):
        variance -= forward.linear_part(less.to(device), origin).square().sum(dim=0)
    return variance.clamp(min=0)


def _prior_variance(
    problem: Problem, grid: Grid, progress: bool, device: torch.device
) -> torch.Tensor:
    """Pointwise prior variance of the state, (channels, ny, nx).

    The coefficient's has a closed form. So has the solution's where it is a sum of products.
    """
    others = product_variance(problem, grid)
    if others is None or not _confirmed(problem, grid, others):
        chosen, member = _orbits(problem, grid)
        others = _variance_at(problem, grid, chosen, progress, device)[member]
    others = others.to(device).reshape(-1, *grid.shape)
    return torch.cat([problem.coefficient_variance(grid)[None].to(device), others])


def _confirmed(problem: Problem, grid: Grid, variance: torch.Tensor) -> bool:
    """Whether the sum of products (ny, nx) is the variance, at a few nodes: a class of a user may
    solve another equation than the one it states."""
    places = torch.linspace(0, grid.nodes - 1, _CHECKED + 2).long()[1:-1]
    exact = _variance_at(problem, grid, places, False, torch.device("cpu"))
    return bool(((variance.flatten()[places] - exact).abs() <= _AGREES * variance.max()).all())


def _variance_at(
    problem: Problem, grid: Grid, places: torch.Tensor, progress: bool, device: torch.device
) -> torch.Tensor:
    """Prior variance at places, the numbers of nodes of the second channel, then of the third and
    so on: |Tᵀ Hᵀ e|² of the readings of sensors there."""
    channel, node = 1 + places // grid.nodes, places % grid.nodes
    zeros, order = torch.zeros(len(places), dtype=torch.float64), (0,) * len(problem.physics.fields)
    sensors = Observation(grid, grid.points()[node], channel, zeros, zeros, order).to(device)
    forward = LatentMap(problem, sensors)
    adjoint = forward.whitened_adjoint_at(forward.origin())
    rows = min(_CHUNK * 64**2 // grid.nodes, _CHUNK * 128**2 // problem.latent.size)
    parts = torch.arange(len(places), device=device).split(max(1, rows))
    variance = []
    for part in progress_bar(parts, "prior variance", progress, "batch"):
        variance.append(adjoint(unit_vectors(part, len(places))).square().sum(dim=(1, 2, 3)))
    return torch.cat(variance)


def _orbits(problem: Problem, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Places with equal variances, among the nodes of all channels but the coefficient's.

    A quarter turn also swaps the components of a vector. Elements that move nodes between nodes are
    left out.

    Returns:
        One place of each orbit, and the index of its orbit for each place.
    """
    fields = problem.physics.fields
    shape = (len(fields) - 1, *grid.shape)
    places = 1 + torch.arange(shape[0] * grid.nodes, dtype=torch.float64).reshape(shape)
    lowest = places
    for g in problem.symmetries.on_grid(grid).acting_on(fields[1:]):
        image = g(places, grid).abs()  # without the signs of pseudo-scalars and of components
        whole = image.round()
        if bool(((image - whole).abs() < 1e-6).all()) and len(whole.unique()) == places.numel():
            lowest = torch.minimum(lowest, whole)
    return torch.unique(lowest.long().flatten() - 1, return_inverse=True)
