"""A function as physics: what it may return, its derivatives, its doors, and how it is refused."""

import functools
import json

import numpy as np
import pytest
import torch
from helpers import distance, seeded

from pdeinv import (
    GaussianField,
    InputError,
    NumericalError,
    Problem,
    Sensors,
    pde_from_function,
    reconstruct,
)
from pdeinv.datasets import PDE, Experiments, pde_by_name
from pdeinv.fields import Field
from pdeinv.solvers.forward import ForwardMap

PRIOR = GaussianField(0.0, 1.0, 0.3)
TABLE = {"field": "level", "x": [0.2, 0.5, 0.8], "y": [0.3, 0.6, 0.2], "value": [0.5, -0.4, 0.1]}
FIELDS = ["rate", "level"]


def cubic(a):
    """level = rate + rate³ / 10, point by point."""
    return a + a**3 / 10


def cubic_adjoint(a, v):
    return v * (1 + 3 * a**2 / 10)


GRADIENTS = {"autograd": "autograd", "adjoint": cubic_adjoint}


class Class(PDE):
    def solve(self, a):
        return cubic(a)


def draw(n=2, shape=(8, 8)):
    return torch.randn(n, 1, *shape, dtype=torch.float64, generator=seeded())


def test_it_is_the_pde_of_a_class_with_the_same_solve():
    pde, a = pde_from_function(cubic, FIELDS), draw()
    assert pde.name == "cubic" and pde.equation == "level = rate + rate³ / 10, point by point."
    assert [f.name for f in pde.fields] == FIELDS and not pde.differentiable
    torch.testing.assert_close(pde.solve(a), Class().solve(a))
    assert pde.solve(a.float()).dtype == torch.float32
    state = Problem(pde, PRIOR).sample(2, pde.grid(12), seeded())
    assert state.shape == (2, 2, 12, 12)
    assert pde == pde_from_function(cubic, FIELDS) != pde_from_function(cubic, FIELDS, linear=True)
    assert hash(pde) == hash(pde_from_function(cubic, FIELDS))
    unnamed = pde_from_function(lambda a: a, FIELDS)
    assert unnamed.name == "lambda" and unnamed.equation == "the function (lambda)"


@pytest.mark.parametrize("gradient", [*GRADIENTS.values(), None], ids=[*GRADIENTS, "none"])
@pytest.mark.parametrize("solver", ["auto", "gauss-newton", "optimal-interpolation", "kriging"])
def test_it_is_reconstructed(gradient, solver):
    pde = pde_from_function(cubic, FIELDS, gradient=gradient)
    given = {"prior": PRIOR, "noise": 0.02, "grid": 16, "solver": solver, "n_samples": 3}
    if solver == "gauss-newton" and gradient is None:
        with pytest.raises(InputError, match="the gauss-newton solver needs derivatives"):
            reconstruct(TABLE, pde, **given)
        return
    result = reconstruct(TABLE, pde, **given)
    if result.attrs["solver"] == "gauss-newton":
        a = result["rate_mean"].sel(x=0.2, y=0.3, method="nearest")
        assert abs(float(a) - 0.48) < 0.2
    assert result.attrs["assumed"].startswith("cubic, level = rate + rate³ / 10, point by point.;")
    assert json.loads(result.attrs["pde_parameters"])["function"] == "the function cubic"


@pytest.mark.parametrize("gradient", GRADIENTS.values(), ids=GRADIENTS)
def test_its_derivative_is_that_of_the_class(gradient):
    tables = [TABLE, {**TABLE, "field": "solution"}]
    pdes, a = [pde_from_function(cubic, FIELDS, gradient=gradient), Class()], draw(1, (16, 16))
    rows = [
        ForwardMap(pde, Sensors.read(t).observation(pde, pde.grid(16), noise=0.1)).jacobian(a)
        for pde, t in zip(pdes, tables, strict=True)
    ]
    torch.testing.assert_close(*rows, atol=1e-14, rtol=0)
    forward = ForwardMap(
        pdes[0], Sensors.read(TABLE).observation(pdes[0], pdes[0].grid(16), noise=1)
    )
    torch.testing.assert_close(
        forward.sensitivities(a, torch.eye(3, dtype=torch.float64))[0], rows[1][:, 0]
    )


# Several outputs, and times


def several(a):
    return [a + 1, 2 * a, a**2]


def several_adjoint(a, v):
    return v[0] + 2 * v[1] + 2 * a * v[2]


THREE = ["a", "first", "second", "third"]


@pytest.mark.parametrize(
    "function", [several, lambda a: np.stack(several(a)), lambda a: tuple(several(a))]
)
def test_several_outputs_are_channels_once_they_are_read(function):
    pde, a = pde_from_function(function, THREE), draw()
    assert [f.name for f in pde.fields] == ["a", "first"]
    assert [f.name for f in pde.derived] == ["second", "third"]
    assert pde.respond(a).shape == (2, 1, 8, 8)
    more = pde.reading(["third"])
    torch.testing.assert_close(more.respond(a), torch.cat([a + 1, a**2], dim=1))
    torch.testing.assert_close(more.completed(a, a + 1), more.respond(a))
    table = {"field": ["second", "first"], "x": [0.2, 0.7], "y": [0.3, 0.6], "value": [0.4, 1.3]}
    result = reconstruct(table, pde, prior=PRIOR, noise=0.01, grid=16, n_samples=2)
    assert "third_mean" not in result and "second_mean" in result


@pytest.mark.parametrize("gradient", ["autograd", several_adjoint])
@pytest.mark.parametrize("batched", [False, True])
def test_derivatives_of_several_outputs(gradient, batched):
    def function(a):
        return torch.stack(several(a), dim=-3) if batched else several(a)

    def adjoint(a, v):
        return several_adjoint(a, v.swapaxes(0, 1)) if batched else several_adjoint(a, v)

    if gradient == "autograd":
        adjoint = gradient
    else:
        function = lambda a, f=function: np.asarray(f(torch.from_numpy(a)))  # noqa: E731
    pde = pde_from_function(function, THREE, gradient=adjoint, batched=batched)
    pde = pde.reading(["second", "third"])
    a = draw().requires_grad_()
    v = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=seeded(1))
    (found,) = torch.autograd.grad(pde.respond(a), a, v)
    torch.testing.assert_close(found[:, 0], v[:, 0] + 2 * v[:, 1] + 2 * a[:, 0].detach() * v[:, 2])


def test_times():
    def levels(a):
        return [a * np.exp(-t) for t in (0.5, 1.0, 2.0)]

    pde = pde_from_function(levels, FIELDS, times=(0.5, 1.0, 2.0), time_units="h", linear=True)
    assert pde.end_time == 2.0 and [f.label for f in pde.fields[1:]] == ["level at time 2"]
    a = draw()
    torch.testing.assert_close(pde.solve(a), a * np.exp(-2.0))
    both = pde.reading(["level"], [0.5])
    torch.testing.assert_close(both.respond(a), torch.cat([a * np.exp(-2.0), a * np.exp(-0.5)], 1))
    table = {**TABLE, "time": [0.5, 1.0, 2.0]}
    result = reconstruct(table, pde, prior=PRIOR, noise=0.01, grid=16, n_samples=2)
    assert result["level_mean"].dims == ("time", "y", "x") and result["time"].units == "h"
    assert result["time"].values.tolist() == [0.5, 1.0, 2.0]
    for time in (0.7, 3.0):
        with pytest.raises(InputError, match=r"row 1: time must be .*, got "):
            reconstruct({**TABLE, "time": [0.5, time, 2.0]}, pde, prior=PRIOR, grid=16)
    with pytest.raises(InputError, match="times of levels must rise"):
        pde_from_function(levels, FIELDS, times=(1.0, 0.5))
    with pytest.raises(InputError, match=r"one of those that levels returns, 0.5, 1, 2, got 0.7"):
        Problem(pde).physics.reading(["level"]).channel("level", time=0.7)


def test_experiments_of_functions():
    one, two = (
        pde_from_function(functools.partial(np.multiply, k), FIELDS, name=f"by-{k}") for k in (2, 3)
    )
    both, a = Experiments((one, two)), draw()
    torch.testing.assert_close(both.respond(a), torch.cat([2 * a, 3 * a], dim=1))
    table = {**TABLE, "experiment": ["1", "2", "2"]}
    result = reconstruct(table, [one, two], prior=PRIOR, noise=0.01, grid=16, n_samples=2)
    assert result["level_mean"].dims == ("experiment", "y", "x")


def test_a_positive_coefficient_has_a_positive_prior():
    pde = pde_from_function(np.log, FIELDS, positive=True, domain=(0.0, 4.0, 0.0, 2.0))
    assert pde.default_prior.positive and pde.domain.shorter == 2.0
    assert bool((Problem(pde).sample(1, pde.grid(12), seeded())[:, 0] > 0).all())
    with pytest.raises(InputError, match="positive"):
        Problem(pde, PRIOR)
    assert pde_from_function(cubic, FIELDS, prior=PRIOR).default_prior is PRIOR


# Refusals


def failing(a):
    raise KeyError("well 7")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            failing,
            r"the function failing must run .* got KeyError in line \d+ of test_function_pde",
        ),
        (
            lambda a: a[0],
            r"must return real numbers of the shape \(8, 8\) .* got an array of .*8,\)",
        ),
        (lambda a: [a, a], r"got an array of the shape \(2, 8, 8\)"),
        (lambda a: None, "got None"),
        (lambda a: a * 1j, "got numbers of complex128"),
        (lambda a: a > 0, "got numbers of bool"),
        (lambda a: [a, a[0]], "got "),
        (lambda a: "text", "got "),
        (lambda: None, "got TypeError"),
        (lambda a: exit(3), "got SystemExit"),
    ],
)
@pytest.mark.parametrize("batched", [False, True])
def test_what_it_does_wrong_is_one_sentence(function, message, batched):
    if batched and "shape" in message and "KeyError" not in message:
        message = "must return real numbers of the shape"
    with pytest.raises(InputError, match=message) as caught:
        pde_from_function(function, FIELDS, batched=batched).respond(draw())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a: a.detach() ** 2, "must compute with torch from its argument"),
        (lambda a: a.detach().numpy(), "must return real numbers"),
        (lambda a: a[0] * 1.0, "must return real numbers of the shape"),
        (lambda a: 1 / 0 * a, "got ZeroDivisionError in line"),
    ],
)
def test_what_is_wrong_for_autograd(function, message):
    with pytest.raises(InputError, match=message):
        pde_from_function(function, FIELDS, gradient="autograd").respond(draw().requires_grad_())


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("gradient", [None, "autograd"])
def test_nan_and_numerical_errors_are_instability(batched, gradient):
    def nan(a):
        return a / (a * 0 + (a.reshape(len(a), -1) if batched else a).max() * 0 + 1) * float("nan")

    def raising(a):
        raise NumericalError("no convergence")

    for function in (nan, raising):
        pde = pde_from_function(function, FIELDS, batched=batched, gradient=gradient)
        with pytest.raises(NumericalError, match=r"no solution for 2 of 2|no convergence"):
            pde.respond(draw().requires_grad_(gradient is not None))


def test_one_unstable_coefficient_does_not_spoil_the_others():
    called = []

    def half(a):
        called.append(float(a[..., 0, 0].ravel()[0]))
        if (a[..., 0, 0] > 0).any():
            raise NumericalError("it blows up")
        return a

    a = draw(4)
    a[:, :, 0, 0] = torch.tensor([[-1.0], [2.0], [-3.0], [4.0]])
    pde = pde_from_function(half, FIELDS)
    with pytest.raises(NumericalError, match="the function half has no solution for 2 of 4 coef"):
        pde.respond(a)
    torch.testing.assert_close(pde.respond(a[::2]), a[::2])
    assert called == [-1.0, 2.0, -3.0, 4.0]


def test_where_negative_coefficients_fail_the_remedy_is_to_state_that_they_are_positive():
    pde = pde_from_function(lambda a: np.sqrt(np.where(a < 0, np.nan, a)), FIELDS)
    with pytest.raises(NumericalError, match=r"solution for a coefficient .*positive=True if the"):
        pde.respond(-torch.ones(1, 1, 8, 8))
    pde = pde_from_function(lambda a: np.where(a > 1, np.nan, a), FIELDS)
    with pytest.raises(NumericalError, match=r"check the range of the prior$"):
        pde.respond(2 * torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": "level"}, "fields of cubic must be a list of names"),
        ({"fields": ["rate"]}, "must be the coefficient and one output or more, got 1"),
        ({"fields": ["rate", "rate"]}, "must have different names"),
        ({"fields": ["rate", 3]}, "state_fields of cubic must be a Field"),
        ({"gradient": "adjoint"}, "gradient of cubic must be 'autograd', a function or None"),
        ({"gradient": 3}, "gradient of cubic must be a function"),
        ({"function": 3}, "must be a function of a coefficient, got 3"),
        ({"grid_kind": "hexagonal"}, "grid_kind of cubic must be"),
        ({"workers": 0}, "workers of cubic must be an integer of at least 1"),
        ({"store": 3}, "store of cubic must be a path"),
        ({"domain": (0.0, 1.0)}, "extent"),
        ({"linear": "yes"}, "linear of cubic must be True or False"),
        ({"times": (0.0,)}, "output_times of cubic must be"),
        ({"times": 2.0}, r"times of cubic must be a list of numbers, got 2\.0; list them"),
        ({"domain": 5}, r"domain of cubic must be a Domain or its \(x0, x1, y0, y1\), got 5"),
        ({"domain": "abcd"}, "domain of cubic must be a Domain"),
    ],
)
def test_wrong_arguments(arguments, message):
    given = {"function": cubic, "fields": FIELDS} | arguments
    with pytest.raises(InputError, match=message):
        pde_from_function(**given)


def test_files_cannot_hold_it(tmp_path):
    with pytest.raises(InputError, match=r"got the function cubic; keep what .* as file.py:name"):
        Problem(pde_from_function(cubic, FIELDS)).save(tmp_path / "p.toml")


def test_units_and_vectors_are_those_of_the_fields():
    fields = [
        Field("k", "conductivity", "m/s"),
        Field("head", "head", "m"),
        Field("flux_x", "flux along x", kind="vector-x"),
        Field("flux_y", "flux along y", kind="vector-y"),
    ]
    pde = pde_from_function(lambda a: [a, 2 * a, 3 * a], fields).reading(["flux_y"])
    assert [f.name for f in pde.fields] == ["k", "head", "flux_x", "flux_y"]
    a = draw(1)
    assert distance(pde.respond(a), torch.cat([a, 2 * a, 3 * a], dim=1)) == 0


@pytest.mark.parametrize("gradient", ["autograd", None, "adjoint"])
@pytest.mark.parametrize("batched", [False, True])
def test_a_function_that_changes_its_argument(gradient, batched):
    def double(a):
        a *= 2
        return a

    def adjoint(a, v):
        a *= 0
        v *= 2
        return v

    given = adjoint if gradient == "adjoint" else gradient
    pde = pde_from_function(double, FIELDS, gradient=given, batched=batched)
    a = draw().requires_grad_(gradient is not None)
    before = a.detach().clone()
    u = pde.respond(a)
    torch.testing.assert_close(u.detach(), 2 * before)
    if gradient:
        weights = torch.ones_like(u)
        (found,) = torch.autograd.grad(u, a, weights)
        torch.testing.assert_close(found, 2 * weights)
        torch.testing.assert_close(weights, torch.ones_like(u))
    scaled = a * 1  # not a leaf
    pde.respond(scaled)
    torch.testing.assert_close(scaled.detach(), before)


@pytest.mark.parametrize("gradient", [*GRADIENTS.values(), None], ids=[*GRADIENTS, "none"])
@pytest.mark.parametrize("batched", [False, True])
def test_no_coefficient_has_no_result(gradient, batched):
    pde = pde_from_function(lambda a: a + a**3 / 10, FIELDS, gradient=gradient, batched=batched)
    for a in (draw(2)[:0], draw(2)[:0].requires_grad_(gradient is not None)):
        assert pde.solve(a).shape == (0, 1, 8, 8)


FILE = """
import pdeinv

def double(a):
    return 2 * a

physics = pdeinv.pde_from_function(double, ["rate", "level"], linear=True)
"""


def test_an_edited_file_does_not_end_a_run(tmp_path):
    (tmp_path / "f.py").write_text(FILE)
    pde = pde_by_name(f"{tmp_path / 'f.py'}:physics", grid_kind="periodic")
    (tmp_path / "f.py").write_text("def double(")
    result = reconstruct(TABLE, pde, prior=PRIOR, noise=0.1, grid=16, n_samples=2)
    assert json.loads(result.attrs["pde_parameters"]) == {"grid_kind": "periodic"}


def test_a_store_is_relative_to_the_problem_file(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "f.py").write_text(FILE)
    physics = '[physics]\npde = "f.py:physics"\n'
    (folder / "p.toml").write_text(f'format = 1\n{physics}store = "kept"\nworkers = 2\n')
    monkeypatch.chdir(tmp_path)
    problem = Problem.load("project/p.toml")
    problem.physics.respond(draw(1))
    assert len(list((folder / "kept").glob("*.npz"))) == 1 and not (tmp_path / "kept").exists()
    problem.save("again.toml")
    assert "kept" not in (tmp_path / "again.toml").read_text()
    assert Problem.load("again.toml") == problem
