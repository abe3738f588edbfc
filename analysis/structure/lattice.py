"""The cell of a run: lattice parameters, volume and tetragonality against time and as means with errors."""

from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.readers import AtomFile
from les_ipi.analysis.statistics.uncertainty import Estimate, mean_and_error
from les_ipi.errors import UserError

#: Names of the lattice parameters, in the order of the columns.
LATTICE_PARAMETERS = ("a_A", "b_A", "c_A", "alpha_deg", "beta_deg", "gamma_deg")


@dataclass(frozen=True)
class CellSeries:
    """Cell against time: ``time_fs`` (T,), ``cells`` (T, 3, 3) rows of lattice vectors, Å; ``source`` file."""

    time_fs: np.ndarray
    cells: np.ndarray
    source: str

    def after(self, discard_ps: float) -> "CellSeries":
        """The series without its first ``discard_ps``; raises :class:`UserError` if fewer than two records remain."""
        keep = self.time_fs >= self.time_fs[0] + 1000.0 * discard_ps - 1e-9
        if keep.sum() < 2:
            raise UserError(f"Discarding {discard_ps:g} ps leaves {keep.sum()} record(s) of the cell in {self.source}.")
        return CellSeries(self.time_fs[keep], self.cells[keep], self.source)


def read_cells(run: RunDirectory) -> CellSeries:
    """Cell against time: from the field table, the property ``cell_h``, or the headers of a trajectory.

    Parameters: ``run``. Returns :class:`CellSeries`. Raises :class:`UserError` when none of them is there.
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
    files = [group[0] for name, group in run.bead_files.items() if name.endswith("xyz")]
    files += sorted(run.path.glob(f"{run.input.prefix}.*xyz"))
    for path in files:
        steps, cells = AtomFile(path).read_cells()
        if steps.size > 1:
            return CellSeries(steps * run.timestep_fs, cells, path.name)
    raise UserError(f"{run.path} does not tell its cell: print the property cell_h{{angstrom}}, or a trajectory.")


def lattice_parameters(cells: np.ndarray, supercell: tuple[int, int, int] = (1, 1, 1)) -> np.ndarray:
    """Lengths and angles of cells.

    Parameters: ``cells`` (..., 3, 3) rows of lattice vectors, Å; ``supercell`` number of unit cells along each.
    Returns (..., 6): a, b, c of the unit cell in Å, α, β, γ in degrees.
    """
    cells = np.asarray(cells, dtype=float)
    lengths = np.linalg.norm(cells, axis=-1)
    unit = cells / lengths[..., None]
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = np.stack([np.sum(unit[..., i, :] * unit[..., j, :], axis=-1) for i, j in pairs], axis=-1)
    return np.concatenate([lengths / np.asarray(supercell), np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)


def lattice_estimates(series: CellSeries, supercell: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Estimate]:
    """Mean lattice parameters, volume and tetragonality of a run with errors for correlated samples.

    ``tetragonality`` is c/a = l_max/√(l_1 l_2) of lengths against time, the polar axis being the longest on average: in a
    cubic crystal it lies above 1 by about its own error. ``volume_A3`` is that of the unit cell.

    Parameters: ``series``; ``supercell``. Returns name → :class:`Estimate`; ``polar_axis`` is 0, 1 or 2 (error 0).
    """
    values = lattice_parameters(series.cells, supercell)
    result = {name: Estimate(*mean_and_error(values[:, k])) for k, name in enumerate(LATTICE_PARAMETERS)}
    volume = np.abs(np.linalg.det(series.cells)) / np.prod(supercell)
    result["volume_A3"] = Estimate(*mean_and_error(volume))
    axis = int(np.argmax(values[:, :3].mean(axis=0)))
    others = [k for k in range(3) if k != axis]
    ratio = values[:, axis] / np.sqrt(values[:, others].prod(axis=1))
    result["tetragonality"] = Estimate(*mean_and_error(ratio))
    result["polar_axis"] = Estimate(float(axis), 0.0)
    return result
