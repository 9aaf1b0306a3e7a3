"""The page on other libraries is true: its programs run."""

import numpy as np
import pytest
import torch
from helpers import seeded
from readme_blocks import ROOT, blocks

import pdeinv
from pdeinv import GaussianField, Grid
from pdeinv.priors import prior_from_denoiser
from pdeinv.problems import example_by_name

PAGE = "docs/interoperability.md"
ZARR, EXPORT, GSTOOLS, PHYSICS, DENOISER = blocks("python", PAGE)


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


def test_the_most_likely_field_is_the_posterior_mean(monkeypatch, tmp_path):
    scope = run(PHYSICS, monkeypatch, tmp_path)
    prior = GaussianField(0.0, 1.0, 0.5)
    result = pdeinv.reconstruct(scope["sensors"], "poisson", prior=prior, grid=16, n_samples=2)
    off = abs(result["source_mean"] - scope["source"][0, 0].numpy()).max()
    assert float(off) < 0.02 < float(abs(result["source_mean"]).max())


class Exact(torch.nn.Module):
    """The denoiser of images 0.4 + 0.2 f for a Gaussian field f, with deepinv's signature."""

    def __init__(self, field, grid):
        super().__init__()
        unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
        covariance = field.latent(grid.domain, grid.kind).covariance(unit, grid).flatten(1)
        values, self.vectors = torch.linalg.eigh(0.2**2 * covariance)
        self.values = values.clamp(min=0)

    def forward(self, x, sigma):
        along = (x - 0.4).flatten(1).double() @ self.vectors
        kept = along * self.values / (self.values + sigma.double()[:, None] ** 2)
        return ((kept @ self.vectors.mT).reshape(x.shape) + 0.4).to(x)


def test_a_denoiser_of_images_is_a_prior(monkeypatch, tmp_path):
    scope, grid = run(DENOISER, monkeypatch, tmp_path), Grid(12)
    field = GaussianField(0.0, 1.0, 0.6)
    denoiser = scope["FromDeepinv"](Exact(field, grid), 0.4)
    scale = {"mean": 2.0, "std": 0.5, "sigma_data": 0.2}
    prior = prior_from_denoiser(denoiser, ["source"], grid, **scale, draws=200)
    drawn = prior.sample(200, grid, seeded())
    assert float(drawn.mean()) == pytest.approx(2.0, abs=0.05)
    assert float(drawn.std()) == pytest.approx(0.5, rel=0.1)
    given = GaussianField(2.0, 0.5, 0.6).sample(2, grid, seeded(1))
    found = prior.denoise(given + 0.3 * torch.randn(2, 1, 12, 12, generator=seeded(2)), 0.3)
    assert 0 < float((found - given).square().mean().sqrt()) < 0.15


def test_every_extra_of_the_page_exists():
    tomllib = pytest.importorskip("tomllib")
    page = (ROOT / PAGE).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| [")]
    named = {row[3].strip(" `") for row in rows} - {""}
    assert named and named <= project["optional-dependencies"].keys()
