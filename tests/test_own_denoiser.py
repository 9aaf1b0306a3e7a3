"""A denoiser of one's own as a prior: its posterior is known in closed form, every solver by
diffusion takes it, and what is none is refused in one sentence."""

from dataclasses import replace
from functools import cache

import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import distance, seeded, tuning_task, vector

from pdeinv import EquiReg, Grid, InputError, Problem, pde_from_function, reconstruct
from pdeinv.priors import (
    DenoisingPrior,
    GaussianPrior,
    GroupAveraged,
    Noise,
    TrainingData,
    prior_from_denoiser,
)
from pdeinv.solvers import DAPS, DDIS, DPS, SOLVERS, DiffusionPDE, FunDPS, Moment
from pdeinv.solvers.diffusion.base import DiffusionSolver

N = 16
GRID = Grid(N)
PROBLEM = Problem.named("poisson", modes=8)
SIGMA_DATA = 0.7


@cache
def states(samples=400):
    return PROBLEM.sample(samples, GRID, seeded(5))


@cache
def statistics(channels):
    """Mean and standard deviation of the fields, and their covariance at the nodes."""
    std = states()[:, :channels].transpose(0, 1).flatten(1).std(dim=1)
    latent = PROBLEM.latent
    unit = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    columns = (PROBLEM.state(unit, GRID)[:, :channels] / std[:, None, None]).flatten(1)
    return std, columns.T @ columns


class Network(torch.nn.Module):
    """The exact denoiser of a Gaussian field, for inputs of a standard deviation sigma_data."""

    def __init__(self, channels, predicts="x0", dtype=torch.float32):
        super().__init__()
        values, vectors = torch.linalg.eigh(statistics(channels)[1] * SIGMA_DATA**2)
        self.register_buffer("values", values.clamp(min=0).to(dtype))
        self.weight = torch.nn.Parameter(vectors.to(dtype))
        self.dropout = torch.nn.Dropout(0.5)
        self.predicts = predicts

    def forward(self, z, sigma):
        variance = sigma[:, None] ** 2
        along = z.flatten(1) @ self.weight
        kept = (along * (self.values / (self.values + variance))) @ self.weight.T
        kept = self.dropout(kept).reshape(z.shape)
        level = sigma[:, None, None, None]
        return {"x0": kept, "noise": (z - kept) / level, "score": (kept - z) / level**2}[
            self.predicts
        ]


def plain(channels):
    network = Network(channels).eval()
    return lambda z, sigma: network(z, sigma)


def fields_of(channels):
    return PROBLEM.physics.fields[:channels]


@cache
def own(channels, kind="module", examples=True):
    """The prior of the network, or of a function."""
    denoiser = Network(channels) if kind == "module" else plain(channels)
    given = {"examples": states()[:, :channels]} if examples else {"draws": 400}
    std = statistics(channels)[0].tolist()
    return prior_from_denoiser(
        denoiser, fields_of(channels), GRID, std=std, sigma_data=SIGMA_DATA, **given
    )


def observed(noise=0.02):
    return tuning_task("poisson", "both", grid=N, sensors=30, noise=noise, seed=1).instance(0)


@pytest.mark.parametrize("kind", ["module", "function"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_posterior_of_a_gaussian_denoiser_is_the_exact_one(channels, kind):
    """At the last levels the answer is the denoiser's; the Gaussian part is fitted to examples."""
    _, observation = observed(noise=0.05)
    prior = own(channels, kind)
    found = Moment(steps=30)(PROBLEM.physics, prior, observation, n_samples=200, generator=seeded())
    exact = SOLVERS["gaussian"]()(PROBLEM.physics, PROBLEM.prior, observation, generator=seeded())
    for c in range(2):
        assert distance(found.mean[c], exact.mean[c]) < 0.1
        inner = (slice(1, -1), slice(1, -1))  # on the sides the potential is exact
        ratio = found.std[c][inner].mean() / exact.std[c][inner].mean()
        assert float(ratio) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("gaussian", [True, False])
def test_a_prior_of_the_coefficient_serves_physics_without_derivatives(gaussian):
    """With "auto", one that draws its members from the prior."""
    solve = PROBLEM.physics.solve
    pde = pde_from_function(
        lambda a: solve(torch.from_numpy(a)[None, None])[0, 0].numpy(), ["source", "potential"]
    )
    _, given = observed()
    table = {
        "field": [("source", "potential")[c] for c in given.channel],
        **{name: given.points[:, i].numpy() for i, name in enumerate("xy")},
        "value": given.values.numpy(),
        "noise_std": given.noise_std.numpy(),
    }
    prior = package_prior(1) if gaussian else own(1)
    found = reconstruct(table, pde, prior=prior, grid=N)
    assert found.attrs["solver"] == "optimal-interpolation"
    assert found.attrs["solver_calls"] > 0


def package_prior(channels):
    data = TrainingData(states()[:, :channels].float(), fields_of(channels), GRID, None, "here")
    return GaussianPrior.fit(data, noise=Noise("white"))


CASES = {
    "dps": DPS(steps=40),
    "fundps": FunDPS(steps=30),
    "diffusionpde": DiffusionPDE(steps=30, weight=4.0),
    "daps": DAPS(steps=20, ode_steps=3, langevin=20, weights=(1000.0, 1000.0)),
    "ddis": DDIS(steps=20, ode_steps=3, langevin=20),
    "moment": Moment(),
}


def test_every_solver_by_diffusion_has_a_case():
    assert set(CASES) == {n for n, s in SOLVERS.items() if issubclass(s, DiffusionSolver)}


@pytest.mark.parametrize("solver", CASES.values(), ids=CASES)
def test_a_solver_gives_the_posterior_of_the_same_prior_of_the_package(solver):
    channels = 1 if solver.role == "coefficient" else 2
    _, observation = observed()
    ours, theirs = (
        solver(PROBLEM.physics, prior, observation, n_samples=32, generator=seeded()).mean
        for prior in (own(channels), package_prior(channels))
    )
    assert max(distance(a, b) for a, b in zip(ours, theirs, strict=True)) < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("predicts", ["x0", "noise", "score"])
def test_what_a_network_returns_is_made_the_denoised_fields(predicts, dtype):
    network, std = Network(2, predicts, dtype).train(), statistics(2)[0]
    prior = prior_from_denoiser(
        network,
        ["source", "potential"],
        GRID,
        mean=[3.0, -1.0],
        std=std.tolist(),
        sigma_data=SIGMA_DATA,
        predicts=predicts,
        examples=states() + vector(3.0, -1.0)[:, None, None],
    )
    assert isinstance(prior, DenoisingPrior) and [f.name for f in prior.fields] == [
        f.name for f in fields_of(2)
    ]
    shift = vector(3.0, -1.0)[:, None, None]
    x = states()[:4] + shift + 0.4 * prior.sample_noise(4, GRID, seeded())
    covariance = statistics(2)[1]
    # Noise of level 1 has twice the standard deviation of the fields
    gain = covariance @ torch.linalg.inv(covariance + 0.8**2 * torch.eye(2 * N * N))
    z = ((x - shift) / std[:, None, None]).flatten(1) @ gain.T
    exact = z.reshape(x.shape) * std[:, None, None]
    denoised = prior.denoise(x, 0.4)
    assert denoised.dtype == x.dtype and distance(denoised - shift, exact) < 1e-3
    assert prior.denoise(x.float(), torch.full((4,), 0.4)).dtype == torch.float32
    assert network.training and network.dropout.training


def test_the_gaussian_part_comes_from_draws_where_there_are_no_examples():
    calls = []

    class Counted(Network):
        def forward(self, z, sigma):
            calls.append(len(z))
            return super().forward(z, sigma)

    torch.manual_seed(3)
    before = torch.get_rng_state()
    std = statistics(1)[0].tolist()
    prior = prior_from_denoiser(
        Counted(1), fields_of(1), GRID, std=std, sigma_data=SIGMA_DATA, draws=300
    )
    assert torch.equal(torch.get_rng_state(), before) and sum(calls) < 300 * 39 + 20
    eye = torch.eye(N * N, dtype=torch.float64).reshape(-1, 1, N, N)
    drawn, fitted = (p.gaussian.covariance(eye).flatten(1) for p in (prior, own(1)))
    exact = statistics(1)[1] * std[0] ** 2
    assert distance(drawn, exact) < 2 * distance(fitted, exact) + 0.05 < 0.4
    made = len(calls)
    for seed in (0, 1):  # the fit is kept
        Moment(steps=3)(PROBLEM.physics, prior, observed()[1], n_samples=2, generator=seeded(seed))
    assert len(calls) == made + 6
    assert prior.sample(3, GRID, seeded()).shape == (3, 1, N, N)


def test_a_denoiser_of_ones_own_goes_through_the_door():
    table = pd.DataFrame(
        {"field": "solution", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [1e-3, -1e-3]}
    )
    for prior, solver, evaluations in ((own(2), FunDPS(steps=12), 23), (own(1), "auto", 20)):
        result = reconstruct(
            table, "poisson", noise=1e-4, grid=N, solver=solver, prior=prior, n_samples=2
        )
        assert result.attrs["network_evaluations"] == evaluations
        assert result.attrs["prior"].startswith("learned, OwnDenoiser(Network of source")
    with pytest.raises(InputError, match=r"must be that of its training, 16 x 16, got 24 x 24"):
        reconstruct(table, "poisson", noise=1e-4, grid=24, solver=FunDPS(steps=3), prior=own(2))
    with pytest.raises(InputError, match=r"for a network pdeinv\.priors\.prior_from_denoiser"):
        reconstruct(table, "poisson", noise=1e-4, grid=N, prior=Network(1))


def test_a_network_for_any_grid_serves_any_grid():
    def smooth(z, sigma):
        """Denoises white noise: it has no grid."""
        return z * (0.25 / (0.25 + sigma**2))[:, None, None, None]

    white = 0.5 * torch.randn(50, 1, N, N, generator=seeded())
    prior = prior_from_denoiser(smooth, "source", GRID, std=0.5, examples=white, any_grid=True)
    assert prior.denoise(torch.zeros(2, 1, 24, 24), 0.3).shape == (2, 1, 24, 24)
    assert prior.sample_noise(2, Grid(24), seeded()).shape == (2, 1, 24, 24)
    with pytest.raises(InputError, match="must have the aspect 1 to 1 of its training data"):
        prior.sample_noise(2, Grid(24, 48, extent=(0.0, 2.0, 0.0, 1.0)))


def test_other_noise_is_that_of_the_package():
    noise, std = Noise("exponential", 0.1), statistics(1)[0].tolist()
    known = GaussianPrior.fit(
        TrainingData(states()[:, :1].float(), fields_of(1), GRID, None, "here"), noise=noise
    )

    def denoiser(z, sigma):
        unit = std[0] / SIGMA_DATA
        return known.denoise(z * unit, sigma * 0.5 / SIGMA_DATA) / unit

    given = {"std": std, "sigma_data": SIGMA_DATA, "noise": noise}
    prior = prior_from_denoiser(
        denoiser, fields_of(1), GRID, examples=states()[:, :1].numpy(), **given
    )
    assert (
        distance(prior.sample_noise(4, GRID, seeded()), known.sample_noise(4, GRID, seeded()))
        < 0.05
    )
    with pytest.raises(InputError, match="examples must be given for a denoiser of exponential"):
        prior_from_denoiser(denoiser, fields_of(1), GRID, **given)


@pytest.mark.parametrize("options", [{"guidance": (EquiReg(),)}, {"group_average": True}])
def test_its_equivariance_is_that_of_the_fields_of_the_pde(options):
    """Names alone do not state that a vorticity changes its sign under reflections."""
    flow = Problem.named("navier-stokes", modes=4)
    grid, fields = flow.physics.grid(N), flow.physics.fields[:1]
    examples = flow.sample_coefficient(60, grid, seeded())
    std = float(examples.std())

    def denoiser(z, sigma):
        """Neither exact nor odd."""
        smooth = z + z.roll(1, -1) + z.roll(1, -2) + z.roll((1, 1), (-1, -2))
        level = sigma[:, None, None, None]
        return (z + level * smooth / 8 + 0.1 * level * z.tanh() ** 2) / (1 + level) ** 2

    prior = prior_from_denoiser(denoiser, ["initial_vorticity"], grid, std=std, examples=examples)
    group = flow.physics.symmetries.acting_on(fields)
    averaged = GroupAveraged(prior, group)
    for g in group:
        x = examples[:2]
        torch.testing.assert_close(
            averaged.denoise(g(x, grid), 0.3), g(averaged.denoise(x, 0.3), grid), atol=1e-5, rtol=0
        )
    assert not torch.allclose(averaged.denoise(x, 0.3), prior.denoise(x, 0.3), atol=1e-3)
    _, observation = tuning_task("navier-stokes", "inverse", grid=N, sensors=10).instance(0)
    noisy = torch.full_like(observation.values, std)  # the truth has more modes than the prior
    observation = replace(observation, noise_std=noisy)
    given, plain = (
        Moment(steps=3, **o)(flow.physics, prior, observation, n_samples=2, generator=seeded()).mean
        for o in (options, {})
    )
    assert given.isfinite().all() and not torch.equal(plain, given)


def test_examples_may_be_a_dataset_of_the_fields():
    dims = ("sample", "y", "x")
    dataset = xr.Dataset(
        {f.name: (dims, states()[:, c].numpy()) for c, f in enumerate(fields_of(2))}
    )
    std = statistics(2)[0].tolist()
    prior = prior_from_denoiser(
        Network(2), fields_of(2), GRID, std=std, sigma_data=SIGMA_DATA, examples=dataset
    )
    x = states()[:2]
    torch.testing.assert_close(prior.gaussian.denoise(x, 0.3), own(2).gaussian.denoise(x, 0.3))
    with pytest.raises(InputError, match="examples must have the variable 'source', got potential"):
        prior_from_denoiser(
            Network(2), fields_of(2), GRID, std=std, examples=dataset.drop_vars("source")
        )


def of_state(change):
    """Return the exact denoiser, with its result changed."""
    network = Network(1).eval()
    return lambda z, sigma: change(z, sigma[:, None, None, None], network(z, sigma))


WRONG = {
    "no callable": (Network, {}, "must be a module or a callable"),
    "fails": (lambda z, s: z @ torch.eye(3), {}, r"must accept x \(3, 1, 16, 16\) .* RuntimeError"),
    "sigma as a number": (lambda z, s: z / (1 + s**2), {}, r"use sigma\[:, None, None, None\]"),
    "shape": (lambda z, s: z[:, 0], {}, r"the shape of z, \(3, 1, 16, 16\), got \(3, 16, 16\)"),
    "no tensor": (lambda z, s: z.detach().numpy(), {}, "must return a floating-point tensor"),
    "nan": (of_state(lambda z, s, d: d * torch.nan), {}, "must return finite values"),
    "batch": (of_state(lambda z, s, d: d + z.mean(dim=0)), {}, "each state of a batch alone"),
    "random": (of_state(lambda z, s, d: torch.rand_like(d)), {}, "each state of a batch alone"),
    "the input": (lambda z, s: z, {}, "about the mean for pure noise, .* check predicts"),
    "predicts": (Network(1), {"predicts": "noise"}, "about the mean for pure noise"),
    "predicts the noise": (Network(1, "noise"), {}, "about the mean for pure noise"),
    "the mean": (of_state(lambda z, s, d: 0 * d), {}, "must return about its input for little"),
    "sigma_data": (
        Network(1),
        {"sigma_data": 0.2, "examples": None},
        "std .* must be the standard",
    ),
    "std": (Network(1), {"std": 1e3}, "std .* must be the standard deviation of source, got 1e.03"),
    "no std": (Network(1), {"std": 0.0}, "std .* one positive number or one for each of source"),
    "means": (Network(1), {"mean": [0.0, 1.0]}, "mean .* one number or one for each of source"),
    "kind": (Network(1), {"predicts": "v"}, "predicts of prior_from_denoiser must be"),
    "grid": (Network(1), {"grid": 16}, "grid of prior_from_denoiser must be a Grid, got 16"),
    "draws": (Network(1), {"draws": 0}, "draws of prior_from_denoiser must be"),
    "examples": (
        Network(1),
        {"examples": torch.ones(3, 16, 16)},
        r"examples must be \(n, 1, 16, 16",
    ),
    "few": (Network(1), {"examples": torch.ones(3, 1, 16, 16)}, "at least 8 samples"),
    "no field": (Network(1), {"fields": ()}, "fields of a denoiser must be at least one"),
    "fields": (Network(1), {"fields": (3,)}, "fields of a denoiser must be names or Fields"),
}


@pytest.mark.parametrize(("denoiser", "change", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_a_denoiser_is_refused(denoiser, change, message):
    given = {
        "fields": fields_of(1),
        "grid": GRID,
        "std": statistics(1)[0].tolist(),
        "sigma_data": SIGMA_DATA,
        "examples": states()[:, :1],
        "draws": 20,
    } | change
    with pytest.raises(InputError, match=message):
        prior_from_denoiser(denoiser, **given)


def test_a_denoiser_without_gradients_serves_the_solvers_that_need_none():
    given = {"std": statistics(2)[0].tolist(), "sigma_data": SIGMA_DATA, "examples": states()}
    prior = prior_from_denoiser(torch.no_grad()(Network(2).eval()), fields_of(2), GRID, **given)
    _, observation = observed()
    run = {"n_samples": 2, "generator": seeded()}
    assert Moment(steps=3)(PROBLEM.physics, prior, observation, **run).mean.isfinite().all()
    for solver in (DPS(steps=3), Moment(steps=3, guidance=(EquiReg(sigma_max=9.0),))):
        with pytest.raises(InputError, match="must be differentiable with respect to z"):
            solver(PROBLEM.physics, prior, observation, **run)
