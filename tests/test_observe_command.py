"""`pdeinv observe`: sensors of any kind at any places, of any truth, in a table that is used."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import contents

from pdeinv import GaussianField, Problem, Sensors, Unknown, layouts
from pdeinv.coordinates import coordinates_of
from pdeinv.datasets import Darcy, Helmholtz, Poisson, example
from pdeinv.files import save_netcdf
from pdeinv.grid import Grid
from pdeinv.problems import EXAMPLES
from pdeinv.problems.truths import draw_truth

RECTANGLE = Grid(13, 31, (0.0, 300.0, 0.0, 120.0), "m")


@pytest.fixture
def run(folder, pdeinv):
    """Run `pdeinv observe`, which must succeed, and return the table that it writes."""
    x, y = RECTANGLE.points().T.numpy()
    fields = {
        name: (("y", "x"), values.reshape(RECTANGLE.shape), {"units": unit})
        for name, values, unit in (("head", 50 - x / 100, "m"), ("flux", x + y, "m s-1"))
    }
    save_netcdf(xr.Dataset(fields, coordinates_of(RECTANGLE)), folder / "fields.nc")

    def observe(command, out="o.csv"):
        code, text, err = pdeinv("observe", *command.split(), "--out", out)
        assert (code, err) == (0, ""), err
        assert text.startswith(f"{out}: ")
        return Sensors.read(out).table

    return observe


def test_the_readings_are_those_of_python(run):
    found = run("ensemble.h5 --field potential --n 30 --noise 2% --seed 4 --sample 2")
    truth = example("poisson")["potential"].isel(sample=2)
    expected = Sensors.observe(truth, layouts.random(30, 4), noise_std="2%", seed=4).table
    pd.testing.assert_frame_equal(found, expected, rtol=1e-11)


def test_an_example_is_the_truth_of_its_table(run):
    given = EXAMPLES["aquifer"].truth().sensors.table
    given[["x", "y"]].to_csv("places.csv", index=False)
    heads = given.field == "head"
    found = run("aquifer --field head --field log_hydraulic_conductivity --points places.csv")
    exact = found[found.field == "head"].value.to_numpy()[heads.to_numpy()]
    assert np.abs(exact - given.value[heads]).max() < 5 * 0.02
    with open("aquifer.toml", "w") as file:
        file.write(EXAMPLES["aquifer"].text)
    pd.testing.assert_frame_equal(
        found[found.field == "head"],
        run("aquifer.toml --field head --points places.csv", "p.csv"),
    )


def test_a_physics_is_drawn_from_its_prior(run):
    found = run("darcy --field pressure --field coefficient --n 9 --sample 3")
    drawn = draw_truth(Problem(Darcy()), ["pressure"], (), 3)
    axes = coordinates_of(drawn.grid)
    for channel, name, order in ((1, "pressure", 3), (0, "permeability", 0)):
        field = xr.DataArray(drawn.state[0, channel].numpy(), axes, ("y", "x"), name)
        expected = Sensors.observe(field, layouts.random(9), order=order).table.value
        np.testing.assert_allclose(found[found.field == name].value, expected, rtol=1e-11)


UNKNOWN = Problem(
    Helmholtz(k=Unknown(1.0, 3.0)), GaussianField(0.0, (0.1, 10.0), (0.2, 0.8), 1.5), grid=16
)


def test_the_numbers_that_were_drawn_are_those_of_the_truth_and_are_printed(pdeinv, folder):
    UNKNOWN.save("unknown.toml")
    given = "observe unknown.toml --field source --field wavefield --n 9 --sample 2 --out o.csv"
    code, out, err = pdeinv(*given.split())
    assert (code, err) == (0, "")
    drawn = draw_truth(UNKNOWN, ["source", "wavefield"], (), 2)
    stated = [f"{name} {value:.3g}" for name, value in drawn.numbers.items()]
    assert list(drawn.numbers) == ["std", "length", "k"]
    assert out.splitlines()[1:] == [f"drawn for the truth: {', '.join(stated)}"]
    assert drawn.known.prior.std == drawn.numbers["std"]
    assert drawn.physics.k == drawn.numbers["k"] != float(UNKNOWN.physics.k)
    known = Helmholtz(k=drawn.numbers["k"])
    torch.testing.assert_close(known.solve(drawn.state[:, :1]), drawn.state[:, 1:2])
    others = draw_truth(UNKNOWN, ["source"], (), 3).numbers
    assert all(others[name] != value for name, value in drawn.numbers.items())


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (0.06, "the correlation length of the truth must be at least a cell of the problem's grid"),
        ((0.01, 0.06), "the drawn correlation length of the truth must be at least a cell of"),
        (0.07, ""),
        ((0.2, 0.8), ""),
    ],
)
def test_a_length_below_a_cell_of_the_grid_is_one_warning(pdeinv, folder, length, words):
    Problem(Poisson(), GaussianField(0.0, 1.0, length, 1.5), grid=16).save("short.toml")
    code, out, err = pdeinv("observe", "short.toml", "--field", "source", "--out", "o.csv")
    assert code == 0 and out.startswith("o.csv: 40 readings")
    assert err.count("\n") == bool(words) and words in err
    assert not words or "0.0667, got" in err


@pytest.mark.parametrize(
    ("options", "count", "kind"),
    [
        ("--layout random --n 7", 7, "point"),
        ("--layout random --n 7 --apart 20", 7, "point"),
        ("--layout grid --n 40", 40, "point"),
        ("--layout nodes --n 11", 11, "point"),
        ("--layout boundary --n 8", 8, "point"),
        ("--layout random --n 30 --radius 20", 30, "disc"),
        ("--layout grid --n 10 --kind line --offset 30,-10", 10, "line"),
        ("--layout random --n 30 --kind difference --offset -50,0", 30, "difference"),
    ],
)
def test_layouts_and_kinds(run, options, count, kind):
    table = run(f"fields.nc --field head {options}")
    assert len(table) == count and set(table.get("kind", ["point"])) == {kind}
    exact = {"point": 50 - table.x / 100, "disc": 50 - table.x / 100}
    if kind in ("line", "difference"):
        assert np.allclose(table.x2 - table.x, -50 if kind == "difference" else 30)
        exact["line"] = 50 - (table.x + table.x2) / 200
        exact["difference"] = (table.x2 - table.x) / 100
    np.testing.assert_allclose(table.value, exact[kind], atol=1e-9)


def lines_of(run, options):
    command = ["fields.nc", "--field", "head", "--lines", "10,60 290,60; 10,20 150,20"]
    Path("o.csv").unlink(missing_ok=True)
    code, _, err = run(*["observe", *command, *options.split(), "--out", "o.csv"])
    assert (code, err) == (0, ""), err
    return Sensors.read("o.csv").table


def test_sensors_on_lines(run, pdeinv):
    points = lines_of(pdeinv, "--n 5")
    assert points.y.tolist() == [60] * 5 + [20] * 5
    assert points.x.tolist() == [10, 80, 150, 220, 290, 10, 45, 80, 115, 150]
    spaced = lines_of(pdeinv, "--spacing 70")
    assert spaced.x.tolist() == [10, 80, 150, 220, 290, 10, 80, 150]
    segments = lines_of(pdeinv, "--n 4 --kind line")
    assert segments.x.tolist() == [10, 80, 150, 220, 10, 45, 80, 115]
    assert segments.x2.tolist() == [80, 150, 220, 290, 45, 80, 115, 150]
    steps = lines_of(pdeinv, "--spacing 140 --kind difference")
    assert steps.x2.tolist() == [150, 290, 150] and steps.kind.tolist() == ["difference"] * 3


def test_places_and_kinds_from_a_file(run):
    Path("p.csv").write_text("x;y;radius;x2;y2;kind\n10;20;;;;\n50;60;5,5;;;\n9;9;;30;9;\n")
    table = run("fields.nc --field head --points p.csv")
    assert table.kind.tolist() == ["point", "disc", "line"] and table.radius[1] == 5.5


def test_limits_instruments_and_replicates_are_columns(run):
    table = run(
        "fields.nc --field head --n 20 --below 48.5 --above 49.5 --instrument A --bias 0.1 "
        "--replicate 2024"
    )
    assert set(table.censored) == {"left", "", "right"}
    assert set(table.instrument) == {"A"} and set(table.replicate) == {"2024"}
    inside = table[table.censored == ""]
    assert np.ptp(inside.value - (50 - inside.x / 100)) < 1e-9
    assert abs(inside.value - (50 - inside.x / 100)).min() > 1e-3


def test_noise_of_one_field_and_of_the_others(run):
    table = run("fields.nc --field head --field flux --n 4 --noise 0.5 --noise head=2%")
    spread = float(xr.open_dataset("fields.nc")["head"].std())
    assert np.allclose(table.noise_std, [0.02 * spread] * 4 + [0.5] * 4)


def test_readings_in_time(run):
    command = "pumping-test --field head --n 3 --noise 0.01"
    table = run(f"{command} --time 0.01 --time 0.1")
    assert [float(t) for t in table.time] == [0.01] * 3 + [0.1] * 3
    late = table[table.time.astype(float) == 0.1]
    assert (late.value.to_numpy() < table.value[:3].to_numpy() + 0.05).all()
    still = run("pumping-test --field log_hydraulic_conductivity --n 3 --time 0.1", "k.csv")
    assert len(still) == 3 and "time" not in still


def test_a_file_of_experiments_and_times(run, pdeinv):
    values = np.arange(6.0).reshape(2, 3, 1, 1) + np.zeros(RECTANGLE.shape)
    axes = {**coordinates_of(RECTANGLE), "experiment": ["a", "b"], "time": [0.5, 1.0, 2.0]}
    dims = ("experiment", "time", "y", "x")
    save_netcdf(xr.Dataset({"head": (dims, values)}, axes), "several.nc")
    table = run("several.nc --field head --n 2 --experiment b --time 0.5 --time 1")
    assert table.value.tolist() == [3.0, 3.0, 4.0, 4.0]
    assert set(table.experiment) == {"b"} and [float(t) for t in table.time] == [0.5, 0.5, 1, 1]
    last = run("several.nc --field head --n 1 --experiment a", "last.csv")
    assert last.value.tolist() == [2.0] and float(last.time[0]) == 2.0
    for options, message in (
        ("", "the experiment must be one of a, b in several.nc, got ''"),
        ("--experiment a --time 3", "time must be one of 0.5, 1, 2 in several.nc, got 3"),
    ):
        command = f"observe several.nc --field head --out x.csv {options}"
        code, _, err = pdeinv(*command.split())
        assert code == 2 and message in err


def test_footprints_cross_the_sides_of_a_torus(run):
    options = "--field final_vorticity --n 40 --plot l.png"
    discs = run(f"torus-flow {options} --radius 0.2")
    domain = EXAMPLES["torus-flow"].problem.physics.domain
    low, high = np.array(domain.extent).reshape(2, 2).T
    places = discs[["x", "y"]].to_numpy()
    assert ((places - 0.2 < low) | (places + 0.2 > high)).any()
    pairs = run(f"torus-flow {options} --kind difference --offset 0.3,0.1", "pairs.csv")
    assert (pairs.x2 > high[0]).any()


def test_a_table_is_reconstructed_and_the_result_is_a_truth(run, pdeinv):
    run("poisson --field potential --n 30 --noise 2%")
    run("poisson --field potential --n 6 --radius 0.1 --noise 2% --seed 2 --append --plot l.png")
    assert Path("l.png").stat().st_size > 10_000
    command = "reconstruct o.csv --pde poisson --grid 16 --samples 4 --out r.nc"
    code, _, err = pdeinv(*command.split())
    assert code == 0, err
    with xr.open_dataset("r.nc") as result:
        assert result.sizes["sensor"] == 36
        kinds = result.sensor_kind.values.tolist()
        assert kinds == ["point"] * 30 + ["disc"] * 6
        for options, field in (
            ("", result.source_mean),
            ("--sample 2", result.source_samples.isel(sample=2)),
        ):
            points = layouts.random(5, 1)
            expected = Sensors.observe(field.rename("source"), points, order=3).table.value
            table = run(f"r.nc --field source --n 5 --seed 1 {options}", f"{len(options)}.csv")
            np.testing.assert_allclose(table.value, expected, rtol=1e-9)


BAD = [
    ("nowhere.nc --field head", "nowhere.nc cannot be read (No such file or directory)"),
    ("aquifre --field head", "did you mean 'aquifer'?"),
    ("text.h5 --field head", "text.h5 is neither an HDF5 nor a MATLAB file"),
    ("fields.nc --field haed", "must be one of head, flux in fields.nc, got 'haed'; did you mean"),
    ("darcy --field head", "got 'head'; rename it"),
    ("darcy --field pressure --time 3", "time must be left out for darcy, which does not evolve"),
    ("pumping-test --field head --time 9", "must be after 0 and at most 0.5, its end, got 9"),
    ("fields.nc --field head --sample 3", "the sample of fields.nc must be left out"),
    ("ensemble.h5 --field potential --sample 8", "the sample of ensemble.h5 must be an integer"),
    ("ensemble.h5 --field potential --sample -1", "must be an integer of at least 0, got -1"),
    ("fields.nc --field head --n 0", "--n must be an integer of at least 1, got 0"),
    ("fields.nc --field head --layout spiral", "--layout must be 'random' or 'grid' or 'line'"),
    ("fields.nc --field head --layout line", "--layout line must have --lines, got none"),
    ("fields.nc --field head --layout file", "--layout file must have --points, got none"),
    ("fields.nc --field head --layout grid --lines 1,2", "--lines must be left out with --layout"),
    ("fields.nc --field head --lines 1,2", "waypoints must be at least two pairs"),
    ("fields.nc --field head --lines a,b", "--lines must be of pairs of numbers x,y, got 'a,b'"),
    ("fields.nc --field head --lines ;", "--lines must have a line, got ';'"),
    ("fields.nc --field head --kind ring", "--kind must be 'point' or 'disc' or"),
    ("fields.nc --field head --kind disc", "--kind disc must have --radius, got none"),
    ("fields.nc --field head --kind line", "--kind line must have --offset or --lines"),
    ("fields.nc --field head --radius 70", "must fit into the domain"),
    ("fields.nc --field head --radius 1 --offset 2,2", "--offset must be left out with --radius"),
    ("fields.nc --field head --offset 1", "--offset must be of pairs of numbers x,y, got '1'"),
    ("fields.nc --field head --apart 500", "apart must leave room for 40 points"),
    ("fields.nc --field head --points s.csv --n 3", "--n must be left out with --points, got 3"),
    ("fields.nc --field head --points wide.csv", "a column 'Radius [m]' but no 'radius'; rename"),
    ("fields.nc --field head --plot fields.nc", "fields.nc must end in a figure format"),
    ("fields.nc --field head --plot o.csv", "o.csv must end in a figure format"),
    ("fields.nc --field head --noise much", "noise_std must be a number from 0"),
    ("fields.nc --field head --noise flux=1", "--noise must be of a field that is read"),
    ("fields.nc --field head --noise 1 --noise 2", "--noise must be given once for all fields"),
    ("fields.nc --field head --below 9 --above 8", "below must be less than above, got 9 and 8"),
    ("fields.nc --field head --bias 1", "bias_std must be 0, or positive for the reading of an"),
    ("fields.nc --field head --plot l.txt", "l.txt must end in a figure format"),
]


@pytest.mark.parametrize(("command", "message"), BAD)
def test_what_cannot_be_observed_is_one_sentence(run, pdeinv, folder, command, message):
    before = contents(folder)
    code, out, err = pdeinv("observe", *command.split(), "--out", "o.csv")
    assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("error: ")
    assert message in err, err
    assert contents(folder) == before


def test_a_table_is_replaced_by_no_accident(run, pdeinv, folder):
    command = ("observe", "fields.nc", "--field", "head", "--n", 3)
    run("fields.nc --field head --n 3")
    Path("mine.csv").write_text("field,x,y,value,depth\nhead,1,1,50,3\n")
    before = contents(folder)
    for extra, message in (
        (("--out", "o.csv"), "o.csv exists already; add to it with --append"),
        (("--out", "fields.nc"), "fields.nc exists already"),
        (("--out", "fields.nc", "--append"), "an output must not have the name of another file"),
        (("--out", "o.csv", "--append"), "o.csv must have none of the readings yet, got 3 that"),
        (("--out", "mine.csv", "--append"), "mine.csv must have no columns that are not used"),
    ):
        code, _, err = pdeinv(*command, *extra)
        assert code == 2 and message in err
    assert contents(folder) == before
