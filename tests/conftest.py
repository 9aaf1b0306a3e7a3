"""Fixtures that several test modules share."""

import os

import pytest
import torch

from pdeinv.datasets import Poisson, generate

# Side by side, with a core each, as are the programs that they start
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def poisson_file(tmp_path_factory):
    """A dataset of 40 Poisson pairs on 16 x 16 nodes, seed 3; not to be changed."""
    return generate(Poisson(), 40, 16, 3, tmp_path_factory.mktemp("data") / "poisson.h5", workers=1)
