"""Problems of coefficients that are not Gaussian, by the name of their family and of the PDE."""

from __future__ import annotations

from collections.abc import Mapping

from pdeinv.coefficients import Channels, Inclusions, Scenarios, Spikes
from pdeinv.datasets import Darcy, Helmholtz, NavierStokes, Poisson, Problem, Vortices

__all__ = ["DIRECTIONS", "FAMILIES", "LENGTHS"]

LENGTHS = (0.1, 0.2, 0.4)
"""Of the scenarios, in sides of the domain."""
DIRECTIONS = tuple(22.5 * k for k in range(8))
"""Of the scenarios, in degrees."""
_FLOW = NavierStokes(viscosity=1e-4, dt=0.025)  # vortices are too fast for a longer step

FAMILIES: Mapping[str, Mapping[str, Problem]] = {
    "channels": {"darcy": Problem(Darcy(), Channels())},
    "inclusions": {"darcy": Problem(Darcy(), Inclusions())},
    "scenarios": {
        pde.name: Problem(pde, Scenarios(LENGTHS, DIRECTIONS)) for pde in (Poisson(), Helmholtz())
    },
    "spikes": {pde.name: Problem(pde, Spikes()) for pde in (Poisson(), Helmholtz())},
    "vortices": {"navier-stokes": Problem(_FLOW, Vortices())},
}
"""By family and PDE."""
