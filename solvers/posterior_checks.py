"""What every posterior must be: of the shape that was wanted, and finite."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pdeinv.datasets.base import PDE
from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.posterior import Posterior

if TYPE_CHECKING:
    from pdeinv.solvers.base import Solver

__all__ = ["check_posterior"]


def check_posterior(
    posterior: Posterior, solver: Solver, pde: PDE, grid: Grid, n_samples: int
) -> None:
    """Refuse a posterior that is not finite, or of another shape than was asked for.

    Raises:
        NumericalError: so it is.
    """
    state = (len(pde.fields), *grid.shape)
    shapes = {"mean": state, "std": state, "samples": (n_samples, *state)}
    for name, shape in shapes.items():
        values = getattr(posterior, name)
        if tuple(values.shape) != shape:
            raise NumericalError(
                f"the {name} of the {solver.name} solver must have the shape {shape}, got "
                f"{tuple(values.shape)}; mend its `condition`"
            )
        channels = zip(pde.fields, values.unbind(dim=-3), strict=True)
        broken = [f.label for f, v in channels if not bool(v.isfinite().all())]
        if broken:
            raise NumericalError(
                f"the {name} of {' and '.join(broken)} of the {solver.name} solver must be "
                f"finite, got nan or inf; {solver.failure_remedy}"
            )
    chi2 = posterior.record.get("reduced_chi_squared", math.nan)
    if not math.isfinite(float(chi2)):
        raise NumericalError(
            f"the reduced chi-squared of the {solver.name} solver must be finite, got {chi2}; "
            f"{solver.failure_remedy}"
        )
