"""What a PDE outside of the package claims is tested before a solver uses it, and once."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from pdeinv import GaussianField, InputError, LogNormal, Symmetry, pde_from_function, reconstruct
from pdeinv.datasets import PDE, Darcy, Experiments, check_pde
from pdeinv.datasets.claims import check_claims
from pdeinv.symmetry import square_group, torus_group

PRIOR = GaussianField(0.0, 1.0, 0.3)
TABLE = {"field": "solution", "x": [0.2, 0.5, 0.8], "y": [0.3, 0.6, 0.2], "value": [0.5, -0.4, 0.1]}


@dataclass(frozen=True)
class Own(PDE):
    """A map that is stated; it counts what it solves."""

    label: str = ""
    bend: float = 0.0
    tilt: float = 0.0
    solved: list = field(default_factory=list, compare=False)

    linear = True
    operator_symmetries = square_group()

    def solve(self, a):
        self.solved.append(len(a))
        x = torch.linspace(0, 1, a.shape[-1], dtype=a.dtype)
        return a + self.bend * a**2 + self.tilt * x * a + 1.0


class Nonlinear(Own):
    linear = False


class Plain(Nonlinear):
    operator_symmetries = PDE.operator_symmetries


def solve(pde, **options):
    given = {"prior": PRIOR, "noise": 0.1, "grid": 16, "n_samples": 2} | options
    return reconstruct({**TABLE, "field": pde.solution_field.name}, pde, **given)


@pytest.mark.parametrize(
    ("pde", "message"),
    [
        (
            Own(bend=0.1),
            r"own must be affine in its coefficient, .* deviation of 0.*; set linear = F",
        ),
        (Own(tilt=1.0), r"own must have the symmetry .* got a deviation of 0.* out of its symmetr"),
        (Experiments((Own(), Own(bend=0.1))), "own must be affine"),
        (Nonlinear(tilt=1.0), "nonlinear must have the symmetry"),
        (
            pde_from_function(np.sinh, ["coefficient", "solution"], linear=True),
            "sinh must be affine",
        ),
        (
            pde_from_function(
                lambda a: a * np.arange(16), ["a", "solution"], symmetries=square_group()
            ),
            "lambda must have the symmetry",
        ),
        (
            pde_from_function(
                lambda a: a * np.arange(16),
                ["a", "solution"],
                symmetries=torus_group(),
                grid_kind="periodic",
            ),
            "lambda must have the symmetry",
        ),
        (
            pde_from_function(
                lambda a: [a, a + a**2], ["a", "solution", "other"], linear=True
            ).reading(["other"]),
            "must be affine",
        ),
    ],
)
def test_a_wrong_claim_is_refused(pde, message):
    with pytest.raises(InputError, match=message):
        check_claims(pde, PRIOR, pde.grid(16), derivative=False)
    table = {**TABLE, "experiment": "1"} if pde.experiments else TABLE
    with pytest.raises(InputError, match=message):
        reconstruct(table, pde, prior=PRIOR, noise=0.1, grid=16)


@pytest.mark.parametrize("solver", ["optimal-interpolation", "kriging", "gaussian"])
def test_true_claims_are_tested_once(solver):
    pde = Own(solver)
    for _ in range(2):
        check_claims(pde, PRIOR, pde.grid(16), derivative=False)
        check_claims(replace(pde, solved=pde.solved), PRIOR, pde.grid(20), derivative=False)
    assert pde.solved == [1] * 6  # three, and one for each of three elements
    assert np.isfinite(solve(pde, solver=solver)["solution_mean"]).all()


def test_nothing_is_solved_where_nothing_is_claimed():
    pde = Plain(bend=0.3)
    check_claims(pde, PRIOR, pde.grid(16), derivative=False)
    assert pde.solved == []
    called = []
    function = pde_from_function(lambda a: called.append(1) or a, ["a", "u"])
    check_claims(function, PRIOR, function.grid(16), derivative=False)
    assert called == []


def test_classes_of_the_package_are_not_tested(monkeypatch):
    monkeypatch.setattr(Darcy, "respond", None)
    check_claims(Darcy(), Darcy().default_prior, Darcy().grid(16), derivative=True)


@pytest.mark.parametrize(
    ("adjoint", "message"),
    [
        (lambda a, v: v * (1 + a / 5), None),
        (lambda a, v: v, r"the gradient of square must be .* got a deviation of"),
        (lambda a, v: -v * (1 + a / 5), "the gradient of square must be"),
        (lambda a, v: np.rot90(v * (1 + a / 5)), "the gradient of square must be"),
        (lambda a, v: v[0], r"must return real numbers of the shape \(16, 16\)"),
    ],
)
def test_an_adjoint_is_tested(adjoint, message):
    def square(a):
        return a + a**2 / 10

    pde = pde_from_function(square, ["a", "u"], gradient=adjoint)
    if message is None:
        assert solve(pde, solver="auto").attrs["solver"] == "gauss-newton"
    else:
        with pytest.raises(InputError, match=message):
            solve(pde, solver="gauss-newton")
    assert solve(pde, solver="optimal-interpolation")  # which uses no derivative


def test_a_class_that_torch_cannot_differentiate():
    class Numpy(PDE):
        def solve(self, a):
            return torch.from_numpy(np.sinh(a.detach().numpy()))

    with pytest.raises(InputError, match=r"numpy must be differentiated .* differentiable = False"):
        solve(Numpy(), solver="gauss-newton")


def test_a_prior_that_is_positive_is_kept_positive():
    def log(a):
        assert (a > 0).all()
        return torch.log(a)

    pde = pde_from_function(
        log, ["a", "u"], gradient="autograd", positive=True, symmetries=square_group()
    )
    check_claims(pde, pde.default_prior, pde.grid(16), derivative=True)
    assert Symmetry() in pde.symmetries


class Square(torch.autograd.Function):
    """Without a rule for batches of gradients."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a + a**2 / 10

    @staticmethod
    def backward(ctx, v):
        (a,) = ctx.saved_tensors
        return torch.from_numpy(v.numpy() * (1 + a.numpy() / 5))


def test_autograd_functions_without_a_rule_for_batches():
    results = [
        solve(pde_from_function(f, ["a", "u"], gradient="autograd"), solver="gauss-newton")
        for f in (Square.apply, lambda a: a + a**2 / 10)
    ]
    np.testing.assert_allclose(*(r["a_mean"].values for r in results), atol=1e-8)


def test_a_wide_positive_prior_keeps_the_difference_positive():
    pde = pde_from_function(
        lambda a: np.log(a), ["a", "u"], gradient=lambda a, v: v / a, positive=True
    )
    for log_std in (2.0, 4.0):
        prior = LogNormal(1.0, log_std, 0.3)
        check_claims(replace(pde, name=f"log-{log_std}"), prior, pde.grid(16), derivative=True)
        table = check_pde(pde, prior)
        assert table.deviation.iloc[-1] < 1e-3


def test_a_wrong_adjoint_of_a_small_output_is_found():
    def function(a):
        return [1e3 * a, np.tanh(a)]

    for sign in (1, -1):
        pde = pde_from_function(
            function,
            ["a", "u", "v"],
            gradient=lambda a, v, sign=sign: 1e3 * v[0] + sign * v[1] / np.cosh(a) ** 2,
        ).reading(["v"])
        if sign > 0:
            check_claims(pde, PRIOR, pde.grid(16), derivative=True)
        else:
            with pytest.raises(InputError, match="must be that of its solution"):
                check_claims(pde, PRIOR, pde.grid(16), derivative=True)


def bistable(a):
    for _ in range(300):
        a = a + 0.1 * (a - a**3)
    return a


def chaotic(a):
    u = np.sin(np.asarray(a)) / 2
    for _ in range(200):
        u = 1 - 1.9 * u**2
        near = sum(np.roll(u, shift, axis) for shift in (1, -1) for axis in (0, 1))
        u = 0.8 * u + 0.05 * near
    return u


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (bistable, {"gradient": "autograd"}),
        (lambda a: (a + 1) - a, {"gradient": "autograd"}),
        (lambda a: [a, (a + 1) - a], {"gradient": "autograd", "linear": True}),
        (lambda a: 1e-3 * a.float() + 1e3, {"gradient": "autograd", "linear": True}),
        (lambda a: 2 * a.float(), {"gradient": "autograd", "linear": True}),
        (chaotic, {"symmetries": square_group(), "grid_kind": "periodic"}),
    ],
    ids=["bistable", "constant", "constant output", "offset", "float32", "chaotic"],
)
def test_what_is_rounding_is_no_deviation(function, options):
    fields = ["a", "u", "v"] if isinstance(function(torch.zeros(2, 2)), list) else ["a", "u"]
    pde = pde_from_function(function, fields, **options).reading(fields)
    check_claims(pde, PRIOR, pde.grid(16), derivative=True)
    for seed in range(3):
        table = check_pde(pde, PRIOR, seed=seed)
        assert (table.deviation <= table.allowed).all()
