"""MODFLOW models as problems: heads are MODFLOW's own, and conductivity is written back."""

import os
import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import xarray as xr
from block_centred import heads

import pdeinv
from pdeinv import InputError, InputWarning, LogNormal, Problem, Sensors, layouts
from pdeinv.problems import read_conductivity, read_modflow, write_conductivity

flopy = pytest.importorskip("flopy")
MF6 = shutil.which(os.environ.get("MF6", "mf6"))
ROWS, COLUMNS, DELR, DELC = 16, 20, 50.0, 25.0


def random_conductivity(seed=0):
    return np.exp(np.random.default_rng(seed).normal(size=(ROWS, COLUMNS)))


@dataclass
class Case:
    """What a model of either version is made of."""

    k: np.ndarray = field(default_factory=random_conductivity)
    top: np.ndarray | float = 20.0
    recharge: np.ndarray | float = 1e-3
    active: np.ndarray = field(
        default_factory=lambda: ~(np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) < 5)
    )

    constant: dict = field(default_factory=lambda: {(i, 19): 5.0 + 0.1 * i for i in range(ROWS)})
    wells: dict = field(default_factory=lambda: {(8, 8): -30.0, (3, 12): 12.0})
    general: list = field(
        default_factory=lambda: [((i, 6), 8.0, 20.0 + (i > 12)) for i in range(10, 16)]
    )
    rivers: list = field(
        default_factory=lambda: [((5, j), 7.0 + 0.1 * j, 30.0, 2.0) for j in range(8, 12)]
    )

    @property
    def thickness(self):
        return np.broadcast_to(self.top, (ROWS, COLUMNS)).astype(float)

    def heads(self, k=None):
        leaks = [*self.general, *(entry[:3] for entry in self.rivers)]
        recharge = np.broadcast_to(self.recharge, (ROWS, COLUMNS))
        return heads(
            self.k if k is None else k, self.thickness, DELR, DELC, constant=self.constant,
            wells=self.wells, recharge=recharge, general=leaks, active=self.active,
        )  # fmt: skip


def simulation(folder, case=None, *, dis=None, npf=None, more=()):
    """A MODFLOW 6 simulation; `more` are functions that add packages to its model."""
    case, mf6 = case or Case(), flopy.mf6
    sim = mf6.MFSimulation(sim_name="site", sim_ws=str(folder), exe_name=MF6 or "mf6")
    mf6.ModflowTdis(sim, time_units="DAYS", nper=2, perioddata=[(1.0, 1, 1.0)] * 2)
    mf6.ModflowIms(sim, outer_dvclose=1e-10, inner_dvclose=1e-11, outer_maximum=200)
    model = mf6.ModflowGwf(sim, modelname="site")
    mf6.ModflowGwfdis(model, **{
        "length_units": "METERS", "nlay": 1, "nrow": ROWS, "ncol": COLUMNS, "delr": DELR,
        "delc": DELC, "top": case.top, "botm": 0.0, "idomain": case.active[None].astype(int),
        "xorigin": 1000.0, "yorigin": -200.0,
    } | (dis or {}))  # fmt: skip
    mf6.ModflowGwfic(model, strt=10.0)
    mf6.ModflowGwfnpf(model, **{"icelltype": 0, "k": case.k[None]} | (npf or {}))
    entries = {
        mf6.ModflowGwfchd: [[(0, *cell), h] for cell, h in case.constant.items()],
        mf6.ModflowGwfwel: [[(0, *cell), q] for cell, q in case.wells.items()],
        mf6.ModflowGwfghb: [[(0, *cell), *rest] for cell, *rest in case.general],
        mf6.ModflowGwfriv: [[(0, *cell), *rest] for cell, *rest in case.rivers],
    }
    for package, listed in entries.items():
        package(model, stress_period_data=listed)
    mf6.ModflowGwfrcha(model, recharge=case.recharge)
    for add in more:
        add(model)
    mf6.ModflowGwfoc(model, head_filerecord="site.hds", saverecord=[("HEAD", "LAST")])
    return sim


def modflow_2005(folder, case=None, **lpf):
    case, classic = case or Case(), flopy.modflow
    model = classic.Modflow("site", model_ws=str(folder))
    ibound, start = case.active.astype(int), np.full((ROWS, COLUMNS), 10.0)
    constant = dict(case.constant)
    for cell in list(constant)[:4]:  # of the two ways of a constant head
        ibound[cell], start[cell] = -1, constant.pop(cell)
    classic.ModflowDis(
        model, 1, ROWS, COLUMNS, delr=DELR, delc=DELC, top=case.top, botm=0.0, itmuni=4, lenuni=2,
        xul=1000.0, yul=-200.0 + ROWS * DELC,
    )  # fmt: skip
    classic.ModflowBas(model, ibound=ibound[None], strt=start[None])
    classic.ModflowLpf(model, hk=case.k[None], **lpf)
    cells = {"chd": [[0, *cell, h, h] for cell, h in constant.items()]}
    cells["wel"] = [[0, *cell, q] for cell, q in case.wells.items()]
    cells["ghb"] = [[0, *cell, *rest] for cell, *rest in case.general]
    cells["riv"] = [[0, *cell, *rest] for cell, *rest in case.rivers]
    for name, listed in cells.items():
        getattr(classic, f"Modflow{name.title()}")(model, stress_period_data={0: listed})
    classic.ModflowRch(model, rech=case.recharge)
    classic.ModflowPcg(model)
    return model


def distance(found, true):
    """The largest difference, as a share of the range."""
    assert np.array_equal(np.isnan(found), np.isnan(true))
    return np.nanmax(np.abs(found - true)) / np.ptp(true[~np.isnan(true)])


UNEVEN = {
    "uniform": Case(),
    "varying recharge": Case(recharge=1e-3 * random_conductivity(5)),
    "whole": Case(active=np.ones((ROWS, COLUMNS), bool)),
    "entries of cells without an equation": Case(
        wells={(0, 0): -5.0, (3, 19): -7.0, (8, 8): -30.0},
        general=[
            ((0, 1), 9.0, 4.0),
            ((10, 6), 8.0, 20.0),
            ((10, 6), 9.0, 5.0),
            ((2, 19), 0.0, 3.0),
        ],
    ),
}


@pytest.mark.parametrize("case", UNEVEN.values(), ids=UNEVEN)
@pytest.mark.parametrize(
    ("make", "rounding"),
    [(simulation, 1e-10), (modflow_2005, 1e-6)],  # whose arrays are of single precision
    ids=["6", "2005"],
)
def test_heads_are_those_of_the_block_centred_equations(case, make, rounding, tmp_path):
    model = make(tmp_path, case)
    problem = read_modflow(model)
    assert problem.grid.extent == (1000.0, 2000.0, -200.0, 200.0)
    assert (problem.grid.kind, problem.grid.unit) == ("cell", "m")
    assert problem.physics.coefficient_field.units == "m day-1"
    assert problem.physics.thickness == 20.0
    k = np.where(case.active, case.k, 1.0)[::-1].copy()
    u = problem.physics.solve(torch.from_numpy(k)[None, None])[0, 0].numpy()[::-1]
    assert distance(np.where(case.active, u, np.nan), case.heads()) < rounding
    own = read_conductivity(model)
    np.testing.assert_allclose(own.values[::-1][case.active], case.k[case.active], rtol=1e-6)
    assert np.isnan(own.values).sum() == (~case.active).sum()


def test_recharge_by_a_list_holds_until_it_is_stated_again(tmp_path):
    case = Case(recharge=0.0)

    def listed(model):
        entries = [[(0, i, j), 2e-3] for i in range(6, ROWS) for j in range(COLUMNS)]
        flopy.mf6.ModflowGwfrch(model, stress_period_data={0: entries, 1: entries[:60]})

    sim = simulation(tmp_path, case, more=(listed,))
    for period, rows in ((0, slice(6, None)), (1, slice(6, 9))):
        case.recharge = np.zeros((ROWS, COLUMNS))
        case.recharge[rows] = 2e-3
        physics = read_modflow(sim, period=period).physics
        k = np.where(case.active, case.k, 1.0)[::-1].copy()
        u = physics.solve(torch.from_numpy(k)[None, None])[0, 0].numpy()[::-1]
        assert distance(np.where(case.active, u, np.nan), case.heads()) < 1e-10


def test_a_varying_thickness_makes_the_coefficient_a_transmissivity(tmp_path):
    case = Case(top=10 + 5 * random_conductivity(3))
    problem = read_modflow(simulation(tmp_path, case))
    field = problem.physics.coefficient_field
    assert (field.name, field.units, problem.physics.thickness) == ("transmissivity", "m2 day-1", 1)
    a = np.where(case.active, case.k * case.thickness, 1.0)[::-1].copy()
    u = problem.physics.solve(torch.from_numpy(a)[None, None])[0, 0].numpy()[::-1]
    assert distance(np.where(case.active, u, np.nan), case.heads()) < 1e-10


@pytest.mark.skipif(MF6 is None, reason="the program mf6 is not installed")
@pytest.mark.parametrize("uneven", [False, True])
def test_heads_are_those_that_modflow_6_computes(uneven, tmp_path):
    case = Case(top=10 + 5 * random_conductivity(3)) if uneven else Case()
    assert distance(run(simulation(tmp_path, case)), case.heads()) < 1e-7
    problem = read_modflow(tmp_path)
    k = read_conductivity(tmp_path).values * (case.thickness[::-1] if uneven else 1.0)
    a = torch.from_numpy(np.where(np.isnan(k), 1.0, k))[None, None]
    u = problem.physics.solve(a)[0, 0].numpy()[::-1]
    assert distance(np.where(case.active, u, np.nan), run(simulation(tmp_path, case))) < 1e-7


def run(sim):
    """The heads by the program itself."""
    sim.write_simulation(silent=True)
    done, lines = sim.run_simulation(silent=True)
    assert done, lines
    path = os.path.join(sim.sim_path, "site.hds")
    found = flopy.utils.HeadFile(path).get_data(kstpkper=(0, 0))[0]
    return np.where(np.abs(found) < 1e20, found, np.nan)


def test_a_problem_of_a_model_is_kept_in_a_file(tmp_path):
    simulation(tmp_path / "site").write_simulation(silent=True)
    problem = read_modflow(tmp_path / "site")
    assert Problem.load(problem.save(tmp_path / "site.toml")) == problem
    other = read_modflow(tmp_path / "site", LogNormal(2.0, 1.0, 100.0), period=1)
    assert other.prior == LogNormal(2.0, 1.0, 100.0) and other.physics == problem.physics


@pytest.mark.parametrize("make", [simulation, modflow_2005], ids=["6", "2005"])
def test_from_a_model_to_a_result_and_back(make, tmp_path):
    case = Case(k=np.ones((ROWS, COLUMNS)))
    model = make(tmp_path / "model", case)
    problem = read_modflow(model, LogNormal(1.0, 0.7, 250.0))
    truth = problem.sample(1, problem.grid, torch.Generator().manual_seed(2))[0]
    field = read_conductivity(model).copy(data=truth[1]).rename("head")
    sensors = Sensors.observe(field, layouts.random_nodes(12, problem.grid, 1), noise_std=0.02)
    result = pdeinv.reconstruct(sensors, problem=problem, solver="gauss-newton", n_samples=3)
    for sample in (None, 2):
        folder = write_conductivity(result, model, tmp_path / f"{sample}", sample=sample)
        written = read_conductivity(folder).values
        of_result = result["hydraulic_conductivity_mean"]
        if sample is not None:
            of_result = result["hydraulic_conductivity_samples"][sample]
        np.testing.assert_allclose(written, of_result.values, rtol=1e-6)
    k = np.where(case.active, written[::-1], 1.0)
    own = result["head_samples"][2].values[::-1]
    assert distance(own, case.heads(k)) < 1e-5
    assert np.all(read_conductivity(model).values[::-1][case.active] == 1.0)
    if MF6 and make is simulation:
        loaded = flopy.mf6.MFSimulation.load(sim_ws=str(folder), exe_name=MF6, verbosity_level=0)
        assert distance(own, run(loaded)) < 1e-5


def test_lengths_that_no_decimals_hold_come_back(tmp_path):
    dis = {"delr": 100 / 3, "delc": 100 / 7, "xorigin": 1e5 / 9, "yorigin": -1e6 / 7}
    sim = simulation(tmp_path / "site", dis=dis)
    one = read_conductivity(sim)
    result = one.to_dataset(name="hydraulic_conductivity_mean").fillna(1.0)
    result["hydraulic_conductivity_samples"] = one.expand_dims("sample")
    path = tmp_path / "result.nc"
    result.to_netcdf(path, engine="h5netcdf")
    folder = write_conductivity(xr.load_dataset(path), sim, tmp_path / "new")
    np.testing.assert_allclose(read_conductivity(folder), one, rtol=1e-6)
    extents = [read_modflow(one).grid.extent for one in (folder, sim)]
    np.testing.assert_allclose(*extents, rtol=1e-7)


def test_a_file_of_numbers_of_its_own_stays_as_it_is(tmp_path):
    case = Case()
    path = tmp_path / "site" / "k.txt"
    path.parent.mkdir()
    np.savetxt(path, case.k)
    before = path.read_bytes()
    sim = simulation(path.parent, case, npf={"k": [{"filename": "k.txt"}]})
    sim.write_simulation(silent=True)
    problem = read_modflow(path.parent)
    a = problem.sample_coefficient(1, problem.grid, torch.Generator().manual_seed(0))[0]
    one = read_conductivity(path.parent).copy(data=a[0])
    result = one.to_dataset(name="hydraulic_conductivity_mean")
    result["hydraulic_conductivity_samples"] = one.expand_dims("sample")
    folder = write_conductivity(result, path.parent, tmp_path / "new")
    assert path.read_bytes() == before
    found, active = read_conductivity(folder).values, case.active[::-1]
    np.testing.assert_allclose(found[active], a[0].numpy()[active], rtol=1e-6)


def drains(model):
    flopy.mf6.ModflowGwfdrn(model, stress_period_data=[[(0, 5, 5), 6.0, 3.0]])


def transient(model):
    flopy.mf6.ModflowGwfsto(model, transient={0: True})


WRONG = {
    "drains": ({"more": (drains,)}, "got drn .*; a drain flows one way alone"),
    "a transient period": ({"more": (transient,)}, "must be steady, got a transient one"),
    "uneven columns": ({"dis": {"delr": np.linspace(40, 60, COLUMNS)}}, "delr of a model must be"),
    "a turned grid": ({"dis": {"angrot": 10.0}}, "must not be turned, got angrot = 10"),
    "a convertible layer": ({"npf": {"icelltype": 1}}, "icelltype of a model's npf must be 0"),
    "another mean": (
        {"npf": {"alternative_cell_averaging": "LOGARITHMIC"}},
        "alternative_cell_averaging of a model's npf must be left out",
    ),
    "anisotropy": ({"npf": {"k22": 0.1, "k22overk": True}}, "k22 of a model's npf must be k"),
    "no thickness": ({"dis": {"top": 0.0}}, "thickness of a model must be positive"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_a_problem_does_not_have_is_refused(given, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_modflow(simulation(tmp_path, **given))


def test_other_wrong_models_and_results_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"must hold mfsim\.nam or one file \.nam, got 0"):
        read_modflow(tmp_path)
    (tmp_path / "mfsim.nam").write_text("BEGIN nonsense\n")
    with pytest.raises(InputError, match="must be one that flopy reads"):
        read_modflow(tmp_path)
    with pytest.raises(InputError, match="must be a path, or a groundwater flow model"):
        read_modflow(3)
    sim = simulation(tmp_path / "site")
    with pytest.raises(InputError, match="period must be from 0 to 1"):
        read_modflow(sim, period=2)
    with pytest.raises(InputError, match="laytyp of a model's lpf must be 0"):
        read_modflow(modflow_2005(tmp_path / "classic", laytyp=1))
    one = read_conductivity(sim)
    with pytest.raises(InputError, match="the result must hold hydraulic_conductivity_mean"):
        write_conductivity(one.to_dataset(), sim, tmp_path / "new")
    result = one.to_dataset(name="hydraulic_conductivity_mean")
    result["hydraulic_conductivity_samples"] = one.expand_dims("sample")
    with pytest.raises(InputError, match="sample must be from 0 to 0, got 1"):
        write_conductivity(result, sim, tmp_path / "new", sample=1)
    with pytest.raises(InputError, match="must be another folder than the model's own"):
        write_conductivity(result, sim, tmp_path / "site")
    with pytest.raises(InputError, match="must be that of the model"):
        write_conductivity(result.isel(x=slice(10)), sim, tmp_path / "new")


def test_rivers_above_which_heads_would_fall_are_warned_of(tmp_path):
    case = Case(rivers=[((5, 10), 30.0, 1.0, 25.0)])
    with pytest.warns(InputWarning, match="heads below rivers must be above the bottoms"):
        read_modflow(simulation(tmp_path, case))
