"""
Readings of which one is wrong
==============================

With `robust` each reading has a weight. The reading with the slipped sign has a small one.
"""

from matplotlib.figure import Figure

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("poisson").isel(sample=0)
places = layouts.random(60, seed=1)
table = Sensors.observe(truth.potential, places, noise_std="2%").table
table.loc[7, "value"] *= -1
result = pdeinv.reconstruct(table, "poisson", grid=32, robust=True)
figure = Figure(figsize=(6, 3), layout="constrained")
axis = figure.subplots()
axis.stem(result.sensor_weight)
axis.set(xlabel="row of the table, from 0", ylabel="weight")
