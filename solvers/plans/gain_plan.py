"""A plan of a linear problem: one product with the stored gain for each table."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
import torch
import xarray as xr

from pdeinv.datasets import Problem
from pdeinv.errors import warn_caller
from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.observation import Observation
from pdeinv.parameters import QUANTILE
from pdeinv.posterior import Posterior
from pdeinv.sensors import Sensors
from pdeinv.solvers.alarms import Alarm, alarm_of
from pdeinv.solvers.misfit import MISFIT_TESTS, MisfitWarning
from pdeinv.solvers.plans.plan import Plan
from pdeinv.solvers.reconstruction import Run
from pdeinv.solvers.stored_gain import GivenReadings, StoredGain

__all__ = ["GainPlan"]

_OF_ONE_TABLE = ("log_evidence", "solver_calls", "network_evaluations", "alarm")
"""What a record has of the table from which the template is made."""
_DIMS = {
    **dict.fromkeys(("expected", "nugget", "weighty", "exact"), ("plan_reading",)),
    "prior": ("plan_unknown",),
    "gain": ("plan_reading", "plan_unknown"),
    "factor": ("plan_reading", "plan_other"),
    "deviations": ("plan_sample", "plan_unknown"),
}
"""Dimensions of the parts of a plan in a file."""
_SHOWN = 5  # readings in a message


class GainPlan(Plan):
    """A plan whose means are an affine function of the readings, with all else found once.

    Arguments:
        sensors, problem: as of `Plan`.
        gain: from readings to the unknowns, a state and behind it the biases.
        template: a result with all that does not depend on the readings.
        places: for each variable of means its indices in the unknowns, -1 for a place without one.
        deviations: of posterior samples from the mean, (n, size).
    """

    method = "stored gain"

    def __init__(
        self,
        sensors: Sensors,
        problem: Problem | str,
        gain: StoredGain,
        template: xr.Dataset,
        places: dict[str, np.ndarray],
        deviations: torch.Tensor,
    ):
        super().__init__(sensors, problem)
        self.gain, self.template, self.places = gain, template, places
        self.deviations = deviations
        self._arrays = {str(name): variable.values for name, variable in template.items()}

    @classmethod
    def of(
        cls,
        sensors: Sensors,
        problem: Problem,
        gain: StoredGain,
        run: Run,
        observation: Observation,
        seed: int,
    ) -> GainPlan:
        """Return the plan of a run whose solver has a gain.

        The spread and the samples less their mean do not depend on the readings: they are those of
        one reconstruction, of readings of 0.

        Arguments:
            sensors, problem, gain: as of the class.
            run: the solver with the problem.
            observation: the sensors.
            seed: of the samples.
        """
        found = run.solved(observation, seed)
        found.leave_one_out = None
        template = run.dataset(found, sensors, observation, seed)
        flat = [(found.samples - found.mean).flatten(1)]
        if found.parameters is not None:
            flat.append(found.parameters.samples - found.parameters.mean)
        template.attrs["misfit_test"] = MISFIT_TESTS[run.solver.misfit]
        for name in _OF_ONE_TABLE:
            template.attrs.pop(name, None)
        template = template.drop_dims("sample")
        return cls(sensors, problem, gain, template, _places(found), torch.cat(flat, dim=1))

    def stored(self) -> xr.Dataset:
        arrays = {f.name: getattr(self.gain, f.name) for f in fields(self.gain)}
        arrays["deviations"] = self.deviations
        stored = self.template.assign(
            {f"plan_{name}": (_DIMS[name], values.numpy()) for name, values in arrays.items()}
        )
        return stored.assign(
            {
                f"plan_place_{name}": (self.template[f"{name}_mean"].dims, index)
                for name, index in self.places.items()
            }
        )

    @classmethod
    def restored(
        cls, sensors: Sensors, problem: str, template: xr.Dataset, parts: dict[str, np.ndarray]
    ) -> GainPlan:
        """Return the plan of what `stored` returned.

        Arguments:
            sensors, problem, template: as of the class.
            parts: the other variables, without their prefix.

        Raises:
            KeyError, ValueError: a part is missing, or of another shape.
        """
        arrays = {f.name: torch.from_numpy(parts[f.name]) for f in fields(StoredGain)}
        deviations = torch.from_numpy(parts["deviations"])
        gain = StoredGain(**arrays)
        shape = len(sensors), deviations.shape[1]
        if gain.gain.shape != shape:
            raise ValueError(f"the gain must have the shape {shape}, got {tuple(gain.gain.shape)}")
        places = {
            name.removeprefix("place_"): index
            for name, index in parts.items()
            if name.startswith("place_")
        }
        for name, index in places.items():
            if template[f"{name}_mean"].shape != index.shape or f"{name}_std" not in template:
                raise ValueError(f"{name}_mean must have the shape of its places, {index.shape}")
        return cls(sensors, problem, gain, template, places, deviations)

    def _results(self, rows: np.ndarray, samples: bool) -> list[xr.Dataset]:
        start = time.perf_counter()
        tables = [self.gain.given(torch.from_numpy(row.copy())) for row in rows]
        means = self.gain.means(torch.stack([table.innovation for table in tables]))
        seconds = round((time.perf_counter() - start) / len(rows), 6)
        return [
            self._result(values, table, mean, samples, seconds)
            for values, table, mean in zip(rows, tables, means, strict=True)
        ]

    def _result(
        self,
        values: np.ndarray,
        table: GivenReadings,
        mean: torch.Tensor,
        samples: bool,
        seconds: float,
    ) -> xr.Dataset:
        changed: dict[str, np.ndarray] = {"sensor_value": values}
        for name, index in self.places.items():
            changed[f"{name}_mean"] = _placed(mean.numpy(), index)
        missing = np.isnan(values)
        if missing.any():
            more = self.gain.added_variance(torch.from_numpy(missing)).numpy()
            for name, index in self.places.items():
                std = self._arrays[f"{name}_std"]
                changed[f"{name}_std"] = np.sqrt(std**2 + _placed(more, index))
        if "parameter" in self.places:
            middle = changed["parameter_mean"]
            std = changed.get("parameter_std", self._arrays["parameter_std"])
            changed["parameter_low"] = middle - QUANTILE * std
            changed["parameter_high"] = middle + QUANTILE * std
        if (found := table.predictions) is not None:
            columns = found.mean, found.std, found.p_value, found.log_density
            names = "predicted", "predicted_std", "p_value", "log_density"
            for name, column in zip(names, columns, strict=True):
                changed[f"sensor_{name}"] = column.numpy()
        # All variables at once, without an alignment of coordinates
        result = self.template.copy(data=self._arrays | changed)
        if samples:
            result = result.assign(self._samples(mean))
            result = result.assign_coords(sample=np.arange(len(self.deviations)))
        result.attrs |= self._judged(table) | {"seconds": seconds}
        return result

    def _samples(self, mean: torch.Tensor) -> dict[str, tuple]:
        """The samples as variables."""
        draws, found = (mean + self.deviations).numpy(), {}
        for name, index in self.places.items():
            given = self.template[f"{name}_mean"]
            label = given.attrs["long_name"].replace("posterior mean", "posterior samples")
            values, attrs = _placed(draws, index), {**given.attrs, "long_name": label}
            found[f"{name}_samples"] = ("sample", *given.dims), values, attrs
        return found

    def _judged(self, table: GivenReadings) -> dict[str, str | float]:
        """The attributes of the fit of a table, of which a misfit is a warning too."""
        freedom, found = table.degrees_of_freedom, table.predictions
        chi2 = table.chi_squared / max(1.0, freedom)
        alarm, text = alarm_of("two-sided", found, chi2, freedom), "none"
        if alarm:
            text = self._in_words(alarm, chi2, found)
            warn_caller(text, MisfitWarning)
        return {"reduced_chi_squared": chi2, "degrees_of_freedom": freedom, "alarm": text}

    def _in_words(self, alarm: Alarm, chi2: float, found: LeaveOneOut | None) -> str:
        fit = {"large": "do not fit", "small": "fit too closely"}.get(alarm.misfit)
        words = f"the sensors {fit} {self.template.attrs['pde']}" if fit else "some do not fit"
        words = f"{words}: reduced chi-squared is {chi2:.3g}, where about 1 is expected"
        rows, table = [], self.sensors.table
        for i in alarm.outliers[:_SHOWN]:
            assert found is not None
            rows.append(
                f"row {int(self.sensors.rows[i]) + self.sensors.first_row} ({table.field.iloc[i]} "
                f"{float(found.values[i]):.4g}, the others predict {float(found.mean[i]):.4g} ± "
                f"{float(found.std[i]):.2g})"
            )
        if rows:
            more = len(alarm.outliers) - len(rows)
            words += f"; readings that do not fit the others: {', '.join(rows)}"
            words += f" and {more} more" if more else ""
        return f"{words}; reconstruct this table by itself for the likely cause"


def _places(found: Posterior) -> dict[str, np.ndarray]:
    """For each variable of means its indices in the unknowns, -1 for a place without one."""
    index = torch.arange(found.mean.numel(), dtype=torch.float64).reshape(found.mean.shape)
    alone = replace(found, mean=index, parameters=None, inferred=()).to_xarray()
    names = [str(name).removesuffix("_mean") for name in alone if str(name).endswith("_mean")]
    places = {
        name: np.nan_to_num(alone[f"{name}_mean"].values, nan=-1).astype(np.int64) for name in names
    }
    if found.parameters is not None:
        places["parameter"] = index.numel() + np.arange(len(found.parameters.names))
    return places


def _placed(flat: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return unknowns (..., size) at indices, nan where there is none."""
    first = int(index.flat[0])
    if index.flat[-1] == first + index.size - 1 and first >= 0:  # a part without gaps
        return flat[..., first : first + index.size].reshape(*flat.shape[:-1], *index.shape)
    return np.where(index < 0, np.nan, flat[..., index])
