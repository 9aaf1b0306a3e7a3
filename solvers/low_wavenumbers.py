"""A search for the mode of waves of several wavenumbers: it starts at the mode of the low ones.

A wave of a high wavenumber tells a medium only up to whole wavelengths of its path, and the
objective then has many minima. Waves of low wavenumbers have few.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from pdeinv.datasets.experiments import Experiments
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["start_at_low_wavenumbers"]


def start_at_low_wavenumbers(search: ModeSearch, nugget: float) -> None:
    """Let a search start at the mode of the readings of all wavenumbers but the highest; each of
    these modes is searched for from that of the wavenumbers below.

    Where the physics is linear, or is not of several known wavenumbers, nothing changes.

    Arguments:
        search: of the mode of all readings, not yet begun.
        nugget: as of `ModeSearch`.
    """
    whole = search.problem
    waves = [pde.wavenumber for pde in whole.problem.physics.experiments.values()]
    known = sorted({k for k in waves if isinstance(k, float)})
    if not whole.nonlinear or not all(isinstance(k, float) for k in waves):
        return
    for highest in known[:-1]:
        problem, observation = _up_to(highest, whole.problem, whole.observation)
        part = WhitenedProblem(problem, observation, whole.forward.counts)
        if not len(observation) or part.zero.shape != whole.zero.shape:
            continue
        lower = ModeSearch(
            part, search.iterations, search.chords, search.tolerance, search.progress
        )
        lower.start = search.start
        search.start = lower(nugget).xi
        search.steps += lower.steps


def _up_to(
    highest: float, problem: Problem, observation: Observation
) -> tuple[Problem, Observation]:
    """Return a problem with its experiments up to a wavenumber, and their readings."""
    pde = problem.physics
    lower = {
        name: one
        for name, one in pde.experiments.items()
        if one.wavenumber is not None and one.wavenumber <= highest
    }
    part = Experiments(tuple(lower.values()), tuple(lower))
    channels = {f.place: channel for channel, f in enumerate(part.fields)}
    moved = torch.tensor([channels.get(f.place, -1) for f in pde.fields])[observation.channel]
    kept = moved >= 0
    order = tuple(f.interpolation_order for f in part.fields)
    readings = replace(observation.subset(kept), channel=moved[kept], order=order)
    return replace(problem, physics=part), readings
