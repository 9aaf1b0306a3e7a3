"""Standard normal numbers that a problem depends on, besides those of the coefficient's field."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.grid import Grid
from pdeinv.inferred_field import InferredField
from pdeinv.parameters import Parameters
from pdeinv.solvers.forward import ForwardMap

__all__ = ["FurtherNumbers", "Readings"]

_STEP = 1e-3  # of a central difference, in standard deviations a priori

Readings: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""The readings (n, m) of rows of further numbers (n, size), all else as it is."""


class FurtherNumbers(ABC):
    """A block of numbers z, standard normal a priori, that a `WhitenedProblem` has as unknowns.

    The readings of ξ and z are those of the coefficient of ξ with the problem `at(problem, z)`.

    Attributes:
        affine: whether the readings are affine in ξ and z together where they are so in ξ.
        few: whether they are few enough for a law of their own (`law_of_numbers`), on which that
            of the coefficient is conditional.
    """

    affine: ClassVar[bool] = False
    few: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, problem: Problem) -> FurtherNumbers:
        """Return the block of a problem; of size 0 where it has no such numbers."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many numbers there are."""

    @abstractmethod
    def at(self, problem: Problem, z: torch.Tensor) -> Problem:
        """Return the problem with the numbers z, (size,).

        Raises:
            InputError: the problem is not defined there.
        """

    def columns(
        self, readings: Readings, z: torch.Tensor, forward: ForwardMap, a: torch.Tensor
    ) -> torch.Tensor:
        """Return the derivatives of the readings to z, (m, size): central differences, of two
        solves for each number.

        Arguments:
            readings: as a function of this block alone.
            z: where, (size,).
            forward: the map of the problem with all numbers as they are.
            a: the coefficient, (1, 1, ny, nx).
        """
        steps = _STEP * torch.eye(self.size, dtype=z.dtype, device=z.device)
        ahead, behind = readings(z + steps), readings(z - steps)
        return ((ahead - behind) / (2 * _STEP)).T

    def parameters(
        self, members: torch.Tensor, draws: torch.Tensor, n_samples: int
    ) -> Parameters | None:
        """Return the posterior of the numbers for a result; None where it has no use for them.

        Arguments:
            members: draws of z, (N, size).
            draws: z of equal weights that stand for its law, (n, size).
            n_samples: of the members, which are repeated as needed.
        """
        return None

    def inferred(
        self,
        members: torch.Tensor,
        mean: torch.Tensor,
        less: torch.Tensor,
        more: torch.Tensor,
        grid: Grid,
        n_samples: int,
    ) -> tuple[InferredField, ...]:
        """Return the posterior of the fields that the numbers are of, for a result; by default
        there are none.

        Arguments:
            members: draws of z, (N, size).
            mean: of z, (1, size).
            less, more: tables (k, size); the covariance of z is 1 - lessᵀ less + moreᵀ more.
            grid: of the result.
            n_samples: of the members, which are repeated as needed.
        """
        return ()
