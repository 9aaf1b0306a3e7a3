"""Files of other people: nothing in them runs, leaves its folder or fills the memory."""

import contextlib
import json
import os
import pickle
import socket
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from safetensors.torch import save_file

from pdeinv import Problem, open_result
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.datasets import Poisson, generate, open_dataset
from pdeinv.errors import InputError
from pdeinv.priors import Settings, TrainingData, load, train
from pdeinv.sensors import Sensors
from pdeinv.solvers.plans.storage import load_plan

MARK = "ran.txt"


class Malicious:
    """It makes a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path(MARK),)


PAYLOADS = {
    "pickle": pickle.dumps(Malicious()),
    "torch": b"",  # a zip archive with a pickle, as `torch.save` writes
    "numpy": b"",  # an array of objects, as `numpy.save` writes
    "npz": b"",
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The working directory, and the bytes of each kind of file with a pickle."""
    monkeypatch.chdir(tmp_path)
    found = dict(PAYLOADS)
    with zipfile.ZipFile("t", "w") as archive:
        archive.writestr("archive/data.pkl", PAYLOADS["pickle"])
        archive.writestr("archive/version", "3")
    found["torch"] = Path("t").read_bytes()
    objects = np.array([Malicious()], dtype=object)
    with open("n.npy", "wb") as stream:
        np.save(stream, objects, allow_pickle=True)
    np.savez("z.npz", states=objects, outputs=objects)
    found |= {"numpy": Path("n.npy").read_bytes(), "npz": Path("z.npz").read_bytes()}
    pickle.loads(PAYLOADS["pickle"])
    assert Path(MARK).exists()  # it would be noticed
    Path(MARK).unlink()
    return found


def trained(path):
    """Resume a training from a checkpoint."""
    data = TrainingData.read(generate(Poisson(), 16, 16, 0, f"{path}-data.h5", workers=1))
    train(lambda _: pytest.fail("work"), data, path.removesuffix(".checkpoint"), Settings(steps=1))


READERS = {
    "a.safetensors": load,
    "a.checkpoint": trained,
    "a.h5": open_dataset,
    "a.mat": open_dataset,
    "a.nc": open_result,
    "b.nc": load_plan,
    "a.jsonl": read_records,
    "a.toml": Problem.load,
    "a.csv": Sensors.read,
}


@pytest.mark.parametrize("name", READERS)
def test_no_pickle_runs_in_a_file_of_any_kind(name, planted):
    for kind, content in planted.items():
        Path(name).write_bytes(content)
        with pytest.raises(InputError):
            READERS[name](name)
        assert not Path(MARK).exists(), kind
        for path in Path().glob("*-data.h5"):
            path.unlink()


def test_no_pickle_runs_within_the_formats(planted):
    text = pickle.dumps(Malicious(), protocol=0).decode()
    with h5py.File("a.h5", "w") as file:
        file["a"] = np.void(PAYLOADS["pickle"])
        file.attrs["pde"] = np.void(PAYLOADS["pickle"])
        file.attrs["prior"] = text
    with pytest.raises(InputError):
        open_dataset("a.h5", pde="poisson", names=("a", "a"), dims=("y", "x"))
    import torch

    save_file({"a": torch.zeros(1)}, "a.st", metadata={"format": "pdeinv-prior", "prior": text})
    with pytest.raises(InputError):
        load("a.st")
    xr.Dataset({"sensor_value": 1.0}, attrs={"problem": text}).to_netcdf("a.nc", engine="h5netcdf")
    with pytest.raises(InputError):
        open_result("a.nc").as_prior()
    assert not Path(MARK).exists()


def test_the_blocks_of_a_dataset_run_no_pickle(planted):
    parts = Path("d.h5.parts")
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pdeinv.datasets.blocks.Blocks.assemble", interrupt)
        generate(Poisson(), 20, 16, 0, "d.h5", workers=1)
    blocks = sorted(parts.glob("*.npz"))
    assert len(blocks) == 2
    blocks[0].write_bytes(planted["npz"])
    generate(Poisson(), 20, 16, 0, "d.h5", workers=1)
    generate(Poisson(), 20, 16, 0, "e.h5", workers=1)
    assert Path("d.h5").read_bytes() == Path("e.h5").read_bytes()
    assert not Path(MARK).exists()


def interrupt(*_):
    raise KeyboardInterrupt


READ_WHOLE = {"result": open_result, "plan": load_plan}


@pytest.mark.parametrize("kind", READ_WHOLE)
def test_the_size_of_a_result_is_checked_before_memory_is_taken(kind, tmp_path):
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:  # 8 TB in a few kilobytes
        file.create_dataset("sensor_value", (10**6, 10**6), "f8", chunks=(1000, 1000))
    assert path.stat().st_size < 10000
    with pytest.raises(InputError, match="must be at most"):
        READ_WHOLE[kind](path)


def test_a_model_that_states_too_many_numbers_is_refused(tmp_path):
    tensor = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    header = json.dumps({"__metadata__": {"format": "pdeinv-prior", "prior": "{}"}, "a": tensor})
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        load(path)


@pytest.mark.parametrize("how", ["link", "external", "virtual"])
def test_a_result_that_leads_to_another_file_is_refused(how, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["a"] = np.arange(4.0)
    with h5py.File(tmp_path / "r.nc", "w") as file:
        if how == "link":
            file["sensor_value"] = h5py.ExternalLink(str(secret), "a")
        elif how == "external":
            places = [(str(secret), 0, 32)]
            file.create_dataset("sensor_value", (4,), "f8", external=places)
        else:
            layout = h5py.VirtualLayout((4,), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "a", (4,))
            file.create_virtual_dataset("sensor_value", layout)
    with pytest.raises(InputError, match=r"must hold its values itself, and 'sensor_value' leads"):
        open_result(tmp_path / "r.nc")


def test_a_report_is_written_in_its_folder_whatever_its_records_name(tmp_path, monkeypatch):
    import test_fuzz_records

    records = [r | {"pde": "../../../evil"} for r in test_fuzz_records.INSTANCES]
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    log = inner / "r.instances.jsonl"
    log.write_text("".join(json.dumps(r) + "\n" for r in records))
    with contextlib.suppress(InputError):
        write_page(inner / "r.jsonl")
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and inner not in p.parents]
    assert outside == []


def test_nothing_goes_online(pdeinv, tmp_path, monkeypatch):
    def refused(*_, **__):
        pytest.fail("a connection was opened")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    for command in (
        "generate poisson --n 16 --grid 16 --workers 1 --out d.h5",
        "train d.h5 --model diffusion --widths 16 --steps 1 --batch 2 --out m.safetensors",
        "problem heat-sources",
        "reconstruct heat-sources.csv --problem heat-sources.toml --samples 2 --out r.nc",
    ):
        code, _, message = pdeinv(*command.split())
        assert code == 0, message
    assert {"d.h5", "m.safetensors", "r.nc"} <= set(os.listdir())
