"""The page on numbers that are not known is true: its commands and its program run."""

import pytest
from helpers import ROOT, run_command
from readme_blocks import blocks

import pdeinv

PAGE = "docs/unknown-numbers.md"


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("page")
        patch.chdir(folder)
        (folder / "sources.toml").write_text(blocks("toml", PAGE)[0])
        for line in blocks("sh", PAGE)[0].splitlines():
            run_command(*line.split()[1:])
        found = {"__name__": "page", "folder": folder}
        (code,) = blocks("python", PAGE)
        exec(code, found)
        yield found


def test_the_file_and_the_program_state_the_same_problem(scope):
    stated = pdeinv.Problem.load(scope["folder"] / "sources.toml")
    assert stated.unknowns == scope["problem"].unknowns
    assert [number.name for number in stated.unknowns] == ["std", "length"]


def test_the_numbers_are_inferred_with_the_fields(scope):
    result = scope["result"]
    assert result["parameter"].values.tolist() == ["std", "length"]
    low, mean, high = (result[f"parameter_{end}"].values for end in ("low", "mean", "high"))
    assert (low < mean).all() and (mean < high).all()
    assert result["parameter_samples"].dims == ("sample", "parameter")
    prior = scope["problem"].prior
    for k, name in enumerate(("std", "length")):  # the readings narrow each by far
        unknown = getattr(prior, name)
        assert high[k] / low[k] < 0.5 * unknown.high / unknown.low


def test_the_command_draws_the_laws(scope):
    assert (scope["folder"] / "numbers.png").stat().st_size > 10_000
    assert (ROOT / "benchmarks/results/unknown-viscosity.jsonl").exists()
