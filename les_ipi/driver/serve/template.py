"""The template says what i-PI never sends: which atoms there are, and whether the system is periodic."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from les_ipi.conventions import Boundary
from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import HeadAbilities, Request, check
from les_ipi.ipi_files import read_labels
from les_ipi.structures.system import AtomicSystem, charge_and_multiplicity

#: i-PI's labels for isotopes: the same electrons, another mass.
_ISOTOPES = {"D": "H", "T": "H"}


@dataclass(frozen=True)
class Template:
    """What i-PI never sends about the system that a driver serves.

    The fields are the atomic numbers (N,), the periodicity, the total charge in e, the spin multiplicity, and the
    path of the file that says all this.
    """

    numbers: np.ndarray
    periodic: bool
    total_charge: float
    path: Path
    slab: bool = False
    multiplicity: int = 1

    @property
    def boundary(self) -> Boundary:
        """How the system repeats: isolated, slab or periodic."""
        if self.slab:
            return Boundary.SLAB
        return Boundary.PERIODIC if self.periodic else Boundary.ISOLATED


def read_template(path: str | Path) -> Template:
    """Read a template from i-PI's xyz, extended xyz, or the first frame of any other file that ASE reads.

    Periodicity comes from ``pbc="T T T"`` or ``Lattice=``, or from i-PI's ``# CELL(...)`` in the comment line; a
    plain xyz that says neither is refused, because guessing could go wrong. Isotope labels (D, T, O17, ...) mean
    their element.

    Parameters:
        path: the file.

    Returns the template.

    Raises ``UserError`` if the file is missing, unreadable, ambiguous, or periodic along one direction only.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"The template structure '{path}' does not exist: give the file that i-PI starts from "
            "(--template START.xyz)."
        )
    if path.suffix == ".xyz":
        with open(path, errors="replace") as file:
            comment = (file.readline(), file.readline())[1]
        if "CELL" in comment and "Lattice" not in comment:
            return _read_ipi_xyz(path)
        if not re.search(r"Lattice=|pbc=", comment):
            raise UserError(
                f"The template '{path}' does not say whether it is periodic: write a Lattice with "
                'pbc="T T T", pbc="F F F", or i-PI\'s "# CELL(abcABC): ..." in its second line.'
            )
    return _read_with_ase(path)


def _read_ipi_xyz(path: Path) -> Template:
    try:
        with open(path, errors="replace") as file:
            labels, comment = read_labels(file)
        numbers = np.array([_atomic_number(label) for label in labels])
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"The template '{path}' is not a valid xyz file ({error}).") from error
    isolated = re.search(r'pbc="?\s*F\s+F\s+F', comment) is not None
    pairs = dict(re.findall(r'(\w+)="?([^\s"]+)', comment))
    total_charge, multiplicity = charge_and_multiplicity(pairs)
    return Template(numbers, not isolated, total_charge, path, multiplicity=multiplicity)


def _read_with_ase(path: Path) -> Template:
    from ase.io import read

    try:
        atoms = read(path, index=0)
    except Exception as error:  # ASE raises many kinds for a file that it cannot read
        raise UserError(f"The template '{path}' cannot be read ({type(error).__name__}: {error}).") from error
    system = AtomicSystem.from_ase(atoms)
    return Template(system.numbers, system.periodic, system.total_charge, path, system.slab, system.multiplicity)


def _atomic_number(label: str) -> int:
    symbol = label.rstrip("0123456789")
    symbol = _ISOTOPES.get(symbol, symbol)
    if symbol not in atomic_numbers:
        raise KeyError(f"unknown element '{label}'")
    return atomic_numbers[symbol]


def symbols(numbers) -> str:
    """Return the symbols of the elements with these atomic numbers as a sorted text, such as "H, O"."""
    return ", ".join(chemical_symbols[z] for z in sorted({int(z) for z in numbers}))


def check_charges(card: dict[str, Any], template: Template) -> None:
    """Refuse a field on a model without charges, on a slab, and on a system with a net charge.

    Parameters:
        card: the card of the model.
        template: the system.

    Raises ``UserError`` with the reason.
    """
    check(
        [Request.FIELD],
        HeadAbilities.of_card(card),
        [template.boundary],
        charge=template.total_charge,
        model=card.get("name", "unnamed"),
    )
