"""Whether a learned model fits a user's problem: what its training states, compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from pdeinv import seeds
from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.channels import CHOICES
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Domain, Grid
from pdeinv.priors.normalised import check_trained_grid
from pdeinv.solvers.trained_problem import (
    fields_of,
    names_of,
    of_coefficient,
    trained_coefficients,
    trained_grid,
    trained_physics,
)

__all__ = ["check_default_problem", "check_same_problem", "other_physics"]

_NODES = 16  # on the shorter side of the grids on which coefficients are compared
_SAME = 0.01  # relative distance of coefficients, of domains whose aspects differ by rounding


def check_same_problem(solver: str, pde: PDE, fields: Sequence[Field], prior: object) -> None:
    """Refuse a prior of other fields, or of another problem.

    A prior of the coefficient alone serves any physics, whatever its sides, sources, wells and
    experiments, that has such a coefficient on a domain of the same aspect. A joint prior serves
    the physics that it was trained for. A prior that states nothing is accepted.

    Arguments:
        solver: name of the solver, for the message.
        pde: the physics.
        fields: those that the prior must have.
        prior: what was given.

    Raises:
        InputError: the prior is of another problem, or of a domain of another aspect.
    """
    known = fields_of(prior)
    if known is not None and names_of(known) != names_of(fields):
        remedy = "choose another prior or solver"
        if of_coefficient(prior) and len(fields) > 1:
            remedy = "choose moment, or ddis, which is daps for a prior of the coefficient alone"
        raise InputError(
            f"the prior of the {solver} solver must be of {names_of(fields)} for {pde.name}, got "
            f"one of {names_of(known)}; {remedy}"
        )
    if known is not None and len(known) == 1:
        _check_grid(pde, prior)
        _check_coefficients(pde, prior, known[0])
        return
    if other := other_physics(pde, prior):
        raise InputError(
            f"the prior must be trained for the {fields[-1].name} of {pde.name} with these "
            f"parameters, got one with {other}; train one for them, or use a prior of the "
            f"{pde.coefficient_field.name} alone"
        )
    _check_grid(pde, prior)


def _check_coefficients(pde: PDE, prior: object, own: Field) -> None:
    """Refuse a prior of the coefficient alone that cannot be that of a PDE's coefficient.

    Arguments:
        pde: the physics.
        prior: on a domain of the same aspect and kind of grid.
        own: its field.

    Raises:
        InputError: the kinds of the fields differ, the coefficient must be positive, it varies
            where those of the training were 0, or the prior has other lengths on this domain.
    """
    wanted = pde.coefficient_field
    what = f"the prior of the {wanted.name} of {pde.name}"
    trained, coefficients = trained_physics(prior), trained_coefficients(prior)
    if trained is not None and own.kind != wanted.kind:
        raise InputError(
            f"{what} must be of a {wanted.kind}, got one of a {own.kind}; train one for it"
        )
    if coefficients is not None and pde.positive_coefficient and not coefficients.positive:
        raise InputError(
            f"{what} must be positive everywhere, got one of the {coefficients.name} kind, which "
            f"is not; train one of positive coefficients"
        )
    if trained is None:
        return
    free = pde.restrict(torch.ones(1, 1, *pde.grid(_NODES).shape, dtype=torch.float64))
    if not torch.equal(pde.restrict(trained.restrict(torch.ones_like(free))), free):
        raise InputError(
            f"{what} must vary on the sides that do not fix a value, got one trained for "
            f"{trained.name}, where it is 0 on these; use a prior of a {wanted.name} that varies "
            f"there"
        )
    if coefficients is not None and not _same_scale(coefficients, trained, pde):
        raise InputError(
            f"{what} must have the lengths of its training on {trained.domain}, got "
            f"{pde.domain}, where these would be others; train one for this domain"
        )


def _same_scale(coefficients: CoefficientPrior, trained: PDE, pde: PDE) -> bool:
    """Return whether coefficients are the same functions on two domains of one aspect, but for
    scale."""
    if trained.domain.lengths == pde.domain.lengths:
        return True
    one, other = (
        (
            coefficients.latent(p.domain, p.grid_kind) if coefficients.has_latent else coefficients
        ).sample(1, p.grid(_NODES), seeds.generator(seeds.STATISTICS))
        for p in (trained, pde)
    )
    return float((one - other).norm()) < _SAME * float(one.norm())


def check_default_problem(
    pde: PDE, prior: CoefficientPrior, name: str, model: object, command: str
) -> None:
    """Refuse a PDE or a prior of its coefficient that a shipped model is not for.

    Arguments:
        pde: the physics.
        prior: of the coefficient.
        name, model: of the shipped model.
        command: trains another one, for the message.

    Raises:
        InputError: the model is of another problem, or of a domain of another aspect.
    """
    if of_coefficient(model):  # which may have another name
        _check_grid(pde, model)
        _check_coefficients(pde, model, (fields_of(model) or pde.fields)[0])
    elif differences := _differences(pde, model):
        given = ", ".join(f"{d.name} = {_in_words(d.wanted)}" for d in differences)
        raise InputError(
            f"the parameters of {pde.name} must be the defaults for the shipped {name!r}, got "
            f"{given}; train a prior with `{command}` and give it as prior"
        )
    trained = trained_coefficients(model)
    if trained is not None and trained != prior:
        raise InputError(
            f"the prior of the {pde.coefficient_field.name} must be that of the training of the "
            f"shipped {name!r}, got one that is {prior.phrase(pde.domain)}; train a prior with "
            f"`{command}` and give it as prior"
        )
    _check_grid(pde, model)


def _check_grid(pde: PDE, model: object) -> None:
    """Refuse a model that was trained on a domain of another aspect, or on another kind of grid."""
    if trained := trained_grid(model):
        domain = pde.domain
        check_trained_grid(trained, Grid(*trained.shape, domain.extent, domain.unit, pde.grid_kind))


def other_physics(pde: PDE, model: object) -> str:
    """Return the physical parameters in which a model's training differs from the PDE, as a phrase.

    It is empty if there are none, or if the model does not state them.
    """
    return ", ".join(
        f"{d.name} = {_in_words(d.trained)}, not {_in_words(d.wanted)}"
        for d in _differences(pde, model)
    )


class _Difference(NamedTuple):
    """A parameter with its value in a model's training and in the PDE."""

    name: str
    trained: object
    wanted: object


def _in_words(value: object) -> str:
    """Return the value of a parameter in one line, cut where it is long."""
    return str(value) if isinstance(value, Domain) else described(value)


def _differences(pde: PDE, model: object) -> list[_Difference]:
    """Return where the physics of the training differs; the names of the fields are compared
    elsewhere."""
    trained = trained_physics(model)
    if trained is None:
        return []
    if not isinstance(pde, type(trained)):
        return [_Difference("pde", trained.name, pde.name)]
    left_out = (*CHOICES, *pde.numerical_parameters)
    return [
        _Difference(name, value, pde.parameters[name])
        for name, value in trained.parameters.items()
        if name in pde.parameters
        and name not in left_out
        and not isinstance(value, Field)
        and pde.parameters[name] != value
    ]
