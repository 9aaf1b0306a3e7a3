"""A PDE in a file outside of the package goes through all commands, without a change to it."""

import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pdeinv import InputError, Problem, Sensors, layouts, reconstruct
from pdeinv.datasets import check_pde, generate, open_dataset, pde_by_name

CLASS = """
from dataclasses import dataclass

import torch

from pdeinv.datasets import PDE
from pdeinv.fields import Field
from pdeinv.symmetry import square_group


@dataclass(frozen=True)
class ReactionDiffusion(PDE):
    '''-D Δu + u + u³ = a, u = 0 on the boundary.'''

    diffusion: float = 0.02

    coefficient_field = Field("feed", "feed rate a")
    solution_field = Field("concentration", "concentration u")
    operator_symmetries = square_group()

    def matrix(self, grid):
        sides = []
        for n, h in ((grid.ny, grid.hy), (grid.nx, grid.hx)):
            ones = torch.ones(n - 2, dtype=torch.float64)
            neighbours = torch.diag(ones[1:], 1) + torch.diag(ones[1:], -1)
            sides.append((2 * torch.diag(ones) - neighbours) / h**2)
        (y, x), eyes = sides, [torch.eye(len(side), dtype=torch.float64) for side in sides]
        return self.diffusion * (torch.kron(y, eyes[1]) + torch.kron(eyes[0], x))

    def solve(self, a):
        matrix = self.matrix(self.grid_of(a))
        f = a[:, 0, 1:-1, 1:-1].flatten(1).double()
        u = torch.zeros_like(f)
        for _ in range(5):
            residual = u @ matrix + u + u**3 - f
            u = u - torch.linalg.solve(matrix + torch.diag_embed(1 + 3 * u**2), residual)
        shape = (len(a), 1, a.shape[-2] - 2, a.shape[-1] - 2)
        return torch.nn.functional.pad(u.reshape(shape), (1, 1, 1, 1)).to(a.dtype)
"""

FUNCTION = """
import numpy as np
import pdeinv
from offsets_beside import OFFSET
from pdeinv.datasets import Darcy, Value, Sides, Well

def response(a):
    'level = 2 rate + offset, mirrored in a second one.'
    return [2 * a + OFFSET, -a]

linear = pdeinv.pde_from_function(response, ["rate", "level", "mirrored"], linear=True)
slow = pdeinv.pde_from_function(response, ["rate", "level", "mirrored"], workers=2, store="kept")
wide = pdeinv.pde_from_function(response, ["rate", "level", "mirrored"], domain=(0, 4, 0, 2))
aquifer = Darcy(source=3.0)
number = 3
"""

PDE_NAME = "own/reaction.py:ReactionDiffusion"


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "reaction.py").write_text(CLASS)
    (tmp_path / "own" / "function.py").write_text(FUNCTION)
    (tmp_path / "own" / "offsets_beside.py").write_text("OFFSET = 0.5\n")
    return tmp_path


def test_a_class_of_a_file_goes_through_all_commands(own, pdeinv):
    def run(*arguments):
        code, out, error = pdeinv(*arguments)
        assert code == 0, error
        return out

    out = run("check", PDE_NAME)
    assert "reaction-diffusion: -D Δu + u + u³ = a" in out and "the residual vanishes" in out
    run("generate", PDE_NAME, "--n", 60, "--grid", 16, "--workers", 1, "--out", "data.h5")
    run(
        *("train", "data.h5", "--model", "gaussian", "--channels", "coefficient"),
        *("--out", "prior.safetensors"),
    )
    with open_dataset("data.h5") as pairs:
        first = pairs.isel(sample=0).load()
    given = Sensors.observe(first["concentration"], layouts.random(20, 0), noise_std=0.01)
    given.to_csv("s.csv")
    given = ("reconstruct", "s.csv", "--grid", 16, "--samples", 2)
    run(*given, "--pde", PDE_NAME, "--out", "auto.nc", "--plot", "auto.png")
    run(
        *(*given, "--pde", PDE_NAME, "--param", "diffusion=0.02", "--solver", "moment"),
        *("--steps", 4, "--prior", "prior.safetensors", "--out", "moment.nc"),
    )
    (own / "p.toml").write_text(
        f'format = 1\n[physics]\npde = "{PDE_NAME}"\ndiffusion = 0.02\n'
        '[prior]\nkind = "gaussian-field"\nmean = 0.0\nstd = 1.0\nlength = 0.2\n'
    )
    run(*given, "--problem", "p.toml", "--out", "problem.nc")
    errors = {}
    for name in ("auto", "moment", "problem"):
        with xr.open_dataset(f"{name}.nc") as result:
            errors[name] = float(np.abs(result["feed_mean"].values - first["feed"].values).mean())
            assert result.attrs["pde_source"].endswith(PDE_NAME)
            assert name == "moment" or result.attrs["solver"] == "gauss-newton"
    spread = float(np.abs(first["feed"]).mean())
    assert max(errors.values()) < 0.8 * spread, errors
    assert errors["auto"] == pytest.approx(errors["problem"], rel=0.01)


TABLE = pd.DataFrame(
    {"field": "level", "x": [0.3, 0.6, 0.8], "y": [0.4, 0.1, 0.7], "value": [1e-1, 2e-1, 1e-1]}
).assign(noise_std=1e-2)


def test_an_instance_of_a_file(own, pdeinv):
    pde = pde_by_name("own/function.py:linear")
    assert pde.n_outputs == 2 and pde.equation.startswith("level = 2 rate")
    assert pde_by_name("own/function.py:linear", outputs=["mirrored"]).outputs == ("mirrored",)
    assert pde == pde_by_name("own/function.py:linear")
    TABLE.to_csv("s.csv", index=False)
    code, _, error = pdeinv(
        *("reconstruct", "s.csv", "--pde", "own/function.py:linear", "--grid", 16),
        *("--samples", 2, "--out", "r.nc"),
    )
    assert code == 0, error
    with xr.open_dataset("r.nc") as result:
        assert result.attrs["pde_source"] == "own/function.py:linear"
        assert result.attrs["pde_parameters"] == "{}"
        level, rate = result["level_mean"].values, result["rate_mean"].values
    np.testing.assert_allclose(level, 2 * rate + 0.5)
    assert pdeinv("check", "own/function.py:linear", "--param", "workers=1")[0] == 0
    aquifer = reconstruct(
        TABLE.assign(field="pressure"), "own/function.py:aquifer", grid=16, n_samples=1
    )
    assert '"source": 3' in aquifer.attrs["pde_parameters"]


def test_a_dataset_of_an_instance(own):
    pde = pde_by_name("own/function.py:linear").reading(["mirrored"])
    files = [generate(pde, 40, 16, 0, own / f"{k}.h5", workers=k) for k in (1, 2)]
    assert files[0].read_bytes() == files[1].read_bytes()
    with open_dataset(files[0]) as data:
        assert data.attrs["outputs"] == '["mirrored"]'
        np.testing.assert_allclose(data["mirrored"], -data["rate"])
        np.testing.assert_allclose(data["level"], 2 * data["rate"] + 0.5, atol=1e-6)
    again = pickle.loads(pickle.dumps(pde))
    assert again.reference == pde.reference and again.outputs == pde.outputs
    a = Problem(pde).sample_coefficient(1, pde.grid(8))
    assert bool((again.respond(a) == pde.respond(a)).all())


def test_workers_import_what_is_beside_the_file(own):
    pde = pde_by_name("own/function.py:slow")
    a = Problem(pde).sample_coefficient(3, pde.grid(8))
    np.testing.assert_allclose(pde.respond(a), 2 * a + 0.5)
    assert len(list((own / "kept").glob("*.npz"))) == 3


PROBLEM = """
format = 1
{domain}
[physics]
pde = "own/function.py:{name}"
{more}
[prior]
kind = "gaussian-field"
mean = 0.0
std = 1.0
length = 0.4
"""


def problem(own, name="linear", more="", domain=""):
    (own / "p.toml").write_text(PROBLEM.format(name=name, more=more, domain=domain))
    return Problem.load(own / "p.toml")


def test_an_instance_in_a_problem_file(own):
    assert problem(own, "wide").physics.domain.extent == (0.0, 4.0, 0.0, 2.0)
    stated = problem(own, "wide", 'outputs = ["mirrored"]', "[domain]\nextent = [0, 1, 0, 3]\n")
    assert stated.physics.domain.extent == (0.0, 1.0, 0.0, 3.0)
    assert stated.physics.outputs == ("mirrored",)
    (own / "deeper").mkdir()
    stated.save(own / "deeper" / "saved.toml")
    assert 'pde = "../own/function.py:wide"' in (own / "deeper" / "saved.toml").read_text()
    again = Problem.load(own / "deeper" / "saved.toml")
    assert again.physics == stated.physics and again.prior == stated.prior
    assert reconstruct(TABLE, problem=again, grid=16, n_samples=1)["rate_mean"].sizes["x"] == 16


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("linear", "screening = 3", r"\[physics\] key 'screening'|screening"),
        ("linear", "function = 3", "parameter function of .* must be a function|function"),
        (
            "linear",
            "[boundary]\n"
            + "".join(f"{s} = {{value = 1}}\n" for s in ("left", "right", "bottom", "top")),
            r"\[boundary\] must be left out for response",
        ),
        ("linear", "[[well]]\nx = 0.5\ny = 0.5\nrate = 1", "must be left out for response"),
        (
            "number",
            "",
            "'number' in .* must be a class .* or an instance of PDE, got 3; use .*:linear",
        ),
        ("absent", "", "got none of that name"),
    ],
)
def test_what_is_wrong_with_an_instance_is_one_sentence(own, name, more, message):
    with pytest.raises(InputError, match=message) as caught:
        problem(own, name, more)
    assert "\n" not in str(caught.value)


def test_a_parameter_that_it_lacks(own):
    with pytest.raises(InputError, match=r"a parameter of .*:linear must be one of .*'width'"):
        pde_by_name("own/function.py:linear", width=3)
    with pytest.raises(InputError, match="workers of response must be an integer"):
        pde_by_name("own/function.py:linear", workers="many")


# The contract, at the first violation


def wrong(**members):
    pde = pde_by_name(PDE_NAME)
    kind = dataclasses.dataclass(frozen=True)(type("Wrong", (type(pde),), members))
    return kind()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"solve": lambda self, a: a[:, 0]}, "solve of Wrong must return a tensor of the shape"),
        ({"solve": lambda self, a: a - a.mean()}, "must not depend on the other coefficients"),
        ({"solve": lambda self, a: a / 0}, "solutions of wrong must be finite"),
        ({"residual": lambda self, a, u: u - a}, "the residual of wrong must vanish"),
        ({"surrogate": lambda self, a: a}, "the surrogate of wrong must be close to solve"),
        ({"restrict": lambda self, a: a * 0.5}, "restrict of wrong must leave a coefficient"),
        ({"linear": True}, "wrong must be affine in its coefficient"),
        ({"positive_coefficient": True}, "positive"),
        (
            {"solve": lambda self, a: a.cumsum(dim=-1)},
            r"wrong must have the symmetry .* leave it out",
        ),
        (
            {"known_values": lambda self, channel, points: points[:, 0] * 0 + 7},
            "known_values of wrong must be those of its states",
        ),
        ({"respond": lambda self, a: a.repeat(1, 3, 1, 1)}, "must return 1 channels, got 3"),
        ({"solve": lambda self, a: (a**3).detach()}, "must be differentiated by torch"),
    ],
)
def test_a_violation_of_the_contract_is_found(own, members, message):
    with pytest.raises(InputError, match=message):
        check_pde(wrong(**members))


def test_a_class_is_no_instance(own):
    with pytest.raises(InputError, match="must be an instance of a PDE, got <class"):
        check_pde(type(pde_by_name(PDE_NAME)))
