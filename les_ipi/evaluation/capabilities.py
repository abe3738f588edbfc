"""What a model can give, by property, charge head and boundary: one table that is asked before anything is computed.

Whoever needs something of a model (the evaluator, the driver, a field, the checks before a training) names it as a
:class:`~les_ipi.conventions.Property` or a :class:`Request`. The first row of :data:`REFUSALS` that fits is the answer, a
sentence for the user; what no row refuses is allowed. Nothing here imports torch.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from les_ipi.conventions import Boundary, Property
from les_ipi.errors import UserError


class Request(StrEnum):
    """What can be asked of a model besides the properties of a structure."""

    #: Energy, forces and virial of U − E·M from one pass.
    ENTHALPY = "enthalpy"
    #: A field of any kind in a simulation.
    FIELD = "field"
    #: A voltage along the lattice vectors.
    VOLTAGE = "voltage"
    #: A field of ``les-ipi run --field`` that is fixed in the lab frame while the cell moves.
    LAB_FIELD_AND_MOVING_CELL = "field in the lab frame at constant pressure"
    #: A constant Cartesian field of the driver while the cell moves.
    CONSTANT_FIELD_AND_MOVING_CELL = "constant field at constant pressure"
    #: A constant field that several drivers serve.
    FIELD_OF_SEVERAL_DRIVERS = "constant field of several drivers"
    #: A cell that moves with the pressure.
    PRESSURE = "pressure"
    #: Labels that a training compares with.
    BORN_LABEL = "born"
    DIPOLE_LABEL = "dipole label"
    DIPOLE_DIFFERENCE_LABEL = "dipole_difference"
    QUADRUPOLE_LABEL = "quadrupole label"
    POLARIZABILITY_LABEL = "polarizability label"


@dataclass(frozen=True)
class HeadAbilities:
    """What the table of refusals must know of a charge head.

    The fields other than ``name`` are those attributes of :class:`les_ipi.models.heads.ChargeHead` that say what a
    head can do.
    """

    name: str
    single_valued: bool = False
    equivariant: bool = False
    induces_charge: bool = False
    induces_dipole: bool = False
    equilibrates: bool = False

    @classmethod
    def of_head(cls, head: Any) -> "HeadAbilities":
        """Read the abilities from the charge head of a model; ``head`` is None for a model without charges."""
        if head is None:
            return cls("none")
        return cls(
            head.name, head.single_valued_polarization, head.equivariant, head.induces_charge, head.induces_dipole,
            head.equilibrates,
        )  # fmt: skip

    @classmethod
    def of_card(cls, card: dict[str, Any]) -> "HeadAbilities":
        """Read the abilities from the card of a model, which is all that a driver knows of an evaluator."""
        name, level = card.get("charge_head", ""), card.get("multipole_level") or ""
        return cls(
            name, bool(card.get("dipole_single_valued")), name == "multipole", "iq" in level, "iu" in level,
            name == "equilibration",
        )  # fmt: skip

    @property
    def has_charges(self) -> bool:
        """Whether there is a charge head at all."""
        return self.name != "none"

    @property
    def induces(self) -> bool:
        """Whether charges or dipoles are induced."""
        return self.induces_charge or self.induces_dipole


@dataclass(frozen=True)
class Refusal:
    """A row of the table: requests that are refused, for which heads and boundaries, and the sentence that says so.

    Attributes:
        requests: the properties and requests that the row refuses.
        heads: function that says whether the row applies to a head.
        sentence: text for the user, which may use ``{request}``, ``{model}``, ``{head}``, ``{charge}`` and the facts
            that the caller gives.
        boundaries: the boundaries at which the row applies.
        charged: True if the row applies only to systems with a net charge.
    """

    requests: Collection[str]
    heads: Callable[[HeadAbilities], bool]
    sentence: str
    boundaries: Collection[Boundary] = tuple(Boundary)
    charged: bool = False


_IN_VACUUM = (Boundary.ISOLATED, Boundary.SLAB)
_REPEATED = (Boundary.SLAB, Boundary.PERIODIC)
_MOMENTS = (Property.CHARGES, Property.DIPOLE, Property.QUADRUPOLE, Property.BORN_EFFECTIVE_CHARGES)
_RESPONSES = (Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC)
_LABELS = (
    Request.BORN_LABEL, Request.DIPOLE_LABEL, Request.DIPOLE_DIFFERENCE_LABEL, Request.QUADRUPOLE_LABEL,
    Request.POLARIZABILITY_LABEL,
)  # fmt: skip


def _any_head(head: HeadAbilities) -> bool:
    return True


def _no_charges(head: HeadAbilities) -> bool:
    return not head.has_charges


def _many_valued(head: HeadAbilities) -> bool:
    return not head.single_valued


_NO_ENTHALPY = (
    "An enthalpy U − E·M needs a single-valued dipole: the transfer head, oxidation numbers with dipoles, or the "
    "multipole and equilibration heads for isolated systems. For other models ask for the Born charges Z: the force of the "
    "field E is Z·E."
)

#: Properties of one structure, and energies in a field.
_EVALUATION = (
    Refusal(
        (*_MOMENTS, Property.PIEZOELECTRIC),
        _no_charges,
        "The model '{model}' has no charges, so it cannot give {request}: choose a model with a charge head.",
    ),
    Refusal(
        (Property.PIEZOELECTRIC,),
        lambda head: head.equilibrates,
        "The piezoelectric tensor of the 'equilibration' head is not implemented: use the latent or transfer head, or "
        "permanent moments (level q, u or uQ of the multipole head).",
    ),
    Refusal(
        (Property.PIEZOELECTRIC,),
        lambda head: head.induces,
        "The piezoelectric tensor of induced charges and dipoles is not implemented: use the latent or transfer head, or "
        "permanent moments (level q, u or uQ of the multipole head).",
    ),
    Refusal(
        (Property.POLARIZABILITY,),
        lambda head: not head.induces_dipole,
        "This model has no polarizabilities: use a model with the 'multipole' head at a level with induced dipoles "
        "(iu, uiu, uiqiu, uQiqiu).",
    ),
    Refusal(
        (Property.BORN_EFFECTIVE_CHARGES,),
        lambda head: head.equilibrates,
        "Charges of the 'equilibration' head flow through the whole cell, as in a metal, so periodic systems have no "
        "Born charges and no piezoelectric tensor: use the latent, transfer or multipole head for them.",
        _REPEATED,
    ),
    Refusal(
        (Property.PIEZOELECTRIC,),
        lambda head: head.equivariant and not head.single_valued,
        "The piezoelectric tensor of molecules and slabs with the 'multipole' head is not implemented for charges that "
        "fluctuate: use another head, or a structure that is periodic along a, b and c.",
        _IN_VACUUM,
    ),
    Refusal(
        (Property.QUADRUPOLE,),
        _any_head,
        "A quadrupole is defined for isolated structures only: ask for it with pbc='F F F'.",
        _REPEATED,
    ),
    Refusal(
        (Request.ENTHALPY,),
        lambda head: not head.single_valued and not (head.equivariant or head.equilibrates),
        _NO_ENTHALPY,
    ),
    Refusal(
        (Request.ENTHALPY,),
        _many_valued,
        _NO_ENTHALPY,
        _REPEATED,
    ),
    Refusal(
        (Property.CHARGES, Property.DIPOLE, Property.BORN_EFFECTIVE_CHARGES, Property.POLARIZABILITY),
        lambda head: head.induces,
        "Charges, dipoles, Born charges and polarizabilities of a slab are not defined for this model with induced "
        "moments, because ε_e of a cell with vacuum is unknown: ask for energy, forces and virial only.",
        (Boundary.SLAB,),
    ),
)

#: Fields in a simulation.
_FIELDS = (
    Refusal(
        (Request.FIELD,),
        _no_charges,
        "The model '{model}' has no charges, so a field has no force on it: choose a model with a charge head.",
    ),
    Refusal(
        (Request.FIELD,),
        _any_head,
        "The system is a slab, periodic along 2 of 3 directions. A field along its normal would be that of a capacitor, "
        "which the boundary conditions of the model do not describe: leave out the field, or give a cell that is periodic "
        "along all three directions.",
        (Boundary.SLAB,),
    ),
    Refusal(
        (Request.FIELD,),
        _any_head,
        "The system has a net charge of {charge:g} e, so that a field accelerates it as a whole without end: add "
        "counter-ions, or leave out the field.",
        charged=True,
    ),
    Refusal(
        (Request.VOLTAGE,),
        _any_head,
        "A voltage is applied along the lattice vectors, but the system is isolated and has none: give a constant field.",
        (Boundary.ISOLATED,),
    ),
    Refusal(
        (Request.LAB_FIELD_AND_MOVING_CELL,),
        _many_valued,
        "A field that is fixed in the lab frame at constant pressure needs the absolute dipole, which this model does "
        'not have: use frame = "reduced" (a fixed voltage), or a model with a single-valued dipole.',
    ),
    Refusal(
        (Request.CONSTANT_FIELD_AND_MOVING_CELL,),
        _many_valued,
        "The cell moves in a constant Cartesian field, whose stress needs the absolute dipole, and this model has none: "
        "give a voltage instead, or use a model with a single-valued dipole.",
    ),
    Refusal(
        (Request.FIELD_OF_SEVERAL_DRIVERS,),
        _many_valued,
        "{drivers} drivers would share the beads, but with this model a constant field needs one driver that follows all "
        "beads: use --drivers 1, or a model with a single-valued dipole.",
    ),
    Refusal(
        (Request.PRESSURE,),
        _any_head,
        "The system is isolated, so it has no pressure: use nve or nvt.",
        (Boundary.ISOLATED,),
    ),
)

#: Labels that a training compares with; ``{loss}`` is the name of the weight, ``{count}`` the number of frames.
_TRAINING = (
    Refusal(
        _LABELS,
        _no_charges,
        "A stage of [training] weighs '{loss}', but head = \"none\" has no charges: choose another head.",
    ),
    Refusal(
        (Request.BORN_LABEL,),
        lambda head: head.equilibrates,
        "A stage of [training] weighs 'born', but {count} frames with Born charges are periodic, which the 'equilibration' "
        "head does not have: use another head, or files of molecules.",
        _REPEATED,
    ),
    Refusal(
        (Request.DIPOLE_LABEL,),
        _many_valued,
        "A stage of [training] weighs 'dipole', but {count} frames with a dipole are periodic, where that of the '{head}' "
        "head depends on the images of the atoms: use head = \"transfer\", formal_scale = \"oxidation\", the loss 'born', "
        "or files of molecules.",
        _REPEATED,
    ),
    Refusal(
        (Request.DIPOLE_DIFFERENCE_LABEL,),
        _many_valued,
        "The loss 'dipole_difference' needs a single-valued polarization, which the '{head}' head does not have: use "
        "head = \"transfer\", formal_scale = \"oxidation\", or the loss 'born'.",
    ),
    Refusal(
        (Request.DIPOLE_DIFFERENCE_LABEL,),
        _any_head,
        "The loss 'dipole_difference' is for periodic frames, but no frame with a dipole is periodic: use the loss 'dipole'.",
        _IN_VACUUM,
    ),
    Refusal(
        (Request.QUADRUPOLE_LABEL,),
        _any_head,
        "The loss 'quadrupole' is for molecules, but all frames with a quadrupole are periodic: set its weight to 0.",
        _REPEATED,
    ),
    Refusal(
        (Request.POLARIZABILITY_LABEL,),
        lambda head: not head.induces_dipole,
        "A stage of [training] weighs 'polarizability', which the '{head}' head does not have at this level: use "
        'head = "multipole" with level = "iu", "uiu", "uiqiu" or "uQiqiu".',
    ),
)

REFUSALS = (*_EVALUATION, *_FIELDS, *_TRAINING)


def refusal(
    requests: Iterable[str],
    head: HeadAbilities,
    boundaries: Iterable[Boundary],
    *,
    charge: float = 0.0,
    model: str = "unnamed",
    **facts: Any,
) -> str | None:
    """Find the sentence of the first row of the table that refuses one of the requests at one of the boundaries.

    Parameters:
        requests: names of the properties and requests.
        head: abilities of the charge head of the model.
        boundaries: the boundaries of the structures.
        charge: net charge of the system in e.
        model: name of the model.
        facts: values of what else the sentences name.

    Returns the sentence, or None if everything is allowed.
    """
    asked, found = list(requests), set(boundaries)
    for row in REFUSALS:
        refused = next((request for request in asked if request in row.requests), None)
        if refused is None or not found & set(row.boundaries) or (row.charged and not charge) or not row.heads(head):
            continue
        return row.sentence.format(request=refused, head=head.name, charge=charge, model=model, **facts)
    return None


def check(requests: Iterable[str], head: HeadAbilities, boundaries: Iterable[Boundary], **facts: Any) -> None:
    """Raise ``UserError`` with the sentence of :func:`refusal` if there is one; the parameters are those of that
    function.
    """
    sentence = refusal(requests, head, boundaries, **facts)
    if sentence is not None:
        raise UserError(sentence)
