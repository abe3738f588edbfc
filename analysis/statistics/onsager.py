"""Onsager matrix of conductivities between species: which ions carry the current, and which move together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from les_ipi.analysis.statistics.plateau import flat_top_response, skewed_error


@dataclass(frozen=True)
class Onsager:
    """Matrix S_ab(0) = ∫⟨J_a(0)·J_b(t)⟩dt of the currents of species, which sums to that of the total current.

    Attributes:
        species: names of the A species.
        value: (A, A) matrix, J²·fs, where J is the unit of the currents.
        error: (A, A) standard deviation of each element, J²·fs.
    """

    species: tuple[str, ...]
    value: np.ndarray
    error: np.ndarray


def onsager_matrix(
    records: Sequence[np.ndarray], species: Sequence[str], dt_fs: float, plateau: int
) -> Onsager:
    """Estimate the matrix of zero-frequency cross powers of the currents of species.

        S_ab(0) = Σ_k w_k Σ_c ½⟨J_ac(0)J_bc(k) + J_bc(0)J_ac(k)⟩ dt

    The window w is that of :meth:`~les_ipi.analysis.statistics.plateau.Correlation.flat_top`. The error is that of a
    Gaussian process, Var = (2/N²) Σ_j W_j² ½(S_aa S_bb + S_ab²), corrected for skewness like the diagonal elements
    (safe for weakly coupled species).

    Parameters:
        records: one array (T_r, A, 3) for each run, the currents of the A species.
        species: names of the species.
        dt_fs: time between two samples, fs.
        plateau: plateau time t* of the total current, in samples.

    Returns :class:`Onsager` in units of J²·fs, where J is the unit of the currents.

    Source: species-resolved Green-Kubo relations, Fong et al., 10.1002/aic.17091.
    """
    count = len(species)
    lags = 2 * plateau
    sums, pairs = np.zeros((count, count, lags)), np.zeros(lags)
    variance, samples = np.zeros((count, count)), sum(len(record) for record in records)
    for record in records:
        length = len(record)
        padded = fft.next_fast_len(length + lags, real=True)
        theta = np.arange(length // 2 + 1) * (2.0 * np.pi / length)
        squared_window = flat_top_response(np.array([plateau]), theta)[0] ** 2
        squared_window[0] /= 3.0
        for axis in range(3):
            transforms = fft.rfft(record[:, :, axis], padded, axis=0)
            power = np.abs(fft.rfft(record[:, :, axis], axis=0)) ** 2 / length
            variance += 2.0 * np.einsum("f,fa,fb->ab", squared_window, power, power, optimize=True)
            for a in range(count):
                for b in range(a + 1):
                    cross = fft.irfft((transforms[:, a] * transforms[:, b].conj()).real, padded)[:lags]
                    sums[a, b] += cross
        pairs += length - np.arange(lags)
    window = np.clip(2.0 - np.arange(lags) / plateau, 0.0, 1.0) / pairs
    lower = 2.0 * sums @ window - sums[:, :, 0] * window[0]
    value = np.tril(lower) + np.tril(lower, -1).T
    error = np.sqrt(variance) / samples
    diagonal = np.diag(value)
    skewed = [skewed_error(x, e**2) for x, e in zip(diagonal, np.diag(error), strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.nan_to_num(np.sqrt(skewed / np.diag(error)), nan=1.0)
    error *= np.outer(factors, factors)
    return Onsager(tuple(species), value * dt_fs, error * dt_fs)
