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
    """An Arrhenius line ln y = ln A − E_a/(k_B T), fitted to values y at several temperatures.

    Attributes:
        temperature_K: temperatures of the points in K, (n,).
        value: values y of the points, (n,), in the unit of the fitted quantity.
        error: errors of the points, (n,), one standard deviation in the same unit.
        activation_eV: activation energy E_a in eV.
        activation_error_eV: standard error of E_a in eV.
        log_prefactor: logarithm of the prefactor, ln A, with A in the unit of y.
        covariance: covariance matrix (2, 2) of ln A and E_a, with E_a in eV.
        p_value: probability of a χ² as large as that of the fit, with n − 2 degrees of freedom; None for two points.
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
        """Evaluate the line at other temperatures.

        Parameters: ``temperature_K`` in K, any shape. Returns ln y and its standard error, two arrays of the same
        shape.
        """
        beta = 1.0 / (_EV_K * np.asarray(temperature_K, dtype=float))
        design = np.stack([np.ones_like(beta), -beta], axis=-1)
        variance = np.einsum("...a,ab,...b->...", design, self.covariance, design)
        return self.log_prefactor - beta * self.activation_eV, np.sqrt(variance)


def fit_arrhenius(temperature_K: Sequence[float], value: Sequence[float], error: Sequence[float]) -> Arrhenius:
    """Fit y = A exp(−E_a/(k_B T)) by weighted least squares.

    The values themselves are fitted, with their errors. A straight line through ln y would be biased, because a value
    that noise made too small would also count too little.

    Parameters:
        temperature_K: temperatures in K, (n,), at least two of them different.
        value: values y, (n,), in any unit.
        error: errors of the values, (n,), one standard deviation in the same unit.

    Returns the line as :class:`Arrhenius`.

    Raises :class:`UserError` unless values at two temperatures exceed twice their errors.

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
    """Read the transport coefficients in several ``conductivity.json`` files, and the warnings in them.

    The name ``sigma T ...`` stands for an estimate of σ times the temperature in S K/m, and ``D ...`` for the
    self-diffusion coefficient of an element in cm²/s. A coefficient that one of the files lacks is left out.

    Parameters: ``paths`` of the files. Returns a dictionary from the name of each coefficient to (temperatures in K,
    values, errors), three arrays (n,) sorted by temperature, and a list of the warnings. Raises :class:`UserError` for
    a file that is not a conductivity record, that is given twice, or that belongs to another system, and when the files
    have no coefficient in common.
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
