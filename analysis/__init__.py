"""Spectra, transport, P-E loops and structure in absolute units with error bars, from i-PI runs (never imports torch).

Every analysis begins with :class:`RunDirectory`, which reads what i-PI wrote. A study then turns one or several runs
into results with errors:

========================  ==========================================================================================
``study_infrared``        the infrared absorption n·α, whose bands ``find_peaks`` locates
``study_hysteresis``      loops and switching times of field-driven runs
``study_structure``       lattice, polarization and order of the sublattices of any run
``study_dielectric``      the static dielectric response
========================  ==========================================================================================

``InfraredSpectrum`` makes the same spectrum from an MDAnalysis Universe, for example that of ``run_universe``. The unit
is part of the name of every quantity that has one.

Names are imported on first use, so that ``import les_ipi.analysis`` is fast and the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # where editors and type checkers find the definitions
    from les_ipi.analysis.conductivity.diffusion import Diffusion, SelfDiffusion, self_diffusion, yeh_hummer
    from les_ipi.analysis.conductivity.estimators import (
        Conductivity,
        ConductivityEstimate,
        haven_ratio,
        ionic_conductivity,
        nernst_einstein,
    )
    from les_ipi.analysis.dielectric.study import DielectricStudy, study_dielectric
    from les_ipi.analysis.dielectric.susceptibility import FieldResponse, field_response, fluctuation_susceptibility
    from les_ipi.analysis.hysteresis.laws import frequency_law, merz_law
    from les_ipi.analysis.hysteresis.loop import hysteresis_loop
    from les_ipi.analysis.hysteresis.metrics import HysteresisLoop
    from les_ipi.analysis.hysteresis.polarization import Drive, drive_of_table, unfold_dipole
    from les_ipi.analysis.hysteresis.study import HysteresisStudy, study_hysteresis
    from les_ipi.analysis.hysteresis.switching import find_pulses, fit_switching, subtract_nonswitching
    from les_ipi.analysis.infrared.measured import Measured, read_measured, water_25c
    from les_ipi.analysis.infrared.peaks import WATER_BANDS, Peak, find_peaks
    from les_ipi.analysis.infrared.spectrum import Infrared, InfraredSpectrum, infrared_spectrum
    from les_ipi.analysis.infrared.study import InfraredStudy, study_infrared
    from les_ipi.analysis.runs.directory import RunDirectory, TimeSeries
    from les_ipi.analysis.runs.field_table import FieldTable, read_field_table
    from les_ipi.analysis.runs.signal import Signal
    from les_ipi.analysis.runs.universe import run_universe
    from les_ipi.analysis.statistics.uncertainty import Estimate
    from les_ipi.analysis.structure.lattice import lattice_parameters
    from les_ipi.analysis.structure.perovskite import PBTIO3_CHARGES, find_cells, local_polarization
    from les_ipi.analysis.structure.study import StructureStudy, study_structure
    from les_ipi.analysis.structure.sublattice import lindemann_ratio, radial_distribution

_MODULES = {
    "Conductivity": "conductivity.estimators",
    "ConductivityEstimate": "conductivity.estimators",
    "DielectricStudy": "dielectric.study",
    "Diffusion": "conductivity.diffusion",
    "Drive": "hysteresis.polarization",
    "Estimate": "statistics.uncertainty",
    "FieldResponse": "dielectric.susceptibility",
    "FieldTable": "runs.field_table",
    "HysteresisLoop": "hysteresis.metrics",
    "HysteresisStudy": "hysteresis.study",
    "Infrared": "infrared.spectrum",
    "InfraredSpectrum": "infrared.spectrum",
    "InfraredStudy": "infrared.study",
    "Measured": "infrared.measured",
    "PBTIO3_CHARGES": "structure.perovskite",
    "Peak": "infrared.peaks",
    "RunDirectory": "runs.directory",
    "SelfDiffusion": "conductivity.diffusion",
    "Signal": "runs.signal",
    "StructureStudy": "structure.study",
    "TimeSeries": "runs.directory",
    "WATER_BANDS": "infrared.peaks",
    "drive_of_table": "hysteresis.polarization",
    "field_response": "dielectric.susceptibility",
    "find_cells": "structure.perovskite",
    "find_peaks": "infrared.peaks",
    "find_pulses": "hysteresis.switching",
    "fit_switching": "hysteresis.switching",
    "fluctuation_susceptibility": "dielectric.susceptibility",
    "frequency_law": "hysteresis.laws",
    "haven_ratio": "conductivity.estimators",
    "hysteresis_loop": "hysteresis.loop",
    "infrared_spectrum": "infrared.spectrum",
    "ionic_conductivity": "conductivity.estimators",
    "lattice_parameters": "structure.lattice",
    "lindemann_ratio": "structure.sublattice",
    "local_polarization": "structure.perovskite",
    "merz_law": "hysteresis.laws",
    "nernst_einstein": "conductivity.estimators",
    "radial_distribution": "structure.sublattice",
    "read_field_table": "runs.field_table",
    "read_measured": "infrared.measured",
    "run_universe": "runs.universe",
    "self_diffusion": "conductivity.diffusion",
    "study_dielectric": "dielectric.study",
    "study_hysteresis": "hysteresis.study",
    "study_infrared": "infrared.study",
    "study_structure": "structure.study",
    "subtract_nonswitching": "hysteresis.switching",
    "unfold_dipole": "hysteresis.polarization",
    "water_25c": "infrared.measured",
    "yeh_hummer": "conductivity.diffusion",
}
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


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
