"""A learned model is evaluated on the aspect of its training, whatever the extent and the unit."""

from functools import cache

import pytest
import torch
from helpers import TINY, on_rectangle, seeded, training_data

from pdeinv import Grid, InputError, Observation, Problem
from pdeinv.datasets import Darcy, Poisson
from pdeinv.grid import Domain
from pdeinv.priors import (
    DiffusionPrior,
    GaussianPrior,
    GroupAveraged,
    NeuralOperator,
    Noise,
    SensorRegressor,
    load,
    save,
)
from pdeinv.symmetry import rectangle_group

ELSEWHERE = Domain((100.0, 105.0, -3.0, 0.0), "m")
SLENDER = Domain((0.0, 3.0, 0.0, 1.0))


def filled(model):
    """Add to all weights, for the last layer of a new network is zero."""
    with torch.no_grad():
        for p in model.network.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=seeded()))
    return model


@cache
def made(kind):
    data = training_data(on_rectangle(Darcy()), (24, 40), samples=40)
    if kind == "operator":
        return NeuralOperator.untrained(data, width=8, modes=4, layers=2)
    if kind == "regressor":
        return SensorRegressor.untrained(data, width=16, modes=4, layers=2)
    prior = GaussianPrior.fit(data, noise=Noise("white" if kind == "white" else "exponential"))
    if kind in ("gaussian", "white"):
        return prior
    if kind == "averaged":
        return GroupAveraged(filled(DiffusionPrior.untrained(prior, **TINY)), rectangle_group())
    widths = (16, 16, 16) if kind == "deep" else (16, 32)
    return filled(DiffusionPrior.untrained(prior, widths=widths, modes=4))


DENOISERS = ("gaussian", "white", "diffusion", "deep", "averaged")
KINDS = (*DENOISERS, "operator", "regressor")


def readings(grid):
    shares = torch.rand(20, 2, dtype=torch.float64, generator=seeded())
    zero, channel = torch.zeros(20, dtype=torch.float64), torch.arange(20) % 2
    return Observation(grid, grid.domain.absolute(shares), channel, zero + 1, zero)


def evaluated(model, grid):
    """What a model computes on a grid."""
    if isinstance(model, SensorRegressor):
        return model(readings(grid))
    if isinstance(model, NeuralOperator):
        return model(
            Problem.of(on_rectangle(Darcy())).sample_coefficient(
                2, Grid(*grid.shape, RECTANGLE, "km"), seeded()
            )
        )
    x = model.gaussian.sample(2, grid, seeded()) + 0.3 * model.sample_noise(2, grid, seeded(1))
    return torch.cat([x, model.denoise(x, 0.3), model.gaussian.covariance(x, 0.3)])


RECTANGLE = (0.0, 5.0, 0.0, 3.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(24, 40), (31, 51)], ids=str)
def test_the_extent_and_the_unit_change_nothing(kind, shape):
    one, other = (
        evaluated(made(kind), Grid(*shape, extent, unit))
        for extent, unit in ((RECTANGLE, "km"), (ELSEWHERE.extent, ELSEWHERE.unit))
    )
    assert one.shape[-2:] == shape and bool(one.isfinite().all())
    assert torch.allclose(one, other, rtol=1e-5, atol=1e-5 * float(one.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_another_aspect_is_refused(kind):
    model, wrong = made(kind), Grid(24, 70, SLENDER.extent)
    names = r"aspect 1\.667 to 1 of its training data, got .*aspect 3 to 1.*; .*train a prior"
    field = torch.ones(1, 2, *wrong.shape, dtype=torch.float64)
    calls = [lambda: model.denoise(field, 0.1)]
    if kind == "operator":
        calls = [lambda: model(field[:, :1])]
    elif kind == "regressor":
        calls = [lambda: model(readings(wrong))]
    else:
        for call in (model.sample, model.sample_noise, model.gaussian.sample):
            calls.append(lambda call=call: call(1, wrong))
        calls.append(lambda: model.gaussian.mean(wrong))
        calls.append(lambda: model.gaussian.covariance(field))
        calls.append(lambda: model.gaussian.covariance_root(wrong))
    for call in calls:
        with pytest.raises(InputError, match=names):
            call()


def test_a_prior_of_a_square_is_not_evaluated_on_a_rectangle():
    prior = GaussianPrior.fit(training_data("poisson", samples=40))
    with pytest.raises(InputError, match=r"aspect 1 to 1 of .*, got the aspect 1\.667 to 1 of \[0"):
        prior.sample(1, on_rectangle(Poisson()).grid(24, 40))
    with pytest.raises(InputError, match=r"as many as on 24 x 24, .* got 24 x 40"):
        prior.denoise(torch.zeros(1, 2, 24, 40), 0.1)


def test_cells_that_were_not_square_in_training_may_stay_so():
    data = training_data(on_rectangle(Poisson()), (20, 20), samples=40)
    prior = GaussianPrior.fit(data)
    for shape in ((20, 20), (31, 31), (24, 40)):
        assert prior.denoise(torch.zeros(1, 2, *shape), 0.1).shape[-2:] == shape
    with pytest.raises(InputError, match="got 40 x 24"):
        prior.denoise(torch.zeros(1, 2, 40, 24), 0.1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "averaged"])
def test_a_file_keeps_the_rectangle(kind, tmp_path):
    model = made(kind)
    back = load(save(model, tmp_path / "m.safetensors", half=False))
    assert back.grid == model.grid and back.fields == model.fields and back.pde == model.pde
    grid = Grid(24, 40, RECTANGLE, "km")
    assert torch.equal(evaluated(back, grid), evaluated(model, grid))


def test_the_average_over_the_group_is_equivariant():
    prior, grid = made("averaged"), Grid(24, 40, RECTANGLE, "km")
    x = prior.gaussian.sample(1, grid, seeded()) + 0.3 * prior.sample_noise(1, grid, seeded(1))
    for g in rectangle_group():
        moved = prior.denoise(g(x, grid), 0.3)
        assert torch.allclose(moved, g(prior.denoise(x, 0.3), grid), rtol=1e-4, atol=1e-4)
    single = prior.prior.denoise(x.flip(-1), 0.3).flip(-1) - prior.prior.denoise(x, 0.3)
    assert float(single.abs().max()) > 1e-3
