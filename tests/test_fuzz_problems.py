"""Problem files, areas and results with random faults: each is used, or refused in a sentence."""

import contextlib
import copy
import json
import re

import h5py
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nested import places
from tally import tally
from test_fuzz_datasets import coordinates, relink, replace_array, set_attribute, set_values
from time_limit import time_limit

from pdeinv import Grid, InputError, NumericalError, open_result, reconstruct
from pdeinv.files import save_netcdf
from pdeinv.problems import EXAMPLES, load_problem
from pdeinv.region import Region

SECONDS = 20
TEXTS = {name: example.text for name, example in EXAMPLES.items()}
ODD_WORDS = (
    *("nan", "inf", "-1", "0", "1e400", "-1e300", "1e-320", "9" * 400, "true", "1979-05-27"),
    *('""', '"a"', '"none"', '"../../etc/passwd"', '"\\u0000"', "[]", "[[]]", "[1, 2]", "{}"),
    *("[nan, nan]", "[1, 'a']", "{ value = 1 }", "{ value = { value = 1 } }", "[" * 2000, "'''"),
)
WORD = re.compile(r"[-+]?\d[\d.e+-]*|\"[^\"]*\"|true|false")
"""A value of a problem file."""


def replace_value(draw, text):
    found = list(WORD.finditer(text))
    if not found:
        return text
    at = draw(st.sampled_from(found))
    return text[: at.start()] + draw(st.sampled_from(ODD_WORDS)) + text[at.end() :]


def change_lines(draw, text):
    lines = text.splitlines(keepends=True)
    at = draw(st.integers(0, len(lines) - 1))
    other = draw(st.integers(0, len(lines) - 1))
    act = draw(st.sampled_from(("delete", "repeat", "swap", "cut")))
    if act == "delete":
        del lines[at]
    elif act == "repeat":
        lines.insert(other, lines[at])
    elif act == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    else:
        del lines[at:]
    return "".join(lines)


def rename_key(draw, text):
    keys = re.findall(r"(?m)^\s*([\w-]+) *=", text)
    if not keys:
        return text
    old = draw(st.sampled_from(keys))
    new = draw(st.sampled_from([*keys, "pde", "x", "boundary.left", '""', "a b", "__class__"]))
    return re.sub(rf"(?m)^(\s*){re.escape(old)}( *=)", rf"\g<1>{new}\2", text, count=1)


def insert_characters(draw, text):
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(max_size=4)) + text[at:]


CHANGES = (replace_value, replace_value, change_lines, rename_key, insert_characters)


@given(st.data())
def test_problem_files_with_faults_are_used_or_refused(tmp_path_factory, data):
    text = data.draw(st.sampled_from(list(TEXTS.values())))
    for change in data.draw(st.lists(st.sampled_from(CHANGES), max_size=3)):
        text = change(data.draw, text) or " "
    path = tmp_path_factory.getbasetemp() / "faulty.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with time_limit(SECONDS):
        try:
            problem = load_problem(path)
            grid = problem.physics.grid(9)
            states = problem.sample(2, grid)
        except (InputError, NumericalError) as error:
            sentence(error)
            tally("problem files", refused=True)
            return
    assert bool(states[..., grid.active_nodes].isfinite().all())
    tally("problem files", refused=False)


def sentence(error):
    text = str(error)
    assert "\n" not in text and len(text) < 2000 and "; " in text, text


AREA = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"name": "east"},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9], [0.1, 0.1]],
                    [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.4]],
                ],
            },
        },
        {
            "type": "Feature",
            "properties": None,
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[[[0, 0], [0.1, 0], [0.1, 0.2], [0, 0]]]],
            },
        },
    ],
}
ODD = st.one_of(
    st.sampled_from(
        [
            *(None, [], {}, "", "Polygon", "Point", "LineString", "GeometryCollection", "Feature"),
            *(float("nan"), float("inf"), 1e300, 10**400, -1, 0, True, [0.5, 0.5], [[0.5, 0.5]]),
            *([0.5, 0.5, 7.0], [1], ["a", "b"], [[[0.5, 0.5]] * 4], {"type": "Polygon"}),
        ]
    ),
    st.floats(),
    st.text(max_size=5),
)


def mutate(draw, value):
    """Return a value of JSON with another value, a key less or a repeated item at one place."""
    path = draw(st.sampled_from(list(places(value))))
    if not path:
        return copy.deepcopy(draw(ODD))
    *outer, last = path
    place = value
    for key in outer:
        place = place[key]
    act = draw(st.sampled_from(("set", "set", "delete", "repeat", "reverse")))
    if act == "set":
        place[last] = copy.deepcopy(draw(ODD))
    elif act == "delete":
        del place[last]
    elif act == "repeat" and isinstance(place, list):
        place.append(copy.deepcopy(place[last]))
    elif isinstance(place, list):
        place.reverse()
    return value


@given(st.data())
def test_areas_with_faults_are_used_or_refused(tmp_path_factory, data):
    value = copy.deepcopy(AREA)
    for _ in range(data.draw(st.integers(0, 3))):
        value = mutate(data.draw, value)
    path = tmp_path_factory.getbasetemp() / "area.geojson"
    path.write_text(insert_characters(data.draw, json.dumps(value)), errors="surrogatepass")
    with time_limit(SECONDS):
        try:
            grid = Grid(9, active=Region.of(path))
        except InputError as error:
            sentence(error)
            tally("areas in GeoJSON", refused=True)
            return
    assert grid.active_nodes.any() and 0 < grid.active.area < float("inf")
    tally("areas in GeoJSON", refused=False)


class Stored:
    """A result, and the content of its file."""

    def __init__(self, result, content):
        self.result, self.content = result, content


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    table = {"field": "potential", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [0.002, 0.001]}
    result = reconstruct(table, "poisson", noise=1e-4, grid=16)
    path = tmp_path_factory.mktemp("result") / "r.nc"
    save_netcdf(result, path)
    return Stored(result, path.read_bytes())


def mutate_attribute(draw, file, names):
    """Change an attribute of a result; which its values do not depend on."""
    name = draw(st.sampled_from(sorted(file.attrs)))
    if draw(st.booleans()):
        del file.attrs[name]
    else:
        file.attrs[name] = draw(st.sampled_from(["", "[", "{}", "nan", "../x", 3, -1.5]))


NAMES = ("source_mean", "source_std", "potential_mean", "potential_std", "sensor_value", "sensor_x")
MUTATIONS = (set_attribute, mutate_attribute, replace_array, set_values, relink, coordinates)


@given(data=st.data())
def test_results_with_faults_are_opened_right_or_refused(data, stored, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "faulty.nc"
    path.write_bytes(stored.content)
    # A mutation may meet what an earlier one left
    skipped = (KeyError, TypeError, ValueError, RuntimeError, AttributeError)
    changed = data.draw(st.lists(st.sampled_from(MUTATIONS), max_size=2))
    with h5py.File(path, "r+") as file:
        for mutation in changed:
            with contextlib.suppress(skipped):
                mutation(data.draw, file, NAMES)
    with time_limit(SECONDS):
        try:
            found = open_result(path)
            prior = found.as_prior()
        except (InputError, NumericalError) as error:
            sentence(error)
            tally("results", refused=True)
            return
    assert prior is not None
    if set(changed) <= {mutate_attribute}:
        assert torch.equal(
            torch.as_tensor(found.potential_mean.values),
            torch.as_tensor(stored.result.potential_mean.values),
        )
    tally("results", refused=False)
