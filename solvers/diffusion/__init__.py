"""Posterior sampling with diffusion priors: the published solvers, `moment`, and the terms that
guide them."""
