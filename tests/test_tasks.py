"""Tasks that anyone can draw again: their truths, their sensors, their noise."""

import pytest
import torch

from pdeinv import InputError
from pdeinv.benchmarks.tasks import KINDS, Task
from pdeinv.datasets import PDES, pde_by_name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PDES)
def test_an_instance_is_a_true_pair_seen_at_random_nodes(name, kind):
    task = Task(name, kind, grid=16, sensors=20)
    truth, H = task.instance(3)
    pde = pde_by_name(name)
    assert torch.allclose(pde.solve(truth[None, :1])[0, 0], truth[1], rtol=1e-6, atol=1e-9)
    assert torch.equal(H.values, H(truth[None])[0]) and (H.noise_std == 0).all()
    observed = {"forward": [0], "inverse": [1], "both": [0, 1]}[kind]
    assert set(task.scored) == ({0, 1} if kind == "both" else {0, 1} - set(observed))
    assert H.channel.bincount(minlength=2).tolist() == [20 * (c in observed) for c in (0, 1)]
    nodes = H.points * H.grid.cells[0]
    assert torch.allclose(nodes, nodes.round(), atol=1e-9)
    for c in observed:
        assert len(nodes[H.channel == c].round().unique(dim=0)) == 20
    if kind == "both":
        assert not torch.equal(nodes[H.channel == 0], nodes[H.channel == 1])


def test_an_instance_depends_on_its_seed_and_number_alone():
    task = Task("poisson", "both", grid=16, sensors=20, noise=0.1)
    truth, H = task.instance(2)
    torch.manual_seed(99)  # neither the global state nor what was drawn before matters
    task.instance(0)
    again, again_H = Task("poisson", "both", grid=16, sensors=20, noise=0.1).instance(2)
    assert (
        torch.equal(truth, again)
        and torch.equal(H.values, again_H.values)
        and torch.equal(H.points, again_H.points)
    )
    for other in (
        task.instance(3),
        Task("poisson", "both", grid=16, sensors=20, noise=0.1, seed=1).instance(2),
    ):
        assert not torch.isclose(other[0], truth).all(dim=0).any()
        assert not torch.equal(other[1].points, H.points)
    # Another task sees the same truth, so that methods and sensors are compared on the same fields.
    assert torch.equal(Task("poisson", "inverse", grid=16, sensors=9).instance(2)[0], truth)


def test_the_noise_has_the_stated_level():
    task = Task("darcy", "both", grid=20, sensors=300, noise=0.2)
    truth, H = task.instance(0)
    for c in (0, 1):
        mine = H.channel == c
        assert torch.allclose(H.noise_std[mine], 0.2 * truth[c].std().expand(300))
        error = (H.values - H(truth[None])[0])[mine] / H.noise_std[mine]
        assert float(error.std()) == pytest.approx(1, abs=0.15) and abs(float(error.mean())) < 0.2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "backward"}, "task must be one of forward, inverse, both, got 'backward'"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0, got -0.1"),
        ({"noise": float("nan")}, "noise must be a finite number of at least 0, got nan"),
        ({"sensors": 257}, "at most 256"),
        ({"sensors": 0}, "at least 1"),
        ({"pde": "stokes"}, "got 'stokes'"),
    ],
)
def test_an_impossible_task_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Task(
            **{"pde": "poisson", "kind": "inverse", "grid": 16, "sensors": 20} | settings
        ).instance(0)
