"""Spectra in absolute units with error bars, from i-PI runs (never imports torch).

Three steps: ``RunDirectory`` reads what i-PI wrote, ``study_infrared`` (or ``InfraredSpectrum`` on a
``run_universe``) makes n·α with errors, ``find_peaks`` locates bands. Units are in every name.
"""

from analysis.compare import Measured, read_measured, water_25c
from analysis.infrared import Infrared, InfraredSpectrum, Signal, infrared_spectrum
from analysis.peaks import WATER_BANDS, Peak, find_peaks
from analysis.trajectory import RunDirectory, TimeSeries
from analysis.universe import run_universe
from analysis.workflow import InfraredStudy, study_infrared

__all__ = [
    "WATER_BANDS",
    "Infrared",
    "InfraredSpectrum",
    "InfraredStudy",
    "Measured",
    "Peak",
    "RunDirectory",
    "Signal",
    "TimeSeries",
    "find_peaks",
    "infrared_spectrum",
    "read_measured",
    "run_universe",
    "study_infrared",
    "water_25c",
]
