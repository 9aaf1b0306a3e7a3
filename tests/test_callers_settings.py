"""Random streams and global settings are the caller's: no public entry moves or obeys them."""

import pytest
import torch
from helpers import observe, run_command, seeded, surroundings, training_data

import pdeinv
from pdeinv import Sensors, datasets, layouts, priors
from pdeinv.datasets import PDES, Problem, pde_by_name
from pdeinv.torch_state import default_dtype

N = 16


def train(tmp_path):
    def make(data):
        return priors.NeuralOperator.untrained(data, width=4, modes=2, layers=1)

    out = tmp_path / f"{torch.get_default_dtype()}.safetensors"
    model = priors.train(make, training_data("poisson", N, 40), out, priors.Settings(steps=2))
    return list(model.network.parameters())


def train_by_command(tmp_path):
    name = str(torch.get_default_dtype())
    data, out = tmp_path / f"{name}.h5", tmp_path / f"{name}-prior.safetensors"
    datasets.generate(PDES["poisson"](), 40, N, 3, data, workers=1)
    options = ("--widths", 16, "--steps", 1, "--batch", 8, "--seed", 5, "--out", out)
    assert run_command("train", data, *options).exit_code == 0
    return list(priors.load(out).network.parameters())


def use_shipped(name):
    model, pde = priors.load(name), PDES["poisson"]()
    if isinstance(model, priors.SensorRegressor):
        points = torch.as_tensor(layouts.random(9, 1))
        return [model(observe(pde, pde.grid(N), points, 1)[1])]
    a = Problem(pde).sample(2, pde.grid(N), seeded())
    if isinstance(model, priors.NeuralOperator):
        return [model(a[:, :1])]
    x = model.sample_noise(2, pde.grid(N), seeded())
    return [x, model.denoise(x, 0.5)]


def fit(tmp_path):
    prior = priors.GaussianPrior.fit(training_data("poisson", N, 40))
    return [prior.sample(2, pdeinv.Grid(N), seeded()), prior.mean(pdeinv.Grid(N))]


def new_networks(tmp_path):
    data = training_data("poisson", N, 40)
    small = {"width": 16, "modes": 4, "layers": 1}
    models = [
        priors.NeuralOperator.untrained(data, **small, seed=3),
        priors.SensorRegressor.untrained(data, **small, seed=3),
        priors.DiffusionPrior.untrained(priors.GaussianPrior.fit(data), widths=(16, 32), modes=4),
    ]
    losses = [model.loss(data.states[:4], seeded()).detach() for model in models]
    return [*losses, *(p for model in models for p in model.network.parameters())]


def sample(name):
    pde = pde_by_name(name)
    states = Problem(pde).sample(2, pde.grid(N), seeded())
    return [states, pde.residual(states[:, :1], states[:, 1:]), pde.surrogate(states[:, :1])]


def read(tmp_path):
    truth = datasets.example("poisson")["potential"][0]
    table = Sensors.observe(truth, layouts.random(9, 1), noise_std=1e-4, seed=2).table
    return [torch.tensor(table.value.to_numpy())]


def draw(tmp_path):
    table = Sensors.observe(datasets.example("poisson")["potential"][0], layouts.random(9, 1))
    result = pdeinv.reconstruct(table, "poisson", grid=N, n_samples=2)
    pdeinv.plot_reconstruction(result).savefig(tmp_path / "figure.png")
    return [torch.tensor(result["source_mean"].to_numpy())]


ENTRIES = {
    "train": train,
    "pdeinv train": train_by_command,
    "a fit": fit,
    "new networks": new_networks,
    "sensors": read,
    "a reconstruction and its figure": draw,
    **{f"states of {name}": lambda _, name=name: sample(name) for name in PDES},
    **{
        f"the shipped {name}": lambda _, name=name: use_shipped(name)
        for name in priors.shipped()
        if name.startswith("poisson")
    },
}
each_entry = pytest.mark.parametrize("entry", ENTRIES)


@each_entry
def test_no_stream_and_no_setting_of_the_caller_moves(entry, tmp_path):
    before = surroundings()
    ENTRIES[entry](tmp_path)
    assert surroundings() == before


@each_entry
def test_the_default_dtype_of_the_caller_decides_nothing(entry, tmp_path):
    found = []
    for dtype in (torch.float32, torch.float64):
        with default_dtype(dtype):
            found.append(ENTRIES[entry](tmp_path))
    for first, second in zip(*found, strict=True):
        assert first.dtype == second.dtype and torch.equal(first, second)
