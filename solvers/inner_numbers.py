"""Unknown numbers of the physics, as standard normal numbers that a search can move."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.datasets.unknowns import UnknownNumber
from pdeinv.parameters import Parameters
from pdeinv.solvers.further_numbers import FurtherNumbers

__all__ = ["InnerNumbers"]

_POINTS = 200  # of a quadrature over a normal law, of equal weights


class InnerNumbers(FurtherNumbers):
    """Unknown numbers of a problem: z is mapped to values by `Unknown.at`.

    Arguments:
        numbers: which, such as the `unknowns` with the role "physics".
    """

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
        return torch.tensor(columns, dtype=torch.float64).T

    def parameters(
        self, members: torch.Tensor, variance: torch.Tensor, n_samples: int
    ) -> Parameters:
        """Return mean and standard deviation of the values, of a z that is normal with the mean of
        the members and the variance."""
        normal = NormalDist()
        shares = [(i + 0.5) / _POINTS for i in range(_POINTS)]
        quantiles = torch.tensor([normal.inv_cdf(share) for share in shares], dtype=torch.float64)
        law = members.mean(dim=0) + variance.clamp(min=0).sqrt() * quantiles[:, None]
        values = self.values(law)
        return Parameters(
            tuple(one.name for one in self.numbers),
            tuple(one.units for one in self.numbers),
            values.mean(dim=0),
            values.std(dim=0, correction=0),
            self.values(members[torch.arange(n_samples) % len(members)]),
        )
