"""Odd arguments of the API: a finite result, `InputError` or `NumericalError`, and no hang.

Each example is mostly valid, with one or two arguments from a pool of odd values, so that it gets
past the first check.
"""

import dataclasses
import decimal
import fractions
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import accepts, brief_searches, normal, quick_prior, quick_solver, seeded
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tally import tally
from time_limit import time_limit

from pdeinv import (
    Ensemble,
    EquiReg,
    Field,
    GaussianField,
    GaussianRandomField,
    Grid,
    Group,
    InputError,
    LogNormal,
    NumericalError,
    Scenarios,
    SpectralField,
    Symmetry,
    Transformed,
    TwoPhase,
    layouts,
    reconstruct,
)
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDES, Problem, pde_by_name
from pdeinv.metrics import crps_ensemble, relative_l2
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.diffusion.equireg import EquiReweight
from pdeinv.solvers.diffusion.guidance import LossTerm
from pdeinv.solvers.selection import solver_for
from pdeinv.symmetry import square_group, torus_group

LIMIT = 60.0  # seconds of one example; a machine that is shared may stall for some of them

NUMBERS = [
    *(0, 1, 2, 3, -1, 20, 2.5, 0.0, -0.0, 0.1, 1e-3, 1e-9, 1e-300, -1e-300, 5e-324),
    *(10**6, 1e6, 10**9, 1e9, -1e9, 2**31, 2**63, 2**64, 1e39, 1e300, 10**400, -(10**400)),
    *(float("nan"), float("inf"), float("-inf"), np.float64("nan")),
    *(np.int64(20), np.float32(0.1), np.int8(3), np.uint8(200), np.bool_(True), np.float16(2)),
    *(decimal.Decimal("0.1"), fractions.Fraction(1, 3)),
]
OTHERS = [
    *(None, True, False, "", "x", "1", "auto", "spectral", "a\0b", "ä", "x" * 300, b"poisson"),
    *([], [1], (1.0, 1.0), (1, "a"), {}, {"a": 1}, set(), object(), int, len, 1j, range(3)),
    *(torch.tensor(3), torch.tensor([1.0, 2.0]), torch.zeros(2, 1, 8, 16), np.array(["a"])),
    *(np.array(4), np.zeros((3, 2)), pd.Series([1.0]), Grid(16), Symmetry(), slice(None)),
    *("own.py:Own", ":", "no.py:", "/:x", "a.py:b:c", Exception("x"), lambda *a, **k: 1 / 0),
]
ODD = st.sampled_from([*NUMBERS, *OTHERS])


def attempt(call):
    """Return what a call returns; None where it ends in one of the package's sentences."""
    with time_limit(LIMIT), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call()
        except (InputError, NumericalError) as error:
            assert "\n" not in str(error) and 20 < len(str(error)) < 1000, str(error)
            found = None
    tally("arguments in Python", refused=found is None)
    return found


def finite(*values):
    for value in values:
        assert np.isfinite(np.asarray(value.detach() if torch.is_tensor(value) else value)).all()


@st.composite
def mutated(draw, settings, most=2):
    """Draw settings of which up to `most` are odd."""
    if not settings:
        return {}
    names = draw(st.lists(st.sampled_from(sorted(settings)), max_size=most, unique=True))
    return settings | {name: draw(ODD) for name in names}


# PDEs, and what they do


def defaults(kind):
    return {
        f.name: f.default
        for f in dataclasses.fields(kind)
        if f.init and f.default is not dataclasses.MISSING
    }


@st.composite
def problems(draw):
    """Draw a name, parameters and numbers of the default prior, of which some are odd and some near
    the usual ones."""
    name = draw(st.sampled_from(sorted(PDES)))
    usual, numbers = defaults(PDES[name]), PDES[name]().default_prior.numbers
    own = {key: numbers[key] for key in numbers.keys() - usual.keys()}
    factor = st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0, 100.0])
    near = {
        key: value * draw(factor)
        for key, value in (usual | own).items()
        if isinstance(value, float) and draw(st.booleans())
    }
    drawn = draw(mutated(usual | own | near))
    return name, {key: drawn[key] for key in usual}, {key: drawn[key] for key in own}


def problem_of(name, parameters, numbers):
    pde = PDES[name](**parameters)
    return Problem(pde, pde.default_prior.with_numbers(**numbers))


@given(problems(), st.booleans(), st.sampled_from([8, 13]))
def test_a_problem_of_any_parameters_gives_finite_states(drawn, by_name, n):
    name, parameters, numbers = drawn

    def call():
        problem = Problem.named(name, **parameters, **numbers) if by_name else problem_of(*drawn)
        pde = problem.physics
        assume(not 1 < pde.solve_seconds(pde.grid(n)) < 100)  # long, and not refused
        a, u = problem.sample(1, pde.grid(n), seeded()).split(1, dim=1)
        return a, u, pde.residual(a, u), pde.surrogate(a)

    finite(*(attempt(call) or ()))


# Settings


def _loss(x_t, sigma, x0_hat):
    return x0_hat.square().sum(dim=(1, 2, 3))


KINDS = [*SOLVERS.values(), EquiReg, EquiReweight, LossTerm, GaussianRandomField, Field, Grid]
KINDS += [Symmetry, Group, *CoefficientPrior.kinds.values()]
VALID = {
    LossTerm: {"loss": _loss},
    GaussianRandomField: {"boundary": "neumann", "alpha": 2.0, "tau": 3.0},
    Field: {"name": "head", "long_name": "hydraulic head"},
    Grid: {"ny": 16},
    Group: {"elements": (Symmetry(),)},
    GaussianField: {"mean": 1.0, "std": 1.0, "length": 0.3},
    LogNormal: {"median": 1.0, "log_std": 1.0, "length": 0.3},
    TwoPhase: {"field": SpectralField(), "low": 1.0, "high": 2.0},
    Transformed: {"field": SpectralField(), "function": torch.exp},
    Scenarios: {"lengths": (0.2, 0.4)},
}


@given(st.data())
def test_settings_of_any_kind_are_taken_or_refused(data):
    kind = data.draw(st.sampled_from(KINDS))
    settings = data.draw(mutated(defaults(kind) | VALID.get(kind, {})))
    made = attempt(lambda: kind(**settings))
    if made is not None:
        assert repr(made) and dataclasses.replace(made) == made
        for field in dataclasses.fields(made):
            value = getattr(made, field.name)
            assert not isinstance(value, float) or not np.isnan(value), field.name


# Layouts and fields


@given(st.data())
def test_layouts_are_points_in_the_square(data):
    name, settings = data.draw(
        st.sampled_from(
            [
                ("random", {"n": 5, "seed": 0}),
                ("random_nodes", {"n": 5, "grid": Grid(16), "seed": 0}),
                ("regular", {"per_side": 3}),
                ("track", {"waypoints": [(0.1, 0.1), (0.9, 0.3)], "n": 4}),
                ("boundary", {"n": 7}),
            ]
        )
    )
    points = attempt(lambda: getattr(layouts, name)(**data.draw(mutated(settings))))
    if points is not None:
        assert points.ndim == 2 and points.shape[1] == 2 and len(points)
        assert ((points >= 0) & (points <= 1)).all()


SHAPES = st.sampled_from([(1, 1, 8, 8), (2, 2, 8, 8), (1, 1, 8, 16), (1, 1, 16, 8), (8, 8), (3, 8)])
KIND = st.sampled_from(["vertex", "periodic"])
SHIFT = st.sampled_from([0.0, 0.25, 0.1, 1.0, -7.3, 1e300])


@given(SHAPES, SHAPES, KIND, st.sampled_from([*square_group(), *torus_group()]), SHIFT, st.data())
def test_fields_of_any_shape_are_moved_and_scored_or_refused(shape, other, kind, g, sx, data):
    x, y = normal(*shape), normal(*other, seed=1)
    element = dataclasses.replace(g, shift=(g.shift[0] + sx, g.shift[1]))
    moved = attempt(lambda: element(x, Grid(8, kind=kind)))
    if moved is not None:
        assert moved.shape == x.shape and x.shape[-2:] == (8, 8)
        finite(moved)
    for score in (relative_l2, lambda a, b: crps_ensemble(a[None], b)):
        found = attempt(lambda s=score: s(x, y))
        assert found is None or bool(found.isfinite().all())
    odd = data.draw(st.sampled_from([0.0, 1.0, 1e-300, 1e39, float("nan")]))
    ensemble = attempt(lambda: Ensemble(torch.cat([x, odd * x]) if x.ndim == 4 else x))
    assert ensemble is None or (ensemble.channels in (1, 2) and len(ensemble) > 1)


# Reconstructions

_CHEAP = ["gaussian", "kriging", "optimal-interpolation", "gauss-newton", "auto", "fundps", "daps"]


def _valid_call(pde, solver):
    pde = pde_by_name(pde)
    table = pd.DataFrame(
        {
            "field": ["solution", "coefficient", "solution"],
            "x": [0.3, 0.6, 0.8],
            "y": [0.4, 0.1, 0.7],
            "value": [1e-3, 5.0, 2e-3],
            "noise_std": [1e-3, 0.1, 1e-3],
        }
    )
    usual = quick_solver(solver) if solver in SOLVERS else solver
    return {
        "sensors": table,
        "pde": pde.name,
        "grid": 16,
        "solver": usual,
        "prior": quick_prior(solver, pde.name) if solver in SOLVERS else None,
        "instruments": None,
        "equireg": False,
        "steps": None,
        "preset": None,
        "n_samples": 2,
        "seed": 0,
        "holdout": None,
    }


@given(st.data())
def test_a_reconstruction_of_any_arguments_is_finite_or_refused(data):
    pde, solver = data.draw(st.sampled_from(sorted(PDES))), data.draw(st.sampled_from(_CHEAP))
    if solver in SOLVERS and not accepts(SOLVERS[solver](), pde_by_name(pde)):
        solver = "auto"
    usual = _valid_call(pde, solver)
    sensors = {"sensors": usual.pop("sensors")}  # test_fuzz_sensors.py has odd ones
    arguments = data.draw(mutated(usual)) | sensors
    long = (arguments[name] for name in ("grid", "steps"))
    assume(not any(isinstance(value, np.uint8) for value in long))  # 200 nodes or steps
    with brief_searches():
        result = attempt(lambda: reconstruct(**arguments))
    if result is not None:
        for name in result.data_vars:
            # A reading may have no prediction from the others
            if name.endswith(("_mean", "_std", "_samples")) and not name.startswith("sensor_"):
                finite(result[name].values)


@settings(max_examples=min(100, settings.default.max_examples // 2))  # seconds each
@given(problems(), st.sampled_from(["auto", "kriging", "optimal-interpolation"]))
def test_a_reconstruction_with_any_parameters_is_finite_or_refused(drawn, solver):
    name, *_ = drawn

    def call():
        problem = problem_of(*drawn)
        pde = problem.physics
        assume(not 0.04 < pde.solve_seconds(pde.grid(16)) < 100)  # long, and not refused
        chosen = quick_solver(solver_for(solver, pde, problem.prior).name)
        given = {"pde": None, "problem": problem, "solver": chosen}
        return reconstruct(**_valid_call(name, "auto") | given)

    with brief_searches():
        result = attempt(call)
    if result is not None:
        for field in pde_by_name(name).fields:
            finite(result[f"{field.name}_mean"].values, result[f"{field.name}_std"].values)


@pytest.mark.parametrize("value", [*NUMBERS, *OTHERS], ids=lambda v: type(v).__name__)
def test_a_message_shows_any_value_in_one_line(value):
    for kind, name in ((Grid, "ny"), (SOLVERS["kriging"], "smoothness")):
        made = attempt(lambda k=kind, n=name: k(**{n: value}))
        assert made is None or isinstance(made, kind)
