"""Infrared absorption n·α in absolute units, its peaks, and measured spectra beside it."""
