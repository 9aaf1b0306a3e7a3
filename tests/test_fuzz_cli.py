"""Every option of every command with odd values: a result, or one sentence and exit code 2 or 3."""

import warnings
from pathlib import Path

import click
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from time_limit import time_limit

from pdeinv import cli

LIMIT = 20  # seconds for one command
ODD = [
    *("", " ", "0", "-1", "1.5", "1e9", "1e400", "nan", "inf", "-inf", "99999999999999999999"),
    *("1000000000", "x" * 300, "x" * 250, "a/" * 3000, "~", "~/r.nc", "~nobody/r.nc", "é.nc"),
    *("\udcff\udcfe.nc", "=", "tau", "tau=", "=5", "tau=1e400", "tau=nan", "tau=-0", "tau=five"),
    *("modes=99999999999999999999", "modes=2.5", "-", "--", "/dev/null", "/proc/self/mem", ".."),
    *(".", "s.csv", "folder.nc", "cut.h5", "text.h5", "[[[[", "(" * 300, "None", "poison", "daps"),
]
"""Values, and the files of the fixture `folder`."""

_BENCHMARK = (
    "--pde poisson --method gaussian --task forward --grid 16 --sensors 5 --instances 1 --samples 2"
)
BASE = {
    "problem": "torus-flow --out d",
    "observe": "ensemble.h5 --field potential --out o.csv --n 3",
    "reconstruct": "s.csv --pde poisson --out r.nc --grid 16 --samples 1",
    "generate": "poisson --n 2 --grid 8 --out g.h5 --workers 1",
    "train": "ensemble.h5 --out t.safetensors --steps 1 --model gaussian",
    "demo": "--pde poison --out d",
    "benchmark": f"{_BENCHMARK} --out b.jsonl",
    "report": "b.jsonl --no-pictures",
    "check": "poison --grid 16",
    "equivariance": "--pde poison --grid 16 --fields 2",
    "info": "",
    "study tables": "b.jsonl",
    "study figures": "seconds b.jsonl --out f.png",
    "study docs-tables": "page.md",
    "study ablation": "b.instances.jsonl",
    "study gaussian-limit": "--out l.jsonl --pde poison --instances 1 --grid 16 --steps 2",
    "study aquifer": "--out nowhere/a.jsonl --instances 1",
    "study black-box": "--out nowhere/b.jsonl --instances 1",
    "study pumping-test": "--out nowhere/p.jsonl --instances 1",
    "study two-pumping-tests": "--out nowhere/t.jsonl --instances 1",
    "study flow-sensors": "--out nowhere/f.jsonl --instances 1",
    "study any-experiment": "--out nowhere/e.jsonl --grid 16 --sensors 4 --instances 1",
    "study numerics": "--out nowhere/n.jsonl --grid 16 --n 2",
    "study reference": "--out f.jsonl --pde poison --grid 16 --sensors 4 --instances 1 --chains 2",
    "study timing": "--out nowhere/t.jsonl",
    "study priors": "nosuch",
    "study prior-ablation": "nosuch",
}
"""A command line of each command that ends soon; a fault, such as "poison", spares the long ones
their work."""


def commands(group=None, path=()):
    """Yield the words and the click command of every command."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def places():
    """Return (command, place of a positional argument or name of an option) for all of them."""
    found = []
    for name, command in commands():
        count = len(BASE[name].split(" --")[0].split()) if not BASE[name].startswith("--") else 0
        found += [(name, i) for i in range(count)]
        for parameter in command.params:
            options = [o for o in parameter.opts if o.startswith("--")]
            if options and isinstance(parameter, click.Option):
                found += [(name, options[0])]
    return found


PLACES = places()


@st.composite
def command_lines(draw):
    """A working command line of a random command, with one or two odd values."""
    name, _ = draw(st.sampled_from(PLACES))
    arguments = BASE[name].split()
    mine = [place for command, place in PLACES if command == name]
    value = st.sampled_from(ODD) | st.text(max_size=12) | st.integers().map(str)
    value = value.filter(lambda text: "\0" not in text)  # the system passes none
    for place in draw(st.lists(st.sampled_from(mine), min_size=1, max_size=2, unique=True)):
        if isinstance(place, int):
            arguments[place] = draw(value)
        elif place in arguments:
            arguments[arguments.index(place) + 1] = draw(value)
        else:
            arguments += [place, draw(value)]
    return [*name.split(), *arguments]


def assert_ends_well(outcome):
    code, _, err = outcome
    assert code in (0, 2, 3), err
    assert "Traceback" not in err
    if code:
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        usage = lines[0].startswith("Usage: ")
        assert usage or (len(lines) == 1 and lines[0].startswith("error: ")), err


@pytest.fixture
def records(folder, pdeinv):
    """Return the working directory, with the records of a benchmark."""
    assert pdeinv("benchmark", *BASE["benchmark"].split())[0] == 0
    (folder / "page.md").write_text("# A page\n")
    return folder


def test_each_command_has_a_command_line_here():
    assert BASE.keys() == dict(commands()).keys()


def test_any_option_with_any_value_ends_in_a_result_or_one_sentence(records, pdeinv):
    @given(command_lines())
    def check(arguments):
        before = warnings.showwarning
        with time_limit(LIMIT):
            outcome = pdeinv(*arguments)
        warnings.showwarning = before
        assert_ends_well(outcome)

    check()


@pytest.mark.parametrize("option", ["--out", "--plot", "--prior", "--ensemble"])
@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a/" * 3000 + "r.png"])
def test_a_name_that_is_too_long_for_the_file_system_is_one_sentence(folder, pdeinv, option, name):
    base = (
        BASE["reconstruct"].replace("--out r.nc", "") if option == "--out" else BASE["reconstruct"]
    )
    code, _, err = pdeinv("reconstruct", *base.split(), option, name)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert "too long" in err


def test_a_name_as_long_as_the_file_system_allows_is_written(folder, pdeinv):
    name = "x" * 251 + ".png"
    code, _, _ = pdeinv("reconstruct", *BASE["reconstruct"].split(), "--plot", name)
    assert code == 0 and Path(name).is_file()


@pytest.mark.parametrize("extra", [["--param", ""], ["--prior="], ["--plot", ""], ["--out="]])
def test_an_empty_value_is_refused_by_the_name_of_its_option(folder, pdeinv, extra):
    code, _, err = pdeinv("reconstruct", *BASE["reconstruct"].split(), *extra)
    assert code == 2 and "must not be empty; leave it out or give a value" in err
    assert extra[0].rstrip("=") in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (f"benchmark {_BENCHMARK} --grid 1000000000 --out b.jsonl", "at most 4096"),
        (f"benchmark {_BENCHMARK} --grid 99999999999999999999 --out b.jsonl", "at most 4096"),
        (f"benchmark {_BENCHMARK} --instances 1000000000 --out b.jsonl", "at most 1000003"),
        (f"benchmark {_BENCHMARK} --samples 1000000000 --out b.jsonl", "1000000000 samples"),
        ("equivariance --pde poisson --grid 16 --fields 1000000000", "1000000000 states"),
        ("equivariance --pde poisson --grid 1000000000", "at most 4096"),
        ("reconstruct s.csv --pde poisson --out r.nc --grid 99999999999999999999", "at most 4096"),
        ("reconstruct s.csv --pde poisson --out r.nc --samples 1000000000", "1000000000 states"),
    ],
)
def test_numbers_beyond_any_machine_are_refused_with_the_bound(folder, pdeinv, arguments, message):
    with time_limit(LIMIT):
        code, _, err = pdeinv(*arguments.split())
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert message in err


def test_a_folder_behind_a_tilde_is_not_written_beside_the_data(folder, pdeinv):
    code, _, err = pdeinv("reconstruct", *BASE["reconstruct"].replace("r.nc", "~").split())
    assert code == 2 and "only a shell expands ~" in err
    assert not (folder / "~").exists()


def test_an_unknown_option_is_answered_with_the_nearest(folder, pdeinv):
    code, _, err = pdeinv("reconstruct", "s.csv", "--pdee", "poisson", "--out", "r.nc")
    assert code == 2 and "--pdee" in err and "--pde" in err.replace("--pdee", "")


def test_a_failing_disk_is_one_sentence(pdeinv, folder, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device", "r.nc")

    monkeypatch.setattr(cli, "app", fail)
    code, _, err = pdeinv("info")
    assert (code, err.count("\n")) == (2, 1)
    assert "r.nc cannot be used (No space left on device)" in err
