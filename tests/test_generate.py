"""Datasets are generated whole or not at all, resumed, and reproduced to the byte."""

import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import run_command

import pdeinv.datasets as datasets
from pdeinv import Problem, SpectralField
from pdeinv.coordinates import grid_from
from pdeinv.datasets import (
    Darcy,
    Flux,
    Helmholtz,
    NoFlux,
    Poisson,
    Sides,
    Value,
    Well,
    blocks,
    generate,
    pde_by_name,
)
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Domain, Grid
from pdeinv.priors import TrainingData

# On 16 nodes: an error inside a solve
RESONANT = Helmholtz(k=float((8 * 15**2 * np.sin(np.pi / 30) ** 2) ** 0.5))


def parts_of(path):
    return path.with_name(path.name + ".parts")


def test_the_number_of_workers_does_not_change_a_byte(poisson_file, tmp_path):
    # Two workers in the hardest place for `spawn`: a script from standard input, without a guard
    # around the call.
    code = "from pdeinv.datasets import *; generate(Poisson(), 40, 16, 3, 'p.h5', workers=2)"
    subprocess.run(
        [sys.executable, "-"], input=code, text=True, cwd=tmp_path, check=True, timeout=60
    )
    assert (tmp_path / "p.h5").read_bytes() == poisson_file.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["p.h5"]


# Every PDE, and parameters that are not the defaults
OTHER = (Helmholtz(k=2.0), Darcy(thickness=2.0), pde_by_name("navier-stokes", dt=0.2))
KM = Domain((100.0, 105.0, -3.0, 0.0), "km")
AQUIFER = Darcy(
    domain=KM,
    boundary=Sides(Value([1.0, 2.0, 3.0]), Flux(0.5), NoFlux(), NoFlux()),
    source=np.arange(12.0).reshape(3, 4),
    wells=(Well(101.0, -1.0, rate=-2.0), Well(104.0, -2.0, rate=1.0)),
    coefficient_field=Field("conductivity", "conductivity K", "km d-1", 0),
    solution_field=Field("head", "hydraulic head", "m"),
    outputs=("flux_x", "flux_y"),
)
CASES = (
    {name: pde_by_name(name) for name in datasets.PDES}
    | {f"{pde.name} {i}": pde for i, pde in enumerate(OTHER)}
    | {f"{name} in km": kind(domain=KM) for name, kind in datasets.PDES.items()}
    | {"aquifer": AQUIFER}
)


@pytest.mark.parametrize("pde", CASES.values(), ids=CASES)
def test_a_file_holds_true_pairs_and_tells_how_it_was_made(pde, tmp_path):
    threads = torch.get_num_threads()
    grid = pde.grid(16) if pde.domain.square else pde.grid(12, 20)
    path = generate(pde, 3, grid, 7, tmp_path / "d.h5")
    assert torch.get_num_threads() == threads
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_dataset(path, engine="h5netcdf")
    with dataset:
        for field in pde.fields:
            assert dataset[field.name].dims == ("sample", "y", "x")
            assert dataset[field.name].dtype == np.float32
            assert dataset[field.name].attrs == field.attributes
        assert grid_from(dataset) == grid
        for name, nodes in zip("yx", grid.coordinates(), strict=True):
            assert np.array_equal(dataset[name], nodes) and dataset[name].units == grid.unit
        assert (dataset.attrs["pde"], dataset.attrs["seed"], dataset.attrs["grid_kind"]) == (
            pde.name,
            7,
            pde.grid_kind,
        )
        assert datasets.pde_of(dataset) == pde
        states = datasets.states(dataset, pde)
    assert states.shape == (3, len(pde.fields), *grid.shape)
    with datasets.open_dataset(path) as opened:
        assert torch.equal(datasets.states(opened, datasets.pde_of(opened)), states)
        assert [*opened] == [field.name for field in pde.fields]
        assert (opened.attrs["ny"], opened.attrs["nx"]) == grid.shape
        assert (*opened.attrs["extent"],) == grid.extent and opened.attrs["unit"] == grid.unit
    a = states[:, :1]
    for made, stored in zip(pde.respond(a).unbind(1), states[:, 1:].unbind(1), strict=True):
        assert torch.allclose(made, stored, rtol=1e-5, atol=1e-6 * float(stored.abs().max()))
    assert not torch.equal(a[0], a[1])


def test_a_sample_depends_on_the_seed_and_its_index_alone(poisson_file, tmp_path):
    with (
        datasets.open_dataset(generate(Poisson(), 18, 16, 3, tmp_path / "short.h5")) as short,
        datasets.open_dataset(poisson_file) as long,
    ):
        assert np.allclose(short.source, long.source[:18], atol=1e-6)
        assert np.unique(long.source[:, 3, 4]).size == 40
        with datasets.open_dataset(generate(Poisson(), 4, 16, 4, tmp_path / "other.h5")) as other:
            assert not np.isclose(
                other.source.mean(["y", "x"]), short.source[:4].mean(["y", "x"])
            ).any()


def test_a_killed_run_leaves_no_file_and_is_resumed_to_the_same_bytes(tmp_path, monkeypatch):
    n, number = 640, 40
    out, whole = tmp_path / "darcy.h5", tmp_path / "whole.h5"
    code = f"from pdeinv.datasets import *; generate(Darcy(), {n}, 32, 1, {str(out)!r}, workers=1)"
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while (
        not (done := list(parts_of(out).glob("*.npz")))
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    process.kill()  # SIGKILL: nothing can clean up
    process.wait()
    done = len(list(parts_of(out).glob("*.npz")))
    assert 0 < done < number and not out.exists()
    with pytest.raises(InputError, match="unfinished"):
        datasets.open_dataset(parts_of(out))
    stored = []
    store = blocks.Blocks.store
    monkeypatch.setattr(
        blocks.Blocks, "store", lambda job, start: (stored.append(start), store(job, start))
    )
    generate(Darcy(), n, 32, 1, out, workers=1)
    assert len(stored) == number - done
    assert out.read_bytes() == generate(Darcy(), n, 32, 1, whole, workers=1).read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["darcy.h5", "whole.h5"]


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """An unfinished run of the settings of `poisson_file`: Ctrl-C came after two of three
    blocks."""
    out = tmp_path / "poisson.h5"
    store = blocks.Blocks.store

    def stop_at_third(job, start):
        if start == 32:
            raise KeyboardInterrupt
        store(job, start)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(blocks.Blocks, "store", stop_at_third)
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
    with pytest.raises(
        InputError, match=r"unfinished run with seed = 3, not 4; finish .* or delete that folder"
    ):
        generate(Poisson(), 40, 16, 4, stopped)
    with pytest.raises(InputError, match=r"run with pde_parameters ="):
        generate(Poisson(source=2.0), 40, 16, 3, stopped)
    with pytest.raises(InputError, match=r"run with prior ="):
        generate(Problem(Poisson(), SpectralField(tau=4.0)), 40, 16, 3, stopped)
    plan = parts_of(stopped) / "plan.json"
    now = plan.read_text()
    plan.write_text(now.replace('"format_version": 3', '"format_version": 2'))
    with pytest.raises(InputError, match="must hold a run of format version 3, got version 2"):
        generate(Poisson(), 40, 16, 3, stopped)
    plan.write_text("{")
    with pytest.raises(InputError, match="must hold a readable plan"):
        generate(Poisson(), 40, 16, 3, stopped)
    assert len(list(parts_of(stopped).glob("*.npz"))) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n must be an integer of at least 1, got 0"),
        ({"n": 2.5}, "n must be .* got 2.5"),
        ({"n": True}, "n must be .* got True"),
        ({"grid": 7}, "grid must be .* at least 8, got 7"),
        ({"seed": -1}, "seed must be .* got -1"),
        ({"workers": 0}, "workers must be .* got 0"),
        ({"problem": Poisson}, "instance"),
        ({"out": "nowhere/p.h5"}, "does not exist"),
        ({"out": "there.h5"}, "exists already"),
        ({"out": "taken.h5"}, "must hold a readable plan"),
        ({"problem": RESONANT}, "resonance"),
        (
            {"problem": Poisson(source=lambda x, y: x)},
            "source must be .*; give the array",
        ),
        ({"grid": Grid(16, extent=(0.0, 2.0, 0.0, 2.0))}, "must be on its domain"),
        ({"grid": Grid(16, 7)}, "nx of the grid must be .* at least 8, got 7"),
        ({"grid": Grid(16, kind="periodic")}, "must be of kind 'vertex'"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(change, message, tmp_path):
    (tmp_path / "there.h5").touch()
    (tmp_path / "taken.h5.parts").mkdir()
    (tmp_path / "taken.h5.parts" / "thesis.tex").touch()  # somebody's folder, not ours to empty
    before = sorted(tmp_path.rglob("*"))
    arguments = {"problem": Poisson(), "n": 4, "grid": 16, "seed": 0, "out": "p.h5"} | change
    with pytest.raises(InputError, match=message):
        generate(**arguments | {"out": tmp_path / arguments["out"]})
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_in_a_worker_reaches_the_caller(tmp_path):
    with pytest.raises(InputError, match="resonance"):
        generate(RESONANT, 32, 16, 0, tmp_path / "h.h5", workers=2)
    assert not any(tmp_path.iterdir())


# Several files


def test_shards_hold_the_fields_of_one_file(poisson_file, tmp_path):
    found = generate(Poisson(), 40, 16, 3, tmp_path / "p.h5", shards=3, workers=1)
    assert found == tmp_path / "p-*.h5"
    names = [f"p-000{i}.h5" for i in (1, 2, 3)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    for path in (tmp_path, found):
        with datasets.open_dataset(path) as many, datasets.open_dataset(poisson_file) as one:
            for name in one.variables:
                assert many[name].identical(one[name])
            assert many.attrs | {"shards": 0, "samples_of_all": 0} == one.attrs | {
                "shards": 0,
                "samples_of_all": 0,
            }
            for rows in (17, -1, slice(10, 35), slice(None, None, 7), [0, 15, 16, 39], [], [31]):
                part, same = (
                    data.source.isel(sample=rows, y=slice(2, 9), x=3) for data in (many, one)
                )
                np.testing.assert_array_equal(part, same)
    with datasets.open_dataset(tmp_path / "p-000[23].h5") as some:
        assert some["sample"].values.tolist() == list(range(16, 40))
        assert some.attrs["samples"] == 24


def test_a_stopped_run_of_shards_is_resumed(tmp_path, monkeypatch):
    whole = generate(Poisson(), 96, 16, 3, tmp_path / "whole.h5", shards=3, workers=1)
    stored, out = [], tmp_path / "p.h5"
    store = blocks.Blocks.store

    def stop(job, start):
        if start == 48 and len(stored) == 3:
            raise KeyboardInterrupt
        stored.append(start)
        store(job, start)

    monkeypatch.setattr(blocks.Blocks, "store", stop)
    with pytest.raises(KeyboardInterrupt):
        generate(Poisson(), 96, 16, 3, out, shards=3, workers=1)
    assert sorted(f.name for f in tmp_path.glob("p*")) == ["p-0001.h5", "p.h5.parts"]
    with pytest.raises(InputError, match="unfinished run with shards = 3, not 2"):
        generate(Poisson(), 96, 16, 3, out, shards=2, workers=1)
    with pytest.raises(InputError, match=r"must hold all 3 shards of the dataset, got 1; repeat"):
        (tmp_path / "some").mkdir()
        (tmp_path / "some" / "p-0001.h5").write_bytes((tmp_path / "p-0001.h5").read_bytes())
        datasets.open_dataset(tmp_path / "some")
    stored.append(-1)
    generate(Poisson(), 96, 16, 3, out, shards=3, workers=1)
    assert stored == [0, 16, 32, -1, 48, 64, 80]
    assert sorted(f.name for f in tmp_path.glob("p*")) == [f"p-000{i}.h5" for i in (1, 2, 3)]
    for i in (1, 2, 3):
        same = tmp_path / f"whole-000{i}.h5"
        assert (tmp_path / f"p-000{i}.h5").read_bytes() == same.read_bytes()
    with pytest.raises(InputError, match=r"p-0001\.h5 exists already; choose another name"):
        generate(Poisson(), 96, 16, 3, out, shards=3, workers=1)
    assert whole.name == "whole-*.h5"


def test_shards_that_are_not_those_of_one_dataset_are_refused(poisson_file, tmp_path):
    for seed in (1, 2):
        generate(Poisson(), 32, 16, seed, tmp_path / f"{seed}.h5", shards=2, workers=1)
    with pytest.raises(
        InputError, match=r"must be a shard of the dataset of .*1-0001\.h5, got seed"
    ):
        datasets.open_dataset(tmp_path)
    with pytest.raises(InputError, match="pattern of files that exist, got none"):
        datasets.open_dataset(tmp_path / "x*.h5")
    (tmp_path / "1-0003.h5").write_bytes(poisson_file.read_bytes())
    with pytest.raises(InputError, match=r"1-0003\.h5 must be a shard of .* got a file without"):
        datasets.open_dataset(tmp_path / "1-*.h5")
    with pytest.raises(InputError, match="shards must be an integer of at most 2, got 3"):
        generate(Poisson(), 32, 16, 1, tmp_path / "p.h5", shards=3)


def test_shards_train_a_prior_and_are_an_ensemble(tmp_path):
    for out, shards in (("one.h5", 1), ("many.h5", 2)):
        generate(Poisson(), 32, 16, 3, tmp_path / out, shards=shards, workers=1)
    one = TrainingData.read(tmp_path / "one.h5")
    many = TrainingData.read(str(tmp_path / "many-*.h5"))
    assert torch.equal(one.states, many.states) and one.digest() == many.digest()
    table = tmp_path / "s.csv"
    table.write_text("field,x,y,value\npotential,0.3,0.4,0.002\n")
    made = ["--pde", "poisson", "--grid", 16, "--noise", "1e-4", "--out", tmp_path / "r.nc"]
    made += ["--solver", "optimal-interpolation", "--ensemble", tmp_path / "many-*.h5"]
    assert run_command("reconstruct", table, *made).exit_code == 0
