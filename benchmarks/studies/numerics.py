"""The PDE solvers and generators by the numbers: `pdeinv study numerics`.

Three kinds of record: the error of each solver against scipy's sparse LU of the same equations, or
against itself on finer grids and with shorter time steps (`tests/test_pde_solvers.py` has an
independent Navier–Stokes solver); the statistics of the generated fields against those of the
original training data; and the time that a thousand pairs take.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import spsolve

from pdeinv import seeds
from pdeinv.benchmarks import published
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.study_kinds import NUMERICS
from pdeinv.datasets import (
    PDE,
    Darcy,
    Helmholtz,
    NavierStokes,
    Problem,
    generate,
    open_dataset,
)
from pdeinv.grid import Grid

__all__ = ["generation", "run", "solver_errors"]

_ERROR_INSTANCES = 8


def run(out: Path, *, grid: int = 128, n: int = 1000, seed: int = 0, command: str = "") -> None:
    """Measure the published PDEs; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        grid: nodes per side.
        n: number of pairs to generate.
        seed: of the fields.
        command: command to type for the same records.
    """
    log = JsonLines(out, NUMERICS, _part)
    for name in published.PDES:
        problem = Problem.named(name)
        parts: dict[str, tuple[int, Callable[[], list[Record]]]] = {
            "generation seconds": (n, partial(generation, problem, grid, n, seed)),
            "solver error": (
                _ERROR_INSTANCES,
                partial(solver_errors, problem, grid, _ERROR_INSTANCES, seed),
            ),
        }
        for measure, (instances, part) in parts.items():
            if (measure, name, grid, instances, seed) not in log:
                records = part()
                more = {"rows": len(records), **provenance(command)}
                log.append(*(record | more for record in records))


def solver_errors(problem: Problem, grid: int, instances: int, seed: int) -> list[Record]:
    """Return relative L2 errors of `solve`: of the algebra or time steps, and of the grid.

    Arguments:
        problem: one of the published ones.
        grid: nodes per side.
        instances: number of coefficients.
        seed: of the coefficients.
    """
    pde = problem.physics
    nodes = pde.grid(grid)
    xi = problem.latent.white(instances, seeds.generator(seeds.TUNING, seed))
    u = _solution(problem, xi, nodes)
    if isinstance(pde, NavierStokes):
        references = {
            "time step / 8": _solution(
                Problem(replace(pde, dt=pde.dt / 8), problem.prior), xi, nodes
            ),
            "2 x finer grid": _coarsened(problem, xi, 2, grid),
        }
    else:
        a = problem.coefficient(problem.latent.square_root(xi, nodes))
        references = {
            "sparse LU": torch.stack([_sparse_solve(pde, x[0].numpy()) for x in a])[:, None],
            "4 x finer grid": _coarsened(problem, xi, 4, grid),
        }
    return [
        {
            "measure": "solver error",
            "pde": pde.name,
            "grid": grid,
            "instances": instances,
            "seed": seed,
            "reference": name,
            "value": float(((u - r).flatten(1).norm(dim=1) / r.flatten(1).norm(dim=1)).mean()),
        }
        for name, r in references.items()
    ]


def generation(problem: Problem, grid: int, n: int, seed: int) -> list[Record]:
    """Return the seconds that n pairs take on all cores, and the statistics of their fields.

    Arguments:
        problem: whose fields are generated.
        grid: nodes per side.
        n: number of pairs.
        seed: of the dataset.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = generate(problem, n, grid, seed, Path(folder) / "data.h5", progress=True)
        seconds = time.perf_counter() - start
        with open_dataset(path) as data:
            data = data.load()
    pde = problem.physics
    setting = {"pde": pde.name, "grid": grid, "instances": n, "seed": seed}
    records: list[Record] = [{"measure": "generation seconds", **setting, "value": seconds}]
    for (name, field), statistics in published.DATA_STATISTICS.items():
        for statistic, figure in statistics.items() if name == pde.name else ():
            value = float(getattr(np, statistic)(data[field].values, dtype=np.float64))
            records.append(
                {"measure": f"{statistic} of {field}", **setting, "value": value}
                | {"published": figure, "relative_difference": value / figure - 1}
            )
    return records


def _part(record: Record) -> tuple[str | int, ...]:
    """Return what the records of one part of a run share: the statistics are of the generation."""
    measure = record["measure"]
    part = measure if measure == "solver error" else "generation seconds"
    return (part, *values_of(record, ("pde", "grid", "instances", "seed")))


def _solution(problem: Problem, xi: torch.Tensor, nodes: Grid) -> torch.Tensor:
    """Return the solutions of draws of the latent field on a grid."""
    a = problem.coefficient(problem.latent.square_root(xi, nodes))
    return problem.physics.solve(a)


def _coarsened(problem: Problem, xi: torch.Tensor, times: int, grid: int) -> torch.Tensor:
    """Return the solutions at the nodes of a grid, solved on one with `times` as many cells."""
    pde = problem.physics
    ends = 0 if pde.grid_kind == "periodic" else 1
    ny, nx = (cells * times + ends for cells in pde.grid(grid).cells)
    fine = _solution(problem, xi, pde.grid(ny, nx))
    return fine[..., ::times, ::times]


def _sparse_solve(pde: PDE, a: np.ndarray) -> torch.Tensor:
    """Solve the same five-point equations as a sparse matrix, assembled node by node, by scipy."""
    n = len(a)
    number = -np.ones((n, n), dtype=int)
    number[1:-1, 1:-1] = np.arange((n - 2) ** 2).reshape(n - 2, n - 2)
    here = number[1:-1, 1:-1].ravel()
    permeability = a if isinstance(pde, Darcy) else np.ones_like(a)
    diagonal = np.zeros((n - 2) ** 2)
    rows, columns, values = [], [], []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        window = np.s_[1 + dy : n - 1 + dy, 1 + dx : n - 1 + dx]
        face = ((permeability[1:-1, 1:-1] + permeability[window]) / 2).ravel() * (n - 1) ** 2
        there = number[window].ravel()
        diagonal += face
        inside = there >= 0
        rows.append(here[inside])
        columns.append(there[inside])
        values.append(-face[inside])
    matrix = sp.coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=2 * (len(here),),
    )
    matrix = matrix + sp.diags(diagonal)  # minus the divergence form
    if isinstance(pde, Darcy):
        right = np.full(len(here), pde.source.value)
    else:
        matrix = matrix - (pde.k**2 if isinstance(pde, Helmholtz) else 0.0) * sp.eye(len(here))
        right = -a[1:-1, 1:-1].ravel()
    u = np.zeros((n, n))
    u[1:-1, 1:-1] = spsolve(matrix.tocsc(), right).reshape(n - 2, n - 2)
    return torch.as_tensor(u)
