"""Coefficients that are a user's own function of a Gaussian field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from pdeinv.checks import described
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.coefficients.gaussian_field import GaussianField
from pdeinv.errors import InputError
from pdeinv.grid import Domain, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry

__all__ = ["Transformed"]

_FAR = 8.0  # standard deviations that no latent value leaves
_PROBES = 1001
_APART = 5  # probes between which slopes are compared
_FLAT = 1e-6  # slope relative to those around, at which readings move nothing


@dataclass(frozen=True)
class Transformed(CoefficientPrior):
    """A monotone function of a `GaussianField`, node by node.

    Arguments:
        field: the Gaussian field, with a mean that is not flat.
        function: differentiable, with a slope of one sign that is nowhere zero, from tensors to
            tensors of the same shape, such as `lambda g: 1 + g.exp()`. Files cannot hold it.

    Raises:
        InputError: the mean is flat, or the function is none such within 8 standard deviations of
            the field.

    Example:
        >>> from pdeinv import GaussianField, Transformed
        >>> porosity = Transformed(GaussianField(-1.0, 0.5, length=0.2), torch.sigmoid)
        >>> [round(value, 3) for value in porosity.bounds]
        [0.007, 0.953]
    """

    field: GaussianField
    function: Callable[[torch.Tensor], torch.Tensor]

    name = "transformed"
    affine = False
    storable = False
    amplitude = GaussianField.amplitude
    constant = GaussianField.constant

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.field.proper:
            raise InputError(
                f"field of a {self.name} prior must have a mean that is not flat, got mean_std = "
                f"{self.field.mean_std:g}; give a finite one"
            )
        values, slopes = self._probed, self._slopes
        # Where it were flat, readings of the coefficient would move nothing
        usual = slopes[_PROBES // 2 - _PROBES // 5 : _PROBES // 2 + _PROBES // 5].abs()
        around = usual[: -2 * _APART] + usual[2 * _APART :]
        flat = bool((usual[_APART:-_APART] <= _FLAT * around).any())
        turns = bool((slopes > 0).any() and (slopes < 0).any())
        if not bool(values.isfinite().all()) or flat or turns:
            raise InputError(
                f"function of a {self.name} prior must be finite, with a slope of one sign that is "
                f"not zero, within {_FAR:g} standard deviations of its field, got slopes from "
                f"{float(slopes.min()):.3g} to {float(slopes.max()):.3g}; give another function"
            )

    @property
    def _latents(self) -> torch.Tensor:
        far = _FAR * self.field.latent_std
        return torch.linspace(-far, far, _PROBES, dtype=torch.float64)

    @cached_property
    def _probed(self) -> torch.Tensor:
        """Values of the function over the range of the field."""
        return self._applied(self._latents).detach()

    @cached_property
    @torch.inference_mode(False)
    def _slopes(self) -> torch.Tensor:
        """Slopes of the function over the range of the field."""
        with torch.enable_grad():
            latent = self._latents.requires_grad_()
            values = self._applied(latent)
            if not values.requires_grad:
                raise InputError(
                    f"function of a {self.name} prior must be differentiable by torch, got one "
                    f"without gradients; use functions of torch alone"
                )
            return torch.autograd.grad(values.sum(), latent)[0]

    def _applied(self, latent: torch.Tensor) -> torch.Tensor:
        try:
            values = self.coefficient(latent)
        except (RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"function of a {self.name} prior must be one of torch's tensors, got the error "
                f"{described(str(error))}; use functions of torch alone"
            ) from None
        kept = isinstance(values, torch.Tensor) and values.shape == latent.shape
        if not kept or values.dtype != latent.dtype:
            raise InputError(
                f"function of a {self.name} prior must return a tensor of the shape and the type "
                f"of its argument, got {described(values)}; give a function of one tensor"
            )
        return values

    @property
    def constant_std(self) -> float:
        return self.field.constant_std

    def absorbed(self, about: float | None = None) -> Transformed:
        field = self.field.absorbed(about)
        return self if field is self.field else replace(self, field=field)

    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        return self.field.latent(domain, kind)

    def phrase(self, domain: Domain) -> str:
        name = getattr(self.function, "__name__", "")
        words = f"the {name}" if name.isidentifier() else "a function"
        return f"{words} of {self.field.phrase(domain)}"

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return self.function(self.field.coefficient(latent))

    @property
    def bounds(self) -> tuple[float, float]:
        return (float(self._probed.min()), float(self._probed.max()))

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return self.field.keeps(element, domain)

    def to_json(self, what: str = "the prior") -> dict[str, Any]:
        raise InputError(
            f"{what} must be one that files can hold, got a function; use a prior stated by numbers"
        )
