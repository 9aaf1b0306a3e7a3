"""Fixtures that several test modules share."""

import pytest

from pdeinv.datasets import Poisson, generate


@pytest.fixture(scope="session")
def poisson_file(tmp_path_factory):
    """A dataset of 40 Poisson pairs on 16 x 16 nodes, seed 3; not to be changed."""
    return generate(Poisson(), 40, 16, 3, tmp_path_factory.mktemp("data") / "poisson.h5", workers=1)
