"""Physics that evolves: its times in tables, channels, solvers and results."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from helpers import seeded

from pdeinv import GaussianField, InputError, Problem, Sensors, layouts, reconstruct
from pdeinv.datasets import Evolving, Experiments, Poisson
from pdeinv.errors import InputWarning
from pdeinv.fields import Field
from pdeinv.interpolation import interpolation_stencil
from pdeinv.plot import plot_reconstruction


@dataclass(frozen=True)
class Decay(Evolving):
    """u = a exp(-rate t), at any point."""

    rate: float = 1.0
    end: float = 2.0

    linear: ClassVar[bool] = True

    @property
    def end_time(self):
        return self.end

    @property
    def time_units(self):
        return "h"

    @property
    def solution_field(self):
        return self.at(Field("level", "water level", "m"), self.end)

    @property
    def derived(self):
        return self.at_times(self.solution_field)

    def solve(self, a):
        return self.respond(a)[:, :1]

    def respond(self, a):
        return torch.cat([a * np.exp(-self.rate * (f.time or 0.0)) for f in self.fields[1:]], dim=1)


PRIOR = GaussianField(0.0, 1.0, 0.3)


def table(times, noise=1e-3, n=12, seed=0):
    """Return readings of a truth at times, and the truth's coefficient."""
    pde = Decay().reading(["level"], times)
    state = Problem(pde, PRIOR).sample(1, pde.grid(24), seeded(seed))[0]
    points = layouts.random(n, seed)
    return state[0], [
        {"field": "level", "x": x, "y": y, "value": float(v), "noise_std": noise, "time": time}
        for time in times
        for (x, y), v in zip(points, _read(state, pde, points, time), strict=True)
    ]


def _read(state, pde, points, time):
    field = state[pde.channel("level", time=time)]
    index, weight = interpolation_stencil(torch.as_tensor(points), pde.grid(24), 3)
    return (field.flatten()[index] * weight).sum(dim=1).tolist()


def test_times_are_sorted_and_told_apart():
    pde = Decay(times=(1.5, 0.5, 1.5, 2.0))
    assert pde.times == (0.5, 1.5) and pde == Decay(times=(0.5, 1.5))
    assert [f.label for f in pde.fields] == [
        "coefficient",
        "level at time 2",
        "level at time 0.5",
        "level at time 1.5",
    ]
    assert pde.channel("level") == pde.channel("level", time=2.0) == pde.channel("solution") == 1
    assert pde.channel("level", time=0.5) == 2 and pde.channel("coefficient", time=0.5) == 0
    assert pde.find_channels("level") == (1, 2, 3)
    assert replace(pde, times=()) == Decay()
    assert Decay().reading(["level"], [0.5, 1.5]) == pde and pde.reading(["level"]) == pde
    assert Decay(**pde.json_parameters()) == pde and hash(pde) == hash(Decay(times=(0.5, 1.5)))


@pytest.mark.parametrize("times", [(0.0,), (-1.0,), (2.5,), ("soon",), (float("nan"),), 1.0])
def test_times_outside_are_refused(times):
    with pytest.raises(InputError, match="times of decay must be"):
        Decay(times=times)


def test_readings_at_several_times_are_reconstructed():
    truth, rows = table([0.25, 1.0, 2.0])
    result = reconstruct(rows, Decay(), prior=PRIOR, grid=24, n_samples=3)
    assert result["level_mean"].dims == ("time", "y", "x")
    assert result["level_samples"].dims == ("sample", "time", "y", "x")
    assert result["coefficient_mean"].dims == ("y", "x")
    assert result["time"].values.tolist() == [0.25, 1.0, 2.0] and result["time"].units == "h"
    assert sorted(set(result["sensor_time"].values.tolist())) == [0.25, 1.0, 2.0]
    mean = result["coefficient_mean"].values
    for time in (0.25, 2.0):
        np.testing.assert_allclose(result["level_mean"].sel(time=time), mean * np.exp(-time))
    error = float(np.sqrt(np.mean((mean - truth.numpy()) ** 2)))
    assert error < 0.6 * float(truth.std())
    figure = plot_reconstruction(result)
    titles = [axis.get_title() for axis in figure.axes]
    assert sum("water level at time" in title for title in titles) == 3
    assert any("at time 0.25 h" in title for title in titles)


def test_a_figure_shows_a_time_at_which_the_field_is_read():
    _, rows = table([0.25, 0.5, 1.0, 2.0], n=3)
    result = reconstruct(rows, Decay(), prior=PRIOR, grid=16, n_samples=1)
    for given, middle in (([0.5], "0.5"), ([1.0], "1"), ([], "1"), ([0.5, 1.0], "1")):
        part = result.isel(sensor=np.isin(result["sensor_time"], [0.25, *given]))
        titles = [axis.get_title().partition("\n")[0] for axis in plot_reconstruction(part).axes]
        shown = [title.split()[-2] for title in titles if "at time" in title]
        assert shown == ["0.25", middle, "2"]


def test_a_reading_without_a_time_is_of_the_end():
    _, rows = table([1.0, 2.0])
    ends = [{k: v for k, v in row.items() if k != "time"} for row in rows[12:]]
    empty = [{**row, "time": ""} for row in rows[12:]]
    means = [
        reconstruct(given, Decay(), prior=PRIOR, grid=16)["coefficient_mean"].values
        for given in (rows[12:], ends, empty)
    ]
    for other in means[1:]:
        np.testing.assert_array_equal(means[0], other)


def test_the_time_of_a_coefficient_is_not_used():
    _, rows = table([2.0])
    rows += [{**rows[0], "field": "coefficient", "x": 0.3, "y": 0.7, "value": 0.1, "time": 7.0}]
    result = reconstruct(rows, Decay(), prior=PRIOR, grid=16)
    assert result.sizes["time"] == 1 and np.isnan(result["sensor_time"].values[-1])


@pytest.mark.parametrize("time", [0.0, -1.0, 2.5, "noon"])
def test_a_time_outside_is_refused_with_its_row(time):
    _, rows = table([2.0])
    rows[3]["time"] = time
    with pytest.raises(InputError, match=r"row 3: time must be .*(got|since the start)"):
        reconstruct(rows, Decay(), grid=16)


def test_a_time_that_is_no_output_is_refused_with_the_remedy():
    _, rows = table([1.0])
    with pytest.raises(InputError, match="row 0: time of 'level' must be one of the output times"):
        Sensors.read(rows).observation(Decay(), Decay().grid(16))


def test_a_stationary_physics_does_not_use_times():
    rows = [{"field": "potential", "x": 0.5, "y": 0.5, "value": 1e-3, "noise_std": 1e-3}]
    plain = reconstruct(rows, "poisson", grid=16)
    with pytest.warns(InputWarning, match="the column 'time' is not used for poisson"):
        found = reconstruct([{**rows[0], "time": "2026-05-01"}], "poisson", grid=16)
    np.testing.assert_array_equal(found["potential_mean"], plain["potential_mean"])
    assert "sensor_time" not in found and "time" not in found.dims


def test_noise_in_per_cent_is_of_a_field_at_all_times():
    _, rows = table([0.5, 2.0])
    rows = [{k: v for k, v in row.items() if k != "noise_std"} for row in rows]
    pde = Decay(times=(0.5,))
    observation = Sensors.read(rows).observation(pde, pde.grid(16), noise="10%")
    spread = float(np.std([row["value"] for row in rows]))
    torch.testing.assert_close(
        observation.noise_std, torch.full((24,), 0.1 * spread, dtype=torch.float64)
    )


def test_each_experiment_has_its_own_end_and_times():
    both = Experiments((Decay(), Decay(rate=0.5, end=1.0)), names=("fast", "slow"))
    both = both.reading(["level"], [0.5, 1.5])
    assert [f.label for f in both.fields[1:]] == [
        "level of experiment fast at time 2",
        "level of experiment fast at time 0.5",
        "level of experiment fast at time 1.5",
        "level of experiment slow at time 1",
        "level of experiment slow at time 0.5",
    ]
    assert both.channel("level", "slow", 0.5) == 5 and both.channel("level", "fast") == 1
    assert both.find_channels("level") == (1, 2, 3, 4, 5)
    with pytest.raises(InputError, match="experiment 'slow': time must be after 0 and at most 1"):
        both.channel("level", "slow", 1.5)
    _, rows = table([0.5])
    rows = [{**row, "experiment": "fast"} for row in rows]
    rows += [{**row, "experiment": "slow", "value": row["value"] * np.exp(0.25)} for row in rows]
    result = reconstruct(rows, both, prior=PRIOR, grid=16, n_samples=2)
    assert result["level_mean"].dims == ("experiment", "time", "y", "x")
    assert bool(result["level_mean"].sel(experiment="slow", time=2.0).isnull().all())
    ratio = result["level_mean"].sel(experiment="slow", time=0.5) / result["level_mean"].sel(
        experiment="fast", time=0.5
    )
    np.testing.assert_allclose(ratio, np.exp(0.25))
    plot_reconstruction(result)


def test_evolving_and_stationary_experiments_go_together():
    stationary = replace(Poisson(), coefficient_field=Field("coefficient", "coefficient a"))
    both = Experiments((Decay(), stationary), names=("1", "2")).reading(["level"], [0.5])
    state = Problem(both, PRIOR).sample(2, both.grid(16), seeded())
    assert state.shape[1] == len(both.fields) == 4
    assert both.channel("potential", "2", 0.7) == 3
