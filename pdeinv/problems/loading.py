"""Read a problem from a TOML file; each mistake is one sentence with its place."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import torch
from pydantic import ValidationError

from pdeinv.annotations import Convertible, annotations_of
from pdeinv.checks import described, path_of
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDE, Experiments, Problem, Sides, Well, pde_by_name
from pdeinv.datasets.features import Feature
from pdeinv.datasets.registry import COMPOSED
from pdeinv.datasets.sides import SIDES
from pdeinv.errors import InputError
from pdeinv.external import is_reference
from pdeinv.files import read_text
from pdeinv.grid import Domain, Grid
from pdeinv.priors.base import Prior
from pdeinv.problems.learned import load_learned
from pdeinv.problems.messages import sentence_of, within
from pdeinv.problems.tables import (
    FEATURES,
    OWN_TABLES,
    BoundaryTable,
    ExperimentTable,
    GridTable,
    PriorTable,
    ProblemTables,
    SidesTable,
    WellTable,
    check_keys_of,
)
from pdeinv.sensors.instruments import Instrument, instruments_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FORMAT", "NONE", "load_problem", "parse_problem"]

FORMAT = 1
NONE = "none"
"""What stands for None, which TOML does not have."""


def load_problem(path: str | os.PathLike) -> Problem:
    """Return the problem of a file.

    Arguments:
        path: a TOML file; see docs/problem-files.md for its tables. Names of files in it are
            relative to its folder.

    Raises:
        InputError: the file cannot be read, or a table, a key or a value is not allowed.
    """
    path = path_of("the problem file", path)
    return parse_problem(read_text(path), path.parent, path.name)


def parse_problem(text: str, folder: Path, origin: str) -> Problem:
    """Return the problem of the text of a file; errors as of `load_problem`.

    Arguments:
        text: of the file.
        folder: to which names of files are relative.
        origin: name of the file, for messages.
    """
    try:
        return _Reader(_tables(text.removeprefix("\ufeff")), folder).problem()
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


def _tables(text: str) -> ProblemTables:
    try:
        given = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of the format, or of a number of its own
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise InputError(f"the file must be TOML, got: {reason}; mend that line") from None
    stated = given.get("format")
    if stated != FORMAT or not isinstance(stated, int) or isinstance(stated, bool):
        got = described(stated) if "format" in given else "none"
        raise InputError(f"format must be {FORMAT}, got {got}; write format = {FORMAT} on top")
    try:
        return ProblemTables.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(sentence_of(first)) from None


class _Reader:
    """A problem from the tables of a file in a folder."""

    def __init__(self, tables: ProblemTables, folder: Path) -> None:
        self.tables, self.folder = tables, folder
        with within("[domain]"):
            self.domain: Domain | None = None  # that of the physics
            if tables.domain:
                x0, x1, y0, y1 = tables.domain.extent
                active = self._beside(tables.domain.active)
                self.domain = Domain((x0, x1, y0, y1), tables.domain.unit, active)

    def problem(self) -> Problem:
        physics = self._physics()
        with within("[grid]"):
            grid = _grid(self.tables.grid, physics)
        with within("[[instrument]]"):
            stated = [Instrument(one.name, one.bias_std) for one in self.tables.instrument]
            instruments = instruments_of(stated)
        with within("[prior]"):
            prior = self._prior(self.tables.prior)
            return Problem(physics, prior, grid, instruments)  # type: ignore[arg-type]

    def _physics(self) -> PDE:
        name, tables = self.tables.physics.pde, self.tables
        named = self._named(name, "[physics]")
        common = self._parameters(named, tables.physics.further, "[physics]")
        common |= self._sides(named, tables.boundary, "[boundary]", common)
        if tables.boundary and tables.boundary.edge is not None:
            common["edge"] = tables.boundary.edge
        if tables.well:
            common |= self._wells(named, tables.well, "[[well]]")
        common |= self._features(named) | self._kind(named)
        if not tables.experiment:
            return self._made(name, common, "")
        made = [self._experiment(i, named, common) for i in range(len(tables.experiment))]
        with within("[[experiment]]"):
            return Experiments(tuple(made), tuple(one.name for one in tables.experiment))

    def _experiment(self, index: int, named: PDE, common: dict[str, Any]) -> PDE:
        own: ExperimentTable = self.tables.experiment[index]
        place = f"[[experiment]] {index + 1}"
        name = own.pde or self.tables.physics.pde
        if own.pde:
            named = self._named(own.pde, place)
            common = self._kind(named)
        parameters = common | self._parameters(named, own.further, place, ("name", "boundary"))
        parameters |= self._sides(named, own.boundary, f"{place} boundary", common)
        if own.well is not None:
            parameters |= self._wells(named, own.well, f"{place} [[well]]")
        return self._made(name, parameters, place)

    def _reference(self, name: str) -> str:
        return str(self.folder / name) if is_reference(name) else name

    def _named(self, name: str, place: str) -> PDE:
        """Return the PDE of a name, as it is without the file's parameters."""
        with within(place):
            if name in COMPOSED:
                raise InputError(
                    f"pde must be the name of one physics, got {name!r}; state its experiments in "
                    f"[[experiment]]"
                )
            return pde_by_name(self._reference(name))

    def _parameters(
        self, named: PDE, given: dict[str, Any], place: str, also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return the parameters that a table states, as `pde_by_name` takes them."""
        names = named.parameter_names()
        for key in given:
            if key in OWN_TABLES and key in names:
                table = OWN_TABLES[key]
                raise InputError(f"{place} must be without {key!r}; state it in {table} instead")
        known = ["pde", *also, *(name for name in names if name not in OWN_TABLES)]
        check_keys_of(place, given, known)
        hints = annotations_of(type(named))
        paths = {k: self.folder / v for k, v in given.items() if isinstance(v, str) and v != NONE}
        given = given | {k: str(paths[k]) for k in named.path_parameters if k in paths}
        return {k: _parameter(f"{place} {k}", v, hints[k]) for k, v in given.items()}

    def _sides(
        self,
        named: PDE,
        table: BoundaryTable | SidesTable | None,
        place: str,
        common: dict[str, Any],
    ) -> dict[str, Any]:
        if table is None:
            return {}
        usual = common.get("boundary", named.parameters.get("boundary"))
        if not isinstance(usual, Sides):
            raise InputError(
                f"{place} must be left out for {named.name}, which has none; remove it"
            )
        stated = {side: getattr(table, side) for side in SIDES}
        stated = {side: value for side, value in stated.items() if value is not None}
        return {"boundary": replace(usual, **stated)}

    def _wells(self, named: PDE, given: list[WellTable], place: str) -> dict[str, Any]:
        if "wells" not in named.parameter_names():
            if not given:
                return {}
            raise InputError(
                f"{place} must be left out for {named.name}, which has none; remove it"
            )
        domain = self.domain or named.domain
        for i, well in enumerate(given):
            if not domain.contains(torch.tensor([well.x, well.y], dtype=torch.float64)):
                raise InputError(
                    f"{place} {i + 1} must be within the domain {domain}, got x = "
                    f"{well.x:g}, y = {well.y:g}; correct it"
                )
        with within(place):
            return {"wells": tuple(Well(well.x, well.y, well.rate) for well in given)}

    def _features(self, named: PDE) -> dict[str, Any]:
        found: list[Feature] = []
        for name in FEATURES:
            for i, table in enumerate(getattr(self.tables, name)):
                place = f"[[{name}]] {i + 1}"
                if "features" not in named.parameter_names():
                    raise InputError(
                        f"{place} must be left out for {named.name}, which has no such features; "
                        f"remove it"
                    )
                given = table.given
                if "file" in given:
                    given = given | {"file": self._beside(given["file"])}
                found.append(Feature.of({name: given}, place))
        return {"features": tuple(found)} if found else {}

    def _kind(self, named: PDE) -> dict[str, Any]:
        kind = self.tables.grid.kind if self.tables.grid else None
        if kind is None or "grid_kind" in named.parameter_names():
            return {} if kind is None else {"grid_kind": kind}
        if kind != named.grid_kind:
            raise InputError(
                f"[grid] kind must be {named.grid_kind!r} for {named.name}, got {kind!r}; leave it "
                f"out"
            )
        return {}

    def _beside(self, given: Any) -> Any:
        """Return a path relative to the file's folder; anything else as it is."""
        return self.folder / given if isinstance(given, str) else given

    def _made(self, name: str, parameters: dict[str, Any], experiment: str) -> PDE:
        try:
            if self.domain is not None:
                parameters = {"domain": self.domain, **parameters}
            return pde_by_name(self._reference(name), **parameters)
        except InputError as error:
            # Files count wells from 1, as people do
            text = re.sub(r"^well (\d+)", lambda found: f"well {int(found[1]) + 1}", str(error))
            tables = {"boundary": "[boundary]", "well": "[[well]]", "grid_kind": "[grid]"}
            table = tables.get(text.removeprefix("parameter ").partition(" ")[0])
            raise InputError(f"in {experiment or table or '[physics]'}, {text}") from None

    def _prior(self, table: PriorTable | None) -> Prior | None:
        if table is None:
            return None
        if table.kind is not None:
            return CoefficientPrior.of({"kind": self._reference(table.kind), **table.further})
        return load_learned(table.name or "", self.folder / table.file if table.file else None)


def _parameter(place: str, value: Any, hint: Any) -> Any:
    """Return a parameter as `pde_by_name` takes it: with None, and with the names of a field."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value == NONE and type(None) in kinds:
        return None
    for kind in kinds:
        plain = isinstance(kind, type) and is_dataclass(kind) and not issubclass(kind, Convertible)
        if plain and isinstance(value, dict):
            check_keys_of(place, value, [f.name for f in fields(kind)])
            if isinstance(value.get("name"), str) and "long_name" in kind.__dataclass_fields__:
                return {"long_name": value["name"].replace("_", " "), **value}
        if plain and isinstance(value, str) and "name" in kind.__dataclass_fields__:
            raise InputError(
                f"{place} must be a table with a name, got {described(value)}; write "
                f"{{name = {described(value)}}}"
            )
    return value


def _grid(table: GridTable | None, physics: PDE) -> int | Grid:
    if table is None:
        return Problem.grid
    if table.n is not None:
        return table.n
    assert table.nx is not None and table.ny is not None  # by the schema
    return physics.grid(table.ny, table.nx)
