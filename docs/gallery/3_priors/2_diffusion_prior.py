"""
Samples of a learned prior
==========================

The shipped diffusion prior of Darcy draws permeability and pressure together.
"""

from matplotlib.figure import Figure

from pdeinv import Grid, priors
from pdeinv.seeds import TUNING, generator

prior = priors.load("darcy")
fields = prior.sample(4, Grid(48), generator(TUNING, 1), steps=12)
figure = Figure(figsize=(8, 4), layout="constrained")
for column, pair in zip(figure.subplots(2, 4).T, fields, strict=True):
    for axis, field, name in zip(column, pair, ("permeability", "pressure"), strict=True):
        axis.imshow(field, origin="lower")
        axis.set(title=name, xticks=[], yticks=[])
