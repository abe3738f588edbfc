"""``PREFIX.field``: the record of a field-driven run, with a row per recorded step and the state for a resumed run."""

import os
from pathlib import Path

import numpy as np

from les_ipi.conventions import FIELD_COLUMNS
from les_ipi.driver.fields.driven import Drive, Reference
from les_ipi.driver.fields.waveform import current_name
from les_ipi.errors import UserError

_UNITS = (
    "E V/Å, M (itinerant, since the start, mean over beads) e·Å, J = dM/dt e·Å/fs, volume Å^3, h rows Å, work ∫E·dM eV"
)
_START_DIPOLE = "start_dipole_eA"


class FieldRecord:
    """The open file with the record of a field-driven run; every row leaves this process before i-PI stores its step."""

    def __init__(self, path: str | Path, mode: str):
        self._file = open(path, mode, encoding="utf-8")

    @classmethod
    def create(cls, path: str | Path, header: dict[str, str], reference: Reference) -> "FieldRecord":
        """Begin a new record.

        Parameters:
            path: the file to write.
            header: texts that describe the field, from :func:`les_ipi.driver.fields.protocol.describe`.
            reference: cell and dipole at the first step.

        Returns the open record.
        """
        record = cls(path, "w")
        dipole = "none" if reference.dipole is None else " ".join(f"{x:.14e}" for x in reference.dipole)
        record._file.write(_header(header, dipole))
        return record

    @classmethod
    def resume(cls, path: str | Path, step: int, header: dict[str, str]) -> tuple["FieldRecord", Reference, Drive]:
        """Cut a record back to a step and continue it.

        Parameters:
            path: the file of the record.
            step: the step from which the run goes on.
            header: texts that describe the field of the run that goes on.

        Returns the open record, the first step of the run, and what the field had done by ``step``.

        Raises ``UserError`` if the record is missing, has no row for that step, or was driven by another field.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(
                f"The field record '{path}' is missing, so the run cannot be resumed with its field: start anew."
            )
        found: dict[str, str] = {}
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.startswith("#"):
                key, _, value = line[1:].strip().partition(": ")
                found[key] = value
            elif line.endswith("\n") and int(float(line.split(None, 1)[0])) <= step:
                kept.append(line)
        found["waveform"] = current_name(found.get("waveform", ""))
        for key, value in header.items():
            # A table may have become longer, and with it its largest field.
            if found.get(key) != value and not (header["waveform"] == "table" and key == "amplitude_V_per_A"):
                raise UserError(
                    f"The run in '{path.parent}' was driven with {key} = {found.get(key)}, but the protocol now says {value}: "
                    "resume it with its own protocol, or start a new run."
                )
        rows = {int(row[0]): row for row in (np.array(line.split(), dtype=float) for line in (kept[:1] + kept[-1:]))}
        if 0 not in rows or step not in rows or len(rows[step]) != len(FIELD_COLUMNS):
            raise UserError(
                f"The field record '{path}' has no row for step {step}, from which the run resumes: start anew."
            )
        text = found.get(_START_DIPOLE, "none")
        dipole = None if text == "none" else np.array(text.split(), dtype=float)
        past = Drive(rows[step][5:8], float(rows[step][-1]))
        whole = path.with_name(path.name + ".tmp")
        whole.write_text(_header(header, text) + "".join(kept), encoding="utf-8")
        whole.replace(path)  # a process killed here leaves one of the two, never a part
        return cls(path, "a"), Reference(rows[0][12:21].reshape(3, 3), dipole), past

    def append(self, row: np.ndarray) -> None:
        """Write one row with the columns :data:`les_ipi.conventions.FIELD_COLUMNS`."""
        self._file.write(f"{int(row[0]):d} " + " ".join(f"{value:.14e}" for value in row[1:]) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Bring all rows to the disk."""
        os.fsync(self._file)


def _header(header: dict[str, str], start_dipole: str) -> str:
    lines = {**header, "absolute_dipole": "false", _START_DIPOLE: start_dipole, "units": _UNITS}
    return "".join(f"# {key}: {value}\n" for key, value in lines.items()) + f"# {' '.join(FIELD_COLUMNS)}\n"
