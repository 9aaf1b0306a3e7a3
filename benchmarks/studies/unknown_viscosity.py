"""A flow of unknown viscosity from velocities at four times: `pdeinv study unknown-viscosity`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pdeinv import seeds
from pdeinv.benchmarks.studies.assumed_cases import Case, Reads, Setting, Size, draw_case
from pdeinv.datasets import Problem
from pdeinv.unknown import Unknown

__all__ = ["CASES", "RANGE"]

RANGE = (2e-4, 6e-3)
"""Ends of the viscosities; the published one is near the middle."""
TIMES = (0.25, 0.5, 0.75, 1.0)
_COMPONENTS = ("velocity_x", "velocity_y")
_FIRST = 2**28 + 2**27  # number of the first viscosity among the test instances


def _reads(count: int) -> list[Reads]:
    """Return an equal number of readings at each time, half of each component."""
    each = count // len(TIMES)
    shares = (len(range(k, each, len(_COMPONENTS))) for k in range(len(_COMPONENTS)))
    pairs = zip(_COMPONENTS, shares, strict=True)
    return [Reads(name, share, time) for name, share in pairs for time in TIMES if share]


def _flow(size: Size, instance: int) -> Case:
    """Return a flow, read `size.sensors` times in all."""
    given = Problem.named("navier-stokes")
    share = torch.rand(1, generator=seeds.generator(seeds.TEST, _FIRST + instance)).item()
    low, high = RANGE
    viscosity = float(f"{low * (high / low) ** share:.4g}")
    physics: Any = given.physics
    known, unknown = (
        Problem(replace(physics, viscosity=value), given.prior)
        for value in (viscosity, Unknown(low, high, "log-uniform"))
    )
    settings = {"known": Setting(known), "unknown": Setting(unknown)}
    reads = _reads(size.sensors)
    return draw_case(known, reads, size, instance, settings, {"viscosity": viscosity})


CASES = {"viscosity": _flow}
"""The case of the study: a function of the size and of the number of the truth."""
