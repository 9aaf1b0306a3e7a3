"""The page on domains of any shape is true: its blocks run."""

from pathlib import Path

import numpy as np
from helpers import ROOT
from readme_blocks import blocks

import pdeinv
from pdeinv import Problem
from pdeinv.problems import EXAMPLES

PAGE = "docs/any-shape.md"


def test_the_program_draws_a_state(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    scope = {}
    (code,) = blocks("python", PAGE)
    exec(code, scope)
    state, grid = scope["state"], scope["aquifer"].grid(31)
    assert state.shape == (1, 2, 31, 41) and bool(state[0, 1][~grid.active_nodes].eq(0).all())
    scope["problem"].save("again.toml")
    assert Problem.load("again.toml") == scope["problem"]


def test_the_file_has_a_hole_and_a_value_on_its_edge(tmp_path):
    (text,) = blocks("toml", PAGE)
    path = tmp_path / "shape.toml"
    path.write_text(text)
    problem = Problem.load(path)
    active = problem.grid.active_nodes
    assert not active[12, 12] and active[2, 2] and not active[-1, -1]
    table = {"field": "potential", "x": [0.5, 3.0], "y": [0.5, 0.7], "value": [0.1, -0.1]}
    result = pdeinv.reconstruct(table, problem=problem, noise=0.01, n_samples=2)
    assert np.isnan(result["potential_mean"].values[12, 12])
    assert result["potential_mean"].values[15, 25] == 0  # on the edge


def test_the_example_has_what_the_page_states():
    text = Path(ROOT / PAGE).read_text()
    example = EXAMPLES["basin"]
    domain = example.problem.physics.domain
    assert "30 corners" in text and len(domain.active.rings[0]) == 31
    assert "45 heads" in text and example.readings[0].count == 45
