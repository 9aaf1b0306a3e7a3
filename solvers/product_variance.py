"""The variance of solutions that waves find, of coefficients that are sums of products.

Both are sums over functions of y times functions of x. With a factorisation of the inverse
eigenvalues, Σ_r p_r(j) q_r(l), so is each solution of a product: u = Σ_r a_r(y) b_r(x). Its square
is a sum over pairs (r, r'), and the variance two matrix products for each pair.
"""

from __future__ import annotations

import torch

from pdeinv.datasets.elliptic.base import SourcePDE
from pdeinv.datasets.elliptic.transform_solver import InverseByWaves
from pdeinv.datasets.problem import Problem
from pdeinv.grid import Grid
from pdeinv.latent_field import Products

__all__ = ["product_variance"]

_RANK = 1e-13  # singular values of the inverse eigenvalues that are left out, relative to the first
_WAVES = 1e-15  # variance of functions of one direction that are left out, relative to all
_BYTES = 2e8  # of a batch of pairs


def product_variance(problem: Problem, grid: Grid) -> torch.Tensor | None:
    """Return the pointwise variance (ny, nx) of the solution before readings, float64.

    It takes O(r² n³) operations on n x n nodes, with r about 20, where a solve for each node takes
    O(n⁵).

    Arguments:
        problem: linear.
        grid: of the variance.

    Returns:
        None where the coefficient is no sum of products, or waves do not solve the equation.
    """
    physics = problem.physics
    if not isinstance(physics, SourcePDE) or len(physics.fields) != 2:
        return None
    inverse, products = physics.inverse(grid), problem.latent.products(grid)
    if inverse is None or products is None:
        return None
    volumes = physics.conditions(grid).volumes
    unit = torch.ones(1, 1, *grid.shape, dtype=torch.float64)
    slope = problem.coefficient(unit) - problem.coefficient(0 * unit)
    factor = volumes.inside(slope)[0, 0]
    if float((factor - factor[0, 0]).abs().max()) > 1e-12 * float(factor.abs().max()):
        return None  # the coefficient is no multiple of the field
    on_free = Products(
        products.along_y[volumes.rows], products.along_x[volumes.columns], products.variances
    )
    inner = _variance(inverse, _needed(on_free))
    return factor[0, 0] ** 2 * volumes.extended(inner)


def _needed(products: Products) -> Products:
    """Return the products without functions that add nothing to the variance."""
    y, x, variances = products
    rows = variances.sum(dim=1) > _WAVES * variances.sum()
    columns = variances.sum(dim=0) > _WAVES * variances.sum()
    return Products(y[:, rows], x[:, columns], variances[rows][:, columns])


def _variance(inverse: InverseByWaves, products: Products) -> torch.Tensor:
    """Return the variance at the free nodes, (my, mx)."""
    kind = products.along_y.dtype
    left, size, right = torch.linalg.svd(inverse.factors, full_matrices=False)
    kept = size > _RANK * size[0]
    of_y = inverse.analysis_y.to(kind) @ products.along_y
    of_x = inverse.analysis_x.to(kind) @ products.along_x
    a = inverse.synthesis_y.to(kind) @ ((left * size)[:, kept].T[:, :, None] * of_y)
    b = inverse.synthesis_x.to(kind) @ (right[kept][:, :, None] * of_x)
    variances = products.variances.to(kind)
    total = torch.zeros(a.shape[1], b.shape[1], dtype=torch.float64)
    batch = max(1, int(_BYTES / (a[0].nbytes + b[0].nbytes)))
    for r in range(len(a)):
        for some in range(r, len(a), batch):
            others = slice(some, some + batch)
            pairs = (a[r].conj() * a[others]) @ variances @ (b[r].conj() * b[others]).mT
            total += 2 * pairs.real.sum(dim=0)
            if some == r:
                total -= pairs[0].real  # the pair of r with itself counts once
    return total
