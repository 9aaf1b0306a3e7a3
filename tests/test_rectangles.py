"""Fields that are not those of their grid, such as rectangles, are refused, not moved wrongly."""

import pytest
import torch
from helpers import normal

from pdeinv import Ensemble, Grid, InputError, Symmetry
from pdeinv.datasets import PDES
from pdeinv.metrics import error_rate, error_spectrum, relative_l2
from pdeinv.symmetry import Group, act, square_group, torus_group
from pdeinv.transforms import fourier_coefficients, fourier_resample

RECTANGLE = normal(1, 1, 8, 16)


@pytest.mark.parametrize("n", [8, 16])
@pytest.mark.parametrize("element", list(torus_group()), ids=str)
def test_no_element_of_the_torus_acts_on_a_rectangle(element, n):
    with pytest.raises(InputError, match=r"16\), got \(1, 1, 8, 16\).*|8\), got \(1, 1, 8, 16\)"):
        element(RECTANGLE, Grid(n, "periodic"))


@pytest.mark.parametrize("element", list(square_group()), ids=str)
def test_no_element_of_the_square_acts_on_a_rectangle(element):
    with pytest.raises(InputError, match="rectangles are not supported"):
        element(RECTANGLE, Grid(16))


def test_a_shift_moves_a_field_by_cells_of_its_own_grid():
    shift = Symmetry(shift=(0.25, 0.0))
    field = normal(1, 1, 16, 16)
    assert torch.equal(shift(field, Grid(16, "periodic")), field.roll(4, -1))
    with pytest.raises(InputError, match="32 x 32 nodes"):  # it would move by 8 cells
        shift(field, Grid(32, "periodic"))
    with pytest.raises(InputError, match="channel dimension"):
        shift(field[0, 0], Grid(16, "periodic"))


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
        ({"signs": ()}, "signs"),
        ({"signs": (2,)}, r"signs of a symmetry must be 1 or -1 for each channel, got \(2,\)"),
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


@pytest.mark.parametrize("name", PDES)
def test_no_pde_takes_a_rectangle(name):
    pde = PDES[name]()
    a = RECTANGLE.abs() + 1
    with pytest.raises(InputError, match="square"):
        pde.solve(a)
    with pytest.raises(InputError, match="square"):
        pde.residual(a, a)


def test_transforms_ensembles_and_scores_take_no_rectangle():
    for call in (
        lambda: fourier_coefficients(RECTANGLE),
        lambda: fourier_resample(RECTANGLE, 32),
        lambda: Ensemble(normal(3, 2, 8, 16)),
        lambda: error_spectrum(RECTANGLE[0, 0], RECTANGLE[0, 0]),
    ):
        with pytest.raises(InputError, match=r"square|n, n"):
            call()


def test_scores_do_not_broadcast_channels():
    one, many = normal(2, 1, 8, 8), normal(2, 2, 8, 8)
    for score in (relative_l2, lambda x, y: error_rate(x, y, 0.0)):
        with pytest.raises(InputError, match=r"channels .* \(2, 2, 8, 8\), got \(2, 1, 8, 8\)"):
            score(one, many)
