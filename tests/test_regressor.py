"""The regression baseline: its network's inputs, its training, and the width of its intervals."""

import pandas as pd
import pytest
import torch
from helpers import seeded

from pdeinv import Grid, InputError, Problem, SpectralField, layouts, reconstruct
from pdeinv.datasets import Darcy, Poisson, pde_by_name
from pdeinv.metrics import ranks
from pdeinv.observation import Observation
from pdeinv.priors import GaussianPrior, SensorRegressor, Settings, TrainingData, load, train
from pdeinv.priors.regressor import _nearest
from pdeinv.solvers import FNO


def data_of(pde, n=16, samples=256):
    states = Problem.of(pde).sample(samples, pde.grid(n), seeded()).float()
    return TrainingData(states, pde.fields, pde.grid(n), pde, "made here")


def small(data):
    return SensorRegressor.untrained(data, width=16, modes=8, layers=2)


@pytest.fixture(
    scope="module", params=[Poisson(), pde_by_name("navier-stokes", time=0.2)], ids=lambda p: p.name
)
def trained(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("regressor") / "r.safetensors"
    data = data_of(request.param)
    return request.param, train(small, data, path, Settings(steps=200, batch=16, rate=1e-2)), path


def observe(pde, points, channel, noise=0.0, n=16, state=None):
    """Readings of one field at points (m, 2), each with this noise."""
    points = torch.as_tensor(points, dtype=torch.float64)
    channel = torch.full((len(points),), channel)
    std = torch.as_tensor(noise, dtype=torch.float64).expand(len(points)).clone()
    blank = Observation(pde.grid(n), points, channel, torch.zeros_like(std), std)
    if state is None:
        state = Problem.of(pde).sample(1, pde.grid(n), seeded(3))
    return Observation(pde.grid(n), points, channel, blank(state.double())[0], std)


def test_it_learns_and_its_file_says_the_same(trained):
    pde, regressor, path = trained
    history = regressor.record["history"]
    for kind in ("forward", "inverse"):
        assert history[-1][kind] < 0.85 * history[0][kind]
    observation = observe(pde, layouts.random(40, 1), 1)
    mean = regressor(observation)
    assert mean.shape == (2, 16, 16) and mean.dtype == torch.float64
    # The potential is held to zero there
    assert pde.grid(16).periodic or float(mean[1, 0].abs().max()) < 1e-12
    assert float((load(path)(observation) - mean).norm() / mean.norm()) < 1e-2  # half precision


def test_more_sensors_lower_the_error(trained):
    pde, regressor, _ = trained
    states = Problem.of(pde).sample(32, pde.grid(16), seeded(9))
    errors = []
    for m in (3, 20, 120):
        observation = observe(pde, layouts.random(m, 2), 1)
        found = regressor.answers(observation, observation(states))
        errors.append(float((found - states)[:, 1].norm() / states[:, 1].norm()))
    assert errors[0] > 1.2 * errors[1] and errors[1] > 1.05 * errors[2]


def test_it_answers_on_any_grid(trained):
    pde, regressor, _ = trained
    points = layouts.random_nodes(30, pde.grid(16), 1)
    coarse = observe(pde, points, 1)
    fine = Observation(pde.grid(32), coarse.points, coarse.channel, coarse.values, coarse.noise_std)
    # The nodes of a periodic grid are among those of one twice as fine; what a function is there is
    # the same.
    a, b = regressor(coarse), regressor(fine)
    assert b.shape == (2, 32, 32)
    if pde.grid(16).periodic:  # 16 nodes carry one mode per direction that has no partner
        assert float((b[:, ::2, ::2] - a).norm() / a.norm()) < 0.1


def test_readings_at_one_place_count_as_their_average(trained):
    pde, regressor, _ = trained
    one = [[0.25, 0.5]]
    std = 0.3 * float(regressor.scale[1])
    twice = observe(pde, one * 2, 1, std)
    apart = twice.values + std * torch.tensor([1.0, -1.0])
    once = observe(pde, one, 1, std / 2**0.5)
    assert torch.allclose(
        regressor.answers(twice, apart[None]), regressor.answers(once, once.values[None]), atol=1e-6
    )
    # An exact reading beside a noisy one is all that counts.
    both = observe(pde, one * 2, 1, torch.tensor([0.0, std]))
    exact = observe(pde, one, 1)
    wrong = both.values + torch.tensor([0.0, std])
    close = regressor.answers(both, wrong[None]) - regressor.answers(exact, exact.values[None])
    assert float(close.norm() / regressor(exact).norm()) < 1e-3


def test_half_way_readings_shift_nothing_and_crowd_nowhere():
    """The nodes of a periodic grid twice as fine are half-way between two nodes, or between
    four."""
    fine, own = Grid(32, kind="periodic"), Grid(16, kind="periodic")
    points = fine.points()
    node = _nearest(points, own)
    assert node.bincount().tolist() == [4] * 16**2
    moved = own.points()[node] - points
    moved = moved - moved.round()
    assert moved.abs().max() <= 0.5 / 16 and moved.mean(dim=0).abs().max() < 1e-12


def test_what_does_not_fit_is_told(trained):
    """Readings of the PDE fit in the mean over states; ten times as large they do not."""
    pde, regressor, _ = trained
    points, noise = layouts.random(30, 8), 1e-3 * float(regressor.scale[1])
    chi = []
    for times in (1.0, 10.0):
        found = []
        for state in Problem.of(pde).sample(16, pde.grid(16), seeded(3)).split(1):
            o = observe(pde, points, 1, noise, state=state)
            o = Observation(o.grid, o.points, o.channel, times * o.values, o.noise_std)
            record = FNO()(pde, regressor, o, generator=seeded()).record
            found.append(record["reduced_chi_squared"])
        chi.append(sum(found) / len(found))
    # One state's readings share their errors, so that its own chi-squared may be several times 1
    assert chi[0] < 2 and chi[1] > 20


def test_a_noisier_reading_says_less(trained):
    pde, regressor, _ = trained
    points = layouts.random(40, 5)
    nothing = regressor(observe(pde, points, 1, 1e3 * float(regressor.scale[1])))
    steps = [
        float((regressor(observe(pde, points, 1, s * float(regressor.scale[1]))) - nothing).norm())
        for s in (0.0, 0.3, 3.0)
    ]
    assert steps[0] > steps[1] > steps[2]


def test_samples_are_as_wide_as_the_errors(trained):
    """The truth's error and the samples' residuals have one distribution: its rank is uniform."""
    pde, regressor, _ = trained
    points = layouts.random(25, 7)
    seen = []
    for i in range(25):
        truth = Problem.of(pde).sample(1, pde.grid(16), seeded(100 + i))
        observation = observe(pde, points, 1, state=truth)
        generator = seeded(i)
        found = FNO()(pde, regressor, observation, n_samples=19, generator=generator)
        rank = ranks(found.samples[:, 0], truth[0, 0], generator)
        seen.append(float(((rank > 0) & (rank < 19)).double().mean()))
        assert found.record["network_evaluations"] == 2 and found.record["solver_calls"] == 19
    assert sum(seen) / len(seen) == pytest.approx(0.9, abs=0.05)


def test_what_cannot_be_used_is_refused(trained):
    pde, regressor, _ = trained
    points = layouts.random(20, 1)
    values = observe(pde, points, 1).values
    table = pd.DataFrame(
        {"field": pde.fields[1].name, "x": points[:, 0], "y": points[:, 1], "value": values}
    )
    result = reconstruct(table, pde, noise=0, grid=16, prior=regressor, n_samples=2)
    assert result.attrs["solver"] == "fno"
    other = Darcy()
    single = TrainingData(
        data_of(other).states[:, :1], other.fields[:1], other.grid(16), other, "one.h5"
    )
    for call, message in (
        (
            lambda: small(single),
            "must have two fields, got permeability alone from one.h5",
        ),
        (
            lambda: FNO().check(other, regressor),
            "must be of permeability and pressure for darcy, got one of",
        ),
        (
            lambda: FNO().check(other, GaussianPrior.fit(data_of(other))),
            "needs a regressor from sensors.*got GaussianPrior",
        ),
        (
            lambda: FNO()(
                Poisson(),
                SpectralField(alpha=3.0),
                observe(Poisson(), layouts.random(5, 1), 1),
            ),
            "prior of the source must be that of the training of the shipped 'poisson-regressor'",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()
