"""Polarization of the unit cells of a perovskite ABO3 from displacements and given Born charges.

The cell around a B atom holds six halves of O and eight eighths of A. Its dipole is that of their charges about B; with
charges that add up to nothing it does not depend on the origin. Source: Meyer and Vanderbilt, 10.1103/PhysRevB.65.104111.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from les_ipi.errors import UserError

#: Born charges of cubic PbTiO3: A, B, O along the B-O-B line and across it. Source: Zhong, King-Smith and Vanderbilt,
#: 10.1103/PhysRevLett.72.3618.
PBTIO3_CHARGES = {"Pb": 3.90, "Ti": 7.06, "O": (-5.83, -2.56)}


@dataclass(frozen=True)
class PerovskiteCells:
    """Which atoms make up each of the C unit cells of a perovskite.

    Attributes:
        b: (C,) index of the B atom at the centre of each unit cell.
        oxygens: (C, 6) indices of its six O atoms.
        corners: (C, 8) indices of its eight A atoms.
        axis: (C, 6) Cartesian axis 0, 1 or 2 along which each line B-O lies.
    """

    b: np.ndarray
    oxygens: np.ndarray
    corners: np.ndarray
    axis: np.ndarray


def find_cells(
    symbols: tuple[str, ...], positions: np.ndarray, cell: np.ndarray, a: str, b: str, x: str = "O"
) -> PerovskiteCells:
    """Find the unit cells of a perovskite in one frame, best in the ideal structure or in that at the start of a run.

    Parameters:
        symbols: (N,) chemical symbols of the atoms.
        positions: (N, 3) positions of the atoms, Å.
        cell: (3, 3) lattice vectors as rows, Å, with the pseudo-cubic axes near x, y and z.
        a, b, x: chemical symbols of the elements A, B and X of the perovskite ABX3.

    Returns :class:`PerovskiteCells`.

    Raises :class:`UserError` when the six nearest ``x`` and the eight nearest ``a`` of each ``b`` are not shared evenly
    between the unit cells, which means that the structure is no perovskite or is too distorted.
    """
    kind = np.array(symbols)
    index = {name: np.flatnonzero(kind == name) for name in (a, b, x)}
    counts = [index[name].size for name in (a, b, x)]
    if not counts[1] or counts[0] != counts[1] or counts[2] != 3 * counts[1]:
        raise UserError(f"{counts[0]} {a}, {counts[1]} {b} and {counts[2]} {x} do not make a perovskite {a}{b}{x}3.")
    oxygens, vectors = _nearest(positions, cell, index[b], index[x], 6)
    corners, _ = _nearest(positions, cell, index[b], index[a], 8)
    for chosen, name, share in ((oxygens, x, 2), (corners, a, 8)):
        used = np.bincount(chosen.ravel(), minlength=kind.size)[index[name]]
        if (used != share).any():
            raise UserError(f"The {chosen.shape[1]} {name} nearest to each {b} are not shared evenly ({used.min()} to "
                            f"{used.max()} cells an atom, expected {share}); give the start structure, or a cell of at "
                            "least 2 x 2 x 2 units.")  # fmt: skip
    return PerovskiteCells(index[b], oxygens, corners, np.argmax(np.abs(vectors), axis=-1))


def local_polarization(
    positions: np.ndarray,
    cells: np.ndarray,
    units: PerovskiteCells,
    symbols: tuple[str, ...],
    charges: Mapping[str, float | tuple[float, float]],
) -> np.ndarray:
    """Compute the polarization of every unit cell of a perovskite from displacements and fixed Born charges.

        p = (e/Ω) [½ Σ_6 Z_O r_O + ⅛ Σ_8 Z_A r_A]

    Here r are the vectors from the B atom to the nearest images of the atoms, and Ω = V/C is the volume of one of the C
    unit cells. The mean over the cells is the polarization of the crystal relative to the centrosymmetric one, in one
    branch.

    Parameters:
        positions: (T, N, 3) positions of the atoms in T frames, Å.
        cells: (T, 3, 3) lattice vectors as rows, Å, or (3, 3) for a constant cell.
        units: atoms of each unit cell, from :func:`find_cells`.
        symbols: (N,) chemical symbols of the atoms.
        charges: Born charge Z* of each element by its symbol, e; for O a pair, along the line B-O-B and across it.

    Returns an array (T, C, 3), e/Å².

    Raises :class:`UserError` for missing charges and for a sum Z_A + Z_B + Z_O∥ + 2 Z_O⊥ beyond 0.3 e. A smaller sum is
    subtracted in equal parts from the five atoms.
    """
    names = [symbols[group.flat[0]] for group in (units.corners, units.b, units.oxygens)]
    missing = [name for name in names if name not in charges]
    if missing:
        raise UserError(f"No Born charge is given for {', '.join(missing)}.")
    z_a, z_b, z_o = (np.broadcast_to(charges[name], 2).astype(float) for name in names)
    total = z_a[0] + z_b[0] + z_o[0] + 2.0 * z_o[1]
    if abs(total) > 0.3:
        raise UserError(f"The Born charges add up to {total:+.3g} e per formula unit, expected 0: the polarization would "
                        "depend on the origin.")  # fmt: skip
    z_a, z_o = z_a[0] - total / 5.0, z_o - total / 5.0
    positions = np.asarray(positions, dtype=float)
    cells = np.broadcast_to(cells, (positions.shape[0], 3, 3))
    volumes = np.abs(np.linalg.det(cells)) / units.b.size
    z_line = np.where(units.axis[..., None] == np.arange(3), z_o[0], z_o[1])
    centre = positions[:, units.b, None, :]
    to_oxygen = _nearest_image(positions[:, units.oxygens] - centre, cells)
    to_corner = _nearest_image(positions[:, units.corners] - centre, cells)
    dipole = 0.5 * np.sum(z_line * to_oxygen, axis=2) + 0.125 * z_a * np.sum(to_corner, axis=2)
    return dipole / volumes[:, None, None]


def _nearest(
    positions: np.ndarray, cell: np.ndarray, centres: np.ndarray, others: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and vectors of the ``count`` nearest of ``others`` around ``centres``, over the 27 nearest images."""
    shifts = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = positions @ np.linalg.inv(cell)
    inside = (inside - np.floor(inside)) @ cell
    images = (inside[others][None] + (shifts @ cell)[:, None]).reshape(-1, 3)
    _, found = cKDTree(images).query(inside[centres], k=count)
    return others[found % others.size], images[found] - inside[centres][:, None]


def _nearest_image(vectors: np.ndarray, cells: np.ndarray) -> np.ndarray:
    reduced = np.einsum("tcki,tij->tckj", vectors, np.linalg.inv(cells))
    return np.einsum("tcki,tij->tckj", reduced - np.round(reduced), cells)
