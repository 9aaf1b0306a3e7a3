"""Time-dependent flow with storage: closed forms, recovery, symmetries, times, files, refusals."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from helpers import distance, normal, seeded

from pdeinv import InputError, Problem
from pdeinv.datasets import Darcy, Experiments, Flux, NoFlux, Sides, TransientDarcy, Value, Well
from pdeinv.datasets.elliptic import sparse_solver
from pdeinv.fields import Field
from pdeinv.grid import Domain
from pdeinv.problems import example_by_name

AQUIFER = TransientDarcy(
    source=0.0,
    domain=Domain((0.0, 900.0, 0.0, 600.0), "m"),
    boundary=Sides(Value(52), Value(50), NoFlux(), Flux(0.05)),
    wells=(Well(310.0, 290.0, -300.0), Well(640.0, 110.0, -100.0)),
    thickness=20.0,
    storage=lambda x, y: 1e-5 * (1 + (x + y) / 1000),
    duration=2.0,
    time_unit="day",
    face_mean="harmonic",
    coefficient_field=Field("conductivity", "hydraulic conductivity", "m day-1"),
    solution_field=Field("head", "hydraulic head", "m"),
)
CLOSED = Sides(NoFlux(), NoFlux(), NoFlux(), NoFlux())


def medium(pde, n=13, count=1, seed=0):
    return normal(count, 1, *pde.grid(n).shape, seed=seed).mul(0.7).exp()


def uniform(pde, n, value):
    return torch.full((1, 1, *pde.grid(n).shape), value, dtype=torch.float64)


def test_a_well_in_a_wide_homogeneous_aquifer_is_that_of_theis():
    rate, conductivity, storage, thickness = 400.0, 8.0, 1e-5, 20.0
    pde = TransientDarcy(
        source=0.0,
        domain=Domain((-1500.0, 1500.0, -1500.0, 1500.0), "m"),
        boundary=CLOSED,
        wells=(Well(0.0, 0.0, -rate),),
        thickness=thickness,
        storage=storage,
        initial=50.0,
    )
    u = pde.solutions(uniform(pde, 97, conductivity), (0.05, 0.1, 0.2))
    for i, time in enumerate((0.05, 0.1, 0.2)):
        for cells in (4, 8, 12):
            distance_to_well = cells * 3000 / 96
            argument = distance_to_well**2 * storage / (4 * conductivity * time)
            exact = rate / (4 * math.pi * conductivity * thickness) * scipy.special.exp1(argument)
            assert abs(50 - float(u[0, i, 48, 48 + cells]) - exact) < 0.006 * exact + 2e-4


def test_it_tends_to_the_steady_state():
    a = medium(AQUIFER).requires_grad_()
    names = ("source", "domain", "boundary", "wells", "thickness", "face_mean")
    steady = Darcy(**{name: getattr(AQUIFER, name) for name in names}, method="direct")
    late = replace(AQUIFER, duration=1e8)
    for initial in (None, 40.0):
        u, expected = replace(late, initial=initial).solve(a), steady.solve(a)
        assert float((u - expected).detach().abs().max()) < 1e-6
        v = normal(*u.shape, seed=5)
        found, wanted = (torch.autograd.grad(x, a, v, retain_graph=True)[0] for x in (u, expected))
        assert distance(found, wanted) < 1e-6


def test_without_wells_a_steady_state_stays():
    rest = replace(AQUIFER, wells=())
    a = medium(rest)
    u = rest.solutions(a, (0.01, 1.0))
    assert float((u[:, 0] - u[:, 1]).abs().max()) < 1e-9
    no_well = replace(AQUIFER, boundary=Sides(Value(52), Value(52), NoFlux(), NoFlux()), wells=())
    assert float((no_well.solve(a) - 52).abs().max()) < 1e-12


def test_recovery_is_a_superposition():
    a, stop = medium(AQUIFER), 0.4
    times = (0.3, 0.4, 0.5, 0.9, 2.0)
    found = replace(AQUIFER, pumping=stop, accuracy=1e-8).solutions(a, times)
    through = replace(AQUIFER, accuracy=1e-8)
    rest = through.solutions(a, (1e-9,))  # the steady state, before the wells take anything
    rest = replace(AQUIFER, wells=()).solutions(a, (1.0,))
    drawdown = {
        t: rest - through.solutions(a, (t,)) for t in (*times, *(t - stop for t in times[2:]))
    }
    for i, time in enumerate(times):
        expected = drawdown[time] - (drawdown[time - stop] if time > stop else 0)
        assert distance(rest[:, 0] - found[:, i], expected[:, 0]) < 1e-6


def test_the_order_and_the_number_of_times_change_nothing():
    a, pde = medium(AQUIFER, count=2), replace(AQUIFER, pumping=0.4)
    times = (1.5, 0.2, 0.4, 2.0, 0.2)
    u = pde.solutions(a, times)
    for i, time in enumerate(times):
        assert torch.equal(u[:, i : i + 1], pde.solutions(a, (time,)))
    read = pde.reading(["head", "log_conductivity"], times)
    assert read.times == (0.2, 0.4, 1.5)
    assert [f.label for f in read.fields] == [
        "conductivity",
        *(f"head at time {t}" for t in ("2", "0.2", "0.4", "1.5")),
        "log_conductivity",
    ]
    state = read.respond(a)
    assert torch.equal(state[:, :4], pde.solutions(a, (2.0, 0.2, 0.4, 1.5)))
    assert torch.equal(state[:, 4:], a.log()) and torch.equal(read.solve(a), u[:, 3:4])
    for channel in range(1, 5):
        known = read.known_values(channel, read.grid(13).points()).reshape(read.grid(13).shape)
        fixed = ~known.isnan()
        assert fixed.sum() == 26
        torch.testing.assert_close(state[0, channel - 1, fixed], known[fixed])


def test_factorisations_of_many_times_are_kept(monkeypatch):
    made, checked = [], sparse_solver._checked
    monkeypatch.setattr(sparse_solver, "_checked", lambda *a: made.append(a) or checked(*a))
    pde = TransientDarcy(times=tuple(np.linspace(0.02, 0.98, 24)))
    a = medium(pde, 8)
    first = pde.respond(a)
    count = len(made)
    assert count > 24
    torch.testing.assert_close(pde.respond(a), first, rtol=0, atol=0)
    assert len(made) == count


def test_water_between_sides_without_flow_is_what_the_wells_leave():
    pde = replace(AQUIFER, boundary=CLOSED, initial=lambda x, y: 50 + x / 500, pumping=1.2)
    grid = pde.grid(13)
    volumes = pde.conditions(grid).volumes
    points = grid.points().numpy()
    storage, initial = (
        torch.from_numpy(np.broadcast_to(f(*points.T), len(points)).reshape(grid.shape).copy())
        for f in (pde.storage.value, pde.initial.value)
    )
    u = pde.solutions(medium(pde), (0.5, 1.2, 2.0))
    lost = volumes.times_volume(storage * (initial - u)).sum(dim=(-1, -2)) * volumes.hx * volumes.hy
    pumped = 400 / pde.thickness * torch.tensor([[0.5, 1.2, 1.2]], dtype=torch.float64)
    torch.testing.assert_close(lost, pumped, rtol=1e-8, atol=0)


def test_derivatives_by_differences_and_by_duality():
    pde = replace(AQUIFER, pumping=0.5).reading(["head", "log_conductivity"], (0.1, 0.4, 0.7))
    a, da = medium(pde, 9).requires_grad_(), normal(1, 1, *pde.grid(9).shape, seed=1) * 0.1
    u, h = pde.respond(a), 1e-5
    v = normal(*u.shape, seed=2).requires_grad_()
    (pulled,) = torch.autograd.grad(u, a, v, create_graph=True)
    differences = (pde.respond(a + h * da) - pde.respond(a - h * da)).detach() / (2 * h)
    assert abs((differences * v).sum() - (da * pulled).sum()) < 1e-7 * differences.norm()
    (tangent,) = torch.autograd.grad(pulled, v, da)
    assert distance(tangent, differences) < 1e-6


def test_symmetries_of_the_wells_and_the_storage_are_its_own():
    pde = TransientDarcy(
        wells=(Well(0.25, 0.5, -1.0), Well(0.75, 0.5, -1.0)),
        storage=lambda x, y: 1 + (y - 0.5) ** 2,
        initial=lambda x, y: x * (1 - x),
        duration=0.1,
        pumping=0.04,
    ).reading(["pressure"], (0.02, 0.07))
    assert len(pde.symmetries) == 4
    state = Problem(pde).sample(2, pde.grid(17), seeded())
    for element in pde.symmetries:
        moved = element(state, pde.grid(17))
        again = pde.respond(moved[:, :1])
        assert distance(again, moved[:, 1:]) < 1e-10
    assert len(replace(pde, storage=lambda x, y: 1 + x).symmetries) == 2
    assert len(replace(pde, wells=pde.wells[:1]).symmetries) == 2


def test_experiments_have_their_own_times():
    other = replace(AQUIFER, wells=AQUIFER.wells[:1], duration=1.0)
    both = Experiments((AQUIFER, other), names=("two", "one")).reading(["head"], (0.5, 1.5))
    a = medium(AQUIFER)
    state = both.respond(a)
    assert torch.equal(
        state[:, both.channel("head", "two", 1.5) - 1], AQUIFER.solutions(a, (1.5,))[:, 0]
    )
    assert torch.equal(
        state[:, both.channel("head", "one", 0.5) - 1], other.solutions(a, (0.5,))[:, 0]
    )


def test_units_of_wells_and_the_default_are_those_of_darcy():
    assert AQUIFER.well_units == "m3 day-1" and AQUIFER.time_units == "day"
    assert AQUIFER.end_time == 2.0 and not AQUIFER.linear and AQUIFER.positive_coefficient
    default = TransientDarcy()
    a = medium(default)
    assert distance(default.solve(a), Darcy(method="direct").solve(a)) < 1e-9


def test_a_file_states_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = replace(AQUIFER, storage=1e-5, initial=[[50, 51], [52, 53]], pumping=1.0)
    problem = Problem(numbers, grid=numbers.grid(16))
    problem.save("test.toml")
    assert Problem.load("test.toml") == problem
    text = Path("test.toml").read_text()
    for key in ("storage = ", "initial = ", "duration = 2", "pumping = 1", 'time_unit = "day"'):
        assert key in text
    Path("test.toml").write_text(text.replace("pumping = 1.0", "pumping = 3.0"))
    with pytest.raises(InputError, match=r"test.toml: in \[physics\], pumping of transient-darcy"):
        Problem.load("test.toml")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"storage": 0.0}, "storage of transient-darcy must be positive everywhere, got 0; give"),
        ({"storage": [[1, 1], [1, -2]]}, "storage of transient-darcy must be positive .* got -2"),
        ({"duration": 0.0}, "duration of transient-darcy must be a finite number above 0, got 0"),
        ({"pumping": 2.0}, "pumping .* must be below the duration 2, got 2; leave it out"),
        ({"times": (0.5, 2.5)}, "times of transient-darcy must be after 0 and at most 2, .* 2.5"),
        ({"boundary": CLOSED}, "initial .* must be given where no side fixes a value, got none"),
        ({"accuracy": 0.5}, "accuracy of transient-darcy must be a finite number of at most 0.01"),
        ({"wells": (Well(0.0, 5.0, 1.0),)}, "well 0 must not be on a side that fixes the head"),
        ({"time_unit": 3}, "time_unit of transient-darcy must be a text, got 3"),
        (
            {"boundary": CLOSED, "wells": (), "initial": 0.0},
            "source of transient-darcy must not be 0 where the sides and the start are 0",
        ),
    ],
)
def test_half_finished_input_is_refused_in_one_sentence(given, message):
    with pytest.raises(InputError, match=message) as refusal:
        replace(AQUIFER, **given)
    assert "\n" not in str(refusal.value)


def test_a_storage_that_is_no_positive_function_is_refused_on_the_grid():
    pde = replace(AQUIFER, storage=lambda x, y: x / 900 - 0.2)
    with pytest.raises(InputError, match=r"storage of transient-darcy must be .* got -0\.2"):
        pde.solve(medium(pde))
    with pytest.raises(InputError, match="conductivity must be positive and finite"):
        AQUIFER.solve(-medium(AQUIFER))


def test_the_pumping_test_has_drawdowns_of_decimetres_and_readings_at_all_times():
    example = example_by_name("pumping-test")
    pde, times = example.problem.physics, example.readings[0].times
    assert isinstance(pde, TransientDarcy) and times[-1] == pde.duration
    rest = replace(pde, wells=())
    a = torch.full((1, 1, *example.problem.grid.shape), example.problem.prior.median)
    falls = rest.solve(a.double()) - pde.solutions(a.double(), times)
    largest = falls.amax(dim=(-1, -2))[0]
    assert bool((largest.diff() > 0).all()) and 1 < float(largest[0]) < float(largest[-1]) < 6
    assert 0.3 < float(falls[0, -1].mean()) < 2 and float(falls.min()) > -1e-9
    table = example.truth().sensors.table
    assert table[table.field != "head"].time.isna().sum() == 5
    table = table[table.field == "head"]
    assert table.groupby("time").size().tolist() == [10] * len(times)
    assert (table.groupby(["x", "y"]).time.nunique() == len(times)).all()
