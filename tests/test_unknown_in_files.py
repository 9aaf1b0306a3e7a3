"""Unknown numbers in problem files and on the command line: read, written, shown and refused."""

import re
from pathlib import Path

import pytest

from pdeinv import GaussianField, InputError, LogNormal, Problem, TwoPhase, Unknown
from pdeinv.datasets import PDES, Darcy, Experiments, NavierStokes, Poisson, Sides, Value, Well
from pdeinv.problems import EXAMPLES

AQUIFER = EXAMPLES["aquifer"].text


@pytest.fixture
def loaded(tmp_path):
    """Return the problem of an example with one text in place of another."""

    def load(old, new, text=AQUIFER):
        assert old in text
        path = tmp_path / "p.toml"
        path.write_text(text.replace(old, new, 1))
        return Problem.load(path)

    return load


STATED = {
    "a range of the prior": ("length = 400", "length = [100, 1000]", "length", (100, 1000)),
    "a law": (
        "length = 400",
        'length = {unknown = [100, 1000], law = "log-uniform"}',
        "length",
        (100, 1000),
    ),
    "nothing but the word": ("length = 400", 'length = "unknown"', "length", (60, 1800)),
    "a key that is left out": ("length = 400", "", "length", (60, 1800)),
    "a parameter of the physics": ("thickness = 20", "thickness = [10, 40]", "thickness", (10, 40)),
    "a source": ("source = 0", "source = {unknown = [-1, 1]}", "source", (-1, 1)),
    "a side": ("value = 52", "value = {unknown = [50, 54]}", "value of left", (50, 54)),
    "a well": ("rate = -60", "rate = [-80, -40]", "rate of well 2", (-80, -40)),
}


@pytest.mark.parametrize("case", STATED)
def test_an_unknown_number_is_read_and_written(loaded, tmp_path, case):
    old, new, name, ends = STATED[case]
    problem = loaded(old, new)
    found = {one.name: one.unknown for one in problem.unknowns}
    assert (found[name].low, found[name].high) == pytest.approx(ends)
    assert found[name].law == (
        "normal" if min(ends) < 0 else "log-uniform" if case == "a law" else "log-normal"
    )
    again = Problem.load(problem.save(tmp_path / "again.toml"))
    assert again == problem and again.unknowns == problem.unknowns


def test_an_array_along_a_side_is_no_range(loaded):
    assert not loaded("value = 52", "value = [50, 54]").unknowns


@pytest.mark.parametrize(
    "problem",
    [
        Problem(NavierStokes(viscosity=(1e-4, 1e-2))),
        Problem(Darcy(), TwoPhase(GaussianField(), share="unknown"), 16),
        Problem(Darcy(), TwoPhase(GaussianField(0.0, 1.0), low=(1, 5), high=8.0), 16),
        Problem(Poisson(source=Unknown(-3, 5, "uniform")), grid=16),
        Problem(
            Experiments(
                (
                    Darcy(wells=(Well(0.5, 0.5, Unknown(1, 2)),)),
                    Darcy(boundary=Sides(left=Value(Unknown(1, 2)))),
                ),
                ("a", "b"),
            ),
            LogNormal(length=(0.1, 0.7), smoothness=2.0),
            16,
        ),
    ],
)
def test_a_saved_problem_has_equal_ranges(problem, tmp_path):
    assert problem.unknowns
    assert Problem.load(problem.save(tmp_path / "p.toml")) == problem


LENGTH = "in [prior], .*length of the log-normal prior"
SIDE = "in [boundary] left, .*the value on a side"
MISTAKES = [
    ("length = 400", "length = [1000, 100]", f"{LENGTH}: .* rise, got 1000 to 100; swap"),
    ("length = 400", "length = [100, 100]", f"{LENGTH}: .* rise, got 100 to 100; .* state"),
    ("length = 400", "length = [100]", f"{LENGTH} .* got [100]; give two ends"),
    ("length = 400", "length = []", f"{LENGTH} .* got []; give two ends"),
    ("length = 400", "length = [1, 2, 3]", f"{LENGTH} .* got [1, 2, 3]; give two ends"),
    ("length = 400", "length = ['a', 2]", f"{LENGTH} must be a finite number, got 'a'"),
    (
        "length = 400",
        "length = 'unknowm'",
        f"{LENGTH} must be .* or 'unknown', got 'unknowm'; give one",
    ),
    ("length = 400", "length = [-1, 5]", f"{LENGTH} .* above 0, got -1.0; use a larger"),
    ("length = 400", "length = [1, inf]", f"{LENGTH} must be a finite number, got inf"),
    ("length = 400", "length = {unknow = [1, 2]}", f"{LENGTH} .* got {{'unknow': .*; write one"),
    ("length = 400", "length = {}", f"{LENGTH} must be a number or {{unknown = [low, high]}}"),
    ("length = 400", "length = {unknown = 5}", f"{LENGTH} .* got {{'unknown': 5}}; write one"),
    ("length = 400", "length = {unknown = [1, 2], law = 'flat'}", f"{LENGTH}: law .* 'flat'; use"),
    (
        "length = 400",
        "length = {unknown = [-1, 2], law = 'log-uniform'}",
        f"{LENGTH}: .* positive, got -1 to 2; use the law 'uniform'",
    ),
    ("length = 400", "length = 400\nlog_median_std = [1, 2]", "in [prior], log_median_std .* got"),
    ("thickness = 20", "thickness = 'unknown'", "in [physics], .* thickness .* give the range"),
    ("thickness = 20", "thickness = [-1, 4]", "in [physics], .* thickness .* above 0, got -1"),
    ("source = 0", "source = 'unknown'", "in [physics], .* source .* as {unknown = [low, high]}"),
    ("source = 0", "source = [1, 2]", "in [physics], .* (2,); .* {unknown = [low, high]} for"),
    ("value = 52", "value = 'unknown'", f"{SIDE} .* got 'unknown'; give the range that likely"),
    ("value = 52", "value = {unknown = [54, 50]}", f"{SIDE}: .* rise, got 54 to 50; swap"),
    ("value = 52", "value = {unknown = [50]}", f"{SIDE} .* got [50]; give two ends"),
    (
        "value = 52",
        "value = {unknow = [50, 54]}",
        f"{SIDE} .* got 'unknow'; did you mean 'unknown'?",
    ),
    (
        "value = 52",
        "unknown = [50, 54]",
        "[boundary] left must have keys of value, flux, impedance, got",
    ),
    ("rate = -60", "rate = 'unknown'", "in [[well]] 2 rate, .* give the range that likely holds"),
    ("rate = -60", "rate = [-40, -80]", "in [[well]] 2 rate, .* rise, got -40 to -80; swap"),
    ("x = 1000", "x = [1, 2]", "[[well]] 1 x must be a number, got [1, 2]"),
]


def pattern(words):
    return re.escape(words).replace(r"\.\*", ".*")


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_in_a_range_is_one_sentence_with_its_place(loaded, old, new, message):
    with pytest.raises(InputError, match=f"^p.toml: {pattern(message)}") as refusal:
        loaded(old, new)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["dt", "time", "times"])
def test_what_must_be_stated_cannot_be_a_range(tmp_path, name):
    given = "[[1, 2], 3]" if name == "times" else "[1, 2]"
    path = tmp_path / "p.toml"
    path.write_text(f'format = 1\n[physics]\npde = "navier-stokes"\n{name} = {given}\n')
    wanted = rf"in .physics., parameter {name} of navier-stokes must be known, got unknown \(1 to 2"
    with pytest.raises(InputError, match=wanted):
        Problem.load(path)


FIELD = "a number, a range (low, high) or 'unknown', got 'dunno'; give one of these"
NUMBERS = {
    "gaussian-field": ("mean", "std", "length", "smoothness", "anisotropy", "angle"),
    "log-normal": ("median", "log_std", "length", "smoothness", "anisotropy", "angle"),
    "two-phase": ("low", "high", "share"),
}
KINDS = {"gaussian-field": GaussianField, "log-normal": LogNormal, "two-phase": TwoPhase}


@pytest.mark.parametrize("kind", NUMBERS)
def test_another_text_in_the_place_of_a_number_is_refused_alike_everywhere(kind, tmp_path):
    path = tmp_path / "p.toml"
    for name in NUMBERS[kind]:
        stated = {name: "dunno"}
        inner = "" if kind != "two-phase" else 'field = {kind = "gaussian-field"}\n'
        given = stated if kind != "two-phase" else {"field": GaussianField(), **stated}
        message = f"{name} of the {kind} prior must be {FIELD}"
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            KINDS[kind](**given)
        path.write_text(
            f'format = 1\n[physics]\npde = "darcy"\n[prior]\nkind = "{kind}"\n{inner}'
            f'{name} = "dunno"\n'
        )
        with pytest.raises(InputError, match=f"^p.toml: in .prior., {re.escape(message)}$"):
            Problem.load(path)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("thickness = 20", "in [physics], .*thickness .*"),
        ("source = 0", "in [physics], .*source .*"),
        ("value = 52", f"{SIDE} .*"),
        ("rate = -60", "in [[well]] 2 rate, the rate "),
    ],
)
def test_another_text_in_the_place_of_a_number_of_the_physics(loaded, old, message):
    new = f"{old.partition('=')[0]}= 'dunno'"
    wanted = f"p.toml: {message}must be a number .*a range.*, got 'dunno'; give .*"
    with pytest.raises(InputError, match=f"^{pattern(wanted)}$"):
        loaded(old, new)


# The command line


def test_a_parameter_may_be_a_range_on_the_command_line(pdeinv, folder):
    base = ["reconstruct", "s.csv", "--grid", "16", "--out", "r.nc", "--pde", "navier-stokes"]
    for given, message in [
        ("viscosity=1e-2..1e-4", "range of an unknown must rise, got 0.01 to 0.0001; swap"),
        ("viscosity=1e-4..", "range of --param viscosity must be LOW..HIGH, got '1e-4..'; write"),
        ("viscosity=dunno", "viscosity .* must be a number or a range .*, got 'dunno'; give one"),
        ("dt=dunno", "dt .* must be a finite number, got 'dunno'; give a number"),
        ("viscosity=-1..1", "the range of parameter viscosity .* above 0, got -1"),
        ("dt=0.1..0.2", "dt of navier-stokes must be a finite number, got"),
        ("viscosity=unknown", "viscosity .* must be a number or a range, got 'unknown'; give"),
    ]:
        code, _, err = pdeinv(*base, "--param", given)
        assert code == 2 and re.search(message, err) and err.count("\n") == 1, err
    assert not Path("r.nc").exists()


def test_a_range_of_the_command_line_is_that_of_python():
    from pdeinv.cli.options import posed

    flow = posed("navier-stokes", None, ["viscosity=1e-4..1e-2", "alpha=3"])
    prior = PDES["navier-stokes"]().default_prior.with_numbers(alpha=3)
    assert [one.unknown for one in flow.unknowns] == [Unknown(1e-4, 1e-2)]
    assert flow.prior == prior


def test_the_unknown_numbers_of_a_file_are_shown(pdeinv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = AQUIFER.replace("length = 400", "length = [100, 1000]")
    Path("p.toml").write_text(text.replace("value = 52", "value = {unknown = [50, 54]}"))
    code, out, _ = pdeinv("problem", "p.toml")
    assert code == 0 and "darcy" in out and "log-normal" in out
    assert re.search(r"length +100 to 1000 m, log-normal\n", out)
    assert re.search(r"value of left +50 to 54 m, log-normal\n", out)
    Path("q.toml").write_text(AQUIFER)
    code, out, _ = pdeinv("problem", "q.toml")
    assert code == 0 and "unknown" not in out
    code, _, err = pdeinv("problem", "nowhere.toml")
    assert code == 2 and "nowhere.toml" in err
