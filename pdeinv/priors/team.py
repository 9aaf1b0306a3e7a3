"""Several processes that compute the gradients of one batch.

The first process trains: it draws the batch and all random numbers, steps the optimiser, validates
and writes checkpoints. In each step it sends every helper a share of the batch and the weights, and
gets the sum of the gradients. So the helpers hold nothing that a resumed run would need.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from pdeinv.checks import Bounds, integer
from pdeinv.errors import InputError, NumericalError
from pdeinv.parallel import interrupts_held, without_main
from pdeinv.priors.base import Trainable
from pdeinv.priors.storage import described, restored
from pdeinv.priors.stored import Tensors

__all__ = ["Team", "check_processes", "team_of"]

_LONG = timedelta(days=7)  # a helper waits while the first process validates
_FAREWELL = 10.0  # seconds for a helper to end by itself


class _Share(NamedTuple):
    """A part of a batch.

    Arguments:
        weight: its number of samples over that of the batch.
        states, draws: as of `Trainable.loss_given`.
    """

    weight: float
    states: torch.Tensor
    draws: tuple[torch.Tensor, ...]


def check_processes(processes: int, batch: int, device: torch.device) -> int:
    """Return the number of processes of a training; call this before any work.

    Arguments:
        processes: the number; 1 is this process alone.
        batch: samples in a step, of which each process takes a share.
        device: on which to train.

    Raises:
        InputError: it is not from 1 to the batch, or others are wanted on a device that is no CPU.
    """
    processes = integer("processes", processes, Bounds(1, min(batch, 1024)))
    if processes > 1 and device.type != "cpu":
        raise InputError(
            f"processes must be 1 on {device}, got {processes}; leave them out, or train on cpu"
        )
    if processes > 1 and not (dist.is_available() and dist.is_gloo_available()):
        raise InputError(
            f"processes must be 1 with a torch that has no gloo, got {processes}; leave them out"
        )
    if processes > 1 and dist.is_initialized():
        raise InputError(
            f"processes must be 1 within a process group of torch, got {processes}; leave them out"
        )
    return processes


@contextmanager
def team_of(model: Trainable, processes: int) -> Iterator[Team | None]:
    """Start helpers for the block, and yield the team; None for one process.

    Arguments:
        model: the model that is trained.
        processes: their number, with this one.

    Raises:
        InputError: the loss of the model cannot be computed in parts, or its class is one of the
            main program.
        NumericalError: a process died.
    """
    if processes == 1:
        yield None
        return
    kind = type(model)
    if kind.loss_given is Trainable.loss_given or kind.__module__ == "__main__":
        raise InputError(
            f"processes must be 1 for {kind.__name__}, got {processes}; give it `draws` and "
            f"`loss_given` in a module that can be imported, or leave them out"
        )
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        team = Team(model, processes, Path(folder) / "rendezvous", max(1, threads // processes))
        try:
            team.start()
            yield team
            team.stop()
        finally:
            team.end()
            torch.set_num_threads(threads)


class Team:
    """This process and its helpers.

    Arguments:
        model: the model that is trained.
        processes: number of all of them.
        meeting: a file where they meet, which does not exist yet.
        threads: of each process.
    """

    def __init__(self, model: Trainable, processes: int, meeting: Path, threads: int):
        self.model, self.processes, self.threads = model, processes, threads
        self.meeting = meeting
        self.parameters = list(model.network.parameters())
        self.helpers: list[BaseProcess] = []
        self.connections: list[Connection] = []

    def start(self) -> None:
        """Start the helpers, and wait until all are there."""
        # By value: pickled by multiprocessing the tensors would be shared with the helpers
        parts = pickle.dumps((type(self.model), *described(self.model, half=False)))
        context = get_context("spawn")
        with without_main(), interrupts_held():
            for rank in range(1, self.processes):
                ours, theirs = context.Pipe()
                given = theirs, parts, rank, self.processes, str(self.meeting), self.threads
                helper = context.Process(target=_help, args=given, daemon=True)
                helper.start()
                theirs.close()
                self.helpers.append(helper)
                self.connections.append(ours)
        waiting = list(self.connections)
        while waiting:
            for connection in wait(waiting):
                assert isinstance(connection, Connection)
                self._check_ready(connection)
                waiting.remove(connection)
        torch.set_num_threads(self.threads)
        _meet(str(self.meeting), 0, self.processes)

    def gradients(self, states: torch.Tensor, draws: Sequence[torch.Tensor]) -> float:
        """Compute the gradients of the parameters for a batch, and return its loss.

        Arguments:
            states, draws: as of `Trainable.loss_given`.

        Raises:
            NumericalError: a helper died.
        """
        split = [t.tensor_split(self.processes) for t in (states, *draws)]
        shares = [
            _Share(len(first) / len(states), first.clone(), tuple(d.clone() for d in rest))
            for first, *rest in zip(*split, strict=True)
        ]
        try:
            _scattered(list(shares))
            dist.broadcast(_flat(self.parameters), src=0)
            total = _weighted_gradients(self.model, shares[0], self.parameters)
            dist.reduce(total, dst=0)
        except RuntimeError as error:
            raise self._died(str(error)) from None
        parts = total[:-1].split([_real(p).numel() for p in self.parameters])
        for p, part in zip(self.parameters, parts, strict=True):
            mine = part.view(_real(p).shape)
            p.grad = (torch.view_as_complex(mine) if p.is_complex() else mine).clone()
        return float(total[-1])

    def stop(self) -> None:
        """Let the helpers end by themselves."""
        with suppress(RuntimeError):
            _scattered([None] * self.processes)
        for helper in self.helpers:
            helper.join(_FAREWELL)

    def end(self) -> None:
        """End all helpers."""
        for connection in self.connections:
            connection.close()
        for helper in self.helpers:
            helper.terminate()
            helper.join(_FAREWELL)
            helper.kill()
        if dist.is_initialized():
            dist.destroy_process_group()

    def _check_ready(self, connection: Connection) -> None:
        try:
            fault = connection.recv()
        except (EOFError, ConnectionError):
            raise self._died("") from None
        if fault:
            raise NumericalError(f"a process of the training could not start: {fault}")

    def _died(self, error: str) -> NumericalError:
        """Return what to raise where a helper is gone, or failed."""
        faults = []
        for connection in self.connections:
            with suppress(EOFError, OSError):
                if connection.poll(1.0):
                    faults.append(connection.recv())
        reason = next(iter(faults), "it was killed, or the system ran out of memory")
        return NumericalError(
            f"a process of the training died ({reason}); repeat the command to go on from the "
            f"checkpoint, with fewer processes if memory is short"
        )


def _help(
    connection: Connection, parts: bytes, rank: int, processes: int, meeting: str, threads: int
) -> None:
    """Compute gradients of shares until there are no more."""
    try:
        torch.set_num_threads(threads)
        _, tensors, text = pickle.loads(parts)  # the class registers itself
        model = restored(Tensors.of(tensors), text)
        assert isinstance(model, Trainable)
        parameters = list(model.network.requires_grad_(True).train().parameters())
        connection.send("")
        _meet(meeting, rank, processes)
        while (share := _scattered(None)) is not None:
            weights = _flat(parameters)
            dist.broadcast(weights, src=0)
            _set_flat(parameters, weights)
            model.network.zero_grad(set_to_none=True)
            dist.reduce(_weighted_gradients(model, share, parameters), dst=0)
    except (EOFError, ConnectionError):
        pass
    except Exception as error:
        with suppress(OSError):  # the first process states it, if it is there
            connection.send(" ".join(str(error).split()) or type(error).__name__)


def _meet(meeting: str, rank: int, processes: int) -> None:
    store = dist.FileStore(meeting, processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=processes, timeout=_LONG)


def _scattered(shares: list[Any] | None) -> _Share | None:
    """Send each process its share, from the first one; return that of this process."""
    mine: list[Any] = [None]
    dist.scatter_object_list(mine, shares, src=0)
    return mine[0]


def _weighted_gradients(
    model: Trainable, share: _Share, parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the gradients of all parameters and the loss, by the weight of a share, flat."""
    loss = share.weight * model.loss_given(share.states, *share.draws)
    gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    real = [
        torch.zeros_like(_real(p)) if g is None else _real(g)
        for p, g in zip(parameters, gradients, strict=True)
    ]
    return torch.cat([*(g.flatten() for g in real), loss.detach().reshape(1).to(real[0].dtype)])


def _real(t: torch.Tensor) -> torch.Tensor:
    t = t.detach()
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t


def _flat(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([_real(p).flatten() for p in parameters])


def _set_flat(parameters: Sequence[torch.Tensor], values: torch.Tensor) -> None:
    for p, mine in zip(
        parameters, values.split([_real(p).numel() for p in parameters]), strict=True
    ):
        _real(p).copy_(mine.view(_real(p).shape))
