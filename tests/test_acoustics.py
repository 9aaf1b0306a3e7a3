"""Waves of one frequency: solutions in free space and of given sides, reflections, readings."""

import dataclasses
import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import distance, normal, seeded
from known_posteriors import Gaussian, matern_covariance, response, rows_of
from scipy.special import hankel1

from pdeinv import GaussianField, InputError, NumericalError, Problem, Sensors, reconstruct
from pdeinv.datasets import (
    Acoustics,
    Darcy,
    Experiments,
    Flux,
    Helmholtz,
    Impedance,
    NoFlux,
    Open,
    Sides,
    Value,
    Well,
    pde_by_name,
)
from pdeinv.grid import Domain, Grid
from pdeinv.observation import Observation

BOX = Domain((1.0, 2.5, -0.5, 0.5), "m")
IMAGINARY = "wavefield_imag"


def all_sides(side):
    return Sides(side, side, side, side)


def waves(pde, grid, a=None):
    """Return u (ny, nx), complex, of a coefficient, which is 0 if None."""
    a = torch.zeros(1, 1, *grid.shape, dtype=torch.float64) if a is None else a
    real, imaginary = pde.reading([IMAGINARY]).respond(a)[0].numpy()
    return real + 1j * imaginary


def at_nodes(function, grid):
    x, y = grid.points().numpy().T
    return torch.from_numpy(function(x, y)).reshape(1, 1, *grid.shape)


# Solutions


def smooth(x, y):
    return np.sin(2 * x + 0.3) * np.exp(y) + x * y**2


def slope_x(x, y):
    return 2 * np.cos(2 * x + 0.3) * np.exp(y) + y**2


def slope_y(x, y):
    return np.sin(2 * x + 0.3) * np.exp(y) + 2 * x * y


@pytest.mark.parametrize(
    ("sides", "order"),
    [
        (all_sides(Value(smooth)), 3.9),
        (Sides(Flux(lambda x, y: -slope_x(x, y)), Value(smooth), Flux(-1.0), Flux(slope_y)), 3.6),
    ],
    ids=["values", "fluxes"],
)
def test_a_given_solution_is_met_to_fourth_order(sides, order):
    """On cells that are not square, with a source that vanishes on no side."""
    k, errors = 6.0, []
    bottom = slope_y if isinstance(sides.bottom, Flux) else None
    if bottom:
        sides = dataclasses.replace(sides, bottom=Flux(lambda x, y: -slope_y(x, y)))

    def source(x, y):
        laplacian = -3 * np.sin(2 * x + 0.3) * np.exp(y) + 2 * x
        return -laplacian - k**2 * smooth(x, y)

    for n in (17, 33):
        pde = Acoustics(k, domain=BOX, boundary=sides)
        grid = pde.grid(n, 1 + 5 * (n - 1) // 4)
        u = pde.solve(at_nodes(source, grid))
        errors.append(float((u - at_nodes(smooth, grid)).abs().max()))
    assert errors[0] < 2e-4 and np.log2(errors[0] / errors[1]) > order


def test_walls_that_absorb_are_of_fourth_order():
    sides, found = Sides(Impedance(0.7), NoFlux(), Impedance(1.3), Value(0.0)), []
    for n in (17, 33, 65):
        pde = Acoustics(6.0, domain=BOX, boundary=sides, damping=0.05)
        grid = pde.grid(n, 1 + 5 * (n - 1) // 4)
        step = (n - 1) // 16
        found.append(waves(pde, grid, at_nodes(slope_x, grid))[::step, ::step])
    first, second = (np.abs(a - b).max() for a, b in pairwise(found))
    assert second < 1e-4 * np.abs(found[0]).max() and np.log2(first / second) > 3.7


def error_of_a_point_source(n, place=(0.43, 0.38)):
    """Return the relative error of the wave of a point, beyond 0.15 of it, at k = 30."""
    pde = Acoustics(30.0, wells=(Well(*place, 2.0),))
    grid = pde.grid(n)
    r = np.hypot(*(grid.points().numpy() - place).T).reshape(grid.shape)
    exact, far = 0.5j * hankel1(0, 30.0 * np.maximum(r, 1e-9)), r > 0.15
    return np.linalg.norm((waves(pde, grid) - exact)[far]) / np.linalg.norm(exact[far])


@pytest.mark.parametrize(("n", "error"), [(48, 4e-3), (96, 2.5e-4)])
def test_a_point_source_makes_the_wave_of_free_space(n, error):
    """With ten and twenty nodes per wavelength, between the nodes, and near a side."""
    for place in ((0.431, 0.377), (0.1, 0.5)):
        assert error_of_a_point_source(n, place) < error


def test_ten_nodes_per_wavelength_make_waves_of_the_stated_length():
    """The phase of a wave that crosses ten wavelengths between rigid walls."""
    n, waves_across = 101, 10
    k = 2 * np.pi * waves_across
    grid = Grid(5, n, (0.0, 1.0, 0.0, 0.04))
    sides = Sides(Value(1.0), Open(), NoFlux(), NoFlux())
    u = waves(Acoustics(k, domain=grid.domain, boundary=sides), grid)[2]
    phase = np.unwrap(np.angle(u))[-1]
    assert 2.5e-4 < abs(phase / k - 1) < 3.5e-4  # (kh)⁴ / 480 = 3.2e-4


def test_damping_is_that_of_a_complex_wavenumber():
    grid = Grid(5, 101, (0.0, 1.0, 0.0, 0.04))
    sides = Sides(Value(1.0), Open(), NoFlux(), NoFlux())
    u = waves(Acoustics(20.0, domain=grid.domain, boundary=sides, damping=0.2), grid)[2]
    exact = np.exp(1j * 20.0 * np.sqrt(1 + 0.2j) * np.linspace(0, 1, 101))
    assert np.abs(u - exact).max() < 1e-3


def reflection(side, angle):
    """Return how much of a wave a side reflects that comes at an angle, in degrees: of a mode
    between rigid walls, by the amplitudes of what comes and what goes."""
    n, mode = 64, 0 if angle == 0 else 4
    k = 20.0 if angle == 0 else mode * np.pi / np.sin(np.radians(angle))
    shape = np.cos(mode * np.pi * np.linspace(0, 1, n))
    u = waves(
        Acoustics(k, boundary=Sides(Value(shape), side, NoFlux(), NoFlux())), Acoustics().grid(n)
    )
    along, x = shape @ u / (shape @ shape), np.linspace(0, 1, n)
    kx = k * np.cos(np.radians(angle))
    pair = np.stack([np.exp(1j * kx * x), np.exp(-1j * kx * x)], axis=1)
    (comes, goes), *_ = np.linalg.lstsq(pair, along, rcond=None)
    return abs(goes / comes)


@pytest.mark.parametrize("angle", [0, 30, 60, 80])
def test_sides_reflect_what_is_stated(angle):
    cosine = np.cos(np.radians(angle))
    for beta in (1.0, 0.5):
        expected = abs(cosine - beta) / (cosine + beta)
        assert reflection(Impedance(beta), angle) == pytest.approx(expected, abs=1e-4)
    assert reflection(Open(), angle) < 1e-4
    assert reflection(NoFlux(), angle) == pytest.approx(1, abs=1e-3)


def test_an_exact_resonance_is_refused_unless_something_takes_up_waves():
    n = 17
    closed = Acoustics(1.0, boundary=all_sides(NoFlux()))
    grid = closed.grid(n)
    h = 1 / (n - 1)
    discrete = 2 * (1 - np.cos(np.pi * h)) / h**2 / (1 - (1 - np.cos(np.pi * h)) / 6)
    resonant = dataclasses.replace(closed, k=float(np.sqrt(discrete)))
    a = normal(1, 1, n, n)
    with pytest.raises(NumericalError, match=r"k must not be a resonance .* got k = 3.14"):
        resonant.solve(a)
    for pde in (
        closed,
        dataclasses.replace(resonant, damping=1e-3),
        dataclasses.replace(resonant, boundary=Sides(Impedance(0.1), NoFlux(), NoFlux(), NoFlux())),
    ):
        assert pde.solve(a).isfinite().all() and grid.shape == (n, n)


# Derivatives


def test_both_parts_have_exact_adjoints():
    sides = Sides(Impedance(0.7), Open(), NoFlux(), Value(lambda x, y: x))
    pde = Acoustics(8.0, boundary=sides, damping=0.1, wells=(Well(0.3, 0.6, 1.0),))
    pde = pde.reading([IMAGINARY])
    a, v = normal(3, 1, 9, 12), normal(3, 2, 9, 12, seed=1)
    pde = dataclasses.replace(pde, domain=Domain((0.0, 1.1, 0.0, 0.8)))
    given = pde.respond(torch.zeros_like(a))
    leaf = a.clone().requires_grad_()
    (pulled,) = torch.autograd.grad(pde.respond(leaf), leaf, v)
    forward = pde.respond(a) - given
    assert distance((pulled * a).sum(), (forward * v).sum()) < 1e-12


# Readings and posteriors


def test_the_posterior_is_the_closed_form():
    """Of sources, from both parts at nodes; the dense matrices come from solves of unit vectors."""
    sides = Sides(Impedance(1.0), Open(), NoFlux(), Value(0.5))
    pde = Acoustics(6.0, boundary=sides, wells=(Well(0.3, 0.4, 1.0),)).reading([IMAGINARY])
    prior, grid = GaussianField(0.2, 1.0, 0.3), pde.grid(16)
    state = Problem(pde, prior).sample(1, grid, seeded())
    places = grid.points()[[20, 60, 100, 140, 187, 215]].repeat(2, 1)
    channel = torch.tensor([1, 2]).repeat_interleave(6)
    std = torch.full((12,), 0.01, dtype=torch.float64)
    order = (3, 3, 3)
    blank = Observation(grid, places, channel, torch.zeros_like(std), std, order)
    values = blank(state)[0] + std * normal(12)
    matrix, offset = response(pde, grid)
    law = Gaussian(torch.full((grid.nodes,), 0.2).double(), matern_covariance(prior, grid))
    rows = rows_of(blank)
    expected = law.given(rows @ matrix, values - rows @ offset, std**2).mapped(matrix, offset)
    exact = expected.moments(grid)
    names = [f.name for f in pde.fields]
    table = {
        "field": [names[c] for c in channel],
        "x": places[:, 0].numpy(),
        "y": places[:, 1].numpy(),
        "value": values.numpy(),
        "noise_std": std.numpy(),
    }
    found = reconstruct(table, problem=Problem(pde, prior, grid), solver="gaussian", n_samples=1)
    for name, mean, spread in zip(names, exact.mean, exact.std, strict=True):
        assert distance(torch.from_numpy(found[f"{name}_mean"].values), mean) < 1e-3
        assert distance(torch.from_numpy(found[f"{name}_std"].values), spread) < 1e-3


def test_several_frequencies_share_a_source():
    """Two wavenumbers see more of a source than one, and each has its own complex readings."""
    one, two = Acoustics(6.0), Acoustics(14.0)
    both = Experiments((one, two), names=("low", "high"))
    problem = Problem(both, GaussianField(0.0, 1.0, 0.15), 24)
    a = problem.sample_coefficient(1, both.grid(24), seeded(1))
    rng = np.random.default_rng(0)
    rows = []
    for name, pde in both.experiments.items():
        u = waves(pde, both.grid(24), a)
        noise = 0.02 * np.abs(u).mean()
        for x, y in rng.uniform(0.05, 0.95, (15, 2)).round(1):
            place = both.grid(24).points().numpy() - (x, y)
            node = int((place**2).sum(axis=1).argmin())
            x, y = both.grid(24).points()[node].tolist()
            value = u.ravel()[node] + noise * (rng.normal() + 1j * rng.normal())
            rows.append(("wavefield", x, y, value, noise, name))
    columns = ["field", "x", "y", "value", "noise_std", "experiment"]
    table = {c: [row[i] for row in rows] for i, c in enumerate(columns)}
    found = reconstruct(table, problem=problem, n_samples=1)
    alone = {
        k: [v for v, row in zip(vs, rows, strict=True) if row[-1] == "high"]
        for k, vs in table.items()
    }
    del alone["experiment"]
    high = reconstruct(alone, problem=Problem(two, problem.prior, 24), n_samples=1)
    errors = [distance(torch.from_numpy(r["source_mean"].values), a[0, 0]) for r in (found, high)]
    assert errors[0] < min(0.6, errors[1])
    assert found.attrs["solver"] == "gaussian"
    assert found["wavefield_imag_mean"].sizes["experiment"] == 2


# Tables


def test_a_complex_value_is_two_readings():
    text = (
        "field;x;y;value;noise_std\n"
        "wavefield;0,1;0,2;0.3 - 1e-1j;0,01\n"
        "source;0,5;0,5;2;0,1\n"
        "wavefield;0,3;0,9;-2i;0,02\n"
    ).replace(",", ".")
    sensors = Sensors.read(io.StringIO(text))
    assert sensors.table.field.tolist() == [
        "wavefield_real",
        "wavefield_imag",
        "source",
        "wavefield_real",
        "wavefield_imag",
    ]
    assert sensors.table.value.tolist() == [0.3, -0.1, 2.0, 0.0, -2.0]
    assert sensors.table.noise_std.tolist() == [0.01, 0.01, 0.1, 0.02, 0.02]
    assert sensors.rows.tolist() == [0, 0, 1, 2, 2]
    assert sensors.of_rows(np.array([3])).rows.tolist() == [2]
    same = Sensors(
        {"field": ["wavefield"], "x": [0.1], "y": [0.2], "value": np.array([0.3 - 0.1j])}
    )
    assert same.table.value.tolist() == [0.3, -0.1]


@pytest.mark.parametrize("value", ["1j2j", "0.3+j0.1", "nan+1j", "i", "1e400+2j"])
def test_what_is_no_complex_number_is_refused_with_its_row(value):
    rows = f"field,x,y,value\nsource,0.5,0.5,1\nwavefield,0.1,0.2,{value}\n"
    with pytest.raises(InputError, match=r"row 2: .*value must be"):
        Sensors.read(io.StringIO(rows))


def test_a_field_without_two_parts_refuses_a_complex_value():
    table = {"field": ["wavefield"], "x": [0.1], "y": [0.2], "value": [0.3 - 0.1j]}
    with pytest.raises(InputError, match=r"row 0: field must be .* got 'wavefield_real'"):
        Sensors(table).observation(Helmholtz(), Helmholtz().grid(8))


# What is stated


def test_symmetries_are_those_of_the_sides_and_the_sources():
    assert len(Acoustics().symmetries) == 8
    assert len(Acoustics(wells=(Well(0.5, 0.5, 1.0),)).symmetries) == 8
    assert len(Acoustics(wells=(Well(0.5, 0.7, 1.0),)).symmetries) == 2
    assert len(Acoustics(wells=(Well(0.4, 0.7, 1.0),)).symmetries) == 1
    assert len(Acoustics(boundary=all_sides(Impedance(0.5))).symmetries) == 8
    sides = Sides(Impedance(0.5), Impedance(0.6), Open(), Open())
    assert len(Acoustics(boundary=sides).symmetries) == 2
    assert len(Acoustics(boundary=Sides(NoFlux(), Open(), Open(), Open())).symmetries) == 2


FILE = """
format = 1

[domain]
extent = [0, 4, 0, 3]
unit = "m"

[physics]
pde = "acoustics"
k = 8.5
solution_field = {name = "pressure_real", units = "Pa"}

[boundary]
left = "open"
right = {impedance = 0.4}
bottom = "no flux"
top = {value = 0}

[[well]]
x = 1
y = 2
rate = -0.5

[prior]
kind = "gaussian-field"
mean = 0
std = 1
length = 0.5
"""


def test_a_problem_file_states_it(tmp_path):
    path = tmp_path / "room.toml"
    path.write_text(FILE)
    problem = Problem.load(path)
    pde = problem.physics
    assert pde.boundary == Sides(Open(), Impedance(0.4), NoFlux(), Value(0))
    assert pde.wells == (Well(1, 2, -0.5),) and pde.k == 8.5
    assert pde.derived[0].name == "pressure_imag" and pde.derived[0].units == "Pa"
    assert pde.equation == (
        "Δu + k²u = -(a + 1 well), open on the left, ∂u/∂n = 0.4 iku on the right, no flux on the "
        "bottom, u = 0 on the top"
    )
    problem.save(tmp_path / "again.toml")
    assert Problem.load(tmp_path / "again.toml") == problem
    assert pde_by_name(pde.name, **pde.json_parameters()) == pde


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ('"open"', '"opn"', r"\[boundary\] left .* did you mean 'open'\?"),
        (
            "{impedance = 0.4}",
            "{impedance = 0}",
            r"\[boundary\] right, beta of a side must be .* 0",
        ),
        ("{impedance = 0.4}", "{impedance = 'x'}", r"\[boundary\] right, beta of a side must be"),
        ("k = 8.5", "k = 0", r"k of acoustics must be a finite number above 0, got 0"),
        ("k = 8.5", "damping = -1", r"damping of acoustics must be a finite number of at least 0"),
        ("pressure_real", "pressure", r"must end in _real, got 'pressure'"),
        ("y = 2", "y = 3", r"well 1 must not be on a side that fixes the wave field"),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(tmp_path, right, wrong, message):
    path = tmp_path / "room.toml"
    path.write_text(FILE.replace(right, wrong))
    with pytest.raises(InputError, match=message):
        Problem.load(path)


@pytest.mark.parametrize("kind", [Darcy, Helmholtz])
@pytest.mark.parametrize("side", [Open(), Impedance(0.5)])
def test_physics_without_waves_refuses_sides_that_take_them_up(kind, side):
    with pytest.raises(InputError, match=rf"boundary of {kind.name} must be without .* the top"):
        kind(boundary=Sides(top=side))


def test_a_part_of_a_rectangle_is_refused():
    triangle = Domain((0.0, 1.0, 0.0, 1.0), active=[(0, 0), (1, 0), (0, 1)])
    with pytest.raises(InputError, match="domain of acoustics must be a whole rectangle"):
        Acoustics(domain=triangle)


def test_a_coarse_grid_is_doubtful():
    assert not Acoustics(30.0).doubt(Acoustics().grid(48))
    assert "6.5 nodes per wavelength" in Acoustics(30.0).doubt(Acoustics().grid(32))
