"""The study of what several workers save."""

from helpers import read_lines

from pdeinv.benchmarks.studies import workers
from pdeinv.benchmarks.studies.workers import CASES, fields_table, run, workers_table


def test_work_is_timed_once_and_states_what_else_ran(tmp_path, monkeypatch):
    small = CASES["generation"]._replace(items=4, few=1)
    monkeypatch.setattr(workers, "CASES", {"generation": small})
    out, lines = tmp_path / "w.jsonl", []
    (record,) = run(out, instances=1, workers=(1,), grid=16, echo=lines.append)
    assert record["items"] == 4 and record["bytes"] > 4 * 2 * 16 * 16
    assert record["processor_seconds"] > 0 and 0 <= record["others"] <= record["cores"]
    assert run(out, instances=1, workers=(1,), grid=16, echo=lines.append) == read_lines(out)
    assert len(lines) == 1


def test_the_tables_state_ratios_and_what_a_million_takes():
    shared = {"pde": "p", "work": "generation", "grid": 256, "items": 36, "cores": 4, "others": 1.0}
    records = [
        shared
        | {"workers": n, "instance": i, "seconds": s, "processor_seconds": 10.0, "bytes": 36_000}
        for n, i, s in ((1, 0, 8.0), (1, 1, 6.0), (2, 0, 4.0), (2, 1, 4.0))
    ]
    table = workers_table(records)
    assert "| generation | 256 x 256 | 36 | 1 | 7.0 |  | 1.0 of 4 |" in table
    assert "| generation | 256 x 256 | 36 | 2 | 4.0 | 1.75 (1.50–2.00) | 1.0 of 4 |" in table
    # 3.6 pairs in a second are 1e6 / 3.6 / 3600 hours
    assert "| p | 256 x 256 | 3.6 | 1,000 | 77 | 0.00 |" in fields_table(records)
