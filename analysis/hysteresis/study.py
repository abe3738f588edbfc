"""From field-driven runs to loops, switching kinetics and laws over amplitudes and frequencies."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.analysis.hysteresis.cycles import find_cycles
from les_ipi.analysis.hysteresis.laws import FrequencyLaw, MerzLaw, frequency_law, merz_law
from les_ipi.analysis.hysteresis.loop import SAME, drive_condition, hysteresis_loop
from les_ipi.analysis.hysteresis.metrics import HysteresisLoop
from les_ipi.analysis.hysteresis.polarization import Drive, drive_of_table
from les_ipi.analysis.hysteresis.switching import (
    Pulse,
    Switching,
    combine,
    find_pulses,
    fit_switching,
    subtract_nonswitching,
)
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.field_table import FieldTable, read_field_table
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError


@dataclass(frozen=True)
class SwitchingStudy:
    """Switching kinetics at one field, from one or several pulses.

    Attributes:
        field_V_A: mean field on the plateaus, V/Å.
        pulses: pulses that switch, less the responses of their non-switching twins where there are any.
        fits: kinetics of each of these pulses.
        t0_fs: mean switching time t0, fs.
        exponent: mean KAI exponent n.
        switched_C_m2: mean switched polarization ΔP, C/m².
        rise_10_90_fs: mean time from 10 % to 90 % of the switched polarization, fs.
    """

    field_V_A: float
    pulses: tuple[Pulse, ...]
    fits: tuple[Switching, ...]
    t0_fs: Estimate
    exponent: Estimate
    switched_C_m2: Estimate
    rise_10_90_fs: Estimate


@dataclass(frozen=True)
class HysteresisStudy:
    """Results of field-driven runs: loops, switching kinetics, and the laws that three or more of them allow.

    Attributes:
        loops: loops, one for each amplitude, frequency and volume, sorted by amplitude and then by frequency.
        switching: switching kinetics, one for each field, sorted by field.
        frequency: power law of the coercive field in the frequency, or None.
        merz: Merz' law of the switching times, or None.
        temperature_K: mean temperature of the runs, K, or None where no i-PI input lies beside a field table.
        run_paths: path of the field table of each run.
        warnings: sentences on what limits trust in the numbers.
    """

    loops: tuple[HysteresisLoop, ...]
    switching: tuple[SwitchingStudy, ...]
    frequency: FrequencyLaw | None
    merz: MerzLaw | None
    temperature_K: float | None
    run_paths: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def frequencies_GHz(self) -> list[float]:
        """Frequency of each loop, GHz."""
        return [1e6 / loop.period_fs for loop in self.loops]


def study_hysteresis(
    paths: Sequence[str | Path],
    source: str = "dipole",
    folded: bool = False,
    volume: str = "instantaneous",
    discard_ps: float = 0.0,
    discard_cycles: int = 0,
) -> HysteresisStudy:
    """Analyse field-driven runs; those in the same field are pooled.

    A field that rests on plateaus is a step or a PUND waveform and gives switching kinetics. Any other field gives
    loops.

    Parameters:
        paths: run directories or field tables.
        source: ``dipole`` for the recorded dipole (column M), or ``current`` for the integral ∫J dt of the current.
        folded: whether the dipole is only known modulo a quantum of polarization and is to be unfolded.
        volume: ``instantaneous`` for the volume V(t) of each record in P = M/V, or ``mean`` for its mean.
        discard_ps: time dropped from the start of each run as equilibration, ps.
        discard_cycles: number of complete cycles dropped from the start of each run.

    Returns :class:`HysteresisStudy`.

    Raises :class:`UserError` for runs that give neither a loop nor switching kinetics.
    """
    tables = [read_field_table(path) for path in paths]
    drives = [drive_of_table(table, source, folded, volume, discard_ps) for table in tables]
    stepped = [rests_on_plateaus(drive.field) for drive in drives]
    sweeps = [drive for drive, step in zip(drives, stepped, strict=True) if not step]
    steps = [drive for drive, step in zip(drives, stepped, strict=True) if step]
    loops = [hysteresis_loop(group, discard_cycles) for group in _by_condition(sweeps)]
    loops.sort(key=lambda loop: (loop.amplitude_V_A, -loop.period_fs))
    warnings: list[str] = []
    switching = _switching(steps, warnings)
    if not loops and not switching:
        raise UserError(f"{warnings[0]}." if warnings else "There is no run to analyse.")
    return HysteresisStudy(
        loops=tuple(loops),
        switching=tuple(switching),
        frequency=_frequency_law(loops, warnings),
        merz=_merz_law(switching, warnings),
        temperature_K=_temperature(tables, warnings),
        run_paths=tuple(str(table.path) for table in tables),
        warnings=tuple(warnings),
    )


def rests_on_plateaus(field: np.ndarray) -> bool:
    """Whether a field spends more than a fifth of its time within 2 % of its largest value (a sine spends 13 %).

    Parameters: ``field`` (T,) along its direction.
    """
    return bool(np.mean(np.abs(field) > 0.98 * np.abs(field).max()) > 0.2)


def _by_condition(drives: Sequence[Drive]) -> list[list[Drive]]:
    groups: list[tuple[np.ndarray, list[Drive]]] = []
    for drive in drives:
        condition = drive_condition(drive, find_cycles(drive.field, drive.constant_voltage))
        for known, group in groups:
            parallel = abs(np.dot(drive.direction, group[0].direction)) > 0.999
            if parallel and np.all(np.abs(condition / known - 1.0) < SAME):
                group.append(drive)
                break
        else:
            groups.append((condition, [drive]))
    return [group for _, group in groups]


def _switching(drives: Sequence[Drive], warnings: list[str]) -> list[SwitchingStudy]:
    pulses = [pulse for drive in drives for pulse in subtract_nonswitching(find_pulses(drive))]
    pulses.sort(key=lambda pulse: pulse.field)
    groups: list[list[Pulse]] = []
    for pulse in pulses:
        if groups and abs(pulse.field / groups[-1][0].field - 1.0) < SAME:
            groups[-1].append(pulse)
        else:
            groups.append([pulse])
    studies = []
    for group in groups:
        fitted = []
        for pulse in group:
            try:
                fitted.append((pulse, fit_switching(pulse)))
            except UserError as error:
                warnings.append(str(error).rstrip("."))
        if not fitted:
            continue
        kept, fits = zip(*fitted, strict=True)
        rises = [Estimate(fit.rise_10_90_fs, np.nan) for fit in fits]
        studies.append(
            SwitchingStudy(
                field_V_A=float(np.mean([pulse.field for pulse in kept])),
                pulses=kept,
                fits=fits,
                t0_fs=combine([fit.t0_fs for fit in fits]),
                exponent=combine([fit.exponent for fit in fits]),
                switched_C_m2=combine([fit.switched_C_m2 for fit in fits]),
                rise_10_90_fs=combine(rises),
            )
        )
    return studies


def _frequency_law(loops: Sequence[HysteresisLoop], warnings: list[str]) -> FrequencyLaw | None:
    amplitudes = np.array([loop.amplitude_V_A for loop in loops])
    if len(loops) < 3 or np.ptp(amplitudes) > SAME * amplitudes.mean():
        return None
    try:
        return frequency_law(
            [1e6 / loop.period_fs for loop in loops], [loop.metrics["coercive_field_MV_cm"] for loop in loops]
        )
    except UserError as error:
        warnings.append(f"no frequency dependence of E_c: {str(error).rstrip('.')}")
        return None


def _merz_law(switching: Sequence[SwitchingStudy], warnings: list[str]) -> MerzLaw | None:
    if len(switching) < 3:
        return None
    try:
        return merz_law([item.field_V_A for item in switching], [item.t0_fs for item in switching])
    except UserError as error:
        warnings.append(f"no Merz law: {str(error).rstrip('.')}")
        return None


def _temperature(tables: Sequence[FieldTable], warnings: list[str]) -> float | None:
    """Temperature of the runs, where their i-PI input is beside the field table."""
    found = []
    for table in tables:
        try:
            found.append(RunDirectory(table.path.parent).temperature_K)
        except UserError:
            continue
    if not found:
        return None
    if max(found) - min(found) > 1.0:
        warnings.append(f"the runs are at {min(found):g} to {max(found):g} K; but a loop belongs to one temperature")
    return float(np.mean(found))
