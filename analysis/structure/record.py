"""Record and table of structure studies, with provenance."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.markup import escape
from rich.table import Table

from les_ipi.analysis.reporting.outputs import provenance
from les_ipi.analysis.reporting.style import plain, value_and_error
from les_ipi.analysis.structure.study import StructureStudy

_TITLES = {
    "a_A": "a [Å]", "b_A": "b [Å]", "c_A": "c [Å]", "alpha_deg": "alpha [deg]", "beta_deg": "beta [deg]",
    "gamma_deg": "gamma [deg]", "volume_A3": "volume [Å³]", "tetragonality": "c/a",
    "order_parameter_C_m2": "<|P|> [C/m²]", "rms_polarization_C_m2": "rms P [C/m²]",
    "local_polarization_C_m2": "<|p|> of unit cells [C/m²]", "polarization_x_C_m2": "P_x [C/m²]",
    "polarization_y_C_m2": "P_y [C/m²]", "polarization_z_C_m2": "P_z [C/m²]",
}  # fmt: skip


def structure_record(studies: Sequence[StructureStudy], command: str) -> dict[str, object]:
    """Write studies as a JSON object with provenance; values come with one standard error, and units are in the names.

    Parameters:
        studies: results of :func:`study_structure`, one for each run.
        command: command line to be stored with the numbers.

    Returns a dictionary whose key ``runs`` holds ``lattice``, ``order``, ``distributions``, time series, notes and
    warnings of each run.
    """
    return plain({**provenance(command), "runs": [_run(study) for study in studies]})


def structure_table(runs: list[dict]) -> Table:
    """Show the estimates of a record as a terminal table with one column for each run.

    Parameters: ``runs``, the list under the key ``runs`` of :func:`structure_record`.
    """
    table = Table("", title="Structure (± one standard error)")
    for run in runs:
        kelvin = run["temperature_K"]
        table.add_column(Path(run["run"]).name + ("" if kelvin is None else f"\n{kelvin:.4g} K"), justify="right")
    names = {name: group for run in runs for group in ("lattice", "order") for name in run[group] if name != "polar_axis"}
    for name, group in names.items():
        cells = [value_and_error(**run[group][name]) if name in run[group] else "-" for run in runs]
        table.add_row(escape(_TITLES.get(name, name.replace("_", " "))), *cells)
    return table


def _run(study: StructureStudy) -> dict[str, object]:
    return {
        "run": study.path,
        "temperature_K": study.temperature_K,
        "supercell": list(study.supercell),
        "lattice": {name: asdict(estimate) for name, estimate in study.lattice.items()},
        "order": {name: asdict(estimate) for name, estimate in study.order.items()},
        "distributions": {
            pair: {
                "r_A": curve.r_A,
                "g": curve.g,
                "error": curve.error if np.isfinite(curve.error).any() else None,
                "coordination": curve.coordination,
            }
            for pair, curve in study.distributions.items()
        },
        "time_fs": study.time_fs,
        "lengths_A": study.lengths_A,
        "frame_time_fs": study.frame_time_fs,
        "polarization_C_m2": study.polarization_C_m2,
        "notes": list(study.notes),
        "warnings": list(study.warnings),
    }
