"""Files of records: what each refusal names, and what is read as before."""

import json
from pathlib import Path

import pytest

from pdeinv import InputError, NumericalError
from pdeinv.benchmarks import kinds
from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.records import JsonLines, read_records
from pdeinv.benchmarks.summary import summarise
from pdeinv.benchmarks.verify import BASELINE

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
FILES = sorted([*RESULTS.glob("*.jsonl"), BASELINE])
LINES = (RESULTS / "standard-128.instances.jsonl").read_text().splitlines()[:3]


def write(folder, *lines, number=1, **changed):
    """Write a file whose line of that number has other values."""
    texts = list(lines or LINES)
    if changed:
        record = json.loads(texts[number - 1]) | changed
        kept = {name: value for name, value in record.items() if value != "absent"}
        texts[number - 1] = json.dumps(kept)
    path = folder / "r.instances.jsonl"
    path.write_text("".join(text + "\n" for text in texts))
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_recorded_results_are_read_to_the_last_digit(path):
    plain = [json.loads(line) for line in path.read_text().splitlines()]
    assert repr(read_records(path)) == repr(plain)  # the order of names, ints and floats too


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"error": "small"}, "error must be a number, got 'small'"),
        ({"error": float("nan")}, "error must be a finite number, got nan"),
        ({"error": -0.5}, "error must be at least 0, got -0.5"),
        ({"error": 1e300}, r"error must be at most 1e\+100, got 1e\+300"),
        ({"error": "absent"}, "error is missing"),
        ({"grid": 128.0}, "grid must be an integer, got 128.0"),
        ({"grid": 10**9}, "grid must be at most 4096, got 1000000000"),
        ({"task": "back"}, "task must be 'forward', 'inverse' or 'both', got 'back'"),
        ({"metric": "loss"}, "metric must be 'relative_l2' or 'error_rate', got 'loss'"),
        ({"settings": "{steps"}, "settings must be a JSON object in a text, got '{steps'"),
        ({"equireg": 2}, "equireg must be true, false or the name of a variant, got 2"),
        ({"ranks": [0.5, 0.5]}, "ranks must have 20 numbers for 19 samples, got 2 of them"),
        ({"network_evaluations": None}, "network_evaluations must be known where error is"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_faulty_value_is_refused_with_its_file_line_and_name(changed, words, tmp_path):
    path = write(tmp_path, number=2, **changed)
    with pytest.raises(InputError, match=rf"^{words}.*, in line 2 of .*r\.instances\.jsonl; corr"):
        read_records(path)


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("*.instances.jsonl")), ids=lambda path: path.name
)
def test_summaries_of_recorded_instances_fit_their_schema(path):
    summaries = summarise(read_records(path, kinds=(kinds.INSTANCES,)))
    assert [kinds.SUMMARIES.problem(summary) for summary in summaries] == [None] * len(summaries)


def test_a_record_that_could_not_be_read_is_not_written(tmp_path):
    path = write(tmp_path)
    before, log = path.read_bytes(), JsonLines(path, kinds.INSTANCES)
    with pytest.raises(NumericalError, match=r"r\.instances\.jsonl must fit its schema, and error"):
        log.append(json.loads(LINES[0]) | {"instance": 99, "error": float("inf")})
    assert path.read_bytes() == before


def test_a_later_versions_names_are_kept(tmp_path):
    assert read_records(write(tmp_path, colour="red"))[0]["colour"] == "red"


def test_a_record_that_is_there_twice_is_refused(tmp_path):
    path = write(tmp_path, *LINES, LINES[0])
    with pytest.raises(InputError, match=r"line 4 of .* must differ from line 1 .*keep one of"):
        read_records(path)
    other = write(tmp_path)
    (tmp_path / "again.jsonl").write_text(other.read_text())
    with pytest.raises(InputError, match=r"line 1 of .*again\.jsonl must differ from line 1 of"):
        read_records(other, tmp_path / "again.jsonl", kinds=(kinds.INSTANCES,))


def test_a_file_of_another_kind_or_of_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be a summary, got an instance; give another file"):
        read_records(write(tmp_path), kinds=(kinds.SUMMARIES,))
    with pytest.raises(InputError, match=r"must be a record of a benchmark, got \{'a': 1\}; give"):
        read_records(write(tmp_path, '{"a": 1}'))
    mixed = (RESULTS / "numerics.jsonl").read_text().splitlines()[0]
    with pytest.raises(InputError, match="must be an instance, as the others are, got a measure"):
        read_records(write(tmp_path, *LINES, mixed))
    with pytest.raises(InputError, match="is empty; give a file with records"):
        read_records(write(tmp_path, ""), kinds=(kinds.SUMMARIES,))


@pytest.mark.parametrize(
    "text", ["{oops", "[" * 10_000, '{"a": ' * 10_000, "\N{LATIN SMALL LETTER E WITH ACUTE}"]
)
def test_what_is_not_json_is_refused_however_deep(text, tmp_path):
    path = write(tmp_path, *LINES, text)
    with pytest.raises(InputError, match=r"line 4 of .* must be JSON, and is not .*; correct it"):
        read_records(path)
    path.write_bytes(path.read_text().encode("latin-1"))
    with pytest.raises(InputError, match="must be JSON"):
        read_records(path)


@pytest.mark.parametrize("text", ["my notes", "a,b\n1,2\n", '{"a": 1}\n', LINES[0] + "\nnotes"])
def test_a_run_leaves_a_file_that_is_not_its_own_as_it_is(text, tmp_path):
    path = tmp_path / "notes.instances.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"line(?: 1|) of .*notes\.instances\.jsonl.*; "):
        JsonLines(path, kinds.INSTANCES)
    assert path.read_text() == text


def test_a_run_goes_on_after_a_line_cut_short_and_changes_no_other(tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole + LINES[0].encode()[:40])
    log = JsonLines(path, kinds.INSTANCES)
    assert len(log.read()) == 3 and path.read_bytes() == whole


def test_a_record_whose_prior_is_gone_is_refused(tmp_path):
    (row,) = read_records(write(tmp_path, LINES[0], given_prior="mine.safetensors#0123"))
    with pytest.raises(InputError, match=r"prior mine\.safetensors cannot be read .*; give a file"):
        Cell.of_record(row)
