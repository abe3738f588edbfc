"""Spectra that were recorded before, side by side: for example classical and quantum nuclei against experiment."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from les_ipi.analysis.reporting.style import value_and_error
from les_ipi.errors import UserError


def read_record(path: Path) -> dict:
    """The record that ``les-analysis ir --json`` wrote. Raises :class:`UserError` if the file is not one."""
    try:
        record = json.loads(path.read_text())
        record["wavenumber_cm1"], record["n_alpha_error_cm1"], record["peaks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a spectrum that 'les-analysis ir --json' wrote ({error}).") from error
    return record


def peak_rows(records: Sequence[dict]) -> list[tuple[str, list[str], str]]:
    """Rows (band, 'position ± error' of each record, experiment) over the bands that all records share, cm⁻¹."""
    tables = [{peak["name"]: peak for peak in record["peaks"]} for record in records]
    rows = []
    for name, first in tables[0].items():
        if all(name in table for table in tables):
            positions = [(table[name]["position_cm1"], table[name]["position_error_cm1"]) for table in tables]
            cells = [value_and_error(*position, missing="no maximum") for position in positions]
            measured = first["experiment_cm1"]
            rows.append((name, cells, "-" if measured is None else f"{measured:.0f}"))
    return rows


def overlay_table(records: Sequence[dict], names: Sequence[str]) -> Table:
    """Positions of the bands of several records as a terminal table, one column for each of the ``names``."""
    table = Table("band", *names, "experiment", title="Position of the maximum of n·α, cm-1")
    for band, cells, measured in peak_rows(records):
        table.add_row(band, *cells, measured)
    return table
