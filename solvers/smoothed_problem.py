"""One stage of the level set's annealing: the members' objectives, and Gauss–Newton steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import pad

from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.phase_values import PhaseValues, as_arguments
from pdeinv.solvers.signs import Signs
from pdeinv.solvers.unstable import check_range, solved_or_infinite
from pdeinv.solvers.whitening import Whitening

__all__ = ["TOGETHER", "Evaluated", "SmoothedProblem", "leading_directions"]

TOGETHER = 2**19
"""Numbers of the derivatives that are computed at a time, at least those of one member."""

_TRIES = 3  # lengths of a step
_SHORTER = 1 / 3  # of each further try
_STEP = 1e-4  # of a difference, in standard deviations of a value's number
_NUGGET = 1e-13  # added to a system, relative to its largest variance


class Evaluated(NamedTuple):
    """Objectives of members and what they are made of.

    Arguments:
        value: -log posterior up to a constant, (k,); infinite where the solve is unstable.
        residual: of the readings of the solution, whitened, (k, m).
        latent: the latent field at the nodes with signs, (k, s).
    """

    value: torch.Tensor
    residual: torch.Tensor
    latent: torch.Tensor

    def put(self, members: torch.Tensor, others: Evaluated) -> None:
        """Replace those of some members (k,)."""
        for mine, new in zip(self, others, strict=True):
            mine[members] = new


class _System(NamedTuple):
    """A member's problem, linearised.

    Arguments:
        jacobian: J, of readings and signs over their errors, (r + s, moved).
        lower: Cholesky factor of J Jᵀ + I.
    """

    jacobian: torch.Tensor
    lower: torch.Tensor

    @classmethod
    def of(cls, jacobian: torch.Tensor) -> _System:
        gram = jacobian @ jacobian.T
        gram.diagonal().add_(1.0)
        nugget = _NUGGET * gram.diagonal().max().expand(len(gram))
        return cls(jacobian, cholesky_with_nugget(gram, nugget))

    def step(self, residual: torch.Tensor, departure: torch.Tensor) -> torch.Tensor:
        """Return the step (moved,) to the minimum, for residuals of the readings and signs
        (r + s,) and the departure (moved,) of the point from the prior mean."""
        data = residual + self.jacobian @ departure
        weights = torch.cholesky_solve(data[:, None], self.lower)[:, 0]
        return weights @ self.jacobian - departure


class SmoothedProblem:
    """The members' objectives with one width of the jump, on one grid.

    Each member's is linearised by itself: its readings on a grid that may be coarser, in the
    directions that matter for them, and its signs.

    Arguments:
        forward: the map to the readings of the solution, on the grid of the stage.
        linearised: the same on the grid of the derivatives, whose functions are moved.
        signs: the readings of the coefficient.
        width: of the jump, in units of the latent field.
        whitening: of the readings' error.
        centre: prior mean of each member's ξ, (k, size).
        noise: added to each member's readings, (k, m).
        directions: of whitened readings that are linearised, orthonormal rows (r, m).
        values: of the phases. The numbers of unknown ones are the last of each ξ.
        free: whether these are moved.

    Attributes:
        reason: the message of the last solve that failed.
    """

    def __init__(
        self,
        forward: LatentMap,
        linearised: LatentMap,
        signs: Signs,
        width: float,
        whitening: Whitening,
        centre: torch.Tensor,
        noise: torch.Tensor,
        directions: torch.Tensor,
        values: PhaseValues,
        free: bool = True,
    ):
        self.forward, self.linearised, self.signs = forward, linearised, signs
        self.width, self.whitening, self.centre = width, whitening, centre
        self.data, self.directions = forward.observation.values + noise, directions
        latent = forward.problem.latent
        self.seen, self.seen_latent = _resolved(latent, forward.grid)
        self.moved, self.moved_latent = _resolved(latent, linearised.grid)
        self.values, self.free = values, free and values.size > 0
        self.size = latent.size
        self.sign_rows = signs.rows[:, self.moved]
        if self.free:
            self.sign_rows = pad(self.sign_rows, (0, values.size))
            self.moved = torch.cat(
                [self.moved, self.size + torch.arange(values.size, device=centre.device)]
            )
        self.shared: torch.Tensor | None = None
        self.reason = ""

    def objective(self, xi: torch.Tensor, members: torch.Tensor) -> Evaluated:
        """Return the objectives at points xi (k, size) of members (k,)."""
        a = self._smoothed(
            self.forward, _field(self.seen_latent, xi[:, self.seen], self.forward.grid), xi
        )
        readings, reason = solved_or_infinite(self._readings, a, self.data.shape[1:])
        self.reason = reason or self.reason
        stable = readings.isfinite().all(dim=1)
        residual = self.whitening(self.data[members] - readings.nan_to_num(0.0, 0.0, 0.0))
        latent = xi[:, : self.size] @ self.signs.rows.T
        departure = (xi - self.centre[members]).square().sum(dim=1)
        value = (departure + residual.square().sum(dim=1)) / 2
        value -= self.signs.log_likelihood(latent, self.width).sum(dim=1)
        return Evaluated(torch.where(stable, value, torch.inf), residual, latent)

    def _readings(self, a: torch.Tensor) -> torch.Tensor:
        """The readings of coefficients, which must be within the range of the numbers."""
        return self.forward.approximate(check_range(self.forward.pde, a))

    def minimise(
        self, xi: torch.Tensor, iterations: int, chords: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return points (k, size) of all members after Gauss–Newton steps, and their objectives
        (k,).

        A step is shortened where the objective would not fall or the solve is unstable, and left
        out where this remains.

        Arguments:
            xi: where to start, (k, size).
            iterations: with new derivatives.
            chords: steps with each of these.
        """
        xi, everyone = xi.clone(), torch.arange(len(xi), device=xi.device)
        reached = self.objective(xi, everyone)
        for _ in range(iterations):
            systems = self._linearised(xi, reached)
            for _ in range(chords):
                self._move(xi, reached, self._steps(xi, reached, systems))
            del systems  # before the next are made
        return xi, reached.value

    def _move(self, xi: torch.Tensor, reached: Evaluated, steps: torch.Tensor) -> None:
        """Move all members by their steps, shortened as needed, in place."""
        trying, length = torch.arange(len(xi), device=xi.device), 1.0
        for _ in range(_TRIES):
            ahead = xi[trying]
            ahead[:, self.moved] += length * steps[trying]
            found = self.objective(ahead, trying)
            good = found.value < reached.value[trying]
            xi[trying[good]] = ahead[good]
            reached.put(trying[good], Evaluated(*(x[good] for x in found)))
            trying, length = trying[~good], _SHORTER * length
            if not len(trying):
                break

    def _steps(self, xi: torch.Tensor, reached: Evaluated, systems: list[_System]) -> torch.Tensor:
        """Return the steps of all members along the functions that are moved."""
        departure = (xi - self.centre)[:, self.moved]
        misfit, _ = self.signs.least_squares(reached.latent, self.width)
        right = torch.cat([reached.residual @ self.directions.T, -misfit], dim=1)
        return torch.stack(
            [system.step(*given) for system, *given in zip(systems, right, departure, strict=True)]
        )

    def _linearised(self, xi: torch.Tensor, reached: Evaluated) -> list[_System]:
        """Return the systems of all members at their points."""
        _, slope = self.signs.least_squares(reached.latent, self.width)
        together = max(1, TOGETHER // (len(self.directions) * self.linearised.grid.nodes))
        systems = []
        for part in torch.arange(len(xi), device=xi.device).split(together):
            readings = self._stable_jacobians(xi[part])
            for rows, of_signs in zip(readings, slope[part], strict=True):
                systems.append(_System.of(torch.cat([rows, of_signs[:, None] * self.sign_rows])))
        return systems

    def _smoothed(self, forward: LatentMap, g: torch.Tensor, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of latent fields g with the values of ξ."""
        own = as_arguments(self.values.at(xi[:, self.size :]) if self.values.size else None)
        return forward.problem.smoothed(g, self.width, **own)

    def _stable_jacobians(self, xi: torch.Tensor) -> torch.Tensor:
        """`_jacobians`, 0 where the solve is unstable: such a member steps to its prior mean."""
        try:
            return self._jacobians(xi)
        except NumericalError as error:
            self.reason = str(error)
        if len(xi) == 1:
            return xi.new_zeros(1, len(self.directions), len(self.moved))
        return torch.cat([self._stable_jacobians(half) for half in xi.chunk(2)])

    def _jacobians(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the derivatives (k, r, moved) of `directions` of the whitened readings."""
        grid, resolved = self.linearised.grid, self.moved_latent.size
        with torch.enable_grad():
            latent = _field(self.moved_latent, xi[:, self.moved[:resolved]], grid).requires_grad_()
            a = self._smoothed(self.linearised, latent, xi)
            (slope,) = torch.autograd.grad(a.sum(), latent)
        sensitivities = self._sensitivities(a.detach())
        rows = sensitivities * slope
        tables = self.moved_latent.square_root_adjoint(rows.flatten(0, 1)[:, None], grid)
        of_field = tables.flatten(1).unflatten(0, rows.shape[:2])
        if not self.free:
            return of_field
        return torch.cat([of_field, self._of_values(sensitivities, latent.detach(), xi)], dim=2)

    def _of_values(
        self, sensitivities: torch.Tensor, latent: torch.Tensor, xi: torch.Tensor
    ) -> torch.Tensor:
        """Return the derivatives (k, r, size) to the numbers of the values: central differences
        of the coefficient, of no solve."""
        columns = []
        for step in _STEP * torch.eye(
            self.values.size, dtype=torch.float64, device=sensitivities.device
        ):
            beyond = pad(step, (self.size, 0))
            ahead, behind = (
                self._smoothed(self.linearised, latent, xi + s * beyond) for s in (1, -1)
            )
            columns.append((sensitivities * (ahead - behind) / (2 * _STEP)).sum(dim=(2, 3)))
        return torch.stack(columns, dim=2)

    def _sensitivities(self, a: torch.Tensor) -> torch.Tensor:
        weights = self.whitening.adjoint(self.directions)
        if not self.linearised.pde.linear:
            return self.linearised.sensitivities(a, weights)
        if self.shared is None:
            self.shared = self.linearised.sensitivities(a[:1], weights)
        return self.shared


def leading_directions(forward: LatentMap, whitening: Whitening, most: int) -> torch.Tensor:
    """Return the directions of whitened readings that vary most, orthonormal rows (r, m).

    Arguments:
        forward: the map to the readings.
        whitening: of their error.
        most: directions at most; all of them up to this number of readings.
    """
    values = forward.observation.values
    unit = torch.eye(len(values), dtype=values.dtype, device=values.device)
    if len(unit) <= most:
        return unit
    problem, grid = forward.problem, forward.grid
    latent = problem.latent.truncated(grid)
    nothing = latent.square_root(latent.origin().to(unit), grid)
    a = problem.smoothed(nothing, latent.std)
    rows = forward.sensitivities(a, whitening.adjoint(unit))[0]
    rows = latent.square_root_adjoint(rows[:, None], grid).flatten(1)
    return torch.linalg.eigh(rows @ rows.T).eigenvectors[:, -most:].T


def _resolved(latent: LatentField, grid: Grid) -> tuple[torch.Tensor, LatentField]:
    """Return the places, in a flat draw, of the functions that a grid resolves, and their field."""
    return latent.resolved(grid).flatten().nonzero()[:, 0], latent.truncated(grid)


def _field(latent: LatentField, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Latent field (k, 1, ny, nx) of flat draws (k, size)."""
    return latent.square_root(xi.unflatten(1, latent.shape), grid)
