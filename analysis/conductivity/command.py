"""The command ``les-analysis conductivity``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.arguments import CsvFile, DiscardPs, InputName, JsonFile, PlotFile, Temperature
from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs


def conductivity(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Directories in which i-PI ran. Several are pooled; runs in a static field add σ(E).")
    ],
    source: Annotated[str, typer.Option(help="Record to use: auto, current, dipole, bec or charges.")] = "auto",
    charges: Annotated[
        str | None, typer.Option(help="Integer oxidation numbers, like H=1,O=-2. They are analysed beside the source.")
    ] = None,
    discard_ps: DiscardPs = 0.0,
    temperature: Temperature = None,
    viscosity: Annotated[
        float | None, typer.Option(help="Viscosity in mPa s, for the finite-size correction of diffusion in a liquid.")
    ] = None,
    input_name: InputName = None,
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    plot_file: PlotFile = None,
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
            (json_file, "conductivity.json", lambda path: write_json(path, record)),
            (csv_file, "conductivity.csv", lambda path: write_conductivity_csv(path, record)),
            (plot_file, "conductivity.png", lambda path: plot_conductivity(path, study)),
        ),
    )
