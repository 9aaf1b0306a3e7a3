"""What a reconstruction takes as known, in words: the physics, the prior and the noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from pdeinv.datasets.base import PDE
from pdeinv.observation import Observation

__all__ = ["assumptions", "prior_in_words"]


def assumptions(pde: PDE, prior: str, observation: Observation) -> str:
    """Return in one line what a reconstruction takes as known.

    Arguments:
        pde: the physics. Its equation states sides, sources and wells; the domain and the numbers
            among its parameters follow, but for those of the prior and of the scheme.
        prior: description of a given prior, "" for the PDE's own.
        observation: the sensors.
    """
    physics = "; ".join(
        f"experiment {name}: {_physics_in_words(one)}" for name, one in pde.experiments.items()
    )
    noise = _noise_in_words(observation)
    given = prior or prior_in_words(pde)
    return f"{physics or _physics_in_words(pde)}; prior: {given}; noise: {noise}"


def _physics_in_words(pde: PDE) -> str:
    not_physics = {field.name for field in dataclasses.fields(pde.latent_prior)}
    not_physics.update(pde.numerical_parameters)
    stated = {
        k: v
        for k, v in pde.parameters.items()
        if k not in not_physics and isinstance(v, bool | int | float | str)
    }
    place = "" if pde.domain.unit_square else f", on {pde.domain}"
    numbers = f", with {_listed(stated)}" if stated else ""
    return f"{pde.name}, {pde.equation}{place}{numbers}"


def prior_in_words(pde: PDE) -> str:
    """Return of which random field the coefficient is made, with the field's parameters."""
    numbers = dataclasses.asdict(pde.latent_prior)
    del numbers["aspect"]
    kind = f"a Gaussian random field ({numbers.pop('boundary')})"
    made = kind if pde.gaussian_coefficient else f"a function of {kind}"
    return f"the {pde.coefficient_field.name} is {made} with {_listed(numbers)}"


def _listed(numbers: Mapping[str, float | str]) -> str:
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {value}"
        for name, value in numbers.items()
    )


def _noise_in_words(observation: Observation) -> str:
    exact, m = int((observation.noise_std == 0).sum()), len(observation)
    if exact in (0, m):
        return "none, every reading is exact" if exact else "stated for each reading"
    return f"stated for {m - exact} of {m} readings, the others exact"
