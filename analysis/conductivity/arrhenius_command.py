"""The command ``les-analysis arrhenius``."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from les_ipi.analysis.reporting.outputs import command_line, print_notes, value_and_error, write_json, write_outputs


def arrhenius(
    records: Annotated[list[Path], typer.Argument(help="JSON files of les-analysis conductivity, one a temperature.")],
    at: Annotated[float, typer.Option(help="Temperature to extrapolate to, K.", min=50.0)] = 300.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Default: arrhenius.json beside the first.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Default: arrhenius.png beside the first.")] = None,
) -> None:
    """Activation energies of conductivity and diffusion from several temperatures, and their extrapolation, with errors.

    Example: les-analysis arrhenius 1000K.json 1400K.json --at 300 --plot arrhenius.png
    """
    from les_ipi.analysis.conductivity.arrhenius import fit_arrhenius, read_transport
    from les_ipi.analysis.conductivity.arrhenius_figure import plot_arrhenius
    from les_ipi.errors import UserError

    fits, left_out = {}, []
    coefficients, warnings = read_transport(records)
    for name, points in coefficients.items():
        try:
            fits[name] = fit_arrhenius(*points)
        except UserError as error:
            left_out.append(f"{name} is left out: {str(error).rstrip('.')}")
    if not fits:
        raise UserError(f"{left_out[0]}.")
    rows = {}
    for name, fit in fits.items():
        log, error = (float(x) for x in fit.at(at))
        of_sigma = name.startswith("sigma")
        rows[name] = {
            "unit": "S K/m" if of_sigma else "cm2/s",
            "temperature_K": fit.temperature_K.tolist(),
            "value": fit.value.tolist(),
            "error": fit.error.tolist(),
            "activation_eV": fit.activation_eV,
            "activation_error_eV": fit.activation_error_eV,
            "extrapolated_unit": "S/m" if of_sigma else "cm2/s",
            "log_extrapolated": log - np.log(at) * of_sigma,
            "log_extrapolated_error": error,
            "p_value": fit.p_value,
        }
    record = {
        "version": version("les-ipi"),
        "command": command_line(),
        "records": [str(path) for path in records],
        "extrapolated_to_K": at,
        "fits": rows,
        "warnings": warnings + left_out + [
            f"{name} does not follow one Arrhenius line (chi-square test: p = {row['p_value']:.2g})"
            for name, row in rows.items()
            if row["p_value"] is not None and row["p_value"] < 0.01
        ],
    }  # fmt: skip
    console = Console()
    console.print(_table(record))
    print_notes(console, (), record["warnings"])
    write_outputs(
        console,
        records[0].parent,
        (
            (json_file, "arrhenius.json", lambda path: write_json(path, record)),
            (plot_file, "arrhenius.png", lambda path: plot_arrhenius(path, fits, at)),
        ),
    )


def _table(record: dict) -> Table:
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
