"""Unknown numbers: the evidence against dense densities, and the integral over the numbers against
fine grids of them."""

import dataclasses
import math
from functools import cache

import pytest
import torch
from helpers import normal, seeded
from known_posteriors import (
    Gaussian,
    at_nodes,
    latent,
    matern_covariance,
    prior_mean,
    response,
    rows_of,
)

from pdeinv import (
    GaussianField,
    InputError,
    LogNormal,
    NumericalError,
    Observation,
    Problem,
    TwoPhase,
)
from pdeinv.datasets import Darcy, Poisson
from pdeinv.errors import run_cli
from pdeinv.parameters import Parameters, weighted_quantile
from pdeinv.solvers import GaussianSolver, GaussNewton, LevelSet, OptimalInterpolation
from pdeinv.solvers.evidence import infer, mixture
from pdeinv.solvers.evidence.infer import most_probable
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.evidence.log_posterior import LogPosterior, Slope
from pdeinv.solvers.evidence.mixture import Shares, mixed_record
from pdeinv.solvers.evidence.numbers import Numbers
from pdeinv.solvers.evidence.points import WeightedPoints
from pdeinv.solvers.evidence.scale import implied_scale
from pdeinv.solvers.evidence.search import climb, search_modes
from pdeinv.solvers.evidence.thinned import thinned
from pdeinv.unknown import Unknown

N = 12
KNOWN = {"mean": 1.0, "std": 0.5, "length": 0.4, "smoothness": 1.5}
RANGES = {"mean": (-3.0, 5.0), "std": (0.05, 5.0), "length": (0.1, 1.6), "smoothness": (0.6, 4.0)}
NOISE = Unknown(1e-3, 1.0)


def problem(*unknown, **changed):
    """Return a linear problem with some unknown numbers."""
    numbers = KNOWN | {name: RANGES[name] for name in unknown} | changed
    return Problem(Poisson(), GaussianField(**numbers))


def readings(m=24, seed=0, noise=0.05, truth=None):
    """Return readings at nodes, half of them of either field, and their state."""
    truth = truth or problem()
    grid = truth.physics.grid(N)
    state = truth.sample(1, grid, seeded(seed))[0]
    return at_nodes(truth.physics, grid, [0, 1] * (m // 2), state, noise), state


def with_unknown_noise(o):
    group = torch.where(o.channel == 0, 0, -1)
    return dataclasses.replace(o, noise_group=group, unknown_noise=(("noise of source", NOISE),))


def solve(posed, o, n_samples=16, seed=0):
    return GaussianSolver()(
        posed.physics, posed.prior, o, n_samples=n_samples, generator=seeded(seed)
    )


def density_of(posed, o):
    numbers = Numbers.of(posed, o)
    linear = GaussianSolver().linearised(posed.physics, posed.at({}).prior.absorbed(), o)
    return LogPosterior(posed, numbers, linear)


def covariance_of(prior, grid):
    return latent(prior, grid).covariance


def states_of(posed, grid, covariance=matern_covariance):
    """Return the distribution of the states of a known problem, by the closed form of Matérn or
    another covariance of the field."""
    matrix, offset = response(posed.physics, grid)
    mean = torch.full((grid.nodes,), prior_mean(posed.prior), dtype=torch.float64)
    return Gaussian(mean, covariance(posed.prior, grid)).mapped(matrix, offset)


def log_density(posed, o, covariance=matern_covariance):
    """Return the logarithm of the density of readings of a known problem, by dense matrices."""
    states, rows = states_of(posed, o.grid, covariance), rows_of(o)
    covariance = rows @ states.covariance @ rows.T + o.noise_covariance()
    covariance = (covariance + covariance.T) / 2
    dense = torch.distributions.MultivariateNormal(rows @ states.mean, covariance)
    return float(dense.log_prob(o.values))


@pytest.mark.parametrize("biased", [False, True])
def test_a_result_has_the_log_density_of_the_readings(biased):
    o, _ = readings()
    if biased:
        common = torch.zeros(len(o), 1, dtype=torch.float64)
        common[:6] = 0.3
        o = dataclasses.replace(o, common=common, common_names=("bias",))
    found = solve(problem(), o).record["log_evidence"]
    assert found == pytest.approx(log_density(problem(), o, covariance_of), abs=1e-5)


def test_there_is_no_log_density_of_censored_readings():
    o, _ = readings()
    censored = torch.zeros(len(o), dtype=torch.long)
    censored[0] = -1
    assert "log_evidence" not in solve(problem(), dataclasses.replace(o, censored=censored)).record


@pytest.mark.parametrize(
    ("extent", "kind", "length"),
    [((0, 1, 0, 1), "vertex", 0.1), ((0, 3, 0, 1), "vertex", 0.4), ((0, 1, 0, 1), "periodic", 0.2)],
)
def test_the_covariance_on_a_torus_of_nodes_is_that_of_the_functions(extent, kind, length):
    from pdeinv import Grid

    grid = Grid(ny=13, nx=18 if extent[1] == 3 else 13, extent=extent, kind=kind)
    prior = GaussianField(0.0, 1.5, length, 0.6, anisotropy=0.5, angle=20.0)
    field = prior.latent(grid.domain, grid.kind)
    rows, none = normal(5, *grid.shape), torch.zeros(5, dtype=torch.float64)
    points = grid.points()[:5]
    o = Observation(grid, points, torch.zeros(5, dtype=torch.long), none, none + 1)
    linear = LinearisedReadings(o, rows, none[:, None][:, :0], none)
    half = field.square_root_adjoint(rows[:, None], grid).flatten(1)
    assert linear._on_torus(field)
    torch.testing.assert_close(linear.gram(field), half @ half.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "z", [(0.0, 0.0, 0.0, 0.0), (1.0, -1.0, 0.5, -1.2)], ids=["middle", "aside"]
)
def test_the_density_of_numbers_is_that_of_the_readings_and_of_their_laws(z):
    posed = problem("std", "length", "smoothness")
    o, _ = readings()
    o = with_unknown_noise(o)
    density, z = density_of(posed, o), torch.tensor(z, dtype=torch.float64)
    values, noise = density.numbers.values(z)
    expected = log_density(posed.at(values), o.with_noise(noise), covariance_of)
    expected += float(torch.distributions.Normal(0, 1).log_prob(z).sum())
    assert density(z) == pytest.approx(expected, abs=1e-4)
    slope, step = density.slope(z), 0.02
    for i in range(4):
        ends = [density(z + s * step * torch.eye(4, dtype=torch.float64)[i]) for s in (1, -1)]
        assert float(slope.gradient[i]) == pytest.approx(
            (ends[0] - ends[1]) / (2 * step), rel=0.1, abs=0.1
        )


def on_fine_grid(posed, o, n):
    """Return the log evidence, the numbers and the weights at a fine grid of z around its most
    probable point, and the moments of the mixture of dense posteriors."""
    density = density_of(posed, o)
    numbers = density.numbers
    slope, mode = climb(density, torch.zeros(len(numbers), dtype=torch.float64))
    far = 6 * torch.linalg.inv(slope.curvature).diagonal().sqrt()
    far = far if len(far) > 1 else torch.full_like(far, 4.5)
    steps = torch.linspace(-1, 1, n, dtype=torch.float64)
    z = torch.cartesian_prod(*(mode[:, None] + far[:, None] * steps)).reshape(-1, len(numbers))
    at = [numbers.values(one) for one in z]
    known = [(posed.at(field), o.with_noise(noise)) for field, noise in at]
    logs = [log_density(*pair) + numbers.log_prior(one) for pair, one in zip(known, z, strict=True)]
    logs = torch.tensor(logs).double()
    cell = float((far * (steps[1] - steps[0])).prod())
    weights, mean, square = torch.softmax(logs, dim=0), 0.0, 0.0
    for (one, given), weight in zip(known, weights.tolist(), strict=True):
        if weight > 1e-3:
            states, rows = states_of(one, o.grid), rows_of(given)
            found = states.given(rows, given.values, given.noise_std**2).moments(o.grid)
            mean = mean + weight * found.mean
            square = square + weight * (found.std**2 + found.mean**2)
    mean, square = (part / float(weights[weights > 1e-3].sum()) for part in (mean, square))
    values = torch.tensor([list((field | noise).values()) for field, noise in at]).double()
    evidence = float(logs.logsumexp(0)) + math.log(cell)
    return evidence, values, weights, mean, (square - mean**2).sqrt()


@pytest.mark.parametrize(
    ("unknown", "n"), [(("length",), 61), (("std",), 61), (("noise",), 61), (("std", "length"), 17)]
)
def test_numbers_are_integrated_over_as_on_a_fine_grid(unknown, n):
    posed = problem(*(name for name in unknown if name != "noise"))
    o, _ = readings(16, seed=3)
    o = with_unknown_noise(o) if "noise" in unknown else o
    found = solve(posed, o)
    evidence, values, weights, mean, std = on_fine_grid(posed, o, n)
    assert found.record["log_evidence"] == pytest.approx(evidence, abs=0.25)
    low, high = found.parameters.interval
    for i in range(values.shape[1]):
        own = float((weights @ (values[:, i] - weights @ values[:, i]) ** 2).sqrt())
        distinct, which = values[:, i].unique(return_inverse=True)
        whole = torch.zeros_like(distinct).index_add(0, which, weights)
        expected = [weighted_quantile(distinct, whole, end) for end in (0.05, 0.95)]
        ends = [float(low[i]), float(high[i])]
        assert ends == pytest.approx(expected, abs=0.4 * own)
        assert float(found.parameters.mean[i]) == pytest.approx(
            float(weights @ values[:, i]), abs=0.2 * own
        )
    assert float(((found.mean - mean) / std.clamp(min=1e-9)).abs()[0].max()) < 0.2
    assert float((found.std[0] / std[0] - 1).abs().max()) < 0.12


def test_the_intervals_of_fields_are_wider_than_those_of_the_most_probable_numbers():
    posed = problem("std", "length", "smoothness")
    o, _ = readings(12, seed=5)
    found, density = solve(posed, o), density_of(posed, o)
    _, z = climb(density, torch.zeros(3, dtype=torch.float64))
    most_probable = solve(posed.at(density.numbers.values(z)[0]), o)
    assert float(found.std[0].mean()) > float(most_probable.std[0].mean())


def test_an_amplitude_is_that_of_its_closed_form():
    o, _ = readings(40, noise=0.0)
    posed = problem("std")
    density = density_of(posed, o)
    unit = LogPosterior(problem(std=1.0), Numbers((), ()), density.linear)
    none = torch.zeros(0, dtype=torch.float64)
    squares = float(unit.readings(none).white.square().sum())
    _, z = climb(density, torch.zeros(1, dtype=torch.float64))
    found = density.numbers.values(z)[0]["std"]
    assert found == pytest.approx(math.sqrt(squares / len(o)), rel=0.03)


def test_a_wide_range_of_the_mean_is_a_flat_one():
    o, _ = readings()
    flat = solve(problem(mean=0.0, mean_std=math.inf), o)
    found = solve(problem(mean=(-40.0, 40.0)), o)
    torch.testing.assert_close(found.mean, flat.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.std, flat.std, rtol=1e-2, atol=1e-4)
    assert found.parameters.names == ("mean",)


def test_a_flat_mean_leaves_the_deviations_as_a_wide_one_does():
    o, _ = readings()
    flat = solve(problem("std", mean=0.0, mean_std=math.inf), o).parameters
    wide = solve(problem("std", mean=(-60.0, 60.0)), o).parameters
    assert float(flat.mean[0]) == pytest.approx(float(wide.mean[0]), rel=0.03)
    assert float(flat.std[0]) == pytest.approx(float(wide.std[0]), rel=0.15)


def test_the_mean_is_a_further_number_of_the_dense_posterior():
    o, _ = readings()
    found, (low, high) = solve(problem("mean"), o).parameters, RANGES["mean"]
    matrix, offset = response(Poisson(), o.grid)
    k, rows = o.grid.nodes, rows_of(o)
    both = Gaussian(
        torch.full((k + 1,), (low + high) / 2, dtype=torch.float64).masked_fill(
            torch.arange(k + 1) < k, 0.0
        ),
        torch.block_diag(
            latent(problem().prior, o.grid).covariance,
            torch.tensor([[((high - low) / 3.919928) ** 2]], dtype=torch.float64),
        ),
    )
    of_mean = rows @ matrix @ torch.ones(k, 1, dtype=torch.float64)
    known = both.given(
        torch.cat([rows @ matrix, of_mean], dim=1), o.values - rows @ offset, o.noise_std**2
    )
    assert float(found.mean) == pytest.approx(float(known.mean[-1]), abs=1e-4)
    assert float(found.std) == pytest.approx(float(known.covariance[-1, -1].sqrt()), rel=1e-3)


def test_a_mean_far_from_zero_beside_small_deviations_is_found():
    truth = problem(mean=500.0, std=0.01)
    o, state = readings(truth=truth)
    found = solve(Problem(Poisson(), GaussianField(length=(0.1, 1.6))), o)
    assert float(found.parameters.mean[-1]) == pytest.approx(500.0, abs=0.05)
    assert float((found.mean[0] - state[0]).abs().max()) < 0.05


class OfFewPoints(GaussianSolver):
    mixture_points = 4


@cache
def calibration(n=14, m=24):
    """Return how often intervals hold the truth: those of numbers, and the share of the nodes."""
    posed = problem("mean", "std", "length")
    numbers, nodes = [], []
    for seed in range(n):
        prior = posed.prior.drawn(seeded(1000 + seed))
        truth = Problem(posed.physics, prior)
        o, state = readings(m, seed=seed, truth=truth)
        given = {"n_samples": 1, "generator": seeded(seed)}
        found = OfFewPoints()(posed.physics, posed.prior, o, **given)
        low, high = found.parameters.interval
        true = torch.tensor([prior.numbers[name] for name in found.parameters.names]).double()
        numbers.append((low <= true) & (true <= high))
        nodes.append(((found.mean - state)[0].abs() <= 1.645 * found.std[0]).double().mean())
    return torch.stack(numbers).double(), torch.stack(nodes)


def test_intervals_hold_the_truth_as_often_as_they_state():
    numbers, nodes = calibration()
    assert 0.78 < float(numbers.mean()) < 0.99
    assert 0.82 < float(nodes.mean()) < 0.97


def test_an_axis_turns_without_a_jump_and_has_its_law():
    prior = GaussianField(0.0, 1.0, 0.3, 1.5, anisotropy=(0.1, 1.0), angle=(-90.0, 80.0))
    turning = GaussianField(
        0.0,
        1.0,
        0.3,
        1.5,
        anisotropy=Unknown(0.1, 1.0, "log-uniform"),
        angle=Unknown(-90.0, 90.0, "uniform"),
    )
    half = Numbers.of(Problem(Poisson(), prior), readings()[0])
    assert half.values(torch.tensor([1.0, 2.0]))[0]["angle"] == prior.angle.at(2.0)
    numbers = Numbers.of(Problem(Poisson(), turning), readings()[0])
    draws = [numbers.values(z)[0] for z in normal(4000, 2)]
    ratios = torch.tensor([d["anisotropy"] for d in draws]).log() / math.log(0.1)
    angles = torch.tensor([d["angle"] for d in draws]) / 180 + 0.5
    for uniform in (ratios, angles):
        assert float(uniform.mean()) == pytest.approx(0.5, abs=0.02)
        assert float(uniform.std()) == pytest.approx(math.sqrt(1 / 12), abs=0.01)
    density = density_of(Problem(Poisson(), turning), readings()[0])
    nearby = [density(torch.tensor([-1.0, s * 1e-6], dtype=torch.float64)) for s in (1, -1)]
    assert nearby[0] == pytest.approx(nearby[1], abs=1e-3)
    across = numbers.values(torch.tensor([-0.8, 0.3]))[0]["angle"]
    along = numbers.values(torch.tensor([0.8, -0.3]))[0]["angle"]
    assert abs(across - along) == pytest.approx(90.0, abs=1e-6)


def test_an_anisotropic_truth_is_found_with_its_angle():
    truth = problem(length=0.6, anisotropy=0.2, angle=80.0, mean=0.0)
    o, _ = readings(60, truth=truth, noise=0.01)
    ratio, angle = Unknown(0.1, 1.0, "log-uniform"), Unknown(-90.0, 90.0, "uniform")
    found = solve(problem("length", mean=0.0, anisotropy=ratio, angle=angle), o).parameters
    low, high = found.interval
    values = dict(zip(found.names, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    assert values["anisotropy"][0] < 0.2 < values["anisotropy"][1] < 0.5


def test_the_same_seed_gives_the_same_answer():
    o, _ = readings()
    first, again = (solve(problem("std"), o, seed=7) for _ in range(2))
    other = solve(problem("std"), o, seed=8)
    assert torch.equal(first.samples, again.samples) and torch.equal(first.std, again.std)
    assert torch.equal(first.parameters.samples, again.parameters.samples)
    assert not torch.equal(first.std, other.std)


def test_samples_have_the_numbers_and_the_spread_of_the_mixture():
    posed = problem("std", "length")
    o, _ = readings(12)
    found = solve(posed, o, n_samples=400)
    assert found.parameters.samples.shape == (400, 2)
    torch.testing.assert_close(found.samples.mean(0)[0], found.mean[0], atol=0.15, rtol=0)
    assert float((found.samples.std(0)[0] / found.std[0]).mean()) == pytest.approx(1, abs=0.08)
    expected = found.parameters.mean.tolist()
    assert found.parameters.samples.mean(0).tolist() == pytest.approx(expected, rel=0.25)


def test_known_numbers_are_left_to_the_method():
    o, _ = readings()
    posed = problem()
    found = solve(posed, o)
    direct = GaussianSolver().condition(posed.physics, posed.prior, o, 16, seeded(0), False)
    assert torch.equal(found.samples, direct.samples) and found.parameters is None
    assert "evidence_points" not in found.record


def test_a_solver_that_infers_no_numbers_refuses_them():
    o, _ = readings()
    posed = problem("std", "length")
    with pytest.raises(InputError, match=r"got unknown std, length; state them, or choose"):
        OptimalInterpolation()(posed.physics, posed.prior, o)
    with pytest.raises(InputError, match=r"got unknown noise of source; state them"):
        OptimalInterpolation()(posed.physics, problem().prior, with_unknown_noise(o))


@dataclasses.dataclass(frozen=True)
class Bent(GaussianSolver):
    """Linearises at its prior, as a nonlinear method does at its mode: no two are the same."""

    def linearised(self, pde, prior, observation, progress=False):
        linear = super().linearised(pde, prior, observation, progress)
        CALLS.append(prior)
        bent = linear.rows * (1 + 1e-3 * prior.length)
        return dataclasses.replace(linear, rows=bent, exact=False)


CALLS = []


def test_readings_are_linearised_again_until_the_numbers_settle():
    CALLS.clear()
    o, _ = readings()
    posed = problem("mean", "length")
    found = Bent()(posed.physics, posed.prior, o, generator=seeded(0))
    assert 2 <= len(CALLS) <= 4 and found.record["numbers_settled"] == 1
    assert CALLS[0].length != CALLS[1].length and CALLS[0].mean == CALLS[1].mean
    exact = solve(posed, o)
    torch.testing.assert_close(found.parameters.mean, exact.parameters.mean, rtol=0.05, atol=0.02)


def test_a_record_states_that_the_numbers_did_not_settle(monkeypatch):
    monkeypatch.setattr(infer, "_ROUNDS", 1)
    o, _ = readings()
    posed = problem("mean", "length")
    found = Bent()(posed.physics, posed.prior, o, generator=seeded(0))
    assert found.record["numbers_settled"] == 0
    assert solve(posed, o).record["numbers_settled"] == 1  # exact


@pytest.mark.parametrize("solver", [GaussianSolver(), GaussNewton()], ids=lambda one: one.name)
def test_readings_of_a_linear_problem_are_linearised_once(solver, monkeypatch):
    o, _ = readings()
    posed, linearised, made = problem("mean", "length"), type(solver).linearised, []

    def counted(self, *given):
        made.append(linearised(self, *given))
        return made[-1]

    monkeypatch.setattr(type(solver), "linearised", counted)
    most_probable(solver, posed, o)
    assert [one.exact for one in made] == [True]
    elsewhere = posed.at({"mean": 3.0, "length": 1.2})
    again = linearised(solver, elsewhere.physics, elsewhere.prior, o)
    torch.testing.assert_close(again.rows, made[0].rows, rtol=1e-12, atol=1e-14)


def test_readings_of_a_nonlinear_problem_are_not_exactly_linear():
    world = Problem(Darcy(), LogNormal(1.0, 0.5, 0.4))
    grid = world.physics.grid(N)
    o = at_nodes(world.physics, grid, [1] * 6, world.sample(1, grid, seeded(0))[0], 0.01)
    assert not GaussNewton().linearised(world.physics, world.prior, o).exact


def test_maxima_of_an_earlier_density_are_all_followed():
    o, _ = readings()
    posed = problem("std", "length")
    whole = density_of(posed, o)

    class TwoHills:
        """Two maxima of nearly equal height, in the place of one."""

        numbers, shape_indices = whole.numbers, whole.shape_indices

        def __init__(self, higher):
            self.centres = torch.tensor([[-2.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
            self.heights = torch.tensor([0.0, higher], dtype=torch.float64)

        def __call__(self, z):
            return self.slope(z).value

        def slope(self, z, free=None):
            off = self.centres - z
            logarithms = self.heights - 20 * off.square().sum(dim=1)
            shares = torch.softmax(logarithms, dim=0)
            gradient, curvature = 40 * shares @ off, 40 * torch.eye(2, dtype=torch.float64)
            free = [0, 1] if free is None else free
            value = float(logarithms.logsumexp(dim=0))
            return Slope(value, gradient[free], curvature[free][:, free])

    earlier = [torch.tensor(z, dtype=torch.float64) for z in ([1.8, 0.1], [-1.8, 0.1])]
    found = search_modes(TwoHills(1.0), earlier)
    assert [mode.z[0].item() for mode in found] == pytest.approx([2.0, -2.0], abs=0.05)
    assert found[0].value - found[1].value == pytest.approx(1.0, abs=0.02)
    assert len(search_modes(TwoHills(9.0), earlier)) == 1  # the other does not count


def test_the_record_of_a_mixture_has_counts_of_all_parts_and_means_of_measures():
    parts = [
        {"solver_calls": 3, "members_kept": 10, "number_points": 4, "converged": 1, "r_hat": 1.0},
        {"solver_calls": 5, "members_kept": 6, "number_points": 7, "converged": 0, "r_hat": 1.4},
        {"solver_calls": 1, "members_kept": 2, "converged": 1, "r_hat": 1.1, "searches": 2},
    ]
    more = [
        {"reduced_chi_squared": 1.0, "log_evidence": -9.0, "reason": "a", "rank": 3},
        {"reduced_chi_squared": 2.0, "log_evidence": -1.0, "reason": "b", "inflation": 1.5},
        {
            "reduced_chi_squared": 4.0,
            "log_evidence": -2.0,
            "reason": "a",
            "inflation": 3.5,
            "rank": 9,
        },
    ]
    found = mixed_record([a | b for a, b in zip(parts, more, strict=True)], [0.5, 0.25, 0.25])
    assert found == {
        "solver_calls": 9,
        "members_kept": 18,
        "number_points": 11,
        "converged": 0,
        "r_hat": 1.4,
        "searches": 2,
        "reduced_chi_squared": 2.0,
        "reason": "a; b",
        "inflation": 2.5,
        "rank": 5.0,
    }


@pytest.mark.parametrize("solver", [GaussianSolver(), GaussNewton(), LevelSet(stages="brief")])
def test_each_integer_of_a_record_is_declared_as_a_count_or_as_the_worst(solver):
    two_phase = isinstance(solver, LevelSet)
    prior = TwoPhase(GaussianField(0.0, 1.0, 0.4, 1.5), low=1.0, high=2.0)
    posed = Problem(Darcy(), prior) if two_phase else problem()
    o, _ = readings(6, truth=posed)
    o = o.subset(o.channel == 0)
    record = solver.condition(posed.physics, posed.prior, o, 4, seeded(), False).record
    known = {*mixture._SUMS, *mixture._LEAST, *mixture._MOST}
    assert {key for key, value in record.items() if type(value) is int} <= known
    assert "solver_calls" in record


def test_a_linearisation_that_fails_leaves_the_one_before(monkeypatch):
    o, _ = readings()
    posed, linearised, calls = problem("length"), Bent.linearised, []

    def once(self, *given):
        calls.append(given)
        if len(calls) > 1:
            raise NumericalError("unstable")
        return linearised(self, *given)

    monkeypatch.setattr(Bent, "linearised", once)
    with pytest.warns(UserWarning, match="were not linearised again .* unstable"):
        found = Bent()(posed.physics, posed.prior, o, generator=seeded(0))
    expected = solve(posed, o).parameters
    torch.testing.assert_close(found.parameters.mean, expected.mean, rtol=0.05, atol=0.02)


@dataclasses.dataclass(frozen=True)
class Failing(GaussianSolver):
    """Fails where the length of the prior is beyond a limit."""

    limit: float = 1e9

    def condition(self, pde, prior, *given):
        if prior.length > self.limit:
            raise NumericalError("too long")
        return super().condition(pde, prior, *given)


def test_points_at_which_a_solver_fails_are_left_out():
    o, _ = readings()
    posed = problem("length")

    def found(limit):
        return Failing(limit=limit)(posed.physics, posed.prior, o, generator=seeded(0))

    whole = found(1e9)
    with pytest.warns(UserWarning, match=r"points of the unknown numbers were left out.*too long"):
        part = found(float(whole.parameters.mean[0]))
    left_out = part.record["mixture_points_left_out"]
    assert whole.record["mixture_points_left_out"] == 0 < left_out
    assert part.record["mixture_points"] + left_out == whole.record["mixture_points"]
    assert len(part.samples) == 16 and float(part.parameters.samples.max()) <= whole.parameters.mean
    assert part.record["log_evidence"] == whole.record["log_evidence"]
    with pytest.raises(NumericalError, match="too long"):
        found(0.0)


def test_there_is_no_evidence_of_censored_readings_over_numbers():
    o, _ = readings()
    censored = torch.where(torch.arange(len(o)) == 3, -1, 0)
    posed = problem("length")
    record = solve(posed, dataclasses.replace(o, censored=censored)).record
    assert "log_evidence" not in record and record["evidence_points"] > 1


def test_the_scale_is_what_the_readings_imply():
    o, state = readings(truth=problem(mean=30.0, std=40.0))
    posed = Problem(Poisson(), GaussianField())
    size = float(state[0].square().mean().sqrt())
    assert size / 4 < implied_scale(posed, o) < 4 * size
    nothing = dataclasses.replace(o, values=torch.zeros_like(o.values))
    assert implied_scale(posed, nothing) == 1.0


def test_shares_are_in_proportion_to_the_weights():
    weights = torch.tensor([0.5, 0.3, 0.2, 0.0], dtype=torch.float64)
    shares = Shares(weights, 101, seeded(0))
    counts = torch.bincount(shares.of_sample, minlength=4)
    assert ((counts - 101 * weights).abs() <= 3).all() and shares.drawn[3] == 1
    parts = [10.0 * j + torch.arange(n) / 100 for j, n in enumerate(shares.drawn)]
    gathered = shares.gathered(parts)
    assert torch.equal((gathered / 10).long(), shares.of_sample) and len(gathered.unique()) == 101


def test_a_few_points_stand_for_many():
    z, logs = normal(400, 2), normal(400, seed=1)
    points = WeightedPoints(z, torch.softmax(logs, dim=0), 0.0, z, torch.arange(400))
    mean = points.weights @ z
    found = torch.zeros(2, dtype=torch.float64)
    for seed in range(50):
        chosen, weights = thinned(points, 12, seeded(seed))
        assert len(chosen) <= 12 and float(weights.sum()) == pytest.approx(1)
        found += weights @ z[chosen] / 50
    assert (found - mean).abs().max() < 0.05


def test_numbers_are_joined_with_their_intervals():
    one = Parameters(("a",), ("m",), torch.ones(1), torch.ones(1), torch.ones(3, 1))
    two = Parameters(
        ("b",), ("s",), *torch.ones(2, 1), torch.zeros(3, 1), torch.zeros(1), torch.full((1,), 9.0)
    )
    both = Parameters.joined(one, None, two)
    assert both.names == ("a", "b") and both.units == ("m", "s")
    assert both.samples.shape == (3, 2) and Parameters.joined(None) is None
    result = both.to_xarray()
    assert result["parameter_low"].values == pytest.approx([1 - 1.644854, 0.0])
    assert result["parameter_high"].values == pytest.approx([1 + 1.644854, 9.0])


def test_each_stage_of_the_inference_shows_its_progress_and_can_be_interrupted(monkeypatch, capsys):
    times = iter(range(0, 10**9, 11))  # each look at the clock is 11 s after the last
    monkeypatch.setattr("pdeinv.progress._clock", lambda: next(times))
    monkeypatch.setattr("pdeinv.progress.Progress._last", -math.inf)
    o, _ = readings()
    posed = problem("std", "length")

    def solved(progress):
        solver, given = GaussianSolver(), (posed.physics, posed.prior, o)
        return solver(*given, generator=seeded(0), progress=progress)

    solved(True)
    shown = capsys.readouterr().err
    stages = (
        "search for the",
        "maxima of the evidence",
        "evidence of the",
        "\nunknown numbers: 1 of",
    )
    assert all(stage in shown for stage in stages)
    solved(False)
    assert not capsys.readouterr().err

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(LogPosterior, "evaluated", interrupted)
    with pytest.raises(SystemExit) as ended:
        run_cli(lambda: solved(True))
    assert ended.value.code == 130 and capsys.readouterr().err.endswith("interrupted\n")
