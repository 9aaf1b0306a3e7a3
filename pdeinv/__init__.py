"""Recover the coefficient and the solution of a 2-D PDE from sparse, noisy sensors."""

import sys
from importlib import import_module
from pathlib import Path

from pdeinv.checkout import SiblingFinder

if not Path(__file__).with_name("datasets").is_dir():  # a checkout
    # First, for another checkout may be the installed one
    sys.meta_path.insert(0, SiblingFinder(__name__, Path(__file__).parent.parent))

# Each name is imported on its first use, so that `pdeinv --help` does not wait for torch
_EXPORTS = {
    "Ensemble": "pdeinv.priors.ensemble",
    "Channels": "pdeinv.coefficients",
    "CoefficientPrior": "pdeinv.coefficients",
    "EquiReg": "pdeinv.solvers.diffusion.equireg",
    "Field": "pdeinv.fields",
    "GaussianField": "pdeinv.coefficients",
    "GaussianRandomField": "pdeinv.random_field",
    "Grid": "pdeinv.grid",
    "Group": "pdeinv.symmetry",
    "Inclusions": "pdeinv.coefficients",
    "InputError": "pdeinv.errors",
    "InputWarning": "pdeinv.errors",
    "Instrument": "pdeinv.sensors.instruments",
    "LogNormal": "pdeinv.coefficients",
    "MisfitWarning": "pdeinv.solvers",
    "NumericalError": "pdeinv.errors",
    "Observation": "pdeinv.observation",
    "Posterior": "pdeinv.posterior",
    "Problem": "pdeinv.datasets",
    "Result": "pdeinv.result",
    "Sensors": "pdeinv.sensors",
    "Scenarios": "pdeinv.coefficients",
    "SpectralField": "pdeinv.coefficients",
    "Spikes": "pdeinv.coefficients",
    "Symmetry": "pdeinv.symmetry",
    "Transformed": "pdeinv.coefficients",
    "TwoPhase": "pdeinv.coefficients",
    "Unknown": "pdeinv.unknown",
    "Vortices": "pdeinv.datasets",
    "as_prior": "pdeinv.solvers.turns",
    "calibrate": "pdeinv.solvers.calibration",
    "compare": "pdeinv.comparison",
    "design": "pdeinv.solvers.design",
    "open_result": "pdeinv.result",
    "pde_from_function": "pdeinv.datasets",
    "Plan": "pdeinv.solvers.plans",
    "load_plan": "pdeinv.solvers.plans",
    "plot_calibration": "pdeinv.figures.calibration",
    "plot_design": "pdeinv.figures.design",
    "plot_parameters": "pdeinv.figures.evidence",
    "plot_predictions": "pdeinv.figures.predictions",
    "plot_reconstruction": "pdeinv.plot",
    "plot_sensors": "pdeinv.figures.sensor_layout",
    "prepare": "pdeinv.solvers.plans",
    "problem_after": "pdeinv.solvers.turns",
    "reconstruct": "pdeinv.solvers",
}

_MODULES = (
    "benchmarks",
    "coefficients",
    "datasets",
    "layouts",
    "metrics",
    "priors",
    "problems",
    "quantities",
    "solvers",
    "symmetry",
)

__all__ = sorted((*_EXPORTS, *_MODULES))


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"pdeinv.{name}")
    if name == "__version__":
        from importlib.metadata import version  # slow to import

        return version("pdeinv")
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'pdeinv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
