"""The page on other libraries is true: its programs run."""

import numpy as np
import pytest
from readme_blocks import ROOT, blocks

from pdeinv.problems import example_by_name

PAGE = "docs/interoperability.md"
ZARR, EXPORT, GSTOOLS = blocks("python", PAGE)


def run(code, monkeypatch, folder):
    monkeypatch.chdir(folder)
    scope = {"__name__": "page"}
    exec(code, scope)
    return scope


def test_a_store_is_a_dataset(monkeypatch, tmp_path):
    pytest.importorskip("zarr")
    scope = run(ZARR, monkeypatch, tmp_path)
    expected = scope["store"]["load"][...]
    np.testing.assert_array_equal(scope["data"]["source"].values, expected)


def test_a_result_is_written(monkeypatch, tmp_path):
    pytest.importorskip("meshio")
    rasterio = pytest.importorskip("rasterio")
    example = example_by_name("aquifer")
    (tmp_path / "aquifer.toml").write_text(example.text)
    example.truth().sensors.to_csv(tmp_path / "aquifer.csv")
    scope = run(EXPORT, monkeypatch, tmp_path)
    assert (tmp_path / "aquifer.vtu").is_file()
    with rasterio.open(tmp_path / "aquifer.tif") as file:
        band = file.read(1 + file.descriptions.index("head_mean"))
        assert file.crs.to_epsg() == 25832 and "head_q0.5" in file.descriptions
    np.testing.assert_array_equal(band[::-1], scope["result"]["head_mean"])


def test_a_model_of_gstools_is_a_prior(monkeypatch, tmp_path):
    pytest.importorskip("gstools")
    scope = run(GSTOOLS, monkeypatch, tmp_path)
    medium, angle = scope["medium"], np.degrees(0.3)
    assert (medium.log_std, medium.length, medium.smoothness) == (1.2, 400.0, 0.5)
    assert (medium.anisotropy, medium.angle) == (0.5, pytest.approx(angle))


def test_every_extra_of_the_page_exists():
    tomllib = pytest.importorskip("tomllib")
    page = (ROOT / PAGE).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| [")]
    named = {row[3].strip(" `") for row in rows} - {""}
    assert named and named <= project["optional-dependencies"].keys()
