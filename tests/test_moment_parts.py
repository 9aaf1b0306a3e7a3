"""The pieces of the moment solver, what it counts, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from helpers import gaussian_prior, normal, seeded, tuning_task

from pdeinv import InputError
from pdeinv.datasets import Darcy, Helmholtz, pde_by_name
from pdeinv.errors import DivergedError
from pdeinv.solvers import Moment
from pdeinv.solvers.diffusion import moment, noise_levels
from pdeinv.solvers.diffusion.conditioning import Dense, Linearised
from pdeinv.solvers.diffusion.equireg import EquiReg
from pdeinv.solvers.diffusion.guidance import LossTerm, bind_terms
from pdeinv.solvers.diffusion.problem import SamplingProblem

N = 16


def fitted(name="helmholtz", channels=1):
    return gaussian_prior(name, N, 800, channels=channels)


def test_linear_conditioning_meets_exact_readings():
    prior = fitted(channels=2)
    _, o = tuning_task("helmholtz", "both", grid=N, sensors=6).instance(0)
    spread = prior.covariance_root(o.grid)
    rows = o.adjoint(torch.eye(len(o), dtype=torch.float64))
    condition = Linearised(spread, o, Dense(spread, o, rows))
    x, *_ = condition(
        normal(3, 2, N, N), 0.5, normal(3, len(spread), seed=1), normal(3, len(o), seed=2), o
    )
    varies = spread.adjoint(rows).norm(dim=1) > 1e-9
    assert torch.allclose(
        o(x)[:, varies], o.values[varies].expand(3, -1), atol=1e-4 * float(o.values.abs().max())
    )


@pytest.mark.parametrize("kind", ["forward", "inverse", "both"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("noise", "bias"), [(0.0, 0.0), (0.1, 0.0), (0.1, 0.5)])
def test_many_sensors_need_no_matrix(kind, channels, noise, bias, monkeypatch):
    truth, o = tuning_task("helmholtz", kind, grid=N, sensors=60, noise=noise).instance(0)
    if bias:
        shared = torch.eye(2, dtype=torch.float64)[torch.arange(len(o)) % 2]
        o = replace(o, common=bias * o.values.abs().mean() * shared)
    found = []
    for many in (2000, 50):
        monkeypatch.setattr(noise_levels, "MANY", many)
        found.append(
            Moment(steps=4)(
                Helmholtz(), fitted(channels=channels), o, n_samples=4, generator=seeded()
            )
        )
    dense, free = (f.record["reduced_chi_squared"] for f in found)
    # Conjugate gradients stop before such readings are met to the last digit
    early = kind == "both" and not noise
    assert free == pytest.approx(dense, rel=0.25 if early else 0.02) and dense < 2
    for c in (0, 1):
        dense, free = (float((f.mean[c] - truth[c]).norm() / truth[c].norm()) for f in found)
        assert free < 1.03 * dense + 1e-3
        if noise:  # exact readings of both fields are met to the last digit by the matrix alone
            apart = [
                float((getattr(found[0], k)[c] - getattr(found[1], k)[c]).norm())
                for k in ("mean", "std")
            ]
            assert max(apart) < 0.02 * float(truth[c].norm())


@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_matrix_free_readings_have_their_adjoint(kind, channels, monkeypatch):
    monkeypatch.setattr(noise_levels, "MANY", 1)
    _, o = tuning_task("helmholtz", kind, grid=N, sensors=7).instance(0)
    problem = SamplingProblem(Helmholtz(), fitted(channels=channels), o, (), seeded())
    mean = problem.gaussian.mean(o.grid)
    derivative = noise_levels.LevelConditioning(problem, mean, 0.02).linearised.derivative
    c, w = normal(3, len(derivative.root)), normal(3, len(o), seed=1)
    assert torch.allclose(
        (derivative.forward(c) * w).sum(dim=1), (c * derivative.adjoint(w)).sum(dim=1), rtol=1e-10
    )


def test_a_guidance_term_pushes_by_its_share_and_leaves_the_readings_met():
    _, o = tuning_task("helmholtz", "inverse", grid=N, sensors=6).instance(0)

    def lower(x_t, sigma, x0_hat):
        return x0_hat.sum(dim=(1, 2, 3))

    term = LossTerm(lower, share=0.5)
    found = {
        share: Moment(steps=4, guidance=terms)(
            Helmholtz(), fitted(), o, n_samples=4, generator=seeded()
        )
        for share, terms in ((0, ()), (0.5, (term,)))
    }
    assert float(found[0.5].mean[0].mean()) < float(found[0].mean[0].mean())
    for posterior in found.values():
        assert torch.allclose(
            o(posterior.samples), o.values.expand(4, -1), atol=1e-4 * float(o.values.abs().max())
        )
    equireg = Moment(steps=6, guidance=(EquiReg(),))(
        Helmholtz(), fitted(), o, n_samples=4, generator=seeded()
    )
    assert equireg.record["network_evaluations"] > 6
    bound = bind_terms((term,), Helmholtz(), fitted(), None)
    problem = SamplingProblem(Helmholtz(), fitted(), o, bound, seeded())
    mean, moved = normal(2, 1, N, N), normal(2, 1, N, N, seed=1)
    sizes = [
        v.flatten(1).norm(dim=1) for v in (moment._pushed(problem, mean, 0.1, mean, moved), moved)
    ]
    assert torch.allclose(sizes[0], 0.5 * sizes[1])


# What it says and refuses


def test_readings_of_no_stable_flow_are_told():
    _, o = tuning_task("navier-stokes", "inverse", grid=N, sensors=10).instance(0)
    with pytest.raises(
        DivergedError,
        match="no initial_vorticity of this prior comes near the readings of navier-stokes",
    ):
        Moment(steps=2)(
            pde_by_name("navier-stokes"),
            fitted("navier-stokes"),
            replace(o, values=1000 * o.values),
        )


@pytest.mark.parametrize("option", [{"guidance": (EquiReg(),)}, {"group_average": True}])
def test_what_asks_the_denoiser_is_refused_where_there_is_none(option):
    _, o = tuning_task("darcy", "inverse", grid=N, sensors=6).instance(0)
    with pytest.raises(
        InputError, match="does not evaluate the denoiser for a two-valued permeability"
    ):
        Moment(**option)(Darcy(), fitted("darcy"), o, n_samples=2)


def test_it_tells_its_cost():
    _, o = tuning_task("helmholtz", "inverse", grid=N, sensors=6).instance(0)
    record = Moment(steps=5)(Helmholtz(), fitted(), o, n_samples=3, generator=seeded()).record
    assert record["network_evaluations"] == 5
    assert (
        record["solver_calls"] == (1 + 6) + 1 + 6 * 3 + 3
    )  # the Jacobian and its rows, the mode, the predictions at six levels, the samples' solutions
    _, o = tuning_task("darcy", "inverse", grid=N, sensors=6).instance(0)
    record = Moment()(Darcy(), fitted("darcy"), o, n_samples=2, generator=seeded()).record
    assert record["network_evaluations"] == 0 and record["solver_calls"] > 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma_min": 6.0}, "sigma_min of moment must be below sigma_max = 3.0, got 6.0"),
        ({"steps": 1}, "steps of moment must be an integer of at least 2, got 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Moment(**settings)


def test_a_prior_of_other_fields_is_refused():
    _, o = tuning_task("darcy", "forward", grid=N, sensors=6).instance(0)
    for channels, message in (
        (1, "must be of permeability for darcy, got one of source"),
        (2, "must be of permeability and pressure for darcy, got one of source and wavefield"),
    ):
        with pytest.raises(InputError, match=message):
            Moment(steps=2)(Darcy(), fitted(channels=channels), o)
