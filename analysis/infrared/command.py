"""The commands ``les-analysis ir`` and ``les-analysis overlay``."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.arguments import CsvFile, DiscardPs, InputName, JsonFile, PlotFile, RunDirs, Temperature
from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs
from les_ipi.errors import UserError


def ir(
    run_dirs: RunDirs,
    source: Annotated[str, typer.Option(help="Record to use: auto, current, dipole or bec.")] = "auto",
    resolution: Annotated[float | None, typer.Option(help="Width (FWHM) of the window in cm-1.")] = None,
    window: Annotated[str, typer.Option(help="Shape of the window: hann, hamming, blackman or rectangular.")] = "hann",
    max_wavenumber: Annotated[float, typer.Option("--max", help="Largest wavenumber in cm-1.")] = 4200.0,
    discard_ps: DiscardPs = 0.0,
    temperature: Temperature = None,
    quantum_correction: Annotated[
        str,
        typer.Option(help="Factor of a classical spectrum: harmonic (= linear response), none, standard, schofield or mixed."),
    ] = "harmonic",
    peaks: Annotated[str | None, typer.Option(help="Ranges to fit, cm-1, like 1500-1800,3000-3900.")] = None,
    experiment: Annotated[Path | None, typer.Option(help="Table of wavenumber and n*alpha to compare with.")] = None,
    input_name: InputName = None,
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    plot_file: PlotFile = None,
) -> None:
    """Infrared absorption n·α in cm-1 with error band, peaks, sum rules and the measured spectrum.

    Example: les-analysis ir run1 run2 --discard-ps 2 --plot spectrum.png
    """
    from les_ipi.analysis.infrared.figure import plot_infrared
    from les_ipi.analysis.infrared.measured import read_measured, water_25c
    from les_ipi.analysis.infrared.peaks import WATER_BANDS, automatic_bands, find_peaks
    from les_ipi.analysis.infrared.record import infrared_record, infrared_summary, infrared_table, write_infrared_csv
    from les_ipi.analysis.infrared.study import study_infrared
    from les_ipi.analysis.runs.composition import is_water
    from les_ipi.analysis.runs.directory import RunDirectory

    study = study_infrared(
        [RunDirectory(path, input_name) for path in run_dirs],
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
            (csv_file, "ir.csv", lambda path: write_infrared_csv(path, record)),
            (plot_file, "ir.png", lambda path: plot_infrared(path, study, measured)),
        ),
    )


def overlay(
    spectra: Annotated[list[Path], typer.Argument(help="JSON files that les-analysis ir wrote.")],
    labels: Annotated[str | None, typer.Option(help="Names in the figure, comma-separated.")] = None,
    plot_file: Annotated[Path, typer.Option("--plot", help="Figure to write.")] = Path("overlay.png"),
) -> None:
    """Several spectra in one figure and peak table, with the measured one for water.

    Example: les-analysis overlay classical.json quantum.json --labels classical,quantum --plot both.png
    """
    from les_ipi.analysis.infrared.figure import plot_overlay
    from les_ipi.analysis.infrared.measured import water_25c
    from les_ipi.analysis.infrared.overlay import overlay_table, read_record

    names = labels.split(",") if labels else [path.stem for path in spectra]
    if len(names) != len(spectra):
        raise UserError(f"{len(spectra)} spectra but {len(names)} labels: give one label for each.")
    records = [read_record(path) for path in spectra]
    # Only water gets a measured curve by itself, and only its records have measured peaks.
    water = all(record["experiment_cm1"] is not None for record in records)
    console = Console()
    console.print(overlay_table(records, names))
    measured = water_25c() if water else None
    write_outputs(console, Path(), ((plot_file, "", lambda path: plot_overlay(path, records, names, measured)),))


def _ranges(text: str) -> dict[str, tuple[float, float]]:
    bands = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9.]+)\s*-\s*([0-9.]+)\s*", part)
        if not match or float(match.group(1)) >= float(match.group(2)):
            raise UserError(f"'{part}' is not a range of wavenumbers; write for example --peaks 1500-1800,3000-3900.")
        bands[f"{part.strip()} cm-1"] = (float(match.group(1)), float(match.group(2)))
    return bands
