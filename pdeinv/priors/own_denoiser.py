"""A denoiser of a user's own, such as a network trained elsewhere, as a prior.

The network's input is z = sigma_data (field - mean) / std, to which noise of the standard deviation
sigma is added. It is called with z (batch, channel, ny, nx) and sigma (batch,).

The solvers need a Gaussian approximation of the prior as well. It is fitted to examples, or else to
states that are drawn with the denoiser itself, with 39 evaluations for each. That takes time, so
make the prior once and use it in several reconstructions.

Reference:
    Karras et al., *Elucidating the design space of diffusion-based generative models* (EDM),
    NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pdeinv import seeds
from pdeinv.checks import MOST, Bounds, described, integer, tensor
from pdeinv.coefficients import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.data import STD
from pdeinv.priors.denoiser_calls import DenoiserCalls, Predicts, Usable
from pdeinv.priors.denoiser_data import Examples, denoiser_data
from pdeinv.priors.gaussian import GaussianPrior
from pdeinv.priors.gaussian_fit import fit_gaussian
from pdeinv.priors.noise import Noise
from pdeinv.priors.schedule import sample_flow

__all__ = ["OwnDenoiser", "prior_from_denoiser"]


def prior_from_denoiser(
    denoiser: Usable,
    fields: Sequence[str | Field],
    grid: Grid,
    *,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    sigma_data: float = 0.5,
    predicts: Predicts = "x0",
    noise: Noise | None = None,
    any_grid: bool = False,
    examples: Examples | None = None,
    draws: int = 500,
    coefficient_prior: CoefficientPrior | None = None,
    progress: bool = False,
) -> OwnDenoiser:
    """Return a prior for the diffusion solvers from a denoiser that was trained elsewhere.

    Arguments:
        denoiser: a `torch.nn.Module` or any callable (z, sigma) -> result of the shape of z.
        fields: names of the channels: the coefficient alone, or all fields of a joint prior.
        grid: of the training, such as `pde.grid(64)`.
        mean, std: of the physical fields: one number, or one for each field.
        sigma_data: standard deviation of z without noise.
        predicts: `"x0"` if the network returns the denoised z, `"noise"` if the noise of unit
            variance, `"score"` if the gradient of the log-density.
        noise: of the training; None is white, independent on the nodes. Another needs `examples`.
        any_grid: the network can be evaluated on any grid of the domain.
        examples: (n, channel, ny, nx), at least 8 states in physical units on the grid, or a
            dataset with the fields as variables; None draws them.
        draws: number of states to draw.
        coefficient_prior: of the coefficients if known; gives bounds, phases and symmetries.
        progress: show a bar for the draws.

    Raises:
        InputError: an argument is out of range; or the denoiser fails, returns another shape, nan
            or inf, mixes the states of a batch, or does not denoise.

    Example:
        >>> def denoiser(z, sigma):  # of white noise
        ...     return z * (0.25 / (0.25 + sigma**2))[:, None, None, None]
        >>> prior = prior_from_denoiser(denoiser, ["source"], Grid(16), draws=50)
        >>> prior.sample(2, Grid(16)).shape
        torch.Size([2, 1, 16, 16])
    """
    if not isinstance(grid, Grid):
        raise InputError(
            f"grid of prior_from_denoiser must be a Grid, got {described(grid)}; give such as "
            f"pde.grid(64)"
        )
    calls = _calls(denoiser, fields, mean, std, sigma_data, predicts)
    draws = integer("draws of prior_from_denoiser", draws, Bounds(8, MOST))
    with seeds.global_state(seeds.STATISTICS):  # for a function with randomness of its own
        data = denoiser_data(calls, grid, noise or Noise("white"), examples, draws, progress)
    data = replace(data, prior=coefficient_prior)
    scale = calls.std.flatten() / STD
    gaussian = fit_gaussian(data, noise or Noise("white"), symmetry=False, scale=scale)
    return OwnDenoiser(calls, gaussian, any_grid)


@dataclass(frozen=True, eq=False)
class OwnDenoiser:
    """A user's denoiser as a prior; see `prior_from_denoiser`.

    Arguments:
        calls: the denoiser.
        gaussian: the Gaussian part.
        any_grid: whether the denoiser can be evaluated on other grids than that of its training.
        evaluations_per_call: network evaluations that one call counts as.
    """

    calls: DenoiserCalls
    gaussian: GaussianPrior
    any_grid: bool = False
    evaluations_per_call: int = 1

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the channels."""
        return self.gaussian.fields

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return the denoiser's E[x0 | x = x0 + σ noise], in the shape and units of x."""
        self._check_grid(self.gaussian.grid_of(x))
        return self.calls(x, sigma)

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n draws (n, channel, ny, nx) of the noise of level 1, in physical
        units."""
        self._check_grid(self.gaussian.check_grid(grid))
        if self.gaussian.noise.kind != "white":
            return self.gaussian.sample_noise(n, grid, generator)
        return self.calls.white_noise(n, grid.shape, generator)

    def sample(
        self, n: int, grid: Grid, generator: torch.Generator | None = None, *, steps: int = 40
    ) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) in physical units, by the probability
        flow."""
        return sample_flow(self, n, grid, generator, steps=steps)

    def _check_grid(self, grid: Grid) -> None:
        trained = self.gaussian.grid
        if not self.any_grid and grid.shape != trained.shape:
            raise InputError(
                f"the grid of the denoiser {self.calls.name} must be that of its training, "
                f"{trained}, got {grid}; reconstruct with grid={min(trained.shape)}, or make the "
                f"prior with any_grid=True"
            )

    def __repr__(self) -> str:
        names = ", ".join(f.name for f in self.fields)
        return f"OwnDenoiser({self.calls.name} of {names})"


def _calls(
    denoiser: Usable,
    fields: Sequence[str | Field],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    sigma_data: float,
    predicts: Predicts,
) -> DenoiserCalls:
    if not callable(denoiser) or isinstance(denoiser, type):
        raise InputError(
            f"a denoiser must be a module or a callable (z, sigma), got {described(denoiser)}; "
            f"give an instance"
        )
    given = (fields,) if isinstance(fields, str | Field) else tuple(fields)
    for f in given:
        if not isinstance(f, str | Field):
            raise InputError(
                f"fields of a denoiser must be names or Fields, got {described(f)}; give such as "
                f"pde.fields[:1]"
            )
    known = tuple(f if isinstance(f, Field) else Field(f, f.replace("_", " ")) for f in given)
    if not known:
        raise InputError("fields of a denoiser must be at least one, got none; name its channels")
    centre, spread = (_numbers(*given, known) for given in (("mean", mean), ("std", std)))
    return DenoiserCalls(denoiser, known, centre, spread, sigma_data, predicts)


def _numbers(what: str, value: object, fields: tuple[Field, ...]) -> torch.Tensor:
    """Return one number for each field, (channel, 1, 1), float64.

    Raises:
        InputError: they are of another number, or not finite, or a standard deviation not positive.
    """
    found = tensor(f"{what} of prior_from_denoiser", value).double()
    least = 0.0 if what == "std" else -torch.inf
    usable = found.ndim <= 1 and found.numel() in (1, len(fields))
    if not usable or not bool(((found > least) & (found < torch.inf)).all()):
        positive = "positive " if what == "std" else ""
        raise InputError(
            f"{what} of prior_from_denoiser must be one {positive}number or one for each of "
            f"{', '.join(f.name for f in fields)}, got {described(value)}; correct it"
        )
    return found.flatten().expand(len(fields))[:, None, None].clone()
