"""Readings in turns: the posterior of earlier ones as the prior of further ones."""

from pdeinv.solvers.turns.as_prior import as_prior as as_prior
from pdeinv.solvers.turns.as_prior import problem_after as problem_after
