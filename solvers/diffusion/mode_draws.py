"""Draws of a learned prior's Gaussian part given readings of a strongly nonlinear PDE."""

from __future__ import annotations

import torch

from pdeinv.errors import DivergedError
from pdeinv.priors.covariance import CovarianceRoot
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.members import draw_around_mode
from pdeinv.solvers.mode import FIRST_NUGGET, Mode, ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["GaussianPart", "ModeDraws"]

_CHUNK = 32  # rows at a time; larger chunks fall out of the cache
_ITERATIONS, _CHORDS, _TOLERANCE = 10, 3, 0.1  # of the search, as in `GaussNewton`


class GaussianPart(WhitenedProblem):
    """The forward map of the coordinates ξ of a learned prior's Gaussian part, standard normal a
    priori. Biases that readings share are further unknowns, as in any `WhitenedProblem`.

    Arguments:
        forward: the map of coefficients; it counts the solves.
        root: a square root of the covariance of the coefficient given that with noise.
        mean: of the coefficient, (1, 1, ny, nx).
        sigma: level of that noise.
    """

    def __init__(self, forward: ForwardMap, root: CovarianceRoot, mean: torch.Tensor, sigma: float):
        self.root, self.mean, self.std = root, mean, root.variances(sigma).sqrt()
        self._begin(forward, len(root), curved=False)

    @property
    def variances(self) -> torch.Tensor:
        return self.std**2

    def _coefficient(self, own: torch.Tensor, forward: ForwardMap) -> torch.Tensor:
        return forward.pde.restrict(self.mean + self.root.apply(own * self.std))

    def _jacobian(self, own: torch.Tensor, forward: ForwardMap) -> torch.Tensor:
        rows = forward.jacobian(self._coefficient(own, forward))
        return torch.cat([self.root.adjoint(part) * self.std for part in rows.split(_CHUNK)])

    def _representable(self, a: torch.Tensor) -> bool:
        return bool(a.isfinite().all())  # the map brings coefficients into their bounds


class ModeDraws:
    """The most probable coefficient, and draws about it, by the searches of `GaussNewton`.

    Arguments:
        part: the Gaussian part of the prior.

    Raises:
        NumericalError: the PDE or its derivative is not finite at the prior's mean.
    """

    def __init__(self, part: GaussianPart):
        self.part = part
        self.search = ModeSearch(part, _ITERATIONS, _CHORDS, _TOLERANCE, progress=False)
        self.mode: Mode = self.search(FIRST_NUGGET)

    def draw(self, n: int, generator: torch.Generator | None) -> torch.Tensor:
        """Return n coefficients (n, 1, ny, nx).

        Raises:
            DivergedError: too few draws are stable and meet the readings.
        """
        members = draw_around_mode(self.search, self.mode, n + n % 2, generator, progress=False)
        if len(members.xi) < n:
            pde = self.part.forward.pde
            raise DivergedError(
                f"too few draws of the {pde.fields[0].name} came near the readings: "
                f"{self.part.reason}; check units, noise_std and the parameters of {pde.name}, or "
                f"choose gauss-newton with a prior of pdeinv.coefficients"
            )
        return self.part.coefficient(members.xi[:n])
