"""What one run gives to an estimator: a dipole or a current on a regular grid of time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.errors import UserError


@dataclass(frozen=True)
class Signal:
    """What one run gives to a spectrum.

    ``values`` (T, 3): dipole in e Å or current in e Å/fs; ``kind`` ``dipole`` or ``current``; ``dt_fs``
    spacing; ``volume_A3``; ``temperature_K``.
    """

    values: np.ndarray
    kind: str
    dt_fs: float
    volume_A3: float
    temperature_K: float


def require_nyquist(dt_fs: float, symbols: Sequence[str]) -> None:
    """Refuse a sampling interval that folds bands of the system onto others.

    Nyquist wavenumber 1/(2c dt) must reach 4000 cm⁻¹ with hydrogen (3000 with deuterium).
    Parameters: ``dt_fs``; ``symbols`` of the atoms. Raises :class:`UserError`.
    """
    highest = 4000.0 if "H" in symbols else 3000.0 if "D" in symbols else 0.0
    nyquist = CM1_PER_INVERSE_FS / (2.0 * dt_fs)
    if nyquist < highest:
        raise UserError(
            f"Data every {dt_fs:g} fs reach {nyquist:.0f} cm-1 (Nyquist), but the system has bands up to "
            f"{highest:.0f} cm-1 that would fold back; write every "
            f"{CM1_PER_INVERSE_FS / (2 * highest):.1f} fs or less."
        )
