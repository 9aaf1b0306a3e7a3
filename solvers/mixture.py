"""A posterior for each part of a mixture, weighted by the evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pdeinv.coefficients.scenarios import MixturePrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import Solver, progress_bar
from pdeinv.solvers.evidence.mixture import Shares, mixed
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.gaussian import GaussianSolver
from pdeinv.solvers.supported_readings import BIASES, FOOTPRINTS, Special

__all__ = ["Mixture"]

_LEAST = 1e-6  # weight of a part that counts


@dataclass(frozen=True)
class Mixture(Solver):
    """The posterior of a prior that is one of several, such as `Scenarios`: a mixture of the parts'
    posteriors.

    The weight of a part is the density of the readings under it, its evidence, relative to the sum
    over all parts. Where the physics is linear, each part is conditioned exactly by
    `GaussianSolver`, and the mixture is the posterior itself; elsewhere each is conditioned by
    `GaussNewton`, with Laplace's evidence. The record has the parts' probabilities under
    `part_probabilities`, as JSON, in the order of the prior's `parts`.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eq. 2.30 (the
        evidence); Kass & Raftery, *Bayes factors*, JASA 90, 1995.
    """

    name: ClassVar[str] = "mixture"
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS, BIASES})
    wants_prior: ClassVar[str] = "a prior that is one of several, such as Scenarios"
    needs: ClassVar[str] = "each of its parts must be one for gaussian or gauss-newton"

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def accepts_prior(self, prior: Prior) -> bool:
        return isinstance(prior, MixturePrior)

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return (
            isinstance(prior, MixturePrior)
            and prior.proper
            and all(_solver(pde, part).accepts(pde, part) for part in prior.parts)
        )

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        assert isinstance(prior, MixturePrior)
        part, held = prior.parts[0], super().memory(pde, prior, observation, n_samples)
        one = _solver(pde, part).memory(pde, part, observation, n_samples)
        return one + (len(prior.parts) - 1) * held

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        assert isinstance(prior, MixturePrior)
        given: tuple[Any, ...] = observation, n_samples + n_samples % 2, generator, False
        bar = progress_bar(prior.parts, "mixture", progress, "part")
        found = [_solver(pde, part).condition(pde, part, *given) for part in bar]
        evidence = torch.tensor([p.record["log_evidence"] for p in found], dtype=torch.float64)
        weights = evidence.softmax(dim=0)
        kept = [i for i, w in enumerate(weights.tolist()) if w >= _LEAST]
        shares = Shares(weights[kept] / weights[kept].sum(), n_samples, generator)
        posterior = mixed([found[i] for i in kept], shares.weights, shares)
        posterior.record |= {
            "log_evidence": float(evidence.logsumexp(dim=0) - torch.tensor(len(found)).log()),
            "part_probabilities": json.dumps([round(w, 6) for w in weights.tolist()]),
            "solver_calls": sum(int(p.record["solver_calls"]) for p in found),
        }
        return posterior


def _solver(pde: PDE, part: Prior) -> Solver:
    """The solver of a part."""
    return GaussianSolver() if Problem(pde, part).linear else GaussNewton()
