"""Datasets of Zarr stores: folders of version 2 and 3."""

import json
import pickle
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from tally import tally
from time_limit import time_limit

import pdeinv
from pdeinv import Ensemble, InputError, datasets

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

HELD = {"pde": "poisson", "names": ("k", "head"), "dims": ("y", "x", "sample")}
NAMES = {"k": ">f4", "head": "<f8"}
GZIP = {"name": "gzip", "configuration": {"level": 1}}
BLOSC = {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle"}}


@pytest.fixture(scope="module")
def fields():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(9, 9, 12)).astype(kind) for name, kind in NAMES.items()}


def store(path, fields, version=3, **options):
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    for name, values in fields.items():
        kept = {"chunks": (4, 9, 5), "dtype": values.dtype} | options
        group.create_array(name, shape=values.shape, **kept)[...] = values
    return path


def shards(path, fields):
    return store(path, fields, chunks=(4, 9, 2), shards=(8, 9, 4))


KINDS = {
    "version 2": lambda path, fields: store(path, fields, 2),
    "version 2, folders": lambda path, fields: store(
        path, fields, 2, chunk_key_encoding={"name": "v2", "separator": "/"}, order="F"
    ),
    "version 2, zlib": lambda path, fields: store(
        path, fields, 2, compressors=numcodecs.Zlib(), filters=numcodecs.Shuffle(4)
    ),
    "version 3": store,
    "version 3, blosc": lambda path, fields: store(path, fields, compressors=BLOSC),
    "version 3, dots": lambda path, fields: store(
        path, fields, chunk_key_encoding={"name": "default", "separator": "."}, compressors=GZIP
    ),
    "version 3, plain": lambda path, fields: store(path, fields, compressors=None),
    "version 3, shards": shards,
}


@pytest.fixture(params=KINDS)
def path(request, tmp_path, fields):
    return KINDS[request.param](tmp_path / "d.zarr", fields)


def chunk_of(path, name="k"):
    """The first file of an array with values."""
    return min(
        file for file in (path / name).rglob("*") if file.is_file() and file.name[-1].isdigit()
    )


def test_fields_are_those_of_the_arrays(path, fields):
    data = datasets.open_dataset(path, **HELD)
    assert data["source"].dims == ("sample", "y", "x") and data.sizes["sample"] == 12
    for name, held in (("source", "k"), ("potential", "head")):
        np.testing.assert_array_equal(data[name].values, fields[held].transpose(2, 0, 1))
        some = data[name].isel(sample=[1, 4, 7], y=slice(2, 5), x=3).values
        np.testing.assert_array_equal(some, fields[held][2:5, 3][:, [1, 4, 7]].T)
        np.testing.assert_array_equal(data[name].isel(sample=-1).values, fields[held][..., -1])
        np.testing.assert_array_equal(
            data[name].isel(x=slice(None, None, -3), y=5).values, fields[held][5, ::-3].T
        )
    assert data.attrs["source_format"] == "Zarr" and data.attrs["pde"] == "poisson"


@pytest.mark.parametrize("version", [2, 3])
def test_what_xarray_writes_of_a_dataset_opens_bit_for_bit(version, poisson_file, tmp_path):
    with datasets.open_dataset(poisson_file) as whole:
        before = whole.isel(sample=slice(6)).load()
    before.to_zarr(tmp_path / "d.zarr", zarr_format=version, consolidated=False)
    after = datasets.open_dataset(tmp_path / "d.zarr").load()
    xr.testing.assert_identical(after, before.assign_attrs(samples=6))


@pytest.mark.parametrize("version", [2, 3])
def test_packed_and_missing_values_are_decoded(version, tmp_path):
    values = np.random.default_rng(1).normal(size=(3, 9, 9)).round(2)
    values[1, 2, 3] = np.nan
    packed = {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -9999}
    written = xr.Dataset(dict.fromkeys(("source", "potential"), (("sample", "y", "x"), values)))
    encoding = {"source": packed, "potential": {"_FillValue": -5.0}}
    written.to_zarr(tmp_path / "d.zarr", encoding=encoding, zarr_format=version, consolidated=False)
    read = datasets.open_dataset(tmp_path / "d.zarr")
    np.testing.assert_allclose(read["source"].values, values, rtol=1e-6)
    np.testing.assert_array_equal(read["potential"].values, values)


def test_arrays_in_a_group_and_axes_that_it_names(tmp_path, fields):
    group = zarr.open_group(str(tmp_path / "d"), mode="w").create_group("run")
    for name, held in (("source", "k"), ("potential", "head")):
        group.create_array(name, data=fields[held], dimension_names=HELD["dims"])
    with pytest.raises(InputError, match=r"got run/potential \(9 x 9 x 12\), run/source"):
        datasets.open_dataset(tmp_path / "d")
    given = {"pde": "poisson", "names": ("run/source", "run/potential")}
    assert datasets.open_dataset(tmp_path / "d", **given).sizes["sample"] == 12
    assert datasets.open_dataset(tmp_path / "d" / "run").attrs["pde"] == "poisson"
    with pytest.raises(InputError, match="must be a group of Zarr arrays, got a single array"):
        datasets.open_dataset(tmp_path / "d" / "run" / "source")


def test_a_store_is_read_where_it_is_used(tmp_path, monkeypatch):
    big = {name: np.ones((400, 64, 64)) for name in NAMES}
    path = store(tmp_path / "d", big, chunks=(1, 64, 64))
    monkeypatch.setattr(pdeinv.memory, "available_memory", lambda: 1e6)
    given = HELD | {"dims": ("sample", "y", "x")}
    data = datasets.open_dataset(path, **given)
    assert float(data["source"].isel(sample=3).sum()) == 64 * 64
    with pytest.raises(InputError, match=r"memory .* read fewer samples at once"):
        data["source"].load()
    wide = store(tmp_path / "e", big, chunks=(400, 64, 64))
    with pytest.raises(InputError, match="memory"):  # of the chunk
        datasets.open_dataset(wide, **given)["source"].isel(sample=3).load()


def test_an_ensemble_and_a_prior_are_made_of_it(tmp_path, fields, pdeinv):
    path = store(tmp_path / "d.zarr", fields)
    data = datasets.open_dataset(path, **HELD)
    assert len(Ensemble(datasets.states(data, datasets.Poisson()))) == 12
    code, _, err = pdeinv(
        *("train", path, "--pde", "poisson", "--names", "k,head", "--dims", "y,x,sample"),
        *("--model", "gaussian", "--out", tmp_path / "p.safetensors"),
    )
    assert code == 0, err
    assert (tmp_path / "p.safetensors").is_file()


# Stores that are harmful, damaged or of another kind


class Harm:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (self.place, "w"))


@pytest.mark.parametrize("dtype", ["|O", "<f8"])
def test_a_pickle_does_not_run(dtype, tmp_path, fields):
    """Of an array of objects, or of one that claims to hold numbers."""
    path = store(tmp_path / "d", fields, 2)
    harmful = pickle.dumps(Harm(str(tmp_path / "harm")))
    described = json.loads((path / "k" / ".zarray").read_text())
    described |= {"dtype": dtype, "filters": [{"id": "pickle", "protocol": 5}], "compressor": None}
    (path / "k" / ".zarray").write_text(json.dumps(described))
    for file in (path / "k").glob("[0-9]*"):
        file.write_bytes(harmful)
    wrong = "no real numbers but values of obj" if dtype == "|O" else "is encoded by 'pickle'"
    with pytest.raises(InputError, match=rf"'k' of .* {wrong}"):
        datasets.open_dataset(path, **HELD)
    assert not (tmp_path / "harm").exists()


def change(path, **items):
    file = path / "k" / "zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | items))


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
SHARDS = {
    "chunk_shape": [2, 9, 5],
    "codecs": [LITTLE],
    "index_codecs": [LITTLE, {"name": "crc32c"}],
}
SHARD = {"name": "sharding_indexed", "configuration": SHARDS}


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"data_type": "complex64"}, "holds complex numbers"),
        ({"data_type": "bool"}, "no real numbers but bool"),
        ({"data_type": {"name": "struct", "configuration": {}}}, "no real numbers but struct"),
        ({"codecs": [{"name": "mine.of_my_own"}]}, "is encoded by 'mine.of_my_own'"),
        ({"chunk_grid": {"name": "rectilinear"}}, "irregular or transformed chunks"),
        ({"storage_transformers": [{"name": "a"}]}, "irregular or transformed chunks"),
        ({"codecs": [SHARD | {"configuration": {**SHARDS, "codecs": [BLOSC]}}]}, "that Blosc enc"),
        ({"codecs": [SHARD | {"configuration": {**SHARDS, "codecs": [SHARD]}}]}, "of a layout"),
        ({"codecs": [SHARD | {"configuration": {**SHARDS, "index_codecs": [LITTLE]}}]}, "a layout"),
        ({"codecs": [SHARD | {"configuration": {**SHARDS, "chunk_shape": [3, 9, 5]}}]}, "no mult"),
        ({"shape": [9, -9, 12]}, "cannot be read"),
        ({"shape": [9, 9, 12.5]}, "cannot be read"),
        ({"shape": [9, 9]}, "its chunks have other axes"),
        ({"codecs": 3}, "cannot be read"),
        ({"zarr_format": 4}, "cannot be read"),
    ],
)
def test_an_array_of_another_kind_is_refused(items, message, tmp_path, fields):
    path = store(tmp_path / "d", fields)
    change(path, **items)
    with pytest.raises(InputError, match=message):
        datasets.open_dataset(path, **HELD)


def test_declared_sizes_are_checked_before_memory_is_taken(tmp_path, fields):
    path = store(tmp_path / "d", fields)
    for name in NAMES:
        file = path / name / "zarr.json"
        described = json.loads(file.read_text()) | {"shape": [4096, 4096, 2**40]}
        described["chunk_grid"]["configuration"]["chunk_shape"] = [4096, 4096, 2**30]
        file.write_text(json.dumps(described))
    data = datasets.open_dataset(path, **HELD)
    with time_limit(20), pytest.raises(InputError, match="memory"):
        data["source"].isel(sample=0, y=0).load()


def test_a_chunk_that_is_absent_is_no_zero(path, fields):
    chunk_of(path).unlink()
    data = datasets.open_dataset(path, **HELD)
    with pytest.raises(InputError, match=r"must have all its chunks, got none at .*; copy the"):
        data["source"].load()
    np.testing.assert_array_equal(data["source"].isel(y=8), fields["k"][8].T)


def test_a_chunk_that_is_absent_in_a_shard_is_no_zero(tmp_path, fields):
    path = store(tmp_path / "d", fields | {"k": np.zeros((9, 9, 12))}, chunks=(4, 9, 2))
    array = zarr.open_group(str(path)).create_array(
        "k", shape=(9, 9, 12), chunks=(4, 9, 2), shards=(8, 9, 4), dtype="<f4", overwrite=True
    )
    array[:, :, :2] = fields["k"][:, :, :2]
    data = datasets.open_dataset(path, **HELD)
    with pytest.raises(InputError, match="got none at a place in the shard 0"):
        data["source"].isel(sample=0).load()


def test_damage_is_one_sentence(path, fields):
    (metadata,) = (file for file in (path / "k").iterdir() if file.name in (".zarray", "zarr.json"))
    for file in (metadata, chunk_of(path)):
        content = file.read_bytes()
        for broken in (content[: len(content) // 2], b"", b"[" * 100_000, b"null"):
            file.write_bytes(broken)
            with pytest.raises(InputError) as error:
                datasets.open_dataset(path, **HELD)["source"].load()
            assert "\n" not in str(error.value) and "; " in str(error.value)
        file.write_bytes(content)
    datasets.open_dataset(path, **HELD)["source"].load()


def test_a_missing_library_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InputError, match=r"zarr must be installed .* 'pdeinv\[zarr\]'"):
        datasets.open_dataset(path, **HELD)["source"].load()


def of_json(text):
    """Another value of JSON, near what stands there."""
    return st.one_of(
        st.sampled_from([None, True, -1, 0, 3, 1e400, "", "pickle", "c", "<f8", [], {}, [[1]]]),
        st.integers(-(2**70), 2**70),
        st.lists(st.integers(-2, 2**40), max_size=4),
        st.just(text),
    )


def places(node, above=()):
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in items:
            yield (*above, key)
            yield from places(value, (*above, key))


@given(data=st.data())
def test_mutated_stores_are_read_right_or_refused(data, fields, tmp_path_factory):
    kind = data.draw(st.sampled_from(list(KINDS)))
    path = KINDS[kind](tmp_path_factory.mktemp("fuzz") / "d", fields)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    if file.name[-1].isdigit() or data.draw(st.booleans()):
        for _ in range(data.draw(st.integers(1, 4)) if content else 0):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    elif found := list(places(described := json.loads(content))):
        *above, last = data.draw(st.sampled_from(found))
        node = described
        for key in above:
            node = node[key]
        node[last] = data.draw(of_json(node[last]))
        file.write_text(json.dumps(described))
    try:
        with time_limit(60):
            read = datasets.open_dataset(path, **HELD)
            values = datasets.states(read, datasets.Poisson())
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        tally("datasets", refused=True)
        return
    assert values.isfinite().all()
    tally("datasets", refused=False)
