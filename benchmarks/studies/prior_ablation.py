"""What the Gaussian part and the symmetries of a prior gain: `pdeinv study prior-ablation`.

Takes priors that were trained on one dataset for equal times, with and without each (`pdeinv train
--precondition edm`, `--no-symmetry`), and records their denoising errors on the same fresh fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pdeinv import seeds
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.studies.prior_measures import trained_on, training_of
from pdeinv.errors import InputError
from pdeinv.priors import DiffusionPrior, TrainingData, load
from pdeinv.priors.validation import LEVELS, denoising_errors

__all__ = ["ablation_section", "compared"]

_SEED, _HELD_OUT = 77_500, 256


def compared(files: Iterable[str], command: str = "", held_out: int = _HELD_OUT) -> list[Record]:
    """Return a record for each prior: its training, and its denoising error by field and level.

    Arguments:
        files: of diffusion priors that were trained on one dataset.
        command: command to type for the same records.
        held_out: number of fresh fields, the same for all priors.

    Raises:
        InputError: a file is of another model, or of other fields.
    """
    records: list[Record] = []
    data: TrainingData | None = None
    for file in files:
        prior = load(file)
        if not isinstance(prior, DiffusionPrior):
            raise InputError(
                f"{file} must be a diffusion prior, got a {type(prior).__name__}; train one with "
                f"`pdeinv train`"
            )
        g, stated = prior.gaussian, training_of(file, prior)
        problem = trained_on(file, prior)
        pde = problem.physics
        if data is None:
            generator = seeds.generator(seeds.TUNING, _SEED)
            states = problem.sample(held_out, g.grid, generator)[:, : len(g.fields)]
            data = TrainingData(states.float(), g.fields, g.grid, pde, "fresh")
        if (data.pde, data.grid, data.fields) != (pde, g.grid, g.fields):
            raise InputError(
                f"{file} must be trained on the fields of the first prior, got other fields; "
                f"compare priors of one dataset"
            )
        names = ("symmetry", "seconds", "fields_seen", "data", "samples")
        records.append(
            {
                "prior": Path(file).name.removesuffix(".safetensors"),
                "pde": pde.name,
                "seed": _SEED,
                "fields": held_out,
                "preconditioning": prior.preconditioning,
                **{name: stated[name] for name in names},
                "levels": list(LEVELS),
                "errors": denoising_errors(prior, data),
                **provenance(command),
            }
        )
    return records


def ablation_section(records: list[Record]) -> str:
    """Return a section of Markdown with errors by noise level, a line for each prior and field."""
    first = records[0]
    minutes = " and ".join(sorted({f"{r['seconds'] / 60:.0f}" for r in records}))
    rows = []
    for r in sorted(records, key=lambda r: (r["preconditioning"] != "gaussian", not r["symmetry"])):
        parts = (r["preconditioning"] == "gaussian", r["symmetry"])
        for field, errors in r["errors"].items():
            rows.append(
                [
                    *("yes" if part else "no" for part in parts),
                    field.replace("_", " "),
                    f"{r['fields_seen']:,}",
                    *(f"{e:.4f}" for e in errors),
                ]
            )
    words = ["Gaussian part", "symmetries", "field"]
    numbers = ["fields seen", *(f"{sigma:g}" for sigma in first["levels"])]
    return "\n".join(
        [
            "## What the Gaussian part and the symmetries are worth",
            "",
            f"Priors of {first['pde']}, each trained for {minutes} minutes on "
            f"{first['samples']:,} samples of `{first['data']}`; "
            f"error / std on {first['fields']} fresh fields by noise level σ.",
            "",
            render_table(words, numbers, rows),
            "",
        ]
    )
