"""The values that censored readings would have without their limits."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.solvers.truncated_gaussian import chain_diagnostics, nearest_above, sample_above

__all__ = ["TrueValues", "numbers_held", "plain_first", "true_values"]

_CHAINS, _DRAWS = 64, 128  # of each chain at least
_FAR = 100.0  # standard deviations at which limits contradict the other readings
_COPIES = 6  # of the draws


def plain_first(observation: Observation) -> Observation:
    """Return the readings with the censored ones behind the others."""
    limited = observation.below_or_above
    return observation.subset(limited.long().argsort(stable=True)) if limited.any() else observation


def numbers_held(observation: Observation, n: int) -> int:
    """Return how many numbers `true_values` holds at most; arguments as there."""
    return _COPIES * int(observation.below_or_above.sum()) * max(_CHAINS * _DRAWS, n)


@dataclass(frozen=True)
class TrueValues:
    """The values z of c censored readings given all m readings; plain ones keep their own.

    Arguments:
        mean: of all values, (1, m), the censored ones last.
        draws: of z, (N, c); None without censored readings.
        spread: Σ, (c, c): the last c numbers of L⁻¹ (values - expected) have the covariance Σᵀ Σ,
            with L the Cholesky factor of the readings' covariance.
        diagnostics: of the sampler.
    """

    mean: torch.Tensor
    draws: torch.Tensor | None = None
    spread: torch.Tensor | None = None
    diagnostics: dict[str, float] = field(default_factory=dict)

    def sample(self, n: int, generator: torch.Generator | None) -> torch.Tensor:
        """Return n draws of all values, (n, m); one row for all without censored readings.

        The draws are spread evenly along the direction in which they vary most.
        """
        if self.draws is None:
            return self.mean
        scaled = self.draws - self.draws.mean(dim=0)
        scaled = scaled / scaled.std(dim=0).clamp(min=1e-300)
        main = torch.linalg.eigh(scaled.T @ scaled).eigenvectors[:, -1]
        ranked = (scaled @ main).argsort()
        offset = torch.rand(1, dtype=torch.float64, generator=generator)
        places = (torch.arange(n) + offset) * (len(ranked) / n)  # indices, of the processor
        order = torch.randperm(n, generator=generator)
        values = self.mean.repeat(n, 1)
        values[:, -self.draws.shape[1] :] = self.draws[ranked[places.long()[order]]]
        return values

    def added(self, half: torch.Tensor) -> torch.Tensor:
        """Return rows (c, k) of which the squares sum to the variance that z adds to numbers whose
        covariance with the readings is C: half = L⁻¹ C, (m, k)."""
        return half[:0] if self.spread is None else self.spread @ half[-len(self.spread) :]

    @property
    def excess(self) -> torch.Tensor:
        """What z adds to the expected square of each number of L⁻¹ (values - expected), (m,)."""
        excess = torch.zeros_like(self.mean[0])
        if self.spread is not None:
            excess[-len(self.spread) :] = self.spread.square().sum(dim=0)
        return excess


def true_values(
    factor: torch.Tensor,
    expected: torch.Tensor,
    observation: Observation,
    n: int,
    generator: torch.Generator | None,
) -> TrueValues:
    """Return the values of readings that are linear in Gaussian unknowns.

    Given the plain readings, the values z of the censored ones, with noise and biases, are a
    Gaussian vector. `sample_above` draws it within its limits.

    Arguments:
        factor: L, Cholesky factor of the covariance of the readings with their noise, (m, m).
        expected: the readings a priori, (m,).
        observation: the readings, those that are censored last.
        n: draws that will be taken; there are more.
        generator: source of all randomness.

    Raises:
        InputError: a limit contradicts the other readings.
        NumericalError: the sampler fails.

    Reference:
        Tobin, *Estimation of relationships for limited dependent variables*, Econometrica 26, 1958;
        Pakman & Paninski (see `sample_given_signs`).
    """
    values, limited = observation.values, observation.below_or_above
    count = int(limited.sum())
    if not count:
        return TrueValues(values[None])
    plain = len(values) - count
    known = (values - expected)[:plain, None]
    white = torch.linalg.solve_triangular(factor[:plain, :plain], known, upper=False)
    predicted = expected[plain:] + (factor[plain:, :plain] @ white)[:, 0]
    root = factor[plain:, plain:]  # of the covariance given the plain readings
    std = root.norm(dim=1)
    assert observation.censored is not None
    scale = observation.censored[plain:] * std  # numbers over it are above their thresholds
    threshold = (values[plain:] - predicted) / scale
    scaled = root / scale[:, None]
    turned = scaled * scaled.diagonal().sign()  # a Cholesky factor of the correlation
    contribution = nearest_above(turned, threshold)[1]
    if float(contribution.sum()) > _FAR**2:
        worst = plain + int(contribution.argmax())
        raise InputError(_contradiction(observation, worst, predicted[worst - plain], std, plain))
    draws = max(_DRAWS, -(-n // _CHAINS))
    chains = predicted + scale * sample_above(
        turned @ turned.T, threshold, _CHAINS, draws, generator
    )
    z = chains.flatten(0, 1)
    whitened = torch.linalg.solve_triangular(root, (z - predicted).T, upper=False)
    variances, vectors = torch.linalg.eigh(torch.atleast_2d(whitened.cov()))
    return TrueValues(
        torch.cat([values[:plain], z.mean(dim=0)])[None],
        z,
        variances.clamp(min=0).sqrt()[:, None] * vectors.T,
        chain_diagnostics(chains),
    )


def _contradiction(
    observation: Observation, i: int, predicted: torch.Tensor, std: torch.Tensor, plain: int
) -> str:
    assert observation.censored is not None
    side = "below" if int(observation.censored[i]) < 0 else "above"
    x, y = observation.points[i].tolist()
    return (
        f"a censored reading must not contradict the others, got one at ({x:g}, {y:g}) that must "
        f"be {side} {float(observation.values[i]):g}, where the plain readings give "
        f"{float(predicted):g} with standard deviation {float(std[i - plain]):.2g}; correct the "
        f"limit or its side, or state the noise of readings"
    )
