"""The cell of a run: lattice parameters, volume and tetragonality against time and as means with errors."""

import numpy as np

from les_ipi.analysis.runs.cells import CellSeries
from les_ipi.analysis.statistics.uncertainty import Estimate, mean_and_error

#: Names of the lattice parameters, in the order of the columns.
LATTICE_PARAMETERS = ("a_A", "b_A", "c_A", "alpha_deg", "beta_deg", "gamma_deg")


def lattice_parameters(cells: np.ndarray, supercell: tuple[int, int, int] = (1, 1, 1)) -> np.ndarray:
    """Compute the lengths and angles of unit cells from lattice vectors.

    Parameters:
        cells: (..., 3, 3) lattice vectors of the simulation cell as rows, Å.
        supercell: number of unit cells along each lattice vector.

    Returns an array (..., 6) with a, b, c of the unit cell in Å and α, β, γ in degrees.
    """
    cells = np.asarray(cells, dtype=float)
    lengths = np.linalg.norm(cells, axis=-1)
    unit = cells / lengths[..., None]
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = np.stack([np.sum(unit[..., i, :] * unit[..., j, :], axis=-1) for i, j in pairs], axis=-1)
    return np.concatenate([lengths / np.asarray(supercell), np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)


def lattice_estimates(series: CellSeries, supercell: tuple[int, int, int] = (1, 1, 1)) -> dict[str, Estimate]:
    """Compute the mean lattice parameters, volume and tetragonality of a run, with errors for correlated samples.

    ``tetragonality`` is c/a = l_max/√(l_1 l_2) of the lengths at each time, where the polar axis is the one that is
    longest on average. In a cubic crystal it therefore lies above 1 by about its own error. ``volume_A3`` is that of
    the unit cell.

    Parameters:
        series: cells of the run against time.
        supercell: number of unit cells along each lattice vector.

    Returns a dictionary name → :class:`Estimate` with the names of :data:`LATTICE_PARAMETERS`, ``volume_A3``,
    ``tetragonality`` and ``polar_axis``, which is 0, 1 or 2 with the error 0.
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
