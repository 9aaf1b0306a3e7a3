"""Training on several processes: the trajectory of one, and nothing lost where one dies."""

import multiprocessing
import os
import signal

import pytest
import torch
from helpers import tiny_diffusion, training_data

from pdeinv import InputError, NumericalError
from pdeinv.priors import NeuralOperator, SensorRegressor, Settings, train

MODELS = {
    "diffusion": tiny_diffusion,
    "operator": lambda data: NeuralOperator.untrained(data, width=8, modes=4, layers=2),
    "regressor": lambda data: SensorRegressor.untrained(data, width=16, modes=4, layers=2),
}


@pytest.fixture
def helpers():
    """Return the processes that this test has started and that live; others' may too."""
    before = set(multiprocessing.active_children())
    return lambda: [p for p in multiprocessing.active_children() if p not in before]


def stated(model):
    return [row["loss"] for row in model.record["history"]]


@pytest.fixture(scope="module")
def data():
    return training_data("darcy", samples=40)


@pytest.mark.parametrize("model", MODELS)
def test_two_processes_train_as_one_does(model, data, tmp_path, helpers):
    settings = Settings(steps=6, batch=7, rate=1e-3)  # shares of 4 and 3
    one, two = (
        train(MODELS[model], data, tmp_path / f"{n}.safetensors", settings, processes=n)
        for n in (1, 2)
    )
    assert stated(two) == pytest.approx(stated(one), rel=1e-4)
    start = MODELS[model](data.split(5)[0])
    for a, b, before in zip(*(m.network.parameters() for m in (one, two, start)), strict=True):
        moved = float((a - before).detach().norm())
        assert float((a - b).detach().norm()) <= 0.02 * moved + 1e-6
    assert not helpers()


def test_a_process_that_dies_ends_the_run_and_the_next_resumes(data, tmp_path, helpers):
    settings = Settings(steps=20, batch=8)
    whole = train(tiny_diffusion, data, tmp_path / "whole.safetensors", settings)
    path = tmp_path / "parts.safetensors"

    def kill(line):
        if line.startswith("step 8"):
            (helper,) = helpers()
            os.kill(helper.pid, signal.SIGKILL)

    with pytest.raises(NumericalError, match=r"process of the training died .* repeat the command"):
        train(tiny_diffusion, data, path, settings, processes=2, echo=kill)
    assert not path.exists() and not helpers()
    assert not torch.distributed.is_initialized()
    lines = []
    again = train(tiny_diffusion, data, path, settings, processes=2, echo=lines.append)
    assert lines[0].startswith("step 10,")  # of every second one
    assert stated(again) == pytest.approx(stated(whole), rel=1e-3)


@pytest.mark.parametrize(
    ("processes", "batch", "message"),
    [
        (0, 8, "processes must be an integer of at least 1, got 0"),
        (9, 8, "processes must be an integer of at most 8, got 9"),
        (1.5, 8, "processes must be .* got 1.5"),
    ],
)
def test_a_number_of_processes_is_checked_first(processes, batch, message, data, tmp_path):
    settings = Settings(steps=2, batch=batch)
    with pytest.raises(InputError, match=message):
        train(tiny_diffusion, data, tmp_path / "p.safetensors", settings, processes=processes)
    assert not any(tmp_path.iterdir())
