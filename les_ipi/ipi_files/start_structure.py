"""Atoms and cell with which a simulation starts: from ``<initialize>`` and its files, or from a RESTART itself."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from les_ipi.errors import UserError
from les_ipi.ipi_files.atom_files import read_labels
from les_ipi.ipi_files.comment_lines import cell_from_lengths, parse_comment, parse_ipi_cell, upright
from les_ipi.ipi_files.simulation import SimulationFile
from les_ipi.ipi_files.xml import read_list

#: Numbers that each mode of <cell> takes.
_CELL_SIZES = {"manual": 9, "abc": 3, "abcABC": 6}
_FILE_MODES = ("xyz", "pdb", "ase", "chk")


@dataclass(frozen=True)
class StartStructure:
    """``symbols`` of the atoms as the file labels them and ``cell`` (3, 3), rows in Å; None where the input gives none."""

    symbols: tuple[str, ...] | None = None
    cell: np.ndarray | None = None


def read_start(simulation: SimulationFile, directory: Path) -> StartStructure:
    """Read the start of the first system of a simulation.

    Elements of ``<initialize>`` act in their order, as in i-PI: a ``<cell>`` after a file replaces the file's.

    Parameters: ``simulation``; ``directory`` in which the files that it names are looked for (a missing file is passed over).
    Raises :class:`UserError` for numbers or files that cannot be read.
    """
    if not simulation.systems:
        return StartStructure()
    system = simulation.systems[0]
    start = _of_restart(simulation, system)
    for element in system.findall("initialize/*"):
        mode = element.get("mode", "manual" if element.tag == "cell" else "chk").strip()
        if element.tag == "cell" and mode in _CELL_SIZES:
            start = replace(start, cell=_explicit_cell(simulation, element))
        elif element.tag == "labels" and mode == "manual":
            start = replace(start, symbols=tuple(read_list(element.text or "")))
        elif element.tag in ("file", "positions", "labels", "cell") and mode in _FILE_MODES:
            source = directory / (element.text or "").strip()
            if source.is_file():
                start = _combine(start, element.tag, _of_file(source, mode, element))
    return start


def _combine(start: StartStructure, tag: str, found: StartStructure) -> StartStructure:
    """The start after one more element; the cell in a file of <labels> or <positions> counts where no other cell is known."""
    replaces_cell = tag in ("file", "cell") or start.cell is None
    cell = found.cell if found.cell is not None and replaces_cell else start.cell
    replaces_symbols = tag in ("file", "labels") or start.symbols is None
    return StartStructure(found.symbols if found.symbols and replaces_symbols else start.symbols, cell)


def _explicit_cell(simulation: SimulationFile, element: ET.Element) -> np.ndarray:
    """The cell of ``<cell>``: ``manual`` has nine numbers, lattice vectors in columns; ``abc`` and ``abcABC`` lengths."""
    mode = element.get("mode", "manual").strip()
    lengths = simulation.numbers(element, "length")
    if lengths.size != _CELL_SIZES[mode]:
        raise UserError(
            f"<cell mode='{mode}'> in '{simulation.path}' has {lengths.size} numbers, expected {_CELL_SIZES[mode]}."
        )
    if mode == "abcABC":
        return cell_from_lengths(np.concatenate([lengths[:3], simulation.numbers(element)[3:]]))
    return np.diag(lengths) if mode == "abc" else lengths.reshape(3, 3).T


def _of_restart(simulation: SimulationFile, system: ET.Element) -> StartStructure:
    names, cell = system.find("beads/names"), system.find("cell")
    symbols = None if names is None else tuple(read_list(names.text or ""))
    return StartStructure(symbols, None if cell is None else _explicit_cell(simulation, cell))


def _of_file(path: Path, mode: str, element: ET.Element) -> StartStructure:
    if mode == "chk":
        return read_start(SimulationFile(path), path.parent)
    if mode == "xyz":
        with open(path) as file:
            try:
                labels, comment = read_labels(file)
            except (ValueError, IndexError) as error:
                raise UserError(f"The start structure '{path}' is not a valid xyz file ({error}).") from error
        unit = parse_comment(comment).cell_unit
        if unit == "automatic":  # the file names none itself
            unit = element.get("cell_units", "")
        return StartStructure(tuple(labels), parse_ipi_cell(comment, unit))
    return _of_ase(path)


def _of_ase(path: Path) -> StartStructure:
    import ase.io

    try:
        atoms = ase.io.read(path, index=0)
    except Exception as error:  # ASE raises many kinds for a file that it cannot read
        raise UserError(f"The start structure '{path}' cannot be read ({type(error).__name__}: {error}).") from error
    cell = np.array(atoms.cell) if atoms.cell.rank == 3 else None
    if cell is not None and all(atoms.pbc):
        cell = upright(cell)  # as i-PI turns a crystal
    return StartStructure(tuple(atoms.get_chemical_symbols()), cell)
