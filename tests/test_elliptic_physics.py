"""Poisson, Helmholtz and Darcy on rectangles, with sides, sources and wells: analytic solutions,
balances of mass, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import distance, seeded

from pdeinv import Field, InputError, SpectralField, TwoPhase
from pdeinv.datasets import (
    Darcy,
    Flux,
    Helmholtz,
    NoFlux,
    Poisson,
    Problem,
    Sides,
    Value,
    Well,
    pde_by_name,
)
from pdeinv.datasets.elliptic.problem import Enclosure, wells_on
from pdeinv.grid import Domain

BOX = Domain((-2.0, 3.0, 1.0, 3.0), "m")
AQUIFER = Darcy(
    source=0.0,
    domain=Domain((0.0, 3000.0, 0.0, 1200.0), "m"),
    boundary=Sides(Value(52), Value(50), NoFlux(), NoFlux()),
    wells=(Well(1000.0, 510.0, -800.0), Well(2100.0, 700.0, -400.0)),
    thickness=20.0,
    coefficient_field=Field("hydraulic_conductivity", "hydraulic conductivity K", "m d-1", 0),
    solution_field=Field("head", "hydraulic head", "m"),
)
MIXED = Sides(
    Value([1.0, 3.0, 2.0]),
    Flux(lambda x, y: 0.3 * y),
    Value(lambda x, y: torch.sin(x)),
    Flux(0.5),
)
FLUXES = Sides(Flux(1.0), NoFlux(), NoFlux(), Flux([0.5, -1.0]))
CASES = {
    "poisson": Poisson(domain=BOX, boundary=MIXED, source=lambda x, y: x * y),
    "poisson-spectral": Poisson(
        domain=BOX, boundary=Sides(Value(0), NoFlux()), discretisation="spectral"
    ),
    "helmholtz": Helmholtz(k=0.7, domain=BOX, boundary=MIXED, source=2.0),
    "helmholtz-fluxes": Helmholtz(k=1.1, domain=BOX, boundary=FLUXES),
    "darcy": Darcy(domain=BOX, boundary=MIXED, source=lambda x, y: np.exp(-y)),
    "darcy-harmonic": Darcy(
        domain=BOX, boundary=MIXED, face_mean="harmonic", wells=(Well(0.3, 2.2, 1.5),)
    ),
    "aquifer": AQUIFER,
}
each_case = pytest.mark.parametrize("pde", CASES.values(), ids=CASES)


def solved(pde, ny=24, nx=40, count=2):
    grid = pde.grid(ny, nx)
    # Harmonic means are for high contrasts
    harmonic = getattr(pde, "face_mean", "") == "harmonic"
    prior = TwoPhase(SpectralField(), 3.0, 1e4) if harmonic else None
    a = Problem(pde, prior).sample_coefficient(count, grid, seeded())
    return grid, a, pde.solve(a)


@each_case
def test_solutions_have_no_residual_and_the_known_values(pde):
    grid, a, u = solved(pde)
    scale = pde.residual(a, torch.zeros_like(u)).norm()
    assert pde.residual(a, u).norm() < 1e-9 * scale
    for channel, field in enumerate((a, u)):
        known = pde.known_values(channel, grid.points()).reshape(grid.shape)
        held = ~known.isnan()
        torch.testing.assert_close(field[:, 0, held], known[held].expand(2, -1), atol=0, rtol=0)
    sides = {"left": np.s_[:, 0], "right": np.s_[:, -1], "bottom": np.s_[0], "top": np.s_[-1]}
    for name, side in pde.boundary.items():
        assert bool(held[sides[name]].all()) == side.fixes_value
    wrong = u.clone()
    wrong[0, 0, 4, 0] += 0.25
    found = pde.residual(a, wrong) - pde.residual(a, u)
    if pde.boundary.left.fixes_value:
        assert float(found[0, 0, 4, 0]) == pytest.approx(0.25)
    assert float(found[0].abs().max()) > 0.1 and not bool(found[1].any())


@each_case
def test_tangent_and_adjoint_are_transposes(pde):
    _, a, u = solved(pde, 13, 17)
    if pde.derived:
        pde = pde.reading(f.name for f in pde.derived)
    leaf = a.clone().requires_grad_()
    response = pde.respond(leaf)
    assert response.shape[1] == 1 + len(pde.derived) and distance(response[:, :1], u) < 1e-12
    da = a * torch.randn(a.shape, dtype=a.dtype, generator=seeded(1))
    v = torch.randn(response.shape, dtype=a.dtype, generator=seeded(2)).requires_grad_()
    (pulled,) = torch.autograd.grad(response, leaf, v, create_graph=True)
    tangent = torch.autograd.grad(pulled, v, da)[0]
    gap = abs((tangent * v).sum() - (da * pulled).sum())
    assert gap < 1e-12 * tangent.norm() * v.norm()
    steps = [pde.respond(a + s * da) for s in (1e-5, -1e-5)]
    for channel in range(response.shape[1]):
        differences = (steps[0] - steps[1])[:, channel] / 2e-5
        assert distance(tangent[:, channel], differences) < 1e-6


@each_case
def test_files_hold_a_pde_of_plain_values(pde):
    try:
        stored = pde.json_parameters()
    except InputError as error:
        assert "array of its values" in str(error)
        return
    again = pde_by_name(pde.name, **stored | {"domain": pde.domain} | _fields(pde))
    assert again == pde and again.equation == pde.equation
    _, a, u = solved(pde, 12, 12)
    assert torch.equal(again.solve(a), u)


def _fields(pde):
    return {name: getattr(pde, name) for name in ("coefficient_field", "solution_field")}


def wave(x, y):
    return torch.sin(0.9 * x + 0.2) * torch.exp(0.3 * y) + x * y


@pytest.mark.parametrize("make", [Poisson, Helmholtz, Darcy])
def test_second_order_with_functions_of_the_positions(make):
    """u and a = 1 + x²/9 are given as functions; what enters is found by differentiation."""
    k2 = 1.0 if make is Helmholtz else 0.0

    def a_of(x, y):
        return 1 + x**2 / 9 if make is Darcy else torch.ones_like(x)

    def terms(x, y):
        x, y = (s.detach().clone().requires_grad_() for s in (x, y))
        ux, uy = torch.autograd.grad(wave(x, y).sum(), (x, y), create_graph=True)
        qx, qy = a_of(x, y) * ux, a_of(x, y) * uy
        (divergence,) = torch.autograd.grad(qx.sum(), x, retain_graph=True)
        divergence = divergence + torch.autograd.grad(qy.sum(), y, retain_graph=True)[0]
        return [s.detach() for s in (divergence + k2 * wave(x, y), qx, qy)]

    def tensors(function):
        return lambda x, y: function(torch.as_tensor(x), torch.as_tensor(y))

    sign = -1 if make is Darcy else 1
    pde = make(
        domain=BOX,
        source=tensors(lambda x, y: sign * terms(x, y)[0]),
        boundary=Sides(
            Value(tensors(wave)),
            Flux(tensors(lambda x, y: terms(x, y)[1])),
            Flux(tensors(lambda x, y: -terms(x, y)[2])),
            Value(tensors(wave)),
        ),
    )
    errors, fluxes = [], []
    for n in (13, 25, 49):
        grid = pde.grid(n, 2 * n - 1)
        x, y = grid.points().unbind(dim=1)
        a = a_of(x, y) if make is Darcy else torch.zeros_like(x)
        a = a.reshape(1, 1, *grid.shape)
        u = pde.solve(a)
        errors.append(float((u[0, 0].flatten() - wave(x, y)).abs().max()))
        if make is Darcy:
            flux = pde.reading(["flux_x"]).respond(a)[0, 1:].flatten(1)
            exact = -torch.stack(terms(x, y)[1:])
            fluxes.append(float((flux - exact).norm() / exact.norm()))
    assert math.log2(errors[1] / errors[2]) >= 1.9
    if fluxes:
        assert math.log2(fluxes[1] / fluxes[2]) >= 1.8


# Balances of mass


def outflow(pde, a, u):
    """What leaves through the sides, per thickness: face by face next to sides of values, and as
    given on the others."""
    grid, conditions = pde.grid_of(a), pde.conditions(pde.grid_of(a))
    rows, columns = conditions.volumes.rows, conditions.volumes.columns
    total = 0.0
    for name, side in pde.boundary.items():
        upright, first = name in ("left", "right"), name in ("left", "bottom")
        across, along = (grid.hx, grid.hy) if upright else (grid.hy, grid.hx)
        free = rows if upright else columns
        fields = [f[0, 0].numpy().T if upright else f[0, 0].numpy() for f in (a, u)]
        (a0, a1), (u0, u1) = (f[[0, 1] if first else [-1, -2]][:, free] for f in fields)
        lengths = np.full(fields[0].shape[1], along)
        lengths[[0, -1]] /= 2
        if side.fixes_value:
            mean = (a0 + a1) / 2 if pde.face_mean == "arithmetic" else 2 / (1 / a0 + 1 / a1)
            total += (mean * (u1 - u0) / across * lengths[free]).sum()
        else:
            given = conditions.fluxes.get(name, torch.zeros(len(lengths))).numpy()
            total -= (given * lengths)[free].sum()
    return total


@pytest.mark.parametrize("name", [name for name, pde in CASES.items() if isinstance(pde, Darcy)])
def test_what_leaves_through_the_sides_is_what_enters(name):
    pde = replace(CASES[name], method="direct")
    grid, a, u = solved(pde, count=1)
    volumes = pde.conditions(grid).volumes
    density = torch.from_numpy(pde.source.at(grid.points(), pde.domain)).reshape(grid.shape)
    entered = volumes.times_volume(volumes.inside(density)).sum() * grid.hx * grid.hy
    entered = float(entered) + sum(well.rate for well in pde.wells) / pde.thickness
    scale = abs(entered) + float(u.abs().max()) * float(a.max())
    assert abs(outflow(pde, a, u) - entered) < 1e-11 * scale
    if name == "aquifer":
        assert entered == -60.0 and outflow(pde, a, u) == pytest.approx(-60.0, rel=1e-9)


@pytest.mark.parametrize(
    "place", [(0.0, 2.0), (-2.0 + 1e-3, 1.0 + 1e-3), (3.0, 3.0), (1.234, 1.0), (2.99, 2.0)]
)
@pytest.mark.parametrize("held", [(True, False, False, True), (True, True, True, True)])
def test_a_well_brings_its_rate_exactly_to_free_nodes(place, held):
    boundary = Sides(*(Value(1.0) if value else NoFlux() for value in held))
    wells = (Well(*place, 2.5), Well(0.4, 2.4, -1.0))
    grid = Poisson(domain=BOX).grid(9, 16)
    if not np.isnan(boundary.known_values([place], BOX)[0]):
        with pytest.raises(InputError, match="well 0 must not be on a side"):
            Darcy(domain=BOX, boundary=boundary, wells=wells)
        return
    inflow = wells_on(grid, Enclosure(boundary), wells)
    assert float(inflow.sum()) == pytest.approx(1.5, rel=1e-15)
    assert 2 <= int((inflow != 0).sum()) <= 8
    y, x = grid.coordinates()
    inner = wells_on(grid, Enclosure(boundary), wells[1:])
    volumes = Darcy(domain=BOX, boundary=boundary).conditions(grid).volumes
    spread = volumes.extended(inner)
    # Away from the sides the weights keep the position of the well too
    assert float((spread * x).sum()) == pytest.approx(-0.4)
    assert float((spread * y[:, None]).sum()) == pytest.approx(-2.4)


def test_superposition_of_wells():
    grid, a, u = solved(AQUIFER, 48, 120)
    assert float(u.amin()) < 50 and float(u.amax()) <= 52
    none, one, other = (
        replace(AQUIFER, wells=wells).solve(a)
        for wells in ((), AQUIFER.wells[:1], AQUIFER.wells[1:])
    )
    torch.testing.assert_close(u - none, (one - none) + (other - none), atol=1e-9, rtol=0)
    for well, field in zip(AQUIFER.wells, (one, other), strict=True):
        deepest = grid.points()[int((field - none)[0].flatten().argmin())]
        assert abs(deepest - torch.tensor([well.x, well.y])).max() <= max(grid.hx, grid.hy)


def test_a_change_of_the_unit_of_length_changes_nothing():
    _, a, u = solved(AQUIFER)
    kilometres = replace(
        AQUIFER,
        domain=Domain((0.0, 3.0, 0.0, 1.2), "km"),
        wells=tuple(Well(w.x / 1000, w.y / 1000, w.rate) for w in AQUIFER.wells),
    )
    grid = kilometres.grid(24, 40)
    assert torch.equal(Problem(kilometres).sample_coefficient(2, grid, seeded()), a)
    torch.testing.assert_close(kilometres.solve(a), u, atol=1e-10, rtol=0)


# Analytic solutions


@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
@pytest.mark.parametrize("turned", [False, True])
def test_flow_along_one_direction(mean, turned):
    """A linear head between two values, and the one of a given flux; the flux is constant."""
    domain = Domain((0.0, 5.0, 0.0, 5.0), "m")
    a = 1.25
    for far, slope, flux in ((Value(4.0), -1.2, 1.5), (Flux(-2.0), -1.6, 2.0)):
        sides = (Value(10.0), far, NoFlux(), NoFlux())
        sides = Sides(*(sides[2:] + sides[:2] if turned else sides))
        pde = Darcy(source=0.0, domain=domain, boundary=sides, face_mean=mean).reading(["flux_x"])
        grid = pde.grid(9, 13)
        state = pde.respond(torch.full((1, 1, 9, 13), a, dtype=torch.float64))[0]
        y, x = grid.coordinates()
        s = y[:, None].expand(9, 13) if turned else x.expand(9, 13)
        torch.testing.assert_close(state[0], 10 + slope * s, atol=1e-10, rtol=0)
        along = state[2] if turned else state[1]
        across = state[1] if turned else state[2]
        torch.testing.assert_close(along, torch.full_like(along, flux), atol=1e-9, rtol=0)
        torch.testing.assert_close(across, torch.zeros_like(across), atol=1e-9, rtol=0)


def test_layers_in_series_conduct_with_their_harmonic_mean_exactly():
    sides = Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux())
    a = torch.ones(1, 1, 6, 11, dtype=torch.float64)
    a[..., 5:] = 1e4  # the jump is at a face
    pde = Darcy(source=0.0, boundary=sides, face_mean="harmonic").reading(["flux_x"])
    flux = pde.respond(a)[0, 1]
    torch.testing.assert_close(flux, torch.full_like(flux, 1 / (0.45 + 0.55e-4)), rtol=1e-8, atol=0)


def test_the_logarithm_of_the_coefficient_is_a_channel():
    pde = AQUIFER.reading(["log_hydraulic_conductivity"])
    _, a, u = solved(pde, 12, 12)
    assert pde.outputs == ("log_hydraulic_conductivity",)
    assert torch.equal(pde.respond(a), torch.cat([u, a.log()], dim=1))


def test_fluxes_hold_the_given_ones_on_the_sides():
    pde = CASES["darcy"].reading(["flux_y"])
    assert pde.outputs == ("flux_x", "flux_y")
    grid, a, _ = solved(pde)
    flux = pde.respond(a)[:, 1:]
    y = grid.coordinates()[0]
    torch.testing.assert_close(flux[:, 0, :, -1], (-0.3 * y).expand(2, -1))
    torch.testing.assert_close(flux[:, 1, -1], torch.full_like(flux[:, 1, -1], -0.5))
    assert replace(pde, outputs=("flux_y",)) == pde  # a vector is whole


def test_the_source_of_helmholtz_vanishes_where_the_solution_is_fixed_alone():
    pde = Helmholtz(boundary=Sides(Value(0.0), NoFlux(), NoFlux(), Value(1.0)))
    latent = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    a = Problem(pde).coefficient(latent)[0, 0]
    assert not a[:, 0].any() and not a[-1].any() and bool((a[:-1, 1:] == 1).all())


# Texts and refusals


@pytest.mark.parametrize(
    ("pde", "equation"),
    [
        (Poisson(), "Δu = a, u = 0 on the boundary"),
        (Helmholtz(), "Δu + k²u = a, u = 0 on the boundary"),
        (Darcy(source=2.5), "-∇·(a ∇u) = 2.5, u = 0 on the boundary"),
        (
            Poisson(source=[[1.0, 2.0], [3.0, 4.0]], boundary=Sides(top=Flux(2))),
            "Δu = a + values over the domain, u = 0 on the left, right and bottom, inward flux = 2 "
            "on the top",
        ),
        (
            replace(AQUIFER, source=0.1),
            "-∇·(a ∇u) = 0.1 + 2 wells, u = 52 on the left, u = 50 on the right, no flux on the "
            "bottom and top",
        ),
    ],
)
def test_the_equation_states_sides_sources_and_wells(pde, equation):
    assert pde.equation == equation


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(boundary=FLUXES), "boundary of poisson must fix a value on one side"),
        (lambda: Helmholtz(k=0, boundary=FLUXES), "boundary of helmholtz must fix a value"),
        (lambda: Darcy(boundary=FLUXES), "boundary of darcy must fix a value .* pressure open"),
        (lambda: Darcy(source=0), "source of darcy must not be 0 .* pressure would be 0"),
        (lambda: Darcy(source=0, wells=(Well(0.5, 0.5, 0.0),)), "source of darcy must not be 0"),
        (lambda: Darcy(wells=(Well(2.0, 0.5, 1.0),)), "well 0 must be within the domain"),
        (lambda: Darcy(thickness=0), "thickness"),
        (lambda: Darcy(face_mean="geometric"), "face_mean"),
        (lambda: Poisson(discretisation="spectral", boundary=MIXED), "must be 'five-point' where"),
        (lambda: Poisson(boundary=3.0), "boundary"),
    ],
)
def test_what_cannot_be_solved_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("kind", ["five-point", "spectral"])
def test_a_resonance_of_other_sides_is_refused(kind):
    """Of cosines along x and quarter waves along y, on 5 x 2."""
    sides = Sides(NoFlux(), NoFlux(), Value(0.0), NoFlux())
    grid = Poisson(domain=BOX).grid(9, 16)
    waves = (math.pi * 3 / 5, grid.hx), (math.pi * 1.5 / 2, grid.hy)
    k2 = sum(w**2 if kind == "spectral" else (2 / h * math.sin(w * h / 2)) ** 2 for w, h in waves)
    a = torch.ones(1, 1, 9, 16, dtype=torch.float64)
    pde = Helmholtz(k=math.sqrt(k2), domain=BOX, boundary=sides, discretisation=kind)
    with pytest.raises(InputError, match=r"resonance .* on 9 x 16 nodes; change k"):
        pde.solve(a)
    assert replace(pde, k=1.01 * pde.k).solve(a).isfinite().all()


def test_the_doubt_about_waves_is_that_of_the_relative_problem():
    pde = Helmholtz(k=20.0)
    metres = replace(pde, k=0.02, domain=Domain((0.0, 1000.0, 0.0, 1000.0), "m"))
    texts = (problem.doubt(problem.grid(33)).partition("error")[2] for problem in (pde, metres))
    assert len(set(texts)) == 1
    inhomogeneous = replace(pde, boundary=MIXED)
    assert "spectral" in pde.doubt(pde.grid(33))
    assert "use a finer grid" in inhomogeneous.doubt(inhomogeneous.grid(33))
