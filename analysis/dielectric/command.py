"""The command ``les-analysis dielectric``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.reporting.outputs import command_line, print_notes, value_and_error, write_json, write_outputs


def dielectric(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Directories of runs without a field, in static fields, or both.")
    ],
    discard_ps: Annotated[float, typer.Option(help="Equilibration dropped from each run, ps.", min=0.0)] = 0.0,
    isotropic: Annotated[bool, typer.Option(help="All directions are equivalent: liquids, cubic crystals.")] = True,
    temperature: Annotated[
        float | None, typer.Option(help="Temperature in K instead of the input's.", min=1e-3)
    ] = None,
    input_name: Annotated[str | None, typer.Option("--input", help="Name of the i-PI XML, if several.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Default: dielectric.json in the first run.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Default: dielectric.png in the first run.")] = None,
) -> None:
    """Static susceptibility from dipole fluctuations and from the mean dipole in static fields, and whether they agree.

    Runs in fields must begin in one structure, at best with opposite fields. Of water the alignment of molecules is given too.

    Example: les-analysis dielectric runs/free runs/plus runs/minus --discard-ps 2
    """
    from les_ipi.analysis.dielectric.figure import plot_dielectric
    from les_ipi.analysis.dielectric.study import dielectric_record, study_dielectric
    from les_ipi.analysis.runs.directory import RunDirectory

    study = study_dielectric([RunDirectory(path, input_name) for path in run_dirs], discard_ps, isotropic, temperature)
    record = dielectric_record(study, command_line())
    console = Console()
    console.print(_runs(record["runs"]))
    print_notes(console, _summary(record), study.warnings)
    write_outputs(
        console,
        run_dirs[0],
        (
            (json_file, "dielectric.json", lambda path: write_json(path, record)),
            (plot_file, "dielectric.png", lambda path: plot_dielectric(path, study)),
        ),
    )


def _runs(runs: list[dict]) -> Table:
    table = Table(
        "run", "field (V/Å)", "length (ps)", "P (µC/cm²)", "<cos>", title="Runs (± one standard error)"
    )
    for run in runs:
        field = " ".join(f"{x:g}" for x in run["field_V_A"]) if any(run["field_V_A"]) else "-"
        cosine = value_and_error(**run["mean_cosine"]) if run["mean_cosine"] else "-"
        polarization = value_and_error(**run["polarization_C_m2"], factor=100.0)
        table.add_row(escape(Path(run["run"]).name), field, f"{run['length_ps']:.4g}", polarization, cosine)
    return table


def _summary(record: dict) -> list[str]:
    lines = ["P is the change since the start of a run."]
    fluctuation, response = record["susceptibility_fluctuation"], record["susceptibility_field"]
    if fluctuation:
        axes = ", ".join(value_and_error(**estimate) for estimate in record["susceptibility_fluctuation_xyz"])
        kind = "mean of x, y, z" if record["isotropic"] else "along the field"
        lines.append(f"Susceptibility from fluctuations: {value_and_error(**fluctuation)} ({kind}; x, y, z: {axes}).")
        known = record["origin_correlation"]
        about = "the mean of each run"
        if known is not None:
            about = f"zero: the axes of the molecules tell the origin (R² = {known:.2f})"
        lines.append(f"Dipoles fluctuate about {about}.")
    if response:
        cubic = record["cubic_susceptibility_A2_V2"]
        beyond = f", with a cubic term of {value_and_error(**cubic)} Å²/V²" if cubic else ""
        lines.append(f"Susceptibility from static fields: {value_and_error(**response)}{beyond}.")
    pull = record["difference_in_standard_errors"]
    if pull is not None:
        lines.append(f"They {'agree' if abs(pull) < 2.0 else 'DISAGREE'}: {abs(pull):.1f} combined standard errors apart.")
    if record["static_permittivity"]:
        total, electrons = value_and_error(**record["static_permittivity"]), record["epsilon_infinity"]
        lines.append(f"Static permittivity with epsilon_infinity {electrons:g}: {total}.")
    return lines
