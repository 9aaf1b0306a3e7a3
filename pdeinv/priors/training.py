"""Train a diffusion prior or a neural operator on a dataset, within a budget of time or steps,
resumable at any moment."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from tqdm import tqdm

from pdeinv.errors import InputError
from pdeinv.files import atomic_write, check_new
from pdeinv.priors.data import TrainingData
from pdeinv.priors.diffusion import DiffusionPrior
from pdeinv.priors.fourier_operator import FourierOperator
from pdeinv.priors.storage import describe, restore, save

__all__ = ["Settings", "train"]

_HELD_OUT = 128  # samples at the end of the file, at most an eighth of it
_WARM_UP = 200, 0.05  # steps, or share of the budget, until the rate is full
_SAVE_EVERY = 60.0  # seconds
_VALIDATIONS = 10  # in a run
_TURNS = 8  # symmetries in a batch


@dataclass(frozen=True)
class Settings:
    """What determines a training run, but for the data.

    Arguments:
        model: what is trained, in words; a run of another model is not resumed.
        minutes, steps: the budget; one of them. The learning rate falls to zero along it, as a half
            cosine.
        batch, rate: fields a step, and Adam's largest learning rate.
        symmetry: augment by the symmetries of the PDE.
        average: the half-life of the weights' moving average, as a share of the steps so far.
        seed: of batches, symmetries and noise.
    """

    model: str = ""
    minutes: float | None = None
    steps: int | None = None
    batch: int = 32
    rate: float = 1e-3
    symmetry: bool = True
    average: float = 0.05
    seed: int = 0

    def __post_init__(self):
        if (self.minutes is None) == (self.steps is None):
            raise InputError("a training run needs a budget: either minutes or steps")
        for name in ("minutes", "steps", "batch", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} = {value} must be positive")


def train(
    make: Callable[[TrainingData], DiffusionPrior | FourierOperator],
    data: TrainingData,
    out: str | os.PathLike,
    settings: Settings,
    *,
    progress: bool = False,
    echo: Callable[[str], None] | None = None,
) -> DiffusionPrior | FourierOperator:
    """Train on all samples but the last, which validate, and write the model to `out`.

    Checkpoints are written to `<out>.checkpoint` every minute and when the run is interrupted; the
    same call goes on from there as if it had never stopped. That file is deleted once `out` is
    written.

    Arguments:
        make: the untrained model, given the samples to train on; called unless there is a
            checkpoint.
        echo: is told each validation.

    Raises:
        InputError: `out` exists or cannot be written, or a checkpoint of other settings or data is
            in the way.
    """
    out = check_new(out)
    run = _Run(make, data, out.with_name(out.name + ".checkpoint"), settings)
    try:
        run.go_on(progress, echo or (lambda line: None))
    finally:
        run.save_checkpoint()
    model = run.averaged()
    model.record = run.record()
    save(model, out)
    run.checkpoint.unlink()
    return model


class _Run:
    """The state of a training run: all of it in a checkpoint."""

    def __init__(self, make, data, checkpoint, settings):
        self.settings, self.checkpoint = settings, checkpoint
        self.data, self.validation = data.split(max(1, min(_HELD_OUT, len(data) // 8)))
        self.plan = asdict(settings) | {
            "data": data.source,
            "digest": data.digest(),
            "samples": len(self.data),
            "grid": data.grid.n,
            "fields": [f.name for f in data.fields],
        }
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step, self.seconds, self.loss, self.history = 0, 0.0, math.nan, []
        stored = self._stored()
        if stored:
            self.model = restore(stored["model"], stored["header"])
        else:
            with torch.random.fork_rng():
                torch.manual_seed(settings.seed)
                self.model = make(self.data)
        self.network = self.model.network.requires_grad_(True).train()
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=settings.rate, betas=(0.9, 0.99)
        )
        if stored:
            self.optimiser.load_state_dict(stored["optimiser"])
            self.generator.set_state(stored["generator"])
            self.average = stored["average"]
            self.step, self.seconds, self.loss, self.history = (
                stored[key] for key in ("step", "seconds", "loss", "history")
            )

    def go_on(self, progress, echo):
        s, start, saved = self.settings, time.monotonic() - self.seconds, time.monotonic()
        total = s.steps or round(60 * s.minutes)
        label, unit = ("training", "step") if s.steps else ("training", "s")
        with tqdm(
            total=total, initial=self._spent(), desc=label, unit=unit, disable=not progress
        ) as bar:
            while (done := self._fraction()) < 1:
                self._advance(done)
                self.seconds = time.monotonic() - start
                bar.set_postfix(loss=f"{self.loss:.4f}", fields=self.step * s.batch, refresh=False)
                bar.update(min(total, self._spent()) - bar.n)
                if self._fraction() >= (len(self.history) + 1) / _VALIDATIONS:
                    self._validate(echo)
                    start = time.monotonic() - self.seconds  # validating is not training
                if time.monotonic() - saved > _SAVE_EVERY:
                    self.save_checkpoint()
                    saved = time.monotonic()

    def _spent(self) -> int:
        return self.step if self.settings.steps else int(self.seconds)

    def _fraction(self) -> float:
        s = self.settings
        return self.step / s.steps if s.steps else self.seconds / (60 * s.minutes)

    def _advance(self, done: float) -> None:
        s = self.settings
        for group in self.optimiser.param_groups:
            warm = min(1.0, max((self.step + 1) / _WARM_UP[0], done / _WARM_UP[1]))
            group["lr"] = s.rate * warm * 0.5 * (1 + math.cos(math.pi * done))
        states = self.data.states[
            torch.randint(len(self.data), (s.batch,), generator=self.generator)
        ]
        if s.symmetry:
            group, grid = self.data.symmetries, self.data.grid
            first = int(torch.randint(len(group), (1,), generator=self.generator))
            parts = [
                group.element(first + i, self.generator, grid)(p, grid)
                for i, p in enumerate(states.chunk(_TURNS))
            ]
            states = torch.cat(parts)
        loss = self.model.loss(states, self.generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        now = float(loss.detach())
        # Before the weights, which a checkpoint will keep, take harm.
        if not (math.isfinite(now) and math.isfinite(norm)):
            raise InputError(
                f"the loss is no longer finite at step {self.step + 1}; delete {self.checkpoint} "
                f"and train with a lower rate "
                f"than {s.rate:g}"
            )
        self.optimiser.step()
        self.step += 1
        self.loss = (
            now if self.step == 1 else self.loss + max(0.01, 1 / self.step) * (now - self.loss)
        )
        keep = 0.5 ** (1 / max(1.0, s.average * self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - keep)

    def averaged(self) -> DiffusionPrior | FourierOperator:
        """The model with the moving average of the weights."""
        model = restore(*describe(self.model, half=False))
        with torch.no_grad():
            for p, mean in zip(model.network.parameters(), self.average, strict=True):
                p.copy_(mean)
        return model

    def _validate(self, echo) -> None:
        scores, line = self.averaged().validate(self.validation)
        spent = {"step": self.step, "seconds": round(self.seconds, 1), "loss": round(self.loss, 5)}
        self.history.append(spent | scores)
        echo(f"step {self.step}, {self.seconds:.0f} s, loss {self.loss:.4f}, {line}")

    def record(self) -> dict:
        """What the file says of the training."""
        spent = {"fields_seen": self.step * self.settings.batch, "seconds": round(self.seconds, 1)}
        return self.plan | spent | {"loss": round(self.loss, 5), "history": self.history}

    def save_checkpoint(self) -> None:
        tensors, header = describe(self.model, half=False)
        state = {
            "plan": self.plan,
            "model": tensors,
            "header": header,
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            **{key: getattr(self, key) for key in ("step", "seconds", "loss", "history")},
        }
        with atomic_write(self.checkpoint) as temporary:
            torch.save(state, temporary)

    def _stored(self) -> dict | None:
        if not self.checkpoint.exists():
            return None
        try:
            stored = torch.load(self.checkpoint, weights_only=True)
            plan = stored["plan"]
        except Exception as error:  # torch.load raises many kinds
            raise InputError(
                f"{self.checkpoint} is damaged ({error}); delete it to start afresh"
            ) from None
        different = [
            f"{k} = {plan.get(k)!r}, not {v!r}" for k, v in self.plan.items() if plan.get(k) != v
        ]
        if different:
            raise InputError(
                f"{self.checkpoint} holds an unfinished run with {'; '.join(different)}; finish "
                f"that one or delete it"
            )
        return stored
