"""The PDEs of the benchmark, their datasets, and readers of other people's files."""

from pdeinv.datasets.base import PDE as PDE
from pdeinv.datasets.base import pde_by_name as pde_by_name
from pdeinv.datasets.darcy import Darcy as Darcy
from pdeinv.datasets.generation import generate as generate
from pdeinv.datasets.helmholtz import Helmholtz as Helmholtz
from pdeinv.datasets.navier_stokes import NavierStokes as NavierStokes
from pdeinv.datasets.poisson import Poisson as Poisson
from pdeinv.datasets.reading import example as example
from pdeinv.datasets.reading import open as open
from pdeinv.datasets.reading import pde_of as pde_of
from pdeinv.datasets.reading import states as states

PDES: dict[str, type[PDE]] = {
    item.name: item
    for item in list(globals().values())
    if isinstance(item, type) and issubclass(item, PDE) and item is not PDE
}
"""Every PDE exported above, by its name."""
