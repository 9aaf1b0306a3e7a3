"""Coordinates of files and results: the grid that wrote them is read from them."""

import numpy as np
import pytest
import xarray as xr

from pdeinv import Grid, InputError, Sensors, layouts
from pdeinv.coordinates import coordinates_of, grid_from
from pdeinv.grid import Domain


def along_x(grid):
    field = np.broadcast_to(grid.coordinates()[1].numpy(), grid.shape)
    return xr.DataArray(field, coords=coordinates_of(grid), dims=("y", "x"), name="source")


@pytest.mark.parametrize("kind", ["vertex", "periodic", "cell"])
@pytest.mark.parametrize(
    ("extent", "unit"),
    [
        ((0.0, 1.0, 0.0, 1.0), "1"),
        ((0.0, 5.0, 0.0, 3.0), "km"),
        ((100.0, 105.0, -3.0, 0.0), "km"),
        ((500000.1, 503000.4, 4.2e6, 4201000.3), "m"),
        ((0.0, 0.95, 0.0, 0.95), "m"),  # ends like a torus of 20 nodes
        ((0.0, 1.05e-6, 0.0, 1.05e-6), "m"),
        ((0.0, 5e-8, 0.0, 5e-8), "m"),
    ],
)
def test_a_grid_is_read_from_its_own_coordinates(extent, unit, kind):
    grid = Grid(20, 20, extent, unit, kind)
    found = grid_from(along_x(grid))
    assert (found.shape, found.unit, found.kind) == (grid.shape, unit, kind)
    size = min(grid.domain.lengths)
    assert np.allclose(found.extent, extent, rtol=0, atol=1e-7 * size)
    middle = [[(extent[0] + extent[1]) / 2, extent[2]]]
    read = Sensors.observe(along_x(grid), middle).table.value[0]
    assert abs(read - middle[0][0]) < 0.2 * size if kind == "periodic" else 1e-9 * size


def test_the_period_of_a_file_of_the_first_version_is_that_of_the_unit_square():
    nodes = np.arange(16) / 16
    field = xr.DataArray(np.ones((16, 16)), coords={"y": nodes, "x": nodes}, dims=("y", "x"))
    assert grid_from(field) == Grid(16, kind="periodic")
    assert grid_from(field.assign_attrs(grid_kind="vertex")).kind == "vertex"


@pytest.mark.parametrize(
    "nodes", [[0.0, 0.5, 0.6, 1.0], [1.0, 0.5, 0.0], [0.0, np.nan, 1.0], [0.0]]
)
def test_coordinates_that_are_no_grid_are_refused(nodes):
    n = len(nodes)
    field = xr.DataArray(np.ones((n, n)), coords={"y": nodes, "x": nodes}, dims=("y", "x"))
    with pytest.raises(InputError, match="must rise in equal steps"):
        grid_from(field)


def test_layouts_keep_the_digits_of_large_coordinates():
    domain = Domain((500000.1, 503000.4, 4.2e6, 4201000.3), "m")
    around = layouts.boundary(37, domain)
    assert around.shape == (37, 2) and around[0].tolist() == [500000.1, 4.2e6]
    ends = [(500000.1, 4200000.1), (503000.0, 4201000.0)]
    assert layouts.track(ends, 2, domain).tolist() == [list(end) for end in ends]


def test_a_slender_domain_beyond_the_modes_of_a_field_is_refused():
    with pytest.raises(InputError, match="ratio is at most 50"):
        Domain((0.0, 60.0, 0.0, 1.0))
