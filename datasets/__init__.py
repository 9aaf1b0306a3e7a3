"""The PDEs, their datasets, and readers of other people's files."""

from pdeinv.datasets.absorbing import Impedance as Impedance
from pdeinv.datasets.absorbing import Open as Open
from pdeinv.datasets.acoustics import Acoustics as Acoustics
from pdeinv.datasets.base import PDE as PDE
from pdeinv.datasets.contents import field_values as field_values
from pdeinv.datasets.contents import find_pde as find_pde
from pdeinv.datasets.contents import pde_of as pde_of
from pdeinv.datasets.contents import prior_of as prior_of
from pdeinv.datasets.contents import problem_of as problem_of
from pdeinv.datasets.contents import states as states
from pdeinv.datasets.contract import check_pde as check_pde
from pdeinv.datasets.darcy import Darcy as Darcy
from pdeinv.datasets.distributed import Distributed as Distributed
from pdeinv.datasets.evolving import Evolving as Evolving
from pdeinv.datasets.experiments import Experiments as Experiments
from pdeinv.datasets.features import Barrier as Barrier
from pdeinv.datasets.features import FixedValue as FixedValue
from pdeinv.datasets.features import Leakage as Leakage
from pdeinv.datasets.function import pde_from_function as pde_from_function
from pdeinv.datasets.function_pde import FunctionPDE as FunctionPDE
from pdeinv.datasets.generation import generate as generate
from pdeinv.datasets.helmholtz import Helmholtz as Helmholtz
from pdeinv.datasets.navier_stokes import NavierStokes as NavierStokes
from pdeinv.datasets.poisson import Poisson as Poisson
from pdeinv.datasets.problem import Problem as Problem
from pdeinv.datasets.reading import example as example
from pdeinv.datasets.reading import examples as examples
from pdeinv.datasets.reading import open_dataset as open_dataset
from pdeinv.datasets.registry import PDES as PDES
from pdeinv.datasets.registry import pde_by_name as pde_by_name
from pdeinv.datasets.registry import register as register
from pdeinv.datasets.scattering import Scattering as Scattering
from pdeinv.datasets.sides import Flux as Flux
from pdeinv.datasets.sides import NoFlux as NoFlux
from pdeinv.datasets.sides import Sides as Sides
from pdeinv.datasets.sides import Value as Value
from pdeinv.datasets.transient_darcy import TransientDarcy as TransientDarcy
from pdeinv.datasets.uncertain import Uncertain as Uncertain
from pdeinv.datasets.vortices import Vortices as Vortices
from pdeinv.datasets.wells import Well as Well

open = open_dataset
