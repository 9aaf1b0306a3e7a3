"""Tables with discs, lines and differences: from a file to a result and a figure, or a refusal."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import rms, seeded

from pdeinv import Grid, InputError, Observation, Problem, Sensors, plot_reconstruction, reconstruct
from pdeinv.datasets import Darcy, NavierStokes, Poisson
from pdeinv.errors import InputWarning
from pdeinv.footprints import FootprintObservation
from pdeinv.sensors.kinds import KINDS

GRID = Grid(16)
ROWS = pd.DataFrame(
    {
        "field": ["potential", "source", "potential", "source", "potential", "potential"],
        "x": [0.5, 0.4, 0.2, 0.7, 0.3, 0.6],
        "y": [0.5, 0.6, 0.3, 0.3, 0.8, 0.6],
        "value": [0.01, 0.2, -0.01, 0.3, 0.002, 0.004],
        "noise_std": [6e-3, 0.2, 6e-3, 0.2, 6e-3, 6e-3],
        "radius": [0.2, 0.1, np.nan, np.nan, np.nan, np.nan],
        "x2": [np.nan, np.nan, 0.9, 0.2, 0.8, np.nan],
        "y2": [np.nan, np.nan, 0.3, 0.8, 0.2, np.nan],
        "kind": ["disc", "", "line", "difference", "difference", "point"],
    }
)


def table(**columns):
    return Sensors(ROWS.assign(**columns))


def observation(sensors, pde=None, **settings):
    pde = pde or Poisson()
    return sensors.observation(pde, pde.grid(16), **settings)


def test_a_table_of_points_gives_a_plain_observation():
    plain = Sensors(ROWS.drop(columns=["radius", "x2", "y2", "kind"]))
    assert type(observation(plain)) is Observation
    empty = Sensors(ROWS.assign(radius=np.nan, x2=np.nan, y2=np.nan, kind=""))
    assert type(observation(empty)) is Observation
    found = observation(table())
    assert type(found) is FootprintObservation
    assert found.kind.tolist() == [1, 1, 2, 3, 3, 0]
    assert found.radius[:2].tolist() == [0.2, 0.1] and found.ends[2].tolist() == [0.9, 0.3]


def test_a_file_gives_a_result_with_what_was_read(tmp_path):
    truth = Problem(Poisson()).sample(1, GRID, seeded())
    read = observation(table())(truth)[0].numpy()
    noise = np.where(ROWS.field == "source", 0.05, 1e-4)
    sensors = table(value=read + noise * [1, -1, 1, 0, -1, 0], noise_std=noise)
    sensors.to_csv(tmp_path / "s.csv")
    result = reconstruct(tmp_path / "s.csv", "poisson", grid=16, n_samples=40)
    result.to_netcdf(tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc") as stored:
        stored.load()
    assert stored.sensor_kind.values.tolist() == sensors.table.kind.tolist()
    for column in ("radius", "x2", "y2"):
        np.testing.assert_array_equal(stored[f"sensor_{column}"], ROWS[column])
    H = observation(sensors)
    mean = torch.as_tensor(np.stack([stored.source_mean.values, stored.potential_mean.values]))
    left = (H.values - H(mean[None])[0]) / H.noise_std
    assert rms(left) < 1.2 and float(stored.attrs["reduced_chi_squared"]) < 2
    # The figure shows these residuals, over the deviation of noise and posterior
    samples = np.stack([stored.source_samples.values, stored.potential_samples.values], axis=1)
    spread = H(torch.as_tensor(samples)).std(dim=0)
    expected = left * H.noise_std / (H.noise_std**2 + spread**2).sqrt()
    panels = [a for a in plot_reconstruction(stored).axes if "reading − mean" in a.get_title()]
    for field, axis in zip(("source", "potential"), panels, strict=True):
        mine = (stored.sensor_field == field).values
        kinds = [kind for kind in KINDS[1:] if kind in stored.sensor_kind.values[mine]]
        for kind, shapes in zip(kinds, axis.collections, strict=False):  # points come last
            shown = torch.as_tensor(np.array(shapes.get_array()))
            chosen = torch.as_tensor(mine & (stored.sensor_kind == kind).values)
            torch.testing.assert_close(shown, expected[chosen], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [0.1, *ROWS.x[1:]]}, r"row 0: the disc must lie in .* use a radius of at most 0\.1"),
        ({"x2": [np.nan, np.nan, 1.2, 0.2, 0.8, np.nan]}, r"row 2: x2 and y2 must be in .* drop"),
        ({"y2": [np.nan, np.nan, 0.3, -0.8, 0.2, np.nan]}, r"row 3: x2 and y2 must be in .* drop"),
    ],
)
def test_a_footprint_outside_of_the_domain_is_refused_with_its_row(columns, message):
    with pytest.raises(InputError, match=message):
        observation(table(**columns))


def test_footprints_on_a_torus_wrap_or_are_refused():
    pde = NavierStokes()
    wide = pd.DataFrame(
        {"field": "final_vorticity", "x": [0.1, 0.9], "y": 0.5, "value": 0.0, "noise_std": 0.1}
    )
    ends = observation(Sensors(wide.assign(x2=[-0.3, 1.4], y2=0.7)), pde)
    assert ends.kind.tolist() == [2, 2]
    observation(Sensors(wide.assign(radius=0.5)), pde)
    with pytest.raises(InputError, match=r"row 0: radius must be at most 0\.5, .*; use a smaller"):
        observation(Sensors(wide.assign(radius=0.6)), pde)
    with pytest.raises(InputError, match=r"row 1: x2 and y2 must be at most .*; subtract periods"):
        observation(Sensors(wide.assign(x2=[0.2, 2.4], y2=0.7)), pde)


# Checks of readings against each other and the physics


def two(kind="", value=(1.0, 2.0), **columns):
    """A table of two exact readings of one field about one point."""
    given = {"field": "source", "x": 0.5, "y": 0.5, "value": value, "noise_std": 0.0, "kind": kind}
    return Sensors(pd.DataFrame(given | columns))


def test_exact_readings_of_one_footprint_must_agree():
    observation(two(radius=[0.1, 0.2]))
    observation(two(radius=[0.1, np.nan]))
    observation(two(x2=[0.6, 0.7], y2=0.5))
    observation(two(["line", "difference"], x2=0.6, y2=0.5))
    with pytest.raises(InputError, match=r"row 1: .* contradicts 1 of the same disc \(.*row 0"):
        observation(two(radius=0.1))
    with pytest.raises(InputError, match=r"row 1: .* contradicts 1 of the same difference"):
        observation(two("difference", x2=0.6, y2=0.5))
    with pytest.raises(InputError, match=r"row 1: .* contradicts 1 at the same point"):
        observation(two())


def test_a_field_in_steps_has_one_value_around_a_node_but_many_means():
    step = {"field": "permeability", "value": [3.0, 12.0], "x": [0.5, 0.501]}
    observation(two(radius=[0.1, 0.11], **step), Darcy())
    with pytest.raises(InputError, match="share the nearest node"):
        observation(two(**step), Darcy())


def test_what_the_sides_fix_holds_for_points_and_differences_of_points():
    side = {"field": "potential", "x": 0.0, "value": [0.5, 0.5]}
    with pytest.raises(InputError, match=r"row 0: .* boundary condition"):
        observation(two(**side))
    with pytest.raises(InputError, match=r"row 0: .* boundary condition"):
        observation(two("difference", x2=1.0, y2=0.2, **side))
    observation(two("difference", x2=0.4, y2=0.2, **side))
    observation(two("difference", x2=1.0, y2=0.2, **side | {"value": [0.0, 0.0]}))
    observation(two("line", x2=0.4, y2=0.2, **side))


def test_bounds_of_the_coefficient_hold_for_means_and_not_for_differences():
    off = {"field": "permeability", "value": [-9.0, -9.0]}
    observation(two("difference", x2=0.7, y2=0.5, **off), Darcy(), bounds=(3.0, 12.0))
    with pytest.raises(InputError, match=r"row 0: .* within the prior's 3 to 12, got -9"):
        observation(two("disc", radius=0.1, **off), Darcy(), bounds=(3.0, 12.0))


def many(m=12, **columns):
    """A table of values about 5 and of tiny differences, one after the other."""
    generator = np.random.default_rng(1)
    value = np.where(np.arange(m) % 2, 5 + generator.random(m), 1e-3 * generator.random(m))
    x = 0.1 + 0.06 * np.arange(m)
    end = np.where(np.arange(m) % 2, np.nan, 0.5)
    kind = ["difference", "point"] * (m // 2)
    given = {"field": "source", "x": x, "y": 0.3, "value": value, "x2": end, "y2": end}
    return pd.DataFrame(given | {"kind": kind} | columns)


@pytest.mark.filterwarnings("error")
def test_a_share_of_noise_is_that_of_the_spread_of_values_or_of_differences():
    sensors = Sensors(many())
    found = observation(sensors, noise="10%").noise_std.numpy()
    values = sensors.table.value.to_numpy()
    for first in (0, 1):
        np.testing.assert_allclose(found[first::2], 0.1 * values[first::2].std())
    # In units of the field a level is for both
    assert observation(sensors, noise=0.02).noise_std.tolist() == [0.02] * 12


def test_the_sizes_of_differences_are_compared_with_each_other():
    wrong = many(noise_std=0.1)
    wrong.loc[4, "value"] = 50.0
    with pytest.warns(InputWarning, match="row 4: the reading 50 is over 1000 times"):
        observation(Sensors(wrong))


def test_censored_rows_keep_their_footprints():
    found = observation(table(censored=["left", "", "", "right", "", ""]))
    assert found.censored.tolist() == [-1, 0, 0, 1, 0, 0]
    part = found.subset(torch.tensor([0, 3]))
    assert part.kind.tolist() == [1, 3] and bool(part.below_or_above.all())
    same = dataclasses.replace(part, values=part.values + 1)
    state = torch.randn(1, 2, 16, 16, dtype=torch.float64, generator=seeded())
    assert torch.equal(same(state), part(state))
