"""Waveforms: the field amplitude as a pure function of time, and the keys of ``field.toml`` that each of them has.

Every function takes the time in fs (number or array) and returns the field in V/Å along the direction of the protocol;
nothing is remembered between calls, so a restart continues a waveform exactly. A new waveform is a function and a
registered class with its keys, in this module or in another one that :mod:`les_ipi.driver.fields.protocol` imports.
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from les_ipi.conventions import LARGEST_FIELD_V_A

#: Names of waveforms in files of earlier versions.
_FORMER_NAMES = {"sinus": "sine"}

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]

#: Signs of the five pulses of a PUND sequence: preset, positive, up, negative, down.
PUND_SIGNS = (-1.0, 1.0, 1.0, -1.0, -1.0)


def constant(time_fs: ArrayLike, amplitude: float) -> np.ndarray:
    """Constant field, E = A."""
    return np.full(np.shape(time_fs), float(amplitude))


def sine(time_fs: ArrayLike, amplitude: float, period_fs: float, phase_deg: float = 0.0) -> np.ndarray:
    """Sinusoidal field, E = A sin(2πt/T + φ), with the period T in fs and the phase φ in degrees."""
    return amplitude * np.sin(2.0 * np.pi * np.asarray(time_fs) / period_fs + np.deg2rad(phase_deg))


def triangle(time_fs: ArrayLike, amplitude: float, period_fs: float, phase_deg: float = 0.0) -> np.ndarray:
    """Triangular sweep 0 → A → −A → 0 with the zeros, signs and extrema of :func:`sine`, whose slope is |dE/dt| =
    4A/T.
    """
    turns = np.asarray(time_fs) / period_fs + phase_deg / 360.0
    return amplitude * (4.0 * np.abs(np.mod(turns - 0.25, 1.0) - 0.5) - 1.0)


def step(
    time_fs: ArrayLike, amplitude: float, start_fs: float = 0.0, rise_fs: float = 0.0, end_fs: float | None = None
) -> np.ndarray:
    """Field that is 0 before ``start_fs``, rises linearly to A within ``rise_fs``, and falls back in the same way
    from ``end_fs``.

    Without ``end_fs`` it stays at A.
    """
    on = amplitude * _ramp(time_fs, start_fs, rise_fs)
    return on if end_fs is None else on - amplitude * _ramp(time_fs, end_fs, rise_fs)


def pund(
    time_fs: ArrayLike, amplitude: float, width_fs: float, rise_fs: float, pause_fs: float, start_fs: float = 0.0
) -> np.ndarray:
    """Five trapezoidal pulses −A, A, A, −A, −A (preset, positive, up, negative, down), each with rise, width, fall
    and pause.
    """
    time_fs = np.asarray(time_fs, dtype=float)
    field = np.zeros(time_fs.shape)
    for number, sign in enumerate(PUND_SIGNS):
        begin = start_fs + number * (2.0 * rise_fs + width_fs + pause_fs)
        field = field + sign * step(time_fs, amplitude, begin, rise_fs, begin + rise_fs + width_fs)
    return field


def pulse(
    time_fs: ArrayLike,
    amplitude: float,
    centre_fs: float,
    sigma_fs: float,
    period_fs: float | None = None,
    phase_deg: float = 0.0,
) -> np.ndarray:
    """Gaussian pulse E = A exp(−(t−t₀)²/2σ²) cos(2π(t−t₀)/T + φ); without a period there is no carrier."""
    late = np.asarray(time_fs) - centre_fs
    envelope = amplitude * np.exp(-0.5 * (late / sigma_fs) ** 2)
    return envelope if period_fs is None else envelope * np.cos(2.0 * np.pi * late / period_fs + np.deg2rad(phase_deg))


def table(time_fs: ArrayLike, times_fs: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Interpolate a table E(t) linearly.

    Parameters:
        time_fs: times in fs at which the field is wanted.
        times_fs: array (T,) with the times of the table in fs.
        fields: array (T,) or (T, 3) with the fields of the table in V/Å.

    Returns the fields in V/Å.
    """
    columns = np.atleast_2d(np.asarray(fields, dtype=float).T)
    found = np.stack([np.interp(time_fs, times_fs, column) for column in columns], axis=-1)
    return found if np.ndim(fields) == 2 else found[..., 0]


def _ramp(time_fs: ArrayLike, start_fs: float, rise_fs: float) -> np.ndarray:
    late = np.asarray(time_fs, dtype=float) - start_fs
    if rise_fs == 0.0:
        # The kick at the instant of a jump belongs half to either side, as for a steep ramp centred there.
        return np.heaviside(late, 0.5)
    return np.clip(late / rise_fs, 0.0, 1.0)


class Waveform(BaseModel):
    """What all waveforms share.

    ``direction``: Cartesian, of any length, in i-PI's frame (a along x, b in the xy plane). ``frame``: ``lab``, a Cartesian
    field that stays as it is when the cell changes; or ``reduced``, a fixed voltage along every lattice vector,
    E(t) = h⁻¹h₀ E₀(t) with the cell h₀ (rows are lattice vectors) of the first step. ``stride``: steps between two rows of
    the record.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    direction: tuple[Number, Number, Number]
    frame: Literal["lab", "reduced"] = "reduced"
    stride: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _check_direction(self):
        if not np.linalg.norm(self.direction) > 0:
            raise ValueError("direction is zero: give a vector such as [0, 0, 1]")
        return self

    @classmethod
    def name(cls) -> str:
        """The value of the key ``waveform`` that chooses this waveform."""
        return get_args(cls.model_fields["waveform"].annotation)[0]

    @property
    def unit_vector(self) -> np.ndarray:
        """Direction of length 1, (3,)."""
        return np.asarray(self.direction) / np.linalg.norm(self.direction)

    def shape(self, time_fs: float) -> np.ndarray:
        """Compute the field along the direction of the protocol at a time in fs, in V/Å."""
        raise NotImplementedError

    def field(self, time_fs: float) -> np.ndarray:
        """Compute the Cartesian field (3,) in V/Å at a time in fs; in the frame ``reduced`` it is that in the cell of
        the first step.
        """
        return self.shape(time_fs) * self.unit_vector

    def check_length(self, total_fs: float) -> None:
        """Raise ``UserError`` if the waveform is not defined up to ``total_fs``."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files beside ``field.toml`` that belong to the protocol."""
        return ()

    def load(self, directory: Path) -> None:
        """Read the files of the protocol from a directory. Raises ``UserError`` for a mistake in them."""


#: Every waveform that ``field.toml`` can name.
WAVEFORMS: list[type[Waveform]] = []


def register(kind: type[Waveform]) -> type[Waveform]:
    """Class decorator that registers a waveform, so that ``field.toml`` can name it by the value of its key
    ``waveform``.
    """
    WAVEFORMS.append(kind)
    return kind


def current_name(name: str) -> str:
    """Return the name that a waveform has today; the name that it had in earlier versions is also known."""
    return _FORMER_NAMES.get(name, name)


class Amplitude(Waveform):
    """A waveform whose field is an amplitude times a shape."""

    amplitude: Annotated[float, Field(ge=-LARGEST_FIELD_V_A, le=LARGEST_FIELD_V_A, allow_inf_nan=False)]


@register
class Constant(Amplitude):
    """E = A from the first step on."""

    waveform: Literal["constant"]

    def shape(self, time_fs: float) -> np.ndarray:
        return constant(time_fs, self.amplitude)


@register
class Sine(Amplitude):
    """E = A sin(2πt/T + φ)."""

    waveform: Literal["sine"]
    period_fs: Positive
    phase_deg: Number = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return sine(time_fs, self.amplitude, self.period_fs, self.phase_deg)


@register
class Triangle(Amplitude):
    """Triangular sweep 0 → A → −A → 0 with period T."""

    waveform: Literal["triangle"]
    period_fs: Positive
    phase_deg: Number = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return triangle(time_fs, self.amplitude, self.period_fs, self.phase_deg)


@register
class Step(Amplitude):
    """0, then A from ``start_fs`` (to ``end_fs``), with linear edges of ``rise_fs``."""

    waveform: Literal["step"]
    start_fs: NotNegative = 0.0
    rise_fs: NotNegative = 0.0
    end_fs: Positive | None = None

    @model_validator(mode="after")
    def _check_order(self):
        if self.end_fs is not None and self.end_fs < self.start_fs + self.rise_fs:
            raise ValueError("end_fs lies before the field is fully on (start_fs + rise_fs)")
        return self

    def shape(self, time_fs: float) -> np.ndarray:
        return step(time_fs, self.amplitude, self.start_fs, self.rise_fs, self.end_fs)


@register
class Pund(Amplitude):
    """Five pulses −A, A, A, −A, −A: the switched charge is that of the first minus that of the second of a pair."""

    waveform: Literal["pund"]
    width_fs: Positive
    rise_fs: Positive
    pause_fs: NotNegative
    start_fs: NotNegative = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return pund(time_fs, self.amplitude, self.width_fs, self.rise_fs, self.pause_fs, self.start_fs)


@register
class Pulse(Amplitude):
    """Gaussian pulse A exp(−(t−t₀)²/2σ²), with a carrier cos(2π(t−t₀)/T + φ) if ``period_fs`` is given."""

    waveform: Literal["pulse"]
    centre_fs: Number
    sigma_fs: Positive
    period_fs: Positive | None = None
    phase_deg: Number = 0.0

    def shape(self, time_fs: float) -> np.ndarray:
        return pulse(time_fs, self.amplitude, self.centre_fs, self.sigma_fs, self.period_fs, self.phase_deg)
