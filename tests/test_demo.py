"""The demonstration: its files, its scorecard, and the sensors that come with the package."""

from importlib import resources

import pandas as pd
import pytest
import xarray as xr
from helpers import EXAMPLES

from pdeinv import Sensors
from pdeinv.benchmarks.demo import demo_sensors
from pdeinv.datasets import PDES, pde_by_name


def test_every_example_has_its_sensors():
    folder = resources.files("pdeinv") / "data"
    tables = {path.name.removesuffix("-sensors.csv") for path in folder.glob("*-sensors.csv")}
    assert tables == EXAMPLES <= set(PDES) and tables


def test_the_demo_writes_its_files_and_a_scorecard(pdeinv, tmp_path):
    out = tmp_path / "demo"
    code, text, _ = pdeinv("demo", "--pde", "poisson", "--out", out)
    assert code == 0
    assert {path.name for path in out.iterdir()} == {
        "poisson-sensors.csv",
        "poisson.nc",
        "poisson.png",
    }
    with xr.open_dataset(out / "poisson.nc") as result:
        assert result.sizes["sensor"] == 125 and result.attrs["pde"] == "poisson"
    for field, bound in (("source", 25), ("potential", 5)):
        scores = next(
            line.split() for line in text.splitlines() if line.split()[:2] == ["poisson", field]
        )
        error, kriging, inside = (float(score.rstrip("%")) for score in scores[3:6])
        assert error < bound and error < kriging and 75 <= inside <= 100


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_shipped_sensors_follow_their_recipe(name):
    shipped = Sensors.read(resources.files("pdeinv") / "data" / f"{name}-sensors.csv")
    made = demo_sensors(pde_by_name(name))
    assert len(made) == 125 and set(made.table.field) == {f.name for f in pde_by_name(name).fields}
    pd.testing.assert_frame_equal(shipped.table, made.table, rtol=1e-9, atol=1e-9)
