"""From which time on a running integral is flat, and how large the error of a zero-frequency power is.

Every estimator of S(0) = ∫⟨x(0)x(t)⟩dt that is linear in the correlation function is a weighted sum of the periodogram
I(ω), Ŝ = (1/N) Σ_j W(ω_j) I(ω_j), and for a Gaussian process its covariance with another one is (2/N²) Σ_j W_j W'_j S_j².
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, stats

from les_ipi.errors import UserError

_GRID = 1.3  # ratio of successive candidate times
_SIGNIFICANT = 3.0  # standard deviations of a difference that count as a slope
_ABOVE_NOISE = 3.0  # standard deviations of a correlation function that count as memory
_PART_OF_TOTAL, _PART_OF_RECORD = 16, 6  # a plateau later than these parts of the data is none
_CHUNK = 1 << 16
_LEAST_SAMPLES = 64
_NEIGHBOURS = 17  # frequencies over which a variance is averaged
_LEAST_ORDINATES = 25


@dataclass(frozen=True)
class Correlation:
    """Correlation function of records, together with what its errors follow from.

    The last three are dictionaries by the length of a record in samples. I is the two-sided periodogram per sample.

    Attributes:
        values: (L,) correlation function Σ_c ⟨x_c(0)x_c(k)⟩ at the lags k, divided by the number of pairs.
        samples: number N of samples of all records.
        squares: (F,) 4 Var I, summed over the records of this length; for one component Var I = S².
        powers: (F,) local mean of I, summed over the records of this length.
        records: number of records of this length.
    """

    values: np.ndarray
    samples: int
    squares: dict[int, np.ndarray]
    powers: dict[int, np.ndarray]
    records: dict[int, int]

    def flat_top(self, m: int) -> float:
        """Sum of the correlation function with a flat-top window, Σ_k w_k C_k.

        The window w is 1 for |k| ≤ m and falls linearly to 0 at 2m. The sum is the mean of the running Green-Kubo
        integral over m..2m, and the slope of the mean-square displacement between m and 2m.

        Parameters: ``m`` in samples.

        Source: Politis and Romano, 10.1111/j.1467-9892.1995.tb00223.x.
        """
        k = np.arange(2 * m)
        return float(2.0 * np.clip(2.0 - k / m, 0.0, 1.0) @ self.values[: 2 * m] - self.values[0])

    def relative_variance(self, m: int) -> float:
        """Relative variance Var I/I² of one ordinate of the periodogram below the frequency 1/(2m).

        It is 1/C for C independent components, and is taken from the longest records.

        Parameters: ``m`` in samples.

        Returns a number without unit, or NaN when there are too few ordinates below this frequency.
        """
        inside = {length: slice(1, length // (2 * m)) for length in self.squares}
        if max(part.stop for part in inside.values()) < _LEAST_ORDINATES:
            return np.nan
        length = max(inside)
        square, power = self.squares[length][inside[length]], self.powers[length][inside[length]]
        return float(self.records[length] * square.sum() / (4.0 * (power**2).sum()))

    def covariance(self, m: np.ndarray) -> np.ndarray:
        """Covariance of :meth:`flat_top` between several lags for a Gaussian process.

        Parameters: ``m`` (M,), in samples. Returns an array (M, M).
        """
        total = np.zeros((len(m), len(m)))
        for length, square in self.squares.items():
            for first in range(0, square.size, _CHUNK):
                part = square[first : first + _CHUNK]
                theta = (first + np.arange(part.size)) * (2.0 * np.pi / length)
                window = flat_top_response(np.asarray(m), theta)
                total += (window * part) @ window.T
        return total / self.samples**2

    def memory(self, most: int) -> int:
        """Lag from which on the correlation function is lost in its noise.

        For large k the noise is Var C_k → (1/2N²) Σ_j 4 Var I(ω_j), as of any Gaussian process. Whatever stands out
        again after a gap three times as long as all before counts as chance.

        Parameters: ``most``, the largest lag that is considered, in samples. Returns the lag in samples.
        """
        noise = np.sqrt(0.5 * sum(square.sum() for square in self.squares.values())) / self.samples
        lag = 0
        for k in np.flatnonzero(np.abs(self.values[: most + 1]) > _ABOVE_NOISE * noise):
            if k > 3 * lag + 3:
                break
            lag = int(k)
        return lag


def correlate(records: Sequence[np.ndarray], max_lag: int) -> Correlation:
    """Compute the correlation function and the squared periodogram, summed over components and pooled over records.

    The mean is not removed: an equilibrium current has none, and removing it would lower S(0).

    Parameters:
        records: one array (T_r, C) for each run.
        max_lag: number of lags, in samples.

    Returns :class:`Correlation`.
    """
    sums, pairs, squares, powers, counts = np.zeros(max_lag), np.zeros(max_lag), {}, {}, {}
    for record in records:
        length = len(record)
        padded = fft.next_fast_len(length + max_lag, real=True)
        lags = min(max_lag, length)
        periodograms = np.zeros((min(3, record.shape[1]), length // 2 + 1))
        for index, component in enumerate(record.T):
            power = np.abs(fft.rfft(component, padded)) ** 2
            sums[:lags] += fft.irfft(power, padded)[:lags]
            periodograms[index % 3] += np.abs(fft.rfft(component)) ** 2 / length
        pairs[:lags] += length - np.arange(lags)
        squares[length] = squares.get(length, 0.0) + 4.0 * _ordinate_variance(periodograms)
        local = ndimage.uniform_filter1d(periodograms.sum(axis=0), _NEIGHBOURS, mode="mirror")
        powers[length] = powers.get(length, 0.0) + local
        counts[length] = counts.get(length, 0) + 1
    samples = sum(len(record) for record in records)
    return Correlation(sums / np.maximum(pairs, 1.0), samples, squares, powers, counts)


def _ordinate_variance(periodograms: np.ndarray) -> np.ndarray:
    """Variance (F,) of independent ordinates around a smooth spectrum, from the differences of neighbours, summed over rows.

    Unlike I² it also sees atoms that move together: their periodograms rise and fall at the same frequencies.
    """
    differences = 0.5 * np.diff(periodograms[:, 1:], axis=1) ** 2
    local = ndimage.uniform_filter1d(differences.sum(axis=0), _NEIGHBOURS, mode="mirror")
    variance = np.concatenate([local[:1], local, local[-1:]])
    variance[0] /= 2.0  # twice the variance, but there is only one sign of ω = 0
    return variance


@dataclass(frozen=True)
class Plateau:
    """Where a running integral is flat.

    Attributes:
        lag: time from which on it is flat, in samples.
        found: False when it was not shown to be flat anywhere.
    """

    lag: int
    found: bool


def find_plateau(correlation: Correlation, longest: int) -> Plateau:
    """Find the lag from which on the running integral has no significant slope any more.

    Candidates are lags m in geometric progression. The first one is taken whose :meth:`Correlation.flat_top` differs
    from that of every larger m by less than three standard deviations *of the difference* (Lepskii's rule,
    10.1137/1135065), or a larger one of smaller variance: strong vibrations leak into short windows, where their noise
    hides any difference. Estimates should use twice this lag, so that what is left of the bias is small against the
    error. Twice the lag is never shorter than the memory of the correlation function: in a short record every
    difference drowns in the noise of the longer windows, and the shortest window would pass with a small error.

    Parameters:
        correlation: correlation function of the records, from :func:`correlate`.
        longest: largest lag to try, in samples, from :func:`longest_lag`.

    Returns :class:`Plateau`.
    """
    lags = np.unique(np.round(_GRID ** np.arange(np.log(max(longest, 2)) / np.log(_GRID))).astype(int))
    values = np.array([correlation.flat_top(m) for m in lags])
    covariance = correlation.covariance(lags)
    variance = np.diag(covariance)
    spread = np.sqrt(np.maximum(variance[:, None] + variance - 2.0 * covariance, 0.0))
    steep = np.abs(values[:, None] - values) > _SIGNIFICANT * spread
    flat = ~np.triu(steep, 1).any(axis=1)
    index = int(np.argmax(flat))
    index += int(np.argmin(variance[index:]))
    index = max(index, int(np.searchsorted(2 * lags, correlation.memory(2 * int(lags[-1])))))
    index = min(index, len(lags) - 1)
    # With fewer than three longer lags to compare with, nothing has been shown to be flat.
    return Plateau(int(lags[index]), index <= len(lags) - 4)


def longest_lag(records: Sequence[np.ndarray]) -> int:
    """Choose the largest plateau time that the records can support.

    It is 1/6 of the shortest record or 1/16 of all records together, whichever is less.

    Parameters: ``records``, one array (T_r, ...) for each run.

    Returns the time in samples.

    Raises :class:`UserError` for records of fewer than 64 samples.
    """
    shortest = min(len(record) for record in records)
    if shortest < _LEAST_SAMPLES:
        raise UserError(
            f"A record has {shortest} frames; a transport coefficient needs {_LEAST_SAMPLES} and more: run longer "
            "or discard less."
        )
    total = sum(len(record) for record in records)
    return min(shortest // _PART_OF_RECORD, total // _PART_OF_TOTAL)


def flat_top_response(m: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Compute the transform of the window of :meth:`Correlation.flat_top`.

        Σ_k w_k e^{ikθ} = 2F_{2m} − F_m = F_m (3 − 4 sin²(mθ/2))

    F_m = sin²(mθ/2)/(m sin²(θ/2)) is the transform of the triangle of half-width m (Fejér).

    Parameters:
        m: (M,) lags of the window, in samples.
        theta: (F,) angular frequencies θ, rad per sample.

    Returns an array (M, F).
    """
    half = np.maximum(np.asarray(theta) / 2.0, 1e-9)
    square = np.sin(np.outer(m, half)) ** 2
    return square * (3.0 - 4.0 * square) / (np.asarray(m)[:, None] * np.sin(half) ** 2)


def skewed_error(value: float, variance: float) -> float:
    """Compute the standard error such that value ± error holds for an estimate of a power, which is skewed.

    The estimate is distributed as χ²_ν with ν = 2 value²/variance. Then ⟨((x − μ)/x)²⟩ = (2ν + 8)/((ν − 2)(ν − 4))
    takes the place of 2/ν, because a value that came out low has a low variance too. This is a small correction for
    long runs. It ends at ν = 10, where the run is too short anyway or the power is nothing but noise.

    Parameters:
        value: the estimate.
        variance: its variance by Gaussian theory.

    Returns the error in the unit of ``value``.
    """
    nu = max(2.0 * value**2 / variance, 10.0) if variance > 0.0 else np.inf
    return float(np.sqrt(variance * (1.0 + 4.0 / nu) / ((1.0 - 2.0 / nu) * (1.0 - 4.0 / nu))))


def raised_error(error: float, blocks: np.ndarray) -> tuple[float, bool]:
    """Choose the error of theory, or that of the scatter of blocks where it refutes the theory (F test at 1 %).

    Parameters:
        error: standard error of the mean by theory.
        blocks: (B,) independent estimates of equal weight; fewer than four never refute the theory.

    Returns the error, and whether it was raised.
    """
    count = len(blocks)
    if count < 4:
        return error, False
    scatter = float(np.std(blocks, ddof=1) / np.sqrt(count))
    if scatter**2 <= error**2 * stats.chi2.ppf(0.99, count - 1) / (count - 1):
        return error, False
    return scatter, True
