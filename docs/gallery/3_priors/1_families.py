"""
Draws of six priors
===================

Look at draws before any reading: they show what a prior states.
"""

from matplotlib.figure import Figure

import pdeinv
from pdeinv import Grid
from pdeinv.seeds import TUNING, generator

priors = {
    "Gaussian field": pdeinv.GaussianField(0, std=1, length=0.2),
    "log-normal": pdeinv.LogNormal(median=1, log_std=0.5, length=0.2),
    "two phases": pdeinv.TwoPhase(pdeinv.GaussianField(0, 1, 0.2), low=3, high=12),
    "channels": pdeinv.Channels(),
    "inclusions": pdeinv.Inclusions(),
    "spikes": pdeinv.Spikes(),
}
figure = Figure(figsize=(7, 5), layout="constrained")
for axis, (name, prior) in zip(figure.subplots(2, 3).flat, priors.items(), strict=True):
    axis.imshow(prior.sample(1, Grid(96), generator(TUNING, 3))[0, 0], origin="lower")
    axis.set(title=name, xticks=[], yticks=[])
