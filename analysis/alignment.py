"""Alignment of water molecules with a direction."""

from collections.abc import Sequence

import numpy as np
from MDAnalysis.lib.distances import capped_distance, minimize_vectors
from MDAnalysis.lib.mdamath import triclinic_box

from les_ipi.errors import UserError

_LONGEST_BOND_A = 1.4


def find_molecules(symbols: Sequence[str], positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Atoms of every water molecule by distance: each hydrogen belongs to the nearest oxygen.

    Parameters: ``symbols`` (N,); ``positions`` (N, 3) Å; ``cell`` (3, 3) rows, Å. Returns (M, 3), indices of O, H, H. Raises
    :class:`UserError` when an oxygen has not two hydrogens within 1.4 Å.
    """
    names = np.array(symbols)
    oxygens, hydrogens = np.flatnonzero(names == "O"), np.flatnonzero(names == "H")
    single = positions.astype(np.float32)
    pairs, distances = capped_distance(single[hydrogens], single[oxygens], _LONGEST_BOND_A, box=triclinic_box(*cell))
    nearest = {}
    for k in np.argsort(distances):
        nearest.setdefault(int(pairs[k, 0]), int(pairs[k, 1]))
    owned = [hydrogens[[h for h, o in nearest.items() if o == oxygen]] for oxygen in range(oxygens.size)]
    wrong = next((k for k, own in enumerate(owned) if own.size != 2), None)
    if wrong is not None:
        raise UserError(
            f"Oxygen {oxygens[wrong] + 1} has {owned[wrong].size} hydrogens within {_LONGEST_BOND_A} Å instead of two: "
            "alignment is defined for intact water molecules."
        )
    return np.column_stack([oxygens, np.array(owned)])


def alignment(positions: np.ndarray, cell: np.ndarray, molecules: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Mean cosine between the axes of water molecules and a direction, ⟨cos θ⟩, frame by frame.

    The axis runs from O to the middle of its hydrogens, the direction of the molecular dipole.

    Parameters: ``positions`` (T, N, 3) unwrapped, Å; ``cell`` (3, 3) rows, Å; ``molecules`` (M, 3) from
    :func:`find_molecules`; ``direction`` (3,) unit vector. Returns (T,).
    """
    oxygen, first, second = (positions[:, molecules[:, k]] for k in range(3))
    box = triclinic_box(*cell)
    bonds = [minimize_vectors((h - oxygen).reshape(-1, 3), box).reshape(oxygen.shape) for h in (first, second)]
    axes = bonds[0] + bonds[1]
    return ((axes @ direction) / np.linalg.norm(axes, axis=-1)).mean(axis=1)
