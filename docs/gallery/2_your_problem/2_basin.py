"""
A river basin with a lake
=========================

The domain is a polygon. A lake fixes the head, a river leaks, and a well pumps.
"""

import pdeinv
from pdeinv.problems import example_by_name

example = example_by_name("basin")
heads = example.truth().sensors
result = pdeinv.reconstruct(heads, problem=example.problem, grid=32)
figure = pdeinv.plot_reconstruction(result)
