"""Spectra that were recorded before, side by side: for example classical and quantum nuclei against experiment."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from les_ipi.analysis.reporting.style import value_and_error
from les_ipi.errors import UserError


def read_record(path: Path) -> dict:
    """Read the record of a spectrum that ``les-analysis ir --json`` wrote.

    Parameters: ``path`` of the JSON file. Returns the record as a dictionary. Raises :class:`UserError` if the file is
    not such a record.
    """
    try:
        record = json.loads(path.read_text())
        record["wavenumber_cm1"], record["n_alpha_error_cm1"], record["peaks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a spectrum that 'les-analysis ir --json' wrote ({error}).") from error
    return record


def peak_rows(records: Sequence[dict]) -> list[tuple[str, list[str], str]]:
    """Compare the positions of the bands that all records share.

    Parameters: ``records`` as :func:`read_record` gives them. Returns one row for each band: its name, the position
    with its error in each record, and the measured position or ``-``, all in cm⁻¹.
    """
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
    """Make a terminal table of the positions of the bands in several records, with one column for each record.

    Parameters: ``records`` as :func:`read_record` gives them; ``names``, the heading of each record's column.
    """
    table = Table("band", *names, "experiment", title="Position of the maximum of n·α, cm-1")
    for band, cells, measured in peak_rows(records):
        table.add_row(band, *cells, measured)
    return table
