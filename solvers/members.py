"""An ensemble about the mode of a posterior, by randomised maximum likelihood."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pdeinv.solvers.base import antithetic, progress_bar
from pdeinv.solvers.continuation import LEVELS, largest_objective
from pdeinv.solvers.mode import FIRST_NUGGET, Mode, ModeSearch, Pull

__all__ = ["ModeEnsemble", "draw_around_mode"]

_ROUNDS = 8  # of drawing others in the place of members that were left out


class ModeEnsemble(NamedTuple):
    """Members in antithetic pairs.

    Arguments:
        xi: (members, *shape).
        states: (members, channel, ny, nx).
        left_out: how many others were unstable, or did not meet their readings.
    """

    xi: torch.Tensor
    states: torch.Tensor
    left_out: int


class _Draws(NamedTuple):
    """What members are made of: draws of the prior, (members, *shape), and of the noise."""

    eta: torch.Tensor
    noise: torch.Tensor


def draw_around_mode(
    search: ModeSearch,
    mode: Mode,
    size: int,
    generator: torch.Generator | None,
    progress: bool,
) -> ModeEnsemble:
    """Return an ensemble; others are drawn in the place of pairs that are left out, but not without
    end: there may be fewer than wanted.

    A member is where the objective with another pull is least: for a prior draw η and a noise draw
    ε, |ξ - η|² and the misfit to y + ε. Draws come in antithetic pairs (±η, ±ε), which cancels
    their sampling error in the mean to first order.

    Where the coefficient is affine in ξ, the steps use the Jacobian of the mode. Where it is not,
    this Jacobian may lead far from the readings: each member is searched for like the mode, with
    Jacobians of its own.

    Arguments:
        search: that found the mode.
        mode: the mode.
        size: of the ensemble, even.
        generator: source of all randomness.
        progress: show a bar.

    Reference:
        Oliver, Reynolds & Liu, *Inverse Theory for Petroleum Reservoir Characterization and History
        Matching*, 2008, section 10.8.
    """
    problem = search.problem
    xi, drawn = problem.zero[:0], 0
    states = problem.states(xi)
    make = _own_modes if problem.curved and problem.nonlinear else _chords
    for _ in range(_ROUNDS):
        missing = size - len(xi)
        if not missing:
            break
        made = make(search, mode, _draws(search, missing, generator), progress)
        reached = problem.states(made)
        kept = _stable_pairs(reached)
        xi, drawn = torch.cat([xi, made[kept]]), drawn + missing
        states = torch.cat([states, reached[kept]])
    return ModeEnsemble(xi, states, drawn - len(xi))


def _draws(search: ModeSearch, size: int, generator: torch.Generator | None) -> _Draws:
    latent, o = search.problem.latent, search.observation
    eta = antithetic(lambda k: latent.white(k, generator), size)
    white = antithetic(
        lambda k: torch.randn(k, len(o), dtype=torch.float64, generator=generator), size
    )
    return _Draws(eta, o.noise_std * white)


def _towards(
    search: ModeSearch, mode: Mode, draws: _Draws, values: torch.Tensor, xi: torch.Tensor
) -> torch.Tensor:
    """Where a full step with the mode's Jacobian leads each member.

    Arguments:
        values: readings at ξ, (members, m).
        xi: (members, *shape).
    """
    (eta, noise), jacobian = draws, mode.jacobian
    data = search.observation.values + noise - values + (xi - eta).flatten(1) @ jacobian.T
    return eta + (torch.cholesky_solve(data.T, mode.lower).T @ jacobian).reshape(eta.shape)


def _linearised(search: ModeSearch, mode: Mode, draws: _Draws) -> torch.Tensor:
    """ξ of members if the readings were linear in ξ."""
    eta = draws.eta
    values = mode.values + (eta - mode.xi).flatten(1) @ mode.jacobian.T
    return _towards(search, mode, draws, values, eta)


def _chords(search: ModeSearch, mode: Mode, draws: _Draws, progress: bool) -> torch.Tensor:
    """ξ of members by steps with the mode's Jacobian, without pairs that became unstable."""
    problem, xi = search.problem, _linearised(search, mode, draws)
    chords = range(search.chords if problem.nonlinear else 0)
    for _ in progress_bar(chords, "ensemble", progress, "iteration"):
        values = problem.values(xi)
        kept = _stable_pairs(values)
        xi, values, draws = xi[kept], values[kept], _Draws(*(x[kept] for x in draws))
        xi = _towards(search, mode, draws, values, xi)
    return xi


def _own_modes(search: ModeSearch, mode: Mode, draws: _Draws, progress: bool) -> torch.Tensor:
    """ξ of members by searches with their own Jacobians, without pairs of which a member does not
    meet its readings."""
    problem, search = search.problem, search.of_members()
    starts, found = _linearised(search, mode, draws), []
    pairs = range(0, len(starts), 2)
    for i in progress_bar(pairs, "ensemble", progress, "pair"):
        pair = []
        for k in (i, i + 1):
            pull = Pull(draws.eta[k : k + 1], search.observation.values + draws.noise[k])
            xi = _own_mode(search, mode, starts[k : k + 1], pull)
            if xi is None:
                problem.reason = problem.reason or "their readings were not met"
                break
            pair.append(xi)
        if len(pair) == 2:
            found += pair
    return torch.cat([problem.zero[:0], *found])


def _own_mode(
    search: ModeSearch, mode: Mode, start: torch.Tensor, pull: Pull
) -> torch.Tensor | None:
    """ξ of a member; None where its readings are not met, not even with a variance added to them
    that is removed in steps."""
    # Of squares of twice the variance; readings that the mode does not meet, no member does
    largest = 2 * (mode.objective + largest_objective(len(search.observation)))
    least = max(mode.nugget, FIRST_NUGGET)
    for nuggets in ((least,), (*LEVELS, least)):
        found = mode._replace(xi=start, values=search.problem.values(start))
        if not bool(found.values.isfinite().all()):
            found = mode
        for nugget in nuggets:
            found = search.descend(
                found.xi, found.values, found.jacobian, nugget, search.iterations, pull
            )
        if found.objective <= largest:
            return found.xi
    return None


def _stable_pairs(solved: torch.Tensor) -> torch.Tensor:
    """Whether a member and its partner are finite, (members,)."""
    finite = solved.flatten(1).isfinite().all(dim=1)
    return finite.unflatten(0, (-1, 2)).all(dim=1).repeat_interleave(2)
