"""Which function tells fields of a PDE from others by its equivariance? `pdeinv equivariance --pde
NAME`.

EquiReg needs a function that is nearly equivariant on fields of the prior and much less so
elsewhere. For every candidate and every element of the PDE's group this measures the equivariance
loss on fresh fields and on fields that are none: blurred, noised, mixtures of two, and the
estimates that a guided solver makes on its way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from tqdm import tqdm

from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets.base import PDE
from pdeinv.grid import Grid
from pdeinv.priors import DiffusionPrior, GaussianPrior, NeuralOperator, load, shipped
from pdeinv.solvers.diffusion.equireg import DenoisingMap, StateMap, equivariance_loss
from pdeinv.solvers.diffusion.fundps import FunDPS
from pdeinv.symmetry import Symmetry

__all__ = [
    "CoefficientToSolution",
    "Encoder",
    "SolutionToCoefficient",
    "candidates",
    "equivariance_page",
    "measure",
    "off_manifold",
    "plot",
    "table",
]

_SEED = 78_000  # no dataset or benchmark draws from it
_LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class CoefficientToSolution:
    """A neural operator as a function of states: it looks at the coefficient and answers with the
    solution."""

    operator: NeuralOperator

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator(x[:, :1])


@dataclass(frozen=True)
class SolutionToCoefficient:
    """A neural operator that inverts the PDE as a function of states: it looks at the solution
    alone."""

    operator: NeuralOperator

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator(x[:, 1:])


@dataclass(frozen=True)
class Encoder:
    """The hidden fields of a neural operator, from which its last layer makes the solution, as a
    function of states."""

    operator: NeuralOperator

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.operator.encode(x[:, :1])


class _Identity(StateMap):
    def __call__(self, x):
        return x


def candidates(
    pde: PDE,
    prior: DiffusionPrior | GaussianPrior,
    levels=_LEVELS,
    inverse: NeuralOperator | None = None,
) -> dict[str, Callable]:
    """Functions by name: the prior's denoiser at small noise levels, the shipped neural operator,
    the identity as control.

    Arguments:
        inverse: an operator from the solution to the coefficient, another candidate.
    """
    found: dict[str, Callable] = {f"denoiser at σ = {s:g}": DenoisingMap(prior, s) for s in levels}
    if f"{pde.name}-operator" in shipped():
        operator = load(f"{pde.name}-operator")
        found |= {
            "operator": CoefficientToSolution(operator),
            "operator's encoder": Encoder(operator),
        }
    if inverse:
        found["inverse operator"] = SolutionToCoefficient(inverse)
    return found | {"identity": _Identity()}


def off_manifold(
    pde: PDE, prior, states: torch.Tensor, others: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Fields that are none of the PDE's, made from some that are: (batch, channel, n, n) by the
    name of the defect."""
    g = getattr(prior, "gaussian", prior)
    grid = g.grid_of(states)
    tables = g.coefficients(g.normalise(states), grid)
    blur = [
        t * torch.exp(-0.5 * (0.03 * b.frequencies(t.shape[-1])) ** 2).to(t)
        for b, t in zip(g.bases, tables, strict=True)
    ]
    mean = states.mean(dim=0)
    kinds = {
        "blurred": g.physical(
            g.synthesis(blur, grid) + g.remainder(g.normalise(states), tables, grid)
        ),
        "noised": states
        + 0.1 * prior.sample_noise(len(states), grid, torch.Generator().manual_seed(_SEED)),
        "guided estimates": _estimates(pde, prior, len(states), grid),
    }
    if not pde.linear:  # where it is, so scaled a mixture is one of its fields
        kinds["mixed"] = mean + (states + others - 2 * mean) / 2**0.5
    return kinds


def _estimates(pde, prior, n, grid: Grid, steps: int = 20, sigma: float = 0.5) -> torch.Tensor:
    """What FunDPS takes for the state once the noise has fallen below a level, in inverse problems
    with few sensors."""
    kept: list[torch.Tensor] = []
    sensors = max(4, grid.n**2 * 125 // 4096)
    for i in range(0, n, 8):
        seen: list[torch.Tensor] = []

        def listen(x_t, level, x0_hat, seen=seen):
            if level <= sigma and not seen:
                seen.append(x0_hat.detach())

        _, observation = Task(pde.name, "inverse", grid=grid.n, sensors=sensors).instance(_SEED + i)
        solver = FunDPS(steps=steps, guidance=(listen,))
        solver(
            pde,
            prior,
            observation,
            n_samples=min(8, n - i),
            generator=torch.Generator().manual_seed(i),
        )
        kept += seen
    return torch.cat(kept)[:n]


@torch.no_grad()
def measure(
    pde: PDE,
    prior,
    functions: dict[str, Callable] | None = None,
    *,
    grid: int = 64,
    n: int = 32,
    progress: bool = False,
) -> list[dict]:
    """One record a function: mean losses on fields of the PDE and of each other kind, their ratio
    and the area under the ROC.

    Losses are relative to the norm of the fields, or of the function's answers where it leaves
    their space. The area is the probability that a random field that is none of the PDE's has a
    larger loss than a random one that is: 0.5 tells nothing.
    """
    functions = functions or candidates(pde, prior)
    g = getattr(prior, "gaussian", prior)
    nodes, generator = pde.grid(grid), torch.Generator().manual_seed(_SEED)
    states, others = (pde.sample(n, nodes, generator)[:, : len(g.fields)] for _ in range(2))
    with torch.enable_grad():
        kinds = {"on": states, **off_manifold(pde, prior, states, others)}
    elements = [pde.symmetries.element(i, generator) for i in range(len(pde.symmetries))]
    elements = [e for e in elements if e != Symmetry()]
    records = []
    for name, function in tqdm(functions.items(), desc="functions", disable=not progress):
        losses = {kind: _losses(function, x, elements, nodes, g) for kind, x in kinds.items()}
        on = losses.pop("on")
        records.append(
            {
                "pde": pde.name,
                "function": name,
                "grid": grid,
                "fields": n,
                "seed": _SEED,
                "on": round(float(on.mean()), 6),
                "by_element": [round(float(v), 6) for v in on.mean(dim=1)],
                "off": {k: round(float(v.mean()), 6) for k, v in losses.items()},
                "ratio": {
                    k: round(float(v.mean() / on.mean().clamp(min=1e-12)), 4)
                    for k, v in losses.items()
                },
                "area": {k: round(_area(on, v), 4) for k, v in losses.items()},
            }
        )
    return records


def _losses(function, x, elements, grid, g):
    """(elements, fields), relative."""
    scale = g.scale[:, None, None]
    # Deviations are compared with that of the field, or of the answer, from its mean.
    centre = g.shift[:, None, None]
    if isinstance(function, StateMap):
        sizes = ((x - centre) / scale).flatten(1).norm(dim=1)
    else:
        answers = function(x)
        sizes = (answers - answers.mean(dim=0)).flatten(1).norm(dim=1)
    rows = [equivariance_loss(function, x, [e] * len(x), grid, scale) / sizes for e in elements]
    return torch.stack(rows).double()


def _area(on: torch.Tensor, off: torch.Tensor) -> float:
    a, b = on.flatten(), off.flatten()
    above = (b[:, None] > a).double() + 0.5 * (b[:, None] == a).double()
    return float(above.mean())


def table(records: list[dict]) -> str:
    """Markdown: a line for each function, the best separation first."""
    kinds = list(records[0]["off"])
    head = ["function", "on the manifold, %", *(f"{k}: ratio (ROC area)" for k in kinds)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for r in sorted(records, key=lambda r: -sum(r["area"].values())):
        cells = [f"{r['ratio'][k]:.2f} ({r['area'][k]:.2f})" for k in kinds]
        lines.append("| " + " | ".join([r["function"], f"{100 * r['on']:.2f}", *cells]) + " |")
    return "\n".join(lines)


def equivariance_page(records: list[dict]) -> str:
    """Markdown: a table for each PDE."""
    names = dict.fromkeys(r["pde"] for r in records)
    return "\n\n".join(
        f"**{name}**\n\n{table([r for r in records if r['pde'] == name])}" for name in names
    )


def plot(records: list[dict], path: str | os.PathLike) -> None:
    """Losses by function and kind of field, beside the areas under the ROC; a figure file."""
    from matplotlib.figure import Figure

    from pdeinv.files import save_figure

    kinds, names = ["on", *records[0]["off"]], [r["function"] for r in records]
    figure = Figure(figsize=(11, 0.42 * len(names) + 1.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for i, kind in enumerate(kinds):
        places = [row + 0.1 * (i - 2) for row in range(len(names))]  # kinds one above the other
        values = [max(r["on"] if kind == "on" else r["off"][kind], 1e-6) for r in records]
        style = {
            "marker": "o" if kind == "on" else "x",
            "color": "black" if kind == "on" else f"C{i - 1}",
        }
        left.plot(
            values,
            places,
            linestyle="none",
            label="on the manifold" if kind == "on" else kind,
            **style,
        )
        if kind != "on":
            right.plot([r["area"][kind] for r in records], places, linestyle="none", **style)
    left.set_xscale("log")
    left.set_xlabel("equivariance loss, relative")
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    right.axvline(0.5, color="grey", linewidth=0.8)
    right.set_xlabel("area under the ROC; 0.5 tells nothing")
    figure.legend(loc="outside upper center", ncols=len(kinds), fontsize=8, frameon=False)
    figure.suptitle(records[0]["pde"], x=0.02, ha="left", fontsize=11)
    save_figure(figure, path)
