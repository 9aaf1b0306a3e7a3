"""Joint laws of states as linear functions of independent normal variables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.solvers.latent_map import LatentMap

__all__ = ["EnsembleLaw", "Functionals", "LatentLaw", "Law", "node_readings"]

_STEP = 1e-4  # of differences of a nonlinear state, in standard normals
_CHUNK = 32  # states at a time
_LITTLE = 1e-300


class Law(ABC):
    """States x = x₀ + T ζ, with ζ standard normal before further readings."""

    grid: Grid

    @abstractmethod
    def rows(self, observation: Observation) -> torch.Tensor:
        """Return H T of the readings of an observation, (m, size)."""

    @abstractmethod
    def states(self, tables: torch.Tensor, channel: int | None = None) -> torch.Tensor:
        """Return T ζ of tables (k, size): (k, channel, ny, nx).

        Arguments:
            tables: ζ.
            channel: the one that is needed, so that others may be 0; all if None.
        """


class LatentLaw(Law):
    """The prior of a problem, linearised around a draw of its latent field; exact where it is
    affine.

    Arguments:
        problem: the physics and a prior with a latent field.
        observation: whose grid and interpolation others have.
        xi: the draw, (1, *shape); None is 0.
    """

    def __init__(self, problem: Problem, observation: Observation, xi: torch.Tensor | None = None):
        self.grid, self._problem = observation.grid, problem
        self.xi = problem.latent.origin() if xi is None else xi
        self._forward = LatentMap(problem, observation)
        self._whole = problem.affine and problem.physics.linear
        self._origin = self._forward.state(problem.latent.origin()) if self._whole else None

    def rows(self, observation: Observation) -> torch.Tensor:
        return self._forward.observing(observation).whitened_jacobian(self.xi)

    def states(self, tables: torch.Tensor, channel: int | None = None) -> torch.Tensor:
        return torch.cat([self._pushed(part, channel) for part in tables.split(_CHUNK)])

    def _pushed(self, tables: torch.Tensor, channel: int | None) -> torch.Tensor:
        tables = tables.reshape(-1, *self.xi.shape[1:])
        if self._origin is not None:
            return self._forward.linear_part(tables, self._origin)
        size = tables.flatten(1).norm(dim=1).clamp(min=_LITTLE)
        size = size.reshape(-1, *[1] * (tables.ndim - 1))
        step = _STEP * tables / size
        alone = channel in self._forward.coefficient_channels
        of = self._of_coefficient if alone else self._forward.state
        ahead, behind = (of(self.xi + s) for s in (step, -step))
        return (ahead - behind) / (2 * _STEP) * size.reshape(-1, 1, 1, 1)

    def _of_coefficient(self, xi: torch.Tensor) -> torch.Tensor:
        """Return states that are 0 but for what derives from the coefficient alone, without a
        solve."""
        forward = self._forward
        a = forward.pde.restrict(forward.coefficient(xi))
        states = a.new_zeros(len(a), len(forward.pde.fields), *a.shape[-2:])
        states[:, forward.coefficient_channels] = forward.of_coefficient(a)
        return states


class EnsembleLaw(Law):
    """Draws of a posterior: T is their deviations from the mean.

    Arguments:
        samples: (draws, channel, ny, nx).
        grid: of the states.
    """

    def __init__(self, samples: torch.Tensor, grid: Grid):
        self.grid = grid
        self._deviations = (samples - samples.mean(dim=0)) / (len(samples) - 1) ** 0.5

    def rows(self, observation: Observation) -> torch.Tensor:
        return observation(self._deviations).T

    def states(self, tables: torch.Tensor, channel: int | None = None) -> torch.Tensor:
        return torch.tensordot(tables, self._deviations, dims=1)


@dataclass(frozen=True)
class Functionals(Observation):
    """Linear functionals of one channel: sums over the nodes with given weights.

    Arguments:
        weights: (m, ny, nx).
    """

    weights: torch.Tensor = field(kw_only=True)

    @classmethod
    def of(cls, like: Observation, channel: int, weights: torch.Tensor) -> Functionals:
        """Return functionals (m, ny, nx) of a channel of the states that another observation
        reads."""
        m = len(weights)
        centre = like.grid.points()[:1].expand(m, 2)
        zero = torch.zeros(m, dtype=torch.float64, device=weights.device)
        return cls(
            like.grid,
            centre,
            torch.full((m,), channel, device=weights.device),
            zero,
            zero,
            like.order,
            weights=weights,
        )

    def stencil(self, chosen: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
        weights = self.weights[chosen].flatten(1)
        return torch.arange(weights.shape[1], device=chosen.device).expand(weights.shape), weights


def node_readings(like: Observation, channel: int, nodes: torch.Tensor) -> Observation:
    """Return readings of a channel at nodes, flat indices (m,), on the grid of other readings."""
    zero = torch.zeros(len(nodes), dtype=torch.float64, device=nodes.device)
    points = like.grid.points()[nodes]
    return Observation(
        like.grid,
        points,
        torch.full((len(nodes),), channel, device=nodes.device),
        zero,
        zero,
        like.order,
    )
