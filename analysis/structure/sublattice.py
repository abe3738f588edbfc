"""Order of a sublattice: Lindemann ratio of its displacements, radial distribution functions, with errors."""

from dataclasses import dataclass

import MDAnalysis as mda
import numpy as np
from MDAnalysis.analysis.rdf import InterRDF
from MDAnalysis.lib.distances import capped_distance
from MDAnalysis.lib.mdamath import triclinic_box, triclinic_vectors

from les_ipi.analysis.statistics.uncertainty import Estimate, contiguous_blocks, jackknife_error, mean_and_error
from les_ipi.errors import UserError


def lindemann_ratio(
    positions: np.ndarray, cells: np.ndarray, neighbour_distance: float | None = None
) -> tuple[Estimate, Estimate]:
    """Compute the Lindemann ratio: rms displacement of a sublattice over the distance between nearest mean sites.

    δ = √⟨u²⟩/d, where u is the displacement from the mean site in the mean cell, relative to the sublattice as a whole
    (its q = 0 mode is left out). The ratio is around 0.1-0.15 at melting; in a liquid it grows with the length of the
    run.

    Parameters:
        positions: (T, N, 3) unwrapped positions of the atoms of the sublattice, Å.
        cells: (T, 3, 3) lattice vectors as rows, Å, or (3, 3) for a constant cell.
        neighbour_distance: distance d between nearest mean sites, Å; by default it is found from the mean sites.

    Returns δ (no unit) and ⟨u²⟩ (Å²), both with errors.

    Raises :class:`UserError` for fewer than two atoms or two frames.

    Source: Lindemann, Phys. Z. 11, 609 (1910).
    """
    positions = np.asarray(positions, dtype=float)
    if positions.shape[0] < 2 or positions.shape[1] < 2:
        raise UserError("A Lindemann ratio needs at least two frames of at least two atoms.")
    cells = np.broadcast_to(cells, (positions.shape[0], 3, 3))
    mean_cell = cells.mean(axis=0)
    reduced = positions @ np.linalg.inv(cells)
    reduced = reduced - reduced.mean(axis=1, keepdims=True)
    sites = reduced.mean(axis=0)
    square = np.sum(((reduced - sites) @ mean_cell) ** 2, axis=-1).mean(axis=1)
    mean, error = mean_and_error(square)
    ratio = np.sqrt(mean) / (neighbour_distance or nearest_distance(sites, mean_cell))
    return Estimate(float(ratio), float(0.5 * ratio * error / mean) if mean > 0 else 0.0), Estimate(mean, error)


def nearest_distance(sites: np.ndarray, cell: np.ndarray) -> float:
    """Compute the mean distance from a site to the site nearest to it, over periodic images.

    Parameters:
        sites: (N, 3) reduced coordinates of the sites, N ≥ 2.
        cell: (3, 3) lattice vectors as rows, Å.

    Returns the distance in Å.
    """
    box = triclinic_box(*cell)
    positions = ((sites - np.floor(sites)) @ triclinic_vectors(box)).astype(np.float32)
    reach = 2.0 * (abs(np.linalg.det(cell)) / len(sites)) ** (1 / 3)
    nearest = np.full(len(sites), np.inf)
    while not np.isfinite(nearest).all():
        pairs, distances = capped_distance(positions, positions, reach, box=box)
        other = pairs[:, 0] != pairs[:, 1]
        np.minimum.at(nearest, pairs[other, 0], distances[other])
        reach *= 1.5
    return float(nearest.mean())


@dataclass(frozen=True)
class RadialDistribution:
    """Radial distribution function g(r) in B bins.

    Attributes:
        r_A: (B,) middles of the bins, Å.
        g: (B,) values of g(r), without unit.
        error: (B,) standard error over blocks of time; NaN when there is only one block.
        coordination: (B,) mean number of neighbours up to the end of each bin.
    """

    r_A: np.ndarray
    g: np.ndarray
    error: np.ndarray
    coordination: np.ndarray


def radial_distribution(
    universe: mda.Universe,
    first: str,
    second: str,
    r_max: float | None = None,
    bins: int = 200,
    blocks: int = 10,
    start: int = 0,
) -> RadialDistribution:
    """Compute the radial distribution function of two selections, with jackknife errors over blocks of time.

    The function itself is that of MDAnalysis.

    Parameters:
        universe: trajectory with a periodic box.
        first, second: MDAnalysis selections such as ``element O``; they are the same, or have no common atoms.
        r_max: largest distance, Å; by default half the shortest width of the cell.
        bins: number of bins between 0 and ``r_max``.
        blocks: largest number of blocks of time for the errors.
        start: index of the first frame that is used.

    Returns :class:`RadialDistribution`.

    Raises :class:`UserError` for selections that are invalid, empty or overlapping, for a run without a cell, and for a
    range beyond half the cell.
    """
    groups = []
    for selection in (first, second):
        try:
            group = universe.select_atoms(selection)
        except mda.exceptions.SelectionError as error:
            raise UserError(f"'{selection}' is not a selection that MDAnalysis knows ({error}).") from error
        if not len(group):
            raise UserError(f"The selection '{selection}' holds no atoms.")
        groups.append(group)
    same = groups[0] == groups[1]
    if not same and len(groups[0] & groups[1]):
        raise UserError(f"'{first}' and '{second}' share some atoms; give the same selection twice, or disjoint ones.")
    if universe.dimensions is None:
        raise UserError("A radial distribution needs a periodic cell, and this run has none.")
    widths = 1.0 / np.linalg.norm(np.linalg.inv(triclinic_vectors(universe.dimensions)), axis=0)
    largest = 0.5 * float(widths.min())
    r_max = largest if r_max is None else r_max
    if r_max > 1.001 * largest:
        raise UserError(f"A range of {r_max:g} Å is too long: expected at most half the cell, {largest:.4g} Å.")
    curves, numbers, weights = [], [], []
    for block in contiguous_blocks(len(universe.trajectory) - start, blocks):
        block = block + start
        rdf = InterRDF(*groups, nbins=bins, range=(0.0, r_max), exclusion_block=(1, 1) if same else None)
        results = rdf.run(start=int(block[0]), stop=int(block[-1]) + 1).results
        curves.append(results.rdf)
        numbers.append(np.cumsum(results.count) / (block.size * len(groups[0])))
        weights.append(float(block.size))
    g, weight = np.array(curves), np.array(weights)
    mean = weight @ g / weight.sum()
    error = np.full(bins, np.nan)
    if len(g) > 1:
        error = jackknife_error((weight.sum() * mean - weight[:, None] * g) / (weight.sum() - weight)[:, None])
    return RadialDistribution(results.bins, mean, error, weight @ np.array(numbers) / weight.sum())
