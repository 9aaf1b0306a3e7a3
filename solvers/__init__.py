"""Inverse solvers, and `reconstruct`, the door to all of them."""

from pdeinv.solvers.base import Solver as Solver
from pdeinv.solvers.diffusion.daps import DAPS as DAPS
from pdeinv.solvers.diffusion.ddis import DDIS as DDIS
from pdeinv.solvers.diffusion.diffusionpde import DiffusionPDE as DiffusionPDE
from pdeinv.solvers.diffusion.dps import DPS as DPS
from pdeinv.solvers.diffusion.fundps import FunDPS as FunDPS
from pdeinv.solvers.diffusion.moment import Moment as Moment
from pdeinv.solvers.ensemble_smoother import EnsembleSmoother as EnsembleSmoother
from pdeinv.solvers.fno import FNO as FNO
from pdeinv.solvers.gauss_newton import GaussNewton as GaussNewton
from pdeinv.solvers.gaussian import GaussianSolver as GaussianSolver
from pdeinv.solvers.kriging import Kriging as Kriging
from pdeinv.solvers.level_set import LevelSet as LevelSet
from pdeinv.solvers.misfit import MisfitWarning as MisfitWarning
from pdeinv.solvers.mixture import Mixture as Mixture
from pdeinv.solvers.object_chains import ObjectChains as ObjectChains
from pdeinv.solvers.optimal_interpolation import OptimalInterpolation as OptimalInterpolation
from pdeinv.solvers.reconstruction import reconstruct as reconstruct
from pdeinv.solvers.sensor_physics import SensorPhysics as SensorPhysics

SOLVERS: dict[str, type[Solver]] = {
    s.name: s
    for s in list(globals().values())
    if isinstance(s, type) and issubclass(s, Solver) and s is not Solver
}
"""Every solver exported above, by its name on the command line."""
