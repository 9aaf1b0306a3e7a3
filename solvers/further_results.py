"""What a result has of the unknowns behind those of the coefficient."""

from __future__ import annotations

import torch

from pdeinv.inferred_field import InferredField
from pdeinv.parameters import Parameters
from pdeinv.solvers.biases import bias_parameters
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["further_fields", "further_parameters"]


def further_parameters(
    problem: WhitenedProblem,
    members: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    n_samples: int,
    few: torch.Tensor | None = None,
) -> Parameters | None:
    """Return the posterior of all numbers behind those of the coefficient; None without any.

    Arguments:
        problem: whose ξ they are in.
        members: draws of ξ, (N, size + inner + k).
        mean, variance: of ξ, of which only the biases are used, (size + inner + k,).
        n_samples: of the members, which are repeated as needed.
        few: draws of the numbers that are few, which stand for their law; the members if None.
    """
    draws = members if few is None else members[:1].repeat(len(few), 1)
    if few is not None:
        draws[:, problem.few] = few
    numbers = (problem.by_block(problem.numbers(one)) for one in (members, draws))
    parts = zip(problem.blocks, *numbers, strict=True)
    found = [block.parameters(z, law, n_samples) for block, z, law in parts]
    biases, middle, spread = map(problem.biases, (members, mean[None], variance[None]))
    o, pde = problem.observation, problem.forward.pde
    return Parameters.joined(*found, bias_parameters(pde, o, biases, spread[0], n_samples, middle))


def further_fields(
    problem: WhitenedProblem,
    members: torch.Tensor,
    mean: torch.Tensor,
    less: torch.Tensor,
    n_samples: int,
    more: torch.Tensor | None = None,
) -> tuple[InferredField, ...]:
    """Return the posterior of the fields that inner numbers are of, such as an uncertain side.

    Arguments:
        problem, members, mean, n_samples: as of `further_parameters`; of the mean, only the inner
            numbers are used.
        less, more: tables of rows ξ; the covariance of ξ is 1 - lessᵀ less + moreᵀ more.
    """
    tables = (members, mean[None], less, members[:0] if more is None else more)
    parts = zip(
        problem.blocks, *(problem.by_block(problem.numbers(t)) for t in tables), strict=True
    )
    grid = problem.observation.grid
    found = [block.inferred(*of_block, grid, n_samples) for block, *of_block in parts]
    return tuple(one for part in found for one in part)
