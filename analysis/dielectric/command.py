"""The command ``les-analysis dielectric``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.arguments import DiscardPs, InputName, JsonFile, PlotFile, Temperature
from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs


def dielectric(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Directories of runs without a field, in static fields, or both.")
    ],
    discard_ps: DiscardPs = 0.0,
    isotropic: Annotated[bool, typer.Option(help="All directions are equivalent, as in liquids and cubic crystals.")] = True,
    temperature: Temperature = None,
    input_name: InputName = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """Static susceptibility from dipole fluctuations and from the mean dipole in static fields, and whether they agree.

    Runs in fields must begin in one structure, at best with opposite fields.
    For water the alignment of the molecules is given too.

    Example: les-analysis dielectric runs/free runs/plus runs/minus --discard-ps 2
    """
    from les_ipi.analysis.dielectric.figure import plot_dielectric
    from les_ipi.analysis.dielectric.record import dielectric_record, dielectric_summary, dielectric_table
    from les_ipi.analysis.dielectric.study import study_dielectric
    from les_ipi.analysis.runs.directory import RunDirectory

    study = study_dielectric([RunDirectory(path, input_name) for path in run_dirs], discard_ps, isotropic, temperature)
    record = dielectric_record(study, command_line())
    console = Console()
    console.print(dielectric_table(record["runs"]))
    print_notes(console, dielectric_summary(record), study.warnings)
    write_outputs(
        console,
        run_dirs[0],
        (
            (json_file, "dielectric.json", lambda path: write_json(path, record)),
            (plot_file, "dielectric.png", lambda path: plot_dielectric(path, study)),
        ),
    )
