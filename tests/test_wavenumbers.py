"""High wavenumbers: five points and the spectral Laplacian, their errors, and the warning."""

import itertools
import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import distance, seeded

from pdeinv import Grid, InputError, InputWarning, reconstruct
from pdeinv.datasets import Helmholtz, Poisson, Problem, generate, pde_by_name
from pdeinv.datasets.elliptic.dispersion import dispersion_error
from pdeinv.datasets.elliptic.transform_solver import laplacian_eigenvalues
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.limits import warn_of_doubt

WAVENUMBERS = (1, 10, 20, 40)
KINDS = ("five-point", "spectral")
each_kind = pytest.mark.parametrize("kind", KINDS)
each_k = pytest.mark.parametrize("k", WAVENUMBERS)

TABLE = pd.DataFrame(
    {"field": "wavefield", "x": [0.3, 0.7], "y": [0.4, 0.2], "value": [1e-3, 2e-3]}
).assign(noise_std=1e-4)


def manufactured(n, k):
    """(a, u) of u = x (1 - x) eˣ sin πy, with Δu + k²u = a in closed form."""
    x, y = Grid(n).points().T.reshape(2, n, n)
    across, along = x * (1 - x) * torch.exp(x), torch.sin(math.pi * y)
    a = (-(3 * x + x**2) * torch.exp(x) + (k**2 - math.pi**2) * across) * along
    return a[None, None], (across * along)[None, None]


@each_k
@each_kind
def test_both_discretisations_converge_to_second_order_on_a_manufactured_solution(kind, k):
    errors = []
    for n in (129, 257, 513):
        a, u = manufactured(n, k)
        errors.append(distance(Helmholtz(k=k, discretisation=kind).solve(a), u))
    rates = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    # Five points are in their asymptotic regime late, where k is high
    assert rates[-1] == pytest.approx(2, abs=0.2) and errors[-1] < 1e-3


@each_k
def test_spectral_is_exact_on_sines_and_five_points_are_not(k):
    n = 33
    x, y = Grid(n).points().T.reshape(2, n, n)
    u, a = 0.0, 0.0
    for p, q, c in ((1, 2, 1.0), (3, 1, -0.5), (8, 11, 0.3)):
        sines = c * torch.sin(p * math.pi * x) * torch.sin(q * math.pi * y)
        u, a = u + sines, a + (k**2 - math.pi**2 * (p**2 + q**2)) * sines
    a, u = a[None, None], u[None, None]
    spectral = Helmholtz(k=k, discretisation="spectral")
    assert distance(spectral.solve(a), u) < 1e-11
    assert spectral.residual(a, u).abs().max() < 1e-9 * a.abs().max()
    assert distance(Helmholtz(k=k).solve(a), u) > 1e-3


@pytest.mark.parametrize("pde", [Poisson, Helmholtz])
def test_spectral_against_a_dense_matrix(pde):
    n, m = 12, 10
    pde = pde(discretisation="spectral")
    i = np.arange(1, m + 1)
    sines = np.sin(np.pi * np.outer(i, i) / (n - 1))
    second = np.linalg.solve(sines.T, (-((np.pi * i) ** 2)[:, None] * sines)).T  # of one direction
    eye = np.eye(m)
    matrix = np.kron(second, eye) + np.kron(eye, second)
    matrix += pde.parameters.get("k", 0.0) ** 2 * np.eye(m * m)
    a = Problem(pde).sample_coefficient(1, pde.grid(n), seeded())
    expected = np.linalg.solve(matrix, a[0, 0, 1:-1, 1:-1].numpy().ravel())
    u = pde.solve(a)
    assert distance(u[0, 0, 1:-1, 1:-1].flatten(), torch.tensor(expected)) < 1e-9
    assert pde.residual(a, u).abs().max() < 1e-9


@each_kind
def test_the_solve_is_its_own_adjoint(kind):
    pde = Helmholtz(k=10, discretisation=kind)
    a, b = Problem(pde).sample_coefficient(2, pde.grid(16), seeded()).split(1)
    a = a.requires_grad_()
    (gradient,) = torch.autograd.grad((pde.solve(a) * b).sum(), a)
    assert distance(gradient, pde.solve(b)) < 1e-10


def true_errors(k, n=65, count=8):
    """Errors of both kinds against the spectral solution on a grid eight times as fine."""
    exact = Helmholtz(k=k, discretisation="spectral")
    fine = Problem(exact).sample(count, exact.grid(8 * (n - 1) + 1), seeded())[:, 1, ::8, ::8]
    return [
        float(
            (Problem(pde).sample(count, pde.grid(n), seeded())[:, 1] - fine).square().sum()
            / fine.square().sum()
        )
        ** 0.5
        for pde in (Helmholtz(k=k), exact)
    ]


@pytest.mark.parametrize("k", [10, 20, 40])
def test_the_estimated_dispersion_error_is_right_within_a_factor_of_two(k):
    five_point, spectral = true_errors(k)
    estimate = dispersion_error(Volumes(65, 65), k, 2.0, 3.0)
    assert five_point / 2 < estimate < 2 * five_point
    assert spectral < 0.06 and spectral < five_point / 5


def test_wavenumbers_beyond_the_grid_are_doubtful_in_either_discretisation():
    for kind, message in zip(KINDS, ("dispersion", "nodes per wavelength"), strict=True):
        assert message in Helmholtz(k=1e9, discretisation=kind).doubt(Grid(65))
        assert not Helmholtz(k=0, discretisation=kind).doubt(Grid(65))


@pytest.mark.parametrize("k", [10, 20])
def test_a_high_wavenumber_warns_once_with_the_estimate_and_the_option(k):
    error = dispersion_error(Volumes(16, 16), k, 2.0, 3.0)
    estimate = f"{100 * error:.3g}" if error < 1 else "over 100"
    with pytest.warns(
        InputWarning, match=f"k = {k} .* 16 nodes .* of {estimate} % .*spectral"
    ) as w:
        reconstruct(TABLE, Helmholtz(k=k), grid=16, n_samples=1)
    assert sum(issubclass(one.category, InputWarning) for one in w) == 1


def test_generated_data_of_a_high_wavenumber_warn(tmp_path):
    with pytest.warns(InputWarning, match="dispersion error"):
        generate(Helmholtz(k=10), 1, 16, 0, tmp_path / "d.h5", workers=1)


def test_the_benchmark_wavenumber_and_the_spectral_option_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        for pde in (Helmholtz(), Helmholtz(k=6, discretisation="spectral"), Poisson()):
            warn_of_doubt(pde, pde.grid(16))


@each_kind
def test_a_resonance_is_one_of_the_discretisation_used(kind):
    n = 16
    k = math.sqrt(-float(laplacian_eigenvalues(Volumes(n, n), discretisation=kind)[0, 0]))
    a = torch.ones(1, 1, n, n, dtype=torch.float64)
    with pytest.raises(InputError, match="resonance"):
        Helmholtz(k=k, discretisation=kind).solve(a)
    other = KINDS[1 - KINDS.index(kind)]
    assert Helmholtz(k=k, discretisation=other).solve(a).isfinite().all()


@each_kind
def test_every_part_of_a_reconstruction_follows_the_discretisation(kind):
    pde = Helmholtz(k=2, discretisation=kind)
    result = reconstruct(TABLE, pde, grid=17, n_samples=2)
    a, u = (
        torch.from_numpy(result[f"{field.name}_samples"].values)[:, None] for field in pde.fields
    )
    assert pde.residual(a, u).abs().max() < 1e-9 * a.abs().max()
    assert json.loads(result.attrs["pde_parameters"])["discretisation"] == kind


@pytest.mark.parametrize("name", ["poisson", "helmholtz"])
def test_a_text_parameter_is_set_on_the_command_line(name, pdeinv, folder):
    out = folder / "d.h5"
    arguments = ("generate", name, "--n", 1, "--grid", 16, "--out", out, "--param")
    code, _, error = pdeinv(*arguments, "discretisation=psychic")
    assert code == 2 and "'five-point' or 'spectral', got 'psychic'" in error
    assert not out.exists()
    code, _, error = pdeinv(*arguments, "discretisation=spectral")
    assert code == 0 and out.exists(), error
    assert pde_by_name(name, discretisation="spectral").parameters["discretisation"] == "spectral"
