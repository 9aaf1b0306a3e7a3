"""Files of models with random faults: each is loaded and used, or refused in one sentence."""

import copy
import json
import struct
from functools import cache

import pytest
import torch
from helpers import gaussian_prior, on_rectangle, seeded, tiny_diffusion, training_data
from hypothesis import given
from hypothesis import strategies as st
from nested import places
from safetensors import safe_open
from safetensors.torch import save_file
from tally import tally
from time_limit import time_limit

from pdeinv import InputError, NumericalError, Observation
from pdeinv.datasets import Darcy
from pdeinv.priors import (
    GaussianPrior,
    NeuralOperator,
    SensorRegressor,
    Settings,
    load,
    save,
    train,
)

ODD = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 2.5, 10**30, 2048, "", "x", [], {}, [1], [[]]]),
    st.sampled_from([1e-320, 1e308, -1e99, float("nan"), float("inf"), "gaussian", "periodic"]),
    st.integers(-2, 70),
)
TYPES = [torch.float16, torch.float32, torch.float64, torch.int64, torch.int8, torch.bool]
TYPES += [torch.bfloat16, torch.complex64, torch.uint8, torch.float8_e4m3fn]
NUMBERS = [float("nan"), float("inf"), -1.0, 0.0, 1e-30, 1e4, 1e20, -1e38, 1e38]
SETTINGS = Settings(steps=3, batch=4)
MODELS = ["gaussian", "periodic", "white", "diffusion", "edm", "operator", "regressor"]
MODELS += ["rectangle", "rectangular diffusion", "rectangular regressor"]


def made(name):
    if name in ("gaussian", "white"):
        noise = "white" if name == "white" else "exponential"
        return gaussian_prior("darcy", samples=80, noise=noise)
    if name.startswith("rectang"):
        data = training_data(on_rectangle(Darcy()), (24, 40), samples=40)
        if name == "rectangle":
            return GaussianPrior.fit(data)
        name = name.removeprefix("rectangular ")
    else:
        data = training_data("navier-stokes" if name == "periodic" else "darcy", samples=80)
    if name in ("operator", "regressor"):
        kind = NeuralOperator if name == "operator" else SensorRegressor
        return kind.untrained(data, width=8 if name == "operator" else 16, modes=4, layers=2)
    prior = tiny_diffusion(data)
    if name == "edm":
        prior = type(prior).untrained(
            prior.gaussian, widths=(16, 32), modes=4, preconditioning="edm"
        )
    for p in prior.network.parameters():  # the last layer of a new network is zero
        p.data = p.data + 0.01
    return prior


@cache
def parts(name, folder):
    """The header and the tensors of a model's file."""
    with safe_open(save(made(name), folder / f"{name}.safetensors"), "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return json.loads(file.metadata()["prior"]), tensors


def mutate_header(data, header):
    *path, last = data.draw(st.sampled_from(list(places(header))[1:]))
    for key in path:
        header = header[key]
    act = data.draw(st.sampled_from(["set"] * 4 + ["drop", "add"]))
    if act == "drop":
        del header[last]
    elif act == "set":
        header[last] = copy.deepcopy(data.draw(ODD))
    elif isinstance(header, dict):
        header["more"] = copy.deepcopy(data.draw(ODD))
    else:
        header.append(header[0])


def mutate_tensors(data, tensors):
    name = data.draw(st.sampled_from(sorted(tensors)))
    value = tensors[name]
    acts = ["drop", "name", "type", "flat", "cut", "more", "number", "number", "number"]
    act = data.draw(st.sampled_from(acts))
    if act == "drop":
        del tensors[name]
    elif act == "name":
        other = data.draw(st.sampled_from(["x", "block.0.places", "block.7.places"]))
        tensors[other] = value.clone()
    elif act == "type":
        tensors[name] = value.to(data.draw(st.sampled_from(TYPES)))
    elif act == "flat":
        tensors[name] = value.flatten()
    elif act == "cut":
        tensors[name] = value[:-1] if value.ndim else value[None]
    elif act == "more":
        tensors[name] = torch.stack([value, value])
    elif value.numel() and (value.is_floating_point() or value.dtype == torch.int64):
        where = data.draw(st.integers(0, value.numel() - 1))
        numbers = [-1, 0, 3, 10**6] if value.dtype == torch.int64 else NUMBERS
        value = value.clone()
        value.view(-1)[where] = data.draw(st.sampled_from(numbers))
        tensors[name] = value


def spoil(data, path):
    """Perhaps spoil the bytes of a file."""
    content = bytearray(path.read_bytes())
    act = data.draw(st.sampled_from(["none"] * 7 + ["cut", "flip", "length"]))
    if act == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    elif act == "flip":
        length = struct.unpack("<Q", content[:8])[0]
        content[data.draw(st.integers(0, 8 + length))] ^= 1 << data.draw(st.integers(0, 7))
    elif act == "length":
        content[:8] = struct.pack("<Q", data.draw(st.sampled_from([0, 10**6, 2**60, 2**64 - 1])))
    path.write_bytes(content)


def used(model):
    """Return what a loaded model computes on a small grid."""
    if isinstance(model, SensorRegressor):
        zero = torch.zeros(3, dtype=torch.float64)
        points = torch.tensor([[0.2, 0.3], [0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
        channel = torch.tensor([0, 1, 1])
        points = model.grid.domain.absolute(points)
        return model(Observation(model.grid, points, channel, zero + 1, zero))
    if isinstance(model, NeuralOperator):
        return model(torch.ones(1, 1, *model.grid.shape, dtype=torch.float64))
    grid = model.gaussian.grid
    x = model.gaussian.sample(1, grid, seeded())
    return torch.cat([x, model.denoise(x, 0.1), model.sample_noise(1, grid, seeded())])


@given(st.data())
def test_models_with_faults_are_used_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    header, tensors = copy.deepcopy(parts(data.draw(st.sampled_from(MODELS)), folder))
    path = folder / "faulty.safetensors"
    write_faulty(data, path, "pdeinv-prior", header, tensors)
    with time_limit(20):
        try:
            found = used(load(path))
        except (InputError, NumericalError) as error:
            assert "; " in str(error) and str(path) in str(error)
            tally("models", refused=True)
        else:
            assert bool(found.isfinite().all())
            tally("models", refused=False)


def write_faulty(data, path, what, header, tensors):
    """Write a file with random faults in its header, its tensors or its bytes."""
    for _ in range(data.draw(st.integers(0, 2))):
        if data.draw(st.booleans()):
            mutate_header(data, header)
        elif tensors:
            mutate_tensors(data, tensors)
    text = json.dumps(header)
    if data.draw(st.integers(0, 19)) == 0:
        text = text[:-1] + ', "deep": ' + "[" * 10_000 + "]" * 10_000 + "}"
    plain = {key: value.contiguous() for key, value in tensors.items()}
    save_file(plain, path, metadata={"format": what, "prior": text})
    spoil(data, path)


@cache
def interrupted(path):
    """A run that was stopped after its first steps: its data, its header and its tensors."""
    run_data = training_data("darcy", samples=16)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_diffusion, run_data, path, SETTINGS, echo=stop)
    with safe_open(f"{path}.checkpoint", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return run_data, json.loads(file.metadata()["prior"]), tensors


@given(st.data())
def test_checkpoints_with_faults_are_resumed_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "run.safetensors"
    run_data, header, tensors = interrupted(path)
    header, tensors = copy.deepcopy((header, tensors))
    if data.draw(st.booleans()):  # faults in the model's own header
        own = json.loads(header["model"])
        mutate_header(data, own)
        header["model"] = json.dumps(own)
    checkpoint = path.with_name(path.name + ".checkpoint")
    write_faulty(data, checkpoint, "pdeinv-checkpoint", header, tensors)
    content = checkpoint.read_bytes()
    with time_limit(20):
        try:
            train(tiny_diffusion, run_data, path, SETTINGS)
        except (InputError, NumericalError) as error:
            assert "; " in str(error) or "train with" in str(error)
            tally("checkpoints", refused=True)
            if isinstance(error, InputError):
                assert checkpoint.read_bytes() == content
        else:
            assert not checkpoint.exists()
            tally("checkpoints", refused=False)
    path.unlink(missing_ok=True)
