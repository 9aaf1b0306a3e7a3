"""Quantities over positions, conditions on sides, and wells: values, equality, checks, JSON."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, field

import numpy as np
import pytest
import torch
from helpers import seeded

from pdeinv import InputError
from pdeinv.annotations import check_fields
from pdeinv.datasets import Distributed, Flux, NoFlux, Sides, Value, Well
from pdeinv.datasets.distributed import Along
from pdeinv.datasets.parameters import from_json, to_json
from pdeinv.datasets.wells import check_wells
from pdeinv.fields import Field
from pdeinv.grid import Domain

BOX = Domain((1.0, 3.0, -1.0, 2.0))


def hills(x, y):
    return x * y + x


def places(shape, periodic=False):
    """The nodes of an array over the box, (m, 2), and the array's values there."""
    (y, x) = (
        np.linspace(low, high, n, endpoint=not periodic)
        for low, high, n in zip((-1.0, 1.0), (2.0, 3.0), shape, strict=True)
    )
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


VALUES = [
    Distributed(2.5),
    Distributed([[1, 2], [3, 4], [5, 6]]),
    Distributed(hills),
    Along([1.0, 2.0, 4.0]),
    Value(52),
    Value([1, 2, 3]),
    Value(hills),
    Flux(-0.5),
    Flux(np.arange(4.0)),
    NoFlux(),
    Sides(),
    Sides(left=Value(52), right=Flux([1, 2]), bottom=NoFlux()),
    Well(2.0, 0.5, -3.0),
]
each_value = pytest.mark.parametrize("value", VALUES, ids=repr)


@each_value
def test_values_are_equal_and_hashed_by_content(value):
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other == value and hash(other) == hash(value)
    assert sum(value == other for other in VALUES) == 1
    assert len(repr(value)) < 400 and "\n" not in repr(value)


@each_value
def test_values_are_frozen(value):
    name = next(iter(vars(value)), "new")
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, 1.0)


def test_arrays_are_copied_and_cannot_be_written():
    given = np.ones((2, 2))
    held = Distributed(given)
    before = hash(held)
    given[:] = 7
    assert held == Distributed(np.ones((2, 2))) and hash(held) == before
    again = pickle.loads(pickle.dumps(held))
    for array in (held.value, again.value):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 3
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    assert hash(Distributed(0.0 * given)) == hash(Distributed(-0.0 * given))


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor, list, np.ma.masked_array])
def test_arrays_of_every_kind_are_taken(convert):
    assert Along(convert([1.0, 2.0])) == Along([1, 2])
    assert Distributed(convert([[1.0, 2.0], [3.0, 4.0]])) == Distributed([[1, 2], [3, 4]])


@pytest.mark.parametrize("periodic", [False, True])
def test_an_array_is_exact_on_its_nodes_and_linear_in_between(periodic):
    array = torch.randn(4, 6, generator=seeded(), dtype=torch.float64).numpy()
    held, points = Distributed(array), places(array.shape, periodic)
    assert np.array_equal(held.at(points, BOX, periodic=periodic), array.ravel())
    between = points.reshape(4, 6, 2)
    between = (between[:-1, :-1] + between[1:, 1:]).reshape(-1, 2) / 2
    mean = (array[:-1, :-1] + array[:-1, 1:] + array[1:, :-1] + array[1:, 1:]) / 4
    found = held.at(between, BOX, periodic=periodic)
    np.testing.assert_allclose(found, mean.ravel(), atol=1e-14)


def test_a_torus_goes_round():
    array = np.arange(12.0).reshape(3, 4)
    held, points = Distributed(array), places(array.shape, periodic=True)
    for shift in ((2.0, 0.0), (0.0, -3.0), (-4.0, 6.0)):
        assert np.array_equal(held.at(points + shift, BOX, periodic=True), array.ravel())
    last = held.at([[2.75, -1.0]], BOX, periodic=True)
    assert last == pytest.approx((array[0, 3] + array[0, 0]) / 2)


@pytest.mark.parametrize(
    "function",
    [hills, lambda x, y: (x * y + x).tolist(), lambda x, y: torch.mul(x, y) + x],
    ids=["numpy", "list", "torch"],
)
def test_functions_take_positions(function):
    points = places((3, 5))
    for given in (points, torch.tensor(points)):
        found = Distributed(function).at(given, BOX)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, points[:, 0] * points[:, 1] + points[:, 0])
    assert np.array_equal(Distributed(lambda x, y: 3).at(points, BOX), np.full(15, 3.0))


def test_sides_run_upwards():
    along = [0.0, 1.0, 5.0]
    ends = np.array([[1.0, -1.0], [1.0, 0.5], [1.0, 1.25], [1.0, 2.0]])
    assert Value(along).at(ends, BOX, "left").tolist() == [0, 1, 3, 5]
    ends = np.array([[1.0, 2.0], [2.0, 2.0], [3.0, 2.0]])
    assert Flux(along).at(ends, BOX, "top").tolist() == along
    assert NoFlux().at(ends, BOX, "top").tolist() == [0, 0, 0]
    assert Value(hills).at(ends, BOX, "top").tolist() == [3, 6, 9]


def test_a_corner_belongs_to_the_value_side_and_two_of_them_share_it():
    sides = Sides(left=Value(2), bottom=Value([6, 7]), right=NoFlux(), top=Flux(1))
    points = [[1, -1], [3, -1], [1, 2], [3, 2], [1, 0], [3, 0], [2, -1], [2, 0], [2, 2]]
    nan = np.nan
    expected = [4, 7, 2, nan, 2, nan, 6.5, nan, nan]
    np.testing.assert_array_equal(sides.known_values(points, BOX), expected)


def test_zero_conditions_are_homogeneous():
    assert Sides().homogeneous and Sides(left=NoFlux(), right=Flux([0, 0])).homogeneous
    assert not Sides(left=Value([0, 1])).homogeneous and not Sides(top=Flux(1e-9)).homogeneous


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        (Value(52), "u = 52"),
        (Value([1, 2]), "u = values along the side"),
        (Value(hills), "u = hills(x, y)"),
        (Value(lambda x, y: x), "u = f(x, y)"),
        (Flux(-0.5), "inward flux = -0.5"),
        (NoFlux(), "no flux"),
        (Sides(), "u = 0 on the boundary"),
        (
            Sides(Value(52), Value(48), NoFlux(), NoFlux()),
            "u = 52 on the left, u = 48 on the right, no flux on the bottom and top",
        ),
    ],
)
def test_phrases(value, phrase):
    assert value.phrase() == phrase


# Parameters of a dataclass


@dataclass(frozen=True)
class Physics:
    size: float = 2.0
    kind: str = "a"
    switched: bool = False
    source: Distributed = Distributed(1.0)  # noqa: RUF009 (frozen)
    forcing: Distributed | None = None
    boundary: Sides = Sides()  # noqa: RUF009 (frozen)
    wells: tuple[Well, ...] = ()
    solution: Field = field(default_factory=lambda: Field("head", "head h", "m"))
    pair: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        check_fields(self, "parameter {} of physics")


CHANGES = [
    {},
    {"size": 3, "kind": "b", "switched": True, "pair": [1, 2]},
    {"source": 4},
    {"source": np.arange(6.0).reshape(2, 3), "forcing": torch.eye(4)},
    {"wells": [Well(1, 2, 3), Well(0.1, 0.2, -0.3)]},
    {"boundary": Sides(Value(1), Value([1, 2.5, 3]), Flux([1, 2]), NoFlux())},
    {"boundary": Sides(bottom=Flux(1e-3)), "solution": Field("level", "level", "km")},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_parameters_survive_json(changes):
    physics = Physics(**changes)
    stored = json.loads(json.dumps(to_json(physics)))
    again = Physics(**from_json(Physics, stored))
    assert again == physics and hash(again) == hash(physics)
    assert to_json(again) == stored


def test_json_is_as_files_state_it():
    stored = to_json(Physics(**CHANGES[4], **CHANGES[5]))
    assert stored["boundary"] == {
        "left": {"value": 1.0},
        "right": {"value": [1.0, 2.5, 3.0]},
        "bottom": {"flux": [1.0, 2.0]},
        "top": "no flux",
    }
    assert stored["wells"][0] == {"x": 1.0, "y": 2.0, "rate": 3.0}
    assert stored["source"] == 1.0 and stored["forcing"] is None


@pytest.mark.parametrize("changes", [{"source": hills}, {"boundary": Sides(top=Flux(hills))}])
def test_a_function_cannot_be_stored(changes):
    with pytest.raises(InputError, match="array of its values") as caught:
        to_json(Physics(**changes))
    assert next(iter(changes)) in str(caught.value)


@pytest.mark.parametrize(
    "stored",
    [
        {"colour": 1},
        {"size": [1.0]},
        {"size": {"x": 1}},
        {"source": "sin(x)"},
        {"source": {"value": 1}},
        {"source": [1.0, 2.0]},
        {"source": [[1.0, 2.0], [3.0]]},
        {"source": [[1.0, "a"], [3.0, 2.0]]},
        {"source": [[1.0, float("nan")], [3.0, 2.0]]},
        {"source": [[10**400, 1], [1, 1]]},
        {"source": [[[[[1.0]]]]]},
        {"boundary": "no flux"},
        {"boundary": {"north": "no flux"}},
        {"boundary": {"left": "flux"}},
        {"boundary": {"left": {"value": [[1, 2], [3, 4]]}}},
        {"boundary": {"left": {"value": 1, "flux": 2}}},
        {"boundary": {"left": {"value": None}}},
        {"boundary": {"left": 52}},
        {"wells": {"x": 1}},
        {"wells": [{"x": 1, "y": 2}]},
        {"wells": [{"x": 1, "y": 2, "rate": "3"}]},
        {"wells": [[1, 2, 3]]},
        {"solution": "head"},
        {"solution": {"units": "m"}},
        {"solution": {"name": "head", "long_name": "h", "colour": 1}},
        {"pair": [1.0]},
        {"pair": 3.0},
    ],
    ids=str,
)
def test_odd_parameters_in_files_are_refused_in_one_sentence(stored):
    with pytest.raises(InputError, match=r"^[^\n]{1,400}$"):
        Physics(**from_json(Physics, stored))


# Refusals


@pytest.mark.parametrize("kind", [Distributed, Along, Value, Flux])
@pytest.mark.parametrize(
    "value",
    [None, "52", True, 1j, float("nan"), np.inf, 1e40, [], [[]], [1.0], [1, np.nan], [1j, 2]]
    + [[True, False], np.zeros((2, 2, 2)), [[1, 2], [3]], [None, None], np.array(["a", "b"])]
    + [np.ma.masked_array([1.0, 2.0], [False, True])],
    ids=repr,
)
def test_odd_values_are_refused_in_one_sentence(kind, value):
    with pytest.raises(InputError, match=r"^[^\n]{1,300}$"):
        kind(value)


def test_an_array_of_the_other_dimension_is_refused():
    with pytest.raises(InputError, match="along the side"):
        Value(np.ones((3, 3)))
    with pytest.raises(InputError, match=r"\[y, x\]"):
        Physics(source=np.ones(3))


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda x, y: x[:2], "shape"),
        (lambda x, y: np.outer(x, y), "shape"),
        (lambda x, y: x * np.nan, "finite"),
        (lambda x, y: np.inf, "finite"),
        (lambda x, y: "no", "real number"),
        (lambda x, y: None, "real number"),
        (lambda x, y: 1j * x, "real number"),
        (lambda x: x, "two arrays"),
        (lambda x, y: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_odd_functions_are_refused_where_they_are_evaluated(function, problem):
    points = places((3, 4))
    for evaluate in (
        lambda: Distributed(function).at(points, BOX),
        lambda: Value(function).at(points, BOX, "left"),
    ):
        with pytest.raises(InputError, match=problem) as caught:
            evaluate()
        assert "\n" not in str(caught.value)


def test_a_function_cannot_change_the_positions():
    def moving(x, y):
        x += 1
        return x

    points = places((3, 4))
    before = points.copy()
    Distributed(moving).at(points, BOX)
    assert np.array_equal(points, before)


@pytest.mark.parametrize("side", [52, None, "value", {"value": 1, "flux": 1}, Sides(), np.ones(3)])
def test_a_side_must_be_a_condition(side):
    with pytest.raises(InputError, match=r"on the top must be .*Value"):
        Sides(top=side)


@pytest.mark.parametrize("well", [("a", 0, 1), (0, 0, np.nan), (0, 1e40, 1), (0, None, 1)])
def test_a_well_has_finite_numbers(well):
    with pytest.raises(InputError, match="of a well must be"):
        Well(*well)


def test_wells_are_within_the_domain():
    check_wells([Well(1, -1, 1), Well(3, 2, 1)], BOX)
    with pytest.raises(InputError, match=r"well 1 must be within .* got x = 3.1, y = 0"):
        check_wells([Well(2, 0, 1), Well(3.1, 0, 1)], BOX)
    with pytest.raises(InputError, match="at most 10000"):
        check_wells([Well(2, 0, 1)] * 10_001, BOX)
