"""Generate a dataset of random coefficients and their solutions in HDF5 files.

For a PDE with coefficient `permeability` and solution `pressure`, whose `outputs` name `flux_x` and
`flux_y`, the file holds:

=================  ==============  ===================================================
variable           dimensions      content
=================  ==============  ===================================================
`permeability`     sample, y, x    coefficient, float32
`pressure`         sample, y, x    solution, float32
`flux_x` ...       sample, y, x    derived fields, float32
`sample`           sample          index of the sample, which with the seed fixes it
`y`, `x`           y; x            node positions in the domain's unit, float64
=================  ==============  ===================================================

Each sample of a field is one compressed chunk with a checksum. A field has the attributes `units`,
`long_name`, `interpolation_order` (degree of the polynomial between the nodes) and `kind` (see
`pdeinv.Field`). `sample`, `y` and `x` are HDF5 dimension scales, so that `xr.open_dataset(path,
engine="h5netcdf")` finds the coordinates. `y` and `x` have `units`, and on a torus `period`.

Attributes of the root: `format` ("pdeinv-dataset"), `format_version`, `generator_version`, `pde`,
`pde_parameters` and `prior` (JSON), `equation`, `coefficient` and `solution` (names of the two
variables), `outputs` (JSON, names of the derived ones), `ny`, `nx`, `extent` (x0, x1, y0, y1),
`unit`, `grid_kind`, `samples`, `seed`, `seed_range` (first and last + 1 of the seeds that datasets
draw from; see `pdeinv.seeds`). Files of version 2 have no `prior`, and its numbers among
`pde_parameters`; files of version 1 also have `grid_size` instead of `ny` and `nx`, and are on the
unit square.

The generator computes samples in blocks of 16 and stores each in the folder `<out>.parts/` when it
is done. A repeated run continues from there. The same settings give the same file, byte for byte,
with any number of workers.

A dataset may be of several files of this kind, its shards (`pdeinv.datasets.shards`). Each holds
samples in a row, whose indices are in `sample`, and has the attributes `shard`, from 1, `shards`,
their number, and `samples_of_all`. The fields do not depend on the number of shards.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from pdeinv import seeds
from pdeinv.checks import Bounds, described, integer, path_of
from pdeinv.datasets.base import PDE
from pdeinv.datasets.blocks import BLOCK, Blocks
from pdeinv.datasets.header import FORMAT, FORMAT_VERSION
from pdeinv.datasets.limits import check_effort
from pdeinv.datasets.plan import prepare
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.shards import Shards, Staff, shard_files, shard_pattern
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, check_writable
from pdeinv.grid import LARGEST, Grid
from pdeinv.locking import sole_writer
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.sensors.column_names import listed

__all__ = ["FORMAT", "FORMAT_VERSION", "generate"]

_NUMBER, _SEED = Bounds(1, 2**63 - 1), Bounds(0, 2**63 - 1)
_GRID = Bounds(8, LARGEST)
_BLOCKS_PER_WORKER = 12  # fewer do not pay for starting a process


def generate(
    problem: Problem | PDE,
    n: int,
    grid: int | Grid,
    seed: int,
    out: str | os.PathLike,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    shards: int = 1,
    progress: bool = False,
) -> Path:
    """Write n random pairs of a PDE to an HDF5 file, or to several, and return its path.

    The module's docstring describes the file. The same call resumes a run that was stopped. The
    path of several files is a pattern, which `open_dataset` takes.

    Arguments:
        problem: the physics and the prior of its coefficient, or physics alone, such as `Darcy()`,
            with its `default_prior`.
        n: number of samples.
        grid: nodes on the shorter side, at least 8, or a grid of the PDE's domain.
        seed: non-negative; sample i depends on (seed, i) alone, not on n.
        out: the file to write; it must not exist.
        workers: number of processes; 1 stays in this process. None uses one for each core, if each
            has enough blocks.
        scheduler: of dask, whose workers compute the blocks, as of
            `pdeinv.schedulers.check_scheduler`. They and this process share the folder of `out`,
            under one name.
        shards: number of files, at most one for 16 samples. `out` then gives their names:
            `name-0001.h5` and so on for `name.h5`. Each is the work of one worker.
        progress: whether to show a progress bar.

    Raises:
        InputError: a setting is out of range, `out` exists, cannot be written, is being written or
            would not fit on the disk, a parameter of the PDE or the prior is a function, or there
            is an unfinished run with other settings; or the scheduler cannot be used.
        NumericalError: a block was damaged while the file was assembled, or workers were lost.
    """
    problem = _checked(problem)
    pde = problem.physics
    n, grid, seed = integer("n", n, _NUMBER), _grid(pde, grid), integer("seed", seed, _SEED)
    staff = Staff.of(workers, scheduler)
    shards = integer("shards", shards, Bounds(1, -(-n // BLOCK)))
    out = check_writable(path_of("out", out))
    check_effort(problem, n, grid, out, staff.cores, copies=2 if shards == 1 else 1)
    # Copies, without cached tensors
    copied = Problem(replace(pde), replace(problem.coefficient_prior))
    blocks = Blocks(copied, 0, n, grid, seed, out.with_name(out.name + ".parts"))
    with sole_writer(out):
        return _written(blocks, _settings(problem, n, grid, seed), out, shards, staff, progress)


def _written(
    blocks: Blocks,
    settings: dict[str, object],
    out: Path,
    shards: int,
    staff: Staff,
    progress: bool,
) -> Path:
    """Write the file or its shards, and return the name or the pattern of the names."""
    files = [out] if shards == 1 else shard_files(out, shards)
    plan = settings | {"samples_per_block": BLOCK} | ({} if shards == 1 else {"shards": shards})
    parts = prepare(out, plan, files)
    # The workers of a scheduler may be in other folders
    blocks, files = replace(blocks, parts=parts.resolve()), [file.resolve() for file in files]
    try:
        if shards == 1:
            _run(blocks, settings, files[0], staff, progress)
        else:
            Shards(blocks, settings, files).run(staff, progress)
    except BaseException:
        if not any(file.exists() for file in files) and not any(parts.glob("*.npz")):
            shutil.rmtree(parts, ignore_errors=True)  # nothing to resume from
        raise
    shutil.rmtree(parts, ignore_errors=True)
    return out if shards == 1 else shard_pattern(out)


def _grid(pde: PDE, given: int | Grid) -> Grid:
    grid = given if isinstance(given, Grid) else pde.grid(integer("grid", given, _GRID))
    for name, nodes in zip(("ny", "nx"), grid.shape, strict=True):
        integer(f"{name} of the grid", nodes, _GRID)
    return pde.check_grid(grid)


def _checked(problem: Problem | PDE) -> Problem:
    """Return the problem; refuse what is none, and several experiments or times."""
    if not isinstance(problem, PDE | Problem):
        raise InputError(
            f"pde must be an instance of a PDE, got {described(problem)}; call its class"
        )
    problem = Problem.of(problem)
    pde = problem.physics
    if pde.experiments:
        raise InputError(
            f"pde of a dataset must be one physics, got {pde.name} "
            f"{listed(list(pde.experiments))}; generate a dataset for each"
        )
    if len({f.name for f in pde.fields}) < len(pde.fields):
        raise InputError(
            f"pde of a dataset must have one time for each field, got "
            f"{listed([f.label for f in pde.fields[1:]])}; leave out its times"
        )
    return problem


def _settings(problem: Problem, n: int, grid: Grid, seed: int) -> dict[str, object]:
    """Return all that determines the file: the plan of a run and the file's attributes."""
    pde = problem.physics
    try:
        version = metadata.version("pdeinv")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        version = "unknown"
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "generator_version": version,
        "pde": pde.name,
        "pde_parameters": pde.json_parameters(),
        "prior": problem.coefficient_prior.to_json(),
        "equation": pde.equation,
        "coefficient": pde.coefficient_field.name,
        "solution": pde.solution_field.name,
        "outputs": list(pde.outputs),
        "ny": grid.ny,
        "nx": grid.nx,
        "extent": list(grid.extent),
        "unit": grid.unit,
        "grid_kind": grid.kind,
        "samples": n,
        "seed": seed,
        "seed_range": [seeds.TRAINING.start, seeds.TRAINING.stop],
    }


def _run(
    blocks: Blocks, settings: Mapping[str, object], out: Path, staff: Staff, progress: bool
) -> None:
    """Compute the blocks that are missing, and assemble the file of all."""
    missing = [start for start in blocks.starts if blocks.read(start) is None]
    done = blocks.stop - sum(len(blocks.samples(start)) for start in missing)
    with Progress(
        blocks.stop, blocks.problem.physics.name, progress, unit="sample", initial=done
    ) as bar:
        for_each(
            blocks.store,
            missing,
            staff.number(len(missing) // _BLOCKS_PER_WORKER),
            lambda start, _: bar.update(len(blocks.samples(start))),
            scheduler=staff.scheduler,
        )
    with atomic_write(out) as temporary:
        blocks.assemble(settings, temporary)
