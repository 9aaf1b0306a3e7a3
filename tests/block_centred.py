"""MODFLOW's discretisation of one confined layer, written from the formulas of its manual."""

from collections.abc import Container

import numpy as np
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

Cell = tuple[int, int]


def heads(
    conductivity: np.ndarray,
    thickness: np.ndarray,
    delr: float,
    delc: float,
    *,
    constant: dict[Cell, float],
    wells: dict[Cell, float] | None = None,
    recharge: np.ndarray | None = None,
    general: list[tuple[Cell, float, float]] | None = None,
    active: np.ndarray | None = None,
    walls: Container[tuple[Cell, Cell]] = (),
) -> np.ndarray:
    """Return the heads [row, column], rows from top to bottom as in MODFLOW; nan where inactive.

    Between two cells of a row, the conductance is that of two half cells in series:
    2 T1 T2 delc / (T1 delr + T2 delr); in a column delr and delc change their places.

    Arguments:
        conductivity, thickness: of the cells.
        delr, delc: widths of a column and of a row.
        constant: heads of cells.
        wells: rates of cells.
        recharge: per area.
        general: (cell, level, conductance) of general heads and rivers.
        active: which cells are.
        walls: pairs of cells, the one with the lower indices first, between which nothing flows.
    """
    rows, columns = conductivity.shape
    active = np.ones((rows, columns), bool) if active is None else active
    transmissivity = conductivity * thickness
    matrix, right = lil_matrix((rows * columns,) * 2), np.zeros(rows * columns)
    for i in range(rows):
        for j in range(columns):
            n = i * columns + j
            if not active[i, j] or (i, j) in constant:
                matrix[n, n], right[n] = 1.0, constant.get((i, j), np.nan)
                if not active[i, j]:
                    right[n] = 0.0
                continue
            for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                p, q = i + di, j + dj
                if not (0 <= p < rows and 0 <= q < columns) or not active[p, q]:
                    continue
                if tuple(sorted([(i, j), (p, q)])) in walls:
                    continue
                length, width = (delr, delc) if dj else (delc, delr)
                t1, t2 = transmissivity[i, j], transmissivity[p, q]
                conductance = 2 * t1 * t2 * width / (t1 * length + t2 * length)
                matrix[n, n] += conductance
                matrix[n, p * columns + q] -= conductance
            right[n] += (wells or {}).get((i, j), 0.0)
            if recharge is not None:
                right[n] += recharge[i, j] * delr * delc
    for (i, j), level, conductance in general or []:
        if active[i, j] and (i, j) not in constant:
            n = i * columns + j
            matrix[n, n] += conductance
            right[n] += conductance * level
    found = spsolve(matrix.tocsc(), right).reshape(rows, columns)
    return np.where(active, found, np.nan)
