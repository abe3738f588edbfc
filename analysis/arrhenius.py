"""Activation energies from transport coefficients at several temperatures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import constants as si
from scipy import stats

from les_ipi.errors import UserError

_EV_K = si.k / si.e  # Boltzmann's constant, eV/K
_LARGEST_RELATIVE_ERROR = 0.5


@dataclass(frozen=True)
class Arrhenius:
    """ln y = ln A − E_a/(k_B T) through points ``temperature_K``, ``value``, ``error`` (each (n,)).

    ``activation_eV`` and its standard error; ``log_prefactor`` ln A; ``covariance`` (2, 2) of (ln A, E_a); ``p_value`` of
    χ² with n − 2 degrees of freedom, None for two points.
    """

    temperature_K: np.ndarray
    value: np.ndarray
    error: np.ndarray
    activation_eV: float
    activation_error_eV: float
    log_prefactor: float
    covariance: np.ndarray
    p_value: float | None

    def at(self, temperature_K: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ln y and its standard error on the line at temperatures in K, of any shape."""
        beta = 1.0 / (_EV_K * np.asarray(temperature_K, dtype=float))
        design = np.stack([np.ones_like(beta), -beta], axis=-1)
        variance = np.einsum("...a,ab,...b->...", design, self.covariance, design)
        return self.log_prefactor - beta * self.activation_eV, np.sqrt(variance)


def fit_arrhenius(temperature_K: Sequence[float], value: Sequence[float], error: Sequence[float]) -> Arrhenius:
    """Weighted straight line through ln y against 1/(k_B T).

    ln y = ln A − E_a/(k_B T), weights (y/δy)², errors from the errors of the points alone.

    Parameters: ``temperature_K`` (n,), at least two different; ``value`` (n,) positive; ``error`` (n,) one standard
    deviation, same unit. Returns :class:`Arrhenius`. Raises :class:`UserError` for fewer temperatures, and for a value that
    is not larger than twice its error, whose logarithm means nothing.
    Source: Press et al., Numerical Recipes, 3rd ed., section 15.2.
    """
    temperature, y, deviation = (np.asarray(x, dtype=float) for x in (temperature_K, value, error))
    if np.unique(temperature).size < 2:
        raise UserError(f"An activation energy needs two temperatures; there is only {temperature[0]:g} K.")
    bad = ~(y > 0) | ~(deviation > 0) | (deviation > _LARGEST_RELATIVE_ERROR * np.abs(y))
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise UserError(
            f"The value at {temperature[k]:g} K, {y[k]:.3g} ± {deviation[k]:.2g}, is not larger than twice its error: "
            "run longer at this temperature, or leave it out."
        )
    relative = deviation / y
    design = np.column_stack([np.ones(y.size), -1.0 / (_EV_K * temperature)])
    covariance = np.linalg.inv(design.T @ (design / relative[:, None] ** 2))
    solution = covariance @ (design.T @ (np.log(y) / relative**2))
    freedom = y.size - 2
    chi2 = float((((np.log(y) - design @ solution) / relative) ** 2).sum())
    return Arrhenius(
        temperature, y, deviation, float(solution[1]), float(np.sqrt(covariance[1, 1])), float(solution[0]), covariance,
        float(stats.chi2.sf(chi2, freedom)) if freedom else None,
    )  # fmt: skip


def read_transport(paths: Sequence[Path]) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Transport coefficients of ``conductivity.json`` files, by name.

    Names: ``sigma T``: each estimate of σ times T in S K/m; ``D``: self-diffusion of each element in cm²/s. Only what all files
    have. Parameters: ``paths``. Returns name → (temperatures in K, values, errors), sorted by temperature. Raises
    :class:`UserError` for a file that is no conductivity record.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for path in paths:
        try:
            record = json.loads(path.read_text())
            kelvin = record["temperature_K"]
            rows = [(f"sigma T {e['name']}", kelvin * e["value_S_m"], kelvin * e["error_S_m"]) for e in record["estimates"]]
            rows += [(f"D {d['element']}", d["value_cm2_s"], d["error_cm2_s"]) for d in record["diffusion"]]
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is no record of les-analysis conductivity; give its JSON files.") from error
        for name, value, deviation in rows:
            found.setdefault(name, []).append((kelvin, value, deviation))
    complete = {name: sorted(rows) for name, rows in found.items() if len(rows) == len(paths)}
    if not complete:
        raise UserError("The records have no estimate in common: analyse all runs with the same source and charges.")
    return {name: tuple(np.array(rows).T) for name, rows in complete.items()}
