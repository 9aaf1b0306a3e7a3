"""Where further readings buy most."""

from pdeinv.solvers.design.design import design as design
