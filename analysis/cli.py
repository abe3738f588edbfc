"""Command line ``les-analysis``: spectra here, every other command in a module of its own."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.conductivity.arrhenius_command import arrhenius
from les_ipi.analysis.conductivity.command import conductivity
from les_ipi.analysis.dielectric.command import dielectric
from les_ipi.analysis.hysteresis.command import hysteresis
from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs
from les_ipi.analysis.structure.command import structure
from les_ipi.errors import UserError

app = typer.Typer(
    help="Spectra and responses with error bars from i-PI runs.", pretty_exceptions_enable=False, no_args_is_help=True
)

app.command()(arrhenius)
app.command()(conductivity)

RunDirs = Annotated[list[Path], typer.Argument(help="Directories in which i-PI ran; several are pooled.")]
InputName = Annotated[str | None, typer.Option("--input", help="Name of the i-PI XML, if there are several.")]


@app.command()
def ir(
    run_dirs: RunDirs,
    source: Annotated[str, typer.Option(help="auto, current, dipole or bec.")] = "auto",
    resolution: Annotated[float | None, typer.Option(help="Width (FWHM) of the window in cm-1.")] = None,
    window: Annotated[str, typer.Option(help="hann, hamming, blackman or rectangular.")] = "hann",
    max_wavenumber: Annotated[float, typer.Option("--max", help="Largest wavenumber in cm-1.")] = 4200.0,
    discard_ps: Annotated[float, typer.Option(help="Equilibration dropped from each run, ps.")] = 0.0,
    temperature: Annotated[
        float | None, typer.Option(help="Temperature in K instead of the input's.")
    ] = None,
    quantum_correction: Annotated[
        str, typer.Option(help="harmonic (= classical linear response), none, standard, schofield or mixed.")
    ] = "harmonic",
    peaks: Annotated[str | None, typer.Option(help="Ranges to fit, cm-1, like 1500-1800,3000-3900.")] = None,
    experiment: Annotated[
        Path | None, typer.Option(help="Table of wavenumber and n*alpha to compare.")
    ] = None,
    input_name: InputName = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Default: ir.json in the first run.")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Default: ir.csv in the first run.")] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Default: ir.png in the first run.")
    ] = None,
) -> None:
    """Infrared absorption n·α in cm-1 with error band, peaks, sum rules and the measured spectrum."""
    from les_ipi.analysis.infrared.figure import plot_infrared
    from les_ipi.analysis.infrared.measured import read_measured, water_25c
    from les_ipi.analysis.infrared.peaks import WATER_BANDS, automatic_bands, find_peaks
    from les_ipi.analysis.infrared.record import infrared_record, infrared_summary, infrared_table, write_csv
    from les_ipi.analysis.infrared.study import study_infrared
    from les_ipi.analysis.runs.composition import is_water
    from les_ipi.analysis.runs.directory import RunDirectory

    runs = [RunDirectory(path, input_name) for path in run_dirs]
    study = study_infrared(
        runs,
        source,
        discard_ps,
        temperature,
        resolution=resolution,
        window=window,
        max_wavenumber=max_wavenumber,
        quantum_correction=quantum_correction,
    )
    water = is_water(study.symbols)
    measured = read_measured(experiment) if experiment else water_25c() if water else None
    if peaks:
        bands = _ranges(peaks)
    else:
        bands = WATER_BANDS if water else automatic_bands(study.spectrum)
    record = infrared_record(study, find_peaks(study.spectrum, bands), measured, command_line())
    console = Console()
    console.print(infrared_table(record))
    print_notes(console, infrared_summary(record), study.warnings)
    write_outputs(
        console,
        run_dirs[0],
        (
            (json_file, "ir.json", lambda path: write_json(path, record)),
            (csv_file, "ir.csv", lambda path: write_csv(path, record)),
            (plot_file, "ir.png", lambda path: plot_infrared(path, study, measured)),
        ),
    )


@app.command()
def overlay(
    spectra: Annotated[list[Path], typer.Argument(help="JSON files of les-analysis ir.")],
    labels: Annotated[str | None, typer.Option(help="Names in the figure, comma-separated.")] = None,
    plot_file: Annotated[Path, typer.Option("--plot", help="Figure to write.")] = Path("overlay.png"),
) -> None:
    """Several spectra in one figure and peak table, with the measured one for water.

    Example: les-analysis overlay classical.json quantum.json --labels classical,quantum --plot both.png
    """
    from les_ipi.analysis.infrared.measured import water_25c
    from les_ipi.analysis.infrared.overlay import peak_rows, plot_overlay, read_record

    names = labels.split(",") if labels else [path.stem for path in spectra]
    if len(names) != len(spectra):
        raise UserError(f"{len(spectra)} spectra but {len(names)} labels: give one label for each.")
    records = [read_record(path) for path in spectra]
    # Only water gets a measured curve by itself, and only its records have measured peaks.
    water = all(record["experiment_cm1"] is not None for record in records)
    table = Table("band", *names, "experiment", title="Position of the maximum of n·α, cm-1")
    for band, cells, measured in peak_rows(records):
        table.add_row(band, *cells, measured)
    Console().print(table)
    plot_overlay(plot_file, records, names, water_25c() if water else None)
    Console().print(f"Wrote {escape(str(plot_file))}", highlight=False, soft_wrap=True)


@app.command()
def check(
    run_dir: Annotated[Path, typer.Argument(help="Directory in which i-PI ran.")],
    input_name: InputName = None,
) -> None:
    """Tell whether a run can carry a spectrum; exit status 1 when something fails."""
    from les_ipi.analysis.runs.checks import check_run
    from les_ipi.analysis.runs.directory import RunDirectory

    outcomes = check_run(RunDirectory(run_dir, input_name))
    colour = {"pass": "green", "warn": "yellow", "fail": "bold red"}
    table = Table(title=f"Checks of {escape(str(run_dir))}")
    table.add_column("check")
    table.add_column("result")
    table.add_column("", overflow="fold")
    for outcome in outcomes:
        table.add_row(outcome.name, f"[{colour[outcome.status]}]{outcome.status}[/]", escape(outcome.message))
    Console().print(table)
    if any(outcome.status == "fail" for outcome in outcomes):
        raise typer.Exit(1)


app.command()(dielectric)
app.command()(hysteresis)
app.command()(structure)


def main() -> None:
    """Entry point: a :class:`UserError` becomes one sentence on stderr and exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"les-analysis: {error}", file=sys.stderr)
        sys.exit(2)


def _ranges(text: str) -> dict[str, tuple[float, float]]:
    bands = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9.]+)\s*-\s*([0-9.]+)\s*", part)
        if not match or float(match.group(1)) >= float(match.group(2)):
            raise UserError(
                f"'{part}' is not a range of wavenumbers; write for example --peaks 1500-1800,3000-3900."
            )
        bands[f"{part.strip()} cm-1"] = (float(match.group(1)), float(match.group(2)))
    return bands
