"""Mean-square displacements and their slope by generalised least squares with the full covariance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from les_ipi.analysis.statistics.green_kubo import component_share, split
from les_ipi.analysis.statistics.plateau import raised_error, skewed_error
from les_ipi.errors import UserError

_FIT = np.array([1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0])  # lags of the fit over the first one
_STEPS = 12  # steps up to the first lag in sums over time origins
_BLOCK_LAGS = 12  # least length of a block in units of the first lag
_LEAST_SAMPLES = 64


@dataclass(frozen=True)
class EinsteinFit:
    """Straight line through a mean-square displacement, MSD(t) = slope·t + intercept from ``first_fs`` on.

    ``slope`` and ``error`` (one standard deviation) in x²/fs; ``intercept`` x²; ``first_fs``, ``last_fs`` range of the
    fit; ``components`` (C,) slopes of the components, which add up to the slope; ``time_fs``, ``msd`` (L,) the curve;
    ``chi_square`` per degree of freedom of the fit; ``blocks`` (B,) slopes of the parts of the record;
    ``raised`` true when the blocks scatter more than a Gaussian process and give the error.
    """

    slope: float
    error: float
    intercept: float
    first_fs: float
    last_fs: float
    components: np.ndarray
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


def mean_square_displacement(positions: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """MSD(k) = 1/(T−k) Σ_n (x_{n+k} − x_n)² of every component at chosen lags, over all time origins.

    Parameters: ``positions`` (T, C), unwrapped; ``lags`` (L,) < T. Returns (L, C).
    """
    length = len(positions)
    return np.array(
        [
            np.einsum("tc,tc->c", step := positions[k:] - positions[: length - k], step) / (length - k)
            for k in lags
        ]
    )


def einstein_fit(
    positions: Sequence[np.ndarray], dt_fs: float, onset: int, share: float = np.nan
) -> EinsteinFit:
    """Slope of the mean-square displacement at long times, with the error that its correlations imply.

    Generalised least squares of slope and intercept on lags t₁..4t₁, t₁ thrice ``onset``, with the covariance of a Gaussian
    process of stationary increments, Cov = 2/(N − k) Σ_d g_d², g_d = ½[m(d+l) + m(d−k) − m(d+l−k) − m(d)] for lags k ≤ l,
    m the measured MSD, continued as the fitted line. Error as in :func:`les_ipi.analysis.statistics.green_kubo.green_kubo`.

    Parameters: ``positions`` (T_r, C) itinerant, of independent runs, C = 3 or x, y, z of several particles; ``dt_fs``;
    ``onset`` in samples, time after which velocities have no memory (:func:`les_ipi.analysis.statistics.plateau.find_plateau`);
    ``share`` relative variance at one frequency, by default that of independent components. Returns
    :class:`EinsteinFit` (slope summed over components: 6D in three dimensions). Raises :class:`UserError` for records of
    fewer than 64 samples.
    Source: covariance of displacements, Bullerjahn, von Bülow and Hummer, 10.1063/5.0008312.
    """
    shortest = min(len(record) for record in positions)
    if shortest < _LEAST_SAMPLES:
        raise UserError(f"A record has {shortest} frames; a diffusion coefficient needs {_LEAST_SAMPLES} and more.")
    first = min(3 * onset, shortest // 8)
    stride = max(first // _STEPS, 1)
    first -= first % stride
    lags = stride * np.unique(np.round(_FIT * first / stride).astype(int))
    shown = np.unique(np.concatenate([np.arange(0, first, stride), lags]))
    weights = np.array([len(record) for record in positions], float)
    curves = sum(
        w * mean_square_displacement(x, shown) for w, x in zip(weights, positions, strict=True)
    ) / weights.sum()
    if np.isnan(share):
        share = component_share(np.maximum(curves[-1] - curves[shown == first][0], 0.0))
    grid = np.interp(np.arange(0, first + 1, stride), shown, curves.sum(axis=1))
    fitted = curves[np.isin(shown, lags)]
    line, combination, variance, chi_square = _fit(fitted.sum(axis=1), grid, lags, stride, weights.sum(), share)
    components = combination @ fitted
    blocks = _block_slopes(positions, lags, combination)
    error, raised = raised_error(skewed_error(line[0], variance), blocks)
    return EinsteinFit(
        slope=line[0] / dt_fs,
        error=error / dt_fs,
        intercept=line[1],
        components=components / dt_fs,
        first_fs=lags[0] * dt_fs,
        last_fs=lags[-1] * dt_fs,
        time_fs=shown * dt_fs,
        msd=curves.sum(axis=1),
        chi_square=chi_square,
        blocks=blocks / dt_fs,
        raised=raised,
    )


def _fit(
    msd: np.ndarray, short: np.ndarray, lags: np.ndarray, stride: int, samples: float, share: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Line (slope, intercept), weights (L,) with slope = weights·MSD, variance of the slope, χ² per freedom."""
    design = np.stack([lags, np.ones(lags.size)], axis=1).astype(float)
    slope = (msd[-1] - msd[0]) / (lags[-1] - lags[0])
    intercept = msd[0] - slope * lags[0]
    for _ in range(3):
        covariance = share * displacement_covariance(short, lags, stride, samples, slope, intercept)
        covariance[np.diag_indices(lags.size)] *= 1.0 + 1e-9
        inverse = linalg.inv(covariance)
        information = design.T @ inverse @ design
        weights = np.linalg.solve(information, design.T @ inverse)
        line = weights @ msd
        if line[0] <= 0.0:
            break
        slope, intercept = line
    residual = msd - design @ line
    chi_square = float(residual @ inverse @ residual) / max(lags.size - 2, 1)
    return line, weights[0], float(np.linalg.inv(information)[0, 0]), chi_square


def displacement_covariance(
    short: np.ndarray, lags: np.ndarray, stride: int, samples: float, slope: float, intercept: float
) -> np.ndarray:
    """Covariance (L, L) of the MSD of one component at ``lags``, from the MSD itself continued as a straight line.

    Formula: :func:`einstein_fit`, the sum over time origins taken in steps of ``stride``.
    Parameters: ``short`` MSD at 0, stride, ..., lags[0]; ``lags`` multiples of stride; ``samples`` N; the line from lags[0] on.
    """

    def structure(d: np.ndarray) -> np.ndarray:
        d = np.abs(d)
        return np.where(d < lags[0], short[np.minimum(d // stride, short.size - 1)], slope * d + intercept)

    covariance = np.empty((lags.size, lags.size))
    for row, k in enumerate(lags):
        for column, l in enumerate(lags[: row + 1]):
            reach = (k + l + lags[0]) // stride
            d = np.arange(-reach, reach + 1) * stride
            overlap = 0.5 * (structure(d + l) + structure(d - k) - structure(d + l - k) - structure(d))
            value = 2.0 * stride * (overlap**2).sum() / (samples - min(k, l))
            covariance[row, column] = covariance[column, row] = value
    return covariance


def _block_slopes(positions: Sequence[np.ndarray], lags: np.ndarray, combination: np.ndarray) -> np.ndarray:
    blocks = split(positions, _BLOCK_LAGS * int(lags[0]))
    if len(blocks) < 4:
        return np.empty(0)
    return np.array([combination @ mean_square_displacement(block, lags).sum(axis=1) for block in blocks])
