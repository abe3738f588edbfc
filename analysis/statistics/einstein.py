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
    """Straight line through a mean-square displacement at long times, MSD(t) = slope·t + intercept.

    Attributes:
        slope: slope summed over components, x²/fs, where x is the unit of the positions.
        error: standard deviation of the slope, x²/fs.
        intercept: value of the line at t = 0, x².
        first_fs, last_fs: first and last time of the fit, fs.
        components: (C,) slopes of the components, which add up to the slope, x²/fs.
        time_fs: (L,) times at which ``msd`` is given, fs.
        msd: (L,) mean-square displacement summed over components, x².
        chi_square: χ² of the fit per degree of freedom.
        blocks: (B,) slopes of the parts of the record, x²/fs; empty when there are fewer than four.
        raised: True when the blocks scatter more than a Gaussian process does, so that their scatter gives the error.
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
    """Integrate a current to the displacement ∫_0^t x dt' by the trapezoidal rule.

    Parameters:
        current: (T, C) current, x/fs.
        dt_fs: time between two samples, fs.

    Returns the displacement (T, C) since the first sample, x.
    """
    total = np.zeros_like(current, dtype=float)
    np.cumsum(0.5 * dt_fs * (current[1:] + current[:-1]), axis=0, out=total[1:])
    return total


def mean_square_displacement(positions: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """Compute the mean-square displacement of every component at chosen lags, over all time origins.

        MSD(k) = 1/(T−k) Σ_n (x_{n+k} − x_n)²

    Parameters:
        positions: (T, C) unwrapped positions.
        lags: L lags in samples, each less than T.

    Returns an array (L, C) in the square of the unit of the positions.
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
    """Fit the slope of the mean-square displacement at long times, with the error that its correlations imply.

    Slope and intercept come from generalised least squares on the lags t₁..4t₁, where t₁ is three times ``onset``. The
    covariance is that of a Gaussian process with stationary increments: Cov = 2/(N − k) Σ_d g_d² for lags k ≤ l with
    g_d = ½[m(d+l) + m(d−k) − m(d+l−k) − m(d)], where m is the measured MSD, continued as the fitted line. The error is
    treated as in :func:`les_ipi.analysis.statistics.green_kubo.green_kubo`.

    Parameters:
        positions: one array (T_r, C) of itinerant positions for each independent run; C = 3, or x, y, z of several
            particles one after the other.
        dt_fs: time between two samples, fs.
        onset: time in samples after which velocities have no memory, from
            :func:`les_ipi.analysis.statistics.plateau.find_plateau`.
        share: relative variance of the periodogram at one frequency; by default that of independent components.

    Returns :class:`EinsteinFit`, whose slope is summed over components: it is 6D in three dimensions.

    Raises :class:`UserError` for records of fewer than 64 samples.

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
    """Compute the covariance of the mean-square displacements of one component at several lags.

    The formula is that of :func:`einstein_fit`; the sum over time origins is taken in steps of ``stride``. The MSD
    itself, continued as a straight line, determines the covariance.

    Parameters:
        short: MSD at the lags 0, stride, ..., lags[0].
        lags: (L,) lags in samples, multiples of ``stride``.
        stride: step of the sum over time origins, in samples.
        samples: number N of samples of all records.
        slope: slope of the line that continues the MSD from lags[0] on, per sample.
        intercept: value of this line at lag 0.

    Returns an array (L, L).
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
