"""Switching in steps and PUND pulses: 10-90 % time, KAI kinetics, switched polarization.

Pulses are plateaus of the field. The first one, and each whose sign differs from the one before, is a switching pulse
(P and N of PUND); a repeated sign does not switch (U and D) and measures the response without switching.
Source of the KAI kinetics: Ishibashi and Takagi, 10.1143/JPSJ.31.506.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import curve_fit

from les_ipi.analysis.hysteresis.cycles import passage, passage_half_width
from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.analysis.statistics.uncertainty import Estimate, statistical_inefficiency
from les_ipi.errors import UserError
from les_ipi.units import E_A2_C_M2

#: A record belongs to a pulse where |E| is above this fraction of the largest field.
PLATEAU_FRACTION = 0.9


@dataclass(frozen=True)
class Pulse:
    """Response to one pulse of the field, with signs turned so that the field is positive.

    Attributes:
        time_fs: (T,) times since the field passed half of its plateau, fs.
        polarization: (T,) polarization relative to the mean before the pulse, e/Å².
        field: field on the plateau, V/Å.
        sign: sign of the field, 1 or -1.
        switches: whether the pulse switches the polarization, because its sign differs from that of the pulse before.
        after: mean polarization at zero field after the pulse, relative to before, e/Å²; NaN when no record is left.
        label: name of the run in messages.
    """

    time_fs: np.ndarray
    polarization: np.ndarray
    field: float
    sign: int
    switches: bool
    after: float
    label: str


@dataclass(frozen=True)
class Switching:
    """Kinetics of one switching pulse.

    Attributes:
        t0_fs: switching time t0 of the KAI fit, fs.
        exponent: exponent n of the KAI fit.
        switched_C_m2: switched polarization ΔP of the KAI fit, C/m².
        rise_10_90_fs: time between the passages of P through 10 % and 90 % of ΔP, fs.
        kai_10_90_fs: the same time computed from the KAI fit, fs.
        residual: rms deviation from the KAI fit over ΔP.
        field_V_A: field on the plateau, V/Å.
        complete: whether the plateau lasted for 99 % of the fitted switching.
        label: name of the run in messages.
    """

    t0_fs: Estimate
    exponent: Estimate
    switched_C_m2: Estimate
    rise_10_90_fs: float
    kai_10_90_fs: float
    residual: float
    field_V_A: float
    complete: bool
    label: str


def kai(time: np.ndarray, initial: float, switched: float, t0: float, exponent: float) -> np.ndarray:
    """Evaluate the KAI law of switching, P(t) = P_i + ΔP [1 − exp(−(t/t0)^n)].

    Parameters:
        time: times t since the field rose; negative ones count as zero.
        initial: polarization P_i before switching.
        switched: switched polarization ΔP in the unit of ``initial``, which is 2P_s when switching is complete.
        t0: switching time in the unit of ``time``.
        exponent: n, without unit.

    Returns P at these times, in the unit of ``initial``.
    """
    return initial + switched * (1.0 - np.exp(-((np.maximum(time, 0.0) / t0) ** exponent)))


def find_pulses(drive: Drive) -> list[Pulse]:
    """Find the pulses of a step or PUND waveform.

    Parameters:
        drive: field and polarization of a run, from :func:`drive_of_table`.

    Returns a list of pulses in order of time.

    Raises :class:`UserError` when the field has no plateau of 16 records or more.
    """
    field, p = drive.field, drive.polarization
    largest = np.abs(field).max()
    level = np.where(np.abs(field) > PLATEAU_FRACTION * largest, np.sign(field), 0).astype(int)
    edges = np.flatnonzero(np.diff(level)) + 1
    bounds = np.concatenate([[0], edges, [field.size]])
    pulses, previous, last_stop = [], 0, 0
    for start, stop in pairwise(bounds):
        sign = level[start]
        if sign == 0 or stop - start < 16:
            continue
        plateau = float(np.mean(sign * field[start:stop]))
        onset = start
        while onset > last_stop and sign * field[onset - 1] > 0.5 * plateau:
            onset -= 1
        quiet = np.arange(last_stop, onset)[np.abs(field[last_stop:onset]) < 0.02 * largest]
        before = p[quiet[quiet.size // 2 :]].mean() if quiet.size >= 4 else np.nan
        following = bounds[bounds > stop][0] if (bounds > stop).any() else stop
        rest = np.arange(stop, following)[np.abs(field[stop:following]) < 0.02 * largest]
        after = p[rest[rest.size // 2 :]].mean() if rest.size >= 4 else np.nan
        reference = before if np.isfinite(before) else p[onset]
        pulses.append(
            Pulse(
                time_fs=drive.time_fs[onset:stop] - drive.time_fs[onset],
                polarization=sign * (p[onset:stop] - reference),
                field=plateau,
                sign=int(sign),
                switches=sign != previous,
                after=float(sign * (after - before)),
                label=drive.label,
            )
        )
        previous, last_stop = sign, stop
    if not pulses:
        raise UserError(f"{drive.label or 'the run'} has no field pulse of 16 records or more; was it a step or PUND?")
    return pulses


def subtract_nonswitching(pulses: Sequence[Pulse]) -> list[Pulse]:
    """Subtract from each switching pulse the non-switching pulse of the same sign that follows it, as in PUND.

    The difference carries the switched polarization alone. Where no pulse of the sequence is non-switching, as for
    steps, all pulses stay as they are. Otherwise those without a partner are left out, such as the preset, whose state
    before is unknown.

    Parameters:
        pulses: pulses in order of time, from :func:`find_pulses`.

    Returns a list of switching pulses.
    """
    result = []
    paired = any(not pulse.switches for pulse in pulses)
    for k, pulse in enumerate(pulses):
        if not pulse.switches:
            continue
        twin = pulses[k + 1] if k + 1 < len(pulses) and not pulses[k + 1].switches else None
        if twin is None:
            result += [] if paired else [pulse]
            continue
        size = min(pulse.time_fs.size, twin.time_fs.size)
        difference = pulse.polarization[:size] - twin.polarization[:size]
        fields = {name: getattr(pulse, name) for name in ("field", "sign", "switches", "label")}
        result.append(Pulse(pulse.time_fs[:size], difference, after=pulse.after - twin.after, **fields))
    return result


def fit_switching(pulse: Pulse) -> Switching:
    """Fit KAI kinetics to one switching pulse, and measure its 10-90 % time.

        P(t) = P_i + ΔP [1 − exp(−(t/t0)^n)]

    P_i is free, so that the fast dielectric response is no part of ΔP. The errors follow from the covariance of the
    fit, times the statistical inefficiency of the residuals. The 10-90 % time is taken between the passages through P_i
    + 0.1 ΔP and P_i + 0.9 ΔP, each from a cubic fitted around it.

    Parameters:
        pulse: a switching pulse, from :func:`find_pulses` or :func:`subtract_nonswitching`.

    Returns :class:`Switching`.

    Raises :class:`UserError` when the polarization does not follow the field, or when no KAI kinetics fits.

    Source: Ishibashi and Takagi, 10.1143/JPSJ.31.506.
    """
    time, p = pulse.time_fs, pulse.polarization
    tail = max(p.size // 5, 4)
    low, high = p[: max(p.size // 50, 2)].mean(), p[-tail:].mean()
    half = np.argmin(np.cumsum(p - 0.5 * (low + high)))
    guess = (low, high - low, max(time[half], time[1]) / np.log(2) ** 0.5, 2.0)
    bounds = ([-np.inf, 0.0, 0.1 * (time[1] - time[0]), 0.2], [np.inf, np.inf, 20 * time[-1], 12.0])
    noise = np.std(np.diff(p)) / np.sqrt(2)
    if high - low <= 3 * noise / np.sqrt(tail):
        raise UserError(f"The polarization of {pulse.label or 'a pulse'} does not follow the field of {pulse.field:g} V/Å: "
                        "nothing switched, or the pulse is too short.")  # fmt: skip
    try:
        values, covariance = curve_fit(kai, time, p, p0=guess, bounds=bounds)
    except RuntimeError as error:
        raise UserError(f"No KAI kinetics fits the pulse of {pulse.label or 'the run'} ({error}).") from error
    residual = p - kai(time, *values)
    errors = np.sqrt(np.diag(covariance) * statistical_inefficiency(residual))
    initial, switched, t0, exponent = values
    levels = [initial + share * switched for share in (0.1, 0.9)]
    passed = []
    for level in levels:
        width = passage_half_width([p - level], 0.3 * switched)
        passed.append(passage(p - level, width) * (time[1] - time[0]))
    return Switching(
        t0_fs=Estimate(float(t0), float(errors[2])),
        exponent=Estimate(float(exponent), float(errors[3])),
        switched_C_m2=Estimate(float(switched * E_A2_C_M2), float(errors[1] * E_A2_C_M2)),
        rise_10_90_fs=float(passed[1] - passed[0]),
        kai_10_90_fs=float(t0 * (np.log(10.0) ** (1 / exponent) - np.log(10.0 / 9.0) ** (1 / exponent))),
        residual=float(residual.std() / switched),
        field_V_A=pulse.field,
        complete=bool((time[-1] / t0) ** exponent > np.log(100.0)),
        label=pulse.label,
    )


def combine(estimates: Sequence[Estimate]) -> Estimate:
    """Average the estimates of independent pulses.

    Parameters: ``estimates``, one or more.

    Returns their mean with the standard error from their scatter; a single estimate keeps the error of its fit.
    """
    values = np.array([estimate.value for estimate in estimates])
    if values.size == 1:
        return estimates[0]
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size)))
