"""Numbers of a P-E loop from the mean of its cycles, with jackknife errors, and the loop that carries them.

Errors are the delete-one jackknife over cycles, over runs where runs differ by more than their cycles.
Source: IEEE Std 180-1986; Damjanovic, 10.1088/0034-4885/61/9/002.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from les_ipi.analysis.constants import MV_CM_PER_V_A
from les_ipi.analysis.hysteresis.polarization import susceptibility
from les_ipi.analysis.statistics.uncertainty import Estimate, jackknife_error
from les_ipi.units import E_A2_C_M2

#: J/m³ in 1 eV/Å³.
J_M3_PER_EV_A3 = E_A2_C_M2 * 1e10

_Means = dict[str, np.ndarray]


def _squareness(base: _Means) -> np.ndarray:
    """P_r/P_s; NaN where the extrapolated P_s is nothing, as for a lossy dielectric."""
    remanent = np.asarray(base["remanent_plus"] - base["remanent_minus"])
    saturation = np.asarray(base["saturation_plus"] - base["saturation_minus"])
    some = np.abs(saturation) > 1e-3 * np.abs(base["maximum_plus"] - base["maximum_minus"])
    return np.divide(remanent, saturation, out=np.full(remanent.shape, np.nan), where=some)


#: Name of a metric → its value from the mean base numbers of the cycles.
METRICS: dict[str, Callable[[_Means], np.ndarray]] = {
    "coercive_field_MV_cm": lambda b: MV_CM_PER_V_A * 0.5 * (b["coercive_plus"] - b["coercive_minus"]),
    "coercive_field_plus_MV_cm": lambda b: MV_CM_PER_V_A * b["coercive_plus"],
    "coercive_field_minus_MV_cm": lambda b: MV_CM_PER_V_A * b["coercive_minus"],
    "imprint_field_MV_cm": lambda b: MV_CM_PER_V_A * 0.5 * (b["coercive_plus"] + b["coercive_minus"]),
    "remanent_polarization_C_m2": lambda b: E_A2_C_M2 * 0.5 * (b["remanent_plus"] - b["remanent_minus"]),
    "remanent_polarization_plus_C_m2": lambda b: E_A2_C_M2 * b["remanent_plus"],
    "remanent_polarization_minus_C_m2": lambda b: E_A2_C_M2 * b["remanent_minus"],
    "polarization_offset_C_m2": lambda b: E_A2_C_M2 * 0.5 * (b["remanent_plus"] + b["remanent_minus"]),
    "saturation_polarization_C_m2": lambda b: E_A2_C_M2 * 0.5 * (b["saturation_plus"] - b["saturation_minus"]),
    "maximum_polarization_C_m2": lambda b: E_A2_C_M2 * 0.5 * (b["maximum_plus"] - b["maximum_minus"]),
    "squareness": _squareness,
    "susceptibility_at_tips": lambda b: susceptibility(0.5 * (b["slope_plus"] + b["slope_minus"])),
    "susceptibility_at_zero_field": lambda b: susceptibility(b["slope_zero"]),
    "loop_area_J_m3": lambda b: J_M3_PER_EV_A3 * b["area"],
    "dissipated_energy_per_cycle_eV": lambda b: b["area"] * b["volume"],
    "recoverable_energy_J_m3": lambda b: J_M3_PER_EV_A3 * b["recoverable"],
    "efficiency": lambda b: b["recoverable"] / (b["recoverable"] + b["area"]),
    "closure_C_m2": lambda b: E_A2_C_M2 * b["closure"],
    "opening_at_tips_C_m2": lambda b: E_A2_C_M2 * 0.5 * (b["gap_plus"] + b["gap_minus"]),
    "work_per_cycle_eV": lambda b: b["work"],
}


@dataclass(frozen=True)
class HysteresisLoop:
    """P-E loop at one amplitude and frequency, from one or several runs.

    Curves consist of a falling and a rising branch with B points each, in this order.

    Attributes:
        metrics: numbers of the loop by name, with the unit in the name, each with its standard error.
        per_cycle: (n_cycles,) values of the same numbers in each single cycle, by the same names.
        run_of_cycle: (n_cycles,) index of the run to which each cycle belongs.
        switched: (n_cycles,) whether a cycle switched; only those that did count in ``metrics`` and in the mean loop.
        field_V_A: (2B,) field of the mean loop, V/Å.
        polarization_C_m2: (2B,) polarization of the mean loop, C/m².
        polarization_error_C_m2: (2B,) its standard error, C/m²; NaN for a single cycle.
        cycles_C_m2: (n_cycles, 2B) polarization of each cycle, C/m².
        amplitude_V_A: amplitude of the field, V/Å.
        period_fs: period of the field, fs.
        volume_A3: mean volume of the cell, Å³.
        steady_from_cycle: first cycle from which on the loop no longer changes.
        notes: sentences on how P was made and fitted.
        warnings: sentences on what limits trust in the loop.
        labels: name of each run.
    """

    metrics: dict[str, Estimate]
    per_cycle: dict[str, np.ndarray]
    run_of_cycle: np.ndarray
    switched: np.ndarray
    field_V_A: np.ndarray
    polarization_C_m2: np.ndarray
    polarization_error_C_m2: np.ndarray
    cycles_C_m2: np.ndarray
    amplitude_V_A: float
    period_fs: float
    volume_A3: float
    steady_from_cycle: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def n_cycles(self) -> int:
        """Number of complete cycles of all runs together."""
        return self.run_of_cycle.size

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(self.labels)


def estimate_metrics(base: _Means, owners: np.ndarray) -> tuple[dict[str, Estimate], list[str]]:
    """Compute the metrics of the mean cycle with jackknife errors.

    The errors are over cycles; a metric in which three or more runs differ by more than their cycles has its error over
    runs.

    Parameters:
        base: (n_cycles,) values of each number that :func:`measure_cycle` gives, and of ``volume`` and ``work``, by
            name.
        owners: (n_cycles,) index of the run of each cycle.

    Returns the estimates by name (:data:`METRICS`), and a list with one note on the metrics in which runs differ, or
    none.
    """
    count = owners.size
    runs = np.unique(owners)
    means = {name: values.mean() for name, values in base.items()}
    without_one = {name: (values.sum() - values) / max(count - 1, 1) for name, values in base.items()}
    without_run = {
        name: np.array([values[owners != run].mean() for run in runs]) if runs.size > 1 else np.full(1, values.mean())
        for name, values in base.items()
    }
    estimates, differing = {}, []
    for name, formula in METRICS.items():
        error = float(jackknife_error(np.atleast_1d(formula(without_one)))) if count > 1 else np.nan
        if runs.size >= 3 and count > runs.size and _runs_differ(np.atleast_1d(formula(base)), owners):
            error = max(error, float(jackknife_error(formula(without_run))))
            differing.append(name)
        estimates[name] = Estimate(float(formula(means)), error)
    if not differing:
        return estimates, []
    return estimates, [f"runs differ by more than their cycles in {', '.join(differing)}; there the errors are over runs"]


def _runs_differ(values: np.ndarray, owners: np.ndarray) -> bool:
    groups = [values[owners == run] for run in np.unique(owners)]
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        return False
    return bool(stats.f_oneway(*groups).pvalue < 0.005)
