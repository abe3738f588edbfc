"""What the i-PI input XML of a run says: temperature, time step, beads, files, start structure, cell."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.analysis.runs.dynamics import Dynamics, read_dynamics
from les_ipi.analysis.runs.readers import cell_from_lengths, parse_cell, to_program_units
from les_ipi.errors import UserError


@dataclass(frozen=True)
class RunInput:
    """Facts from the input XML.

    ``temperature_K`` and ``timestep_fs`` are None when the XML does not give them; ``cell`` has rows of
    lattice vectors in Å; ``symbols`` come from the start structure.
    """

    path: Path
    prefix: str
    n_beads: int
    temperature_K: float | None
    timestep_fs: float | None
    dynamics: Dynamics
    symbols: tuple[str, ...] | None
    cell: np.ndarray | None
    custom_masses: bool


#: What ``les-ipi run`` leaves as the input that i-PI really ran; it wins over other files.
EFFECTIVE_INPUT = "les_ipi_input.xml"


def find_input(directory: Path, name: str | None = None) -> Path:
    """The i-PI input of a run directory: the one XML file whose root is ``<simulation>``.

    RESTART files and ``*.checkpoint`` count only when there is no input. Parameters: ``directory``;
    ``name`` to choose one. Raises :class:`UserError` when there is none, or several.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the folder in which i-PI ran.")
    if name is not None:
        if not (directory / name).is_file():
            raise UserError(f"There is no input '{name}' in {directory}.")
        return directory / name
    inputs = sorted(path for path in directory.glob("*.xml") if _is_simulation(path))
    if directory / EFFECTIVE_INPUT in inputs:
        return directory / EFFECTIVE_INPUT
    inputs = [path for path in inputs if not _is_restart(path)] or inputs
    if not inputs:
        inputs = sorted(path for path in directory.iterdir() if _is_restart(path) and _is_simulation(path))[
            :1
        ]
    if not inputs:
        raise UserError(f"{directory} is not an i-PI run: no XML file with root <simulation> is in it.")
    if len(inputs) > 1:
        names = ", ".join(path.name for path in inputs)
        raise UserError(f"{directory} holds several i-PI inputs ({names}); choose one with --input NAME.")
    return inputs[0]


def read_input(path: Path) -> RunInput:
    """Read an i-PI input.

    Parameters: ``path`` of the XML. Raises :class:`UserError` for broken XML, several systems, or no
    <system>.
    """
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise UserError(f"{path} is not valid XML: {error}.") from error
    systems = root.findall("system")
    if len(systems) != 1:
        raise UserError(
            f"{path} has {len(systems)} <system> blocks; the analysis reads runs with exactly one."
        )
    system = systems[0]
    initialize = system.find("initialize")
    beads = system.find("beads")
    n_beads = next((int(block.get("nbeads", 1)) for block in (initialize, beads) if block is not None), 1)
    output = root.find("output")
    prefix = output.get("prefix", "i-pi") if output is not None else "i-pi"
    symbols, cell = _structure(system, initialize, path.parent)
    return RunInput(
        path=path,
        prefix=prefix,
        n_beads=n_beads,
        temperature_K=_quantity(system.find("ensemble/temperature"), "temperature"),
        timestep_fs=_quantity(next(system.iter("timestep"), None), "time"),
        dynamics=read_dynamics(system, n_beads),
        symbols=symbols,
        cell=cell,
        custom_masses=initialize is not None and initialize.find("masses") is not None,
    )


def _is_simulation(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        for _, element in ET.iterparse(path, events=("start",)):
            return element.tag == "simulation"
    except (ET.ParseError, UnicodeDecodeError):
        return False
    return False


def _is_restart(path: Path) -> bool:
    return (
        path.name.startswith("RESTART") or path.name.endswith((".checkpoint", ".chk")) or ".chk_" in path.name
    )


def _quantity(element: ET.Element | None, dimension: str) -> float | None:
    if element is None or not (element.text or "").strip():
        return None
    return float(element.text) * to_program_units(dimension, element.get("units", ""))


def _numbers(text: str) -> np.ndarray:
    return np.array(re.findall(r"[-+0-9.eE]+", text), dtype=float)


def _structure(
    system: ET.Element, initialize: ET.Element | None, directory: Path
) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Symbols and cell from <beads>/<cell> (a restart) or from <initialize> (start file, explicit cell)."""
    symbols, cell = _restart_structure(system)
    if initialize is None:
        return symbols, cell
    for element in initialize.findall("file") + initialize.findall("positions"):
        source = directory / (element.text or "").strip()
        if source.is_file():
            symbols, cell = _start_file(source, element)
            break
    explicit = initialize.find("cell")
    if explicit is not None:
        factor = to_program_units("length", explicit.get("units", ""))
        numbers, mode = _numbers(explicit.text or ""), explicit.get("mode", "manual")
        if mode == "abc" and numbers.size == 3:
            cell = np.diag(numbers * factor)
        elif mode == "abcABC" and numbers.size == 6:
            cell = cell_from_lengths(np.concatenate([numbers[:3] * factor, numbers[3:]]))
        elif mode == "manual" and numbers.size == 9:
            cell = numbers.reshape(3, 3).T * factor
    return symbols, cell


def _restart_structure(system: ET.Element) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    names, cell = system.find("beads/names"), system.find("cell")
    symbols = None if names is None else tuple(re.findall(r"[A-Za-z]+", names.text or ""))
    if cell is None:
        return symbols, None
    factor = to_program_units("length", cell.get("units", ""))
    return symbols, _numbers(cell.text or "").reshape(3, 3).T * factor


def _start_file(path: Path, element: ET.Element) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    mode = element.get("mode", "chk")
    if mode == "chk":
        return _restart_structure(ET.parse(path).getroot().find("system"))
    if mode == "xyz":
        with open(path) as file:
            n_atoms, comment = int(file.readline()), file.readline()
            symbols = tuple(file.readline().split()[0] for _ in range(n_atoms))
        unit = re.search(r"cell\{([^}]*)\}", comment)
        return symbols, parse_cell(comment, unit.group(1) if unit else element.get("cell_units", ""))
    import ase.io

    atoms = ase.io.read(path, index=0)
    return tuple(atoms.get_chemical_symbols()), np.array(atoms.cell) if atoms.cell.rank == 3 else None
