"""Exchange with MODFLOW: models as problems, and the conductivity of results in models."""

from pdeinv.datasets.modflow.exchange import read_conductivity as read_conductivity
from pdeinv.datasets.modflow.exchange import read_modflow as read_modflow
from pdeinv.datasets.modflow.exchange import write_conductivity as write_conductivity
