"""Measurements apart from the suites: accuracy of the PDE solvers and the limits, priors, EquiReg,
cost; `pdeinv study --help`."""
