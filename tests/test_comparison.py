"""Models compared by results of the same readings: evidence, Bayes factors and scores."""

import math
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from readme_blocks import blocks

from pdeinv import GaussianField, InputError, InputWarning, Problem, compare, reconstruct
from pdeinv.comparison import in_words, of_bounds
from pdeinv.datasets import Poisson

VALUES = np.array([0.1, -0.4, 0.7])


def result(evidence=None, densities=None, values=VALUES, solver="gaussian", **columns):
    """A result as it is stored, with the variables that are compared."""
    data = {"field": ["potential"] * len(values), "x": values / 3, "value": values}
    data |= {"noise_std": np.full(len(values), 0.1), **columns}
    if densities is not None:
        data["log_density"] = np.asarray(densities, dtype=float)
    made = xr.Dataset({f"sensor_{k}": ("sensor", v) for k, v in data.items()})
    given = {} if evidence is None else {"log_evidence": evidence}
    return made.assign_attrs(solver=solver, **given)


def test_the_most_probable_model_is_first_and_the_others_are_graded_against_it():
    given = [result(-10.0, [-1, -2, -3]), result(-4.0, [-1, -1, -1]), result(-6.0, [0, 0, -4])]
    table = compare(*given)
    assert [*table.index] == ["2", "3", "1"]
    assert table.bayes_factor.tolist() == pytest.approx([1, math.exp(2), math.exp(6)])
    assert table.against.tolist() == ["", "positive", "very strong"]
    assert table.score.tolist() == [-3, -4, -6]
    assert table.score_difference.tolist() == [0, -1, -3]
    spread = [0.0, np.std([1, 1, -3], ddof=1), np.std([0, -1, -2], ddof=1)]
    assert table.score_error.tolist() == pytest.approx(math.sqrt(3) * np.array(spread))


def test_measures_that_clearly_prefer_different_results_warn_in_one_sentence():
    first, other = result(-4.0, [-2, -2.1, -2.2]), result(-8.0, [-1, -1.3, -1.1])
    error = math.sqrt(3) * np.std([1, 0.8, 1.1], ddof=1)
    expected = (
        rf"must prefer the same result, got 1 by a Bayes factor of {math.exp(4):.3g} and 2 by a "
        rf"score that is 2.9 ± {error:.2g} above; check"
    )
    with pytest.warns(InputWarning, match=expected) as caught:
        compare(first, other)
    assert len(caught) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("evidence", "densities"),
    [
        (-6.9, [-1, -1.3, -1.1]),  # a Bayes factor of 18
        (-8.0, [-1.9, -1.0, -2.4]),  # a difference of 1 ± 1.13
        (-8.0, [-3, -3, -3]),
        (-4.0, [-1, -1.3, -1.1]),
    ],
)
def test_measures_that_agree_or_have_no_clear_margin_are_silent(evidence, densities):
    compare(result(-4.0, [-2, -2.1, -2.2]), result(evidence, densities))


@pytest.mark.parametrize(
    ("evidences", "robust", "meaning"),
    [
        ((-4.0, -9.0), (True, False), "of 1 bounds .* the others is at least as strong as stated"),
        ((-4.0, -9.0), (False, True), "of 2 bounds .* against 2 may be weaker than stated, or be"),
        ((-4.0, -9.0), (True, True), "of 1, 2 bounds .* two of them may be too large or too small"),
        ((-4.0, -9.0, -8.0), (True, True, False), "of 1, 2 bounds .* against 2 may be weaker"),
    ],
)
def test_the_evidence_of_robust_results_is_stated_as_a_bound(evidences, robust, meaning):
    given = [
        result(evidence, **({"weight": [1.0, 0.9, 0.1 * i]} if of else {}))
        for i, (evidence, of) in enumerate(zip(evidences, robust, strict=True))
    ]
    with pytest.warns(InputWarning, match="has no leave-one-out score"):
        table = compare(*given)
    assert table.bound.to_dict() == {str(i): of for i, of in enumerate(robust, 1)}
    assert re.search(meaning, of_bounds(table))


@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
def test_no_bound_is_stated_of_gaussian_noise_or_without_an_evidence():
    assert not of_bounds(compare(result(-4.0), result(-9.0)))
    robust = result(None, [0, 0, 0], weight=np.ones(3))
    assert not of_bounds(compare(result(-4.0, [0, 0, 0]), robust))


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1.0, ""),
        (2.9, "hardly worth a mention"),
        (3.0, "positive"),
        (19.0, "positive"),
        (20.0, "strong"),
        (149.0, "strong"),
        (151.0, "very strong"),
        (math.nan, ""),
    ],
)
def test_a_bayes_factor_has_the_grade_of_kass_and_raftery(factor, words):
    assert in_words(factor) == words


def test_an_evidence_that_is_beyond_numbers_is_still_a_factor():
    table = compare(result(0.0), result(-5000.0))
    assert np.isfinite(table.bayes_factor).all()


@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
def test_without_an_evidence_the_scores_decide():
    table = compare(result(None, [0, 0, -4]), result(None, [-1, -1, -1], solver="moment"))
    assert [*table.index] == ["2", "1"] and table.log_evidence.isna().all()
    assert table.against.tolist() == ["", ""]


def test_the_score_is_of_the_readings_that_all_results_predict():
    with pytest.warns(InputWarning, match="the scores are of 2 of 3 readings"):
        table = compare(result(-1.0, [0, np.nan, -4]), result(-2.0, [-1, -1, -1]))
    assert table.score.tolist() == [-4, -2] and table.score_difference.tolist() == [0, 2]


def test_what_is_missing_is_named():
    with pytest.warns(InputWarning, match=r"^2 \(kriging\) has no log evidence, so the table") as w:
        table = compare(result(-1.0, [0, 0, 0]), result(None, [0, 0, 0], solver="kriging"))
    assert len(w) == 1 and np.isnan(table.log_evidence["2"])


def test_the_evidence_of_replicates_is_that_of_all():
    both = result(None, [0, 0, 0]).assign(log_evidence=("replicate", [-1.0, -2.0]))
    assert compare(both, result(-5.0, [0, 0, 0])).log_evidence.tolist() == [-3.0, -5.0]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "results to compare must be two or more, got 1; give"),
        ([result(values=VALUES[:2])], "same readings .* got 3 of them in 1 and 2 in 2; recon"),
        (
            [result(values=VALUES + [0, 0, 1e-3])],
            r"same readings .* got the (x|value) .* sensor=2",
        ),
        ([result(field=["potential", "source", "potential"])], "got the field potential in 1 and "),
        ([3], "a result must be a Dataset or its file, got 3; give"),
        ([xr.Dataset()], "result 2 must be one of pdeinv.reconstruct, got one without sensors"),
        (["nowhere.nc"], "the result nowhere.nc must be a file, got none; check its name"),
        ([result()], "must have an evidence or leave-one-out predictions .* got none in 1, 2"),
    ],
)
@pytest.mark.filterwarnings("ignore::pdeinv.InputWarning")
def test_results_that_cannot_be_compared_are_refused(others, message):
    with pytest.raises(InputError, match=message):
        compare(result(), *others)


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning")
def test_the_command_prefers_the_right_length(pdeinv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, positions = np.random.default_rng(3), np.arange(2, 14)
    x, y = (grid.ravel() / 15 for grid in np.meshgrid(positions, positions))
    table = pd.DataFrame({"field": "source", "x": x, "y": y, "noise_std": 0.1})
    table["value"] = np.sin(2 * np.pi * x) + np.cos(5 * y) + 0.1 * rng.standard_normal(len(x))
    for name, length in (("right", 0.4), ("short", 0.05)):
        problem = Problem(Poisson(), GaussianField(0.0, 1.0, length), 16)
        made = reconstruct(table, problem=problem, n_samples=2)
        made.to_netcdf(f"{name}.nc", engine="h5netcdf")
    code, out, err = pdeinv("compare", "short.nc", "right.nc")
    assert code == 0 and not err
    header, first, second = out.splitlines()
    assert header.split()[:3] == ["solver", "log", "evidence"]
    assert first.startswith("right.nc") and "very strong" in second and " ± " in second
    table[:-1].to_csv("s.csv", index=False)
    reconstruct("s.csv", problem=problem, n_samples=2).to_netcdf("other.nc", engine="h5netcdf")
    code, _, err = pdeinv("compare", "short.nc", "other.nc")
    assert code == 2 and "got 144 of them in short.nc and 143 in other.nc" in err
    code, _, err = pdeinv("compare", "short.nc", "s.csv")
    assert code == 2 and "s.csv must be a result" in err and err.count("\n") == 1


@pytest.mark.filterwarnings("ignore::pdeinv.MisfitWarning")
def test_the_command_compares_robust_results_of_one_table(pdeinv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, x = np.random.default_rng(5), np.linspace(0.1, 0.9, 12)
    value = np.sin(2 * np.pi * x) + 0.1 * rng.standard_normal(12) + 4.0 * (np.arange(12) == 5)
    table = {"field": "source", "x": x, "y": 0.5, "noise_std": 0.1, "value": value}
    for name, length, robust in (("a", 0.4, True), ("b", 0.2, True), ("c", 0.4, False)):
        problem = Problem(Poisson(), GaussianField(0.0, 1.0, length), 16)
        made = reconstruct(pd.DataFrame(table), problem=problem, robust=robust, n_samples=2)
        made.to_netcdf(f"{name}.nc", engine="h5netcdf")
    code, out, err = pdeinv("compare", "a.nc", "b.nc")
    assert code == 0 and not err, err
    assert out.count("≥ ") == 2 and "noise from below" in out.splitlines()[-1]
    code, out, err = pdeinv("compare", "a.nc", "c.nc")
    assert code == 0 and not err, err
    assert out.splitlines()[1].startswith("a.nc") and out.count("≥ ") == 1
    assert "of a.nc bounds that" in out and "at least as strong as stated" in out


def test_the_page_runs(capsys):
    (block,) = blocks("python", "docs/checking-a-result.md")
    exec(block, {})
    assert "log_evidence" in capsys.readouterr().out
