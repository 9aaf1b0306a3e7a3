"""Student-t noise by reweighting: against a Gibbs sampler and dense algebra, and with gross
errors."""

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import distance, normal, run_command, seeded
from known_posteriors import Gaussian, at_nodes, latent, prior_mean, response, rows_of
from scipy import stats

from pdeinv import GaussianField, InputError, MisfitWarning, Problem, Unknown, reconstruct
from pdeinv.datasets import Poisson
from pdeinv.progress import Progress
from pdeinv.solvers import FNO, DiffusionPDE, GaussianSolver, OptimalInterpolation
from pdeinv.solvers.robust import SUSPECT, Robust, _Weights
from pdeinv.solvers.student_noise import (
    DEGREES,
    REJECTED,
    StudentReadings,
    evidence_of,
    student_density,
    weights_of,
)

N, M = 12, 40
LINEAR = Problem(Poisson(), GaussianField(mean=1.0, std=0.5, length=0.4))
WRONG = {3: 60.0, 17: -25.0, 30: 90.0}
"""Rows with gross errors, and these in standard deviations of the noise."""


@cache
def readings(gross=True, m=M, seed=0):
    """Return a state and readings of the solution at nodes."""
    pde, grid = LINEAR.physics, LINEAR.physics.grid(N)
    state = LINEAR.sample(1, grid, seeded(seed))[0]
    o = at_nodes(pde, grid, [1] * m, state, 0.02)
    return state, with_errors(o) if gross else o


def with_errors(o):
    off = torch.zeros_like(o.values)
    for row, size in WRONG.items():
        off[row] = size * o.noise_std[row]
    return dataclasses.replace(o, values=o.values + off)


def solve(solver, o, problem=LINEAR, n_samples=8):
    given = (problem.physics, problem.prior, o)
    return solver(*given, n_samples=n_samples, generator=seeded())


def suspects(found):
    return set((found.weight < SUSPECT).nonzero()[:, 0].tolist())


@cache
def state_prior():
    grid = LINEAR.physics.grid(N)
    matrix, offset = response(LINEAR.physics, grid)
    mean = torch.full((grid.nodes,), prior_mean(LINEAR.prior), dtype=torch.float64)
    return Gaussian(mean, latent(LINEAR.prior, grid).covariance).mapped(matrix, offset)


def gibbs(o, sweeps=3000, burn=300):
    """Return the posterior mean of the readings without noise and of λ, (m,) each, by draws of the
    noise given λ and of λ given the noise."""
    rows, prior, generator = rows_of(o), state_prior(), seeded(7)
    signal, missed = rows @ prior.covariance @ rows.T, o.values - rows @ prior.mean
    scale, variance = torch.ones_like(missed), o.noise_std**2
    means, scales = [], []
    for sweep in range(sweeps):
        own = torch.diag(variance / scale)
        gain = torch.linalg.solve(signal + own, own).T
        covariance = own - gain @ own
        root = torch.linalg.cholesky((covariance + covariance.T) / 2 + 1e-12 * own)
        noise = gain @ missed + root @ torch.randn(
            len(missed), dtype=torch.float64, generator=generator
        )
        rate = (DEGREES + noise**2 / variance) / 2
        shape = torch.full_like(rate, (DEGREES + 1) / 2)
        scale = torch._standard_gamma(shape, generator=generator) / rate
        if sweep >= burn:
            means.append(o.values - gain @ missed)
            scales.append(scale)
    return torch.stack(means).mean(dim=0), torch.stack(scales).mean(dim=0)


@pytest.mark.parametrize("gross", [False, True])
def test_the_posterior_is_near_that_of_student_t_noise(gross):
    _, o = readings(gross)
    found = solve(Robust(GaussianSolver()), o)
    mean, scale = gibbs(o)
    read = o(found.mean[None])[0]
    spread = o(found.samples).std(dim=0)
    assert float(((read - mean) / (spread + o.noise_std)).abs().max()) < 0.5
    assert float((found.weight - scale).abs().max()) < 0.35
    assert distance(found.weight, scale) < 0.1


def test_the_weights_are_those_of_the_noise_under_the_posterior():
    _, o = readings()
    found = solve(Robust(GaussianSolver()), o)
    exact = state_prior().given(rows_of(o), o.values, o.noise_std**2 / found.weight)
    rows = rows_of(o)
    left = o.values - rows @ exact.mean
    squares = left**2 + (rows @ exact.covariance * rows).sum(dim=1)
    expected = (DEGREES + 1) / (DEGREES + squares / o.noise_std**2)
    torch.testing.assert_close(found.weight, expected, rtol=0, atol=5e-3)
    shape = found.mean.shape
    torch.testing.assert_close(found.mean, exact.mean.reshape(shape), rtol=1e-6, atol=1e-8)


def test_gross_errors_are_found_and_cost_little():
    state, dirty = readings()
    clean = solve(GaussianSolver(), readings(gross=False)[1])
    found, plain = solve(Robust(GaussianSolver()), dirty), solve(GaussianSolver(), dirty)
    assert suspects(found) == set(WRONG)
    for channel in (0, 1):
        robust, without, pulled = (
            distance(p.mean[channel], state[channel]) for p in (found, clean, plain)
        )
        assert robust < 1.2 * without < pulled
    inside = (found.mean - state).abs() <= 1.645 * found.std
    assert float(inside[0].double().mean()) > 0.75
    untouched = solve(Robust(GaussianSolver()), readings(gross=False)[1])
    assert not suspects(untouched)
    assert distance(untouched.mean[0], state[0]) < 1.1 * distance(clean.mean[0], state[0])


@pytest.mark.parametrize("seed", range(2))
def test_the_search_is_no_worse_than_from_the_answer(seed):
    _, o = readings(seed=seed)
    linear = GaussianSolver().linearised(LINEAR.physics, LINEAR.prior, o)
    student = StudentReadings(linear, linear.gram(LINEAR.latent), o.noise_std)
    ones = torch.ones_like(o.noise_std)
    known = ones.clone()
    known[list(WRONG)] = REJECTED
    found = student.bound(student.search([ones, REJECTED * ones]))
    assert found > student.bound(student.search([known])) - 2.5


def test_the_bound_rises_by_an_update():
    _, o = readings()
    linear = GaussianSolver().linearised(LINEAR.physics, LINEAR.prior, o)
    student = StudentReadings(linear, linear.gram(LINEAR.latent), o.noise_std)
    weight = normal(M).exp().clamp(max=1.2)
    before = student.bound(weight)
    for _ in range(5):
        weight = (DEGREES + 1) / (DEGREES + student.squares(weight) / o.noise_std**2)
        after = student.bound(weight)
        assert after > before
        before = after


def test_the_bound_of_one_reading_of_a_known_field_is_its_density():
    missed = torch.linspace(-6, 6, 7, dtype=torch.float64)
    weight = weights_of(missed.square())
    gaussian = torch.distributions.Normal(0.0, weight.rsqrt()).log_prob(missed).sum()
    exact = torch.distributions.StudentT(DEGREES).log_prob(missed).sum()
    assert float(gaussian) + evidence_of(weight) == pytest.approx(float(exact), rel=1e-6)


def test_the_evidence_is_that_of_student_t_noise():
    _, o = readings()
    found, plain = solve(Robust(GaussianSolver()), o), solve(GaussianSolver(), o)
    weighed = dataclasses.replace(o, noise_std=o.noise_std * found.weight.rsqrt())
    of_weights = solve(GaussianSolver(), weighed).record["log_evidence"]
    assert plain.record["log_evidence"] < found.record["log_evidence"] < of_weights


def test_readings_that_share_a_bias_are_weighed_without_it():
    _, o = readings()
    common = torch.zeros(M, 1, dtype=torch.float64)
    common[10:20, 0] = 50 * o.noise_std[0]
    biased = dataclasses.replace(
        o, values=o.values + common[:, 0], common=common, common_names=("probe",)
    )
    found = solve(Robust(GaussianSolver()), biased)
    assert suspects(found) == set(WRONG)
    assert float(found.parameters.mean[0] / common[10, 0]) == pytest.approx(1, abs=0.3)


def test_censored_readings_keep_their_weight():
    _, o = readings()
    censored = torch.zeros(M, dtype=torch.long)
    censored[5:9] = 1
    values = o.values.clone()
    values[5:9] -= 3 * o.noise_std[5:9]
    limited = dataclasses.replace(o, values=values, censored=censored)
    found = solve(Robust(GaussianSolver()), limited)
    assert bool((found.weight[5:9] == 1).all())
    assert suspects(found) == set(WRONG)


def test_a_solver_without_evidence_weighs_by_its_samples():
    _, o = readings()
    found = solve(Robust(OptimalInterpolation()), o)
    assert set(WRONG) <= suspects(found) and len(suspects(found)) <= len(WRONG) + 2
    assert found.record["reweighting_solves"] > 2


def unknown(o, std=None):
    middle = Unknown(1e-3 * float(o.noise_std[0]), 1e3 * float(o.noise_std[0]), "log-normal")
    std = torch.full_like(o.noise_std, float(middle))
    group = torch.zeros(len(o), dtype=torch.long)
    return dataclasses.replace(
        o, noise_std=std, noise_group=group, unknown_noise=(("noise", middle),)
    )


def test_an_unknown_noise_is_that_of_the_readings_that_are_right():
    _, o = readings()
    found = solve(Robust(GaussianSolver()), unknown(o))
    assert suspects(found) == set(WRONG)
    assert 0.5 < float(found.parameters.mean[0] / o.noise_std[0]) < 2


@pytest.mark.parametrize("m", [40, 80])
def test_gross_errors_add_nothing_to_an_unknown_noise(m):
    ratios = []
    for seed in range(4):
        _, o = readings(False, m, seed)
        found = solve(Robust(GaussianSolver()), unknown(with_errors(o)))
        ratios.append(float(found.parameters.mean[0] / o.noise_std[0]))
        assert found.leave_one_out.std.isfinite().all() and set(WRONG) <= suspects(found)
    assert 0.7 < np.mean(ratios) < 1.4


def test_the_size_by_which_readings_are_suspects_is_within_its_range():
    _, o = readings()
    low = 10 * float(o.noise_std[0])
    given = dataclasses.replace(unknown(o), unknown_noise=(("noise", Unknown(low, 100 * low)),))
    weights = _Weights(GaussianSolver(), LINEAR.physics, LINEAR.prior, given)
    with Progress(None, "weights", False) as bar:
        weights.settle(8, seeded(), bar)
    assert torch.allclose(weights.size, torch.full_like(weights.size, low))


def test_an_unknown_noise_has_the_factors_of_its_readings():
    _, o = readings()
    factor = torch.linspace(1, 2, M, dtype=torch.float64)
    given = dataclasses.replace(unknown(o), noise_factor=factor).with_noise({"noise": 3.0})
    torch.testing.assert_close(given.noise_std, 3 * factor)


def test_what_cannot_be_weighed_is_refused():
    _, o = readings()
    exact = dataclasses.replace(o, noise_std=torch.where(torch.arange(M) < 2, 0.0, o.noise_std))
    with pytest.raises(InputError, match="positive for robust, got 0 for 2 of 40 readings; state"):
        solve(Robust(GaussianSolver()), exact)
    for solver in (FNO(), DiffusionPDE(preset="published")):
        with pytest.raises(InputError, match="must use the noise of each reading"):
            solve(Robust(solver), o)
    with pytest.raises(InputError, match="must be known for robust with the optimal-interp"):
        solve(Robust(OptimalInterpolation()), unknown(o))


def test_densities_and_the_evidence_are_those_of_student_t_noise():
    size = torch.tensor(0.5, dtype=torch.float64)
    missed = torch.tensor([0.0, 1.0, 5.0, 100.0, 1e4], dtype=torch.float64)
    expected = torch.from_numpy(stats.t.logpdf(missed / size, DEGREES)) - size.log()
    found = student_density(missed, torch.zeros_like(missed), size)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    weight = weights_of((missed / size).square())
    gaussian = torch.from_numpy(stats.norm.logpdf(missed, scale=size / weight.sqrt()))
    assert float(gaussian.sum()) + evidence_of(weight) == pytest.approx(float(expected.sum()))
    wide = student_density(missed[:3], torch.full((3,), 1e4, dtype=torch.float64), size)
    normal = torch.from_numpy(stats.norm.logpdf(missed[:3], scale=100))
    torch.testing.assert_close(wide, normal, rtol=1e-3, atol=1e-3)


def test_gross_errors_speak_for_student_t_noise():
    for gross in (True, False):
        o = readings(gross)[1]
        robust, plain = solve(Robust(GaussianSolver()), o), solve(GaussianSolver(), o)
        gain = robust.record["log_evidence"] - plain.record["log_evidence"]
        score = robust.leave_one_out.log_density.sum() - plain.leave_one_out.log_density.sum()
        assert (gain > 100 and score > 100) if gross else (-20 < gain < 3 and abs(score) < 10)


def test_predictions_with_an_unknown_noise_have_the_noise_that_was_found():
    _, o = readings()
    once = solve(Robust(GaussianSolver()), unknown(o))
    (name, number), *_ = unknown(o).unknown_noise
    lower = Unknown(number.low / 30, number.high)
    middle = torch.full_like(o.noise_std, float(lower))
    again = dataclasses.replace(unknown(o), noise_std=middle, unknown_noise=((name, lower),))
    again = solve(Robust(GaussianSolver()), again)
    std = again.leave_one_out.std
    assert 0.9 * float(again.parameters.mean[0]) < float(std.min())
    assert float(std.max()) < 3 * float(std.median())
    torch.testing.assert_close(again.leave_one_out.std, once.leave_one_out.std, rtol=0.25, atol=0.0)


@cache
def table():
    _, o = readings()
    x, y = o.points.T.numpy()
    return pd.DataFrame(
        {"field": "solution", "x": x, "y": y, "value": o.values, "noise_std": o.noise_std}
    )


def test_a_robust_result_has_weights_and_suspects():
    found = reconstruct(table(), problem=LINEAR, grid=16, robust=True)
    assert found.attrs["suspects"] == "rows 3, 17, 30"
    assert "Student-t with 4 degrees of freedom" in found.attrs["noise_model"]
    assert "Student-t" in found.attrs["assumed"]
    np.testing.assert_array_equal(np.flatnonzero(found.sensor_weight < SUSPECT), list(WRONG))
    np.testing.assert_allclose(found.sensor_noise_std, table().noise_std)
    assert found.sensor_p_value[list(WRONG)].max() < 1e-6 < found.sensor_p_value[0]
    assert "sensor_weight" not in reconstruct(table()[:3], problem=LINEAR, grid=16)


def test_the_command_names_the_suspects(tmp_path):
    table().to_csv(tmp_path / "s.csv", index=False)
    LINEAR.save(tmp_path / "p.toml")
    given = (tmp_path / "s.csv", "--problem", tmp_path / "p.toml", "--grid", 16)
    done = run_command("reconstruct", *given, "--robust", "--out", tmp_path / "r.nc")
    assert "suspects (sensor_weight below 0.2): rows 4, 18, 31\n" in done.output


def test_many_suspects_are_the_model_and_are_told():
    with pytest.warns(MisfitWarning, match="suspects must be a few of the readings"):
        wrong = table().assign(noise_std=table().noise_std / 100)
        reconstruct(wrong, Poisson(), prior=GaussianField(0.0, 1e-3, 2.0), grid=16, robust=True)
