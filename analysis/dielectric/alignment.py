"""Axes of water molecules: their alignment with a direction, and the origin that they give to the dipole of a cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from MDAnalysis.lib.distances import capped_distance, minimize_vectors
from MDAnalysis.lib.mdamath import triclinic_box

from les_ipi.errors import UserError

_LONGEST_BOND_A = 1.4
_BROKEN_A = 1.8
_LEAST_CORRELATION = 0.8
_TURNING = 0.9  # of the cosine after 1/16 of a run may be left after half of it


def find_molecules(symbols: Sequence[str], positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Find the atoms of every water molecule by distance: each hydrogen belongs to the oxygen nearest to it.

    Parameters:
        symbols: (N,) chemical symbols of the atoms.
        positions: (N, 3) positions of the atoms, Å.
        cell: (3, 3) lattice vectors as rows, Å.

    Returns an array (M, 3) with the indices of the atoms O, H, H of each of the M molecules.

    Raises :class:`UserError` when an oxygen does not have exactly two hydrogens within 1.4 Å.
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
    """Compute the axes of water molecules, from O to the middle of both H, which is the direction of the dipole.

    Parameters:
        positions: (T, N, 3) unwrapped positions of the atoms in T frames, Å.
        cell: (3, 3) lattice vectors as rows, Å, the same in all frames.
        molecules: (M, 3) indices of the atoms O, H, H of each molecule, from :func:`find_molecules`.

    Returns an array (T, M, 3) of axes that are not normalized, Å.

    Raises :class:`UserError` when an O-H bond is longer than 1.8 Å in some frame.
    """
    oxygen, first, second = (positions[:, molecules[:, k]] for k in range(3))
    box = triclinic_box(*cell)
    bonds = [minimize_vectors((h - oxygen).reshape(-1, 3), box).reshape(oxygen.shape) for h in (first, second)]
    longest = float(np.max([np.linalg.norm(bond, axis=-1).max() for bond in bonds]))
    if longest > _BROKEN_A:
        raise UserError(f"A molecule that was water at first has an O-H distance of {longest:.1f} Å later: it has dissociated.")
    return 0.5 * (bonds[0] + bonds[1])


def alignment(axes: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Compute the alignment ⟨cos θ⟩ of each frame: the mean cosine between the axes of its molecules and a direction.

    Parameters:
        axes: (T, M, 3) axes of the molecules, from :func:`molecular_axes`.
        direction: (3,) unit vector of the direction.

    Returns an array (T,) without unit, in -1..1.
    """
    return ((axes @ direction) / np.linalg.norm(axes, axis=-1)).mean(axis=1)


@dataclass(frozen=True)
class DipoleOrigins:
    """Origins of the dipoles of several runs: how far itinerant dipoles are off the dipole of the cell.

    Attributes:
        offsets_eA: (R, 3) constant of each of R runs, e Å.
        scale_e: factor c between the sum of the molecular axes and the dipole, e.
        correlation: R², the part of the variance of the dipoles that the molecular axes explain.
    """

    offsets_eA: np.ndarray
    scale_e: float
    correlation: float


def dipole_origins(dipoles: Sequence[np.ndarray], axes: Sequence[np.ndarray]) -> DipoleOrigins:
    """Determine the origins of the itinerant dipoles of a molecular liquid without a field from its molecular axes.

    The model is M_r(t) = M0_r + c Σ_m a_m(t) + noise. The factor c follows from least squares of the fluctuations of
    all runs together, and M0_r from the means. A liquid has no mean axis, so M_r − M0_r has the mean zero, however
    short the run is. Whatever relaxes slowly in the noise is taken for a part of M0: the variance of M_r − M0_r is too
    small by at most the share 1 − R².

    Parameters:
        dipoles: one array (T_r, 3) for each run, its itinerant dipole, e Å.
        axes: one array (T_r, M, 3) for each run, the axes of its molecules at the same times, Å.

    Returns :class:`DipoleOrigins`.

    Raises :class:`UserError` for molecules that librate without turning, as in ice, whose mean axis need not vanish,
    and for axes that explain less than 0.8 of the variance of the dipoles.
    """
    for record in axes:
        early, late = (_mean_cosine(record, len(record) // part) for part in (16, 2))
        if late > max(_TURNING * early, np.exp(-1.0)):
            found = f"mean cosine {late:.2f} after half a run"
            raise UserError(f"The molecules do not turn ({found}), so their mean axis need not vanish.")
    totals = [record.sum(axis=1) for record in axes]
    moved, turning = (np.concatenate([x - x.mean(axis=0) for x in records]) for records in (dipoles, totals))
    scale = float((moved * turning).sum() / (turning**2).sum())
    correlation = 1.0 - float(((moved - scale * turning) ** 2).sum() / (moved**2).sum())
    if not correlation >= _LEAST_CORRELATION:
        share = f"{correlation:.2f} of the variance of the dipole, less than {_LEAST_CORRELATION}"
        raise UserError(f"The axes of the molecules explain {share}.")
    offsets = [(dipole - scale * total).mean(axis=0) for dipole, total in zip(dipoles, totals, strict=True)]
    return DipoleOrigins(np.array(offsets), scale, correlation)


def _mean_cosine(axes: np.ndarray, lag: int) -> float:
    """Mean cosine between the axes of a molecule ``lag`` frames apart."""
    unit = axes / np.linalg.norm(axes, axis=-1, keepdims=True)
    return float((unit[: len(unit) - lag] * unit[lag:]).sum(axis=-1).mean())
