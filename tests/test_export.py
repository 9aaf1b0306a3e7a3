"""The fields of a result in files of other programs, read back."""

import sys

import numpy as np
import pytest
import xarray as xr

import pdeinv
from pdeinv import Field, InputError, LogNormal, Problem, Sensors, datasets, layouts
from pdeinv.datasets import Darcy, NoFlux, Sides, Value
from pdeinv.grid import Domain

KINDS = ("vertex", "cell", "periodic")


def aquifer(kind):
    physics = Darcy(
        domain=Domain((100, 400, -50, 50), unit="m"),
        boundary=Sides(left=Value(12), right=Value(10), bottom=NoFlux(), top=NoFlux()),
        source=0,
        solution_field=Field("head", "hydraulic head", "m"),
        grid_kind=kind,
    )
    return Problem(physics, LogNormal(median=8, log_std=1, length=100), physics.grid(16, 24))


@pytest.fixture(scope="module", params=KINDS)
def result(request):
    if request.param == "periodic":
        truth = datasets.example("navier-stokes").isel(sample=0)
        sensors = Sensors.observe(truth.final_vorticity, layouts.random(20, seed=1), noise_std="5%")
        return pdeinv.reconstruct(sensors, "navier-stokes", solver="kriging", grid=16, n_samples=4)
    readings = [(150, 0, 11.7), (220, 20, 11.0), (330, -30, 10.4)]
    names = ("x", "y", "value")
    sensors = [
        {"field": "head", "noise_std": 0.05} | dict(zip(names, one, strict=True))
        for one in readings
    ]
    return pdeinv.reconstruct(sensors, problem=aquifer(request.param), n_samples=4)


def held(result):
    """The maps that a file has, by their names."""
    fields = [
        n.removesuffix("_mean")
        for n in result.data_vars
        if n.endswith("_mean") and result[n].dims == ("y", "x")
    ]
    found = {f"{f}_{one}": result[f"{f}_{one}"] for f in fields for one in ("mean", "std")}
    for field in fields:
        found[f"{field}_q0.1"] = pdeinv.quantities.quantile(result, field, 0.1)
    return found


@pytest.mark.parametrize("ending", ["vtu", "vtk"])
def test_a_file_of_vtk_has_the_values_where_they_are(result, ending, tmp_path):
    meshio = pytest.importorskip("meshio")
    result.pdeinv.to_vtk(tmp_path / f"r.{ending}", quantiles=[0.1])
    mesh = meshio.read(tmp_path / f"r.{ending}")
    quads = mesh.cells_dict["quad"]
    on_cells = result.attrs["grid_kind"] == "cell"
    values = {k: v[0] for k, v in mesh.cell_data.items()} if on_cells else mesh.point_data
    places = mesh.points[quads].mean(axis=1) if on_cells else mesh.points
    expected = held(result)
    assert values.keys() == expected.keys() and len(expected) >= 3
    for name, field in expected.items():
        at = {k: xr.DataArray(places[:, i], dims="node") for i, k in enumerate("xy")}
        nearest = field.sel(**at, method="nearest", tolerance=1e-6)
        np.testing.assert_array_equal(values[name], nearest)
    corners = mesh.points[quads][..., :2]
    edges = np.roll(corners, -1, axis=1) - corners
    turns = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    ny, nx = expected[name].shape
    spacing = [np.diff(result[k].values)[0] for k in "xy"]
    assert len(quads) == (ny * nx if on_cells else (ny - 1) * (nx - 1))
    np.testing.assert_allclose(turns, np.prod(spacing), rtol=1e-6)  # all anticlockwise
    assert np.all(mesh.points[:, 2] == 0)


def test_a_geotiff_has_the_values_where_they_are(result, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    result.pdeinv.to_geotiff(tmp_path / "r.tif", quantiles=[0.1], crs="EPSG:25832")
    expected = held(result)
    with rasterio.open(tmp_path / "r.tif") as file:
        assert file.crs.to_epsg() == 25832 and set(file.descriptions) == set(expected)
        for i, name in enumerate(file.descriptions, 1):
            field, unit = expected[name], file.units[i - 1]
            assert unit == field.attrs.get("units", "1")
            places = [(float(x), float(y)) for y in field["y"] for x in field["x"]]
            found = np.array([value[i - 1] for value in file.sample(places)])
            np.testing.assert_array_equal(found, field.values.ravel())
        # The pixel in the north-west, and the raster's edge half a spacing away from its node
        x, y = result["x"].values, result["y"].values
        assert file.xy(0, 0) == pytest.approx((x[0], y[-1]))
        dx, dy = x[1] - x[0], y[1] - y[0]
        bounds = (x[0] - dx / 2, y[0] - dy / 2, x[-1] + dx / 2, y[-1] + dy / 2)
        assert tuple(file.bounds) == pytest.approx(bounds)
        kind = "Area" if result.attrs["grid_kind"] == "cell" else "Point"
        assert file.tags()["AREA_OR_POINT"] == kind
        if kind == "Area":
            assert tuple(file.bounds) == pytest.approx((100, -50, 400, 50))
    result.pdeinv.to_geotiff(tmp_path / "plain.tif", quantiles=())
    with rasterio.open(tmp_path / "plain.tif") as file:
        assert file.crs is None or file.crs.to_epsg() is None
        assert len(file.descriptions) == len(expected) * 2 // 3


@pytest.mark.parametrize(
    ("method", "library", "ending", "other"),
    [("to_vtk", "meshio", "vtu", "png"), ("to_geotiff", "rasterio", "tif", "vtk")],
)
def test_what_cannot_be_written_is_refused(
    method, library, ending, other, result, tmp_path, monkeypatch
):
    pytest.importorskip(library)
    write = getattr(result.pdeinv, method)
    for path, given, message in (
        (f"r.{other}", {}, "must end in"),
        (f"no/r.{ending}", {}, "does not exist"),
        (f"r.{ending}", {"quantiles": [1.5]}, "a quantile must be"),
        (f"r.{ending}", {"quantiles": 0.5}, "must be numbers between 0 and 1"),
    ):
        with pytest.raises(InputError, match=message):
            write(tmp_path / path, **given)
    several = result.expand_dims(time=2).pdeinv
    with pytest.raises(InputError, match=r"got the dimensions time; .* result\.isel\(time=-1\)"):
        getattr(several, method)(tmp_path / f"r.{ending}")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"{library} must be .* 'pdeinv\[export\]'"):
        write(tmp_path / f"r.{ending}")
    assert not list(tmp_path.iterdir())


def test_a_reference_system_that_is_none_is_refused(result, tmp_path):
    pytest.importorskip("rasterio")
    with pytest.raises(InputError, match=r"crs must be a reference system .*'EPSG:25832'"):
        result.pdeinv.to_geotiff(tmp_path / "r.tif", crs="nowhere")
