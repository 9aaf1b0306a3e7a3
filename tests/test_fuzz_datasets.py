"""Files of datasets that are mutated at random: a finite dataset, or one sentence."""

import contextlib
import math

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from tally import tally
from time_limit import time_limit

from pdeinv import datasets
from pdeinv.datasets import Darcy, Flux, NoFlux, Poisson, Sides, Value, Well, hdf5, survey
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Domain
from pdeinv.priors import TrainingData

SECONDS = 60.0
FIELDS = ("source", "potential")
N = 16
AQUIFER = Darcy(
    domain=Domain((100.0, 105.0, -3.0, 0.0), "km"),
    boundary=Sides(Value([1.0, 2.0]), NoFlux(), Flux(1.0), NoFlux()),
    wells=(Well(101.0, -1.0, rate=-2.0),),
    outputs=("flux_x", "flux_y"),
)


class Files:
    """The contents of files, and the states in them, by the kind of the file."""

    def __init__(self, originals, truth):
        self.originals, self.truth = originals, truth

    @staticmethod
    def names(kind):
        """The variables of a file."""
        if kind == "aquifer":
            return tuple(field.name for field in AQUIFER.fields)
        return Poisson.matlab_names if kind == "7.3" else FIELDS


@pytest.fixture(scope="module")
def files(tmp_path_factory, poisson_file):
    """The same ten pairs in files of each kind, a rectangle in another, and their states."""
    folder = tmp_path_factory.mktemp("kinds")
    with datasets.open_dataset(poisson_file) as whole:
        dataset = whole.isel(sample=slice(10)).load()
    truth = datasets.states(dataset, Poisson())
    paths = {kind: folder / f"{kind}.h5" for kind in ("own", "netcdf", "named", "7.3")}
    dataset.to_netcdf(paths["own"], engine="h5netcdf")
    dataset.drop_attrs().to_netcdf(paths["netcdf"], engine="h5netcdf")
    with h5py.File(paths["named"], "w") as file:
        for name in FIELDS:
            file[name] = dataset[name].values
    matlab = {
        variable: dataset[name].values.transpose(0, 2, 1)
        for variable, name in zip(Poisson.matlab_names, FIELDS, strict=True)
    }
    with h5py.File(paths["7.3"], "w", userblock_size=512) as file:
        for name, array in matlab.items():
            file[name] = array.T
    for compressed in (False, True):
        paths[f"5 {compressed}"] = folder / f"five-{compressed}.mat"
        scipy.io.savemat(paths[f"5 {compressed}"], matlab, do_compression=compressed)
    paths["aquifer"] = datasets.generate(AQUIFER, 4, AQUIFER.grid(8, 12), 0, folder / "aquifer.h5")
    with datasets.open_dataset(paths["aquifer"]) as rectangle:
        truths = dict.fromkeys(paths, truth) | {"aquifer": datasets.states(rectangle, AQUIFER)}
    return Files({kind: path.read_bytes() for kind, path in paths.items()}, truths)


HEADER = (
    *("format", "format_version", "pde", "pde_parameters", "equation", "coefficient", "solution"),
    *("grid_kind", "grid_size", "ny", "nx", "extent", "unit", "outputs"),
    *("samples", "seed", "seed_range"),
)
OF_VARIABLES = ("units", "interpolation_order", "scale_factor", "_FillValue", "missing_value")
PACKING = {"scale_factor", "_FillValue", "missing_value"}
values_of_attributes = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            *(
                "source",
                "potential",
                "sample",
                "group",
                "/",
                "..",
                "darcy",
                "periodic",
                "{}",
                "[1]",
            ),
            *('{"tau": 1e400}', '{"tau": "3"}', '{"modes": ' + "9" * 500 + "}", '{"tau": NaN}'),
            *('{"domain": 3}', '{"domain": {"extent": [0, 5, 0, 3], "unit": "km"}}'),
            *('{"boundary": {"left": {"value": [1, 2]}}}', '{"boundary": {"left": "no"}}'),
            *('{"source": [[1, 2], [3, "a"]]}', '{"outputs": ["flux_x"]}', '["source"]', "[[]]"),
            *(np.array([0.0, 2.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]), np.full(4, math.nan)),
            *("[" * 10_000, '{"a":' * 10_000, b"poisson   ", b"\xff\xfe", np.bytes_("source\0\0")),
            *("\udcff", "{\udcff}", "/source\udcff"),
            *(h5py.Empty("f"), h5py.Empty("S1"), np.array(["poisson"], object), np.array([b"a"])),
            *(np.array([1]), np.array([1, 2, 3]), np.zeros((2, 2)), np.zeros(0), np.array([1j])),
            np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        ]
    ),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
)
DTYPES = (
    *("f2", ">f8", "i1", "u8", "c8", "S3", "?", "f16"),
    *(h5py.ref_dtype, h5py.string_dtype(), h5py.vlen_dtype("f4"), h5py.enum_dtype({"a": 1})),
    np.dtype([("r", "f4"), ("i", "f4")]),
    np.dtype([("a", "f4"), ("b", "i8"), ("c", "S2")]),
)
SHAPES = (
    *((), (0,), (10,), (10, N), (N, N), (10, N, N), (10, N, 2 * N), (0, N, N), (10, 3, 3)),
    *((N, N, N), (N, N, 10), (10, N, N, 2), (2**20, 2**10, 2**10), None),
)
NUMBERS = (math.nan, math.inf, -math.inf, 1e30, 1e20, 9.96921e36, 1e-320, 0.0, -9999.0)


def set_attribute(draw, file, names):
    place = draw(st.sampled_from([file, *(file[n] for n in names if n in file)]))
    name = draw(st.sampled_from(HEADER if place is file else OF_VARIABLES))
    place.attrs[name] = draw(values_of_attributes)
    return name in PACKING


def delete_attribute(draw, file, names):
    if len(file.attrs):
        del file.attrs[draw(st.sampled_from(sorted(file.attrs)))]


def replace_array(draw, file, names):
    name = draw(st.sampled_from(names))
    with contextlib.suppress(KeyError):
        del file[name]
    shape, dtype = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(("f4", *DTYPES)))
    if shape is None:
        file[name] = h5py.Empty("f4")
        return
    chunks = shape and all(shape) and draw(st.booleans())
    array = file.create_dataset(
        name, shape, dtype, chunks=tuple(min(n, 64) for n in shape) if chunks else None
    )
    if math.prod(shape) < 1e5 and np.dtype(dtype).kind in "fiu" and draw(st.booleans()):
        array[...] = np.random.default_rng(0).normal(size=shape).astype(array.dtype)


def set_values(draw, file, names):
    array = file[draw(st.sampled_from(names))]
    if array.dtype.kind == "f" and array.nbytes < 1e6:  # h5py may crash on others
        place = tuple(draw(st.integers(0, n - 1)) for n in array.shape)
        array[place] = draw(st.sampled_from(NUMBERS))


def relink(draw, file, names):
    name = draw(st.sampled_from((*names, "x", "sample", "other")))
    with contextlib.suppress(KeyError):
        del file[name]
    kind = draw(st.sampled_from(("soft", "loop", "external", "group", "cycle", "none")))
    if kind == "soft":
        file[name] = h5py.SoftLink(draw(st.sampled_from(("/source", "/nothing", "/", "f_data"))))
    elif kind == "loop":
        file[name] = h5py.SoftLink("/second")
        file["second"] = h5py.SoftLink(f"/{name}")
    elif kind == "external":
        target = draw(st.sampled_from(("/dev/zero", "nothing.h5", file.filename)))
        file[name] = h5py.ExternalLink(target, "/source")
    elif kind != "none":
        group = file.create_group(name)
        if kind == "cycle":
            group["up"] = file["/"]
            group["again"] = group


def coordinates(draw, file, names):
    name = draw(st.sampled_from(("x", "y", "sample")))
    with contextlib.suppress(KeyError):
        del file[name]
    file[name] = draw(
        st.sampled_from(([1.0, 2.0], ["a"] * N, [math.nan] * N, list(range(N)), 3.0, [1j] * N))
    )


MUTATIONS = (set_attribute, delete_attribute, replace_array, set_values, relink, coordinates)
OF_VALUES = (replace_array, set_values, relink)


def outcome(path, **stated):
    """Return the states of a file as it says itself, or None if it is refused in a sentence."""
    try:
        with datasets.open_dataset(path, **stated) as dataset:
            pde = datasets.find_pde(dataset) or Poisson()
            states = datasets.states(dataset, pde)
            assert torch.equal(datasets.states(dataset.isel(x=slice(None)), pde), states)
        data = TrainingData.read(path, **stated)
        assert data.states.isfinite().all()
    except (InputError, NumericalError) as error:
        text = str(error)
        assert "delete" not in text and "\n" not in text and len(text) < 2000
        tally("datasets", refused=True)
        return None
    assert states.isfinite().all() and states.shape[1] == len(pde.fields)
    tally("datasets", refused=False)
    return states


@given(data=st.data())
def test_mutated_contents_are_read_right_or_refused(data, files, tmp_path_factory):
    originals = files.originals
    kind = data.draw(st.sampled_from([kind for kind in originals if kind[0] != "5"]))
    path = tmp_path_factory.mktemp("fuzz") / "d.h5"
    path.write_bytes(originals[kind])
    names = files.names(kind)
    stated = {}
    if kind == "named":
        stated = {"pde": "poisson", "names": FIELDS, "dims": ("sample", "y", "x")}
        if data.draw(st.booleans()):
            wrong = st.lists(st.sampled_from(("sample", "x", "y", "time", "z", "")), max_size=4)
            stated["dims"] = data.draw(wrong)
    same = kind != "named" or stated["dims"] == ("sample", "y", "x")
    # A mutation may meet what an earlier one left
    skipped = (KeyError, TypeError, ValueError, RuntimeError, AttributeError)
    with h5py.File(path, "r+") as file, contextlib.suppress(*skipped):
        for mutate in data.draw(st.lists(st.sampled_from(MUTATIONS), max_size=2)):
            same = same and mutate not in OF_VALUES
            same = not mutate(data.draw, file, names) and same
    with time_limit(SECONDS), pytest.MonkeyPatch.context() as patch:
        # The file is whole, so that the library needs no process of its own
        patch.setattr(hdf5, "_examine", lambda path, shown: survey.examine(path))
        found = outcome(path, **stated)
    if found is not None and same:
        # Mutated parameters may leave derived fields out
        assert torch.equal(found[:, :2], files.truth[kind][:, :2])


@given(data=st.data())
def test_damaged_bytes_are_refused_or_finite(data, files, tmp_path_factory):
    originals = files.originals
    kind = data.draw(st.sampled_from(list(originals)))
    content = bytearray(originals[kind])
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 8)) if content else 0):
        # Metadata are at the front
        last = data.draw(st.sampled_from((min(600, len(content)), len(content)))) - 1
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "d.h5"
    path.write_bytes(content)
    with time_limit(SECONDS):
        outcome(path)
