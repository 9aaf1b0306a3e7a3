"""Inferred numbers for people: lines of the command line, and a figure of their laws."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from pdeinv import GaussianField, Grid, InputError, Problem, plot_parameters, reconstruct
from pdeinv.datasets import Poisson
from pdeinv.estimates import estimate_in_words, estimates_of, inferred_fields_of
from pdeinv.fields import Field
from pdeinv.inferred_field import InferredField


@pytest.mark.parametrize(
    ("numbers", "units", "words"),
    [
        ((413.2, 281.7, 638.1), "m", "a 410 m (90 %: 280–640)"),
        ((0.013412, 0.0098, 0.01771), "1", "a 0.0134 (90 %: 0.0098–0.0177)"),
        ((1.2345, 0.0011, 5.1), "1", "a 1.2 (90 %: 0.0011–5.1)"),
        ((-0.5, -1.26, 0.31), "m", "a -0.50 m (90 %: -1.3 to 0.31)"),
        ((3e-7, 1e-7, 9e-7), "m2 s-1", "a 3.0e-07 m2 s-1 (90 %: 1.0e-07 to 9.0e-07)"),
        ((2.5e9, 1.2e9, 4.1e9), "1", "a 2.5e+09 (90 %: 1.2e+09 to 4.1e+09)"),
        ((2.0, 2.0, 2.0), "1", "a 2.000000000000 (90 %: 2.000000000000–2.000000000000)"),
        ((0.0, -1.0, 1.0), "1", "a 0.0 (90 %: -1.0 to 1.0)"),
    ],
)
def test_an_estimate_has_the_digits_that_its_interval_allows(numbers, units, words):
    assert estimate_in_words("a", *numbers, units) == words


@pytest.fixture(scope="module")
def result():
    """The result of readings whose noise and whose prior's length and deviation are unknown."""
    problem = Problem(Poisson(), GaussianField(mean=0.0, smoothness=1.5), 16)
    rng, grid = np.random.default_rng(2), Grid(16)
    known = problem.at({"std": 30.0, "length": 0.3})
    truth = known.sample(1, grid, torch.Generator().manual_seed(2_700_000_005))[0, 1].numpy()
    rows, columns = rng.integers(1, 15, (2, 40))
    table = pd.DataFrame(
        {"field": "potential", "x": columns / 15, "y": rows / 15, "value": truth[rows, columns]}
    )
    table.value += 0.02 * truth.std() * rng.standard_normal(40)
    return reconstruct(table, problem=problem, noise="unknown", n_samples=4)


def test_a_result_has_the_ranges_and_the_laws_of_what_it_inferred(result):
    assert [*result["parameter"].values] == ["std", "length", "noise of potential"]
    low, high = (result[f"parameter_prior_{end}"].values for end in ("low", "high"))
    spread = float(result["sensor_value"].std())
    assert low[1:] == pytest.approx([0.05, 0.001 * spread])
    assert high == pytest.approx([low[0] * 1e4, 1.5, spread])
    assert json.loads(result.attrs["parameter_laws"]) == dict.fromkeys(
        ("std", "length", "noise of potential"), "log-normal"
    )
    noise = float(result["parameter_mean"].sel(parameter="noise of potential"))
    assert result["sensor_noise_std"].values == pytest.approx(noise)
    assert "inferred: std, length, noise of potential (log-normal)" in result.attrs["assumed"]


def test_each_number_is_a_line(result):
    lines = [*estimates_of(result)]
    assert [line.split(" (90 %: ")[0].rpartition(" ")[0] for line in lines] == [
        *result["parameter"].values
    ]
    both = xr.concat(
        [result.assign_coords(replicate=name) for name in ("a", "b")], "replicate", data_vars="all"
    )
    both["parameter_mean"][1, 0] = np.nan
    assert [line.partition(":")[0] for line in estimates_of(both)] == ["replicate a"] * 3 + [
        "replicate b"
    ] * 2
    assert not [*estimates_of(result.drop_dims("parameter"))]


def test_each_inferred_side_and_source_is_a_line():
    along = torch.linspace(49.812, 52.301, 5, dtype=torch.float64)
    side = InferredField(Field("left_head", "head", "m"), ("y",), along, along / 80, along[None])
    over = torch.full((5, 4), -0.25, dtype=torch.float64)
    source = InferredField(Field("source", "source"), ("y", "x"), over, -over / 10, over[None])
    both = side.to_xarray().merge(source.to_xarray())
    lines = ["left_head 49.81–52.30 m along y (± 0.64 on average)"]
    lines += ["source -0.250 (± 0.025 on average)"]
    assert [*inferred_fields_of(both)] == lines
    replicates = xr.concat([both.assign_coords(replicate=name) for name in "ab"], "replicate")
    replicates["source_std"][1] = np.nan
    assert [*inferred_fields_of(replicates)] == [
        *(f"replicate {name}: {lines[0]}" for name in "ab"),
        f"replicate a: {lines[1]}",
    ]


def test_the_figure_shows_each_number_on_the_axis_of_its_law(result, tmp_path):
    figure = plot_parameters(result)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert [title.split("\n")[0] for title in titles] == [*result["parameter"].values]
    assert {axis.get_xscale() for axis in figure.axes if axis.get_title()} == {"log"}
    for axis, name in zip(figure.axes, result["parameter"].values, strict=False):
        bar = axis.lines[0].get_xdata()
        part = result.sel(parameter=name)
        assert [*bar] == [float(part.parameter_low), float(part.parameter_high)]
    figure.savefig(tmp_path / "f.png")
    assert (
        len(
            plot_parameters(
                xr.concat(
                    [result, result[{"parameter": [0, 1]}].assign_coords(parameter=["a", "b"])],
                    "parameter",
                    data_vars="minimal",
                )
            ).axes
        )
        == 5
    )
    without = result.drop_vars(["parameter_prior_low", "parameter_prior_high"])
    without.attrs.pop("parameter_laws")
    plot_parameters(without).savefig(tmp_path / "g.png")
    with pytest.raises(InputError, match=r"must have inferred numbers .*; leave a number"):
        plot_parameters(result.drop_dims("parameter"))


@pytest.mark.filterwarnings("always::pdeinv.InputWarning")
def test_the_command_prints_and_draws_what_it_inferred(pdeinv, tmp_path, monkeypatch, result):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({c: result[f"sensor_{c}"].values for c in ("field", "x", "y", "value")})
    table.to_csv("s.csv", index=False)
    Problem(Poisson(), GaussianField(0.0, (5, 100), 0.3), 16).save("p.toml")
    command = ["reconstruct", "s.csv", "--problem", "p.toml", "--samples", 2]
    command += ["--noise", "potential=1e-4..1", "--out", "r.nc", "--plot-parameters", "f.png"]
    code, out, err = pdeinv(*command)
    assert code == 0, err
    assert re.search(r"^std \d+ \(90 %: \d+–\d+\)$", out, re.MULTILINE)
    assert re.search(r"^noise of potential \S+ \(90 %: \S+\)$", out, re.MULTILINE)
    assert (tmp_path / "f.png").stat().st_size > 1000
    code, _, err = pdeinv(*command, "--plot", "f.png")
    assert code == 2 and "--plot-parameters" in err
    known = ["--pde", "poisson", "--noise", "0.1", "--grid", "16", "--out", "q.nc"]
    code, _, err = pdeinv("reconstruct", "s.csv", *known, "--plot-parameters", "g.png")
    assert code == 0 and "g.png is not written, since every number was stated" in err
    assert not (tmp_path / "g.png").exists()
