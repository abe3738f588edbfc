"""Measured spectra: what is packaged, reading a table, and values on the grid of a simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from les_ipi.analysis.infrared.peaks import fit_range, fit_vertex
from les_ipi.errors import UserError


@dataclass(frozen=True)
class Measured:
    """A measured absorption spectrum.

    Attributes:
        wavenumber_cm1: wavenumbers in cm⁻¹, (F,), increasing.
        n_alpha_cm1: measured absorption n·α in cm⁻¹, (F,).
        label: name of the spectrum in figures and records.
    """

    wavenumber_cm1: np.ndarray
    n_alpha_cm1: np.ndarray
    label: str

    def at(self, wavenumber: np.ndarray) -> np.ndarray:
        """Interpolate the measured n·α.

        Parameters: ``wavenumber`` in cm⁻¹, any shape. Returns n·α in cm⁻¹, an array of the same shape, with NaN outside
        the measured range.
        """
        return np.interp(wavenumber, self.wavenumber_cm1, self.n_alpha_cm1, left=np.nan, right=np.nan)

    def peaks(self, bands: Mapping[str, tuple[float, float]]) -> dict[str, float | None]:
        """Find the maximum of the measured spectrum in each range, by the same fit as in simulated spectra.

        Parameters: ``bands``, name → (lowest, highest) wavenumber in cm⁻¹. Returns name → position of the maximum in
        cm⁻¹, or None where the range holds no maximum.
        """
        grid = np.arange(np.ceil(self.wavenumber_cm1[0]), self.wavenumber_cm1[-1], 2.0)
        values = self.at(grid)
        found: dict[str, float | None] = {}
        for name, (low, high) in bands.items():
            points = fit_range(grid, values, low, high, 20.0)
            fit = None if points is None else fit_vertex(grid[points], values[points])
            found[name] = fit[0] if fit and low < fit[0] < high else None
        return found


def water_25c() -> Measured:
    """The measured n·α of liquid water at 25 °C from 5 to 5984 cm⁻¹, which is part of the package.

    Returns :class:`Measured`. Source: Segelstein 1981 (CC0).
    """
    with resources.as_file(resources.files("les_ipi.analysis.infrared") / "data/water_nk_Segelstein1981_25C.csv") as path:
        table = np.loadtxt(path, delimiter=",")
    return Measured(table[:, 0], table[:, 4], "experiment, water 25 °C (Segelstein 1981)")


def read_measured(path: Path) -> Measured:
    """Read a measured spectrum from a text file.

    Columns are separated by commas or blanks, and `#` begins a comment. The first column is the wavenumber in cm⁻¹. In
    a file of five columns or more (wavenumber, n, k, α, n·α) the fifth is n·α in cm⁻¹, and in other files the second
    is.

    Parameters: ``path`` of the file. Returns :class:`Measured`, sorted by wavenumber, with the name of the file in its
    label. Raises :class:`UserError` when the file cannot be read like this.
    """
    try:
        lines = [line.replace(",", " ") for line in path.read_text().splitlines()]
        table = np.loadtxt(lines, ndmin=2)
        column = 4 if table.shape[1] >= 5 else 1
        order = np.argsort(table[:, 0])
        return Measured(table[order, 0], table[order, column], f"experiment ({path.name})")
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a table of wavenumber and n·α in cm-1 ({error}).") from error
