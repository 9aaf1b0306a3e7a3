"""What is known of fields before any sensor is read, learned from samples of them."""

from pdeinv.priors.adapter import as_denoising_prior as as_denoising_prior
from pdeinv.priors.base import Denoiser as Denoiser
from pdeinv.priors.base import DenoisingPrior as DenoisingPrior
from pdeinv.priors.base import Prior as Prior
from pdeinv.priors.data import TrainingData as TrainingData
from pdeinv.priors.diffusion import DiffusionPrior as DiffusionPrior
from pdeinv.priors.ensemble import Ensemble as Ensemble
from pdeinv.priors.fourier_operator import FourierOperator as FourierOperator
from pdeinv.priors.fourier_operator import NeuralOperator as NeuralOperator
from pdeinv.priors.gaussian import GaussianPrior as GaussianPrior
from pdeinv.priors.latent import latent_field as latent_field
from pdeinv.priors.noise import Noise as Noise
from pdeinv.priors.regressor import SensorRegressor as SensorRegressor
from pdeinv.priors.storage import load as load
from pdeinv.priors.storage import save as save
from pdeinv.priors.storage import shipped as shipped
from pdeinv.priors.training import Settings as Settings
from pdeinv.priors.training import train as train
