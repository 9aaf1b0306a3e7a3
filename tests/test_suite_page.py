"""The page of a suite: it shows what the records hold, and stands alone."""

import json
import re

import pytest
from helpers import run_command

from pdeinv import InputError
from pdeinv.benchmarks import suites
from pdeinv.benchmarks.cells import posterior_of
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.reports.figures import plot_cost
from pdeinv.benchmarks.reports.html_report import write_page
from pdeinv.benchmarks.reports.tables import overall_table, ranked_table
from pdeinv.benchmarks.suites import RECORDS, Suite
from pdeinv.metrics import relative_l2

TINY = Suite(
    *(16, 20, 2, ("gaussian", "kriging"), ("fundps",)), regularised=("fundps",), steps=4, samples=4
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite")
    tiny = pytest.MonkeyPatch()
    tiny.setitem(suites.SUITES, "tiny", TINY)
    command = ("benchmark", "--suite", "tiny", "--pde", "poisson", "--pde", "helmholtz")
    results = [run_command(*command, "--out", path) for _ in range(2)]
    tiny.undo()
    assert [r.exit_code for r in results] == [0, 0] and results[0].stdout == results[1].stdout
    return path, results[0].stdout


def test_the_ranked_table_is_that_of_the_records(folder):
    path, printed = folder
    records = read_records(path / RECORDS)
    assert ranked_table(records) in printed
    lines = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in printed.splitlines()
        if line.startswith("| poisson")
    ]
    inverse = [line for line in lines if line[0] == "poisson inverse"]
    assert [line[3] for line in inverse] == ["1", "2", "3", "4"] and {
        line[2] for line in inverse
    } == {
        "gaussian",
        "kriging",
        "fundps, 4 steps",
        "fundps, 4 steps, EquiReg",
    }
    limit = next(
        r
        for r in records
        if (r["task"], r["pde"], r["method"]) == ("inverse", "poisson", "gaussian")
    )
    other = next(
        r
        for r in records
        if (r["task"], r["pde"], r["method"]) == ("inverse", "poisson", "kriging")
    )
    line = next(line for line in inverse if line[2] == "kriging")
    assert line[5].split(" ± ")[0] == f"{other['error'] / limit['error']:.2f}"
    assert "| the limit | 1." in printed


def test_the_page_shows_tables_and_figures_and_stands_alone(folder):
    path, _ = folder
    markdown, page = write_page(path)
    text, whole = markdown.read_text(), page.read_text()
    shown = re.findall(r"\]\((figures/[\w-]+\.png)\)", text)
    assert len(shown) == 5 + 4 and all((path / name).stat().st_size > 5000 for name in shown)
    assert (
        whole.count("<img ") == len(shown) and 'src="http' not in whole and "figures/" not in whole
    )
    assert whole.count("<tr>") == sum(
        line.startswith("|") for line in text.splitlines()
    ) - text.count("\n| ---")
    assert "Published" not in text  # another grid
    assert "at commit" in text and "with pdeinv" in text


def test_steps_of_one_method_are_joined_and_ranked_apart(folder):
    records = read_records(folder[0] / RECORDS)
    costlier = [
        r | {"steps": 8, "seconds_per_instance": 9.0, "error": r["error"] / 2}
        for r in records
        if r["method"] == "fundps" and not r["equireg"]
    ]
    axis = plot_cost(records + costlier, "seconds").axes[0]
    lines = {bars.get_label(): bars.lines[0] for bars in axis.containers}
    assert set(lines) == {"the limit", "kriging", "fundps", "fundps, EquiReg"}
    assert [len(line.get_xdata()) for line in lines.values()].count(2) == 1
    assert lines["fundps"].get_xdata()[1] == 9.0 and lines["fundps"].get_linestyle() == "-"
    pair = lines["fundps"], lines["fundps, EquiReg"]
    assert (
        len({line.get_color() for line in pair}) == 1
        and len({line.get_fillstyle() for line in pair}) == 2
    )
    text = overall_table(records + costlier)
    found = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in text.splitlines()}
    assert {"fundps, 4 steps", "fundps, 8 steps", "fundps, EquiReg"} <= set(found)
    asked = [r["network_evaluations"] for r in costlier]
    assert found["fundps, 8 steps"][4:6] == [f"{sum(asked) / len(asked):.0f}", "9.00"]


def test_a_record_can_be_computed_again(folder):
    rows = read_records(folder[0] / "records.instances.jsonl")
    for row in (next(r for r in rows if r["method"] == m) for m in ("gaussian", "fundps")):
        truth, _, posterior = posterior_of(row)
        c = [f.name for f in posterior.fields].index(row["field"])
        error = relative_l2(posterior.mean[None, c : c + 1], truth[None, c : c + 1])
        assert float(error) == pytest.approx(row["error"], rel=1e-4)


def test_records_of_other_fields_are_not_compared(folder, tmp_path):
    text = (folder[0] / "records.instances.jsonl").read_text()
    first = json.loads(text.splitlines()[0])
    (tmp_path / "records.instances.jsonl").write_text(
        text + json.dumps(first | {"method": "another", "instance_hash": "0" * 12}) + "\n"
    )
    with pytest.raises(InputError, match="must be the same for all methods, got"):
        write_page(tmp_path)
    finer = {name: value for name, value in first.items() if name != "error_spectrum"}
    (tmp_path / "records.instances.jsonl").write_text(
        text + json.dumps(finer | {"grid": 64}) + "\n"
    )
    with pytest.raises(
        InputError, match=r"records must be of the same tasks, got grid 16.* and grid 64"
    ):
        write_page(tmp_path)
    for text, message in ((None, "has no records.instances.jsonl; make it with"), ("", "is empty")):
        if text is None:
            (tmp_path / "records.instances.jsonl").unlink()
        else:
            (tmp_path / "records.instances.jsonl").write_text(text)
        with pytest.raises(InputError, match=message):
            write_page(tmp_path)
