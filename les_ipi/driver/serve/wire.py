"""Convert between i-PI's atomic units and index orders and those of the package (eV, Å, e).

i-PI sends the cell with lattice vectors as *columns* and expects the virial ``-dE/dε`` (not divided by
the volume). The conversion factors are CODATA ones; i-PI itself rounds its own to eight digits, which only
matters for its input and output files.
"""

import numpy as np

from les_ipi.units import ATOMIC_TIME_FS, BOHR_A, HARTREE_BOHR_EV_A, HARTREE_EV

#: Å/fs per atomic unit of velocity.
ATOMIC_VELOCITY_A_FS = BOHR_A / ATOMIC_TIME_FS


def cell_from_wire(cell: np.ndarray) -> np.ndarray:
    """Convert i-PI's cell, (3, 3) bohr with lattice vectors as columns, to (3, 3) Å with them as rows."""
    return np.asarray(cell, dtype=float).reshape(3, 3).T * BOHR_A


def positions_from_wire(positions: np.ndarray) -> np.ndarray:
    """Convert i-PI's positions, 3N numbers in bohr, to (N, 3) Å; they stay unwrapped."""
    return np.asarray(positions, dtype=float).reshape(-1, 3) * BOHR_A


def energy_to_wire(energy: float) -> float:
    """Convert an energy from eV to hartree."""
    return float(energy) / HARTREE_EV


def forces_to_wire(forces: np.ndarray) -> np.ndarray:
    """Convert forces, (N, 3), from eV/Å to hartree/bohr."""
    return np.ascontiguousarray(forces, dtype=float) / HARTREE_BOHR_EV_A


def virial_to_wire(virial: np.ndarray) -> np.ndarray:
    """Convert a virial −dE/dε, (3, 3), from eV to hartree; the result is always a new array, because i-PI edits it.

    i-PI takes the upper triangle of Σ f_a r_b, whereas the package has Σ r_a f_b. The difference matters only with a
    field, which breaks isotropy.
    """
    return np.array(np.transpose(virial), dtype=float) / HARTREE_EV


def dipole_to_wire(dipole: np.ndarray) -> np.ndarray:
    """Convert a dipole, (3,), from e·Å to e·bohr."""
    return np.asarray(dipole, dtype=float) / BOHR_A
