"""Plans: one layout of sensors, many tables of readings."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import seeded

import pdeinv
from pdeinv import InputError, InputWarning, Problem, reconstruct
from pdeinv.datasets import Darcy, Helmholtz, Poisson
from pdeinv.plot import plot_reconstruction
from pdeinv.solvers import GaussNewton, MisfitWarning
from pdeinv.solvers.plans.readings_file import ReadingsFile, new_rows

GRID = 24
NOISE = 2e-3
LOG_NORMAL = Problem(Darcy(), pdeinv.LogNormal(median=1.0, log_std=0.7, length=0.4))


def layout(field="potential", m=14, seed=0):
    """A layout of points."""
    places = np.random.default_rng(seed).uniform(0.1, 0.9, (m, 2))
    return pd.DataFrame(places, columns=["x", "y"]).assign(field=field)


def footprints(field):
    """Points, a disc, a line and a difference, two of which share a bias."""
    table = layout(field, 10)
    radius, x2, y2 = (np.full(10, np.nan) for _ in range(3))
    radius[1], x2[[2, 3]], y2[[2, 3]] = 0.08, 0.5, 0.55
    kind = ["", "disc", "line", "difference", *[""] * 6]
    return table.assign(
        radius=radius,
        x2=x2,
        y2=y2,
        kind=kind,
        instrument=["", "", "", "", "A", "A", "A", "", "B", "B"],
    )


INSTRUMENTS = {"instruments": {"A": 0.01, "B": 0.02}}
CASES = {
    "points": (Poisson(), layout(), {}),
    "exact": (Poisson(), layout(m=8), {"noise": 0}),
    "waves": (Helmholtz(), layout("wavefield"), {}),
    "footprints": (Poisson(), footprints("potential"), {"instruments": {"A": 0.01, "B": 0.02}}),
    "waves by instruments": (
        Helmholtz(),
        footprints("wavefield"),
        {"instruments": {"A": 0.01, "B": 0.02}},
    ),
}
"""A problem, a layout, and further arguments."""


def values_of(table, count=1, seed=1):
    values = 5e-3 * np.random.default_rng(seed).standard_normal((count, len(table)))
    return values[0] if count == 1 else values


def given(case):
    pde, table, more = CASES[case]
    return table, {"pde": pde, "noise": NOISE, "grid": GRID, "n_samples": 3, **more}


def assert_alike(found, fresh, names=("mean", "std", "samples", "low", "high"), within=1e-10):
    """Fields, parameters and columns of sensors are those of a fresh reconstruction."""
    assert set(found.data_vars) == set(fresh.data_vars)
    for name in fresh.data_vars:
        ours, theirs = found[name].values, fresh[name].values
        if theirs.dtype.kind != "f":
            assert (ours == theirs).all(), name
        elif str(name).rpartition("_")[2] in names or str(name).startswith("sensor_"):
            scale = np.nanmax(np.abs(theirs), initial=1e-300)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=within * scale, err_msg=name)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisfitWarning)
        yield


@pytest.mark.parametrize("case", CASES)
def test_a_plan_of_a_linear_problem_gives_what_a_reconstruction_gives(case):
    table, arguments = given(case)
    plan = pdeinv.prepare(table, **arguments)
    assert plan.method == "stored gain"
    for seed in (1, 2):
        values = values_of(table, seed=seed)
        fresh = reconstruct(table.assign(value=values), **arguments)
        found = plan(values, samples=True)
        if "exact" in case:  # predictions from exact readings are left to a reconstruction
            fresh = fresh.drop_vars([n for n in fresh if "predicted" in n or n in _SCORES])
            found = found.drop_vars([n for n in found if "predicted" in n or n in _SCORES])
        assert_alike(found, fresh)
        for name in ("reduced_chi_squared", "degrees_of_freedom"):
            assert found.attrs[name] == pytest.approx(fresh.attrs[name], rel=1e-8)
        same = {"alarm", "seconds", "log_evidence", "solver_calls", "network_evaluations"}
        assert {k: v for k, v in found.attrs.items() if k not in _NUMBERS} == {
            k: v for k, v in fresh.attrs.items() if k not in same | _NUMBERS
        } | {"alarm": found.attrs["alarm"], "seconds": found.attrs["seconds"]}


_SCORES = ("sensor_p_value", "sensor_log_density")
_NUMBERS = {"reduced_chi_squared", "degrees_of_freedom", "cause_settled"}


# Tables: several at once, with missing readings, and tables of the sensors


def test_several_tables_are_those_one_by_one():
    table, arguments = given("footprints")
    plan, values = pdeinv.prepare(table, **arguments), values_of(table, 3)
    values[1, [0, 4]] = np.nan
    whole = plan(values, samples=True)
    assert whole.source_mean.dims == ("table", "y", "x")
    assert whole.source_samples.dims == ("table", "sample", "y", "x")
    assert whole.sensor_x.dims == ("sensor",) and whole.sensor_value.dims == ("table", "sensor")
    for i, found in enumerate(plan.follow(values, samples=True)):
        part = whole.isel(table=i)
        for name in found.data_vars:
            if found[name].dtype.kind == "f":
                np.testing.assert_allclose(part[name], found[name], rtol=1e-9, atol=1e-12)
        assert float(part.reduced_chi_squared) == pytest.approx(found.reduced_chi_squared)
        assert str(part.alarm.item()) == found.alarm
    assert plan(values[:1]).sizes["table"] == 1


@pytest.mark.parametrize("case", ["points", "footprints"])
def test_a_missing_reading_is_left_out(case):
    table, arguments = given(case)
    values = values_of(table)
    values[[1, 5]] = np.nan
    found = pdeinv.prepare(table, **arguments)(values)
    rest = np.flatnonzero(~np.isnan(values))
    fresh = reconstruct(table.assign(value=values).iloc[rest], **arguments)
    for name in fresh.data_vars:
        if str(name).endswith(("_mean", "_std")) and "sensor" not in str(name):
            np.testing.assert_allclose(found[name], fresh[name], rtol=0, atol=1e-9)
    for name in ("predicted", "predicted_std", "p_value"):
        ours = found[f"sensor_{name}"].values
        np.testing.assert_allclose(ours[rest], fresh[f"sensor_{name}"], rtol=1e-7)
        assert np.isnan(ours[[1, 5]]).all()
    assert found.reduced_chi_squared == pytest.approx(fresh.reduced_chi_squared, rel=1e-8)
    assert found.degrees_of_freedom == pytest.approx(fresh.degrees_of_freedom, rel=1e-8)
    assert len(plot_reconstruction(pdeinv.prepare(table, **arguments)(values, samples=True)).axes)


def test_readings_may_be_a_table_of_the_sensors(tmp_path):
    table, arguments = given("points")
    plan, values = pdeinv.prepare(table, **arguments), values_of(table)
    whole = table.assign(value=values)
    whole.to_csv(tmp_path / "now.csv", index=False)
    for source in (whole, pdeinv.Sensors(whole), {**whole}, tmp_path / "now.csv"):
        np.testing.assert_allclose(plan(source).source_mean, plan(values).source_mean, atol=1e-14)
    for wrong, message in (
        (whole.iloc[::-1], r"in the same order, got another 'x'"),
        (whole.iloc[:3], "14 sensors of the plan, got 3 rows"),
        (whole.assign(field="source"), "got another 'field'"),
        (whole.assign(radius=0.1), "got another 'radius'"),
    ):
        with pytest.raises(InputError, match=message):
            plan(wrong)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3), r"must have the shape \(14,\) or \(b, 14\), got \(3,\)"),
        (np.zeros((2, 2, 14)), "got \\(2, 2, 14\\)"),
        (np.zeros((0, 14)), "got \\(0, 14\\)"),
        (np.full(14, 1e31), "below 1e\\+30 in size, got 1e\\+31 of sensor 1"),
        ("nosuch.csv", "does not exist"),
        (["a"] * 14, "values must be numbers"),
    ],
)
def test_readings_of_another_form_are_refused(values, message):
    table, arguments = given("points")
    with pytest.raises(InputError, match=message):
        pdeinv.prepare(table, **arguments)(values)


def test_an_alarm_names_the_reading_that_does_not_fit():
    table, arguments = given("points")
    plan = pdeinv.prepare(table, **arguments)
    truth = Problem.of(Poisson()).sample(1, pdeinv.Grid(GRID), seeded(3))
    observation = pdeinv.Sensors(table.assign(value=0.0)).observation(
        Poisson(), pdeinv.Grid(GRID), noise=NOISE
    )
    values = observation(truth)[0].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plan(values).alarm == "none"
    values[4] += 20 * NOISE
    with pytest.warns(MisfitWarning, match="row 4 "):
        found = plan(values)
    assert "row 4 (potential" in found.alarm and "for the likely cause" in found.alarm
    fresh = reconstruct(table.assign(value=values), **arguments)
    assert "row 4 (potential" in fresh.alarm


# Layouts


def test_the_values_of_a_layout_are_not_used(tmp_path):
    table, arguments = given("points")
    values = values_of(table)
    expected = pdeinv.prepare(table, **arguments)(values).source_mean
    table.assign(value=99999.0).to_csv(tmp_path / "full.csv", index=False)
    table.assign(value="").to_csv(tmp_path / "empty.csv", index=False)
    table.to_csv(tmp_path / "without.csv", index=False)
    for name in ("full", "empty", "without"):
        plan = pdeinv.prepare(tmp_path / f"{name}.csv", **arguments)
        np.testing.assert_allclose(plan(values).source_mean, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({"x": 2.0}, {}, "x and y must be in the domain"),
        ({"field": "wind"}, {}, "row 0"),
        ({}, {"noise": "5%"}, "in its units where readings are yet to come, got 5% of their"),
        ({}, {"noise": "unknown"}, "got unknown of their spread; give it as 'potential=0.02'"),
        ({"replicate": list("ababababababab")}, {}, "replicate"),
        ({}, {"solver": "nosuch"}, "solver must be one of"),
        ({}, {"grid": 4}, "at least 16"),
        ({}, {"pde": None}, "pde or problem must be given, got neither"),
    ],
)
def test_a_layout_that_cannot_be_used_is_refused_before_any_reading(change, arguments, message):
    table, usual = given("points")
    with pytest.raises(InputError, match=message):
        pdeinv.prepare(table.assign(**change), **{**usual, **arguments})


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ({"censored": ["left"] * 3 + [""] * 11}, {}),
        ({}, {"noise": (1e-3, 4e-3)}),
        ({}, {"solver": "kriging"}),
        ({}, {"solver": "optimal-interpolation"}),
    ],
)
def test_where_the_mean_is_not_affine_each_table_is_solved(change, arguments):
    table, usual = given("points")
    table, arguments = table.assign(**change), {**usual, **arguments}
    plan, values = pdeinv.prepare(table, **arguments), values_of(table)
    assert plan.method == "solve afresh"
    fresh = reconstruct(table.assign(value=values), **arguments)
    assert_alike(plan(values, samples=True), fresh)


def test_a_flat_mean_is_about_the_readings_of_each_table():
    prior = pdeinv.GaussianField(mean=0.0, std=1.0, length=0.3, mean_std=np.inf)
    table = pd.concat([layout(), layout("source", 4, seed=2)], ignore_index=True)
    arguments = {"pde": Poisson(), "prior": prior, "noise": NOISE, "grid": GRID, "n_samples": 2}
    values = values_of(table) + 7.0 * (table.field == "source").to_numpy()
    fresh = reconstruct(table.assign(value=values), **arguments)
    assert_alike(pdeinv.prepare(table, **arguments)(values, samples=True), fresh)


# Searches from the last mode


def heads(count, noise=0.01, grid=GRID):
    """A layout, and tables of readings of a slowly changing medium."""
    table = layout("pressure", 20)
    observation = pdeinv.Sensors(table.assign(value=0.0)).observation(
        LOG_NORMAL.physics, LOG_NORMAL.physics.grid(grid), noise=noise
    )
    start, end = LOG_NORMAL.latent.sample(2, observation.grid, seeded(5)).split(1)
    angles = 0.05 * torch.arange(count)[:, None, None, None]
    medium = LOG_NORMAL.coefficient(start * angles.cos() + end * angles.sin())
    states = torch.cat([medium, LOG_NORMAL.physics.solve(medium)], dim=1)
    clean = observation(states).numpy()
    scale = noise * clean.std()
    return table, clean + scale * np.random.default_rng(0).standard_normal(clean.shape), scale


def test_a_search_from_the_last_mode_ends_where_one_from_the_mean_does():
    table, values, noise = heads(3)
    arguments = {"problem": LOG_NORMAL, "noise": noise, "grid": GRID, "n_samples": 4}
    plan = pdeinv.prepare(table, **arguments)
    assert plan.method == "solve afresh"
    found = list(plan.follow(values, samples=True))
    assert plan.method == "search from the last mode"
    iterations = []
    for one, row in zip(found, values, strict=True):
        fresh = reconstruct(table.assign(value=row), **arguments)
        assert set(one.data_vars) == set(fresh.data_vars)
        std = fresh.log_permeability_std.values
        off = np.abs(one.log_permeability_mean - fresh.log_permeability_mean).values / std
        assert off.max() < 0.05
        np.testing.assert_allclose(one.log_permeability_std, std, rtol=0.02)
        iterations.append((one.iterations, fresh.iterations))
        assert one.converged == 1
    assert iterations[0][0] == iterations[0][1]
    assert all(warm < cold for warm, cold in iterations[1:])


def test_a_failed_search_from_the_last_mode_is_one_from_the_mean(monkeypatch):
    table, values, noise = heads(1)
    arguments = {"problem": LOG_NORMAL, "noise": noise, "grid": GRID, "n_samples": 4}
    plan = pdeinv.prepare(table, **arguments)
    expected = plan(values[0])
    plan.mode = torch.full_like(plan.mode, 1e4)  # where nothing is finite
    found = plan(values[0])
    np.testing.assert_allclose(found.permeability_mean, expected.permeability_mean, rtol=0.1)


def test_a_missing_reading_leaves_a_nonlinear_table_its_sensors():
    table, values, noise = heads(2)
    arguments = {"problem": LOG_NORMAL, "noise": noise, "grid": GRID, "n_samples": 4}
    plan = pdeinv.prepare(table, **arguments)
    row = values[0].copy()
    row[2] = np.nan
    fresh = reconstruct(table.assign(value=row).drop(index=2), **arguments)
    found = plan(row)
    np.testing.assert_allclose(found.permeability_mean, fresh.permeability_mean, rtol=1e-9)
    assert found.sizes["sensor"] == 20 and np.isnan(found.sensor_value[2])
    assert float(found.sensor_x[2]) == table.x[2]
    whole = plan(np.stack([row, values[1]]))
    assert whole.permeability_mean.dims == ("table", "y", "x")
    assert np.isnan(whole.sensor_value[0, 2]) and not np.isnan(whole.sensor_value[1]).any()
    with pytest.raises(InputError, match="at least one reading, got nan for all"):
        plan(np.full(20, np.nan))


# Files


@pytest.mark.parametrize("case", ["points", "exact", "footprints"])
def test_a_plan_from_a_file_gives_bitwise_the_same(case, tmp_path):
    table, arguments = given(case)
    plan, values = pdeinv.prepare(table, **arguments), values_of(table, 2)
    loaded = pdeinv.load_plan(plan.save(tmp_path / "plan.nc"))
    assert loaded.method == "stored gain"
    for row in (values[0], values):
        ours, theirs = plan(row, samples=True), loaded(row, samples=True)
        assert set(ours.variables) == set(theirs.variables)
        for name in set(ours.variables) - {"seconds"}:
            equal = np.array_equal(ours[name], theirs[name], equal_nan=ours[name].dtype.kind == "f")
            assert equal, name
    again = pdeinv.load_plan(loaded.save(tmp_path / "again.nc"))
    assert np.array_equal(again(values).source_mean, loaded(values).source_mean)
    with xr.open_dataset(tmp_path / "plan.nc", engine="h5netcdf") as stored:
        (tmp_path / "problem.toml").write_text(str(stored["plan_problem"].values))
    assert Problem.load(tmp_path / "problem.toml").physics == Poisson()


def test_a_plan_of_a_nonlinear_problem_from_a_file_starts_at_the_last_mode(tmp_path):
    table, values, noise = heads(2)
    arguments = {"problem": LOG_NORMAL, "noise": noise, "grid": GRID, "n_samples": 4}
    plan = pdeinv.prepare(table, solver=GaussNewton(iterations=12), **arguments)
    plan(values[0])
    loaded = pdeinv.load_plan(plan.save(tmp_path / "plan.nc"))
    assert loaded.method == "search from the last mode"
    ours, theirs = plan(values[1]), loaded(values[1])
    assert np.array_equal(ours.permeability_mean, theirs.permeability_mean)
    assert json.loads(theirs.solver_settings)["iterations"] == 12


class Own(GaussNewton):
    """A solver that no name states."""


def test_what_a_file_cannot_hold_is_refused(tmp_path):
    table, _, noise = heads(1)
    arguments = {"noise": noise, "grid": GRID}
    plan = pdeinv.prepare(table, problem=LOG_NORMAL, solver=Own(), **arguments)
    with pytest.raises(InputError, match="a plan in a file must be of numbers and texts"):
        plan.save(tmp_path / "plan.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    table, arguments = given("points")
    path = pdeinv.prepare(table, **arguments).save(tmp_path / "plan.nc")
    content = path.read_bytes()
    for length in (0, 1000, len(content) // 2, len(content) - 8):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"plan\.nc must be a plan of pdeinv"):
            pdeinv.load_plan(path)
    xr.Dataset({"a": 1}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="must be a plan of format 1, got another file"):
        pdeinv.load_plan(path)
    path.write_bytes(content)
    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as stored:
        whole = stored.load()
    for part in ("plan_gain", "plan_layout", "plan_factor", "source_mean"):
        whole.drop_vars(part).to_netcdf(path, engine="h5netcdf")
        with pytest.raises(InputError, match=r"plan\.nc must be a whole plan"):
            pdeinv.load_plan(path)
    with pytest.raises(InputError, match=r"nosuch\.nc"):
        pdeinv.load_plan(tmp_path / "nosuch.nc")


# Growing files of readings


def write(path, text, mode="a"):
    with path.open(mode) as file:
        file.write(text)


def test_a_line_counts_once_its_end_is_written(tmp_path):
    path = tmp_path / "r.csv"
    file = ReadingsFile(path, 2)
    assert file.rows() == []  # not there yet
    write(path, "ti")
    assert file.rows() == []
    write(path, "me,a,b\n# a comment\n\n10:00,1.5,")
    assert file.rows() == []
    write(path, "-2\n10:01,,3\n10:02,4")
    first, second = file.rows()
    assert first.label == "time 10:00" and first.values.tolist() == [1.5, -2.0]
    assert second.label == "time 10:01" and np.isnan(second.values[0]) and second.values[1] == 3
    assert file.rows() == []
    write(path, ",5\n")
    assert [row.values.tolist() for row in file.rows()] == [[4.0, 5.0]]
    write(path, "a,b\n7,8\n", "w")  # a new file, shorter than the old one
    (row,) = file.rows()
    assert row.label == "line 2" and row.values.tolist() == [7.0, 8.0]


def test_a_line_that_is_no_table_is_left_out_with_a_message(tmp_path):
    path = tmp_path / "r.csv"
    write(path, "a,b\n1,two\n1\n1,2,3\n1,1e40\n5,6\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        (row,) = ReadingsFile(path, 2).rows()
    assert row.values.tolist() == [5.0, 6.0]
    texts = [str(one.message) for one in caught]
    assert [text.split(":")[0] for text in texts] == [f"r.csv, line {i}" for i in (2, 3, 4, 5)]
    assert "got 'two' of sensor 2" in texts[0] and "must have 2 cells, got 1" in texts[1]


@pytest.mark.parametrize("header", ["a,b,c", "a", "time,a", "1.5,2", ",".join("abcdef")])
def test_a_first_line_without_the_columns_is_refused(header, tmp_path):
    write(tmp_path / "r.csv", f"{header}\n1,2\n")
    with pytest.raises(InputError, match=r"first line of r\.csv must name 2 columns"):
        ReadingsFile(tmp_path / "r.csv", 2).rows()


def test_looks_end_after_their_number(tmp_path, monkeypatch):
    path, slept = tmp_path / "r.csv", []
    write(path, "a,b\n1,2\n")

    def sleep(seconds):
        slept.append(seconds)
        write(path, f"{len(slept)},0\n3,")  # the last line is not whole yet

    monkeypatch.setattr("time.sleep", sleep)
    found = list(new_rows(ReadingsFile(path, 2), every=0.5, polls=2))
    assert [[row.values.tolist() for row in rows] for rows in found] == [[[1, 2]], [[1, 0]]]
    assert slept == [0.5]


LAYOUT = "field,x,y\npotential,0.2,0.3\npotential,0.5,0.5\npotential,0.7,0.4\n"
PREPARE = "plan l.csv --pde poisson --noise 0.01 --grid 16 --samples 2"


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "l.csv", LAYOUT)
    write(tmp_path / "r.csv", "time,a,b,c\n0,0.01,0.02,0.01\n1,bad,0.02,0.01\n2,9,,0.01\n3,0.1")
    return tmp_path


def test_the_command_follows_a_file(watched, pdeinv):
    code, out, _ = pdeinv(*PREPARE.split(), "--out", "p.nc")
    assert code == 0 and out == "p.nc: 3 sensors, stored gain\n"
    outputs = "--plot live.png --latest latest.nc"
    code, out, err = pdeinv(*f"plan p.nc --watch r.csv --polls 1 {outputs}".split())
    assert code == 0, err
    lines = out.splitlines()
    assert lines[1].startswith("time 0: reduced chi-squared") and lines[1].endswith("no alarm")
    assert lines[2].startswith("time 2: reduced chi-squared") and "alarm: the sensors" in lines[2]
    assert lines[3:] == ["r.csv: 2 tables"]
    assert err.count("\n") == 1 and "r.csv, line 3: a reading must be a number" in err
    assert (watched / "live.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset("latest.nc", engine="h5netcdf") as latest:
        assert latest.sensor_value.values[0] == 9 and np.isnan(latest.sensor_value.values[1])


def test_an_interruption_ends_the_command_with_its_count(watched, pdeinv, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    code, out, _ = pdeinv(*PREPARE.split(), "--watch", "r.csv")
    assert code == 0 and out.splitlines()[-1] == "r.csv: 2 tables"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (PREPARE, "--out or --watch must be given, got neither"),
        (f"{PREPARE} --out p.nc --plot a.png", "--plot must be left out without --watch"),
        (f"{PREPARE} --out l.csv", "must not have the name of another file"),
        (f"{PREPARE} --watch r.csv --latest r.csv", "must not have the name of another file"),
        (f"{PREPARE} --watch r.csv --plot a.txt", "use .png, .pdf or .svg"),
        ("plan nosuch.csv --pde poisson --out p.nc", "does not exist"),
        ("plan l.csv --out p.nc", "one of --pde and --problem must be given"),
        ("plan s.nc --pde poisson --watch r.csv", "must be left out with a plan"),
        ("plan s.nc --watch r.csv", "must be a plan of pdeinv"),
    ],
)
def test_a_command_that_cannot_be_done_is_one_sentence(watched, pdeinv, arguments, message):
    (watched / "s.nc").write_bytes(b"\x89HDF and then nothing")
    code, _, err = pdeinv(*arguments.split())
    assert code == 2 and message in err and err.count("\n") == 1
