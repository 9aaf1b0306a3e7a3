"""Sides and wells: in the result of a reconstruction, and in its figure."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure

from pdeinv import Field, Sensors, plot_reconstruction, reconstruct
from pdeinv.coordinates import coordinates_of
from pdeinv.datasets import (
    PDES,
    Darcy,
    Experiments,
    Flux,
    Helmholtz,
    NavierStokes,
    NoFlux,
    Sides,
    Value,
    Well,
    pde_by_name,
)
from pdeinv.field_style import field_style, format_bar, spans_decades
from pdeinv.figures.layout import Panel, extent_of
from pdeinv.figures.sides import plot_sides
from pdeinv.figures.symbols import SENSOR, WELL, legend_of
from pdeinv.figures.wells import plot_wells
from pdeinv.files import save_netcdf
from pdeinv.grid import Domain
from pdeinv.site import Site, Surrounding
from pdeinv.solvers.site import with_site
from pdeinv.units import in_figures, product

WELLS = (Well(1000.0, 500.0, -800.0), Well(2200.0, 700.0, 300.0))
DOMAIN = Domain((0.0, 3000.0, 0.0, 1200.0), "m")
AQUIFER = Darcy(
    domain=DOMAIN,
    boundary=Sides(Value(52), Value(50), NoFlux(), NoFlux()),
    wells=WELLS,
    thickness=20.0,
    source=0.0,
    coefficient_field=Field("hydraulic_conductivity", "hydraulic conductivity", "m day-1"),
    solution_field=Field("head", "hydraulic head", "m"),
)
TESTS = Experiments(
    (replace(AQUIFER, wells=WELLS[:1]), replace(AQUIFER, wells=(*WELLS[1:], Well(400, 900, -5.0)))),
    ("spring", "autumn"),
)


def result_of(pde, *, contrast=10.0, sensors=0):
    """A result of smooth fields for a PDE, without a solve."""
    grid = pde.grid(12)
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in grid.shape), indexing="ij")
    data = {}
    for f in pde.fields:
        mean = contrast**x if f.name == pde.coefficient_field.name else 50 + x * y
        for what, values in (("mean", mean), ("std", 0.5 + 0.1 * y)):
            if f.experiment:
                values = np.stack([values] * len(pde.names))
            dims = ("experiment", "y", "x")[-values.ndim :]
            data[f"{f.name}_{what}"] = (dims, values, {"units": f.units, "long_name": f.long_name})
    coords = dict(coordinates_of(grid))
    rng = np.random.default_rng(0)
    x0, x1, y0, y1 = grid.extent
    columns = {
        "field": np.array([pde.solution_field.name] * sensors, dtype=object),
        "x": rng.uniform(x0, x1, sensors),
        "y": rng.uniform(y0, y1, sensors),
        "value": np.zeros(sensors),
    }
    if pde.experiments:
        coords["experiment"] = np.array(pde.names, dtype=object)
        columns["experiment"] = np.array([pde.names[0]] * sensors, dtype=object)
    result = xr.Dataset(data, coords).assign(
        {f"sensor_{k}": ("sensor", v) for k, v in columns.items()}
    )
    return with_site(result, pde)


def mean_panels(figure):
    """The panels of the posterior mean, from top to bottom."""
    return [a for a in figure.axes if a.get_title().endswith("posterior mean")]


def wells_in(axis):
    """{marker: positions (m, 2)} of the wells in a panel."""
    lines = [line for line in axis.lines if line.get_marker() in ("v", "^", "s")]
    return {line.get_marker(): np.stack(line.get_data(), axis=1) for line in lines}


def texts_of(axis):
    return [text.get_text() for text in axis.texts]


# In the result


@pytest.mark.parametrize("name", PDES)
def test_a_result_states_the_sides_and_the_wells_that_are_parameters(name):
    pde = pde_by_name(name)
    kinds = [type(v) for v in pde.parameters.values()]
    stated = with_site(xr.Dataset(), pde)
    assert ("boundary" in stated.attrs) == (Sides in kinds)
    assert "well_x" not in stated
    if Sides in kinds:
        (one,) = json.loads(stated.attrs["boundary"])
        assert one["field"] == pde.solution_field.name and one["experiment"] == ""
        assert Sides.of({k: one[k] for k in ("left", "right", "bottom", "top")}) == pde.boundary


def test_wells_have_positions_rates_and_units():
    result = with_site(xr.Dataset(), AQUIFER)
    assert result.well_x.values.tolist() == [1000.0, 2200.0]
    assert result.well_y.values.tolist() == [500.0, 700.0]
    assert result.well_rate.values.tolist() == [-800.0, 300.0]
    assert result.well_x.attrs["units"] == "m" and result.well_rate.attrs["units"] == "m3 day-1"
    plain = replace(AQUIFER, coefficient_field=replace(AQUIFER.coefficient_field, units="1"))
    assert with_site(xr.Dataset(), plain).well_rate.attrs["units"] == "1"


def test_a_function_on_a_side_is_stated_by_its_values():
    domain = Domain((1.0, 3.0, 0.0, 5.0))
    sides = Sides(Flux(lambda x, y: x + y**2), Value([1.0, 2.0, 4.0]), top=Value(lambda x, y: x))
    pde = Helmholtz(domain=domain, boundary=sides)
    site = Site.of(with_site(xr.Dataset(), pde))
    assert np.allclose(site.sides["left"].values, 1 + np.linspace(0, 5, 33) ** 2)
    assert site.sides["left"].kind == "flux"
    assert site.sides["right"].values.tolist() == [1.0, 2.0, 4.0]
    assert np.allclose(site.sides["top"].values, np.linspace(1, 3, 33))
    assert site.sides["bottom"].values.tolist() == [0.0]


def test_a_reconstruction_is_drawn_from_its_file(tmp_path):
    pde = Helmholtz(boundary=Sides(Value(1.0), NoFlux(), Flux(0.5), Value(2.0)))
    table = {"field": "wavefield", "x": [0.3, 0.6], "y": [0.4, 0.2], "value": [1.0, 1.2]}
    found = reconstruct(Sensors.read(table), pde, noise=1.0, grid=16, n_samples=2)
    save_netcdf(found, tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc") as stored:
        figure = plot_reconstruction(stored)
    assert texts_of(mean_panels(figure)[1]) == ["wavefield = 1", "inflow 0.5", "wavefield = 2"]


def test_wells_of_experiments_are_read_from_their_file(tmp_path):
    result = result_of(TESTS)
    save_netcdf(result, tmp_path / "r.nc")
    with xr.open_dataset(tmp_path / "r.nc") as stored:
        xr.testing.assert_identical(stored.load(), result)
        for part, pde in ((stored.sel(experiment=n), p) for n, p in TESTS.experiments.items()):
            wells = Site.of(part).wells
            assert wells.rates.tolist() == [well.rate for well in pde.wells]
            assert wells.points.tolist() == [[well.x, well.y] for well in pde.wells]
            assert wells.units == "m3 day-1"
    assert not len(Site.of(result).wells.rates)  # of all experiments at once


# In the figure


@pytest.fixture(scope="module")
def aquifer():
    return plot_reconstruction(result_of(AQUIFER, sensors=20))


def test_wells_are_triangles_in_every_field_and_the_sides_are_around_the_solution(aquifer):
    figure, (coefficient, head) = aquifer, mean_panels(aquifer)
    for axis in (coefficient, head):
        places = wells_in(axis)
        assert places["v"].tolist() == [[1000.0, 500.0]]
        assert places["^"].tolist() == [[2200.0, 700.0]]
    assert texts_of(coefficient) == [] and len(coefficient.lines) == 2
    assert texts_of(head) == ["−800", "300", "head = 52 m", "head = 50 m"]
    assert len(head.lines) == 3 + 4  # sensors and wells, and one of each side
    others = [a for a in figure.axes if a.images and a not in (coefficient, head)]
    assert not any(wells_in(a) or texts_of(a) for a in others)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "sensor",
        "extraction well (m³ day⁻¹)",
        "injection well (m³ day⁻¹)",
        "no flux",
    ]


def drawn_wells(wells, sensors=()):
    """A panel with wells alone."""
    grid = AQUIFER.grid(12)
    panel = Panel.of(grid, 3)
    axis = Figure((panel.width, panel.height)).add_axes((0, 0, 1, 1))
    left, right, bottom, top = extent_of(grid)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    site = Site.of(with_site(xr.Dataset(), replace(AQUIFER, wells=wells)))
    plot_wells(axis, site.wells, np.reshape(sensors, (-1, 2)), grid, panel, True)
    return axis


def test_many_wells_have_no_rates():
    wells = tuple(Well(100.0 * (i + 1), 600.0, (-1.0) ** i) for i in range(20))
    axis = drawn_wells(wells)
    assert {k: len(v) for k, v in wells_in(axis).items()} == {"v": 10, "^": 10}
    assert texts_of(axis) == [] and texts_of(drawn_wells(wells[:4])) == ["1", "−1", "1", "−1"]


def test_a_legend_has_the_units_of_rates_that_are_written():
    wells = tuple(Well(100.0 * (i + 1), 600.0, -1.0) for i in range(5))
    for count, label in ((4, "extraction well (m³ day⁻¹)"), (5, "extraction well")):
        site = Site.of(with_site(xr.Dataset(), replace(AQUIFER, wells=wells[:count])))
        assert [handle.get_label() for handle in legend_of([site])][1] == label


@pytest.mark.parametrize("well", [WELLS[0], Well(2990.0, 1190.0, -1234.0), Well(5.0, 5.0, 9.0)])
def test_a_rate_is_in_the_panel_and_hides_no_sensor(well):
    for dx, dy in ((150.0, 0.0), (-150.0, 0.0), (0.0, 100.0), (0.0, -100.0)):
        sensor = (well.x + dx, well.y + dy)
        axis = drawn_wells((well,), sensor)
        axis.figure.draw_without_rendering()
        (text,) = axis.texts
        box = text.get_window_extent()
        assert not box.contains(*axis.transData.transform(sensor))
        assert not box.contains(*axis.transData.transform((well.x, well.y)))
        assert box.x0 >= -2 and box.x1 <= axis.bbox.x1 + 2
        assert box.y0 >= -2 and box.y1 <= axis.bbox.y1 + 2


@pytest.mark.parametrize("name", PDES)
def test_published_sides_are_all_alike(name):
    assert not Site.of(with_site(xr.Dataset(), pde_by_name(name))).varied


def test_sides_that_are_all_alike_are_not_drawn():
    figure = plot_reconstruction(result_of(Darcy()))
    for axis in mean_panels(figure):
        assert len(axis.lines) == 0 and texts_of(axis) == []
    assert not figure.legends


def test_each_experiment_has_its_own_wells_in_its_row_alone():
    rows = mean_panels(plot_reconstruction(result_of(TESTS)))
    assert ["spring" in a.get_title() for a in rows] == [False, True, False]
    shared, spring, autumn = map(wells_in, rows)
    assert not shared
    assert {k: v.tolist() for k, v in spring.items()} == {"v": [[1000.0, 500.0]]}
    assert autumn["^"].tolist() == [[2200.0, 700.0]] and autumn["v"].tolist() == [[400.0, 900.0]]
    assert texts_of(rows[1])[1:] == texts_of(rows[2])[2:] == ["head = 52 m", "head = 50 m"]


def test_a_torus_has_a_dashed_frame(aquifer):
    for figure, dashed in ((plot_reconstruction(result_of(NavierStokes())), 1), (aquifer, 0)):
        for axis in figure.axes:
            if axis.get_title().strip():
                lines = {s.get_linestyle() for s in axis.spines.values()}
                assert lines == ({(0, (4, 3))} if dashed else {"solid"})


def test_arrows_point_the_way_of_the_flux():
    sides = Sides(bottom=Flux([-1.0, 1.0]), top=Value(1.0))
    axis = Figure().add_subplot()
    site = Site.of(with_site(xr.Dataset(), Helmholtz(boundary=sides)))
    plot_sides(axis, site, Panel(2.0, 2.0, True))
    arrows = [line for line in axis.lines if len(getattr(line.get_marker(), "vertices", [])) == 5]
    out, into = ((line.get_xdata(), line.get_marker().vertices[1, 1]) for line in arrows)
    assert max(out[0]) < 0.5 < min(into[0])
    assert out[1] == -1.0 and into[1] > -0.5  # the tip: out of the domain, at the frame


@pytest.mark.parametrize(
    ("values", "std", "text"),
    [
        ([50.4718, 51.0, 52.0312], 0.1235, "50.47 to 52.03 ± 0.12"),
        ([1234.56, 1234.91], 0.0123, "1234.56 to 1234.91 ± 0.012"),
        ([1234.5612], 0.0312, "1234.56 ± 0.031"),
        ([-0.0035, 0.9996], 0.1177, "0.00 to 1.00 ± 0.12"),
        ([0.0, 0.0], 0.3, "0.00 ± 0.30"),
        ([-12345.6, 98765.4], 432.1, "−12350 to 98770 ± 430"),
        ([1e-7, 3e-7], 2e-8, "1e−07 to 3e−07 ± 2e−08"),
        ([5.0], 1e-9, "5 ± 1e−09"),
        ([5.0], 0.0, "5 ± 0"),
        ([-0.0035, 49.9871], None, "0 to 49.99"),
        ([100.012, 100.038], None, "100.012 to 100.038"),
        ([50.0, 50.0 + 1e-9], None, "50"),
        ([50.0, 1050.0], None, "50 to 1050"),
        ([50.125], None, "50.125"),
        ([-1234.5], None, "−1234.5"),
        ([1 / 3], None, "0.3333"),
        ([3e-7], None, "3e−07"),
        ([0.0], None, "0"),
    ],
)
def test_values_of_a_side_end_at_the_digits_that_they_state(values, std, text):
    deviations = None if std is None else np.full(len(values), std)
    closed = Surrounding("no flux", np.zeros(1))
    sides = {"left": Surrounding("value", np.array(values), deviations)}
    site = Site("head", "m", sides | dict.fromkeys(("right", "bottom", "top"), closed))
    axis = Figure().add_subplot()
    plot_sides(axis, site, Panel(9.0, 9.0, True))
    assert texts_of(axis) == [f"head = {text} m"]


SIDES = Sides(Value(-1234.5), Value(lambda x, y: 50 + y), Flux(0.25), Value(3e-7))
SHAPES = {
    "aquifer": DOMAIN,
    "square": Domain((0.0, 1.0, 0.0, 1.0), "km"),
    "tall": Domain((0.0, 400.0, 0.0, 1000.0), "m"),
    "slender": Domain((0.0, 5000.0, 0.0, 100.0), "m"),
    "upright": Domain((0.0, 100.0, 0.0, 5000.0), "m"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_covers_the_labels(name):
    domain, known = SHAPES[name], name == "aquifer"
    x0, x1, y0, y1 = domain.extent
    corner = Well(x0 + 0.99 * (x1 - x0), y0 + 0.98 * (y1 - y0), -1234.0)
    middle = Well((x0 + x1) / 2, (y0 + y1) / 2, 5.0)
    pde = replace(AQUIFER, domain=domain, boundary=SIDES, wells=(corner, middle))
    result = result_of(pde, sensors=10)
    names = [f.name for f in pde.fields]
    truth = xr.Dataset({n: result[f"{n}_mean"] for n in names}) if known else None
    figure = plot_reconstruction(result, truth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    axes = [a for a in figure.axes if a.axison]
    labels = [text for a in axes for text in labels_of(a)]
    boxes = [(t.get_text(), t.get_window_extent()) for t in labels]
    for i, (one, box) in enumerate(boxes):
        for other, second in boxes[:i]:
            assert not shrunk(box).overlaps(shrunk(second)), (one, other)
    panels = [a for a in axes if a.images or a.collections]
    around = [t for t in mean_panels(figure)[1].texts if t not in inside(mean_panels(figure)[1])]
    assert len(around) == 4
    for text in around:
        assert not any(a.bbox.overlaps(shrunk(text.get_window_extent())) for a in panels)
    for text in inside(mean_panels(figure)[1]):
        box, frame = text.get_window_extent(), mean_panels(figure)[1].bbox
        assert frame.x0 - 2 <= box.x0 and box.x1 <= frame.x1 + 2
        assert frame.y0 - 2 <= box.y0 and box.y1 <= frame.y1 + 2
    width, height = figure.get_size_inches()
    for a in mean_panels(figure):
        box = a.get_position()
        assert box.width * width >= 0.5 and box.height * height >= 0.45


def labels_of(axis):
    """The texts that are drawn of a panel or a colour bar."""
    ticks = []
    for one in (axis.xaxis, axis.yaxis):
        low, high = sorted(one.get_view_interval())
        within = [tick for tick in one.get_major_ticks() if low <= tick.get_loc() <= high]
        ticks += [label for tick in within for label in (tick.label1, tick.label2)]
    texts = (axis.title, axis.xaxis.label, axis.yaxis.label, *ticks, *axis.texts)
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def shrunk(box):
    """A box without half a pixel of rounding on each side."""
    return box.padded(-0.5)


def inside(axis):
    """The rates of wells."""
    return [text for text in axis.texts if text.get_transform() == axis.transData]


# Colours


def luminance(colour):
    """Relative luminance of a colour, as of WCAG 2."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", [SENSOR, WELL], ids=["sensor", "well"])
@pytest.mark.parametrize("name", ["viridis", "RdBu_r"])
def test_symbols_stand_out_in_greyscale(look, name):
    for share in np.linspace(0, 1, 33):
        behind = colormaps[name](share)[:3]
        assert max(contrast(look[part], behind) for part in ("mfc", "mec")) > 4
    assert contrast(look["mfc"], look["mec"]) > 4
    assert contrast(SENSOR["mfc"], WELL["mfc"]) > 4


def test_a_coefficient_over_more_than_two_decades_has_a_logarithmic_scale():
    result = result_of(AQUIFER, contrast=150.0)
    s = 0.7
    mean = result.hydraulic_conductivity_mean
    result["hydraulic_conductivity_std"] = mean * np.sqrt(np.expm1(s**2))
    result["head_mean"] = result.head_mean * 0 + 10.0 ** (result.x / 1000)
    true = mean.copy(data=mean.values * np.where(mean.x < 1500, 2.0, 0.5))
    figure = plot_reconstruction(result, xr.Dataset({"hydraulic_conductivity": true}))
    drawn = {a.get_title().splitlines()[-1]: a.images[0] for a in figure.axes[:4]}
    assert isinstance(drawn["posterior mean"].norm, LogNorm)
    assert drawn["posterior mean"].get_clim() == drawn["truth"].get_clim()
    spread, error = drawn["spread as a factor"], drawn["error as a factor"]
    assert np.allclose(spread.get_array(), np.exp(s)) and np.allclose(error.get_array(), 2.0)
    assert spread.get_clim() == error.get_clim() and spread.get_clim()[0] == 1.0
    assert [a.get_ylabel() for a in figure.axes].count("factor") == 1
    assert not isinstance(mean_panels(figure)[1].images[0].norm, LogNorm)  # the solution


@pytest.mark.parametrize(
    ("values", "wide"), [((1.0, 99.0), 0), ((1e-9, 1e-6), 1), ((0.0, 9.0), 0), ((-1.0, 9.0), 0)]
)
def test_positive_values_over_more_than_two_decades_are_wide(values, wide):
    assert spans_decades(np.array(values)) == wide
    assert spans_decades(*(np.array([v]) for v in values)) == wide


@pytest.mark.parametrize("ends", [(1.0, 3.0), (1.0, 300.0), (1e-9, 1e-5), (0.5, 85.0)])
def test_a_logarithmic_bar_has_a_few_numbers(ends):
    axis = Figure().add_subplot()
    style = field_style(np.array(ends), logarithmic=True)
    bar = axis.figure.colorbar(axis.imshow(np.array([ends]), **style))
    format_bar(bar)
    axis.figure.draw_without_rendering()
    low, high = bar.ax.get_ylim()
    shown = [t.get_text() for t in bar.ax.get_yticklabels() if low <= t.get_position()[1] <= high]
    assert 2 <= len([text for text in shown if text]) <= 8


@pytest.mark.parametrize(
    ("factors", "made"),
    [
        (("m day-1", "m", "m"), "m3 day-1"),
        (("m2", "Pa", "m-1"), "m Pa"),
        (("1", "m", "m-1"), "1"),
        (("kg m-3", "(10 m)-1"), "kg m-3 (10 m)-1"),
    ],
)
def test_powers_of_a_unit_are_gathered(factors, made):
    assert product(*factors) == made


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        ("m3 day-1", "m³ day⁻¹"),
        ("ln(re 1 m day-1)", "ln(re 1 m day⁻¹)"),
        ("1", ""),
        ("10 m", "10 m"),
        ("kg m-3", "kg m⁻³"),
    ],
)
def test_units_are_typeset(units, shown):
    assert in_figures(units) == shown
