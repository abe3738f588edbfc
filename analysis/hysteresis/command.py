"""The command ``les-analysis hysteresis``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from les_ipi.analysis.reporting.arguments import DiscardPs, JsonFile, PlotFile
from les_ipi.analysis.reporting.outputs import command_line, print_notes, write_json, write_outputs


def hysteresis(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Directories of runs with a field table. Those at one field are pooled.")
    ],
    source: Annotated[str, typer.Option(help="Record to use: dipole (column M) or current (integral of J).")] = "dipole",
    folded: Annotated[bool, typer.Option(help="M is known only modulo the quantum of polarization.")] = False,
    volume: Annotated[str, typer.Option(help="Volume in P = M/V: instantaneous or mean.")] = "instantaneous",
    discard_ps: DiscardPs = 0.0,
    discard_cycles: Annotated[int, typer.Option(help="Complete cycles dropped from each run.", min=0)] = 0,
    json_file: JsonFile = None,
    plot_file: PlotFile = None,
) -> None:
    """P-E loops, or switching in steps and PUND pulses, with errors over cycles and runs.

    Example: les-analysis hysteresis runs/seed1 runs/seed2 --discard-cycles 1 --plot loop.png
    """
    from les_ipi.analysis.hysteresis.figure import plot_hysteresis
    from les_ipi.analysis.hysteresis.record import hysteresis_record, hysteresis_summary, loop_table, switching_table
    from les_ipi.analysis.hysteresis.study import study_hysteresis

    study = study_hysteresis(run_dirs, source, folded, volume, discard_ps, discard_cycles)
    record = hysteresis_record(study, command_line())
    console = Console()
    if record["loops"]:
        console.print(loop_table(record["loops"]))
    if record["switching"]:
        console.print(switching_table(record["switching"]))
    print_notes(console, hysteresis_summary(record), ())
    for loop in record["loops"]:
        of = f" ({loop['frequency_GHz']:.3g} GHz)" if len(record["loops"]) > 1 else ""
        print_notes(console, (), loop["warnings"], of)
    print_notes(console, (), record["warnings"])
    folder = run_dirs[0] if run_dirs[0].is_dir() else run_dirs[0].parent
    write_outputs(
        console,
        folder,
        (
            (json_file, "hysteresis.json", lambda path: write_json(path, record)),
            (plot_file, "hysteresis.png", lambda path: plot_hysteresis(path, study)),
        ),
    )
