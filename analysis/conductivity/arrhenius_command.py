"""The command ``les-analysis arrhenius``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs
from les_ipi.errors import UserError


def arrhenius(
    records: Annotated[
        list[Path], typer.Argument(help="JSON files that les-analysis conductivity wrote, one for each temperature.")
    ],
    at: Annotated[float, typer.Option(help="Temperature to extrapolate to, K.", min=50.0)] = 300.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Record to write. Default: arrhenius.json beside the first record.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Figure to write. Default: arrhenius.png beside the first record.")
    ] = None,
) -> None:
    """Activation energies of conductivity and diffusion from several temperatures, and their extrapolation, with errors.

    Example: les-analysis arrhenius 1000K.json 1400K.json --at 300 --plot arrhenius.png
    """
    from les_ipi.analysis.conductivity.arrhenius import fit_arrhenius, read_transport
    from les_ipi.analysis.conductivity.arrhenius_figure import plot_arrhenius
    from les_ipi.analysis.conductivity.arrhenius_record import arrhenius_record, arrhenius_table

    fits, left_out = {}, []
    coefficients, warnings = read_transport(records)
    for name, points in coefficients.items():
        try:
            fits[name] = fit_arrhenius(*points)
        except UserError as error:
            left_out.append(f"{name} is left out: {str(error).rstrip('.')}")
    if not fits:
        raise UserError(f"{left_out[0]}.")
    record = arrhenius_record(records, fits, warnings + left_out, at, command_line())
    console = Console()
    console.print(arrhenius_table(record))
    print_notes(console, (), record["warnings"])
    write_outputs(
        console,
        records[0].parent,
        (
            (json_file, "arrhenius.json", lambda path: write_json(path, record)),
            (plot_file, "arrhenius.png", lambda path: plot_arrhenius(path, fits, at)),
        ),
    )
