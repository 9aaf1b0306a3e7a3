"""How well a function's equivariance separates a PDE's fields from others: `pdeinv equivariance`.

EquiReg needs a function that is nearly equivariant on fields of the prior and much less so
elsewhere. For every candidate and every element of the PDE's group this measures the equivariance
loss on fresh fields, and on fields of other kinds: blurred, noised, mixtures of two, and the
estimates that a guided solver makes on its way.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from pdeinv import seeds
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.studies.equivariance_candidates import (
    SEED,
    FieldPrior,
    Function,
    candidates,
    gaussian_part,
    off_manifold,
)
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors import DiffusionPrior, GaussianPrior, NeuralOperator, load
from pdeinv.progress import progress_bar
from pdeinv.solvers.diffusion.equireg import StateMap, equivariance_loss
from pdeinv.symmetry import Symmetry

__all__ = ["equivariance_page", "measure", "plot", "run", "table"]


def run(
    pde: PDE,
    prior: str | None = None,
    inverse_operator: str | None = None,
    *,
    grid: int = 64,
    fields: int = 32,
    progress: bool = False,
) -> list[Record]:
    """Measure all candidates with models from files.

    Arguments:
        pde: whose fields are drawn.
        prior: file of a prior of both fields, or a shipped one's name; the PDE's shipped one if
            None.
        inverse_operator: file of an operator from the solution to the coefficient, one more
            candidate.
        grid: nodes per side.
        fields: number of fields of each kind, at least 2.
        progress: show a bar.

    Raises:
        InputError: a number or a model cannot be used.
    """
    if fields < 2:
        raise InputError(f"fields must be at least 2, got {fields}; give more")
    names = [f.name for f in pde.fields]
    known = load(prior or pde.name)
    if not isinstance(known, DiffusionPrior | GaussianPrior) or _names(known.fields) != names:
        raise InputError(
            f"the prior must be one of {' and '.join(names)}, got {prior or pde.name}; give the "
            f"file of such a one"
        )
    inverse = load(inverse_operator) if inverse_operator else None
    if inverse is not None and (
        not isinstance(inverse, NeuralOperator) or _names(inverse.fields) != names[::-1]
    ):
        raise InputError(
            f"the inverse operator must be one from {names[1]} to {names[0]}, got "
            f"{inverse_operator}; train one with `pdeinv train DATA --model inverse-operator`"
        )
    functions = candidates(pde, known, inverse=inverse)
    return measure(pde, known, functions, grid=grid, n=fields, progress=progress)


@torch.no_grad()
def measure(
    pde: PDE,
    prior: FieldPrior,
    functions: dict[str, Function] | None = None,
    *,
    grid: int = 64,
    n: int = 32,
    progress: bool = False,
) -> list[Record]:
    """Return a record for each function: losses on fields of the PDE and of each other kind.

    Losses are means, relative to the norm of the fields, or of the function's values where these
    are in another space. `ratio` is that of a kind to the PDE's fields. `area` is the area under
    the ROC: the probability that a random field of the kind has a larger loss than a random one of
    the PDE's. It is 0.5 if the losses do not separate them.

    Arguments:
        pde: whose fields are drawn.
        prior: of these fields.
        functions: by name; `candidates` if None.
        grid: nodes per side.
        n: number of fields of each kind.
        progress: show a bar.
    """
    functions = functions or candidates(pde, prior)
    g = gaussian_part(prior)
    nodes, generator = pde.grid(grid), seeds.generator(seeds.TUNING, SEED)
    states, others = (
        Problem(pde).sample(n, nodes, generator)[:, : len(g.fields)] for _ in range(2)
    )
    with torch.enable_grad():
        kinds = {"on": states, **off_manifold(pde, prior, states, others)}
    elements = [pde.symmetries.element(i, generator) for i in range(len(pde.symmetries))]
    elements = [e for e in elements if e != Symmetry()]
    records = []
    for name, function in progress_bar(functions.items(), "functions", progress, keep=True):
        losses = {kind: _losses(function, x, elements, nodes, g) for kind, x in kinds.items()}
        on = losses.pop("on")
        ratios = {k: v.mean() / on.mean().clamp(min=1e-12) for k, v in losses.items()}
        records.append(
            {
                "pde": pde.name,
                "function": name,
                "grid": grid,
                "fields": n,
                "seed": SEED,
                "on": round(float(on.mean()), 6),
                "by_element": [round(float(v), 6) for v in on.mean(dim=1)],
                "off": {k: round(float(v.mean()), 6) for k, v in losses.items()},
                "ratio": {k: round(float(v), 4) for k, v in ratios.items()},
                "area": {k: round(_area(on, v), 4) for k, v in losses.items()},
            }
        )
    return records


def _losses(
    function: Function, x: torch.Tensor, elements: list[Symmetry], grid: Grid, g: GaussianPrior
) -> torch.Tensor:
    """Return the relative equivariance losses, (elements, fields)."""
    scale, centre = g.scale[:, None, None], g.shift[:, None, None]
    if isinstance(function, StateMap):
        sizes = ((x - centre) / scale).flatten(1).norm(dim=1)
    else:
        values = function(x)
        sizes = (values - values.mean(dim=0)).flatten(1).norm(dim=1)
    rows = [equivariance_loss(function, x, [e] * len(x), grid, scale) / sizes for e in elements]
    return torch.stack(rows).double()


def _area(on: torch.Tensor, off: torch.Tensor) -> float:
    a, b = on.flatten(), off.flatten()
    above = (b[:, None] > a).double() + 0.5 * (b[:, None] == a).double()
    return float(above.mean())


def _names(fields: Sequence[Field]) -> list[str]:
    return [f.name for f in fields]


def table(records: list[Record]) -> str:
    """Return a Markdown table with a line for each function, the best separation first."""
    kinds = list(records[0]["off"])
    rows = [
        [
            *(r["function"], f"{100 * r['on']:.2f}"),
            *(f"{r['ratio'][k]:.2f} ({r['area'][k]:.2f})" for k in kinds),
        ]
        for r in sorted(records, key=lambda r: -sum(r["area"].values()))
    ]
    head = ["function", "on the manifold, %", *(f"{k}: ratio (ROC area)" for k in kinds)]
    return render_table(head, [], rows)


def equivariance_page(records: list[Record]) -> str:
    """Return a Markdown table for each PDE."""
    names = dict.fromkeys(r["pde"] for r in records)
    return "\n\n".join(
        f"**{name}**\n\n{table([r for r in records if r['pde'] == name])}" for name in names
    )


def plot(records: list[Record]) -> Figure:
    """Draw losses by function and kind of field, and the areas under the ROC."""
    kinds, names = ["on", *records[0]["off"]], [r["function"] for r in records]
    figure = Figure(figsize=(11, 0.42 * len(names) + 1.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for i, kind in enumerate(kinds):
        places = [row + 0.1 * (i - 2) for row in range(len(names))]  # kinds one above the other
        values = [max(r["on"] if kind == "on" else r["off"][kind], 1e-6) for r in records]
        marker, colour = ("o", "black") if kind == "on" else ("x", f"C{i - 1}")
        label = "on the manifold" if kind == "on" else kind
        left.plot(values, places, marker, color=colour, label=label)
        if kind != "on":
            right.plot([r["area"][kind] for r in records], places, marker, color=colour)
    left.set_xscale("log")
    left.set_xlabel("equivariance loss, relative")
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    right.axvline(0.5, color="grey", linewidth=0.8)
    right.set_xlabel("area under the ROC; at 0.5 the losses do not separate the fields")
    figure.legend(loc="outside upper center", ncols=len(kinds), fontsize=8, frameon=False)
    figure.suptitle(records[0]["pde"], x=0.02, ha="left", fontsize=11)
    return figure
