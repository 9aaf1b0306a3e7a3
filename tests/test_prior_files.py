"""Files of priors: what is damaged or foreign is refused, and loading costs no import too many."""

import json
import subprocess
import sys

import pytest
import torch
from helpers import gaussian_prior, tiny_diffusion, training_data
from safetensors.torch import load_file, save_file

from pdeinv import InputError
from pdeinv.priors import load, save


def test_files_that_are_no_priors_are_refused(tmp_path):
    path = save(gaussian_prior("darcy", samples=80), tmp_path / "g.safetensors")
    with pytest.raises(InputError, match="there is no prior file"):
        load(tmp_path / "absent.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        InputError, match=r"not a whole safetensors file .*; train or copy it again"
    ):
        load(cut)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="must be a prior file of this package"):
        load(tmp_path / "other.safetensors")
    tensors = load_file(path)
    for header, words in (
        ({"format_version": 99}, "at most 1, got 99"),
        ({"format_version": 1}, "kind must be one of .*, got '', in .*; import"),
    ):
        metadata = {"format": "pdeinv-prior", "prior": json.dumps(header)}
        save_file(tensors, tmp_path / "h.safetensors", metadata=metadata)
        with pytest.raises(InputError, match=words):
            load(tmp_path / "h.safetensors")


def test_loading_does_not_wait_for_an_experiment_tracker(tmp_path):
    prior = tiny_diffusion(training_data("darcy", samples=20))
    path = save(prior, tmp_path / "p.safetensors")
    code = (
        "import sys, torch; from pdeinv.priors import load; p = load(sys.argv[1]); "
        "assert not {'torch._dynamo', 'sympy'} & set(sys.modules); "
        "p.denoise(p.sample_noise(1, p.grid), 0.1); assert 'neuralop' in sys.modules; assert "
        "'wandb' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
