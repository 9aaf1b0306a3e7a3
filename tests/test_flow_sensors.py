"""The study of a flow from velocities and from vorticities: what its arms share, and its tables."""

import numpy as np
import pytest
from helpers import read_lines, run_command

from pdeinv.benchmarks.reports.queries import difference
from pdeinv.benchmarks.studies import flow_sensors as module
from pdeinv.benchmarks.studies.flow_sensors import FIELDS, READS, TIMES, flow_sensors_table

GRID = 16


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    out = tmp_path_factory.mktemp("flow") / "f.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COUNTS", (12,))
        patch.setattr(module.run, "__kwdefaults__", {**module.run.__kwdefaults__, "counts": (12,)})
        command = ("study", "flow-sensors", "--out", out, "--instances", 2, "--grid", GRID)
        first = run_command(*command).output
        content = out.read_bytes()
        again = run_command(*command).output
    assert out.read_bytes() == content and first.endswith(again)
    return read_lines(out)


@pytest.mark.parametrize("what", READS)
def test_an_arm_reads_its_fields_equally_often_at_all_times(what):
    table = module._example(what, 60, GRID).truth(0).sensors.table
    assert len(table) == 60 and set(table.field) == set(READS[what])
    assert table.groupby("time").size().to_dict() == dict.fromkeys(TIMES, 15)
    sizes = table.groupby(["time", "field"]).size()
    assert sizes.max() - sizes.min() <= 1
    assert len(table[["x", "y"]].drop_duplicates()) == 15  # the sensors stay where they are


def test_the_arms_read_one_flow_with_a_noise_of_two_per_cent():
    truths = {what: module._example(what, 240, GRID).truth(1) for what in READS}
    starts = [truth.state[0, 0].numpy() for truth in truths.values()]
    np.testing.assert_array_equal(*starts)
    for what, truth in truths.items():
        table, fields = truth.sensors.table, truth.problem.physics.fields
        (std,) = set(table.noise_std)
        values = [truth.state[0, c] for c, f in enumerate(fields) if f.name in READS[what]]
        assert 0.01 < std / np.std([v.numpy() for v in values]) < 0.04


def test_both_ends_are_scored_whatever_is_read(records):
    assert len(records) == 2 * len(READS) * len(FIELDS)
    assert {r["field"] for r in records} == set(FIELDS)
    for record in records:
        assert record["readings"] == 12 and 0 < record["relative_error"] < 2


def test_the_tables_have_the_paired_differences(records):
    text = flow_sensors_table(records)
    scores, differences = text.split("\n\n")
    assert len(scores.splitlines()) == 2 + len(READS) * len(FIELDS)

    def values(what, field):
        mine = [r for r in records if (r["reads"], r["field"]) == (what, field)]
        return {r["instance"]: 100 * r["relative_error"] for r in mine}

    for field, row in zip(FIELDS, differences.splitlines()[2:], strict=True):
        expected = difference(values("velocity", field), values("vorticity", field))
        assert f"| 12 | {field} | {expected:+.1f} |" in row
