"""P-E loops with errors: coercive field, remanence, saturation, susceptibility, energies, closure.

Every number is taken from local fits in each cycle (:mod:`les_ipi.analysis.hysteresis.cycles`), averaged over
cycles and runs; its error is the delete-one jackknife over cycles (over runs where runs differ by more than their cycles).
Source: IEEE Std 180-1986; Damjanovic, 10.1088/0034-4885/61/9/002.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from les_ipi.analysis.constants import MV_CM_PER_V_A
from les_ipi.analysis.hysteresis.checks import loop_warnings
from les_ipi.analysis.hysteresis.cycles import BASE, Cycle, Windows, centred, choose_windows, find_cycles, measure_cycle
from les_ipi.analysis.hysteresis.metrics import METRICS, HysteresisLoop, estimate_metrics
from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.errors import UserError
from les_ipi.units import E_A2_C_M2

#: Runs are pooled when amplitude, period and volume agree to this.
SAME = 0.03
#: Points of a branch in the mean loop.
BRANCH_POINTS = 200


def hysteresis_loop(drives: Sequence[Drive], discard_cycles: int = 0) -> HysteresisLoop:
    """Compute the metrics of a P-E loop with errors over the cycles of one or several runs in the same field.

    ===========  ==============================================
    Metric       Definition
    ===========  ==============================================
    E_c          (E_c⁺ − E_c⁻)/2
    imprint      (E_c⁺ + E_c⁻)/2
    P_r          (P_r⁺ − P_r⁻)/2
    P_s          from P = ±P_s + ε0χE at |E| > 0.8 E_max
    squareness   P_r/P_s
    area         −∮P dE
    efficiency   W_rec/(W_rec + area)
    ===========  ==============================================

    Where the origin of P is arbitrary, each cycle is centred between its tips.

    Parameters:
        drives: field and polarization of each run, from :func:`drive_of_table`.
        discard_cycles: number of complete cycles dropped from the start of each run.

    Returns :class:`HysteresisLoop`.

    Raises :class:`UserError` when there is no complete cycle, when no cycle switches, and when the runs differ in
    amplitude or period by more than 3 %.
    """
    if not drives:
        raise UserError("There is no run to analyse.")
    cycles, polarizations, owners = [], [], []
    for number, drive in enumerate(drives):
        found = find_cycles(drive.field, drive.constant_voltage)
        if len(found) <= discard_cycles:
            raise UserError(f"{drive.label or 'the run'} has {len(found)} complete cycle(s), and {discard_cycles} were to "
                            "be discarded; run more periods.")  # fmt: skip
        for cycle in found[discard_cycles:]:
            p = drive.polarization
            polarizations.append(p if drive.absolute else centred(drive.field, p, cycle))
            cycles.append(cycle)
            owners.append(number)
    _require_one_field(drives, cycles, owners)
    windows = choose_windows_of(drives, polarizations, cycles, owners)
    base = {name: np.empty(len(cycles)) for name in (*BASE, "volume", "work")}
    curves = []
    for k, (cycle, p, owner) in enumerate(zip(cycles, polarizations, owners, strict=True)):
        drive = drives[owner]
        for name, value in measure_cycle(drive.field, p, cycle, windows).items():
            base[name][k] = value
        base["volume"][k] = drive.volume_A3
        work = drive.work_eV
        base["work"][k] = np.nan if work is None else work[cycle.stop - 1] - work[cycle.start]
        curves.append(_on_grid(p, cycle))
    owner_array = np.array(owners)
    swing = base["maximum_plus"] - base["maximum_minus"]
    passing = np.isfinite(base["coercive_plus"]) & np.isfinite(base["coercive_minus"])
    switched = passing & (swing > 0.5 * swing.max())
    if not switched.any():
        raise UserError("The polarization never passes zero in both directions, so there is no loop: the field is too "
                        "weak or too fast to switch this sample.")  # fmt: skip
    used = {name: values[switched] for name, values in base.items()}
    metrics, differing = estimate_metrics(used, owner_array[switched])
    per_cycle = {name: formula(base) for name, formula in METRICS.items()}
    shape = np.array(curves) * E_A2_C_M2
    first_run = [cycle for cycle, owner in zip(cycles, owners, strict=True) if owner == 0]
    steady = _steady_from(per_cycle["loop_area_J_m3"], owner_array)
    loop = HysteresisLoop(
        metrics=metrics,
        per_cycle=per_cycle,
        run_of_cycle=owner_array,
        switched=switched,
        field_V_A=_on_grid(drives[owners[0]].field, cycles[0]),
        polarization_C_m2=shape[switched].mean(axis=0),
        polarization_error_C_m2=shape[switched].std(axis=0, ddof=1) / np.sqrt(switched.sum())
        if switched.sum() > 1
        else np.full(shape.shape[1], np.nan),
        cycles_C_m2=shape,
        amplitude_V_A=0.5 * (windows.tip_plus - windows.tip_minus),
        period_fs=float(drive_condition(drives[0], first_run)[1]),
        volume_A3=float(np.mean(used["volume"])),
        steady_from_cycle=steady,
        notes=_notes(windows, drives),
        warnings=tuple(differing),
        labels=tuple(drive.label for drive in drives),
    )
    return replace(loop, warnings=(*loop_warnings(loop, discard_cycles), *loop.warnings))


def choose_windows_of(
    drives: Sequence[Drive], polarizations: list[np.ndarray], cycles: list[Cycle], owners: list[int]
) -> Windows:
    """Choose one set of fit windows for the cycles of all runs: the widths of each run, averaged over the cycles.

    Parameters:
        drives: the runs.
        polarizations: polarization (T,) of its run for each cycle, e/Å², from :func:`centred` where P is relative.
        cycles: the cycles of all runs.
        owners: index of the run of each cycle.

    Returns :class:`Windows`.
    """
    parts = []
    for number, drive in enumerate(drives):
        mine = [k for k, owner in enumerate(owners) if owner == number]
        part = choose_windows(drive.field, [polarizations[k] for k in mine], [cycles[k] for k in mine])
        parts += [part] * len(mine)
    means = {name: np.mean([getattr(part, name) for part in parts]) for name in Windows.__dataclass_fields__}
    return Windows(**means | {name: round(means[name]) for name in ("rising", "falling")})


def _on_grid(values: np.ndarray, cycle: Cycle) -> np.ndarray:
    """Both branches, falling then rising, as means over (or, if short, interpolated at) equal parts of their time."""
    parts = []
    for branch in (cycle.falling, cycle.rising):
        size = branch.stop - branch.start
        if size >= 2 * BRANCH_POINTS:
            parts.append(np.array([part.mean() for part in np.array_split(values[branch], BRANCH_POINTS)]))
        else:
            parts.append(np.interp(np.linspace(0, size - 1, BRANCH_POINTS), np.arange(size), values[branch]))
    return np.concatenate(parts)


def drive_condition(drive: Drive, cycles: Sequence[Cycle]) -> np.ndarray:
    """Compute the amplitude [V/Å], the period [fs] and the mean volume [Å³] of a run over its cycles.

    Parameters:
        drive: the run.
        cycles: its cycles, in order.

    Returns an array (3,) of these three numbers.
    """
    amplitude = np.mean([0.5 * np.ptp(drive.field[c.start : c.stop]) for c in cycles])
    return np.array([amplitude, (cycles[-1].stop - 1 - cycles[0].start) / len(cycles) * drive.dt_fs, drive.volume_A3])


def _require_one_field(drives: Sequence[Drive], cycles: list[Cycle], owners: list[int]) -> None:
    conditions = [
        drive_condition(drive, [c for c, owner in zip(cycles, owners, strict=True) if owner == number])
        for number, drive in enumerate(drives)
    ]
    for drive, condition in zip(drives, conditions, strict=True):
        if (np.abs(condition / conditions[0] - 1.0)[:2] > SAME).any():
            raise UserError(f"{drive.label} has amplitude {condition[0]:g} V/Å and period {condition[1]:g} fs, "
                            f"{drives[0].label} {conditions[0][0]:g} V/Å and {conditions[0][1]:g} fs; only runs in one "
                            "field can be pooled.")  # fmt: skip


def _steady_from(areas: np.ndarray, owners: np.ndarray) -> int:
    """First cycle from which on the area stays within the scatter (p = 0.001) of the later half of the cycles."""
    by_run = [areas[owners == run] for run in np.unique(owners)]
    length = min(values.size for values in by_run)
    late = np.concatenate([values[max(length // 2, 1) :] for values in by_run])
    if length < 4 or late.size < 3 or not np.isfinite(late).all():
        return 0
    # One false alarm in a thousand cycles, with the scatter known from few of them; rounding is no trend.
    quantile = stats.t.ppf(1.0 - 0.0005, late.size - 1)
    limit = quantile * late.std(ddof=1) * np.sqrt(1.0 / len(by_run) + 1.0 / late.size) + 1e-3 * abs(late.mean())
    off = [abs(np.mean([values[k] for values in by_run]) - late.mean()) > limit for k in range(length // 2)]
    return max((k + 1 for k, far in enumerate(off) if far), default=0)


def _notes(windows: Windows, drives: Sequence[Drive]) -> tuple[str, ...]:
    fits = (
        f"E_c from cubics over ±{windows.rising} (rising) and ±{windows.falling} (falling) records of "
        f"{drives[0].dt_fs:g} fs; P_r and chi(0) from cubics over |E| < {MV_CM_PER_V_A * windows.remanence:.3g} MV/cm; "
        "P_s and chi from lines over |E| > 0.8 E_max of both branches"
    )
    centring = "the dipole is relative to the start: each cycle is centred between its tips"
    relative = any(not drive.absolute for drive in drives)
    return (*drives[0].notes, fits, *((centring,) if relative else ()))
