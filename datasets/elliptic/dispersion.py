"""The error of five points on waves."""

from __future__ import annotations

from pdeinv.datasets.elliptic.transform_solver import laplacian_eigenvalues
from pdeinv.datasets.elliptic.volumes import Volumes

__all__ = ["dispersion_error"]


def dispersion_error(volumes: Volumes, wavenumber: float, alpha: float, tau: float) -> float:
    """Return the error of five points for Δu + k²u = a, relative to u: the root mean square over
    sources whose waves have variances proportional to (κ² + τ²)^-α.

    Where the grid does not resolve the waves, and the sum over its waves is meaningless, it
    is at least the phase error of a wave that crosses the rectangle, k L (k h)² / 24, up to 1.

    Arguments:
        volumes: the rectangle, in the unit of length of tau.
        wavenumber: k.
        alpha, tau: of the source, as in `GaussianRandomField`.
    """
    exact, ours = (
        laplacian_eigenvalues(volumes, discretisation=kind) for kind in ("spectral", "five-point")
    )
    spectrum = ((tau**2 - exact) / (tau**2 - exact.max())) ** -alpha
    u, approximate = 1 / (exact + wavenumber**2), 1 / (ours + wavenumber**2)
    error = float(
        ((spectrum * (approximate - u) ** 2).sum() / (spectrum * u**2).sum()).nan_to_num(1.0).sqrt()
    )
    phase = max(
        length * (wavenumber * h) ** 2 * wavenumber / 24
        for length, h in ((volumes.width, volumes.hx), (volumes.height, volumes.hy))
    )
    return max(error, min(1.0, phase))
