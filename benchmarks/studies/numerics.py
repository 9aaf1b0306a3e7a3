"""The PDE solvers and generators by the numbers: `python -m pdeinv.benchmarks.studies.numerics
--out FILE.jsonl`.

Three kinds of record: the error of each solver against scipy's sparse LU of the same equations, or
against itself on finer grids and with shorter time steps (`tests/test_pde_solvers.py` has an
independent Navier–Stokes solver); the statistics of the generated fields against those of the
original training data; and the time that a thousand pairs take.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import spsolve

from pdeinv.benchmarks.provenance import provenance
from pdeinv.datasets import PDE, Darcy, Helmholtz, NavierStokes, Poisson, generate, open_dataset
from pdeinv.errors import run_cli
from pdeinv.files import atomic_write

__all__ = ["PUBLISHED"]

PUBLISHED = {
    ("poisson", "source"): {"std": 0.292},
    ("poisson", "potential"): {"std": 4.17e-3},
    ("helmholtz", "source"): {"std": 0.284},
    ("helmholtz", "wavefield"): {"std": 4.28e-3},
    ("darcy", "pressure"): {"mean": 5.69e-3, "std": 3.79e-3},
    ("navier-stokes", "initial_vorticity"): {"std": 0.262},
    ("navier-stokes", "final_vorticity"): {"std": 0.256},
}
"""Statistics over all nodes and samples of DiffusionPDE's training data (Huang et al., NeurIPS
2024, published datasets)."""


def solver_errors(pde: PDE, grid: int, instances: int, seed: int) -> list[dict]:
    """Relative L2 errors of `solve`: of the algebra or the time steps, and of the discretisation in
    space."""
    nodes = pde.grid(grid)
    xi = pde.latent_prior.white(instances, torch.Generator().manual_seed(seed))

    def solve(which, nodes):
        return which.solve(which.coefficient(which.latent_prior.square_root(xi, nodes)))

    u = solve(pde, nodes)
    if isinstance(pde, NavierStokes):
        references = {
            "time step / 8": solve(replace(pde, dt=pde.dt / 8), nodes),
            "2 x finer grid": _coarsen(solve, pde, 2, grid),
        }
    else:
        a = pde.coefficient(pde.latent_prior.square_root(xi, nodes))
        references = {
            "sparse LU": torch.stack([_sparse_solve(pde, x[0].numpy()) for x in a])[:, None]
        }
        references["4 x finer grid"] = _coarsen(solve, pde, 4, grid)
    return [
        {
            "measure": "solver error",
            "pde": pde.name,
            "grid": grid,
            "instances": instances,
            "seed": seed,
            "reference": name,
        }
        | {"value": float(((u - r).flatten(1).norm(dim=1) / r.flatten(1).norm(dim=1)).mean())}
        for name, r in references.items()
    ]


def generation(pde: PDE, grid: int, n: int, seed: int) -> list[dict]:
    """Seconds for n pairs on all cores, and the statistics of what came out."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = generate(pde, n, grid, seed, Path(folder) / "data.h5", progress=True)
        seconds = time.perf_counter() - start
        with open_dataset(path) as data:
            data = data.load()
    setting = {"pde": pde.name, "grid": grid, "instances": n, "seed": seed}
    records = [{"measure": "generation seconds", **setting, "value": seconds}]
    for (name, field), published in PUBLISHED.items():
        if name == pde.name:
            for statistic, figure in published.items():
                value = float(getattr(np, statistic)(data[field].values, dtype=np.float64))
                records.append(
                    {"measure": f"{statistic} of {field}", **setting, "value": value}
                    | {"published": figure, "relative_difference": value / figure - 1}
                )
    return records


def _coarsen(solve, pde, times, grid):
    cells = pde.grid(grid).cells * times
    fine = solve(pde, pde.grid(cells + (0 if pde.grid_kind == "periodic" else 1)))
    return fine[..., ::times, ::times]


def _sparse_solve(pde: PDE, a: np.ndarray) -> torch.Tensor:
    """The same five-point equations, assembled node by node as a sparse matrix and factorised by
    scipy."""
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
        right = np.full(len(here), pde.source)
    else:
        matrix = matrix - (pde.k**2 if isinstance(pde, Helmholtz) else 0.0) * sp.eye(len(here))
        right = -a[1:-1, 1:-1].ravel()
    u = np.zeros((n, n))
    u[1:-1, 1:-1] = spsolve(matrix.tocsc(), right).reshape(n - 2, n - 2)
    return torch.as_tensor(u)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON-lines file to write")
    parser.add_argument("--grid", type=int, default=128, help="nodes per side (default 128)")
    parser.add_argument(
        "--n",
        type=int,
        default=1000,
        help="pairs to generate for time and statistics (default 1000)",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    command = shlex.join(["python", "-m", "pdeinv.benchmarks.studies.numerics", *sys.argv[1:]])
    records = []
    for pde in (Poisson(), Helmholtz(), Darcy(), NavierStokes()):
        records += generation(pde, options.grid, options.n, options.seed)
        records += solver_errors(pde, options.grid, 8, options.seed)
    for record in records:
        print(
            f"{record['pde']:<15}{record.get('reference', ''):<16}{record['measure']:<28}{record['value']:.3g}"
        )
    with atomic_write(options.out) as temporary:
        temporary.write_text(
            "".join(json.dumps(record | provenance(command)) + "\n" for record in records)
        )


if __name__ == "__main__":
    run_cli(_main)
