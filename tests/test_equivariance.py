"""The measurement that chooses EquiReg's function."""

import pytest
import torch
from helpers import (
    distance,
    gaussian_prior,
    read_lines,
    run_command,
    seeded,
    tiny_diffusion,
    training_data,
)

from pdeinv import InputError, Problem
from pdeinv.benchmarks.studies.equivariance import measure, table
from pdeinv.benchmarks.studies.equivariance_candidates import Encoder, candidates, off_manifold
from pdeinv.datasets import Darcy, Poisson
from pdeinv.priors import load, save
from pdeinv.solvers.diffusion.equireg import equivariance_loss

N = 16


@pytest.fixture(scope="module")
def prior():
    return tiny_diffusion(training_data("poisson", N, 60, symmetric=False))


def test_a_nearly_equivariant_function_separates_and_the_identity_does_not(prior):
    records = {
        r["function"]: r
        for r in measure(Poisson(), prior, candidates(Poisson(), prior, (0.1,)), grid=N, n=8)
    }
    found, control = records["denoiser at σ = 0.1"], records["identity"]
    assert set(found["ratio"]) == {"blurred", "noised", "guided estimates"}
    assert found["ratio"]["noised"] > 1.15 and found["area"]["noised"] > 0.6
    assert control["on"] < 1e-6 and len(control["by_element"]) == 7
    first, second = (
        {"function": f, "on": 0.1, "off": {"b": 1}, "ratio": {"b": 2}, "area": {"b": a}}
        for f, a in (("x", 0.6), ("y", 0.9))
    )
    lines = table([first, second]).splitlines()
    assert lines[2].startswith("| y | 10.00 | 2.00 (0.90)") and lines[3].startswith("| x")


def test_the_encoder_is_what_the_last_layer_sees_and_its_rotation_is_measured_on_its_own_grid():
    pde, operator = Poisson(), load("poisson-operator")
    encoder, a = Encoder(operator), Problem.of(pde).sample(3, pde.grid(N), seeded())[:, :1]
    hidden = encoder(torch.cat([a, a], dim=1))
    m = operator.grid.ny
    assert hidden.shape == (3, operator.arguments["hidden_channels"], m, m) and m != N
    answer = operator.network.projection(hidden.float())[:, 0]
    basis = operator.bases[1]
    solution = (
        basis.synthesis(basis.analysis(answer, operator.grid), pde.grid(N)) * operator.scale[1]
        + operator.shift[1]
    )
    assert torch.allclose(solution.double(), operator(a)[:, 0], rtol=1e-4, atol=1e-7)
    turn = pde.symmetries.elements[1]
    loss = equivariance_loss(encoder, a, [turn] * 3, pde.grid(N))
    expected = (turn(hidden, operator.grid) - encoder(turn(a, pde.grid(N)))).flatten(1).norm(dim=1)
    assert torch.allclose(loss, expected, rtol=1e-5) and float(loss.min()) > 0


def test_what_is_off_the_manifold_is_what_its_name_says(prior):
    pde = Poisson()
    states, others = (Problem.of(pde).sample(8, pde.grid(N), seeded(i)) for i in (1, 2))
    kinds = off_manifold(pde, prior, states, others)
    assert all(x.shape == states.shape and bool(x.isfinite().all()) for x in kinds.values())
    rough = [
        float(x[:, 0].diff(dim=-1).square().mean())
        for x in (kinds["blurred"], states, kinds["noised"])
    ]
    assert rough[0] < rough[1] < rough[2]
    scale = prior.gaussian.scale[0]
    # 16 nodes carry part of the noise
    assert 0.05 < float((kinds["noised"] - states)[:, 0].std() / scale) < 0.1
    assert "mixed" not in kinds  # it would be one of Poisson's fields


def test_a_mixture_of_two_fields_has_their_variance_but_is_none_of_them():
    pde = Darcy()
    states, others = (Problem.of(pde).sample(8, pde.grid(N), seeded(i)) for i in (1, 2))
    prior = gaussian_prior(pde, N, 60, symmetric=False)
    mixed = off_manifold(pde, prior, states, others)["mixed"]
    assert float(mixed[:, 0].var() / states[:, 0].var()) == pytest.approx(1, abs=0.5)
    assert float(pde.residual(mixed[:, :1], mixed[:, 1:]).abs().mean()) > 0.1


def test_the_command_writes_its_records_and_a_figure(prior, tmp_path):
    out, figure = tmp_path / "e.jsonl", tmp_path / "e.png"
    save(prior, tmp_path / "p.safetensors")
    command = ("equivariance", "--pde", "poisson", "--prior", tmp_path / "p.safetensors")
    outcome = run_command(*command, "--grid", N, "--fields", 4, "--out", out, "--plot", figure)
    records = read_lines(out)
    assert outcome.stdout.strip() == table(records)
    assert {"function", "on", "area", "commit", "command"} <= set(records[0])
    known = {"denoiser at σ = 0.1", "identity"}
    assert known <= {r["function"] for r in records}
    denoiser, identity = (next(r for r in records if r["function"] == f) for f in sorted(known))
    assert 1e-3 < denoiser["on"] < 1 and identity["on"] < 1e-6
    assert figure.stat().st_size > 5000


def test_an_operator_that_inverts_the_pde_is_one_more_candidate(prior, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(prior, "p.safetensors")
    run_command("generate", "poisson", "--n", 48, "--grid", N, "--out", "d.h5")
    training = ("train", "d.h5", "--out", "i.safetensors", "--model", "inverse-operator")
    run_command(*training, "--steps", 40, "--batch", 16, "--rate", "1e-2")
    operator = load("i.safetensors")
    assert [f.name for f in operator.fields] == ["potential", "source"]
    fresh = Problem.of(Poisson()).sample(4, Poisson().grid(N), seeded())
    # It looks at the potential
    assert distance(operator(fresh[:, 1:]), fresh[:, :1]) < 0.6
    command = ("equivariance", "--pde", "poisson", "--prior", "p.safetensors", "--grid", N)
    measuring = (*command, "--fields", 2, "--inverse-operator")
    run_command(*measuring, "i.safetensors", "--out", "e.jsonl")
    record = next(r for r in read_lines("e.jsonl") if r["function"] == "inverse operator")
    assert 0 < record["on"] < 2 and len(record["by_element"]) == 7
    with pytest.raises(
        InputError, match="must be one from potential to source, got poisson-operator"
    ):
        run_command(*measuring, "poisson-operator")
