"""The latent field of a coefficient with two values: its spectrum and share come back from samples
of the coefficient."""

import math

import pytest
import torch
from helpers import seeded

from pdeinv.datasets import Darcy
from pdeinv.grid import Grid
from pdeinv.priors import GaussianPrior, TrainingData, threshold_prior
from pdeinv.random_field import GaussianRandomField, TabulatedField

LOW, HIGH = 3.0, 12.0


def fitted(field, threshold=0.0, samples=2000, n=32):
    """The prior of a coefficient that is high where the field is above a multiple of its standard
    deviation."""
    width, height = (3 * length for length in field.aspect)
    ny, nx = (round(n * length) for length in field.aspect[::-1])
    kind = "periodic" if field.boundary == "periodic" else "vertex"
    grid = Grid(ny, nx, (10.0, 10.0 + width, -height, 0.0), "km", kind)
    g = field.sample(samples, grid, seeded()) / field.variance(grid).sqrt()
    a = torch.where(g >= threshold, HIGH, LOW).float()
    return GaussianPrior.fit(TrainingData(a, Darcy().fields[:1], grid, None, "here"))


def latent_field(prior):
    """The latent field of the threshold prior that a learned one implies."""
    grid = prior.grid
    return threshold_prior(prior, LOW, HIGH).latent(grid.domain, grid.kind)


def correlations(field, grid, row, column):
    """Of a node with those of its row and of its column."""
    unit = torch.zeros(1, 1, *grid.shape, dtype=torch.float64)
    unit[0, 0, row, column] = 1.0
    std = field.variance(grid).sqrt()
    correlation = field.covariance(unit, grid)[0, 0] / (std * std[row, column])
    return torch.cat([correlation[row], correlation[:, column]])


# A field held in a basis has no correlations of other modes: near the boundary these are missed.
@pytest.mark.parametrize(
    ("field", "error"),
    [
        (GaussianRandomField("neumann", 2.0, 3.0, 32), 0.13),
        (GaussianRandomField("neumann", 3.0, 8.0, 32), 0.1),
        (GaussianRandomField("periodic", 2.5, 7.0, 31), 0.03),
        (GaussianRandomField("neumann", 3.0, 8.0, 32, (5 / 3, 1.0)), 0.1),
        (GaussianRandomField("periodic", 2.5, 7.0, 31, (1.0, 5 / 3)), 0.03),
    ],
    ids=["darcy", "smooth", "periodic", "rectangle", "tall torus"],
)
@pytest.mark.parametrize("threshold", [0.0, 0.6], ids=["half", "fewer"])
def test_the_correlations_are_those_of_the_field(field, error, threshold):
    prior = fitted(field, threshold)
    found, grid = latent_field(prior), prior.grid
    share = float((prior.mean(grid).mean() - LOW) / (HIGH - LOW))
    t = float(torch.special.ndtri(torch.tensor(share)))
    assert share == pytest.approx(0.5 * math.erfc(threshold / 2**0.5), abs=0.02)
    eigenvalues = found.eigenvalues.clone()
    area = field.aspect[0] * field.aspect[1]
    eigenvalues[0, 0] = (eigenvalues[0, 0] - area * t**2).clamp(min=0)
    found = TabulatedField(found.boundary, eigenvalues, found.aspect)
    for row, column in ((16, 16), (8, 20)):
        ours, theirs = (correlations(f, grid, row, column) for f in (found, field))
        assert float((ours - theirs).abs().max()) < error
    assert float(found.variance(grid).mean()) == pytest.approx(1.0, abs=0.05)


def test_its_draws_have_the_power_of_the_coefficients():
    prior = fitted(GaussianRandomField("neumann", 2.0, 3.0, 32))
    draws = latent_field(prior).sample(3000, prior.grid, seeded(1))
    again = GaussianPrior.fit(
        TrainingData(
            torch.where(draws >= 0, HIGH, LOW).float(), prior.fields, prior.grid, None, "here"
        )
    )
    roots = [p.covariance_root(prior.grid) for p in (again, prior)]
    units = prior.bases[0].synthesis(
        torch.eye(16 * 16, dtype=torch.float64).reshape(-1, 1, 16, 16), prior.grid
    )
    ours, theirs = ((r.adjoint(units).square() @ r.variances()).reshape(16, 16) for r in roots)
    ring = prior.bases[0].frequencies((16, 16), prior.grid.domain) / math.pi
    for least, most in ((0.5, 2), (2, 4), (4, 8), (8, 16)):
        mine = (ring >= least) & (ring < most)
        assert float(ours[mine].sum() / theirs[mine].sum()) == pytest.approx(1.0, abs=0.15)
