"""The dipole of a crystal as a function of where its atoms are: Born charges integrated from a reference structure."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from les_ipi.conventions import Property
from les_ipi.errors import UserError
from les_ipi.structures.system import AtomicSystem

if TYPE_CHECKING:
    from les_ipi.evaluation.evaluator import Evaluator

#: Points of the Gauss-Legendre rule along the path.
PATH_POINTS = 4
#: An atom farther than this from its place in the reference, Å, has left its site, and the straight path to it means nothing.
LARGEST_DISPLACEMENT_A = 1.5


def displacements_from(reference: AtomicSystem, system: AtomicSystem) -> np.ndarray:
    """Compute how far the atoms of a crystal are from their sites in a reference structure.

        u_i = (s_i − s_i,ref) h − mean over atoms

    Here s are the fractional coordinates of the unwrapped positions and h is the cell of ``system``, to which the
    reference is strained.

    Parameters:
        reference: the periodic structure that defines the sites.
        system: a periodic structure with the same atoms.

    Returns the displacements (N, 3) in Å.

    Raises ``UserError`` for structures with other atoms, isolated systems, and atoms that have left their sites.
    """
    if not (reference.periodic and system.periodic) or reference.slab or system.slab:
        raise UserError(
            "A dipole is integrated along a path in crystals only, but the structure is not periodic along a, b and c."
        )
    if not np.array_equal(reference.numbers, system.numbers):
        raise UserError(
            f"The reference has {len(reference.numbers)} atoms and the run {len(system.numbers)}, or their elements or order "
            "differ: give the same atoms in the same order."
        )
    moved, farthest = _moved(reference, system)
    if farthest > LARGEST_DISPLACEMENT_A:
        raise UserError(
            f"An atom is {farthest:.2f} Å away from its site in the reference (at most {LARGEST_DISPLACEMENT_A} Å): the "
            "reference belongs to another crystal, or atoms diffuse. For atoms that diffuse, use the integral of the current."
        )
    return moved


def on_their_sites(reference: AtomicSystem, system: AtomicSystem) -> bool:
    """Whether every atom is so near to its site in ``reference`` that a straight path leads there
    (:func:`displacements_from`).
    """
    return _moved(reference, system)[1] <= LARGEST_DISPLACEMENT_A


def _moved(reference: AtomicSystem, system: AtomicSystem) -> tuple[np.ndarray, float]:
    """Displacements without their mean (N, 3) and the largest of them, Å."""
    fractional = system.positions @ np.linalg.inv(system.cell) - reference.positions @ np.linalg.inv(reference.cell)
    moved = (fractional - fractional.mean(axis=0)) @ system.cell
    return moved, float(np.linalg.norm(moved, axis=1).max())


def dipole_from_reference(
    evaluator: "Evaluator", reference: AtomicSystem, systems: list[AtomicSystem], points: int = PATH_POINTS
) -> np.ndarray:
    """Compute the dipole of structures relative to a reference structure, as the integral of Born charges along a
    straight path.

        M_a = ∫₀¹ dλ Σ_i Σ_b Z_i,ab(λ) u_ib

    The displacements u are those of :func:`displacements_from`, and Z are the Born charges of atoms at the sites of
    the reference plus λu, in the cell of each structure. This is a single-valued function of the positions for every
    head, also where ∮Z·dr is not zero; where it is zero, as for the ``transfer`` head, it is the difference of the
    dipoles. Where the cells differ, the reference must have inversion symmetry, because straining it then carries no
    current.

    Parameters:
        evaluator: the evaluator that gives the Born charges.
        reference: the periodic structure in which the dipole is defined as zero.
        systems: B periodic structures with the same atoms.
        points: number of points of the Gauss-Legendre rule for the integral over λ.

    Returns the dipoles (B, 3) in e·Å.

    Raises ``UserError`` as :func:`displacements_from` does, and for models without Born charges.

    Source: King-Smith and Vanderbilt, 10.1103/PhysRevB.47.1651 (the change of P along a path).
    """
    nodes, weights = np.polynomial.legendre.leggauss(points)
    moved = [displacements_from(reference, system) for system in systems]
    path = [
        replace(system, positions=system.positions - (1 - fraction) * u)
        for system, u in zip(systems, moved, strict=True)
        for fraction in 0.5 * (nodes + 1)
    ]
    born = np.stack([r.born_effective_charges for r in evaluator(path, [Property.BORN_EFFECTIVE_CHARGES])])
    born = born.reshape(len(systems), points, -1, 3, 3)
    return np.einsum("k,bknpd,bnd->bp", 0.5 * weights, born, np.stack(moved))
