"""What a reconstruction takes as known, in words: the physics, the prior and the noise."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.priors import OwnDenoiser
from pdeinv.priors.base import Model, Prior
from pdeinv.priors.ensemble import Ensemble

__all__ = ["assumptions", "physics_in_words", "prior_in_words"]


def assumptions(
    pde: PDE, prior: Prior, label: str, observation: Observation, noise_model: str = ""
) -> str:
    """Return in one line what a reconstruction takes as known, and what it infers from which range
    and by which law.

    Arguments:
        pde: the physics. Its equation states sides, sources and wells; the domain and the numbers
            among its parameters follow, but for those of the scheme.
        prior: of the coefficient or of the state.
        label: what the solver used instead, such as a shipped prior; may be empty.
        observation: the sensors.
        noise_model: the law of the noise, where it is not Gaussian.
    """
    noise = _noise_in_words(pde, observation) + _biases_in_words(pde, observation)
    noise += f", {noise_model}" if noise_model else ""
    given = label or prior_in_words(pde, prior)
    inferred = _laws_in_words(pde, prior, observation)
    return f"{physics_in_words(pde)}; prior: {given}; noise: {noise}{inferred}"


def physics_in_words(pde: PDE) -> str:
    """Return the equations with their numbers, of each experiment."""
    return "; ".join(
        f"experiment {name}: {_equation_in_words(one)}" for name, one in pde.experiments.items()
    ) or _equation_in_words(pde)


def _equation_in_words(pde: PDE) -> str:
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
        size = f"{float(column[largest].abs()):g}{_behind(units)}"
        words.append(f"{name.removeprefix('bias of ')} {size}")
    return f", and biases with the standard deviations {', '.join(words)}" if words else ""


def _noise_in_words(pde: PDE, observation: Observation) -> str:
    exact, m = observation.noise_std == 0, len(observation)
    unknown = torch.zeros(m, dtype=torch.bool)
    words = []
    if observation.noise_group is not None:
        unknown = observation.noise_group >= 0
        words = [f"unknown for {_count(unknown)} ({_ranges_in_words(pde, observation)})"]
    if bool((stated := ~exact & ~unknown).any()):
        words.append(f"stated for {_count(stated)}")
    if bool(exact.all()):
        return "none, every reading is exact"
    return ", ".join([*words, "the others exact"] if bool(exact.any()) else words)


def _count(chosen: torch.Tensor) -> str:
    some, m = int(chosen.sum()), len(chosen)
    return f"{some} of {m} readings" if some < m else "each reading"


def _ranges_in_words(pde: PDE, observation: Observation) -> str:
    """Return the ranges of the unknown standard deviations."""
    assert observation.noise_group is not None
    words = []
    for j, (name, unknown) in enumerate(observation.unknown_noise):
        first = int((observation.noise_group == j).nonzero()[0])
        units = pde.fields[int(observation.channel[first])].units
        words.append(f"{name} {unknown.low:.3g} to {unknown.high:.3g}{_behind(units)}")
    return ", ".join(words)


def _behind(units: str) -> str:
    return "" if units == "1" else f" {units}"


def _laws_in_words(pde: PDE, prior: Prior, observation: Observation) -> str:
    """Return which numbers are inferred and what their laws are, "" without any."""
    laws: dict[str, list[str]] = {}
    unknowns = [(one.name, one.unknown) for one in Problem.of(pde, prior).unknowns]
    for name, unknown in (*unknowns, *observation.unknown_noise):
        laws.setdefault(unknown.law, []).append(name)
    listed = "; ".join(f"{', '.join(names)} ({law})" for law, names in laws.items())
    return f"; inferred: {listed}" if laws else ""
