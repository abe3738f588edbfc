"""A constant field that the driver serves: i-PI sees an ordinary potential, so that every ensemble and motion works.

.. math:: H = U − E·M,   F_iβ = F⁰_iβ + Σ_α Z_{i,αβ} E_α,   W_ab = W⁰_ab + Σ_c E_c Π_cab (+ M_a E_b at fixed Cartesian E)

Two kinds: a Cartesian field E in V/Å, the same whatever the cell does, or a voltage e_a = h_a·E in V along every lattice vector
(fixed reduced field; E = h⁻¹e follows the cell, and the stress has no term with M).

With a single-valued dipole M (``transfer`` head, or oxidation numbers with dipoles) H is a function of the positions, which the
dynamics conserves. Charges that fluctuate, as those of a ``latent`` head, give Z but no M; then M is what has flowed since the
first structure, ∫Z·dr by the trapezoidal rule along the path of every bead. H is conserved up to the error of that rule, of
second order in the time step, but it is no function of the positions: it must not be used for Monte Carlo, replica exchange or
differences between runs, and it starts again from M = 0 with every new driver.
"""

from dataclasses import dataclass

import numpy as np

from les_ipi.conventions import LARGEST_FIELD_V_A, Property
from les_ipi.driver.serve.options import parse_vector
from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import HeadAbilities, Request, check
from les_ipi.structures.system import AtomicSystem

#: Å between two evaluations of a bead: farther is a jump, along which no dipole can be integrated.
_LONGEST_STEP_A = 0.5


class FieldEnthalpy:
    """Adds a constant field to evaluations. Exactly one of ``field`` and ``voltage`` is given.

    Parameters:
        field: constant Cartesian field (3,) in V/Å, as a vector or a text for :func:`parse_vector`.
        voltage: constant voltage (3,) along the lattice vectors in V, as a vector or a text for :func:`parse_vector`.
        single_valued: whether the dipole of the model is a single-valued function of the positions.
        beads: number of structures that i-PI sends in turn, which is needed if the dipole is not single-valued.
        one_pass: whether evaluations are made with the field of :meth:`cartesian`, which needs no Born charges.
    """

    def __init__(self, field=None, voltage=None, *, single_valued: bool, beads: int = 1, one_pass: bool = False):
        vectors = parse_vector(field, "constant field"), parse_vector(voltage, "voltage")
        self.field, self.voltage = (None if vector is None else np.array(vector) for vector in vectors)
        if (self.field is None) == (self.voltage is None):
            raise UserError("A constant field and a voltage are two ways to describe the same field: give exactly one of them.")
        if self.field is not None and np.linalg.norm(self.field) > LARGEST_FIELD_V_A:
            raise UserError(
                f"The constant field of {np.linalg.norm(self.field):g} is above {LARGEST_FIELD_V_A:g} V/Å, at which matter "
                "breaks down: it must be in V/Å (1 V/Å = 1e5 kV/cm)."
            )
        self._head = HeadAbilities("", single_valued)
        self._paths = None if single_valued else _Paths(beads)
        self._first_cell: np.ndarray | None = None
        self.one_pass = one_pass
        #: What an evaluation must contain.
        self.properties: tuple[Property, ...] = (Property.DIPOLE,)
        if not one_pass:
            self.properties += (Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC)

    def apply(self, system: AtomicSystem, results) -> tuple[float, np.ndarray, np.ndarray]:
        """Compute energy, forces and virial of the enthalpy H from an evaluation.

        Parameters:
            system: the structure.
            results: its evaluation, made without a field, or with the field of :meth:`cartesian` if ``one_pass`` is
                True.

        Returns the energy in eV, the forces (N, 3) in eV/Å and the virial (3, 3) in eV.
        """
        field = self.cartesian(system)
        if self.one_pass:
            carried = np.zeros((3, 3)) if self.voltage is None else np.outer(results.dipole, field)
            return results.energy, results.forces, results.virial - carried
        if self._paths is None:
            dipole = results.dipole
        else:
            self._require_constant_cell(system)
            dipole = self._paths.dipole(system, results)
        forces = results.forces + np.einsum("iab,a->ib", results.born_effective_charges, field)
        virial = results.virial + np.einsum("c,cab->ab", field, results.piezoelectric)
        if self.voltage is None:
            virial = virial + np.outer(dipole, field)
        return results.energy - field @ dipole, forces, virial

    def cartesian(self, system: AtomicSystem) -> np.ndarray:
        """Compute the Cartesian field (3,) in V/Å in the cell of a structure."""
        if self.field is not None:
            return self.field
        check([Request.VOLTAGE], self._head, [system.boundary])
        field = np.linalg.solve(system.cell, self.voltage)
        if np.linalg.norm(field) > LARGEST_FIELD_V_A:
            raise UserError(
                f"The voltage corresponds to a field of {np.linalg.norm(field):g} V/Å, above {LARGEST_FIELD_V_A:g} V/Å, at "
                "which matter breaks down: it must be in V along each lattice vector."
            )
        return field

    def _require_constant_cell(self, system: AtomicSystem) -> None:
        if self._first_cell is None:
            self._first_cell = system.cell
        if self.field is not None and np.abs(system.cell - self._first_cell).max() > 1e-9:
            check([Request.CONSTANT_FIELD_AND_MOVING_CELL], self._head, [system.boundary])


@dataclass
class _Path:
    """One bead: what its last evaluation was, and its reduced dipole ∫dM·h⁻¹ since the first, e."""

    system: AtomicSystem
    born: np.ndarray
    piezoelectric: np.ndarray
    reduced: np.ndarray


class _Paths:
    """∫Z·dr along the paths of all beads, which i-PI sends in any order, each once in every round."""

    def __init__(self, beads: int):
        self._beads = beads
        self._paths: list[_Path] = []
        self._waiting: list[_Path] = []

    def dipole(self, system: AtomicSystem, results) -> np.ndarray:
        """The dipole (3,) in e·Å that has flowed on the path that ends at ``system``."""
        now = _Path(system, results.born_effective_charges, results.piezoelectric, np.zeros(3))
        if len(self._paths) < self._beads:
            self._paths.append(now)
            return np.zeros(3)
        if not self._waiting:
            self._waiting = list(self._paths)
        distances = [np.abs(system.positions - path.system.positions).max() for path in self._waiting]
        nearest = int(np.argmin(distances))
        if distances[nearest] > _LONGEST_STEP_A:
            raise UserError(
                f"An atom moved by {distances[nearest]:.2g} Å between two evaluations of a bead, so that the change of the "
                "dipole cannot be integrated. With this model a constant field needs continuous dynamics, and all beads in one "
                "driver process: use a smaller time step, one driver, the right number of beads, or a model with a "
                "single-valued dipole."
            )
        path = self._waiting.pop(nearest)
        path.reduced = path.reduced + _flow(path, now)
        path.system, path.born, path.piezoelectric = now.system, now.born, now.piezoelectric
        return path.reduced @ _frame(system)


def _flow(then: _Path, now: _Path) -> np.ndarray:
    """Reduced dipole (3,) in e that flows between two structures, by the trapezoidal rule."""
    cells = _frame(then.system), _frame(now.system)
    middle = 0.5 * (cells[0] + cells[1])
    moved = (now.system.positions @ np.linalg.inv(cells[1]) - then.system.positions @ np.linalg.inv(cells[0])) @ middle
    strain = np.linalg.solve(middle, cells[1] - cells[0])
    change = np.einsum("iab,ib->a", 0.5 * (then.born + now.born), moved)
    change = change + np.einsum("cab,ab->c", 0.5 * (then.piezoelectric + now.piezoelectric), strain)
    return change @ np.linalg.inv(middle)


def _frame(system: AtomicSystem) -> np.ndarray:
    return system.cell if system.periodic else np.eye(3)
