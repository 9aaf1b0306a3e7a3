"""Plans in files: one NetCDF file with all that a plan has found."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pdeinv.checks import path_of
from pdeinv.datasets import Problem
from pdeinv.errors import InputError
from pdeinv.external import named_by_data
from pdeinv.files import atomic_write, check_writable
from pdeinv.hdf5_output import write_netcdf
from pdeinv.netcdf_input import load_netcdf
from pdeinv.problems.loading import parse_problem
from pdeinv.problems.saving import problem_text
from pdeinv.sensors import Sensors
from pdeinv.solvers.plans.gain_plan import GainPlan
from pdeinv.solvers.plans.layout import read_layout
from pdeinv.solvers.plans.plan import Plan
from pdeinv.solvers.plans.preparation import prepare

__all__ = ["load_plan", "save_plan"]

_FORMAT = 1
_OURS = "plan_"
"""Prefix of what is no part of the template of a result."""


def save_plan(plan: Plan, path: str | os.PathLike) -> Path:
    """Write a plan to a NetCDF file, whole or not at all, and return its path.

    Raises:
        InputError: the file cannot be written, or a part of the plan cannot be stored.
    """
    path = check_writable(path_of("the file of a plan", path))
    stored = plan.stored()
    layout = {
        "table": plan.sensors.table.drop(columns="value").to_dict("list"),
        "origin": plan.sensors.origin,
        "first_row": plan.sensors.first_row,
    }
    texts = {"layout": json.dumps(layout, default=str), "problem": _text_of(plan, path.parent)}
    whole = stored.assign({f"{_OURS}{name}": ((), text) for name, text in texts.items()})
    whole.attrs |= {f"{_OURS}format": _FORMAT, f"{_OURS}pdeinv_version": version("pdeinv")}
    with atomic_write(path) as temporary:
        write_netcdf(whole, temporary)
    return path


def _text_of(plan: Plan, folder: Path) -> str:
    """The problem of a plan as text; "" where it is not needed and files cannot hold it."""
    if isinstance(plan.problem, str):
        return plan.problem
    try:
        return problem_text(plan.problem, folder)
    except InputError:
        if isinstance(plan, GainPlan):
            return ""
        raise


def load_plan(path: str | os.PathLike) -> Plan:
    """Return the plan of a file of `Plan.save`.

    A plan with a stored gain gives bitwise the same means, and does not use its problem. Any other
    one is prepared again from its problem, and starts at the last mode.

    Arguments:
        path: the file. Files that the problem names are relative to its folder.

    Raises:
        InputError: the file cannot be read, or is no plan.
    """
    path = path_of("the file of a plan", path)
    stored = load_netcdf(path, "must be a plan of pdeinv; give another, or make it again")
    if (found := stored.attrs.get(f"{_OURS}format")) != _FORMAT:
        raise InputError(
            f"{path} must be a plan of format {_FORMAT}, got "
            f"{'another file' if found is None else f'format {found}'}; write one with Plan.save"
        )
    parts = {name: stored[name].values for name in map(str, stored.variables) if _is_ours(name)}
    parts = {name.removeprefix(_OURS): values for name, values in parts.items()}
    try:
        sensors = _layout(json.loads(str(parts.pop("layout"))))
        text = str(parts.pop("problem"))
        if "settings" in parts:
            with named_by_data():
                problem = parse_problem(text, path.parent, path.name)
            return _prepared(sensors, problem, parts)
        template = stored.drop_vars([name for name in map(str, stored.variables) if _is_ours(name)])
        template.attrs = {k: v for k, v in stored.attrs.items() if not _is_ours(str(k))}
        return GainPlan.restored(sensors, text, template, parts)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} must be a whole plan, and a part of it is missing or wrong "
            f"({' '.join(str(error).split())[:100]}); save the plan again"
        ) from None


def _is_ours(name: str) -> bool:
    return name.startswith(_OURS)


def _layout(stored: dict[str, Any]) -> Sensors:
    table = pd.DataFrame(stored["table"]).assign(value=0.0)
    return read_layout(Sensors(table, stored["origin"], stored["first_row"])).sensors


def _prepared(sensors: Sensors, problem: Problem, parts: dict[str, np.ndarray]) -> Plan:
    import pdeinv.solvers as solvers

    settings = json.loads(str(parts["settings"]))
    solver = solvers.SOLVERS[settings.pop("solver")](**settings.pop("solver_settings"))
    plan = prepare(sensors, problem=problem, solver=solver, **settings)
    if "mode" in parts:
        plan.mode = torch.from_numpy(parts["mode"])  # type: ignore[attr-defined]
    return plan
