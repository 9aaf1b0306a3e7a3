"""The correlated parts of a Gaussian prior's band."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pdeinv.priors.stored import Tensors

__all__ = ["Block", "restore_blocks"]

_LARGEST = 1e12  # of an eigenvalue of the whitened covariance
_NORM_ERROR = 1e-3  # of an eigenvector


class Block(NamedTuple):
    """A set of correlated coefficients in the band, whitened by the noise.

    Arguments:
        places: (k,), int64, their places in the band.
        values: (r,), the leading eigenvalues of their covariance.
        vectors: (k, r), the eigenvectors.
    """

    places: torch.Tensor
    values: torch.Tensor
    vectors: torch.Tensor


def restore_blocks(tensors: Tensors, size: int) -> tuple[Block, ...]:
    """Return the blocks that are in a file.

    Arguments:
        tensors: of the file.
        size: number of places in the band.

    Raises:
        ValueError: a place is outside of the band or twice in it, or a vector is not of norm 1.
    """
    blocks: list[Block] = []
    taken = torch.zeros(size, dtype=torch.bool)
    while (name := f"block.{len(blocks)}") + ".places" in tensors:
        count, rank = (tensors.shape(f"{name}.{part}")[:1] for part in ("places", "values"))
        if count > (size,) or rank > count:
            raise ValueError(
                f"the tensors of {name} must have at most {size} places and at most as many "
                f"values, got {count} and {rank}"
            )
        places = tensors.take(f"{name}.places", count, (torch.int64,), least=0, most=size - 1)
        values = tensors.take(f"{name}.values", rank, least=0.0, most=_LARGEST)
        vectors = tensors.take(f"{name}.vectors", (*count, *rank))
        before = int(taken.sum())
        taken[places] = True
        if int(taken.sum()) != before + len(places):
            raise ValueError(f"the tensor {name}.places must have every place once")
        norms = vectors.square().sum(dim=0)
        if norms.numel() and not bool(((norms - 1).abs() < _NORM_ERROR).all()):
            raise ValueError(f"the columns of the tensor {name}.vectors must have the norm 1")
        blocks.append(Block(places, values, vectors))
    return tuple(blocks)
