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
    """Displacements of atoms from their sites in ``reference``, strained to the cell of ``system``, without their mean.

    u_i = (s_i − s_i,ref) h − mean, with fractional coordinates s of the unwrapped positions.
    Parameters: both periodic, with the same atoms. Returns (N, 3), Å. Raises ``UserError`` for other atoms, isolated
    systems, and atoms that have left their sites.
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
    """Whether every atom is near enough to its site in ``reference`` for a straight path (:func:`displacements_from`)."""
    return _moved(reference, system)[1] <= LARGEST_DISPLACEMENT_A


def _moved(reference: AtomicSystem, system: AtomicSystem) -> tuple[np.ndarray, float]:
    """Displacements without their mean (N, 3) and the largest of them, Å."""
    fractional = system.positions @ np.linalg.inv(system.cell) - reference.positions @ np.linalg.inv(reference.cell)
    moved = (fractional - fractional.mean(axis=0)) @ system.cell
    return moved, float(np.linalg.norm(moved, axis=1).max())


def dipole_from_reference(
    evaluator: "Evaluator", reference: AtomicSystem, systems: list[AtomicSystem], points: int = PATH_POINTS
) -> np.ndarray:
    """Itinerant dipole relative to a reference structure, by the straight path from it.

    M_a = ∫₀¹ dλ Σ_i Σ_b Z_i,ab(λ) u_ib with u from :func:`displacements_from` and Z at the sites of the reference + λu, in
    the cell of each structure. A single-valued function of the atoms for every head, also where ∮Z·dr ≠ 0; where it
    vanishes (``transfer`` head) this is the difference of dipoles. Where cells differ the reference must
    have inversion symmetry: straining it then carries no current.

    Parameters: ``reference`` and ``systems``, see :func:`displacements_from`; ``points`` of the Gauss-Legendre rule.
    Returns (B, 3), e·Å. Raises ``UserError`` as :func:`displacements_from`, and for models without Born charges.
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
