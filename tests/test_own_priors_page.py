"""The page on stating a prior is true: its blocks run, and its refusals are refused."""

import math
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from readme_blocks import ROOT, blocks

from pdeinv import GaussianField, InputError, LogNormal, Problem, SpectralField, TwoPhase
from pdeinv.datasets import Darcy, NavierStokes, Poisson
from pdeinv.solvers import GaussianSolver, LevelSet, Moment

PAGE = "docs/priors-of-your-own.md"
FLAT = GaussianField(0.0, 1.0, 0.2, mean_std=math.inf)
LOG_NORMAL = LogNormal(1.0, 1.0, 0.2)


@pytest.mark.parametrize("block", blocks("python", PAGE), ids=range(3))
def test_a_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(block, scope)
    if "savefig" not in block:
        return
    drawn, shown = imread("priors.png"), imread(ROOT / "docs/figures/priors-of-your-own.png")
    assert drawn.shape[:2] == shown.shape[:2] and drawn.std() > 0.1
    draws = list(scope["draws"].values())
    assert draws[4].unique().tolist() == [1.0, 5.0]
    torch.testing.assert_close((draws[5] / 8).log(), 1.5 * draws[0])  # as the page states


def test_the_file_is_the_prior_that_it_states(tmp_path):
    (text,) = blocks("toml", PAGE)
    Path(tmp_path / "p.toml").write_text(text)
    field = GaussianField(0.0, 1.0, 0.2, anisotropy=0.25, angle=30)
    prior = TwoPhase(field, low=0.5, high=20.0, share=0.3)
    assert Problem.load(tmp_path / "p.toml") == Problem(Darcy(), prior)


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (lambda: Problem(Darcy(), GaussianField(1.0, 1.0, 0.2)), "must be positive everywhere"),
        (lambda: Problem(Poisson(), FLAT).sample(1, Poisson().grid(16)), "must be proper"),
        (lambda: TwoPhase(FLAT, 1.0, 2.0), "a mean that is not flat"),
        (lambda: TwoPhase(SpectralField(), 1.0, 2.0, share=0.3), "whose standard deviation varies"),
        (lambda: Problem(NavierStokes(), SpectralField("neumann")), "must be 'periodic'"),
        (lambda: Problem(Poisson(), GaussianField(0.0, 1.0, 1e-3)), "length .* must be at least"),
        (lambda: GaussianField(0.0, (2, 1), 0.2), "must rise, got 2 to 1"),
        (lambda: GaussianSolver().check(Poisson(), LOG_NORMAL), "linear in a Gaussian coefficient"),
        (lambda: LevelSet().check(Darcy(), LOG_NORMAL), "a coefficient with two values"),
        (lambda: Moment().check(Darcy(), LOG_NORMAL), "that of the training of the shipped"),
    ],
    ids=range(10),
)
def test_what_the_page_calls_refused_is_refused(use, reason):
    with pytest.raises(InputError, match=reason):
        use()
