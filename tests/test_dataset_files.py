"""Dataset files are read lazily, our own and MATLAB's, and foreign ones are refused."""

import json

import h5py
import numpy as np
import pytest
import scipy.io
import torch
import xarray as xr

import pdeinv.datasets as datasets
from pdeinv import LogNormal, Problem
from pdeinv.datasets import PDES, Darcy, Helmholtz, Poisson, pde_by_name
from pdeinv.errors import InputError
from pdeinv.priors import TrainingData

MATLAB = {name: kind.matlab_names for name, kind in PDES.items() if kind.matlab_names}


def in_memory(dataset):
    return [name for name in dataset.data_vars if dataset[name].variable._in_memory]


def test_our_files_open_lazily(poisson_file):
    with datasets.open_dataset(poisson_file) as dataset:
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
    a = (3 + (x + size * (y + size * sample)) / 4096).astype(np.float32)  # of any PDE
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
def test_a_prior_learns_from_matlab_files(version, tmp_path):
    arrays = {
        name: np.random.default_rng(i).choice((3.0, 12.0), size=(8, 5, 5))
        for i, name in enumerate(MATLAB["darcy"])
    }
    (scipy.io.savemat if version == "5" else write_matlab73)(tmp_path / "d.mat", arrays)
    read = TrainingData.read(tmp_path / "d.mat").states
    for c, array in enumerate(arrays.values()):
        assert np.allclose(read[:, c], array.transpose(0, 2, 1), rtol=1e-6)


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("name", MATLAB)
def test_matlab_files_open_lazily_and_the_right_way_round(name, version, tmp_path):
    path = tmp_path / "data.mat"
    if version == "5":
        scipy.io.savemat(path, matlab_arrays(name), do_compression=True)
    else:
        write_matlab73(path, matlab_arrays(name))
    pde = pde_by_name(name)
    with datasets.open_dataset(path) as dataset:
        assert not in_memory(dataset)
        assert (dataset.attrs["pde"], dataset.attrs["source_format"]) == (name, f"MATLAB {version}")
        assert dataset.attrs.get("final_time") == (1.0 if name == "navier-stokes" else None)
        assert np.array_equal(dataset.x, pde.grid(16).coordinates()[1])
        for field, truth in zip(pde.fields, matlab_fields(), strict=True):
            variable = dataset[field.name]
            assert variable.dims == ("sample", "y", "x") and variable.dtype == truth.dtype
            assert variable.attrs == field.attributes
            for key in [
                (1,),
                (slice(1, 4, 2), 3),
                ([3, 0, 3], slice(None), 2),
                (2, slice(None, None, -3), slice(4)),
                (slice(0), 1),
                (-1, -2, -3),
            ]:
                assert np.array_equal(variable[key], truth[key])
            assert np.array_equal(
                variable[[4, 1], [2, 3], 5:9], truth[np.ix_([4, 1], [2, 3], range(5, 9))]
            )
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
    write_matlab73(
        tmp_path / "flat.mat", {"f_data": np.ones((3, 3, 5)), "phi_data": np.ones((3, 3, 5))}
    )
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
        "foreign.mat": r"got depth \(1 x 1\), velocity \(3 x 4\); give",
        "foreign73.mat": r"got velocity \(3 x 4\); give",
        "flat.mat": "3 x 3 x 5",
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
            datasets.open_dataset(tmp_path / name)
    generated = tmp_path / "edited.h5"
    generated.write_bytes(whole)
    with h5py.File(generated, "r+") as file:
        del file["potential"]
    with pytest.raises(InputError, match="damaged"):
        datasets.open_dataset(generated)


@pytest.mark.parametrize("name", datasets.examples())
def test_the_shipped_examples_are_true_pairs(name):
    dataset = datasets.example(name)
    pde = datasets.pde_of(dataset)
    assert in_memory(dataset) == list(dataset.data_vars) and pde == pde_by_name(name)
    states = datasets.states(dataset, pde)
    assert states.shape == (8, 2, 64, 64)
    a, u = states[:, :1], states[:, 1:]
    # Relative to the residual of no solution at all; float32 leaves 1e-7, which two derivatives
    # raise by 1/h².
    assert float(pde.residual(a, u).norm() / pde.residual(a, 0 * u).norm()) < 1e-3
    assert dataset.attrs["seed"] == 20_000


# From names to PDEs and tensors


def test_a_pde_is_found_by_its_name_and_parameters():
    assert datasets.pde_by_name("darcy", thickness=2) == Darcy(thickness=2.0)
    assert set(PDES) >= {"poisson", "helmholtz", "darcy", "navier-stokes"}
    for name, parameters, message in [
        ("navier_stokes", {}, "did you mean 'navier-stokes'"),
        ("Darcy", {}, "did you mean 'darcy'"),
        ("burgers", {}, f"one of {', '.join(sorted(PDES))}, got 'burgers'"),
        ("helmholtz", {"wavenumber": 2}, "must be one of k, .*got 'wavenumber'"),
        (
            "helmholtz",
            {"k": "2"},
            r"k of helmholtz must be a number or a range \(low, high\), got '2'",
        ),
        ("helmholtz", {"k": float("nan")}, "a finite number, got nan"),
        ("helmholtz", {"modes": 64}, "a parameter of helmholtz must be one of .*got 'modes'"),
        ("darcy", {"thickness": -1.0}, "thickness of darcy must be a finite number above 0"),
    ]:
        with pytest.raises(InputError, match=message):
            datasets.pde_by_name(name, **parameters)


def test_pde_of_refuses_a_dataset_that_does_not_tell():
    with pytest.raises(InputError, match="must have the attribute 'pde'"):
        datasets.pde_of(xr.Dataset())
    with pytest.raises(InputError, match="must be a JSON object"):
        datasets.pde_of(xr.Dataset(attrs={"pde": "darcy", "pde_parameters": "[1"}))
    with pytest.raises(InputError, match="got 'porosity'"):
        datasets.pde_of(
            xr.Dataset(attrs={"pde": "darcy", "pde_parameters": json.dumps({"porosity": 1})})
        )
    with pytest.raises(InputError, match="got 'burgers'"):
        datasets.example("burgers")


def test_a_dataset_states_the_prior_of_its_coefficients_in_every_version(tmp_path):
    prior = LogNormal(2.0, 0.5, length=0.3, anisotropy=0.5, angle=20.0)
    problem = Problem(Darcy(thickness=2.0), prior)
    path = datasets.generate(problem, 8, 12, 0, tmp_path / "d.h5")
    with datasets.open_dataset(path) as dataset:
        assert dataset.attrs["format_version"] == 3
        assert datasets.problem_of(dataset) == problem
        assert datasets.prior_of(dataset) == prior
    read = TrainingData.read(path, "coefficient")
    assert (read.pde, read.prior) == (problem.physics, prior) and len(read.symmetries) == 2
    for name in datasets.examples():  # of the first version
        dataset = datasets.example(name)
        assert datasets.prior_of(dataset) == pde_by_name(name).default_prior
    attributes = {"pde": "darcy", "pde_parameters": json.dumps({"low": 2.0, "thickness": 2.0})}
    second = datasets.problem_of(xr.Dataset(attrs=attributes))
    assert second.physics == Darcy(thickness=2.0) and second.prior.phases == (2.0, 12.0)


def test_a_dataset_of_somebody_else_states_no_prior(tmp_path):
    fields = datasets.example("poisson").isel(sample=[*range(8), *range(8)])
    fields.attrs = {}
    fields.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    for stated in ({}, {"pde": Poisson()}):
        data = TrainingData.read(tmp_path / "d.nc", **stated)
        assert data.pde == Poisson() and data.prior is None
        assert len(data.symmetries) == 8  # those of the physics, unless the user says otherwise
    unknown = xr.Dataset(attrs={"pde": "burgers"})
    assert datasets.prior_of(unknown) is None and datasets.prior_of(xr.Dataset()) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "the attribute 'prior' of the dataset must be a JSON object"),
        ('{"kind": "log-norml"}', "kind of the prior of the dataset .*; did you mean 'log-normal'"),
        ('{"kind": "two-phase"}', "field of the prior of the dataset .* must be given, got none"),
        (
            '{"kind": "gaussian-field", "mean": 0, "std": 1, "length": 1}',
            "prior of the permeability of darcy must be positive everywhere, got the gaussian-",
        ),
    ],
)
def test_a_wrong_prior_of_a_dataset_is_refused_in_one_sentence(text, message):
    dataset = xr.Dataset(attrs={"pde": "darcy", "prior": text})
    for read in (datasets.problem_of, datasets.prior_of, datasets.pde_of):
        with pytest.raises(InputError, match=message) as refused:
            read(dataset)
        assert str(refused.value).count(";") == 1


def test_a_dataset_of_another_problem_has_no_pde():
    assert datasets.find_pde(xr.Dataset()) is None
    assert datasets.find_pde(xr.Dataset(attrs={"pde": "burgers"})) is None
    assert datasets.find_pde(datasets.example("darcy")) == Darcy()
    with pytest.raises(InputError, match="got 'porosity'"):
        datasets.find_pde(xr.Dataset(attrs={"pde": "darcy", "pde_parameters": '{"porosity": 1}'}))


def test_states_refuses_other_fields_and_other_grids(poisson_file):
    with datasets.open_dataset(poisson_file) as dataset:
        with pytest.raises(
            InputError, match="must hold source and wavefield, got potential, source"
        ):
            datasets.states(dataset, Helmholtz())
        for part in (
            dataset.isel(x=slice(0, 8)),
            dataset.isel(x=slice(0, 12), y=slice(0, 12)),
            dataset.drop_vars("x"),
        ):
            with pytest.raises(InputError, match="coordinates"):
                datasets.states(part, Poisson())
        with pytest.raises(InputError, match="dimensions"):
            datasets.states(dataset.rename(x="lon"), Poisson())


def test_damage_inside_a_field_is_told_when_it_is_read(poisson_file, tmp_path):
    damaged = bytearray(poisson_file.read_bytes())
    with h5py.File(poisson_file) as file:
        chunk = file["potential"].id.get_chunk_info(7)
    damaged[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    (tmp_path / "flipped.h5").write_bytes(damaged)
    with datasets.open_dataset(tmp_path / "flipped.h5") as dataset:
        datasets.states(dataset.isel(sample=[0, 1]), Poisson())  # what is whole can still be read
        with pytest.raises(InputError, match="damaged"):
            datasets.states(dataset, Poisson())
