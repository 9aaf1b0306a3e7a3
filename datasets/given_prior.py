"""Priors as a problem is given them: by the name of a file, or as an object to be checked."""

from __future__ import annotations

import os
from typing import Any

from pdeinv.checks import described, path_of
from pdeinv.coefficients import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.external import is_reference, load_instance

__all__ = ["check_prior", "prior_from_file"]


def prior_from_file(name: str | os.PathLike) -> Any:
    """Return the prior of a `file.py:name`, or the model of a file or of a shipped name."""
    from pdeinv.priors import Prior, load  # which are above this module

    path_of("prior", name)
    if is_reference(name):
        return load_instance(str(name), Prior, CoefficientPrior.kinds)  # type: ignore[type-abstract]
    return load(name)


def check_prior(prior: object) -> None:
    """Refuse what is no prior; of the models in files, the solvers judge."""
    if isinstance(prior, type):
        raise InputError(
            f"the prior must be an instance, got the class {prior.__name__}; call it, as in "
            f"{prior.__name__}(...)"
        )
    if callable(getattr(prior, "sample", None)):
        return
    from pdeinv.priors.base import Model  # which is above this module

    if not isinstance(prior, Model):
        raise InputError(
            f"the prior must be one that can be sampled, got {described(prior)}; give such as a "
            f"GaussianField, an Ensemble, the file of a learned prior, or for a network "
            f"pdeinv.priors.prior_from_denoiser"
        )
