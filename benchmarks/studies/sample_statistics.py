"""By which statistics the samples of a prior can be distinguished from fresh data.

Each statistic is a mean over the nodes of one field, so that its values on independent fields are
independent. The means over samples and over data are compared in standard errors of their
difference. Statistics of one table depend on each other, and one in twenty exceeds two standard
errors by chance.

A field of two values enters as the indicator of the high one, any other in deviations from the
data's mean, in standard deviations of the data. Products of two and of three nodes are taken at a
few distances along the axes, and averaged over the directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import torch
from scipy.ndimage import label

from pdeinv.fields import Field

__all__ = ["DISTINCT", "compare", "compare_fields", "flagged", "statistics"]

DISTINCT = 2.0
"""Standard errors beyond which a statistic distinguishes samples from data."""
_LAGS = (1, 2, 4, 8, 16)  # in nodes, for products of two
_SPACINGS = (2, 4, 8)  # in nodes, for what has three nodes, and for increments
_OFF = 0.1  # of the jump, beyond which a value is neither of the two
Phases = tuple[float, float]


def compare_fields(
    fields: Sequence[Field],
    data: torch.Tensor,
    samples: torch.Tensor,
    phases: Phases | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return by field and statistic the means over data and samples, and their difference.

    Arguments:
        fields: of the channels, the coefficient first.
        data, samples: (batch, channel, ny, nx), in physical units.
        phases: the two values of the coefficient in rising order; None where it has others.
    """
    return {
        field.name: compare(known, drawn, None if i else phases)
        for i, (field, known, drawn) in enumerate(
            zip(fields, data.unbind(1), samples.unbind(1), strict=True)
        )
    }


def compare(
    data: torch.Tensor, samples: torch.Tensor, phases: Phases | None = None
) -> dict[str, dict[str, float]]:
    """Return by statistic the means `data` and `samples`, and their difference `standard_errors`.

    The difference is that of the samples from the data, in standard errors by the spread over
    fields.

    Arguments:
        data, samples: (batch, ny, nx), at least two fields each, in physical units.
        phases: the two values in rising order; None where there are others.
    """
    centre, deviation = float(data.mean()), float(data.std())
    both = [statistics(fields, phases, centre, deviation) for fields in (data, samples)]
    result = {}
    for name, (known, drawn) in ((name, [values[name] for values in both]) for name in both[0]):
        means = float(known.mean()), float(drawn.mean())
        error = float(known.var() / len(known) + drawn.var() / len(drawn)) ** 0.5
        # Fields that are all alike have no spread
        floor = 1e-6 * max(*map(abs, means), 1e-6)
        result[name] = {
            "data": float(f"{means[0]:.6g}"),
            "samples": float(f"{means[1]:.6g}"),
            "standard_errors": round((means[1] - means[0]) / max(error, floor), 2),
        }
    return result


def flagged(compared: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the names of the statistics that distinguish samples from data.

    Arguments:
        compared: as `compare` returns them.
    """
    return [name for name, row in compared.items() if abs(row["standard_errors"]) > DISTINCT]


def statistics(
    fields: torch.Tensor, phases: Phases | None, centre: float = 0.0, deviation: float = 1.0
) -> dict[str, torch.Tensor]:
    """Return the statistics (batch,) of fields, by name.

    Arguments:
        fields: (batch, ny, nx), in physical units.
        phases: the two values in rising order; None where there are others.
        centre, deviation: mean and standard deviation of the data, for other values.

    Example:
        >>> found = statistics(torch.ones(1, 16, 16), (0.0, 1.0))
        >>> found["share of high nodes"].item(), found["pieces of high nodes"].item()
        (1.0, 1.0)
    """
    if phases is None:
        return _of_values((fields.double() - centre) / deviation)
    return _of_phases(fields.double(), *phases)


def _of_phases(fields: torch.Tensor, low: float, high: float) -> dict[str, torch.Tensor]:
    jump = high - low
    inside = fields > (low + high) / 2
    indicator = inside.double()
    nearest = torch.where(inside, high, low)
    off = ((fields - nearest).abs() > _OFF * jump).double()
    return {
        "share of high nodes": indicator.mean(dim=(1, 2)),
        **_products(indicator, "high"),
        "pieces of high nodes": _pieces(inside),
        "pieces of low nodes": _pieces(~inside),
        "share of nodes off both values": off.mean(dim=(1, 2)),
    }


def _of_values(z: torch.Tensor) -> dict[str, torch.Tensor]:
    moments = {"mean": z, "mean square": z.square(), "mean cube": z**3}
    increments = {
        f"cube of absolute increments, {h} apart": _mean(
            [(a - b).abs() ** 3 for a, b in _rows(z, h, 2)]
        )
        for h in _within(_SPACINGS, z)
    }
    return {
        **{name: values.mean(dim=(1, 2)) for name, values in moments.items()},
        **_products(z, "multiplied"),
        **increments,
        "pieces beyond one standard deviation": _pieces(z.abs() > 1),
    }


def _products(f: torch.Tensor, what: str) -> dict[str, torch.Tensor]:
    """Return the mean products (batch,) of two and of three nodes of f (batch, ny, nx)."""
    found = {}
    for h in _within(_LAGS, f):
        found[f"two nodes {what}, {h} apart"] = _mean([a * b for a, b in _rows(f, h, 2)])
    for h in _within(_SPACINGS, f):
        found[f"three in a row {what}, {h} apart"] = _mean(
            [a * b * c for a, b, c in _rows(f, h, 3)]
        )
    for h in _within(_SPACINGS, f):
        found[f"three at a right angle {what}, {h} apart"] = _mean(_corners(f, h))
    return found


def _within(distances: Sequence[int], f: torch.Tensor) -> list[int]:
    """Return the distances up to a quarter of the shorter side."""
    return [h for h in distances if 4 * h <= min(f.shape[1:])]


def _rows(f: torch.Tensor, h: int, nodes: int) -> list[list[torch.Tensor]]:
    """Return the values at equally spaced nodes, first along x and then along y."""
    ny, nx = (n - (nodes - 1) * h for n in f.shape[1:])
    return [
        [f[..., i * h : i * h + nx] for i in range(nodes)],
        [f[:, i * h : i * h + ny] for i in range(nodes)],
    ]


def _corners(f: torch.Tensor, h: int) -> list[torch.Tensor]:
    """Return the products of three corners of squares of side h, by the corner between them."""
    ny, nx = (n - h for n in f.shape[1:])
    at = {(i, j): f[:, i * h : i * h + ny, j * h : j * h + nx] for i, j in product((0, 1), (0, 1))}
    return [at[i, j] * at[1 - i, j] * at[i, 1 - j] for i, j in at]


def _mean(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean (batch,) over directions and nodes."""
    return torch.stack([part.mean(dim=(1, 2)) for part in parts]).mean(dim=0)


def _pieces(inside: torch.Tensor) -> torch.Tensor:
    """Return the number (batch,) of connected pieces of nodes (batch, ny, nx).

    Neighbours along the axes are connected. The sides of a torus are not joined.
    """
    counts = [label(one)[1] for one in inside.numpy()]
    return torch.tensor(counts, dtype=torch.float64)
