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
    periodic        bool     True: periodic, see ``slab``; False: isolated
    total_charge    float    e
    slab            bool     True: periodic along the first two lattice vectors only, vacuum along the third
    ==============  =======  ====================================================
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: bool = True
    total_charge: float = 0.0
    slab: bool = False

    @classmethod
    def from_ase(cls, atoms) -> "AtomicSystem":
        """Convert an ``ase.Atoms``; ``pbc = T T F`` is a slab.

        Raises ``UserError`` for periodicity along one direction, or two others, or a singular cell.
        """
        from les_ipi.errors import UserError

        pbc = np.asarray(atoms.pbc, dtype=bool)
        slab = bool(pbc[0] and pbc[1] and not pbc[2])
        if pbc.any() and not (pbc.all() or slab):
            raise UserError(
                f"The structure is periodic along {int(pbc.sum())} of 3 directions, but only bulk (pbc 'T T T'), slabs with "
                "vacuum along the third lattice vector ('T T F') and isolated systems ('F F F') are supported."
            )
        cell = np.asarray(atoms.cell.array, dtype=float)
        if pbc.any() and abs(np.linalg.det(cell)) < 1e-8:
            raise UserError(
                "The structure says it is periodic but its cell has no volume: give a Lattice (a slab needs a third vector "
                "that spans it and the vacuum) or set pbc='F F F'."
            )
        return cls(
            numbers=np.asarray(atoms.numbers),
            positions=np.asarray(atoms.positions, dtype=float),
            cell=cell if pbc.any() else np.zeros((3, 3)),
            periodic=bool(pbc.any()),
            slab=slab,
            total_charge=float(atoms.info.get("charge", 0.0)),
        )

    @property
    def volume(self) -> float:
        """Cell volume in Å³ (0 for an isolated system)."""
        return float(abs(np.linalg.det(self.cell))) if self.periodic else 0.0

    def check_vacuum(self) -> None:
        """Raise ``UserError`` for a slab whose vacuum is too thin for the two-dimensional correction, or that is cut in two.

        Images along the third vector are felt as exp(−2π d/a): the vacuum d must not be thinner than the largest period a.
        """
        from les_ipi.errors import UserError

        area = np.cross(self.cell[0], self.cell[1])
        normal = area / np.linalg.norm(area)
        height = abs(self.cell[2] @ normal)
        thickness = float(np.ptp(self.positions @ normal))
        period = max(np.linalg.norm(self.cell[0]), np.linalg.norm(self.cell[1]))
        if height - thickness < period:
            raise UserError(
                f"The slab has {max(0.0, height - thickness):.1f} Å of vacuum (atoms span {thickness:.1f} of {height:.1f} Å), "
                f"less than its largest period of {period:.1f} Å: make the third lattice vector longer, which does not change "
                "the energy, and give atoms that are not folded across it."
            )
