"""One structure: species, positions, cell and periodicity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from les_ipi.conventions import SPIN_MULTIPLICITY_NAMES, TOTAL_CHARGE_NAMES, Boundary
from les_ipi.errors import UserError


@dataclass(frozen=True)
class AtomicSystem:
    """A structure in the form in which the evaluator takes it.

    ==============  =======  ====================================================
    field           shape    meaning, unit
    ==============  =======  ====================================================
    numbers         (N,)     atomic numbers
    positions       (N, 3)   Å, unwrapped (never folded into the cell)
    cell            (3, 3)   Å, rows are lattice vectors; zeros if not periodic
    periodic        bool     True for crystals, liquids and slabs (see ``slab``); False for an isolated structure
    total_charge    float    e
    slab            bool     True if the structure is periodic along the first two lattice vectors only, with vacuum along
                             the third
    multiplicity    int      spin multiplicity 2S + 1, which only models with ``[state] spin = true`` read
    ==============  =======  ====================================================
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    periodic: bool = True
    total_charge: float = 0.0
    slab: bool = False
    multiplicity: int = 1

    @classmethod
    def from_ase(cls, atoms) -> "AtomicSystem":
        """Convert an ``ase.Atoms`` object.

        The periodicity ``pbc = T T T`` means bulk, ``T T F`` a slab and ``F F F`` an isolated structure. The total
        charge in e and the spin multiplicity are read from ``atoms.info`` (keys ``charge`` or ``total_charge``, and
        ``spin_multiplicity`` or ``multiplicity``); without them they are 0 and 1.

        Parameters:
            atoms: the structure, with positions and cell in Å.

        Returns the structure as an :class:`AtomicSystem`.

        Raises ``UserError`` for a structure that is periodic in any other way, for a periodic structure whose cell
        has no volume, and for a total charge or multiplicity that is not a number or has different values under its
        two names.
        """
        pbc = np.asarray(atoms.pbc, dtype=bool)
        slab = bool(pbc[0] and pbc[1] and not pbc[2])
        if pbc.any() and not (pbc.all() or slab):
            raise UserError(
                f"The structure is periodic along {int(pbc.sum())} of 3 directions, but only bulk (pbc 'T T T'), slabs with "
                "vacuum along the third lattice vector ('T T F') and isolated systems ('F F F') are supported."
            )
        total_charge, multiplicity = charge_and_multiplicity(atoms.info)
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
            total_charge=total_charge,
            multiplicity=multiplicity,
        )

    @property
    def boundary(self) -> Boundary:
        """How the structure repeats: isolated, slab or periodic."""
        if self.slab:
            return Boundary.SLAB
        return Boundary.PERIODIC if self.periodic else Boundary.ISOLATED

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³, or 0 for an isolated structure."""
        return float(abs(np.linalg.det(self.cell))) if self.periodic else 0.0

    def check_vacuum(self) -> None:
        """Check that a slab has enough vacuum for the two-dimensional correction of the long-range sum.

        Periodic images along the third lattice vector are felt as exp(−2π d/a), so the vacuum d must not be thinner
        than the largest in-plane period a.

        Raises ``UserError`` if the vacuum is too thin, or if the atoms are folded across it so that the slab is cut
        in two.
        """
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


def places_by_boundary(systems: Sequence[AtomicSystem]) -> dict[Boundary, list[int]]:
    """Sort the structures of a list by their boundary.

    Parameters:
        systems: the structures.

    Returns a dictionary from every boundary that occurs to the places of its structures in the list, in rising order.
    """
    places: dict[Boundary, list[int]] = {}
    for place, system in enumerate(systems):
        places.setdefault(system.boundary, []).append(place)
    return places


def charge_and_multiplicity(info: Mapping[str, Any]) -> tuple[float, int]:
    """Read the total charge and the spin multiplicity from the information of a frame.

    Parameters:
        info: the key-value pairs of a frame, such as ``atoms.info`` of ASE.

    Returns the total charge in e (0 if the frame has none) and the multiplicity 2S + 1 (1 if the frame has none).

    Raises ``UserError`` for a value that is not a number, for a multiplicity that is not a whole number from 1 on,
    and for two names of the same quantity that contradict each other.
    """
    multiplicity = _number_of(info, SPIN_MULTIPLICITY_NAMES, 1.0)
    if multiplicity < 1 or multiplicity != int(multiplicity):
        raise UserError(f"A frame has a multiplicity 2S + 1 of {multiplicity:g}: give 1 (singlet), 2 (doublet), 3, ...")
    return _number_of(info, TOTAL_CHARGE_NAMES, 0.0), int(multiplicity)


def _number_of(info: Mapping[str, Any], names: tuple[str, ...], default: float) -> float:
    """The number that a frame gives under one of these names. Raises ``UserError`` if it is none, or two that differ."""
    found = {name: info[name] for name in names if info.get(name) is not None}
    try:
        values = {name: float(value) for name, value in found.items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"A frame has {found}, which is not a number: write for example {names[0]}=1.") from error
    if len(set(values.values())) > 1 or not all(np.isfinite(x) for x in values.values()):
        raise UserError(f"A frame has {values}: give one finite number under one of these names.")
    # Adding zero makes a negative zero an ordinary one.
    return next(iter(values.values()), default) + 0.0
