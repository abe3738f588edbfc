"""The waveform ``table``: a field that is read from a text file and interpolated."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import PrivateAttr

from les_ipi.conventions import LARGEST_FIELD_V_A
from les_ipi.driver.fields.waveform import Number, Waveform, register, table
from les_ipi.errors import UserError

#: A table in which at least this share of the intervals is equal is regular, and a longer interval is a gap.
_REGULAR = 0.8


@register
class Table(Waveform):
    """E(t) from a text file with columns time (fs) and E (V/Å along ``direction``, or three components), interpolated."""

    waveform: Literal["table"]
    file: str
    direction: tuple[Number, Number, Number] = (0.0, 0.0, 1.0)
    _times_fs: np.ndarray = PrivateAttr()
    _fields: np.ndarray = PrivateAttr()

    @property
    def files(self) -> tuple[str, ...]:
        return (self.file,)

    def load(self, directory: Path) -> None:
        """Read and check the table beside ``field.toml``; raises ``UserError``."""
        path = directory / self.file
        try:
            rows = np.loadtxt(path, ndmin=2)
        except (OSError, ValueError) as error:
            raise UserError(f"The field table '{path}' cannot be read ({error}): give columns of numbers.") from error
        if rows.shape[1] not in (2, 4) or len(rows) < 2:
            raise UserError(
                f"The field table '{path}' has {len(rows)} rows of {rows.shape[1]} columns: give at least two rows of time "
                "(fs) and E, or of time, Ex, Ey and Ez (V/Å)."
            )
        _check_table(path, rows)
        self._times_fs = rows[:, 0]
        self._fields = rows[:, 1] if rows.shape[1] == 2 else rows[:, 1:]

    def shape(self, time_fs: float) -> np.ndarray:
        return table(time_fs, self._times_fs, self._fields)

    def field(self, time_fs: float) -> np.ndarray:
        found = self.shape(time_fs)
        return found if self._fields.ndim == 2 else found * self.unit_vector

    def check_length(self, total_fs: float) -> None:
        first, last = self._times_fs[0], self._times_fs[-1]
        # i-PI rounds its time units to eight digits.
        if first > 0.0 or last < total_fs * (1.0 - 1e-7):
            raise UserError(
                f"The field table '{self.file}' covers {first:g} to {last:g} fs, but the run goes from 0 to {total_fs:g} fs: "
                "extend the table (times without a field need rows with zeros) or shorten the run."
            )

    @property
    def amplitude(self) -> float:
        """Largest field of the table, V/Å."""
        fields = self._fields if self._fields.ndim == 2 else self._fields[:, None]
        return float(np.linalg.norm(fields, axis=1).max())


def _check_table(path: Path, rows: np.ndarray) -> None:
    if not np.isfinite(rows).all():
        raise UserError(
            f"The field table '{path}' has a gap: row {int(np.argmin(np.isfinite(rows).all(1))) + 1} is not a number."
        )
    largest = np.linalg.norm(rows[:, 1:], axis=1).max()
    if largest > LARGEST_FIELD_V_A:
        raise UserError(
            f"The field table '{path}' reaches {largest:g}, above {LARGEST_FIELD_V_A:g} V/Å, at which matter breaks down: the "
            "columns after the time must be in V/Å (1 V/Å = 1e5 kV/cm)."
        )
    spacing = np.diff(rows[:, 0])
    if not (spacing > 0).all():
        row = int(np.argmax(spacing <= 0)) + 2
        raise UserError(f"The field table '{path}' goes back in time at row {row}: times in fs must increase.")
    usual = np.median(spacing)
    regular = np.abs(spacing - usual) < 1e-3 * usual
    if len(spacing) >= 10 and regular.mean() > _REGULAR and spacing.max() > 1.5 * usual:
        row = int(np.argmax(spacing)) + 1
        raise UserError(
            f"The field table '{path}' has a gap of {spacing.max():g} fs after row {row}, where all others are {usual:g} fs "
            "apart: fill it in."
        )
