"""What readings of a two-valued coefficient imply: the signs of its latent field's distance from
the threshold, at some nodes."""

from __future__ import annotations

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.interpolation import interpolation_stencil
from pdeinv.observation import Observation
from pdeinv.solvers.antithetic import antithetic
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.linear_algebra import (
    carries_weight,
    cholesky_with_nugget,
    reduced,
    unit_vectors,
)
from pdeinv.solvers.truncated_gaussian import chain_diagnostics, sample_given_signs

__all__ = ["CHAINS", "EXACT", "Signs", "readings_of_phases"]

CHAINS = 16
_LEAST_DRAWS = 32  # of each chain
_SURE = 1e-12  # of ρ², below which a sign is certain
EXACT = 0.01  # noise of an exact reading of the coefficient, relative to its jump


class Signs:
    """Probable signs of g - t at the nodes where the coefficient is read: the latent field, from
    which the threshold is subtracted.

    Arguments:
        problem: the latent field and the coefficient's two values.
        observation: all sensors, on the grid of the result.

    Raises:
        InputError: a sensor reads something else of the coefficient than points, or readings of it
            share a bias.
    """

    def __init__(self, problem: Problem, observation: Observation):
        prior, latent = problem.coefficient_prior, problem.latent
        assert prior.phases is not None
        (low, high), self.threshold = prior.phases, prior.threshold
        observation = readings_of_phases(problem, observation)
        y, jump = observation.values, torch.full_like(observation.values, (high - low) ** 2)
        variance = observation.noise_std**2 + EXACT**2 * jump
        self.latent, self.grid = latent, observation.grid
        # Readings at one node add up.
        node = interpolation_stencil(observation.points, self.grid, 0)[0][:, 0]
        self.nodes, place = torch.unique(node, return_inverse=True)
        self.log_ratio = y.new_zeros(len(self.nodes))
        self.log_ratio.index_add_(0, place, ((y - low) ** 2 - (y - high) ** 2) / (2 * variance))
        chosen = torch.where(self.log_ratio[place] >= 0, y.new_tensor(high), y.new_tensor(low))
        self.misfit = reduced((y - chosen) ** 2 / variance, carries_weight(jump, observation))
        unit = unit_vectors(self.nodes, self.grid.nodes)
        self.rows = latent.square_root_adjoint(
            unit.reshape(-1, 1, *self.grid.shape), self.grid
        ).flatten(1)

    def sample(
        self, n: int, generator: torch.Generator | None, bar: ProgressBar
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Return n draws of ξ given the signs, (n, size), and the sampler's diagnostics.

        Without signs the draws are antithetic pairs.
        """
        if not len(self.nodes):
            drawn = antithetic(lambda k: self.latent.white(k, generator).flatten(1), n)
            return drawn.to(self.rows), {}
        gram = self.rows @ self.rows.T
        length = max(_LEAST_DRAWS, -(-n // CHAINS))
        chains = sample_given_signs(
            gram, self.log_ratio, CHAINS, length, generator, bar, threshold=self.threshold
        )
        xi = self.latent.white(n, generator).flatten(1).to(self.rows)
        picked = chains.transpose(0, 1).flatten(0, 1)[
            torch.linspace(0, CHAINS * length - 1, n, dtype=torch.float32).long()
        ]
        lower = cholesky_with_nugget(gram, 1e-10 * gram.diagonal().mean().expand(len(gram)))
        xi = xi + torch.cholesky_solve((picked - xi @ self.rows.T).T, lower).T @ self.rows
        return xi, chain_diagnostics(chains)

    def log_likelihood(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """Return the log-likelihood of the signs of g - t plus logistic noise, at most 0, (k, s).

        Arguments:
            latent: g at the nodes, (k, s).
            width: scale of the noise.
        """
        sharp = self.log_ratio - self.log_ratio.clamp(min=0)
        distance = latent - self.threshold
        positive, negative = (torch.nn.functional.logsigmoid(s * distance / width) for s in (1, -1))
        return torch.logaddexp(positive + sharp, negative - self.log_ratio.clamp(min=0))

    def least_squares(
        self, latent: torch.Tensor, width: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ρ with -ρ²/2 the `log_likelihood` of each sign, and dρ/dg, (k, s) each.

        Arguments:
            latent, width: as of `log_likelihood`.
        """
        with torch.enable_grad():
            leaf = latent.detach().requires_grad_()
            misfit = (-2 * self.log_likelihood(leaf, width)).clamp(min=_SURE).sqrt()
            (slope,) = torch.autograd.grad(misfit.sum(), leaf)
        return misfit.detach(), slope


def readings_of_phases(problem: Problem, observation: Observation) -> Observation:
    """Return the readings of a coefficient with two values, where the physics does not fix it.

    Arguments:
        problem: the physics.
        observation: all sensors.

    Raises:
        InputError: a sensor reads something else of the coefficient than points, or readings of it
            share a bias.
    """
    # Where the physics fixes the coefficient, a reading of it has no sign
    fixed = ~problem.physics.known_values(0, observation.points).isnan()
    free = ~(fixed & observation.at_points)
    observation = observation.subset((observation.channel == 0) & free)
    if not observation.pointwise:
        raise InputError(
            f"sensors must read points of a coefficient with two values for a level set, got "
            f"{observation.described}; leave these readings out, or choose "
            f"optimal-interpolation or ensemble-smoother"
        )
    if shared := int(observation.shared.any(dim=1).sum()):
        raise InputError(
            f"readings of the {problem.physics.coefficient_field.name} must not share a bias "
            f"where it has two values, got {shared} of {len(observation)}; leave out the bias "
            f"of their instrument, or choose optimal-interpolation"
        )
    return observation
