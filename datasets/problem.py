"""A problem: the physics, what is known of its coefficient beforehand, and what reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pdeinv.checks import Bounds, described, integer
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.given_prior import check_prior, prior_from_file
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.datasets.uncertain_fields import draw_uncertain
from pdeinv.datasets.unknowns import UnknownNumber, find_unknowns, with_values
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import LARGEST, Grid
from pdeinv.latent_field import LatentField
from pdeinv.memory import check_states
from pdeinv.sensors.instruments import Instrument, instruments_of
from pdeinv.symmetry import Group

if TYPE_CHECKING:
    from pdeinv.priors.base import Prior

__all__ = ["Problem"]

_NODES = Bounds(4, LARGEST)  # on the shorter side


@dataclass(frozen=True)
class Problem:
    """Physics, a prior of its coefficient, the grid of the result, and the instruments.

    Arguments:
        physics: the PDE, with its domain, sides, sources and wells.
        prior: one of `pdeinv.coefficients`, or another that can be sampled, such as an `Ensemble`
            or a learned one, or the file or the shipped name of a learned one, or "file.py:name"
            for one of your own; if None, the `default_prior` of the physics.
        grid: nodes of the result on the shorter side, or a `Grid` of the domain.
        instruments: those whose readings share a bias, or the standard deviations of the biases by
            their names, such as `{"probe A": 2}`.

    Raises:
        InputError: the prior is none, or cannot be that of the coefficient, such as a Gaussian one
            of a permeability; the grid is on another domain; or two instruments have one name.

    Example:
        >>> from pdeinv import LogNormal, Problem
        >>> from pdeinv.datasets import Darcy
        >>> problem = Problem(Darcy(), LogNormal(median=1.0, log_std=1.0, length=0.2))
        >>> problem.sample(4, problem.physics.grid(16)).shape
        torch.Size([4, 2, 16, 16])
    """

    physics: PDE
    prior: Prior = None  # type: ignore[assignment]  # made in __post_init__, of a name too
    grid: int | Grid = 64
    instruments: tuple[Instrument, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.physics, PDE):
            raise InputError(
                f"physics of a problem must be a PDE, got {described(self.physics)}; give an "
                f"instance of a class of pdeinv.datasets"
            )
        if self.prior is None:
            object.__setattr__(self, "prior", self.physics.default_prior)
        elif isinstance(self.prior, str | os.PathLike):
            object.__setattr__(self, "prior", prior_from_file(self.prior))
        check_prior(self.prior)
        object.__setattr__(self, "instruments", instruments_of(self.instruments))
        if isinstance(self.grid, Grid):
            self.physics.check_grid(self.grid)
        else:
            object.__setattr__(self, "grid", integer("grid of a problem", self.grid, _NODES))
        if not isinstance(self.prior, CoefficientPrior):
            return
        field, prior = self.physics.coefficient_field, self.prior
        if self.physics.positive_coefficient and not prior.positive:
            raise InputError(
                f"the prior of the {field.name} of {self.physics.name} must be positive "
                f"everywhere, got the {prior.name} prior, which is not; use a log-normal "
                f"prior, or a two-phase one with positive values"
            )
        if prior.unknowns:
            prior = prior.in_units({"domain": self.physics.domain.shorter})
            object.__setattr__(self, "prior", prior)
        prior.check_domain(self.physics.domain, self.physics.grid_kind)

    @classmethod
    def of(cls, given: Problem | PDE, prior: Prior | str | os.PathLike | None = None) -> Problem:
        """Return the problem of a PDE and a prior; a problem stays as it is without a prior."""
        if isinstance(given, Problem):
            if prior is None:
                return given
            return replace(given, prior=prior)  # type: ignore[arg-type]
        return cls(given, prior)  # type: ignore[arg-type]  # a name, of which a prior is made

    @classmethod
    def named(cls, name: str, **parameters: Any) -> Problem:
        """Return the ready-made problem of a name: the published one, where there is one.

        Arguments:
            name: as of `pde_by_name`.
            parameters: of the physics, and numbers of its `default_prior`.

        Raises:
            InputError: a name is unknown, or a value is not allowed.
        """
        usual = pde_by_name(name).default_prior if name in PDES else None
        numbers = usual.numbers if usual else {}
        own = PDES[name].parameter_names() if usual else ()
        known = [*(key for key in numbers if key not in own), *own]
        if usual and (unknown := parameters.keys() - set(known)):
            raise InputError(
                f"a parameter of {name} must be one of {', '.join(known)}, got {min(unknown)!r}; "
                f"rename it"
            )
        of_prior = {k: v for k, v in parameters.items() if k in numbers and k not in own}
        physics = pde_by_name(name, **{k: v for k, v in parameters.items() if k not in of_prior})
        return cls(physics, physics.default_prior.with_numbers(**of_prior))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Problem:
        """Return the problem of a TOML file; see docs/problem-files.md.

        Raises:
            InputError: the file cannot be read, or states something that is not allowed.
        """
        from pdeinv.problems import load_problem

        return load_problem(path)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the problem to a TOML file, and return its path.

        Raises:
            InputError: the file cannot be written, or the problem holds a function.
        """
        from pdeinv.problems import save_problem

        return save_problem(self, path)

    @property
    def coefficient_prior(self) -> CoefficientPrior:
        """The prior.

        Raises:
            InputError: it is not one of `pdeinv.coefficients`.
        """
        if not isinstance(self.prior, CoefficientPrior):
            raise InputError(
                f"the prior must be one of pdeinv.coefficients to draw from, got "
                f"{type(self.prior).__name__}; give such as a GaussianField, in the [prior] of a "
                f"file a kind and its numbers"
            )
        return self.prior

    @cached_property
    def latent(self) -> LatentField:
        """The latent Gaussian field of the coefficient.

        Raises:
            InputError: its prior has none.
        """
        return self.coefficient_prior.latent(self.physics.domain, self.physics.grid_kind)

    @property
    def affine(self) -> bool:
        """Whether the coefficient is affine in the latent field."""
        return self.coefficient_prior.has_latent and self.coefficient_prior.affine

    @property
    def linear(self) -> bool:
        """Whether all channels of a state are affine in the latent field, and in no unknown number
        of the physics besides."""
        known = all(number.role != "physics" for number in self.unknowns)
        return self.physics.linear and self.affine and known

    @cached_property
    def symmetries(self) -> Group:
        """The symmetries of the physics that the prior has too; they act on states."""
        group, prior = self.physics.symmetries, self.prior
        if not isinstance(prior, CoefficientPrior):
            return group
        pseudo = self.physics.coefficient_field.kind == "pseudo-scalar"
        keeps = prior.keeps_as_pseudo_scalar if pseudo else prior.keeps
        kept = tuple(g for g in group if g == group.elements[0] or keeps(g, self.physics.domain))
        return Group(kept, group.translations)

    @cached_property
    def unknowns(self) -> tuple[UnknownNumber, ...]:
        """The numbers of the physics and of the prior that are not known, in the order in which
        they are stated."""
        return find_unknowns(self)

    def at(self, values: Mapping[str, float]) -> Problem:
        """Return the problem with values of some of its `unknowns`, by their names.

        Raises:
            InputError: a value is not allowed.
        """
        return with_values(self, values)

    def in_units(self, scale: float) -> Problem:
        """Return the problem with all ranges of unknowns in their own units.

        Arguments:
            scale: the size of the coefficient that the readings imply.
        """
        prior = self.coefficient_prior.in_units({"readings": scale})
        return replace(self, prior=prior)

    def coefficient(self, latent: torch.Tensor, **values: Any) -> torch.Tensor:
        """Return the coefficients of latent fields, both (batch, 1, ny, nx).

        Arguments:
            latent: the fields.
            values: further arguments of the prior's own `coefficient`.
        """
        return self.physics.restrict(self.coefficient_prior.coefficient(latent, **values))

    def smoothed(self, latent: torch.Tensor, width: float, **values: Any) -> torch.Tensor:
        """Return `coefficient` with each jump smoothed over about `width` of the latent field."""
        return self.physics.restrict(self.coefficient_prior.smoothed(latent, width, **values))

    def sample_coefficient(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n coefficients (n, 1, ny, nx), float64.

        One seed gives the same functions on every grid.
        """
        check_states(self.physics, self.physics.check_grid(grid), n)
        return self.physics.restrict(self.coefficient_prior.sample(n, grid, generator))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, ny, nx), each with its own draw of uncertain quantities.

        Raises:
            NumericalError: a state is not finite.
        """
        if self.physics.uncertain and n:
            return torch.cat([self.drawn(generator).sample(1, grid, generator) for _ in range(n)])
        a = self.sample_coefficient(n, grid, generator)
        states = torch.cat([a, self.physics.respond(a)], dim=1)
        if not bool(states.isfinite().all()):
            raise NumericalError(
                f"the states of {self.physics.name} must be finite, got nan or inf; check its "
                f"parameters"
            )
        return states

    def drawn(self, generator: torch.Generator | None = None) -> Problem:
        """Return the problem with a draw in the place of each uncertain quantity of the physics."""
        return replace(self, physics=draw_uncertain(self.physics, generator))

    def state(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the states (batch, channel, ny, nx) of draws xi of the latent field, as
        `LatentField` has them; differentiable."""
        a = self.coefficient(self.latent.square_root(xi, grid))
        return torch.cat([a, self.physics.respond(a)], dim=1)

    def coefficient_variance(self, grid: Grid) -> torch.Tensor:
        """Return the pointwise prior variance (ny, nx) of an affine coefficient."""
        std = self.latent.variance(grid).sqrt()[None, None]
        return (self.coefficient(std) - self.coefficient(torch.zeros_like(std)))[0, 0].square()
