"""Gaussian fields in a user's words: mean, deviation, length, smoothness, anisotropy, angle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real
from typing import Annotated, Any

import numpy as np
import torch
from typing_extensions import Self

from pdeinv.checks import EXTREME, Bounds
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.coefficients.gstools_models import shape_of_gstools
from pdeinv.coefficients.torus import MaternTorus
from pdeinv.errors import InputError
from pdeinv.fourier_field import FourierField
from pdeinv.grid import Domain, GridKind
from pdeinv.symmetry import Symmetry
from pdeinv.unknown import Guess, Unknown

__all__ = [
    "FLAT",
    "Angle",
    "GaussianField",
    "Length",
    "Ratio",
    "Size",
    "Smoothness",
    "settle_shape",
]

_SIZE = Bounds(above=0, most=EXTREME)
Size = Annotated[float, _SIZE, Guess(0.01, 100.0, of="readings")]
Length = Annotated[float, _SIZE, Guess(0.05, 1.5, of="domain")]
Smoothness = Annotated[float, Bounds(least=0.5, finite=False), Guess(0.5, 5.0, "log-uniform")]
Ratio = Annotated[float, Bounds(above=0, most=1), Guess(0.1, 1.0, "log-uniform")]
Angle = Annotated[float, Guess(-90.0, 90.0, "uniform")]

_USUAL = 1.5  # smoothness

FLAT = 100.0
"""Standard deviation of a flat mean, in standard deviations of the field."""


@dataclass(frozen=True)
class GaussianField(CoefficientPrior):
    """A stationary Gaussian field with a Matérn covariance.

    Its mean, variance and correlations are the same at the centre, the sides and the corners of the
    domain. It is a sum of waves of a torus: of the domain itself where that is periodic, else of a
    torus around it, so wide that the images of the field have almost no correlation with it.

    A number may be unknown: None, or a range (low, high) that likely holds it, see `Unknown`. It is
    then inferred with the field. None stands for a weakly informative range: lengths of 0.05 to 1.5
    times the shorter side of the domain, a smoothness of 0.5 to 5, and any mean and standard
    deviation that the readings imply.

    Arguments:
        mean: in the coefficient's units.
        std: standard deviation about the mean, in these units.
        length: the distance at which the correlation is 1/e, along the longer axis, in the
            domain's unit. A rough field of a length of several domains lacks its roughness over
            short distances. On a periodic domain no points are farther apart than half a period; a
            length beyond that stands for a field that is close to a constant.
        smoothness: ν of the Matérn covariance, 1/2 or more. 1/2 is the exponential covariance, 50
            and more, such as inf, the Gaussian one exp(-(r/length)²). Where it is not given, it is
            3/2 for a known length, and unknown for an unknown one.
        anisotropy: the shorter correlation length over the longer one, at most 1.
        angle: of the longer axis, in degrees anticlockwise from x.
        mean_std: standard deviation of the mean where that is not known, in the coefficient's
            units; 0 where it is known. At most 100 `std`, or inf for a flat mean, as in ordinary
            kriging. A flat mean is a normal one about `mean`, or about the mean of the
            coefficient's readings where there are some, with a standard deviation of 100
            `std`.

    Raises:
        InputError: a number is out of range; on use, the length is too short for the domain.

    Reference:
        Matérn, *Spatial Variation*, 1960; Rasmussen & Williams, *Gaussian Processes for Machine
        Learning*, 2006, section 4.2. For the torus see `pdeinv.coefficients.torus`.

    Example:
        >>> from pdeinv import GaussianField, Grid
        >>> field = GaussianField(mean=2.0, std=0.5, length=0.3, anisotropy=0.5, angle=30)
        >>> field.sample(4, Grid(16)).shape
        torch.Size([4, 1, 16, 16])
    """

    mean: Annotated[float, Guess(-100.0, 100.0, "normal", "readings")] = None  # type: ignore
    std: Size = None  # type: ignore[assignment]
    length: Length = None  # type: ignore[assignment]
    smoothness: Smoothness = None  # type: ignore[assignment]
    anisotropy: Ratio = 1.0
    angle: Angle = 0.0
    mean_std: Annotated[float, Bounds(least=0, finite=False)] = 0.0

    name = "gaussian-field"
    of_values = ("mean",)
    never_unknown = ("mean_std",)
    amplitude = "std"
    constant = ("mean", "mean_std")

    def __post_init__(self) -> None:
        settle_shape(self)
        super().__post_init__()
        if FLAT * self.std < self.mean_std < math.inf:
            raise InputError(
                f"mean_std of the {self.name} prior must be at most {FLAT:g} times std, or inf, "
                f"got {self.mean_std:g} with std = {self.std:g}; use inf for a mean of which "
                f"nothing is known"
            )

    @classmethod
    def from_gstools(
        cls, model: Any, mean: float | tuple[float, float] | None = 0.0, mean_std: float = 0.0
    ) -> Self:
        """Return the field of a covariance model of GSTools: Exponential, Gaussian or Matern.

        Its `len_scale`, whatever its `rescale`, becomes the distance of correlation 1/e, `var` the
        squared `std`, and `nu` the `smoothness`. Its angle, in radians, becomes one in degrees;
        both are anticlockwise from x. An `anis` above 1 makes the direction across the longer axis.

        Arguments:
            model: a `gstools.CovModel` of two dimensions, in the unit of the domain.
            mean, mean_std: as of `GaussianField`; a model states none.

        Raises:
            InputError: the library gstools is missing; the model is of another kind, is rougher
                than an exponential one, or has a nugget, for which readings have a noise.

        Example:
            >>> import gstools
            >>> field = GaussianField.from_gstools(gstools.Exponential(dim=2, var=4, len_scale=0.3))
            >>> field.std, field.length, field.smoothness
            (2.0, 0.3, 0.5)
        """
        shape = shape_of_gstools(model)
        return cls(mean=mean, mean_std=mean_std, **shape)  # type: ignore[arg-type]

    def latent(self, domain: Domain, kind: GridKind) -> FourierField:
        return self.latent_of(self.name, domain, kind)

    def latent_of(self, owner: str, domain: Domain, kind: GridKind) -> FourierField:
        """Return `latent`; refusals name the prior that a user stated, of the kind `owner`."""
        return _field(self, owner, domain, kind)

    def phrase(self, domain: Domain) -> str:
        about = f" ± {self.mean_std:g}" if self.mean_std else ""
        mean = f"mean {self.mean:g}{about}" if self.proper else "a mean that may be anything"
        return f"a Gaussian field with {mean}, {self.shape_in_words(domain)}"

    def shape_in_words(self, domain: Domain) -> str:
        """Return the deviations from the mean in words."""
        unit = "" if domain.unit == "1" else f" {domain.unit}"
        words = f"standard deviation {self.std:g}, correlation length {self.length:g}{unit}"
        if self.anisotropy < 1:
            across = f"{self.anisotropy * self.length:g}{unit}"
            words += f" along {self.angle:g} degrees and {across} across"
        return f"{words} and smoothness {self.smoothness:g}"

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return self.mean + latent if self.mean else latent

    @property
    def proper(self) -> bool:
        return math.isfinite(self.mean_std)

    @property
    def latent_std(self) -> float:
        return math.hypot(self.std, self._constant_std)

    @property
    def constant_std(self) -> float:
        widest = self.std.high if isinstance(self.std, Unknown) else self.std
        own = self.mean_std if self.proper else FLAT * widest
        unknown = self.mean.normal()[1] if isinstance(self.mean, Unknown) else 0.0
        return math.hypot(own, unknown)

    def absorbed(self, about: float | None = None) -> GaussianField:
        if not isinstance(self.mean, Unknown):
            return self
        widest, mean = FLAT * self.std, self.mean.normal()[0]
        if self.constant_std <= widest:
            return replace(self, mean=mean, mean_std=self.constant_std)
        return replace(self, mean=mean if about is None else about, mean_std=widest)

    @property
    def _constant_std(self) -> float:
        """Standard deviation of the mean in the latent field."""
        return self.mean_std if self.proper else FLAT * self.std

    def centred(self, readings: torch.Tensor) -> GaussianField:
        if self.proper or not len(readings):
            return self
        return replace(self, mean=float(readings.mean()))

    @property
    def symmetric(self) -> bool:
        return self.mean == 0

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        axes, matrix = self._torus(domain, "vertex").axes, np.array(element.matrix)
        shape = axes.T @ axes
        return bool(np.abs(matrix @ shape @ matrix.T - shape).max() <= 1e-9)

    def _torus(self, domain: Domain, kind: GridKind) -> MaternTorus:
        return MaternTorus(
            domain.lengths,
            self.length,
            self.smoothness,
            self.anisotropy,
            self.angle,
            periodic=kind == "periodic",
        )


def settle_shape(prior: Any) -> None:
    """State the usual smoothness of a prior that leaves it out, if it states its length."""
    known = isinstance(prior.length, Real) and not isinstance(prior.length, Unknown)
    if prior.smoothness is None and known:
        object.__setattr__(prior, "smoothness", _USUAL)


@lru_cache(maxsize=16)  # of up to megabytes each
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _field(prior: GaussianField, owner: str, domain: Domain, kind: GridKind) -> FourierField:
    """Return the field of a prior on a domain."""
    torus = prior._torus(domain, kind)
    if not torus.fine_enough:
        raise InputError(_too_fine(prior, owner, torus, domain))
    spectrum = prior.std**2 * torus.spectrum()
    spectrum[len(spectrum) // 2, 0] += prior._constant_std**2
    return FourierField(domain, torus.periods, torch.from_numpy(spectrum))


def _too_fine(prior: GaussianField, owner: str, torus: MaternTorus, domain: Domain) -> str:
    """Return the refusal of a field with more waves than a table holds."""
    least = torus.least_length()
    if least is None:
        return (
            f"anisotropy of the {owner} prior must be closer to 1 for an angle of "
            f"{prior.angle:g} degrees and a smoothness of {prior.smoothness:g}, got "
            f"{prior.anisotropy:g}; raise it or use a smoother field"
        )
    digit = 10.0 ** (math.floor(math.log10(least)) - 1)  # the second one, which is rounded up
    return (
        f"length of the {owner} prior must be at least {math.ceil(least / digit) * digit:.6g} "
        f"for the domain {domain}, a smoothness of {prior.smoothness:g} and an anisotropy of "
        f"{prior.anisotropy:g}, got {prior.length:g}; use a longer length or a smoother field"
    )
