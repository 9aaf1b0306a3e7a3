"""The members of an ensemble: states drawn from a prior of any kind, and their copies."""

from __future__ import annotations

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.priors.base import Prior
from pdeinv.priors.ensemble import Ensemble
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.forward import ForwardMap, clamped
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.trained_problem import shared_symmetries, trained_coefficients, with_derived
from pdeinv.symmetry import Symmetry

__all__ = ["completed_members", "copying_elements", "draw_ensemble", "solved_ensemble"]

_BATCH = 50  # members that are drawn at a time


def draw_ensemble(
    prior: Prior, members: int, grid: Grid, generator: torch.Generator | None, progress: bool
) -> torch.Tensor:
    """Return states (members, channels, ny, nx) of a prior, batch by batch."""
    bar = progress_bar(_sizes(members), "ensemble", progress, "batch")
    return torch.cat([prior.sample(n, grid, generator) for n in bar])


def solved_ensemble(
    forward: LatentMap,
    members: int,
    grid: Grid,
    generator: torch.Generator | None,
    progress: bool,
) -> torch.Tensor:
    """Return states (members, channels, ny, nx) of a problem."""
    a = torch.cat([forward.draw(n, grid, generator) for n in _sizes(members)])
    return _solved(forward, a, progress)


def _sizes(members: int) -> list[int]:
    return [len(part) for part in torch.arange(members).split(_BATCH)]


def _solved(forward: ForwardMap, a: torch.Tensor, progress: bool) -> torch.Tensor:
    """States (batch, channels, ny, nx) of coefficients."""
    bar = progress_bar(a.split(forward.pde.at_once), "ensemble", progress, "batch")
    return torch.cat([torch.cat([part, forward.solve(part)], dim=1) for part in bar])


def completed_members(
    forward: ForwardMap, prior: Prior, states: torch.Tensor, progress: bool
) -> tuple[torch.Tensor, tuple[float, float] | None]:
    """Return the states of all channels, and the bounds of a positive coefficient.

    Arguments:
        forward: counts the solves.
        prior: from which the states are.
        states: coefficients (N, 1, ny, nx), or coefficients and solutions (N, 2, ny, nx).
        progress: show a bar.

    Raises:
        InputError: a coefficient alone is not positive and must be.
    """
    pde, alone = forward.pde, states.shape[1] == 1
    trained = trained_coefficients(prior)
    a = clamped(states[:, :1], trained.bounds if trained and alone else None)
    bounds = (float(a.min()), float(a.max())) if pde.positive_coefficient else None
    if not alone:
        return with_derived(pde, states), bounds
    if bounds and bounds[0] <= 0:
        raise InputError(
            f"the members of a prior of the {pde.coefficient_field.name} of {pde.name} must be "
            f"positive everywhere, got {bounds[0]:.3g}; drop or mend these members"
        )
    return _solved(forward, pde.restrict(a), progress), bounds


def copying_elements(
    pde: PDE, prior: Prior, grid: Grid, copies: int, generator: torch.Generator | None
) -> list[Symmetry]:
    """Return the symmetries of a PDE and a prior that make the copies of a member; none twice."""
    if copies == 1:
        return [Symmetry()]  # the members as they are, not translated
    if isinstance(prior, Ensemble) and prior.coefficient_prior is None:
        return [Symmetry()]  # which symmetries their distribution has is not known
    group = shared_symmetries(pde, prior).on_grid(grid).acting_on(pde.fields)
    copies = copies if group.translations else min(copies, len(group))
    return [group.element(i, generator, grid) for i in range(copies)]
