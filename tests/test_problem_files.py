"""A problem file: read, written, and refused in one sentence with the place of the mistake."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import contents, gaussian_prior, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from pdeinv import (
    Ensemble,
    Field,
    GaussianField,
    Grid,
    InputError,
    Instrument,
    LogNormal,
    Problem,
    SpectralField,
    Transformed,
    TwoPhase,
)
from pdeinv.datasets import (
    PDES,
    Darcy,
    Experiments,
    Flux,
    Helmholtz,
    NavierStokes,
    NoFlux,
    Poisson,
    Sides,
    Value,
    Well,
    pde_by_name,
)
from pdeinv.grid import Domain
from pdeinv.priors import save, shipped
from pdeinv.problems import EXAMPLES
from pdeinv.unknown import Unknown

AQUIFER = EXAMPLES["aquifer"].text
OWN_PDE = """
from dataclasses import dataclass
from pdeinv.datasets import Poisson

@dataclass(frozen=True)
class Stronger(Poisson):
    factor: float = 2.0
    name = "stronger"
"""


@pytest.fixture
def loaded(tmp_path):
    """Return the problem of a text."""

    def load(text):
        path = tmp_path / "p.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Problem.load(path)

    return load


def round_trip(problem, folder):
    path = folder / "problem.toml"
    assert problem.save(path) == path
    return Problem.load(path)


# What is read


@pytest.mark.parametrize("name", PDES)
def test_the_name_of_a_pde_alone_is_the_published_problem(loaded, name):
    assert loaded(f'format = 1\n[physics]\npde = "{name}"\n') == Problem.named(name)


def test_a_file_states_a_whole_problem(loaded):
    problem = loaded(AQUIFER)
    physics = problem.physics
    assert physics == Darcy(
        source=0.0,
        domain=Domain((0.0, 3000.0, 0.0, 1200.0), "m"),
        boundary=Sides(Value(52), Value(50), NoFlux(), NoFlux()),
        wells=(Well(1000, 500, -100), Well(2100, 700, -60)),
        thickness=20.0,
        coefficient_field=Field("hydraulic_conductivity", "hydraulic conductivity", "m day-1"),
        solution_field=Field("head", "hydraulic head", "m"),
    )
    assert problem.prior == LogNormal(median=8.0, log_std=1.5, length=400.0)
    assert problem.grid == physics.grid(48, 120)


def test_an_experiment_takes_what_it_does_not_state(loaded):
    text = """
    format = 1
    [domain]
    extent = [0, 2, 0, 1]
    [physics]
    pde = "darcy"
    source = 0
    thickness = 3
    [boundary]
    left = {value = [1, 2, 3]}
    right = {value = 2}
    bottom = {flux = 0.5}
    top = "no flux"
    [[well]]
    x = 0.5
    y = 0.25
    rate = 1
    [[experiment]]
    name = "rest"
    well = []
    [[experiment]]
    name = "pumping"
    source = 0.25
    boundary = {left = "no flux"}
    [[experiment]]
    name = "both"
    [[experiment.well]]
    x = 1.5
    y = 0.5
    rate = -2
    """
    rest, pumping, both = loaded(text).physics.physics
    sides = Sides(Value([1, 2, 3]), Value(2), Flux(0.5), NoFlux())
    assert rest == Darcy(domain=Domain((0, 2, 0, 1)), source=0.0, thickness=3.0, boundary=sides)
    assert pumping == dataclasses.replace(
        rest,
        source=0.25,
        wells=(Well(0.5, 0.25, 1),),
        boundary=dataclasses.replace(sides, left=NoFlux()),
    )
    assert both == dataclasses.replace(rest, wells=(Well(1.5, 0.5, -2),))


def test_editors_may_add_a_byte_order_mark_and_other_line_ends(loaded):
    assert loaded(b"\xef\xbb\xbf" + AQUIFER.replace("\n", "\r\n").encode()) == loaded(AQUIFER)


# What is written


def test_a_problem_without_a_prior_has_that_of_its_physics(tmp_path):
    assert round_trip(Problem(Poisson()), tmp_path).prior == Poisson().default_prior


AQUIFER_DOMAIN = Domain((0.0, 3000.0, 0.0, 1200.0), "m")
PROBLEMS = {
    "unforced": Problem(NavierStokes()),
    "array": Problem(NavierStokes(forcing=np.array([[0.0, 1.0], [0.5, -1.5]]), viscosity=1e-4)),
    "outputs": Problem(Darcy(outputs=("flux_x",)), LogNormal(3.0, 1.5, 0.4), 48),
    "names": Problem(Poisson(solution_field=Field("a", 'quote " \\ \x7f \t é', "m é"))),
    "flat": Problem(Poisson(), GaussianField(0.0, 1.0, 0.2, smoothness=5, mean_std=math.inf)),
    "phases": Problem(Darcy(), TwoPhase(GaussianField(0.0, 1.0, 0.2, angle=-30.5), 1, 2, 0.3)),
    "torus": Problem(
        NavierStokes(domain=Domain((0, 2, 0, 1))), SpectralField("periodic", 2.5, 7.0, 32)
    ),
    "grid": Problem(
        Darcy(domain=AQUIFER_DOMAIN, source=[[1.0, 0.1], [2.0, 3.0], [1 / 3, 1e-300]]),
        grid=Grid(48, 120, AQUIFER_DOMAIN.extent, "m"),
    ),
    "wavenumbers": Problem(Experiments((Helmholtz(k=1.0), Helmholtz(k=6.0)), ("low", "high"))),
    "experiments": Problem(
        Experiments(
            (
                Darcy(wells=(Well(0.5, 0.5, 1.0),)),
                Darcy(boundary=Sides(top=NoFlux(), left=Flux([0.1, 0.2]))),
                Darcy(wells=(Well(0.2, 0.5, 1),), outputs=("flux_x", "log_permeability")),
            )
        )
    ),
    "instruments": Problem(
        Darcy(), instruments=(Instrument("probe A", 0.05), Instrument('"B" é', 0))
    ),
    "classes": Problem(
        Experiments((Poisson(source=1.0), Helmholtz(k=2.0, boundary=Sides(*[NoFlux()] * 4))))
    ),
}


@pytest.mark.parametrize("name", [*EXAMPLES, *PDES, *PROBLEMS])
def test_what_is_written_is_read_as_an_equal_problem(name, tmp_path):
    problem = PROBLEMS.get(name) or (
        EXAMPLES[name].problem if name in EXAMPLES else Problem.named(name)
    )
    assert round_trip(problem, tmp_path) == problem


numbers = st.floats(-1e6, 1e6).map(lambda v: v if abs(v) > 1e-9 else 0.5)
quantities = numbers | st.lists(numbers, min_size=2, max_size=4)
sides = quantities.map(Value) | quantities.map(Flux) | st.just(NoFlux())
fields = st.builds(
    GaussianField,
    mean=numbers,
    std=st.floats(0.1, 1e5),
    length=st.floats(0.3, 5),
    smoothness=st.floats(1, 60) | st.just(math.inf),
    anisotropy=st.floats(0.5, 1),
    angle=st.floats(-360, 360),
    mean_std=st.sampled_from([0.0, 2.5]),
)
priors = st.builds(
    LogNormal, st.floats(1e-6, 1e3), st.floats(0.1, 3), st.floats(0.3, 5)
) | st.builds(TwoPhase, fields, st.floats(0.1, 1), st.floats(2, 1e3), st.floats(0.1, 0.9))


@st.composite
def problems(draw):
    x0, y0 = draw(numbers), draw(numbers)
    height = 1 + abs(x0) + abs(y0)
    unit = draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=3))
    domain = Domain((x0, x0 + draw(st.floats(1, 2)) * height, y0, y0 + height), unit)
    well = st.builds(
        lambda x, y, rate: Well(*domain.absolute(torch.tensor([x, y]).double()).tolist(), rate),
        st.floats(0.1, 0.9),
        st.floats(0.1, 0.9),
        numbers,
    )

    def physics():
        return Darcy(
            source=draw(numbers | st.just([[1.0, draw(numbers)], [draw(numbers), 3.0]])),
            domain=domain,
            boundary=Sides(draw(sides), draw(sides), draw(sides), Value(draw(quantities))),
            wells=tuple(draw(st.lists(well, max_size=2))),
            thickness=draw(st.floats(1e-3, 1e3)),
        )

    count = draw(st.integers(0, 3))
    whole = Experiments(tuple(physics() for _ in range(count))) if count else physics()
    prior = draw(priors)
    grid = draw(st.integers(4, 100) | st.just(whole.grid(12, 34)))
    scale = domain.shorter
    if isinstance(prior, LogNormal):
        prior = dataclasses.replace(prior, length=prior.length * scale)
    else:
        field = dataclasses.replace(prior.field, length=prior.field.length * scale)
        prior = dataclasses.replace(prior, field=field)
    names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3).filter(str.strip)
    instruments = draw(st.dictionaries(names.map(str.strip), st.floats(0, 1e9), max_size=2))
    return Problem(whole, prior, grid, instruments)


@given(problems())
@settings(max_examples=30)
def test_any_problem_is_read_as_it_was_written(tmp_path_factory, problem):
    assert round_trip(problem, tmp_path_factory.mktemp("any")) == problem


def test_a_class_from_a_file_is_stated_relative_to_the_problem(tmp_path, loaded):
    (tmp_path / "own.py").write_text(OWN_PDE)
    problem = loaded('format = 1\n[physics]\npde = "own.py:Stronger"\nfactor = 3\n')
    assert type(problem.physics).__name__ == "Stronger" and problem.physics.factor == 3.0
    (tmp_path / "below").mkdir()
    path = problem.save(tmp_path / "below" / "again.toml")
    assert 'pde = "../own.py:Stronger"' in path.read_text()
    assert Problem.load(path) == problem


def test_a_learned_prior_is_stated_by_its_file_or_its_name(tmp_path, loaded):
    save(gaussian_prior("poisson"), tmp_path / "own.safetensors")
    head = 'format = 1\n[physics]\npde = "poisson"\n[prior]\n'
    (tmp_path / "below").mkdir()
    own = loaded(f'{head}file = "own.safetensors"\n')
    assert type(own.prior).__name__ == "GaussianPrior"
    path = own.save(tmp_path / "below" / "again.toml")
    assert 'file = "../own.safetensors"' in path.read_text() and Problem.load(path) == own
    name = next(name for name in shipped() if name == "poisson")
    assert round_trip(loaded(f'{head}name = "{name}"\n'), tmp_path).prior.fields[0].name == "source"


def wave(x, y):
    return x + y


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem(Darcy(source=wave)), "parameter source must be a number or an array"),
        (Problem(Darcy(boundary=Sides(Value(wave)))), "the value of the left side"),
        (Problem(Darcy(), Transformed(GaussianField(0.0, 1.0, 0.2), torch.exp)), "got a function"),
        (Problem(Poisson(), Ensemble(normal(3, 2, 8, 8))), "stated by numbers or be in a file"),
        (Problem(Poisson(), gaussian_prior("poisson")), "stated by numbers or be in a file"),
        (Problem(Poisson(domain=Domain(unit="\ud800"))), "texts that UTF-8 has"),
        (Problem(dataclasses.make_dataclass("Mine", (), bases=(Poisson,), frozen=True)()), "Mine"),
    ],
    ids=["source", "side", "transformed", "ensemble", "unsaved prior", "text", "class"],
)
def test_what_files_cannot_hold_is_refused_and_nothing_is_written(problem, message, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text("before")
    with pytest.raises(InputError, match=message) as caught:
        problem.save(path)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"p.toml": b"before"}


# What is refused

EXPERIMENT = '[[experiment]]\nname = "a"\n'
INSTRUMENT = '[[instrument]]\nname = "a"\n'
MISTAKES = [
    # the file
    ("format = 1", "", "format must be 1, got none; write format = 1"),
    ("format = 1", "format = 2", "format must be 1, got 2"),
    ("format = 1", 'format = "1"', "format must be 1, got '1'"),
    ("format = 1", "format = true", "format must be 1, got True"),
    (
        "[physics]",
        "[physisc]",
        "the file must have keys of format, .* 'physisc'; did you mean 'phys",
    ),
    ("[physics]", "[[physics]]", "[physics] must be a table, got .* write [physics] and below"),
    ("{value = 52}", "{value = 52", "must be TOML, got: .* at line 22"),
    ("format = 1", "format = 1\na = " + "[" * 5000, "must be TOML, got: .* nested too deeply"),
    ("format = 1", "format = 1\na = " + "1" * 5000, "must be TOML, got: "),
    # [domain]
    ("extent = [0, 3000, 0, 1200]", "", "[domain] extent must be given, got none"),
    (
        "extent",
        "extend",
        "[domain] must have keys of extent, unit, active, got 'extend'; did you mean 'ext",
    ),
    ("0, 1200]", "1200]", "[domain] extent must have at least 4 items, not 3"),
    ("3000, 0,", "'wide', 0,", "[domain] extent entry 2 must be a number, got 'wide'"),
    ("[0, 3000,", "[3000, 0,", "in [domain], extent of a domain must be .* x0 < x1"),
    # [physics]
    ('pde = "darcy"', "", "[physics] pde must be given, got none"),
    ('pde = "darcy"', "pde = 3", "[physics] pde must be a string, got 3"),
    ('pde = "darcy"', 'pde = "darci"', "in [physics], pde must be one of .* mean 'darcy'?"),
    ('pde = "darcy"', 'pde = "experiments"', "state its experiments in [[experiment]]"),
    ('pde = "darcy"', 'pde = "none.py:X"', "none.py must be a Python file"),
    (
        "thickness",
        "thicknes",
        "[physics] must have keys of .* 'thicknes'; did you mean 'thickness'",
    ),
    ("thickness = 20", "domain = 20", "[physics] must be without 'domain'; state it in [domain]"),
    ("thickness = 20", "thickness = -20", "in [physics], .* thickness .* above 0, got -20"),
    ("thickness = 20", "thickness = 'thick'", "in [physics], .* thickness .* got 'thick'"),
    ("thickness = 20", "thickness = nan", "in [physics], .* thickness .* finite number, got nan"),
    ("source = 0", "source = [1, 2]", "in [physics], parameter source .* of shape (2,)"),
    ('units = "m day-1"', 'unit = "m"', "[physics] coefficient_field .* did you mean 'units'?"),
    ('units = "m day-1"', "units = 1", "in [physics], units of a field must be a text, got 1"),
    (
        '{name = "hydraulic_conductivity", units = "m day-1"}',
        '"K"',
        "[physics] coefficient_field must be a table with a name, got 'K'; write {name = 'K'}",
    ),
    # [boundary]
    ("left = {value = 52}", "", "[boundary] left must be given, got none"),
    ("left =", "lefft =", "[boundary] must have keys of .* 'lefft'; did you mean 'left'?"),
    (
        "{value = 52}",
        "52",
        '[boundary] left must be "no flux", "open", {value = ...}, {flux = ...} or '
        "{impedance = ...}, got",
    ),
    ("{value = 52}", "{vale = 52}", "[boundary] left must have keys of .* did you mean 'value'?"),
    ("{value = 52}", "{head = 52}", "[boundary] left .* got 'head'; use value for the solution"),
    (
        "{value = 52}",
        "{value = 'x'}",
        "in [boundary] left, the value on a side must be .* or a range, got 'x'",
    ),
    ("{value = 52}", "{value = 52, flux = 0}", '[boundary] left must be "no flux"'),
    ('bottom = "no flux"', 'bottom = "noflux"', "[boundary] bottom .* did you mean 'no flux'?"),
    # [[well]]
    ("x = 2100", "", "[[well]] 2 x must be given, got none"),
    ("x = 2100", "x = 'far'", "[[well]] 2 x must be a number, got 'far'"),
    ("x = 2100", "x = inf", "[[well]] 2 x must be"),
    ("x = 2100", "x = 9000", "[[well]] 2 must be within the domain .* got x = 9000, y = 700"),
    ("x = 2100", "x = 3000", "in [[well]], well 2 must not be on a side that fixes the head"),
    ("rate = -60", "rates = -60", "[[well]] 2 must have keys of .* did you mean 'rate'?"),
    # [prior]
    ('"log-normal"', '"transformed"', "in [prior], kind .* function that a file cannot hold; st"),
    ('kind = "log-normal"', "", "[prior] must have one of kind, file and name, got none"),
    ('"log-normal"', '"lognormal"', "in [prior], kind .* did you mean 'log-normal'?"),
    ('kind = "log-normal"', 'file = "a"', "[prior] must have keys of file, got 'median'"),
    ("length = 400", "lenght = 400", "in [prior], .* got 'lenght'; did you mean 'length'?"),
    ("length = 400", "length = -400", "in [prior], length .* above 0, got -400"),
    (
        "length = 400",
        "length = 0.01",
        "in [prior], length of the log-normal prior .* for the domain .* got 0.01; use a longer",
    ),
    ("length = 400", "length = 'None'", "in [prior], length .* got 'None'; give one of these"),
    # [grid]
    ("nx = 120", "", "[grid] must have either n .* or nx and ny, got ny"),
    ("nx = 120", "nx = 120\nn = 48", "[grid] must have either n .* got n and nx and ny"),
    ("nx = 120", "nx = 2", "[grid] nx must be at least 4, got 2"),
    ("nx = 120\nny = 48", "", "[grid] must have either n"),
    ("nx = 120", "nx = 12.5", "[grid] nx must be an integer, got 12.5"),
    # [[experiment]]
    ("[grid]", "[experiment]\nname = 'a'\n[grid]", "[[experiment]] must be tables in two brackets"),
    ("[grid]", f"{EXPERIMENT}boundary = 3\n[grid]", "1 [boundary] must be a table, got 3; write"),
    (
        "[grid]",
        f"{EXPERIMENT}[experiment.well]\nx = 1\n[grid]",
        "[[experiment]] 1 [[well]] must be tables in two .* write [[experiment.well]] above each",
    ),
    ("[grid]", "[[experiment]]\nthickness = 3\n[grid]", "[[experiment]] 1 name must be given"),
    ("[grid]", f"{EXPERIMENT}thicknes = 3\n[grid]", "[[experiment]] 1 .* mean 'thickness'?"),
    (
        "[grid]",
        f"{EXPERIMENT}boundary = {{lef = 3}}\n[grid]",
        "[[experiment]] 1 [boundary] must ha",
    ),
    (
        "[grid]",
        f"{EXPERIMENT}well = [{{x = 1, y = 1}}]\n[grid]",
        "[[experiment]] 1 [[well]] 1 rate",
    ),
    ("[grid]", f"{EXPERIMENT}{EXPERIMENT}[grid]", "in [[experiment]], names .* different"),
    ("[grid]", f"{EXPERIMENT}source = 'x'\n[grid]", "in [[experiment]] 1, parameter source"),
    # [[instrument]]
    ("[grid]", "[instrument]\nname = 'a'\n[grid]", "[[instrument]] must be tables in two brackets"),
    ("[grid]", "[[instrument]]\nname = 'a'\n[grid]", "[[instrument]] 1 bias_std must be given"),
    ("[grid]", f"{INSTRUMENT}bias = 1\n[grid]", "[[instrument]] 1 .* mean 'bias_std'?"),
    ("[grid]", f"{INSTRUMENT}bias_std = -1\n[grid]", "[[instrument]] 1 bias_std .* got -1"),
    ("[grid]", f"{INSTRUMENT}bias_std = 1e90\n[grid]", "in [[instrument]], bias_std .* 1e+90"),
    ("[grid]", f"{INSTRUMENT}bias_std = inf\n[grid]", "[[instrument]] 1 bias_std .* got inf"),
    (
        "[grid]",
        2 * f"{INSTRUMENT}bias_std = 1\n" + "[grid]",
        "in [[instrument]], names of instruments must differ, got 'a' twice; keep",
    ),
    (
        "[grid]",
        "[[instrument]]\nname = ' '\nbias_std = 1\n[grid]",
        "in [[instrument]], name of an instrument must not be empty",
    ),
]


@pytest.mark.parametrize(("found", "written", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_with_its_place(found, written, message, loaded):
    assert found in AQUIFER
    with pytest.raises(InputError) as caught:
        loaded(AQUIFER.replace(found, written, 1))
    assert_sentence(caught.value, message)
    assert str(caught.value).startswith("p.toml: ")


def assert_sentence(error, message):
    """Check that a message is in one line and has the parts of another, which `.*` separates."""
    text, start = str(error), 0
    assert "\n" not in text and "; " in text
    for part in message.split(" .* "):
        start = text.find(part, start)
        assert start >= 0, (part, text)


NORMAL = 'kind = "gaussian-field"\nmean = 5\nstd = 1\nlength = 400\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AQUIFER.split("[prior]")[0] + "[prior]\n" + NORMAL, "in [prior], the prior of the hydrau"),
        (
            'format = 1\n[physics]\npde = "navier-stokes"\n[[well]]\nx=0\ny=0\nrate=1',
            "[[well]] must",
        ),
        (
            'format = 1\n[physics]\npde = "navier-stokes"\n[boundary]\n'
            + "".join(f'{side} = "no flux"\n' for side in ("left", "right", "bottom", "top")),
            "[boundary] must be left out for navier-stokes",
        ),
        (
            'format = 1\n[physics]\npde = "darcy"\n[prior]\nkind = "two-phase"\nlow = 1\nhigh = 2\n'
            "[prior.field]\n" + NORMAL.replace("std", "sdt"),
            "in [prior], .* 'sdt'; did you mean 'std'?",
        ),
        (
            'format = 1\n[physics]\npde = "poisson"\n[prior]\nname = "nothing"\n',
            "in [prior], name must be that of a shipped prior",
        ),
        (
            'format = 1\n[physics]\npde = "poisson"\n[prior]\nname = "poisson-operator"\n',
            "in [prior], a prior must be one that can be sampled",
        ),
    ],
    ids=["sign", "wells of a torus", "sides of a torus", "nested", "no such name", "operator"],
)
def test_what_does_not_go_together_is_refused(text, message, loaded):
    with pytest.raises(InputError) as caught:
        loaded(text)
    assert_sentence(caught.value, message)


def test_what_is_no_readable_file_is_refused(tmp_path, loaded):
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InputError, match="cannot be read"):
            Problem.load(path)
    with pytest.raises(InputError, match="must be text in UTF-8; save it as UTF-8"):
        loaded("format = 1 # é".encode("latin-1"))
    with pytest.raises(InputError, match="a path as a text"):
        Problem.load(3)


def test_a_number_of_a_prior_that_is_not_stated_is_unknown():
    prior = LogNormal(median=1.0, log_std=1.0)
    assert list(prior.unknowns) == ["length", "smoothness"]
    assert prior.unknowns["length"] == Unknown(0.05, 1.5, of="domain")
    problem = Problem(Darcy(), prior)
    assert [number.name for number in problem.unknowns] == ["length", "smoothness"]
    assert problem.prior.length == Unknown(0.05, 1.5)
    assert problem.at({"length": 0.3, "smoothness": 1.5}).prior == LogNormal(1.0, 1.0, 0.3)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (LogNormal, "got the class LogNormal; call it, as in LogNormal(...)"),
        (8, "the prior must be one that can be sampled, got 8; give such as a GaussianField"),
        ({"kind": "log-normal"}, "the prior must be one that can be sampled, got {'kind'"),
    ],
    ids=["class", "number", "dictionary"],
)
def test_what_is_no_prior_is_refused(prior, message):
    with pytest.raises(InputError) as caught:
        Problem(Darcy(), prior)
    assert_sentence(caught.value, message)


def test_a_learned_prior_is_not_one_to_draw_coefficients_from():
    with pytest.raises(InputError) as caught:
        Problem(Poisson(), gaussian_prior("poisson")).sample(1, Grid(16))
    assert_sentence(caught.value, "got GaussianPrior; .* in the [prior] of a file a kind and its n")


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    problem = Problem(pde_by_name("poisson"))
    for path in (tmp_path, tmp_path / "none" / "p.toml"):
        with pytest.raises(InputError):
            problem.save(path)
    assert not contents(tmp_path)
    assert Path(problem.save(str(tmp_path / "p.toml"))).is_file()


ODD = st.sampled_from(
    ["", "0", "-1", "1e400", "nan", "-inf", "true", '""', '"none"', '"x.py:X"', "[]", "[[]]", "{}"]
    + ["[1, 2]", "[[1, 2], [3]]", "{a = 1}", "1979-05-27", "07:32:00", "99999999999999999999"]
    + ['"\\u0000"', '"../.."', "[{x = 1}]", '{kind = "two-phase"}', "0x10", '"' + "x" * 300 + '"']
)
WHOLE = AQUIFER + '\n[[experiment]]\nname = "a"\nsource = 1\nboundary = {left = "no flux"}\n'
WHOLE += f"\n{INSTRUMENT}bias_std = 0.1\n"
KEYED = [i for i, line in enumerate(WHOLE.splitlines()) if "=" in line.partition("#")[0]]


@given(st.lists(st.tuples(st.sampled_from(KEYED), ODD), min_size=1, max_size=2), st.booleans())
def test_odd_values_are_a_problem_or_one_sentence(tmp_path_factory, changes, renamed):
    lines = WHOLE.splitlines()
    for i, value in changes:
        key = lines[i].partition("=")[0]
        lines[i] = f"{value.strip('{}[]') or 'k'} = 1" if renamed else f"{key} = {value}"
    path = tmp_path_factory.mktemp("odd") / "p.toml"
    path.write_text("\n".join(lines))
    try:
        assert isinstance(Problem.load(path), Problem)
    except InputError as error:
        assert_sentence(error, "p.toml: ")
