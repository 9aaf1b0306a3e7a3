"""
Predict readings that were left out
===================================

A fifth of the sensors is left out. Nine of ten readings should lie within their bars.
"""

from matplotlib.figure import Figure

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("poisson").isel(sample=0)
sensors = Sensors.observe(truth.potential, layouts.random(100, seed=1), noise_std="5%")
result = pdeinv.reconstruct(sensors, "poisson", holdout=0.2)
figure = Figure(figsize=(5, 4), layout="constrained")
axis = figure.subplots()
half = 1.645 * result.holdout_predicted_std
axis.errorbar(result.holdout_predicted, result.holdout_value, xerr=half, fmt="o")
axis.axline((0, 0), slope=1, color="grey")
axis.ticklabel_format(scilimits=(0, 0))
axis.set(xlabel="prediction with its 90 % interval", ylabel="reading")
