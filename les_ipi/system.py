"""One structure: species, positions, cell and periodicity."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AtomicSystem:
    """A structure as the evaluator takes it.

    ==============  =======  ====================================================
    field           shape    meaning, unit
    ==============  =======  ====================================================
    numbers         (N,)     atomic numbers
    positions       (N, 3)   Å, unwrapped (never folded into the cell)
    cell            (3, 3)   Å, rows are lattice vectors; zeros if not periodic
    periodic        bool     True: three-dimensional periodicity; False: isolated
    total_charge    float    e
    ==============  =======  ====================================================
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: bool = True
    total_charge: float = 0.0

    @classmethod
    def from_ase(cls, atoms) -> "AtomicSystem":
        """Convert an ``ase.Atoms``; partial periodicity is refused because slabs are not supported yet.

        Raises ``UserError`` if only one or two of the three directions are periodic or the cell is singular.
        """
        from les_ipi.errors import UserError

        pbc = np.asarray(atoms.pbc, dtype=bool)
        if pbc.any() and not pbc.all():
            raise UserError(
                f"The structure is periodic along {int(pbc.sum())} of 3 directions, but only fully periodic or "
                "isolated systems are supported: set pbc to 'T T T' or 'F F F'."
            )
        cell = np.asarray(atoms.cell.array, dtype=float)
        if pbc.all() and abs(np.linalg.det(cell)) < 1e-8:
            raise UserError(
                "The structure says it is periodic but its cell has no volume: give a Lattice or set pbc='F F F'."
            )
        return cls(
            numbers=np.asarray(atoms.numbers),
            positions=np.asarray(atoms.positions, dtype=float),
            cell=cell if pbc.all() else np.zeros((3, 3)),
            periodic=bool(pbc.all()),
            total_charge=float(atoms.info.get("charge", 0.0)),
        )

    @property
    def volume(self) -> float:
        """Cell volume in Å³ (0 for an isolated system)."""
        return float(abs(np.linalg.det(self.cell))) if self.periodic else 0.0
