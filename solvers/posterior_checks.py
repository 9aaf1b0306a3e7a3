"""What every posterior must be: of the shape that was wanted, and finite."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from pdeinv.datasets.base import PDE
from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.posterior import Posterior

if TYPE_CHECKING:
    from pdeinv.solvers.base import Solver
    from pdeinv.solvers.members import ModeEnsemble

__all__ = ["check_members", "check_posterior"]

_FEWEST = 4  # members that an ensemble must have


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


def check_members(drawn: ModeEnsemble, n_samples: int, reason: str) -> None:
    """Refuse an ensemble of too few members, and warn of members that were left out.

    Raises:
        NumericalError: there are too few.
    """
    left_out, members = drawn.left_out, len(drawn.xi)
    if members < max(_FEWEST, n_samples):
        raise NumericalError(
            f"{left_out} of {left_out + members} members were unstable: {reason}, or check the "
            f"units of the readings"
        )
    if left_out:
        warnings.warn(
            f"{left_out} members of the ensemble were left out, since {reason}", stacklevel=3
        )
