"""Sensors that are left out and predicted: the split, the predictions and their coverage."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy.stats import binom, chi2

from pdeinv import GaussianField, Grid, InputError, Problem, Sensors, reconstruct
from pdeinv.datasets import Experiments, Poisson
from pdeinv.solvers.holdout import parse_share, split_readings

PRIOR = GaussianField(0.0, 30.0, 0.3)
NOISE = 0.05


def readings(m=60, seed=0, **columns):
    """Readings of the source and of the potential of a draw, on nodes of 16 x 16."""
    grid, rng = Grid(16), np.random.default_rng(seed)
    problem = Problem(Poisson(), PRIOR, 16)
    state = problem.sample(1, grid, torch.Generator().manual_seed(2_700_000_100 + seed))[0].numpy()
    places = rng.permutation(np.stack(np.meshgrid(range(1, 15), range(1, 15)), -1).reshape(-1, 2))
    column, row = places[:m].T
    channel = np.arange(m) % 2
    value = state[channel, row, column]
    std = np.where(channel, NOISE, 2.0)
    return pd.DataFrame(
        {
            "field": np.array(["source", "potential"])[channel],
            "x": column / 15,
            "y": row / 15,
            "value": value + std * rng.standard_normal(m),
            "noise_std": std,
            **columns,
        }
    )


def run(table, **settings):
    given = {"problem": Problem(Poisson(), PRIOR, 16), "n_samples": 4, "holdout": 0.25}
    return reconstruct(table, **given | settings)


def split_of(table, share, seed=0, physics=None):
    sensors, physics = Sensors(table), physics or Poisson()
    return split_readings(
        sensors.table, sensors.observation(physics, physics.grid(16)), share, seed
    )


# The split


@pytest.mark.parametrize(
    ("given", "share"),
    [(0.2, 0.2), ("20%", 0.2), (" 5 % ", 0.05), ("0.5", 0.5), (np.float64(0.3), 0.3)],
)
def test_a_share_is_a_number_or_a_percentage(given, share):
    assert parse_share(given) == pytest.approx(share)


@pytest.mark.parametrize(
    "given", [0, 1, -0.2, "0%", "100%", "x", "", True, [0.2], "nan", 2, 10**400]
)
def test_another_share_is_refused(given):
    with pytest.raises(
        InputError, match=r"^holdout must be a share .* below 1, got .*; give 0\.2 or"
    ):
        parse_share(given)


def test_the_share_is_that_of_each_field_and_the_seed_decides():
    table = readings(60)
    split = split_of(table, 0.2)
    assert sorted([*split.kept, *split.left]) == [*range(60)]
    assert table.field[split.left].value_counts().to_dict() == {"source": 6, "potential": 6}
    assert np.array_equal(split.left, split_of(table, 0.2).left)
    assert not np.array_equal(split.left, split_of(table, 0.2, seed=1).left)


def test_the_readings_of_one_place_stay_together_and_censored_ones_are_kept():
    table = readings(10)
    table = pd.concat([table.assign(experiment=name) for name in ("a", "b")], ignore_index=True)
    table = table[(table.field == "potential")].assign(censored="").reset_index(drop=True)
    table.loc[0, "censored"] = "left"
    both = Experiments((Poisson(), Poisson(source=1.0)), ("a", "b"))
    for seed in range(5):
        left = split_of(table, 0.4, seed, both).left
        assert len(left) == 4 and 0 not in left and 5 not in left
        assert {*left[left < 5] + 5} == {*left[left >= 5]}


def test_one_sensor_of_a_field_is_always_kept():
    table = readings(6)
    split = split_of(table, 0.99)
    assert table.field[split.kept].tolist().count("source") == 1
    assert len(split.kept) == 2
    with pytest.raises(
        InputError, match=r"holdout must leave out a sensor, got 0.5 of 2, of which"
    ):
        split_of(readings(2), 0.5)


# The predictions


def test_a_reading_is_predicted_as_if_it_had_never_been_there():
    table = readings(40)
    result = run(table)
    left = split_of(table, 0.25).left
    assert np.array_equal(result.holdout_value.values, table.value[left])
    alone = run(table.drop(index=left).reset_index(drop=True), holdout=None)
    xr.testing.assert_allclose(result.potential_mean, alone.potential_mean, rtol=1e-9)
    for i, reading in enumerate(table.loc[left].itertuples()):
        place = {"x": reading.x, "y": reading.y, "method": "nearest"}
        mean, std = (
            float(alone[f"{reading.field}_{what}"].sel(**place)) for what in ("mean", "std")
        )
        assert float(result.holdout_predicted[i]) == pytest.approx(mean, rel=1e-6, abs=1e-9)
        total = np.hypot(std, reading.noise_std)
        assert float(result.holdout_predicted_std[i]) == pytest.approx(total, rel=1e-6)


def test_the_intervals_of_a_right_prior_hold_nine_of_ten_readings():
    results = [run(readings(seed=seed), grid=16) for seed in range(12)]
    within = sum(one.attrs["holdout_within"] for one in results)
    count = sum(one.attrs["holdout_count"] for one in results)
    assert count >= 160
    assert binom.cdf(within, count, 0.9) > 1e-3 and binom.sf(within - 1, count, 0.9) > 1e-3
    z = np.concatenate(
        [(r.holdout_value - r.holdout_predicted) / r.holdout_predicted_std for r in results]
    )
    assert 1e-3 < chi2.cdf((z**2).sum(), len(z)) < 1 - 1e-3


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning")
def test_a_prior_that_is_too_sure_is_found_out():
    sure = Problem(Poisson(), GaussianField(0.0, 3.0, 1.5), 16)
    made = run(readings(), problem=sure).attrs
    assert made["holdout_coverage_high"] < 0.9
    low, high = made["holdout_coverage_low"], made["holdout_coverage_high"]
    assert low < made["holdout_within"] / made["holdout_count"] < high


def test_left_out_readings_of_an_instrument_have_its_bias():
    table = readings(40, instrument="probe")
    table.loc[table.field == "source", "instrument"] = ""
    table.loc[table.field == "potential", "value"] += 7.0
    result = run(table, instruments={"probe": 10.0})
    mine = result.holdout_instrument.values == "probe"
    excess = (result.holdout_value - result.holdout_predicted)[mine] / result.holdout_predicted_std[
        mine
    ]
    assert mine.sum() == 5 and float(abs(excess).max()) < 4
    assert (result.holdout_bias_std.values[mine] == 10).all()


def test_unknown_noise_is_inferred_from_the_readings_that_are_kept():
    table = readings(40).assign(noise_std=np.nan)
    result = run(table, noise={"source": 2.0})
    noise = float(result["parameter_mean"].sel(parameter="noise of potential"))
    mine = result.holdout_field.values == "potential"
    assert result.holdout_noise_std.values[mine] == pytest.approx(noise)
    assert (result.holdout_predicted_std.values[mine] >= noise).all()


def test_other_footprints_are_predicted_from_the_samples():
    table = readings(40, radius=np.nan)
    table.loc[table.index < 20, "radius"] = 0.05
    result = run(table, n_samples=16)
    assert bool(np.isfinite(result.holdout_predicted_std).all())
    assert {"disc", "point"} <= {*result.holdout_kind.values}


def test_a_table_of_replicates_is_refused():
    table = pd.concat([readings(20).assign(replicate=name) for name in ("a", "b")])
    with pytest.raises(
        InputError, match=r"left out for a table of 2 replicates, got 0.25; reconst"
    ):
        run(table)


def test_exact_readings_have_the_noise_of_their_last_digit():
    table = readings(30).assign(noise_std=0.0).round({"value": 2})
    result = reconstruct(
        table[table.field == "source"].reset_index(drop=True),
        problem=Problem(Poisson(), PRIOR, 16),
        holdout=0.2,
        n_samples=2,
    )
    assert (result.holdout_predicted_std.values >= 0.01 / np.sqrt(12) * 0.999).all()


@pytest.mark.parametrize("share", ["20%", "0.2"])
def test_the_command_reports_the_coverage(pdeinv, tmp_path, monkeypatch, share):
    monkeypatch.chdir(tmp_path)
    readings().to_csv("s.csv", index=False)
    Problem(Poisson(), PRIOR, 16).save("p.toml")
    command = ["reconstruct", "s.csv", "--problem", "p.toml", "--out", "r.nc", "--samples", 2]
    code, out, err = pdeinv(*command, "--holdout", share)
    assert code == 0, err
    line = re.search(
        r"^(\d+) of 12 left-out readings within their 90 % interval", out, re.MULTILINE
    )
    with xr.open_dataset("r.nc") as result:
        assert result.attrs["holdout_within"] == int(line[1]) and result.sizes["holdout"] == 12
        assert result.sizes["sensor"] == 48
    code, _, err = pdeinv(*command, "--holdout", "120%")
    assert code == 2 and "holdout must be a share of the sensors" in err
