"""Zero-frequency power by Green-Kubo: running integral of the correlation function and its plateau."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.statistics.plateau import (
    Correlation,
    correlate,
    find_plateau,
    flat_top_response,
    longest_lag,
    raised_error,
    skewed_error,
)

_MARGIN = 2  # plateau over the smallest acceptable one: bias well below the error
_MAX_BLOCKS = 20
_BLOCK_LAGS = 8  # least length of a block in units of the plateau
_SHOWN = 400  # points of the running integral that are kept


@dataclass(frozen=True)
class GreenKubo:
    """Power at zero frequency by the Green-Kubo relation, S(0) = 2 ∫_0^∞ Σ_c ⟨x_c(0)x_c(t)⟩dt.

    Attributes:
        value: the estimate S(0), x²·fs, where x is the unit of the records.
        error: its standard deviation, x²·fs.
        plateau_fs: time t*, fs; the estimate is the mean of the running integral over t*..2t*.
        onset_fs: smallest acceptable t*, fs.
        checked_fs: time up to which the integral was seen to be flat, fs.
        time_fs: (L,) times of the running integral, fs.
        running: (L,) running integral, x²·fs.
        running_error: (L,) its standard deviation, x²·fs.
        blocks: (B,) estimates of the parts of the records, x²·fs; empty when there are fewer than four.
        converged: False when no plateau was found.
        raised: True when the blocks scatter more than a Gaussian process does, so that their scatter gives the error.
    """

    value: float
    error: float
    plateau_fs: float
    onset_fs: float
    checked_fs: float
    time_fs: np.ndarray
    running: np.ndarray
    running_error: np.ndarray
    blocks: np.ndarray
    converged: bool
    raised: bool


def green_kubo(records: Sequence[np.ndarray], dt_fs: float, onset: int | None = None) -> GreenKubo:
    """Estimate the power at zero frequency of stationary vector records by the Green-Kubo relation.

        S(0) = 2 (1/t*) ∫_{t*}^{2t*} dt' ∫_0^{t'} Σ_c ⟨x_c(0)x_c(t)⟩ dt

    The plateau time t* is twice the onset that :func:`find_plateau` finds. The error is that of a Gaussian process with
    the measured spectrum, corrected for its skewness, or the scatter of blocks where that is significantly larger.

    Parameters:
        records: one array (T_r, C) for each run, with the mean not removed; C = 3, or x, y, z of several vectors one
            after the other.
        dt_fs: time between two samples, fs.
        onset: onset of the plateau in samples, instead of the search for it.

    Returns :class:`GreenKubo` in units of x²·fs, where x is the unit of the records.

    Raises :class:`UserError` for records of fewer than 64 samples.

    Source: plateau window, Politis and Romano, 10.1111/j.1467-9892.1995.tb00223.x.
    """
    longest = longest_lag(records)
    correlation = correlate(records, 2 * _MARGIN * longest + 1)
    plateau = find_plateau(correlation, longest) if onset is None else None
    onset = plateau.lag if plateau else min(onset, longest)
    lag = _MARGIN * onset
    value = correlation.flat_top(lag) * dt_fs
    error = flat_top_error(correlation, records, lag) * dt_fs
    blocks = block_values(records, lag) * dt_fs
    error, raised = raised_error(error, blocks)
    shown = np.unique(np.linspace(0, min(4 * lag, len(correlation.values) - 1), _SHOWN).astype(int))
    running = 2.0 * dt_fs * (np.cumsum(correlation.values) - 0.5 * (correlation.values + correlation.values[0]))
    # Rectangular window of half-width t: Σ w² = 2t, against 8t*/3 of the flat top.
    share = np.sqrt(shown * 0.75 / lag)
    return GreenKubo(
        value=value,
        error=error,
        plateau_fs=lag * dt_fs,
        onset_fs=onset * dt_fs,
        checked_fs=2 * longest * dt_fs,
        time_fs=shown * dt_fs,
        running=running[shown],
        running_error=error * share,
        blocks=blocks,
        converged=plateau.found if plateau else True,
        raised=raised,
    )


def flat_top_error(correlation: Correlation, records: Sequence[np.ndarray], lag: int) -> float:
    """Compute the standard error of :meth:`Correlation.flat_top` at one lag.

    The spectrum is taken as flat within the central lobe of the window, where few ordinates decide, and as measured
    outside, where bands may leak in.

    Parameters:
        correlation: correlation function of the records.
        records: one array (T_r, C) for each run, as for :func:`green_kubo`.
        lag: argument m of :meth:`Correlation.flat_top`, in samples.

    Returns the error in the unit of the estimate.
    """
    # Records of unequal length weigh the same here: only the ratio of x, y, z is wanted.
    components = np.mean([[component_power(x, lag) for x in record.T] for record in records], axis=0)
    value = correlation.flat_top(lag)
    flat = 4.0 * value**2 * component_share(components)
    total = 0.0
    for length, square in correlation.squares.items():
        theta = np.arange(square.size) * (2.0 * np.pi / length)
        count = sum(len(record) == length for record in records)
        inside = theta < np.pi / lag
        expected = np.where(inside, count * flat, square)
        expected[0] /= 2.0  # no second sign of ω
        for first in range(0, theta.size, 1 << 16):
            part = slice(first, first + (1 << 16))
            total += (flat_top_response(np.array([lag]), theta[part])[0] ** 2 * expected[part]).sum()
    return skewed_error(value, total / correlation.samples**2)


def component_power(values: np.ndarray, lag: int) -> float:
    """Compute the power of one component at zero frequency: its mean-square displacement per lag.

        ⟨(Σ_{k<lag} x)²⟩/lag

    Parameters:
        values: (T,) values x of the component.
        lag: number of samples over which x is summed.

    Returns the power in the square of the unit of x, per sample.
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return float(np.mean((sums[lag:] - sums[:-lag]) ** 2) / lag)


def component_share(powers: np.ndarray) -> float:
    """Compute the relative variance of a sum of independent components over that of one of them.

        (Σ_a S_a²/(Σ_a S_a)²) · 3/C,  a = x, y, z

    Components of the same axis (atoms of one kind) count as equal.

    Parameters: ``powers`` (C,), the power S of x, y, z of one vector after the other, or (1,).

    Returns a number without unit, which is 1/C for an isotropic system.
    """
    axes = powers.reshape(-1, min(3, powers.size)).sum(axis=0)
    total = axes.sum()
    return float((axes**2).sum() / total**2 * axes.size / powers.size) if total > 0.0 else 1.0 / powers.size


def split(records: Sequence[np.ndarray], least: int, most: int = _MAX_BLOCKS) -> list[np.ndarray]:
    """Cut records into pieces of equal length.

    Parameters:
        records: one array (T_r, ...) for each run.
        least: smallest length of a piece, in samples.
        most: largest number of pieces.

    Returns a list of pieces; a record that is shorter than a piece gives none.
    """
    total = sum(len(record) for record in records)
    size = max(least, -(-total // most))
    return [record[k : k + size] for record in records for k in range(0, len(record) - size + 1, size)]


def block_values(records: Sequence[np.ndarray], lag: int) -> np.ndarray:
    """Compute :meth:`Correlation.flat_top` at one lag in each of several blocks of the records.

    Parameters:
        records: one array (T_r, C) for each run.
        lag: argument m of :meth:`Correlation.flat_top`, in samples.

    Returns an array (B,), which is empty when there are fewer than four blocks.
    """
    blocks = split(records, _BLOCK_LAGS * lag)
    if len(blocks) < 4:
        return np.empty(0)
    return np.array([correlate([block], 2 * lag).flat_top(lag) for block in blocks])
