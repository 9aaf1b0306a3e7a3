"""An ensemble about the mode of a posterior, by randomised maximum likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pdeinv.solvers.antithetic import antithetic, antithetic_normal
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.continuation import LEVELS, largest_objective
from pdeinv.solvers.damping import Pull
from pdeinv.solvers.linear_algebra import nugget_variance
from pdeinv.solvers.member_weights import choose, member_weights
from pdeinv.solvers.mode import FIRST_NUGGET, Mode, ModeSearch
from pdeinv.solvers.number_law import NumberLaw
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["ModeEnsemble", "draw_around_mode"]

_MET = 1e-4  # variance of exact readings at least, relative to that which ξ gives them
_STATIONARY = 0.2  # relative change of ξ that a full step would make at most
_HOPELESS = 3  # pairs without success, after which no other is searched for
_ROUNDS = 8  # of drawing others in the place of members that were left out


class ModeEnsemble(NamedTuple):
    """Members.

    Arguments:
        xi: (members, size). In antithetic pairs where all have the same weight; else the first ones
            are a sample of equal weights.
        states: (members, channel, ny, nx).
        left_out: how many others were unstable, or did not meet their readings.
        weights: of the members, of sum 1, (members,); None where all have the same.
    """

    xi: torch.Tensor
    states: torch.Tensor
    left_out: int
    weights: torch.Tensor | None = None

    def mean(self, of_members: torch.Tensor) -> torch.Tensor:
        """Return the mean of values (members, ...) of the members."""
        if self.weights is None:
            return of_members.mean(dim=0)
        return torch.tensordot(self.weights, of_members, dims=1)

    def std(self, of_members: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation of values (members, ...) of the members."""
        if self.weights is None:
            return of_members.std(dim=0)
        squared = self.mean((of_members - self.mean(of_members)).square())
        return (squared / (1 - self.weights.square().sum())).sqrt()


class _Draws(NamedTuple):
    """What members are made of.

    Arguments:
        eta: draws of the prior, or of the law of numbers that are held, (members, size).
        noise: of the readings, (members, m).
        start: the members if the readings were linear, (members, size).
    """

    eta: torch.Tensor
    noise: torch.Tensor
    start: torch.Tensor

    def subset(self, kept: torch.Tensor) -> _Draws:
        return _Draws(*(rows[kept] for rows in self))


class _Members(NamedTuple):
    """Members, (members, size), and their states."""

    xi: torch.Tensor
    states: torch.Tensor


def draw_around_mode(
    search: ModeSearch,
    mode: Mode,
    size: int,
    generator: torch.Generator | None,
    progress: bool,
    law: NumberLaw | None = None,
    samples: int = 0,
) -> ModeEnsemble:
    """Return an ensemble; others are drawn in the place of pairs that are left out, but not without
    end: there may be fewer than wanted.

    A member is where the objective with another pull is least: for a prior draw η and a noise draw
    ε, |ξ - η|² and the misfit to y + ε. Draws come in antithetic pairs (±η, ±ε), which cancels
    their sampling error in the mean to first order.

    The law of the members is the posterior where the readings are linear. Elsewhere members lie
    off, as with a mean of a log-normal coefficient that scales all readings: there towards large
    sensitivities, which are low coefficients. Where the coefficient is not affine in ξ, they have
    `member_weights` that make up for it, and there are at least two for each sample; but not where
    readings are censored or numbers have a law of their own.

    Where the coefficient is affine in ξ, the steps use the Jacobian of the mode. Where it is not,
    this Jacobian may lead far from the readings: each member is searched for like the mode, with
    Jacobians of its own. So is one that such steps lead far from its readings or its draw of the
    prior.

    Arguments:
        search: that found the mode, or that holds the numbers of the law.
        mode: the mode, or that of the law.
        size: of the ensemble, even, at least.
        generator: source of all randomness.
        progress: show a bar.
        law: from which each member has its own numbers; None without any.
        samples: members of equal weights that are needed, at most `size`.

    Reference:
        Oliver, Reynolds & Liu, *Inverse Theory for Petroleum Reservoir Characterization and History
        Matching*, 2008, section 10.8.
    """
    problem = search.problem
    xi, drawn = problem.zero[:0], 0
    states = problem.states(xi)
    searched = problem.curved and problem.nonlinear
    weighted = searched and law is None and search.true.draws is None
    size = max(size, 2 * samples) if weighted else size
    make = _own_modes if searched else _chords
    for _ in range(_ROUNDS):
        missing = size - len(xi)
        if not missing:
            break
        made, reached = make(search, mode, _draws(search, mode, missing, generator, law), progress)
        xi, drawn = torch.cat([xi, made]), drawn + missing
        if not len(made):
            break
        states = torch.cat([states, reached])
    found = ModeEnsemble(xi, states, drawn - len(xi))
    return _weighed(search, mode, found, samples, generator) if weighted and len(xi) else found


def _weighed(
    search: ModeSearch,
    mode: Mode,
    found: ModeEnsemble,
    samples: int,
    generator: torch.Generator | None,
) -> ModeEnsemble:
    """Members with their weights, those that are chosen as samples before the others."""
    readings = search.problem.biased(search.observation(found.states), found.xi)
    weights = member_weights(search, mode, found.xi, readings)
    chosen = choose(weights, min(samples, int((weights > 0).sum())), generator)
    others = torch.ones_like(weights, dtype=torch.bool)
    others[chosen] = False
    order = torch.cat([chosen, others.nonzero()[:, 0]])
    return ModeEnsemble(found.xi[order], found.states[order], found.left_out, weights[order])


def _draws(
    search: ModeSearch,
    mode: Mode,
    size: int,
    generator: torch.Generator | None,
    law: NumberLaw | None,
) -> _Draws:
    o, slope = search.observation, mode.jacobian
    eta = antithetic(lambda k: search.problem.white(k, generator), size)
    noise = o.noise_std * antithetic_normal(size, len(o), generator).to(o.noise_std)
    if search.true.draws is not None:  # each member has its own values of censored readings
        noise = noise + search.true.sample(size, generator) - search.true.mean
    if law is not None:
        few = search.problem.few
        eta[:, few] = law.at(eta[:, few])
        slope = slope.clone()
        slope[:, few] = law.slope
    values = mode.values + (eta - mode.xi) @ slope.T
    return _Draws(eta, noise, _towards(search, mode, eta, noise, values, eta))


def _towards(
    search: ModeSearch,
    mode: Mode,
    eta: torch.Tensor,
    noise: torch.Tensor,
    values: torch.Tensor,
    xi: torch.Tensor,
) -> torch.Tensor:
    """Where a full step with the mode's Jacobian leads each member.

    Arguments:
        eta, noise: as in `_Draws`.
        values: readings at ξ, (members, m).
        xi: (members, size).
    """
    jacobian = mode.jacobian
    data = search.observation.values + noise - values + (xi - eta) @ jacobian.T
    return eta + torch.cholesky_solve(data.T, mode.lower).T @ jacobian


def _chords(search: ModeSearch, mode: Mode, draws: _Draws, progress: bool) -> _Members:
    """Members by steps with the mode's Jacobian, or by searches of their own where these lead far
    from the readings or from the prior, or to where the PDE is unstable."""
    problem, xi = search.problem, draws.start
    if not problem.nonlinear:
        return _stable(problem, xi)[0]
    left, stepped = torch.arange(len(xi), device=xi.device), draws
    for _ in progress_bar(range(search.chords), "ensemble", progress, "iteration"):
        values = problem.values(xi)
        kept = _finite_pairs(values)
        xi, values, stepped, left = xi[kept], values[kept], stepped.subset(kept), left[kept]
        xi = _towards(search, mode, stepped.eta, stepped.noise, values, xi)
    made, kept = _stable(problem, xi)
    stepped, left = stepped.subset(kept), left[kept]
    met = _whole_pairs(_objectives(search, mode, stepped, made) <= _largest(search, mode))
    strayed = torch.ones_like(draws.eta[:, 0], dtype=torch.bool)
    strayed[left[met]] = False
    if not bool(strayed.any()):
        return made
    others = _own_modes(search, mode, draws.subset(strayed), progress)
    return _Members(*(torch.cat([x[met], y]) for x, y in zip(made, others, strict=True)))


def _own_modes(search: ModeSearch, mode: Mode, draws: _Draws, progress: bool) -> _Members:
    """Members by searches with their own Jacobians, without pairs of which a member does not meet
    its readings; none where the first pairs do not."""
    problem, search = search.problem, search.of_members()
    mode = search.factored(mode, max(mode.nugget, FIRST_NUGGET))  # once for all members
    found = list[torch.Tensor]()
    pairs = range(0, len(draws.eta), 2)
    for i in progress_bar(pairs, "ensemble", progress, "pair"):
        if i >= 2 * _HOPELESS and not found:
            break
        pair = []
        for k in (i, i + 1):
            pull = Pull(draws.eta[k : k + 1], search.observation.values + draws.noise[k])
            xi = _own_mode(search, mode, draws.start[k : k + 1], pull)
            if xi is None:
                problem.reason = problem.reason or "their readings were not met"
                break
            pair.append(xi)
        if len(pair) == 2:
            found += pair
    return _stable(problem, torch.cat([problem.zero[:0], *found]))[0]


def _objectives(search: ModeSearch, mode: Mode, draws: _Draws, made: _Members) -> torch.Tensor:
    """What each member minimises, (members,); readings count as if their noise were no less than
    steps with a Jacobian that is kept can meet."""
    o = search.observation
    problem = search.problem
    least = nugget_variance(problem.causes(mode.jacobian).square().sum(dim=1), o, _MET)
    residual = o.values + draws.noise - problem.biased(o(made.states), made.xi)
    misfit = (residual**2 / (o.noise_std**2 + least)).sum(dim=1)
    return (made.xi - draws.eta).square().sum(dim=1) + misfit


def _largest(search: ModeSearch, mode: Mode) -> float:
    """The objective beyond which a member does not meet its readings: twice the expected sum of
    squares of twice the variance; readings that the mode does not meet, no member does."""
    return 2 * (mode.objective + largest_objective(len(search.observation)))


def _own_mode(
    search: ModeSearch, mode: Mode, start: torch.Tensor, pull: Pull
) -> torch.Tensor | None:
    """ξ of a member; None where its readings are not met, not even with a variance added to them
    that is removed in steps."""
    largest = _largest(search, mode)
    for nuggets in ((mode.nugget,), (*LEVELS, mode.nugget)):
        found = mode._replace(xi=start, values=search.problem.values(start))
        if not bool(found.values.isfinite().all()):
            found = mode
        for nugget in nuggets:
            lower = found.lower if found.nugget == nugget else None
            found = search.descend(*found[:3], nugget, search.iterations, pull, lower)
        # Else the PDE is unstable where the objective is least
        if found.objective <= largest and found.gradient < _STATIONARY:
            return found.xi
    return None


def _stable(problem: WhitenedProblem, xi: torch.Tensor) -> tuple[_Members, torch.Tensor]:
    """The pairs of members whose states are finite, and which they are."""
    states = problem.states(xi)
    kept = _finite_pairs(states)
    return _Members(xi[kept], states[kept]), kept


def _finite_pairs(solved: torch.Tensor) -> torch.Tensor:
    """Whether a member and its partner are finite, (members,)."""
    return _whole_pairs(solved.flatten(1).isfinite().all(dim=1))


def _whole_pairs(kept: torch.Tensor) -> torch.Tensor:
    """Whether a member and its partner are kept, (members,)."""
    return kept.unflatten(0, (-1, 2)).all(dim=1).repeat_interleave(2)
