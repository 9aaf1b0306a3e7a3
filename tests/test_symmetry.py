"""Symmetries: the group axioms, and the action on fields, points and channels."""

import math

import pytest
import torch
from helpers import seeded

from pdeinv import Grid, InputError, Symmetry
from pdeinv.fields import Field
from pdeinv.symmetry import (
    Group,
    act,
    diagonal_forcing_group,
    rectangle_group,
    square_group,
    torus_group,
    trivial_group,
)

GROUPS = {
    "square": (square_group, "vertex", 8),
    "rectangle": (rectangle_group, "vertex", 4),
    "torus": (torus_group, "periodic", 8),
    "diagonal": (diagonal_forcing_group, "periodic", 4),
    "trivial": (trivial_group, "vertex", 1),
}
"""What makes a group, the kind of its grids, and the size of its finite part."""


@pytest.fixture(params=GROUPS)
def name(request):
    return request.param


@pytest.fixture
def group(name):
    return GROUPS[name][0]()


@pytest.fixture
def kind(name):
    return GROUPS[name][1]


def elements(group, seed=0, count=8):
    """The finite part, and a few elements with random translations."""
    generator = seeded(seed)
    return [*group, *(group.sample(generator) for _ in range(count))]


def smooth(points, kind):
    """A function without any symmetry: periodic and resolved by eight nodes a side, or not periodic
    at all."""
    x, y = points[..., 0], points[..., 1]
    if kind == "vertex":
        return torch.exp(x - 0.3 * y) * torch.sin(2 * x + y**2) + x * y**3
    tau = 2 * math.pi
    return (
        torch.sin(tau * x + 0.4)
        + 0.7 * torch.cos(tau * (2 * x - y))
        + 0.5 * torch.sin(tau * (3 * y + x))
        + 0.2
    )


def sampled(grid, function=smooth):
    return function(grid.points(), grid.kind).reshape(1, 1, *grid.shape)


def map_points(g, points):
    """Images M x + s of points (..., 2), not reduced modulo 1."""
    return points @ points.new_tensor(g.matrix).T + points.new_tensor(g.shift)


def same(g, h, group):
    """Equal up to the translations that the group contains and, on the torus, whole periods."""
    dx, dy = g.shift[0] - h.shift[0], g.shift[1] - h.shift[1]
    if not group.translations:
        gap = max(abs(dx), abs(dy))
    elif len(group.translations) == 1:
        ((px, py),) = group.translations
        across = px * dy - py * dx
        gap = abs(across - round(across))
    else:  # translations in two directions reach every shift
        gap = 0.0
    return g.matrix == h.matrix and g.kinds == h.kinds and gap < 1e-12


def test_group_axioms(group, name):
    assert len(group) == GROUPS[name][2]
    first = next(iter(group))
    assert first == Symmetry(kinds=first.kinds), "the identity comes first"
    members = elements(group)

    def count(g):
        return sum(same(g, h, group) for h in group)

    for g in members:
        assert count(g) == 1, "a member is one element of the finite part, up to translations"
        assert count(g.inverse()) == 1
        assert same(g @ g.inverse(), first, group) and same(g.inverse() @ g, first, group)
        assert max(map(abs, (g @ g.inverse()).shift)) < 1e-12
        assert all(count(g @ h) == 1 for h in members)


def test_sampling_reaches_every_element_and_every_translation():
    group, generator = diagonal_forcing_group(), seeded()
    draws = [group.sample(generator) for _ in range(400)]
    for element in group:
        count = sum(g.matrix == element.matrix for g in draws)
        assert abs(count - 100) < 5 * math.sqrt(400 * 0.25 * 0.75)
    amounts = torch.tensor([g.shift[0] for g in draws if g.matrix == Symmetry().matrix])
    assert amounts.min() < 0.1 and amounts.max() > 0.9
    again = seeded()
    assert draws[:5] == [group.sample(again) for _ in range(5)]


@pytest.mark.parametrize("n", [8, 9])
def test_acts_as_the_function_of_the_preimage(group, kind, n):
    grid = Grid(n, kind=kind)
    field = sampled(grid)
    for g in elements(group):
        preimages = map_points(g.inverse(), grid.points())
        expected = (g.determinant if g.kinds == ("pseudo-scalar",) else 1) * smooth(
            preimages, kind
        ).reshape(field.shape)
        torch.testing.assert_close(g(field, grid), expected, atol=1e-12, rtol=0)


def test_a_quarter_turn_is_counterclockwise():
    """Written out, so that a wrong map and a wrong inverse cannot hide each other."""
    turn = next(g for g in square_group() if g.matrix == ((0, -1), (1, 0)))
    corner = torch.tensor([1.0, 0.0], dtype=torch.float64)  # lower right, on to the upper right
    assert map_points(turn, corner).tolist() == [1.0, 1.0]
    field = torch.zeros(1, 1, 4, 4)
    field[0, 0, 0, 3] = 1.0  # [y, x]
    assert turn(field, Grid(4)).nonzero().tolist() == [[0, 0, 3, 3]]


def test_a_translation_moves_along_the_right_axis():
    grid = Grid(8, kind="periodic")
    field = torch.zeros(1, 1, 8, 8)
    field[0, 0, 1, 2] = 1.0
    assert Symmetry(shift=(0.25, 0.625))(field, grid).nonzero().tolist() == [[0, 0, 6, 4]]
    assert Symmetry(shift=(1.25, -0.375))(field, grid).nonzero().tolist() == [[0, 0, 6, 4]]


@pytest.mark.parametrize("n", [8, 9])
def test_composition_and_inverse_act_one_after_the_other(group, kind, n):
    grid = Grid(n, kind=kind)
    field = sampled(grid)
    members = elements(group, count=4)
    for g in members:
        torch.testing.assert_close(g.inverse()(g(field, grid), grid), field, atol=1e-12, rtol=0)
        for h in members:
            torch.testing.assert_close(
                (g @ h)(field, grid), g(h(field, grid), grid), atol=1e-12, rtol=0
            )


def test_acts_on_every_instance_and_channel_alike(group, kind):
    grid = Grid(8, kind=kind)
    stack = torch.stack([k * sampled(grid)[0].roll(k, -1) for k in range(1, 7)]).reshape(3, 2, 8, 8)
    for g in elements(group, count=2):
        one_by_one = torch.cat([torch.cat([g(c[None, None], grid) for c in x], 1) for x in stack])
        torch.testing.assert_close(g(stack, grid), one_by_one, atol=1e-13, rtol=0)
        torch.testing.assert_close(g(stack.float(), grid).double(), one_by_one, atol=1e-5, rtol=0)
        assert g(stack.float(), grid).dtype == torch.float32


def test_the_action_is_orthogonal_and_differentiable(group, kind):
    grid = Grid(9, kind=kind)
    f, weights = sampled(grid).requires_grad_(), sampled(grid).flip(-1)
    for g in elements(group, count=2):
        (pulled_back,) = torch.autograd.grad((g(f, grid) * weights).sum(), f)
        torch.testing.assert_close(pulled_back, g.inverse()(weights, grid), atol=1e-12, rtol=0)


def test_kinds_belong_to_channels():
    grid = Grid(8)
    kinds = ("scalar", "pseudo-scalar", "vector-x", "vector-y")
    mirror = Symmetry(((-1, 0), (0, 1)), (1.0, 0.0), kinds)
    fields = torch.cat([i * sampled(grid) for i in range(1, 5)], dim=1)
    signs = fields.new_tensor([1, -1, -1, 1])[:, None, None]
    torch.testing.assert_close(mirror(fields, grid), signs * fields.flip(-1))
    quarter = Symmetry(((0, -1), (1, 0)), (1.0, 0.0), kinds)
    moved = Symmetry(((0, -1), (1, 0)), (1.0, 0.0))(fields, grid)
    turned = torch.stack([moved[:, 0], moved[:, 1], -moved[:, 3], moved[:, 2]], dim=1)
    torch.testing.assert_close(quarter(fields, grid), turned)
    torch.testing.assert_close(
        (quarter @ mirror)(fields, grid), quarter(mirror(fields, grid), grid)
    )
    with pytest.raises(InputError, match="3 channels"):
        mirror(torch.ones(1, 3, 8, 8), grid)


@pytest.mark.parametrize("shift", [(0.125, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_a_vertex_grid_refuses_what_leaves_the_square(shift):
    with pytest.raises(InputError, match="map the rectangle onto itself"):
        Symmetry(shift=shift)(torch.ones(1, 1, 9, 9), Grid(9))
    with pytest.raises(InputError, match="map the rectangle onto itself"):
        Symmetry(((0, -1), (1, 0)), (0.0, 0.0))(torch.ones(1, 1, 9, 9), Grid(9))


def test_an_element_on_a_grid_moves_whole_cells():
    group, grid = torus_group(), Grid(16, kind="periodic")
    field = torch.randn(1, 1, 16, 16, dtype=torch.float64, generator=seeded())
    for i in range(8):
        moved = group.element(i, seeded(i), grid)(field, grid)
        # The same values in other places: a phase in Fourier space would have blended them.
        assert torch.equal(moved.abs().flatten().sort().values, field.abs().flatten().sort().values)
    shifts = {group.element(0, seeded(i), grid).shift for i in range(20)}
    assert len(shifts) > 10


def test_elements_on_a_grid_move_it_along_their_directions():
    grid = Grid(8, 12, kind="periodic")
    along_x = Group((Symmetry(),), ((1, 0),))
    shifts = [along_x.element(0, seeded(i), grid).shift for i in range(60)]
    assert {12 * x for x, _ in shifts} == set(range(13)) and {y for _, y in shifts} == {0.0}
    along_y = Group((Symmetry(),), ((0, 1),))
    assert {8 * along_y.element(0, seeded(i), grid).shift[1] for i in range(60)} == set(range(9))
    both = Group((Symmetry(),), ((1, -1),))  # by fourths, which are whole cells along both sides
    shifts = {both.element(0, seeded(i), grid).shift for i in range(40)}
    assert shifts == {(i / 4, -i / 4) for i in range(5)}


def test_an_amount_is_of_double_precision():
    shift = Group((Symmetry(),), ((1, 0),)).sample(seeded(5)).shift
    assert shift[0] * 2**24 != round(shift[0] * 2**24)


def test_the_part_on_a_rectangle_keeps_the_axes():
    square, rectangle = Grid(8), Grid(8, 8, (0.0, 2.0, 0.0, 1.0))
    assert square_group().on_grid(square) == square_group()
    assert square_group().on_grid(rectangle) == rectangle_group()
    assert torus_group().on_grid(Grid(8, 4, kind="periodic")).translations == ((1, 0), (0, 1))
    assert diagonal_forcing_group().translations == ((1, -1),)


def test_the_diagonal_group_keeps_the_forcing():
    grid = Grid(16, kind="periodic")
    x, y = grid.points().unbind(-1)
    phase = 2 * math.pi * (x + y)
    forcing = (torch.sin(phase) + torch.cos(phase)).reshape(1, 1, 16, 16)
    for g in elements(diagonal_forcing_group()):
        torch.testing.assert_close(g(forcing, grid), forcing, atol=1e-12, rtol=0)


def test_the_finite_part_keeps_the_cell_of_the_torus():
    for group in (torus_group(), diagonal_forcing_group()):
        assert all(0 <= s < 1 for g in group for s in g.shift)
        assert all(g.kinds == ("pseudo-scalar",) for g in group)


def test_a_group_acts_on_a_stack_of_fields():
    scalars = [Field("a", "a"), Field("b", "b")]
    mixed = [Field("a", "a"), Field("b", "b", kind="pseudo-scalar")]
    vector = [Field("u", "u", kind="vector-x"), Field("v", "v", kind="vector-y")]
    for fields, kinds in (
        (scalars, ("scalar",)),
        (scalars[:1], ("scalar",)),
        ([mixed[1], mixed[1]], ("pseudo-scalar",)),
        (mixed, ("scalar", "pseudo-scalar")),
        (vector, ("vector-x", "vector-y")),
    ):
        acting = square_group().acting_on(fields)
        assert {g.kinds for g in acting} == {kinds}
        assert [g.matrix for g in acting] == [g.matrix for g in square_group()]


def test_each_member_of_a_batch_has_its_own_element():
    grid, group = Grid(8), list(square_group())
    fields = torch.cat([i * sampled(grid) for i in range(1, 5)])
    chosen = [group[1], group[4], group[1], group[0]]
    expected = torch.cat([g(field[None], grid) for g, field in zip(chosen, fields, strict=True)])
    assert torch.equal(act(chosen, fields, grid), expected)


def test_the_composition_has_the_kinds_of_the_one_that_has_any():
    plain, pseudo = Symmetry(), Symmetry(kinds=("pseudo-scalar",))
    assert (plain @ pseudo).kinds == (pseudo @ plain).kinds == ("pseudo-scalar",)
    assert (plain @ plain).kinds == ("scalar",)


def test_one_field_without_a_batch_is_a_stack(group, kind):
    grid = Grid(8, kind=kind)
    for g in elements(group):
        assert torch.equal(g(sampled(grid)[0], grid), g(sampled(grid), grid)[0])


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            lambda: Group(()),
            "elements of a group must hold the identity, got none; use trivial_group()",
        ),
        (
            lambda: Symmetry(((1, 1), (0, 1))),
            "matrix of a symmetry must be a signed permutation of (x, y), got ((1, 1), (0, 1)); "
            "use one such as ((0, 1), (1, 0))",
        ),
        (
            lambda: Symmetry(kinds=("vector-x",)),
            "kinds of a symmetry must be one for each channel, with vector-y behind vector-x, got "
            "('vector-x',); use ('scalar',)",
        ),
        (
            lambda: Symmetry(shift=(math.inf, 0.0)),
            "entry 0 of shift of a symmetry must be a finite number, got inf; give a number",
        ),
        (
            lambda: Group((3,)),
            "entry 0 of elements of a group must be a Symmetry, got 3; change it",
        ),
        (
            lambda: Symmetry()(torch.ones(8, 8), Grid(8)),
            "fields under a symmetry must be (..., channel, ny, nx), got (8, 8); add a channel "
            "dimension",
        ),
        (
            lambda: Symmetry(kinds=("scalar", "pseudo-scalar"))(torch.ones(2, 3, 8, 8), Grid(8)),
            "a symmetry of 2 kinds must act on as many channels, got 3 channels; give one kind or "
            "3",
        ),
        (
            lambda: act([Symmetry()], torch.ones(2, 1, 8, 8), Grid(8)),
            "elements must be one for each of the 2 fields, got 1; repeat or drop some",
        ),
    ],
)
def test_what_is_refused_is_named(refused, message):
    with pytest.raises(InputError) as error:
        refused()
    assert str(error.value) == message
