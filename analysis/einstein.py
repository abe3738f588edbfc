"""Mean-square displacements and their slope by generalised least squares with the full covariance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, linalg

from analysis.green_kubo import anisotropy, component_power, split
from analysis.plateau import raised_error, skewness_corrected
from les_ipi.errors import UserError

_FIT = np.array([1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0])  # lags of the fit over the first one
_STEPS = 12  # grid points up to the first lag in sums over time origins
_BLOCK_LAGS = 12  # least length of a block in units of the first lag
_SHOWN = 200


@dataclass(frozen=True)
class EinsteinFit:
    """Straight line through a mean-square displacement, MSD(t) = slope·t + intercept from ``first_fs`` on.

    ``slope`` and ``error`` (one standard deviation) in x²/fs; ``intercept`` x²; ``first_fs``, ``last_fs`` range of the
    fit; ``time_fs``, ``msd`` (L,) the curve; ``chi_square`` per degree of freedom of the fit; ``blocks`` (B,) slopes of the
    parts of the record; ``raised`` true when the blocks scatter more than a Gaussian process and give the error.
    """

    slope: float
    error: float
    intercept: float
    first_fs: float
    last_fs: float
    time_fs: np.ndarray
    msd: np.ndarray
    chi_square: float
    blocks: np.ndarray
    raised: bool


def itinerant(current: np.ndarray, dt_fs: float) -> np.ndarray:
    """Displacement ∫_0^t x dt' of a current by the trapezoidal rule, (T, C)."""
    total = np.zeros_like(current, dtype=float)
    np.cumsum(0.5 * dt_fs * (current[1:] + current[:-1]), axis=0, out=total[1:])
    return total


def mean_square_displacement(positions: np.ndarray, max_lag: int) -> np.ndarray:
    """MSD(k) = 1/(T−k) Σ_n |x_{n+k} − x_n|², summed over components.

    Parameters: ``positions`` (T, C), unwrapped; ``max_lag`` < T. Returns (max_lag + 1,), by fast Fourier transform in
    T ln T operations. Source: Calandrini et al., 10.1051/sfn/201112010.
    """
    length = len(positions)
    lags = np.arange(max_lag + 1)
    padded = fft.next_fast_len(length + max_lag + 1, real=True)
    total = np.zeros(max_lag + 1)
    for component in positions.T:
        x = component - component.mean()  # small numbers: less cancellation
        products = fft.irfft(np.abs(fft.rfft(x, padded)) ** 2, padded)[: max_lag + 1]
        squares = np.concatenate([[0.0], np.cumsum(x**2)])
        total += squares[length - lags] + squares[length] - squares[lags] - 2.0 * products
    return np.maximum(total, 0.0) / (length - lags)


def einstein_fit(positions: Sequence[np.ndarray], dt_fs: float, onset: int) -> EinsteinFit:
    """Slope of the mean-square displacement at long times, with the error that its correlations imply.

    Generalised least squares of slope and intercept on lags t₁..4t₁, t₁ twice ``onset``, with the covariance of a Gaussian
    process of stationary increments, Cov = 2/(N − k) Σ_d g_d², g_d = ½[m(d+l) + m(d−k) − m(d+l−k) − m(d)] for lags k ≤ l,
    m the measured MSD, continued as the fitted line. Error as in :func:`analysis.green_kubo.green_kubo`.

    Parameters: ``positions`` (T_r, C) itinerant, of independent runs; ``dt_fs``; ``onset`` in samples, time after which
    the velocity has no memory (:func:`analysis.plateau.find_plateau`). Returns :class:`EinsteinFit` (slope summed over
    components: 6D in three dimensions). Raises :class:`UserError` for records shorter than 32 onsets.
    Source: covariance of displacements, Bullerjahn, von Bülow and Hummer, 10.1063/5.0008312.
    """
    shortest = min(len(record) for record in positions)
    first = min(2 * onset, shortest // 8)
    if first < 1:
        raise UserError(f"A record of {shortest} frames is too short for a mean-square displacement.")
    lags = np.unique(np.round(_FIT * first).astype(int))
    weights = np.array([len(record) for record in positions], float)
    msd = sum(
        w * mean_square_displacement(x, int(lags[-1])) for w, x in zip(weights, positions, strict=True)
    ) / weights.sum()
    powers = np.mean([[component_power(c, first) for c in np.diff(x, axis=0).T] for x in positions], axis=0)
    line, combination, variance, chi_square = _fit(msd, lags, weights.sum(), anisotropy(powers))
    slope, intercept = line
    blocks = _block_slopes(positions, lags, combination)
    error = abs(slope) * float(np.sqrt(skewness_corrected(variance / slope**2)))
    error, raised = raised_error(error, blocks)
    shown = np.unique(np.linspace(0, lags[-1], _SHOWN).astype(int))
    return EinsteinFit(
        slope=slope / dt_fs,
        error=error / dt_fs,
        intercept=intercept,
        first_fs=lags[0] * dt_fs,
        last_fs=lags[-1] * dt_fs,
        time_fs=shown * dt_fs,
        msd=msd[shown],
        chi_square=chi_square,
        blocks=blocks / dt_fs,
        raised=raised,
    )


def _fit(
    msd: np.ndarray, lags: np.ndarray, samples: float, share: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Line (slope, intercept), weights (L,) with slope = weights·MSD, variance of the slope, χ² per freedom."""
    design = np.stack([lags, np.ones(lags.size)], axis=1).astype(float)
    slope = (msd[lags[-1]] - msd[lags[0]]) / (lags[-1] - lags[0])
    intercept = msd[lags[0]] - slope * lags[0]
    for _ in range(3):
        covariance = share * displacement_covariance(msd, lags, samples, slope, intercept)
        covariance[np.diag_indices(lags.size)] *= 1.0 + 1e-9
        inverse = linalg.inv(covariance)
        information = design.T @ inverse @ design
        weights = np.linalg.solve(information, design.T @ inverse)
        line = weights @ msd[lags]
        if line[0] <= 0.0:
            break
        slope, intercept = line
    residual = msd[lags] - design @ line
    chi_square = float(residual @ inverse @ residual) / max(lags.size - 2, 1)
    return line, weights[0], float(np.linalg.inv(information)[0, 0]), chi_square


def displacement_covariance(
    msd: np.ndarray, lags: np.ndarray, samples: float, slope: float, intercept: float
) -> np.ndarray:
    """Covariance (L, L) of the MSD of one component at ``lags``, from the MSD itself continued as a straight line.

    Formula: :func:`einstein_fit`. The sum over time origins is taken on a grid of a twelfth of the first lag.
    Parameters: ``msd`` (≥ lags[-1] + 1,); ``samples`` N; ``slope`` and ``intercept`` of the line from lags[0] on.
    """
    stride = max(int(lags[0]) // _STEPS, 1)

    def structure(d: np.ndarray) -> np.ndarray:
        d = np.abs(d)
        return np.where(d < lags[0], msd[np.minimum(d, lags[0])], slope * d + intercept)

    covariance = np.empty((lags.size, lags.size))
    for row, k in enumerate(lags):
        for column, l in enumerate(lags[: row + 1]):
            reach = int(k + l + lags[0])
            d = np.arange(-(reach // stride), reach // stride + 1) * stride
            overlap = 0.5 * (structure(d + l) + structure(d - k) - structure(d + l - k) - structure(d))
            value = 2.0 * stride * (overlap**2).sum() / (samples - min(k, l))
            covariance[row, column] = covariance[column, row] = value
    return covariance


def _block_slopes(positions: Sequence[np.ndarray], lags: np.ndarray, combination: np.ndarray) -> np.ndarray:
    blocks = split(positions, _BLOCK_LAGS * int(lags[0]))
    if len(blocks) < 4:
        return np.empty(0)
    return np.array([combination @ mean_square_displacement(block, int(lags[-1]))[lags] for block in blocks])
