"""What a driver sent besides the forces, as i-PI writes it: per-bead files without suffix, `` #EXTRAS(BEC)# Step: 10``."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from les_ipi.errors import UserError
from les_ipi.ipi_files.steps import last_of_each_step

_HEADER = re.compile(rb"[ ]*#EXTRAS\(([^)]*)\)#[ ]*Step:[ ]+(\d+)[^\n]*\n")


def extras_kind(path: Path) -> str | None:
    """Name of the quantity in a per-bead extras file (``dipole``, ``BEC``, ...), or None for another kind of file."""
    with open(path, "rb") as file:
        match = _HEADER.match(file.readline())
    return match.group(1).decode() if match else None


def read_extras(path: Path, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a per-bead extras file with ``width`` numbers a record at once.

    Of a step that was written twice the last record counts; an unfinished record is left out.

    Parameters: ``path``; ``width``. Returns steps (T,) and values (T, width) as printed.
    Raises :class:`UserError` when no record is complete.
    """
    text = path.read_bytes()
    steps = np.array([int(match.group(2)) for match in _HEADER.finditer(text)], dtype=int)
    values = _numbers(_HEADER.sub(b"", text))
    if values.size != steps.size * width:
        records = [_numbers(record) for record in _HEADER.split(text)[3::3]]
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
            header, record = _HEADER.match(line), []
            line = file.readline()
            while line and b"#" not in line:
                record.append(line)
                line = file.readline()
            values = _numbers(b"".join(record))
            if header and values.size == 3 * rows:
                yield int(header.group(2)), values.reshape(rows, 3)


def _numbers(text: bytes) -> np.ndarray:
    try:
        return np.array(text.split(), dtype=float)
    except ValueError:
        return np.empty(0)
