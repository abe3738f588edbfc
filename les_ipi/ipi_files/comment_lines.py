"""The comment line of a frame: ``# CELL(abcABC): a b c α β γ  Step: n  Bead: k  positions{angstrom}  cell{angstrom}``."""

import re
from dataclasses import dataclass

import numpy as np

from les_ipi.ipi_files.conversions import to_program_units
from les_ipi.ipi_files.steps import step_of

_QUANTITY = re.compile(r"(\w+)\{([^}]*)\}")
_LATTICE = re.compile(r'Lattice="([^"]*)"')
_BEAD = re.compile(r"Bead:\s+(\d+)")
_CELL = {
    kind: re.compile(r"CELL[({\[]" + kind + r"[)}\]]:((?:\s+[-+0-9.eE]+){" + str(count) + "})")
    for kind, count in (("abcABC", 6), ("H", 9), ("GENH", 9))
}


@dataclass(frozen=True)
class FrameComment:
    """What a comment line names: the ``quantity`` of the rows and its ``unit``, the ``cell_unit``, ``step`` and ``bead``.

    ``quantity`` is ``positions`` and units are ``automatic`` (atomic units) where the line names none; ``step`` and ``bead``
    are None where it has none.
    """

    quantity: str
    unit: str
    cell_unit: str
    step: int | None
    bead: int | None


def parse_comment(line: str) -> FrameComment:
    """Read the names, units and counts of a comment line."""
    units = dict(_QUANTITY.findall(line))
    cell_unit = units.pop("cell", "automatic")
    quantity, unit = next(iter(units.items()), ("positions", "automatic"))
    bead = _BEAD.search(line)
    return FrameComment(quantity, unit, cell_unit, step_of(line), int(bead[1]) if bead else None)


def parse_ipi_cell(line: str, unit: str = "automatic") -> np.ndarray | None:
    """The cell in i-PI's ``CELL(abcABC):``, ``CELL(H):`` or ``CELL(GENH):``, None without one.

    H has lattice vectors as columns and is taken as it is; GENH has them as rows and is turned so that a lies along x and b
    in the xy plane, as i-PI does.

    Parameters: ``line``; ``unit`` of lengths. Returns rows of lattice vectors (3, 3), Å.
    """
    found = {kind: np.array(m[1].split(), dtype=float) for kind, pattern in _CELL.items() if (m := pattern.search(line))}
    factor = to_program_units("length", unit) if found else 1.0
    if "abcABC" in found:
        return cell_from_lengths(found["abcABC"] * ([factor] * 3 + [1.0] * 3))
    if "H" in found:
        return found["H"].reshape(3, 3).T * factor
    if "GENH" in found:
        return upright(found["GENH"].reshape(3, 3)) * factor
    return None


def parse_cell(line: str, unit: str = "automatic") -> np.ndarray | None:
    """The cell in a comment line of i-PI or of extended XYZ (``Lattice=``, Å), rows of lattice vectors in Å, or None."""
    cell = parse_ipi_cell(line, unit)
    if cell is None and (match := _LATTICE.search(line)):
        cell = np.array(match[1].split(), dtype=float).reshape(3, 3)
    return cell


def cell_from_lengths(parameters: np.ndarray) -> np.ndarray:
    """Cell rows (3, 3) from a, b, c [Å] and α, β, γ [degrees], a along x and b in the xy plane."""
    a, b, c, *angles = parameters
    alpha, beta, gamma = np.radians(angles)
    cy = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    cz = np.sqrt(1.0 - np.cos(beta) ** 2 - cy**2)
    return np.array([[a, 0, 0], [b * np.cos(gamma), b * np.sin(gamma), 0], [c * np.cos(beta), c * cy, c * cz]])


def upright(cell: np.ndarray) -> np.ndarray:
    """The cell (3, 3), rows, turned so that a lies along x and b in the xy plane, the only orientation that i-PI runs."""
    lengths = np.linalg.norm(cell, axis=1)
    a, b, c = cell / lengths[:, None]
    return cell_from_lengths(np.concatenate([lengths, np.degrees(np.arccos([b @ c, a @ c, a @ b]))]))
