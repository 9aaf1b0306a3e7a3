"""Conductances of the faces between volumes: means of the coefficient, fluxes, and gradients.

Faces across x are (..., my, nx-1), those across y (..., ny-1, mx): all that touch a free node.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch.nn.functional import pad

from pdeinv.datasets.elliptic.volumes import Volumes

__all__ = [
    "FaceMean",
    "Faces",
    "balance",
    "divergence_form",
    "jump_products",
    "jumps",
    "mean_of",
    "pull_back_jumps",
    "pull_back_products",
    "relative_conductances",
]

FaceMean = Literal["arithmetic", "harmonic"]
"""Mean of the coefficients of two nodes on the face between them."""

Faces: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Values on the faces across x and across y."""


def jumps(volumes: Volumes, u: torch.Tensor) -> Faces:
    """Return the jumps of u (..., ny, nx) across the faces."""
    rows, columns = volumes.rows, volumes.columns
    return (
        u[..., rows, 1:] - u[..., rows, :-1],
        u[..., 1:, columns] - u[..., :-1, columns],
    )


def mean_of(first: torch.Tensor, second: torch.Tensor, mean: FaceMean) -> torch.Tensor:
    """Return the mean of the coefficients of two nodes."""
    if mean == "arithmetic":
        return (first + second) / 2
    return 2 * first * (second / (first + second))


def relative_conductances(volumes: Volumes, a: torch.Tensor, mean: FaceMean) -> Faces:
    """Return flux over jump for each face, times hy / hx: of the size of a."""
    rows, columns = volumes.rows, volumes.columns
    across = mean_of(a[..., rows, 1:], a[..., rows, :-1], mean)
    along = mean_of(a[..., 1:, columns], a[..., :-1, columns], mean)
    share_across, share_along = volumes.face_shares(a)
    return across * share_across * volumes.ratio, along * share_along


def balance(volumes: Volumes, conductances: Faces, u: torch.Tensor) -> torch.Tensor:
    """Return the outflow (..., my, mx) of each free node's volume for u (..., ny, nx).

    Nothing crosses the sides of fluxes. As a map of the free values it is symmetric.
    """
    across, along = jumps(volumes, u)
    flux_x, flux_y = conductances[0] * across, conductances[1] * along
    if not volumes.whole:
        flux_x = pad(flux_x, (int(not volumes.left), int(not volumes.right)))
        flux_y = pad(flux_y, (0, 0, int(not volumes.bottom), int(not volumes.top)))
    outflow = flux_x[..., :-1] - flux_x[..., 1:] + flux_y[..., :-1, :] - flux_y[..., 1:, :]
    return volumes.at_free(outflow)


def divergence_form(
    volumes: Volumes, a: torch.Tensor, u: torch.Tensor, mean: FaceMean
) -> torch.Tensor:
    """Return -∇·(a ∇u) (..., my, mx) at the free nodes; no flux enters through the sides."""
    outflow = balance(volumes, relative_conductances(volumes, a, mean), u)
    return volumes.per_volume(outflow * ((volumes.ny - 1) / volumes.height) ** 2)


def pull_back_jumps(
    volumes: Volumes, a: torch.Tensor, u: torch.Tensor, v: torch.Tensor, mean: FaceMean
) -> torch.Tensor:
    """Return the gradient (..., ny, nx) with respect to a of -Σ v A(a) u over the free nodes.

    A(a) is the balance in units of hx hy. Each of a face's two nodes takes its share of the
    product of jumps.

    Arguments:
        volumes: the rectangle.
        a: (..., ny, nx), the coefficient.
        u, v: (..., my, mx), values at the free nodes.
        mean: mean on the faces.
    """
    return pull_back_products(volumes, a, jump_products(volumes, u, v), mean)


def jump_products(volumes: Volumes, u: torch.Tensor, v: torch.Tensor) -> Faces:
    """Return half the negative product of the slopes of u and v (..., my, mx) on the faces."""
    (ux, uy), (vx, vy) = (jumps(volumes, volumes.extended(x)) for x in (u, v))
    scale_x = 0.5 * ((volumes.nx - 1) / volumes.width) ** 2
    scale_y = 0.5 * ((volumes.ny - 1) / volumes.height) ** 2
    return -scale_x * ux * vx, -scale_y * uy * vy


def pull_back_products(
    volumes: Volumes, a: torch.Tensor, products: Faces, mean: FaceMean
) -> torch.Tensor:
    """Return `pull_back_jumps` of `jump_products`, or of a sum of such."""
    px, py = products
    if not volumes.whole:
        across, along = volumes.face_shares(px)
        px, py = px * across, py * along
    lower, upper = (px, py), (px, py)  # of the face's first and second node
    if mean == "harmonic":
        rows, columns = volumes.rows, volumes.columns
        pairs = (
            (a[..., rows, :-1], a[..., rows, 1:]),
            (a[..., :-1, columns], a[..., 1:, columns]),
        )
        (ax, bx), (ay, by) = pairs
        lower = px * (2 * bx / (ax + bx)) ** 2, py * (2 * by / (ay + by)) ** 2
        upper = px * (2 * ax / (ax + bx)) ** 2, py * (2 * ay / (ay + by)) ** 2
    left, right = int(volumes.left), int(volumes.right)
    bottom, top = int(volumes.bottom), int(volumes.top)
    return (
        pad(lower[0], (0, 1, bottom, top))
        + pad(upper[0], (1, 0, bottom, top))
        + pad(lower[1], (left, right, 0, 1))
        + pad(upper[1], (left, right, 1, 0))
    )
