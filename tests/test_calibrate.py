"""Calibration: a right problem passes, a wrong one fails, and runs go on where they ended."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import run_command

import pdeinv
from pdeinv import GaussianField, InputError, LogNormal, NumericalError, Problem, TwoPhase
from pdeinv.datasets import Darcy, NavierStokes, Poisson, generate
from pdeinv.problems.examples import EXAMPLES
from pdeinv.sensors import Sensors
from pdeinv.sensors.instruments import Instrument
from pdeinv.solvers import GaussianSolver
from pdeinv.solvers.calibration import run as module
from pdeinv.solvers.calibration.functionals import LEVELS, SAMPLES
from pdeinv.solvers.calibration.identity import differences, in_words
from pdeinv.solvers.calibration.truths import PriorTruths, Readings, simulated
from pdeinv.solvers.calibration.verdict import SIGNIFICANT, p_values
from pdeinv.unknown import Unknown

DRAWS = 24
X, Y = pdeinv.layouts.random(12, 0, Poisson().domain).T
TABLE = {"field": "potential", "x": X, "y": Y, "value": 0.0}


def posed(std=1.0, **physics):
    return Problem(Poisson(**physics), GaussianField(0.0, std, length=0.3), grid=16)


@pytest.fixture(scope="module")
def right():
    return pdeinv.calibrate(posed(), TABLE, noise="1%", draws=DRAWS)


@pytest.fixture(scope="module")
def half():
    return pdeinv.calibrate(posed(0.5), TABLE, truths=posed(), noise="1%", draws=DRAWS)


def test_a_right_problem_passes(right):
    assert right.attrs["p_value"] > 0.05 and right.attrs["failed"] == 0
    assert right.attrs["verdict"].startswith("nothing speaks against the intervals: 90 % intervals")
    for level in (0.5, 0.9):
        assert abs(float(right.coverage.sel(level=level).mean()) - level) < 0.07


def test_a_deviation_stated_half_as_large_is_found(half):
    assert half.attrs["p_value"] < SIGNIFICANT
    assert half.attrs["verdict"].startswith("the intervals are too narrow: 90 % intervals of")
    assert float(half.coverage.sel(level=0.9).mean()) < 0.8


def test_a_deviation_stated_twice_as_large_is_found():
    wide = pdeinv.calibrate(posed(2.0), TABLE, truths=posed(), noise="1%", draws=DRAWS)
    assert wide.attrs["p_value"] < SIGNIFICANT
    assert wide.attrs["verdict"].startswith("the intervals are too wide")


def test_a_mean_that_is_stated_too_low_is_found():
    shifted = dataclasses.replace(posed(), prior=GaussianField(2.0, 1.0, length=0.3))
    found = pdeinv.calibrate(posed(), TABLE, truths=shifted, noise=0.01, draws=DRAWS)
    assert found.attrs["p_value"] < SIGNIFICANT
    uniform = found.uniform.sel(functional="mean of source")
    assert float(uniform.mean()) > 0.8  # the truth is above most samples


def test_the_result_has_the_ranks_of_every_draw(right):
    assert right["rank"].dims == ("draw", "functional") and right.sizes["draw"] == DRAWS
    assert set(np.unique(right["rank"])) <= set(range(SAMPLES + 1))
    inside = (right["rank"] + right.uniform * 0) / (SAMPLES + 1)
    assert bool(((right.uniform >= inside) & (right.uniform <= inside + 1 / (SAMPLES + 1))).all())
    assert right.quantity.values.tolist() == ["source", "potential"]
    assert right.level.values.tolist() == list(LEVELS)
    assert {"mean of source", "roughness of potential"} <= set(right.functional.values)


@pytest.mark.parametrize("k", [1, 3])
def test_the_p_values_are_uniform_for_uniform_ranks(k):
    """Of each test: no more than a share p of the p-values is below p, within noise."""
    rng = np.random.default_rng(k)
    found = p_values(rng.uniform(size=(30, 2000)))
    for name, p in found.items():
        for level in (0.05, 0.3, 0.7):
            assert abs((p < level).mean() - level) < 0.04, name


@pytest.mark.parametrize(
    ("test", "moved"),
    [
        ("shift", lambda z: z + 0.7),
        ("scale", lambda z: 1.6 * z),
        ("scale", lambda z: 0.6 * z),
        ("shape", lambda z: np.sign(z) * (0.8 + 0.2 * np.abs(z))),
    ],
)
def test_each_test_finds_its_fault(test, moved):
    from scipy.special import ndtr, ndtri

    z = ndtri(np.random.default_rng(0).uniform(size=(80, 1)))
    assert p_values(ndtr(moved(z)))[test][0] < 1e-3


def test_numbers_that_are_drawn_are_judged_too():
    """The truth of a bias is that with which the readings were simulated."""
    gauge = (Instrument("gauge", 0.02),)
    problem = dataclasses.replace(posed(), instruments=gauge)
    found = pdeinv.calibrate(problem, TABLE | {"instrument": "gauge"}, noise=1e-3, draws=20)
    name = "bias of gauge, potential"
    assert name in found.quantity.values and found.attrs["p_value"] > SIGNIFICANT
    truth = found.truth_value.sel(functional=name).values
    assert 0.01 < truth.std() < 0.03
    assert np.corrcoef(truth, found.sample_mean.sel(functional=name))[0, 1] > 0.9


def test_truths_have_draws_of_the_unknown_numbers():
    prior = GaussianField(0.0, 1.0, length=Unknown(0.1, 0.4, "log-uniform"))
    truths = PriorTruths(Problem(Poisson(source=Unknown(1.0, 2.0)), prior, grid=16))
    numbers = [truths.truth(["potential"], [], 0, i).numbers for i in range(8)]
    assert all(0.1 < one["length"] < 0.4 for one in numbers)
    assert len({one["source"] for one in numbers}) == 8
    (again,) = [truths.truth(["potential"], [], 0, 3).numbers]
    assert again == numbers[3]
    assert truths.truth(["potential"], [], 1, 3).numbers != numbers[3]


def test_readings_have_the_noise_that_is_stated():
    truth = PriorTruths(posed()).truth(["potential"], [], 0, 0)
    table = Sensors.read(TABLE | {"noise_std": np.linspace(0.01, 0.02, len(X))})
    sensors, noise, numbers = simulated(Readings(table, None), posed(), truth)
    assert noise is None and numbers == {}
    exact = sensors.observation(truth.physics, truth.grid)(truth.state)[0].numpy()
    white = (sensors.table.value - exact) / table.table.noise_std
    assert 0.5 < float(white.std()) < 2
    assert sensors.table.noise_std.tolist() == table.table.noise_std.tolist()


def test_fields_in_time_experiments_and_logarithms_are_scored():
    example = EXAMPLES["two-pumping-tests"]
    truth = example.truth()
    problem = dataclasses.replace(example.problem, grid=16)
    posed = module._Calibration.of(problem, truth.sensors, None, None, "kriging", None, 0)
    drawn = posed.truths.truth(posed.fields, posed.times, 0, 0)
    names = {f.name for f in drawn.physics.fields}
    assert {"head", "log_hydraulic_conductivity"} <= names
    result = posed(0)
    assert result.quantity.values.tolist() == [
        "head in west",
        "head in east",
        "log_hydraulic_conductivity",
    ]


def test_a_flow_on_a_torus_is_scored_at_its_last_time():
    table = {"field": "velocity_x", "x": X[:6], "y": Y[:6], "value": 0.0, "time": 0.5}
    flow = Problem(NavierStokes(), GaussianField(0.0, 0.3, length=0.3), grid=16)
    result = module._Calibration.of(flow, table, None, "1%", "auto", None, 0)(0)
    assert {"initial_vorticity", "velocity_x"} <= set(result.quantity.values)
    assert result.sizes["draw"] == 1


def test_a_dataset_of_ones_own_fields_gives_the_truths(tmp_path):
    generate(posed(), 21, 16, 0, tmp_path / "fields.h5", workers=1)
    given = {"truths": tmp_path / "fields.h5", "noise": "1%"}
    found = pdeinv.calibrate(posed(), TABLE, draws=21, **given)
    assert found.attrs["p_value"] > SIGNIFICANT
    with pytest.raises(InputError, match=r"draws must be at most the 21 truths .* got 22"):
        pdeinv.calibrate(posed(), TABLE, draws=22, **given)


# Runs that end early


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, right):
    """The draws that were done are not made again, and the result is the same."""
    out, made = tmp_path / "c.nc", []
    call = module._Calibration.__call__

    def interrupted(self, i):
        made.append(i)
        if len(made) == 7:
            raise KeyboardInterrupt
        return call(self, i)

    monkeypatch.setattr(module._Calibration, "__call__", interrupted)
    given = {"noise": "1%", "draws": DRAWS, "out": out}
    with pytest.raises(KeyboardInterrupt):
        pdeinv.calibrate(posed(), TABLE, **given)
    with xr.open_dataset(out, engine="h5netcdf") as part:
        assert part.sizes["draw"] == 6 and "verdict" in part.attrs
    found = pdeinv.calibrate(posed(), TABLE, **given)
    assert made == [*range(7), *range(6, DRAWS)]
    for name in ("rank", "truth_value", "coverage", "p_value"):
        np.testing.assert_array_equal(found[name], right[name])
    made.clear()
    pdeinv.calibrate(posed(), TABLE, **given)
    assert not made
    for problem, table, changed, words in (
        (posed(0.5), TABLE, {}, "got problem.prior.std 1.0 there and 0.5 here; choose"),
        (posed(), TABLE, {"seed": 3}, "got seed 0 there and 3 here; choose"),
        (posed(), TABLE, {"noise": 0.1, "grid": 12}, "got problem.grid 16 there and 12 here, "),
        (posed(), TABLE | {"x": [0.5, *X[1:]]}, {}, "got sensors in row 1 potential,"),
        (posed(), TABLE, {"truths": posed(2.0)}, "got truths.problem.prior.std 1.0 there and 2.0"),
    ):
        with pytest.raises(InputError, match=f"c.nc must be of the same problem, .* {words}"):
            pdeinv.calibrate(problem, table, **given | changed)
    with xr.open_dataset(out, engine="h5netcdf") as part:
        other = part.load().drop_attrs()
    other.to_netcdf(out, engine="h5netcdf")
    with pytest.raises(InputError, match=r"c.nc must state what it is a calibration of, got none"):
        pdeinv.calibrate(posed(), TABLE, **given)


def test_what_differs_between_two_calibrations_is_named_with_both_values():
    a = {"problem": "P(a=F(b=1, c=(2, 3)), d='x')", "sensors": "x,y\n1,2\n3,4\n", "seed": "0"}
    b = {"problem": "P(a=F(b=2, c=(2, 4)), d='x')", "sensors": "x,y\n1,2\n", "truths": "None"}
    assert differences(a, a) == []
    assert differences(a, b) == [
        ("problem.a.b", "1", "2"),
        ("problem.a.c", "(2, 3)", "(2, 4)"),
        ("sensors in row 2", "3,4", ""),
        ("truths", "", "None"),
        ("seed", "0", ""),
    ]
    assert in_words(differences(a, b)) == (
        "problem.a.b 1 there and 2 here, problem.a.c (2, 3) there and (2, 4) here, "
        "sensors in row 2 3,4 there and none here, and 2 more"
    )
    assert differences({"p": "<f at 1>"}, {"p": "F(a=1)"}) == [("p", "<f at 1>", "F(a=1)")]
    assert differences({"p": "G(a=1)"}, {"p": "F(a=1)"}) == [("p", "G(a=1)", "F(a=1)")]


class Fickle(GaussianSolver):
    """It fails for readings of one sign."""

    name = "fickle"

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        if bool(observation.values[0] > 0):
            raise NumericalError("the readings must be negative, and are not; turn them")
        return super().condition(pde, prior, observation, n_samples, generator, progress)


class Failing(Fickle):
    name = "failing"

    def condition(self, *arguments):
        raise NumericalError("the solve must end, and did not; wait")


def test_draws_that_fail_are_left_out_and_counted():
    found = pdeinv.calibrate(posed(), TABLE, noise="1%", draws=20, solver=Fickle())
    assert found.attrs["failed"] == 20 - found.sizes["draw"] > 2
    with pytest.raises(NumericalError, match=r"the failing solver failed: the solve must end"):
        pdeinv.calibrate(posed(), TABLE, noise="1%", draws=20, solver=Failing())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"draws": 19}, r"draws must be .* got 19"),
        ({"seed": 1000}, r"seed must be .* got 1000"),
        ({"problem": "nowhere.toml"}, r"nowhere.toml"),
        ({"problem": Poisson()}, r"problem must be a Problem or its file, got Poisson"),
        ({"truths": Poisson()}, r"truths must be a Problem, its file or a dataset's file"),
        (
            {"truths": Problem(Darcy(), LogNormal(1.0, 1.0, 0.2))},
            r"truths must have the fields of the problem, source, potential, got permeability",
        ),
        ({"sensors": TABLE | {"field": "head"}}, r"head"),
        ({"sensors": TABLE | {"replicate": "May"}}, r"must have no replicates, got a column"),
        ({"sensors": TABLE | {"censored": "left"}}, r"must have no limits of detection"),
    ],
)
def test_refusals_name_the_value_and_the_remedy(changed, words):
    given = {"problem": posed(), "sensors": TABLE, "noise": "1%", "draws": 20} | changed
    with pytest.raises(InputError, match=words) as error:
        pdeinv.calibrate(given.pop("problem"), given.pop("sensors"), **given)
    assert "; " in str(error.value) and str(error.value)[-1] not in ".\n"


# The command and the figure


def test_the_command_draws_a_layout_and_prints_the_verdict(tmp_path):
    posed().save(tmp_path / "p.toml")
    posed(2.0).save(tmp_path / "q.toml")
    command = ("calibrate", "--problem", tmp_path / "p.toml", "--truths", tmp_path / "q.toml")
    further = ("--draws", 20, "--n", 8, "--out", tmp_path / "c.nc", "--plot", tmp_path / "c.png")
    text = run_command(*command, *further).output
    assert "source: 50 % intervals hold the truth in" in text
    assert text.splitlines()[-1].startswith(f"{tmp_path}/c.nc: the intervals are too narrow: ")
    assert (tmp_path / "c.png").stat().st_size > 20_000
    assert run_command(*command, *further).output == text[text.index("source: 50 %") :]


def test_the_command_takes_a_table_and_refuses_a_layout_with_it(tmp_path):
    posed().save(tmp_path / "p.toml")
    Sensors.read(TABLE | {"noise_std": 1e-3}).to_csv(tmp_path / "s.csv")
    command = ("calibrate", "--problem", tmp_path / "p.toml", "--sensors", tmp_path / "s.csv")
    text = run_command(*command, "--draws", 20, "--out", tmp_path / "c.nc").output
    assert "nothing speaks against the intervals" in text
    with pytest.raises(InputError, match=r"--n must be left out with --sensors, got 9; drop one"):
        run_command(*command, "--n", 9)
    with pytest.raises(InputError, match=r"an output must not have the name of another file"):
        run_command(*command, "--out", tmp_path / "s.csv")


def test_the_figure_has_a_row_for_each_quantity(half):
    figure = pdeinv.plot_calibration(half)
    assert len(figure.axes) == 3 * half.sizes["quantity"]
    counts = [patch.get_height() for patch in figure.axes[0].patches]
    assert sum(counts) == DRAWS
    (line,) = [one for one in figure.axes[2].lines if len(one.get_xdata()) == len(LEVELS)]
    expected = half.coverage.sel(quantity="source").mean("draw")
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_a_medium_of_two_phases_has_ranks():
    """Most of its samples agree with the truth at a node: ties are broken at random."""
    medium = Problem(Darcy(), TwoPhase(GaussianField(0.0, 1.0, 0.3), 1.0, 3.0), grid=16)
    table = {"field": "pressure", "x": X[:6], "y": Y[:6], "value": 0.0}
    result = module._Calibration.of(medium, table, None, "1%", "auto", None, 0)(0)
    assert torch.as_tensor(result["uniform"].values).isfinite().all()


def test_unknown_numbers_are_drawn_inferred_and_judged():
    shape = {"length": Unknown(0.1, 0.6), "smoothness": 1.5}
    problem = Problem(Poisson(), GaussianField(0.0, Unknown(0.3, 3.0), **shape), grid=16)
    found = pdeinv.calibrate(problem, TABLE, noise="1%", draws=20)
    assert found.quantity.values.tolist() == ["source", "potential", "std", "length"]
    assert found.attrs["p_value"] > SIGNIFICANT
    truth = found.truth_value.sel(functional="std")
    assert float(truth.max() / truth.min()) > 3
    assert np.corrcoef(np.log(truth), np.log(found.sample_mean.sel(functional="std")))[0, 1] > 0.6
