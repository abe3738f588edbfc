"""The command ``les-analysis structure``."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.arguments import DiscardPs, InputName, JsonFile, PlotFile
from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs
from les_ipi.errors import UserError


def structure(
    run_dirs: Annotated[list[Path], typer.Argument(help="Directories in which i-PI ran. Each becomes one column.")],
    charges: Annotated[
        str | None,
        typer.Option(help="Born charges of a perovskite A,B,X, that of X along/across B-X, like Ba=2.7,Ti=7.2,O=-5.7/-2.1."),
    ] = None,
    supercell: Annotated[str | None, typer.Option(help="Unit cells along each vector, like 5,5,5.")] = None,
    sublattice: Annotated[str | None, typer.Option(help="Elements for Lindemann ratios, like O or Pb,Ti.")] = None,
    rdf: Annotated[str | None, typer.Option(help="Pairs of elements for g(r), like O-O,O-H.")] = None,
    discard_ps: DiscardPs = 0.0,
    input_name: InputName = None,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """Lattice parameters, c/a, perovskite polarization, Lindemann ratios and g(r), with errors.

    Example: les-analysis structure runs/300K runs/600K runs/900K --discard-ps 10 --plot transition.png
    """
    from les_ipi.analysis.runs.composition import parse_charges
    from les_ipi.analysis.runs.directory import RunDirectory
    from les_ipi.analysis.structure.figure import plot_structure
    from les_ipi.analysis.structure.record import structure_record, structure_table
    from les_ipi.analysis.structure.study import study_structure

    studies = [
        study_structure(
            RunDirectory(path, input_name),
            parse_charges(charges, along_and_across=True) if charges else None,
            _three(supercell) if supercell else None,
            sublattice.split(",") if sublattice else (),
            [_pair(text) for text in rdf.split(",")] if rdf else (),
            discard_ps,
        )
        for path in run_dirs
    ]
    console = Console()
    record = structure_record(studies, command_line())
    console.print(structure_table(record["runs"]))
    print_notes(console, dict.fromkeys(f"{note}." for run in record["runs"] for note in run["notes"]), ())
    for run in record["runs"]:
        print_notes(console, (), run["warnings"], f" ({run['run']})")
    write_outputs(
        console,
        run_dirs[0],
        (
            (json_file, "structure.json", lambda path: write_json(path, record)),
            (plot_file, "structure.png", lambda path: plot_structure(path, studies)),
        ),
    )


def _three(text: str) -> tuple[int, int, int]:
    numbers = re.fullmatch(r"([1-9]\d*),([1-9]\d*),([1-9]\d*)", text.replace(" ", ""))
    if numbers is None:
        raise UserError(f"'{text}' is not a supercell; write three numbers like --supercell 5,5,5.")
    return int(numbers[1]), int(numbers[2]), int(numbers[3])


def _pair(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"\s*([A-Z][a-z]?)-([A-Z][a-z]?)\s*", text)
    if match is None:
        raise UserError(f"'{text}' is not a pair of elements; write for example --rdf O-O,O-H.")
    return match[1], match[2]
