"""The page on one's own domain is true: its blocks run, one after the other."""

import numpy as np
import pytest
from matplotlib.image import imread
from readme_blocks import blocks

from pdeinv.files import save_netcdf
from pdeinv.solvers import LevelSet

PAGE = "docs/your-own-domain.md"
QUICK = "n_samples=2, solver=LevelSet(ensemble=4, draws=16, stages='brief')"


@pytest.mark.filterwarnings("ignore::pdeinv.errors.InputWarning")
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (table,) = blocks("csv", PAGE)
    (tmp_path / "aquifer.csv").write_text(table)
    scope = {"LevelSet": LevelSet}
    for block in blocks("python", PAGE):
        exec(block.replace("grid=48", "grid=16").replace("n_samples=16", QUICK), scope)
    assert scope["both"]["wavefield_mean"].dims == ("experiment", "y", "x")
    result, head = scope["result"], scope["head"]
    assert result.x[[0, -1]].values.tolist() == [0.0, 3000.0] and result.x.units == "m"
    assert {"head_mean", "hydraulic_conductivity_std", "flux_x_mean", "flux_y_mean"} <= {*result}
    assert np.allclose(result.head_mean[:, 0], 52.0) and np.allclose(result.head_mean[:, -1], 50.0)
    assert head.shape == (8,) and head.units == "m"
    assert imread(tmp_path / "aquifer.png").std() > 0.1
    save_netcdf(result, tmp_path / "aquifer.nc")
