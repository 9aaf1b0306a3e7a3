"""The folder of an unfinished run of the generator, and the plan in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from pdeinv.checks import described
from pdeinv.datasets.blocks import PLAN
from pdeinv.datasets.header import FORMAT
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, reading_failure
from pdeinv.schema import parse_json
from pdeinv.temporary import is_temporary

__all__ = ["prepare"]


def prepare(out: Path, plan: dict[str, object], files: Sequence[Path] = ()) -> Path:
    """Return the folder of blocks for `out`, new or left by a run with the same plan.

    Arguments:
        out: the file to write, as `check_writable` returns it.
        plan: all that determines it; `samples` and `samples_per_block` are its size.
        files: the shards of `out`, of which an unfinished run may have some.

    Raises:
        InputError: `out` exists, or the folder holds something else.
    """
    parts = out.with_name(out.name + ".parts")
    if out.exists():
        _drop_finished(parts, plan)
        raise InputError(f"{out} exists already; choose another name, or move it away")
    there = [file for file in files if file.exists()]
    if there and not parts.exists():
        raise InputError(f"{there[0]} exists already; choose another name, or move it away")
    try:
        parts.mkdir(exist_ok=True)
        new = all(map(is_temporary, parts.iterdir()))
    except OSError as error:
        raise InputError(
            f"{parts} cannot be written ({error.strerror}); choose another output file"
        ) from None
    if new:
        with atomic_write(parts / PLAN) as temporary:
            temporary.write_text(json.dumps(plan, indent=1))
        return parts
    try:
        old = _read_plan(parts)
    except OSError as error:
        raise reading_failure(parts / PLAN, error, "cannot be read; check it") from None
    if old is None:
        raise InputError(
            f"{parts} must hold a readable {PLAN} of an unfinished run, got none; choose "
            f"another output file, or move that folder"
        )
    if old.get("format_version") != plan["format_version"]:
        raise InputError(
            f"{parts} must hold a run of format version {plan['format_version']}, got version "
            f"{described(old.get('format_version'))}; finish it with the version of pdeinv that "
            f"began it, or delete that folder"
        )
    differences = [
        f"{key} = {described(old.get(key))}, not {described(plan.get(key))}"
        for key in plan | old
        if old.get(key) != plan.get(key)
    ]
    if differences:
        raise InputError(
            f"{parts} holds an unfinished run with {'; '.join(differences)}; finish that run with "
            f"the same settings or delete that folder"
        )
    return parts


def _read_plan(parts: Path) -> dict[str, object] | None:
    """Return the plan of an unfinished run; None where the folder holds none of this package."""
    try:
        plan = parse_json((parts / PLAN).read_bytes())  # refuses deep nesting
    except (FileNotFoundError, ValueError):
        return None
    return plan if isinstance(plan, dict) and plan.get("format") == FORMAT else None


def _drop_finished(parts: Path, plan: dict[str, object]) -> None:
    """Remove the blocks of a run that was killed after its file was whole."""
    with suppress(OSError):
        stored = len(list(parts.glob("*.npz")))
        done = stored * cast(int, plan["samples_per_block"]) >= cast(int, plan["samples"])
        if done and _read_plan(parts) == plan:
            shutil.rmtree(parts)
