"""The standard normal numbers of uncertain sides and sources, as unknowns of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.datasets.uncertain_fields import UncertainField, with_draws
from pdeinv.grid import Grid
from pdeinv.inferred_field import InferredField
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.further_numbers import FurtherNumbers, Readings
from pdeinv.solvers.latent_map import LatentMap

__all__ = ["UncertainNumbers"]


class UncertainNumbers(FurtherNumbers):
    """The numbers of the draws of all uncertain quantities of the physics.

    For a given coefficient the solution is affine in them: adjoint solves give the derivatives,
    one for each reading, however many numbers there are.

    Arguments:
        fields: the quantities.
    """

    affine = True

    def __init__(self, fields: Sequence[UncertainField]):
        self.fields = tuple(fields)

    @classmethod
    def of(cls, problem: Problem) -> UncertainNumbers:
        return cls(problem.physics.uncertain)

    @property
    def size(self) -> int:
        return sum(one.size for one in self.fields)

    def at(self, problem: Problem, z: torch.Tensor) -> Problem:
        return replace(problem, physics=with_draws(problem.physics, self.fields, self._split(z)))

    def columns(
        self, readings: Readings, z: torch.Tensor, forward: ForwardMap, a: torch.Tensor
    ) -> torch.Tensor:
        assert isinstance(forward, LatentMap)
        leaf = z.detach()[None].requires_grad_()
        drawn = LatentMap(self.at(forward.problem, leaf[0]), forward.observation, forward.counts)
        drawn.exact_derivatives = forward.exact_derivatives
        return drawn.jacobian_to(leaf, a)

    def inferred(
        self,
        members: torch.Tensor,
        mean: torch.Tensor,
        less: torch.Tensor,
        more: torch.Tensor,
        grid: Grid,
        n_samples: int,
    ) -> tuple[InferredField, ...]:
        chosen = torch.arange(n_samples, device=members.device) % len(members)
        found = []
        parts = map(self._split, (members, mean, less, more))
        for one, z, middle, taken, added in zip(self.fields, *parts, strict=True):
            unit = torch.eye(one.size, dtype=z.dtype, device=z.device)
            variance = one.deviations(unit, grid).square().sum(dim=0)
            variance -= one.deviations(taken, grid).square().sum(dim=0)
            variance += one.deviations(added, grid).square().sum(dim=0)
            found.append(
                InferredField(
                    one.field,
                    one.dimensions,
                    mean=one.values(middle, grid)[0],
                    std=variance.clamp(min=0).sqrt(),
                    samples=one.values(z[chosen], grid),
                )
            )
        return tuple(found)

    def _split(self, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The numbers (..., size) of each quantity."""
        return z.split([one.size for one in self.fields], dim=-1)
