"""Datasets of NumPy arrays: an `.npz` file, or a folder of `.npy` files."""

import numpy as np
import pytest

import pdeinv
from pdeinv import Ensemble, InputError, datasets

HELD = {"pde": "poisson", "names": ("k", "head"), "dims": ("y", "x", "sample")}


@pytest.fixture(scope="module")
def fields():
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(9, 9, 12)).astype(kind) for name, kind in NAMES.items()}


NAMES = {"k": ">f4", "head": "<f8"}


def folder(path, fields):
    path.mkdir()
    for name, values in fields.items():
        np.save(path / f"{name}.npy", values)
    return path


WRITERS = {
    "folder": lambda path, fields: folder(path / "d", fields),
    "npz": lambda path, fields: np.savez(path / "d.npz", **fields) or path / "d.npz",
    "compressed": lambda path, fields: (
        np.savez_compressed(path / "d.npz", **fields) or path / "d.npz"
    ),
}


@pytest.fixture(params=WRITERS)
def path(request, tmp_path, fields):
    return WRITERS[request.param](tmp_path, fields)


def test_fields_are_those_of_the_arrays(path, fields):
    data = datasets.open_dataset(path, **HELD)
    assert data["source"].dims == ("sample", "y", "x") and data.sizes["sample"] == 12
    for name, held in (("source", "k"), ("potential", "head")):
        np.testing.assert_array_equal(data[name].values, fields[held].transpose(2, 0, 1))
        some = data[name].isel(sample=[1, 4, 7], y=slice(2, 5), x=3).values
        np.testing.assert_array_equal(some, fields[held][2:5, 3][:, [1, 4, 7]].T)
        np.testing.assert_array_equal(data[name].isel(sample=-1).values, fields[held][..., -1])
    assert data.attrs["source_format"] == "NumPy" and data.attrs["pde"] == "poisson"


def test_a_folder_is_read_where_it_is_used(tmp_path, monkeypatch):
    path = folder(tmp_path / "d", {name: np.zeros((400, 64, 64)) for name in NAMES})
    monkeypatch.setattr(pdeinv.memory, "available_memory", lambda: 1e6)
    given = HELD | {"dims": ("sample", "y", "x")}
    assert float(datasets.open_dataset(path, **given)["source"].isel(sample=3).sum()) == 0
    np.savez(tmp_path / "d.npz", **{name: np.zeros((400, 64, 64)) for name in NAMES})
    with pytest.raises(InputError, match="memory"):
        datasets.open_dataset(tmp_path / "d.npz", **given)["source"].isel(sample=3).load()


def test_columns_of_fortran_are_the_same_array(tmp_path, fields):
    path = folder(tmp_path / "d", {name: np.asfortranarray(x) for name, x in fields.items()})
    found = datasets.open_dataset(path, **HELD)["source"].values
    np.testing.assert_array_equal(found, fields["k"].transpose(2, 0, 1))


def test_arrays_named_as_the_fields_need_no_names(tmp_path, fields):
    path = folder(tmp_path / "d", {"source": fields["k"], "potential": fields["head"]})
    data = datasets.open_dataset(path, dims=("y", "x", "sample"))
    assert data.attrs["pde"] == "poisson"
    with pytest.raises(InputError, match=r"axes of 'source' .* must be named"):
        datasets.open_dataset(path)


def test_an_ensemble_and_a_prior_are_made_of_it(path, pdeinv, tmp_path):
    data = datasets.open_dataset(path, **HELD)
    assert len(Ensemble(datasets.states(data, datasets.Poisson()))) == 12
    code, _, err = pdeinv(
        *("train", path, "--pde", "poisson", "--names", "k,head", "--dims", "y,x,sample"),
        *("--model", "gaussian", "--out", tmp_path / "p.safetensors"),
    )
    assert code == 0, err
    assert (tmp_path / "p.safetensors").is_file()


def test_damage_is_one_sentence(path, fields):
    file = path / "k.npy" if path.is_dir() else path
    content = file.read_bytes()
    for broken in (content[: len(content) // 2], content[:20] + b"\xff" * 30 + content[50:], b""):
        file.write_bytes(broken)
        with pytest.raises(InputError) as error:
            datasets.open_dataset(path, **HELD)["source"].load()
        assert "\n" not in str(error.value) and "; " in str(error.value)


def test_a_pickle_does_not_run(tmp_path, fields):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    harmful = np.empty((9, 9, 12), dtype=object)
    harmful.fill(Harm())
    for path in (tmp_path / "d.npz", tmp_path / "d"):
        if path.suffix:
            np.savez(path, **fields | {"k": harmful})
        else:
            folder(path, fields | {"k": harmful})
        with pytest.raises(InputError, match=r"'k' of .* holds no real numbers but values of obj"):
            datasets.open_dataset(path, **HELD)
    assert not (tmp_path / "harm").exists()


def test_a_single_array_is_refused(tmp_path, fields):
    np.save(tmp_path / "k.npy", fields["k"])
    with pytest.raises(InputError, match=r"but a single NumPy array; give .* a folder of \.npy"):
        datasets.open_dataset(tmp_path / "k.npy", **HELD)
