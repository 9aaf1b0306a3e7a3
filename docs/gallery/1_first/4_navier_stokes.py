"""
Navier–Stokes: how a flow began
===============================

The vorticity at the end, read at eighty places, shows what it was at the start.
"""

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("navier-stokes").isel(sample=0)
places = layouts.random(80, seed=3)
sensors = Sensors.observe(truth.final_vorticity, places, noise_std="2%")
result = pdeinv.reconstruct(sensors, "navier-stokes")
figure = pdeinv.plot_reconstruction(result, truth)
