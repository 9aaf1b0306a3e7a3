"""EquiReg: penalise states for which a function is less equivariant than it is for states of the
prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.symmetry import Group, act

__all__ = ["Denoiser", "EquiReg", "EquiReweight", "equivariance_loss"]

Loss = Literal["equi", "equicon"]


@dataclass(frozen=True)
class Denoiser:
    """A prior's denoiser at one small noise level, as a function of states: nearly equivariant on
    those of the prior.

    Arguments:
        prior: one with `denoise`, that is not equivariant itself.
        sigma: the level, in units of normalised fields (standard deviation 0.5).
    """

    prior: object
    sigma: float = 0.1

    own_space: ClassVar[bool] = True

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.prior.denoise(x, self.sigma)

    def __repr__(self) -> str:
        return f"Denoiser(sigma={self.sigma:g})"


def equivariance_loss(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    elements,
    grid: Grid,
    scale: torch.Tensor | float = 1.0,
    loss: Loss | None = None,
) -> torch.Tensor:
    """*EquiCon*, ‖x - g⁻¹ f(g x)‖, for a function into the space of the states; else *Equi*, ‖g
    f(x) - f(g x)‖; (batch,).

    Arguments:
        function: states (batch, channel, n, n) -> fields (batch, any, m, m) on a grid of the same
            kind; its attribute `own_space` tells which loss.
        x: states in physical units.
        elements: a symmetry for each member of the batch.
        scale: unit of the channels, by which differences in the space of the states are divided.
        loss: which of the two, whatever the function's attribute.

    Reference:
        Tolooshams et al., *EquiReg: equivariance regularized diffusion for inverse problems*, TMLR
        2026, section 3 (arXiv 2505.22973).
    """
    moved = act(elements, x, grid)
    if _named(function, loss) == "equicon":
        answers = function(moved)
        if answers.shape != x.shape:
            raise InputError(
                f"EquiCon compares states of shape {tuple(x.shape)} with the function's answers "
                f"of shape "
                f"{tuple(answers.shape)}; give a function from states to states, or the loss 'equi'"
            )
        off = (x - act([g.inverse() for g in elements], answers, grid)) / scale
    else:
        here, there = function(torch.cat([x, moved])).chunk(2)
        off = act(elements, here, Grid(here.shape[-1], grid.kind)) - there
        if getattr(function, "own_space", False):
            off = off / scale
    return (off.flatten(1).square().sum(dim=1) + 1e-30).sqrt()


def _named(function, loss) -> Loss:
    return loss or ("equicon" if getattr(function, "own_space", False) else "equi")


@dataclass(frozen=True)
class EquiReg:
    """A guidance term for any of the diffusion solvers: `FunDPS(guidance=(EquiReg(),))`.

    Adds λ R(x̂0) to what a solver minimises, R being the equivariance loss of a function f under a
    random element of the PDE's symmetry group, a new one for every sample and step. f should be
    nearly equivariant on fields of the prior and much less so on others (`pdeinv equivariance`
    measures that). λ is set at every step such that the term moves the state by a given share of
    what the sensors move it: one number serves all PDEs and solvers. DPS, DiffusionPDE and FunDPS,
    whose steps are long when they are few, let it move the state by at most half of R over its
    slope (Polyak's step), unless `careful=False`.

    Arguments:
        function: f, with the signature of `equivariance_loss`; the prior's own denoiser at σ = 0.1
            if not given.
        group: the PDE's if not given.
        loss: "equi" or "equicon", as in `equivariance_loss`; for a denoiser EquiCon, which
            regularises by denoising as well.
        share: length of the term's step relative to that of the sensors'.
        every: act at every so many-th step (of those at which it may).
        sigma_max, sigma_min: act between these noise levels; above them x̂0 is no field of the
            prior yet.

    Reference:
        Tolooshams et al., *EquiReg*, TMLR 2026, algorithms 1–4 (arXiv 2505.22973).
    """

    function: Callable[[torch.Tensor], torch.Tensor] | None = None
    group: Group | None = None
    share: float = 1.0
    every: int = 2
    sigma_max: float = 0.3
    sigma_min: float = 0.0
    loss: Loss | None = None

    def __post_init__(self):
        for name in ("share", "sigma_max"):
            if not getattr(self, name) > 0:
                raise InputError(f"EquiReg's {name} = {getattr(self, name)} must be positive")
        if not isinstance(self.every, int) or self.every < 1:
            raise InputError(
                f"EquiReg's every = {self.every!r} must be a whole number of steps, at least 1"
            )
        if self.loss not in (None, *get_args(Loss)):
            raise InputError(
                f"EquiReg's loss {self.loss!r} is unknown; use {' or '.join(get_args(Loss))}"
            )
        if self.function is not None and not callable(self.function):
            raise InputError(f"EquiReg's function {self.function!r} must be a callable of states")
        if not self.sigma_min < self.sigma_max:
            raise InputError(
                f"EquiReg's sigma_min = {self.sigma_min} must be less than sigma_max = "
                f"{self.sigma_max}"
            )

    def bind(self, pde, prior, generator: torch.Generator | None) -> BoundTerm:
        """The term for one run of a solver."""
        return BoundTerm(self, pde, prior, generator)


class BoundTerm:
    def __init__(self, settings: EquiReg, pde, prior, generator):
        self.settings, self.generator = settings, generator
        self.function = settings.function or Denoiser(prior)
        self.group = settings.group or pde.symmetries
        gaussian = getattr(prior, "gaussian", prior)
        self.scale, self.kind = gaussian.scale[:, None, None], pde.grid_kind
        self.share, self.evaluations, self._turn, self._last = settings.share, 0, 0, torch.inf

    def __call__(
        self, x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor
    ) -> torch.Tensor | None:
        if not self._due(sigma):
            return None
        return self._loss(x0_hat)

    def _due(self, sigma: float) -> bool:
        s = self.settings
        if sigma > self._last:  # another batch begins
            self._turn = 0
        self._last = sigma
        if not s.sigma_min <= sigma <= s.sigma_max:
            return False
        self._turn += 1
        return (self._turn - 1) % s.every == 0

    def _loss(self, x):
        loss = self.settings.loss
        self.evaluations += 1 if _named(self.function, loss) == "equicon" else 2
        elements = [self.group.sample(self.generator) for _ in range(len(x))]
        return equivariance_loss(
            self.function, x, elements, Grid(x.shape[-1], self.kind), self.scale, loss
        )


@dataclass(frozen=True)
class EquiReweight(EquiReg):
    """EquiReg without a gradient: at the end the samples are drawn anew in proportion to
    exp(-strength · R / mean R).

    R is each trajectory's equivariance loss, summed over the steps at which the term acts; the mean
    is over the samples.

    Arguments:
        strength: 0 leaves all samples as they are.
        function, group, every, sigma_max, sigma_min, loss: as for `EquiReg`.

    Reference:
        Tolooshams et al., *EquiReg*, 2025, section 3 (arXiv 2505.22973v1): trajectories reweighted
        by their equivariance.
    """

    strength: float = 5.0

    def __post_init__(self):
        super().__post_init__()
        if not self.strength >= 0:
            raise InputError(f"EquiReg's strength = {self.strength} must not be negative")

    def bind(self, pde, prior, generator) -> BoundReweighting:
        return BoundReweighting(self, pde, prior, generator)


class BoundReweighting(BoundTerm):
    def __init__(self, settings, pde, prior, generator):
        super().__init__(settings, pde, prior, generator)
        self.share, self._batches = None, []

    def __call__(self, x_t, sigma, x0_hat):
        if sigma > self._last or not self._batches:  # another batch begins
            self._batches.append(torch.zeros(len(x0_hat), dtype=torch.float64))
        if self._due(sigma):
            with torch.no_grad():
                self._batches[-1] += self._loss(x0_hat).double()

    def resample(self, n: int) -> torch.Tensor:
        """Indices of n samples, drawn systematically by the weights of those that were run."""
        weights = self.weights()
        start = torch.rand(1, generator=self.generator, dtype=torch.float64)
        places = (start + torch.arange(n, dtype=torch.float64)) / n
        return torch.searchsorted(weights.cumsum(0), places).clamp(max=len(weights) - 1)

    def weights(self) -> torch.Tensor:
        """Normalised weights of the samples."""
        total = torch.cat(self._batches)
        if not float(total.sum()) > 0:
            return torch.full_like(total, 1 / len(total))
        return torch.softmax(-self.settings.strength * total / total.mean(), dim=0)
