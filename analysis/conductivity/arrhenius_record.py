"""Record and table of Arrhenius lines, with provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from les_ipi.analysis.conductivity.arrhenius import Arrhenius
from les_ipi.analysis.reporting.outputs import provenance
from les_ipi.analysis.reporting.style import plain, value_and_error


def arrhenius_record(
    records: Sequence[Path], fits: Mapping[str, Arrhenius], warnings: Sequence[str], at_K: float, command: str
) -> dict[str, object]:
    """Collect Arrhenius lines and their extrapolations in an object that can be written as JSON.

    The extrapolated σ or D is given by its logarithm, because its value may be too small for a floating-point number.

    Parameters:
        records: the files that were read.
        fits: name of each coefficient → its line, of σT in S K/m or of D in cm²/s.
        warnings: sentences without a full stop.
        at_K: temperature of the extrapolation in K.
        command: the command line that made the result.

    Returns a dictionary that holds the points, the activation energy and the extrapolation of each line.
    """
    rows = {}
    for name, fit in fits.items():
        log, error = (float(x) for x in fit.at(at_K))
        of_sigma = name.startswith("sigma")
        rows[name] = {
            "unit": "S K/m" if of_sigma else "cm2/s",
            "temperature_K": fit.temperature_K,
            "value": fit.value,
            "error": fit.error,
            "activation_eV": fit.activation_eV,
            "activation_error_eV": fit.activation_error_eV,
            "extrapolated_unit": "S/m" if of_sigma else "cm2/s",
            "log_extrapolated": log - np.log(at_K) * of_sigma,
            "log_extrapolated_error": error,
            "p_value": fit.p_value,
        }
    bent = [
        f"{name} does not follow one Arrhenius line (chi-square test: p = {fit.p_value:.2g})"
        for name, fit in fits.items()
        if fit.p_value is not None and fit.p_value < 0.01
    ]
    record = {
        **provenance(command),
        "records": [str(path) for path in records],
        "extrapolated_to_K": at_K,
        "fits": rows,
        "warnings": [*warnings, *bent],
    }
    return plain(record)


def arrhenius_table(record: dict) -> Table:
    """Make a terminal table of the activation energies in a record, in eV, and of the extrapolated values with their
    ranges.
    """
    kelvin = record["extrapolated_to_K"]
    title = "Arrhenius lines of sigma T and D (± one standard error; range of one standard error)"
    table = Table("quantity", "E_a (eV)", f"sigma or D at {kelvin:g} K", "unit", title=title)
    for name, row in record["fits"].items():
        log, error = row["log_extrapolated"], row["log_extrapolated_error"]
        value, low, high = (_power_of_ten(x) for x in (log, log - error, log + error))
        energy = value_and_error(row["activation_eV"], row["activation_error_eV"])
        table.add_row(name, energy, f"{value} ({low} to {high})", row["extrapolated_unit"])
    return table


def _power_of_ten(log: float) -> str:
    """A number from its natural logarithm, which may be beyond what a float holds."""
    power = int(np.floor(log / np.log(10.0)))
    mantissa = np.exp(log - power * np.log(10.0))
    return f"{mantissa * 10.0**power:.2g}" if abs(power) <= 3 else f"{mantissa:.1f}e{power:+03d}"
