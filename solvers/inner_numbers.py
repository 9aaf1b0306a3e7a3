"""Unknown numbers of the physics, as standard normal numbers that a search can move."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.datasets.unknowns import UnknownNumber
from pdeinv.parameters import LEVEL, Parameters
from pdeinv.solvers.further_numbers import FurtherNumbers

__all__ = ["InnerNumbers"]


class InnerNumbers(FurtherNumbers):
    """Unknown numbers of a problem: z is mapped to values by `Unknown.at`.

    Arguments:
        numbers: which, such as the `unknowns` with the role "physics".
    """

    few = True

    def __init__(self, numbers: Sequence[UnknownNumber]):
        self.numbers = tuple(numbers)

    @classmethod
    def of(cls, problem: Problem) -> InnerNumbers:
        """Return the unknown numbers of the physics."""
        return cls([number for number in problem.unknowns if number.role == "physics"])

    @property
    def size(self) -> int:
        return len(self.numbers)

    def at(self, problem: Problem, z: torch.Tensor) -> Problem:
        return problem.at(
            {one.name: one.unknown.at(at) for one, at in zip(self.numbers, z.tolist(), strict=True)}
        )

    def values(self, z: torch.Tensor) -> torch.Tensor:
        """Return the values of rows of z, both (n, size)."""
        columns = [
            [one.unknown.at(at) for at in column]
            for one, column in zip(self.numbers, z.T.tolist(), strict=True)
        ]
        return torch.tensor(columns, dtype=torch.float64, device=z.device).T

    def parameters(self, members: torch.Tensor, draws: torch.Tensor, n_samples: int) -> Parameters:
        values, tail = self.values(draws), (1 - LEVEL / 100) / 2
        return Parameters(
            tuple(one.name for one in self.numbers),
            tuple(one.units for one in self.numbers),
            values.mean(dim=0),
            values.std(dim=0, correction=0),
            self.values(members[torch.arange(n_samples, device=members.device) % len(members)]),
            values.quantile(tail, dim=0),
            values.quantile(1 - tail, dim=0),
        )
