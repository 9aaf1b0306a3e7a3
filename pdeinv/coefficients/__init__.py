"""Distributions of coefficients, stated in a user's words; they go with any physics."""

from pdeinv.coefficients.base import CoefficientPrior as CoefficientPrior
from pdeinv.coefficients.gaussian_field import GaussianField as GaussianField
from pdeinv.coefficients.log_normal import LogNormal as LogNormal
from pdeinv.coefficients.spectral_field import SpectralField as SpectralField
from pdeinv.coefficients.transformed import Transformed as Transformed
from pdeinv.coefficients.two_phase import TwoPhase as TwoPhase
