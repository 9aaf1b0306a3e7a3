"""The contracts of priors and of stored models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch

from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.description import Description
from pdeinv.priors.stored import Tensors

if TYPE_CHECKING:
    from typing_extensions import Self

    from pdeinv.priors.data import TrainingData
    from pdeinv.priors.gaussian import GaussianPrior

__all__ = ["DenoisingPrior", "Model", "Prior", "Trainable"]


@runtime_checkable
class Prior(Protocol):
    """A distribution of states (coefficient, solution), or of the coefficient alone."""

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) in physical units."""
        ...


@runtime_checkable
class DenoisingPrior(Prior, Protocol):
    """A prior with a denoiser: what the diffusion solvers need.

    `pdeinv.priors.prior_from_denoiser` makes one of a user's network. The level σ of the noise is
    in units of normalised fields, whose standard deviation is 0.5: noise of the level 1 has about
    twice the standard deviation of each field.
    """

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the channels."""
        ...

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return E[x0 | x = x0 + σ noise], differentiable with respect to x.

        Arguments:
            x: (batch, channel, ny, nx), noised states in physical units.
            sigma: a number or (batch,), the level of the noise.
        """
        ...

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n draws (n, channel, ny, nx) of the noise of level 1, in physical
        units."""
        ...

    @property
    def gaussian(self) -> GaussianPrior:
        """The normalisation, the noise, and a Gaussian approximation of the prior."""
        ...

    @property
    def evaluations_per_call(self) -> int:
        """Network evaluations of one call of `denoise`."""
        ...


class Model(ABC):
    """A model that `pdeinv.priors.save` writes and `pdeinv.priors.load` reads.

    A subclass with its own `kind` can be loaded once its module is imported.

    Attributes:
        kind: name of the class in files.
        description: the schema of its header in files, a pydantic model.
        fields: the fields of the channels.
        pde: name and parameters of the PDE, if it is one of the package.
        coefficient_prior: the distribution of the coefficients, as `CoefficientPrior.to_json`
            states it, if it is known.
        record: how the model was trained; empty for a model that is fitted in closed form.
    """

    kind: ClassVar[str]
    description: ClassVar[type[Description]]
    kinds: ClassVar[dict[str, type[Model]]] = {}
    """The classes of models by their kind."""

    fields: tuple[Field, ...]
    pde: tuple[str, dict] | None
    coefficient_prior: dict | None
    record: dict

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" in cls.__dict__:
            Model.kinds[cls.kind] = cls

    @abstractmethod
    def describe(self, half: bool) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and the header, of JSON values, from which `restore` makes the model.

        Arguments:
            half: return the weights of networks in half precision.
        """

    @classmethod
    @abstractmethod
    def restore(cls, tensors: Tensors, described: Any) -> Self:
        """Return the model of a description.

        Arguments:
            tensors: take each with the shape that the description implies.
            described: the header, of the class's `description`.

        Raises:
            ValueError: the tensors do not fit the description; `load` names the file and a remedy.
        """

    def __repr__(self) -> str:
        names = ", ".join(f.name for f in self.fields)
        origin = f" of {self.pde[0]}" if self.pde else ""
        return f"{type(self).__name__}({names}{origin})"


class Trainable(Model):
    """A model whose network `pdeinv.priors.train` trains."""

    network: torch.nn.Module

    def draws(self, states: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        """Return the random tensors of a batch, each (batch, ...) on the CPU; none by default.

        Arguments:
            states: (batch, channel, ny, nx), in physical units.
            generator: source of all randomness.
        """
        return ()

    def loss_given(self, states: torch.Tensor, *draws: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar, of states and their random tensors.

        It must be a mean over the batch, so that several processes can take a share each.

        Arguments:
            states: (batch, channel, ny, nx), in physical units.
            draws: as `draws` returns them.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither `loss` nor `loss_given`")

    def loss(self, states: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the loss, a scalar, of a batch of states (batch, channel, ny, nx).

        Override `draws` and `loss_given`; or this alone, for training in one process.

        Arguments:
            states: in physical units.
            generator: source of all randomness.
        """
        return self.loss_given(states, *self.draws(states, generator))

    @abstractmethod
    def validate(self, data: TrainingData) -> tuple[dict, str]:
        """Return scores on data held out from training, and a line that sums them up."""
