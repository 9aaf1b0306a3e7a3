"""What the Gaussian part and the symmetries are worth: `python -m
pdeinv.benchmarks.studies.prior_ablation PRIOR...`.

Takes priors that were trained on one dataset for equal times, with and without each (`pdeinv train
--precondition edm`, `--no-symmetry`), and records their denoising errors on the same fresh fields.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import torch

from pdeinv.benchmarks.provenance import provenance
from pdeinv.datasets import pde_by_name
from pdeinv.errors import InputError, run_cli
from pdeinv.files import atomic_write, check_writable
from pdeinv.priors import DiffusionPrior, TrainingData, load
from pdeinv.priors.diffusion import LEVELS, denoising_errors

__all__ = ["ablation_section", "compared"]

_SEED, _HELD_OUT = 77_500, 256  # no dataset or benchmark draws from it


def compared(files: list[str], command: str = "", held_out: int = _HELD_OUT) -> list[dict]:
    """One record a prior: how it was trained and its denoising error by field and level, on the
    same fields and noise."""
    records, data = [], None
    for file in files:
        prior = load(file)
        if not isinstance(prior, DiffusionPrior):
            raise InputError(f"{file} is no diffusion prior; train one with `pdeinv train`")
        g = prior.gaussian
        pde = pde_by_name(g.pde[0], **g.pde[1])
        if data is None:
            states = pde.sample(held_out, g.grid, torch.Generator().manual_seed(_SEED))[
                :, : len(g.fields)
            ]
            data = TrainingData(states.float(), g.fields, g.grid, pde, "fresh")
        if (data.pde, data.grid, data.fields) != (pde, g.grid, g.fields):
            raise InputError(
                f"{file} was trained on other fields than {files[0]}; compare priors of one dataset"
            )
        t = prior.record
        records.append(
            {
                "prior": Path(file).name.removesuffix(".safetensors"),
                "pde": pde.name,
                "seed": _SEED,
                "fields": held_out,
                "preconditioning": prior.preconditioning,
                **{k: t[k] for k in ("symmetry", "seconds", "fields_seen", "data", "samples")},
                "levels": list(LEVELS),
                "errors": denoising_errors(prior, data),
            }
            | provenance(command)
        )
    return records


def ablation_section(records: list[dict]) -> str:
    """Markdown: a line a prior and field, errors by noise level."""
    first = records[0]
    minutes = " and ".join(sorted({f"{r['seconds'] / 60:.0f}" for r in records}))
    lines = [
        "## What the Gaussian part and the symmetries are worth",
        "",
        f"Priors of {first['pde']}, each trained for {minutes} minutes on {first['samples']:,} "
        f"samples of `{first['data']}`; "
        f"error / std on {first['fields']} fresh fields by noise level σ.",
        "",
        "| Gaussian part | symmetries | fields seen | field | "
        + " | ".join(f"{sigma:g}" for sigma in first["levels"])
        + " |",
        "| --- | --- | ---: | --- |" + " ---: |" * len(first["levels"]),
    ]
    for r in sorted(records, key=lambda r: (r["preconditioning"] != "gaussian", not r["symmetry"])):
        told = [
            "yes" if r["preconditioning"] == "gaussian" else "no",
            "yes" if r["symmetry"] else "no",
        ]
        for field, errors in r["errors"].items():
            cells = [
                *told,
                f"{r['fields_seen']:,}",
                field.replace("_", " "),
                *(f"{e:.4f}" for e in errors),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("prior", nargs="+", help="files of priors trained on one dataset")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results/prior-ablation.jsonl"), help="to write"
    )
    o = parser.parse_args()
    check_writable(o.out)
    records = compared(
        o.prior,
        shlex.join(["python", "-m", "pdeinv.benchmarks.studies.prior_ablation", *sys.argv[1:]]),
    )
    with atomic_write(o.out) as temporary:
        temporary.write_text("".join(f"{json.dumps(r)}\n" for r in records))
    print(ablation_section(records))


if __name__ == "__main__":
    run_cli(_main)
