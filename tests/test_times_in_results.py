"""Times in results, figures and tables: mixed experiments, stored files, foreign coordinates."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import seeded
from test_times import PRIOR, Decay, table

from pdeinv import InputError, Problem, Sensors, reconstruct
from pdeinv.datasets import PDE, Experiments, TransientDarcy, check_pde
from pdeinv.errors import InputWarning
from pdeinv.fields import Field
from pdeinv.plot import plot_reconstruction
from pdeinv.problems import example_by_name


class Steady(PDE):
    """u = a / 2"""

    solution_field = Field("level", "water level", "m")

    def solve(self, a):
        return a / 2


@dataclass(frozen=True)
class Curved(Decay):
    """u = (a + a² / 5) exp(-rate t), at any point."""

    linear: ClassVar[bool] = False

    def respond(self, a):
        return super().respond(a + a**2 / 5)


def mixed():
    _, rows = table([0.5, 2.0])
    scale, rows = np.exp(0.5) / 2, [{**row, "experiment": "moving"} for row in rows]
    rows += [
        {**row, "experiment": "still", "time": "", "value": scale * row["value"]}
        for row in rows[:12]
    ]
    return rows, Experiments((Decay(), Steady()), names=("moving", "still"))


@pytest.fixture(scope="module")
def result():
    _, rows = table([0.5, 2.0])
    return reconstruct(rows, Decay(), prior=PRIOR, grid=16, n_samples=2)


def shown_in(figure):
    """Return whether each row, whose first panel has its label, begins with the truth."""
    titles = [a.get_title().partition("\n") for a in figure.axes]
    return [title == "truth" for label, _, title in titles if label]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_stationary_experiment_holds_at_all_times(reverse):
    rows, both = mixed()
    if reverse:
        both = Experiments(both.physics[::-1], names=both.names[::-1])
    result = reconstruct(rows, both, prior=PRIOR, grid=16, n_samples=2)
    assert result["level_mean"].dims == ("experiment", "time", "y", "x")
    still = result["level_mean"].sel(experiment="still")
    np.testing.assert_allclose(still.isel(time=0), result["coefficient_mean"] / 2, atol=1e-12)
    np.testing.assert_array_equal(still.isel(time=0), still.isel(time=1))
    moving = result["level_mean"].sel(experiment="moving", time=0.5)
    np.testing.assert_allclose(moving, np.exp(-0.5) * result["coefficient_mean"], atol=1e-12)
    figure = plot_reconstruction(result)
    residuals = [a for a in figure.axes if a.get_title().endswith("reading − mean")]
    counts = [len(a.collections[0].get_offsets()) for a in residuals]
    assert counts[1:] == [12, 12, 12, 12]


def test_times_of_a_stationary_experiment_are_not_used_with_a_warning():
    rows, both = mixed()
    plain = reconstruct(rows, both, prior=PRIOR, grid=16, n_samples=2)
    rows[-1]["time"] = 7.0
    with pytest.warns(InputWarning, match=r"column 'time' is not used for 'still'"):
        found = reconstruct(rows, both, prior=PRIOR, grid=16, n_samples=2)
    np.testing.assert_array_equal(found["level_mean"], plain["level_mean"])


def test_experiments_have_one_unit_of_times():
    @dataclass(frozen=True)
    class InDays(Decay):
        time_units = "day"

    with pytest.raises(InputError, match=r"unit of times must be the same .* 'day' in 'b' and 'h'"):
        Experiments((Decay(), Steady(), InDays()), names=("a", "s", "b"))


def test_times_that_agree_in_six_digits_are_two():
    pde = Decay().reading(["level"], [0.5, 0.5000001])
    assert len(pde.fields) == 4 and len({f.label for f in pde.fields}) == 4


@pytest.mark.parametrize("time", [0.0, -1.0])
def test_the_remedy_for_a_time_at_the_start_is_to_drop_the_row(time):
    _, rows = table([2.0])
    rows[3]["time"] = time
    with pytest.raises(InputError, match=r"row 3: time must be after 0 .* drop it"):
        reconstruct(rows, Decay(), grid=16)
    with pytest.raises(InputError, match=r"must be after 0 .* drop it"):
        Decay().channel("level", time=time)


@pytest.mark.parametrize("solver", ["gauss-newton", "optimal-interpolation", "kriging"])
def test_a_class_with_respond_alone_is_reconstructed(solver):
    _, rows = table([0.5, 2.0])
    for row in rows:  # of a exp(-t)
        row["value"] += np.exp(row["time"]) * row["value"] ** 2 / 5
    pde = Curved()
    result = reconstruct(rows, pde, prior=PRIOR, grid=16, solver=solver, n_samples=2)
    assert bool(np.isfinite(result["level_mean"]).all()) and result.sizes["time"] == 2


def test_a_class_with_respond_alone_passes_its_checks():
    found = check_pde(Curved(times=(0.5,)), prior=PRIOR)
    assert "respond holds the solution" in found.to_string()


@pytest.mark.parametrize("pde", [TransientDarcy(times=(0.1, 0.4)), Curved(times=(0.1, 0.4))])
def test_completed_is_respond(pde):
    a = Problem(pde).sample_coefficient(2, pde.grid(12), seeded())
    torch.testing.assert_close(pde.completed(a, pde.solve(a)), pde.respond(a))
    torch.testing.assert_close(pde.respond_roughly(a), pde.respond(a))


def test_kriging_takes_heads_alone():
    example = example_by_name("pumping-test")
    rows = example.truth().sensors.table
    problem = replace(example.problem, grid=16)
    found = reconstruct(
        rows[rows.field == "head"], problem=problem, solver="kriging", n_samples=1, progress=False
    )
    assert bool(np.isfinite(found["head_mean"]).all())


@pytest.mark.parametrize(
    "time", [np.datetime64("2026-05-01", "ns"), np.timedelta64(3, "h"), "noon", True]
)
def test_a_truth_at_a_date_is_refused(result, time):
    truth = result["level_mean"].isel(time=0).drop_vars("time").rename("level")
    with pytest.raises(InputError, match=r"coordinate time of the truth must be one number"):
        Sensors.observe(truth.assign_coords(time=time), [[0.5, 0.5]])
    assert Sensors.observe(truth.assign_coords(time=2), [[0.5, 0.5]]).table.time.tolist() == ["2.0"]


def truth_of(result):
    names = {"level_mean": "level", "coefficient_mean": "coefficient"}
    return result[[*names]].rename(names)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda t: t, [True, True, True]),
        (lambda t: t.assign_coords(time=t.time * (1 + 1e-12)), [True, True, True]),
        (lambda t: t.isel(time=[1]), [True, False, True]),
        (lambda t: t.isel(time=0), [True, True, False]),
        (lambda t: t.isel(time=1).drop_vars("time"), [True, False, True]),
        (lambda t: t.drop_vars("time"), [True, False, False]),
        (lambda t: t.assign_coords(time=["a", "b"]), [True, False, False]),
        (lambda t: t.transpose("x", "y", "time"), [True, True, True]),
    ],
)
def test_a_truth_is_shown_at_its_own_times(result, change, shown):
    assert shown_in(plot_reconstruction(result, change(truth_of(result)))) == shown


@pytest.mark.parametrize("unit", ["hours", "day"])
@pytest.mark.parametrize("decode", [False, True])
def test_a_stored_result_is_plotted(result, tmp_path, unit, decode):
    stored = result.assign_coords(time=("time", result["time"].values, {"units": unit}))
    stored.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "r.nc", decode_timedelta=decode) as opened:
        figure = plot_reconstruction(opened, truth_of(opened))
        assert shown_in(figure) == [True, True, True]
    titles = "".join(a.get_title() for a in figure.axes)
    assert f"at time 0.5 {unit}" in titles and f"at time 2 {unit}" in titles
