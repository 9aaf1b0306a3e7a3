"""The column `replicate`: each date or run by itself, in one result."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from helpers import run_command
from test_times import PRIOR, Decay, table

from pdeinv import InputError, Problem, Sensors, layouts, memory, progress, reconstruct
from pdeinv.datasets import Darcy, Experiments, Poisson, Well
from pdeinv.errors import InputWarning, NumericalError
from pdeinv.plot import plot_reconstruction
from pdeinv.result import open_result
from pdeinv.solvers import GaussianSolver, MisfitWarning
from pdeinv.solvers.replicates import seed_of

DATES = ("2024-06-01", "2024-05-01", "2024-07-15", "2023-01-02")


def readings(dates=DATES[:2], m=9, noise=1e-3):
    """Return a table of readings of white noise, in an order that mixes the replicates."""
    rng = np.random.default_rng(0)
    parts = {
        date: pd.DataFrame(rng.uniform(0.2, 0.8, (m, 2)), columns=["x", "y"]).assign(
            field="potential", value=1e-3 * rng.standard_normal(m), noise_std=noise, replicate=date
        )
        for date in dates
    }
    return pd.concat(parts.values()).sort_values(["x"]).reset_index(drop=True)


def of(table, name):
    return table[table.replicate == name].drop(columns="replicate")


def run(table, pde="poisson", **settings):
    return reconstruct(table, pde, **{"grid": 16, "n_samples": 2, **settings})


def in_time():
    rows = [{**row, "replicate": str(i)} for i in (2, 1) for row in table([0.5, 2.0], seed=i)[1]]
    return pd.DataFrame(rows), Decay()


def experiments():
    first = readings().assign(experiment="a")
    return pd.concat([first, readings(m=3).assign(experiment="b")]), Experiments(
        (Poisson(), Poisson(source=1.0)), names=("a", "b")
    )


def wells():
    given = readings().assign(field="pressure", value=0.1, noise_std=0.1)
    return given, Darcy(wells=(Well(0.5, 0.5, -1.0),))


CASES = {
    "gaussian": lambda: (readings(), Poisson(), "gaussian", None),
    "optimal-interpolation": lambda: (readings(), Poisson(), "optimal-interpolation", None),
    "times": lambda: (*in_time(), "auto", PRIOR),
    "experiments": lambda: (*experiments(), "auto", None),
    "wells": lambda: (*wells(), "kriging", None),
}


@pytest.mark.parametrize("case", CASES)
def test_each_replicate_is_its_own_reconstruction(case):
    given, pde, solver, prior = CASES[case]()
    given = given.reset_index(drop=True)
    settings = {"solver": solver, "prior": prior}
    result = run(given, pde, **settings)
    assert result["replicate"].values.tolist() == list(given.replicate.unique())
    np.testing.assert_array_equal(result["sensor_value"], given.value)
    np.testing.assert_array_equal(result["sensor_replicate"], given.replicate)
    for name in given.replicate.unique():
        part = result.sel(replicate=name)
        own = run(of(given, name), pde, seed=int(part["replicate_seed"]), **settings)
        for variable in own.data_vars:
            if not str(variable).startswith("sensor_"):
                assert part[variable].dims == own[variable].dims
                np.testing.assert_array_equal(part[variable], own[variable])
        for key, value in own.attrs.items():
            if key not in ("seconds", "seed"):
                assert part.attrs.get(key, part.get(key)) == value
    field = next(str(v) for v in result.data_vars if str(v).endswith("_samples"))
    assert result[field].dims[:2] == ("sample", "replicate")


@pytest.mark.filterwarnings("ignore:.*the instruments of the problem are not used")
def test_the_deviations_of_biases_are_those_of_the_rows():
    given = readings(DATES[:3]).assign(instrument="")
    for date, name in zip(DATES[1:3], "AB", strict=True):
        given.loc[given.replicate == date, "instrument"] = name
    result = run(given, instruments={"A": 1e-4, "B": 2e-4})
    std = given.instrument.map({"": np.nan, "A": 1e-4, "B": 2e-4})
    np.testing.assert_allclose(result["sensor_bias_std"], std)


def test_a_replicate_that_fits_has_no_open_search():
    readings = {
        "field": "source",
        "x": [1 / 64, 0.4375, 39 / 64, 1 / 64],
        "y": [1 / 64, 59 / 64, 57 / 64, 1 / 64],
        "value": [0.0, 3.0, -1.38, 2.02],
        "noise_std": 1 / 64,
        "replicate": ["2026-01-01"] * 3 + ["run-2"],
    }
    with pytest.warns(MisfitWarning):
        result = reconstruct(readings, "acoustics", grid=16, n_samples=2)
    settled = result.get("cause_settled", result.attrs.get("cause_settled"))
    assert np.all(np.asarray(settled) == 1)
    assert all(np.isfinite(v).all() for v in result.values() if v.dtype.kind == "f")


def test_order_and_company_do_not_matter():
    given = readings(DATES)
    whole, fewer = run(given), run(given[given.replicate != DATES[0]][::-1])
    assert fewer["replicate"].values.tolist() != whole["replicate"].values.tolist()[1:]
    same = whole.sel(replicate=fewer["replicate"])
    np.testing.assert_allclose(fewer["source_mean"], same["source_mean"], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(fewer["replicate_seed"], same["replicate_seed"])
    assert len(set(whole["replicate_seed"].values.tolist())) == 4
    assert seed_of(0, "a") != seed_of(1, "a") != seed_of(1, "b")


def test_numbers_of_the_record_are_variables_and_what_is_the_same_stays():
    given = readings()
    given.loc[given.replicate == DATES[1], "noise_std"] = 0.0
    result = run(given, seed=5)
    assert result["reduced_chi_squared"].dims == result["seconds"].dims == ("replicate",)
    assert result.attrs["solver"] == "gaussian" and result.attrs["seed"] == 5
    assert "reduced_chi_squared" not in result.attrs and "assumed" not in result.attrs
    words = result["assumed"].sel(replicate=list(DATES[:2])).values
    assert words[0].endswith("stated for each reading") and words[1].endswith("is exact")


def test_a_table_without_names_has_no_such_dimension_and_one_name_makes_one():
    given = readings(DATES[:1])
    plain, one = run(given.assign(replicate="")), run(given)
    assert "replicate" not in plain.dims and one.sizes["replicate"] == 1
    assert one["source_mean"].dims == ("replicate", "y", "x")


def test_dates_and_numbers_are_names():
    dates = [pd.Timestamp("2024-06-01"), pd.Timestamp("2024-05-01 06:30"), pd.NaT]
    given = Sensors(readings(m=1).iloc[[0, 0, 0]].assign(replicate=dates))
    assert given.table.replicate.tolist() == ["2024-06-01", "2024-05-01 06:30:00", ""]
    given = Sensors(readings(m=1).iloc[[0, 0]].assign(replicate=[2.0, 1.5]))
    assert [*given.by_replicate()] == ["2", "1.5"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicate": " "}, r"row 7: replicate is empty.* name that of the reading, or drop"),
        ({"noise_std": np.nan}, r"replicate '.*': .*row 7: noise_std is empty; give 0"),
        ({"x": 3.0}, r"replicate '.*': .*row 7: x and y must be in the domain .* drop the row"),
        ({"field": "heat"}, r"row 7: .*heat"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_row_before_any_solve(monkeypatch, change, message):
    given = readings()
    for column, value in change.items():
        given[column] = given[column].where(given.index != 7, value)
    monkeypatch.setattr(GaussianSolver, "condition", None)  # fails where it is called
    with pytest.raises(InputError, match=message):
        run(given)


def test_readings_of_one_state_are_of_one_replicate():
    given, grid = Sensors(readings()), Poisson().grid(16)
    with pytest.raises(InputError, match=r"must be of one replicate, got .*by_replicate\(\)"):
        given.observation(Poisson(), grid)
    parts = given.by_replicate().values()
    assert [len(part.observation(Poisson(), grid)) for part in parts] == [9, 9]


def test_warnings_name_their_replicate_and_those_of_all_are_given_once():
    given = readings(DATES[:3]).drop(columns="noise_std")
    given.loc[given.replicate != DATES[1], "value"] *= 100
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(given.assign(experiment="a"), noise=1e-3)
    misfits = [str(w.message) for w in caught if issubclass(w.category, MisfitWarning)]
    names = [name for name in given.replicate.unique() if name != DATES[1]]
    assert [m.partition(":")[0] for m in misfits] == [f"replicate {name!r}" for name in names]
    assert sum(issubclass(w.category, InputWarning) for w in caught) == 1


def test_a_failure_names_its_replicate_and_an_interruption_passes(monkeypatch):
    given, condition = readings(), GaussianSolver.condition
    second = given.replicate.unique()[1]

    def stops(error):
        calls = []

        def condition_once(*arguments):
            calls.append(1)
            if len(calls) > 1:
                raise error
            return condition(*arguments)

        return condition_once

    monkeypatch.setattr(GaussianSolver, "condition", stops(NumericalError("it stalled")))
    with pytest.raises(NumericalError, match=f"replicate '{second}': .*it stalled"):
        run(given)
    monkeypatch.setattr(GaussianSolver, "condition", stops(KeyboardInterrupt()))
    filters = list(warnings.filters)
    with pytest.raises(KeyboardInterrupt):
        run(given)
    assert warnings.filters == filters


def test_the_memory_is_that_of_all_replicates(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 150e6)
    run(readings(DATES[:1]), n_samples=200)
    with pytest.raises(InputError, match=r"for each of 4 replicates .* fewer replicates"):
        run(readings(DATES), n_samples=200)


def test_progress_names_the_replicate(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    run(readings(DATES[:3]), progress=True)
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("replicate")]
    names = readings(DATES[:3]).replicate.unique()
    assert [line.partition(":")[0] for line in shown] == [f"replicate {n!r}" for n in names]


def test_a_stored_result_is_plotted_with_the_truth_of_its_dates(tmp_path):
    pde, grid = Poisson(), Poisson().grid(16)
    state = Problem(pde).sample(4, grid)
    truth = xr.Dataset(
        {"potential": (("replicate", "y", "x"), state[:, 1].numpy())},
        {
            "replicate": pd.to_datetime(DATES),
            "y": np.linspace(0, 1, 16),
            "x": np.linspace(0, 1, 16),
        },
    )
    sensors = [
        Sensors.observe(truth["potential"].isel(replicate=i), layouts.random(5 + i), noise_std=1e-4)
        for i in range(4)
    ]
    result = run(sum(sensors[1:], sensors[0]))
    assert tuple(result["replicate"].values) == DATES
    result.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    stored = open_result(tmp_path / "r.nc")
    xr.testing.assert_equal(stored, result)
    figure = plot_reconstruction(stored, truth)
    titles = [axis.get_title() for axis in figure.axes]
    labels = [t.partition("\n")[0] for t in titles if t.partition("\n")[0]]
    shown = [DATES[i] for i in (0, 2, 3)]
    assert [label.rpartition("replicate ")[2] for label in labels] == 2 * shown
    truths = [axis for axis in figure.axes if axis.get_title().endswith("truth")]
    residuals = [a for a in figure.axes if a.get_title().endswith("reading − mean")][3:]
    assert [len(axis.collections[0].get_offsets()) for axis in residuals] == [5, 7, 8]
    drawn = [axis.images[0].get_array() for axis in truths if axis.images][-3:]
    for date, values in zip(shown, drawn, strict=True):
        np.testing.assert_array_equal(values, truth["potential"].sel(replicate=date))
    plain = plot_reconstruction(stored, truth.isel(replicate=0, drop=True))
    assert not any(axis.images for axis in plain.axes if axis.get_title().endswith("\ntruth"))


def test_the_command_line_states_all_replicates(tmp_path):
    readings().to_csv(tmp_path / "s.csv", index=False)
    out = tmp_path / "r.nc"
    answer = run_command(
        *("reconstruct", tmp_path / "s.csv", "--pde", "poisson", "--grid", 16, "--out", out)
    )
    assert "from 18 sensors of 2 replicates in" in answer.stdout
    low, high = (float(f(xr.open_dataset(out)["reduced_chi_squared"])) for f in (np.min, np.max))
    assert f"reduced chi-squared {low:.3g} to {high:.3g} (test" in answer.stdout


@pytest.mark.parametrize("named", [("p", "q"), ("p", ""), ("", "q"), ("pq", "qp"), ("pq", "p")])
def test_parameters_of_replicates_keep_their_names_where_instruments_differ(named):
    given = readings()
    for date, names in zip(DATES, named, strict=False):
        mine = given.replicate == date
        given.loc[mine, "instrument"] = [names[i % len(names)] if names else "" for i in range(9)]
    result = run(given, instruments={"p": 1e-3, "q": 2e-3})
    biases = [{f"bias of {name}, potential" for name in names} for names in named]
    assert {*result["parameter"].values} == biases[0] | biases[1]
    assert (result["parameter_units"] == "1").all()
    for date, names in zip(DATES, biases, strict=False):
        part = result.sel(replicate=date)
        seed = int(part["replicate_seed"])
        own = run(of(given, date), instruments={"p": 1e-3, "q": 2e-3}, seed=seed)
        for name in result["parameter"].values:
            for what in ("mean", "std", "low", "high", "samples"):
                found = part[f"parameter_{what}"].sel(parameter=name)
                if name in names:
                    wanted = own[f"parameter_{what}"].sel(parameter=name)
                    np.testing.assert_array_equal(found, wanted)
                else:
                    assert found.isnull().all()
