"""The likeliest Matérn kernel of the readings of one field."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pdeinv.caught import ignored_warnings
from pdeinv.errors import warn_input
from pdeinv.solvers.linear_algebra import reduced

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

__all__ = ["JITTER", "Kernel", "Regression", "centre_and_scale", "fit_regression", "warn_of_bounds"]

JITTER = 1e-10
"""Variance added to a reading, relative to the readings' variance."""
_FIT_ON = 500  # readings in the likelihood; its cost grows with their cube
_STD_BOUNDS = (10**-1.5, 1e2)  # of the kernel, relative to the readings' standard deviation
_LENGTH_BOUNDS = (1e-2, 1e2)  # of the kernel, relative to the shorter and to the longer side
_SMOOTHNESSES = (0.5, 1.5, 2.5)
_HALVINGS = 720  # of the readings' variance, among which the likeliest is sought
_TINY = 1e-300
_INDIFFERENT = 1e-6  # difference of twice a log-likelihood that decides nothing
_DROWNED = 1e3  # noise of a reading that carries no weight, relative to the readings' deviation


class Kernel(NamedTuple):
    """A fitted Matérn kernel.

    Attributes:
        smoothness: ν.
        length: length scale in the domain's unit; of the chord, on a torus.
        standard_deviation: in the field's units.
        units: of the field.
        at_bounds: the parameters that are at a bound, in words.
    """

    smoothness: float
    length: float
    standard_deviation: float
    units: str
    at_bounds: list[str]


class Regression(NamedTuple):
    """A regression on readings less their centre and divided by their scale.

    Lengths are in units of the shorter side of the domain.
    """

    centre: float
    scale: float
    model: GaussianProcessRegressor

    def reduced_chi_squared(self) -> float:
        """Return that of the readings that carry weight."""
        terms = torch.as_tensor(self.model.y_train_ * self.model.alpha_)
        return reduced(terms, torch.as_tensor(self.model.alpha <= _DROWNED**2))

    def kernel(self, units: str, shorter: float) -> Kernel:
        """Return the kernel, for a field of these units on a domain of this shorter side."""
        fitted, at_bounds = self.model.kernel_, []
        names = ("standard deviation", "correlation length")  # in the order of theta
        for name, value, bounds in zip(names, fitted.theta, fitted.bounds, strict=True):
            for word, bound in zip(("smallest", "largest"), bounds, strict=True):
                if np.isclose(value, bound):
                    at_bounds.append(f"{word} {name}")
        std = self.scale * fitted.k1.constant_value**0.5
        length = shorter * float(fitted.k2.length_scale)
        return Kernel(fitted.k2.nu, length, float(std), units, at_bounds)


def fit_regression(
    points: np.ndarray,
    values: np.ndarray,
    noise_std: np.ndarray,
    smoothness: float | None,
    longer: float,
    generator: torch.Generator | None,
) -> Regression:
    """Return the regression with the likeliest kernel.

    The likelihood is that of a subset of the readings that carry weight; the regression is on all.

    Arguments:
        points: (m, d), where distance is measured, in units of the shorter side.
        values, noise_std: (m,), readings and their noise.
        smoothness: ν; None for the likeliest of three.
        longer: the longer side, in units of the shorter one.
        generator: of the subset.
    """
    from sklearn.exceptions import ConvergenceWarning  # late: it takes long
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    centre, scale = centre_and_scale(values, noise_std)
    if scale <= 1e-12 * abs(centre):  # equal readings: any scale fits them
        scale = abs(centre) or 1.0
    y, alpha = (values - centre) / scale, (noise_std / scale) ** 2 + JITTER
    order = torch.randperm(len(points), generator=generator).numpy()
    weighty = order[alpha[order] <= _DROWNED**2]
    chosen = (weighty if len(weighty) else order)[:_FIT_ON]
    variances = (_STD_BOUNDS[0] ** 2, _STD_BOUNDS[1] ** 2)
    lengths = (_LENGTH_BOUNDS[0], _LENGTH_BOUNDS[1] * longer)
    candidates = []
    for nu in _SMOOTHNESSES if smoothness is None else (smoothness,):
        kernel = ConstantKernel(1.0, variances) * Matern(0.2, lengths, nu=nu)
        candidate = GaussianProcessRegressor(kernel, alpha=alpha[chosen])
        with ignored_warnings(ConvergenceWarning):  # at a bound; `warn_of_bounds` names the field
            candidates.append(candidate.fit(points[chosen], y[chosen]))
    kernel = max(candidates, key=lambda c: c.log_marginal_likelihood_value_).kernel_
    model = GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None).fit(points, y)
    return Regression(centre, scale, model)


def centre_and_scale(values: np.ndarray, noise_std: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of readings, weighted by their precision.

    Readings are taken as independent, of variance v + noise², with the likeliest v: one of huge
    noise has no weight, whatever its value. For equal noise the weights are equal.

    Arguments:
        values, noise_std: (m,), readings and their noise.
    """
    if np.ptp(noise_std) == 0:
        return float(values.mean()), max(float(values.std()), float(noise_std[0]))
    widest = float(values.var()) or float(noise_std.max()) ** 2
    variances = (widest * 2.0 ** np.arange(-_HALVINGS, 1)).clip(min=_TINY)
    weights = 1 / (variances[:, None] + noise_std**2)
    totals = weights.sum(axis=1)
    centres = weights @ values / totals
    misfits = (weights * (values - centres[:, None]) ** 2).sum(axis=1)
    # Restricted likelihood: without its last term a single exact reading would make v zero
    costs = misfits - np.log(weights).sum(axis=1) + np.log(totals)
    # Where v is not determined, it is zero
    best = int(np.argmax(costs <= costs.min() + _INDIFFERENT))
    largest = weights[best].max()
    share = weights[best] / largest
    return float(centres[best]), float((share.sum() / (share @ share) / largest) ** 0.5)


def warn_of_bounds(kernels: dict[str, Kernel]) -> None:
    """Warn of kernels at a bound, all in one sentence.

    Arguments:
        kernels: by the name of their field.
    """
    found = [
        f"the {bound} allowed for {name}, {value:.3g}"
        for name, kernel in kernels.items()
        for bound in kernel.at_bounds
        for value in [kernel.length if bound.endswith("length") else kernel.standard_deviation]
    ]
    if found:
        warn_input(
            f"the likeliest kernel of the readings has {' and '.join(found)}: they do not "
            f"determine it; add readings, or choose a solver that uses the PDE, such as 'auto'"
        )
