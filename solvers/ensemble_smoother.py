"""The ensemble smoother with multiple data assimilation: inversion by solves alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch

from pdeinv.checks import MOST, Bounds, Count
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.base import Solver, progress_bar
from pdeinv.solvers.further_results import further_fields, further_parameters
from pdeinv.solvers.linear_algebra import carries_weight, nugget_variance, reduced
from pdeinv.solvers.mode import FIRST_NUGGET, ModeSearch
from pdeinv.solvers.nodewise import moments_through
from pdeinv.solvers.sensitivities import (
    Sensitivities,
    nodewise_sensitivities,
    regressed_sensitivities,
)
from pdeinv.solvers.supported_readings import BIASES, FOOTPRINTS, UNCERTAIN, UNKNOWNS, Special
from pdeinv.solvers.tempered_members import LatentMembers
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["EnsembleSmoother"]

_LEAST = 16  # members
_NUGGET = 1e-6  # variance added to each reading, relative to that of its field's readings
_JACOBIANS, _CHORDS, _TOLERANCE = 10, 3, 0.1  # of readings that take no solves
_UNSTABLE = "a solve gave nan or inf; change the PDE's parameters"


@dataclass(frozen=True)
class EnsembleSmoother(Solver):
    """An ensemble that is moved to the readings in a few rounds of solves: for a PDE without
    derivatives, and for a simulator of which each solve is dear.

    The members are draws ξ of the latent Gaussian field, standard normal a priori. Behind them are
    the unknown numbers of the physics, and the biases that readings share, in which F is linear and
    J exact. A round solves for their
    readings F(ξ), makes a linear model J of F from them, and moves each member by

        C Jᵀ (J C Jᵀ + α (R + D))⁻¹ (y + √α ε + √(α - 1) δ - F(ξ)),    C <- C - C Jᵀ (...)⁻¹ J C.

    ε and δ are draws of the noise, with variance R, and of the error of the linear model, with
    variance D. α is the number of rounds, so that all of them together count each reading once.

    - **Localisation.** There are fewer members than functions of the latent field, and a sample
      covariance of so few has spurious entries anywhere. Here C is never a sample covariance: it is
      that of the prior, updated like the members. J is a ridge regression towards smooth
      sensitivities (`regressed_sensitivities`), with D its error in predicting one member from the
      others. No distance between a sensor and a node is used, since a head may depend on all nodes.
    - **Readings of the coefficient**, and of functions of it alone, take no solves. They are
      assimilated first, in one step with the J of the most probable ξ given these readings, to
      which Gauss–Newton leads (`ModeSearch`). That is exact for a Gaussian coefficient, and for the
      logarithm of a log-normal one. A coefficient of two values has no such derivative; its
      readings take rounds, with a J that is linearised node by node (`nodewise_sensitivities`).
    - **Inflation.** The members lose spread, since J is fitted to them. Their spread should be that
      of C. The record states under `inflation` by what factor the deviations from their mean were
      multiplied; it is at least 1.

    The reduced chi-squared is the maximum of two: that of the readings before they are assimilated,
    with the covariance that the linear model gives them, and that of their distance from the
    resulting mean. Of readings that take no solves it is that of Gauss–Newton.

    Members whose solve fails are left out. The mean and the standard deviation are the members'; of
    the coefficient, and of functions of it node by node, they are those of a Gaussian latent field
    with the members' mean and the covariance C, unless the coefficient has two values.
    Samples are members; more samples than members repeat them.

    Arguments:
        members: the size of the ensemble.
        rounds: of the readings that take solves. Each takes a solve for each member, and the result
            takes one more.

    Reference:
        Emerick & Reynolds, *Ensemble smoother with multiple data assimilation*, Computers &
        Geosciences 55, 2013; Chen & Oliver, *Localization and regularization for iterative ensemble
        smoothers*, Computational Geosciences 21, 2017; Evensen, *Data Assimilation*, 2009, section
        15.6.
    """

    members: Annotated[int, Bounds(least=_LEAST, most=MOST)] = 200
    rounds: Count = 4

    name: ClassVar[str] = "ensemble-smoother"
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS, BIASES, UNCERTAIN, UNKNOWNS})
    needs: ClassVar[str] = "it draws from the prior, whose mean must not be flat"
    amplifies_rounding: ClassVar[bool] = True
    memory_remedy: ClassVar[str] = (
        "use a coarser grid or fewer members, or average neighbouring readings"
    )
    misfit_remedy: ClassVar[str] = (
        "use more members (in Python, EnsembleSmoother(members=...)), of which the linear model of "
        "the readings is made"
    )

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        return isinstance(prior, CoefficientPrior) and prior.has_latent and prior.proper

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        m, size = len(observation), Problem(pde, prior).latent.size
        members = max(self.members, n_samples)
        rows = m * ((self.rounds + 3) * size + 4 * m) + 4 * self.members * (size + m)
        return super().memory(pde, prior, observation, members) + NUMBER * rows

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        problem, grid = Problem(pde, prior), observation.grid
        whitened = WhitenedProblem(problem, observation)
        forward, latent = whitened.forward, problem.latent
        members = LatentMembers(whitened.white(self.members, generator), latent, generator)
        met = self._assimilate_all(whitened, members, progress)
        inflation = members.inflate(grid)
        parts = progress_bar(members.xi.split(pde.at_once), "ensemble", progress, "batch")
        states = members.keep(torch.cat([whitened.states(part) for part in parts]))
        _check_left(members, whitened.reason)
        _warn_of_lost(members, whitened.reason)
        mean, std = states.mean(dim=0), states.std(dim=0)
        values = whitened.biased(observation(states), members.xi)
        expected = whitened.biased(observation(mean[None]), members.xi.mean(dim=0, keepdim=True))
        terms = (observation.values - expected[0]) ** 2 / (met.noise + values.var(dim=0))
        probability, phases = None, problem.coefficient_prior.phases
        if phases is None:
            channels = forward.nodewise_channels
            mean[channels], std[channels] = moments_through(
                lambda g: forward.nodewise(problem.coefficient(g)),
                latent.square_root(members.tables.mean(dim=0, keepdim=True), grid)[0, 0],
                members.variance(grid),
            )
        else:
            high = states[:, 0] > sum(phases) / 2
            probability = high.double().mean(dim=0)
        chosen = torch.arange(n_samples) % len(states)
        before = met.distance / max(1, int(met.weighty.sum()))
        middle = members.xi.mean(dim=0)
        return Posterior(
            pde.fields,
            grid,
            mean=mean,
            std=std,
            samples=states[chosen],
            record={
                "reduced_chi_squared": max(before, reduced(terms, met.weighty)),
                "solver_calls": forward.solver_calls,
                "inflation": inflation,
                "members_left_out": members.lost,
            },
            probability=probability,
            latent=members.tables.flatten(1)[chosen],
            parameters=further_parameters(
                whitened, members.xi, middle, members.number_variance(), n_samples
            ),
            inferred=further_fields(whitened, members.xi, middle, members.factor, n_samples),
        )

    def _assimilate_all(
        self, whitened: WhitenedProblem, members: LatentMembers, progress: bool
    ) -> _Assimilated:
        """Move the members to all readings, first to those that take no solves."""
        observation, forward = whitened.observation, whitened.forward
        two_phase = whitened.problem.coefficient_prior.phases is not None
        alone = forward.nodewise_channels if two_phase else forward.coefficient_channels
        free = torch.isin(observation.channel, observation.channel.new_tensor(alone))
        noise, weighty, distance = observation.noise_std**2, torch.zeros_like(free), 0.0
        for chosen in (free, ~free):
            if bool(chosen.any()):
                part = WhitenedProblem(whitened.problem, observation.subset(chosen), forward.counts)
                if part.map.solves or two_phase:
                    met = self._assimilate(part, members, progress)
                else:
                    met = _assimilate_at_mode(part, members)
                noise[chosen], weighty[chosen] = met.noise, met.weighty
                distance += met.distance
                whitened.reason = whitened.reason or part.reason
        return _Assimilated(noise, weighty, distance)

    def _assimilate(
        self, part: WhitenedProblem, members: LatentMembers, progress: bool
    ) -> _Assimilated:
        """Move the members to readings, all of which take solves or none, in rounds."""
        forward, observation = part.map, part.observation
        noise = weighty = observation.noise_std
        nodewise = {*observation.channel.tolist()} <= {*forward.nodewise_channels}
        distance = 0.0
        bar = progress_bar(range(self.rounds), self.name, progress and forward.solves, "round")
        for step in bar:
            batches = members.xi.split(forward.pde.at_once)
            values = torch.cat([part.values(xi) for xi in batches])
            values = members.keep(values)
            _check_left(members, part.reason)
            unbiased = part.unbiased(values, members.xi)
            if step == 0:
                variances = unbiased.var(dim=0)
                weighty = carries_weight(variances, observation)
                noise = observation.noise_std**2 + nugget_variance(variances, observation, _NUGGET)
            if nodewise:
                model = nodewise_sensitivities(forward, members.tables, unbiased)
                unmoved = model.rows.new_zeros(len(observation), part.inner)
                model = model._replace(rows=torch.cat([model.rows, unmoved], dim=1))
            else:
                model = regressed_sensitivities(
                    part.causes(members.xi), unbiased, part.cause_variances
                )
            model = model._replace(rows=part.augmented(model.rows))  # in the biases it is exact
            values, model = values[:, weighty], model.of(weighty)
            given = observation.values[weighty], noise[weighty]
            if step == 0:
                distance = members.distance(values, model, *given)
            members.assimilate(values, model, *given, self.rounds)
        return _Assimilated(noise, weighty, distance)


class _Assimilated(NamedTuple):
    """What members were moved to.

    Arguments:
        noise: the variance of each reading's noise, with a nugget, (m,).
        weighty: whether each reading carries weight, (m,).
        distance: of these from what was expected of them, a chi-squared.
    """

    noise: torch.Tensor
    weighty: torch.Tensor
    distance: float


def _assimilate_at_mode(part: WhitenedProblem, members: LatentMembers) -> _Assimilated:
    """Move the members, draws of the prior, to readings that take no solves, as if these were
    linear about the most probable ξ.

    Raises:
        NumericalError: no member has a coefficient within the range of the numbers.
    """
    o, search = part.observation, ModeSearch(part, _JACOBIANS, _CHORDS, _TOLERANCE, progress=False)
    mode = search(FIRST_NUGGET)
    noise = o.noise_std**2 + nugget_variance(search.prior_variances, o, FIRST_NUGGET)
    weighty = carries_weight(search.prior_variances, o)
    values = mode.values + (members.xi - mode.xi) @ mode.jacobian.T
    exact = Sensitivities(mode.jacobian, torch.zeros_like(noise))
    members.assimilate(
        values[:, weighty], exact.of(weighty), o.values[weighty], noise[weighty], tempering=1
    )
    if not bool(part.values(members.xi).isfinite().all(dim=1).any()):
        raise NumericalError(
            f"readings of the {part.map.pde.coefficient_field.name} must not be too far from its "
            f"prior, and no member meets them; check their units, or use a wider prior"
        )
    left = (o.values - mode.values[0])[weighty].square() / noise[weighty]
    return _Assimilated(noise, weighty, float(mode.xi.square().sum() + left.sum()))


def _check_left(members: LatentMembers, reason: str) -> None:
    """Refuse an ensemble of which too few members are left.

    Raises:
        NumericalError: there are.
    """
    if members.lost and len(members.xi) < _LEAST:
        raise NumericalError(
            f"{members.lost} of {members.lost + len(members.xi)} members were unstable: "
            f"{reason or _UNSTABLE}, or check the units of the readings"
        )


def _warn_of_lost(members: LatentMembers, reason: str) -> None:
    if members.lost:
        warnings.warn(
            f"{members.lost} members of the ensemble were left out, since {reason or _UNSTABLE}",
            stacklevel=3,
        )
