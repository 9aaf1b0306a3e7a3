"""What guides a trajectory: losses of the denoised state, and how their gradients combine.

States are (batch, channel, ny, nx) in physical units. A guidance term is a `GuidanceTerm`, such as
`EquiReg()`, or a plain callable `(x_t, sigma, x0_hat) -> loss (batch,)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import Positive, described
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.priors.base import DenoisingPrior

__all__ = [
    "BoundTerm",
    "Guidance",
    "GuidanceTerm",
    "LossGradient",
    "LossTerm",
    "Step",
    "TermGradient",
    "TermLoss",
    "bind_terms",
    "check_guidance",
    "combine_steps",
    "polyak",
    "term_gradients",
    "value_and_gradient",
]

TermLoss = Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor | None]
"""(x_t, sigma, x0_hat) -> loss (batch,), or None at a level where there is none."""


class BoundTerm(ABC):
    """A guidance term during one run of a solver.

    Attributes:
        share: length of the term's step relative to that of the sensors' step; None for the
            gradient as it is.
        evaluations: evaluations of the network so far, for each sample.
    """

    share: float | None = None
    evaluations: int = 0

    @abstractmethod
    def __call__(
        self, x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the loss (batch,) of a denoised state, or None to leave it out.

        Arguments:
            x_t: (batch, channel, ny, nx), the noised state.
            sigma: its noise level, in units of normalised fields.
            x0_hat: (batch, channel, ny, nx), the denoised state, which carries the gradient.
        """

    @property
    def name(self) -> str:
        """What messages call the term."""
        return type(self).__name__

    def resample(self, n: int) -> torch.Tensor | None:
        """Return the indices (n,) of the samples to keep at the end of the run, or None to keep
        all n."""
        return None


@runtime_checkable
class GuidanceTerm(Protocol):
    """Settings of a guidance term, from which each run makes its own `BoundTerm`."""

    def bind(self, pde: PDE, prior: DenoisingPrior, generator: torch.Generator | None) -> BoundTerm:
        """Return the term for one run of a solver.

        Arguments:
            pde: the physics.
            prior: the denoiser that the solver uses, before any group average.
            generator: source of all randomness.
        """
        ...


@dataclass(frozen=True)
class LossTerm:
    """A plain loss as a guidance term.

    Arguments:
        loss: `(x_t, sigma, x0_hat) -> loss (batch,)`, or None where it has no part.
        share: as of `BoundTerm`.

    Example:
        >>> def roughness(x_t, sigma, x0_hat):
        ...     return x0_hat.diff(dim=-1).square().sum(dim=(1, 2, 3))
        >>> term = LossTerm(roughness, share=0.1)
    """

    loss: TermLoss
    share: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self, "{} of LossTerm")

    def bind(self, pde: PDE, prior: DenoisingPrior, generator: torch.Generator | None) -> BoundTerm:
        """Return the term for one run of a solver."""
        return _BoundLoss(self)


class _BoundLoss(BoundTerm):
    def __init__(self, settings: LossTerm) -> None:
        self.loss, self.share = settings.loss, settings.share

    @property
    def name(self) -> str:
        """The name of the function."""
        return str(getattr(self.loss, "__name__", type(self.loss).__name__))

    def __call__(
        self, x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor
    ) -> torch.Tensor | None:
        return self.loss(x_t, sigma, x0_hat)


Guidance = tuple[GuidanceTerm | TermLoss, ...]
"""What a user gives a solver."""


def check_guidance(owner: str, guidance: object) -> None:
    """Refuse what is not a tuple of guidance terms and callables.

    Raises:
        InputError: it is something else, such as one term alone.
    """
    if not isinstance(guidance, tuple) or not all(
        isinstance(term, GuidanceTerm) or callable(term) for term in guidance
    ):
        raise InputError(
            f"guidance of {owner} must be a tuple of callables, as in (EquiReg(),), got "
            f"{guidance!r}; put the terms into a tuple"
        )


def bind_terms(
    guidance: Guidance, pde: PDE, prior: DenoisingPrior, generator: torch.Generator | None
) -> tuple[BoundTerm, ...]:
    """Return the terms for one run of a solver; arguments as of `GuidanceTerm.bind`."""
    terms = (t if isinstance(t, GuidanceTerm) else LossTerm(t) for t in guidance)
    return tuple(t.bind(pde, prior, generator) for t in terms)


class LossGradient(NamedTuple):
    """A loss (batch,), and its gradient with respect to the states, of their shape."""

    loss: torch.Tensor
    gradient: torch.Tensor


class TermGradient(NamedTuple):
    """The loss (batch,) of a guidance term, its gradient with respect to x0_hat, and its share."""

    loss: torch.Tensor
    gradient: torch.Tensor
    share: float | None


class Step(NamedTuple):
    """The step of a guidance term.

    Attributes:
        step: (batch, channel, ny, nx), to be subtracted from the state.
        share: length relative to that of the sensors' step; None for the step as it is.
        longest: (batch,), the longest step allowed where there is a share, as a multiple of `step`;
            None for no bound.
    """

    step: torch.Tensor
    share: float | None
    longest: torch.Tensor | None = None


def value_and_gradient(
    loss: Callable[[torch.Tensor], torch.Tensor], state: torch.Tensor
) -> LossGradient:
    """Return the loss (batch,) of states, and its gradient with respect to them."""
    leaf = state.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf)
        return LossGradient(value.detach(), torch.autograd.grad(value.sum(), leaf)[0])


def term_gradients(
    terms: Sequence[BoundTerm], x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor
) -> list[TermGradient]:
    """Return the gradients of those terms that have a loss at this level.

    Arguments:
        terms: the guidance terms.
        x_t, sigma, x0_hat: as of `BoundTerm.__call__`.

    Raises:
        InputError: a loss has another shape, no gradient, or one that is not finite.
    """
    found = []
    for term in terms:
        leaf = x0_hat.detach().requires_grad_()
        with torch.enable_grad():
            loss = term(x_t, sigma, leaf)
            if loss is not None:
                gradient = _gradient(term, loss, leaf, sigma)
                found.append(TermGradient(loss.detach(), gradient, term.share))
    return found


def _gradient(term: BoundTerm, loss: object, leaf: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the gradient of a term's loss with respect to the denoised states, of their shape.

    Raises:
        InputError: the loss has another shape, no gradient, or one that is not finite.
    """
    what = f"the loss of the guidance term {term.name}"
    if not isinstance(loss, torch.Tensor) or loss.shape != leaf.shape[:1]:
        raise InputError(
            f"{what} must be a tensor of shape ({len(leaf)},), one number for each sample, got "
            f"{tuple(loss.shape) if isinstance(loss, torch.Tensor) else described(loss)}; sum over "
            f"channels and nodes alone"
        )
    gradient = None
    if loss.requires_grad:
        (gradient,) = torch.autograd.grad(loss.sum(), leaf, allow_unused=True)
    if gradient is None:
        raise InputError(
            f"{what} must depend on x0_hat, got one without a gradient; compute it from x0_hat by "
            f"functions of torch"
        )
    if not bool(loss.isfinite().all()) or not bool(gradient.isfinite().all()):
        raise InputError(
            f"{what} must be finite with a finite gradient, got nan or inf at sigma = {sigma:.3g}; "
            f"add a small number below roots and logarithms"
        )
    return gradient


def polyak(loss: torch.Tensor, gradient: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Return how many steps lead to the zero of a loss if its slope stays the same, (batch,).

    Arguments:
        loss: (batch,).
        gradient: (batch, channel, ny, nx), of the loss.
        step: (batch, channel, ny, nx), against the gradient.

    Reference:
        Polyak, *Introduction to Optimization*, 1987, section 5.3.
    """
    return loss / (gradient * step).sum(dim=(1, 2, 3)).clamp(min=1e-300)


def combine_steps(main: torch.Tensor, others: Sequence[Step], scale: torch.Tensor) -> torch.Tensor:
    """Return the sum of the sensors' step and the terms' steps, (batch, channel, ny, nx).

    Lengths are those of the steps, not of the gradients. A gradient at a few sensors and one of the
    whole field may have the same norm, and yet the covariance of the noise makes of them steps
    whose lengths differ a hundredfold.

    Arguments:
        main: (batch, channel, ny, nx), the sensors' step.
        others: the steps of the guidance terms.
        scale: (channel, 1, 1), the unit in which lengths are measured.
    """
    total = main
    for step, share, longest in others:
        if share is not None:
            length, own = ((s / scale).flatten(1).norm(dim=1) for s in (main, step))
            weight = torch.where(own > 0, share * length / torch.where(own > 0, own, 1.0), 0.0)
            weight = weight if longest is None else torch.minimum(weight, longest)
            step = step * weight[:, None, None, None]
        total = total + step
    return total
