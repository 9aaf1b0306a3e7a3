"""Files of priors: what is damaged or foreign is refused, and loading costs no import too many."""

import copy
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from helpers import gaussian_prior, on_rectangle, tiny_diffusion, training_data
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from time_limit import time_limit

from pdeinv import Grid, InputError
from pdeinv.benchmarks.provenance import peak_megabytes
from pdeinv.datasets import Darcy, Flux, NoFlux, Sides, Value, Well, pde_by_name
from pdeinv.datasets.parameters import from_json
from pdeinv.priors import GaussianPrior, NeuralOperator, load, save


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
        ({"format_version": 99}, "at most 3, got 99, in .*; upgrade pdeinv"),
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


SQUARE = {"ny": 16, "nx": 16, "extent": [0.0, 1.0, 0.0, 1.0], "unit": "1", "kind": "vertex"}
DEEP = [[[[[[[[[1]]]]]]]]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The header and the tensors of a small prior of each class, by kind."""
    data = training_data("darcy", samples=40)
    models = [gaussian_prior("darcy", samples=80), tiny_diffusion(data)]
    models.append(NeuralOperator.untrained(data, width=8, modes=4, layers=2))
    found = {}
    for model in models:
        path = save(model, tmp_path_factory.mktemp("files") / "m.safetensors")
        with safe_open(path, "pt") as file:
            found[model.kind] = json.loads(file.metadata()["prior"]), load_file(path)
    return found


def written(folder, header, tensors):
    text = header if isinstance(header, str) else json.dumps(header)
    metadata = {"format": "pdeinv-prior", "prior": text}
    save_file(tensors, folder / "p.safetensors", metadata=metadata)
    return folder / "p.safetensors"


def wide(tensor):
    return torch.zeros(tensor.shape[0] + 1, *tensor.shape[1:], dtype=tensor.dtype)


def outside(tensor):
    return tensor + 10**6


def twice(tensor):
    return tensor[:1].expand(len(tensor)).clone()


def unknown(tensor):
    return tensor.bfloat16()


def spoilt(tensor):
    return torch.full_like(tensor, torch.nan)


@pytest.mark.parametrize(
    ("kind", "name", "change", "words"),
    [
        ("gaussian", "mean.0", wide, r"mean\.0 must have the shape \(16, 16\), got \(17, 16\)"),
        ("gaussian", "mean.0", torch.Tensor.double, r"mean\.0 must be of the type float32, got fl"),
        ("gaussian", "rest.1", unknown, r"rest\.1 must be of the type float32, got BF16"),
        ("gaussian", "rest.1", torch.neg, r"rest\.1 must be finite and from 0 to .*, got -"),
        ("gaussian", "scale", torch.zeros_like, "scale must be finite and from 1e-30 to"),
        ("gaussian", "shift", spoilt, "shift must be finite and from .*, got nan"),
        (
            "gaussian",
            "block.0.places",
            outside,
            r"block\.0\.places must be finite and from 0 to 391",
        ),
        ("gaussian", "block.0.places", twice, r"block\.0\.places must have every place once"),
        (
            "gaussian",
            "block.0.places",
            torch.Tensor.float,
            "must be of the type int64, got float32",
        ),
        ("gaussian", "block.0.vectors", torch.zeros_like, "vectors must have the norm 1"),
        ("diffusion", "network.lift.weight", wide, "network.lift.weight must have the shape"),
        ("diffusion", "network.lift.bias", spoilt, "network.lift.bias must be finite"),
        ("operator", "network.projection.fcs.0.bias", wide, "fcs.0.bias must have the shape"),
    ],
)
def test_a_tensor_that_does_not_fit_the_description_is_refused(
    kind, name, change, words, files, tmp_path
):
    header, tensors = files[kind]
    path = written(tmp_path, header, tensors | {name: change(tensors[name])})
    with pytest.raises(
        InputError, match=rf"{words}.*, in .*p\.safetensors; train or copy it again"
    ):
        load(path)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (
            "gaussian",
            {"grid": SQUARE | {"ny": 10**9}},
            r"grid\.ny must be at most 4096, got",
        ),
        (
            "gaussian",
            {"grid": SQUARE | {"ny": 24, "nx": 40}},
            r"mean\.0 must have the shape \(24, 40",
        ),
        (
            "gaussian",
            {"grid": SQUARE | {"ny": "16"}},
            r"grid\.ny must be an integer, got '16'",
        ),
        ("gaussian", {"grid": {"n": 16, "kind": "vertex"}}, r"grid\.ny is missing"),
        (
            "gaussian",
            {"grid": SQUARE | {"extent": [0, 1, 0]}},
            r"grid\.extent must have at",
        ),
        (
            "gaussian",
            {"grid": SQUARE | {"extent": [1.0, 0.0, 0.0, 1.0]}},
            r"grid extent of a domain must be \(x0, x1, y0, y1\) with x0 < x1",
        ),
        ("gaussian", {"colour": "red"}, "colour is not a name that the format has"),
        ("gaussian", {"fields": []}, "fields must have at least 1 item"),
        ("gaussian", {"pde": ["darcy", {"source": [DEEP]}]}, r"pde\.1\.source must be nested at"),
        ("gaussian", {"pde": ["darcy", {"source": [1e200]}]}, r"pde\.1\.source must hold finite n"),
        (
            "gaussian",
            {"coefficient_prior": {"kind": "two-faced"}},
            r"coefficient_prior must be a prior, where kind of it must be one of .* 'two-faced'",
        ),
        (
            "gaussian",
            {"format_version": 2, "pde": ["darcy", {"low": -1.0}]},
            "pde must be one that can be made, where the prior of the permeability of darcy must",
        ),
        (
            "gaussian",
            {"bases": [{"boundary": "periodic", "masked": False}] * 2},
            "bases must be those",
        ),
        (
            "diffusion",
            {"preconditioning": "edm"},
            "network must have 2 channels_in and 2 channels_out",
        ),
        (
            "diffusion",
            {"preconditioning": "none"},
            "preconditioning must be 'gaussian' or 'edm', got",
        ),
        ("operator", {"record": 3}, "record must be an object, got 3"),
    ],
)
def test_a_header_that_does_not_fit_its_schema_is_refused(kind, changes, words, files, tmp_path):
    header, tensors = files[kind]
    with pytest.raises(
        InputError, match=rf"{words}.*, in .*p\.safetensors; train or copy it again"
    ):
        load(written(tmp_path, header | changes, tensors))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("diffusion", {"widths": [2048] * 4}),
        ("diffusion", {"modes": 512}),
        ("operator", {"hidden_channels": 1024, "n_modes": [16, 16]}),
        ("operator", {"n_layers": 10**9}),
        ("operator", {"n_layers": 32}),
        ("operator", {"n_modes": [10**6, 10**6]}),
    ],
)
def test_a_network_larger_than_its_file_is_refused_before_memory_is_taken(
    kind, changes, files, tmp_path
):
    header, tensors = files[kind]
    path = written(tmp_path, header | {"network": header["network"] | changes}, tensors)
    before = peak_megabytes()
    with time_limit(10), pytest.raises(InputError, match=r"network.*, in .*; train or copy"):
        load(path)
    assert peak_megabytes() < before + 100


def test_a_header_nested_ten_thousand_deep_is_refused(files, tmp_path):
    header, tensors = files["gaussian"]
    text = json.dumps(header)[:-1] + ', "record": ' + '{"a": ' * 10_000 + "1" + "}" * 10_000 + "}"
    with pytest.raises(InputError, match=r"the header must be JSON, and is not .*; train or copy"):
        load(written(tmp_path, text, tensors))


def test_a_file_that_declares_more_than_it_has_is_refused(files, tmp_path):
    path = written(tmp_path, *files["gaussian"])
    content = path.read_bytes()
    for spoilt_bytes in (b"\xff" * 8 + content[8:], content[:-8], b"", content[:4], b"\0" * 64):
        path.write_bytes(spoilt_bytes)
        with time_limit(5), pytest.raises(InputError, match="not a whole safetensors file"):
            load(path)


def test_a_block_in_the_middle_that_is_missing_is_refused(files, tmp_path):
    header, tensors = files["gaussian"]
    left = {name: value for name, value in tensors.items() if not name.startswith("block.0.")}
    with pytest.raises(InputError, match=r"the tensor block\..* belongs to nothing that is descr"):
        load(written(tmp_path, header, left))


@pytest.mark.parametrize("kind", ["gaussian", "diffusion", "operator"])
def test_loading_leaves_the_callers_random_numbers_and_types_alone(kind, files, tmp_path):
    path = written(tmp_path, *files[kind])
    torch.manual_seed(7)
    state = torch.get_rng_state()
    load(path)
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_default_dtype(torch.float64)
    try:
        model = load(path)
    finally:
        torch.set_default_dtype(torch.float32)
    if kind != "gaussian":
        assert {p.dtype for p in model.network.parameters()} <= {torch.float32, torch.complex64}
        assert {b.dtype for b in model.network.buffers()} <= {torch.float32}


def test_a_model_that_could_not_be_read_is_not_written(tmp_path):
    model = gaussian_prior("darcy", samples=80)
    odd = replace(model, pde=("darcy", {"source": [1, 1e200]}))
    with pytest.raises(
        InputError, match=r"pde\.1\.source.* in the description of Gaussian.*; make"
    ):
        save(odd, tmp_path / "p.safetensors")
    large = tiny_diffusion(training_data("darcy", samples=40))
    large.network.lift.weight.data[0] = 1e6  # beyond half precision
    with pytest.raises(InputError, match=r"network\.lift\.weight must be finite .*, got inf, in"):
        save(large, tmp_path / "p.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_first_version_opens(files, tmp_path):
    """It has n x n nodes on the unit square, and fields with a value on the boundary."""
    for kind, (header, tensors) in files.items():
        first = copy.deepcopy(header) | {"format_version": 1, "grid": {"n": 16, "kind": "vertex"}}
        for field in first["fields"]:
            del field["kind"]
            field["boundary_value"] = None
        if kind == "diffusion":
            first["network"]["modes"] = 4
        model = load(written(tmp_path, first, tensors))
        assert model.grid == Grid(16) and model.fields == Darcy().fields
        odd = first | {"format_version": 2}
        with pytest.raises(InputError, match=r"fields\.0\.kind is missing"):
            load(written(tmp_path, odd, tensors))
        for grid, words in (({"n": 16}, "grid.kind is missing"), ({"n": 3}, "grid.ny must be at")):
            with pytest.raises(InputError, match=words):
                load(written(tmp_path, first | {"grid": grid}, tensors))


def test_the_physics_of_a_rectangle_is_stored(tmp_path):
    sides = Sides(left=Value(1.0), bottom=NoFlux(), top=Flux((0.0, 0.5, 0.0)))
    pde = replace(on_rectangle(Darcy()), boundary=sides, wells=(Well(2.0, 1.5, -0.1),))
    data = training_data(pde, 12, samples=20)
    back = load(save(GaussianPrior.fit(data), tmp_path / "p.safetensors"))
    name, parameters = back.pde
    again = pde_by_name(name, **from_json(Darcy, parameters))
    assert again.parameters == pde.parameters and back.grid == data.grid
