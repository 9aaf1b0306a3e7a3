"""The noise of readings: its covariance, its draws, and the biases that several of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from pdeinv.errors import InputError
from pdeinv.unknown import Unknown

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LARGEST", "ReadingNoise"]

LARGEST = 1e100
"""Size of a reading, of its noise and of a bias, whose squares are finite."""


class ReadingNoise:
    """Base of `Observation`, which states the attributes: what is a matter of the noise alone."""

    noise_std: torch.Tensor
    censored: torch.Tensor | None
    common: torch.Tensor | None
    common_names: tuple[str, ...]
    noise_group: torch.Tensor | None
    unknown_noise: tuple[tuple[str, Unknown], ...]
    noise_factor: torch.Tensor | None

    def _check_noise(self) -> None:
        wrong = (
            None
            if self.censored is None
            else ~torch.isin(self.censored, torch.arange(-1, 2, device=self.censored.device))
        )
        if wrong is not None and bool(wrong.any()):
            raise InputError(
                f"censored must be -1 (below the value), 0 or 1 (above it), got "
                f"{float(self.censored[wrong][0]):g}; correct it"  # type: ignore[index]
            )
        if self.common_names and len(self.common_names) != self.biases:
            raise InputError(
                f"common_names must have one name for each of {self.biases} biases, got "
                f"{len(self.common_names)}; give one for each column of common"
            )
        if self.common is not None and not bool((self.common.abs() <= LARGEST).all()):
            raise InputError(
                f"common must be finite and at most {LARGEST:g} in size, got other numbers; use "
                f"another unit"
            )

    def with_noise(self, values: Mapping[str, float]) -> Self:
        """Return the readings with standard deviations in the place of unknown ones.

        Arguments:
            values: by the names of `unknown_noise`; those that are left out stay as they are.
        """
        std, group = self.noise_std.clone(), self.noise_group
        for j, (name, _) in enumerate(self.unknown_noise):
            if name in values and group is not None:
                factor = 1.0 if self.noise_factor is None else self.noise_factor[group == j]
                std[group == j] = values[name] * factor
        left = tuple(one for one in self.unknown_noise if one[0] not in values)
        if group is not None:
            kept = [left.index(one) if one in left else -1 for one in self.unknown_noise]
            group = group.new_tensor([*kept, -1])[group] if left else None
        return replace(self, noise_std=std, noise_group=group, unknown_noise=left)  # type: ignore

    @property
    def biases(self) -> int:
        """Number of biases, k."""
        return 0 if self.common is None else self.common.shape[1]

    @property
    def shared(self) -> torch.Tensor:
        """B, (m, k), with k = 0 without biases."""
        nothing = self.noise_std.new_zeros(len(self.noise_std), 0)
        return nothing if self.common is None else self.common

    @property
    def below_or_above(self) -> torch.Tensor:
        """Whether each reading is censored, (m,)."""
        if self.censored is None:
            return torch.zeros_like(self.noise_std, dtype=torch.bool)
        return self.censored != 0

    def noise_covariance(self) -> torch.Tensor:
        """Return R, (m, m)."""
        own = torch.diag(self.noise_std**2)
        return own if self.common is None else own + self.common @ self.common.T

    def noise_variances(self) -> torch.Tensor:
        """Return the diagonal of R, (m,)."""
        return self.noise_std**2 + self.shared.square().sum(dim=1)

    def noise(self, white: torch.Tensor) -> torch.Tensor:
        """Return draws of the noise (n, m), from standard normal numbers (n, m + k)."""
        own = self.noise_std * white[:, : len(self.noise_std)]
        return own if self.common is None else own + white[:, len(self.noise_std) :] @ self.common.T

    def without_bias(self, residual: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        """Return residuals y - H x less their most probable biases, (batch, m).

        With r the residual and q the result, rᵀ (V + B Bᵀ)⁻¹ r is the sum of r q / v.

        Arguments:
            residual: (batch, m).
            variance: v, the diagonal of V, of the readings' own noise and whatever else is
                independent, (m,), positive.
        """
        if self.common is None:
            return residual
        weighted = self.common / variance[:, None]
        gram = (
            torch.eye(self.biases, dtype=self.common.dtype, device=self.common.device)
            + self.common.T @ weighted
        )
        return residual - torch.linalg.solve(gram, weighted.T @ residual.T).T @ self.common.T
