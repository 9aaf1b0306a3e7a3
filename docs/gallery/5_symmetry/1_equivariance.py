"""
Solving and turning commute
===========================

A turned source has the turned potential, to rounding.
"""

from matplotlib.figure import Figure

from pdeinv import Problem, datasets
from pdeinv.seeds import TUNING, generator

physics = datasets.Poisson()
grid = physics.grid(48)
a = Problem(physics).sample_coefficient(1, grid, generator(TUNING, 2))
turn = list(physics.symmetries)[1]
turned, solved = turn(physics.solve(a), grid), physics.solve(turn(a, grid))
panels = {"source": a, "turned source": turn(a, grid), "solved, turned": turned}
panels |= {"turned, solved": solved, "difference": turned - solved}
figure = Figure(figsize=(11, 2.6), layout="constrained")
for axis, (name, field) in zip(figure.subplots(1, 5), panels.items(), strict=True):
    figure.colorbar(axis.imshow(field[0, 0], origin="lower", cmap="RdBu_r"), ax=axis, shrink=0.7)
    axis.set(title=name, xticks=[], yticks=[])
