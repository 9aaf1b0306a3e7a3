"""EquiReg: penalise states for which a function is less equivariant than for states of the
prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import Count, NotNegative, Positive, Unbounded, check_below
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.priors.base import DenoisingPrior
from pdeinv.solvers.diffusion.guidance import BoundTerm
from pdeinv.solvers.trained_problem import shared_symmetries
from pdeinv.symmetry import Group, Symmetry, act

__all__ = ["DenoisingMap", "EquiReg", "EquiReweight", "StateMap", "equivariance_loss"]

Loss = Literal["equi", "equicon"]
Function = Callable[[torch.Tensor], torch.Tensor]


class StateMap(ABC):
    """Base of functions from states to states, (batch, channel, ny, nx), both in physical units.

    For such a function `EquiReg` takes *EquiCon* unless another loss is given, and measures
    differences in normalised fields. For a plain callable it takes *Equi*.

    Example:
        >>> class Blur(StateMap):
        ...     def __call__(self, x):
        ...         return (x + x.roll(1, -1) + x.roll(1, -2)) / 3
        >>> term = EquiReg(function=Blur())
    """

    @abstractmethod
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return states of the shape and the units of x."""


@dataclass(frozen=True)
class DenoisingMap(StateMap):
    """A prior's denoiser at one small noise level: nearly equivariant on states of the prior.

    Arguments:
        prior: a denoiser that is not exactly equivariant.
        sigma: the level, in units of normalised fields (standard deviation 0.5).
    """

    prior: DenoisingPrior
    sigma: float = 0.1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.prior.denoise(x, self.sigma)

    def __repr__(self) -> str:
        return f"DenoisingMap(sigma={self.sigma:g})"


def equivariance_loss(
    function: Function,
    x: torch.Tensor,
    elements: Sequence[Symmetry],
    grid: Grid,
    scale: torch.Tensor | float = 1.0,
    loss: Loss | None = None,
) -> torch.Tensor:
    """Return the equivariance loss (batch,) of states.

    *EquiCon* is ‖x - g⁻¹ f(g x)‖, for a function into the space of the states. *Equi* is ‖g f(x) -
    f(g x)‖.

    Arguments:
        function: f, from states (batch, channel, ny, nx) to fields (batch, any, my, mx) on a grid
            of the same domain and kind.
        x: (batch, channel, ny, nx), in physical units.
        elements: a symmetry g for each member of the batch.
        grid: of the states.
        scale: (channel, 1, 1), unit of the channels; divides differences of states.
        loss: "equicon" or "equi"; if None, EquiCon for a `StateMap` and else Equi.

    Raises:
        InputError: EquiCon of a function whose result has another shape than the states.

    Reference:
        Tolooshams et al., *EquiReg: equivariance regularized diffusion for inverse problems*, TMLR
        2026, section 3 (arXiv 2505.22973).
    """
    moved = act(elements, x, grid)
    if _loss_of(function, loss) == "equicon":
        back = function(moved)
        if back.shape != x.shape:
            raise InputError(
                f"EquiReg's function must return states of shape {tuple(x.shape)} for EquiCon, got "
                f"{tuple(back.shape)}; give a function from states to states, or loss='equi'"
            )
        off = (x - act([g.inverse() for g in elements], back, grid)) / scale
    else:
        here, there = function(torch.cat([x, moved])).chunk(2)
        off = act(elements, here, grid.resized(*here.shape[-2:])) - there
        if isinstance(function, StateMap):
            off = off / scale
    return (off.flatten(1).square().sum(dim=1) + 1e-30).sqrt()


def _loss_of(function: Function, loss: Loss | None) -> Loss:
    return loss or ("equicon" if isinstance(function, StateMap) else "equi")


@dataclass(frozen=True)
class EquiReg:
    """A guidance term for every diffusion solver, as in `FunDPS(guidance=(EquiReg(),))`.

    It adds λ R(x̂0) to what a solver minimises. R is the equivariance loss of a function f under a
    random element of the PDE's symmetry group, drawn for each sample and step. Choose a function
    that is nearly equivariant on fields of the prior, and much less so on others; `pdeinv
    equivariance` measures that.

    λ is set at every step: the term moves the state by a given share of the sensors' step. One
    number then serves all PDEs and solvers. DPS, DiffusionPDE and FunDPS take long steps when these
    are few. There the term's step is at most half of Polyak's, which is R over its slope, unless
    the solver has `preset="published"`.

    Arguments:
        function: f, a `StateMap` or a plain callable from states to fields; if None, the prior's
            denoiser at σ = 0.1.
        group: the symmetries, acting on the prior's fields; the PDE's if None. Elements that swap
            the axes are left out on a grid that is not square.
        share: length of the term's step relative to that of the sensors' step.
        every: apply the term every `every` steps within the range of noise levels.
        sigma_max, sigma_min: the range of noise levels; above it x̂0 is not yet a field of the
            prior.
        loss: "equi" or "equicon"; if None, as in `equivariance_loss`. For a denoiser that is
            EquiCon, which regularises by denoising as well.

    Raises:
        InputError: a setting is out of range.

    Reference:
        Tolooshams et al., *EquiReg*, TMLR 2026, algorithms 1–4 (arXiv 2505.22973).
    """

    function: Function | None = None
    group: Group | None = None
    share: Positive = 1.0
    every: Count = 2
    sigma_max: Unbounded = 0.3
    sigma_min: NotNegative = 0.0
    loss: Loss | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        check_fields(self, f"{{}} of {owner}")
        check_below(owner, ("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max))

    def bind(
        self, pde: PDE, prior: DenoisingPrior, generator: torch.Generator | None
    ) -> BoundEquiReg:
        """Return the term for one run of a solver; arguments as of `GuidanceTerm.bind`."""
        return BoundEquiReg(self, pde, prior, generator)


class BoundEquiReg(BoundTerm):
    """EquiReg during one run of a solver."""

    def __init__(
        self,
        settings: EquiReg,
        pde: PDE,
        prior: DenoisingPrior,
        generator: torch.Generator | None,
    ) -> None:
        self.settings, self.generator = settings, generator
        self.function = settings.function or DenoisingMap(prior)
        # A stored field may lack its kind: the PDE's are the same by name
        fields = pde.fields[: len(prior.fields)]
        self.group = settings.group or shared_symmetries(pde, prior).acting_on(fields)
        self.scale, self.grid_of = prior.gaussian.scale[:, None, None], pde.grid_of
        self.share: float | None = settings.share
        self._turn, self._last = 0, torch.inf

    def __call__(
        self, x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor
    ) -> torch.Tensor | None:
        return self._loss(x0_hat) if self._due(sigma) else None

    def _due(self, sigma: float) -> bool:
        """Return whether the term acts at this step, and count the step."""
        s = self.settings
        if sigma > self._last:  # the next batch of samples begins
            self._turn = 0
        self._last = sigma
        if not s.sigma_min <= sigma <= s.sigma_max:
            return False
        self._turn += 1
        return (self._turn - 1) % s.every == 0

    def _loss(self, x: torch.Tensor) -> torch.Tensor:
        loss = _loss_of(self.function, self.settings.loss)
        self.evaluations += 1 if loss == "equicon" else 2
        grid = self.grid_of(x)
        group = self.group.on_grid(grid)
        elements = [group.sample(self.generator) for _ in range(len(x))]
        return equivariance_loss(self.function, x, elements, grid, self.scale, loss)


@dataclass(frozen=True)
class EquiReweight(EquiReg):
    """EquiReg without a gradient: at the end the samples are resampled by their equivariance.

    The weight of a sample is proportional to exp(-strength · R / mean R). R is the equivariance
    loss of its trajectory, summed over the steps at which the term acts; the mean is over samples.

    Arguments:
        strength: 0 leaves all samples as they are.
        function, group, every, sigma_max, sigma_min, loss: as for `EquiReg`.

    Raises:
        InputError: a setting is out of range.

    Reference:
        Tolooshams et al., *EquiReg*, 2025, section 3 (arXiv 2505.22973v1): trajectories reweighted
        by their equivariance.
    """

    strength: NotNegative = 5.0

    def bind(
        self, pde: PDE, prior: DenoisingPrior, generator: torch.Generator | None
    ) -> BoundReweighting:
        """Return the term for one run of a solver; arguments as of `GuidanceTerm.bind`."""
        return BoundReweighting(self, pde, prior, generator)


class BoundReweighting(BoundEquiReg):
    """EquiReweight during one run of a solver."""

    def __init__(
        self,
        settings: EquiReweight,
        pde: PDE,
        prior: DenoisingPrior,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(settings, pde, prior, generator)
        self.share, self.strength = None, settings.strength
        self._batches: list[torch.Tensor] = []

    def __call__(self, x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor) -> None:
        if sigma > self._last or not self._batches:  # the next batch of samples begins
            self._batches.append(torch.zeros(len(x0_hat), dtype=torch.float64, device=x_t.device))
        if self._due(sigma):
            with torch.no_grad():
                self._batches[-1] += self._loss(x0_hat).double()

    def resample(self, n: int) -> torch.Tensor:
        """Return the indices (n,) of samples, drawn systematically by their weights."""
        weights = self.weights()
        start = torch.rand(1, generator=self.generator, dtype=torch.float64)
        places = (start.to(weights) + torch.arange(n).to(weights)) / n
        return torch.searchsorted(weights.cumsum(0), places).clamp(max=len(weights) - 1)

    def weights(self) -> torch.Tensor:
        """Return the normalised weights of the samples so far, (samples,)."""
        total = torch.cat(self._batches)
        if not float(total.sum()) > 0:
            return torch.full_like(total, 1 / len(total))
        return torch.softmax(-self.strength * total / total.mean(), dim=0)
