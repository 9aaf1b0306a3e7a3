"""What a reconstruction takes as known, in words: the physics, the prior and the noise."""

from __future__ import annotations

from collections.abc import Mapping

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.observation import Observation
from pdeinv.priors import OwnDenoiser
from pdeinv.priors.base import Model, Prior
from pdeinv.priors.ensemble import Ensemble

__all__ = ["assumptions", "prior_in_words"]


def assumptions(pde: PDE, prior: Prior, label: str, observation: Observation) -> str:
    """Return in one line what a reconstruction takes as known.

    Arguments:
        pde: the physics. Its equation states sides, sources and wells; the domain and the numbers
            among its parameters follow, but for those of the scheme.
        prior: of the coefficient or of the state.
        label: what the solver used instead, such as a shipped prior; may be empty.
        observation: the sensors.
    """
    physics = "; ".join(
        f"experiment {name}: {_physics_in_words(one)}" for name, one in pde.experiments.items()
    )
    noise = _noise_in_words(observation) + _biases_in_words(pde, observation)
    given = label or prior_in_words(pde, prior)
    return f"{physics or _physics_in_words(pde)}; prior: {given}; noise: {noise}"


def _physics_in_words(pde: PDE) -> str:
    stated = {
        k: v
        for k, v in pde.parameters.items()
        if k not in pde.numerical_parameters and isinstance(v, bool | int | float | str)
    }
    place = "" if pde.domain.unit_square else f", on {pde.domain}"
    numbers = f", with {_listed(stated)}" if stated else ""
    return f"{pde.name}, {pde.equation}{place}{numbers}"


def prior_in_words(pde: PDE, prior: Prior) -> str:
    """Return of which distribution the coefficient is, or what another prior is of."""
    if isinstance(prior, CoefficientPrior):
        return f"the {pde.coefficient_field.name} is {prior.phrase(pde.domain)}"
    if isinstance(prior, Ensemble):
        return f"an ensemble of {len(prior)} members"
    return f"learned, {prior!r}" if isinstance(prior, Model | OwnDenoiser) else type(prior).__name__


def _listed(numbers: Mapping[str, float | str]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in numbers.items()
    )


def _biases_in_words(pde: PDE, observation: Observation) -> str:
    """Return the standard deviations of the biases, "" without any."""
    common, words = observation.shared, []
    names = observation.common_names or [f"bias {j + 1}" for j in range(observation.biases)]
    for name, column in zip(names, common.T, strict=True):
        largest = int(column.abs().argmax())
        units = pde.fields[int(observation.channel[largest])].units
        size = f"{float(column[largest].abs()):g}{'' if units == '1' else f' {units}'}"
        words.append(f"{name.removeprefix('bias of ')} {size}")
    return f", and biases with the standard deviations {', '.join(words)}" if words else ""


def _noise_in_words(observation: Observation) -> str:
    exact, m = int((observation.noise_std == 0).sum()), len(observation)
    if exact in (0, m):
        return "none, every reading is exact" if exact else "stated for each reading"
    return f"stated for {m - exact} of {m} readings, the others exact"
