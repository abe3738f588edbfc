"""Statistical errors: blocks, delete-one jackknife, correlation times, equilibration."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error; the error is NaN where there is only one sample of it."""

    value: float
    error: float


def contiguous_blocks(n: int, n_blocks: int) -> list[np.ndarray]:
    """Indices 0..n−1 cut into at most ``n_blocks`` contiguous blocks of nearly equal size."""
    return np.array_split(np.arange(n), min(n, max(n_blocks, 1)))


def jackknife_error(replicates: np.ndarray) -> np.ndarray:
    """Standard error from delete-one replicates, sqrt((B−1)/B Σ_b (θ_b − θ̄)²).

    Parameters: ``replicates`` (B, ...). Returns (...); NaN with fewer than two replicates.
    Source: Efron and Stein, 10.1214/aos/1176345462.
    """
    count = len(replicates)
    if count < 2:
        return np.full(np.shape(replicates)[1:], np.nan)
    return np.sqrt((count - 1) * np.var(replicates, axis=0))


def spectrum_error(
    mean: np.ndarray, replicates: np.ndarray, gaussian_variance: np.ndarray, points: int
) -> np.ndarray:
    """Standard error of a spectrum: that of a Gaussian process, raised where blocks scatter more.

    σ = S sqrt(v · max(1, r)), v the Gaussian relative variance, r the ratio of the jackknife variance to
    v·S² averaged over ``points`` neighbouring points. Blocks see what a Gaussian process has not: slow
    energy exchange, starts that differ. With fewer than four blocks r is 1.

    Parameters: ``mean`` (F,); ``replicates`` (B, F); ``gaussian_variance`` (F,); ``points``. Returns (F,).
    """
    expected = mean**2 * gaussian_variance
    if len(replicates) < 4:
        return np.sqrt(expected)
    ratio = jackknife_error(replicates) ** 2 / np.maximum(expected, 1e-300)
    ratio = ndimage.uniform_filter1d(ratio, max(points, 1), mode="nearest")
    return np.sqrt(expected * np.maximum(ratio, 1.0))


def statistical_inefficiency(values: np.ndarray) -> float:
    """Number of successive samples that count as one, g = 1 + 2 Σ_t (1 − t/T) ρ(t), summed to the first ρ
    ≤ 0.

    Parameters: ``values`` (T,). Returns g ≥ 1. Source: Chodera et al., 10.1021/ct0502864.
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
    """Mean of a correlated series and its standard error, sqrt(g var/T).

    Parameters: ``values`` (T,). Returns (mean, error).
    """
    values = np.asarray(values, dtype=float)
    return float(values.mean()), float(values.std() * np.sqrt(statistical_inefficiency(values) / values.size))


def equilibration_start(values: np.ndarray) -> int:
    """Index from which a series is best called stationary: the start that leaves most independent samples.

    Parameters: ``values`` (T,). Returns the index, one of twenty-five candidates in the first half.
    Source: Chodera, 10.1021/acs.jctc.5b00784.
    """
    values = np.asarray(values, dtype=float)
    candidates = np.unique(np.linspace(0, values.size // 2, 25).astype(int))
    independent = [(values.size - k) / statistical_inefficiency(values[k:]) for k in candidates]
    return int(candidates[int(np.argmax(independent))])
