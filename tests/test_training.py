"""Training: it learns, resumes as if it had never stopped, and works on a user's own file."""

from contextlib import nullcontext
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from helpers import on_rectangle, run_command, seeded, tiny_diffusion, training_data

from pdeinv import Grid, InputError, NumericalError, Problem
from pdeinv.datasets import Darcy, generate, pde_by_name
from pdeinv.priors import (
    DiffusionPrior,
    GaussianPrior,
    NeuralOperator,
    Noise,
    SensorRegressor,
    Settings,
    TrainingData,
    load,
    train,
)


def small_operator(data):
    return NeuralOperator.untrained(data, width=8, modes=4, layers=2)


def small_regressor(data):
    return SensorRegressor.untrained(data, width=16, modes=4, layers=2)


@pytest.fixture(scope="module")
def data():
    return training_data("darcy", samples=40)


@pytest.mark.parametrize(
    ("make", "pde"),
    [
        (tiny_diffusion, Darcy()),
        (tiny_diffusion, on_rectangle(Darcy())),
        (small_regressor, on_rectangle(Darcy())),
        (small_operator, pde_by_name("navier-stokes", time=0.2)),
        (small_regressor, pde_by_name("navier-stokes", time=0.2)),
    ],
    ids=["diffusion", "rectangle", "rectangular regressor", "operator", "regressor"],
)
def test_training_resumes_as_if_it_had_never_stopped(make, pde, tmp_path):
    data = training_data(pde, samples=20)
    settings = Settings(steps=6, batch=8)
    whole = train(make, data, tmp_path / "whole.safetensors", settings)

    class Stop(Exception):
        pass

    lines = []

    def interrupt(line):
        lines.append(line)
        if len(lines) == 4:
            raise Stop

    path = tmp_path / "parts.safetensors"
    with pytest.raises(Stop):
        train(make, data, path, settings, echo=interrupt)
    assert not path.exists()
    parts = train(make, data, path, settings, echo=lines.append)
    assert len(lines) == 6
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in m.record["history"]]
        for m in (whole, parts)
    ]
    assert rows[0] == rows[1]
    for a, b in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [f.name for f in tmp_path.iterdir() if "checkpoint" in f.name] == []


def test_training_lowers_the_error_of_what_is_not_gaussian(tmp_path):
    """Fields of one sign each: a Gaussian cannot represent that."""
    generator = seeded()
    sign = torch.randint(2, (400, 1, 1, 1), generator=generator) * 2.0 - 1
    states = sign + 0.05 * torch.randn(400, 1, 16, 16, generator=generator)
    data = TrainingData(states, Darcy().fields[:1], Grid(16), None, "here")
    settings = Settings(steps=300, batch=16, rate=3e-3)
    model = train(tiny_diffusion, data, tmp_path / "signs.safetensors", settings)
    last = model.record["history"][-1]
    ratios = [
        a / b
        for a, b in zip(
            last["errors"]["permeability"], last["gaussian_errors"]["permeability"], strict=True
        )
    ]
    assert min(ratios) < 0.9
    assert model.record["fields_seen"] == 300 * 16


@pytest.mark.parametrize("darcy", [Darcy(), on_rectangle(Darcy())], ids=["square", "rectangle"])
def test_an_operator_learns_and_works_on_other_grids(darcy, tmp_path):
    settings = Settings(steps=120, batch=16, rate=5e-3)
    path = tmp_path / "o.safetensors"
    operator = train(small_operator, training_data(darcy, samples=64), path, settings)
    errors = [row["relative_l2"] for row in operator.record["history"]]
    assert errors[-1] < 0.5 * errors[0]
    a = Problem.of(darcy).sample_coefficient(3, darcy.grid(33), seeded(5))
    u = operator(a)
    assert u.shape == a.shape
    assert u.dtype == a.dtype
    own = operator(Problem.of(darcy).sample_coefficient(3, darcy.grid(16), seeded(5)))
    for field in (u, own):  # on the network's own grid, too
        assert float(field[..., 0, :].abs().max()) < 1e-12
    assert float((load(path)(a) - u).norm() / u.norm()) < 1e-2  # half precision
    with pytest.raises(InputError, match=r"must be \(batch, 1, ny, nx\)"):
        operator(a[:, 0])


def own_dataset(path, periodic):
    """Write what a user would with h5py alone: the schema, and a PDE that is not the package's."""
    rng = np.random.default_rng(0)
    n = 16
    x = np.arange(n) / (n if periodic else n - 1)
    waves = np.sin(
        2 * np.pi * (x[None, :, None] + rng.random((40, 1, 1))) + rng.random((40, 1, 1)) * x
    )
    with h5py.File(path, "w") as file:
        for name, values in {"sample": np.arange(40), "y": x, "x": x}.items():
            file.create_dataset(name, data=values).make_scale(name)
        for name, values in {"temperature": waves, "salinity": waves**2}.items():
            variable = file.create_dataset(name, data=values.astype("f4"))
            for dimension, scale in zip(variable.dims, ("sample", "y", "x"), strict=True):
                dimension.attach_scale(file[scale])
        file.attrs.update(
            format="pdeinv-dataset",
            format_version=1,
            pde="ocean",
            coefficient="temperature",
            solution="salinity",
            grid_kind="periodic" if periodic else "vertex",
            grid_size=n,
            samples=40,
        )
    return path


@pytest.mark.parametrize(("channels", "periodic"), [("both", False), ("solution", True)])
def test_a_users_own_file_trains_from_the_command_line(tmp_path, periodic, channels):
    path = own_dataset(tmp_path / "ocean.h5", periodic)
    out = tmp_path / "ocean.safetensors"
    command = ["train", path, "--out", out, "--steps", 2, "--batch", 4, "--channels", channels]
    command += ["--widths", "16,32"]
    assert run_command(*command).exit_code == 0
    prior = load(out)
    assert [f.name for f in prior.fields] == ["temperature", "salinity"][channels == "solution" :]
    assert prior.gaussian.pde is None
    assert prior.sample(2, prior.grid.resized(20, 20), steps=4).isfinite().all()
    before = path.read_bytes()
    for again in (command, ["train", path, "--out", path, "--model", "gaussian"]):
        with pytest.raises(InputError, match="exists already"):
            run_command(*again)
    assert path.read_bytes() == before


def test_a_fit_of_the_gaussian_alone_from_the_command_line(tmp_path):
    data = generate(Darcy(), 40, 16, 0, tmp_path / "d.h5")
    out = tmp_path / "g.safetensors"
    command = ["train", data, "--out", out, "--model"]
    assert run_command(*command, "gaussian").exit_code == 0
    assert isinstance(load(out), GaussianPrior)
    with pytest.raises(InputError, match="got 'oracle'"):
        run_command(*command, "oracle")


def test_the_length_of_the_noise_from_the_command_line(tmp_path):
    data = generate(Darcy(), 40, 16, 0, tmp_path / "d.h5")
    for given, length in (((), 0.02), (("--noise-length", 0.005), 0.005)):
        out = tmp_path / f"{length}.safetensors"
        run_command("train", data, "--out", out, "--model", "gaussian", *given)
        assert load(out).noise == Noise("exponential", length)
    with pytest.raises(InputError, match="correlation length of the noise must be positive"):
        run_command("train", data, "--out", tmp_path / "x", "--noise-length", -1)


def test_a_checkpoint_of_another_run_is_left_alone(data, tmp_path):
    path = tmp_path / "p.safetensors"

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny_diffusion, data, path, Settings(steps=20, batch=8), echo=stop)
    with pytest.raises(InputError, match="batch = 8, not 4"):
        train(tiny_diffusion, data, path, Settings(steps=20, batch=4))
    with pytest.raises(InputError, match="model = '', not 'operator'"):
        train(small_operator, data, path, Settings("operator", steps=20, batch=8))
    other = replace(data, states=2 * data.states)
    with pytest.raises(InputError, match="digest = "):
        train(tiny_diffusion, other, path, Settings(steps=20, batch=8))
    checkpoint = tmp_path / "p.safetensors.checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(
        InputError, match=r"must be a checkpoint .*; move it away to start again, or give another"
    ):
        train(tiny_diffusion, data, path, Settings(steps=20, batch=8))


def test_a_training_whose_weights_diverge_is_refused(data, tmp_path):
    with pytest.raises(NumericalError, match=r"diverged at step \d+, where .*; train with a lower"):
        train(small_operator, data, tmp_path / "p.safetensors", Settings(steps=1, rate=1e8))
    assert not (tmp_path / "p.safetensors").exists()


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_whole(data, tmp_path, monkeypatch):
    loss, calls = DiffusionPrior.loss, []

    def spoilt(self, states, generator):
        calls.append(1)
        return loss(self, states, generator) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(DiffusionPrior, "loss", spoilt)
    path = tmp_path / "p.safetensors"
    with pytest.raises(
        NumericalError,
        match=r"no longer finite at step 3; train with a lower rate than 0\.001 and another --out",
    ):
        train(tiny_diffusion, data, path, Settings(steps=6, batch=8))
    prior = train(tiny_diffusion, data, path, Settings(steps=6, batch=8))
    assert len(calls) == 3 + 4 and prior.sample(1, prior.grid, steps=3).isfinite().all()


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="either minutes or steps"):
        Settings()
    with pytest.raises(InputError, match="either minutes or steps"):
        Settings(minutes=1, steps=1)
    with pytest.raises(InputError, match="rate must be positive and finite, got 0"):
        Settings(steps=1, rate=0)


@pytest.mark.parametrize("make", [tiny_diffusion, small_regressor, small_operator])
def test_the_loss_is_computed_where_the_states_are(make, data, monkeypatch):
    # Tensors of the device "meta" have no values, and combine with none of the CPU
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    model = make(data)
    model.network.to("meta").requires_grad_(True)
    loss = model.loss(data.states[:4].to("meta"), seeded(0))
    loss.backward()
    assert loss.device.type == "meta"
    assert all(p.grad is not None for p in model.network.parameters())


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_a_device_that_the_machine_lacks_is_refused(device, data, tmp_path):
    with pytest.raises(
        InputError, match=rf"device must be one of this machine, got '{device}'.*use cpu"
    ):
        train(tiny_diffusion, data, tmp_path / "x.safetensors", Settings(steps=2), device=device)
    assert list(tmp_path.iterdir()) == []


def test_the_rank_bounds_the_eigenvectors_of_the_gaussian_part(data):
    whole, few = (GaussianPrior.fit(data, rank=rank) for rank in (None, 12))
    kept = torch.cat([block.values for block in few.blocks]).sort(descending=True).values
    largest = torch.cat([block.values for block in whole.blocks]).sort(descending=True).values
    assert torch.equal(kept, largest[:12])
    # The variances that the others explain are in the diagonal
    for one, other in zip(whole.diagonal_variances, few.diagonal_variances, strict=True):
        assert bool((other >= one - 1e-6).all()) and float(other.sum()) > float(one.sum())
