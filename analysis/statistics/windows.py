"""Named taper windows, with the spectral width and the overlap correlation that they imply."""

import numpy as np
from scipy import signal

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.errors import UserError

#: Window names of the program and their names in ``scipy.signal``.
WINDOWS = {"hann": "hann", "hamming": "hamming", "blackman": "blackman", "rectangular": "boxcar"}


def taper(name: str, length: int) -> np.ndarray:
    """Compute a taper window in its periodic form, whose largest value is 1.

    Parameters:
        name: name of the window, one of :data:`WINDOWS`.
        length: number of samples.

    Returns an array (length,).

    Raises :class:`UserError` for an unknown name.

    Source: Harris, 10.1109/PROC.1978.10837.
    """
    if name not in WINDOWS:
        raise UserError(f"There is no window '{name}'; choose one of {', '.join(WINDOWS)}.")
    return signal.get_window(WINDOWS[name], length, fftbins=True)


def width_in_bins(name: str) -> float:
    """Compute the full width at half maximum of |W(f)|² in units of 1/(length·dt): 1.44 for Hann, 0.89 for rectangular.

    Parameters: ``name`` of the window, one of :data:`WINDOWS`. Returns a number without unit.
    """
    length, pad = 256, 256
    power = np.abs(np.fft.rfft(taper(name, length), length * pad)) ** 2
    power /= power[0]
    right = int(np.argmax(power < 0.5))
    crossing = right - 1 + (power[right - 1] - 0.5) / (power[right - 1] - power[right])
    return 2.0 * crossing / pad


def resolution_cm1(name: str, length: int, dt_fs: float) -> float:
    """Compute the spectral width (FWHM) of a segment.

    Parameters:
        name: name of the window, one of :data:`WINDOWS`.
        length: number of samples in the segment.
        dt_fs: time between two samples, fs.

    Returns the width in cm⁻¹.
    """
    return width_in_bins(name) * CM1_PER_INVERSE_FS / (length * dt_fs)


def length_for_resolution(name: str, resolution: float, dt_fs: float) -> int:
    """Compute the number of samples in a segment that has a given spectral width.

    Parameters:
        name: name of the window, one of :data:`WINDOWS`.
        resolution: spectral width (FWHM), cm⁻¹.
        dt_fs: time between two samples, fs.

    Returns the number of samples.
    """
    return round(width_in_bins(name) * CM1_PER_INVERSE_FS / (resolution * dt_fs))


def overlap_correlation(window: np.ndarray, shift: int) -> float:
    """Compute the correlation of the periodograms of two overlapping segments of white noise.

    ρ² = (Σ_n w_n w_{n+shift})² / (Σ_n w_n²)², which is 1/36 for Hann at half overlap.

    Parameters:
        window: (length,) window w, from :func:`taper`.
        shift: number of samples between the starts of both segments.

    Returns a number in 0..1.

    Source: Welch, 10.1109/TAU.1967.1161901.
    """
    return float((window[shift:] @ window[: window.size - shift] / (window @ window)) ** 2)
