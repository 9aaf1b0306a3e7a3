"""Short names for random numbers, which several test modules share."""

import torch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))
