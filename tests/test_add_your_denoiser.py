"""docs/add-your-denoiser.md is true: its example runs, in Python and on the command line."""

import pytest
import xarray as xr
from readme_blocks import ROOT, blocks, import_block

PAGE = "docs/add-your-denoiser.md"
PRIOR, USE = blocks("python", PAGE)


def test_the_page_is_short():
    assert len((ROOT / PAGE).read_text().splitlines()) < 100


def test_the_example_finds_the_direction(tmp_path, monkeypatch, capsys, pdeinv):
    monkeypatch.chdir(tmp_path)
    import_block(monkeypatch, "network", PRIOR)
    (tmp_path / "network.py").write_text(PRIOR)
    scope = {}
    exec(USE, scope)
    own, gaussian = capsys.readouterr().out.splitlines()
    assert own.startswith("learned, OwnDenoiser(Layers of source)") and "GaussianPrior" in gaussian
    error, other = (float(line.split()[-1]) for line in (own, gaussian))
    assert error < 0.9 * other
    scope["sensors"].table.to_csv("s.csv", index=False)
    code, _, message = pdeinv(
        *("reconstruct", "s.csv", "--pde", "poisson", "--prior", "network.py:prior"),
        *("--grid", 16, "--samples", 32, "--out", "r.nc"),
    )
    assert code == 0, message
    with xr.open_dataset("r.nc") as result:
        assert result.attrs["prior_source"] == "network.py:prior"
        off = abs(result.source_mean - scope["source"][0, 0].numpy()).mean()
        assert float(off) == pytest.approx(error, rel=1e-2)
    code, _, message = pdeinv(
        *("reconstruct", "s.csv", "--pde", "poisson", "--prior", "network.py:prior"),
        *("--grid", 32, "--out", "r.nc"),
    )
    assert code == 2 and "the grid of the denoiser Layers must be that of its training" in message
