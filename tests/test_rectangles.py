"""Fields that are not those of their grid are refused, not moved wrongly."""

from contextlib import nullcontext

import pytest
import torch
from helpers import normal

from pdeinv import Grid, InputError, Symmetry
from pdeinv.metrics import error_rate, relative_l2
from pdeinv.symmetry import Group, act, square_group, torus_group

RECTANGLE = normal(1, 1, 8, 16)


@pytest.mark.parametrize("grid", [Grid(8), Grid(16, kind="periodic"), Grid(16, 8)], ids=str)
@pytest.mark.parametrize("element", [*square_group(), *torus_group()], ids=str)
def test_no_element_acts_on_a_field_of_another_grid(element, grid):
    with pytest.raises(InputError, match=r"must have the shape .*, got \(1, 1, 8, 16\)"):
        element(RECTANGLE, grid)


@pytest.mark.parametrize("element", list(square_group()), ids=str)
def test_an_element_that_swaps_the_axes_needs_a_square(element):
    for grid in (Grid(8, 16), Grid(8, 16, (0.0, 2.0, 0.0, 1.0))):
        if element.matrix[0][0]:
            assert element(RECTANGLE, grid).shape == RECTANGLE.shape
            continue
        with pytest.raises(InputError, match="quarter turn or a diagonal reflection must be sq"):
            element(RECTANGLE, grid)
    with pytest.raises(InputError) if not element.matrix[0][0] else nullcontext():
        element(normal(1, 1, 8, 8), Grid(8, 8, (0.0, 2.0, 0.0, 1.0)))


def test_a_shift_moves_a_field_by_cells_of_its_own_grid():
    shift = Symmetry(shift=(0.25, 0.0))
    field = normal(1, 1, 16, 16)
    assert torch.equal(shift(field, Grid(16, kind="periodic")), field.roll(4, -1))
    with pytest.raises(InputError, match="32 x 32 nodes"):  # it would move by 8 cells
        shift(field, Grid(32, kind="periodic"))
    with pytest.raises(InputError, match="channel dimension"):
        shift(field[0, 0], Grid(16, kind="periodic"))


def test_a_batch_has_one_element_for_each_member():
    with pytest.raises(InputError, match="one for each of the 2 fields, got 1"):
        act([Symmetry()], normal(2, 1, 8, 8), Grid(8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matrix": ((1, 1), (0, 1))}, "signed permutation"),
        ({"matrix": ((1, 0),)}, "tuple of 2 entries"),
        ({"matrix": None}, "tuple of 2 entries"),
        ({"shift": (float("nan"), 0.0)}, "entry 0 of shift of a symmetry must be a finite number"),
        ({"shift": 0.5}, "shift of a symmetry must be a tuple of 2 entries, got 0.5"),
        ({"kinds": ()}, "kinds"),
        ({"kinds": ("vector-x",)}, "with vector-y behind vector-x"),
        ({"kinds": ("vector-y", "vector-x")}, "with vector-y behind vector-x"),
        ({"kinds": ("tensor",)}, "entry 0 of kinds of a symmetry must be"),
    ],
)
def test_a_symmetry_is_a_signed_permutation_and_a_shift(settings, message):
    with pytest.raises(InputError, match=message):
        Symmetry(**settings)


def test_a_group_holds_symmetries():
    with pytest.raises(InputError, match="identity"):
        Group(())
    with pytest.raises(InputError, match="must be a Symmetry, got 3"):
        Group((3,))


def test_scores_do_not_broadcast_channels():
    one, many = normal(2, 1, 8, 8), normal(2, 2, 8, 8)
    for score in (relative_l2, lambda x, y: error_rate(x, y, 0.0)):
        with pytest.raises(InputError, match=r"channels .* \(2, 2, 8, 8\), got \(2, 1, 8, 8\)"):
            score(one, many)
