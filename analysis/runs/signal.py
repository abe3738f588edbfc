"""What one run gives to an estimator: a dipole or a current on a regular grid of time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.errors import UserError


@dataclass(frozen=True)
class Signal:
    """The dipole or the current of one run, from which a spectrum or a conductivity is computed.

    Attributes:
        values: the dipole in e Å or the current in e Å/fs of the whole cell, (T, 3), at equal intervals of time.
        kind: ``dipole`` or ``current``.
        dt_fs: time between two values in fs.
        volume_A3: volume of the cell in Å³.
        temperature_K: temperature in K.
    """

    values: np.ndarray
    kind: str
    dt_fs: float
    volume_A3: float
    temperature_K: float


def require_nyquist(dt_fs: float, symbols: Sequence[str]) -> None:
    """Refuse a sampling interval so long that vibrations of the system would appear at wrong wavenumbers.

    The Nyquist wavenumber 1/(2c dt) must reach 4000 cm⁻¹ for systems with hydrogen, and 3000 cm⁻¹ for those with
    deuterium.

    Parameters: ``dt_fs``, the time between frames in fs; ``symbols``, the chemical symbol of each atom. Raises
    :class:`UserError` when the interval is too long.
    """
    highest = 4000.0 if "H" in symbols else 3000.0 if "D" in symbols else 0.0
    nyquist = CM1_PER_INVERSE_FS / (2.0 * dt_fs)
    if nyquist < highest:
        raise UserError(
            f"Data every {dt_fs:g} fs reach {nyquist:.0f} cm-1 (Nyquist), but the system has bands up to "
            f"{highest:.0f} cm-1 that would fold back; write every "
            f"{CM1_PER_INVERSE_FS / (2 * highest):.1f} fs or less."
        )
