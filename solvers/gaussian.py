"""The exact posterior of a linear PDE with a Gaussian prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.checks import NotNegative
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.memory import NUMBER, check_memory
from pdeinv.observation import Observation
from pdeinv.parameters import Parameters
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import MisfitTest, Solver
from pdeinv.solvers.biases import bias_parameters
from pdeinv.solvers.censored import (
    TrueValues,
    numbers_held,
    plain_first,
    true_values,
)
from pdeinv.solvers.evidence.linearised import GaussianReadings, LinearisedReadings
from pdeinv.solvers.factored_readings import CHUNK, factored_readings, in_draws
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.leave_one_out import closed_leave_one_out
from pdeinv.solvers.linear_algebra import (
    carries_weight,
    cholesky_with_nugget,
    degrees_of_freedom,
    gram_matrix,
    levels_of,
    whiten_in_place,
)
from pdeinv.solvers.stored_gain import StoredGain
from pdeinv.solvers.supported_readings import (
    BIASES,
    CENSORED,
    FOOTPRINTS,
    UNKNOWNS,
    Special,
)

__all__ = ["GaussianSolver"]

_ROUNDING = 1e-14  # of the variance of a number of a draw, which is 1 a priori


@dataclass(frozen=True)
class GaussianSolver(Solver):
    """The exact posterior where the PDE is linear in a Gaussian coefficient (Poisson, Helmholtz):
    the first choice there.

    The state x = (a, u, ...) is μ + T ξ with ξ standard normal (a draw of the latent field) and T
    a chain of fast transforms, so its covariance C = T Tᵀ is applied, never formed. The prior mean
    μ is the state of ξ = 0: what values on the sides, sources and wells make alone. Given
    y = H x + noise of covariance R, with G = H C Hᵀ + R,

        mean = μ + C Hᵀ G⁻¹ (y - H μ),    cov = C - C Hᵀ G⁻¹ H C,
        sample = x + C Hᵀ G⁻¹ (y - H x - noise),    x a prior draw.

    Of censored readings the true values z have a truncated Gaussian law, given the plain ones. Each
    sample is conditioned on its own draw of z (`true_values`), and the mean and the covariance are
    those of the moments of z. The reduced chi-squared is its expectation over z.

    Each sensor costs one application of T and one of Tᵀ. The rest is in the space of ξ if a draw
    has few numbers: with the rows A = H T, G is A Aᵀ + R, and cov = T (1 - Aᵀ G⁻¹ A) Tᵀ.
    The Cholesky factorisation grows with the cube of the number of sensors.

    Arguments:
        nugget: variance added to each reading, relative to the mean prior variance of the readings
            of its field; it keeps repeated and clustered exact sensors well conditioned.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eqs 2.23–2.24;
        samples by Matheron's rule (Wilson et al., ICML 2020, eq. 8, arXiv 2002.09309).
    """

    nugget: NotNegative = 1e-12

    name: ClassVar[str] = "gaussian"
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS, BIASES, CENSORED, UNKNOWNS})
    needs: ClassVar[str] = (
        "it needs a PDE that is linear in a Gaussian coefficient, without unknown numbers"
    )
    misfit: ClassVar[MisfitTest] = "two-sided"

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return isinstance(prior, CoefficientPrior) and Problem(pde, prior).linear

    def linearised(
        self, pde: PDE, prior: Prior, observation: Observation, progress: bool = False
    ) -> LinearisedReadings:
        assert isinstance(prior, CoefficientPrior)
        centred = prior.centred(levels_of(observation, channel=0))
        forward = LatentMap(Problem(pde, centred), observation)
        nothing = observation.values.new_zeros(1, 1, *observation.grid.shape)
        return LinearisedReadings(
            observation,
            rows=forward.latent_jacobian(nothing),
            columns=observation.shared,
            expected=observation(forward.state(forward.origin()))[0],
            nugget=self.nugget,
            exact=True,
        )

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        problem, m, nodes = Problem(pde, prior), len(observation), observation.grid.nodes
        size, state = problem.latent.size, len(pde.fields) * nodes
        row = size if in_draws(problem, observation) else state
        ours: float = m * (row + 3 * m) + 3 * CHUNK * (size + state)
        ours += numbers_held(observation, n_samples)
        if problem.unknowns or observation.unknown_noise:
            ours += LinearisedReadings.numbers_held(m, nodes)
        return super().memory(pde, prior, observation, n_samples) + NUMBER * ours

    def stored_gain(
        self, pde: PDE, prior: Prior, observation: Observation, progress: bool = False
    ) -> StoredGain | None:
        """Return the gain of plain readings; None where the mean is no affine function of them: of
        censored ones, with unknown numbers, and where a flat prior is centred at the readings."""
        assert isinstance(prior, CoefficientPrior)
        unknown = Problem(pde, prior).unknowns or observation.unknown_noise
        centred = not prior.proper and len(levels_of(observation, channel=0))
        if unknown or centred or bool(observation.below_or_above.any()):
            return None
        check_memory(
            2 * self.memory(pde, prior, observation, 1),
            f"the gain of {len(observation)} sensors on {observation.grid} nodes",
            self.memory_remedy,
        )
        factored = factored_readings(pde, prior, observation, self.nugget, progress)
        mean = factored.moments.mean.flatten()
        covariance = torch.cat([part.flatten(1) for part in factored.states(factored.rows)])
        if (common := observation.common) is not None:
            scale = common.abs().amax(dim=0)
            mean = torch.cat([mean, torch.zeros_like(scale)])
            covariance = torch.cat([covariance, scale * common], dim=1)
        expected = observation(factored.moments.mean[None])[0]
        return StoredGain.of(
            mean, covariance, expected, factored.factor, factored.variances, observation
        )

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        assert isinstance(prior, CoefficientPrior)
        grid, m, given = observation.grid, len(observation), observation
        observation = plain_first(given)
        factored = factored_readings(pde, prior, observation, self.nugget, progress)
        forward, (prior_mean, prior_variance), rows, _, reading_variances, lower = factored

        def update(innovation: torch.Tensor) -> torch.Tensor:  # (b, m) to C Hᵀ G⁻¹ of it
            weights = torch.cholesky_solve(innovation.T, lower).T
            return torch.cat(list(factored.states(weights @ rows)))

        expected = observation(prior_mean[None])
        true = true_values(lower, expected[0], observation, n_samples, generator)
        innovation = true.mean - expected
        draws = forward.sample(n_samples, grid, generator)
        k = m + observation.biases
        numbers = torch.randn(n_samples, k, dtype=torch.float64, generator=generator).to(lower)
        values = true.sample(n_samples, generator)
        innovations = values - observation(draws) - observation.noise(numbers)
        white = torch.linalg.solve_triangular(lower, innovation.T, upper=False)
        squares = white.square()[:, 0] + true.excess
        squares = squares[carries_weight(reading_variances, observation)]
        freedom = degrees_of_freedom(lower, reading_variances, observation)
        mean, samples = prior_mean + update(innovation)[0], draws + update(innovations)
        half, variance = whiten_in_place(lower, rows), prior_variance.clone()
        added = true.added(half)
        if 2 * half.shape[1] < m:  # as many images as numbers, for the same sum of squares
            least = torch.full_like(half[0], _ROUNDING)
            half = cholesky_with_nugget(gram_matrix(half.T.contiguous()), least).T
        for sign, tables in ((1, added), (-1, half)):
            for part in factored.states(tables, progress and sign < 0):
                variance += sign * part.square().sum(dim=0)
        return Posterior(
            pde.fields,
            grid,
            mean=mean,
            std=variance.clamp(min=0).sqrt(),
            samples=samples,
            record={
                "reduced_chi_squared": float(squares.sum()) / max(1.0, freedom),
                "degrees_of_freedom": freedom,
                "solver_calls": forward.solver_calls,
                **_log_evidence(prior, observation, GaussianReadings(lower, white)),
                **true.diagnostics,
            },
            parameters=_biases(
                pde, observation, lower, true, innovation, innovations, numbers[:, m:]
            ),
            leave_one_out=closed_leave_one_out(lower, expected[0], observation, given),
        )


def _log_evidence(
    prior: CoefficientPrior, observation: Observation, readings: GaussianReadings
) -> dict[str, float]:
    """The density of the readings, where they have one: not of limits, nor with a flat mean."""
    stated = prior.proper and not bool(observation.below_or_above.any())
    return {"log_evidence": readings.log_evidence} if stated else {}


def _biases(
    pde: PDE,
    observation: Observation,
    lower: torch.Tensor,
    true: TrueValues,
    innovation: torch.Tensor,
    innovations: torch.Tensor,
    drawn: torch.Tensor,
) -> Parameters | None:
    """The posterior of the biases: b and the readings are jointly Gaussian, with the covariance B.

    Arguments:
        lower: Cholesky factor of G.
        true: the values of the readings.
        innovation: of the mean, (1, m).
        innovations: of samples, (n, m), with the biases `drawn`, (n, k).
    """
    if observation.common is None:
        return None
    half = torch.linalg.solve_triangular(lower, observation.common, upper=False)
    gain = torch.cholesky_solve(observation.common, lower)
    variance = 1 - half.square().sum(dim=0) + true.added(half).square().sum(dim=0)
    draws = drawn + innovations @ gain
    return bias_parameters(pde, observation, draws, variance, len(draws), innovation @ gain)
