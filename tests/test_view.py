"""The page that shows a result: its numbers, and what clicks do in a browser."""

import base64
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr

import pdeinv
from pdeinv import InputError, Problem, Sensors, TwoPhase, datasets, layouts
from pdeinv.datasets import Darcy
from pdeinv.grid import Domain
from pdeinv.view import view_page

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def result():
    truth = datasets.example("poisson").isel(sample=0)
    sensors = Sensors.observe(truth.potential, layouts.random(12, seed=1), noise_std="2%")
    return pdeinv.reconstruct(sensors, "poisson", grid=16, n_samples=5)


@pytest.fixture(scope="module")
def phases():
    table = {"field": "pressure", "x": [20.0, 60.0], "y": [10.0, 40.0], "value": [900.0, 700.0]}
    physics = Darcy(domain=Domain((0, 100, 0, 50), unit="m"))
    problem = Problem(physics, TwoPhase(pdeinv.GaussianField(0, 1, 20), 1.0, 5.0, 0.5))
    from pdeinv.solvers import LevelSet

    solver = LevelSet(ensemble=4, stages="brief")
    return pdeinv.reconstruct(table, problem=problem, noise=50, grid=17, solver=solver, n_samples=4)


def content(page):
    """What the page holds, with the values of each field as an array (place, layer, y, x)."""
    found = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    for field in found["fields"]:
        values = np.frombuffer(base64.b64decode(field["values"]), dtype="<f4")
        field["values"] = values.reshape(len(field["places"]), -1, *found["shape"])
    return found


def test_the_page_holds_the_result(result):
    page = view_page(result)
    found = content(page)
    source, potential = found["fields"]
    assert (source["label"], potential["label"]) == ("source term a", "potential u")
    expected = [result.source_mean, result.source_std, *result.source_samples]
    np.testing.assert_array_equal(source["values"][0], np.float32(expected))
    assert source["samples"] == 5 and not source["probability"]
    assert source["scale"]["low"] == -source["scale"]["high"] < 0  # signed: diverging
    one = found["sensors"][3]
    assert one["row"] == 4 and one["field"] == "potential" and one["x2"] is None
    off = (result.sensor_value - result.sensor_predicted) / result.sensor_predicted_std
    assert one["z"] == pytest.approx(float(off[3])) and one["x"] == float(result.sensor_x[3])
    assert found["alarm"] == result.attrs["alarm"] and found["assumed"] == result.attrs["assumed"]
    # A node is in the middle of its pixel
    left, _, bottom, _ = found["extent"]
    hy, hx = found["spacing"]
    np.testing.assert_allclose(left + (np.arange(16) + found["offset"]) * hx, result.x, atol=1e-12)
    np.testing.assert_allclose(bottom + (np.arange(16) + 0.5) * hy, result.y, atol=1e-12)


def test_the_page_needs_nothing_else(result):
    page = view_page(result.assign_attrs(assumed="</script><b>", alarm="<i>"))
    assert not re.search(r"https?:|src=|@import|<link", page)
    assert page.count("</script>") == 2 and "DATA" not in page and "TITLE" not in page
    assert content(page)["assumed"] == "</script><b>"


def test_two_values_have_a_probability_and_a_domain_its_units(phases):
    found = content(view_page(phases))
    permeability, *_ = found["fields"]
    assert permeability["probability"] and found["unit"] == "m"
    expected = phases["permeability_probability"].values
    np.testing.assert_array_equal(permeability["values"][0, 2], np.float32(expected))
    assert permeability["values"].shape == (1, 3 + 4, 17, 33)


def test_each_time_is_a_place_and_readings_go_to_the_nearest(result):
    times = xr.Dataset(attrs=result.attrs)
    for name in ("mean", "std", "samples"):
        one = result[f"source_{name}"]
        times[f"source_{name}"] = xr.concat([one, 2 * one], xr.Variable("time", [0.5, 2.0]))
    times = times.merge(result[[n for n in result.data_vars if str(n).startswith("sensor_")]])
    when = np.array([0.6, 1.9, np.nan, *[0.5] * 9])
    times = times.assign(sensor_time=("sensor", when), sensor_field=("sensor", ["source"] * 12))
    found = content(view_page(times))
    (source,) = found["fields"]
    assert source["places"] == ["time 0.5", "time 2"]
    np.testing.assert_allclose(source["values"][1], 2 * source["values"][0], rtol=1e-6)
    assert [one["place"] for one in found["sensors"][:4]] == [0, 1, None, 0]


def test_inactive_nodes_and_missing_readings_stay_empty(result):
    holes = result.assign(
        source_mean=result.source_mean.where(result.x > 0.3),
        sensor_value=result.sensor_value.where(np.arange(12) != 0),
    )
    found = content(view_page(holes))
    assert np.isnan(found["fields"][0]["values"][0, 0, :, 0]).all()
    assert found["sensors"][0]["value"] is None and found["sensors"][0]["z"] is None


def test_what_cannot_be_shown_is_refused(result):
    with pytest.raises(InputError, match="must have samples to be viewed, got none"):
        view_page(result.drop_vars(["source_samples", "potential_samples"]))


def test_the_command_writes_the_page(result, pdeinv, tmp_path):
    result.to_netcdf(tmp_path / "r.nc")
    code, out, _ = pdeinv("view", tmp_path / "r.nc")
    assert code == 0 and out == f"{tmp_path / 'r.html'}: open it in a browser\n"
    assert (tmp_path / "r.html").read_text() == view_page(result)
    code, _, err = pdeinv("view", tmp_path / "r.nc", "--out", tmp_path / "r.nc")
    assert code == 2 and "must not have the name of another file" in err
    code, _, err = pdeinv("view", tmp_path / "no.nc", "--out", tmp_path / "p.html")
    assert code == 2 and "must be a file, got none" in err


_CLICKS = """
function fire(name, value) {
  const one = document.getElementById(name);
  one.value = value;
  one.dispatchEvent(new Event(name === "sample" ? "input" : "change"));
}
const text = (name) => document.getElementById(name).textContent, seen = {};
const pixels = () => document.getElementById("map").toDataURL();
seen.title = text("title");
seen.none = text("count");
fire("field", 1);
seen.rows = document.querySelectorAll("#readings tr").length;
document.querySelector("#readings tr:nth-child(4)").click();
seen.chosen = document.querySelector("tr.chosen").dataset.row;
seen.reading = text("probe");
const box = document.getElementById("map").getBoundingClientRect();
document.getElementById("map").dispatchEvent(new MouseEvent("click", {
  clientX: box.left + 0.5 / 16 * box.width, clientY: box.top + 15.5 / 16 * box.height }));
seen.corner = text("probe");
const mean = pixels();
fire("layer", 2);
seen.slider = !document.getElementById("sampled").hidden;
const first = pixels();
fire("sample", 4);
seen.sample = text("number");
seen.moved = mean !== first && first !== pixels();
const dotted = pixels();
document.getElementById("marks").click();
seen.bare = dotted !== pixels();
document.body.replaceChildren(document.createElement("pre"));
document.querySelector("pre").textContent = JSON.stringify(seen);
"""


@browser
def test_clicks_choose_fields_points_samples_and_readings(result, tmp_path):
    script = f"chooseField(0);{_CLICKS}</script>"
    page = view_page(result).replace("chooseField(0);\n</script>", script)
    (tmp_path / "page.html").write_text(page)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    place = f"--user-data-dir={tmp_path / 'profile'}"
    found = subprocess.run(
        [BROWSER, *options, place, "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    seen = json.loads(html.unescape(re.search(r"<pre>(.*)</pre>", found, re.DOTALL)[1]))
    assert seen["title"] == "poisson on 16 x 16 nodes by gaussian from 12 readings"
    assert seen["none"] == "No readings of this field" and seen["rows"] == 12
    assert seen["chosen"] == "4"
    near = result.potential_mean.sel(
        x=float(result.sensor_x[3]), y=float(result.sensor_y[3]), method="nearest"
    )
    shown = float(re.search(r"potential u = (\S+) ±", seen["reading"])[1])
    assert shown == pytest.approx(float(near), rel=1e-2)
    assert seen["corner"].startswith("At x = 0, y = 0: potential u = 0 ± 0")
    assert seen["slider"] and seen["sample"] == "4 of 5" and seen["moved"] and seen["bare"]
