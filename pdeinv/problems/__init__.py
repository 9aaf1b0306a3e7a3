"""Problems in files: read, written, and ready-made as examples."""

from pdeinv.datasets.modflow import read_conductivity as read_conductivity
from pdeinv.datasets.modflow import read_modflow as read_modflow
from pdeinv.datasets.modflow import write_conductivity as write_conductivity
from pdeinv.problems.examples import EXAMPLES as EXAMPLES
from pdeinv.problems.examples import Example as Example
from pdeinv.problems.examples import example_by_name as example_by_name
from pdeinv.problems.loading import load_problem as load_problem
from pdeinv.problems.matching import check_dataset as check_dataset
from pdeinv.problems.saving import save_problem as save_problem
