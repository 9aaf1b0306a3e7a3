"""Recover the coefficient and the solution of a two-dimensional PDE from sparse, noisy sensors,
with uncertainty."""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path

# In a checkout the subpackages datasets, solvers and benchmarks stand beside this folder, not in
# it. Python finds this folder first when it is started there, so it must find them, too.
if not Path(__file__).with_name("datasets").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

# Names are imported when they are first used, so that `pdeinv --help` does not wait for torch.
_EXPORTS = {
    "Ensemble": "pdeinv.priors.ensemble",
    "EquiReg": "pdeinv.solvers.diffusion.equireg",
    "Field": "pdeinv.grid",
    "GaussianRandomField": "pdeinv.random_field",
    "Grid": "pdeinv.grid",
    "Group": "pdeinv.symmetry",
    "InputError": "pdeinv.errors",
    "MisfitWarning": "pdeinv.solvers",
    "Observation": "pdeinv.observation",
    "Posterior": "pdeinv.posterior",
    "Sensors": "pdeinv.sensors",
    "Symmetry": "pdeinv.symmetry",
    "plot_reconstruction": "pdeinv.plot",
    "reconstruct": "pdeinv.solvers",
}

_MODULES = ("benchmarks", "datasets", "layouts", "metrics", "priors", "solvers", "symmetry")

__all__ = sorted((*_EXPORTS, *_MODULES))


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"pdeinv.{name}")
    if name == "__version__":
        return version("pdeinv")
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'pdeinv' has no attribute {name!r}")


def __dir__():
    return __all__
