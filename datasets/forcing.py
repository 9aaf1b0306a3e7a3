"""The forcing of a flow on a torus."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike

from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid

__all__ = ["Forcing"]

_NEGLIGIBLE = 0.01  # share of the root mean square
_SAMPLES = 256  # nodes per side on which the mean of a function is judged


class Forcing(Distributed):
    """A forcing f of the vorticity on a torus; its mean is zero.

    Arguments:
        value: one of
            - a number: the amplitude A of the published forcing A (sin 2π(x+y) + cos 2π(x+y)), with
              x and y in shares of the sides;
            - an array [y, x] or a function f(x, y), as in `Distributed`.

    Raises:
        InputError: the value is something else, is not finite or has another shape.
    """

    @property
    def resolved(self) -> bool:
        """Whether every grid resolves the forcing."""
        return isinstance(self.value, float)

    def at(
        self, points: ArrayLike | torch.Tensor, domain: Domain, *, periodic: bool = True
    ) -> np.ndarray:
        if not isinstance(self.value, float):
            return super().at(points, domain, periodic=periodic)
        x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        x0, x1, y0, y1 = domain.extent
        phase = 2 * np.pi * ((x - x0) / (x1 - x0) + (y - y0) / (y1 - y0))
        return self.value * (np.sin(phase) + np.cos(phase))

    def over(self, domain: Domain) -> Distributed:
        """Return the forcing as a quantity over a domain, whose numbers are constants."""
        if not isinstance(self.value, float):
            return Distributed(self.value)
        return Distributed(lambda x, y: self.at(np.stack([x, y], axis=1), domain))

    def on(self, grid: Grid, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Return the forcing on a grid of the domain, (ny, nx), without what is left of its mean.

        Raises:
            InputError: a function fails, or does not return finite numbers.
        """
        if isinstance(self.value, float):
            y, x = grid.shares(dtype=dtype, device=device)
            phase = 2 * torch.pi * (y[:, None] + x[None, :])
            return self.value * (torch.sin(phase) + torch.cos(phase))
        values = self.at(node_positions(grid), grid.domain).reshape(grid.shape)
        return torch.from_numpy(values - values.mean()).to(dtype=dtype, device=device)

    def check_mean(self, what: str, domain: Domain) -> None:
        """Refuse a forcing whose mean is not negligible compared with its root mean square.

        Arguments:
            what: name of the forcing, as the message has it.
            domain: the torus.

        Raises:
            InputError: the mean is not negligible, or a function fails.
        """
        if isinstance(self.value, float):
            return
        values = self.value
        if callable(values):
            lattice = Grid(_SAMPLES, extent=domain.extent, kind="periodic")
            values = self.at(node_positions(lattice), domain)
        mean, size = float(values.mean()), float(np.sqrt(np.square(values).mean()))
        if abs(mean) > _NEGLIGIBLE * size:
            raise InputError(
                f"{what} must have a mean of 0, as the mean vorticity of a torus is always 0, got "
                f"{mean:.3g} for a root mean square of {size:.3g}; subtract its mean"
            )
