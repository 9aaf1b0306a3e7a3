"""The flux -a ∇u at the nodes."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.faces import FaceMean, mean_of

__all__ = ["nodal_fluxes"]


def nodal_fluxes(
    conditions: Conditions, a: torch.Tensor, u: torch.Tensor, mean: FaceMean
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the components of -a ∇u along x and y at the nodes, (..., ny, nx); differentiable.

    A node takes the mean of the fluxes through the two adjacent faces. On a side of values it
    continues those of the two nearest faces; across a side of fluxes it is the given one. Where a
    pattern closes one of the two faces, a node that holds a value takes the other one, and the flux
    is 0 elsewhere.

    Arguments:
        conditions: of the sides.
        a, u: (..., ny, nx), the coefficient and the solution.
        mean: mean of a on the faces.
    """
    hx, hy = conditions.volumes.hx, conditions.volumes.hy
    x = _along_rows(conditions, a, u, hx, ("left", "right"), mean)
    y = _along_rows(conditions, a.mT, u.mT, hy, ("bottom", "top"), mean).mT
    pattern = conditions.volumes.pattern
    if pattern is None:
        return x, y
    held = conditions.volumes.held
    across, along, _ = (share > 0 for share in pattern.shares())
    return _within(x, across, held), _within(y.mT, along.mT, held.mT).mT


def _within(flux: torch.Tensor, open_faces: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Return the flux along the last dimension, where it is next to closed faces.

    Arguments:
        flux: (..., n, m), of nodes, as if all faces were open, of which closed ones have no flux.
        open_faces: (n, m - 1).
        held: (n, m), nodes that hold a value.
    """
    before, after = pad(open_faces, (1, 0), value=True), pad(open_faces, (0, 1), value=True)
    one = before ^ after
    return torch.where(before & after, flux, torch.where(one & held, 2 * flux, 0.0))


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
    if (pattern := conditions.volumes.pattern) is not None:
        across, along, _ = pattern.shares()
        faces = faces * ((across if sides[0] == "left" else along.mT) > 0).to(faces)
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
