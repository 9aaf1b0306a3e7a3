"""Training from a dataset that does not fit into memory: the file is read where it is used."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers import tiny_diffusion

import pdeinv.priors.data as reading
import pdeinv.priors.streamed as streamed_states
from pdeinv import InputError
from pdeinv.datasets import generate, pde_by_name
from pdeinv.priors import GaussianPrior, NeuralOperator, Settings, TrainingData, load, train
from pdeinv.priors.streamed import StreamedStates

PROBE = """
import json, sys, warnings
from pathlib import Path
import torch
import pdeinv.memory as memory
from pdeinv.priors import GaussianPrior, TrainingData

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))

path, limit = sys.argv[1], float(sys.argv[2])
GaussianPrior.fit(TrainingData.read(sys.argv[3]), symmetry=False)  # loads libraries
memory.available_memory = lambda: limit
idle = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
data = TrainingData.read(path)
GaussianPrior.fit(data, symmetry=False)
print(json.dumps([data.in_memory, status("VmHWM") - idle]))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("data") / "darcy.h5"
    generate(pde_by_name("darcy"), 60, 16, 1, found)
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(reading, "_BLOCK", 16)


@pytest.fixture
def streamed(path, monkeypatch, small_blocks):
    monkeypatch.setattr(streamed_states, "fits", lambda need: False)
    data = TrainingData.read(path)
    assert isinstance(data.states, StreamedStates) and not data.in_memory
    return data


def test_a_streamed_dataset_has_the_samples_of_the_file(path, streamed, monkeypatch):
    monkeypatch.setattr(streamed_states, "fits", lambda need: True)
    whole = TrainingData.read(path)
    assert whole.in_memory and streamed.states.shape == whole.states.shape
    chosen = torch.tensor([7, 3, 3, 59, 0])
    assert torch.equal(streamed.states[chosen], whole.states[chosen])
    assert torch.equal(streamed.swapped().states[5:9], whole.swapped().states[5:9])
    assert torch.equal(streamed.split(8)[1].states[:], whole.split(8)[1].states)
    assert torch.equal(streamed.split(8)[0].states[50:], whole.split(8)[0].states[50:])
    assert streamed.provenance() == whole.provenance()
    for one, other in zip(streamed.normalisation(), whole.normalisation(), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    one, other = (GaussianPrior.fit(data) for data in (streamed, whole))
    assert all(torch.equal(a, b) for a, b in zip(one.means, other.means, strict=True))


def small_operator(data):
    return NeuralOperator.untrained(data, width=8, modes=4, layers=2)


@pytest.mark.parametrize("make", [tiny_diffusion, small_operator])
def test_the_losses_are_those_of_training_in_memory(make, path, streamed, monkeypatch, tmp_path):
    settings = Settings(steps=8, batch=8)
    one = train(make, streamed, tmp_path / "streamed.safetensors", settings)
    monkeypatch.setattr(streamed_states, "fits", lambda need: True)
    other = train(make, TrainingData.read(path), tmp_path / "whole.safetensors", settings)
    for kept in (one.record, other.record):
        kept.pop("seconds")
        for line in kept["history"]:
            line.pop("seconds")
    assert one.record == other.record
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert load(tmp_path / "streamed.safetensors").fields == other.fields


def test_moments_of_blocks_are_those_of_all_samples(streamed):
    mean, std = streamed._moments()
    states = streamed.states[:].double()
    torch.testing.assert_close(mean, states.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(std, states.std(dim=(0, 2, 3)))


def test_a_wrong_value_is_named_by_its_sample_in_the_file(
    path, monkeypatch, small_blocks, tmp_path
):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(path.read_bytes())
    with h5py.File(bad, "r+") as file:
        file["pressure"][43, 2, 3] = np.nan
    monkeypatch.setattr(streamed_states, "fits", lambda need: False)
    with pytest.raises(InputError, match=r"'pressure' must be finite, got nan in sample 43 at"):
        TrainingData.read(bad)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_stays_below_the_size_of_the_dataset(path, tmp_path):
    big, samples = tmp_path / "big.h5", 24_000
    with h5py.File(path) as one, h5py.File(big, "w") as file:
        for name, value in one.attrs.items():
            file.attrs[name] = value
        for name, variable in one.items():
            if variable.ndim == 3:
                values = np.tile(variable[:].astype(np.float32), (samples // 60, 1, 1))
                made = file.create_dataset(name, data=values, chunks=(64, 16, 16))
            elif name == "sample":
                made = file.create_dataset(name, data=np.arange(samples))
            else:
                made = file.create_dataset(name, data=variable[:])
            for key in variable.attrs:
                if not key.isupper():
                    made.attrs[key] = variable.attrs[key]
    size = 2 * samples * 16 * 16 * 4
    found = subprocess.run(
        [sys.executable, "-c", PROBE, str(big), str(size), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    in_memory, peak = json.loads(found.stdout)
    assert not in_memory and peak < size
    assert Path(big).stat().st_size >= size
