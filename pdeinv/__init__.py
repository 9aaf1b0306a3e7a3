"""Recover the coefficient and the solution of a two-dimensional PDE from sparse, noisy sensors, with uncertainty."""

from pdeinv.errors import InputError as InputError
from pdeinv.grid import Field as Field
from pdeinv.grid import Grid as Grid
from pdeinv.random_field import GaussianRandomField as GaussianRandomField
from pdeinv.symmetry import Group as Group
from pdeinv.symmetry import Symmetry as Symmetry
