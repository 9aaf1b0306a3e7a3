"""The page on two pumping tests is true: its commands and its programs run."""

import pytest
import xarray as xr
from helpers import ROOT, run_command
from readme_blocks import blocks

from pdeinv.datasets import Experiments

PAGE = "docs/two-pumping-tests.md"
LOG = "log_hydraulic_conductivity"


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        first, second = blocks("sh", PAGE)[0].splitlines()
        run_command(*first.split()[1:])
        found = {"__name__": "page", "second": second.split()[1:]}
        for code in blocks("python", PAGE):
            exec(code, found)
        yield found


def test_the_tests_are_experiments_as_the_page_states_them(scope):
    stated = Experiments((scope["west"], scope["east"]), names=("west", "east"))
    assert stated == scope["problem"].physics


def test_two_tests_narrow_the_conductivity_where_their_water_flows(scope):
    assert scope["both"]["head_mean"].dims == ("experiment", "y", "x")
    assert scope["alone"]["head_mean"].dims == ("y", "x")
    near = scope["narrowed"].sel(x=2100, y=700, method="nearest")
    assert float(scope["narrowed"].mean()) > 1.05 and float(near) > 1.05


def test_a_simulated_second_test_narrows_the_conductivity_too(scope):
    table, read = scope["planned"].table, scope["table"]
    places = ["field", "x", "y", "noise_std"]
    assert table[places].sort_values(places).to_numpy().tolist() == (
        read[places].sort_values(places).to_numpy().tolist()
    )
    assert sorted(table.experiment) == sorted(read.experiment.fillna(""))
    found, alone = (float(scope[name][f"{LOG}_std"].mean()) for name in ("expected", "alone"))
    assert found < 0.95 * alone


def test_the_command_has_the_options_of_the_page(scope):
    options = ["--grid", "16", "--samples", "1", "--solver", "kriging"]
    run_command(*scope["second"], *options)
    with xr.open_dataset("two-pumping-tests.nc") as result:
        assert result.experiment.values.tolist() == ["west", "east"]


def test_the_rows_of_the_page_are_of_the_table(scope):
    (csv,) = blocks("csv", PAGE)
    with open("two-pumping-tests.csv") as table:
        assert set(csv.splitlines()) <= set(table.read().splitlines())
    assert (ROOT / "docs/figures/two-pumping-tests.png").exists()
