"""Waveforms: the field amplitude as a pure function of time.

Every function takes the time in fs (number or array) and returns the field in V/Å along the direction of the protocol;
nothing is remembered between calls, so a restart continues a waveform exactly.
"""

import numpy as np
from numpy.typing import ArrayLike

#: Signs of the five pulses of a PUND sequence: preset, positive, up, negative, down.
PUND_SIGNS = (-1.0, 1.0, 1.0, -1.0, -1.0)


def constant(time_fs: ArrayLike, amplitude: float) -> np.ndarray:
    """E = A."""
    return np.full(np.shape(time_fs), float(amplitude))


def sinus(time_fs: ArrayLike, amplitude: float, period_fs: float, phase_deg: float = 0.0) -> np.ndarray:
    """E = A sin(2πt/T + φ)."""
    return amplitude * np.sin(2.0 * np.pi * np.asarray(time_fs) / period_fs + np.deg2rad(phase_deg))


def triangle(time_fs: ArrayLike, amplitude: float, period_fs: float, phase_deg: float = 0.0) -> np.ndarray:
    """Triangular sweep with the zeros, signs and extrema of :func:`sinus`: 0 → A → −A → 0, |dE/dt| = 4A/T."""
    turns = np.asarray(time_fs) / period_fs + phase_deg / 360.0
    return amplitude * (4.0 * np.abs(np.mod(turns - 0.25, 1.0) - 0.5) - 1.0)


def step(
    time_fs: ArrayLike, amplitude: float, start_fs: float = 0.0, rise_fs: float = 0.0, end_fs: float | None = None
) -> np.ndarray:
    """0 before ``start_fs``, then A, reached linearly within ``rise_fs``; back to 0 in the same way from ``end_fs``."""
    on = amplitude * _ramp(time_fs, start_fs, rise_fs)
    return on if end_fs is None else on - amplitude * _ramp(time_fs, end_fs, rise_fs)


def pund(
    time_fs: ArrayLike, amplitude: float, width_fs: float, rise_fs: float, pause_fs: float, start_fs: float = 0.0
) -> np.ndarray:
    """Five trapezoidal pulses −A, A, A, −A, −A (preset, positive, up, negative, down), each rise, width, fall, pause."""
    time_fs = np.asarray(time_fs, dtype=float)
    field = np.zeros(time_fs.shape)
    for number, sign in enumerate(PUND_SIGNS):
        begin = start_fs + number * (2.0 * rise_fs + width_fs + pause_fs)
        field = field + sign * step(time_fs, amplitude, begin, rise_fs, begin + rise_fs + width_fs)
    return field


def pulse(
    time_fs: ArrayLike,
    amplitude: float,
    centre_fs: float,
    sigma_fs: float,
    period_fs: float | None = None,
    phase_deg: float = 0.0,
) -> np.ndarray:
    """Gaussian pulse E = A exp(−(t−t₀)²/2σ²) cos(2π(t−t₀)/T + φ); without a period there is no carrier."""
    late = np.asarray(time_fs) - centre_fs
    envelope = amplitude * np.exp(-0.5 * (late / sigma_fs) ** 2)
    return envelope if period_fs is None else envelope * np.cos(2.0 * np.pi * late / period_fs + np.deg2rad(phase_deg))


def table(time_fs: ArrayLike, times_fs: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Linear interpolation of a table E(t): ``times_fs`` (T,), ``fields`` (T,) or (T, 3) V/Å."""
    columns = np.atleast_2d(np.asarray(fields, dtype=float).T)
    found = np.stack([np.interp(time_fs, times_fs, column) for column in columns], axis=-1)
    return found if np.ndim(fields) == 2 else found[..., 0]


def _ramp(time_fs: ArrayLike, start_fs: float, rise_fs: float) -> np.ndarray:
    late = np.asarray(time_fs, dtype=float) - start_fs
    if rise_fs == 0.0:
        # The kick at the instant of a jump belongs half to either side, as for a steep ramp centred there.
        return np.heaviside(late, 0.5)
    return np.clip(late / rise_fs, 0.0, 1.0)
