"""Priors and neural operators learned from samples of fields, their training and their files."""

from pdeinv.priors.base import DenoisingPrior as DenoisingPrior
from pdeinv.priors.base import Model as Model
from pdeinv.priors.base import Prior as Prior
from pdeinv.priors.base import Trainable as Trainable
from pdeinv.priors.data import TrainingData as TrainingData
from pdeinv.priors.description import Description as Description
from pdeinv.priors.diffusion import DiffusionPrior as DiffusionPrior
from pdeinv.priors.ensemble import Ensemble as Ensemble
from pdeinv.priors.fourier_operator import FourierOperator as FourierOperator
from pdeinv.priors.fourier_operator import NeuralOperator as NeuralOperator
from pdeinv.priors.gaussian import GaussianPrior as GaussianPrior
from pdeinv.priors.group_average import GroupAveraged as GroupAveraged
from pdeinv.priors.latent import threshold_prior as threshold_prior
from pdeinv.priors.noise import Noise as Noise
from pdeinv.priors.own_denoiser import OwnDenoiser as OwnDenoiser
from pdeinv.priors.own_denoiser import prior_from_denoiser as prior_from_denoiser
from pdeinv.priors.regressor import SensorRegressor as SensorRegressor
from pdeinv.priors.storage import Role as Role
from pdeinv.priors.storage import load as load
from pdeinv.priors.storage import save as save
from pdeinv.priors.storage import shipped as shipped
from pdeinv.priors.storage import shipped_name as shipped_name
from pdeinv.priors.stored import Tensors as Tensors
from pdeinv.priors.training import train as train
from pdeinv.priors.training_settings import Settings as Settings
