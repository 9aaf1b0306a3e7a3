"""The variances of coefficients beyond those that were fitted."""

from __future__ import annotations

import torch

from pdeinv.basis import Basis
from pdeinv.grid import Domain

__all__ = ["extrapolate_power_law"]


def extrapolate_power_law(
    basis: Basis, variances: torch.Tensor, modes: tuple[int, int], domain: Domain
) -> torch.Tensor:
    """Return a table (*modes) of variances, (my, mx), extended by the power law of the last octave,
    or cut.

    Arguments:
        basis: of the coefficients.
        variances: the table.
        modes: of the result along y and x.
        domain: on which the basis is.
    """
    have = (variances.shape[0], variances.shape[1])
    if all(m <= h for m, h in zip(modes, have, strict=True)):
        return basis.resize(variances, modes)
    known, wanted = basis.frequencies(have, domain), basis.frequencies(modes, domain)
    # Along the axes; beyond them only the corners of the table are known
    edge = min(float(known[0, :].max()), float(known[:, 0].max()))
    ring = (known > edge / 2) & (known <= edge)
    x, y = known[ring].log(), variances.double()[ring].clamp(min=1e-300).log()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    slope = min(slope, -2.5)  # a field of finite variance
    law = (y.mean() + slope * (wanted.clamp(min=1e-9).log() - x.mean())).exp()
    fitted = basis.resize(torch.ones_like(known), modes) > 0
    return torch.where(fitted, basis.resize(variances.double(), modes), law).float()
