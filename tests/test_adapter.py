"""A Gaussian part for the denoiser of a user, whose own posterior is known."""

import math

import pytest
import torch
from helpers import seeded

from pdeinv import Grid, InputError, Problem
from pdeinv.datasets import Poisson
from pdeinv.priors import DenoisingPrior, GaussianPrior, Noise, TrainingData, as_denoising_prior

N = 15  # odd, since a periodic basis has no Nyquist mode


class Wiener:
    """What a user would write: the exact denoiser of a Gaussian field, in the values at nodes."""

    mean = 7.0

    def __init__(self, problem, noise=None):
        self.fields, self.grid = problem.physics.fields[:1], problem.physics.grid(N)
        eye = torch.eye(N * N, dtype=torch.float64).reshape(-1, 1, N, N)
        self.covariance = problem.latent.covariance(eye, self.grid).reshape(N * N, N * N)
        self.root = torch.linalg.cholesky(
            self.covariance + 1e-9 * self.covariance.trace() * torch.eye(N * N) / N**2
        )
        self.unit = 2 * float(self.covariance.diagonal().mean().sqrt())
        if noise is None:
            self.noise_root = torch.eye(N * N, dtype=torch.float64)
        else:
            (basis,) = GaussianPrior.fit(self.examples()).bases
            modes = basis.capacity(self.grid)
            size = math.prod(modes)
            unit = torch.eye(size, dtype=torch.float64).reshape(-1, 1, *modes)
            self.noise_root = noise.sample((basis,), self.grid, unit).reshape(size, -1).T

    def examples(self):
        states = self.sample(50, self.grid, seeded(8)).float()
        return TrainingData(states, self.fields, self.grid, None, "here")

    def gain(self, sigma):
        noise = (sigma * self.unit) ** 2 * self.noise_root @ self.noise_root.T
        return self.covariance @ torch.linalg.pinv(self.covariance + noise, hermitian=True)

    def posterior(self, sigma):
        return self.covariance - self.gain(sigma) @ self.covariance

    def denoise(self, x, sigma):
        z = (x - self.mean).double().flatten(1) @ self.gain(sigma).T
        return (self.mean + z).reshape(x.shape).to(x)

    def sample(self, n, grid, generator=None):
        z = torch.randn(n, N * N, dtype=torch.float64, generator=generator)
        return self.mean + (z @ self.root.T).reshape(n, 1, *grid.shape)

    def sample_noise(self, n, grid, generator=None):
        z = torch.randn(n, self.noise_root.shape[1], dtype=torch.float64, generator=generator)
        return self.unit * (z @ self.noise_root.T).reshape(n, 1, *grid.shape)


CASES = {
    "white": (Problem.named("poisson", modes=12), None),
    "exponential": (Problem.named("poisson", modes=12), Noise("exponential", 0.1)),
    "periodic": (Problem.named("navier-stokes", modes=12), None),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    problem, noise = CASES[request.param]
    prior = Wiener(problem, noise)
    return prior, as_denoising_prior(prior, problem.physics, grid=prior.grid, draws=4000), noise


def test_the_gaussian_part_is_that_of_the_denoiser(case):
    prior, adapted, noise = case
    assert isinstance(adapted, DenoisingPrior) and adapted.evaluations_per_call == 1
    gaussian = adapted.gaussian
    kind, length = (noise.kind, noise.length) if noise else ("white", gaussian.noise.length)
    assert gaussian.noise.kind == kind
    assert gaussian.noise.length == pytest.approx(length, rel=0.05)
    assert float(gaussian.scale) == pytest.approx(prior.unit, rel=0.05)
    assert float(gaussian.mean(prior.grid).mean()) == pytest.approx(7.0, abs=0.1 * prior.unit)
    for sigma in (0.1, 0.5):
        x = prior.sample(8, prior.grid, seeded(1))
        x = x + sigma * prior.sample_noise(8, prior.grid, seeded(2))
        assert torch.allclose(adapted.denoise(x, sigma), prior.denoise(x, sigma))
        exact, found = (p.denoise(x, sigma) - 7 for p in (prior, gaussian))
        assert float((found - exact).norm() / exact.norm()) < 0.12
        eye = torch.eye(N * N, dtype=torch.float64).reshape(-1, 1, N, N)
        covariance = gaussian.covariance(eye, sigma).reshape(N * N, N * N)
        inner = torch.arange(N * N).reshape(N, N)[2:-2, 2:-2].flatten()
        # In cosines white noise is stronger at the sides than on the nodes
        exact, found = (c[inner[:, None], inner] for c in (prior.posterior(sigma), covariance))
        assert float((found - exact).norm() / exact.norm()) < 0.1


def test_it_leaves_the_random_state_and_repeats_itself():
    class Forgetful(Wiener):
        """Ignores the generator."""

        def sample(self, n, grid, generator=None):
            return super().sample(n, grid)

        def sample_noise(self, n, grid, generator=None):
            return super().sample_noise(n, grid)

    prior = Forgetful(Problem.named("poisson", modes=12))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = as_denoising_prior(prior, Poisson(), grid=prior.grid, draws=100).gaussian
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    second = as_denoising_prior(prior, Poisson(), grid=prior.grid, draws=100).gaussian
    assert torch.equal(first.scale, second.scale)
    x = prior.sample(2, prior.grid)
    assert torch.equal(first.denoise(x, 0.3), second.denoise(x, 0.3))


def test_a_prior_with_a_gaussian_part_stays_as_it_is(case):
    _, adapted, _ = case
    for prior in (adapted, adapted.gaussian):
        assert as_denoising_prior(prior, Poisson()) is prior


def test_noise_that_is_white_on_the_nodes_is_found_in_every_basis():
    """A masked field's basis represents no boundary values, which white noise has."""

    class Masked(Wiener):
        mean = 0.0

        def sample(self, n, grid, generator=None):
            x = super().sample(n, grid, generator)
            inside = torch.zeros_like(x)
            inside[..., 1:-1, 1:-1] = x[..., 1:-1, 1:-1]
            return inside

    prior = Masked(Problem.named("poisson", modes=12))
    gaussian = as_denoising_prior(prior, Poisson(), grid=prior.grid, draws=100).gaussian
    assert gaussian.bases[0].masked and gaussian.noise.kind == "white"


def smoothed(x):
    return (x + x.roll(1, -1) + x.roll(1, -2) + x.roll((1, 1), (-1, -2))) / 2


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("sample_noise", smoothed, "sample_noise must have the covariance of pdeinv.priors.Noise"),
        (
            "sample_noise",
            lambda x: 100 * x,
            "twice the standard deviation of source, got (1\\.9|2|2\\.1)e.02",
        ),
        ("sample_noise", lambda x: x[:, 0], r"sample_noise must return the shape \(256, 1, 15, 15"),
        ("sample", lambda x: x * torch.nan, "sample must return finite values"),
        ("sample", lambda x: 0 * x, "'source' must vary in Wiener.sample"),
    ],
)
def test_what_cannot_be_a_denoiser_is_refused(method, change, message, monkeypatch):
    prior = Wiener(Problem.named("poisson", modes=12))
    original = getattr(prior, method)
    monkeypatch.setattr(prior, method, lambda *args: change(original(*args)))
    with pytest.raises(InputError, match=message):
        as_denoising_prior(prior, Poisson(), grid=Grid(N), draws=50)


def test_what_lacks_a_method_is_refused():
    with pytest.raises(InputError, match="must have fields, denoise, sample_noise and sample, got"):
        as_denoising_prior(object(), Poisson())
