"""What every prior does, fitted, trained or shipped: denoise, draw, return from its file."""

from dataclasses import replace

import pytest
import torch
from helpers import TINY, on_rectangle, seeded, training_data
from safetensors.torch import load_file

from pdeinv import InputError, Problem, Scenarios
from pdeinv.datasets import Darcy, pde_by_name
from pdeinv.priors import (
    DiffusionPrior,
    GaussianPrior,
    Noise,
    SensorRegressor,
    load,
    save,
    shipped,
)
from pdeinv.priors.schedule import heun, noise_levels
from pdeinv.solvers.trained_problem import trained_coefficients

DATA = {
    "vertex": (Darcy(), 16),
    "periodic": (pde_by_name("navier-stokes", time=0.2), 16),
    "rectangle": (on_rectangle(Darcy()), (24, 40)),
    "torus": (on_rectangle(pde_by_name("navier-stokes", time=0.2)), (16, 24)),
}


@pytest.fixture(scope="module", params=DATA)
def data(request):
    pde, nodes = DATA[request.param]
    return training_data(pde, nodes, samples=80)


def shaken(prior):
    """Give every layer random weights, so that the network adds something."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in prior.network.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return prior


def make_gaussian(data):
    return GaussianPrior.fit(data)


def make_diffusion(data):
    return shaken(DiffusionPrior.untrained(GaussianPrior.fit(data), **TINY))


def make_edm(data):
    return shaken(DiffusionPrior.untrained(GaussianPrior.fit(data), preconditioning="edm", **TINY))


def make_white(data):
    gaussian = GaussianPrior.fit(data, noise=Noise("white"))
    return shaken(DiffusionPrior.untrained(gaussian, preconditioning="edm", **TINY))


def make_coefficient(data):
    alone = replace(data, states=data.states[:, :1], fields=data.fields[:1])
    return shaken(DiffusionPrior.untrained(GaussianPrior.fit(alone), **TINY))


PRIORS = (make_gaussian, make_diffusion, make_edm, make_white, make_coefficient)


@pytest.fixture(scope="module", params=PRIORS, ids=lambda f: f.__name__)
def prior(request, data):
    return request.param(data)


@pytest.mark.parametrize("n", [32, 45, 128])
def test_it_denoises_and_draws_noise_on_any_grid(prior, data, n):
    grid = data.pde.grid(n)
    noise = prior.sample_noise(2, grid, seeded())
    assert noise.shape == (2, len(prior.fields), *grid.shape)
    out = prior.denoise(noise, torch.tensor([0.1, 3.0]))
    assert out.shape == noise.shape
    assert out.dtype == noise.dtype
    assert bool(out.isfinite().all())


def test_an_instance_does_not_depend_on_its_batch(prior, data):
    x = data.states[:3, : len(prior.fields)].double()
    together = prior.denoise(x, torch.tensor([0.1, 0.5, 2.0]))
    alone = torch.cat([prior.denoise(x[i : i + 1], s) for i, s in enumerate((0.1, 0.5, 2.0))])
    assert torch.allclose(together, alone, rtol=1e-4, atol=float(1e-5 * x.std()))


def test_a_small_noise_leaves_the_state(prior, data):
    x = data.states[:3, : len(prior.fields)].double()
    std = x.std(dim=(0, 2, 3), keepdim=True)
    off = (prior.denoise(x, 1e-4) - x).detach() / std
    assert float(off.abs().max()) < 1e-2


def test_denoising_is_differentiable(prior, data):
    x = data.states[:1, : len(prior.fields)].double()
    scale = x.std(dim=(2, 3), keepdim=True)
    generator = seeded()
    # Where the noise does not reach there is no gradient
    direction = prior.sample_noise(1, data.grid, generator)
    weight = torch.randn(x.shape, dtype=x.dtype, generator=generator) / scale

    def value(t):
        return (prior.denoise(x + t * direction, 0.3) * weight).sum()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(t), t)
    difference = (value(0.02) - value(-0.02)).detach() / 0.04
    assert float(slope) == pytest.approx(float(difference), rel=0.02)


def test_it_survives_its_file(prior, data, tmp_path):
    path = save(prior, tmp_path / "prior.safetensors", half=False)
    back = load(path)
    x = data.states[:2, : len(prior.fields)].double()
    assert torch.equal(back.denoise(x, 0.2), prior.denoise(x, 0.2))
    assert [f.name for f in back.fields] == [f.name for f in prior.fields]
    assert len(load_file(path)) > 3
    (ordinary := tmp_path / "ordinary").touch()
    # Others may read it where they may read other files
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_samples_are_drawn_in_physical_units(prior, data):
    few = {"steps": 10} if isinstance(prior, DiffusionPrior) else {}
    samples, again = (prior.sample(4, data.grid, seeded(1), **few) for _ in range(2))
    assert torch.equal(samples, again)
    ratio = samples.std(dim=(0, 2, 3)) / data.states[:, : len(prior.fields)].std(dim=(0, 2, 3))
    assert bool(((ratio > 0.3) & (ratio < 3)).all())


# What is shipped


@pytest.fixture(scope="module", params=shipped())
def model(request):
    return load(request.param)


def pde_of(model):
    name, parameters = getattr(model, "gaussian", model).pde
    return pde_by_name(name, **parameters)


def test_a_shipped_model_works_on_the_fields_of_its_pde(model):
    pde = pde_of(model)
    assert pde.grid_kind == model.grid.kind and set(model.fields) <= set(pde.fields)
    # On a coarser grid than that of its training a network misses the finest modes of white noise
    white = hasattr(model, "gaussian") and model.gaussian.noise.kind == "white"
    coefficients = trained_coefficients(model)
    # Which also lacks what the shortest scenarios look like
    grid = model.grid if white or isinstance(coefficients, Scenarios) else pde.grid(20)
    states = Problem(pde, coefficients).sample(4, grid, seeded(1))
    if hasattr(model, "denoise"):
        x = states[:, : len(model.fields)]
        noise = model.sample_noise(4, grid, seeded(2))
        units = x.std(dim=(0, 2, 3), keepdim=True)
        left = [float(((model.denoise(x + s * noise, s) - x) / units).norm()) for s in (1e-3, 0.3)]
        made = float((0.3 * noise / units).norm())
        assert left[0] < left[1] < 0.8 * made
    elif not isinstance(model, SensorRegressor):
        error = (model(states[:, :1]) - states[:, 1:]).norm() / states[:, 1:].norm()
        assert float(error) < 0.2


# The sampler


def test_the_levels_run_from_largest_to_zero():
    sigmas = noise_levels(5, 0.01, 10.0)
    assert sigmas[0] == pytest.approx(10.0)
    assert sigmas[-2] == pytest.approx(0.01)
    assert sigmas[-1] == 0
    assert bool((sigmas.diff() < 0).all())
    assert float(sigmas[2]) == pytest.approx(((10 ** (1 / 7) + 0.01 ** (1 / 7)) / 2) ** 7)


def test_heun_is_of_second_order_on_a_gaussian():
    """D(x) = x v / (v + σ²): the flow is x ∝ sqrt(v + σ²) exactly."""
    v, start = 0.25, torch.ones(1, 1, 1, 1, dtype=torch.float64)
    errors = []
    for steps in (20, 40, 80):
        sigmas = noise_levels(steps, 0.1, 10.0)[:-1]
        end = heun(lambda x, s: x * v / (v + s**2), start, sigmas)
        errors.append(abs(float(end) - ((v + 0.01) / (v + 100)) ** 0.5))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.3)


def test_sampling_the_gaussian_by_diffusion_gives_its_covariance(data, monkeypatch):
    gaussian = GaussianPrior.fit(data)
    prior = DiffusionPrior.untrained(gaussian, widths=(16,), modes=1)
    noised = data.states[:2] + prior.sample_noise(2, data.grid, seeded(3))
    torch.testing.assert_close(prior.denoise(noised, 1.0), gaussian.denoise(noised, 1.0))

    def nothing(network, x, level):
        return torch.zeros_like(x[:, : len(prior.fields)])

    # What an untrained network adds, without its work
    monkeypatch.setattr(type(prior.network), "forward", nothing)
    drawn = prior.sample(400, data.grid, seeded(), steps=30, batch=200)
    direct = gaussian.sample(400, data.grid, seeded(1))
    assert torch.allclose(drawn.std(dim=(0, 2, 3)), direct.std(dim=(0, 2, 3)), rtol=0.06)
    probe = gaussian.sample(1, data.grid, seeded(2))[0] / gaussian.scale[:, None, None] ** 2
    spreads = [(s * probe).sum(dim=(1, 2, 3)).std() for s in (drawn, direct)]
    assert float(spreads[0] / spreads[1]) == pytest.approx(1, abs=0.15)


def test_an_unknown_preconditioning_is_refused(data):
    with pytest.raises(InputError, match="preconditioning must be gaussian or edm, got 'vp'"):
        DiffusionPrior.untrained(GaussianPrior.fit(data), preconditioning="vp")


@pytest.mark.parametrize("preconditioning", ["gaussian", "edm"])
@pytest.mark.parametrize("noise", ["white", "exponential"])
def test_coarse_modes_of_equal_noise_are_denoised_alike_on_a_finer_grid(
    data, preconditioning, noise
):
    """White noise of level σ has less power per mode on a finer grid."""
    gaussian = GaussianPrior.fit(data, noise=Noise(noise))
    prior = shaken(DiffusionPrior.untrained(gaussian, preconditioning=preconditioning, **TINY))
    coarse = data.grid
    fine = coarse.resized(*(2 * n - (0 if coarse.periodic else 1) for n in coarse.shape))
    ratio = coarse.hx / fine.hx if noise == "white" else 1.0
    states = gaussian.normalise(data.states[:4].double())
    tables = [
        basis.resize(basis.resize(t, (11, 11)), t.shape[-2:])
        for basis, t in zip(gaussian.bases, gaussian.coefficients(states, coarse), strict=True)
    ]
    with torch.no_grad():
        ours, theirs = (
            gaussian.normalise(
                prior.denoise(gaussian.physical(gaussian.synthesis(tables, grid)), sigma)
            )
            for grid, sigma in ((coarse, 0.3), (fine, 0.3 * ratio))
        )
    assert float((ours - theirs[..., ::2, ::2]).norm() / ours.norm()) < 0.01
