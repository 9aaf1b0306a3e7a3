"""Calls of a user's denoiser with physical fields, and what such a call must return."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import Positive, described
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.priors.data import STD
from pdeinv.priors.gaussian import as_sigma_batch

__all__ = ["DenoiserCalls", "Predicts", "Usable"]

Predicts = Literal["x0", "noise", "score"]
"""What a network returns of its input z = z0 + σ noise: E[z0 | z], E[noise | z], or the gradient of
the logarithm of the density of z."""
Usable: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(z, sigma) -> what the network predicts, of the shape of z; sigma is (batch,)."""


@dataclass(frozen=True, eq=False)
class DenoiserCalls:
    """A user's denoiser with physical fields as its input and output.

    Arguments:
        function: the denoiser; a module is evaluated in evaluation mode, on its own device and in
            its own precision, any other callable in single precision.
        fields: of the channels.
        mean, std: (channel, 1, 1), float64, of the physical fields.
        sigma_data: standard deviation of the network's inputs without noise.
        predicts: what the network returns.
    """

    function: Usable
    fields: tuple[Field, ...]
    mean: torch.Tensor
    std: torch.Tensor
    sigma_data: Positive
    predicts: Predicts

    def __post_init__(self) -> None:
        check_fields(self, "{} of prior_from_denoiser")

    def __call__(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return E[x0 | x = x0 + σ noise], in the shape and units of x; differentiable.

        Arguments:
            x: (batch, channel, ny, nx), in physical units.
            sigma: a number or (batch,), in units of fields of the standard deviation 0.5.

        Raises:
            InputError: the network returns another shape or no floating-point tensor, or passes no
                gradient where one is needed.
        """
        mean, unit = self.mean.to(x.device), (self.std / self.sigma_data).to(x.device)
        z = (x.double() - mean) / unit
        level = self.sigma_data / STD * as_sigma_batch(sigma, x).double()
        needed = torch.is_grad_enabled() and x.requires_grad
        with torch.set_grad_enabled(needed), _evaluating(self.function):
            like = self._like(x)
            found = self.function(z.to(like), level.to(like))
        self._check(found, z, needed)
        found, level = found.to(x.device).double(), level[:, None, None, None]
        if self.predicts == "noise":
            found = z - level * found
        elif self.predicts == "score":
            found = z + level.square() * found
        return (found * unit + mean).to(x)

    @property
    def name(self) -> str:
        """The name of the function or of the class."""
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def _like(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the device and the precision that the network works with."""
        if isinstance(self.function, torch.nn.Module):
            for own in chain(self.function.parameters(), self.function.buffers()):
                if own.is_floating_point():
                    return own
        return x.new_empty(0, dtype=torch.float32)

    def _check(self, found: object, z: torch.Tensor, needed: bool) -> None:
        if not isinstance(found, torch.Tensor) or not found.is_floating_point():
            raise InputError(
                f"the denoiser {self.name} must return a floating-point tensor, got "
                f"{described(found)}; return one of the shape of z"
            )
        if found.shape != z.shape:
            raise InputError(
                f"the denoiser {self.name} must return the shape of z, {tuple(z.shape)}, got "
                f"{tuple(found.shape)}; reshape what it returns"
            )
        if needed and not found.requires_grad:
            raise InputError(
                f"the denoiser {self.name} must be differentiable with respect to z for this "
                f"solver, got a result without a gradient; remove no_grad, detach and numpy from "
                f"it, or choose moment or ddis"
            )

    def white_noise(
        self, n: int, shape: tuple[int, int], generator: torch.Generator | None
    ) -> torch.Tensor:
        """Return n draws (n, channel, ny, nx) of white noise of level 1, in physical units."""
        size = (n, len(self.fields), *shape)
        return torch.randn(size, dtype=torch.float64, generator=generator) * self.std / STD

    def precision(self, x: torch.Tensor) -> torch.dtype:
        """Return the precision in which the network gets x."""
        return self._like(x).dtype

    def network_level(self, sigma: float) -> float:
        """Return the sigma with which the network is called for a level σ."""
        return self.sigma_data / STD * sigma


@contextmanager
def _evaluating(function: object) -> Iterator[None]:
    """Evaluate a module without dropout within the block; its mode returns afterwards."""
    modules = function.modules() if isinstance(function, torch.nn.Module) else ()
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
