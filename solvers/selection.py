"""Which solver: "auto" by the properties of the PDE and the prior, a name, and common options."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

import pdeinv.solvers as solvers
from pdeinv.checks import MOST, Bounds, described, integer
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.registry import PDES
from pdeinv.errors import InputError
from pdeinv.external import is_reference, load_instance
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import Solver
from pdeinv.solvers.diffusion.equireg import EquiReg, EquiReweight
from pdeinv.solvers.diffusion.fundps import FunDPS
from pdeinv.solvers.diffusion.moment import Moment
from pdeinv.solvers.ensemble_smoother import EnsembleSmoother
from pdeinv.solvers.fno import FNO
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.gaussian import GaussianSolver
from pdeinv.solvers.level_set import LevelSet
from pdeinv.solvers.mixture import Mixture
from pdeinv.solvers.object_chains import ObjectChains
from pdeinv.solvers.optimal_interpolation import OptimalInterpolation
from pdeinv.solvers.supported_readings import UNCERTAIN, check_physics
from pdeinv.symmetry import Group, Symmetry

__all__ = ["VARIANTS", "solver_for", "with_options"]

_FOR_COEFFICIENTS = (GaussianSolver(), GaussNewton(), LevelSet())
_FOR_OTHER_COEFFICIENTS = (Mixture(), ObjectChains(), OptimalInterpolation())
"""For coefficients without a latent Gaussian field."""
_WITHOUT_DERIVATIVES = {True: OptimalInterpolation(), False: EnsembleSmoother()}
"""For coefficients that none of these takes, by whether all is linear."""
_FOR_OTHERS: tuple[Solver, ...] = (FNO(), Moment(), FunDPS(), OptimalInterpolation())

VARIANTS = {
    True: EquiReg(),
    "identity": EquiReg(group=Group((Symmetry(),))),
    "equi": EquiReg(loss="equi"),
    "reweight": EquiReweight(),
}
"""Of EquiReg: itself, a control with the trivial group, one that does not denoise, and one without
a gradient."""


def solver_for(solver: str | Solver, pde: PDE, prior: Prior | None = None) -> Solver:
    """Return a solver by its name; "auto" takes the first that accepts the PDE and suits the prior.

    Arguments:
        solver: a name in `pdeinv.solvers.SOLVERS`, "auto", `file.py:Class` or `file.py:name` for
            a class or an instance outside of the package, or an instance, which is returned.
        pde: the physics.
        prior: None for the `default_prior` of the PDE.

    Raises:
        InputError: the name is unknown, or no solver accepts the prior.
    """
    if isinstance(solver, Solver):
        return solver
    if isinstance(solver, str) and solver == "auto":
        problem = Problem.of(pde, prior)
        prior, candidates = problem.prior, _FOR_OTHERS
        if isinstance(prior, CoefficientPrior):
            candidates = _FOR_OTHER_COEFFICIENTS
            if prior.has_latent:
                candidates = (*_FOR_COEFFICIENTS, _WITHOUT_DERIVATIVES[problem.linear])
        for candidate in candidates:
            able = pde.differentiable or not candidate.differentiates(pde, prior)
            able &= not pde.uncertain or UNCERTAIN in candidate.takes
            if able and candidate.suits_prior(prior) and candidate.accepts(pde, prior):
                return candidate
        check_physics(candidates[-1], pde)
        if isinstance(prior, CoefficientPrior):
            raise InputError(
                f"the prior of the {pde.coefficient_field.name} of {pde.name} must not have a flat "
                f"mean, unless all is linear and {pde.name} has derivatives, got the {prior.name} "
                f"prior with one; give mean_std a finite value"
            )
        raise InputError(
            f"prior must be one of pdeinv.coefficients, an `Ensemble`, a prior with a "
            f"denoiser or a regressor, got {type(prior).__name__}; give one of `pdeinv train` "
            f"without --model operator"
        )
    if is_reference(solver):
        return load_instance(solver, Solver, PDES)  # type: ignore[type-abstract]
    if not isinstance(solver, str) or solver not in solvers.SOLVERS:
        close = difflib.get_close_matches(str(solver).lower(), solvers.SOLVERS, n=1)
        raise InputError(
            f"solver must be one of auto, {', '.join(sorted(solvers.SOLVERS))}, got "
            f"{described(solver)}; "
            + (f"did you mean {close[0]!r}?" if close else "use 'auto', or file.py:name")
        )
    return solvers.SOLVERS[solver]()


def with_options(
    solver: Solver, equireg: bool | str, steps: int | None, preset: str | None = None
) -> Solver:
    """Return the solver with guidance by EquiReg, another number of steps or another preset.

    Arguments:
        solver: the solver; it is returned as it is where no option is given.
        equireg: a key of `VARIANTS`, or False.
        steps: at least 2, or None for the solver's own number.
        preset: "default" or "published", or None for the solver's own.

    Raises:
        InputError: the solver does not support an option, or its value is not allowed.
    """
    options: dict[str, Any] = {}
    if equireg is not False and equireg is not None:
        if not isinstance(equireg, bool | str) or equireg not in VARIANTS:
            raise InputError(
                f"equireg must be one of {', '.join(map(repr, VARIANTS))}, got "
                f"{described(equireg)}; use True"
            )
        options["guidance"] = (VARIANTS[equireg],)
    if steps is not None:
        options["steps"] = integer("steps", steps, Bounds(2, MOST))
    if preset is not None:
        options["preset"] = preset
    settings = solver.settings()
    if not options.keys() <= settings.keys():
        given = " and ".join("equireg" if key == "guidance" else key for key in options)
        able = [n for n, s in solvers.SOLVERS.items() if options.keys() <= _names(s)]
        raise InputError(
            f"the {solver.name} solver does not support {given}; choose one of "
            f"{', '.join(sorted(able))}"
        )
    if "guidance" in options:
        options["guidance"] = (*settings["guidance"], *options["guidance"])
    return dataclasses.replace(solver, **options) if options else solver


def _names(solver: type[Solver]) -> set[str]:
    return {f.name for f in dataclasses.fields(solver)}
