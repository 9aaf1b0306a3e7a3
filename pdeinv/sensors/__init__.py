"""Tables of sensors: their columns, checks, noise and instruments, and simulated readings."""

from pdeinv.sensors.instruments import Instrument as Instrument
from pdeinv.sensors.kinds import KINDS as KINDS
from pdeinv.sensors.noise_levels import NoiseLevels as NoiseLevels
from pdeinv.sensors.table import Sensors as Sensors
