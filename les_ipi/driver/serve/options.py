"""What a driver serves to i-PI, declared once for sockets, the PES inside i-PI and ``les-ipi run``."""

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from les_ipi.conventions import Property
from les_ipi.driver.serve.extras import parse_properties
from les_ipi.errors import UserError
from les_ipi.evaluation.options import EvaluationOptions

Vector = tuple[float, float, float]


def parse_vector(value: str | Iterable[float] | None, name: str) -> Vector | None:
    """Read three numbers from a text such as "0;0;0.05" (spaces are possible, too) or from a sequence.

    Parameters:
        value: the text or sequence; None and "" mean that no vector is given.
        name: what the vector is, for the error message.

    Returns the three numbers, or None if no vector is given. Raises ``UserError`` for anything else.
    """
    if value is None or (isinstance(value, str) and not value):
        return None
    written = isinstance(value, str) or not isinstance(value, Iterable)
    try:
        numbers = [float(part) for part in (str(value).replace(";", " ").split() if written else value)]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise UserError(f"The {name} is '{value}': give three numbers, as in '0;0;0.05'.")
    return numbers[0], numbers[1], numbers[2]


def _constant_field(value: Any) -> Vector | None:
    return parse_vector(value, "constant field")


def _voltage(value: Any) -> Vector | None:
    return parse_vector(value, "voltage")


class ServeOptions(EvaluationOptions):
    """A model, the atoms that it is for, and what i-PI gets from it besides energy, forces and virial.

    The descriptions of the fields are the help texts of the command line.
    """

    model: str = Field("", description="Name of a shipped model, or path of a model folder.")
    template: str = Field("", description="Structure with the atoms in i-PI's order, for example the start file.")
    properties: Annotated[tuple[Property, ...], BeforeValidator(parse_properties)] = Field(
        (Property.DIPOLE,),
        description="What i-PI gets besides energy, forces and virial, separated by commas: dipole, "
        "born_effective_charges, charges, piezoelectric.",
    )
    constant_field: Annotated[Vector, BeforeValidator(_constant_field)] | None = Field(
        None,
        description="Constant field in V/Å that the driver adds to energy, forces and virial; it works with every "
        "ensemble and every motion of i-PI.",
    )
    voltage: Annotated[Vector, BeforeValidator(_voltage)] | None = Field(
        None, description="The same field as a voltage in V along each lattice vector, so that it follows the cell."
    )
    beads: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Number of beads of the run; needed only for a field on a model whose dipole is not single-valued.",
    )

    @property
    def has_field(self) -> bool:
        """Whether the driver serves a constant field or a voltage."""
        return self.constant_field is not None or self.voltage is not None

    def constant(self) -> dict[str, str | int]:
        """Return the constant field that is served as texts, and the number of beads, as the record of a run keeps
        them.
        """
        texts = self.texts()
        return {
            "constant_field": texts.get("constant_field", ""),
            "voltage": texts.get("voltage", ""),
            "beads": self.beads,
        }
