"""Each reading predicted from the others, alarms at their stated level, and their causes."""

import dataclasses
import math
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import observe, seeded, with_modes

from pdeinv import GaussianField, LogNormal, MisfitWarning, SpectralField, reconstruct
from pdeinv.datasets import Darcy, NavierStokes, Poisson, Problem, Sides, Uncertain, Value
from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.parameters import Parameters
from pdeinv.solvers import GaussianSolver, GaussNewton, alarms
from pdeinv.solvers.alarms import find_alarm, find_causes
from pdeinv.solvers.alarms.linearise import near_mode
from pdeinv.solvers.leave_one_out import floors, sampled_leave_one_out
from pdeinv.unknown import Unknown

N = 16
LINEAR = Problem(with_modes(Poisson(), 16))
SMOOTH = Problem(Poisson(), GaussianField(0.0, 1.0, 0.3))
FLOW = Problem(Darcy(), LogNormal(median=1.0, log_std=1.0, length=0.4))


def readings_of(problem, m=20, noise=0.05, seed=0, channels=(0, 1)):
    """Return readings of a draw of a problem, of its channels in turn."""
    points = torch.rand(m, 2, dtype=torch.float64, generator=seeded(1000 + seed))
    channel = torch.tensor([channels[i % len(channels)] for i in range(m)])
    grid = problem.physics.grid(N)
    _, o = observe(problem, grid, points, channel, noise=noise, seed=seed)
    return o


def table_of(problem, o):
    names = [problem.physics.fields[c].name for c in o.channel.tolist()]
    columns = {"x": o.points[:, 0], "y": o.points[:, 1], "value": o.values}
    return pd.DataFrame({"field": names, **columns, "noise_std": o.noise_std})


# Predictions


@pytest.mark.parametrize(
    ("solver", "problem", "within"),
    [
        (GaussianSolver(), LINEAR, 1e-6),
        (GaussNewton(ensemble=4, iterations=20), LINEAR, 1e-6),
        (GaussNewton(ensemble=4, iterations=20), FLOW, 0.2),
    ],
    ids=["gaussian", "gauss-newton, linear", "gauss-newton"],
)
@pytest.mark.parametrize("noise", [0.05, 0.0])
def test_a_reading_is_predicted_as_by_a_fit_without_it(solver, problem, within, noise):
    if noise == 0.0 and problem is FLOW:
        pytest.skip("the mode of exact readings moves by more than the linear prediction")
    o = readings_of(problem, m=12, noise=noise, seed=1)
    found = solver(problem.physics, problem.prior, o, n_samples=1).leave_one_out
    for i in (0, 7):
        others = torch.arange(12) != i
        given = problem.physics, problem.prior, o.subset(others)
        without = solver(*given, n_samples=1)
        mean = float(o.subset(~others)(without.mean[None])[0])
        if problem is FLOW:
            mean = float(problem_mode_reading(solver, given, o.subset(~others)))
        assert abs(float(found.mean[i]) - mean) < within * float(found.std[i])
    assert bool((found.std > o.noise_std).all())


def problem_mode_reading(solver, given, one):
    """The reading of the mode: the mean of its ensemble is another."""
    return one(solver(*given, n_samples=16).mean[None])[0]


def test_the_predictions_are_calibrated_and_in_the_order_of_the_table():
    o = readings_of(LINEAR, m=30)
    o = dataclasses.replace(o, censored=torch.tensor([0, 1, 0] * 10))
    values = torch.where(o.below_or_above, o.values - 0.1 * o.noise_std, o.values)
    o = dataclasses.replace(o, values=values)
    for solver in (GaussianSolver(), GaussNewton(ensemble=4)):
        found = solver(LINEAR.physics, LINEAR.prior, o, n_samples=1).leave_one_out
        assert bool(found.mean.isnan().eq(o.below_or_above).all())
        plain = o.subset(~o.below_or_above)
        alone = solver(LINEAR.physics, LINEAR.prior, plain, n_samples=1).leave_one_out
        assert torch.allclose(found.mean[~o.below_or_above], alone.mean, rtol=1e-3, atol=1e-4)
        assert float(alone.residual.square().mean()) == pytest.approx(1, abs=0.8)


def test_samples_give_the_same_predictions_where_the_others_state_a_reading():
    o = readings_of(LINEAR, m=40, noise=0.5, seed=3)
    posterior = GaussianSolver()(LINEAR.physics, LINEAR.prior, o, n_samples=4000)
    exact, sampled = posterior.leave_one_out, sampled_leave_one_out(posterior, o)
    known = ~sampled.mean.isnan()
    assert int(known.sum()) > 10
    error = (sampled.mean - exact.mean)[known] / exact.std[known]
    assert float(error.abs().max()) < 0.2
    assert torch.allclose(sampled.std[known], exact.std[known], rtol=0.2)
    assert (
        sampled_leave_one_out(posterior, dataclasses.replace(o, noise_std=0 * o.noise_std))
        .mean[0]
        .isnan()
    )


def test_p_values_from_a_few_samples_are_as_frequent_as_they_state():
    found = []
    for seed in range(100):
        o = readings_of(LINEAR, m=40, noise=0.5, seed=seed)
        posterior = GaussianSolver()(
            LINEAR.physics, LINEAR.prior, o, n_samples=19, generator=seeded(seed)
        )
        found.append(sampled_leave_one_out(posterior, o).p_value)
    p = torch.cat(found)
    p = p[p.isfinite()]
    assert len(p) > 3500
    # a posterior variance that is taken as known has 2.8e-3 below 1e-3, and 2.5e-4 below 1e-5
    assert float((p < 1e-3).double().mean()) < 2e-3
    assert not (p < 1e-5).any()
    assert float((p < 0.05).double().mean()) == pytest.approx(0.05, abs=0.015)


def test_predictions_from_samples_have_the_noise_that_was_inferred():
    o = readings_of(LINEAR, m=40, noise=0.5, seed=3)
    posterior = GaussianSolver()(LINEAR.physics, LINEAR.prior, o, n_samples=64)
    expected = sampled_leave_one_out(posterior, o)
    one = torch.ones(1, dtype=torch.float64)
    posterior.parameters = Parameters(("noise",), ("1",), one, one, one.expand(64, 1))
    unknown = dataclasses.replace(
        o,
        noise_std=100 * o.noise_std,
        noise_factor=o.noise_std,
        noise_group=torch.zeros(len(o), dtype=torch.long),
        unknown_noise=(("noise", Unknown(1.0, 1e4)),),
    )
    found = sampled_leave_one_out(posterior, unknown)
    torch.testing.assert_close(found.std, expected.std, equal_nan=True)


def test_exact_readings_have_the_floor_of_their_last_digit():
    o = readings_of(LINEAR, m=6, noise=0.0, channels=(1,))
    rounded = dataclasses.replace(o, values=(o.values * 1000).round() / 1000)
    assert float(floors(rounded)[0]) == pytest.approx(1e-3 / math.sqrt(12))
    assert float(floors(o)[0]) < 1e-15
    assert not floors(dataclasses.replace(rounded, noise_std=o.noise_std + 1)).any()
    found = GaussianSolver()(LINEAR.physics, LINEAR.prior, rounded, n_samples=1).leave_one_out
    assert bool((found.std > 1e-3 / math.sqrt(12)).all())


def test_a_mixture_weighs_each_model_as_without_the_reading():
    y = torch.tensor([0.3, 2.0], dtype=torch.float64)
    one = torch.ones(2, dtype=torch.float64)
    parts = [LeaveOneOut.gaussian(y, m * one, s * one) for m, s in ((0.0, 1.0), (1.0, 0.5))]
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    found = LeaveOneOut.mixture(parts, weights)
    for i in range(2):
        prior = np.array(
            [w / float(p.log_density[i].exp()) for w, p in zip(weights, parts, strict=True)]
        )
        prior /= prior.sum()
        density = sum(w * float(p.log_density[i].exp()) for w, p in zip(prior, parts, strict=True))
        assert float(found.log_density[i].exp()) == pytest.approx(density)
        assert float(found.mean[i]) == pytest.approx(prior[1])
    alone = LeaveOneOut.mixture(parts[:1], torch.ones(1))
    assert torch.allclose(alone.p_value, parts[0].p_value)
    assert torch.allclose(alone.std, parts[0].std)


# Rates


@cache
def results(noise):
    found = []
    for i in range(200):
        o = readings_of(LINEAR, m=16, noise=noise, seed=i)
        posterior = GaussianSolver()(LINEAR.physics, None, o, n_samples=1, generator=seeded(i))
        found.append((o, posterior))
    return found


@pytest.mark.parametrize("noise", [0.05, 0.0])
def test_draws_of_the_model_raise_an_alarm_at_the_stated_level(noise):
    alarms = [find_alarm(GaussianSolver(), posterior, 16) for _, posterior in results(noise)]
    assert sum(map(bool, alarms)) <= 0.08 * len(alarms)
    p_values = torch.stack([p.leave_one_out.p_value for _, p in results(0.05)]).flatten()
    assert float((p_values < 0.1).double().mean()) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("size", "least", "most"), [(3, 0.05, 0.9), (5, 0.85, 1.0), (10, 1, 1)])
def test_a_wrong_reading_is_found(size, least, most):
    found = 0
    for i, (o, posterior) in enumerate(results(0.05)[:40]):
        j = i % 16
        values = o.values.clone()
        values[j] += size * posterior.leave_one_out.std[j]
        wrong = dataclasses.replace(o, values=values)
        again = GaussianSolver()(LINEAR.physics, None, wrong, n_samples=1)
        alarm = find_alarm(GaussianSolver(), again, 16)
        found += bool(alarm.outliers) and alarm.outliers[0] == j
    assert least <= found / 40 <= most


def test_a_statistic_that_is_not_as_stated_keeps_wide_limits():
    solver = type("Other", (GaussianSolver,), {"misfit": "one-sided"})()
    o, posterior = results(0.05)[0]
    values = o.values.clone()
    values[3] += 4 * posterior.leave_one_out.std[3]
    wrong = dataclasses.replace(o, values=values)
    again = GaussianSolver()(LINEAR.physics, None, wrong, n_samples=1)
    assert find_alarm(GaussianSolver(), again, 16)
    assert not find_alarm(solver, again, 16)
    assert math.isnan(find_alarm(solver, again, 16).misfit_p_value)


# Causes


def best_cause(truth, told, change=None, m=60, noise=0.01, seed=0, solver=None, **layout):
    o = readings_of(truth, m, noise, seed, **layout)
    if change:
        values = change(o)
        o = dataclasses.replace(o, values=values)
    solver = solver or (GaussianSolver() if told.linear else GaussNewton())
    causes = find_causes(solver, told.physics, told.prior, o)
    assert causes
    return causes[0]


def scaled(channel, factor):
    return lambda o: torch.where(o.channel == channel, factor * o.values, o.values)


SCREENED = Problem.named("helmholtz", k=6.0)
EDDIES = SpectralField("periodic", alpha=2.5, tau=7.0, modes=12)
STILL = Problem(NavierStokes(viscosity=1e-3, time=0.5), EDDIES)
THIN, THICK = (Problem(NavierStokes(viscosity=nu), EDDIES) for nu in (1e-3, 1e-2))
DRIVEN = Problem(NavierStokes(forcing=1.0, time=0.5), EDDIES)
RICH = Problem(Darcy(source=3.0), FLOW.prior)


def with_prior(problem, **numbers):
    return Problem(problem.physics, problem.prior.with_numbers(**numbers))


@pytest.mark.parametrize(
    ("truth", "told", "change", "expected", "within"),
    [
        (SMOOTH, SMOOTH, scaled(1, 1000.0), ("units", "potential", 1e-3), 0.01),
        (SMOOTH, SMOOTH, scaled(0, 0.01), ("units", "source", 100.0), 0.01),
        (FLOW, FLOW, scaled(0, 100.0), ("units", "permeability", 0.01), 0.01),
        (with_prior(SMOOTH, std=5.0), SMOOTH, None, ("prior", "std", 5.0), 0.4),
        (with_prior(SMOOTH, length=0.1), SMOOTH, None, ("prior", "length", 0.1), 0.4),
        (with_prior(SMOOTH, mean=8.0), SMOOTH, None, ("prior", "mean", 8.0), 0.2),
        (with_prior(LINEAR, tau=10.0), LINEAR, None, ("prior", "tau", 10.0), 0.4),
        (with_prior(FLOW, median=20.0), FLOW, None, ("prior", "median", 20.0), 0.6),
        (SCREENED, Problem.named("helmholtz", k=1.0), None, ("physics", "k", 6.0), 0.1),
        (RICH, FLOW, None, ("physics", "source", 3.0), 0.3),
        (THICK, THIN, None, ("physics", "viscosity", 1e-2), 0.4),
        (DRIVEN, STILL, None, ("physics", "forcing", 1.0), 0.2),
        (STILL, DRIVEN, None, ("physics", "forcing", 0.0), 0.0),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_cause_is_found_by_its_name_and_its_number(truth, told, change, expected, within):
    m = 60 if told.linear else 40 if told is THIN else 24
    cause = best_cause(truth, told, change, m)
    assert (cause.kind, cause.name) == expected[:2]
    assert abs(cause.value - expected[2]) <= within * abs(expected[2])


def test_an_uncertain_side_is_as_uncertain_in_the_search_for_a_cause():
    held = Value(Uncertain(1.0, std=0.5, length=0.6))
    physics = Darcy(boundary=Sides(held, Value(0.0), Value(0.0), Value(0.0)))
    problem = Problem(physics, LogNormal(median=1.0, log_std=0.5, length=0.4))
    o = readings_of(problem, m=12)
    exact = GaussNewton(iterations=20, tolerance=1e-3).linearised(physics, problem.prior, o)
    found = near_mode(problem, o, jacobians=12)
    scale = exact.expected.std()
    torch.testing.assert_close(found.columns, exact.columns, rtol=0.05, atol=0.02)
    assert float((found.expected - exact.expected).abs().max()) < 0.1 * float(scale)


def test_a_search_of_too_few_steps_has_not_settled():
    o = readings_of(FLOW, m=24, noise=0.02, seed=3)
    far = dataclasses.replace(o, values=torch.where(o.channel == 1, 1000 * o.values, o.values))
    assert near_mode(FLOW, o, jacobians=12).settled
    assert not near_mode(FLOW, far).settled


@pytest.mark.parametrize("settled", [True, False])
def test_a_cause_from_a_search_that_has_not_settled_is_stated_as_such(settled, monkeypatch):
    near = alarms.linearise.near_mode
    monkeypatch.setattr(
        alarms.linearise,
        "near_mode",
        lambda *given: dataclasses.replace(near(*given), settled=settled),
    )
    o = readings_of(FLOW, m=24, noise=0.02, seed=3)
    wrong = dataclasses.replace(o, values=torch.where(o.channel == 0, 100 * o.values, o.values))
    with pytest.warns(MisfitWarning, match="permeability") as caught:
        result = reconstruct(table_of(FLOW, wrong), problem=FLOW, grid=N, n_samples=2)
    stated = "by a search that has not settled" in str(caught[0].message)
    assert stated is not settled and result.attrs["cause_settled"] == settled


def test_wrong_readings_are_found_with_what_the_others_predict():
    wrong = (7, 21, 41)

    def change(o):
        values = o.values.clone()
        std = GaussianSolver()(SMOOTH.physics, SMOOTH.prior, o, n_samples=1).leave_one_out.std
        values[[*wrong]] += torch.tensor([15.0, -20.0, 30.0], dtype=torch.float64) * std[[*wrong]]
        return values

    cause = best_cause(SMOOTH, SMOOTH, change)
    assert cause.kind == "readings" and sorted(cause.predictions) == [*wrong]
    right = readings_of(SMOOTH, 60, 0.01)
    for i, (mean, std) in cause.predictions.items():
        assert abs(mean - float(right.values[i])) < 4 * std


def test_readings_that_are_rounded_have_a_noise():
    o = readings_of(SMOOTH, 60, 0.0, channels=(1,))
    digit = 0.05 * float(o.values.std())
    rounded = dataclasses.replace(o, values=(o.values / digit).round() * digit)
    cause = find_causes(GaussianSolver(), SMOOTH.physics, SMOOTH.prior, rounded)[0]
    assert (cause.kind, cause.name) == ("noise", "potential")
    assert cause.value == pytest.approx(digit / math.sqrt(12), rel=0.4)


def test_the_search_for_a_cause_has_a_bound_and_shows_its_progress(monkeypatch):
    counts, near = [], alarms.linearise.near_mode

    def counted(problem, observation, *given):
        counts.append(len(observation))
        return near(problem, observation, *given)

    monkeypatch.setattr(alarms.linearise, "near_mode", counted)
    monkeypatch.setattr(alarms.causes, "_NUMBERS", 0)
    shown = []
    monkeypatch.setattr(alarms.causes.Progress, "update", lambda self: shown.append(self.done))
    o = readings_of(FLOW, m=60, noise=0.01)
    o = dataclasses.replace(o, values=torch.where(o.channel == 1, 10 * o.values, o.values))
    suspects = (1, 3)
    assert find_causes(GaussNewton(), FLOW.physics, FLOW.prior, o, suspects, progress=True)
    assert 40 <= max(counts) <= 42 and len(counts) == len(shown) < 40


@pytest.mark.parametrize(("factor", "channel"), [(10.0, 1), (1e3, 1), (100.0, 0)])
def test_the_unit_of_a_nonlinear_problem_is_found_in_a_few_trials(factor, channel, monkeypatch):
    trials, near = [], alarms.linearise.near_mode
    monkeypatch.setattr(
        alarms.linearise, "near_mode", lambda *given: trials.append(1) or near(*given)
    )
    best = best_cause(FLOW, FLOW, scaled(channel, factor), 24, 0.02, seed=3)
    assert (best.kind, best.name) == ("units", FLOW.physics.fields[channel].name)
    assert best.value == pytest.approx(1 / factor)
    assert len(trials) <= 12


def test_nothing_is_named_where_all_is_right():
    for seed in range(3):
        o = readings_of(SMOOTH, 40, 0.05, seed)
        assert not find_causes(GaussianSolver(), SMOOTH.physics, SMOOTH.prior, o)


# Messages


def alarm_of(table, told, **settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = reconstruct(table, problem=told, grid=N, n_samples=2, **settings)
    given = [str(w.message) for w in caught if issubclass(w.category, MisfitWarning)]
    assert given == ([] if found.alarm == "none" else [found.alarm])
    return found


def test_the_message_has_the_row_the_value_and_the_remedy():
    o = readings_of(SMOOTH, 40, 0.05)
    table = table_of(SMOOTH, o)
    right = alarm_of(table, SMOOTH)
    assert right.alarm == "none" and float(right.sensor_p_value.min()) > 1e-4
    table.loc[17, "value"] += 20 * float(right.sensor_predicted_std[17])
    wrong = alarm_of(table, SMOOTH)
    value, predicted = table.value[17], float(wrong.sensor_predicted[17])
    assert "1 reading of 40 does not fit the others" in wrong.alarm
    assert f"row 17 (potential {value:.4g}, the others predict {predicted:.4g} ±" in wrong.alarm
    assert wrong.alarm.endswith("check them, or leave them out")
    assert int(wrong.sensor_p_value.values.argmin()) == 17
    for name in ("predicted", "predicted_std", "p_value", "log_density"):
        assert wrong[f"sensor_{name}"].dims == ("sensor",)


def test_the_message_names_the_unit():
    table = table_of(SMOOTH, readings_of(SMOOTH, 40, 0.05))
    table.loc[table.field == "potential", "value"] *= 1000
    told = alarm_of(table, SMOOTH).alarm
    assert told.startswith("the sensors do not fit poisson: reduced chi-squared is ")
    assert "the readings of potential fit 1000 times smaller; check their unit (mm for m?)" in told


@pytest.mark.parametrize(
    ("factor", "side", "robust"),
    [(1e3, "above", False), (1e-3, "below", False), (1e-3, "below", True)],
)
def test_a_unit_that_free_numbers_absorb_is_named(factor, side, robust):
    free = with_prior(SMOOTH, mean=Unknown(-2.0, 2.0), std=Unknown(0.3, 3.0))
    table = table_of(SMOOTH, readings_of(SMOOTH, 40, 0.05))
    assert alarm_of(table, free, robust=robust).alarm == "none"
    table[["value", "noise_std"]] *= factor
    found = alarm_of(table, free, robust=robust)
    assert f"the inferred std of {float(found.parameter_mean[0]):.3g} is far {side} " in found.alarm
    assert "its usual range of 0.3 to 3" in found.alarm and "check units" in found.alarm


def test_numbers_at_the_ends_of_their_ranges_raise_no_alarm():
    free = with_prior(SMOOTH, std=Unknown(0.3, 3.0), length=Unknown(0.1, 0.9))
    for std, length in ((0.3, 0.1), (3.0, 0.9)):
        truth = with_prior(SMOOTH, std=std, length=length)
        table = table_of(SMOOTH, readings_of(truth, 40, 0.05, seed=4))
        assert alarm_of(table, free).alarm == "none"


def test_the_message_names_the_number_of_the_prior():
    table = table_of(SMOOTH, readings_of(with_prior(SMOOTH, std=5.0), 60, 0.01))
    told = alarm_of(table, SMOOTH).alarm
    assert "they fit with a standard deviation of the prior of" in told
    assert "in place of 1" in told


def test_replicates_keep_the_order_of_the_table():
    parts = [table_of(SMOOTH, readings_of(SMOOTH, 10, 0.05, seed)) for seed in (0, 1)]
    table = pd.concat([part.assign(replicate=name) for name, part in zip("ab", parts, strict=True)])
    mixed = table.sort_values(["x", "replicate"]).reset_index(drop=True)
    found = alarm_of_all(mixed)
    for name, part in zip("ab", parts, strict=True):
        mine = (mixed.replicate == name).to_numpy()
        alone = alarm_of(part.sort_values("x").reset_index(drop=True), SMOOTH)
        assert np.allclose(found.sensor_predicted[mine], alone.sensor_predicted)


def alarm_of_all(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisfitWarning)
        return reconstruct(table, problem=SMOOTH, grid=N, n_samples=2)
