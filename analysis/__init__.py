"""Spectra and transport in absolute units with error bars, from i-PI runs (never imports torch).

Three steps: ``RunDirectory`` reads what i-PI wrote, ``study_infrared`` (or ``InfraredSpectrum`` on a
``run_universe``) makes n·α with errors, ``find_peaks`` locates bands. Units are in every name.
"""

from analysis.compare import Measured, read_measured, water_25c
from analysis.conductivity import Conductivity, Estimate, haven_ratio, ionic_conductivity, nernst_einstein
from analysis.diffusion import Diffusion, SelfDiffusion, self_diffusion, yeh_hummer
from analysis.infrared import Infrared, InfraredSpectrum, Signal, infrared_spectrum
from analysis.peaks import WATER_BANDS, Peak, find_peaks
from analysis.trajectory import RunDirectory, TimeSeries
from analysis.universe import run_universe
from analysis.workflow import InfraredStudy, study_infrared

__all__ = [
    "WATER_BANDS",
    "Conductivity",
    "Diffusion",
    "Estimate",
    "Infrared",
    "InfraredSpectrum",
    "InfraredStudy",
    "Measured",
    "Peak",
    "RunDirectory",
    "SelfDiffusion",
    "Signal",
    "TimeSeries",
    "find_peaks",
    "haven_ratio",
    "infrared_spectrum",
    "ionic_conductivity",
    "nernst_einstein",
    "read_measured",
    "run_universe",
    "self_diffusion",
    "study_infrared",
    "water_25c",
    "yeh_hummer",
]
