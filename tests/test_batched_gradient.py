"""Gradients for many cotangents at once."""

import subprocess
import sys

import pytest
import torch
from helpers import normal

from pdeinv.solvers import batched_gradient as module
from pdeinv.solvers.batched_gradient import batched_gradient


@pytest.mark.parametrize("moved", [False, True])
def test_they_are_those_of_one_cotangent_each(moved, monkeypatch):
    if moved:  # a torch that has moved what is private to it
        monkeypatch.setattr(module, "_run", None)
    leaf = normal(1, 3, 4).requires_grad_()
    outputs = [leaf.sin() @ normal(4, 2), leaf.square().sum(dim=1)]
    cotangents = [normal(5, 1, 3, 2), normal(5, 1, 4)]
    found = batched_gradient(outputs, leaf)(cotangents)
    assert found.shape == (5, 1, 3, 4)
    for i in range(5):
        (one,) = torch.autograd.grad(outputs, leaf, [c[i] for c in cotangents], retain_graph=True)
        torch.testing.assert_close(found[i], one, atol=1e-14, rtol=0)


def test_without_a_rule_for_batches_they_are_found_one_by_one(monkeypatch):
    def refused(*_):
        raise RuntimeError("no rule")

    monkeypatch.setattr(torch, "vmap", refused)
    leaf = normal(2, 3).requires_grad_()
    cotangents = normal(4, 2, 3)
    found = batched_gradient([leaf.square()], leaf)([cotangents])
    torch.testing.assert_close(found, 2 * leaf.detach() * cotangents)


def test_a_table_is_reconstructed_without_a_compiler_or_symbols():
    code = """
import sys, pdeinv
table = {"field": "potential", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [0.002, 0.001]}
pdeinv.reconstruct(table, "poisson", noise=1e-4, grid=16)
assert {"sympy", "torch._dynamo", "sklearn", "scipy.stats"} & set(sys.modules) == set()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
