"""Low-level readers of i-PI output files: property tables, per-bead extras, per-bead atom arrays.

All return the steps as integers with the *last* copy of a repeated step (a run continued from a checkpoint
writes some steps twice), in increasing order, without an unfinished last record.
"""

import itertools
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ipi.utils.units import unit_to_internal

from les_ipi.errors import UserError
from les_ipi.units import ATOMIC_TIME_FS, BOHR_A, HARTREE_EV

_EXTRAS_HEADER = re.compile(rb"[ ]*#EXTRAS\(([^)]*)\)#[ ]*Step:[ ]+(\d+)[^\n]*\n")
_COLUMN = re.compile(r"#\s*(?:column|cols\.)\s+(\d+)(?:-(\d+))?\s*-->\s*([^\s:]+)")
_QUANTITY = re.compile(r"(\w+)\{([^}]*)\}")
_STEP = re.compile(r"Step:\s+(\d+)")

_DIMENSIONS = {
    "time": "time",
    "temperature": "temperature",
    "volume": "volume",
    "cell_h": "length",
    "conserved": "energy",
    "potential": "energy",
}


def to_program_units(dimension: str, unit: str) -> float:
    """Factor from an i-PI unit to the program's unit (Å, Å/fs, e Å, Å³, eV, fs, K).

    Parameters: ``dimension`` i-PI family such as ``length``; ``unit`` i-PI unit name ('' is atomic units).
    Raises :class:`UserError` for an unknown unit.
    """
    try:
        internal = unit_to_internal(dimension, unit, 1.0)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"'{unit}' is not a unit of {dimension} that i-PI knows.") from error
    factors = {
        "length": BOHR_A,
        "velocity": BOHR_A / ATOMIC_TIME_FS,
        "electric-dipole": BOHR_A,
        "volume": BOHR_A**3,
        "energy": HARTREE_EV,
        "time": 1.0 / unit_to_internal("time", "femtosecond", 1.0),
        "temperature": 1.0 / unit_to_internal("temperature", "kelvin", 1.0),
    }
    return internal * factors[dimension]


def last_of_each_step(steps: np.ndarray) -> np.ndarray:
    """Indices of the last record of each step, in increasing order of step.

    Parameters: ``steps`` (T,) integers as written. Returns (T',) indices.
    """
    _, from_the_end = np.unique(steps[::-1], return_index=True)
    return steps.size - 1 - from_the_end


#: What a gap in a record means for a spectrum.
_SPECTRUM_NEEDS = "a spectrum needs an unbroken record (use the parts before and after as separate runs)"


def stride_of(steps: np.ndarray, where: str, needs: str = _SPECTRUM_NEEDS) -> int:
    """Common difference of the steps of a file.

    Parameters: ``steps`` (T,) increasing; ``where`` file name and ``needs`` end of the message. Returns the stride in steps.
    Raises :class:`UserError` when there are fewer than two steps, or a gap.
    """
    if steps.size < 2:
        raise UserError(f"{where} holds {steps.size} frame(s); a time series needs at least two.")
    differences = np.diff(steps)
    stride = int(np.median(differences))
    wrong = np.flatnonzero(differences != stride)
    if wrong.size:
        k = wrong[0]
        raise UserError(
            f"{where} has a gap between steps {steps[k]} and {steps[k + 1]}, expected every {stride} steps; "
            f"{needs}."
        )
    return stride


def read_properties(path: Path) -> dict[str, np.ndarray]:
    """Columns of an i-PI property file, by the name in its header without unit (`temperature`, `volume`,
    ...).

    Those of :data:`_DIMENSIONS` come in K, fs, Å³, Å, eV; ``step`` is integer; the others stay as printed.

    Parameters: ``path``. Returns name → (T,) or (T, size). Raises :class:`UserError` when the header has
    no step.
    """
    with open(path) as file:
        header = list(itertools.takewhile(lambda line: line.startswith("#"), file))
    columns = [match.groups() for line in header if (match := _COLUMN.match(line))]
    width = max((int(last or first) for first, last, _ in columns), default=0)
    names = [re.sub(r"\{.*", "", name) for _, _, name in columns]
    if "step" not in names:
        raise UserError(f"{path.name} has no column 'step'; add step to its <properties> list in the input.")
    table = _table(path, width)
    steps = table[:, int(columns[names.index("step")][0]) - 1].round().astype(int)
    order = last_of_each_step(steps)
    values = {}
    for name, (first, last, label) in zip(names, columns, strict=True):
        block = table[order, int(first) - 1 : int(last or first)]
        unit = re.search(r"\{(.*?)\}", label)
        if name in _DIMENSIONS:
            block = block * to_program_units(_DIMENSIONS[name], unit.group(1) if unit else "")
        values[name] = block[:, 0] if last is None else block
    values["step"] = steps[order]
    return values


def _table(path: Path, width: int) -> np.ndarray:
    """Rows of ``width`` numbers; rows of another width (a run killed while it wrote) are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no rows yet
        try:
            table = np.loadtxt(path, ndmin=2)
        except ValueError:
            with open(path) as file:
                rows = [line for line in file if not line.startswith("#") and len(line.split()) == width]
            table = np.loadtxt(rows, ndmin=2)
    return table if table.shape[1] == width else np.empty((0, width))


def extras_kind(path: Path) -> str | None:
    """Name of the quantity in a per-bead extras file (``dipole``, ``BEC``, ...), or None for another kind
    of file.
    """
    with open(path, "rb") as file:
        match = _EXTRAS_HEADER.match(file.readline())
    return match.group(1).decode() if match else None


def read_extras(path: Path, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a per-bead extras file with ``width`` numbers a record at once.

    Parameters: ``path``; ``width``. Returns steps (T,) and values (T, width) as printed.
    Raises :class:`UserError` when no record is complete.
    """
    text = path.read_bytes()
    steps = np.array([int(match.group(2)) for match in _EXTRAS_HEADER.finditer(text)], dtype=int)
    values = _numbers(_EXTRAS_HEADER.sub(b"", text))
    if values.size != steps.size * width:
        records = [_numbers(record) for record in _EXTRAS_HEADER.split(text)[3::3]]
        complete = [k for k, record in enumerate(records) if record.size == width]
        steps, values = steps[complete], np.array([records[k] for k in complete])
    if steps.size == 0:
        raise UserError(f"{path.name} holds no complete record of {width} numbers.")
    order = last_of_each_step(steps)
    return steps[order], values.reshape(-1, width)[order]


def iterate_extras(path: Path, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Stream a large per-bead extras file record by record, as written (repeated steps included).

    Parameters: ``path``; ``rows`` lines of three numbers a record (3N for BEC). Yields (step, (rows, 3)).
    An unfinished record is left out.
    """
    with open(path, "rb") as file:
        line = file.readline()
        while line:
            header, record = _EXTRAS_HEADER.match(line), []
            line = file.readline()
            while line and b"#" not in line:
                record.append(line)
                line = file.readline()
            values = _numbers(b"".join(record))
            if header and values.size == 3 * rows:
                yield int(header.group(2)), values.reshape(rows, 3)


class AtomFile:
    """Header of a per-bead `.xyz` or `.extxyz` file of i-PI: atoms, quantity, units, cell of the first
    frame.
    """

    def __init__(self, path: Path):
        self.path = path
        with open(path) as file:
            try:
                self.n_atoms = int(file.readline())
            except ValueError as error:
                raise UserError(f"{path.name} does not start with a number of atoms.") from error
            self.comment = file.readline()
            self.symbols = [file.readline().split()[0] for _ in range(self.n_atoms)]
        quantities = {name: unit for name, unit in _QUANTITY.findall(self.comment)}
        self.cell_unit = quantities.pop("cell", "automatic")
        self.quantity, self.unit = next(iter(quantities.items()), ("positions", "automatic"))

    @property
    def cell(self) -> np.ndarray | None:
        """Cell of the first frame as rows of lattice vectors, Å; None when the comment has none."""
        return parse_cell(self.comment, self.cell_unit)

    def read_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (T,) and cells (T, 3, 3), rows of lattice vectors in Å, from the comment lines; empty without cells."""
        steps, cells = [], []
        with open(self.path) as file:
            for line in file:
                if (match := _STEP.search(line)) and (cell := parse_cell(line, self.cell_unit)) is not None:
                    steps.append(int(match.group(1)))
                    cells.append(cell)
        order = last_of_each_step(np.array(steps, dtype=int))
        return np.array(steps, dtype=int)[order], np.array(cells).reshape(-1, 3, 3)[order]

    def read(self, dimension: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All frames in program units.

        Parameters: ``dimension`` i-PI family of the quantity. Returns steps (T,), values (T, N, 3) and
        volumes (T,), Å³ (NaN where the comment has no cell).
        """
        steps, frames, volumes = [], [], []
        comment, rows = None, []
        with open(self.path) as file:
            for line in file:
                if _STEP.search(line):
                    comment, rows = line, []
                elif comment is not None:
                    rows.append(" ".join(line.split()[-3:]))
                if comment is None or len(rows) < self.n_atoms:
                    continue
                values = _numbers(" ".join(rows).encode())
                if values.size == 3 * self.n_atoms:
                    cell = parse_cell(comment, self.cell_unit)
                    steps.append(int(_STEP.search(comment).group(1)))
                    frames.append(values.reshape(-1, 3))
                    volumes.append(np.nan if cell is None else abs(np.linalg.det(cell)))
                comment = None
        if not steps:
            raise UserError(f"{self.path.name} holds no complete frame with a 'Step:' in its comment line.")
        order = last_of_each_step(np.array(steps))
        values = np.array(frames)[order] * to_program_units(dimension, self.unit)
        return np.array(steps)[order], values, np.array(volumes)[order]


def parse_cell(comment: str, unit: str = "automatic") -> np.ndarray | None:
    """Cell in a comment line, i-PI's ``CELL(abcABC):``/``CELL(H):`` or extended XYZ's ``Lattice=``, rows,
    Å.
    """
    if match := re.search(r'Lattice="([^"]*)"', comment):
        return np.array(match.group(1).split(), dtype=float).reshape(3, 3)
    factor = to_program_units("length", unit)
    if match := re.search(r"CELL[({\[]abcABC[)}\]]:((?:\s+[-+0-9.eE]+){6})", comment):
        return cell_from_lengths(np.array(match.group(1).split(), dtype=float) * ([factor] * 3 + [1.0] * 3))
    if match := re.search(r"CELL[({\[](?:GEN)?H[)}\]]:((?:\s+[-+0-9.eE]+){9})", comment):
        return np.array(match.group(1).split(), dtype=float).reshape(3, 3).T * factor
    return None


def cell_from_lengths(parameters: np.ndarray) -> np.ndarray:
    """Cell rows (3, 3) from a, b, c [Å] and α, β, γ [degrees], a along x and b in the xy plane."""
    a, b, c, *angles = parameters
    alpha, beta, gamma = np.radians(angles)
    cy = (np.cos(alpha) - np.cos(beta) * np.cos(gamma)) / np.sin(gamma)
    cz = np.sqrt(1.0 - np.cos(beta) ** 2 - cy**2)
    return np.array(
        [[a, 0, 0], [b * np.cos(gamma), b * np.sin(gamma), 0], [c * np.cos(beta), c * cy, c * cz]]
    )


def _numbers(text: bytes) -> np.ndarray:
    try:
        return np.array(text.split(), dtype=float)
    except ValueError:
        return np.empty(0)
