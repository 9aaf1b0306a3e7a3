"""A posterior as the next prior: readings in turns are worth what they are at once."""

import json
import math
import shlex
import subprocess
import warnings
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from helpers import run_command
from readme_blocks import blocks

import pdeinv
from pdeinv import (
    CoefficientPrior,
    GaussianField,
    Instrument,
    LogNormal,
    Problem,
    TwoPhase,
    as_prior,
    problem_after,
)
from pdeinv.coefficients import Conditioned
from pdeinv.datasets import Darcy
from pdeinv.errors import InputError
from pdeinv.files import save_netcdf
from pdeinv.grid import Domain, Grid

PAGE = "docs/readings-in-turns.md"
SMOOTH = GaussianField(0.0, 0.4, 0.35, 2.5)
SMALL = Problem(Problem.named("poisson").physics, SMOOTH, 17)


def readings(problem, m, seed, n=17, noise=0.02, channels=(0, 1), kinds=("point",)):
    """Readings of a draw of a problem, the same truth for every seed of the places."""
    grid, rng = problem.physics.grid(n), np.random.default_rng(seed)
    truth = problem.sample(1, grid, torch.Generator().manual_seed(3))
    places = grid.points().reshape(n, n, 2).numpy()
    rows = []
    for k in range(m):
        c, kind = channels[k % len(channels)], kinds[k % len(kinds)]
        x, y = places[tuple(rng.integers(3, n - 3, 2))]
        row = {"field": problem.physics.fields[c].name, "x": x, "y": y, "value": 0.0, "kind": kind}
        row |= {"radius": 0.1 if kind == "disc" else np.nan, "x2": np.nan, "y2": np.nan}
        row |= {"x2": x - 0.1, "y2": y + 0.1} if kind == "line" else {}
        rows.append(row | {"noise_std": noise * float(truth[0, c].std())})
    table = pd.DataFrame(rows)
    exact = pdeinv.Sensors(table).observation(problem.physics, grid)(truth)[0].numpy()
    return table.assign(value=exact + table.noise_std * rng.normal(size=m))


def joined(*tables):
    return pd.concat(tables, ignore_index=True)


def solve(table, problem, **options):
    return pdeinv.reconstruct(table, problem=problem, n_samples=2, **options)


def in_turns(problem, *tables):
    """The results of tables in turns."""
    results = []
    for table in tables:
        results.append(solve(table, problem))
        problem = problem_after(results[-1])
    return results


def apart(one, other, problem, scale=None):
    """The largest difference of means and of deviations, relative to the largest of the second."""
    found = []
    for f in problem.physics.fields:
        for what in ("mean", "std"):
            a, b = (result[f"{f.name}_{what}"] for result in (one, other))
            found.append(float(np.abs(a - b).max() / np.abs(scale or b).max()))
    return max(found)


# What is exact


@pytest.mark.parametrize(
    "problem",
    [
        Problem.named("poisson"),
        SMALL,
        Problem.named("helmholtz"),
        Problem(Problem.named("helmholtz").physics, GaussianField(0.3, 0.4, 0.3, 1.5, 0.5, 30)),
    ],
    ids=["poisson", "smooth", "helmholtz", "oblique"],
)
def test_turns_in_any_order_give_what_all_readings_give_at_once(problem):
    problem = replace(problem, grid=17)
    kinds = ("point", "disc", "line")
    a, b, c = (readings(problem, m, m, kinds=kinds) for m in (13, 10, 8))
    once = solve(joined(a, b, c), problem)
    for tables in ((a, b, c), (c, a, b), (joined(a, c), b)):
        found = in_turns(problem, *tables)
        assert apart(found[-1], once, problem) < 1e-6
        evidence = sum(one.attrs["log_evidence"] for one in found)
        assert evidence == pytest.approx(once.attrs["log_evidence"], abs=1e-4)
    assert apart(found[0], once, problem) > 1e-2


def test_the_law_of_draws_is_the_posterior():
    table = joined(readings(SMALL, 6, 1), readings(SMALL, 3, 2, noise=0))
    prior = problem_after(solve(table, SMALL)).prior
    grid = SMALL.physics.grid(9)
    field = prior.latent(grid.domain, grid.kind)
    unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
    root = field.square_root_adjoint(unit, grid).flatten(1)
    before = SMOOTH.latent(grid.domain, grid.kind).square_root_adjoint(unit, grid).flatten(1)
    # C - C Hᵀ (H C Hᵀ + R)⁻¹ H C in the coordinates of the base's draw, with matrices
    gain = torch.linalg.inv(prior.rows @ prior.rows.T + torch.eye(len(prior.rows)))
    left = before @ before.T - before @ prior.rows.T @ gain @ prior.rows @ before.T
    torch.testing.assert_close(root @ root.T, left, rtol=0, atol=1e-8)
    torch.testing.assert_close(field.variance(grid).flatten(), left.diagonal(), rtol=0, atol=1e-8)
    draws = field.sample(4000, grid, torch.Generator().manual_seed(0)).flatten(1)
    spread = draws.var(dim=0) / left.diagonal()
    assert bool(((spread - 1).abs() < 6 * math.sqrt(2 / 4000))[left.diagonal() > 1e-6].all())
    mean = before @ (prior.rows.T @ gain @ prior.values)
    torch.testing.assert_close(prior.mean_field(grid).flatten(), mean, rtol=0, atol=1e-7)


def test_a_field_after_readings_of_fewer_functions_keeps_their_covariance():
    prior = as_prior(solve(readings(SMALL, 6, 1), SMALL))
    grid = Grid(9)
    field = prior.latent(grid.domain, grid.kind)
    few, unit = field.truncated(grid), torch.eye(81, dtype=torch.float64).reshape(-1, 1, 9, 9)
    assert few.size < field.size
    root = few.base.square_root_adjoint(unit, grid).flatten(1)
    gone = root @ field.less.flatten(1)[:, field.resolved(grid).flatten() > 0].T
    expected = root @ root.T - gone @ gone.T
    found = few.covariance(unit, grid).reshape(81, 81)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert float(gone.square().sum()) > 0.1


def test_exact_readings_in_turns():
    first, more = (readings(SMALL, 8, seed, noise=0) for seed in (1, 2))
    again = joined(more, first[:3])
    once = solve(joined(first, again), SMALL)
    found = in_turns(SMALL, first, again)[-1]
    # The nugget of exact readings is 1e-12 of a variance, and 1e-6 of a deviation
    scale = solve(first[:1], SMALL)
    assert apart(found, once, SMALL) < 1e-4
    for f in SMALL.physics.fields:
        off = np.abs(found[f"{f.name}_std"] - once[f"{f.name}_std"]).max()
        assert float(off / scale[f"{f.name}_std"].max()) < 1e-5
        assert float(np.abs(found[f"{f.name}_mean"] - once[f"{f.name}_mean"]).max()) < 1e-6


def test_a_flat_mean_is_determined_by_the_first_readings():
    problem = replace(SMALL, prior=replace(SMOOTH, mean_std=math.inf))
    a, b = (readings(SMALL, 9, seed) for seed in (1, 2))
    first, second = in_turns(problem, a, b)
    assert problem_after(first).prior.proper and not problem.prior.proper
    assert apart(second, solve(joined(a, b), problem), problem) < 1e-3
    # Differences leave the level as it was
    differences = a.assign(kind="difference", x2=0.05, y2=0.05, field=SMALL.physics.fields[0].name)
    assert not as_prior(solve(differences, problem)).proper


def test_a_turn_may_be_on_another_grid_and_of_another_physics():
    a, b = readings(SMALL, 9, 1), readings(SMALL, 9, 2)
    prior = as_prior(solve(a, SMALL))
    fine = solve(b, replace(SMALL, prior=prior), grid=33)
    assert fine.sizes["x"] == 33
    other = Problem(Problem.named("helmholtz").physics, prior, 17)
    source = b[b.field == SMALL.physics.fields[0].name]
    found = solve(source, other)
    assert "earlier_readings" in found.attrs
    # The second turn states its own physics, and the first one keeps the other
    third = as_prior(found)
    names = [json.loads(turn)["problem"] for turn in third.turns]
    assert 'pde = "poisson"' in names[0] and 'pde = "helmholtz"' in names[1]
    name = SMALL.physics.fields[0].name
    inside = {"x": slice(1, -1), "y": slice(1, -1)}  # on the boundary Helmholtz has a source of 0
    deviation, expected = (
        one[f"{name}_std"].isel(inside) for one in (found, solve(joined(a, source), SMALL))
    )
    assert float(np.abs(deviation - expected).max() / expected.max()) < 1e-6


@dataclass(frozen=True)
class Doubled(CoefficientPrior, contract=True):
    """A Gaussian coefficient that is not its latent field plus a constant."""

    field: CoefficientPrior
    name = "doubled"

    def latent(self, domain, kind):
        return self.field.latent(domain, kind)

    def coefficient(self, latent):
        return 1.0 + 2.0 * self.field.coefficient(latent)


def test_a_prior_of_ones_own_with_another_affine_map():
    problem = replace(SMALL, prior=Doubled(SMOOTH))
    a, b = (readings(problem, 7, seed) for seed in (1, 2))
    prior = as_prior(solve(a, problem), problem)
    found, once = solve(b, replace(problem, prior=prior)), solve(joined(a, b), problem)
    assert apart(found, once, problem) < 1e-6
    plain = replace(SMALL, prior=GaussianField(1.0, 0.8, 0.35, 2.5))
    assert apart(once, solve(joined(a, b), plain), problem) < 1e-6


# What a turn carries over


def test_weights_of_robust_readings_stay():
    table = readings(SMALL, 24, 1)
    table.loc[3, "value"] += 1.0
    first = solve(table, SMALL, robust=True)
    weight = first["sensor_weight"].values
    assert weight[3] < 0.2
    more = readings(SMALL, 6, 2)
    weighted = table.assign(noise_std=table.noise_std / np.sqrt(weight))
    found = solve(more, problem_after(first))
    assert apart(found, solve(joined(weighted, more), SMALL), SMALL) < 1e-6


def test_readings_that_were_held_out_have_no_part():
    first = solve(readings(SMALL, 24, 1), SMALL, holdout=0.25)
    assert len(as_prior(first).values) == 18


def test_biases_are_integrated_over_and_an_instrument_reads_in_one_turn_only():
    problem = replace(SMALL, instruments=(Instrument("p", 0.3), Instrument("q", 0.2)))
    a = readings(SMALL, 9, 1, channels=(0,)).assign(instrument="p")
    b = readings(SMALL, 9, 2, channels=(0,)).assign(instrument="q")
    once, found = solve(joined(a, b), problem), in_turns(problem, a, b)[-1]
    assert apart(found, once, problem) < 1e-6
    name = once["parameter"].values[1]
    assert found["parameter"].values.tolist() == [name] and "q" in name
    named = replace(SMALL, instruments=())
    with pytest.warns(pdeinv.InputWarning, match="the column 'instrument' is not used"):
        first = solve(a, named)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_prior(first).biases == ()
    with pytest.raises(InputError, match="must not be one of further readings, got the bias of p"):
        in_turns(problem, a, b.assign(instrument="p"))


def test_an_unknown_noise_may_come_in_a_later_turn():
    field = SMALL.physics.fields[0].name
    first = solve(readings(SMALL, 20, 1), SMALL)
    table = readings(SMALL, 40, 2, channels=(0,))
    truth = table.noise_std[0]
    found = solve(table.drop(columns="noise_std"), problem_after(first), noise="unknown")
    assert found["parameter"].values.tolist() == [f"noise of {field}"]
    low, high = (float(found[f"parameter_{end}"][0]) for end in ("low", "high"))
    assert low < truth < high
    # An inferred noise is no number that a Gaussian prior holds
    with pytest.raises(InputError, match="inferred noise of"):
        as_prior(found, kind="gaussian")
    with pytest.warns(UserWarning, match="should be 100 or more, got 2"):
        assert isinstance(as_prior(found), pdeinv.Ensemble)


# From files


def test_turns_chain_through_files(tmp_path):
    a, b, c = (readings(SMALL, 7, seed) for seed in (1, 2, 3))
    in_memory = in_turns(SMALL, a, b, c)
    problem = SMALL
    for k, table in enumerate((a, b, c)):
        found = solve(table, problem)
        save_netcdf(found, path := tmp_path / f"{k}.nc")
        problem = problem_after(path)
    xr.testing.assert_equal(found.drop_attrs(), in_memory[-1].drop_attrs())
    method, function = found.as_prior(), as_prior(found)
    assert torch.equal(method.rows, function.rows) and torch.equal(method.values, function.values)
    assert len(json.loads(found.attrs["earlier_readings"])) == 2
    assert len(problem.prior.turns) == 3 and problem.grid == SMALL.physics.grid(17)


def test_a_python_file_that_a_result_names_does_not_run(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import pathlib\nfrom pdeinv.datasets import Poisson\n"
        "pathlib.Path(__file__).with_suffix('.ran').touch()\n\n\n"
        "class Mine(Poisson):\n    name = 'mine'\n"
    )
    save_netcdf(solve(readings(SMALL, 5, 1), SMALL), tmp_path / "r.nc")
    result = pdeinv.open_result(tmp_path / "r.nc")
    result.attrs["problem"] = result.attrs["problem"].replace('"poisson"', f'"{file}:Mine"')
    with pytest.raises(InputError, match="whose code was not run"):
        as_prior(result)
    assert not file.with_suffix(".ran").exists()


def test_a_problem_that_no_file_holds_is_given(tmp_path):
    problem = replace(SMALL, prior=pdeinv.Transformed(SMOOTH, torch.sinh), grid=16)
    a = readings(SMALL, 6, 1, n=17, channels=(0,))
    first = solve(a, problem)
    assert "problem" not in first.attrs
    with pytest.raises(InputError, match="since no file can hold it; give as_prior"):
        as_prior(first)
    prior = as_prior(first, problem)
    after = replace(problem, prior=prior)
    second = solve(a[:3], after)
    assert not {"problem", "earlier_readings"} & {*second.attrs}
    assert len(as_prior(second, after).values) == 9
    with pytest.raises(InputError, match="problem must be that of the result, got the prior"):
        as_prior(second, problem)


def test_the_command_takes_the_problem_from_the_earlier_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SMALL.save("p.toml")
    a, b = readings(SMALL, 7, 1), readings(SMALL, 7, 2)
    a.to_csv("a.csv", index=False)
    b.to_csv("b.csv", index=False)
    run_command("reconstruct", "a.csv", "--problem", "p.toml", "--out", "a.nc")
    run_command("reconstruct", "b.csv", "--after", "a.nc", "--out", "b.nc")
    found = xr.load_dataset("b.nc")
    assert apart(found, solve(joined(a, b), SMALL), SMALL) < 1e-6
    for extra in ("--pde=poisson", "--problem=p.toml", "--prior=x", "--param=k=1"):
        with pytest.raises(InputError, match="--after states the problem and its prior, got"):
            run_command("reconstruct", "b.csv", "--after", "a.nc", "--out", "c.nc", extra)


# What is refused


def test_what_no_prior_can_hold_is_refused_with_a_remedy():
    table = readings(SMALL, 8, 1)
    one = solve(table, SMALL)
    cases = {
        "must be one of pdeinv.reconstruct or its file": xr.Dataset(),
        "must be of one set of readings, got 2 replicates": solve(
            joined(table.assign(replicate="a"), table.assign(replicate="b")), SMALL
        ),
        "must not be censored, got 1 limits of detection": solve(
            table.assign(censored=["left"] + 7 * [""]), SMALL
        ),
    }
    for message, result in cases.items():
        with pytest.raises(InputError, match=message):
            as_prior(result)
    with pytest.raises(InputError, match="kind must be"):
        as_prior(one, kind="exact")
    prior = as_prior(one)
    with pytest.raises(InputError, match="the domain of a prior after earlier readings must be"):
        prior.latent(Domain((0, 2, 0, 1)), "vertex")
    with pytest.raises(InputError, match="must be one that files can hold, got one after earlier"):
        Problem(SMALL.physics, prior).save("p.toml")
    with pytest.raises(InputError, match="numbers of a prior after earlier readings must stay"):
        prior.with_numbers(length=1.0)
    with pytest.raises(InputError, match="must use their posterior as the prior, got the kriging"):
        solve(table, Problem(SMALL.physics, prior, 17), solver="kriging")
    base = TwoPhase(SMOOTH, 1.0, 2.0)
    with pytest.raises(InputError, match="must be a smooth function of a Gaussian field"):
        Conditioned(base, prior.domain, prior.kind, prior.rows, prior.values)


def test_a_prior_after_readings_is_used_by_what_takes_a_latent_field():
    table = readings(SMALL, 12, 1)
    problem = Problem(SMALL.physics, as_prior(solve(table, SMALL)), 17)
    plan = pdeinv.design(readings(SMALL, 4, 2), problem=problem, add=2)
    assert plan["std_after"][-1] < plan.attrs["std_before"]
    direct = pdeinv.design(joined(table, readings(SMALL, 4, 2)), problem=SMALL, add=2)
    np.testing.assert_allclose(plan["std_after"], direct["std_after"], rtol=1e-5)
    judged = pdeinv.calibrate(problem, readings(SMALL, 6, 3), draws=20, grid=17)
    assert judged.attrs["p_value"] > 0.01
    shifted = readings(SMALL, 6, 4, noise=1e-3)
    with pytest.warns(pdeinv.MisfitWarning, match="the sensors do not fit"):
        solve(shifted.assign(value=shifted.value + 1.0), problem)


# An ensemble of samples


def test_samples_are_the_prior_where_the_posterior_is_not_gaussian():
    problem = Problem(Darcy(), TwoPhase(GaussianField(0.0, 1.0, 0.5, 2.5), 3.0, 12.0), 16)
    table = readings(problem, 8, 1, n=16, channels=(1,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = pdeinv.reconstruct(table, problem=problem, n_samples=20)
        after = problem_after(first)
    assert first.attrs["solver"] == "level-set" and isinstance(after.prior, pdeinv.Ensemble)
    samples = torch.from_numpy(first["permeability_samples"].values)
    torch.testing.assert_close(after.prior.states[:, 0], samples, rtol=0, atol=0)
    with pytest.raises(InputError, match="kind must be 'ensemble' for the two-phase prior"):
        as_prior(first, kind="gaussian")


def test_a_log_normal_medium_in_turns_is_near_all_at_once():
    problem = Problem(Darcy(), LogNormal(1.0, 0.3, 0.4, 2.5), 16)
    a, b = (readings(problem, 6, seed, n=16, channels=(1,)) for seed in (1, 2))
    once = pdeinv.reconstruct(joined(a, b), problem=problem)
    first = pdeinv.reconstruct(a, problem=problem)
    second = pdeinv.reconstruct(b, problem=problem_after(first))
    name = "log_permeability"
    off = [
        float(
            np.sqrt(
                (((r[f"{name}_mean"] - once[f"{name}_mean"]) / once[f"{name}_std"]) ** 2).mean()
            )
        )
        for r in (first, second)
    ]
    assert off[1] < 0.3 < off[0]
    ratio = second[f"{name}_std"] / once[f"{name}_std"]
    assert float(ratio.min()) > 0.9 and float(ratio.max()) < 1.1


# The page


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    """The names of the page's programs, after its commands."""
    folder = tmp_path_factory.mktemp("turns")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in "\n".join(blocks("sh", PAGE)).splitlines():
            if line.startswith("pdeinv"):
                run_command(*shlex.split(line)[1:])
            else:
                subprocess.run(line, shell=True, check=True)
        found = {"__name__": "page", "folder": folder}
        for code in blocks("python", PAGE):
            exec(code, found)
        yield found


def test_the_page_is_true_of_a_gaussian_problem(scope):
    assert scope["apart"] < 1e-6
    april = xr.load_dataset(scope["folder"] / "april.nc")
    march = xr.load_dataset(scope["folder"] / "march.nc")
    assert april.sizes["sensor"] + march.sizes["sensor"] == scope["once"].sizes["sensor"] == 30
    off = np.abs(april["heat_sink_mean"] - scope["once"]["heat_sink_mean"]).max()
    assert float(off / scope["once"]["heat_sink_std"].max()) < 1e-6


def test_the_page_is_true_of_a_nonlinear_problem(scope):
    assert scope["distance"](scope["late"]) < 0.5 < scope["distance"](scope["early"])
    name = "log_permeability_std"
    ratio = scope["late"][name] / scope["all_readings"][name]
    assert 0.9 < float(ratio.mean()) < 1.1
