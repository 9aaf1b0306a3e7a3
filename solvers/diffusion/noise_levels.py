"""Conditioning on the readings at one noise level after the other, for the moment solver."""

from __future__ import annotations

import torch

from pdeinv.errors import DivergedError, NumericalError
from pdeinv.solvers.antithetic import antithetic_normal
from pdeinv.solvers.continuation import largest_objective
from pdeinv.solvers.diffusion.conditioning import Dense, Linearised, MatrixFree, StateReadings
from pdeinv.solvers.diffusion.mode_draws import GaussianPart, ModeDraws
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.forward import ForwardMap, TensorMap
from pdeinv.solvers.linear_algebra import count_informative
from pdeinv.solvers.unstable import finite_or_infinite

__all__ = ["MANY", "PRIOR_LEVEL", "LevelConditioning"]

PRIOR_LEVEL = 1e4
"""Noise level at which only the prior counts."""
MANY = 2000
"""Readings, beyond which a linear map's matrix is not built."""
_MOVED = 0.1  # relative change of the mean state beyond which the PDE is linearised again
_FINAL = 3.0  # times the last noise level, above which the PDE's surrogate stands for its solve
_HOPELESS = 30.0  # times the largest objective that is likely, beyond which no draw is sought
_ROUNDS = 4  # of linearisation at the first level
_CHORDS = 3  # iterations with one linearisation


class LevelConditioning:
    """Conditions states that are Gaussian about their means, one noise level after the other.

    A nonlinear PDE is linearised, and the step to a draw is iterated. Where that leads the most
    probable state or a draw of the first level far from the readings or the prior, the searches of
    `GaussNewton` take its place: `ModeDraws`. Where it does so with a draw of a later level, the
    draw of the level before stays.

    Arguments:
        problem: the prior and the sensors.
        mean: of the prior, (batch, channel, ny, nx); the search for the most probable state,
            where F is linearised first, starts there.
        last: noise level.
    """

    def __init__(self, problem: SamplingProblem, mean: torch.Tensor, last: float):
        self.problem, self.observation = problem, problem.observation
        self.forward: ForwardMap | StateReadings = (
            ForwardMap(problem.pde, problem.observation, problem.counts, problem.bounds)
            if len(problem.gaussian.fields) == 1
            else StateReadings(problem.observation)
        )
        self.finest = _FINAL * last
        self.root = problem.gaussian.covariance_root(problem.grid, mean)
        self.iterations = 1 if self.forward.linear else _CHORDS
        self.mean, self.x = mean.mean(dim=0, keepdim=True), mean
        self.about_mode: ModeDraws | None = None
        self._find_mode()

    def __call__(self, mean: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a draw for each mean (batch, channel, ny, nx), and how far the readings moved
        it."""
        first, n = sigma == PRIOR_LEVEL, len(mean)
        if first and self.about_mode:
            self.x = self.first = self.about_mode.draw(n, self.problem.generator)
            return self.x, self.x - mean
        predict = self._predict_at(sigma)
        o = self.observation
        draws, noise = (
            antithetic_normal(n, size, self.problem.generator).to(mean.device)
            for size in (len(self.root), len(o) + o.biases)
        )
        x, moved, objective = self.linearised(mean, sigma, draws, noise, predict, self.iterations)
        if self.forward.linear:
            return x, moved
        strayed = ~(objective <= self.largest)  # which nan is not
        if first and bool(strayed.any()):
            self._search()
            return self(mean, sigma)
        x[strayed], moved[strayed] = self.x[strayed], (self.x - mean)[strayed]
        centre = x.mean(dim=0, keepdim=True)
        if float((centre - self.centre).norm()) > _MOVED * float(centre.norm()):
            self._linearise(centre)
        self.x = x
        return x, moved

    def finished(self, x: torch.Tensor) -> torch.Tensor:
        """Return the draws of the last level; of those about a mode, those of the first level where
        the PDE is unstable for the last."""
        if self.about_mode is None:
            return x
        stable = self._predict_at(0.0)(x).isfinite().all(dim=1)
        return torch.where(stable[:, None, None, None], x, self.first)

    def _predict_at(self, sigma: float) -> TensorMap:
        predict = self.forward if sigma <= self.finest else self.forward.approximate
        if self.forward.linear:
            return predict
        return finite_or_infinite(predict, len(self.observation))

    def _find_mode(self) -> None:
        """Linearise at the most probable state, and record the readings' chi-squared there."""
        mode, predict, objective = self.mean, self._predict_at(PRIOR_LEVEL), torch.inf
        self._linearise(mode)  # where this fails, nothing can be done
        try:
            for i in range(1 if self.forward.linear else _ROUNDS):
                if i:
                    self._linearise(mode)
                mode, residual, objective = self.linearised.mode(
                    self.mean, PRIOR_LEVEL, predict, self.iterations
                )
        except NumericalError:
            if self.forward.linear:
                raise
            objective = torch.inf
        limit = largest_objective(self._sensors())
        if not (self.forward.linear or objective <= limit):
            self._search()
            return
        self.largest = 2 * (objective + limit)
        chi2 = self.linearised.reduced_chi_squared(residual, PRIOR_LEVEL)
        self.problem.reduced_chi_squared = chi2

    def _sensors(self) -> int:
        prior = self.linearised.derivative.reading_variances(self.root.variances(PRIOR_LEVEL))
        return count_informative(prior, self.observation)

    def _search(self) -> None:
        """Find the most probable state by a search whose steps are damped; linearise there."""
        assert isinstance(self.forward, ForwardMap)
        part = GaussianPart(self.forward, self.root, self.mean, PRIOR_LEVEL)
        self.about_mode = ModeDraws(part)
        mode, pde = self.about_mode.mode, self.problem.pde
        limit = largest_objective(self._sensors())
        if mode.objective > _HOPELESS * limit:
            raise DivergedError(
                f"no {pde.fields[0].name} of this prior comes near the readings of {pde.name}; "
                f"check units, noise_std and the PDE's parameters, or choose gauss-newton with a "
                f"prior of pdeinv.coefficients"
            )
        self.problem.reduced_chi_squared = mode.chi_squared(self.observation)[0]
        self.largest = 2 * (mode.objective + limit)
        self._linearise(part.coefficient(mode.xi))

    def _linearise(self, centre: torch.Tensor) -> None:
        self.centre = centre
        self.linearised = Linearised(self.root, self.observation, self._derivative(centre))

    def _derivative(self, centre: torch.Tensor) -> Dense | MatrixFree:
        forward, o = self.forward, self.observation
        if len(o) > MANY and forward.linear:
            zero = torch.zeros_like(centre)
            offset = forward(zero)  # of an affine map, that of the sides and the sources
            return MatrixFree(self.root, o, lambda x: forward(x) - offset, forward.adjoint_at(zero))
        rows = forward.jacobian(centre)
        if not bool(rows.isfinite().all()):
            raise NumericalError(
                f"the derivative of {self.problem.pde.name} must be finite where the search is, "
                f"and is not; check the PDE's parameters and the units of the readings"
            )
        return Dense(self.root, o, rows)
