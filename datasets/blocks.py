"""The blocks of samples that a run of the generator stores, and the file that is made of them."""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from pdeinv import seeds
from pdeinv.coordinates import Axis, axes_of
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.files import atomic_write
from pdeinv.grid import Grid
from pdeinv.hdf5_output import hdf5_stream

__all__ = ["BLOCK", "PLAN", "Blocks", "sample_generator"]

BLOCK = 16
"""Samples in a block. It is part of the plan: a batch's size may change the last bit of a solve."""
PLAN = "plan.json"
"""The file of a run's plan, in the folder of its blocks."""


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


@dataclass(frozen=True)
class Blocks:
    """Samples in a row, in blocks; the index of its first sample names a block.

    Arguments:
        problem: the physics and the prior.
        first, stop: index of the first sample, a multiple of `BLOCK`, and of the last + 1.
        grid: of the fields.
        seed: of the dataset.
        parts: folder of the blocks.
    """

    problem: Problem
    first: int
    stop: int
    grid: Grid
    seed: int
    parts: Path

    @property
    def starts(self) -> range:
        """The first samples of all blocks."""
        return range(self.first, self.stop, BLOCK)

    def samples(self, start: int) -> range:
        """Return the samples of a block."""
        return range(start, min(start + BLOCK, self.stop))

    def file(self, start: int) -> Path:
        """Return the file of a block."""
        return self.parts / f"block-{start:09d}.npz"

    def store(self, start: int) -> None:
        """Compute a block (b, channels, ny, nx), float32, and write it whole or not at all."""
        if not (self.parts / PLAN).is_file():
            raise InputError(
                f"{self.parts} must be a folder that all workers share, got none on the machine "
                f"{socket.gethostname()}; write to a disk that each of them has under this name"
            )
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

    def assemble(self, settings: Mapping[str, object], path: Path) -> None:
        """Write the file of all blocks.

        Arguments:
            settings: attributes of the file.
            path: the file.

        Raises:
            NumericalError: a block is missing or damaged.
        """
        with hdf5_stream(path) as stream, h5py.File(stream, "w") as file:
            for key, value in settings.items():
                json_text = isinstance(value, dict) or key == "outputs"
                file.attrs[key] = json.dumps(value, sort_keys=True) if json_text else value
            sample = Axis(
                np.arange(self.first, self.stop), {"units": "1", "long_name": "sample index"}
            )
            scales = {"sample": sample, **axes_of(self.grid)}
            for name, axis in scales.items():
                file.create_dataset(name, data=axis.values).make_scale(name)
                file[name].attrs.update(axis.attributes)
            shape = (self.stop - self.first, *self.grid.shape)
            for field in self.problem.physics.fields:
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
            for start in self.starts:
                states, at = self.read(start), start - self.first
                if states is None:
                    raise NumericalError(
                        f"{self.file(start)} was damaged while the dataset was assembled; repeat "
                        f"the run"
                    )
                for channel, field in enumerate(self.problem.physics.fields):
                    file[field.name][at : at + BLOCK] = states[:, channel]
                stream.check()
