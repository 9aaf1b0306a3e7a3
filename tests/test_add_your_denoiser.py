"""docs/add-your-denoiser.md is true: its example runs, in Python and on the command line."""

import re

import pytest
import torch
import xarray as xr
from helpers import seeded
from readme_blocks import ROOT, blocks, import_block

from pdeinv import GaussianField, Grid
from pdeinv.priors import prior_from_denoiser

PAGE = "docs/add-your-denoiser.md"
PRIOR, USE, DDPM = blocks("python", PAGE)


(COMMAND,) = re.findall(r"^`pdeinv (.*)`$", (ROOT / PAGE).read_text(), re.MULTILINE)


def test_the_page_is_short():
    assert len((ROOT / PAGE).read_text().splitlines()) < 100


def test_the_example_finds_the_direction(tmp_path, monkeypatch, capsys, pdeinv):
    monkeypatch.chdir(tmp_path)
    import_block(monkeypatch, "network", PRIOR)
    (tmp_path / "network.py").write_text(PRIOR)
    scope = {}
    exec(USE, scope)
    own, gaussian = capsys.readouterr().out.splitlines()
    assert own.startswith("learned, OwnDenoiser(layers of source)") and "GaussianPrior" in gaussian
    error, other = (float(line.split()[-1]) for line in (own, gaussian))
    assert error < 0.9 * other
    code, _, message = pdeinv(*COMMAND.split(), "--samples", 32)
    assert code == 0, message
    with xr.open_dataset("result.nc") as result:
        assert result.attrs["prior_source"] == "network.py:prior"
        off = abs(result.source_mean - scope["source"][0, 0].numpy()).mean()
        assert float(off) == pytest.approx(error, rel=1e-2)
    code, _, message = pdeinv(
        *("reconstruct", "sensors.csv", "--pde", "poisson", "--prior", "network.py:prior"),
        *("--grid", 32, "--out", "r.nc"),
    )
    assert code == 2 and "the grid of the denoiser layers must be that of its training" in message


def test_a_network_of_steps_is_wrapped():
    """The exact network of a variance-preserving model of a Gaussian field gives its draws, and its
    conditional mean to the distance between two steps."""
    scope, grid, field = {}, Grid(12), GaussianField(0.0, 3.0, 0.6)
    exec(DDPM, scope)
    unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
    covariance = field.latent(grid.domain, grid.kind).covariance(unit, grid).flatten(1) / 9
    values, vectors = torch.linalg.eigh(covariance)
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)

    def network(x, step):
        kept = alpha_bar[step].to(x)[:, None]
        along = x.flatten(1) @ vectors.to(x)
        noise = (1 - kept).sqrt() * along / (kept * values.to(x) + 1 - kept)
        return (noise @ vectors.mT.to(x)).reshape(x.shape)

    denoiser = scope["FromDDPM"](network, alpha_bar)
    prior = prior_from_denoiser(
        denoiser, ["source"], grid, std=3.0, predicts="noise", sigma_data=1.0, draws=100
    )
    drawn = prior.sample(200, grid, seeded())
    assert float(drawn.std()) == pytest.approx(3.0, rel=0.1)
    x, sigma = field.sample(4, grid, seeded(1)) + 2.4 * torch.randn(4, 1, 12, 12), 0.4
    exact = (x.flatten(1) @ vectors * values / (values + 0.8**2)) @ vectors.mT
    off = prior.denoise(x, sigma).flatten(1) - exact
    assert float(off.norm() / exact.norm()) < 0.01
