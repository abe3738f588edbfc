"""The table of a field-driven run, ``PREFIX.field``: applied field, dipole, current, cell and work at every step."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from les_ipi.analysis.runs.anchors import read_anchors, tie
from les_ipi.analysis.runs.beads import stride_of
from les_ipi.conventions import FIELD_COLUMNS, LARGEST_FIELD_V_A
from les_ipi.errors import UserError
from les_ipi.ipi_files import last_of_each_step

_UNITS = {"E": "v/a", "M": "ea", "J": "ea/fs", "h": "a", "volume": "a3", "work": "ev", "time_fs": "fs"}
_BRACKETS = re.compile(r"\s*[\[{(]([^\]})]*)[\]})]")


@dataclass(frozen=True)
class FieldTable:
    """The record of a field-driven run on a regular grid of time.

    Attributes:
        path: the file ``PREFIX.field``.
        header: the ``# key: value`` lines at the top of the file, as key → value.
        steps: the steps of i-PI, (T,).
        time_fs: time of each record in fs, (T,).
        field: macroscopic electric field in V/Å, (T, 3).
        dipole: itinerant dipole of the cell in e Å, averaged over the beads, (T, 3).
        current: current dM/dt in e Å/fs, (T, 3).
        volume_A3: volume of the cell in Å³, (T,).
        cells: lattice vectors in Å as the rows of a matrix, (T, 3, 3).
        work_eV: accumulated work of the field ∫E·dM in eV, (T,).
        n_anchors: number of frames at which the dipole is that of the atoms, see :mod:`les_ipi.analysis.runs.anchors`;
            0 when the dipole is as it was recorded.
    """

    path: Path
    header: dict[str, str]
    steps: np.ndarray
    time_fs: np.ndarray
    field: np.ndarray
    dipole: np.ndarray
    current: np.ndarray
    volume_A3: np.ndarray
    cells: np.ndarray
    work_eV: np.ndarray
    n_anchors: int = 0

    @property
    def dt_fs(self) -> float:
        """Time between two records in fs."""
        return float((self.time_fs[-1] - self.time_fs[0]) / (self.time_fs.size - 1))

    @property
    def waveform(self) -> str | None:
        """Name of the waveform in the header, such as ``sine``, ``triangle``, ``step`` or ``pund``, or None when there
        is none.
        """
        return self.header.get("waveform", "").lower() or None

    @property
    def absolute_dipole(self) -> bool:
        """Whether the dipole is absolute rather than relative to the start of the run."""
        return self.header.get("absolute_dipole", "false").lower() in ("true", "yes", "1")


def find_field_table(path: str | Path) -> Path:
    """Find the field table of a run.

    Parameters: ``path`` of a directory that holds one ``*.field`` file, or of such a file itself. Returns the path of
    the file. Raises :class:`UserError` when there is none, or several.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path} is neither a run directory nor a field table.")
    tables = sorted(path.glob("*.field"))
    if not tables:
        raise UserError(
            f"{path} holds no field table (*.field); make one by running 'les-ipi run' with a field protocol."
        )
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise UserError(f"{path} holds several field tables ({names}); give the path of one of them.")
    return tables[0]


def read_field_table(path: str | Path) -> FieldTable:
    """Read the field table of a run and check that its numbers are consistent.

    When a step was written twice, because the run was continued from a checkpoint, the last copy counts. An unfinished
    last line is left out. If a file ``PREFIX.anchors`` lies beside the table, the dipole is corrected by it.

    Parameters: ``path`` of the run directory or of the file. Returns :class:`FieldTable`. Raises :class:`UserError` for
    missing columns, unexpected units, gaps, a waveform that was not continued after a restart, or numbers that
    contradict each other.
    """
    path = find_field_table(path)
    lines = path.read_text().splitlines()
    comments = [line.lstrip("# ").rstrip() for line in lines if line.startswith("#")]
    header = {
        match[1]: match[2].strip() for line in comments if (match := re.match(r"([A-Za-z_]\w*)\s*:\s+(.+)$", line))
    }
    names = _column_names(path, comments)
    rows = [line for line in lines if line.strip() and not line.startswith("#")]
    if rows and len(rows[-1].split()) != len(names):
        rows.pop()
    try:
        table = np.loadtxt(rows, ndmin=2) if rows else np.empty((0, len(names)))
    except ValueError as error:
        raise UserError(f"{path} has a line that is not {len(names)} numbers ({error}).") from error
    if table.shape[0] < 2 or table.shape[1] != len(names):
        raise UserError(f"{path} holds {table.shape[0]} record(s) of {table.shape[1]} columns; at least two of "
                        f"{len(names)} columns are needed.")  # fmt: skip
    columns = {name: table[:, k] for k, name in enumerate(names)}
    _check_repeats(path, columns)
    order = last_of_each_step(columns["step"].round().astype(int))
    columns = {name: values[order] for name, values in columns.items()}
    result = FieldTable(
        path=path,
        header=header,
        steps=columns["step"].round().astype(int),
        time_fs=columns["time_fs"],
        field=_vectors(columns, "Ex", "Ey", "Ez"),
        dipole=_vectors(columns, "Mx", "My", "Mz"),
        current=_vectors(columns, "Jx", "Jy", "Jz"),
        volume_A3=columns["volume"],
        cells=_vectors(columns, *FIELD_COLUMNS[12:21]).reshape(-1, 3, 3),
        work_eV=columns["work"],
    )
    _check(result)
    anchors = read_anchors(path)
    if anchors is None:
        return result
    dipole, n_anchors = tie(anchors, result.steps, result.dipole)
    absolute = {"absolute_dipole": str(anchors.absolute).lower()}
    return replace(result, dipole=dipole, header=header | absolute, n_anchors=n_anchors)


def _column_names(path: Path, comments: list[str]) -> list[str]:
    line = next((line for line in comments if line.split()[:1] and _BRACKETS.sub("", line).split()[0] == "step"), None)
    if line is None:
        raise UserError(f"{path} has no header line '# step time_fs Ex ...' that names its columns.")
    names = _BRACKETS.sub("", line).split()
    missing = [name for name in FIELD_COLUMNS if name not in names]
    if missing:
        raise UserError(f"{path} lacks the column(s) {', '.join(missing)}; expected: {' '.join(FIELD_COLUMNS)}.")
    for name, unit in re.findall(r"(\w+)\s*[\[{(]([^\]})]*)[\]})]", line):
        expected = _UNITS.get(name) or _UNITS.get(name[0])
        found = re.sub(r"ang(strom)?", "a", unit.lower().replace("å", "a"))
        if expected and name != "step" and re.sub(r"[\s*·^]", "", found).replace("³", "3") != expected:
            raise UserError(f"{path}: the column {name} is in '{unit}', expected {expected} (V/Å, e Å, fs, Å, eV).")
    return names


def _vectors(columns: dict[str, np.ndarray], *names: str) -> np.ndarray:
    return np.stack([columns[name] for name in names], axis=1)


def _check_repeats(path: Path, columns: dict[str, np.ndarray]) -> None:
    """A step that was written twice must have been driven by the same field."""
    steps = columns["step"].round().astype(int)
    order = np.argsort(steps, kind="stable")
    twice = np.flatnonzero(np.diff(steps[order]) == 0)
    fields = _vectors(columns, "Ex", "Ey", "Ez")
    change = np.abs(fields[order][twice + 1] - fields[order][twice]).max(axis=1, initial=0.0)
    wrong = np.flatnonzero(change > 1e-3 * np.abs(fields).max())
    if wrong.size:
        raise UserError(f"{path}: step {steps[order][twice[wrong[0]]]} was written twice with different fields; the "
                        "restart did not continue the waveform, analyse the parts separately.")  # fmt: skip


def _check(table: FieldTable) -> None:
    path, steps = table.path, table.steps
    for name in ("time_fs", "field", "dipole", "current", "volume_A3", "cells", "work_eV"):
        if not np.isfinite(getattr(table, name)).all():
            raise UserError(f"{path} has numbers in {name} that are not finite: the run broke down.")
    stride_of(steps, str(path), "a loop needs an unbroken record (analyse the parts as separate runs)")
    advance = np.diff(table.time_fs)
    if advance.min() <= 0 or np.ptp(advance) > 1e-3 * table.dt_fs + 2e-7 * np.abs(table.time_fs).max():
        raise UserError(f"{path}: time advances by {advance.min():g} to {advance.max():g} fs a record, expected one "
                        "spacing throughout; analyse parts with one time step separately.")  # fmt: skip
    largest = np.abs(table.field).max()
    if largest > LARGEST_FIELD_V_A:
        raise UserError(f"{path}: the field reaches {largest:g}, expected V/Å below {LARGEST_FIELD_V_A:g} "
                        "(1 V/Å = 100 MV/cm); was it written in other units?")  # fmt: skip
    determinant = np.abs(np.linalg.det(table.cells))
    if (table.volume_A3 <= 0).any() or (np.abs(determinant / table.volume_A3 - 1.0) > 1e-3).any():
        raise UserError(f"{path}: volume and cell disagree ({table.volume_A3[0]:g} Å^3 against "
                        f"{determinant[0]:g} Å^3 from the cell at the start).")  # fmt: skip
    # Increments of M are those of J unless the record is coarser than the vibrations, when they no longer correlate.
    moved = np.diff(table.dipole, axis=0).ravel()
    flown = 0.5 * table.dt_fs * (table.current[1:] + table.current[:-1]).ravel()
    norms = np.sqrt((moved @ moved) * (flown @ flown))
    if norms > 0 and moved @ flown > 0.95 * norms and not 0.6 < (moved @ moved) / (moved @ flown) < 1.7:
        raise UserError(f"{path}: the dipole changes {moved @ moved / (moved @ flown):.3g} times as fast as the current "
                        "says; M must be in e Å and J in e Å/fs.")  # fmt: skip
