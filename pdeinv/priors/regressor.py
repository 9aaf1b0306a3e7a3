"""A neural operator from sensors to both fields."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from pdeinv import seeds
from pdeinv.grid import Grid
from pdeinv.metrics import relative_l2
from pdeinv.observation import Observation
from pdeinv.priors.data import STD, TrainingData
from pdeinv.priors.fourier_operator import FourierDescription, FourierOperator
from pdeinv.priors.normalised import check_trained_grid, trained_grid_of

__all__ = ["SensorRegressor"]

_EXACT = 1e-3  # noise of an exact reading, relative to its field's standard deviation
_MIN_SENSORS = 10  # in training; the most are a quarter of the nodes
_NOISY_SHARE = 0.5  # of the training states
_NOISE_RANGE = 0.01, 1.0  # of the noise, relative to the field's standard deviation
_VALIDATION_SENSORS = 125


class RegressorDescription(FourierDescription):
    """What the header of a regressor states."""

    channels = (16, 8)
    nodes_per_patch = 2


@dataclass(eq=False, repr=False)
class SensorRegressor(FourierOperator):
    """A Fourier neural operator from readings and their masks to the posterior mean of both fields.

    For each field the input has the readings, placed at the nearest nodes of the network's grid,
    and a mask. The mask is 1 at an exact reading, falls with its noise, and is 0 elsewhere. Both
    enter as patches of 2 x 2 nodes.

    The training minimises the mean square error, whose minimiser is the posterior mean. It covers
    10 sensors up to a quarter of the nodes, on either field or both. They are exact, or all have
    one noise of at most the field's standard deviation. Other readings are extrapolation.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021 (arXiv 2010.08895).
    """

    kind = "regressor"
    description = RegressorDescription

    @classmethod
    def untrained(
        cls,
        data: TrainingData,
        *,
        width: int = 48,
        modes: int = 20,
        layers: int = 4,
        nodes: int = 64,
        seed: int = 0,
    ) -> SensorRegressor:
        """Return a regressor with new weights; its filters act on each channel alone, which keeps
        it small.

        Arguments:
            data: samples of two fields.
            width: channels of the hidden layers.
            modes: Fourier modes along the shorter side.
            layers: number of Fourier layers.
            nodes: of the network's grid on the shorter side, made a multiple of 4 and at most those
                of the data.
            seed: of the weights.

        Raises:
            InputError: the data do not have two fields.
        """
        size = {
            "hidden_channels": width,
            "n_layers": layers,
            "separable": True,
        }
        return cls._new(data, nodes, modes, seed, in_channels=16, out_channels=8, **size)

    def __call__(self, observation: Observation) -> torch.Tensor:
        """Return the mean state (2, ny, nx) given the readings, in physical units, on the grid of
        the observation."""
        return self.answers(observation, observation.values[None])[0]

    @torch.no_grad()
    def answers(self, observation: Observation, values: torch.Tensor) -> torch.Tensor:
        """Return the mean states (batch, channel, ny, nx) of several experiments, same sensors.

        Arguments:
            observation: the sensors and their noise.
            values: (batch, m), one reading of each sensor in each experiment.

        Raises:
            InputError: the grid of the sensors is not one of the training's aspect.
        """
        check_trained_grid(self.grid, observation.grid)
        readings, mask = self._inputs(observation, values)
        y = torch.cat(
            [
                self._normalised_states(*part)
                for part in zip(readings.split(32), mask.split(32), strict=True)
            ]
        )
        fields = [self._on_grid(y[:, c], c, self.grid, observation.grid) for c in (0, 1)]
        scale, shift = (v.to(y.device)[:, None, None] for v in (self.scale, self.shift))
        return torch.stack(fields, dim=1).double() * scale + shift

    def _inputs(
        self, observation: Observation, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return normalised readings and their mask on the nodes of the network, both (batch, 2,
        ny, nx)."""
        channel = observation.channel
        scale, shift = (v.to(values)[channel] for v in (self.scale, self.shift))
        noise = (observation.noise_std / (STD * scale)).clamp(min=_EXACT)
        shares = observation.grid.domain.relative(observation.read_points)
        place = _nearest(shares, self.grid) + channel * self.grid.nodes
        count = 2 * self.grid.nodes
        # Readings at one node become their average, weighted by their precision
        weight = noise**-2
        total = torch.zeros(count, dtype=torch.float64, device=values.device).index_add_(
            0, place, weight
        )
        normalised = (values - shift) / scale
        table = torch.zeros(
            len(values), count, dtype=torch.float64, device=values.device
        ).index_add_(1, place, weight * normalised)
        shape = (len(values), 2, *self.grid.shape)
        readings = torch.where(total > 0, table / total, 0.0).reshape(shape)
        mask = torch.where(total > 0, _trust(total.rsqrt()), 0.0).reshape(shape[1:])
        return readings, mask.expand(shape)

    def _normalised_states(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return normalised states (batch, 2, ny, nx) on the nodes of the network, of normalised
        readings and their mask."""
        inputs = F.pixel_unshuffle(torch.cat([mask * values, mask], dim=1).float(), 2)
        return F.pixel_shuffle(self._evaluate(inputs), 2)

    def _on_network(self, states: torch.Tensor) -> torch.Tensor:
        """Return states (batch, channel, ny, nx) normalised, on the nodes of the network."""
        grid = trained_grid_of(self.grid, states)
        shift, scale = (v.to(states.device)[:, None, None] for v in (self.shift, self.scale))
        x = ((states - shift) / scale).float()
        return torch.stack([self._on_grid(x[:, c], c, grid, self.grid) for c in (0, 1)], dim=1)

    def draws(self, states: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """Return errors of readings on all nodes, and the mask of those that are read."""
        return _random_sensors((len(states), 2, *self.grid.shape), generator)

    def loss_given(self, states: torch.Tensor, *draws: torch.Tensor) -> torch.Tensor:
        """Return the mean square error of both normalised fields over their variance, for random
        sensors."""
        x = self._on_network(states)
        error, mask = (t.to(x.device) for t in draws)
        return (self._normalised_states(x + error, mask) - x).square().mean() / STD**2

    @torch.no_grad()
    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Return mean relative L2 errors on data, and a line that states them.

        *Forward* is of the solution given 125 readings of the coefficient, *inverse* the other way
        round.
        """
        generator, x = seeds.generator(seeds.TUNING), self._on_network(data.values)
        scores = {}
        for kind, (given, sought) in {"forward": (0, 1), "inverse": (1, 0)}.items():
            order = torch.rand(
                x.shape[0], x[0, 0].numel(), dtype=torch.float32, generator=generator
            ).argsort(dim=1)
            mask = torch.zeros_like(x)
            mask[:, given] = (order < _VALIDATION_SENSORS).reshape(mask[:, given].shape).to(mask)
            y = torch.cat(
                [
                    self._normalised_states(*part)
                    for part in zip(x.split(32), mask.split(32), strict=True)
                ]
            )
            # A relative error is that of the field, not of its departure from the mean
            mean = self.shift[sought] / self.scale[sought]
            error = relative_l2(*(t[:, sought, None] + mean for t in (y, x))).mean()
            scores[kind] = round(float(error), 6)
        forward, inverse = (100 * scores[kind] for kind in ("forward", "inverse"))
        return scores, f"relative L2 error forward {forward:.1f} %, inverse {inverse:.1f} %"


def _nearest(shares: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the flat indices (m,) of the nodes nearest to points (m, 2) in shares of the sides."""
    x, y = (shares * shares.new_tensor(grid.cells[::-1]) - grid.first).unbind(dim=1)
    # Half-way points, every other node of a periodic grid twice as fine, go up and down in turn, so
    # that they neither shift the field nor crowd at a node
    half = 0.5 + 1e-9  # whatever the rounding of the domain's coordinates
    i = (x + half - 1e-6 * (y.floor() % 2)).floor()
    j = (y + half - 1e-6 * (i % 2)).floor()
    i, j = (
        k.long() % n if grid.periodic else k.long().clamp(0, n - 1)
        for k, n in ((i, grid.nx), (j, grid.ny))
    )
    return j * grid.nx + i


def _trust(noise: torch.Tensor) -> torch.Tensor:
    """Return the mask, 1 to 0, of readings with a noise relative to the field's standard
    deviation."""
    return 1 / (1 + noise**2)


def _random_sensors(
    whole: tuple[int, int, int, int], generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return errors and mask, (batch, 2, ny, nx) as `whole`, of random sensors on the first field,
    on the second or on both."""
    size, nodes = whole[0], whole[2] * whole[3]

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, dtype=torch.float32, generator=generator)

    few = _MIN_SENSORS / nodes
    share = few * (0.25 / few) ** uniform(size, 1, 1, 1)
    turn = torch.randint(3, (size,), generator=generator)
    observed = torch.stack([turn != 1, turn != 0], dim=1)[:, :, None, None]
    scattered = (uniform(*whole) < share) & observed
    low, high = (math.log(v) for v in _NOISE_RANGE)
    noisy = uniform(size, 1, 1, 1) < _NOISY_SHARE
    noise = torch.where(noisy, (low + (high - low) * uniform(size, 1, 1, 1)).exp(), _EXACT)
    error = torch.randn(whole, dtype=torch.float32, generator=generator)
    return STD * noise * error, _trust(noise) * scattered
