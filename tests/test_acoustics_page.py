"""The page on waves is true: its program runs, and its figures are those of the tests."""

import re

import pytest
from helpers import ROOT
from readme_blocks import blocks
from test_acoustics import error_of_a_point_source, reflection

from pdeinv import Sensors
from pdeinv.datasets import Acoustics, Impedance, Open

PAGE = "docs/acoustics.md"


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        found = {"__name__": "page", "folder": folder}
        for code in blocks("python", PAGE):
            exec(code, found)
        yield found


def test_the_source_is_found(scope):
    assert abs(scope["place"]["x"] - 0.6) < 0.03 and abs(scope["place"]["y"] - 0.45) < 0.03
    assert (scope["folder"] / "acoustics.png").stat().st_size > 10_000
    assert 0.5 < scope["result"].attrs["reduced_chi_squared"] < 1.6


def test_the_scan_is_a_problem(scope):
    scan = scope["problem"].physics
    assert len(scan.experiments) == 6 and scope["problem"].grid == 32
    assert (ROOT / "docs/figures/inverse-scattering.png").exists()


def test_the_rows_of_the_page_are_complex_readings(tmp_path):
    (csv,) = blocks("csv", PAGE)
    path = tmp_path / "readings.csv"
    path.write_text(csv)
    pde = Acoustics().reading(["wavefield_imag"])
    observation = Sensors.read(path).observation(pde, pde.grid(16))
    assert observation.values.tolist() == [0.31, -0.12, -0.05, 0.2]
    assert observation.channel.tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize("angle", [0, 30, 60, 80])
def test_the_reflections_are_as_measured(angle):
    (row,) = re.findall(rf"^\| {angle}° \|(.*)\|$", (ROOT / PAGE).read_text(), re.MULTILINE)
    stated = [float(cell) for cell in row.split("|")]
    for side, value in zip((Impedance(1.0), Impedance(0.5), Open()), stated, strict=True):
        assert reflection(side, angle) == pytest.approx(value, rel=0.3, abs=5e-7)


@pytest.mark.parametrize("n", [48, 72, 96, 144])
def test_the_errors_of_a_point_source_are_as_measured(n):
    ((stated,),) = [
        re.findall(rf"^\| {n} \| [\d.]+ \| ([\d.]+) % \|$", (ROOT / PAGE).read_text(), re.MULTILINE)
    ]
    assert 100 * error_of_a_point_source(n) == pytest.approx(float(stated), rel=0.15)
