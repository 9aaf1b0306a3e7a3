"""Priors in files: tensors in the safetensors format, all else as JSON in its header; nothing is
unpickled."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from importlib import metadata, resources
from pathlib import Path
from typing import Literal

import torch

from pdeinv.basis import Basis
from pdeinv.errors import InputError
from pdeinv.files import atomic_write
from pdeinv.grid import Field, Grid
from pdeinv.priors.diffusion import DiffusionPrior
from pdeinv.priors.fourier_operator import FourierOperator, NeuralOperator, build
from pdeinv.priors.gaussian import Block, GaussianPrior
from pdeinv.priors.noise import Noise
from pdeinv.priors.regressor import SensorRegressor
from pdeinv.priors.unet import UShapedOperator

__all__ = ["Role", "load", "save", "shipped", "shipped_name"]

FORMAT = "pdeinv-prior"
FORMAT_VERSION = 1
Role = Literal["joint", "coefficient", "regressor", "operator"]
"""What a shipped model is: a prior of both fields or of the coefficient alone, a regressor from
sensors, or an operator from the coefficient to the solution."""

_OPERATORS = {"operator": NeuralOperator, "regressor": SensorRegressor}


def save(
    prior: GaussianPrior | DiffusionPrior | FourierOperator,
    path: str | os.PathLike,
    *,
    half: bool = True,
) -> Path:
    """Write a prior or neural operator, the network's weights in half precision unless told
    otherwise."""
    from safetensors.torch import save_file

    tensors, header = describe(prior, half)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={"format": FORMAT, "prior": json.dumps(header)})
    return Path(path)


def load(path: str | os.PathLike) -> GaussianPrior | DiffusionPrior | FourierOperator:
    """The prior or neural operator in a file, or a shipped one by its name (see `shipped`).

    Raises:
        InputError: the file is missing, damaged, of another format, or of a later version.
    """
    from safetensors import SafetensorError, safe_open

    if isinstance(path, str) and path in shipped():
        with resources.as_file(_folder() / f"{path}.safetensors") as real:
            return load(Path(real))
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"there is no prior file {path}; train one with `pdeinv train` or use a shipped one: "
            f"{', '.join(shipped()) or 'none'}"
        )
    try:
        with safe_open(path, "pt") as file:
            head = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a safetensors file, or damaged ({error}); train or copy it again"
        ) from None
    if head.get("format") != FORMAT:
        raise InputError(f"{path} holds no prior of this package; train one with `pdeinv train`")
    try:
        header = json.loads(head["prior"])
        version = header["format_version"]
        if version > FORMAT_VERSION:
            raise InputError(
                f"{path} has the format version {version}, this pdeinv reads up to "
                f"{FORMAT_VERSION}; upgrade pdeinv"
            )
        return restore(tensors, header)
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError) as error:
        raise InputError(
            f"{path} is incomplete or damaged ({error}); train or copy it again"
        ) from None


def shipped() -> list[str]:
    """Names of the priors that come with the package."""
    folder = _folder()
    return (
        sorted(f.name.removesuffix(".safetensors") for f in folder.iterdir())
        if folder.is_dir()
        else []
    )


def shipped_name(pde_name: str, role: Role) -> str:
    """Return the name that a shipped model for a PDE has."""
    return pde_name if role == "joint" else f"{pde_name}-{role}"


def describe(
    model: GaussianPrior | DiffusionPrior | FourierOperator, half: bool
) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors and JSON that `restore` makes the model of."""
    holder = model.gaussian if isinstance(model, DiffusionPrior) else model
    header = {
        "format_version": FORMAT_VERSION,
        "pdeinv_version": metadata.version("pdeinv"),
        "pde": holder.pde,
        "fields": [asdict(f) for f in holder.fields],
        "bases": [asdict(b) for b in holder.bases],
        "grid": asdict(holder.grid),
    }
    tensors = {"shift": holder.shift, "scale": holder.scale}
    if isinstance(holder, GaussianPrior):
        header |= {"kind": "gaussian", "noise": asdict(holder.noise)}
        for c, (mean, rest) in enumerate(zip(holder.means, holder.diagonal_variances, strict=True)):
            tensors |= {f"mean.{c}": mean, f"rest.{c}": rest}
        for i, block in enumerate(holder.blocks):
            tensors |= {f"block.{i}.{key}": value for key, value in block._asdict().items()}
    if isinstance(model, DiffusionPrior):
        header |= {
            "kind": "diffusion",
            "preconditioning": model.preconditioning,
            "network": model.network.arguments,
        }
    for kind, operator in _OPERATORS.items():
        if isinstance(model, operator):
            header |= {"kind": kind, "network": model.arguments}
    if not isinstance(model, GaussianPrior):
        header["record"] = model.record
        # a state_dict of neuralop's holds other things too
        for key, value in model.network.named_parameters():
            value = torch.view_as_real(value) if value.is_complex() else value
            tensors[f"network.{key}"] = value.half() if half else value
    return {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in tensors.items()
    }, header


def restore(
    tensors: dict[str, torch.Tensor], header: dict
) -> GaussianPrior | DiffusionPrior | FourierOperator:
    """The model that was described."""
    fields = tuple(Field(**f) for f in header["fields"])
    bases = tuple(Basis(**b) for b in header["bases"])
    grid, shift, scale = Grid(**header["grid"]), tensors["shift"], tensors["scale"]
    pde = tuple(header["pde"]) if header["pde"] else None
    if header["kind"] in _OPERATORS:
        network = _filled(build(header["network"]), tensors)
        operator = _OPERATORS[header["kind"]]
        return operator(
            fields, bases, grid, shift, scale, network, header["network"], pde, header["record"]
        )
    blocks = []
    while f"block.{len(blocks)}.places" in tensors:
        blocks.append(Block(*(tensors[f"block.{len(blocks)}.{key}"] for key in Block._fields)))
    means, diagonal_variances = (
        tuple(tensors[f"{what}.{c}"] for c in range(len(fields))) for what in ("mean", "rest")
    )
    noise = Noise(**header["noise"])
    gaussian = GaussianPrior(
        fields, bases, grid, noise, shift, scale, means, diagonal_variances, tuple(blocks), pde
    )
    if header["kind"] == "gaussian":
        return gaussian
    network = _filled(UShapedOperator(**header["network"]), tensors).to(
        memory_format=torch.channels_last
    )
    return DiffusionPrior(gaussian, network, header["preconditioning"], header["record"])


def _filled(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The network with stored weights, fit for use."""
    with torch.no_grad():
        for key, value in network.named_parameters():
            stored = tensors[f"network.{key}"].float()
            value.copy_(torch.view_as_complex(stored) if value.is_complex() else stored)
    return network.requires_grad_(False).eval()


def _folder():
    return resources.files("pdeinv") / "data" / "priors"
