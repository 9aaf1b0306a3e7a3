"""
EquiReg on a diffusion solver
=============================

FunDPS with few steps, without and with the equivariance term, from the same readings.
"""

from matplotlib.figure import Figure

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("navier-stokes").isel(sample=0)
sensors = Sensors.observe(truth.final_vorticity, layouts.random(80, seed=1), noise_std="2%")
given = {"solver": "fundps", "steps": 15, "n_samples": 1, "grid": 32}
panels = {"truth": truth.initial_vorticity}
for name, equireg in {"FunDPS": False, "FunDPS with EquiReg": True}.items():
    result = pdeinv.reconstruct(sensors, "navier-stokes", equireg=equireg, **given)
    panels[name] = result.initial_vorticity_mean
figure = Figure(figsize=(9, 3), layout="constrained")
for axis, (name, field) in zip(figure.subplots(1, 3), panels.items(), strict=True):
    axis.imshow(field, origin="lower", cmap="RdBu_r", vmin=-0.8, vmax=0.8)
    axis.set(title=name, xticks=[], yticks=[])
