"""The posterior of Gaussian unknowns as a function of the readings, found once for many tables."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import torch

from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.observation import Observation
from pdeinv.solvers.linear_algebra import carries_weight

__all__ = ["GivenReadings", "StoredGain"]


class GivenReadings(NamedTuple):
    """What one table of readings gives.

    Arguments:
        innovation: readings less what was expected, (m,); a missing one as the others predict it.
        chi_squared: rᵀ G⁻¹ r of the readings that carry weight.
        degrees_of_freedom: of this.
        predictions: each reading predicted from the others; None where readings are exact.
    """

    innovation: torch.Tensor
    chi_squared: float
    degrees_of_freedom: float
    predictions: LeaveOneOut | None


@dataclass(frozen=True, eq=False)
class StoredGain:
    """The mean of unknowns that are jointly Gaussian with the readings: μ + (y - H μ) K.

    The unknowns are the state and, behind it, the biases of instruments in their units. With
    G = H C Hᵀ + R the gain is K = G⁻¹ H C. It does not depend on the readings, nor does the
    standard deviation.

    Readings S that are missing are left out exactly. Their innovations become those that the others
    predict, r_S = -P_SS⁻¹ P_SR r_R with P = G⁻¹, and the variance grows by K_Sᵀ P_SS⁻¹ K_S.

    Arguments:
        prior: μ, (size,).
        gain: K, (m, size).
        expected: H μ, (m,).
        factor: Cholesky factor of G with its nugget, (m, m).
        nugget: part of the diagonal of G that is no part of the model, (m,).
        weighty: which readings carry weight, (m,).
        exact: which readings are without noise, (m,).

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eqs 2.23, 5.10–5.12.
    """

    prior: torch.Tensor
    gain: torch.Tensor
    expected: torch.Tensor
    factor: torch.Tensor
    nugget: torch.Tensor
    weighty: torch.Tensor
    exact: torch.Tensor

    def __post_init__(self) -> None:
        for f in fields(self):  # as a file has them, so that its product has the same last bits
            object.__setattr__(self, f.name, getattr(self, f.name).contiguous())

    @classmethod
    def of(
        cls,
        prior: torch.Tensor,
        covariance: torch.Tensor,
        expected: torch.Tensor,
        factor: torch.Tensor,
        reading_variances: torch.Tensor,
        observation: Observation,
    ) -> StoredGain:
        """Return the gain of factorised readings.

        Arguments:
            prior, expected, factor: as of the class.
            covariance: of the readings with the unknowns, H C, (m, size).
            reading_variances: the diagonal of H C Hᵀ, (m,).
            observation: the sensors.
        """
        total = factor.square().sum(dim=1)
        return cls(
            prior,
            torch.cholesky_solve(covariance, factor),
            expected,
            factor,
            total - reading_variances - observation.noise_variances(),
            carries_weight(reading_variances, observation),
            observation.noise_std == 0,
        )

    @cached_property
    def precision(self) -> torch.Tensor:
        """P = G⁻¹, (m, m)."""
        return torch.cholesky_inverse(self.factor)

    def means(self, innovations: torch.Tensor) -> torch.Tensor:
        """Return the means (b, size) of tables of innovations (b, m)."""
        if len(innovations) == 1:  # a product with a vector is the faster one
            return torch.addmv(self.prior, self.gain.T, innovations[0])[None]
        return torch.addmm(self.prior, innovations, self.gain)

    def given(self, values: torch.Tensor) -> GivenReadings:
        """Return what readings (m,) give; nan for a missing one."""
        missing = values.isnan()
        innovation, diagonal = values - self.expected, self.precision.diagonal()
        if bool(missing.any()):
            left, others = self.precision[missing], ~missing
            block = torch.linalg.cholesky(left[:, missing])
            known = (left[:, others] @ innovation[others])[:, None]
            innovation[missing] = -torch.cholesky_solve(known, block)[:, 0]
            half = torch.linalg.solve_triangular(block, left, upper=False)
            diagonal = diagonal - half.square().sum(dim=0)
        white = torch.linalg.solve_triangular(self.factor, innovation[:, None], upper=False)
        counted = (self.weighty | missing).double()
        freedom = (1 - (self.nugget * diagonal).clamp(0, 1))[self.weighty & ~missing].sum()
        return GivenReadings(
            innovation,
            float(white[:, 0].square() @ counted),
            float(freedom),
            None if bool(self.exact.any()) else self._predictions(values, white, diagonal),
        )

    def added_variance(self, missing: torch.Tensor) -> torch.Tensor:
        """Return the variance (size,) that missing readings, a mask (m,), add."""
        block = torch.linalg.cholesky(self.precision[missing][:, missing])
        half = torch.linalg.solve_triangular(block, self.gain[missing], upper=False)
        return half.square().sum(dim=0)

    def _predictions(
        self, values: torch.Tensor, white: torch.Tensor, diagonal: torch.Tensor
    ) -> LeaveOneOut:
        """Each reading predicted from the others, nan for a missing one."""
        pulls = torch.linalg.solve_triangular(self.factor.T, white, upper=True)[:, 0]
        variance = 1 / torch.where(values.isnan(), torch.nan, diagonal)
        return LeaveOneOut.gaussian(
            values, values - pulls * variance, variance.sqrt(), torch.zeros_like(values)
        )
