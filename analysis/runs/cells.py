"""Cell of a run against time."""

from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.errors import UserError
from les_ipi.ipi_files import AtomFile


@dataclass(frozen=True)
class CellSeries:
    """The cell of a run as a function of time.

    Attributes:
        time_fs: time of each record in fs, (T,).
        cells: lattice vectors in Å as the rows of a matrix, (T, 3, 3).
        source: name of the file from which the cells were read.
    """

    time_fs: np.ndarray
    cells: np.ndarray
    source: str

    def after(self, discard_ps: float) -> "CellSeries":
        """The series without its first ``discard_ps`` picoseconds.

        Raises :class:`UserError` if fewer than two records remain.
        """
        keep = self.time_fs >= self.time_fs[0] + 1000.0 * discard_ps - 1e-9
        if keep.sum() < 2:
            raise UserError(f"Discarding {discard_ps:g} ps leaves {keep.sum()} record(s) of the cell in {self.source}.")
        return CellSeries(self.time_fs[keep], self.cells[keep], self.source)


def read_cells(run: RunDirectory) -> CellSeries:
    """Read the cell of a run as a function of time.

    The cells come from the field table, or else from the property ``cell_h``, or else from the headers of a trajectory.

    Parameters: ``run``, the run directory. Returns :class:`CellSeries`. Raises :class:`UserError` when the run holds
    none of them.
    """
    table = run.field_table
    if table is not None:
        return CellSeries(table.time_fs, table.cells, table.path.name)
    series = run.property("cell_h")
    if series is not None:
        # i-PI prints the upper triangle of h, whose columns are the lattice vectors: xx, yy, zz, xy, xz, yz.
        xx, yy, zz, xy, xz, yz = series.values.T
        zero = np.zeros_like(xx)
        rows = np.stack([xx, zero, zero, xy, yy, zero, xz, yz, zz], axis=1)
        return CellSeries(series.time_fs, rows.reshape(-1, 3, 3), series.files[0])
    for path in run.atom_files:
        steps, cells = AtomFile(path).read_cells()
        if steps.size > 1:
            return CellSeries(steps * run.timestep_fs, cells, path.name)
    raise UserError(
        f"{run.path} does not contain its cell: print the property cell_h{{angstrom}} or write a trajectory in the run."
    )
