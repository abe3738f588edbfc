"""Statistical errors: blocks, delete-one jackknife, correlation times, equilibration."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error.

    Attributes:
        value: the number.
        error: its standard error; NaN where there is only one sample of it.
    """

    value: float
    error: float


def contiguous_blocks(n: int, n_blocks: int) -> list[np.ndarray]:
    """Cut the indices 0..n−1 into contiguous blocks of nearly equal size.

    Parameters:
        n: number of indices.
        n_blocks: largest number of blocks.

    Returns a list of arrays of indices.
    """
    return np.array_split(np.arange(n), min(n, max(n_blocks, 1)))


def jackknife_error(replicates: np.ndarray) -> np.ndarray:
    """Compute the standard error from delete-one replicates, sqrt((B−1)/B Σ_b (θ_b − θ̄)²).

    Parameters: ``replicates`` (B, ...), the estimate θ_b without each of B blocks.

    Returns an array (...); NaN with fewer than two replicates.

    Source: Efron and Stein, 10.1214/aos/1176345462.
    """
    count = len(replicates)
    if count < 2:
        return np.full(np.shape(replicates)[1:], np.nan)
    return np.sqrt((count - 1) * np.var(replicates, axis=0))


def spectrum_error(
    mean: np.ndarray, replicates: np.ndarray, gaussian_variance: np.ndarray, points: int
) -> np.ndarray:
    """Compute the standard error of a spectrum: that of a Gaussian process, raised where blocks scatter more.

    σ = S sqrt(v · max(1, r)), where v is the Gaussian relative variance and r the ratio of the jackknife variance to
    v·S², averaged over neighbouring points. Blocks see what a Gaussian process does not have: slow exchange of energy,
    and starts that differ. With fewer than four blocks r is 1.

    Parameters:
        mean: (F,) spectrum S.
        replicates: (B, F) spectra without each of B blocks.
        gaussian_variance: (F,) relative variance v of the mean spectrum of a Gaussian process.
        points: number of neighbouring points over which r is averaged.

    Returns an array (F,) in the unit of the spectrum.
    """
    expected = mean**2 * gaussian_variance
    if len(replicates) < 4:
        return np.sqrt(expected)
    ratio = jackknife_error(replicates) ** 2 / np.maximum(expected, 1e-300)
    ratio = ndimage.uniform_filter1d(ratio, max(points, 1), mode="nearest")
    return np.sqrt(expected * np.maximum(ratio, 1.0))


def statistical_inefficiency(values: np.ndarray) -> float:
    """Compute the number of successive samples that count as one independent sample.

    g = 1 + 2 Σ_t (1 − t/T) ρ(t), summed up to the first ρ ≤ 0.

    Parameters: ``values`` (T,). Returns g ≥ 1.

    Source: Chodera et al., 10.1021/ct0502864.
    """
    values = np.asarray(values, dtype=float)
    deviation = values - values.mean()
    n = values.size
    covariance = signal.correlate(deviation, deviation, mode="full", method="fft")[n - 1 :]
    if covariance[0] <= 1e-14 * max(1.0, float(values @ values)):
        return 1.0
    rho = covariance / covariance[0]
    end = int(np.argmax(rho <= 0)) or n
    return max(1.0, 1.0 + 2.0 * float(rho[1:end].sum()))


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Compute the mean of a correlated series and its standard error sqrt(g var/T).

    Here g is the :func:`statistical_inefficiency` of the series.

    Parameters: ``values`` (T,). Returns the mean and its error.
    """
    values = np.asarray(values, dtype=float)
    return float(values.mean()), float(values.std() * np.sqrt(statistical_inefficiency(values) / values.size))


def equilibration_start(values: np.ndarray) -> int:
    """Find the index from which on a series is best called stationary: the start that leaves most independent samples.

    Parameters: ``values`` (T,).

    Returns the index, one of twenty-five candidates in the first half.

    Source: Chodera, 10.1021/acs.jctc.5b00784.
    """
    values = np.asarray(values, dtype=float)
    candidates = np.unique(np.linspace(0, values.size // 2, 25).astype(int))
    independent = [(values.size - k) / statistical_inefficiency(values[k:]) for k in candidates]
    return int(candidates[int(np.argmax(independent))])
