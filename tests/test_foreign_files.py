"""Datasets that others wrote: read right, bit for bit, or refused in a sentence that helps."""

import contextlib
import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray as xr
from helpers import ROOT

from pdeinv import datasets
from pdeinv.coordinates import grid_from
from pdeinv.datasets import Darcy, Poisson, generate, hdf5, pde_by_name
from pdeinv.errors import InputError
from pdeinv.files import reading_failure
from pdeinv.grid import Domain
from pdeinv.priors import TrainingData

FIELDS = ("source", "potential")
KINDS = ("HDF5", "MATLAB 7.3", "MATLAB 5")


@pytest.fixture(scope="module")
def truth(poisson_file):
    """Ten pairs on 16 x 16 nodes in memory."""
    with datasets.open_dataset(poisson_file) as dataset:
        return dataset.isel(sample=slice(10)).load()


@pytest.fixture(scope="module")
def states(truth):
    return datasets.states(truth, Poisson())


def write(path, kind, arrays):
    """Write variables, whose axes are those that the user of the kind sees."""
    if kind == "MATLAB 5":
        scipy.io.savemat(path, arrays)
        return
    matlab = kind == "MATLAB 7.3"
    with h5py.File(path, "w", userblock_size=512 if matlab else 0) as file:
        for name, array in arrays.items():
            file[name] = array.T if matlab else array


# Nothing is guessed from shapes


@pytest.mark.parametrize("samples", [10, 16], ids=["10 samples", "as many samples as nodes"])
@pytest.mark.parametrize("kind", KINDS)
def test_variables_of_unknown_names_are_asked_for(kind, samples, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "d.h5"
    write(path, kind, {name: rng.normal(size=(16, 16, samples)) for name in "au"})
    with pytest.raises(InputError, match=rf"got a \(16 x 16 x {samples}\), u .*dims=") as refused:
        datasets.open_dataset(path)
    assert "damaged" not in str(refused.value)
    with pytest.raises(InputError, match=r"axes of 'a' .* must be named"):
        datasets.open_dataset(path, pde="navier-stokes")
    with pytest.raises(InputError, match=r"axes of 'u' .* must be named"):
        datasets.open_dataset(path, pde="poisson", names=("u", "a"))
    with pytest.raises(InputError, match=r"the PDE .* must be given"):
        datasets.open_dataset(path, names=("a", "u"), dims=("y", "x", "sample"))


@pytest.mark.parametrize("dims", itertools.permutations(("sample", "y", "x")), ids=" ".join)
@pytest.mark.parametrize("kind", KINDS)
def test_named_variables_are_read_in_the_stated_order(kind, dims, truth, states, tmp_path):
    path = tmp_path / "d.h5"
    square = truth.isel(sample=[*range(10), *range(6)])  # as many samples as nodes
    arrays = {name: square[name].transpose(*dims).values for name in FIELDS}
    write(path, kind, dict(zip(("group_a", "u"), arrays.values(), strict=True)))
    stated = {"pde": Poisson(source=4.0), "names": ("group_a", "u"), "dims": dims}
    with datasets.open_dataset(path, **stated) as dataset:
        assert datasets.pde_of(dataset) == Poisson(source=4.0)
        read = datasets.states(dataset, Poisson())
        one = dataset.source[3, :, [2, 5]]
    assert torch.equal(read[:10], states) and torch.equal(read[10:], states[:6])
    assert np.array_equal(one, square.source.transpose("sample", "y", "x").values[3][:, [2, 5]])


def test_the_last_time_and_groups_are_read(truth, states, tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["run/a"] = truth.source.values
        file["run/u"] = np.stack([0 * truth.potential.values, truth.potential.values], axis=1)
    stated = {"pde": "poisson", "names": ("run/a", "/run/u")}
    with datasets.open_dataset(
        tmp_path / "d.h5", dims=("sample", "time", "y", "x"), **stated
    ) as dataset:
        assert torch.equal(datasets.states(dataset, Poisson()), states)
    for dims, message in {
        ("sample", "z", "y", "x"): "dims must be sample, y and x",
        ("sample", "time", "y"): "dims must be sample, y and x",
        ("y", "x"): "must be named",
        ("time", "y", "x"): "must be named",
        ("y", "sample", "x"): "must be named",
    }.items():
        with pytest.raises(InputError, match=message):
            datasets.open_dataset(tmp_path / "d.h5", dims=dims, **stated)
    with pytest.raises(InputError, match=r"'b'.* got run/a \(10 x 16 x 16\)"):
        datasets.open_dataset(tmp_path / "d.h5", pde="poisson", names=("b", "run/u"))
    with pytest.raises(InputError, match="two variables"):
        datasets.open_dataset(tmp_path / "d.h5", pde="poisson", names="run/a")


def test_the_command_line_names_variables_and_axes(pdeinv, truth, folder):
    arrays = {name: truth[name].transpose("y", "x", "sample").values for name in FIELDS}
    write("d.h5", "HDF5", dict(zip("au", arrays.values(), strict=True)))
    reconstruct = ("reconstruct", "s.csv", "--pde", "poisson", "--out", "r.nc", "--grid", 16)
    reconstruct += ("--solver", "optimal-interpolation", "--ensemble", "d.h5")
    named = ("--names", "a,u", "--dims", "y,x,sample")
    code, _, error = pdeinv(*reconstruct)
    assert code == 2 and "a (16 x 16 x 10), u (16 x 16 x 10)" in error and "--names" in error
    code, _, error = pdeinv(*reconstruct, *named)
    assert code == 0, error
    code, _, error = pdeinv(*reconstruct[:8], *named)
    assert code == 2 and "--ensemble" in error
    train = ("train", "d.h5", "--out", "g.safetensors", "--model", "gaussian")
    code, _, error = pdeinv(*train, *named)
    assert code == 2 and "the PDE of d.h5 must be given" in error
    code, _, error = pdeinv(*train, "--pde", "poisson", *named)
    assert code == 0, error


def test_files_of_diffusionpde_without_times_do_not_become_navier_stokes(tmp_path):
    pair = {name: np.random.default_rng(0).normal(size=(3, 16, 16)) for name in "au"}
    times = {"t": np.array([[0.5, 1.0]])}
    for arrays in (pair, pair | times, {"a": pair["a"], "u": np.ones((3, 16, 16, 3))} | times):
        write(tmp_path / "d.mat", "MATLAB 7.3", arrays)
        with pytest.raises(InputError, match="got a "):
            datasets.open_dataset(tmp_path / "d.mat")
    arrays = {"a": pair["a"], "u": np.stack([0 * pair["u"], pair["u"]], axis=-1)} | times
    write(tmp_path / "d.mat", "MATLAB 7.3", arrays)
    with datasets.open_dataset(tmp_path / "d.mat") as dataset:
        assert datasets.pde_of(dataset) == pde_by_name("navier-stokes", time=1.0)
        assert np.array_equal(dataset.final_vorticity, pair["u"].transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pde": "darcy"}, "a dataset of darcy must hold permeability and pressure, got potential"),
        ({"pde": "poison"}, "did you mean 'poisson'"),
        ({"pde": Poisson}, "pde must be a PDE or its name"),
        ({"names": 3}, "names must be a list of names, got 3"),
        ({"dims": ("x", 1)}, "dims must be a list of names"),
        ({"path": 3}, "must be the name of a file"),
        ({"path": "a\0b"}, "must be the name of a file"),
        ({"path": "n" * 300}, "cannot be read"),
    ],
)
def test_arguments_of_another_kind_are_refused(given, message, poisson_file):
    with pytest.raises(InputError, match=message):
        datasets.open_dataset(**{"path": poisson_file} | given)


# Files that other programs have written from ours


def as_netcdf4(file):
    """Numbers become arrays of one, as the netCDF4 library writes them."""
    for place in (file, *file.values()):
        for name, value in dict(place.attrs).items():
            if isinstance(value, str):
                place.attrs[name] = np.bytes_(value.encode())
            elif np.isscalar(value):
                place.attrs[name] = np.array([value])


def as_fortran(file):
    """Text becomes bytes of a fixed length, padded with blanks."""
    for place in (file, *(file[name] for name in FIELDS)):
        for name, value in dict(place.attrs).items():
            if isinstance(value, str):
                place.attrs[name] = np.array([value.encode().ljust(200)])


def as_julia(file):
    """Text has a fixed length with zeros at its end, and numbers are floats."""
    for name, value in dict(file.attrs).items():
        if isinstance(value, str):
            length = len(value.encode()) + 3
            kind = h5py.string_dtype("utf-8", length)
            file.attrs.create(name, value.encode(), dtype=kind)
        elif np.isscalar(value):
            file.attrs[name] = np.array([float(value)])


def as_matlab(file):
    """As Julia, and without the dimension scales."""
    as_julia(file)
    for name in ("sample", "y", "x"):
        del file[name]
    for name in FIELDS:
        del file[name].attrs["DIMENSION_LIST"]


@pytest.mark.parametrize("writer", [None, as_netcdf4, as_fortran, as_julia, as_matlab])
def test_a_dataset_that_was_written_back_opens_bit_for_bit(writer, poisson_file, tmp_path):
    path = tmp_path / "d.h5"
    with datasets.open_dataset(poisson_file) as dataset:
        expected = dataset.load()
    if writer in (None, as_netcdf4):
        expected.to_netcdf(path, engine="h5netcdf")
    else:
        shutil.copy(poisson_file, path)
    if writer:
        with h5py.File(path, "r+") as file:
            writer(file)
    with datasets.open_dataset(path) as dataset:
        assert datasets.pde_of(dataset) == Poisson()
        assert dataset.attrs.keys() == expected.attrs.keys()
        for name in expected.variables:
            found, wanted = dataset[name].values, expected[name].values
            assert found.tobytes() == wanted.tobytes() and found.dtype == wanted.dtype
    assert TrainingData.read(path).provenance()["data_seed"] == 3


CHANGES = {
    "fewer samples": lambda d: d.isel(sample=slice(2, 7)),
    "one sample": lambda d: d.isel(sample=4),
    "another order of axes": lambda d: d.transpose("x", "sample", "y"),
    "half the nodes": lambda d: d.isel(x=slice(None, None, 3), y=slice(None, None, 3)),
    "no attributes": lambda d: d.drop_attrs(),
    "double precision": lambda d: d.astype(np.float64),
    "big-endian": lambda d: d.astype(">f4"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_dataset_that_was_written_back_opens(change, truth, tmp_path):
    changed = change(truth)
    changed.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    expected = datasets.states(changed, Poisson())
    with datasets.open_dataset(tmp_path / "d.nc") as dataset:
        assert torch.equal(datasets.states(dataset, datasets.pde_of(dataset)), expected)


def test_packed_values_and_declared_fill_values_are_decoded(truth, states, tmp_path):
    packed = {"dtype": "i2", "scale_factor": 1e-3, "add_offset": 0.5, "_FillValue": -9}
    truth.to_netcdf(tmp_path / "d.nc", engine="h5netcdf", encoding={"source": packed})
    with datasets.open_dataset(tmp_path / "d.nc") as dataset:
        assert torch.allclose(datasets.states(dataset, Poisson()), states, atol=6e-4)
    with h5py.File(tmp_path / "d.nc", "r+") as file:
        file["source"][3, 2, 1] = -9
    with (
        datasets.open_dataset(tmp_path / "d.nc") as dataset,
        pytest.raises(InputError, match="must be finite, got nan in sample 3 at y index 2, x ind"),
    ):
        datasets.states(dataset, Poisson())


# Rectangles


KM = Domain((100.0, 105.0, -3.0, 0.0), "km")


@pytest.mark.parametrize("named", [False, True], ids=["by its names", "as the caller names it"])
def test_a_rectangle_without_coordinates_is_on_the_grid_of_its_pde(named, truth, tmp_path):
    part = truth.isel(x=slice(8)).drop_vars(["x", "y"]).drop_attrs()
    part.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    pde = Poisson(domain=KM)
    stated = {"pde": pde} | ({"names": FIELDS} if named else {})
    with datasets.open_dataset(tmp_path / "d.nc", **stated) as dataset:
        assert grid_from(dataset) == pde.grid(16, 8) and datasets.pde_of(dataset) == pde
        assert datasets.states(dataset, pde).shape == (10, 2, 16, 8)
    with datasets.open_dataset(tmp_path / "d.nc") as dataset:
        assert grid_from(dataset) == Poisson().grid(16, 8)


def test_coordinates_of_another_domain_are_refused_with_the_remedy(truth, tmp_path):
    grid = Poisson(domain=KM).grid(16, 8)
    y, x = (nodes.numpy() for nodes in grid.coordinates())
    part = truth.isel(x=slice(8)).drop_attrs().assign_coords(x=x, y=y)
    part.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    with (
        datasets.open_dataset(tmp_path / "d.nc") as dataset,
        pytest.raises(InputError, match=r"got -3\.0 to 0\.0; .* and give the PDE their domain"),
    ):
        datasets.states(dataset, Poisson())
    pde = Poisson(domain=KM)
    with datasets.open_dataset(tmp_path / "d.nc", pde=pde) as dataset:
        assert datasets.states(dataset, datasets.pde_of(dataset)).shape == (10, 2, 16, 8)


def test_a_file_of_version_1_is_on_the_unit_square(truth, states, tmp_path):
    own = ("ny", "nx", "extent", "unit", "outputs")
    old = truth.assign_attrs(format_version=1, grid_size=16).drop_vars(["y", "x"])
    old.attrs = {key: value for key, value in old.attrs.items() if key not in own}
    old.to_netcdf(tmp_path / "d.h5", engine="h5netcdf")
    with datasets.open_dataset(tmp_path / "d.h5") as dataset:
        assert grid_from(dataset) == Poisson().grid(16)
        assert torch.equal(datasets.states(dataset, datasets.pde_of(dataset)), states)


# Files of other kinds


def netcdf3(truth, path):
    truth.drop_attrs().astype("f8").to_netcdf(path, engine="scipy", format="NETCDF3_64BIT")


def zipped_zarr(truth, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", "{}")


def numpy_file(truth, path):
    with path.open("wb") as stream:
        np.save(stream, truth.source)


def numpy_archive(truth, path):
    with path.open("wb") as stream:
        np.savez(stream, truth.source)


def another_hdf5(truth, path):
    with h5py.File(path, "w") as file:
        file["depth"] = np.ones(3)


OTHERS = {
    netcdf3: "but a NetCDF 3 file; give an HDF5, NetCDF 4 or MATLAB file",
    zipped_zarr: "but a zip archive, as zipped Zarr stores .* or that of a Zarr store",
    numpy_file: "but a single NumPy array; give",
    numpy_archive: r"must hold .*, or permeability and pressure, or .*, got arr_0 \(",
    another_hdf5: r"must hold .*, or permeability and pressure, or .*, got depth \(3\)",
}


@pytest.mark.parametrize("make", OTHERS, ids=lambda make: make.__name__)
def test_a_file_of_another_kind_is_named_and_not_called_damaged(make, truth, tmp_path):
    make(truth, tmp_path / "d")
    with pytest.raises(InputError, match=OTHERS[make]) as refused:
        datasets.open_dataset(tmp_path / "d")
    assert "damaged" not in str(refused.value)


# Sound files out of reach


def test_a_file_that_another_program_writes_is_in_use(poisson_file, tmp_path):
    path = tmp_path / "d.h5"
    shutil.copy(poisson_file, path)
    dataset = datasets.open_dataset(path)
    code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print(); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(InputError, match=r"is in use .*HDF5_USE_FILE_LOCKING") as refused:
            datasets.open_dataset(path)
        assert "damaged" not in str(refused.value)
        with pytest.raises(InputError, match="is in use"):  # opened before, read now
            datasets.states(dataset, Poisson())
        other.stdin.close()
    assert len(datasets.states(dataset, Poisson())) == 40


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "no"), "cannot be read .*permissions"),
        (OSError(errno.EIO, "no"), "cannot be read .*try again"),
        (OSError(errno.ESTALE, "no"), "cannot be read"),
        (OSError(errno.ENOLCK, "unable to lock file"), "cannot be locked .*HDF5_USE_FILE"),
        (BlockingIOError(errno.EAGAIN, "unable to lock file"), "is in use"),
        (OSError("file is already open for write"), "is in use"),
        (OSError(errno.EINVAL, "seek"), "is damaged"),
        (OSError("truncated file"), "is damaged"),
        (MemoryError("8 GB"), "memory"),
    ],
)
def test_a_failure_of_the_system_is_no_damage(error, message):
    found = reading_failure("d.h5", error, "is damaged")
    assert re.search(message, str(found)) and str(found).startswith("d.h5 ")
    assert ("damaged" in str(found)) == (message == "is damaged")


def test_no_message_advises_to_delete_what_may_be_sound():
    """Only unfinished runs of the package itself, whose plan has been read."""
    advice = re.compile(r"[^\n]*\bdelete (?:it|that|the file|\{)[^\n]*")
    found = {
        str(file.relative_to(ROOT)): lines
        for folder in ("pdeinv", "datasets", "solvers", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        if (lines := advice.findall(file.read_text()))
    }
    assert found.keys() <= {
        "datasets/plan.py",
        "pdeinv/priors/training.py",
        "benchmarks/records.py",
    }


# Content that no dataset has

ATTRIBUTES = {
    "JSON nested deeply": {"pde_parameters": '{"tau": ' + "[" * 10_000},
    "a number too large": {"pde_parameters": '{"tau": 1' + "0" * 400 + "}"},
    "a grid of no kind": {"grid_kind": "round"},
    "a version that is no number": {"format_version": "one"},
    "a field that is a list": {"coefficient": ["a", "b"]},
    "complex numbers": {"coefficient": 1j},
    "a field that is not there": {"solution": "depth"},
    "a later version": {"format_version": 99},
}


@pytest.mark.parametrize("attributes", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_an_attribute_out_of_range_is_named(attributes, poisson_file, tmp_path):
    path = tmp_path / "d.h5"
    shutil.copy(poisson_file, path)
    with h5py.File(path, "r+") as file:
        file.attrs.update(attributes)
    with pytest.raises(InputError, match=next(iter(attributes)).split("_")[-1] + r"|'depth'"):
        datasets.open_dataset(path)


def stored_as(dtype):
    return lambda file, name: file.create_dataset(name, (40, 16, 16), dtype)


CONTENTS = {
    "text": (stored_as(h5py.string_dtype()), "holds no numbers but text"),
    "arrays of variable length": (stored_as(h5py.vlen_dtype("f4")), "arrays of variable length"),
    "compound values": (stored_as([("a", "f4"), ("b", "i4")]), "compound values"),
    "references": (stored_as(h5py.ref_dtype), "references"),
    "complex numbers": (stored_as("c8"), "complex numbers"),
    "truth values": (stored_as("?"), "no numbers"),
    "values that were never written": (stored_as("f4"), "has 0 of its 40960 bytes written"),
    "373 GiB": (
        lambda file, name: file.create_dataset(
            name, (100_000, 1000, 1000), "f4", chunks=(1, 1000, 1000)
        ),
        "has 0 of its 100000 chunks written",
    ),
    "a group": (lambda file, name: file.create_group(name), f"the variable '{FIELDS[0]}'"),
    "a group in itself": (
        lambda file, name: file.create_group(name).__setitem__("again", file["/"]),
        f"the variable '{FIELDS[0]}'",
    ),
    "a link to itself": (
        lambda file, name: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
        "cannot be read",
    ),
    "a link to another file": (
        lambda file, name: file.__setitem__(name, h5py.ExternalLink("other.h5", "/a")),
        "leads out of the file",
    ),
    "values in another file": (
        lambda file, name: file.create_dataset(
            name, (40, 16, 16), "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
        ),
        "in other files",
    ),
    "nothing": (lambda file, name: file.__setitem__(name, h5py.Empty("f4")), "is empty"),
}


@pytest.mark.parametrize(("make", "message"), CONTENTS.values(), ids=CONTENTS)
def test_a_field_of_another_kind_is_refused(make, message, poisson_file, tmp_path):
    path = tmp_path / "d.h5"
    shutil.copy(poisson_file, path)
    with h5py.File(path, "r+") as file:
        del file["source"]
        make(file, "source")
    with pytest.raises(InputError, match=message) as refused:
        datasets.open_dataset(path)
    assert "damaged" not in str(refused.value)


@pytest.mark.parametrize("kind", ["HDF5", "MATLAB 5"])
def test_the_size_is_checked_before_memory_is_taken(kind, truth, tmp_path, monkeypatch):
    arrays = {name: truth[name].values for name in FIELDS}
    write(tmp_path / "d", kind, arrays)
    stated = {"pde": "poisson", "names": FIELDS, "dims": ("sample", "y", "x")}
    with datasets.open_dataset(tmp_path / "d", **stated) as dataset:
        monkeypatch.setattr("pdeinv.memory.available_memory", lambda: 5000)
        for read in (
            lambda: datasets.states(dataset, Poisson()),
            lambda: dataset.load(),
            lambda: dataset.source.values,
        ):
            with pytest.raises(InputError, match=r"the memory for the values of .* must be"):
                read()
        monkeypatch.undo()
        assert len(datasets.states(dataset, Poisson())) == 10


def test_a_length_beyond_the_file_is_refused(truth, tmp_path):
    path = tmp_path / "d.mat"
    scipy.io.savemat(path, {"f_data": truth.source.values})
    content = path.read_bytes()
    # The array's bytes, its first dimension and the bytes of its values
    for place, old in ((132, None), (160, 10), (196, 4 * 10 * 16 * 16)):
        if old:
            assert int.from_bytes(content[place : place + 4], "little") == old
        for new in (0, 2**20, 2**31, 2**32 - 1):
            path.write_bytes(content[:place] + new.to_bytes(4, "little") + content[place + 4 :])
            with pytest.raises(InputError, match="damaged"):
                datasets.open_dataset(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_variables_of_other_classes_are_named(compressed, truth, tmp_path):
    others = {
        "complex": truth.source.values * 1j,
        "flags": truth.source.values > 0,
        "text": np.array(["abc"]),
        "cells": np.array([np.ones(2), "a"], object),
        "structure": {"a": 1.0},
        "sparse": scipy.sparse.eye(16).tocsc(),
    }
    scipy.io.savemat(tmp_path / "d.mat", others, do_compression=compressed)
    with pytest.raises(InputError, match="got ") as refused:
        datasets.open_dataset(tmp_path / "d.mat")
    for phrase in (
        *("cells (holds no numbers but cells)", "complex (holds complex numbers)"),
        *("flags (holds no numbers but truth values)", "text (holds no numbers but text)"),
        *("structure (holds no numbers but structures)", "but a sparse matrix)"),
    ):
        assert phrase in str(refused.value)
    stated = {"pde": "poisson", "names": ("complex", "flags"), "dims": ("sample", "y", "x")}
    with pytest.raises(InputError, match=r"variable 'complex' .* holds complex numbers"):
        datasets.open_dataset(tmp_path / "d.mat", **stated)


def test_a_changed_byte_of_a_compressed_matlab_variable_is_noticed(truth, tmp_path):
    path = tmp_path / "d.mat"
    arrays = {name: truth[name].values for name in FIELDS}
    scipy.io.savemat(path, arrays, do_compression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    stated = {"pde": "poisson", "names": FIELDS, "dims": ("sample", "y", "x")}
    with (
        pytest.raises(InputError, match="damaged"),
        datasets.open_dataset(path, **stated) as dataset,
    ):
        datasets.states(dataset, Poisson())


DEADLY = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "does not end": "import resource as r; r.setrlimit(r.RLIMIT_CPU, (1, 1))\nwhile True: pass",
}


@pytest.mark.parametrize("code", DEADLY.values(), ids=DEADLY)
def test_a_file_on_which_the_hdf5_library_dies_is_refused(code, truth, tmp_path, monkeypatch):
    truth.to_netcdf(tmp_path / "d.h5", engine="h5netcdf")
    (tmp_path / "program.py").write_text(code)
    monkeypatch.setattr(hdf5.survey, "__file__", str(tmp_path / "program.py"))
    with pytest.raises(InputError, match=r"is damaged .*ended by signal"):
        datasets.open_dataset(tmp_path / "d.h5")
    (tmp_path / "program.py").write_text("import nothing")
    with pytest.raises(InputError, match=r"cannot be examined.*No module named 'nothing'"):
        datasets.open_dataset(tmp_path / "d.h5")


# Values that cannot be right


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -1e20, 9.96921e36])
@pytest.mark.parametrize("kind", KINDS)
def test_values_that_cannot_be_right_are_refused(kind, value, truth, tmp_path):
    arrays = {name: truth[name].values.copy() for name in FIELDS}
    arrays["potential"][7, 3, 2] = value
    write(tmp_path / "d", kind, arrays)
    stated = {"pde": "poisson", "names": FIELDS, "dims": ("sample", "y", "x")}
    where = "'potential' .* in sample 7 at y index 3, x index 2"
    with datasets.open_dataset(tmp_path / "d", **stated) as dataset:
        with pytest.raises(InputError, match=where):
            datasets.states(dataset, Poisson())
        assert len(datasets.states(dataset.isel(sample=slice(7)), Poisson())) == 7
    with pytest.raises(InputError, match=where):
        TrainingData.read(tmp_path / "d", **stated)


@pytest.mark.parametrize("value", [1e20, -9999.0, -32768.0])
def test_a_fill_value_that_covers_a_region_is_refused(value, truth):
    filled = truth.copy(deep=True)
    filled.potential[:, 4:9, 3:12] = value
    with pytest.raises(InputError, match=rf"'potential' must be .* got {re.escape(f'{value:g}')} "):
        datasets.states(filled, Poisson())


def test_a_coefficient_that_must_be_positive_and_is_not_is_refused(tmp_path):
    path = generate(Darcy(), 8, 16, 0, tmp_path / "d.h5")
    with datasets.open_dataset(path) as dataset:
        assert len(datasets.states(dataset, datasets.pde_of(dataset))) == 8
        dataset = dataset.load()
    dataset.permeability[3, 4, 5] = -2.0
    with pytest.raises(InputError, match=r"'permeability' must be positive for darcy, got -2 in"):
        datasets.states(dataset, Darcy())


def test_sparse_and_constant_fields_are_no_outliers():
    nodes = Poisson().grid(16).coordinates()[0].numpy()
    spike = np.zeros((2, 16, 16))
    spike[:, 5, 5] = 1e9
    bump = np.exp(-(((nodes - 0.5) / 0.05) ** 2)[:, None] - (((nodes - 0.5) / 0.05) ** 2))
    constant = np.full((2, 16, 16), 7.0)
    steps = np.where(nodes < 0.5, 1.0, 1e5) * constant
    measured = -999.0 + np.arange(512.0).reshape(2, 16, 16)  # no fill value here
    for field in (spike, constant, 0 * constant, np.stack([bump, bump]), steps, measured):
        dataset = xr.Dataset(
            dict.fromkeys(FIELDS, (("sample", "y", "x"), field)), {"x": nodes, "y": nodes}
        )
        assert datasets.states(dataset, Poisson()).shape == (2, 2, 16, 16)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_protected_file_is_not_called_damaged(poisson_file, tmp_path):
    path = tmp_path / "d.h5"
    shutil.copy(poisson_file, path)
    path.chmod(0)
    with contextlib.suppress(PermissionError), path.open("rb"):
        pytest.skip("this user may read everything")
    with pytest.raises(InputError, match=r"cannot be read .*permissions"):
        datasets.open_dataset(path)
