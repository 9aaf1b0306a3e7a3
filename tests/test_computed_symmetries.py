"""The symmetries of a PDE, computed from its data, against brute force over the finite group."""

import itertools
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import distance, normal, seeded

from pdeinv import GaussianField, Symmetry
from pdeinv.datasets import (
    PDE,
    Darcy,
    Distributed,
    Flux,
    Helmholtz,
    NavierStokes,
    NoFlux,
    Poisson,
    Problem,
    Sides,
    Value,
    Well,
    pde_by_name,
)
from pdeinv.datasets.symmetries import common_symmetries
from pdeinv.fields import Field
from pdeinv.grid import Domain, Grid
from pdeinv.symmetry import (
    Group,
    diagonal_forcing_group,
    rectangle_group,
    square_group,
    torus_group,
    trivial_group,
)

SQUARE, RECTANGLE = Domain((2.0, 5.0, -1.0, 2.0)), Domain((-1.0, 4.0, 1.0, 4.0), "m")
BOX, OBLONG = Domain(), Domain((0.0, 2.0, 0.0, 1.0))
CASES = range(30)
TAU = 2 * math.pi


@dataclass(frozen=True)
class Plate(PDE):
    """Data on a rectangle, without an equation."""

    source: Distributed = Distributed(0.0)  # noqa: RUF009 (frozen)
    boundary: Sides = Sides()  # noqa: RUF009 (frozen)
    wells: tuple[Well, ...] = ()

    name = equation = "plate"
    coefficient_field, solution_field = Field("a", "a"), Field("u", "u")
    operator_symmetries = square_group()

    def solve(self, a):
        raise NotImplementedError

    residual = solve


@dataclass(frozen=True)
class Torus(Plate):
    """Data on a torus."""

    forcing: Distributed | None = None

    name = equation = "torus"
    coefficient_field = Field("a", "a", kind="pseudo-scalar")
    solution_field = Field("u", "u", kind="pseudo-scalar")
    grid_kind = "periodic"
    operator_symmetries = torus_group()


def group_of(domain):
    return square_group() if domain.square else rectangle_group()


def subgroup(domain, generator, cells=None):
    """A random subgroup of one or two generators; on a torus with shifts by nodes."""
    finite = list(group_of(domain))

    def draw():
        g = finite[int(torch.randint(len(finite), (1,), generator=generator))]
        if cells is None:
            return g
        j, i = (int(torch.randint(n, (1,), generator=generator)) for n in cells)
        return Symmetry(g.matrix, (i / cells[1], j / cells[0]))

    def key(g):
        n = (1, 1) if cells is None else cells[::-1]
        whole = (round(s * m) for s, m in zip(g.shift, n, strict=True))
        turns = 2 if cells is None else 1  # on a rectangle a shift of 1 is one
        shift = tuple(w % (m * turns) / m for w, m in zip(whole, n, strict=True))
        return Symmetry(g.matrix, shift)

    count = int(torch.randint(3, (1,), generator=generator))
    generators = [draw() for _ in range(count)]
    found = {Symmetry()}
    while True:
        more = {key(g @ h) for g in generators for h in found} - found
        if not more:
            return list(found)
        found |= more


def shares(domain, points):
    return domain.relative(torch.as_tensor(points, dtype=torch.float64))


def symmetrised(function, elements, domain, sign=lambda g: 1):
    """The mean of a function of shares over a group, as a function f(x, y) of positions."""

    def mean(x, y):
        s = shares(domain, np.stack([np.asarray(x), np.asarray(y)], axis=-1)).numpy()
        total = 0.0
        for g in elements:
            image = s @ np.array(g.matrix).T + np.array(g.shift)
            total = total + sign(g) * function(image[:, 0], image[:, 1])
        return total / len(elements)

    return mean


# Rectangles: sets of positions with data on them, mapped one by one


def wave(generator):
    p = torch.randn(6, generator=generator).tolist()
    return lambda x, y: np.cos(p[0] + 3 * p[1] * x + 2 * p[2] * y) + p[3] * x * y**2 + p[4] * x


def sampled_along(function, name, domain, count):
    """An array along a side of a function of positions."""
    x0, x1, y0, y1 = domain.extent
    x, y = {
        "left": (x0, None),
        "right": (x1, None),
        "bottom": (None, y0),
        "top": (None, y1),
    }[name]
    x = np.linspace(x0, x1, count) if x is None else np.full(count, x)
    y = np.linspace(y0, y1, count) if y is None else np.full(count, y)
    return function(x, y)


def random_plate(domain, seed):
    """Data that a random subgroup keeps; now and then with one thing that it may not keep."""
    generator = seeded(seed)

    def integer(n):
        return int(torch.randint(n, (1,), generator=generator))

    elements = subgroup(domain, generator)
    value, flux, force = (symmetrised(wave(generator), elements, domain) for _ in range(3))
    names = ("left", "right", "bottom", "top")
    middles = {"left": (0, 0.5), "right": (1, 0.5), "bottom": (0.5, 0), "top": (0.5, 1)}
    drawn, conditions = {}, {}
    count = (2, 3, 5, 4)[integer(4)]
    for name in names:
        images = [tuple(np.array(g.matrix) @ middles[name] + g.shift) for g in elements]
        orbit = frozenset(n for n in names if tuple(map(float, middles[n])) in images)
        kind = drawn.setdefault(orbit, integer(6))
        conditions[name] = [
            NoFlux(),
            Value(2.0),
            Value(sampled_along(value, name, domain, count)),
            Value(value),
            Flux(sampled_along(flux, name, domain, count)),
            Flux(flux),
        ][kind]
    size = (3, 4, 5)[integer(3)]
    y, x = (np.linspace(s, t, size) for s, t in (domain.extent[2:], domain.extent[:2]))
    nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    source = [1.5, force, force(*nodes.T).reshape(size, size)][integer(3)]
    wells = []
    for _ in range(integer(3)):
        place = torch.rand(2, generator=generator, dtype=torch.float64).numpy()
        place = [place, np.array([0.5, 0.5]), np.array([0.25, 0.5])][integer(3)]
        rate = float(integer(3) - 1)
        for g in elements:
            image = torch.as_tensor(np.array(g.matrix) @ place + g.shift)
            wells.append(Well(*domain.absolute(image).tolist(), rate))
    if integer(8) == 0:
        conditions[names[integer(4)]] = Value([1.0, 1.5, 1.0] if integer(2) else [0.0, 1.0])
    if integer(8) == 0:
        wells += [Well(*domain.absolute(torch.tensor([0.75, 0.5])).tolist(), 1.0)]
    return Plate(source, Sides(**conditions), tuple(wells), domain=domain)


def rounded(*numbers):
    return tuple(round(float(v), 7) + 0.0 for v in numbers)


def placed_data(pde):
    """Everything that the PDE states, as tuples (x, y, normal x, normal y, kind, number)."""
    n = 13  # with all nodes of sides of 2, 3, 4 and 5 values and of matrices of as many
    domain, t, data = pde.domain, np.linspace(0, 1, n), Counter()
    corners = {"left": (0, None), "right": (1, None), "bottom": (None, 0), "top": (None, 1)}
    for name, (x, y) in corners.items():
        side = getattr(pde.boundary, name)
        places = np.stack([t if x is None else 0 * t + x, t if y is None else 0 * t + y], axis=1)
        points = domain.absolute(torch.from_numpy(places)).numpy()
        normal = (0.0 if x is None else 2.0 * x - 1, 0.0 if y is None else 2.0 * y - 1)
        for place, number in zip(places, side.at(points, domain, name), strict=True):
            data[(rounded(*place), normal, side.fixes_value, rounded(number))] += 1
    places = np.stack(np.meshgrid(t, t), axis=-1).reshape(-1, 2)
    points = domain.absolute(torch.from_numpy(places)).numpy()
    for place, number in zip(places, pde.source.at(points, domain), strict=True):
        data[(rounded(*place), (0.0, 0.0), "source", rounded(number))] += 1
    rates = Counter()
    for well in pde.wells:
        rates[rounded(*shares(domain, [well.x, well.y]))] += well.rate
    for place, rate in rates.items():
        if rate:
            data[place, (0.0, 0.0), "well", rate] += 1
    return data


def moved(data, g):
    matrix, shift = np.array(g.matrix), np.array(g.shift)
    return Counter(
        {
            (rounded(*(matrix @ place + shift)), tuple(matrix @ normal + 0.0), *rest): count
            for (place, normal, *rest), count in data.items()
        }
    )


@pytest.mark.parametrize("domain", [SQUARE, RECTANGLE], ids=["square", "rectangle"])
def test_rectangles_have_the_symmetries_of_brute_force(domain):
    sizes = Counter()
    for seed in CASES:
        pde = random_plate(domain, seed)
        data = placed_data(pde)
        expected = [g for g in group_of(domain) if moved(data, g) == data]
        assert list(pde.symmetries) == expected, f"seed {seed}"
        sizes[len(expected)] += 1
    assert len(sizes) >= 3 and sizes[1] < 0.7 * len(CASES)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 8),
        ({"source": 3.0}, 8),
        ({"source": np.ones((3, 5))}, 8),  # constant, on a lattice that is not square
        ({"source": np.add.outer(np.arange(3.0), np.arange(3.0))}, 2),  # a diagonal
        # One bilinear function that two lattices of 3 x 5 and 5 x 3 values hold
        ({"source": np.multiply.outer([0.0, 1.0, 2.0], [0.0, 0.5, 1.0, 1.5, 2.0])}, 2),
        ({"source": lambda x, y: np.hypot(x - 0.5, y - 0.5)}, 8),
        ({"source": lambda x, y: x}, 2),
        ({"source": lambda x, y: np.sin(64 * np.pi * x) ** 2 * x}, 2),  # 0 on a lattice of 1/64
        ({"boundary": Sides(left=Value(1), right=Value(1))}, 4),
        ({"boundary": Sides(left=Value(1), right=NoFlux())}, 2),
        ({"boundary": Sides(left=NoFlux(), right=Flux(0.0))}, 4),
        ({"boundary": Sides(*[NoFlux()] * 3)}, 2),
        ({"boundary": Sides(*[Value([0, 1, 0])] * 4)}, 8),
        ({"boundary": Sides(*[Value([0, 1])] * 4)}, 2),  # two corners of four
        ({"boundary": Sides(Value([0, 1]), Value([1, 0]), Value([0, 1]), Value([1, 0]))}, 4),
        ({"boundary": Sides(Value([2, 2, 2]), Value(2), Value(2), Value(lambda x, y: 2))}, 8),
        ({"boundary": Sides(Value([0, 1, 2]), Value([0, 2]), NoFlux(), NoFlux())}, 2),
        ({"wells": (Well(0.5, 0.5, 1),)}, 8),
        ({"wells": (Well(0.25, 0.25, 1),)}, 2),
        ({"wells": (Well(0.25, 0.5, 1), Well(0.75, 0.5, 1))}, 4),
        ({"wells": (Well(0.25, 0.5, 1), Well(0.75, 0.5, -1))}, 2),
        ({"wells": (Well(0.25, 0.5, 1), Well(0.25, 0.5, 2), Well(0.75, 0.5, 3))}, 4),
        ({"wells": (Well(0.1, 0.7, 0.0),)}, 8),
        ({"wells": (Well(0.1, 0.7, 1.0), Well(0.1, 0.7, -1.0))}, 8),
        ({"domain": Domain((0, 5, 0, 3))}, 4),
    ],
)
def test_single_things_reduce_the_group(changes, size):
    assert len(Plate(**changes).symmetries) == size


@pytest.mark.parametrize("domain", [SQUARE, RECTANGLE], ids=["square", "rectangle"])
@pytest.mark.parametrize("kind", [Poisson, Helmholtz, Darcy])
def test_solutions_of_elliptic_equations_have_these_symmetries_and_no_others(kind, domain):
    count = 0
    for seed in CASES:
        data = random_plate(domain, seed)
        given = {"source": data.source, "boundary": data.boundary, "domain": domain}
        if kind is Darcy:
            given |= {"wells": data.wells, "tolerance": 1e-13}
        if not any(side.fixes_value for _, side in data.boundary.items()):
            continue
        pde = kind(**given)
        grid = pde.grid(13, 13)
        a = Problem(pde).sample_coefficient(1, grid, seeded(seed))
        u = pde.solve(a)
        for g in group_of(domain):
            difference = distance(pde.solve(g(a, grid)), g(u, grid))
            assert difference < 1e-8 if g in pde.symmetries.elements else difference > 1e-6
        count += len(pde.symmetries) > 1
    assert count > 5


# Tori: every linear part with every shift by nodes, on the nodes' values


def every_element(domain, cells):
    for g in group_of(domain):
        for j, i in itertools.product(*map(range, cells)):
            yield Symmetry(g.matrix, (i / cells[1], j / cells[0]), ("pseudo-scalar",))


def has(group, g):
    """Whether a group has an element, up to its translations and whole periods."""

    def whole(v):
        return abs(v - round(v)) < 1e-9

    for h in group:
        x, y = (s - t for s, t in zip(g.shift, h.shift, strict=True))
        apart = [x, y]
        if len(group.translations) == 1:
            ((dx, dy),) = group.translations
            apart = [dx * y - dy * x]
        elif group.translations:
            apart = []
        if h.matrix == g.matrix and all(map(whole, apart)):
            return True
    return False


def nodal(forcing, domain, cells):
    grid = Grid(*cells, domain.extent, kind="periodic")
    values = Distributed.of(forcing).at(grid.points(), domain, periodic=True)
    return torch.from_numpy(values).reshape(1, 1, *cells), grid


def check_against_brute_force(forcing, domain, cells):
    """Compare on the nodes; return the number of elements."""
    group = Torus(forcing=forcing, domain=domain).symmetries
    field, grid = nodal(forcing, domain, cells)
    count = 0
    for g in every_element(domain, cells):
        keeps = distance(g(field, grid), field) < 1e-9
        assert has(group, g) == keeps, g
        count += keeps
    assert group.elements[0] == Symmetry(kinds=("pseudo-scalar",))
    assert len({(g.matrix, g.shift) for g in group}) == len(group), "no element twice"
    return count


LATTICES = [(BOX, (8, 8)), (OBLONG, (8, 4)), (OBLONG, (4, 8)), (OBLONG, (6, 6))]
each_lattice = pytest.mark.parametrize(
    ("domain", "cells"), LATTICES, ids=["square", "8 x 4", "4 x 8", "6 x 6"]
)


def pseudo_mean(field, elements, domain):
    """The mean of a pseudo-scalar field over a group."""
    grid = Grid(*field.shape[-2:], domain.extent, kind="periodic")
    pseudo = [Symmetry(g.matrix, g.shift, ("pseudo-scalar",)) for g in elements]
    return torch.stack([g(field, grid) for g in pseudo]).mean(dim=0)


@each_lattice
def test_tori_with_arrays_have_the_symmetries_of_brute_force(domain, cells):
    sizes = Counter()
    for seed in CASES[:: 2 if domain is BOX else 1]:
        generator = seeded(seed)
        elements = subgroup(domain, generator, cells)
        field = torch.randn(1, 1, *cells, dtype=torch.float64, generator=generator)
        forcing = pseudo_mean(field, elements, domain)
        if float(forcing.abs().max()) < 1e-9:  # of a reflection without a shift, and the like
            continue
        count = check_against_brute_force(forcing[0, 0].numpy(), domain, cells)
        assert count >= len(elements)
        sizes[count] += 1
    assert len(sizes) >= 5


@each_lattice
def test_tori_with_functions_have_the_symmetries_of_brute_force(domain, cells):
    def plane_waves(generator):
        k = torch.randint(-1, 2, (4, 2), generator=generator).numpy()
        p = torch.rand(4, 2, generator=generator, dtype=torch.float64).numpy()
        return lambda x, y: sum(
            p[i, 0] * np.sin(TAU * (k[i, 0] * x + k[i, 1] * y + p[i, 1])) for i in range(4)
        )

    for seed in CASES[:12]:
        generator = seeded(seed)
        elements = subgroup(domain, generator, cells)
        forcing = symmetrised(plane_waves(generator), elements, domain, lambda g: g.determinant)
        field, _ = nodal(forcing, domain, cells)
        if float(field.abs().max()) > 1e-9:
            check_against_brute_force(forcing, domain, cells)


@pytest.mark.parametrize(("domain", "cells"), [(BOX, (6, 6)), (OBLONG, (4, 8))])
def test_flows_have_these_symmetries_and_no_others(domain, cells):
    """States with velocities, whose sign and direction the elements turn."""
    for seed in CASES[:4]:
        generator = seeded(seed)
        field = torch.randn(1, 1, *cells, dtype=torch.float64, generator=generator)
        forcing = pseudo_mean(field - field.mean(), subgroup(domain, generator, cells), domain)
        if float(forcing.abs().max()) < 1e-9:
            continue
        pde = NavierStokes(
            forcing=10 * forcing[0, 0].numpy(), domain=domain, time=0.2, dt=0.05
        ).reading(["velocity_x"])
        grid = pde.grid(*cells)
        a = Problem(pde).sample_coefficient(1, grid, generator)
        u = pde.respond(a)
        for g in every_element(domain, cells):
            moved = pde.respond(g(a, grid))
            difference = distance(moved, g.acting_on(pde.fields[1:])(u, grid))
            assert difference < 1e-8 if has(pde.symmetries, g) else difference > 1e-6


@pytest.mark.parametrize(
    "forcing",
    [
        0.3,
        lambda x, y: np.sin(3 * TAU * y),
        lambda x, y: np.sin(TAU * x) * np.sin(2 * TAU * y),
        lambda x, y: np.cos(TAU * (x + 2 * y)),
    ],
)
def test_flows_have_the_translations_of_a_forcing(forcing):
    pde = NavierStokes(forcing=forcing).reading(["velocity_x"])
    grid = pde.grid(12)
    a = Problem(pde).sample_coefficient(1, grid, seeded())
    u = pde.respond(a)
    group = pde.symmetries
    for g in [*group, *(group.sample(seeded(i)) for i in range(4))]:
        moved = pde.respond(g.acting_on(pde.fields[:1])(a, grid))
        assert distance(moved, g.acting_on(pde.fields[1:])(u, grid)) < 1e-8


def diagonal(x, y):
    return np.sin(TAU * (x + y)) + np.cos(TAU * (x + y))


def test_the_groups_of_the_published_problems():
    """Literally: other shifts along the translations would move recorded results."""
    assert Torus(forcing=diagonal).symmetries == diagonal_forcing_group()
    assert pde_by_name("navier-stokes").symmetries == diagonal_forcing_group()
    assert NavierStokes().symmetries == torus_group()
    assert Torus().symmetries == Torus(forcing=0.0).symmetries == torus_group()
    assert Plate().symmetries == square_group()
    assert Plate(domain=RECTANGLE).symmetries == rectangle_group()


@pytest.mark.parametrize(
    ("forcing", "translations", "size"),
    [
        (lambda x, y: np.sin(TAU * y), ((1, 0),), 4),
        (lambda x, y: np.sin(4 * TAU * y), ((1, 0),), 16),  # periods of a quarter
        (lambda x, y: np.sin(TAU * (x + 2 * y)), ((2, -1),), 2),
        (lambda x, y: np.sin(TAU * x) * np.sin(TAU * y), (), 16),
        (lambda x, y: np.sin(2 * TAU * x) * np.sin(2 * TAU * y), (), 64),
        (lambda x, y: np.sin(TAU * x) + np.cos(TAU * (2 * x + y)), (), 2),
        (lambda x, y: np.exp(np.sin(TAU * x)) + np.cos(3 * TAU * (x + y)), (), 6),
        (lambda x, y: np.sin(192 * TAU * x) + np.sin(TAU * y), (), 384),  # 0 on the lattice
        (lambda x, y: 1.0, ((1, 0), (0, 1)), 4),  # constant: reflections change its sign
        (0.5, ((1, 0), (0, 1)), 4),
        (np.sin(TAU * np.arange(8) / 8)[None, :] * np.ones((4, 1)), ((0, 1),), 4),
    ],
)
def test_single_forcings_reduce_the_group(forcing, translations, size):
    group = Torus(forcing=forcing).symmetries
    assert group.translations == translations
    points = torch.rand(50, 2, generator=seeded(), dtype=torch.float64)
    if callable(forcing) and forcing(0.0, 0.0) != 1.0:
        for g in [*group, *(group.sample(seeded(i)) for i in range(5))]:
            images = points @ points.new_tensor(g.matrix).T + points.new_tensor(g.shift)
            np.testing.assert_allclose(
                forcing(*images.numpy().T), g.determinant * forcing(*points.numpy().T), atol=1e-9
            )
    assert len(group) == size


def test_a_huge_group_keeps_the_elements_without_a_shift():
    board = np.indices((64, 64)).sum(axis=0) % 2 - 0.5
    group = Torus(forcing=board).symmetries
    assert {g.shift for g in group} == {(0.0, 0.0)} and not group.translations
    assert len(group) == 4, "reflections change its sign"


# What else limits a group


@dataclass(frozen=True)
class Unknown(Plate):
    """Its operator may have no symmetry."""

    operator_symmetries = trivial_group()


def symmetries(pde, **numbers):
    """Those of the problem with a Gaussian prior of these numbers."""
    stated = {"mean": 0.0, "std": 1.0, "length": 0.3}
    return Problem(pde, GaussianField(**stated | numbers)).symmetries


def test_the_operator_limits_the_group():
    assert Unknown().symmetries == Unknown(domain=RECTANGLE).symmetries == trivial_group()


def test_the_prior_limits_the_group_of_a_problem():
    assert symmetries(Plate(), mean=2.0) == square_group()
    assert symmetries(Plate(), anisotropy=0.5) == rectangle_group()
    slanted = symmetries(Plate(), anisotropy=0.5, angle=45.0)
    assert {g.matrix for g in slanted} == {
        ((1, 0), (0, 1)),
        ((-1, 0), (0, -1)),
        ((0, 1), (1, 0)),
        ((0, -1), (-1, 0)),
    }
    assert symmetries(Plate(), anisotropy=0.5, angle=30.0) == Group(
        tuple(g for g in square_group() if abs(np.trace(g.matrix)) == 2), ()
    )


def test_the_prior_limits_the_group_of_a_torus():
    assert symmetries(Torus()) == torus_group()
    # Reflections change the sign of a pseudo-scalar, and so its mean
    assert {g.matrix for g in symmetries(Torus(), mean=2.0)} == {
        g.matrix for g in square_group() if g.determinant == 1
    }
    narrow = symmetries(Torus(), anisotropy=0.5)
    assert {g.matrix for g in narrow} == {g.matrix for g in rectangle_group()}
    assert narrow.translations == torus_group().translations


def test_wells_on_a_torus_end_the_translations():
    group = Torus(wells=(Well(0.0, 0.0, 1.0),)).symmetries
    assert not group.translations
    assert all(g.determinant == 1 for g in group) and len(group) == 4


def test_experiments_share_what_all_of_them_have():
    left = Plate(boundary=Sides(left=Value(1), right=Value(1)))
    well = Plate(wells=(Well(0.25, 0.5, 1.0),))
    shared = common_symmetries([left, well])
    assert set(shared) == set(left.symmetries) & set(well.symmetries) and len(shared) == 2
    one, two = Torus(forcing=lambda x, y: np.sin(TAU * x)), Torus(forcing=diagonal)
    assert not common_symmetries([one, two]).translations
    assert common_symmetries([two, two, Torus()]) == Group(
        tuple(Symmetry(g.matrix, g.shift) for g in diagonal_forcing_group()), ((1, -1),)
    )


def test_a_grid_that_is_not_square_keeps_the_axes():
    grid = Plate().grid(9, 12)
    field = normal(1, 1, 9, 12)
    assert Plate().symmetries.on_grid(grid) == rectangle_group()
    assert Plate().symmetries.on_grid(Plate().grid(9)) == square_group()
    assert all(g(field, grid).shape == field.shape for g in rectangle_group())


def test_the_group_acts_on_the_fields_of_the_state():
    assert {g.kinds for g in Torus().symmetries} == {("pseudo-scalar",)}
    assert {g.kinds for g in Plate().symmetries} == {("scalar",)}


@pytest.mark.parametrize("kind", ["vertex", "periodic"])
@pytest.mark.parametrize("shape", [(9, 9), (8, 12)])
def test_a_vector_field_is_turned(kind, shape):
    """(g v)(x) = M v(g⁻¹ x) for an analytic v, in front of a scalar."""
    domain = BOX if shape[0] == shape[1] else OBLONG
    grid = Grid(*shape, domain.extent, kind=kind)

    def fields(points):
        x, y = points.unbind(-1)
        if kind == "periodic":
            x, y = torch.sin(TAU * x), torch.cos(TAU * y) + torch.sin(TAU * y)
        return torch.stack([x + 0.3 * y**2, x * y - 0.2, 1 + x])

    places = domain.relative(grid.points())
    state = fields(places).reshape(1, 3, *shape)
    for g in group_of(domain):
        shift = g.shift if kind == "vertex" else (1 / shape[1], 2 / shape[0])
        g = Symmetry(g.matrix, shift, ("vector-x", "vector-y", "scalar"))
        matrix = places.new_tensor(g.matrix)
        v = fields((places - places.new_tensor(shift)) @ matrix)  # rows times M: Mᵀ (x - s)
        expected = torch.cat([matrix @ v[:2], v[2:]]).reshape(state.shape)
        torch.testing.assert_close(g(state, grid), expected, atol=1e-12, rtol=0)
