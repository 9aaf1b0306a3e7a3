"""Which solver the door takes, its options, and what it says of a poor fit."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from helpers import TINY, gaussian_prior

from pdeinv import Ensemble, GaussianField, InputError, LogNormal, Transformed, TwoPhase
from pdeinv.datasets import PDES, Darcy, Poisson
from pdeinv.priors import DiffusionPrior
from pdeinv.solvers import SOLVERS, FunDPS, GaussianSolver
from pdeinv.solvers.diffusion.equireg import EquiReg
from pdeinv.solvers.selection import VARIANTS, solver_for, with_options

N = 16


def fitted(channels=2):
    return gaussian_prior("poisson", N, 40, channels=channels)


def plain(channels=2):
    return DiffusionPrior.untrained(fitted(channels), preconditioning="edm", **TINY)


class Nonlinear(Poisson):
    """Solvers may not rely on a linear map."""

    linear = False


class BlackBox(Poisson):
    """Its solve cannot be differentiated."""

    differentiable = False


class NonlinearBlackBox(BlackBox):
    linear = False


GAUSSIAN = GaussianField(0.0, 1.0, 0.3)
FLAT = GaussianField(0.0, 1.0, 0.3, mean_std=math.inf)
AUTO = {
    "darcy": "level-set",
    "navier-stokes": "gauss-newton",
    "scattering": "gauss-newton",
    "transient-darcy": "gauss-newton",
}


@pytest.mark.parametrize(
    ("pde", "prior", "name"),
    [
        *((pde(), None, AUTO.get(key, "gaussian")) for key, pde in PDES.items()),
        (Poisson(), TwoPhase(GAUSSIAN, 1.0, 2.0), "level-set"),
        (Poisson(), FLAT, "gaussian"),
        (Darcy(), LogNormal(1.0, 1.0, 0.3), "gauss-newton"),
        (Darcy(), Transformed(GAUSSIAN, torch.exp), "gauss-newton"),
        (Nonlinear(), GAUSSIAN, "gauss-newton"),
        (BlackBox(), GAUSSIAN, "optimal-interpolation"),
        (BlackBox(), TwoPhase(GAUSSIAN, 1.0, 2.0), "ensemble-smoother"),
        (NonlinearBlackBox(), GAUSSIAN, "ensemble-smoother"),
        (Poisson(), Ensemble(torch.randn(3, 2, N, N)), "optimal-interpolation"),
        (Poisson(), fitted(), "moment"),
        (Poisson(), plain(1), "moment"),
        (Poisson(), plain(2), "fundps"),
        (BlackBox(), fitted(1), "optimal-interpolation"),
        (BlackBox(), plain(1), "optimal-interpolation"),
        (BlackBox(), plain(2), "fundps"),
    ],
)
def test_auto_takes_the_first_that_accepts_the_pde_and_the_prior(pde, prior, name):
    assert solver_for("auto", pde, prior).name == name


def test_what_no_solver_accepts_is_refused():
    with pytest.raises(
        InputError, match=r"prior must be one that can be sampled, got <object .*; give such as a"
    ):
        solver_for("auto", Poisson(), object())
    for pde in (BlackBox(), Nonlinear()):
        with pytest.raises(InputError, match=f"unless all is linear and {pde.name} has deriv"):
            solver_for("auto", pde, FLAT)
    with pytest.raises(InputError, match=r"solver must be one of auto, daps, .*, got 'magic'"):
        solver_for("magic", Poisson())
    with pytest.raises(InputError, match=r"gaussian solver needs a prior of .*, got GaussianPrior"):
        GaussianSolver().check(Poisson(), fitted())


@pytest.mark.parametrize("name", SOLVERS)
def test_options_are_those_of_the_settings(name):
    solver = SOLVERS[name]()
    for setting, options in (
        ("guidance", (True, None)),
        ("steps", (False, 7)),
        ("preset", (False, None, "default")),
    ):
        if setting in solver.settings():
            changed = with_options(solver, *options)
            assert getattr(changed, setting) in ((VARIANTS[True],), 7, "default")
            assert changed == dataclasses.replace(solver, **{setting: getattr(changed, setting)})
        else:
            with pytest.raises(InputError, match=f"the {name} solver does not support"):
                with_options(solver, *options)
    assert with_options(solver, False, None) is solver


def test_equireg_joins_the_terms_that_a_solver_has():
    given = FunDPS(guidance=(EquiReg(loss="equi"),))
    assert with_options(given, "reweight", 9).guidance == (*given.guidance, VARIANTS["reweight"])
    for steps, message in (
        (1, "steps must be an integer of at least 2, got 1"),
        (2.5, "steps must be an integer"),
    ):
        with pytest.raises(InputError, match=message):
            with_options(given, False, steps)
    assert with_options(given, False, np.int64(20)).steps == 20
    with pytest.raises(InputError, match=r"equireg must be one of True, .*, got 'typo'; use True"):
        with_options(given, "typo", None)
    assert with_options(given, False, None, "published").preset == "published"
    with pytest.raises(InputError, match="preset of fundps must be 'default' or 'published', got"):
        with_options(given, False, None, "typo")
