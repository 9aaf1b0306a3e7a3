"""Long Markov chains against the solvers of the nonlinear PDEs: `pdeinv study reference`.

The chains use no linearisation or smoothing: they sample the posterior of the Karhunen–Loève
coefficients, with the sharp coefficient, the stated noise and each PDE's fast solve. The solver is
at the Bayes limit if its mean and standard deviation agree with theirs within the Monte-Carlo error
of both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from pdeinv.benchmarks.cells import solver_generator
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import PDE
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.selection import solver_for

__all__ = ["Chains", "compare", "reference_chains", "run"]

# Of a smoothed jump, relative to the latent field's standard deviation; shapes the proposals alone
_WIDTH = 0.2
_ACCEPTANCE = 0.25  # what the step sizes are tuned to
_EVERY = 10  # steps between two recorded states
_KEY = ("pde", "task", "grid", "sensors", "noise", "seed", "instance", "chains", "steps")


def run(
    out: Path,
    tasks: Iterable[Task],
    instances: int,
    *,
    chains: int = 12,
    steps: int = 8000,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> None:
    """Compare solvers with chains; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        tasks: with noisy readings.
        instances: number of instances of each task.
        chains: number of chains.
        steps: of each chain.
        command: command to type for the same records.
        echo: prints one line.
    """
    tasks = tuple(tasks)
    log = JsonLines(out, lambda record: values_of(record, _KEY))
    for i in range(instances):
        for task in tasks:
            setting = (task.pde, task.kind, task.grid, task.sensors, task.noise, task.seed)
            if (*setting, i, chains, steps) not in log:
                record = compare(task, i, chains, steps) | provenance(command)
                log.append(record)
                shown = (*_KEY, "error_solver", "error_chains", "distance")
                echo(", ".join(f"{name} {record[name]}" for name in shown))


class Chains(NamedTuple):
    """Averages over Markov chains.

    Arguments:
        means, squares: (chains, n, n), of a field and of its square over each chain.
        acceptance: shares of accepted steps in the two subspaces.
        trace: (draws, chains), log-likelihood of recorded states.
    """

    means: torch.Tensor
    squares: torch.Tensor
    acceptance: tuple[float, float]
    trace: torch.Tensor


def reference_chains(
    pde: PDE,
    observation: Observation,
    start: torch.Tensor,
    steps: int,
    channel: int,
    generator: torch.Generator,
) -> Chains:
    """Run Metropolis–Hastings and average a field over the second half of the steps.

    The proposal is preconditioned Crank–Nicolson with a step for each direction, ξ' = sqrt(1 -
    β_k²) ξ + β_k z. The directions are the eigenvectors of the Gauss–Newton Hessian JᵀJ at the mean
    of the starts, with β_k = β / sqrt(1 + λ_k) for the eigenvalue λ_k, and β_k = β' where the
    readings see nothing. It is reversible for the prior, so that only the likelihood decides. Steps
    in the two subspaces alternate; β and β' are tuned in the first quarter.

    Arguments:
        pde: the physics.
        observation: noisy readings.
        start: (chains, modes²), ξ of each chain.
        steps: of each chain.
        channel: 0 to average the coefficient, 1 for the solution.
        generator: source of all randomness.

    Reference:
        Cotter, Roberts, Stuart & White, *MCMC methods for functions*, Statistical Science 28(3),
        2013, section 4.2; Cui, Law & Marzouk, *Dimension-independent likelihood-informed MCMC*, J.
        Comput. Phys. 304, 2016, section 3.
    """
    target = _Target(pde, observation)
    proposal = _Proposal(target.smooth_jacobian(start.mean(dim=0, keepdim=True)))
    xi, state = start.clone(), target.state(start)
    current = target.log_likelihood(state)
    accepted, counted = [0.0, 0.0], [0, 0]
    means = torch.zeros(len(start), *observation.grid.shape, dtype=torch.float64)
    squares, recorded, trace = torch.zeros_like(means), 0, []
    for step in tqdm(range(steps), desc="chains", leave=False):
        kind = step % 2
        z = torch.randn(xi.shape, dtype=torch.float64, generator=generator)
        proposed = proposal(xi, z, kind)
        trial = target.state(proposed)
        likelihood = target.log_likelihood(trial)
        uniform = torch.rand(len(xi), dtype=torch.float64, generator=generator)
        accept = uniform.log() < likelihood - current
        xi = torch.where(accept[:, None], proposed, xi)
        state = torch.where(accept[:, None, None, None], trial, state)
        current = torch.where(accept, likelihood, current)
        rate = float(accept.double().mean())
        if step < steps // 4:
            proposal.tune(kind, rate)
        else:
            accepted[kind] += rate
            counted[kind] += 1
        if step % _EVERY == 0:
            trace.append(current)
            if step >= steps // 2:
                field = target.field(state, channel)
                means, squares, recorded = means + field, squares + field**2, recorded + 1
    first, second = (a / max(c, 1) for a, c in zip(accepted, counted, strict=True))
    return Chains(means / recorded, squares / recorded, (first, second), torch.stack(trace))


class _Target:
    """The posterior of the Karhunen–Loève coefficients ξ, (chains, modes²), up to the prior."""

    def __init__(self, pde: PDE, observation: Observation) -> None:
        self.pde, self.observation = pde, observation
        self.forward = ForwardMap(pde, observation)
        self.shape = (1, *pde.latent_prior.eigenvalues.shape)

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
        """Return the Jacobian (m, modes²) at ξ of readings over their noise, with smoothed jumps.

        Arguments:
            xi: (1, modes²).
        """
        width = _WIDTH * float(self.pde.latent_prior.eigenvalues.sum()) ** 0.5
        rows = self.forward.whitened_jacobian(
            xi.unflatten(1, self.shape), lambda latent: self.pde.smoothed(latent, width)
        )
        return rows / self.observation.noise_std[:, None]


class _Proposal:
    """Preconditioned Crank–Nicolson, in the readings' subspace (kind 0) or its complement (1)."""

    def __init__(self, jacobian: torch.Tensor) -> None:
        _, scale, self.basis = torch.linalg.svd(jacobian, full_matrices=False)  # basis (m, modes²)
        self.narrow = 1 / (1 + scale**2).sqrt()
        self.beta = [0.3, 0.3]

    def __call__(self, xi: torch.Tensor, z: torch.Tensor, kind: int) -> torch.Tensor:
        """Return the proposed ξ of ξ and standard normal z, all (chains, modes²)."""
        inside, z_inside = xi @ self.basis.T, z @ self.basis.T
        if kind == 0:
            b = self.beta[0] * self.narrow
            moved = (1 - b**2).sqrt() * inside + b * z_inside - inside
            return xi + moved @ self.basis
        keep = (1 - self.beta[1] ** 2) ** 0.5
        proposed = keep * xi + self.beta[1] * z
        return proposed + (inside - proposed @ self.basis.T) @ self.basis

    def tune(self, kind: int, rate: float) -> None:
        """Make the steps longer if more of them than wanted were accepted, else shorter."""
        beta = self.beta[kind] * math.exp(0.1 * (rate - _ACCEPTANCE))
        self.beta[kind] = min(1.0, max(1e-4, beta))


def compare(task: Task, i: int, chains: int, steps: int) -> Record:
    """Return the solver's posterior of instance i against the chains', in the norm of the truth.

    Arguments:
        task: with noisy readings.
        i: number of the instance.
        chains: number of chains.
        steps: of each chain.

    Raises:
        InputError: the readings are exact.
    """
    if not task.noise > 0:
        raise InputError(
            f"noise must be above 0, so that chains can move, got {task.noise}; use --noise 0.01"
        )
    truth, observation = task.instance(i)
    pde, channel = task.physics, task.scored[0]
    solver = solver_for("auto", pde)
    ours = solver(pde, None, observation, n_samples=32, generator=solver_generator(i))
    if ours.latent is None:
        raise InputError(
            f"pde must have a limit solver that samples the latent field, got {task.pde}, whose "
            f"solver is {solver.name}; choose another PDE"
        )
    start = time.perf_counter()
    generator = solver_generator(1_000_000 + i)
    found = reference_chains(pde, observation, ours.latent[:chains], steps, channel, generator)
    mean = found.means.mean(dim=0)
    variance = (found.squares.mean(dim=0) - mean**2).clamp(min=0)
    size = truth[channel].norm()
    members = int(ours.record.get("members_kept", len(ours.samples)))
    half = len(found.trace) // 2
    late, before = float(found.trace[half:].mean()), found.trace[half // 2 : half].mean()
    return {
        "pde": task.pde,
        "task": task.kind,
        "grid": task.grid,
        "sensors": task.sensors,
        "noise": task.noise,
        "seed": task.seed,
        "instance": i,
        "method": solver.name,
        "field": pde.fields[channel].name,
        "chains": chains,
        "steps": steps,
        "acceptance": [round(a, 3) for a in found.acceptance],
        "log_likelihood": round(late, 2),
        "log_likelihood_drift": round(float(found.trace[half:].mean() - before), 2),
        "error_solver": _percent((ours.mean[channel] - truth[channel]).norm() / size),
        "error_chains": _percent((mean - truth[channel]).norm() / size),
        "distance": _percent((ours.mean[channel] - mean).norm() / size),
        "monte_carlo_chains": _percent((found.means.var(dim=0).sum() / chains).sqrt() / size),
        "monte_carlo_solver": _percent(ours.std[channel].norm() / members**0.5 / size),
        "spread_solver": _percent(ours.std[channel].norm() / size),
        "spread_chains": _percent(variance.sum().sqrt() / size),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _percent(share: torch.Tensor) -> float:
    return round(100 * float(share), 3)
