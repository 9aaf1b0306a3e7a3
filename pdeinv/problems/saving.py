"""Write a problem to a TOML file, from which `load_problem` makes an equal one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pdeinv.checks import described, path_of
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDE, PDES, Problem
from pdeinv.datasets.parameters import to_json
from pdeinv.datasets.sides import NoFlux
from pdeinv.errors import InputError
from pdeinv.external import source_of
from pdeinv.files import atomic_write, check_writable
from pdeinv.grid import Domain, Grid
from pdeinv.problems.learned import origin_of
from pdeinv.problems.loading import FORMAT, NONE
from pdeinv.problems.tables import OWN_TABLES
from pdeinv.problems.toml_text import toml_text

__all__ = ["problem_text", "save_problem"]


def save_problem(problem: Problem, path: str | os.PathLike) -> Path:
    """Write a problem to a file, whole or not at all, and return its path.

    Arguments:
        problem: any that files can hold: of numbers, texts and arrays. Of a learned prior its file
            is stated, relative to the folder of the path.
        path: the TOML file to write.

    Raises:
        InputError: the file cannot be written, or the problem holds what files cannot, such as a
            function.
    """
    path = check_writable(path_of("the problem file", path))
    content = problem_text(problem, path.parent).encode()
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path


def problem_text(problem: Problem, folder: Path) -> str:
    """Return what the file of a problem holds, in UTF-8; errors as of `save_problem`.

    Arguments:
        problem: the problem.
        folder: to which names of files are relative.
    """
    text = toml_text(_tables(problem, folder))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"names and units of a problem must be texts that UTF-8 has, got "
            f"{described(error.object[error.start : error.end])}; rename it"
        ) from None
    return text


def _tables(problem: Problem, folder: Path) -> dict[str, Any]:
    physics, grid = problem.physics, problem.grid
    experiments = physics.experiments or {"": physics}
    first = next(iter(experiments.values()))
    alike = {
        name: pde
        for name, pde in experiments.items()
        if (type(pde), pde.origin) == (type(first), first.origin)
    }
    stated = {name: _stated(pde, alike.values()) for name, pde in alike.items()}
    shared = _shared(list(stated.values()))
    common = {k: v for k, v in stated[next(iter(experiments))].items() if k in shared}
    boundary = to_json(first, names=("boundary",)).get("boundary")
    tables: dict[str, Any] = {
        "format": FORMAT,
        "domain": _domain(physics.domain),
        "physics": {"pde": _reference(first, folder), **_plain(common)},
        "boundary": boundary and boundary | _edge(first, experiments.values()),
        "well": common.get("wells"),
        **_features(first, experiments.values()),
        "prior": _prior(problem, folder),
        "grid": _grid(grid, common),
        "instrument": [asdict(one) for one in problem.instruments],
    }
    if physics.experiments:
        tables["experiment"] = [
            _own(name, stated[name], shared, boundary)
            if name in alike
            else {"name": name, "pde": _reference(pde, folder)} | _whole(_stated(pde, [pde]))
            for name, pde in experiments.items()
        ]
    return {name: table for name, table in tables.items() if table not in (None, [])}


def _domain(domain: Domain) -> dict[str, Any]:
    stated: dict[str, Any] = {"extent": list(domain.extent), "unit": domain.unit}
    if domain.active is not None:
        stated["active"] = domain.active.to_json()
    return stated


def _grid(grid: int | Grid, stated: Mapping[str, Any]) -> dict[str, Any]:
    nodes = {"nx": grid.nx, "ny": grid.ny} if isinstance(grid, Grid) else {"n": grid}
    return nodes | ({"kind": stated["grid_kind"]} if "grid_kind" in stated else {})


def _edge(first: PDE, experiments: Iterable[PDE]) -> dict[str, Any]:
    """Return the key `edge` of the boundary, where it is not the default."""
    edge = first.parameters.get("edge", NoFlux())
    _check_alike("edge", experiments)
    return {} if edge == NoFlux() else {"edge": edge.to_json("the edge")}


def _features(first: PDE, experiments: Iterable[PDE]) -> dict[str, Any]:
    """Return the tables of what lies within the domain."""
    _check_alike("features", experiments)
    tables: dict[str, Any] = {}
    for one in first.parameters.get("features", ()):
        ((name, keys),) = one.to_json().items()
        tables.setdefault(name, []).append(keys)
    return tables


def _check_alike(name: str, experiments: Iterable[PDE]) -> None:
    if len({pde.parameters.get(name) for pde in experiments}) > 1:
        raise InputError(
            f"{name} of a problem file must be the same in all experiments, got different ones; "
            f"write a file for each"
        )


def _stated(pde: PDE, alike: Any) -> dict[str, Any]:
    """Return the parameters of a PDE that it, or another one of its class, must state."""
    wanted = {key for one in alike for key in one.json_parameters()} | {"boundary", "wells"}
    stated = to_json(pde, names=wanted - {"domain"})
    return {key: NONE if value is None else value for key, value in stated.items()}


def _shared(stated: list[dict[str, Any]]) -> set[str]:
    """Return the parameters that have one value in all experiments."""
    return {key for key, value in stated[0].items() if all(one[key] == value for one in stated)}


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if key not in OWN_TABLES}


def _own(
    name: str, stated: dict[str, Any], shared: set[str], boundary: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the table of an experiment: what differs from the common tables."""
    own = {key: value for key, value in stated.items() if key not in shared}
    if "boundary" in own and boundary is not None:
        own["boundary"] = {k: v for k, v in own["boundary"].items() if v != boundary[k]}
    return {"name": name, **_whole(own)}


def _whole(stated: dict[str, Any]) -> dict[str, Any]:
    own = _plain(stated)
    if stated.get("boundary"):
        own["boundary"] = stated["boundary"]
    if stated.get("wells"):
        own["well"] = stated["wells"]
    return own


def _reference(pde: PDE, folder: Path) -> str:
    """Return the name of a PDE, or its file relative to a folder and its class."""
    kind = type(pde)
    if pde.origin:
        if source_of(kind):
            return _source(kind, folder)
        given, _, name = pde.origin.rpartition(":")
        return f"{_relative(given, folder)}:{name}"
    if PDES.get(kind.name) is not kind:
        raise InputError(
            f"physics of a problem file must be of a class that a name or a file states, got "
            f"{kind.__name__}; load its class as file.py:Class, or register it"
        )
    return kind.name


def _source(kind: type, folder: Path) -> str:
    """Return the file of a class relative to a folder, and the class."""
    return f"{_relative(str(sys.modules[kind.__module__].__file__), folder)}:{kind.__qualname__}"


def _relative(file: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(file).resolve(), folder.resolve())).as_posix()


def _prior(problem: Problem, folder: Path) -> dict[str, Any]:
    prior = problem.prior
    if isinstance(prior, CoefficientPrior):
        own = {"kind": _source(type(prior), folder)} if source_of(type(prior)) else {}
        return prior.to_json() | own
    origin = origin_of(prior)
    if origin is None:
        raise InputError(
            f"the prior of a problem file must be stated by numbers or be in a file, got "
            f"{described(prior)}; save it with pdeinv.priors.save, and name its file under [prior]"
        )
    if isinstance(origin, str):
        return {"name": origin}
    return {"file": Path(os.path.relpath(origin, folder.resolve())).as_posix()}
