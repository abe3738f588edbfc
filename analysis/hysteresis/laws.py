"""Laws over several runs: Merz' law of switching times, and the frequency dependence of the coercive field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError


@dataclass(frozen=True)
class LineFit:
    """Weighted straight line y = a + b·x: ``intercept``, ``slope``, and χ² for ``degrees_of_freedom``."""

    intercept: Estimate
    slope: Estimate
    chi_square: float
    degrees_of_freedom: int


def weighted_line(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> LineFit:
    """Least squares with known errors, errors of the parameters from them alone.

    Parameters: ``x``, ``y``, ``error`` (n,), n ≥ 3, error > 0. Raises :class:`UserError` for fewer or missing errors.
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
    """t0 = t_∞ exp(E_a/E): ``activation_field_V_A``, ``limiting_time_fs`` and the line it comes from."""

    activation_field_V_A: Estimate
    limiting_time_fs: Estimate
    line: LineFit


def merz_law(fields: Sequence[float], times: Sequence[Estimate]) -> MerzLaw:
    """Merz' law from switching times at several fields, ln t = ln t_∞ + E_a/E.

    Parameters: ``fields`` V/Å; ``times`` with errors, fs. Returns :class:`MerzLaw`. Raises :class:`UserError` for fewer
    than three fields. Source: Merz, 10.1103/PhysRev.95.690.
    """
    values, errors = np.array([t.value for t in times]), np.array([t.error for t in times])
    line = weighted_line(1.0 / np.abs(np.asarray(fields, dtype=float)), np.log(values), errors / values)
    limit = float(np.exp(line.intercept.value))
    return MerzLaw(line.slope, Estimate(limit, limit * line.intercept.error), line)


@dataclass(frozen=True)
class FrequencyLaw:
    """E_c = E_1 (f/1 GHz)^b: ``exponent`` b, ``coercive_field_1GHz_MV_cm`` E_1 and the line it comes from."""

    exponent: Estimate
    coercive_field_1GHz_MV_cm: Estimate
    line: LineFit


def frequency_law(frequencies_GHz: Sequence[float], coercive_MV_cm: Sequence[Estimate]) -> FrequencyLaw:
    """Power law of the coercive field in the frequency, ln E_c = ln E_1 + b ln f.

    Parameters: ``frequencies_GHz``; ``coercive_MV_cm`` with errors. Returns :class:`FrequencyLaw`. Raises
    :class:`UserError` for fewer than three frequencies. Source: Orihara, Hashimoto and Ishibashi,
    10.1143/JPSJ.63.1031.
    """
    values = np.array([e.value for e in coercive_MV_cm])
    errors = np.array([e.error for e in coercive_MV_cm])
    if not (values > 0).all():
        raise UserError("A coercive field that is not positive follows no power law; leave out loops that do not open.")
    line = weighted_line(np.log(np.asarray(frequencies_GHz, dtype=float)), np.log(values), errors / values)
    scale = float(np.exp(line.intercept.value))
    return FrequencyLaw(line.slope, Estimate(scale, scale * line.intercept.error), line)
