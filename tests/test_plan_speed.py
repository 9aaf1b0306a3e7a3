"""The study of what plans save."""

from helpers import read_lines

from pdeinv.benchmarks.studies import plan_speed
from pdeinv.benchmarks.studies.plan_speed import Case, plans_table, run


def test_a_case_is_measured_once_and_means_are_those_of_reconstructions(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_speed, "CASES", {"poisson": Case("poisson", 16, 9)})
    out, lines = tmp_path / "plans.jsonl", []
    records = run(out, instances=2, echo=lines.append)
    assert [r["instance"] for r in records] == [0, 1] and len(lines) == 2
    for record in records:
        assert record["method"] == "stored gain" and record["distance"] < 1e-9
        assert 0 < record["product_seconds"] < record["seconds"] < record["fresh_seconds"]
    assert run(out, instances=2, echo=lines.append) == read_lines(out) and len(lines) == 2


def test_the_table_leaves_out_the_first_search():
    shared = {"pde": "p", "grid": 16, "sensors": 9, "prepare_seconds": 1.0, "fresh_seconds": 2.0}
    search = [
        shared
        | {"case": "b", "instance": i, "method": method, "seconds": seconds, "distance": 0.01}
        | {"iterations": 2 + i, "fresh_iterations": 4}
        for i, method, seconds in (
            (0, "solve afresh", 2.0),
            (1, "search from the last mode", 1.0),
            (2, "search from the last mode", 1.5),
        )
    ]
    gain = shared | {"case": "a", "instance": 0, "method": "stored gain", "distance": 0.0}
    table = plans_table([gain | {"seconds": 0.3, "product_seconds": 0.25}, *search])
    assert "| a | 16 x 16 | 9 | stored gain | 1.2 (1.2–1.2) | 0.15 (0.15–0.15) |  | 0 |" in table
    assert "| 0.62 (0.5–0.75) | 0.88 (0.75–1) | 0.01 |" in table
