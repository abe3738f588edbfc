"""Axes of water molecules: their alignment with a direction, and the origin that they give to the dipole of a cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from MDAnalysis.lib.distances import capped_distance, minimize_vectors
from MDAnalysis.lib.mdamath import triclinic_box

from les_ipi.errors import UserError

_LONGEST_BOND_A = 1.4
_BROKEN_A = 1.8
_LEAST_CORRELATION = 0.5


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


def molecular_axes(positions: np.ndarray, cell: np.ndarray, molecules: np.ndarray) -> np.ndarray:
    """Axes of water molecules, from O to the middle of its hydrogens, the direction of the molecular dipole.

    Parameters: ``positions`` (T, N, 3) unwrapped, Å; ``cell`` (3, 3) rows, Å; ``molecules`` (M, 3) from
    :func:`find_molecules`. Returns (T, M, 3), Å. Raises :class:`UserError` when a bond is longer than 1.8 Å.
    """
    oxygen, first, second = (positions[:, molecules[:, k]] for k in range(3))
    box = triclinic_box(*cell)
    bonds = [minimize_vectors((h - oxygen).reshape(-1, 3), box).reshape(oxygen.shape) for h in (first, second)]
    longest = float(np.max([np.linalg.norm(bond, axis=-1).max() for bond in bonds]))
    if longest > _BROKEN_A:
        raise UserError(f"A molecule that was water at first has an O-H distance of {longest:.1f} Å later: it has dissociated.")
    return 0.5 * (bonds[0] + bonds[1])


def alignment(axes: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Mean cosine between the axes of molecules and a direction, ⟨cos θ⟩, frame by frame.

    Parameters: ``axes`` (T, M, 3) from :func:`molecular_axes`; ``direction`` (3,) unit vector. Returns (T,).
    """
    return ((axes @ direction) / np.linalg.norm(axes, axis=-1)).mean(axis=1)


@dataclass(frozen=True)
class DipoleOrigin:
    """Constant that an itinerant dipole is off the dipole of the molecules: ``offset_eA`` (3,), and what of the dipole's
    variance the molecular axes explain, ``correlation`` R².
    """

    offset_eA: np.ndarray
    correlation: float


def dipole_origin(dipole: np.ndarray, axes: np.ndarray) -> DipoleOrigin | None:
    """Origin of the itinerant dipole of a liquid of molecules, from their axes.

    M(t) = M0 + c Σ_m a_m(t) + noise: c from least squares of the fluctuations, M0 from the means. Without molecular axes all
    molecules together have no dipole, so M − M0 is the dipole of the cell itself and its mean is zero without a field, however
    short the run.

    Parameters: ``dipole`` (T, 3) e Å; ``axes`` (T, M, 3) Å at the same times. Returns :class:`DipoleOrigin`, None where the
    axes explain less than half of the variance.
    """
    total = axes.sum(axis=1)
    fluctuation, of_axes = dipole - dipole.mean(axis=0), total - total.mean(axis=0)
    scale = float((fluctuation * of_axes).sum() / (of_axes**2).sum())
    correlation = 1.0 - float(((fluctuation - scale * of_axes) ** 2).sum() / (fluctuation**2).sum())
    if correlation < _LEAST_CORRELATION:
        return None
    return DipoleOrigin((dipole - scale * total).mean(axis=0), correlation)
