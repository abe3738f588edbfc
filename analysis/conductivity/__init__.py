"""Ionic conductivity by several estimators, diffusion, and their dependence on temperature."""
