"""The distribution of coefficients after readings that are linear in a latent Gaussian field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.latent_field import LatentField

__all__ = ["Conditioned", "ConditionedField"]

_PROBED = 17  # nodes of the shorter side, on which a mean variance is taken
_DETERMINED = 0.1  # of a latent standard deviation, that of a flat mean


class ConditionedField(LatentField):
    """A latent field after readings, less its mean: the base's field of S ξ, with ξ standard normal
    and S = 1 - Qᵀ (1 - diag(left)) Q.

    S is the symmetric root of the posterior covariance of the base's draws. It is applied, never
    formed.

    Arguments:
        base: the field before the readings.
        place: a grid of the domain.
        directions: Q, orthonormal rows, (k, size).
        left: standard deviations along them, (k,), from 0 to 1.
    """

    def __init__(
        self, base: LatentField, place: Grid, directions: torch.Tensor, left: torch.Tensor
    ):
        self.base, self.place, self.directions, self.left = base, place, directions, left

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def eigenvalues(self) -> torch.Tensor:
        """Those of the base, whose functions are the same."""
        return self.base.eigenvalues

    @property
    def less(self) -> torch.Tensor:
        """Tables (k, *shape): the base's draws have the covariance 1 - lessᵀ less."""
        rows = (1 - self.left.square()).sqrt()[:, None] * self.directions
        return rows.unflatten(1, self.shape)

    @cached_property
    def std(self) -> float:
        return float(self.variance(self.place).mean()) ** 0.5

    def narrowed(self, xi: torch.Tensor) -> torch.Tensor:
        """Return S ξ of tables ξ, both (batch, *shape)."""
        flat, q = xi.flatten(1), self.directions.to(xi)
        return (flat - ((flat @ q.T) * (1 - self.left.to(xi))) @ q).unflatten(1, self.shape)

    def square_root(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        return self.base.square_root(self.narrowed(xi), grid)

    def square_root_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        return self.narrowed(self.base.square_root_adjoint(v, grid))

    def variance(self, grid: Grid) -> torch.Tensor:
        return self.base.changed_variance(grid, self.less)

    def resolved(self, grid: Grid) -> torch.Tensor:
        return self.base.resolved(grid)

    def truncated(self, grid: Grid) -> ConditionedField:
        """Return the field of the functions that the nodes of a grid tell apart, with their
        posterior covariance; its draws are others."""
        kept = self.base.resolved(grid).flatten() > 0
        # C = 1 - lessᵀ less stays of that form where functions are left out
        _, size, directions = _svd(self.less.flatten(1)[:, kept])
        left = (1 - size.square()).clamp(min=0).sqrt()
        return ConditionedField(self.base.truncated(grid), self.place, directions, left)


@dataclass(frozen=True, eq=False)
class Conditioned(CoefficientPrior, contract=True):
    """The posterior of a coefficient as the prior of further readings.

    The base is a map of a latent Gaussian field. Earlier readings are linear in a draw ξ of it:
    values = rows ξ + ε, with ξ and ε independent standard normals. So ξ is Gaussian after them,
    with the covariance (1 + rowsᵀ rows)⁻¹. `pdeinv.as_prior` makes it of a result.

    It is of one domain and one kind of grid, on any number of nodes. No symmetry is claimed.

    Arguments:
        base: the prior before the readings, with a latent field and without unknown numbers.
        domain, kind: where the readings were taken.
        rows: derivatives of the readings to the base's draw, in units of their noise, (m, size).
        values: the readings less those of ξ = 0, in the same units, (m,).
        biases: names of the biases that earlier readings share.
        turns: the earlier readings in turns, as results store them; empty where they cannot.

    Raises:
        InputError: the base has no latent field, unknown numbers or two values.
    """

    base: CoefficientPrior
    domain: Domain
    kind: GridKind
    rows: torch.Tensor
    values: torch.Tensor
    biases: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()

    name = "conditioned"

    def __post_init__(self) -> None:
        base = self.base
        if not base.has_latent or base.phases is not None or base.unknowns:
            raise InputError(
                f"the prior before earlier readings must be a smooth function of a Gaussian field "
                f"without unknown numbers, got the {base.name} prior; use an Ensemble of samples"
            )
        for name in ("affine", "logarithmic"):
            object.__setattr__(self, name, getattr(base, name))
        object.__setattr__(self, "_shifts", {})

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def numbers(self) -> dict[str, Any]:
        """None: the readings hold for the base's numbers alone."""
        return {}

    def with_numbers(self, **changed: Any) -> Conditioned:
        if changed:
            raise InputError(
                f"numbers of a prior after earlier readings must stay as they are, got "
                f"{min(changed)!r}; change those of the first prior, and take all readings at once"
            )
        return self

    @torch.inference_mode(False)  # a kept inference tensor would break every later gradient
    @torch.no_grad()
    def _posterior(self) -> tuple[torch.Tensor, ConditionedField]:
        """The posterior mean of a draw of the base, (1, *shape), and the field about it."""
        base, place = self.base.latent(self.domain, self.kind), self._grid(_PROBED)
        u, size, q = _svd(self.rows)
        left = (1 + size.square()).rsqrt()
        mean = (size * left.square() * (u.T @ self.values)) @ q
        return mean.reshape(1, *base.shape), ConditionedField(base, place, q, left)

    @cached_property
    def _found(self) -> tuple[torch.Tensor, ConditionedField]:
        return self._posterior()

    @property
    def mean(self) -> torch.Tensor:
        """The mean of a draw of the base, (1, *shape)."""
        return self._found[0]

    @property
    def field(self) -> ConditionedField:
        """The latent field less its mean."""
        return self._found[1]

    def latent(self, domain: Domain, kind: GridKind) -> ConditionedField:
        if (domain, kind) != (self.domain, self.kind):
            raise InputError(
                f"the domain of a prior after earlier readings must be theirs, {self.domain} with "
                f"a {self.kind} grid, got {domain} with a {kind} grid; use the same physics"
            )
        return self.field

    @torch.inference_mode(False)
    @torch.no_grad()
    def mean_field(self, grid: Grid) -> torch.Tensor:
        """Return the mean of the base's latent field, (1, 1, ny, nx), float64."""
        shifts: dict[tuple[int, int], torch.Tensor] = self._shifts  # type: ignore[attr-defined]
        if grid.shape not in shifts:
            base = self.base.latent(self.domain, self.kind)
            shifts[grid.shape] = base.square_root(self.mean, grid)
        return shifts[grid.shape]

    def _grid(self, ny: int, nx: int | None = None) -> Grid:
        d = self.domain
        if nx is None:
            nx, ny = (round(ny * length) for length in d.aspect)
        return Grid(ny, nx, d.extent, d.unit, self.kind, d.active)

    def _whole(self, latent: torch.Tensor) -> torch.Tensor:
        """The base's latent fields of those about the mean, both (batch, 1, ny, nx)."""
        return latent + self.mean_field(self._grid(*latent.shape[-2:])).to(latent)

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return self.base.coefficient(self._whole(latent))

    def smoothed(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        return self.base.smoothed(self._whole(latent), width)

    def phrase(self, domain: Domain) -> str:
        return f"{self.base.phrase(domain)}, after {len(self.values)} earlier readings"

    @property
    def bounds(self) -> tuple[float, float] | None:
        return self.base.bounds

    @property
    def proper(self) -> bool:
        """Whether coefficients can be drawn: a flat mean must be determined by the readings."""
        if self.base.proper:
            return True
        return self.field.std < _DETERMINED * self.field.base.std

    def to_json(self, what: str = "the prior") -> dict[str, Any]:
        raise InputError(
            f"{what} must be one that files can hold, got one after earlier readings; save the "
            f"result of these, and use pdeinv.as_prior"
        )


def _svd(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the singular value decomposition of rows (m, size), few and long."""
    q, triangle = torch.linalg.qr(rows.T)
    u, size, directions = torch.linalg.svd(triangle.T, full_matrices=False)
    return u, size, directions @ q.T
