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
    """Sums of segment spectra over independent blocks.

    ``frequency`` (F,) fs⁻¹; ``sums`` (B, C, F) block sums of S of each component; ``counts`` (B,) segments
    a block; ``gaussian_variance`` (F,) relative variance of the mean spectrum expected of a Gaussian
    process; ``length`` samples a segment; ``bin_points`` points per independent bin.
    """

    frequency: np.ndarray
    sums: np.ndarray
    counts: np.ndarray
    gaussian_variance: np.ndarray
    length: int
    bin_points: int = _PADDING

    @property
    def mean(self) -> np.ndarray:
        """Spectrum S(ω) summed over components, (F,)."""
        return self.sums.sum(axis=(0, 1)) / self.counts.sum()

    @property
    def without_each_block(self) -> np.ndarray:
        """Spectra with one block left out, (B, F): the jackknife replicates."""
        blocks = self.sums.sum(axis=1)
        return (blocks.sum(axis=0) - blocks) / (self.counts.sum() - self.counts)[:, None]


def block_spectra(
    records: Sequence[np.ndarray], dt: float, length: int, window: str = "hann", n_blocks: int = 20
) -> BlockSpectra:
    """Two-sided power spectra of segments at half overlap, pooled over records.

    S(ω) = dt / Σ_n w_n² · |Σ_n w_n x_n e^{iωn dt}|², so that ∫ S dω/2π = ⟨x²⟩ and S = ∫⟨x(0)x(t)⟩e^{iωt}dt.
    Relative variance of the mean over K segments: (Σ_c S_c²/S²)(1 + 2ρ²(K−R)/K)(1 +
    |Σw²e^{2iωn}|²/(Σw²)²)/K with R records, ρ² from :func:`les_ipi.analysis.statistics.windows.overlap_correlation`; the last
    factor doubles it at ω = 0 and Nyquist.

    Parameters: ``records`` of shape (T_r, C), mean removed; ``dt`` fs; ``length`` samples a segment;
    ``window`` name; ``n_blocks`` wanted (at least one a record). Returns :class:`BlockSpectra`. Raises
    :class:`UserError` when a record is shorter than a segment. Source: Welch, 10.1109/TAU.1967.1161901.
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
    """First difference of a record, (x_{n+1} − x_n)/dt; its spectrum needs :func:`derivative_response`.

    Differentiating before tapering keeps the leakage of the large slow part of a dipole out of the spectrum.
    Parameters: ``record`` (T, C); ``dt`` fs. Returns (T−1, C).
    """
    return np.diff(record, axis=0) / dt


def derivative_response(frequency: np.ndarray, dt: float) -> np.ndarray:
    """Power response of the first difference relative to d/dt: (sin(ωdt/2)/(ωdt/2))², never below (2/π)².

    Parameters: ``frequency`` (F,) fs⁻¹; ``dt`` fs. Returns (F,), to divide the spectrum by.
    """
    return np.sinc(np.asarray(frequency) * dt) ** 2


def mean_square_derivative(record: np.ndarray, dt: float) -> float:
    """Mean square of dx/dt by a seventh-order spline, without any spectrum: ⟨ẋ·ẋ⟩.

    Parameters: ``record`` (T, C) with T ≥ 16; ``dt`` fs. Returns the mean of the squared derivative,
    summed over C.
    """
    spline = interpolate.make_interp_spline(np.arange(len(record)) * dt, record, k=7)
    derivative = spline.derivative()(np.arange(4, len(record) - 4) * dt)
    return float((derivative**2).sum(axis=1).mean())
