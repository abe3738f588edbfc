"""Power spectra of vector time series by averaged, overlapped, tapered segments (Welch)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, interpolate

from les_ipi.analysis.statistics.uncertainty import contiguous_blocks
from les_ipi.analysis.statistics.windows import overlap_correlation, taper
from les_ipi.errors import UserError

_PADDING = 4  # frequency points per independent bin


@dataclass(frozen=True)
class BlockSpectra:
    """Sums of the spectra of segments over independent blocks.

    Attributes:
        frequency: (F,) frequencies, fs⁻¹.
        sums: (B, C, F) sum of the spectra S of each component over the segments of each block.
        counts: (B,) number of segments in each block.
        gaussian_variance: (F,) relative variance of the mean spectrum that is expected of a Gaussian process.
        length: number of samples in a segment.
        bin_points: number of frequency points per independent bin.
    """

    frequency: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    gaussian_variance: np.ndarray
    length: int
    bin_points: int = _PADDING

    @property
    def mean(self) -> np.ndarray:
        """Mean spectrum S(ω) of all segments, summed over components, (F,)."""
        return self.sums.sum(axis=(0, 1)) / self.counts.sum()

    @property
    def without_each_block(self) -> np.ndarray:
        """Mean spectra with one block left out, the replicates of the jackknife, (B, F)."""
        blocks = self.sums.sum(axis=1)
        return (blocks.sum(axis=0) - blocks) / (self.counts.sum() - self.counts)[:, None]


def block_spectra(
    records: Sequence[np.ndarray], dt: float, length: int, window: str = "hann", n_blocks: int = 20
) -> BlockSpectra:
    """Compute two-sided power spectra of segments that overlap by half, pooled over records (Welch's method).

    S(ω) = dt / Σ_n w_n² · |Σ_n w_n x_n e^{iωn dt}|², so that ∫ S dω/2π = ⟨x²⟩ and S = ∫⟨x(0)x(t)⟩e^{iωt}dt.

    The relative variance of the mean over K segments of R records is (Σ_c S_c²/S²)(1 + 2ρ²(K−R)/K)(1 +
    |Σw²e^{2iωn}|²/(Σw²)²)/K with ρ² from :func:`les_ipi.analysis.statistics.windows.overlap_correlation`. The last
    factor doubles it at ω = 0 and at the Nyquist frequency.

    Parameters:
        records: one array (T_r, C) for each run, with its mean removed.
        dt: time between two samples, fs.
        length: number of samples in a segment.
        window: name of the taper window, one of :data:`~les_ipi.analysis.statistics.windows.WINDOWS`.
        n_blocks: wanted number of blocks; each record has at least one.

    Returns :class:`BlockSpectra`.

    Raises :class:`UserError` when a record is shorter than a segment.

    Source: Welch, 10.1109/TAU.1967.1161901.
    """
    if min(len(record) for record in records) < length:
        shortest = min(len(record) for record in records)
        raise UserError(
            f"The record of {shortest * dt / 1000:.3g} ps is shorter than a segment of "
            f"{length * dt / 1000:.3g} ps; ask for a coarser --resolution or run longer."
        )
    weights, step, padded = (
        taper(window, length),
        max(length // 2, 1),
        _PADDING * fft.next_fast_len(length, real=True),
    )
    starts = [np.arange(0, len(record) - length + 1, step) for record in records]
    total = sum(start.size for start in starts)
    sums, counts = [], []
    for record, start in zip(records, starts, strict=True):
        wanted = 1 if len(records) >= 8 else max(1, round(n_blocks * start.size / total))
        for block in contiguous_blocks(start.size, wanted):
            power = np.zeros((record.shape[1], padded // 2 + 1))
            for first in start[block]:
                segment = record[first : first + length] * weights[:, None]
                power += np.abs(fft.rfft(segment, padded, axis=0).T) ** 2
            sums.append(power * (dt / (weights @ weights)))
            counts.append(block.size)
    sums = np.array(sums)
    by_component = sums.sum(axis=0)
    share = (by_component**2).sum(axis=0) / np.maximum(by_component.sum(axis=0), 1e-300) ** 2
    overlap = 1.0 + 2.0 * overlap_correlation(weights, step) * (total - len(records)) / total
    doubled = np.abs(fft.fft(weights**2, padded)[(2 * np.arange(padded // 2 + 1)) % padded]) / (
        weights @ weights
    )
    variance = share * overlap * (1.0 + doubled**2) / total
    return BlockSpectra(fft.rfftfreq(padded, dt), sums, np.array(counts), variance, length)


def time_derivative(record: np.ndarray, dt: float) -> np.ndarray:
    """Compute the first difference of a record, (x_{n+1} − x_n)/dt; its spectrum needs :func:`derivative_response`.

    Differentiating before tapering keeps the leakage of the large slow part of a dipole out of the spectrum.

    Parameters:
        record: (T, C) samples.
        dt: time between two samples, fs.

    Returns an array (T−1, C), in the unit of the record per fs.
    """
    return np.diff(record, axis=0) / dt


def derivative_response(frequency: np.ndarray, dt: float) -> np.ndarray:
    """Compute the power response of the first difference relative to d/dt, (sin(ωdt/2)/(ωdt/2))², never below (2/π)².

    Parameters:
        frequency: (F,) frequencies, fs⁻¹.
        dt: time between two samples, fs.

    Returns an array (F,) by which the spectrum of the first difference is to be divided.
    """
    return np.sinc(np.asarray(frequency) * dt) ** 2


def mean_square_derivative(record: np.ndarray, dt: float) -> float:
    """Compute the mean square ⟨ẋ·ẋ⟩ of the time derivative by a seventh-order spline, without any spectrum.

    Parameters:
        record: (T, C) samples with T ≥ 16.
        dt: time between two samples, fs.

    Returns the mean of the squared derivative, summed over the components.
    """
    spline = interpolate.make_interp_spline(np.arange(len(record)) * dt, record, k=7)
    derivative = spline.derivative()(np.arange(4, len(record) - 4) * dt)
    return float((derivative**2).sum(axis=1).mean())
