"""A point source in a room is found from complex readings with noise: how near, in 16 places."""

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline

from pdeinv import GaussianField, Problem, Sensors, Spikes, reconstruct
from pdeinv.datasets import Acoustics, Impedance, Sides, Well
from pdeinv.solvers import ObjectChains
from pdeinv.solvers.latent_map import LatentMap

ROOM = Acoustics(30.0, boundary=Sides(*4 * [Impedance(1.0)])).reading(["wavefield_imag"])
NODES, FINE, READINGS, NOISE = 96, 191, 60, 0.05


def simulated(seed):
    """Return the place of a source and complex readings of its wave, from a grid twice as fine."""
    generator = np.random.default_rng(seed)
    place, points = generator.uniform(0.1, 0.9, 2), generator.uniform(0.02, 0.98, (READINGS, 2))
    pde = Acoustics(ROOM.k, boundary=ROOM.boundary, wells=(Well(*place, 1.0),))
    nothing = torch.zeros(1, 1, FINE, FINE, dtype=torch.float64)
    fields = pde.reading(["wavefield_imag"]).respond(nothing)[0].numpy()
    x = np.linspace(0, 1, FINE)
    real, imaginary = (RectBivariateSpline(x, x, f).ev(*points.T[::-1]) for f in fields)
    u = real + 1j * imaginary
    std = NOISE * np.sqrt((np.abs(u) ** 2).mean() / 2)
    u = u + std * (generator.standard_normal(READINGS) + 1j * generator.standard_normal(READINGS))
    table = {"field": ["wavefield"] * READINGS, "value": u, "noise_std": np.full(READINGS, std)}
    return place, Sensors(table | {"x": points[:, 0], "y": points[:, 1]})


def posterior_mean(sensors, prior):
    """Return the posterior mean (ny, nx) of the source, with the standard deviation of the prior
    that makes the readings likeliest."""
    problem = Problem(ROOM, prior)
    observation = sensors.observation(ROOM, ROOM.grid(NODES))
    origin = problem.latent.origin()
    rows = LatentMap(problem, observation).whitened_jacobian(origin)
    values, gram = observation.values, rows @ rows.T
    noise = torch.diag(observation.noise_std.square())
    best = (-np.inf, rows[0])
    for variance in 10.0 ** np.arange(0, 8, 0.2):
        lower = torch.linalg.cholesky(variance * gram + noise)
        weights = torch.cholesky_solve(values[:, None], lower)[:, 0]
        evidence = -0.5 * float(values @ weights) - float(lower.diagonal().log().sum())
        if evidence > best[0]:
            best = (evidence, variance * weights @ rows)
    latent = problem.latent.square_root(best[1].reshape(origin.shape), observation.grid)
    return problem.coefficient(latent)[0, 0].numpy()


def test_the_largest_amplitude_is_at_the_source():
    """Within one node, in x and in y, of the node next to the source: in 7 of 8 random places."""
    near = 0
    for seed in range(8):
        place, sensors = simulated(seed)
        mean = np.abs(posterior_mean(sensors, GaussianField(0.0, 1.0, 0.04)))
        row, column = np.unravel_index(mean.argmax(), mean.shape)
        nearest = np.round(place * (NODES - 1))
        near += max(abs(column - nearest[0]), abs(row - nearest[1])) <= 1
    assert near >= 7


def test_chains_of_one_bump_find_it_nearer():
    """Within one node of the source itself; here in one place, by shorter chains on 48 nodes."""
    place, sensors = simulated(4)
    bump = Spikes(1, 1, centre=(0.05, 0.95), radius=(0.02, 0.04), height=(300.0, 3000.0))
    chains = ObjectChains(steps=200, levels=6, runs=1)
    problem = Problem(ROOM, bump, NODES // 2)
    found = reconstruct(sensors, problem=problem, solver=chains, n_samples=2)
    mean = abs(found["source_mean"].values)
    row, column = np.unravel_index(mean.argmax(), mean.shape)
    assert np.abs(np.array([column, row]) - place * (NODES // 2 - 1)).max() <= 1
