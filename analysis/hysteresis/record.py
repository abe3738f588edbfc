"""Record, tables and summary of field-driven runs, with provenance."""

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.constants import MV_CM_PER_V_A
from les_ipi.analysis.hysteresis.metrics import HysteresisLoop
from les_ipi.analysis.hysteresis.study import HysteresisStudy, SwitchingStudy
from les_ipi.analysis.reporting.outputs import provenance
from les_ipi.analysis.reporting.style import plain, value_and_error

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


def hysteresis_record(study: HysteresisStudy, command: str) -> dict[str, object]:
    """Write a study as a JSON object with provenance.

    Numbers that do not exist, such as an error from one cycle, are null. Units are in the names, polarizations are in
    C/m², and errors are one standard error.

    Parameters:
        study: result of :func:`study_hysteresis`.
        command: command line to be stored with the numbers.

    Returns a dictionary with the keys ``loops`` (each with ``metrics`` name → value and error, ``per_cycle``,
    ``mean_loop``, ``amplitude_*``, ``frequency_GHz``, ``notes``, ``warnings``), ``switching``, ``frequency_law``,
    ``merz_law``, ``temperature_K``, ``runs``, ``version`` and ``command``.
    """
    record = {
        **provenance(command),
        "runs": list(study.run_paths),
        "temperature_K": study.temperature_K,
        "loops": [_loop_record(loop) for loop in study.loops],
        "switching": [_switching_record(item) for item in study.switching],
        "frequency_law": asdict(study.frequency) if study.frequency else None,
        "merz_law": asdict(study.merz) if study.merz else None,
        "warnings": list(study.warnings),
    }
    return plain(record)


def loop_table(loops: list[dict]) -> Table:
    """Show the numbers of the loops of a record as a terminal table with one column for each loop.

    Parameters: ``loops``, the list under the key ``loops`` of :func:`hysteresis_record`.
    """
    table = Table("", title="P-E loops (± one standard error over cycles and runs)")
    for loop in loops:
        table.add_column(f"{loop['frequency_GHz']:.3g} GHz\n±{loop['amplitude_MV_cm']:.3g} MV/cm", justify="right")
    table.add_row("volume [Å³]", *(f"{loop['volume_A3']:.0f}" for loop in loops))
    table.add_row("cycles / runs", *(f"{loop['n_switched_cycles']} / {loop['n_runs']}" for loop in loops))
    for title, name, factor in _ROWS:
        table.add_row(escape(title), *(value_and_error(**loop["metrics"][name], factor=factor) for loop in loops))
    return table


def switching_table(items: list[dict]) -> Table:
    """Show the switching kinetics of a record as a terminal table with one row for each field.

    Parameters: ``items``, the list under the key ``switching`` of :func:`hysteresis_record`.
    """
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


def hysteresis_summary(record: dict) -> list[str]:
    """Write the sentences under the tables: how P was made, what is extrapolated, the laws over frequencies and fields.

    Parameters: ``record`` from :func:`hysteresis_record`. Returns a list of sentences.
    """
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


def _loop_record(loop: HysteresisLoop) -> dict[str, object]:
    return {
        "amplitude_V_A": loop.amplitude_V_A,
        "amplitude_MV_cm": MV_CM_PER_V_A * loop.amplitude_V_A,
        "period_fs": loop.period_fs,
        "frequency_GHz": 1e6 / loop.period_fs,
        "volume_A3": loop.volume_A3,
        "n_runs": loop.n_runs,
        "n_cycles": loop.n_cycles,
        "n_switched_cycles": int(loop.switched.sum()),
        "steady_from_cycle": loop.steady_from_cycle,
        "metrics": {name: asdict(estimate) for name, estimate in loop.metrics.items()},
        "per_cycle": dict(loop.per_cycle),
        "run_of_cycle": loop.run_of_cycle,
        "mean_loop": {
            "field_V_A": loop.field_V_A,
            "field_MV_cm": MV_CM_PER_V_A * loop.field_V_A,
            "polarization_C_m2": loop.polarization_C_m2,
            "polarization_error_C_m2": loop.polarization_error_C_m2,
        },
        "cycles_C_m2": loop.cycles_C_m2,
        "runs": loop.labels,
        "notes": loop.notes,
        "warnings": loop.warnings,
    }


def _switching_record(item: SwitchingStudy) -> dict[str, object]:
    means = {name: asdict(getattr(item, name)) for name in ("t0_fs", "exponent", "switched_C_m2", "rise_10_90_fs")}
    fits = [asdict(fit) for fit in item.fits]
    return {"field_V_A": item.field_V_A, "field_MV_cm": MV_CM_PER_V_A * item.field_V_A, **means, "pulses": fits}
