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
    """A measured spectrum: ``wavenumber_cm1`` (F,), ``n_alpha_cm1`` (F,), and its ``label``."""

    wavenumber_cm1: np.ndarray
    n_alpha_cm1: np.ndarray
    label: str

    def at(self, wavenumber: np.ndarray) -> np.ndarray:
        """n·α interpolated at given wavenumbers [cm⁻¹]; NaN outside the measured range."""
        return np.interp(wavenumber, self.wavenumber_cm1, self.n_alpha_cm1, left=np.nan, right=np.nan)

    def peaks(self, bands: Mapping[str, tuple[float, float]]) -> dict[str, float | None]:
        """Position [cm⁻¹] of the maximum in each range, by the fit of the simulation; None without one."""
        grid = np.arange(np.ceil(self.wavenumber_cm1[0]), self.wavenumber_cm1[-1], 2.0)
        values = self.at(grid)
        found: dict[str, float | None] = {}
        for name, (low, high) in bands.items():
            points = fit_range(grid, values, low, high, 20.0)
            fit = None if points is None else fit_vertex(grid[points], values[points])
            found[name] = fit[0] if fit and low < fit[0] < high else None
        return found


def water_25c() -> Measured:
    """n·α of liquid water at 25 °C (Segelstein 1981, CC0), 5-5984 cm⁻¹."""
    with resources.as_file(resources.files("les_ipi.analysis.infrared") / "data/water_nk_Segelstein1981_25C.csv") as path:
        table = np.loadtxt(path, delimiter=",")
    return Measured(table[:, 0], table[:, 4], "experiment, water 25 °C (Segelstein 1981)")


def read_measured(path: Path) -> Measured:
    """Read a measured spectrum: comma or blank separated, `#` comments, wavenumber [cm⁻¹] and n·α [cm⁻¹].

    With five columns or more the fifth is n·α (wavenumber, n, k, α, n·α), else the second.
    Raises :class:`UserError` when the file cannot be read so.
    """
    try:
        lines = [line.replace(",", " ") for line in path.read_text().splitlines()]
        table = np.loadtxt(lines, ndmin=2)
        column = 4 if table.shape[1] >= 5 else 1
        order = np.argsort(table[:, 0])
        return Measured(table[order, 0], table[order, column], f"experiment ({path.name})")
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a table of wavenumber and n·α in cm-1 ({error}).") from error
