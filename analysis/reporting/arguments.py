"""Arguments and options that several commands share, so that they have one name and one meaning everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from les_ipi.errors import UserError


def _time(value: float) -> float:
    if value < 0.0:
        raise UserError(f"Cannot discard {value:g} ps; give zero or a positive time.")
    return value


def _kelvin(value: float | None) -> float | None:
    if value is not None and value <= 0.0:
        raise UserError(f"A temperature of {value:g} K makes no sense; give a positive number.")
    return value


RunDirs = Annotated[list[Path], typer.Argument(help="Directories in which i-PI ran. Several are pooled.")]
InputName = Annotated[
    str | None, typer.Option("--input", help="Name of the i-PI XML file, needed if a directory holds several.")
]
DiscardPs = Annotated[
    float, typer.Option(help="Time dropped from the start of each run as equilibration, ps.", callback=_time)
]
Temperature = Annotated[
    float | None, typer.Option(help="Temperature in K, instead of the one in the input.", callback=_kelvin)
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Record to write. Default: COMMAND.json in the first run directory.")
]
CsvFile = Annotated[
    Path | None, typer.Option("--csv", help="Table of curves to write. Default: COMMAND.csv in the first run directory.")
]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", help="Figure to write. Default: COMMAND.png in the first run directory.")
]
