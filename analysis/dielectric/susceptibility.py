"""Static dielectric susceptibility of the nuclei: from fluctuations of the dipole, and from its mean in a static field.

P = ε0 χ E with the macroscopic field E; ε_s = ε_∞ + χ. Conducting (tin-foil) boundaries, as in every Ewald sum here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal, stats

from les_ipi.analysis.constants import dielectric_increment
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError
from les_ipi.units import EPSILON_0

_UNLIKELY = 0.01  # probability of so bad a fit below which it counts as none
_LEAST_LENGTH, _LEAST_LENGTH_ZERO_MEAN, _LEAST_TOTAL = 6.0, 2.0, 40.0  # in units of g


@dataclass(frozen=True)
class Stationary:
    """Second moments of pooled stationary records that fluctuate about unknown means of their own, or about zero.

    Attributes:
        variance: variance σ², in the square of the unit of the records.
        inefficiency: g, the number of successive values that count as one independent value for the mean.
        samples: number of independent values of the square.
        reliable: False when the records are too short, compared with their correlation time, for their own mean to be
            told from a slow fluctuation.
    """

    variance: float
    inefficiency: float
    samples: float
    reliable: bool

    def mean_error(self, length: int) -> float:
        """Standard error sqrt(g σ²/T) of the mean of ``length`` = T successive values."""
        return float(np.sqrt(self.inefficiency * self.variance / length))


def stationary(records: Sequence[np.ndarray], zero_mean: bool = False) -> Stationary:
    """Compute the variance and the correlation of stationary records, corrected for their unknown means.

    Deviations from the mean of a record of length T lack the variance of that mean, v = σ² g/T, at every lag. Therefore
    C(t) = C_dev(t) + v and g = 1 + 2 Σ_t (1 − t/T) C(t)/C(0), summed up to the first C(t) ≤ 0, are solved together.

    The records count as reliable when each of them holds 6 g values (2 g with a known mean) and all of them together
    hold 40 g. With fewer values the correlation is not known well enough, and records that happen to look fast would
    pass.

    Parameters:
        records: arrays (T_r,) of equally spaced values, in any unit.
        zero_mean: whether the mean of the records is known to vanish, so that nothing is corrected.

    Returns :class:`Stationary`.

    Raises :class:`UserError` when a record has fewer than 16 values.
    """
    records = [np.asarray(record, dtype=float) for record in records]
    if min(record.size for record in records) < 16:
        raise UserError("A dielectric response needs runs of at least 16 records: run longer, or discard less.")
    longest = max(record.size for record in records)
    total, pairs = np.zeros(longest), np.zeros(longest)
    for record in records:
        deviation = record if zero_mean else record - record.mean()
        n = record.size
        total[:n] += signal.correlate(deviation, deviation, mode="full", method="fft")[n - 1 :]
        pairs[:n] += np.arange(n, 0, -1)
    covariance = total / pairs
    sizes = [record.size for record in records]
    length = float(np.mean(sizes))
    if covariance[0] <= 1e-14 * max(float(record @ record) / record.size for record in records):
        return Stationary(0.0, 1.0, float(sum(sizes)), True)
    lags = np.arange(longest)
    of_mean, g, whole = 0.0, 1.0, covariance
    least = _LEAST_LENGTH_ZERO_MEAN if zero_mean else _LEAST_LENGTH
    for _ in range(100):
        whole = covariance + of_mean
        end = int(np.argmax(whole <= 0)) or longest
        rho = whole[1:end] / whole[0]
        g = max(1.0, 1.0 + 2.0 * float(((1.0 - lags[1:end] / length).clip(0.0) * rho).sum()))
        if zero_mean or g > length / least:
            break
        of_mean, before = whole[0] * g / length, of_mean
        if abs(of_mean - before) < 1e-6 * whole[0]:
            break
    squares = 1.0 + 2.0 * float((whole[1:end] ** 2).sum()) / whole[0] ** 2
    reliable = g <= min(length / least, sum(sizes) / _LEAST_TOTAL)
    return Stationary(float(whole[0]), g, sum(sizes) / squares, reliable)


def fluctuation_susceptibility(
    dipoles: Sequence[np.ndarray], volume_A3: float, temperature_K: float, zero_mean: bool = False
) -> tuple[Estimate, bool]:
    """Compute the static susceptibility from the fluctuations of the cell dipole without a field.

    Along one direction χ = ⟨δM²⟩/(ε0 V k_B T). To pool directions that are equivalent by symmetry, give their
    components as records of their own. The error is that of a Gaussian process, χ √(2/n) with n independent values of
    the square.

    Parameters:
        dipoles: arrays (T_r,) of one component of the itinerant dipole each, e Å. Its origin does not matter. For path
            integrals it is the mean over the beads.
        volume_A3: volume of the cell, Å³.
        temperature_K: temperature, K.
        zero_mean: whether the origin of the dipoles is known and their mean vanishes.

    Returns χ (no unit) with its error, and whether the runs are long enough for it.

    Source: Neumann, 10.1080/00268978300102721.
    """
    moments = stationary(dipoles, zero_mean)
    # The increment is that of all three directions.
    value = dielectric_increment(3.0 * moments.variance, volume_A3, temperature_K)
    return Estimate(value, value * float(np.sqrt(2.0 / max(moments.samples, 1.0)))), moments.reliable


@dataclass(frozen=True)
class FieldResponse:
    """Mean dipoles in static fields as a polynomial of the field, M = M0 + ε0 V (χ E + χ3 E³).

    Attributes:
        susceptibility: linear susceptibility χ, without unit.
        cubic: cubic coefficient χ3, Å²/V², or None when fewer than four fields differ.
        offset_eA: dipole M0 without a field, e Å.
        probability: probability of a fit at least as bad by chance, or None when there are no more data than
            coefficients.
    """

    susceptibility: Estimate
    cubic: Estimate | None
    offset_eA: Estimate
    probability: float | None

    @property
    def fits(self) -> bool:
        """Whether the means agree with the polynomial within their errors; true when data are too few to tell."""
        return self.probability is None or self.probability >= _UNLIKELY


def field_response(fields: np.ndarray, dipoles: np.ndarray, errors: np.ndarray, volume_A3: float) -> FieldResponse:
    """Compute the static susceptibility from mean dipoles in static fields by weighted least squares.

    Parameters:
        fields: (R,) field of each run along one common line, V/Å.
        dipoles: (R,) mean itinerant dipole of each run along this line since the common start, e Å.
        errors: (R,) standard errors of the mean dipoles, e Å.
        volume_A3: volume of the cell, Å³.

    Returns :class:`FieldResponse`.

    Raises :class:`UserError` when all runs have the same field, and for errors that are not positive.
    """
    fields = np.asarray(fields, dtype=float)
    if not (errors > 0).all():
        raise UserError("The dipole along the field never changes in one of the runs: did the atoms move?")
    different = np.unique(fields.round(9))
    if different.size < 2:
        raise UserError(
            "All runs have the same field: add runs with the opposite field, or without one, that begin in the same structure."
        )
    powers = [0, 1] + [3] * (different.size >= 4)
    design = np.stack([fields**p * (EPSILON_0 * volume_A3 if p else 1.0) for p in powers], axis=1)
    weighted = design / errors[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    solution = covariance @ weighted.T @ (dipoles / errors)
    spare = fields.size - len(powers)
    misfit = float((((dipoles - design @ solution) / errors) ** 2).sum())
    found = {
        power: Estimate(float(x), float(np.sqrt(v)))
        for power, x, v in zip(powers, solution, np.diag(covariance), strict=True)
    }
    return FieldResponse(
        susceptibility=found[1],
        cubic=found.get(3),
        offset_eA=found[0],
        probability=float(stats.chi2.sf(misfit, spare)) if spare > 0 else None,
    )
