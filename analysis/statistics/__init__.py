"""Estimators of time series with calibrated errors: spectra, zero-frequency powers, displacements. No physics, no files."""
