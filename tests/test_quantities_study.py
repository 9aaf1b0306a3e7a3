"""The study of quantities: what it measures of a truth, and that a repeated run goes on."""

import numpy as np
import pytest
from helpers import read_lines

from pdeinv.benchmarks.studies import quantities as study
from pdeinv.benchmarks.studies.quantities import CASES, quantities_table, run
from pdeinv.quantities import Flux, TravelTime
from pdeinv.quantities.evaluation import values_of


def test_a_repeated_run_goes_on(tmp_path):
    out, printed = tmp_path / "q.jsonl", []
    run(out, instances=1, cases=["poisson"], echo=printed.append)
    assert len(printed) == 3
    records = run(out, instances=2, cases=["poisson"], echo=printed.append)
    assert len(printed) == 6 and read_lines(out) == records
    for r in records:
        assert r["within"] == int(r["low"] <= r["truth"] <= r["high"])
        assert r["samples"] == 99 and r["std"] > 0
    table = quantities_table(records)
    assert table.count(" of 2 |") == 3 and "largest potential" in table


def test_truths_have_their_own_quantities():
    truth = CASES["poisson"].truth(0)
    exact = study._exact(truth)
    u = truth.state[0, 1]
    assert float(values_of(exact, study.highest).squeeze()) == float(u.max())
    # The flux out of the four sides is minus the integral of the source
    h = truth.grid.hx
    sides = [u, u.flip(1), u.T, u.flip(0).T]
    slopes = [(4 * s[:, 1] - s[:, 2]) / (2 * h) for s in sides]
    left = float(values_of(exact, study.outflow_left).squeeze())
    assert left == pytest.approx(float(slopes[0].sum() * h))
    source = truth.state[0, 0]
    total = h**2 * (source.sum() - (source[[0, -1]].sum() + source[:, [0, -1]].sum()) / 2)
    assert -sum(float(s.sum() * h) for s in slopes) == pytest.approx(float(total), abs=0.05)


def test_what_enters_the_aquifer_leaves_it_and_particles_arrive():
    exact = study._exact(CASES["aquifer"].truth(0))
    left, right = (float(values_of(exact, Flux(side=s)).squeeze()) for s in ("left", "right"))
    assert right > 0 and left == pytest.approx(-right, rel=1e-8)
    time = values_of(exact, TravelTime((500.0, 500.0), to="right", porosity=0.2))
    assert np.isfinite(time).all() and float(time.squeeze()) > 1000
