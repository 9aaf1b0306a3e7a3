"""The elliptic problems of a rectangle: finite volumes, side conditions and two solvers."""

from pdeinv.datasets.elliptic.dirichlet import Discretisation as Discretisation
from pdeinv.datasets.elliptic.dirichlet import dirichlet_residual as dirichlet_residual
from pdeinv.datasets.elliptic.dirichlet import dispersion_error as dispersion_error
from pdeinv.datasets.elliptic.dirichlet import interior as interior
from pdeinv.datasets.elliptic.dirichlet import laplacian as laplacian
from pdeinv.datasets.elliptic.dirichlet import laplacian_eigenvalues as laplacian_eigenvalues
from pdeinv.datasets.elliptic.dirichlet import solve_shifted_laplacian as solve_shifted_laplacian
from pdeinv.datasets.elliptic.dirichlet import zero_boundary as zero_boundary
