"""The command ``les-analysis structure``."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.reporting.outputs import command_line, print_notes, value_and_error, write_json, write_outputs
from les_ipi.errors import UserError

_TITLES = {
    "a_A": "a [Å]", "b_A": "b [Å]", "c_A": "c [Å]", "alpha_deg": "alpha [deg]", "beta_deg": "beta [deg]",
    "gamma_deg": "gamma [deg]", "volume_A3": "volume [Å³]", "tetragonality": "c/a",
    "order_parameter_C_m2": "<|P|> [C/m²]", "rms_polarization_C_m2": "rms P [C/m²]",
    "local_polarization_C_m2": "<|p|> of unit cells [C/m²]", "polarization_x_C_m2": "P_x [C/m²]",
    "polarization_y_C_m2": "P_y [C/m²]", "polarization_z_C_m2": "P_z [C/m²]",
}  # fmt: skip


def structure(
    run_dirs: Annotated[list[Path], typer.Argument(help="Directories in which i-PI ran, one column each.")],
    charges: Annotated[
        str | None,
        typer.Option(help="Born charges of a perovskite A,B,X; X along/across B-X: Ba=2.7,Ti=7.2,O=-5.7/-2.1."),
    ] = None,
    supercell: Annotated[str | None, typer.Option(help="Unit cells along each vector, like 5,5,5.")] = None,
    sublattice: Annotated[str | None, typer.Option(help="Elements for Lindemann ratios, like O or Pb,Ti.")] = None,
    rdf: Annotated[str | None, typer.Option(help="Pairs of elements for g(r), like O-O,O-H.")] = None,
    discard_ps: Annotated[float, typer.Option(help="Equilibration dropped from each run, ps.", min=0.0)] = 0.0,
    input_name: Annotated[str | None, typer.Option("--input", help="Name of the i-PI XML, if several.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Default: structure.json in the first run.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Default: structure.png in the first run.")] = None,
) -> None:
    """Lattice parameters, c/a, perovskite polarization, Lindemann ratios and g(r), with errors.

    Example: les-analysis structure runs/300K runs/600K runs/900K --discard-ps 10 --plot transition.png
    """
    from les_ipi.analysis.runs.composition import parse_charges
    from les_ipi.analysis.runs.directory import RunDirectory
    from les_ipi.analysis.structure.figure import plot_structure
    from les_ipi.analysis.structure.study import structure_record, study_structure

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
    console.print(_table(record["runs"]))
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
        raise UserError(f"'{text}' is no supercell; write three numbers like --supercell 5,5,5.")
    return int(numbers[1]), int(numbers[2]), int(numbers[3])


def _pair(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"\s*([A-Z][a-z]?)-([A-Z][a-z]?)\s*", text)
    if match is None:
        raise UserError(f"'{text}' is no pair of elements; write for example --rdf O-O,O-H.")
    return match[1], match[2]


def _table(runs: list[dict]) -> Table:
    table = Table("", title="Structure (± one standard error)")
    for run in runs:
        kelvin = run["temperature_K"]
        table.add_column(Path(run["run"]).name + ("" if kelvin is None else f"\n{kelvin:.4g} K"), justify="right")
    names = {name: group for run in runs for group in ("lattice", "order") for name in run[group] if name != "polar_axis"}
    for name, group in names.items():
        cells = [value_and_error(**run[group][name]) if name in run[group] else "-" for run in runs]
        table.add_row(escape(_TITLES.get(name, name.replace("_", " "))), *cells)
    return table
