"""Several experiments on one coefficient, such as two pumping tests, as one PDE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.registry import COMPOSED
from pdeinv.datasets.shared_physics import check_shared, with_shared_outputs_once
from pdeinv.datasets.symmetries import common_symmetries
from pdeinv.errors import InputError
from pdeinv.fields import ChannelField, Field
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.sensors.column_names import listed
from pdeinv.sensors.columns import experiment_name
from pdeinv.symmetry import Group

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Experiments"]


@dataclass(frozen=True)
class Experiments(PDE):
    """Several physics with the same coefficient, such as two pumping tests or two wave numbers.

    The physics may differ in sides, sources, wells and wave numbers, and may be of different
    classes; all have the coefficient's field, the domain and the kind of the grid in common. The
    channels of a state are the coefficient, and then for each experiment in turn its solution and
    its derived fields. A function of the coefficient alone, such as its logarithm, has one channel,
    which all experiments share. `solve`, `surrogate` and `residual` have one channel for each
    experiment.

    Arguments:
        physics: one PDE for each experiment, or its name.
        names: of the experiments, as the column `experiment` of a sensor table has them; "1", "2",
            ... if not given.

    Raises:
        InputError: the physics do not share what they must, or a name is not usable.

    Example:
        >>> from pdeinv.datasets import Experiments, Helmholtz
        >>> both = Experiments((Helmholtz(k=1.0), Helmholtz(k=6.0)), names=("low", "high"))
        >>> [f.label for f in both.fields]
        ['source', 'wavefield of experiment low', 'wavefield of experiment high']
        >>> both.find_channel("wavefield", "high")
        2
    """

    physics: tuple[PDE, ...]
    names: tuple[str, ...] = ()
    domain: Domain = field(init=False, repr=False)
    outputs: tuple[str, ...] = field(init=False, repr=False, default=())

    name = "experiments"

    def __post_init__(self) -> None:
        check_fields(self, f"parameter {{}} of {self.name}")
        if not self.physics or any(pde.experiments for pde in self.physics):
            raise InputError(
                f"physics of {self.name} must be one PDE for each, got "
                f"{'experiments in experiments' if self.physics else 'none'}; give a list of PDEs"
            )
        numbers = tuple(str(i + 1) for i in range(len(self.physics)))
        object.__setattr__(self, "names", self.names or numbers)
        self._check_names()
        check_shared(self.experiments)
        object.__setattr__(self, "domain", self._first.domain)
        object.__setattr__(self, "physics", with_shared_outputs_once(self.physics))
        super().__post_init__()

    def _check_names(self) -> None:
        usable = all(name and experiment_name(name) == name for name in self.names)
        if not usable or not len(set(self.names)) == len(self.names) == len(self.physics):
            raise InputError(
                f"names of {self.name} must be {len(self.physics)} different ones that a table can "
                f"hold, got {described(self.names)}; use such as ('1', '2')"
            )

    @property
    def _first(self) -> PDE:
        return self.physics[0]

    @property
    def experiments(self) -> Mapping[str, PDE]:
        return dict(zip(self.names, self.physics, strict=True))

    @property
    def grid_kind(self) -> GridKind:  # type: ignore[override]
        return self._first.grid_kind

    @property
    def linear(self) -> bool:  # type: ignore[override]
        return all(pde.linear for pde in self.physics)

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        return all(pde.differentiable for pde in self.physics)

    @property
    def at_once(self) -> int:  # type: ignore[override]
        return max(pde.at_once for pde in self.physics)

    @property
    def positive_coefficient(self) -> bool:  # type: ignore[override]
        return any(pde.positive_coefficient for pde in self.physics)

    @property
    def coefficient_field(self) -> Field:
        return self._first.coefficient_field

    @property
    def solution_field(self) -> Field:
        """The solution's field of the first experiment."""
        return self._first.solution_field

    @property
    def equation(self) -> str:
        """The equations of the experiments, separated by semicolons."""
        return "; ".join(f"{name}: {pde.equation}" for name, pde in self.experiments.items())

    @property
    def default_prior(self) -> CoefficientPrior:
        return self._first.default_prior

    def restrict(self, a: torch.Tensor) -> torch.Tensor:
        return self._first.restrict(a)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        return self._of_each(lambda pde, part: pde.solve(part), a)

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        return self._of_each(lambda pde, part: pde.respond(part), a)

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        return self._of_each(lambda pde, part: pde.respond_roughly(part), a)

    def _of_each(
        self, respond: Callable[[PDE, torch.Tensor], torch.Tensor], a: torch.Tensor
    ) -> torch.Tensor:
        """Few coefficients (batch, 1, ny, nx) at a time, so that the physics share what is kept."""
        parts = a.split(min(pde.at_once for pde in self.physics))
        found = [torch.cat([respond(pde, p) for pde in self.physics], dim=1) for p in parts]
        return found[0] if len(found) == 1 else torch.cat(found)

    def functions_of_coefficient(self, a: torch.Tensor) -> torch.Tensor:
        found = (pde.functions_of_coefficient(a)[:, 1:] for pde in self.physics)
        return torch.cat([a, *found], dim=1)

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        return self._of_each(lambda pde, part: pde.surrogate(part), a)

    @property
    def for_many_adjoints(self) -> Self:
        return replace(self, physics=tuple(pde.for_many_adjoints for pde in self.physics))

    def completed(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        parts = zip(self.physics, u.split(1, dim=1), strict=True)
        return torch.cat([pde.completed(a, part) for pde, part in parts], dim=1)

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        parts = zip(self.physics, u.split(1, dim=1), strict=True)
        return torch.cat([pde.residual(a, part) for pde, part in parts], dim=1)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The coefficient's field, and those of each experiment in turn."""
        return (self.coefficient_field, *(f for f, _, _ in self._outputs))

    @property
    def logarithm(self) -> Field | None:
        return self._first.logarithm

    def of_coefficient(self, field: Field) -> bool:
        return self.experiments.get(field.experiment, self._first).of_coefficient(field)

    @property
    def solution_channels(self) -> tuple[int, ...]:
        return tuple(c for c, (_, _, own) in enumerate(self._outputs, start=1) if own == 1)

    @cached_property
    def _outputs(self) -> tuple[tuple[Field, PDE, int], ...]:
        """The field of each channel but the first, its physics and its channel there.

        A field that has times in one experiment has the end's in those that evolve without any.
        """
        timed = {f.name for pde in self.physics for f in pde.fields if f.time is not None}
        found = []
        for name, pde in self.experiments.items():
            for own, f in enumerate(pde.fields[1:], start=1):
                time = pde.end_time if f.time is None and f.name in timed else f.time
                here = f if pde.constant(f) else ChannelField.of(f, name, time)
                found.append((here, pde, own))
        return tuple(found)

    def json_parameters(self, *, describe: bool = False) -> dict[str, Any]:
        stated = [
            {"pde": pde.origin or pde.name, **pde.json_parameters(describe=describe)}
            for pde in self.physics
        ]
        return {"physics": stated, "names": list(self.names)}

    @property
    def has_start(self) -> bool:  # type: ignore[override]
        return any(pde.has_start for pde in self.physics)

    @property
    def end_time(self) -> float | None:
        """The last end of the experiments that evolve."""
        return max((pde.end_time for pde in self.physics if pde.end_time is not None), default=None)

    @property
    def time_units(self) -> str:
        return next((pde.time_units for pde in self.physics if pde.end_time is not None), "1")

    def reading(self, names: Iterable[str], times: Iterable[float] = ()) -> Self:
        """Return the experiments with channels for these fields; each has the times before its
        end."""
        names, times = tuple(names), tuple(times)
        physics = [pde.reading(names, [t for t in times if pde.reaches(t)]) for pde in self.physics]
        return replace(self, physics=tuple(physics))

    def find_channel(
        self, field_name: str, experiment: str = "", time: float | None = None
    ) -> int | None:
        """Return the channel of a field of an experiment; None where there is none.

        Arguments:
            field_name: physical name, or the alias `coefficient` or `solution`.
            experiment: name of the experiment; may be empty for a field that all share, and where
                there is one experiment alone.
            time: as of `PDE.find_channel`.
        """
        if experiment and experiment not in self.names:
            return None
        if field_name in ("coefficient", self.coefficient_field.name):
            return 0
        if not experiment and len(self.names) == 1:
            experiment = self.names[0]
        for channel, (f, pde, own) in enumerate(self._outputs, start=1):
            if pde.find_channel(field_name, time=time) == own and f.experiment in ("", experiment):
                return channel
        return None

    def find_channels(self, field_name: str) -> tuple[int, ...]:
        if field_name in ("coefficient", self.coefficient_field.name):
            return (0,)
        outputs = enumerate(self._outputs, start=1)
        return tuple(c for c, (_, pde, own) in outputs if own in pde.find_channels(field_name))

    def unknown_field(
        self, field_name: str, experiment: str = "", time: float | None = None
    ) -> str:
        if experiment in self.names:
            return f"experiment {experiment!r}: " + self.experiments[experiment].unknown_field(
                field_name, time=time
            )
        if experiment or self.find_channels(field_name):
            return (
                f"experiment must be one of {listed(self.names)}"
                f"{'' if experiment else f' for a reading of {described(field_name)}'}, got "
                f"{described(experiment) if experiment else 'none'}; state it in the column "
                f"'experiment'"
            )
        names = dict.fromkeys(f.name for pde in self.physics for f in (*pde.fields, *pde.derived))
        return (
            f"field must be one of {listed(tuple(names))} for {self.name}, got "
            f"{described(field_name)}; rename it"
        )

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel == 0:
            return self._first.known_values(0, points)
        _, pde, own = self._outputs[channel - 1]
        return pde.known_values(own, points)

    @cached_property
    def symmetries(self) -> Group:
        """The elements that the groups of all experiments have in common."""
        return common_symmetries(self.physics).acting_on(self.fields)

    def doubt(self, grid: Grid) -> str:
        doubts = {name: pde.doubt(grid) for name, pde in self.experiments.items()}
        return "; ".join(f"experiment {name}: {doubt}" for name, doubt in doubts.items() if doubt)

    def solve_seconds(self, grid: Grid) -> float:
        return sum(pde.solve_seconds(grid) for pde in self.physics)


COMPOSED[Experiments.name] = Experiments
