"""What every trained prior must do, its training and its files."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pdeinv import Grid, InputError
from pdeinv.datasets import Darcy, NavierStokes, generate
from pdeinv.errors import NumericalError
from pdeinv.priors import (
    DiffusionPrior,
    GaussianPrior,
    NeuralOperator,
    Noise,
    SensorRegressor,
    Settings,
    TrainingData,
    load,
    save,
    train,
)
from pdeinv.priors.schedule import heun, noise_levels

SCRIPT = Path(sys.executable).with_name("pdeinv")
SMALL = {"widths": (16, 32), "modes": 4}


@pytest.fixture(scope="module", params=["darcy", "navier-stokes"])
def data(request):
    pde = {"darcy": Darcy(), "navier-stokes": NavierStokes(time=0.2)}[request.param]
    grid = pde.grid(16)
    states = pde.sample(80, grid, torch.Generator().manual_seed(0)).float()
    return TrainingData(states, pde.fields, grid, pde, "made here")


def shaken(prior):
    """With random weights in every layer, so that the network has something to say."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in prior.network.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return prior


def make_gaussian(data):
    return GaussianPrior.fit(data)


def make_diffusion(data):
    return shaken(DiffusionPrior.untrained(GaussianPrior.fit(data), **SMALL))


def make_edm(data):
    return shaken(DiffusionPrior.untrained(GaussianPrior.fit(data), preconditioning="edm", **SMALL))


def make_white(data):
    gaussian = GaussianPrior.fit(data, noise=Noise("white"))
    return shaken(DiffusionPrior.untrained(gaussian, preconditioning="edm", **SMALL))


def make_coefficient(data):
    alone = TrainingData(data.states[:, :1], data.fields[:1], data.grid, data.pde, data.source)
    return shaken(DiffusionPrior.untrained(GaussianPrior.fit(alone), **SMALL))


PRIORS = (make_gaussian, make_diffusion, make_edm, make_white, make_coefficient)


@pytest.fixture(scope="module", params=PRIORS, ids=lambda f: f.__name__)
def prior(request, data):
    return request.param(data)


@pytest.mark.parametrize("n", [32, 45, 64, 256])
def test_it_denoises_and_draws_noise_on_any_grid(prior, n):
    grid = Grid(n, prior.grid.kind)
    noise = prior.sample_noise(2, grid, torch.Generator().manual_seed(0))
    assert noise.shape == (2, len(prior.fields), n, n)
    out = prior.denoise(noise, torch.tensor([0.1, 3.0]))
    assert out.shape == noise.shape
    assert out.dtype == noise.dtype
    assert bool(out.isfinite().all())


def test_an_instance_does_not_depend_on_its_batch(prior, data):
    x = data.states[:3, : len(prior.fields)].double()
    together = prior.denoise(x, torch.tensor([0.1, 0.5, 2.0]))
    alone = torch.cat([prior.denoise(x[i : i + 1], s) for i, s in enumerate((0.1, 0.5, 2.0))])
    assert torch.allclose(together, alone, rtol=1e-4, atol=float(1e-5 * x.std()))


def test_a_small_noise_leaves_the_state(prior, data):
    x = data.states[:3, : len(prior.fields)].double()
    std = x.std(dim=(0, 2, 3), keepdim=True)
    assert float(((prior.denoise(x, 1e-4) - x) / std).abs().max()) < 1e-2


def test_denoising_is_differentiable(prior, data):
    x = data.states[:1, : len(prior.fields)].double()
    scale = x.std(dim=(2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    # Where the noise does not reach there is no gradient
    direction = prior.sample_noise(1, data.grid, generator)
    weight = torch.randn(x.shape, dtype=x.dtype, generator=generator) / scale

    def value(t):
        return (prior.denoise(x + t * direction, 0.3) * weight).sum()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(t), t)
    step = 0.02
    assert float(slope) == pytest.approx(float(value(step) - value(-step)) / (2 * step), rel=0.02)


def test_it_survives_its_file(prior, data, tmp_path):
    path = save(prior, tmp_path / "prior.safetensors", half=False)
    back = load(path)
    x = data.states[:2, : len(prior.fields)].double()
    assert torch.equal(back.denoise(x, 0.2), prior.denoise(x, 0.2))
    assert [f.name for f in back.fields] == [f.name for f in prior.fields]
    assert len(load_file(path)) > 3
    (ordinary := tmp_path / "ordinary").touch()
    # Others may read it where they may read other files
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_samples_are_drawn_in_physical_units(prior, data):
    samples = prior.sample(4, data.grid, torch.Generator().manual_seed(1))
    again = prior.sample(4, data.grid, torch.Generator().manual_seed(1))
    assert torch.equal(samples, again)
    ratio = samples.std(dim=(0, 2, 3)) / data.states[:, : len(prior.fields)].std(dim=(0, 2, 3))
    assert bool(((ratio > 0.3) & (ratio < 3)).all())


def test_the_levels_run_from_largest_to_zero():
    sigmas = noise_levels(5, 0.01, 10.0)
    assert sigmas[0] == pytest.approx(10.0)
    assert sigmas[-2] == pytest.approx(0.01)
    assert sigmas[-1] == 0
    assert bool((sigmas.diff() < 0).all())
    assert float(sigmas[2]) == pytest.approx(((10 ** (1 / 7) + 0.01 ** (1 / 7)) / 2) ** 7)


def test_heun_is_of_second_order_on_a_gaussian():
    """D(x) = x v / (v + σ²): the flow is x ∝ sqrt(v + σ²) exactly."""
    v, start = 0.25, torch.ones(1, 1, 1, 1, dtype=torch.float64)
    errors = []
    for steps in (20, 40, 80):
        sigmas = noise_levels(steps, 0.1, 10.0)[:-1]
        end = heun(lambda x, s: x * v / (v + s**2), start, sigmas)
        errors.append(abs(float(end) - ((v + 0.01) / (v + 100)) ** 0.5))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.3)


def test_sampling_the_gaussian_by_diffusion_gives_its_covariance(data):
    gaussian = GaussianPrior.fit(data)
    drawn = DiffusionPrior.untrained(gaussian, **SMALL).sample(
        400, data.grid, torch.Generator().manual_seed(0), steps=30
    )
    direct = gaussian.sample(400, data.grid, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn.std(dim=(0, 2, 3)), direct.std(dim=(0, 2, 3)), rtol=0.06)
    probe = (
        gaussian.sample(1, data.grid, torch.Generator().manual_seed(2))[0]
        / gaussian.scale[:, None, None] ** 2
    )
    spreads = [(s * probe).sum(dim=(1, 2, 3)).std() for s in (drawn, direct)]
    assert float(spreads[0] / spreads[1]) == pytest.approx(1, abs=0.15)


def small(data):
    return DiffusionPrior.untrained(GaussianPrior.fit(data), **SMALL)


def small_operator(data):
    return NeuralOperator.untrained(data, width=8, modes=4, layers=2)


def small_regressor(data):
    return SensorRegressor.untrained(data, width=16, modes=4, layers=2)


@pytest.mark.parametrize(
    "make", [small, small_operator, small_regressor], ids=["diffusion", "operator", "regressor"]
)
def test_training_resumes_as_if_it_had_never_stopped(make, data, tmp_path):
    settings = Settings(steps=20, batch=8)
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
    assert len(lines) == 10
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in m.record["history"]]
        for m in (whole, parts)
    ]
    assert rows[0] == rows[1]
    for a, b in zip(whole.network.parameters(), parts.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [f.name for f in tmp_path.iterdir() if "checkpoint" in f.name] == []


def test_training_lowers_the_error_of_what_is_not_gaussian(tmp_path):
    """Fields of one sign each: a Gaussian cannot know that."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.randint(2, (400, 1, 1, 1), generator=generator) * 2.0 - 1
    states = sign + 0.05 * torch.randn(400, 1, 16, 16, generator=generator)
    darcy = Darcy()
    data = TrainingData(states, darcy.fields[:1], Grid(16), None, "made here")
    model = train(
        small, data, tmp_path / "signs.safetensors", Settings(steps=300, batch=16, rate=3e-3)
    )
    last = model.record["history"][-1]
    ratios = [
        a / b
        for a, b in zip(
            last["errors"]["permeability"], last["gaussian_errors"]["permeability"], strict=True
        )
    ]
    assert min(ratios) < 0.9
    assert model.record["fields_seen"] == 300 * 16


def test_an_operator_learns_and_works_on_other_grids(tmp_path):
    darcy = Darcy()
    states = darcy.sample(64, darcy.grid(16), torch.Generator().manual_seed(0)).float()
    data = TrainingData(states, darcy.fields, darcy.grid(16), darcy, "made here")
    operator = train(
        small_operator, data, tmp_path / "o.safetensors", Settings(steps=200, batch=16, rate=3e-3)
    )
    errors = [row["relative_l2"] for row in operator.record["history"]]
    assert errors[-1] < 0.5 * errors[0]
    a = darcy.sample_coefficient(3, darcy.grid(33), torch.Generator().manual_seed(5))
    u = operator(a)
    assert u.shape == a.shape
    assert u.dtype == a.dtype
    own = operator(darcy.sample_coefficient(3, darcy.grid(16), torch.Generator().manual_seed(5)))
    for field in (u, own):  # on the network's own grid, too
        assert float(field[..., 0, :].abs().max()) < 1e-12
    reloaded = load(tmp_path / "o.safetensors")
    assert float((reloaded(a) - u).norm() / u.norm()) < 1e-2  # half precision
    with pytest.raises(InputError, match=r"must be \(batch, 1, n, n\)"):
        operator(a[:, 0])


def own_dataset(path, periodic):
    """What a user would write with h5py alone: the schema, a PDE that this package does not
    know."""
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
    command = [SCRIPT, "train", str(path), "--out", str(out), "--steps", "2", "--batch", "4"]
    done = subprocess.run([*command, "--channels", channels], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    prior = load(out)
    assert [f.name for f in prior.fields] == ["temperature", "salinity"][channels == "solution" :]
    assert prior.gaussian.pde is None
    assert prior.sample(2, Grid(20, prior.grid.kind), steps=4).isfinite().all()
    again = subprocess.run([*command, "--channels", channels], capture_output=True, text=True)
    assert again.returncode == 2
    assert "exists already" in again.stderr
    before = path.read_bytes()
    gaussian = subprocess.run(
        [*command[:3], "--out", str(path), "--model", "gaussian"], capture_output=True, text=True
    )
    assert (
        gaussian.returncode == 2
        and "exists already" in gaussian.stderr
        and path.read_bytes() == before
    )


def test_a_checkpoint_of_another_run_is_left_alone(data, tmp_path):
    path = tmp_path / "p.safetensors"

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small, data, path, Settings(steps=20, batch=8), echo=stop)
    with pytest.raises(InputError, match="batch = 8, not 4"):
        train(small, data, path, Settings(steps=20, batch=4))
    with pytest.raises(InputError, match="model = '', not 'operator'"):
        train(small_operator, data, path, Settings("operator", steps=20, batch=8))
    other = replace(data, states=2 * data.states)
    with pytest.raises(InputError, match="digest = "):
        train(small, other, path, Settings(steps=20, batch=8))
    checkpoint = tmp_path / "p.safetensors.checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        train(small, data, path, Settings(steps=20, batch=8))


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_whole(data, tmp_path, monkeypatch):
    loss, calls = DiffusionPrior.loss, []

    def spoilt(self, states, generator):
        calls.append(1)
        return loss(self, states, generator) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(DiffusionPrior, "loss", spoilt)
    path = tmp_path / "p.safetensors"
    with pytest.raises(
        NumericalError,
        match=r"no longer finite at step 3; delete .*p\.safetensors\.checkpoint and train with",
    ):
        train(small, data, path, Settings(steps=6, batch=8))
    prior = train(small, data, path, Settings(steps=6, batch=8))
    assert len(calls) == 3 + 4 and prior.sample(1, prior.grid, steps=3).isfinite().all()


def test_bad_settings_are_refused(data):
    with pytest.raises(InputError, match="either minutes or steps"):
        Settings()
    with pytest.raises(InputError, match="either minutes or steps"):
        Settings(minutes=1, steps=1)
    with pytest.raises(InputError, match="rate must be positive and finite, got 0"):
        Settings(steps=1, rate=0)
    with pytest.raises(InputError, match="preconditioning must be gaussian or edm, got 'vp'"):
        DiffusionPrior.untrained(GaussianPrior.fit(data), preconditioning="vp")


def test_files_that_are_no_priors_are_refused(data, tmp_path):
    path = save(GaussianPrior.fit(data), tmp_path / "g.safetensors")
    with pytest.raises(InputError, match="there is no prior file"):
        load(tmp_path / "absent.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        load(cut)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="is not a prior file"):
        load(tmp_path / "other.safetensors")
    tensors = load_file(path)
    for header, words in (
        ({"format_version": 99}, "at most 1, got 99"),
        ({"format_version": 1}, "incomplete"),
    ):
        metadata = {"format": "pdeinv-prior", "prior": json.dumps(header)}
        save_file(tensors, tmp_path / "h.safetensors", metadata=metadata)
        with pytest.raises(InputError, match=words):
            load(tmp_path / "h.safetensors")


def test_loading_does_not_wait_for_an_experiment_tracker(data, tmp_path):
    path = save(
        DiffusionPrior.untrained(GaussianPrior.fit(data), **SMALL), tmp_path / "p.safetensors"
    )
    code = (
        "import sys, torch; from pdeinv.priors import load; p = load(sys.argv[1]); "
        "p.denoise(p.sample_noise(1, p.grid), 0.1); assert 'neuralop' in sys.modules; assert "
        "'wandb' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_fit_of_the_gaussian_alone_from_the_command_line(tmp_path):
    data = generate(Darcy(), 40, 16, 0, tmp_path / "d.h5")
    out = tmp_path / "g.safetensors"
    command = [SCRIPT, "train", str(data), "--out", str(out), "--model"]
    done = subprocess.run([*command, "gaussian"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert isinstance(load(out), GaussianPrior)
    done = subprocess.run([*command, "oracle"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "got 'oracle'" in done.stderr
