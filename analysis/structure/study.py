"""From run directories to lattice, polarization and sublattice order at one or several temperatures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.runs.cells import CellSeries, read_cells
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.universe import run_universe
from les_ipi.analysis.statistics.uncertainty import Estimate, equilibration_start, mean_and_error
from les_ipi.analysis.structure.lattice import lattice_estimates, lattice_parameters
from les_ipi.analysis.structure.perovskite import PBTIO3_CHARGES, find_cells, local_polarization
from les_ipi.analysis.structure.sublattice import RadialDistribution, lindemann_ratio, radial_distribution
from les_ipi.errors import UserError
from les_ipi.ipi_files import AtomFile
from les_ipi.units import E_A2_C_M2

Charges = Mapping[str, float | tuple[float, float]]


@dataclass(frozen=True)
class StructureStudy:
    """Structure of one run: its lattice, the order of its sublattices, and its radial distribution functions.

    Attributes:
        path: directory of the run.
        temperature_K: temperature of the run, K, or None when the input does not state one.
        supercell: number of unit cells along each lattice vector.
        lattice: mean lattice parameters by name, with the unit in the name, from :func:`lattice_estimates`.
        order: polarizations, Lindemann ratios and mean-square displacements by name, with the unit in the name.
        time_fs: (T,) times of the records of the cell, fs.
        lengths_A: (T, 3) lengths a, b, c of the unit cell at these times, Å.
        frame_time_fs: (F,) times of the frames with positions, fs, or None when no positions were needed.
        polarization_C_m2: (F, 3) mean polarization over the unit cells at these times, C/m², or None without Born
            charges.
        distributions: radial distribution function of each pair, under names such as ``O-H``.
        notes: sentences on how the numbers were obtained.
        warnings: sentences on what limits trust in the numbers.
    """

    path: str
    temperature_K: float | None
    supercell: tuple[int, int, int]
    lattice: dict[str, Estimate]
    order: dict[str, Estimate]
    time_fs: np.ndarray
    lengths_A: np.ndarray
    frame_time_fs: np.ndarray | None
    polarization_C_m2: np.ndarray | None
    distributions: dict[str, RadialDistribution]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def study_structure(
    run: RunDirectory,
    charges: Charges | None = None,
    supercell: tuple[int, int, int] | None = None,
    sublattices: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    discard_ps: float = 0.0,
) -> StructureStudy:
    """Compute lattice parameters, perovskite polarization, Lindemann ratios and radial distributions of a run.

    Parameters:
        run: directory of the run.
        charges: Born charges of the elements A, B and X of a perovskite, e, in this order, or None for no polarization;
            those of PbTiO3 are known and need not be given.
        supercell: number of unit cells along each lattice vector; for a perovskite it is found by default.
        sublattices: chemical symbols of the elements whose Lindemann ratios are wanted.
        pairs: pairs of chemical symbols whose radial distribution functions g(r) are wanted.
        discard_ps: time dropped from the start of the run as equilibration, ps.

    Returns :class:`StructureStudy`.

    Raises :class:`UserError` when a record that is needed is missing.
    """
    series = read_cells(run)
    equilibrated = series.after(discard_ps)
    notes, warnings = [f"Cell from {series.source}, {equilibrated.time_fs.size} records"], []
    if charges is None and set(run.symbols) == set(PBTIO3_CHARGES):
        charges = PBTIO3_CHARGES
    n_units = run.symbols.count(list(charges)[1]) if charges else 0
    found = supercell or _supercell(equilibrated.cells.mean(axis=0), n_units)
    _warn_equilibration(equilibrated, warnings)
    order: dict[str, Estimate] = {}
    distributions = {}
    times = polarization = None
    if charges is not None or sublattices or pairs:
        times, positions, cells = _frames(run, discard_ps)
    if charges is not None:
        polarization = _polarization(run.symbols, positions, cells, charges, order, notes)
    for symbol in sublattices:
        chosen = np.flatnonzero(np.array(run.symbols) == symbol)
        if not chosen.size:
            raise UserError(f"There is no {symbol} in {run.path}; it holds {', '.join(sorted(set(run.symbols)))}.")
        ratio, square = lindemann_ratio(positions[:, chosen], cells)
        order[f"lindemann_ratio_{symbol}"], order[f"mean_square_displacement_{symbol}_A2"] = ratio, square
    if pairs:
        universe = run_universe(run)
        if run.n_beads > 1:
            warnings.append("g(r) and Lindemann ratios are those of the centroids, narrower than those of the beads")
        for first, second in pairs:
            begin = len(universe.trajectory) - times.size
            pair = radial_distribution(universe, f"element {first}", f"element {second}", start=begin)
            distributions[f"{first}-{second}"] = pair
    try:
        temperature = run.temperature_K
    except UserError:
        temperature = None
    return StructureStudy(
        path=str(run.path),
        temperature_K=temperature,
        supercell=found,
        lattice=lattice_estimates(equilibrated, found),
        order=order,
        time_fs=equilibrated.time_fs,
        lengths_A=lattice_parameters(equilibrated.cells, found)[:, :3],
        frame_time_fs=times,
        polarization_C_m2=polarization,
        distributions=distributions,
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def order_estimates(mean_polarization: np.ndarray) -> dict[str, Estimate]:
    """Compute order parameters from the polarization of the crystal against time.

    ========================  ==========================================================================
    Name                      Meaning
    ========================  ==========================================================================
    polarization_x_C_m2 ...   mean of each component x, y, z
    order_parameter_C_m2      ⟨|P|⟩, which stays positive in a finite paraelectric cell
    rms_polarization_C_m2     √⟨P²⟩
    ========================  ==========================================================================

    Parameters: ``mean_polarization`` (T, 3), the mean over the unit cells in each of T frames, C/m².

    Returns a dictionary name → :class:`Estimate`.
    """
    result = {
        f"polarization_{axis}_C_m2": Estimate(*mean_and_error(mean_polarization[:, k])) for k, axis in enumerate("xyz")
    }
    size = np.linalg.norm(mean_polarization, axis=1)
    result["order_parameter_C_m2"] = Estimate(*mean_and_error(size))
    square, error = mean_and_error(size**2)
    result["rms_polarization_C_m2"] = Estimate(np.sqrt(square), 0.5 * error / np.sqrt(square) if square > 0 else 0.0)
    return result


def _supercell(cell: np.ndarray, units: int) -> tuple[int, int, int]:
    """Unit cells along each vector of a pseudo-cubic crystal of ``units`` cells; (1, 1, 1) where they do not fit."""
    if not units:
        return (1, 1, 1)
    edge = (abs(np.linalg.det(cell)) / units) ** (1 / 3)
    numbers = np.round(np.linalg.norm(cell, axis=1) / edge).astype(int)
    return tuple(int(n) for n in numbers) if numbers.prod() == units else (1, 1, 1)


def _frames(run: RunDirectory, discard_ps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positions = run.positions()
    if positions is None:
        raise UserError(f"{run.path} holds no positions; write <trajectory filename='pos' stride='..'> x_centroid "
                        "</trajectory> in the run.")  # fmt: skip
    steps, cells = AtomFile(run.path / positions.files[0]).read_cells()
    if not np.isin(positions.steps, steps).all():
        if run.cell is None:
            raise UserError(f"{positions.files[0]} does not contain the cell.")
        cells = np.broadcast_to(run.cell, (positions.steps.size, 3, 3))
    else:
        cells = cells[np.searchsorted(steps, positions.steps)]
    keep = positions.time_fs >= positions.time_fs[0] + 1000.0 * discard_ps - 1e-9
    if keep.sum() < 2:
        raise UserError(f"Discarding {discard_ps:g} ps leaves {keep.sum()} frame(s) of {positions.files[0]}.")
    return positions.time_fs[keep], positions.values[keep], cells[keep]


def _polarization(
    symbols: tuple[str, ...],
    positions: np.ndarray,
    cells: np.ndarray,
    charges: Charges,
    order: dict[str, Estimate],
    notes: list[str],
) -> np.ndarray:
    if len(charges) != 3:
        raise UserError(f"A perovskite needs charges of the three elements A, B and X, but {len(charges)} are given.")
    mean_cell = cells.mean(axis=0)
    mean_sites = (positions @ np.linalg.inv(cells)).mean(axis=0) @ mean_cell
    units = find_cells(symbols, mean_sites, mean_cell, *charges)
    local = local_polarization(positions, cells, units, symbols, charges) * E_A2_C_M2
    mean = local.mean(axis=1)
    order.update(order_estimates(mean))
    order["local_polarization_C_m2"] = Estimate(*mean_and_error(np.linalg.norm(local, axis=-1).mean(axis=1)))
    given = ", ".join(f"{name} {np.array2string(np.atleast_1d(z), separator='/')}" for name, z in charges.items())
    notes.append(f"P of {units.b.size} unit cells with fixed Born charges {given} e about B")
    return mean


def _warn_equilibration(series: CellSeries, warnings: list[str]) -> None:
    volume = np.abs(np.linalg.det(series.cells))
    if np.ptp(volume) < 1e-9 * volume.mean():
        return
    start = equilibration_start(volume)
    if start > 0.1 * volume.size:
        discard = (series.time_fs[start] - series.time_fs[0]) / 1000.0
        warnings.append(f"the volume settles only {discard:.3g} ps later: discard that much more with --discard-ps")
