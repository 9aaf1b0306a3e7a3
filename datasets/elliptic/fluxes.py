"""The flux -a ∇u at the nodes."""

from __future__ import annotations

import torch

from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.faces import FaceMean, jumps, mean_of, relative_conductances

__all__ = ["nodal_fluxes"]


def nodal_fluxes(
    conditions: Conditions, a: torch.Tensor, u: torch.Tensor, mean: FaceMean
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the components of -a ∇u along x and y at the nodes, (..., ny, nx); differentiable.

    A node takes the mean of the fluxes through the two adjacent faces. On a side of values it
    continues those of the two nearest faces; across a side of fluxes it is the given one.

    Arguments:
        conditions: of the sides.
        a, u: (..., ny, nx), the coefficient and the solution at all nodes of the volumes.
        mean: mean of a on the faces.
    """
    if conditions.volumes.centred:
        return _of_cells(conditions, a, u, mean)
    hx, hy = conditions.volumes.hx, conditions.volumes.hy
    x = _along_rows(conditions, a, u, hx, ("left", "right"), mean)
    y = _along_rows(conditions, a.mT, u.mT, hy, ("bottom", "top"), mean).mT
    return x, y


def _of_cells(
    conditions: Conditions, a: torch.Tensor, u: torch.Tensor, mean: FaceMean
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `nodal_fluxes` at the centres of cells: the means of those through opposite faces."""
    volumes = conditions.volumes
    across, along = relative_conductances(volumes, a, mean)
    rise_x, rise_y = jumps(volumes, u)
    found = []
    for faces, sides, dim in (
        (-across / volumes.ratio * rise_x / volumes.hx, ("left", "right"), -1),
        (-along * rise_y / volumes.hy, ("bottom", "top"), -2),
    ):
        parts = [faces]
        for side, sign in zip(sides, (1, -1), strict=True):
            if not getattr(volumes, side):
                shape = faces.narrow(dim, 0, 1).shape
                given = conditions.fluxes.get(side, faces.new_zeros(()))
                end = (sign * given.to(faces)).unsqueeze(dim) if given.ndim else given.to(faces)
                parts.insert(len(parts) * (sign < 0), end.expand(shape))
        whole = torch.cat(parts, dim=dim)
        n = whole.shape[dim]
        found.append((whole.narrow(dim, 0, n - 1) + whole.narrow(dim, 1, n - 1)) / 2)
    x, y = (one * volumes.inside(volumes.pattern.active).to(one) for one in found)  # type: ignore
    return x, y


def _along_rows(
    conditions: Conditions,
    a: torch.Tensor,
    u: torch.Tensor,
    h: float,
    sides: tuple[str, str],
    mean: FaceMean,
) -> torch.Tensor:
    """Return the flux along the last dimension, which runs from the first to the second side."""
    faces = mean_of(a[..., 1:], a[..., :-1], mean) * (u[..., :-1] - u[..., 1:]) / h
    ends = []
    for side, (near, far), sign in zip(sides, ((0, 1), (-1, -2)), (1, -1), strict=True):
        if getattr(conditions.volumes, side):
            ends.append(1.5 * faces[..., near] - 0.5 * faces[..., far])
        else:
            given = conditions.fluxes.get(side)
            zero = torch.zeros_like(faces[..., 0])
            ends.append(zero if given is None else zero + sign * given.to(faces))
    between = (faces[..., 1:] + faces[..., :-1]) / 2
    return torch.cat([ends[0][..., None], between, ends[1][..., None]], dim=-1)
