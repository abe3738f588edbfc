"""The command ``les-analysis hysteresis``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.reporting.outputs import command_line, print_notes, value_and_error, write_json, write_outputs

#: Rows of the table: title, metric, factor from the metric's unit.
_ROWS = (
    ("E_c [MV/cm]", "coercive_field_MV_cm", 1.0),
    ("E_c+ [MV/cm]", "coercive_field_plus_MV_cm", 1.0),
    ("E_c- [MV/cm]", "coercive_field_minus_MV_cm", 1.0),
    ("imprint [MV/cm]", "imprint_field_MV_cm", 1.0),
    ("P_r [µC/cm²]", "remanent_polarization_C_m2", 100.0),
    ("P_r+ [µC/cm²]", "remanent_polarization_plus_C_m2", 100.0),
    ("P_r- [µC/cm²]", "remanent_polarization_minus_C_m2", 100.0),
    ("P_s [µC/cm²]", "saturation_polarization_C_m2", 100.0),
    ("P_max [µC/cm²]", "maximum_polarization_C_m2", 100.0),
    ("squareness P_r/P_s", "squareness", 1.0),
    ("chi at the tips", "susceptibility_at_tips", 1.0),
    ("chi at E = 0", "susceptibility_at_zero_field", 1.0),
    ("loop area [J/cm³]", "loop_area_J_m3", 1e-6),
    ("loss per cycle [eV]", "dissipated_energy_per_cycle_eV", 1.0),
    ("work per cycle [eV]", "work_per_cycle_eV", 1.0),
    ("recoverable [J/cm³]", "recoverable_energy_J_m3", 1e-6),
    ("efficiency", "efficiency", 1.0),
    ("closure [µC/cm²]", "closure_C_m2", 100.0),
)


def hysteresis(
    run_dirs: Annotated[list[Path], typer.Argument(help="Runs with a field table; those at one field are pooled.")],
    source: Annotated[str, typer.Option(help="dipole (column M) or current (integral of J).")] = "dipole",
    folded: Annotated[bool, typer.Option(help="M is known only modulo the quantum of polarization.")] = False,
    volume: Annotated[str, typer.Option(help="instantaneous or mean volume in P = M/V.")] = "instantaneous",
    discard_ps: Annotated[float, typer.Option(help="Time dropped from the start of each run, ps.")] = 0.0,
    discard_cycles: Annotated[int, typer.Option(help="Complete cycles dropped from each run.", min=0)] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Default: hysteresis.json in the first run.")
    ] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Default: hysteresis.png in the first run.")] = None,
) -> None:
    """P-E loops, or switching in steps and PUND pulses, with errors over cycles and runs.

    Example: les-analysis hysteresis runs/seed1 runs/seed2 --discard-cycles 1 --plot loop.png
    """
    from les_ipi.analysis.hysteresis.figure import plot_hysteresis
    from les_ipi.analysis.hysteresis.study import hysteresis_record, study_hysteresis

    study = study_hysteresis(run_dirs, source, folded, volume, discard_ps, discard_cycles)
    record = hysteresis_record(study, command_line())
    console = Console()
    for table in (_loop_table(record["loops"]), _switching_table(record["switching"])):
        if table is not None:
            console.print(table)
    print_notes(console, _sentences(record), ())
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


def _loop_table(loops: list[dict]) -> Table | None:
    if not loops:
        return None
    table = Table("", title="P-E loops (± one standard error over cycles and runs)")
    for loop in loops:
        table.add_column(f"{loop['frequency_GHz']:.3g} GHz\n±{loop['amplitude_MV_cm']:.3g} MV/cm", justify="right")
    table.add_row("volume [Å³]", *(f"{loop['volume_A3']:.0f}" for loop in loops))
    table.add_row("cycles / runs", *(f"{loop['n_switched_cycles']} / {loop['n_runs']}" for loop in loops))
    for title, name, factor in _ROWS:
        table.add_row(escape(title), *(value_and_error(**loop["metrics"][name], factor=factor) for loop in loops))
    return table


def _switching_table(items: list[dict]) -> Table | None:
    if not items:
        return None
    table = Table(title="Switching (± one standard error)")
    for head in ("E [MV/cm]", "pulses", "t0 [ps]", "KAI n", "10-90 % [ps]", "switched P [µC/cm²]"):
        table.add_column(escape(head), justify="right")
    for item in items:
        table.add_row(
            f"{item['field_MV_cm']:.4g}",
            str(len(item["pulses"])),
            value_and_error(**item["t0_fs"], factor=1e-3),
            value_and_error(**item["exponent"]),
            value_and_error(**item["rise_10_90_fs"], factor=1e-3),
            value_and_error(**item["switched_C_m2"], factor=100.0),
        )
    return table


def _sentences(record: dict) -> list[str]:
    notes = dict.fromkeys(note for loop in record["loops"] for note in loop["notes"])
    lines = [f"{note[0].upper()}{note[1:]}." for note in notes]
    for item in record["switching"]:
        unfinished = sum(not pulse["complete"] for pulse in item["pulses"])
        if unfinished:
            lines.append(f"At {item['field_MV_cm']:.4g} MV/cm {unfinished} pulse(s) ended before 99 % had switched: t0 and "
                         "the switched polarization are extrapolated.")  # fmt: skip
    if record["frequency_law"]:
        law = record["frequency_law"]
        line = law["line"]
        lines.append(f"E_c = {value_and_error(**law['coercive_field_1GHz_MV_cm'])} MV/cm (f/GHz)^b with b = "
                     f"{value_and_error(**law['exponent'])}, chi-square {line['chi_square']:.3g} for "
                     f"{line['degrees_of_freedom']} degree(s) of freedom.")  # fmt: skip
    if record["merz_law"]:
        law = record["merz_law"]
        lines.append(f"Merz law: E_a = {value_and_error(**law['activation_field_V_A'], factor=100.0)} MV/cm, t_inf = "
                     f"{value_and_error(**law['limiting_time_fs'])} fs, chi-square {law['line']['chi_square']:.3g} for "
                     f"{law['line']['degrees_of_freedom']} degree(s) of freedom.")  # fmt: skip
    return lines
