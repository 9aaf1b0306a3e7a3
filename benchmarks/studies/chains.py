"""Markov chains that sample the posterior of a draw of a latent Gaussian field."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pdeinv.datasets import Problem
from pdeinv.observation import Observation
from pdeinv.progress import progress_bar
from pdeinv.solvers.latent_map import LatentMap

__all__ = ["Chains", "reference_chains"]

# Of a smoothed jump, relative to the latent field's standard deviation; shapes the proposals alone
_WIDTH = 0.2
_ACCEPTANCE = 0.25  # what the step sizes are tuned to
_GAIN = 0.05  # of the tuning
_EVERY = 10  # steps between two recorded states
_ANNEALED = 3 / 8  # share of the steps
_FLATTEST = 1e-4  # power of the likelihood where annealing begins: noise 100 times as large
_WATCHED = 16  # coefficients, those with the largest eigenvalues, whose traces are kept


class Chains(NamedTuple):
    """Averages over the second half of Markov chains.

    Arguments:
        means, squares: (chains, n, n), of a field and of its square over each chain.
        acceptance: shares of accepted steps in the two subspaces.
        likelihood: (draws, chains), log-likelihood of states recorded from the start.
        trace: (draws, chains, 17), the log-likelihood and 16 coefficients in the second half.
    """

    means: torch.Tensor
    squares: torch.Tensor
    acceptance: tuple[float, float]
    likelihood: torch.Tensor
    trace: torch.Tensor


def reference_chains(
    problem: Problem,
    observation: Observation,
    start: torch.Tensor,
    annealed: torch.Tensor,
    centre: torch.Tensor,
    steps: int,
    channel: int,
    generator: torch.Generator,
) -> Chains:
    """Run Metropolis–Hastings and average a field over the second half of the steps.

    The proposal is preconditioned Crank–Nicolson with a step for each direction, ξ' = sqrt(1 -
    β_k²) ξ + β_k z. The directions are the eigenvectors of the Gauss–Newton Hessian JᵀJ at a
    centre, with β_k = β / sqrt(1 + t λ_k) for the eigenvalue λ_k, and β_k = β' where the readings
    see nothing. It is reversible for the prior, so that only the likelihood, to the power t,
    decides. Steps in the two subspaces alternate. β and β' are tuned in the first half, for each
    chain.

    The power t is 1, but in the first three eighths of annealed chains: there it rises from 1e-4 to
    1, by the same factor each step, so that chains can find the readings from anywhere.

    Arguments:
        problem: the physics and the prior.
        observation: noisy readings.
        start: (chains, size), ξ of each chain.
        annealed: (chains,), which chains are.
        centre: (1, size), of the proposals' directions; it has no part in what is sampled.
        steps: of each chain.
        channel: 0 to average the coefficient, 1 for the solution.
        generator: source of all randomness.

    Reference:
        Cotter, Roberts, Stuart & White, *MCMC methods for functions*, Statistical Science 28(3),
        2013, section 4.2; Cui, Law & Marzouk, *Dimension-independent likelihood-informed MCMC*, J.
        Comput. Phys. 304, 2016, section 3.
    """
    target = _Target(problem, observation)
    walkers = _Walkers(target, start, _Proposal(target.smooth_jacobian(centre), len(start)))
    watched = problem.latent.eigenvalues.flatten().topk(_WATCHED).indices
    accepted: tuple[list[torch.Tensor], ...] = ([], [])
    fields = torch.zeros(len(start), *observation.grid.shape, dtype=torch.float64)
    squares, likelihoods, trace = torch.zeros_like(fields), [], []
    for step in progress_bar(range(steps), "chains"):
        kind, power = step % 2, _FLATTEST ** max(0.0, 1 - step / (_ANNEALED * steps))
        accept = walkers.step(kind, torch.where(annealed, power, 1.0).double(), generator)
        if step < steps // 2:
            walkers.proposal.tune(kind, accept)
        else:
            accepted[kind].append(accept)
        if step % _EVERY == 0:
            likelihoods.append(walkers.likelihood)
            if step >= steps // 2:
                field = target.field(walkers.state, channel)
                fields, squares = fields + field, squares + field**2
                coefficients = walkers.xi[:, watched]
                trace.append(torch.cat([walkers.likelihood[:, None], coefficients], dim=1))
    rates = float(torch.stack(accepted[0]).mean()), float(torch.stack(accepted[1]).mean())
    averages = fields / len(trace), squares / len(trace)
    return Chains(*averages, rates, torch.stack(likelihoods), torch.stack(trace))


class _Walkers:
    """The chains' ξ (chains, size), their states and log-likelihoods."""

    def __init__(self, target: _Target, start: torch.Tensor, proposal: _Proposal) -> None:
        self.target, self.proposal = target, proposal
        self.xi, self.state = start.clone(), target.state(start)
        self.likelihood = target.log_likelihood(self.state)

    def step(self, kind: int, powers: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Propose once; return which chains accepted, as numbers (chains,).

        Arguments:
            kind: of the proposal.
            powers: of each chain's likelihood, (chains,).
            generator: source of all randomness.
        """
        z = torch.randn(self.xi.shape, dtype=torch.float64, generator=generator)
        proposed = self.proposal(self.xi, z, kind, powers)
        trial = self.target.state(proposed)
        likelihood = self.target.log_likelihood(trial)
        uniform = torch.rand(len(z), dtype=torch.float64, generator=generator)
        accept = uniform.log() < powers * (likelihood - self.likelihood)
        self.xi = torch.where(accept[:, None], proposed, self.xi)
        self.state = torch.where(accept[:, None, None, None], trial, self.state)
        self.likelihood = torch.where(accept, likelihood, self.likelihood)
        return accept.double()


class _Target:
    """The posterior of the draw ξ of the latent field, (chains, size), up to the prior."""

    def __init__(self, problem: Problem, observation: Observation) -> None:
        self.problem, self.observation = problem, observation
        self.forward, self.shape = LatentMap(problem, observation), problem.latent.shape

    def state(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the states (chains, 2, n, n), whose solution is zero if no sensor reads it."""
        a = self.forward.coefficient(xi.unflatten(1, self.shape))
        return self.forward.states(a, self.forward.surrogate)

    def field(self, state: torch.Tensor, channel: int) -> torch.Tensor:
        """Return one field (chains, n, n) of states, solved for if it is missing."""
        if self.forward.sees_solution or channel == 0:
            return state[:, channel]
        return self.forward.surrogate(state[:, :1])[:, 0]

    def log_likelihood(self, state: torch.Tensor) -> torch.Tensor:
        """Return the log-likelihood (chains,) of the readings."""
        misfit = (self.observation.values - self.observation(state)) / self.observation.noise_std
        return -misfit.square().sum(dim=1) / 2

    def smooth_jacobian(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the Jacobian (m, size) at ξ of readings over their noise, with smoothed jumps.

        Arguments:
            xi: (1, size).
        """
        width = _WIDTH * self.problem.latent.std
        rows = self.forward.whitened_jacobian(
            xi.unflatten(1, self.shape), lambda latent: self.problem.smoothed(latent, width)
        )
        return rows / self.observation.noise_std[:, None]


class _Proposal:
    """Preconditioned Crank–Nicolson, in the readings' subspace (kind 0) or its complement (1)."""

    def __init__(self, jacobian: torch.Tensor, chains: int) -> None:
        # basis (m, size)
        _, self.scale, self.basis = torch.linalg.svd(jacobian, full_matrices=False)
        self.beta = torch.full((2, chains, 1), 0.3, dtype=torch.float64)

    def __call__(
        self, xi: torch.Tensor, z: torch.Tensor, kind: int, powers: torch.Tensor
    ) -> torch.Tensor:
        """Return the proposed ξ of ξ and standard normal z, all (chains, size)."""
        inside, z_inside = xi @ self.basis.T, z @ self.basis.T
        if kind == 0:
            b = self.beta[0] / (1 + powers[:, None] * self.scale**2).sqrt()
            moved = (1 - b**2).sqrt() * inside + b * z_inside - inside
            return xi + moved @ self.basis
        b = self.beta[1]
        proposed = (1 - b**2).sqrt() * xi + b * z
        return proposed + (inside - proposed @ self.basis.T) @ self.basis

    def tune(self, kind: int, accepted: torch.Tensor) -> None:
        """Make the steps of a chain longer if it accepted one, else shorter, so that the wanted
        share is accepted."""
        factor = (_GAIN * (accepted - _ACCEPTANCE)).exp()[:, None]
        self.beta[kind] = (self.beta[kind] * factor).clamp(1e-4, 1.0)
