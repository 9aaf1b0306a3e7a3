"""Every option of every command with odd values: a result, or one sentence and exit code 2 or 3."""

import os
import re
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from tally import tally
from time_limit import time_limit

from pdeinv import cli

LIMIT = 20  # seconds for one command
ODD = [
    *("", " ", "0", "-1", "1.5", "1e9", "1e400", "nan", "inf", "-inf", "99999999999999999999"),
    *("1000000000", "x" * 300, "x" * 250, "a/" * 3000, "~", "~/r.nc", "~nobody/r.nc", "é.nc"),
    *("\udcff\udcfe.nc", "=", "tau", "tau=", "=5", "tau=1e400", "tau=nan", "tau=-0", "tau=five"),
    *("modes=99999999999999999999", "modes=2.5", "-", "--", "/dev/null", "/proc/self/mem", ".."),
    *(".", "s.csv", "folder.nc", "cut.h5", "text.h5", "[[[[", "(" * 300, "None"),
    *(
        "poison",
        "flux:left",
        "kriging",
        "unknown",
        "1..2",
        "..",
        "2..1",
        "potential=1e-4..1",
        "20%",
        "0.5",
    ),
]
"""Values, and the files of the fixture `folder`."""
FEW, TOO_MANY = 12, 10**9
"""Whole numbers up to the one or from the other: those in between may be work, and no fault."""

_BENCHMARK = (
    "--pde poisson --method gaussian --task forward --grid 16 --sensors 5 --instances 1 --samples 2"
)
_LOG = "--out new.jsonl --instances 1"
BASE = {
    "problem": "torus-flow --out d",
    "observe": "ensemble.h5 --field potential --out o.csv --n 3",
    "reconstruct": "s.csv --pde poisson --out r.nc --grid 16 --samples 1",
    "generate": "poisson --n 2 --grid 8 --out g.h5 --workers 1",
    "train": "ensemble.h5 --out t.safetensors --steps 1 --model gaussian",
    "demo": "--pde poison --out d",
    "benchmark": f"{_BENCHMARK} --out b.jsonl",
    "report": "b.jsonl --no-pictures",
    "calibrate": "--pde poisson --draws 20 --grid 16 --n 4 --out c.nc",
    "check": "poisson --grid 8",
    "compare": "a.nc b.nc",
    "design": "s.csv --pde poisson --grid 16 --add 1 --out d.csv",
    "equivariance": "--pde poisson --grid 16 --fields 2",
    "info": "",
    "plan": "s.csv --pde poisson --grid 16 --samples 1 --out p.nc",
    "view": "a.nc --out v.html",
    "study tables": "b.jsonl",
    "study figures": "seconds b.jsonl --out f.png",
    "study docs-tables": "page.md",
    "study ablation": "b.instances.jsonl",
    "study gaussian-limit": f"{_LOG} --pde poisson --grid 16 --steps 2 --method dps",
    "study aquifer": _LOG,
    "study black-box": _LOG,
    "study basin": _LOG,
    "study pumping-test": _LOG,
    "study two-pumping-tests": _LOG,
    "study further-readings": f"{_LOG} --case poisson",
    "study quantities": f"{_LOG} --case poisson",
    "study memory": f"{_LOG} --case observe --grid 16 --sensors 5",
    "study crashes": f"{_LOG} --case generate",
    "study two-inclusions": _LOG,
    "study uncertain-sides": _LOG,
    "study flow-sensors": f"{_LOG} --grid 16",
    "study any-experiment": f"{_LOG} --grid 16 --sensors 4",
    "study unknown-numbers": f"{_LOG} --grid 16 --sensors 4",
    "study unknown-viscosity": f"{_LOG} --grid 16 --sensors 8",
    "study wrong-assumptions": f"{_LOG} --grid 16 --sensors 4",
    "study robust-readings": f"{_LOG} --grid 16 --sensors 4",
    "study alarm-rates": f"{_LOG} --grid 16 --sensors 4",
    "study model-choice": f"{_LOG} --grid 16 --sensors 4",
    "study calibrated": f"{_LOG} --grid 16 --sensors 4 --draws 20",
    "study scene-limits": f"{_LOG} --grid 16 --sensors 4 --steps 20",
    "study plans": f"{_LOG} --grid 16 --case poisson",
    "study workers": f"{_LOG} --grid 16 --case generation --workers 1",
    "study roofline": f"{_LOG} --pde poisson --grid 16 --sensors 4",
    "study soak": f"{_LOG} --part single --count 2",
    "study numerics": "--out new.jsonl --grid 16 --n 2",
    "study reference": f"{_LOG} --pde darcy --grid 16 --sensors 4 --chains 4 --steps 80",
    "study timing": "--out new.jsonl",
    "study priors": "poisson --out new.jsonl --figures .",
    "study prior-ablation": "t.safetensors --out new.jsonl",
}
"""A command line of each command."""
_NOWHERE = ("--out", "nowhere/new.jsonl")
FAULTS = {
    "calibrate": [("--out", "nowhere/c.nc"), ("--draws", "3")],
    "demo": [("--pde", "poison"), ("--out", "s.csv")],
    "design": [("--out", "nowhere/d.csv"), ("--of", "wind"), ("--add", "0")],
    "equivariance": [_NOWHERE, ("--pde", "poison")],
    "plan": [("--out", "nowhere/p.nc"), ("--pde", "poison")],
    "view": [("--out", "nowhere/v.html"), ("--out", "a.nc")],
    "study gaussian-limit": [_NOWHERE, ("--pde", "poison")],
    "study aquifer": [_NOWHERE, ("--instances", "0")],
    "study black-box": [_NOWHERE, ("--method", "poison")],
    "study basin": [_NOWHERE, ("--method", "poison")],
    "study pumping-test": [_NOWHERE, ("--method", "poison")],
    "study two-pumping-tests": [_NOWHERE, ("--instances", "0")],
    "study further-readings": [_NOWHERE, ("--case", "poison")],
    "study quantities": [_NOWHERE, ("--case", "poison")],
    "study memory": [_NOWHERE, ("--case", "poison"), ("--grid", "0")],
    "study roofline": [_NOWHERE, ("--pde", "poison"), ("--grid", "2"), ("--sensors", "0")],
    "study crashes": [_NOWHERE, ("--case", "poison"), ("--kills", "0")],
    "study two-inclusions": [_NOWHERE, ("--instances", "0")],
    "study uncertain-sides": [_NOWHERE, ("--instances", "0")],
    "study flow-sensors": [_NOWHERE, ("--grid", "2")],
    "study any-experiment": [_NOWHERE, ("--method", "poison")],
    "study unknown-numbers": [_NOWHERE, ("--only", "poison")],
    "study unknown-viscosity": [_NOWHERE, ("--instances", "0")],
    "study wrong-assumptions": [_NOWHERE, ("--only", "poison")],
    "study robust-readings": [_NOWHERE, ("--only", "poison")],
    "study alarm-rates": [_NOWHERE, ("--only", "poison")],
    "study model-choice": [_NOWHERE, ("--only", "poison")],
    "study calibrated": [_NOWHERE, ("--only", "poison")],
    "study scene-limits": [_NOWHERE, ("--family", "scenarios")],
    "study plans": [_NOWHERE, ("--case", "poison")],
    "study workers": [_NOWHERE, ("--case", "generations")],
    "study soak": [_NOWHERE, ("--part", "poison")],
    "study numerics": [_NOWHERE, ("--n", "0")],
    "study reference": [_NOWHERE, ("--chains", "3")],
    "study timing": [_NOWHERE, ("--plot", "t.txt")],
    "study priors": [_NOWHERE, (0, "nosuch")],
    "study prior-ablation": [_NOWHERE, (0, "nosuch")],
}
"""Places and values that spare the long commands their work: one of them is in each line, whatever
else is odd. There are several, so that every place is tried."""


def placed(arguments, place, *value):
    """Return the arguments with a value at the place of a positional one, or of an option."""
    if isinstance(place, int):
        return [*arguments[:place], *value, *arguments[place + 1 :]]
    if place in arguments and value:
        i = arguments.index(place) + 1
        return [*arguments[:i], *value, *arguments[i + 1 :]]
    return [*arguments, place, *value]


def commands(group=None, path=()):
    """Yield the words and the click command of every command."""
    group = group or typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def places():
    """Return (command, place of a positional argument or name of an option) for all of them, and
    those of options without a value."""
    found, flags = [], set()
    for name, command in commands():
        count = len(BASE[name].split(" --")[0].split()) if not BASE[name].startswith("--") else 0
        found += [(name, i) for i in range(count)]
        for parameter in command.params:
            options = [o for o in parameter.opts if o.startswith("--")]
            if options and parameter.param_type_name == "option":  # typer has a click of its own
                found += [(name, options[0])]
                flags |= {(name, options[0])} if parameter.is_flag else set()
    return found, flags


PLACES, FLAGS = places()


@st.composite
def command_lines(draw):
    """A working command line of a random command, with one or two odd values."""
    name, _ = draw(st.sampled_from(PLACES))
    arguments = BASE[name].split()
    fault = draw(st.sampled_from(FAULTS[name])) if name in FAULTS else ()
    mine = [place for command, place in PLACES if command == name and place not in fault[:1]]
    whole = st.integers(max_value=FEW) | st.integers(min_value=TOO_MANY)
    value = st.sampled_from(ODD) | st.text(max_size=12) | whole.map(str)
    value = value.filter(lambda text: "\0" not in text)  # the system passes none
    arguments = placed(arguments, *fault) if fault else arguments
    for place in draw(st.lists(st.sampled_from(mine), min_size=1, max_size=2, unique=True)):
        bare = (name, place) in FLAGS and draw(st.booleans())
        arguments = placed(arguments, place, *(() if bare else (draw(value),)))
    return [*name.split(), *arguments]


def assert_ends_well(outcome):
    code, _, err = outcome
    assert code in (0, 2, 3), err
    assert "Traceback" not in err
    if code:
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        usage = lines[0].startswith("Usage: ")
        assert usage or (len(lines) == 1 and lines[0].startswith("error: ")), err


MADE = {}
"""Contents of the files that `records` adds, by name, once they are made."""


@pytest.fixture
def records(folder, pdeinv):
    """Return the working directory, with the records of a benchmark and two results."""
    if not MADE:
        before = contents(folder)
        assert pdeinv("benchmark", *BASE["benchmark"].split())[0] == 0
        assert pdeinv("reconstruct", *BASE["reconstruct"].split())[0] == 0
        made = {name: Path(name).read_bytes() for name in contents(folder).keys() - before.keys()}
        made["page.md"] = b"# A page\n"
        MADE.update(made | dict.fromkeys(("a.nc", "b.nc"), made.pop("r.nc")))
        Path("r.nc").unlink()
    for name, content in MADE.items():
        Path(name).write_bytes(content)
    return folder


def test_each_command_has_a_command_line_here():
    assert BASE.keys() == dict(commands()).keys()


def test_every_option_is_among_the_places():
    for name, command in commands():
        tried = {place for of, place in PLACES if of == name}
        for names in (parameter.opts for parameter in command.params):
            assert tried & {*names} or not names[0].startswith("--"), (name, names)
    assert ("reconstruct", "--noise") in PLACES and ("observe", "--append") in FLAGS


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n, all_ in FAULTS.items() for f in all_])
def test_a_fault_spares_a_long_command_its_work(records, pdeinv, name, fault):
    with time_limit(LIMIT):
        outcome = pdeinv(*name.split(), *placed(BASE[name].split(), *fault))
    assert_ends_well(outcome)
    assert outcome[0] == 2


def contents(folder):
    """Return the files of a folder, with what a change of one would change."""
    return {e.name: (e.stat().st_size, e.stat().st_mtime_ns) for e in os.scandir(folder)}


def test_any_option_with_any_value_ends_in_a_result_or_one_sentence(records, pdeinv, monkeypatch):
    @given(command_lines())
    def check(arguments):
        before = warnings.showwarning
        with tempfile.TemporaryDirectory() as place:
            monkeypatch.chdir(shutil.copytree(records, place, dirs_exist_ok=True))
            given = contents(place)
            with time_limit(LIMIT):
                outcome = pdeinv(*arguments)
            left = contents(place)
            monkeypatch.chdir(records)
        warnings.showwarning = before
        assert_ends_well(outcome)
        tally("command lines", refused=outcome[0] != 0)
        assert outcome[0] != 2 or left == given, (arguments, outcome)

    check()


_OBSERVE, _REFERENCE = f"observe {BASE['observe']}", f"study reference {BASE['study reference']}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("problem torus-flow --out ~/d", "only a shell expands ~"),
        ("generate poisson --n 2 --out .", "give the name of a file in it"),
        ("generate poisson --n 2 --out ~", "only a shell expands ~"),
        ("generate poisson --n 2 --out g.h5 --grid 0", "at least 8, got 0"),
        (f"{_OBSERVE} --instrument \udcff", r"instrument must be text .*, got '\\udcff'"),
        (f"{_OBSERVE} --replicate \udcff", r"replicate must be text .*, got '\\udcff'"),
        (f"{_OBSERVE} --time nan", "time must be left out for potential in .*, got nan; drop it"),
        (f"{_OBSERVE} --experiment a", "experiment must be left out .*, got 'a'; drop it"),
        ("observe poisson --field potential --out o.csv --experiment a", "got 'a'; drop it"),
        (f"benchmark {BASE['benchmark']} --steps 0", "steps must be left out"),
        (f"{_REFERENCE} --steps 79", "at least 80, got 79"),
        (f"{_REFERENCE} --chains 1000000000", "at most 1000, got 1000000000"),
        (f"{_REFERENCE} --instances 0", "at least 1, got 0"),
        (f"study aquifer {BASE['study aquifer']} --instances -1", "at least 1, got -1"),
        (f"study gaussian-limit {BASE['study gaussian-limit']} --instances 0", "got 0"),
    ],
)
def test_a_bad_value_is_refused_before_anything_is_written(folder, pdeinv, arguments, message):
    given = contents(folder)
    with time_limit(LIMIT):
        code, _, err = pdeinv(*arguments.split())
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert re.search(message, err) and contents(folder) == given


def test_a_command_that_is_no_text_makes_records_that_can_be_read(folder, pdeinv):
    for _ in range(2):  # the second run reads what the first wrote
        code, _, err = pdeinv("benchmark", *BASE["benchmark"].split()[:-1], "\udcff.jsonl")
        assert code == 0, err


def test_the_time_limit_is_no_error_that_a_program_answers(pdeinv, monkeypatch):
    monkeypatch.setattr(cli, "app", lambda: time.sleep(5))
    with pytest.raises(pytest.fail.Exception, match="still running"), time_limit(0.1):
        pdeinv("info")


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
