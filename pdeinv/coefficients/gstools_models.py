"""Covariance models of GSTools as the numbers of a Gaussian field."""

from __future__ import annotations

import math
from typing import Any

from pdeinv.coefficients.correlation import matern_scale
from pdeinv.errors import InputError

__all__ = ["shape_of_gstools"]

_ROUGHEST = 0.5
_GAUSSIAN = 20.0  # smoothness beyond which GSTools takes exp(-(r / 2 l)²)


def shape_of_gstools(model: Any) -> dict[str, float]:
    """Return `std`, `length`, `smoothness`, `anisotropy` and `angle` of a model.

    GSTools takes the correlation at r / l, where l = `len_scale` / `rescale`. It is exp(-r / l),
    exp(-(r / l)²), or that of Matérn at √ν r / l. `anis` is the length across over that along the
    direction of `angles`, in radians anticlockwise from x, and may be greater than 1.

    Arguments:
        model: a `gstools.CovModel`.

    Raises:
        InputError: GSTools is missing, or the model is of another kind, has a nugget, or is not of
            the plane.
    """
    try:
        import gstools
    except ImportError:
        raise InputError(
            "gstools must be installed to read a model of it, got none; pip install "
            "'pdeinv[gstools]'"
        ) from None
    _check(model, (gstools.Exponential, gstools.Gaussian, gstools.Matern))
    length, ratio = float(model.len_rescaled), float(model.anis[0])
    degrees = math.degrees(model.angles[0])
    if type(model) is gstools.Exponential:
        smoothness = 0.5
    elif type(model) is gstools.Gaussian or model.nu > _GAUSSIAN:
        smoothness = math.inf
        length *= 1 if type(model) is gstools.Gaussian else 2
    else:
        smoothness = float(model.nu)
        length *= matern_scale(smoothness) / math.sqrt(smoothness)
    if ratio > 1:
        length, ratio, degrees = length * ratio, 1 / ratio, degrees + 90
    return {
        "std": math.sqrt(model.var),
        "length": length,
        "smoothness": smoothness,
        "anisotropy": ratio,
        "angle": (degrees + 90) % 180 - 90 if ratio < 1 else 0.0,
    }


def _check(model: Any, families: tuple[type, ...]) -> None:
    """Refuse a model that is no Gaussian field of the plane without noise."""
    if type(model) not in families:
        raise InputError(
            f"a model of GSTools must be Exponential, Gaussian or Matern, got "
            f"{type(model).__name__}; fit one of these to the same variogram"
        )
    if model.dim != 2 or model.latlon or model.temporal:
        kind = "latlon" if model.latlon else "temporal" if model.temporal else f"dim={model.dim}"
        raise InputError(
            f"a model of GSTools must be one of the plane, got {kind}; make it with dim=2, in the "
            f"unit of the domain"
        )
    if model.nugget:
        raise InputError(
            f"the nugget of a model of GSTools must be 0, got {model.nugget:g}; state the noise of "
            f"readings with them, as noise_std of its square root, or by noise="
        )
    if getattr(model, "nu", _ROUGHEST) < _ROUGHEST:
        raise InputError(
            f"nu of a model of GSTools must be at least {_ROUGHEST:g}, got {model.nu:g}; use "
            f"{_ROUGHEST:g}, the exponential covariance"
        )
