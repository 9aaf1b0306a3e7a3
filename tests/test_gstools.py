"""Gaussian fields of covariance models of GSTools: the same covariance at every lag."""

import math
import sys

import numpy as np
import pytest
import torch

from pdeinv import GaussianField, Grid, InputError, LogNormal

gs = pytest.importorskip("gstools")

GRID = Grid(41, 61, extent=(0.0, 1500.0, 0.0, 1000.0), unit="m")
SMOOTH, ROUGH = 1e-3, 0.016  # of the variance: waves that a table of a rough field leaves out
MODELS = {
    "exponential": (gs.Exponential(dim=2, var=2.5, len_scale=150), ROUGH),
    "rescaled": (gs.Exponential(dim=2, var=0.3, len_scale=300, rescale=2.0), ROUGH),
    "gaussian": (gs.Gaussian(dim=2, var=4.0, len_scale=200), SMOOTH),
    "integral scale": (gs.Gaussian(dim=2, integral_scale=180), SMOOTH),
    "matern": (gs.Matern(dim=2, var=1.7, len_scale=200, nu=1.5), SMOOTH),
    "matern, rough": (gs.Matern(dim=2, len_scale=250, nu=0.7), ROUGH),
    "matern, rescaled": (gs.Matern(dim=2, len_scale=250, nu=3.2, rescale=1.4), SMOOTH),
    "matern, nearly gaussian": (gs.Matern(dim=2, len_scale=110, nu=25), SMOOTH),
    "layers": (gs.Gaussian(dim=2, len_scale=300, anis=0.4, angles=0.5), SMOOTH),
    "layers across": (gs.Matern(dim=2, len_scale=150, nu=2, anis=2.0, angles=0.5), SMOOTH),
    "layers, turned far": (gs.Matern(dim=2, len_scale=300, nu=2, anis=0.5, angles=-2.9), SMOOTH),
    "layers, upright": (gs.Exponential(dim=2, len_scale=200, anis=3), ROUGH),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_covariance_is_that_of_the_model(name):
    model, error = MODELS[name]
    field = GaussianField.from_gstools(model, mean=3.0)
    assert field.mean == 3.0 and field.std == pytest.approx(math.sqrt(model.var))
    assert 0 < field.anisotropy <= 1 and -90 <= field.angle < 90
    unit = torch.zeros(1, 1, *GRID.shape, dtype=torch.float64)
    row, column = 18, 25
    unit[0, 0, row, column] = 1
    found = field.latent(GRID.domain, GRID.kind).covariance(unit, GRID)[0, 0].numpy()
    y, x = (nodes.numpy() for nodes in GRID.coordinates())
    lags = np.stack(np.meshgrid(x - x[column], y - y[row])).reshape(2, -1)
    expected = model.cov_spatial(lags).reshape(GRID.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=error * model.var)
    assert np.ptp(expected) > 0.9 * model.var


@pytest.mark.parametrize("name", MODELS)
def test_the_length_is_where_the_correlation_is_one_over_e(name):
    model, _ = MODELS[name]
    field = GaussianField.from_gstools(model)
    for length, degrees in ((1, 0), (field.anisotropy, 90)):
        turn = math.radians(field.angle + degrees)
        place = field.length * length * np.array([[math.cos(turn)], [math.sin(turn)]])
        assert model.cov_spatial(place)[0] / model.var == pytest.approx(math.exp(-1), rel=1e-6)


def test_its_numbers_make_a_log_normal_field():
    field = GaussianField.from_gstools(gs.Exponential(dim=2, var=1.44, len_scale=150), mean=None)
    assert field.mean is None or field.mean.low < field.mean.high  # unknown
    medium = LogNormal(8.0, field.std, field.length, field.smoothness)
    assert medium.log_std == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (gs.Spherical(dim=2), "must be Exponential, Gaussian or Matern, got Spherical; fit"),
        (gs.Stable(dim=2, alpha=1.5), "got Stable"),
        (gs.Exponential(dim=2, nugget=0.1), r"nugget .* must be 0, got 0\.1; .* noise_std"),
        (gs.Exponential(dim=3), "of the plane, got dim=3"),
        (gs.Exponential(latlon=True), "of the plane, got latlon"),
        (gs.Matern(dim=2, nu=0.3), r"nu .* must be at least 0\.5, got 0\.3"),
        (gs.Exponential(dim=2, var=0), "std"),
        ("a model", "got str"),
    ],
)
def test_other_models_are_refused(model, message):
    with pytest.raises(InputError, match=message):
        GaussianField.from_gstools(model)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gstools", None)
    with pytest.raises(InputError, match=r"gstools must be installed .* 'pdeinv\[gstools\]'"):
        GaussianField.from_gstools(MODELS["exponential"][0])
