"""Generate a dataset of random coefficients and their solutions in one HDF5 file.

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
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import torch

from pdeinv import seeds
from pdeinv.checks import Bounds, described, integer, path_of
from pdeinv.coordinates import Axis, axes_of
from pdeinv.datasets.base import PDE
from pdeinv.datasets.header import FORMAT, FORMAT_VERSION
from pdeinv.datasets.limits import check_effort
from pdeinv.datasets.plan import prepare
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.files import atomic_write, check_writable
from pdeinv.grid import LARGEST, Grid
from pdeinv.hdf5_output import HDF5Stream, hdf5_stream
from pdeinv.locking import sole_writer
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.sensors.column_names import listed

__all__ = ["FORMAT", "FORMAT_VERSION", "generate", "sample_generator"]

# Samples in a block. It is part of the plan: a batch's size may change the last bit of a solve
_BLOCK = 16
_NUMBER, _SEED = Bounds(1, 2**63 - 1), Bounds(0, 2**63 - 1)
_GRID, _WORKERS = Bounds(8, LARGEST), Bounds(1, 1024)
_BLOCKS_PER_WORKER = 12  # fewer do not pay for starting a process


def generate(
    problem: Problem | PDE,
    n: int,
    grid: int | Grid,
    seed: int,
    out: str | os.PathLike,
    *,
    workers: int | None = None,
    progress: bool = False,
) -> Path:
    """Write n random pairs of a PDE to an HDF5 file and return its path.

    The module's docstring describes the file. The same call resumes a run that was stopped.

    Arguments:
        problem: the physics and the prior of its coefficient, or physics alone, such as `Darcy()`,
            with its `default_prior`.
        n: number of samples.
        grid: nodes on the shorter side, at least 8, or a grid of the PDE's domain.
        seed: non-negative; sample i depends on (seed, i) alone, not on n.
        out: the file to write; it must not exist.
        workers: number of processes; 1 stays in this process. None uses one for each core, if each
            has enough blocks.
        progress: whether to show a progress bar.

    Raises:
        InputError: a setting is out of range, `out` exists, cannot be written, is being written or
            would not fit on the disk, a parameter of the PDE or the prior is a function, or there
            is an unfinished run with other settings.
        NumericalError: a block was damaged while the file was assembled.
    """
    problem = _checked(problem)
    pde = problem.physics
    n, grid, seed = integer("n", n, _NUMBER), _grid(pde, grid), integer("seed", seed, _SEED)
    workers = None if workers is None else integer("workers", workers, _WORKERS)
    out = check_writable(path_of("out", out))
    settings = _settings(problem, n, grid, seed)
    check_effort(problem, n, grid, out, workers)
    # Copies, without cached tensors
    copied = Problem(replace(pde), replace(problem.coefficient_prior))
    with sole_writer(out):
        parts = prepare(out, settings | {"samples_per_block": _BLOCK})
        _run(_Job(copied, n, grid, seed, parts), settings, out, workers, progress)
    return out


def sample_generator(seed: int, sample: int) -> torch.Generator:
    """Return the generator of a sample of the dataset with a seed, which draws its coefficient.

    Arguments:
        seed: of the dataset, non-negative.
        sample: index of the sample.
    """
    # The range has 2**29 seeds. An odd factor keeps all samples of a file distinct; seeds drawn
    # independently would repeat once in about 23,000.
    factor, offset = np.random.SeedSequence(seed).generate_state(2, np.uint32).tolist()
    return seeds.generator(seeds.TRAINING, (factor | 1) * sample + offset)


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


@dataclass(frozen=True)
class _Job:
    """The work of one run; the index of its first sample names a block."""

    problem: Problem
    n: int
    grid: Grid
    seed: int
    parts: Path

    def samples(self, start: int) -> range:
        return range(start, min(start + _BLOCK, self.n))

    def file(self, start: int) -> Path:
        return self.parts / f"block-{start:09d}.npz"

    def store(self, start: int) -> None:
        """Compute a block (b, channels, ny, nx), float32, and write it whole or not at all."""
        with torch.no_grad():
            a = torch.cat(
                [
                    self.problem.sample_coefficient(1, self.grid, sample_generator(self.seed, i))
                    for i in self.samples(start)
                ]
            )
            states = torch.cat([a, self.problem.physics.respond(a)], dim=1).to(torch.float32)
            if (active := self.grid.active_nodes) is not None:
                states = states.where(active, torch.nan)
        with atomic_write(self.file(start)) as temporary, temporary.open("wb") as stream:
            # A zip archive carries a checksum, a bare array does not
            np.savez(stream, states=states.numpy())

    def read(self, start: int) -> np.ndarray | None:
        """Return a stored block, or None where it is missing or damaged."""
        try:
            with np.load(self.file(start), allow_pickle=False) as archive:
                states = archive["states"]
        except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile):
            return None
        fits = (
            states.shape
            == (len(self.samples(start)), len(self.problem.physics.fields), *self.grid.shape)
            and states.dtype == np.float32
        )
        return states if fits else None


def _run(
    job: _Job, settings: dict[str, object], out: Path, workers: int | None, progress: bool
) -> None:
    """Compute the blocks that are missing, and assemble the file of all."""
    missing = [start for start in range(0, job.n, _BLOCK) if job.read(start) is None]
    done = job.n - sum(len(job.samples(start)) for start in missing)
    try:
        with Progress(
            job.n, job.problem.physics.name, progress, unit="sample", initial=done
        ) as bar:
            workers = workers or max(
                1, min(os.cpu_count() or 1, len(missing) // _BLOCKS_PER_WORKER)
            )
            for_each(
                job.store, missing, workers, lambda start, _: bar.update(len(job.samples(start)))
            )
        with atomic_write(out) as temporary, hdf5_stream(temporary) as stream:
            _assemble(job, settings, stream)
    except BaseException:
        if not any(job.parts.glob("*.npz")):  # no block to resume from
            shutil.rmtree(job.parts, ignore_errors=True)
        raise
    shutil.rmtree(job.parts, ignore_errors=True)


def _assemble(job: _Job, settings: dict[str, object], stream: HDF5Stream) -> None:
    with h5py.File(stream, "w") as file:
        for key, value in settings.items():
            json_text = isinstance(value, dict) or key == "outputs"
            file.attrs[key] = json.dumps(value, sort_keys=True) if json_text else value
        sample = Axis(np.arange(job.n), {"units": "1", "long_name": "sample index"})
        scales = {"sample": sample, **axes_of(job.grid)}
        for name, axis in scales.items():
            file.create_dataset(name, data=axis.values).make_scale(name)
            file[name].attrs.update(axis.attributes)
        shape = (job.n, *job.grid.shape)
        for field in job.problem.physics.fields:
            variable = file.create_dataset(
                field.name,
                shape,
                "f4",
                chunks=(1, *shape[1:]),
                compression="gzip",
                compression_opts=4,
                shuffle=True,
                fletcher32=True,
            )
            variable.attrs.update(field.attributes)
            for dimension, name in zip(variable.dims, scales, strict=True):
                dimension.attach_scale(file[name])
        for start in range(0, job.n, _BLOCK):
            states = job.read(start)
            if states is None:
                raise NumericalError(
                    f"{job.file(start)} was damaged while the dataset was assembled; repeat the run"
                )
            for channel, field in enumerate(job.problem.physics.fields):
                file[field.name][start : start + _BLOCK] = states[:, channel]
            stream.check()
