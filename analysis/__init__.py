"""Spectra, transport, P-E loops and structure in absolute units with error bars, from i-PI runs (never imports torch).

Three steps: ``RunDirectory`` reads what i-PI wrote, ``study_infrared`` (or ``InfraredSpectrum`` on a
``run_universe``) makes n·α with errors, ``find_peaks`` locates bands. ``study_hysteresis`` turns field-driven runs into
loops and switching times, ``study_structure`` any run into lattice, polarization and order of sublattices. Units are in
every name.
"""

from analysis.compare import Measured, read_measured, water_25c
from analysis.conductivity import Conductivity, ConductivityEstimate, haven_ratio, ionic_conductivity, nernst_einstein
from analysis.dielectric import FieldResponse, field_response, fluctuation_susceptibility
from analysis.dielectric_study import DielectricStudy, study_dielectric
from analysis.diffusion import Diffusion, SelfDiffusion, self_diffusion, yeh_hummer
from analysis.field_laws import frequency_law, merz_law
from analysis.field_table import FieldTable, read_field_table
from analysis.hysteresis import HysteresisLoop, hysteresis_loop
from analysis.hysteresis_study import HysteresisStudy, study_hysteresis
from analysis.infrared import Infrared, InfraredSpectrum, Signal, infrared_spectrum
from analysis.peaks import WATER_BANDS, Peak, find_peaks
from analysis.perovskite import PBTIO3_CHARGES, find_cells, local_polarization
from analysis.polarization import Drive, drive_of_table, unfold_dipole
from analysis.structure import lattice_parameters
from analysis.structure_study import StructureStudy, study_structure
from analysis.sublattice import lindemann_ratio, radial_distribution
from analysis.switching import find_pulses, fit_switching, subtract_nonswitching
from analysis.trajectory import RunDirectory, TimeSeries
from analysis.uncertainty import Estimate
from analysis.universe import run_universe
from analysis.workflow import InfraredStudy, study_infrared

__all__ = [
    "PBTIO3_CHARGES",
    "WATER_BANDS",
    "Conductivity",
    "ConductivityEstimate",
    "DielectricStudy",
    "Diffusion",
    "Drive",
    "Estimate",
    "FieldResponse",
    "FieldTable",
    "HysteresisLoop",
    "HysteresisStudy",
    "Infrared",
    "InfraredSpectrum",
    "InfraredStudy",
    "Measured",
    "Peak",
    "RunDirectory",
    "SelfDiffusion",
    "Signal",
    "StructureStudy",
    "TimeSeries",
    "drive_of_table",
    "field_response",
    "find_cells",
    "find_peaks",
    "find_pulses",
    "fit_switching",
    "fluctuation_susceptibility",
    "frequency_law",
    "haven_ratio",
    "hysteresis_loop",
    "infrared_spectrum",
    "ionic_conductivity",
    "lattice_parameters",
    "lindemann_ratio",
    "local_polarization",
    "merz_law",
    "nernst_einstein",
    "radial_distribution",
    "read_field_table",
    "read_measured",
    "run_universe",
    "self_diffusion",
    "study_dielectric",
    "study_hysteresis",
    "study_infrared",
    "study_structure",
    "subtract_nonswitching",
    "unfold_dipole",
    "water_25c",
    "yeh_hummer",
]
