"""The PDEs of the benchmark, their datasets, and readers of other people's files."""

from pdeinv.datasets.base import PDE as PDE
from pdeinv.datasets.darcy import Darcy as Darcy
from pdeinv.datasets.helmholtz import Helmholtz as Helmholtz
from pdeinv.datasets.navier_stokes import NavierStokes as NavierStokes
from pdeinv.datasets.poisson import Poisson as Poisson
