"""Laws over several runs: Merz' law of switching times, and the frequency dependence of the coercive field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError


@dataclass(frozen=True)
class LineFit:
    """Weighted straight line y = a + b·x.

    Attributes:
        intercept: a with its error.
        slope: b with its error.
        chi_square: sum of the squared residuals over the squared errors.
        degrees_of_freedom: number of points minus two.
    """

    intercept: Estimate
    slope: Estimate
    chi_square: float
    degrees_of_freedom: int


def weighted_line(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> LineFit:
    """Fit a straight line by least squares with known errors; the errors of its parameters follow from these alone.

    Parameters:
        x: (n,) abscissas with at least three different values.
        y: (n,) ordinates.
        error: (n,) standard errors of the ordinates, all positive.

    Returns :class:`LineFit`.

    Raises :class:`UserError` for fewer than three different abscissas and for missing errors.
    """
    x, y, error = (np.asarray(values, dtype=float) for values in (x, y, error))
    if np.unique(x).size < 3:
        raise UserError(f"A law needs at least three different conditions, {np.unique(x).size} found; add runs.")
    if not (np.isfinite(error).all() and (error > 0).all()):
        raise UserError("A law needs an error for every point; give each condition several cycles or runs.")
    design = np.stack([np.ones_like(x), x], axis=1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    intercept, slope = covariance @ design.T @ (y / error)
    residual = (y - intercept - slope * x) / error
    errors = np.sqrt(np.diag(covariance))
    return LineFit(
        Estimate(float(intercept), float(errors[0])),
        Estimate(float(slope), float(errors[1])),
        float(residual @ residual),
        x.size - 2,
    )


@dataclass(frozen=True)
class MerzLaw:
    """Merz' law of switching times, t0 = t_∞ exp(E_a/E).

    Attributes:
        activation_field_V_A: activation field E_a, V/Å.
        limiting_time_fs: switching time t_∞ in an infinite field, fs.
        line: the straight line of ln t0 against 1/E from which both come.
    """

    activation_field_V_A: Estimate
    limiting_time_fs: Estimate
    line: LineFit


def merz_law(fields: Sequence[float], times: Sequence[Estimate]) -> MerzLaw:
    """Fit Merz' law to switching times at several fields, ln t0 = ln t_∞ + E_a/E.

    Parameters:
        fields: field of each switching time, V/Å; the sign does not matter.
        times: switching times t0 with their errors, fs.

    Returns :class:`MerzLaw`.

    Raises :class:`UserError` for fewer than three fields and for missing errors.

    Source: Merz, 10.1103/PhysRev.95.690.
    """
    values, errors = np.array([t.value for t in times]), np.array([t.error for t in times])
    line = weighted_line(1.0 / np.abs(np.asarray(fields, dtype=float)), np.log(values), errors / values)
    limit = float(np.exp(line.intercept.value))
    return MerzLaw(line.slope, Estimate(limit, limit * line.intercept.error), line)


@dataclass(frozen=True)
class FrequencyLaw:
    """Power law of the coercive field in the frequency, E_c = E_1 (f/1 GHz)^b.

    Attributes:
        exponent: b, without unit.
        coercive_field_1GHz_MV_cm: E_1, the coercive field at 1 GHz, MV/cm.
        line: the straight line of ln E_c against ln f from which both come.
    """

    exponent: Estimate
    coercive_field_1GHz_MV_cm: Estimate
    line: LineFit


def frequency_law(frequencies_GHz: Sequence[float], coercive_MV_cm: Sequence[Estimate]) -> FrequencyLaw:
    """Fit a power law to the coercive field at several frequencies, ln E_c = ln E_1 + b ln(f/1 GHz).

    Parameters:
        frequencies_GHz: frequency of each loop, GHz.
        coercive_MV_cm: coercive field of each loop with its error, MV/cm.

    Returns :class:`FrequencyLaw`.

    Raises :class:`UserError` for fewer than three frequencies, for missing errors, and for coercive fields that are not
    positive.

    Source: Orihara, Hashimoto and Ishibashi, 10.1143/JPSJ.63.1031.
    """
    values = np.array([e.value for e in coercive_MV_cm])
    errors = np.array([e.error for e in coercive_MV_cm])
    if not (values > 0).all():
        raise UserError("A coercive field that is not positive follows no power law; leave out loops that do not open.")
    line = weighted_line(np.log(np.asarray(frequencies_GHz, dtype=float)), np.log(values), errors / values)
    scale = float(np.exp(line.intercept.value))
    return FrequencyLaw(line.slope, Estimate(scale, scale * line.intercept.error), line)
