"""Activation energies from transport coefficients at several temperatures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import constants as si
from scipy import optimize, stats

from les_ipi.errors import UserError

_EV_K = si.k / si.e  # Boltzmann's constant, eV/K


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
    """Weighted least squares of y = A exp(−E_a/(k_B T)).

    The values themselves are fitted, with their errors. A straight line through ln y would be biased, because a value that
    noise made too small would also count too little.

    Parameters: ``temperature_K`` (n,), at least two different; ``value`` (n,); ``error`` (n,) one standard deviation, same
    unit. Returns :class:`Arrhenius`. Raises :class:`UserError` unless values at two temperatures exceed twice their errors.
    Source: Press et al., Numerical Recipes, 3rd ed., section 15.5.
    """
    temperature, y, deviation = (np.asarray(x, dtype=float) for x in (temperature_K, value, error))
    seen = (deviation > 0) & (y > 2.0 * deviation)
    if np.unique(temperature[seen]).size < 2:
        raise UserError(
            f"An activation energy needs values above twice their errors at two temperatures or more, but has them at "
            f"{np.unique(temperature[seen]).size}: run longer, or at more temperatures."
        )
    middle = float(np.mean(1.0 / (_EV_K * temperature)))
    rise = middle - 1.0 / (_EV_K * temperature)  # ln y = ln y(middle) + E_a rise: hardly correlated
    slope, level = np.polyfit(rise[seen], np.log(y[seen]), 1, w=y[seen] / deviation[seen])
    found = optimize.least_squares(lambda x: (np.exp(x[0] + x[1] * rise) - y) / deviation, [level, slope], x_scale="jac")
    centred = np.linalg.inv(found.jac.T @ found.jac)
    shift = np.array([[1.0, middle], [0.0, 1.0]])
    covariance = shift @ centred @ shift.T
    freedom = y.size - 2
    return Arrhenius(
        temperature, y, deviation, float(found.x[1]), float(np.sqrt(covariance[1, 1])), float(found.x[0] + middle * found.x[1]),
        covariance, float(stats.chi2.sf(2.0 * found.cost, freedom)) if freedom else None,
    )  # fmt: skip


def read_transport(paths: Sequence[Path]) -> tuple[dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], list[str]]:
    """Transport coefficients of ``conductivity.json`` files, by name, and the warnings of these records.

    Names: ``sigma T ...``: each estimate of σ times T in S K/m; ``D ...``: self-diffusion of each element in cm²/s. A
    coefficient that one of the files lacks is left out.

    Parameters: ``paths``. Returns name → (temperatures in K, values, errors), sorted by temperature. Raises
    :class:`UserError` for a file that is no conductivity record, that is given twice, or is of another system.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    systems, warnings = {}, []
    for path in paths:
        try:
            record = json.loads(path.read_text())
            kelvin, system = float(record["temperature_K"]), (record["n_atoms"], record["charges_e"])
            rows = [(f"sigma T {e['name']}", kelvin, e["value_S_m"], e["error_S_m"]) for e in record["estimates"]]
            rows += [(f"D {d['element']}", 1.0, d["value_cm2_s"], d["error_cm2_s"]) for d in record["diffusion"]]
            warnings += [f"{kelvin:g} K: {warning}" for warning in record["warnings"]]
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a record of les-analysis conductivity; give the JSON files it wrote.") from error
        other = next((p for p, s in systems.items() if s != system), None)
        if path.resolve() in systems:
            raise UserError(f"{path} is given twice: give one record for each run or temperature.")
        if other is not None:
            raise UserError(f"{path} and {other} differ in the number of atoms or in --charges: give records of one system.")
        systems[path.resolve()] = system
        for name, factor, value, deviation in rows:
            if value is not None and deviation is not None:
                found.setdefault(name, []).append((kelvin, factor * value, factor * deviation))
    complete = {name: sorted(rows) for name, rows in found.items() if len(rows) == len(paths)}
    if not complete:
        raise UserError("The records have no estimate in common: analyse all runs with the same source and charges.")
    return {name: tuple(np.array(rows).T) for name, rows in complete.items()}, warnings
