"""A neural operator that answers sensors with both fields at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pdeinv.grid import Grid
from pdeinv.metrics import relative_l2
from pdeinv.observation import Observation
from pdeinv.priors.data import STD, TrainingData
from pdeinv.priors.fourier_operator import FourierOperator

__all__ = ["SensorRegressor"]

_EXACT = 1e-3  # noise of an exact reading, relative to its field's standard deviation
_FEWEST = 10  # sensors in training; the most are a quarter of the nodes
_NOISY = 0.5  # share of the training states with noise
_NOISE = 0.01, 1.0  # its range, relative to the field's standard deviation


@dataclass
class SensorRegressor(FourierOperator):
    """A Fourier neural operator from masked fields and their masks to the posterior mean of both
    fields.

    For each field it sees the readings, placed at the nearest nodes of its own grid, and a mask,
    which is 1 at an exact reading, falls with its noise, and is 0 elsewhere, both as patches of 2 x
    2 nodes. It is trained with the mean square error, whose minimiser is the posterior mean: over
    10 to a quarter of the nodes with sensors, on either field or both, exact or all with one noise
    of at most the field's standard deviation. Other readings are extrapolation.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021 (arXiv 2010.08895).
    """

    @classmethod
    def untrained(
        cls,
        data: TrainingData,
        *,
        width: int = 48,
        modes: int = 20,
        layers: int = 4,
        nodes: int = 64,
    ) -> SensorRegressor:
        """With new weights, for a dataset with two fields; its filters act on each channel alone,
        which keeps it small."""
        size = {
            "n_modes": [modes, modes],
            "hidden_channels": width,
            "n_layers": layers,
            "separable": True,
        }
        return cls._new(data, nodes, in_channels=16, out_channels=8, **size)

    def __call__(self, observation: Observation) -> torch.Tensor:
        """Mean state (2, n, n) given the readings, in physical units, on the observation's grid."""
        return self.answers(observation, observation.values[None])[0]

    @torch.no_grad()
    def answers(self, observation: Observation, values: torch.Tensor) -> torch.Tensor:
        """Mean states (batch, 2, n, n) given one reading of each sensor, (batch, m), in each of
        several experiments."""
        channel = observation.channel
        noise = (observation.noise_std / (STD * self.scale[channel])).clamp(min=_EXACT)
        place, count = (
            _nearest(observation.points, self.grid) + channel * self.grid.n**2,
            2 * self.grid.n**2,
        )
        # Readings at one node become their average, weighted by how exact they are.
        weight = noise**-2
        total = torch.zeros(count, dtype=torch.float64).index_add_(0, place, weight)
        normalised = (values - self.shift[channel]) / self.scale[channel]
        table = torch.zeros(len(values), count, dtype=torch.float64).index_add_(
            1, place, weight * normalised
        )
        seen = (len(values), 2, *self.grid.shape)
        values = torch.where(total > 0, table / total, 0.0).reshape(seen)
        mask = torch.where(total > 0, _trust(total.rsqrt()), 0.0).reshape(seen[1:]).expand(seen)
        y = torch.cat(
            [self._answer(*part) for part in zip(values.split(32), mask.split(32), strict=True)]
        )
        fields = [self._moved(y[:, c], c, self.grid, observation.grid) for c in (0, 1)]
        return (
            torch.stack(fields, dim=1).double() * self.scale[:, None, None]
            + self.shift[:, None, None]
        )

    def _answer(self, values, mask):
        """Normalised states (batch, 2, m, m) on the network's nodes, of normalised readings and
        their mask."""
        seen = F.pixel_unshuffle(torch.cat([mask * values, mask], dim=1).float(), 2)
        return F.pixel_shuffle(self.network(seen).float(), 2)

    def _normalised(self, states):
        grid = Grid(states.shape[-1], self.grid.kind)
        x = ((states - self.shift[:, None, None]) / self.scale[:, None, None]).float()
        return torch.stack([self._moved(x[:, c], c, grid, self.grid) for c in (0, 1)], dim=1)

    def loss(self, states: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean square error of both normalised fields, over their variance, for random sensors."""
        x = self._normalised(states)
        values, mask = _seen(x, generator)
        return (self._answer(values, mask) - x).square().mean() / STD**2

    @torch.no_grad()
    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Mean relative L2 errors of the solution given 125 readings of the coefficient, and the
        other way round."""
        generator, x = torch.Generator().manual_seed(0), self._normalised(data.states)
        scores = {}
        for kind, (given, sought) in {"forward": (0, 1), "inverse": (1, 0)}.items():
            scattered = (
                torch.rand(x.shape[0], x[0, 0].numel(), generator=generator).argsort(dim=1) < 125
            )
            mask = torch.zeros_like(x)
            mask[:, given] = scattered.reshape(mask[:, given].shape)
            y = torch.cat(
                [self._answer(*part) for part in zip(x.split(32), mask.split(32), strict=True)]
            )
            # A relative error is that of the field, not of its departure from the mean.
            mean = self.shift[sought] / self.scale[sought]
            scores[kind] = round(
                float(relative_l2(*(t[:, sought, None] + mean for t in (y, x))).mean()), 6
            )
        return (
            scores,
            f"relative L2 error forward {100 * scores['forward']:.1f} %, inverse "
            f"{100 * scores['inverse']:.1f} %",
        )


def _nearest(points: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Flat indices (m,) of the nodes nearest to points (m, 2)."""
    x, y = (points * grid.cells).unbind(dim=1)
    # Half-way points, every other node of a periodic grid twice as fine, go up and down in turn:
    # they are to shift no field, and to crowd at no node.
    i = (x + 0.5 - 1e-6 * (y.floor() % 2)).floor()
    j = (y + 0.5 - 1e-6 * (i % 2)).floor()
    i, j = (k.long() % grid.n if grid.periodic else k.long().clamp(0, grid.n - 1) for k in (i, j))
    return j * grid.n + i


def _trust(noise: torch.Tensor) -> torch.Tensor:
    """What the mask says of a reading with this noise, relative to the field's standard deviation:
    1 to 0."""
    return 1 / (1 + noise**2)


def _seen(x: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Readings and mask (batch, 2, m, m) of random sensors: on the first field, on the second or on
    both, in turn."""
    size, nodes = len(x), x[0, 0].numel()

    def uniform(*shape):
        return torch.rand(*shape, generator=generator)

    few = _FEWEST / nodes
    share = few * (0.25 / few) ** uniform(size, 1, 1, 1)
    turn = torch.randint(3, (size,), generator=generator)
    observed = torch.stack([turn != 1, turn != 0], dim=1)[:, :, None, None]
    scattered = (uniform(*x.shape) < share) & observed
    low, high = (math.log(v) for v in _NOISE)
    noise = torch.where(
        uniform(size, 1, 1, 1) < _NOISY, (low + (high - low) * uniform(size, 1, 1, 1)).exp(), _EXACT
    )
    return x + STD * noise * torch.randn(x.shape, generator=generator), _trust(noise) * scattered
