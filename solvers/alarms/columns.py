"""What a result has of each reading's prediction from the others."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pdeinv.posterior import Posterior

__all__ = ["with_predictions"]


def with_predictions(result: xr.Dataset, posterior: Posterior) -> xr.Dataset:
    """Return a result with `sensor_predicted`, `sensor_predicted_std`, `sensor_p_value` and
    `sensor_log_density` (sensor): see `LeaveOneOut`.

    They are nan for a reading that has no such prediction.

    Arguments:
        result: with the readings in the order of the table.
        posterior: whose predictions have the same order.
    """
    found, m = posterior.leave_one_out, result.sizes["sensor"]
    nothing = np.full(m, np.nan)
    columns = {
        "predicted": "reading predicted from all the others, in the units of its field",
        "predicted_std": "standard deviation of the prediction, with the reading's own noise",
        "p_value": "two-sided probability of a reading as far from its prediction",
        "log_density": "logarithm of the density of the reading given all the others",
    }
    values = (
        (nothing,) * len(columns)
        if found is None
        else (t.numpy() for t in (found.mean, found.std, found.p_value, found.log_density))
    )
    return result.assign(
        {
            f"sensor_{name}": ("sensor", column, {"long_name": label})
            for (name, label), column in zip(columns.items(), values, strict=True)
        }
    )
