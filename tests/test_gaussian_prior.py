"""The Gaussian prior against dense linear algebra, and against the exact denoiser of a linear
PDE."""

import math
from dataclasses import replace

import h5py
import pytest
import torch
from helpers import on_rectangle, seeded

from pdeinv import Grid, InputError, Problem, SpectralField
from pdeinv.datasets import Helmholtz, Poisson, generate
from pdeinv.priors import GaussianPrior, Noise, TrainingData, load, save
from pdeinv.priors.validation import denoising_errors

FEW = SpectralField(modes=24)
TORUS = Problem.named("navier-stokes", modes=24, time=0.2)
PROBLEMS = {
    "poisson": Problem(Poisson(), FEW),
    "helmholtz": Problem(Helmholtz(), FEW),
    "navier-stokes": TORUS,
    "rectangle": Problem(on_rectangle(Poisson()), FEW),
}


def training_data(problem, n=None, samples=1500, seed=0, channels=2):
    pde = problem.physics
    grid = pde.grid(n or (16 if pde.domain.square else 12))
    states = problem.sample(samples, grid, seeded(seed))[:, :channels].float()
    fields = pde.fields[:channels]
    return TrainingData(states, fields, grid, pde, "made here", prior=problem.prior)


@pytest.fixture(scope="module", params=PROBLEMS)
def fitted(request):
    data = training_data(PROBLEMS[request.param])
    return data, GaussianPrior.fit(data)


def test_samples_without_the_symmetries_of_their_pde_keep_their_mean():
    data = training_data(PROBLEMS["poisson"], samples=200)
    grid = data.grid
    y, x = torch.meshgrid(*grid.coordinates(), indexing="ij")
    bump = (
        torch.exp(-20 * ((x - 0.25) ** 2 + (y - 0.25) ** 2)).float() * 5 * data.states[:, 0].std()
    )
    data = replace(data, states=data.states + bump)
    for symmetry in (True, False):
        prior = GaussianPrior.fit(data, symmetry=symmetry)
        mean = prior.denoise(torch.zeros(1, 2, *grid.shape, dtype=torch.float64), sigma=1e4)[0, 0]
        assert (float(mean[12, 12]) > 0.5 * float(mean[4, 4])) == symmetry


def dense(prior, grid):
    """Covariances of the state and of the noise between all nodes, and the mean, in normalised
    units."""
    n = len(prior.fields) * grid.nodes
    eye = torch.eye(n, dtype=torch.float64).reshape(n, -1, *grid.shape)
    weight = prior.scale[:, None, None]
    state = (prior.covariance(eye / weight) / weight).reshape(n, n)
    noise = []
    for basis in prior.bases:
        own = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, *grid.shape)
        spread = prior.noise.variance(basis, grid).sqrt()
        roots = (basis.synthesis_adjoint(own, grid) * spread).flatten(1)
        noise.append(roots @ roots.T)
    mean = prior.physical(prior.synthesis([m[None] for m in prior.means], prior.grid))
    return state, torch.block_diag(*noise), ((mean - prior.shift[:, None, None]) / weight).flatten()


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_denoising_is_the_wiener_filter_of_its_covariance(fitted, sigma):
    data, prior = fitted
    grid = data.grid
    state, noise, mean = dense(prior, grid)
    x = data.states[:8].double() + sigma * prior.sample_noise(8, grid, seeded(1))
    z = ((x - prior.shift[:, None, None]) / prior.scale[:, None, None]).flatten(1)
    gain = state @ torch.linalg.pinv(state + sigma**2 * noise, rtol=1e-9, hermitian=True)
    expected = mean + (z - mean) @ gain.T
    carried = (
        prior.synthesis(prior.coefficients(z.reshape(x.shape).float(), grid), grid)
        .flatten(1)
        .double()
    )
    found = prior.normalise(prior.denoise(x, sigma)).flatten(1).double() - (z - carried)
    assert float((found - expected).norm() / expected.norm()) < 2e-3


@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_the_posterior_covariance_and_error_are_those_of_the_dense_formula(fitted, sigma):
    data, prior = fitted
    state, noise, _ = dense(prior, data.grid)
    left = (
        state
        - state @ torch.linalg.pinv(state + sigma**2 * noise, rtol=1e-9, hermitian=True) @ state
    )
    n = len(left)
    eye = (
        torch.eye(n, dtype=torch.float64).reshape(n, -1, *data.grid.shape)
        / prior.scale[:, None, None]
    )
    found = (prior.covariance(eye, sigma) / prior.scale[:, None, None]).reshape(n, n)
    assert float((found - left).norm() / left.norm()) < 2e-2
    predicted = prior.error(torch.tensor([sigma]))[0].double()
    assert torch.allclose(predicted, found.diagonal().reshape(2, -1).mean(dim=1).sqrt(), rtol=0.1)


def test_predicted_and_made_errors_agree_on_gaussian_fields(fitted):
    data, prior = fitted
    fresh = training_data(Problem(data.pde, data.prior), samples=300, seed=9)
    made = denoising_errors(prior, fresh, (0.1, 1.0))
    predicted = prior.error(torch.tensor([0.1, 1.0])).T / 0.5
    for row, expected in zip(made.values(), predicted.tolist(), strict=True):
        assert row == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("name", ["poisson", "helmholtz", "rectangle"])
def test_the_denoiser_of_a_linear_pde_is_nearly_the_exact_one(name):
    """Wiener's filter with the true covariance, which the PDE gives as a matrix."""
    problem = PROBLEMS[name]
    data = training_data(problem, samples=4000)
    prior, grid = GaussianPrior.fit(data), data.grid
    fresh = training_data(problem, samples=400, seed=9).states.double()
    units = torch.eye(problem.latent.size, dtype=torch.float64)
    columns = (
        problem.state(units.reshape(-1, *problem.latent.shape), grid) / prior.scale[:, None, None]
    )
    rows = torch.cat([t.flatten(1) for t in prior.coefficients(columns, grid)], dim=1)
    spread = torch.cat([prior.noise.variance(b, grid).flatten() for b in prior.bases])
    whitened = rows.T @ rows / (spread.sqrt()[:, None] * spread.sqrt())
    values, vectors = torch.linalg.eigh(whitened)
    values, sizes = values.clamp(min=0), [math.prod(b.capacity(grid)) for b in prior.bases]
    for sigma in (0.1, 0.5, 2.0):
        x = fresh + sigma * prior.sample_noise(len(fresh), grid, seeded(2))
        tables = prior.coefficients(x / prior.scale[:, None, None], grid)
        z = torch.cat([t.flatten(1) for t in tables], dim=1) / spread.sqrt()
        z = (z @ vectors * (values / (values + sigma**2)) @ vectors.T * spread.sqrt()).split(
            sizes, dim=1
        )
        z = [t.reshape(-1, *b.capacity(grid)) for t, b in zip(z, prior.bases, strict=True)]
        exact = prior.synthesis(z, grid) - fresh / prior.scale[:, None, None]
        ours = (prior.denoise(x, sigma) - fresh) / prior.scale[:, None, None]
        excess = (
            ours.square().mean(dim=(0, 2, 3)).sqrt() / exact.square().mean(dim=(0, 2, 3)).sqrt() - 1
        )
        assert float(excess.max()) < 0.02, (sigma, excess)


@pytest.mark.parametrize(
    ("problem", "channels"),
    [(TORUS, 2), (Problem.named("darcy", modes=24), 1)],
)
def test_chance_correlations_of_few_samples_do_no_harm(problem, channels):
    fresh = training_data(problem, 20, 200, 9, channels)
    few, many = (
        denoising_errors(
            GaussianPrior.fit(training_data(problem, 20, samples, channels=channels)),
            fresh,
            (0.05,),
        )
        for samples in (100, 1000)
    )
    for name, (error,) in few.items():
        assert error < 1.05 * many[name][0]


def test_samples_have_the_covariance(fitted):
    data, prior = fitted
    samples = prior.sample(2000, data.grid, seeded(3))
    std = (samples - data.states.double().mean(dim=0)).std(dim=(0, 2, 3)) / prior.scale
    assert torch.allclose(std, torch.full_like(std, 0.5), rtol=0.05)
    fields = data.states.double()
    assert torch.allclose(samples.mean(dim=0), fields.mean(dim=0), atol=float(0.2 * fields.std()))
    cross = [
        torch.corrcoef(torch.stack([t[:, 0, 5, 5], t[:, 1, 5, 5]]))[0, 1] for t in (samples, fields)
    ]
    assert float(cross[0]) == pytest.approx(float(cross[1]), abs=0.1)


@pytest.mark.parametrize("kind", ["exponential", "white"])
def test_the_noise_has_unit_variance_and_means_the_same_on_every_grid(kind):
    prior = GaussianPrior.fit(training_data(PROBLEMS["poisson"]), noise=Noise(kind, length=0.1))
    grids = Grid(16), Grid(31)
    xi = prior.white(500, Grid(16), seeded())
    xi[..., 14:, :] = xi[..., :, 14:] = 0  # sines of which the coarse grid knows nothing
    first, second = (prior.noise_fields(xi, g) / prior.scale[:, None, None] for g in grids)
    full = prior.sample_noise(500, Grid(16), seeded()) / prior.scale[:, None, None]
    inner = full[:, 0, 4:-4, 4:-4].square().mean()
    assert float(inner) == pytest.approx(0.87 if kind == "exponential" else 1.0, abs=0.1)
    if kind == "exponential":
        assert torch.allclose(second[:, :, ::2, ::2], first, atol=1e-4)


def test_denoising_tends_to_the_mean_and_to_the_state(fitted):
    data, prior = fitted
    x = data.states[:4].double()
    std = 0.5 * prior.scale[:, None, None]
    assert float(((prior.denoise(x, 1e-6) - x) / std).abs().max()) < 1e-3
    mean = prior.physical(prior.synthesis([m[None] for m in prior.means], data.grid))
    seen = prior.physical(
        prior.synthesis(prior.coefficients(prior.normalise(x), data.grid), data.grid)
    )
    assert float(((prior.denoise(x, 1e5) - (x - seen) - mean) / std).abs().max()) < 1e-3


def test_a_fit_on_a_file_is_the_fit_on_what_it_holds(tmp_path):
    path = generate(PROBLEMS["poisson"], 64, 16, 5, tmp_path / "data.h5")
    prior = GaussianPrior.fit(path)
    assert [f.name for f in prior.fields] == ["source", "potential"]
    assert prior.pde[0] == "poisson"
    assert GaussianPrior.fit(path, channels="coefficient").sample(2, Grid(20)).shape == (
        2,
        1,
        20,
        20,
    )
    save(prior, tmp_path / "prior.safetensors")
    back = load(tmp_path / "prior.safetensors")
    x = prior.sample(3, Grid(21), seeded())
    assert torch.equal(back.denoise(x, 0.3), prior.denoise(x, 0.3))


def test_what_cannot_be_fitted_is_refused(tmp_path):
    path = generate(Problem.named("poisson", modes=8), 8, 8, 0, tmp_path / "data.h5")
    with pytest.raises(InputError, match="got 'velocity'"):
        GaussianPrior.fit(path, channels="velocity")
    with h5py.File(path, "r+") as file:
        file["source"][3, 2, 2] = float("nan")
    with pytest.raises(InputError, match="sample 3"):
        GaussianPrior.fit(path)
    with h5py.File(path, "r+") as file:
        file["source"][...] = 1.0
    with pytest.raises(InputError, match="'source' must vary"):
        GaussianPrior.fit(path)


def test_states_that_do_not_fit_are_refused(fitted):
    _, prior = fitted
    with pytest.raises(InputError, match="states of this prior must be"):
        prior.denoise(torch.zeros(2, 3, 16, 16), 0.1)
    with pytest.raises(InputError, match="must be positive"):
        prior.denoise(torch.zeros(2, 2, *prior.grid.shape), 0.0)
    other = Grid(16, kind="vertex" if prior.grid.periodic else "periodic")
    with pytest.raises(InputError, match="the grid of this prior must be"):
        prior.sample(2, other)
    with pytest.raises(InputError, match="exponential or white, got 'pink'"):
        Noise("pink")
    with pytest.raises(InputError, match="must be positive"):
        Noise(length=0.0)
