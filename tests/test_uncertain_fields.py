"""Uncertain sides and sources: as quantities, as draws, and inferred with the coefficient."""

import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from helpers import observe, seeded
from matplotlib.figure import Figure
from matplotlib.text import Text

from pdeinv import (
    Field,
    GaussianField,
    InputError,
    LogNormal,
    Problem,
    Sensors,
    TwoPhase,
    Unknown,
    layouts,
    plot_reconstruction,
    reconstruct,
)
from pdeinv.datasets import (
    PDE,
    PDES,
    Darcy,
    Distributed,
    Experiments,
    Flux,
    Helmholtz,
    NavierStokes,
    NoFlux,
    Poisson,
    Sides,
    TransientDarcy,
    Uncertain,
    Value,
    Well,
    pde_by_name,
)
from pdeinv.datasets.distributed import Along
from pdeinv.datasets.uncertain import Drawn
from pdeinv.datasets.uncertain_fields import at_means, with_draws
from pdeinv.grid import Domain, Grid
from pdeinv.problems.examples import Example, Readings
from pdeinv.problems.truths import draw_truth
from pdeinv.site import Site
from pdeinv.solvers import SOLVERS, GaussNewton
from pdeinv.solvers.alarms.linearise import linearised
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.selection import solver_for
from pdeinv.solvers.supported_readings import UNCERTAIN
from pdeinv.solvers.whitened_problem import WhitenedProblem

BOX = Domain((0.0, 2.0, 1.0, 2.0), "m")
LEFT = Uncertain(3.0, std=0.5, length=0.6)
RAIN = Uncertain(1.0, std=0.4, length=1.0)
SIDES = Sides(Value(LEFT), Value(2.0), NoFlux(), Flux(Uncertain([0.1, 0.3], 0.2, 1.5)))
HEAD = Field("head", "hydraulic head", "m")
FLOW = Darcy(source=RAIN, domain=BOX, boundary=SIDES, solution_field=HEAD)
MEDIUM = LogNormal(median=1.0, log_std=0.5, length=0.6)
PHYSICS = {
    "darcy": FLOW,
    "harmonic": replace(FLOW, face_mean="harmonic", method="direct"),
    "transient": TransientDarcy(
        source=RAIN, domain=BOX, boundary=SIDES, storage=0.5, duration=0.2, times=(0.05,)
    ),
    "poisson": Poisson(domain=BOX, boundary=SIDES, source=RAIN),
    "helmholtz": Helmholtz(k=2.0, domain=BOX, boundary=SIDES, source=RAIN),
    "two tests": Experiments(
        (replace(FLOW, wells=(Well(0.7, 1.4, -0.5),)), replace(FLOW, source=0.5)), ("a", "b")
    ),
}
each_physics = pytest.mark.parametrize("pde", PHYSICS.values(), ids=PHYSICS)


def prior_of(pde):
    return MEDIUM if pde.positive_coefficient else GaussianField(0.0, 2.0, 0.5)


def sensors_of(pde, count=12):
    """Readings of both fields off the nodes, and one of the solution on the left side."""
    points = torch.as_tensor(np.vstack([layouts.random(count - 1, 1, BOX), [0.0, 1.37]]))
    channels = [1, 0] * (count // 2 - 1) + [len(pde.fields) - 1, 1]
    return observe(Problem(pde, prior_of(pde)), pde.grid(8), points, channels, noise=0.01)[1]


# Quantities


@pytest.mark.parametrize("axis", [(), (0,), (1,)])
@pytest.mark.parametrize("smoothness", [0.5, 1.5, 60.0])
def test_a_draw_has_the_stated_deviation_and_length(axis, smoothness):
    prior = Uncertain(Distributed(7.0), 0.3, 0.5, smoothness)
    points = np.array([[0.3, 1.2], [0.8, 1.2], [0.3, 1.7]])  # a length apart, along x and along y
    values = prior.functions(points, BOX, *axis)
    covariance = values @ values.T / 0.3**2
    assert np.allclose(covariance.diagonal(), 1.0)
    assert values.shape == (3, prior.size(BOX, *axis))
    rough = 0.06 if smoothness == 0.5 else 0.02  # of what the functions leave out
    for other in (i + 1 for i in axis or (0, 1)):
        assert abs(covariance[0, other] - np.exp(-1)) < rough


@each_physics
def test_as_a_quantity_it_is_its_mean(pde):
    grid, known = pde.grid(8), at_means(pde)
    a = Problem(pde, prior_of(pde)).sample_coefficient(2, grid, seeded())
    assert pde.uncertain and not known.uncertain
    assert torch.equal(pde.solve(a), known.solve(a))
    for g in known.symmetries:
        assert torch.allclose(pde.solve(g(a, grid)), g(known.solve(a), grid), rtol=1e-9)
    assert pde.symmetries.elements == known.symmetries.elements
    assert hash(pde) == hash(replace(pde)) and pde == replace(pde) != known


def test_its_names_and_units():
    flow = replace(FLOW, coefficient_field=Field("conductivity", "conductivity", "m s-1"))
    found = {one.field.name: (one.field.units, one.dimensions) for one in flow.uncertain}
    assert found == {
        "source": ("s-1", ("y", "x")),
        "left_head": ("m", ("y",)),
        "top_flux": ("m s-1", ("x",)),
    }
    assert [one.field.name for one in PHYSICS["poisson"].uncertain][-1] == "further_source"
    # Two tests share the sides, and one of them has the source
    names = [(one.field.name, len(one.paths)) for one in PHYSICS["two tests"].uncertain]
    assert sorted(names) == [("left_head", 2), ("source_a", 1), ("top_flux", 2)]
    assert "head = 3 ± 0.5 (length 0.6) on the left" in SIDES.phrase("head")


@each_physics
def test_it_is_stored_and_read(pde, tmp_path):
    problem = Problem(pde, prior_of(pde), grid=12)
    assert Problem.load(problem.save(tmp_path / "p.toml")) == problem
    stated = json.loads(json.dumps(pde.to_json("the physics")))
    assert PDE.of(stated, "the physics") == pde
    smooth = Along.of({"mean": 1.0, "std": 2.0, "length": 3.0, "smoothness": "inf"})
    assert Along.of(json.loads(json.dumps(smooth.to_json()))) == smooth
    assert smooth.value.smoothness == np.inf and smooth != Along(1.0)


@dataclass(frozen=True)
class Own(Poisson):
    """Δu = a + source, with a parameter that may not be uncertain."""

    other: Distributed = field(default=Distributed(0.0), kw_only=True)
    name = "own"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Uncertain(1.0, 0.0, 1.0), "std of an uncertain quantity .* above 0, got 0"),
        (lambda: Uncertain(1.0, np.nan, 1.0), "std of an uncertain quantity .* got nan"),
        (lambda: Uncertain(1.0, 1.0, -2.0), "length of an uncertain quantity .* got -2"),
        (lambda: Uncertain(1.0, 1.0, 1.0, 0.2), "smoothness of an uncertain quantity .* 0.5"),
        (lambda: Value(Uncertain(np.nan, 1.0, 1.0)), "the mean of the value on a side must be fin"),
        (lambda: Value({"mean": 1, "std": 1}), "length of the value on a side must be given"),
        (lambda: Value({"mean": 1, "deviation": 1}), "must have keys of mean, .* 'deviation'"),
        (lambda: Flux(Uncertain({"unknown": [1, 2]}, 1.0, 1.0)), "the mean of .* must be known"),
        (lambda: Distributed(Uncertain(LEFT, 1.0, 1.0)), "the mean of .* must be known"),
        (lambda: NavierStokes(forcing=RAIN), "forcing"),
        (lambda: Own(other=RAIN), "parameter other of own must be known, got 1 ± 0.4"),
        (lambda: TransientDarcy(storage=RAIN), "storage of transient-darcy must be known"),
        (lambda: replace(FLOW, wells=(Well(0.0, 1.5, 1.0),)), "well 0 must not be on a side that"),
        (
            lambda: Problem(Darcy(source=Uncertain(1.0, 1.0, 1e-3))).sample(1, Grid(8)),
            "length of an uncertain quantity must be at least about 0.08.* over the domain",
        ),
        (lambda: Distributed(Drawn(RAIN, torch.zeros(1))).to_json(), "must be a number or an arr"),
    ],
)
def test_what_is_wrong_is_refused(made, message):
    with pytest.raises(InputError, match=message):
        made()


# Draws


@each_physics
def test_states_have_a_draw_each_that_is_the_same_on_every_grid(pde):
    problem = Problem(pde, prior_of(pde))
    coarse, fine = (problem.sample(3, pde.grid(n), seeded(4)) for n in (9, 17))
    sides = coarse[:, 1, :, 0]
    assert (sides.std(dim=0) > 0.05).all() and (sides.std(dim=1) > 0.05).all()
    assert torch.allclose(fine[:, 1, ::2, 0], sides, atol=1e-9)
    drawn = problem.drawn(seeded(4)).physics
    left = next(one for one in pde.uncertain if one.side == "left")
    values = left.truth(drawn, pde.grid(9))
    a = problem.sample_coefficient(1, pde.grid(9), seeded())
    assert torch.allclose(drawn.respond(a)[0, 0, :, 0], values)
    assert not torch.allclose(values, torch.full_like(values, 3.0), atol=0.05)


def test_a_truth_draws_them():
    drawn = draw_truth(Problem(FLOW, MEDIUM, grid=9), ["head"], number=2)
    left = next(one for one in FLOW.uncertain if one.side == "left")
    assert drawn.problem.physics.uncertain and not drawn.physics.uncertain
    assert torch.allclose(drawn.state[0, 1, :, 0], left.truth(drawn.physics, drawn.grid))
    again = draw_truth(Problem(FLOW, MEDIUM, grid=9), ["head"], number=2)
    assert torch.equal(drawn.state, again.state)


# Inference


@each_physics
def test_derivatives_are_those_of_differences(pde):
    problem = Problem(pde, prior_of(pde))
    o = sensors_of(pde)
    whitened = WhitenedProblem(problem, o)
    whitened.forward.exact_derivatives = True
    xi = 0.3 * whitened.white(1, seeded(1))
    direction = whitened.white(1, seeded(2))
    direction[:, : whitened.size] = 0.0
    ahead, behind = (whitened.values(xi + s * direction)[0] for s in (1e-3, -1e-3))
    rows = whitened.jacobian(xi)
    assert rows.shape == (len(o), whitened.size + sum(one.size for one in pde.uncertain))
    slope = rows @ direction[0]
    assert slope.abs().max() > 0.1
    assert torch.allclose(slope, (ahead - behind) / 2e-3, rtol=1e-5, atol=1e-7)
    weights = torch.randn(len(o), generator=seeded(3), dtype=torch.float64)
    assert torch.allclose(weights @ slope, (weights @ rows) @ direction[0])


def joint_posterior(problem, o):
    """Mean and covariance of all numbers of a problem that is linear in them, by dense algebra."""
    whitened = WhitenedProblem(problem, o)
    zero = whitened.values(whitened.zero)[0]
    unit = torch.eye(whitened.zero.shape[1], dtype=torch.float64)
    rows = torch.stack([whitened.values(e[None])[0] - zero for e in unit], dim=1)
    gram = rows @ rows.T + torch.diag(o.noise_std**2)
    gain = rows.T @ torch.linalg.inv(gram)
    return whitened, gain @ (o.values - zero), unit - gain @ rows


@pytest.mark.parametrize("name", ["poisson", "helmholtz"])
def test_a_linear_problem_has_the_posterior_of_dense_algebra(name):
    pde = PHYSICS[name]
    prior = GaussianField(0.0, 2.0, 1.5, smoothness=3.0)
    o = sensors_of(pde)
    whitened, mean, covariance = joint_posterior(Problem(pde, prior), o)
    assert solver_for("auto", pde, prior).name == "gauss-newton"
    found = GaussNewton()(pde, prior, o, n_samples=2, generator=seeded())
    (block,), z = whitened.blocks, slice(whitened.size, None)
    for one, part in zip(found.inferred, range(len(block.fields)), strict=True):
        quantity = block.fields[part]
        start = whitened.size + sum(f.size for f in block.fields[:part])
        z = slice(start, start + quantity.size)
        unit = torch.eye(quantity.size, dtype=torch.float64)
        root = quantity.deviations(unit, o.grid).flatten(1)
        variance = ((covariance[z, z] @ root) * root).sum(dim=0)
        assert torch.allclose(one.mean, quantity.values(mean[None, z], o.grid)[0], atol=1e-5)
        assert torch.allclose(one.std.flatten(), variance.sqrt(), atol=1e-5)
    # The reading on the left side says what its value is there
    left = next(one for one in found.inferred if one.field.name.startswith("left"))
    assert left.std.min() < 0.1 < left.std.max()


@pytest.mark.parametrize("name", ["poisson", "helmholtz"])
def test_the_evidence_behind_an_alarm_includes_them(name):
    problem = Problem(PHYSICS[name], GaussianField(0.0, 2.0, 1.5, smoothness=3.0))
    o = sensors_of(problem.physics)
    whitened = WhitenedProblem(problem, o)
    rows = whitened.jacobian(whitened.zero)
    expected = rows @ rows.T + torch.diag(o.noise_std**2)
    found = linearised(GaussNewton(), problem, o)
    assert found.columns.shape == (len(o), whitened.inner)
    lower = found.gaussian(found.gram(problem.latent)).lower
    torch.testing.assert_close(lower @ lower.T, expected, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(found.expected, whitened.values(whitened.zero)[0], rtol=0, atol=1e-6)


def test_a_small_deviation_gives_the_result_of_a_known_side():
    known = at_means(FLOW)
    sure = replace(
        known,
        source=Uncertain(1.0, 1e-6, 1.0),
        boundary=replace(known.boundary, left=Value(Uncertain(3.0, 1e-6, 0.6))),
    )
    o = sensors_of(known)
    for one, other in zip(
        *(GaussNewton()(pde, MEDIUM, o, generator=seeded()).mean for pde in (known, sure)),
        strict=True,
    ):
        # Another number of random draws moves the mean of the members
        assert float((one - other).norm() / one.norm()) < 0.05
    mode = [
        GaussNewton(ensemble=4)(pde, MEDIUM, o, n_samples=1, generator=seeded()).record
        for pde in (known, sure)
    ]
    chi = [record["reduced_chi_squared"] for record in mode]
    assert abs(chi[0] - chi[1]) < 1e-4 * chi[0]


@cache
def small_example():
    pde = Darcy(
        source=RAIN, domain=BOX, boundary=Sides(Value(LEFT), Value(2.0), NoFlux(), NoFlux())
    )

    class Small(Example):
        problem = Problem(pde, MEDIUM, grid=10)

    reads = (Readings("pressure", 14, 0.01), Readings("log_permeability", 4, 0.1))
    return Small("small", "a small aquifer", reads)


def test_intervals_hold_the_truth_as_often_as_they_should():
    example, solver = small_example(), GaussNewton(ensemble=4)
    inside = []
    for i in range(12):
        truth = example.truth(i)
        result = reconstruct(
            truth.sensors, problem=truth.problem, solver=solver, grid=16, n_samples=1, seed=i
        )
        grid = truth.problem.physics.grid(16)
        inside.append(
            [
                float((abs(z) < 1.645).mean())
                for one in truth.problem.physics.uncertain
                for z in [
                    (result[f"{one.field.name}_mean"] - one.truth(truth.drawn, grid).numpy())
                    / result[f"{one.field.name}_std"]
                ]
            ]
        )
    assert ((np.mean(inside, axis=0) > 0.7) & (np.mean(inside, axis=0) < 0.995)).all()


def table_of(problem, rows):
    state = draw_truth(problem, [problem.physics.solution_field.name]).state
    table = {"field": [problem.physics.solution_field.name] * len(rows)}
    table["x"], table["y"] = [x for x, _ in rows], [y for _, y in rows]
    table["value"] = [float(state.mean()) + 0.1 * i for i in range(len(rows))]
    return table


def test_readings_on_an_uncertain_side_count():
    points = torch.tensor([[0.0, 1.5], [2.0, 1.5], [0.0, 2.0]], dtype=torch.float64)
    assert FLOW.known_values(1, points).isnan().tolist() == [True, False, True]
    both = replace(FLOW, boundary=replace(SIDES, top=Value(1.0)))  # they share the corner
    assert both.known_values(1, points).isnan().tolist() == [True, False, True]
    helmholtz = PHYSICS["helmholtz"]
    assert helmholtz.known_values(0, points).tolist()[:2] == [0.0, 0.0]
    # An exact reading that is not the mean contradicts nothing
    table = {"field": ["head"], "x": [0.0], "y": [1.5], "value": [3.7]}
    result = reconstruct(table, problem=Problem(FLOW, MEDIUM), grid=16, n_samples=2)
    assert abs(float(result.left_head_mean.sel(y=1.5, method="nearest")) - 3.7) < 0.05
    with pytest.raises(InputError, match="contradicts the boundary condition"):
        reconstruct(table, problem=Problem(at_means(FLOW), MEDIUM), grid=16)


def test_a_result_has_them_along_their_sides(tmp_path):
    table = {"field": ["head"] * 4, "x": [0.0, 0.5, 1.0, 1.5], "y": [1.3, 1.5, 1.8, 1.2]}
    table |= {"value": [3.4, 3.1, 2.9, 2.5], "noise_std": [0.05] * 4}
    solver = GaussNewton(ensemble=4)
    result = reconstruct(table, problem=Problem(FLOW, MEDIUM), grid=16, n_samples=3, solver=solver)
    assert result.left_head_mean.dims == ("y",) and result.left_head_mean.units == "m"
    assert result.top_flux_std.dims == ("x",) and result.source_mean.dims == ("y", "x")
    assert result.left_head_samples.sizes == {"sample": 3, "y": 16}
    # The values of the head on the side are those of the side
    on_side = result.head_samples.isel(x=0)
    assert np.allclose(on_side, result.left_head_samples, atol=1e-6)
    boundary = json.loads(result.attrs["boundary"])[0]
    assert boundary["left"] == {"value": 3.0} and "3 ± 0.5" in result.attrs["assumed"]
    assert result.left_head_std.max() <= 0.5 + 1e-9
    left = Site.of(result).sides["left"]
    assert np.array_equal(left.values, result.left_head_mean)
    figure = plot_reconstruction(result)
    assert isinstance(figure, Figure)
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "±" in texts and "source" in texts and "no sensors" in texts
    result.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "r.nc", engine="h5netcdf") as stored:
        assert np.array_equal(stored.left_head_std, result.left_head_std)


def test_an_ensemble_infers_them_too():
    o = sensors_of(FLOW, 20)
    by_members = SOLVERS["ensemble-smoother"](members=80)(FLOW, MEDIUM, o, generator=seeded())
    best = GaussNewton()(FLOW, MEDIUM, o, generator=seeded())
    for one, other in zip(by_members.inferred, best.inferred, strict=True):
        assert one.field == other.field
        assert ((one.mean - other.mean).abs() < 3 * other.std).float().mean() > 0.9
        assert 0.5 < float(one.std.mean() / other.std.mean()) < 2.0


@pytest.mark.parametrize("name", SOLVERS)
def test_other_solvers_refuse_them(name):
    pde = PHYSICS["poisson"]
    if UNCERTAIN in SOLVERS[name].takes:
        assert solver_for(name, pde, prior_of(pde)).name == name
        return
    prior = prior_of(pde)
    with pytest.raises(InputError):
        SOLVERS[name]().check(pde, prior)
    with pytest.raises(InputError, match="must be known for the gaussian solver, got an uncertain"):
        SOLVERS["gaussian"]().check(pde, prior)


def test_auto_takes_a_solver_that_infers_them():
    assert solver_for("auto", FLOW, MEDIUM).name == "gauss-newton"
    two = TwoPhase(GaussianField(0.0, 1.0, 0.5), 1.0, 4.0)
    assert solver_for("auto", FLOW, two).name == "ensemble-smoother"


def test_periodic_physics_has_none():
    for name in PDES:
        pde = pde_by_name(name)
        assert bool(pde.uncertain_parameters) == (pde.grid_kind == "vertex")


def test_a_draw_with_the_numbers_is_the_physics_at_them():
    numbers = [torch.zeros(one.size, dtype=torch.float64) for one in FLOW.uncertain]
    a = Problem(FLOW, MEDIUM).sample_coefficient(1, FLOW.grid(8), seeded())
    still = with_draws(FLOW, FLOW.uncertain, numbers)
    assert torch.allclose(still.solve(a), FLOW.solve(a)) and still.boundary.drawn
    assert LatentMap(Problem(still, MEDIUM), sensors_of(FLOW)).pde is still


def test_unknown_noise_is_integrated_over_with_them():
    pde, prior = PHYSICS["poisson"], GaussianField(0.0, 2.0, 1.5, smoothness=3.0)
    o = sensors_of(pde, 20)
    solution = o.channel == 1
    std = float(o.noise_std[solution][0])
    unknown = replace(
        o,
        noise_group=solution.long() - 1,
        unknown_noise=(("noise of potential", Unknown(std / 3, 3 * std)),),
    )
    found = GaussNewton()(pde, prior, unknown, n_samples=4, generator=seeded())
    known = GaussNewton()(pde, prior, o, n_samples=4, generator=seeded())
    for one, other in zip(found.inferred, known.inferred, strict=True):
        assert one.samples.shape == other.samples.shape
        assert float((one.mean - other.mean).norm()) < 1.5 * float(one.std.norm()) + 1e-3
        assert (one.std > 0.5 * other.std).all()


def test_observe_reads_draws(pdeinv, folder):
    Problem(FLOW, MEDIUM, grid=9).save("p.toml")
    command = "observe p.toml --field head --n 6 --noise 0.01 --out s{}.csv --sample {}"
    for i in range(2):
        code, _, err = pdeinv(*command.format(i, i).split())
        assert code == 0, err
    first, second = (Sensors.read(Path(f"s{i}.csv")).table for i in range(2))
    assert not np.allclose(first.value, second.value, atol=0.01)
