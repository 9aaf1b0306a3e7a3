"""Distributions of coefficients: one contract for every kind, and what each of them states."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import normal, seeded
from scipy.interpolate import RectBivariateSpline
from scipy.optimize import brentq
from sklearn.gaussian_process.kernels import Matern

from pdeinv import (
    Channels,
    CoefficientPrior,
    GaussianField,
    Grid,
    Inclusions,
    InputError,
    LogNormal,
    Scenarios,
    SpectralField,
    Spikes,
    Transformed,
    TwoPhase,
)
from pdeinv.datasets import Vortices
from pdeinv.symmetry import Symmetry, rectangle_group, square_group
from pdeinv.symmetry_element import POINT_GROUP

EXAMPLES = {
    "channels": Channels(low=2.0, high=9.0, width=(0.05, 0.2)),
    "gaussian-field": GaussianField(2.0, 0.5, 0.3, anisotropy=0.5, angle=30, mean_std=0.2),
    "inclusions": Inclusions(centre=(0.1, 0.8)),
    "log-normal": LogNormal(3.0, 0.8, 0.3, 0.5, 0.6, angle=100, log_median_std=0.1),
    "scenarios": Scenarios((0.3, 0.5), (0, 60), std=0.7, mean=1.5),
    "spectral-field": SpectralField("neumann", 2.0, 3.0, modes=16),
    "spikes": Spikes(height=(0.7, 3.0)),
    "transformed": Transformed(GaussianField(0.4, 0.9, 0.2), torch.sigmoid),
    "two-phase": TwoPhase(GaussianField(0.0, 2.0, 0.3, math.inf), 1.0, 5.0, share=0.2),
    "vortices": Vortices(time=0.5, nodes=16),
}
KINDS = {k: c for k, c in CoefficientPrior.kinds.items() if c.__module__.startswith("pdeinv.")}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_map = pytest.mark.parametrize("kind", [k for k, prior in EXAMPLES.items() if prior.has_latent])

SHARES = ("channels", "inclusions", "spikes", "spectral-field", "vortices")
"""Kinds whose lengths are shares of the domain's sides."""

SQUARE = Grid(13)
AQUIFER = Grid(13, 31, extent=(0.0, 3000.0, 0.0, 1200.0), unit="m")
TORUS = Grid(12, kind="periodic")
each_grid = pytest.mark.parametrize(
    "grid", [SQUARE, AQUIFER, TORUS], ids=["square", "aquifer", "torus"]
)
E = math.exp(-1)


def on(prior, grid):
    """The latent field of a prior on a grid's domain."""
    return prior.latent(grid.domain, grid.kind)


def place(prior, n):
    """A grid of n cells along each side, of the kind that the prior is for."""
    return Grid(n, kind="periodic") if isinstance(prior, Vortices) else Grid(n + 1)


def covariance_matrix(latent, grid):
    unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
    return latent.covariance(unit, grid).reshape(grid.nodes, grid.nodes)


def test_every_kind_has_an_example():
    assert EXAMPLES.keys() == KINDS.keys()
    assert all(type(prior) is KINDS[kind] for kind, prior in EXAMPLES.items())


# What holds for every kind


@each_map
def test_a_sample_is_the_map_of_the_latent_field(kind):
    prior = EXAMPLES[kind]
    latent = on(prior, SQUARE).sample(6, SQUARE, seeded())
    expected = prior.coefficient(latent)
    torch.testing.assert_close(prior.sample(6, SQUARE, seeded()), expected, rtol=0, atol=0)
    assert prior.coefficient(latent.float()).dtype == torch.float32


@each_kind
def test_a_sample_is_within_the_bounds(kind):
    prior = EXAMPLES[kind]
    grid = place(prior, 12)
    a = prior.sample(6, grid, seeded())
    assert a.shape == (6, 1, *grid.shape) and a.dtype == torch.float64
    assert prior.sample(0, grid, seeded()).shape == (0, 1, *grid.shape)
    assert len(a.flatten(1).unique(dim=0)) == 6
    if prior.bounds is not None:
        assert prior.bounds[0] <= float(a.min()) and float(a.max()) <= prior.bounds[1]
    assert prior.positive == (prior.bounds is not None and prior.bounds[0] > 0)
    assert (prior.phases is not None) == (len(a.unique()) == 2)


@each_kind
def test_one_seed_gives_the_same_coefficient_on_a_grid_twice_as_fine(kind):
    prior = EXAMPLES[kind]
    coarse, fine = (prior.sample(3, place(prior, n), seeded()) for n in (8, 16))
    torch.testing.assert_close(fine[..., ::2, ::2], coarse, rtol=1e-12, atol=1e-12)


@each_map
def test_an_affine_map_is_one(kind):
    prior = EXAMPLES[kind]
    one, two = normal(1, 1, 4, 4, seed=1), normal(1, 1, 4, 4, seed=2)
    middle = (prior.coefficient(one) + prior.coefficient(two)) / 2
    exact = torch.allclose(prior.coefficient((one + two) / 2), middle)
    assert exact == prior.affine


@each_map
def test_the_smoothed_map_is_differentiable_and_tends_to_the_map(kind):
    prior, latent = EXAMPLES[kind], normal(1, 1, 6, 6).requires_grad_()
    (slope,) = torch.autograd.grad(prior.smoothed(latent, 0.1).sum(), latent)
    assert bool((slope > 0).any()) and bool(slope.isfinite().all())
    torch.testing.assert_close(prior.smoothed(latent, 1e-6), prior.coefficient(latent))


@each_map
def test_a_symmetric_prior_has_the_distribution_of_its_negative(kind):
    prior, latent = EXAMPLES[kind], normal(1, 1, 6, 6)
    assert prior.symmetric == torch.allclose(prior.coefficient(-latent), -prior.coefficient(latent))


@each_kind
def test_the_words_name_every_number_and_the_unit(kind):
    words = EXAMPLES[kind].phrase(AQUIFER.domain)
    numbers = [n for n in EXAMPLES[kind].numbers.values() if isinstance(n, float) and n]
    if kind == "log-normal":
        numbers = [3.0, 0.8, 0.3, 0.6 * 0.3, 0.5, 100, round(math.exp(0.1), 2)]
    if kind == "gaussian-field":
        numbers = [2.0, 0.5, 0.3, 0.5 * 0.3, 1.5, 30, 0.2]
    if kind == "transformed" or kind == "two-phase":
        numbers.remove(1.0)  # the anisotropy
    for value in EXAMPLES[kind].numbers.values():
        numbers += value if isinstance(value, tuple) else []
    assert all(f"{number:g}" in words for number in numbers), words
    assert " m" in words or kind in SHARES
    assert "<" not in words and not words.endswith(".")


@each_kind
def test_a_prior_is_stored_as_json_and_read_again(kind):
    prior = EXAMPLES[kind]
    if kind == "transformed":
        with pytest.raises(InputError, match="must be one that files can hold, got a function"):
            prior.to_json()
        return
    stored = json.loads(json.dumps(prior.to_json()))
    assert stored["kind"] == kind
    assert CoefficientPrior.of(stored) == prior == type(prior).of(prior)
    assert hash(CoefficientPrior.of(stored)) == hash(prior)


def test_an_infinite_number_is_stored():
    flat = GaussianField(2.0, 0.5, 0.3, math.inf, mean_std=math.inf)
    assert CoefficientPrior.of(json.loads(json.dumps(flat.to_json()))) == flat


@each_kind
def test_numbers_are_replaced_by_their_names(kind):
    prior = EXAMPLES[kind]
    assert prior.with_numbers() == prior
    for name, value in prior.numbers.items():
        if isinstance(value, float):
            other = prior.with_numbers(**{name: 0.9 if value == 1 else 1.01 * value + 0.01})
            assert other.numbers == {**prior.numbers, name: other.numbers[name]}
            assert type(other) is type(prior)
    with pytest.raises(InputError, match=r"number of the prior \(.*\) must be one of .*'nosuch'"):
        prior.with_numbers(nosuch=1.0)


def test_numbers_of_a_nested_field_are_replaced():
    prior = EXAMPLES["two-phase"].with_numbers(length=0.7, low=2.0)
    assert (prior.field.length, prior.low, prior.high) == (0.7, 2.0, 5.0)
    with pytest.raises(InputError, match="did you mean 'length'"):
        prior.with_numbers(lenght=0.7)
    with pytest.raises(InputError, match="length of the gaussian-field prior must be"):
        prior.with_numbers(length=-1)


# Symmetries

_BASES = {
    "isotropic": GaussianField(0.0, 1.0, 0.3),
    "along-x": GaussianField(1.0, 1.0, 0.3, anisotropy=0.5),
    "along-y": LogNormal(1.0, 1.0, 0.3, anisotropy=0.5, angle=90),
    "diagonal": TwoPhase(GaussianField(0.0, 1.0, 0.3, 2.5, 0.5, 45), 1, 2),
    "oblique": Transformed(GaussianField(0.0, 1.0, 0.3, anisotropy=0.5, angle=30), torch.exp),
    "cosines": SpectralField("neumann", modes=4),
    "waves": SpectralField("periodic", modes=5),
}


_PLACES = [Grid(6), Grid(6, 5, extent=(0, 2, 0, 1)), TORUS.resized(6, 6)]


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        (name, grid)
        for name in _BASES
        for grid in _PLACES
        if name not in ("cosines", "waves") or (name == "waves") == grid.periodic
    ],
    ids=str,
)
def test_keeps_agrees_with_the_covariance(name, grid):
    prior = _BASES[name]
    covariance = covariance_matrix(on(prior, grid), grid)
    group = square_group() if grid.square else rectangle_group()
    elements = [Symmetry(matrix) for matrix in POINT_GROUP] if grid.periodic else list(group)
    kept = 0
    for element in elements:
        moved = element(covariance.reshape(-1, 1, *grid.shape), grid).reshape(covariance.shape)
        moved = element(moved.T.reshape(-1, 1, *grid.shape), grid).reshape(covariance.shape)
        difference = float((moved - covariance).abs().max())
        assert difference < 1e-7 if prior.keeps(element, grid.domain) else difference > 1e-2
        kept += prior.keeps(element, grid.domain)
    few = {"along-x": 4, "along-y": 4, "oblique": 2, "diagonal": 4 if grid.square else 2}
    assert kept == few.get(name, len(elements))


# What a Gaussian field states


LENGTHS = {
    "square": Grid(61),
    "aquifer": Grid(49, 121, extent=(0.0, 3000.0, 0.0, 1200.0), unit="m"),
    "torus": Grid(60, kind="periodic"),
    "wide-torus": Grid(50, 100, extent=(0.0, 2.0, 0.0, 1.0), kind="periodic"),
}


@pytest.mark.parametrize("grid", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize(
    ("smoothness", "ratio", "angle"),
    [
        (0.5, 1.0, 0),
        (0.5, 0.4, 15),
        (0.5, 0.5, 100),
        (1.5, 0.5, 30),
        (1.5, 0.4, 100),
        (math.inf, 1.0, 0),
        (math.inf, 0.3, 90),
    ],
)
def test_the_correlation_is_1_over_e_at_the_length_everywhere(grid, smoothness, ratio, angle):
    length = 0.3 * grid.domain.shorter
    latent = on(GaussianField(2.0, 0.5, length, smoothness, ratio, angle), grid)
    places = list(itertools.product(*((0, n // 2, n - 1) for n in grid.shape)))
    unit = torch.zeros(len(places), 1, *grid.shape, dtype=torch.float64)
    for i, (row, column) in enumerate(places):
        unit[i, 0, row, column] = 1.0
    y, x = (c.numpy() for c in grid.coordinates())
    angles = np.radians([[angle], [angle + 90]])
    lags = length * np.array([[1], [ratio]]) * np.hstack([np.cos(angles), np.sin(angles)])
    checked = 0
    for (row, column), covariances in zip(places, latent.covariance(unit, grid), strict=True):
        points = [x[column], y[row]] + np.concatenate([lags, -lags])
        points = points[
            (points >= [x[0], y[0]]).all(axis=1) & (points <= [x[-1], y[-1]]).all(axis=1)
        ]
        if len(points):
            surface = RectBivariateSpline(y, x, covariances[0].numpy(), s=0)
            found = surface.ev(points[:, 1], points[:, 0]) / 0.5**2
            # A length that is off by a share changes the correlation by at least this share of it
            np.testing.assert_allclose(found, E, rtol=5e-3)
            checked += len(points)
    assert checked >= 16
    variance = latent.variance(grid)
    torch.testing.assert_close(variance, torch.full_like(variance, 0.25))


@pytest.mark.parametrize(("smoothness", "error"), [(0.5, 0.03), (1.5, 5e-3), (2.5, 5e-3)])
def test_the_covariance_is_the_matern_covariance(smoothness, error):
    prior = GaussianField(0.0, 1.0, 400.0, smoothness, 0.5, angle=30)
    kernel = Matern(1.0, nu=smoothness)
    unit = brentq(lambda r: kernel([[0.0]], [[r]])[0, 0] - E, 0.1, 10)
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    rotated = AQUIFER.points().numpy() @ np.array([[c, -s], [s, c]])
    expected = kernel(unit * rotated / [400.0, 200.0])
    found = covariance_matrix(on(prior, AQUIFER), AQUIFER)
    assert np.abs(found.numpy() - expected).max() < error


def test_the_smoothest_covariance_is_the_gaussian_one():
    found = covariance_matrix(on(GaussianField(0.0, 1.0, 400.0, math.inf), AQUIFER), AQUIFER)
    distance = torch.cdist(AQUIFER.points(), AQUIFER.points())
    torch.testing.assert_close(found, torch.exp(-((distance / 400) ** 2)), rtol=0, atol=5e-3)


def within(values, expected, error, what):
    """Check values against an expectation: none is beyond 4.5 of their standard errors."""
    assert float(((values - expected) / error).abs().max()) < 4.5, what


@each_grid
def test_samples_have_the_stated_moments_at_the_centre_the_sides_and_the_corners(grid):
    n, length = 2000, 3 * grid.hx
    prior = GaussianField(2.0, 0.5, length, anisotropy=1 / 3, mean_std=0.0)
    values = prior.sample(n, grid, seeded())[:, 0]
    within(values.mean(dim=0), 2.0, 0.5 / n**0.5, "mean")
    within(values.std(dim=0), 0.5, 0.5 / (2 * n) ** 0.5, "standard deviation")
    scores = (values - 2.0) / 0.5
    error = (1 + E**2) ** 0.5 / n**0.5  # of the mean of a product of two normals
    assert grid.hy == pytest.approx(grid.hx)
    within((scores[..., 3:] * scores[..., :-3]).mean(dim=0), E, error, "length along x")
    within((scores[:, 1:] * scores[:, :-1]).mean(dim=0), E, error, "length along y")


def test_an_unknown_mean_is_one_constant_more():
    known, unknown = (GaussianField(2.0, 0.5, 0.3, mean_std=m) for m in (0.0, 1.2))
    one, two = (covariance_matrix(on(p, SQUARE), SQUARE) for p in (known, unknown))
    torch.testing.assert_close(two, one + 1.44)
    assert unknown.latent_std == pytest.approx(1.3) and unknown.proper
    means = unknown.sample(2000, SQUARE, seeded()).mean(dim=(1, 2, 3))
    assert float(means.mean()) == pytest.approx(2.0, abs=0.12)
    assert 1.15 < float(means.std()) < 1.35


def test_the_posterior_under_a_flat_mean_is_ordinary_kriging():
    known, flat = (GaussianField(2.0, 0.5, 0.3, mean_std=m) for m in (0.0, math.inf))
    chosen = torch.tensor([3, 20, 77, 100, 160])
    y = torch.tensor([3.0, 3.6, 2.9, 3.3, 4.1], dtype=torch.float64)
    noise = 0.05**2 * torch.eye(5, dtype=torch.float64)

    covariance = covariance_matrix(on(flat, SQUARE), SQUARE)
    gain = torch.linalg.solve(covariance[chosen][:, chosen] + noise, covariance[chosen]).T
    mean = flat.mean + gain @ (y - flat.mean)
    variance = (covariance - gain @ covariance[chosen]).diagonal()

    # The ordinary kriging system: [K + R, 1; 1', 0] [w; mu] = [k; 1], mean w'y, variance
    # sigma² - w'k - mu
    field = covariance_matrix(on(known, SQUARE), SQUARE)
    system = torch.zeros(6, 6, dtype=torch.float64)
    system[:5, :5] = field[chosen][:, chosen] + noise
    system[:5, 5] = system[5, :5] = 1.0
    k = torch.cat([field[chosen], torch.ones(1, SQUARE.nodes, dtype=torch.float64)])
    weights = torch.linalg.solve(system, k)
    torch.testing.assert_close(mean, weights[:5].T @ y, rtol=0, atol=2e-4)
    torch.testing.assert_close(variance, 0.25 - (weights * k).sum(dim=0), rtol=1e-3, atol=1e-6)

    assert not flat.proper
    with pytest.raises(InputError, match="must be proper to be drawn from"):
        flat.sample(1, SQUARE)


def test_a_length_of_many_domains_keeps_the_covariance():
    distance = torch.cdist(SQUARE.points(), SQUARE.points()) / 10.0
    found = covariance_matrix(on(GaussianField(0.0, 1.0, 10.0, math.inf), SQUARE), SQUARE)
    fall = 1 - torch.exp(-(distance**2))
    torch.testing.assert_close(1 - found, fall, rtol=0.06, atol=1e-9)
    for length in (1e3, 1e9, 1e25):
        fields = GaussianField(0.0, 1.0, length).sample(500, SQUARE, seeded())[:, 0]
        assert float(fields.std(dim=(1, 2)).max()) < 0.01
        assert float(fields.mean(dim=(1, 2)).std()) == pytest.approx(1.0, abs=0.15)


def test_a_length_beyond_half_a_torus_tends_to_a_constant():
    fall = [
        1 - covariance_matrix(on(GaussianField(0.0, 1.0, length), TORUS), TORUS).min()
        for length in (0.49, 0.5, 0.51, 2.0, 50.0)
    ]
    assert fall == sorted(fall, reverse=True) and fall[-1] < 1e-6
    assert abs(fall[1] - fall[2]) < 0.1 * fall[1]  # without a jump


@pytest.mark.parametrize("smoothness", [0.5, 1.5, math.inf])
@pytest.mark.parametrize("grid", [SQUARE, AQUIFER, TORUS, Grid(4, extent=(0, 50, 0, 1))])
def test_a_short_length_is_refused_with_the_least_one(smoothness, grid):
    def field(length):
        return on(GaussianField(0.0, 1.0, length, smoothness, 0.5, 20), grid)

    with pytest.raises(InputError, match="length of the gaussian-field prior") as refusal:
        field(1e-4 * grid.domain.shorter)
    message = str(refusal.value)
    least = float(message.split("at least ")[1].split()[0])
    assert str(grid.domain) in message
    assert field(least).std == pytest.approx(1.0)
    with pytest.raises(InputError, match="must be at least"):
        field(0.85 * least)


def test_an_anisotropy_without_a_least_length_is_refused():
    with pytest.raises(InputError, match="anisotropy of the gaussian-field prior must be closer"):
        on(GaussianField(0.0, 1.0, 0.3, 0.5, 0.001, 45), SQUARE)


# What the others state


def test_a_log_normal_coefficient_has_its_median_and_deviation():
    n, prior = 2000, LogNormal(1e-4, 1.5, 0.25, log_median_std=0.8)
    logarithms = prior.sample(n, SQUARE, seeded())[:, 0].log()
    std = math.hypot(1.5, 0.8)
    within(logarithms.mean(dim=0), math.log(1e-4), std / n**0.5, "median")
    within(logarithms.std(dim=0), std, std / (2 * n) ** 0.5, "deviation")
    covariance = covariance_matrix(on(prior, SQUARE), SQUARE)
    assert float(covariance[0, 3]) == pytest.approx(1.5**2 * E + 0.8**2, rel=2e-3)


@pytest.mark.parametrize(("share", "mean_std"), [(0.2, 0.0), (0.5, 0.0), (0.2, 3.0)])
def test_a_two_phase_coefficient_has_its_share_everywhere(share, mean_std):
    n, prior = 2000, TwoPhase(GaussianField(7.0, 2.0, 0.3, mean_std=mean_std), -1.0, 4.0, share)
    high = (prior.sample(n, SQUARE, seeded())[:, 0] == 4.0).double()
    within(high.mean(dim=0), share, (share * (1 - share) / n) ** 0.5, "share")


def test_a_transformed_coefficient_is_the_function_of_its_field():
    field = GaussianField(0.4, 0.9, 0.2)
    prior = Transformed(field, torch.sigmoid)
    expected = torch.sigmoid(field.sample(5, SQUARE, seeded()))
    torch.testing.assert_close(prior.sample(5, SQUARE, seeded()), expected)
    low, high = prior.bounds
    assert 0 < low < 0.01 and 0.99 < high < 1 and prior.positive


# Refusals


def field(**numbers):
    return {"kind": "gaussian-field", "mean": 0.0, "std": 1.0, "length": 0.3, **numbers}


REFUSED_VALUES = {
    "kind of the prior must be one of .*, got 'lognormal'; did you mean 'log-normal'": {
        "kind": "lognormal"
    },
    "kind of the prior must be one of .*, got 'x'; use one of them, or file.py:Class": {
        "kind": "x"
    },
    r"\(gaussian-field\) must be one of .*, got 'angel'; did you mean 'angle'": field(angel=3),
    r"\(gaussian-field\) must be one of .*, got 'q'; remove it": field(q=3),
    r"field of the prior \(two-phase\) must be given": {"kind": "two-phase", "low": 1.0},
    "the range of length of the gaussian-field prior .* above 0, got -1": field(length=(-1, 2)),
    "length of the gaussian-field prior: the range of an unknown must rise, got 2 to 1": field(
        length=(2, 1)
    ),
    r"length of the gaussian-field prior must be a number or a range \(low, high\)": field(
        length=(1, 2, 3)
    ),
    r"std of the gaussian-field prior must be a number, a range \(low, high\) or .* got 'a'": field(
        std="a"
    ),
    "std of the gaussian-field prior must be .* above 0, got 0": field(std=0),
    "std of the gaussian-field prior must be .* at most 1e\\+30, got 1e\\+200": field(std=1e200),
    "length of the gaussian-field prior must be .* above 0, got -1": field(length=-1),
    "smoothness of the gaussian-field prior must be .* at least 0.5, got 0.4": field(
        smoothness=0.4
    ),
    "anisotropy of the gaussian-field prior must be .* at most 1, got 2": field(anisotropy=2),
    "mean_std of the gaussian-field prior must be at most 100 times std, or inf": field(
        mean_std=101.0
    ),
    "mean_std of the gaussian-field prior must be a number, got None": field(mean_std=None),
    "number of field of the two-phase prior .* got 'lenth'": {
        "kind": "two-phase",
        "field": field(lenth=1.0),
        "low": 1.0,
        "high": 2.0,
    },
    "boundary of the spectral-field prior must be 'neumann' or 'periodic'": {
        "kind": "spectral-field",
        "boundary": "dirichlet",
    },
    "one of channels, .*, got 'transformed', which has a function that a file cannot": {
        "kind": "transformed",
        "field": field(),
    },
    "the prior must be a prior of pdeinv.coefficients or an object with its 'kind', got 3": 3,
}


@pytest.mark.parametrize("message", REFUSED_VALUES)
def test_a_wrong_value_is_refused_in_one_sentence(message):
    with pytest.raises(InputError, match=message) as refusal:
        CoefficientPrior.of(REFUSED_VALUES[message])
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


def test_a_prior_of_another_kind_is_refused():
    with pytest.raises(InputError, match="must be of the kind log-normal, got gaussian-field"):
        LogNormal.of(field())


GAUSSIAN = GaussianField(0.0, 1.0, 0.3)
REFUSED_PRIORS = {
    "low must be below high": lambda: TwoPhase(GAUSSIAN, 3.0, 3.0),
    "share of the two-phase prior must be .* below 1": lambda: TwoPhase(GAUSSIAN, 1, 2, 1.0),
    "share of a two-phase prior must be 0.5 for a spectral-field": lambda: TwoPhase(
        SpectralField(), 1, 2, 0.3
    ),
    "mean that is not flat, got log-normal": lambda: TwoPhase(LogNormal(1.0, 1.0, 0.3), 1, 2),
    "mean that is not flat, got gaussian-field": lambda: TwoPhase(
        GAUSSIAN.with_numbers(mean_std=math.inf), 1, 2
    ),
    "mean that is not flat, got mean_std = inf": lambda: Transformed(
        GAUSSIAN.with_numbers(mean_std=math.inf), torch.exp
    ),
    "with a slope of one sign that is not zero, .* got slopes from -": lambda: Transformed(
        GAUSSIAN, torch.square
    ),
    "function of the transformed prior must be a callable, got 'exp'": lambda: Transformed(
        GAUSSIAN, "exp"
    ),
    "length of the log-normal prior must be at least": lambda: on(LogNormal(1, 1, 1e-5), SQUARE),
    "differentiable by torch": lambda: Transformed(GAUSSIAN, torch.zeros_like),
    "must be finite, with a slope of one sign": lambda: Transformed(GAUSSIAN, torch.log),
    "must return a tensor of the shape and the type of its argument": lambda: Transformed(
        GAUSSIAN, torch.sum
    ),
    "log_median_std of the log-normal prior must be at most 100": lambda: LogNormal(
        1.0, 0.01, 0.3, log_median_std=2.0
    ),
    "boundary of the spectral-field prior must be 'periodic' on this": lambda: on(
        SpectralField(), TORUS
    ),
    "boundary of the spectral-field prior must be 'neumann' on this": lambda: on(
        SpectralField("periodic"), SQUARE
    ),
}


@pytest.mark.parametrize("message", REFUSED_PRIORS)
def test_a_prior_that_cannot_be_is_refused_in_one_sentence(message):
    with pytest.raises(InputError, match=message) as refusal:
        REFUSED_PRIORS[message]()
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


@pytest.mark.parametrize(
    "function",
    [
        lambda g: g**3,
        torch.relu,
        torch.round,
        lambda g: torch.from_numpy(g.detach().numpy()),
        lambda g: g.float().exp(),
    ],
    ids=["cube", "relu", "steps", "no gradient", "single precision"],
)
def test_a_function_through_which_readings_move_nothing_is_refused(function):
    with pytest.raises(InputError, match=r"^function of a transformed prior must .*; "):
        Transformed(GaussianField(0.0, 1.0, 0.3), function)


@pytest.mark.parametrize("function", [torch.exp, torch.sigmoid, lambda g: -torch.sinh(g)])
def test_steep_monotone_functions_are_accepted(function):
    assert Transformed(GaussianField(1.0, 1.5, 0.3), function).bounds[0] < 1


def test_infinite_numbers_are_written_as_text():
    prior = GaussianField(0.0, 1.0, 0.3, smoothness=math.inf, mean_std=math.inf)
    stored = json.loads(json.dumps(prior.to_json(), allow_nan=False))
    assert CoefficientPrior.of(stored) == prior


def test_a_class_of_ones_own_does_not_replace_a_built_in_kind():
    before = dict(CoefficientPrior.kinds)
    with pytest.raises(InputError, match="must not be that of a built-in kind, got 'log-normal'"):
        type("LogNormal", (CoefficientPrior,), {"__module__": "__main__"})
    assert before == CoefficientPrior.kinds


@pytest.mark.parametrize("value", [np.zeros((3, 2)), torch.zeros(2), pd.Series([1.0, 2.0])])
def test_an_array_is_no_number_of_a_prior(value):
    with pytest.raises(InputError, match=r"length of the gaussian-field prior must be .*; "):
        GaussianField(0.0, 1.0, length=value)
