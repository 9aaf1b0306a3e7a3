"""Physics by a function: its fields, its calls and its derivatives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch

from pdeinv.checks import MOST, Bounds, Positive, described
from pdeinv.coefficients import CoefficientPrior, LogNormal
from pdeinv.datasets.base import PDE
from pdeinv.datasets.evolving import Evolving
from pdeinv.datasets.function_gradient import with_adjoint
from pdeinv.datasets.function_results import Chunk, Results
from pdeinv.datasets.parameters import to_json
from pdeinv.datasets.user_function import UserFunction
from pdeinv.errors import InputError, NumericalError
from pdeinv.fields import SAME_TIME, Field
from pdeinv.grid import GridKind
from pdeinv.symmetry import Group, trivial_group

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FunctionPDE"]

Workers = Annotated[int, Bounds(least=1, most=1024)]


@dataclass(frozen=True)
class FunctionPDE(Evolving):
    """Physics by a function, as `pde_from_function` makes it.

    The function must depend on the coefficient alone. What else it reads, such as a global
    variable, counts as it is when the physics is made. A result that is not finite, or a
    `pdeinv.NumericalError`, states that a coefficient has no solution.

    Arguments:
        function: as of `pde_from_function`; it takes float64.
        state_fields: of the coefficient and of the outputs.
        adjoint, autograd: stated by `gradient`: "autograd" where torch differentiates the function;
            or its adjoint, a function of the coefficient (ny, nx) and of weights v, of the shape of
            the outputs, that returns the gradient of the sum of v times the outputs, (ny, nx); or
            None, and only methods without derivatives take the physics.
        batched: whether the function takes (batch, ny, nx) and returns (batch, ny, nx) or (batch,
            outputs, ny, nx), and an adjoint likewise.
        output_times: stated by `times`: rising times, where the function returns all its fields at
            each time in turn; the last is that of the solution. `times` of the physics are those of
            them that its state has.
        time_units: of the times.
        grid_kind: "vertex", "periodic" or "cell", as of `Grid`.
        positive_coefficient: stated by `positive`: whether it must be positive everywhere.
        linear: whether the outputs are affine in the coefficient, which is tested.
        operator_symmetries: stated by `symmetries`: elements g with function(g a) = g function(a),
            which are tested.
        prior: of the coefficient where none is given; if None, that of `PDE.default_prior`, or for
            a positive coefficient a log-normal one with the median 1.
        name, equation: for files and people; if empty, the name of the function and the first line
            of its docstring.
        workers: number of processes for a slow function, which they are sent by value. They start
            at the first call, which takes seconds, and stay for the later ones. `at_once` then has
            no bound: none waits for the last solve of a batch. Neither they nor the store are part
            of the physics: files do not keep them.
        store: folder that keeps each finished result (see `pdeinv.datasets.function_results`): a
            repeated run continues from there. A function of other code has other results.
        reference, as_found: the `file.py:name` that states the physics, and what it stated when it
            was read.
    """

    function: UserFunction
    state_fields: tuple[Field, ...]
    adjoint: UserFunction | None = field(default=None, kw_only=True)
    autograd: bool = field(default=False, kw_only=True)
    batched: bool = field(default=False, kw_only=True)
    output_times: tuple[Positive, ...] = field(default=(), kw_only=True)
    time_units: str = field(default="1", kw_only=True)
    grid_kind: GridKind = field(default="vertex", kw_only=True)  # type: ignore[misc]
    positive_coefficient: bool = field(default=False, kw_only=True)  # type: ignore[misc]
    linear: bool = field(default=False, kw_only=True)  # type: ignore[misc]
    operator_symmetries: Group = field(  # type: ignore[misc]
        default=trivial_group(), kw_only=True
    )
    prior: CoefficientPrior | None = field(default=None, kw_only=True)
    name: str = field(default="function", kw_only=True)  # type: ignore[misc]
    equation: str = field(default="", kw_only=True)
    workers: Workers = field(default=1, kw_only=True, compare=False)
    store: str | None = field(default=None, kw_only=True, compare=False)
    reference: str = field(default="", kw_only=True, compare=False, repr=False)
    as_found: PDE | None = field(default=None, kw_only=True, compare=False, repr=False)

    path_parameters: ClassVar[tuple[str, ...]] = ("store",)

    numerical_parameters: ClassVar[tuple[str, ...]] = (
        *("autograd", "batched", "time_units", "grid_kind", "positive_coefficient", "linear"),
        *("name", "equation", "workers", "store", "reference", "as_found"),
    )

    def __post_init__(self) -> None:
        if len(self.state_fields) < 2:
            raise InputError(
                f"fields of {self.name} must be the coefficient and one output or more, got "
                f"{len(self.state_fields)}; name them all"
            )
        rising = all(a < b for a, b in zip(self.output_times, self.output_times[1:], strict=False))
        if not rising:
            raise InputError(
                f"times of {self.name} must rise, got {described(self.output_times)}; sort them, "
                f"and the outputs likewise"
            )
        super().__post_init__()

    @property
    def coefficient_field(self) -> Field:
        return self.state_fields[0]

    @property
    def end_time(self) -> float | None:  # type: ignore[override]
        return self.output_times[-1] if self.output_times else None

    def _at_end(self, field: Field) -> Field:
        return field if self.end_time is None else self.at(field, self.end_time)

    @property
    def solution_field(self) -> Field:
        return self._at_end(self.state_fields[1])

    @property
    def derived(self) -> tuple[Field, ...]:
        others = tuple(self._at_end(f) for f in self.state_fields[2:])
        return others + self.at_times(*self.state_fields[1:])

    def _settle_channels(self) -> None:
        for time in self.times:
            if self._time_index(time) is None:
                raise InputError(self._unavailable(time))
        super()._settle_channels()

    def reading(self, names: Iterable[str], times: Iterable[float] = ()) -> Self:
        return super().reading(names, (t for t in times if self._time_index(t) is not None))

    def unknown_field(
        self, field_name: str, experiment: str = "", time: float | None = None
    ) -> str:
        if time is not None and self.find_channels(field_name) and self._time_index(time) is None:
            return self._unavailable(time)
        return super().unknown_field(field_name, experiment, time)

    def _unavailable(self, time: float) -> str:
        known = ", ".join(f"{t:g}" for t in self.output_times) or "none"
        return (
            f"time must be one of those that {self.name} returns, {known}, got {time:g}; let the "
            f"function return that time too"
        )

    def _time_index(self, time: float | None) -> int | None:
        """Return the place of a time; the last one for None, and None for any other time."""
        if time is None:
            return len(self.output_times) - 1
        times = enumerate(self.output_times)
        return next((i for i, t in times if math.isclose(t, time, rel_tol=SAME_TIME)), None)

    @cached_property
    def _picked(self) -> list[int]:
        """Which output of the function each channel from 1 is."""
        names = [f.name for f in self.state_fields[1:]]
        per_time = len(names) if self.output_times else 0
        return [
            names.index(f.name) + per_time * (self._time_index(f.time) or 0)
            for f in self.fields[1:]
        ]

    @property
    def n_outputs(self) -> int:
        """The number of outputs of the function."""
        return (len(self.state_fields) - 1) * max(1, len(self.output_times))

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        return self.autograd or self.adjoint is not None

    @property
    def at_once(self) -> int:  # type: ignore[override]
        return MOST if self.workers > 1 else super().at_once

    @property
    def default_prior(self) -> CoefficientPrior:
        if self.prior is None and self.positive_coefficient:
            return LogNormal(1.0, 1.0, 0.2 * self.domain.shorter)
        return self.prior or super().default_prior

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        return self.respond(a)[:, :1]

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        return self.respond(a)

    def completed(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return torch.cat([u, self.respond(a)[:, 1:]], dim=1) if self.outputs else u

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        if len(a) and a.requires_grad and torch.is_grad_enabled() and self.autograd:
            found = self._check_stable(a, self._with_graph(a[:, 0].double()))
        elif self.adjoint is not None:
            found = with_adjoint(a, self)
        else:
            found = self.values(a)
        return found.to(a.dtype)

    def _with_graph(self, a: torch.Tensor) -> torch.Tensor:
        if self.batched:
            return self.function.tensor(a, self.n_outputs)[:, self._picked]
        return torch.stack([self.function.tensor(f, self.n_outputs)[self._picked] for f in a])

    def values(self, a: torch.Tensor) -> torch.Tensor:
        """Return `respond`, float64, without a graph; what is finished is kept.

        Arguments:
            a: (batch, 1, ny, nx).

        Raises:
            InputError: the function fails, or returns something else.
            NumericalError: it is unstable for a coefficient. The results of the others are kept.
        """
        compute = partial(_computed, self.function, self.n_outputs, self.batched, self.autograd)
        results = self._results(self.function, self.n_outputs, a)
        found = results.of(_array(a), compute, self._picked, batched=self.batched)
        return self._check_stable(a, torch.from_numpy(found).to(a.device))

    def pull_back(self, a: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the gradients (batch, 1, ny, nx) of the sum of weights v (batch, channels, ny, nx)
        times `respond`, by the user's adjoint; it is not called where all weights are 0. Errors are
        as of `values`."""
        assert self.adjoint is not None
        inputs = np.zeros((len(a), 1 + self.n_outputs, *a.shape[-2:]))
        inputs[:, :1] = _array(a)
        inputs[:, [1 + i for i in self._picked]] = _array(v)
        weighted = inputs[:, 1:].any(axis=(1, 2, 3))
        found = np.zeros_like(inputs[:, :1])
        if weighted.any():
            compute = partial(_pulled_back, self.adjoint, self.batched)
            results = self._results(self.adjoint, 1, a)
            found[weighted] = results.of(inputs[weighted], compute, [0], batched=self.batched)
        return self._check_stable(a, torch.from_numpy(found)).to(a)

    def _results(self, function: UserFunction, outputs: int, a: torch.Tensor) -> Results:
        store = None if self.store is None else Path(self.store)
        keep = self.function.digest + (self.adjoint.digest if self.adjoint else "")
        return Results(
            *(function.digest, self.grid_of(a), outputs, function.memory),
            *(store, self.workers, self.name, keep),
        )

    def _check_stable(self, a: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        unstable = ~found.detach().flatten(1).isfinite().all(dim=1)
        if bool(unstable.any()):
            n, remedy = len(found), "check the range of the prior"
            part = f"{int(unstable.sum())} of {n} coefficients" if n > 1 else "a coefficient"
            if not self.positive_coefficient and bool((a[unstable] < 0).any()):
                remedy += "; state positive=True if the coefficient must be positive"
            raise NumericalError(
                f"{self.function!r} has no solution for {part} (nan, inf, NumericalError); {remedy}"
            )
        return found

    # In files

    @property
    def origin(self) -> str:
        return self.reference

    def found_at(self, reference: str) -> Self:
        return replace(self, reference=reference, as_found=self)

    def json_parameters(self, *, describe: bool = False) -> dict[str, Any]:
        usual = {f.name: f.default for f in dataclasses.fields(self) if f.init and f.compare}
        found = vars(self.as_found) if self.as_found else {}
        names = [k for k, v in usual.items() if getattr(self, k) != found.get(k, v)]
        return to_json(self, describe=describe, names=names)


def _computed(
    function: UserFunction, outputs: int, batched: bool, tensors: bool, chunk: Chunk
) -> np.ndarray:
    with torch.no_grad():
        return function.values(chunk[1][:, 0], outputs, batched=batched, tensors=tensors)


def _pulled_back(adjoint: UserFunction, batched: bool, chunk: Chunk) -> np.ndarray:
    return adjoint.pulled_back(chunk[1][:, 0], chunk[1][:, 1:], batched=batched)


def _array(x: torch.Tensor) -> np.ndarray:
    return x.detach().double().cpu().numpy()
