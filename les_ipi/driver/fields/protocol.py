"""The field protocol of a run: ``field.toml`` as validated data, and the field that it means at every time."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError, model_validator

from les_ipi.conventions import LARGEST_FIELD_V_A
from les_ipi.driver.fields import waveform
from les_ipi.errors import UserError

#: Modes of i-PI's <dynamics> in which the cell moves, and the two frames differ.
VARIABLE_CELL = ("npt", "nst")

#: A table in which at least this share of the intervals is equal is regular, and a longer interval is a gap.
_REGULAR = 0.8

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Protocol(BaseModel):
    """What all waveforms share.

    ``direction``: Cartesian, of any length, in i-PI's frame (a along x, b in the xy plane). ``frame``: ``lab``, a Cartesian
    field that stays as it is when the cell changes; or ``reduced``, a fixed voltage along every lattice vector,
    E(t) = h⁻¹h₀ E₀(t) with the cell h₀ (rows are lattice vectors) of the first step. ``stride``: steps between two rows of
    the record.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    direction: tuple[_Number, _Number, _Number]
    frame: Literal["lab", "reduced"] = "reduced"
    stride: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _check_direction(self):
        if not np.linalg.norm(self.direction) > 0:
            raise ValueError("direction is zero: give a vector such as [0, 0, 1]")
        return self

    @property
    def unit_vector(self) -> np.ndarray:
        """Direction of length 1, (3,)."""
        return np.asarray(self.direction) / np.linalg.norm(self.direction)

    def shape(self, time_fs: float) -> np.ndarray:
        """Field along the direction, V/Å."""
        raise NotImplementedError

    def field(self, time_fs: float) -> np.ndarray:
        """Cartesian field (3,) in V/Å at a time in fs; in the frame ``reduced``, that in the cell of the first step."""
        return self.shape(time_fs) * self.unit_vector

    def check_length(self, total_fs: float) -> None:
        """Raise ``UserError`` if the waveform is not defined up to ``total_fs``."""


class _Amplitude(_Protocol):
    amplitude: Annotated[float, Field(ge=-LARGEST_FIELD_V_A, le=LARGEST_FIELD_V_A, allow_inf_nan=False)]


class Constant(_Amplitude):
    """E = A from the first step on."""

    waveform: Literal["constant"]

    def shape(self, time_fs: float) -> np.ndarray:
        return waveform.constant(time_fs, self.amplitude)


class Sinus(_Amplitude):
    """E = A sin(2πt/T + φ)."""

    waveform: Literal["sinus"]
    period_fs: _Positive
    phase_deg: _Number = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return waveform.sinus(time_fs, self.amplitude, self.period_fs, self.phase_deg)


class Triangle(_Amplitude):
    """Triangular sweep 0 → A → −A → 0 with period T."""

    waveform: Literal["triangle"]
    period_fs: _Positive
    phase_deg: _Number = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return waveform.triangle(time_fs, self.amplitude, self.period_fs, self.phase_deg)


class Step(_Amplitude):
    """0, then A from ``start_fs`` (to ``end_fs``), with linear edges of ``rise_fs``."""

    waveform: Literal["step"]
    start_fs: _NotNegative = 0.0
    rise_fs: _NotNegative = 0.0
    end_fs: _Positive | None = None

    @model_validator(mode="after")
    def _check_order(self):
        if self.end_fs is not None and self.end_fs < self.start_fs + self.rise_fs:
            raise ValueError("end_fs lies before the field is fully on (start_fs + rise_fs)")
        return self

    def shape(self, time_fs: float) -> np.ndarray:
        return waveform.step(time_fs, self.amplitude, self.start_fs, self.rise_fs, self.end_fs)


class Pund(_Amplitude):
    """Five pulses −A, A, A, −A, −A: the switched charge is that of the first minus that of the second of a pair."""

    waveform: Literal["pund"]
    width_fs: _Positive
    rise_fs: _Positive
    pause_fs: _NotNegative
    start_fs: _NotNegative = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return waveform.pund(time_fs, self.amplitude, self.width_fs, self.rise_fs, self.pause_fs, self.start_fs)


class Pulse(_Amplitude):
    """Gaussian pulse A exp(−(t−t₀)²/2σ²), with a carrier cos(2π(t−t₀)/T + φ) if ``period_fs`` is given."""

    waveform: Literal["pulse"]
    centre_fs: _Number
    sigma_fs: _Positive
    period_fs: _Positive | None = None
    phase_deg: _Number = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return waveform.pulse(time_fs, self.amplitude, self.centre_fs, self.sigma_fs, self.period_fs, self.phase_deg)


class Table(_Protocol):
    """E(t) from a text file with columns time (fs) and E (V/Å along ``direction``, or three components), interpolated."""

    waveform: Literal["table"]
    file: str
    direction: tuple[_Number, _Number, _Number] = (0.0, 0.0, 1.0)
    _times_fs: np.ndarray = PrivateAttr()
    _fields: np.ndarray = PrivateAttr()

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
        return waveform.table(time_fs, self._times_fs, self._fields)

    def field(self, time_fs: float) -> np.ndarray:
        found = self.shape(time_fs)
        return found if self._fields.ndim == 2 else found * self.unit_vector

    def check_length(self, total_fs: float) -> None:
        first, last = self._times_fs[0], self._times_fs[-1]
        # i-PI rounds its time units to eight digits.
        if first > 0.0 or last < total_fs * (1.0 - 1e-7):
            raise UserError(
                f"The field table '{self.file}' covers {first:g} to {last:g} fs, but the run goes from 0 to {total_fs:g} fs: "
                "extend the table (a field of zero must be written, too) or shorten the run."
            )

    @property
    def amplitude(self) -> float:
        """Largest field of the table, V/Å."""
        fields = self._fields if self._fields.ndim == 2 else self._fields[:, None]
        return float(np.linalg.norm(fields, axis=1).max())


Protocol = Constant | Sinus | Triangle | Step | Pund | Pulse | Table
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[Protocol, Field(discriminator="waveform")])


def read_protocol(path: str | Path) -> Protocol:
    """Read and check ``field.toml``; a table is looked for beside it. Raises ``UserError`` for every mistake."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"The field protocol '{path}' does not exist: give a TOML file with a waveform.")
    try:
        protocol = _ADAPTER.validate_python(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The field protocol '{path}' is not valid TOML ({error}).") from error
    except ValidationError as error:
        raise UserError(f"The field protocol '{path}' is wrong: {_first_mistake(error)}.") from error
    if isinstance(protocol, Table):
        protocol.load(path.parent)
    return protocol


def describe(protocol: Protocol) -> dict[str, str]:
    """Waveform, period, amplitude, direction and frame as the texts of the header of a record."""
    period = getattr(protocol, "period_fs", None)
    return {
        "waveform": protocol.waveform,
        "period_fs": "none" if period is None else f"{period:.12g}",
        "amplitude_V_per_A": f"{protocol.amplitude:.12g}",
        "direction": " ".join(f"{x:.12g}" for x in protocol.unit_vector),
        "frame": protocol.frame,
    }


def _first_mistake(error: ValidationError) -> str:
    mistake = error.errors()[0]
    where = ".".join(str(part) for part in mistake["loc"][1:])
    if where == "amplitude" and mistake["type"] in ("greater_than_equal", "less_than_equal"):
        return (
            f"the amplitude {mistake['input']:g} is above {LARGEST_FIELD_V_A:g} V/Å, at which matter breaks down; it must be "
            "in V/Å (1 V/Å = 10 V/nm = 1e5 kV/cm = 100 MV/cm)"
        )
    if mistake["type"].startswith("union_tag"):
        names = "constant, sinus, triangle, step, pund, pulse or table"
        return f'it names no known waveform; write waveform = "..." with one of {names}'
    text = mistake["msg"].removeprefix("Value error, ")
    given = "" if mistake["type"] in ("missing", "value_error") else f" (found {mistake['input']!r})"
    return f"{where}: {text}{given}" if where else f"{text}{given}"


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
