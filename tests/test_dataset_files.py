"""Dataset files: generated whole or not at all, resumed, reproduced; read lazily, our own and MATLAB's."""

import json
import subprocess
import sys
import time
import warnings

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray as xr

import pdeinv.datasets as datasets
from pdeinv.datasets import PDES, Darcy, Helmholtz, NavierStokes, Poisson, generate
from pdeinv.errors import InputError

# `import pdeinv.datasets.generate` would give the function that the package exports under the same name.
generation = sys.modules["pdeinv.datasets.generate"]

MATLAB = {
    "darcy": ("thresh_a_data", "thresh_p_data"),
    "poisson": ("f_data", "phi_data"),
    "helmholtz": ("f_data", "psi_data"),
    "navier-stokes": ("a", "u"),
}
RESONANT = Helmholtz(k=float((8 * 15**2 * np.sin(np.pi / 30) ** 2) ** 0.5))  # on 16 nodes: an error inside a solve


def parts_of(path):
    return path.with_name(path.name + ".parts")


@pytest.fixture(scope="module")
def poisson_file(tmp_path_factory):
    return generate(Poisson(), 40, 16, 3, tmp_path_factory.mktemp("data") / "poisson.h5", workers=1)


# Generation


def test_the_number_of_workers_does_not_change_a_byte(poisson_file, tmp_path):
    # Two workers in the hardest place for `spawn`: a script from standard input, without a guard around the call.
    code = "from pdeinv.datasets import *; generate(Poisson(), 40, 16, 3, 'p.h5', workers=2)"
    subprocess.run([sys.executable, "-"], input=code, text=True, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "p.h5").read_bytes() == poisson_file.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["p.h5"]


@pytest.mark.parametrize(
    "pde", [Poisson(), Helmholtz(k=2.0), Darcy(low=1.0), NavierStokes(dt=0.2)], ids=lambda p: p.name
)
def test_a_file_holds_true_pairs_and_tells_how_it_was_made(pde, tmp_path):
    threads = torch.get_num_threads()
    path = generate(pde, 3, 16, 7, tmp_path / "d.h5")
    assert torch.get_num_threads() == threads
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_dataset(path, engine="h5netcdf")
    with dataset:
        for field in pde.fields:
            assert dataset[field.name].dims == ("sample", "y", "x")
            assert dataset[field.name].dtype == np.float32
            assert dataset[field.name].attrs == {"units": field.units, "long_name": field.long_name}
        assert np.array_equal(dataset.x, pde.grid(16).coordinates()) and np.array_equal(dataset.y, dataset.x)
        assert (dataset.attrs["pde"], dataset.attrs["seed"], dataset.attrs["grid_kind"]) == (pde.name, 7, pde.grid_kind)
        assert datasets.pde_of(dataset) == pde
        states = datasets.states(dataset, pde)
    a, u = states[:, :1], states[:, 1:]
    assert torch.allclose(pde.solve(a), u, rtol=1e-5, atol=1e-6 * float(u.abs().max()))
    assert not torch.equal(a[0], a[1])


def test_a_sample_depends_on_the_seed_and_its_index_alone(poisson_file, tmp_path):
    with (
        datasets.open(generate(Poisson(), 18, 16, 3, tmp_path / "short.h5")) as short,
        datasets.open(poisson_file) as long,
    ):
        assert np.allclose(short.source, long.source[:18], atol=1e-6)
        assert np.unique(long.source[:, 3, 4]).size == 40
        with datasets.open(generate(Poisson(), 4, 16, 4, tmp_path / "other.h5")) as other:
            assert not np.isclose(other.source.mean(["y", "x"]), short.source[:4].mean(["y", "x"])).any()


def test_a_killed_run_leaves_no_file_and_is_resumed_to_the_same_bytes(tmp_path, monkeypatch):
    n, blocks = 640, 40
    out, whole = tmp_path / "darcy.h5", tmp_path / "whole.h5"
    code = f"from pdeinv.datasets import *; generate(Darcy(), {n}, 32, 1, {str(out)!r}, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (done := list(parts_of(out).glob("*.npz"))) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()  # SIGKILL: nothing can clean up
    process.wait()
    done = len(list(parts_of(out).glob("*.npz")))
    assert 0 < done < blocks and not out.exists()
    with pytest.raises(InputError, match="unfinished"):
        datasets.open(parts_of(out))
    stored = []
    store = generation._Job.store
    monkeypatch.setattr(generation._Job, "store", lambda job, start: (stored.append(start), store(job, start)))
    generate(Darcy(), n, 32, 1, out, workers=1)
    assert len(stored) == blocks - done
    assert out.read_bytes() == generate(Darcy(), n, 32, 1, whole, workers=1).read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["darcy.h5", "whole.h5"]


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """An unfinished run of the settings of `poisson_file`: Ctrl-C came after two of three blocks."""
    out = tmp_path / "poisson.h5"
    store = generation._Job.store

    def stop_at_third(job, start):
        if start == 32:
            raise KeyboardInterrupt
        store(job, start)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(generation._Job, "store", stop_at_third)
        generate(Poisson(), 40, 16, 3, out, workers=1)
    assert len(list(parts_of(out).glob("*.npz"))) == 2 and not out.exists()
    return out


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "shape"])
def test_a_damaged_block_is_computed_again(stopped, poisson_file, damage):
    block = parts_of(stopped) / "block-000000016.npz"
    data = bytearray(block.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    block.write_bytes({"cut": data[:-100], "flipped": data, "empty": b"", "shape": data}[damage])
    if damage == "shape":
        np.savez(block, states=np.zeros((16, 2, 8, 8), np.float32))
    generate(Poisson(), 40, 16, 3, stopped, workers=1)
    assert stopped.read_bytes() == poisson_file.read_bytes()


def test_an_unfinished_run_refuses_other_settings(stopped):
    with pytest.raises(InputError, match=r"unfinished run with seed = 3, not 4; finish .* or delete that folder"):
        generate(Poisson(), 40, 16, 4, stopped)
    with pytest.raises(InputError, match=r"pde_parameters"):
        generate(Poisson(tau=4.0), 40, 16, 3, stopped)
    (parts_of(stopped) / "plan.json").write_text("{")
    with pytest.raises(InputError, match="no readable plan"):
        generate(Poisson(), 40, 16, 3, stopped)
    assert len(list(parts_of(stopped).glob("*.npz"))) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n = 0"),
        ({"n": 2.5}, "n = 2.5"),
        ({"n": True}, "n = True"),
        ({"grid": 7}, "grid = 7"),
        ({"seed": -1}, "seed = -1"),
        ({"workers": 0}, "workers = 0"),
        ({"pde": Poisson}, "instance"),
        ({"out": "nowhere/p.h5"}, "does not exist"),
        ({"out": "there.h5"}, "exists already"),
        ({"out": "taken.h5"}, "in the way"),
        ({"pde": RESONANT}, "resonance"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(change, message, tmp_path):
    (tmp_path / "there.h5").touch()
    (tmp_path / "taken.h5.parts").mkdir()
    (tmp_path / "taken.h5.parts" / "thesis.tex").touch()  # somebody's folder, not ours to empty
    before = sorted(tmp_path.rglob("*"))
    arguments = {"pde": Poisson(), "n": 4, "grid": 16, "seed": 0, "out": "p.h5"} | change
    with pytest.raises(InputError, match=message):
        generate(**arguments | {"out": tmp_path / arguments["out"]})
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_in_a_worker_reaches_the_caller(tmp_path):
    with pytest.raises(InputError, match="resonance"):
        generate(RESONANT, 32, 16, 0, tmp_path / "h.h5", workers=2)
    assert not any(tmp_path.iterdir())


# Reading


def in_memory(dataset):
    return [name for name in dataset.data_vars if dataset[name].variable._in_memory]


def test_our_files_open_lazily(poisson_file):
    with datasets.open(poisson_file) as dataset:
        assert not in_memory(dataset)
        assert dataset.potential.isel(sample=3).shape == (16, 16)
        assert not in_memory(dataset)
        assert dataset.attrs["source_format"] == "pdeinv-dataset"
        assert datasets.states(dataset.isel(sample=[5, 2]), Poisson()).shape == (2, 2, 16, 16)
        one = datasets.states(dataset.isel(sample=5).transpose("x", "y"), Poisson())
        assert torch.equal(one, datasets.states(dataset, Poisson())[5:6])


def matlab_fields(n=5, size=16):
    """(samples, y, x), different along every axis."""
    sample, y, x = np.meshgrid(np.arange(n), np.arange(size), np.arange(size), indexing="ij")
    a = (x + 100.0 * y + 10_000 * sample).astype(np.float32)
    return a, -2.0 * a.astype(np.float64)


def matlab_arrays(name):
    """The same in MATLAB's order, samples x X x Y (x times)."""
    a, u = (field.transpose(0, 2, 1) for field in matlab_fields())
    arrays = dict(zip(MATLAB[name], (a, u), strict=True)) | {"other": np.ones((2, 3))}
    if name == "navier-stokes":
        arrays |= {"u": np.stack([0 * u, 3 * u, u], axis=-1), "t": np.array([[0.25, 0.5, 1.0]])}
    return arrays


def write_matlab73(path, arrays):
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("name", MATLAB)
def test_matlab_files_open_lazily_and_the_right_way_round(name, version, tmp_path):
    path = tmp_path / "data.mat"
    if version == "5":
        scipy.io.savemat(path, matlab_arrays(name), do_compression=True)
    else:
        write_matlab73(path, matlab_arrays(name))
    pde = PDES[name]()
    with datasets.open(path) as dataset:
        assert not in_memory(dataset)
        assert (dataset.attrs["pde"], dataset.attrs["source_format"]) == (name, f"MATLAB {version}")
        assert dataset.attrs.get("final_time") == (1.0 if name == "navier-stokes" else None)
        assert np.array_equal(dataset.x, pde.grid(16).coordinates())
        for field, truth in zip(pde.fields, matlab_fields(), strict=True):
            variable = dataset[field.name]
            assert variable.dims == ("sample", "y", "x") and variable.dtype == truth.dtype
            assert variable.attrs == {"units": field.units, "long_name": field.long_name}
            for key in [
                (1,),
                (slice(1, 4, 2), 3),
                ([3, 0, 3], slice(None), 2),
                (2, slice(None, None, -3), slice(4)),
                (slice(0), 1),
                (-1, -2, -3),
            ]:
                assert np.array_equal(variable[key], truth[key])
            assert np.array_equal(variable[[4, 1], [2, 3], 5:9], truth[np.ix_([4, 1], [2, 3], range(5, 9))])
            assert np.array_equal(variable, truth)
        assert datasets.pde_of(dataset) == pde
        states = datasets.states(dataset, pde)
    assert states.shape == (5, 2, 16, 16) and states.dtype == torch.float64
    assert torch.equal(states[:, 1], -2 * states[:, 0])


def test_foreign_and_damaged_files_are_refused(poisson_file, tmp_path):
    whole = poisson_file.read_bytes()
    scipy.io.savemat(tmp_path / "ok.mat", matlab_arrays("darcy"))
    matlab = (tmp_path / "ok.mat").read_bytes()
    scipy.io.savemat(tmp_path / "foreign.mat", {"velocity": np.ones((3, 4)), "depth": 1.0})
    write_matlab73(tmp_path / "foreign73.mat", {"velocity": np.ones((3, 4))})
    write_matlab73(tmp_path / "flat.mat", {"f_data": np.ones((3, 4, 5)), "phi_data": np.ones((3, 4, 5))})
    write_matlab73(tmp_path / "cut73.mat", matlab_arrays("darcy"))
    (tmp_path / "cut73.mat").write_bytes((tmp_path / "cut73.mat").read_bytes()[:-4000])
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "stub.h5").write_bytes(whole[:100])
    (tmp_path / "empty.h5").touch()
    (tmp_path / "cut.mat").write_bytes(matlab[:5000])
    (tmp_path / "notes.txt").write_text("sensor readings")
    with h5py.File(tmp_path / "newer.h5", "w") as file:
        file.attrs.update(format="pdeinv-dataset", format_version=99)
    for name, message in {
        "foreign.mat": "holds depth, velocity, which",
        "foreign73.mat": "holds velocity, which",
        "flat.mat": "3 x 4 x 5",
        "cut73.mat": "damaged",
        "cut.h5": "damaged",
        "stub.h5": "damaged",
        "empty.h5": "neither",
        "cut.mat": "damaged",
        "notes.txt": "neither",
        "newer.h5": "upgrade",
        "missing.h5": "cannot be read",
        ".": "is a folder",
    }.items():
        with pytest.raises(InputError, match=message):
            datasets.open(tmp_path / name)
    generated = tmp_path / "edited.h5"
    generated.write_bytes(whole)
    with h5py.File(generated, "r+") as file:
        del file["potential"]
    with pytest.raises(InputError, match="damaged"):
        datasets.open(generated)


@pytest.mark.parametrize("name", PDES)
def test_the_shipped_examples_are_true_pairs(name):
    dataset = datasets.example(name)
    pde = datasets.pde_of(dataset)
    assert in_memory(dataset) == list(dataset.data_vars) and pde == PDES[name]()
    states = datasets.states(dataset, pde)
    assert states.shape == (8, 2, 64, 64)
    a, u = states[:, :1], states[:, 1:]
    # Relative to the residual of no solution at all; float32 leaves 1e-7, which two derivatives raise by 1/h².
    assert float(pde.residual(a, u).norm() / pde.residual(a, 0 * u).norm()) < 1e-3
    assert dataset.attrs["seed"] == 20_000


# From names to PDEs and tensors


def test_a_pde_is_found_by_its_name_and_parameters():
    assert datasets.pde_by_name("darcy", low=2, modes=64) == Darcy(low=2.0, modes=64)
    assert set(PDES) == {"poisson", "helmholtz", "darcy", "navier-stokes"}
    for name, parameters, message in [
        ("navier_stokes", {}, "did you mean 'navier-stokes'"),
        ("Darcy", {}, "did you mean 'darcy'"),
        ("burgers", {}, "use one of darcy, helmholtz, navier-stokes, poisson"),
        ("helmholtz", {"wavenumber": 2}, "no parameter 'wavenumber'; its parameters are k, alpha"),
        ("helmholtz", {"k": "2"}, "k = '2' of helmholtz is not a finite float"),
        ("helmholtz", {"k": float("nan")}, "not a finite float"),
        ("helmholtz", {"modes": 2.5}, "modes = 2.5 of helmholtz is not a finite int"),
        ("darcy", {"low": -1.0}, "0 < low < high"),
    ]:
        with pytest.raises(InputError, match=message):
            datasets.pde_by_name(name, **parameters)


def test_pde_of_refuses_a_dataset_that_does_not_tell():
    with pytest.raises(InputError, match="no attribute 'pde'"):
        datasets.pde_of(xr.Dataset())
    with pytest.raises(InputError, match="not a JSON object"):
        datasets.pde_of(xr.Dataset(attrs={"pde": "darcy", "pde_parameters": "[1"}))
    with pytest.raises(InputError, match="no parameter 'porosity'"):
        datasets.pde_of(xr.Dataset(attrs={"pde": "darcy", "pde_parameters": json.dumps({"porosity": 1})}))
    with pytest.raises(InputError, match="'burgers' is unknown"):
        datasets.example("burgers")


def test_states_refuses_other_fields_and_other_grids(poisson_file):
    with datasets.open(poisson_file) as dataset:
        with pytest.raises(InputError, match="holds potential, source, but helmholtz needs source and wavefield"):
            datasets.states(dataset, Helmholtz())
        for part in (dataset.isel(x=slice(0, 8)), dataset.isel(x=slice(0, 12), y=slice(0, 12)), dataset.drop_vars("x")):
            with pytest.raises(InputError, match="coordinates"):
                datasets.states(part, Poisson())
        with pytest.raises(InputError, match="dimensions"):
            datasets.states(dataset.rename(x="lon"), Poisson())
