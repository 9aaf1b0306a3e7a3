"""Training within a budget of time or steps, resumable at any moment."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from pdeinv import seeds
from pdeinv.errors import InputError, NumericalError
from pdeinv.files import check_new, check_writable
from pdeinv.locking import sole_writer
from pdeinv.priors.base import Trainable
from pdeinv.priors.checkpoint import (
    MOMENTS,
    CheckpointState,
    check_plan,
    drop_finished,
    open_checkpoint,
    restored_model,
    save_checkpoint,
    taken_like,
    taken_state,
)
from pdeinv.priors.data import TrainingData, held_out
from pdeinv.priors.storage import described, restored, save
from pdeinv.priors.stored import Tensors
from pdeinv.priors.team import Team, check_processes, team_of
from pdeinv.priors.training_settings import Settings, plan_of
from pdeinv.progress import Progress
from pdeinv.torch_state import checked_device, moved

__all__ = ["Settings", "train"]

_WARM_UP = 200, 0.05  # steps, or share of the budget, until the rate is full
_SAVE_EVERY = 60.0  # seconds
_VALIDATIONS = 10  # in a run
_TURNS = 8  # symmetries in a batch


def train(
    make: Callable[[TrainingData], Trainable],
    data: TrainingData,
    out: str | os.PathLike,
    settings: Settings,
    *,
    device: str = "cpu",
    processes: int = 1,
    progress: bool = False,
    echo: Callable[[str], None] | None = None,
) -> Trainable:
    """Train a model, validate it on the last samples of the data, and write it.

    A checkpoint is written to `<out>.checkpoint` every minute and when the run is interrupted. The
    same call resumes from it as if the run had never stopped. The file is deleted once `out` is
    written.

    Arguments:
        make: returns the untrained model for the samples to train on; not called if there is a
            checkpoint.
        data: samples to train on and to validate with.
        out: the file to write.
        settings: budget and hyperparameters.
        device: of torch, on which to train, such as `cuda`. Random numbers are those of the CPU on
            every device, and a checkpoint may be resumed on another one.
        processes: number of processes on the CPU, this one and helpers. Each takes a share of every
            batch, and the gradients are averaged. A run may be resumed with another number.
        progress: show a progress bar.
        echo: prints the line of each validation.

    Returns:
        The model with the moving average of the weights, on the CPU.

    Raises:
        InputError: `out` exists, cannot be written or is being written, there is a checkpoint of
            other settings or data, or this machine lacks the device.
        NumericalError: the loss is no longer finite, or a process died.
    """
    out, place = check_writable(out), checked_device(device)
    check_processes(processes, settings.batch, place)
    checkpoint = out.with_name(out.name + ".checkpoint")
    with sole_writer(out):
        if out.exists() and checkpoint.exists():
            drop_finished(checkpoint, plan_of(settings, data))
        check_new(out)
        run = _Run(make, data, checkpoint, settings, place)
        try:
            with team_of(run.model, processes) as run.team:
                run.advance_to_end(progress, echo or (lambda line: None))
        except BaseException:
            run.save_checkpoint()
            raise
        with suppress(InputError):  # a disk that is nearly full may still take the model
            run.save_checkpoint()
        model = run.averaged()
        model.record = run.record()
        save(model, out)
        run.checkpoint.unlink(missing_ok=True)
    return model


class _Run:
    """The state of a training run, all of which a checkpoint holds."""

    def __init__(
        self,
        make: Callable[[TrainingData], Trainable],
        data: TrainingData,
        checkpoint: Path,
        settings: Settings,
        device: torch.device,
    ):
        self.settings, self.checkpoint, self.device = settings, checkpoint, device
        self.data, self.validation = data.split(held_out(len(data)))
        self.plan = plan_of(settings, data)
        self.generator = seeds.generator(seeds.TRAINING, settings.seed)
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.history: list[dict] = []
        self.team: Team | None = None
        if checkpoint.exists():
            with open_checkpoint(checkpoint) as (state, tensors):
                check_plan(state, self.plan, checkpoint)
                self._begin(restored_model(state, tensors))
                self._resume(state, tensors)
        else:
            self._begin(self._new(make))
            described(self.model, half=False)  # what could not be read is refused before the work
        self.states, held = moved(self.data.states, device), self.validation.states[:]
        self.validation = replace(self.validation, states=held.to(device))

    def _new(self, make: Callable[[TrainingData], Trainable]) -> Trainable:
        with seeds.global_state(seeds.TRAINING, self.settings.seed):
            return make(self.data)

    def _begin(self, model: Trainable) -> None:
        self.model = model
        self.network = model.network.to(self.device).requires_grad_(True).train()
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=self.settings.rate, betas=(0.9, 0.99)
        )

    def _resume(self, state: CheckpointState, tensors: Tensors) -> None:
        parameters = list(self.network.parameters())
        self.average = [taken_like(tensors, f"average.{i}", p) for i, p in enumerate(parameters)]
        for i, p in enumerate(parameters) if state.step else ():
            moments = {name: taken_like(tensors, f"{name}.{i}", p) for name in MOMENTS}
            self.optimiser.state[p] = {"step": torch.tensor(float(state.step)), **moments}
        self.generator.set_state(taken_state(tensors, self.generator))
        tensors.check_all_taken()
        self.step, self.seconds = state.step, state.seconds
        self.loss, self.history = state.loss, state.history

    def advance_to_end(self, progress: bool, echo: Callable[[str], None]) -> None:
        """Take steps to the end of the budget, with validations and checkpoints."""
        start, saved = time.monotonic() - self.seconds, time.monotonic()
        total, unit = self._budget(), "step" if self.settings.steps else "s"
        with Progress(total, "training", progress, unit=unit, initial=self._spent()) as bar:
            while (done := self._fraction()) < 1:
                self._advance(done)
                self.seconds = time.monotonic() - start
                fields = self.step * self.settings.batch
                bar.note(f"loss={self.loss:.4f}, fields={fields}")
                bar.update(min(total, self._spent()) - bar.done)
                if self._fraction() >= (len(self.history) + 1) / _VALIDATIONS:
                    self._validate(echo)
                    start = time.monotonic() - self.seconds  # validation is not part of the budget
                if time.monotonic() - saved > _SAVE_EVERY:
                    self.save_checkpoint()
                    saved = time.monotonic()

    def _budget(self) -> int:
        """Return the budget in steps, or in seconds."""
        return self.settings.steps or round(60 * (self.settings.minutes or 0))

    def _spent(self) -> int:
        return self.step if self.settings.steps else int(self.seconds)

    def _fraction(self) -> float:
        s = self.settings
        return self.step / s.steps if s.steps else self.seconds / (60 * (s.minutes or math.inf))

    def _advance(self, done: float) -> None:
        """Take one step, at a share `done` of the budget."""
        rate = self.settings.rate
        warm = min(1.0, max((self.step + 1) / _WARM_UP[0], done / _WARM_UP[1]))
        for group in self.optimiser.param_groups:
            group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * done))
        before = self.generator.get_state()
        try:
            now = self._gradients(self._batch())
        except BaseException:  # the run that is resumed takes this batch again
            self.generator.set_state(before)
            raise
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        # Before the step, so that the checkpoint keeps finite weights
        if not (math.isfinite(now) and math.isfinite(norm)):
            raise NumericalError(
                f"the loss is no longer finite at step {self.step + 1}; train with a lower rate "
                f"than {rate:g} and another --out than {self.checkpoint.stem}"
            )
        self.optimiser.step()
        self.step += 1
        self.loss = (
            now if self.step == 1 else self.loss + max(0.01, 1 / self.step) * (now - self.loss)
        )
        keep = 0.5 ** (1 / max(1.0, self.settings.average * self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - keep)

    def _gradients(self, states: torch.Tensor) -> float:
        """Compute the gradients for a batch, and return its loss."""
        self.optimiser.zero_grad(set_to_none=True)
        if self.team:
            return self.team.gradients(states, self.model.draws(states, self.generator))
        loss = self.model.loss(states, self.generator)
        loss.backward()
        return float(loss.detach())

    def _batch(self) -> torch.Tensor:
        """Return random samples, under symmetries of the PDE if wanted."""
        size = (self.settings.batch,)
        chosen = torch.randint(len(self.data), size, generator=self.generator)
        states = self.states[chosen].to(self.device)
        if not self.settings.symmetry:
            return states
        group, grid = self.data.symmetries, self.data.grid
        first = int(torch.randint(len(group), (1,), generator=self.generator))
        parts = [
            group.element(first + i, self.generator, grid)(p, grid)
            for i, p in enumerate(states.chunk(_TURNS))
        ]
        return torch.cat(parts)

    def averaged(self) -> Trainable:
        """Return a copy of the model with the moving average of the weights."""
        tensors, text = described(self.model, half=False)
        try:
            model = cast(Trainable, restored(Tensors.of(tensors), text))
        except ValueError as error:
            raise NumericalError(
                f"the training diverged at step {self.step}, where {error}; train with a lower "
                f"rate than {self.settings.rate:g} and another --out than {self.checkpoint.stem}"
            ) from None
        with torch.no_grad():
            for p, mean in zip(model.network.parameters(), self.average, strict=True):
                p.copy_(mean)
        return model

    def _validate(self, echo: Callable[[str], None]) -> None:
        model = self.averaged()
        model.network.to(self.device)
        scores, line = model.validate(self.validation)
        spent = {"step": self.step, "seconds": round(self.seconds, 1), "loss": round(self.loss, 5)}
        self.history.append(spent | scores)
        echo(f"step {self.step}, {self.seconds:.0f} s, loss {self.loss:.4f}, {line}")

    def record(self) -> dict:
        """Return what the file states about the training."""
        spent = {
            "fields_seen": self.step * self.settings.batch,
            "seconds": round(self.seconds, 1),
            "device": self.device.type,
        }
        return self.plan | spent | {"loss": round(self.loss, 5), "history": self.history}

    def save_checkpoint(self) -> None:
        """Write the state of the run."""
        tensors, text = described(self.model, half=False)
        run = {f"average.{i}": average for i, average in enumerate(self.average)}
        for i, p in enumerate(self.network.parameters()) if self.step else ():
            run |= {f"{name}.{i}": self.optimiser.state[p][name] for name in MOMENTS}
        state = CheckpointState(
            plan=self.plan,
            model=text,
            step=self.step,
            seconds=self.seconds,
            loss=self.loss,
            history=self.history,
        )
        save_checkpoint(self.checkpoint, state, tensors, run, self.generator)
