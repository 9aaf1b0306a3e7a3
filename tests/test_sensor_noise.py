"""The noise of readings: columns that are not used, columns that look like noise, and `noise=`."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pdeinv import Grid, InputError, InputWarning, Sensors, reconstruct
from pdeinv.datasets import PDES, Poisson, pde_by_name

TABLE = pd.DataFrame(
    {
        "field": ["potential", "potential", "source", "solution"],
        "x": [0.2, 0.4, 0.6, 0.8],
        "y": [0.3, 0.5, 0.5, 0.3],
        "value": [1e-3, 3e-3, 0.5, 5e-3],
    }
)
SPREAD = float(np.std([1e-3, 3e-3, 5e-3]))


def noise_of(table=TABLE, noise=None):
    return Sensors(table).observation(Poisson(), Grid(16), noise=noise).noise_std.tolist()


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# Columns

UNCERTAIN = [
    *("noise", "Noise_Std", "noise_std_", "std", "stdev", "standard_deviation", "Std. Dev.", "sd"),
    *("SD", "s.d.", "value_sd", "valueSD", "sd(value)", "sigma", "σ", "err", "error", "stderr"),
    *("uncertainty", "u_rmse", "rmse", "RMS", "accuracy", "precision", "tolerance", "tol", "+/-"),
    *("±", "+-", "se", "s.e.", "SEM", "delta_value", "Fehler", "Unsicherheit", "incertitude"),
]
OTHERS = {"variance": "square root", "var": "square root", "value variance": "square root"}
OTHERS |= {"weight": r"1 / sqrt\(weight\)", "Weights": r"1 / sqrt\(weight\)", "ci": "it implies"}
PLAIN = [
    *("station", "serial", "depth", "t", "date", "sensor", "terrain", "standard", "device"),
    *("variable", "stage", "season", "tolls", "precipitation", "pm10", "error_code", "delta_t"),
    *("stdev_flag", "Unnamed: 0", "", "z [m]", "quality", "X", "Value"),
]


@pytest.mark.parametrize("name", [*UNCERTAIN, *OTHERS])
def test_a_column_that_looks_like_noise_is_refused_with_the_remedy(name):
    remedy = OTHERS.get(name, "rename it to noise_std if it is the standard deviation")
    with pytest.raises(InputError, match=f"but no 'noise_std'; .*{remedy}.* or drop it") as refusal:
        Sensors(TABLE.assign(**{name: 0.1}))
    assert f"a column {name!r} but" in str(refusal.value)


@pytest.mark.parametrize("name", [*UNCERTAIN, *OTHERS, *PLAIN])
def test_next_to_noise_std_any_other_column_is_named_in_a_warning(name):
    with pytest.warns(InputWarning, match="the column .* is not used, only field, x, y") as w:
        sensors = Sensors(TABLE.assign(**{name: 0.1, "noise_std": 0.2}))
    assert len(w) == 1 and f"the column {name!r} is" in str(w[0].message)
    assert w[0].filename == __file__ and (sensors.table.noise_std == 0.2).all()


@pytest.mark.parametrize("name", PLAIN)
def test_a_column_of_another_name_is_not_taken_for_noise(name):
    with pytest.warns(InputWarning, match="the column .* is not used"):
        assert "noise_std" not in Sensors(TABLE.assign(**{name: 0.1})).table


def test_a_column_of_words_or_of_nothing_is_not_taken_for_noise():
    with pytest.warns(InputWarning, match="the columns 'error', 'std' are not used"):
        Sensors(TABLE.assign(error="none", std=None))


@pytest.mark.parametrize("name", ["tme", "Time", "TIME", "times", "time [day]", "time_s"])
def test_a_column_whose_name_is_near_that_of_the_time_is_named(name):
    with pytest.warns(InputWarning, match="not used, .*did you mean 'time' by") as w:
        Sensors(TABLE.assign(**{name: 0.1}))
    assert len(w) == 1 and f"by {name!r}?" in str(w[0].message)
    with pytest.warns(InputWarning, match="keep those of one depth"):
        Sensors(TABLE.assign(**{name: 0.1, "time": 0.1}))


@pytest.mark.parametrize("name", ["tme", "Time", "t"])
@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
def test_a_physics_that_evolves_refuses_times_in_a_column_of_another_name(name):
    table = {"field": "pressure", "x": [0.3, 0.6], "y": 0.5, "value": 0.1, name: [0.1, 0.5]}
    with pytest.raises(InputError, match=f"the column 'time' for transient-darcy, .* got '{name}'"):
        reconstruct(table, "transient-darcy", grid=16)


def test_all_columns_that_are_not_used_are_named_at_once():
    with pytest.warns(InputWarning, match="the columns 't', 'depth', 'station' are not") as w:
        Sensors(TABLE.assign(depth=1, station="A").set_index(pd.Index(range(4), name="t")))
    assert len(w) == 1


@pytest.mark.parametrize("other", ["potential", "solution"])
@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
def test_a_time_series_at_one_place_is_refused_and_its_column_is_named(other):
    series = {"field": ["potential", other], "t": [0, 1], "x": 0.5, "y": 0.5, "value": [1, 2]}
    with pytest.raises(
        InputError, match=r"row 1: the exact reading 2 contradicts 1 .* row 0\).* \(not used: 't'\)"
    ):
        noise_of(series)
    assert noise_of(series, 0.1) == [0.1, 0.1]


# Levels


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (0.02, [0.02] * 4),
        ("0.02", [0.02] * 4),
        (np.float32(0.5), [0.5] * 4),
        (0, [0.0] * 4),
        (["5 %", "source=0"], [0.05 * SPREAD, 0.05 * SPREAD, 0.0, 0.05 * SPREAD]),
        ("potential=0.02", [0.02, 0.02, 0.0, 0.02]),
        ({"potential": 0.02, "source": "0.1"}, [0.02, 0.02, 0.1, 0.02]),
        (["0.3", "solution=50%"], [0.5 * SPREAD, 0.5 * SPREAD, 0.3, 0.5 * SPREAD]),
        (("coefficient=1e-2", 0.3), [0.3, 0.3, 0.01, 0.3]),
        ([{"source": 1}, "potential = 5%"], [0.05 * SPREAD, 0.05 * SPREAD, 1.0, 0.05 * SPREAD]),
    ],
)
@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
def test_a_level_of_noise_is_that_of_the_readings(noise, expected):
    assert noise_of(noise=noise) == pytest.approx(expected, rel=1e-12)


def test_a_column_of_noise_stays_and_empty_cells_are_filled(quiet):
    assert noise_of(TABLE.assign(noise_std=[0.1, 0.0, 0.2, 0.3])) == [0.1, 0.0, 0.2, 0.3]
    some = TABLE.assign(noise_std=[0.1, np.nan, np.nan, 0.0])
    assert noise_of(some, 0.5) == [0.1, 0.5, 0.5, 0.0]
    with pytest.raises(InputError, match="row 2: noise_std is empty; give 0 for an exact reading"):
        noise_of(some)
    with pytest.raises(InputError, match="row 1: noise_std is empty"):
        noise_of(some, "source=1")


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ("head=0.02", "noise: field must be 'source' .* or 'potential' .*, got 'head'"),
        (-0.1, r"noise must be a number from 0 to 1e\+30 or a percentage, got -0.1; give 0.02"),
        (np.nan, "noise must be a number"),
        (np.inf, "noise must be a number"),
        (1e300, "noise must be a number"),
        (1e-300, "noise must be a number"),
        (True, "noise must be a number .*, got True"),
        (1j, "noise must be a number"),
        (np.ones(4), "noise must be a number"),
        ("some", "noise must be a number .*, got 'some'"),
        ("0,02", "noise must be a number .*, got '0,02'"),
        ("5%%", "noise must be a number"),
        ("", "noise must be a number"),
        ("potential=", "noise must be a number"),
        ({"potential": None}, "noise must be a number"),
        ([0.1, "5%"], "noise must be given once for all fields, got it twice"),
        ({"potential": 1, "solution": 2}, "given once for potential, got it twice"),
        ("5%", "noise of source must be in its units, got 5% of the spread of a single reading"),
    ],
)
def test_a_level_that_cannot_be_used_is_refused(noise, message):
    with pytest.raises(InputError, match=message):
        noise_of(noise=noise)


def test_a_share_of_the_spread_of_equal_readings_is_refused():
    with pytest.raises(InputError, match="got 5% of the spread of equal readings"):
        noise_of(TABLE[:2].assign(value=0.1), "5%")


@pytest.mark.parametrize("noise", [0, 0.1, "5%", "potential=0.1"])
def test_a_level_next_to_a_full_column_of_noise_is_refused(noise):
    with pytest.raises(InputError, match="noise must be left out where every reading has a noise"):
        noise_of(TABLE.assign(noise_std=0.1), noise)


# At the door


@pytest.mark.parametrize("name", PDES)
def test_readings_without_noise_are_exact_with_one_warning(name):
    solution = pde_by_name(name).solution_field.name
    table = {"field": "solution", "x": [0.3, 0.6], "y": [0.4, 0.5], "value": [1e-3, 2e-3]}
    with pytest.warns(InputWarning, match="taken as exact; add a column noise_std") as w:
        result = reconstruct(table, name, grid=16, n_samples=1, solver="kriging")
    message = str(w[0].message)
    assert f"the noise of {solution}, so" in message and f"{solution}=0.02 for one" in message
    assert len(w) == 1 and w[0].filename == __file__
    assert result.sensor_noise_std.values.tolist() == [0.0, 0.0]


def test_a_field_without_a_level_is_named():
    with pytest.warns(InputWarning, match="does not state the noise of source, so these readings"):
        noise_of(noise={"potential": "5%"})


def test_stated_noise_raises_no_warning_and_is_in_the_result(quiet):
    def used(table, noise=None):
        # Kriging has no physics that could disagree with the readings
        warnings.filterwarnings("ignore", "the likeliest kernel of the readings")
        result = reconstruct(table, "poisson", noise=noise, grid=16, n_samples=1, solver="kriging")
        return result.sensor_noise_std.values.tolist()

    levels = ["5%", "source=0.1"]
    assert used(TABLE, levels) == noise_of(noise=levels) != [0.0] * 4
    assert used(TABLE, 0) == used(TABLE.assign(noise_std=0)) == [0.0] * 4


@pytest.mark.filterwarnings("always::pdeinv.InputWarning")
def test_the_command_line_warns_once_and_takes_levels(pdeinv, folder):
    TABLE.to_csv("t.csv", index=False)
    command = ["reconstruct", "t.csv", "--pde", "poisson", "--grid", 16, "--out", "r.nc"]
    command += ["--solver", "kriging"]
    code, _, err = pdeinv(*command)
    assert code == 0 and err.count("warning: t.csv does not state the noise of") == 1
    code, _, err = pdeinv(*command, "--noise", "5%", "--noise", "source=0.1")
    assert code == 0 and "state the noise" not in err
    with xr.open_dataset("r.nc") as result:
        assert result.sensor_noise_std.values[2] == 0.1
        assert result.sensor_noise_std.values[0] == pytest.approx(0.05 * SPREAD)
    code, _, err = pdeinv(*command, "--noise", "head=0.1")
    assert code == 2 and "got 'head'; rename it" in err
