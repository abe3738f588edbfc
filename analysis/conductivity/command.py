"""The command ``les-analysis conductivity``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs


def conductivity(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Directories in which i-PI ran; several are pooled. Runs in a static field add σ(E).")
    ],
    source: Annotated[str, typer.Option(help="auto, current, dipole, bec or charges.")] = "auto",
    charges: Annotated[
        str | None, typer.Option(help="Integer oxidation numbers, like H=1,O=-2; analysed beside the source.")
    ] = None,
    discard_ps: Annotated[float, typer.Option(help="Equilibration dropped from each run, ps.")] = 0.0,
    temperature: Annotated[float | None, typer.Option(help="Temperature in K instead of the input's.")] = None,
    viscosity: Annotated[
        float | None, typer.Option(help="Viscosity in mPa s, for the finite-size correction of diffusion in a liquid.")
    ] = None,
    input_name: Annotated[
        str | None, typer.Option("--input", help="Name of the i-PI XML, if there are several.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Default: conductivity.json in the first run.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Default: conductivity.csv in the first run.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Default: conductivity.png in the first run.")] = None,
) -> None:
    """Ionic conductivity by all estimators side by side, with errors, diffusion and Haven ratio.

    Example: les-analysis conductivity run1 run2 --charges H=1,O=-2 --discard-ps 5 --plot sigma.png
    """
    from les_ipi.analysis.conductivity.figure import plot_conductivity
    from les_ipi.analysis.conductivity.record import (
        conductivity_record,
        conductivity_summary,
        conductivity_table,
        diffusion_table,
        finite,
        onsager_table,
        write_conductivity_csv,
    )
    from les_ipi.analysis.conductivity.study import study_conductivity
    from les_ipi.analysis.runs.composition import parse_charges
    from les_ipi.analysis.runs.directory import RunDirectory

    runs = [RunDirectory(path, input_name) for path in run_dirs]
    study = study_conductivity(
        runs, source, parse_charges(charges) if charges else None, discard_ps, temperature, viscosity
    )
    record = conductivity_record(study, command_line())
    console = Console()
    console.print(conductivity_table(record))
    if record["diffusion"]:
        console.print(diffusion_table(record))
    if record["onsager"]:
        console.print(onsager_table(record))
    print_notes(console, conductivity_summary(record), study.warnings)
    write_outputs(
        console,
        run_dirs[0],
        (
            (json_file, "conductivity.json", lambda path: write_json(path, finite(record))),
            (csv_file, "conductivity.csv", lambda path: write_conductivity_csv(path, record)),
            (plot_file, "conductivity.png", lambda path: plot_conductivity(path, study)),
        ),
    )
