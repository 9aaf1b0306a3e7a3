"""Navier–Stokes on rectangular tori: closed forms, an independent solver, its symmetries, any
forcing, and the velocity."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.integrate
import torch
from helpers import distance, normal, seeded

from pdeinv import InputError, NumericalError, Symmetry
from pdeinv.datasets import Distributed, NavierStokes, Problem, pde_by_name
from pdeinv.grid import Domain

EXTENTS = {
    "5 x 3": (0.0, 5.0, 0.0, 3.0),
    "offset": (100.0, 105.0, -3.0, 0.0),
    "upright": (-1.0, 1.0, 2.0, 7.0),
}
each_torus = pytest.mark.parametrize(
    "domain", [Domain(extent, "km") for extent in EXTENTS.values()], ids=EXTENTS
)
BOX = Domain(EXTENTS["5 x 3"], "km")


def wave(pde, grid, kx, ky, shift=0.0):
    """Return the phase of a wave with kx and ky periods on the sides, (1, 1, ny, nx)."""
    x, y = pde.domain.relative(grid.points()).unbind(dim=1)
    return (2 * math.pi * (kx * x + ky * y) + shift).reshape(1, 1, *grid.shape)


def wavenumber(pde, k, axis):
    return 2 * math.pi * k / pde.domain.lengths[axis]


def generic(pde, grid, scale=1.0):
    """Return a few long waves without symmetry, the same function on every grid."""
    waves = [(1, 0, 0.3), (0, 1, 1.1), (1, -1, 2.0), (2, 1, -0.4), (-1, 2, 0.9), (2, 0, 0.2)]
    return scale * sum(torch.cos(wave(pde, grid, *one)) for one in waves)


def hills(x, y):
    return np.sin(2 * np.pi * (x + 1) / 5) * np.cos(4 * np.pi * y / 3) + 0.3 * np.cos(2 * np.pi * y)


# Closed forms


@each_torus
@pytest.mark.parametrize(("kx", "ky"), [(1, 0), (0, 2), (3, 2), (-1, 2)])
def test_a_single_wave_decays_exactly(domain, kx, ky):
    pde = NavierStokes(viscosity=0.05, time=0.8, domain=domain)
    w = torch.cos(wave(pde, pde.grid(13, 20), kx, ky, 0.3))
    square = wavenumber(pde, kx, 0) ** 2 + wavenumber(pde, ky, 1) ** 2
    decay = math.exp(-square * pde.viscosity * pde.time)
    torch.testing.assert_close(pde.solve(w), decay * w, atol=1e-13, rtol=0)


@each_torus
def test_the_vortices_of_taylor_and_green_decay_exactly(domain):
    pde = NavierStokes(viscosity=0.02, domain=domain)
    grid = pde.grid(16, 24)
    x, y = wave(pde, grid, 1, 0), wave(pde, grid, 0, 2)
    k, l = wavenumber(pde, 1, 0), wavenumber(pde, 2, 1)
    w = 1.7 * torch.cos(x) * torch.cos(y)
    u = math.exp(-(k**2 + l**2) * pde.viscosity * pde.time) * w
    torch.testing.assert_close(pde.solve(w), u, atol=1e-12, rtol=0)
    # v = (ψ_y, -ψ_x) with ψ = w / (k² + l²)
    stream = 1.7 / (k**2 + l**2)
    v = torch.cat(
        [-l * stream * torch.cos(x) * torch.sin(y), k * stream * torch.sin(x) * torch.cos(y)], dim=1
    )
    derived = pde.reading(["velocity_x"]).derive(w, w)
    torch.testing.assert_close(derived, v, atol=1e-12, rtol=0)


@each_torus
@pytest.mark.parametrize("form", ["array", "function"])
def test_a_steady_flow_of_kolmogorov_stays(domain, form):
    """A forcing along one wave balances its decay; the stirring of one wave vanishes."""
    plain = NavierStokes(viscosity=0.05, time=2.0, dt=0.01, domain=domain)
    grid, y0, height = plain.grid(15, 22), domain.extent[2], domain.lengths[1]
    mu = plain.viscosity * (4 * math.pi / height) ** 2

    def force(x, y):
        return mu * np.cos(4 * np.pi * (y - y0) / height + 0.7)

    y, x = grid.coordinates()
    given = force if form == "function" else force(x[None, :], y[:, None]).expand(grid.shape)
    pde = replace(plain, forcing=given)
    w = torch.cos(wave(plain, grid, 0, 2, 0.7))
    torch.testing.assert_close(pde.solve(w), w, atol=1e-10, rtol=0)
    grown = (1 - math.exp(-mu * pde.time)) * w  # from rest
    torch.testing.assert_close(pde.solve(0 * w), grown, atol=1e-10, rtol=0)


@each_torus
def test_the_published_forcing_is_along_the_diagonal_of_the_domain(domain):
    pde = NavierStokes(viscosity=0.05, time=1.5, dt=0.02, forcing=0.3, domain=domain)
    grid = pde.grid(12, 18)
    phase = wave(pde, grid, 1, 1)
    f = 0.3 * (torch.sin(phase) + torch.cos(phase))
    mu = pde.viscosity * (wavenumber(pde, 1, 0) ** 2 + wavenumber(pde, 1, 1) ** 2)
    expected = (1 - math.exp(-mu * pde.time)) / mu * f
    torch.testing.assert_close(pde.solve(0 * f), expected, atol=1e-10, rtol=0)
    values = pde.forcing.at(grid.points(), domain).reshape(grid.shape)
    torch.testing.assert_close(torch.from_numpy(values), f[0, 0], atol=1e-12, rtol=0)


def test_a_change_of_the_unit_changes_nothing():
    km, m = Domain((0.0, 5.0, 0.0, 3.0), "km"), Domain((0.0, 5000.0, 0.0, 3000.0), "m")
    flows = [
        NavierStokes(viscosity=2e-3 * size**2, forcing=0.2, domain=domain).reading(["velocity_y"])
        for domain, size in ((km, 1.0), (m, 1000.0))
    ]
    one, other = (Problem(pde).sample(2, pde.grid(16), seeded()) for pde in flows)
    torch.testing.assert_close(one[:, :2], other[:, :2], atol=1e-10, rtol=0)
    torch.testing.assert_close(1000 * one[:, 2:], other[:, 2:], atol=1e-7, rtol=0)
    assert flows[0].steps(flows[0].grid(300)) == flows[1].steps(flows[1].grid(300)) > 20


# Independent and refined solutions


def test_fourth_order_in_time():
    def flow(dt):
        pde = NavierStokes(viscosity=5e-3, forcing=hills, time=2.0, dt=dt, domain=BOX)
        return pde.solve(generic(pde, pde.grid(18, 30), 0.6))

    reference = flow(1 / 400)
    errors = [(flow(1 / steps) - reference).norm() for steps in (20, 40, 80)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders == pytest.approx([4, 4], abs=0.25)


def independent(pde, w, force):
    """w(T) by complex transforms of numpy, the flux form of the stirring, and an adaptive
    integrator."""
    ny, nx = w.shape
    width, height = pde.domain.lengths
    my, mx = np.fft.fftfreq(ny, 1 / ny)[:, None], np.fft.fftfreq(nx, 1 / nx)[None, :]
    kept = (np.abs(my) < ny / 3) & (np.abs(mx) < nx / 3)
    ky, kx = 2 * np.pi * my / height * np.ones_like(mx), 2 * np.pi * mx / width * np.ones_like(my)
    laplacian = -(kx**2) - ky**2

    def nodes(c):
        return np.fft.ifft2(c).real

    def tendency(_, state):
        c = state.reshape(ny, nx)
        stream = np.where(laplacian < 0, -c * kept / np.where(laplacian < 0, laplacian, 1), 0)
        inside = nodes(c * kept)
        flux_x = np.fft.fft2(nodes(1j * ky * stream) * inside)
        flux_y = np.fft.fft2(nodes(-1j * kx * stream) * inside)
        stirred = kept * (1j * kx * flux_x + 1j * ky * flux_y)
        return (np.fft.fft2(force) - stirred + pde.viscosity * laplacian * c).ravel()

    end = scipy.integrate.solve_ivp(
        tendency, (0, pde.time), np.fft.fft2(w).ravel(), method="DOP853", rtol=1e-10, atol=1e-10
    )
    return torch.from_numpy(nodes(end.y[:, -1].reshape(ny, nx)))


@each_torus
@pytest.mark.parametrize("forcing", [None, 0.2, "array", "function"])
def test_against_an_independent_solver(domain, forcing):
    pde = NavierStokes(viscosity=5e-3, dt=0.01, domain=domain)
    grid = pde.grid(15, 20)
    f = normal(1, 1, *grid.shape, seed=4) * 0.1
    f = f - f.mean()
    if forcing == 0.2:
        phase = wave(pde, grid, 1, 1)
        f = 0.2 * (torch.sin(phase) + torch.cos(phase))
    given = {
        "array": f[0, 0].numpy(),
        # By position, as an array of the grid's nodes would give it
        "function": lambda x, y: Distributed(f[0, 0]).at(
            np.stack([x, y], axis=1), domain, periodic=True
        ),
    }.get(forcing, forcing)
    pde = replace(pde, forcing=given)
    w = generic(pde, grid)
    u = pde.solve(w)
    expected = independent(
        pde, w[0, 0].numpy(), f[0, 0].numpy() if forcing else 0 * w[0, 0].numpy()
    )
    assert distance(u[0, 0], expected) < 1e-6
    decayed = NavierStokes(viscosity=5e-3, domain=domain).solve(1e-6 * w) * 1e6
    assert distance(u, decayed) > 0.05, "the field must have been stirred"


def test_waves_are_truncated_in_each_direction():
    pde = NavierStokes(viscosity=0.1, dt=0.05, domain=BOX)
    reference = pde.solve(generic(pde, pde.grid(48, 80)))
    coarse = pde.solve(generic(pde, pde.grid(24, 40)))
    assert distance(coarse, reference[..., ::2, ::2]) < 1e-5
    across = pde.solve(generic(pde, pde.grid(48, 16)))
    assert distance(across, reference[..., ::5]) < 2e-2


def test_an_unstable_time_step_is_refused_and_finer_cells_shorten_it():
    pde = NavierStokes(domain=BOX)
    assert pde.steps(pde.grid(24)) == 10 and pde.steps(pde.grid(256, 40)) > 30
    assert pde.steps(pde.grid(40, 256)) == 20
    with pytest.raises(NumericalError, match=r"up to [\d.]+; use a smaller dt"):
        pde.solve(generic(pde, pde.grid(48), 6.0))
    forced = replace(pde, forcing=lambda x, y: 80 * hills(x, y), time=3.0)
    with pytest.raises(NumericalError, match=r"a forcing of f\(x, y\); use a smaller dt"):
        forced.solve(generic(pde, pde.grid(48)))


@pytest.mark.parametrize("forcing", [None, 0.1, hills, normal(48, 80) - normal(48, 80).mean()])
def test_the_surrogate_is_coarse_in_each_direction(forcing):
    pde = NavierStokes(viscosity=1e-2, forcing=forcing, domain=BOX)
    a = Problem(pde).sample_coefficient(2, pde.grid(48, 80), seeded())
    u, rough = pde.solve(a), pde.surrogate(a)
    assert rough.shape == u.shape and 1e-9 < distance(rough, u) < 0.1


# Symmetries


@pytest.mark.parametrize("domain", [BOX, Domain()], ids=["rectangle", "square"])
@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        (((1, 0), (0, 1)), (0.3, 0.0)),
        (((1, 0), (0, 1)), (0.25, -0.61)),
        (((-1, 0), (0, -1)), (0.0, 0.0)),
        (((-1, 0), (0, 1)), (0.0, 0.0)),
        (((1, 0), (0, -1)), (0.4, 0.125)),
    ],
)
def test_a_flow_and_its_velocity_commute_with_the_symmetries(domain, matrix, shift):
    pde = NavierStokes(viscosity=5e-3, domain=domain).reading(["velocity_x"])
    grid = pde.grid(15, 20)
    a = generic(pde, grid)
    state = torch.cat([a, pde.respond(a)], dim=1)
    g = Symmetry(matrix, shift).acting_on(pde.fields)
    moved = g(state, grid)
    assert distance(pde.respond(moved[:, :1]), moved[:, 1:]) < 1e-8
    assert distance(moved, state) > 0.1
    scalar = replace(g, kinds=("scalar",))(state, grid)
    if g.determinant < 0:  # vorticity is a pseudo-scalar
        assert distance(pde.respond(scalar[:, :1])[:, :1], scalar[:, 1:2]) > 0.1


# The velocity


@each_torus
@pytest.mark.parametrize("shape", [(15, 20), (16, 24), (13, 21)])
def test_the_velocity_is_that_of_the_vorticity(domain, shape):
    pde = NavierStokes(domain=domain).reading(["velocity_y"])
    grid = pde.grid(*shape)
    assert pde.outputs == ("velocity_x", "velocity_y")
    assert [f.kind for f in pde.fields] == ["pseudo-scalar"] * 2 + ["vector-x", "vector-y"]
    w = generic(pde, grid)
    vx, vy = pde.derive(w, w).unbind(dim=1)
    ky, kx = (np.fft.fftfreq(n, 1 / n) for n in shape)
    kx, ky = (2j * np.pi * k / side for k, side in zip((kx, ky), domain.lengths, strict=True))

    def slope(field, k):
        return np.fft.ifft2(np.fft.fft2(field.numpy()) * k).real

    scale = float(vx.norm())
    assert np.linalg.norm(slope(vx, kx[None]) + slope(vy, ky[:, None])) < 1e-12 * scale
    curl = slope(vy, kx[None]) - slope(vx, ky[:, None])
    assert np.linalg.norm(curl - w[:, 0].numpy()) < 1e-12 * float(w.norm())
    assert abs(float(vx.mean())) + abs(float(vy.mean())) < 1e-14


@pytest.mark.parametrize("shape", [(6, 10), (7, 11)])
def test_the_adjoint_of_the_velocity_passes_the_dot_product_test(shape):
    pde = NavierStokes(viscosity=1e-2, forcing=hills, domain=BOX).reading(["velocity_x"])
    w, dw, v = normal(2, 1, *shape), normal(2, 1, *shape, seed=1), normal(2, 2, *shape, seed=2)
    w.requires_grad_()
    (pulled,) = torch.autograd.grad(pde.derive(w, w), w, v)
    pushed = pde.derive(dw, dw)
    assert abs(float((pulled * dw).sum() - (pushed * v).sum())) < 1e-12 * float(pushed.norm())
    a = 0.3 * w.detach()
    assert torch.autograd.gradcheck(pde.respond, a[:1].requires_grad_(), atol=1e-7, rtol=1e-5)


def test_the_state_of_velocities_is_drawn_and_read():
    pde = pde_by_name("navier-stokes", domain=BOX).reading(["velocity_x"])
    state = Problem(pde).sample(2, pde.grid(24, 40), seeded())
    assert state.shape == (2, 4, 24, 40)
    torch.testing.assert_close(state[:, 2:], pde.derive(state[:, :1], state[:, 1:2]))
    assert pde.channel("velocity_y") == 3 and pde.reading([]) == pde
    assert not NavierStokes().outputs and NavierStokes().find_channel("velocity_x") is None


# The forcing as a parameter


@pytest.mark.parametrize(
    ("forcing", "stored"),
    [
        (None, None),
        (0, None),
        (0.0, None),
        (np.zeros((4, 4)), None),
        (0.1, 0.1),
        (np.float32(0.5), 0.5),
        (-2, -2.0),
        ([[1, -1], [-1, 1]], [[1.0, -1.0], [-1.0, 1.0]]),
    ],
    ids=str,
)
def test_a_forcing_survives_files(forcing, stored):
    pde = NavierStokes(forcing=forcing)
    parameters = json.loads(json.dumps(pde.json_parameters()))
    assert parameters["forcing"] == stored
    again = pde_by_name("navier-stokes", **parameters)
    assert again == pde and hash(again) == hash(pde)
    assert (pde == NavierStokes()) == (stored is None) == ("+ f" not in pde.equation)
    assert pde_by_name("navier-stokes", forcing=forcing) == pde


def test_the_name_is_the_published_problem():
    assert NavierStokes().forcing is None
    assert pde_by_name("navier-stokes") == NavierStokes(forcing=0.1)
    assert "f = 0.1 (sin 2π(x+y) + cos 2π(x+y))" in pde_by_name("navier-stokes").equation
    assert NavierStokes(forcing=hills, domain=BOX).equation.endswith(
        "+ f, periodic, f = hills(x, y)"
    )


@pytest.mark.parametrize(
    "forcing",
    ["0.1", True, 1j, float("nan"), float("inf"), [1.0, 2.0], [[1.0, float("nan")], [0.0, -1.0]]],
    ids=repr,
)
def test_an_odd_forcing_is_refused_in_one_sentence(forcing):
    for make in (NavierStokes, lambda **kw: pde_by_name("navier-stokes", **kw)):
        with pytest.raises(
            InputError, match=r"^[^\n]{0,40}parameter forcing of navier-stokes must"
        ):
            make(forcing=forcing)


@pytest.mark.parametrize(
    "forcing", [[[1.0, -0.9], [1.0, -0.9]], lambda x, y: 1 + 0 * x, lambda x, y: x]
)
def test_a_forcing_with_a_mean_is_refused(forcing):
    with pytest.raises(
        InputError, match=r"forcing of navier-stokes must have a mean of 0, .*; sub"
    ):
        NavierStokes(forcing=forcing, domain=BOX)


def test_the_mean_vorticity_stays():
    """What is left of the mean of a forcing, by rounding or sampling, does not act."""
    pde = NavierStokes(forcing=lambda x, y: np.where(x < 1.5, 0.7, -0.3), domain=BOX)
    w = generic(pde, pde.grid(15, 22)) + 0.5
    assert float(pde.solve(w).mean()) == pytest.approx(0.5, abs=1e-13)
