"""The class that answers i-PI: it evaluates a model for the atoms of a template, with checked replies in atomic units.

The socket client and the ``ffdirect`` PES are two doors to this room, so that all transports give the same
numbers and the same messages.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from les_ipi.conventions import Property
from les_ipi.driver.fields.enthalpy import FieldEnthalpy
from les_ipi.driver.serve import wire
from les_ipi.driver.serve.extras import encode_extras, parse_properties
from les_ipi.driver.serve.options import ServeOptions, Vector
from les_ipi.driver.serve.template import Template, check_charges, symbols
from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import HeadAbilities, check, refusal
from les_ipi.structures.system import AtomicSystem


class Reply(NamedTuple):
    """The answer for one structure in i-PI's units and order.

    The fields are the energy in hartree, the forces (N, 3) in hartree/bohr, the virial (3, 3) in hartree and the
    extras as JSON text.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray
    extras: str


class ForceServer:
    """Evaluates batches of cells and positions as i-PI sends them.

    Parameters:
        evaluator: any object with the methods and results of :class:`les_ipi.evaluation.evaluator.Evaluator`.
        template: the atoms in i-PI's order.
        properties: what to send besides energy, forces and virial, see :mod:`les_ipi.driver.serve.extras`.
        constant_field: constant Cartesian field (3,) in V/Å, or None, see :class:`FieldEnthalpy`.
        voltage: constant voltage (3,) along the lattice vectors in V, or None, see :class:`FieldEnthalpy`.
        beads: number of beads that i-PI sends in turn, which a field needs to know.

    Raises ``UserError`` if the model does not know one of the elements, has no charges for a field, or a property
    name is unknown.
    """

    def __init__(
        self, evaluator, template: Template, properties: str | Iterable[str] = (), *,
        constant_field: Vector | str | None = None, voltage: Vector | str | None = None, beads: int = 1,
    ):  # fmt: skip
        self.evaluator = evaluator
        self.template = template
        head = HeadAbilities.of_card(evaluator.card)
        self.properties = parse_properties(properties)
        if refusal([Property.DIPOLE], head, [template.boundary]) is not None:
            # The dipole is sent wherever there is one; what was asked for besides is refused below.
            self.properties = self.properties[1:]
        self.enthalpy: FieldEnthalpy | None = None
        if constant_field or voltage:
            check_charges(evaluator.card, template)
            # Evaluators other than ours need not take fields; Born charges always do.
            one_pass = getattr(evaluator, "single_valued", False)
            self.enthalpy = FieldEnthalpy(
                constant_field, voltage, single_valued=head.single_valued, beads=beads, one_pass=one_pass
            )
        wanted = (*self.properties, *(self.enthalpy.properties if self.enthalpy else ()))
        self._asked = tuple(dict.fromkeys((Property.ENERGY, Property.FORCES, Property.VIRIAL, *wanted)))
        check(self._asked, head, [template.boundary], model=evaluator.card.get("name", "unnamed"))
        self._checked_cell: np.ndarray | None = None
        self._lock = threading.Lock()
        unknown = set(template.numbers.tolist()) - {int(z) for z in evaluator.species}
        if unknown:
            raise UserError(
                f"The template '{template.path}' contains {symbols(unknown)}, but the model "
                f"'{evaluator.card.get('name', 'unnamed')}' knows only {symbols(evaluator.species)}: "
                "choose a model trained for these elements."
            )

    @classmethod
    def of(cls, evaluator, template: Template, options: ServeOptions) -> "ForceServer":
        """Make the server that gives i-PI what ``options`` ask for; the other parameters are those of the class."""
        asked = options.model_dump(include={"properties", "constant_field", "voltage", "beads"})
        return cls(evaluator, template, **asked)

    def __call__(self, cells: Sequence[np.ndarray], positions: Sequence[np.ndarray]) -> list[Reply]:
        """Answer one batch of structures.

        Parameters:
            cells: the cells, each an array (3, 3) in bohr with lattice vectors as columns.
            positions: the positions, each 3N numbers in bohr, unwrapped.

        Returns one :class:`Reply` for each structure.

        Raises ``UserError`` for a wrong number of atoms, a cell that is smaller than the cutoff, and positions or
        results that are not finite.
        """
        systems = [self.system(cell, xyz) for cell, xyz in zip(cells, positions, strict=True)]
        replies = []
        fields = None
        if self.enthalpy is not None and self.enthalpy.one_pass:
            fields = np.stack([self.enthalpy.cartesian(system) for system in systems])
        for system, results in zip(systems, self.evaluate(systems, self._asked, fields), strict=True):
            energy, forces, virial = results.energy, results.forces, results.virial
            if self.enthalpy is not None:
                energy, forces, virial = self.enthalpy.apply(system, results)
            reply = Reply(
                wire.energy_to_wire(energy),
                wire.forces_to_wire(forces),
                wire.virial_to_wire(virial),
                encode_extras(results, self.properties),
            )
            if not all(np.isfinite(part).all() for part in reply[:3]):
                raise UserError(
                    "The model returned an energy, force or virial that is not a number: the "
                    "structure has left its range; use a smaller time step, a better start or another model."
                )
            replies.append(reply)
        return replies

    def evaluate(
        self, systems: Sequence[AtomicSystem], properties: Iterable[Property], fields: np.ndarray | None = None
    ) -> list:
        """Call the evaluator, one thread at a time; the parameters are those of the evaluator.

        i-PI writes its outputs in parallel threads, and each of them may need forces or a current.
        """
        with self._lock:
            return self.evaluator(systems, properties, **({} if fields is None else {"fields": fields}))

    def system(self, cell: np.ndarray, positions: np.ndarray) -> AtomicSystem:
        """Build the checked ``AtomicSystem`` (Å) of one structure from what i-PI sends.

        Parameters:
            cell: array (3, 3) in bohr with lattice vectors as columns.
            positions: 3N numbers in bohr.

        Returns the structure. Raises ``UserError`` as :meth:`__call__` does.
        """
        xyz = wire.positions_from_wire(positions)
        expected = len(self.template.numbers)
        if len(xyz) != expected:
            raise UserError(
                f"i-PI sent {len(xyz)} atoms, but the template '{self.template.path}' has {expected}: "
                "give the driver the structure that i-PI starts from."
            )
        if not np.isfinite(xyz).all():
            raise UserError("i-PI sent positions that are not numbers: the trajectory has blown up; "
                            "use a smaller time step or a better start.")  # fmt: skip
        box = np.zeros((3, 3))
        if self.template.periodic:
            box = wire.cell_from_wire(cell)
            self._check_cell(box)
        known = self.template
        return AtomicSystem(
            known.numbers, xyz, box, known.periodic, known.total_charge, known.slab, known.multiplicity
        )

    def _check_cell(self, cell: np.ndarray) -> None:
        """Refuse a cell in which an atom would be its own neighbour; repeated cells cost nothing."""
        if self._checked_cell is not None and np.array_equal(cell, self._checked_cell):
            return
        volume = abs(np.linalg.det(cell))
        areas = [np.linalg.norm(np.cross(cell[(k + 1) % 3], cell[(k + 2) % 3])) for k in range(3)]
        height = min(volume / area if area > 0 else 0.0 for area in areas)
        if not height >= self.evaluator.cutoff:
            raise UserError(
                f"The cell is {height:.2f} Å thin, but the model's cutoff is {self.evaluator.cutoff:.2f} Å: "
                'start from a larger supercell (or write pbc="F F F" in the template of an isolated system).'
            )
        self._checked_cell = cell
