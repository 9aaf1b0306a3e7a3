"""Readings of what is linear in the fields of a joint prior, by every sampler with such a prior."""

from dataclasses import dataclass

import pytest
import torch
from helpers import (
    Shifted,
    distance,
    gaussian_prior,
    normal,
    observe,
    quick_solver,
    refused,
    seeded,
)

from pdeinv import InputError, Problem
from pdeinv.datasets import PDE, NavierStokes, check_pde, pde_by_name
from pdeinv.datasets.claims import check_claims
from pdeinv.fields import Field
from pdeinv.solvers import SOLVERS, Moment
from pdeinv.solvers.diffusion import noise_levels
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.conditioning import StateReadings
from pdeinv.solvers.joint_readings import JointReadings, joint_readings

N, M = 16, 24
FLOW = NavierStokes(time=0.4, viscosity=0.01)
PUBLISHED = pde_by_name("navier-stokes")
ENDS = [("velocity_x", 0.0), ("velocity_y", 0.0), ("velocity_x", None), ("velocity_y", None)]


def prior_of(pde):
    return gaussian_prior(pde, N, channels=2, symmetric=False)


JOINT = [
    name
    for name, kind in SOLVERS.items()
    if issubclass(kind, DiffusionSolver) and not refused(quick_solver(name), FLOW, prior_of(FLOW))
]


def observed(pde, read=tuple(ENDS), noise=0.02, kind=None):
    """Return the physics with these fields, a state of it and readings of the fields in turn."""
    given = pde.reading([name for name, _ in read], [t for _, t in read if t is not None])
    channels = [given.channel(name, time=time) for name, time in read]
    grid, generator = given.grid(N), seeded(2)
    a = Problem(given).sample_coefficient(1, grid, generator)
    state = torch.cat([a, given.respond(a)], dim=1)
    points = torch.rand(M, 2, generator=generator, dtype=torch.float64)
    channel = torch.tensor(channels)[torch.arange(M) % len(read)]
    state, o = observe(given, grid, points, channel, noise=noise, state=state)
    return given, state[0], o


def test_there_are_joint_samplers():
    assert {"dps", "diffusionpde", "fundps", "daps", "moment"} <= {*JOINT}


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("pde", [FLOW, PUBLISHED], ids=["own", "published"])
@pytest.mark.parametrize("read", [ENDS[2:], ENDS], ids=["end", "both ends"])
def test_velocities_pull_the_state(name, pde, read):
    prior = prior_of(pde)
    pde, state, o = observed(pde, read)
    found = quick_solver(name)(pde, prior, o, n_samples=4, generator=seeded())
    blank = torch.cat([prior.mean(o.grid), torch.zeros(1, len(pde.fields) - 2, N, N)], dim=1)
    missed, before = (float((o.values - o(s)).norm()) for s in (found.mean[None], blank))
    assert missed < 0.3 * before
    mine = sorted({int(c) for c in o.channel.unique()})
    assert distance(found.mean[mine], state[mine]) < 0.5
    # Its own velocities are those of its vorticity, and so are the samples'
    for states in (found.mean[None], found.samples):
        derived = pde.derive_linear(states[:, :1], states[:, 1:2])
        torch.testing.assert_close(states[:, list(pde.linear_channels)], derived)


@pytest.mark.parametrize(("many", "off"), [(2000, 0.05), (1, 0.1)], ids=["dense", "matrix-free"])
def test_with_a_gaussian_prior_the_posterior_of_moment_is_the_closed_form(monkeypatch, many, off):
    monkeypatch.setattr(noise_levels, "MANY", many)
    pde, _, o = observed(FLOW)
    prior, draws = prior_of(FLOW), 200
    found = Moment(steps=15, batch=draws)(pde, prior, o, n_samples=draws, generator=seeded())
    eye = torch.eye(2 * N * N, dtype=torch.float64).reshape(-1, 2, N, N)
    covariance = prior.covariance(eye).flatten(1)
    whole = torch.zeros(len(eye), len(pde.fields), N, N, dtype=torch.float64)
    whole[:, :2], whole[:, 2:] = eye, pde.derive_linear(eye[:, :1], eye[:, 1:])
    h = o(whole).T
    centre = prior.mean(o.grid)
    state = torch.cat([centre, pde.derive_linear(centre[:, :1], centre[:, 1:])], dim=1)
    gram = h @ covariance @ h.T + torch.diag(o.noise_std**2)
    gain = covariance @ h.T @ torch.linalg.inv(gram)
    mean = centre.flatten() + gain @ (o.values - o(state))[0]
    std = (covariance - gain @ h @ covariance).diagonal().sqrt()
    assert float(((found.mean[:2].flatten() - mean) / std).abs().max()) < off
    ratio = found.std[:2].flatten() / std
    assert float((ratio - 1).abs().mean()) < 0.1
    assert float((std / covariance.diagonal().sqrt()).min()) < 0.7  # the readings tell


@pytest.mark.parametrize("read", [ENDS[:2], ENDS[2:], [("final_vorticity", None), *ENDS]])
@pytest.mark.parametrize("shifted", [False, True])
def test_operator_and_adjoint_are_transposes_on_every_grid(read, shifted):
    pde, state, o = observed(FLOW, read)
    if shifted:
        o = Shifted.of(o, torch.full((M, 2), 1e-2, dtype=torch.float64))
    readings = joint_readings("any", pde, o, linear=True)
    torch.testing.assert_close(readings(state[None, :2]), o(state[None]))
    half = readings.subset(torch.arange(M) % 2 == 0).on_grid(pde.grid(12))
    for h in (readings, half):
        assert isinstance(h, JointReadings) and len(h) == len(h.values)
        x, v = normal(3, 2, *h.grid.shape), normal(3, len(h), seed=1)
        torch.testing.assert_close((h(x) * v).sum(), (x * h.adjoint(v)).sum())
        rows = StateReadings(h).jacobian(x)
        torch.testing.assert_close(rows.flatten(1) @ x.flatten(1).T, h(x).T)
    assert readings.pointwise != shifted
    leaf = x.requires_grad_()
    (gradient,) = torch.autograd.grad((half(leaf) * v).sum(), leaf)
    torch.testing.assert_close(gradient, half.adjoint(v))


def test_readings_of_the_fields_alone_keep_their_class():
    pde, state, o = observed(FLOW, [("final_vorticity", None), ("velocity_x", None)])
    plain = o.subset(o.channel == 1)
    shifted = Shifted.of(plain, torch.full((len(plain), 2), 1e-2, dtype=torch.float64))
    for given in (plain, shifted):
        found = joint_readings("any", pde, given, linear=True)
        assert type(found) is type(given)
        torch.testing.assert_close(found(state[None, :2]), given(state[None]))


REFUSED = {
    "flux_y": (pde_by_name("darcy"), [("flux_y", None)]),
    "log_permeability": (pde_by_name("darcy"), [("log_permeability", None)]),
    "velocity_x at time 0.2": (FLOW, [*ENDS, ("velocity_x", 0.2)]),
}


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("field", REFUSED)
def test_what_is_not_linear_is_refused_with_its_name(name, field):
    pde, read = REFUSED[field]
    prior = prior_of(pde)
    pde, _, o = observed(pde, read)
    if reason := refused(quick_solver(name), pde, prior):
        pytest.skip(reason)
    with pytest.raises(
        InputError,
        match=f"{name} solver .* linear in them, got readings of {field}; drop them, choose moment",
    ):
        quick_solver(name)(pde, prior, o, n_samples=2, generator=seeded())


# The claim of the physics


@dataclass(frozen=True)
class Claiming(PDE):
    """u = a / 2, with a field that it claims to be linear."""

    power: float = 1.0
    offset: float = 0.0
    other: float = 0.0

    @property
    def derived(self):
        return (Field("mix", "sum of both"), Field("square", "their product"))

    def linear_in_channels(self, field):
        return field.name == "mix"

    def solve(self, a):
        return a / 2

    def derive(self, a, u):
        mix = (a.abs() ** self.power).mul(a.sign()) + u.roll(1, -1) + self.offset
        return torch.cat([mix, a * u], dim=1)

    def derive_linear(self, a, u):
        return self.derive(a, u)[:, :1] + self.other * a


NAMES = ("mix", "square")


@pytest.mark.parametrize(
    "parameters", [{"power": 1.1}, {"offset": 0.1}, {"other": 0.1}], ids=lambda p: next(iter(p))
)
def test_a_wrong_claim_is_found(parameters):
    assert (
        check_pde(Claiming(outputs=NAMES))
        .set_index("check")
        .loc["derived fields are linear", "note"]
        .startswith("1 ")
    )
    wrong = Claiming(outputs=NAMES, **parameters)
    message = "derived fields of claiming must be linear .* states of mix, got a deviation of 0."
    with pytest.raises(InputError, match=message):
        check_pde(wrong)
    with pytest.raises(InputError, match=message):
        check_claims(wrong, None, wrong.grid(16), derivative=False)
    assert Claiming(**parameters).linear_channels == ()


def test_by_default_no_field_is_claimed():
    darcy = pde_by_name("darcy").reading(["flux_x", "log_permeability"])
    assert darcy.linear_channels == ()
    flow = FLOW.reading(["velocity_x"], [0.0, 0.2])
    assert [flow.fields[c].time for c in flow.linear_channels] == [0.0] * 3 + [0.4] * 3
