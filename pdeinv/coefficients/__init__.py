"""Distributions of coefficients, stated in a user's words; they go with any physics."""

from pdeinv.coefficients.base import CoefficientPrior as CoefficientPrior
from pdeinv.coefficients.channels import Channels as Channels
from pdeinv.coefficients.conditioned import Conditioned as Conditioned
from pdeinv.coefficients.gaussian_field import GaussianField as GaussianField
from pdeinv.coefficients.inclusions import Inclusions as Inclusions
from pdeinv.coefficients.log_normal import LogNormal as LogNormal
from pdeinv.coefficients.scenarios import Scenarios as Scenarios
from pdeinv.coefficients.spectral_field import SpectralField as SpectralField
from pdeinv.coefficients.spikes import Spikes as Spikes
from pdeinv.coefficients.transformed import Transformed as Transformed
from pdeinv.coefficients.two_phase import TwoPhase as TwoPhase
