"""Property tables of i-PI: header lines ``# column   1     --> time{femtosecond} : help``, then one row a record."""

import itertools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.errors import UserError
from les_ipi.ipi_files.conversions import to_program_units
from les_ipi.ipi_files.steps import last_of_each_step

_COLUMN = re.compile(r"#\s*(?:column|cols\.)\s+(\d+)(?:-(\d+))?\s*-->\s*(.*?)\s*(?:\s:\s.*)?$")

#: Properties that are converted, by the i-PI family of their unit.
_DIMENSIONS = {
    "time": "time",
    "temperature": "temperature",
    "volume": "volume",
    "cell_h": "length",
    "conserved": "energy",
    "potential": "energy",
}


@dataclass(frozen=True)
class Keyword:
    """What an output asks for: ``name``, ``arguments`` ('' without any) and ``unit`` ('' for atomic units).

    ``temperature{kelvin}(O)`` and ``temperature(O){kelvin}`` are the same: ``temperature``, ``O``, ``kelvin``.
    """

    name: str
    arguments: str
    unit: str

    @property
    def label(self) -> str:
        """Name with arguments, which tells ``temperature(O)`` from ``temperature``."""
        return f"{self.name}({self.arguments})" if self.arguments else self.name


def parse_keyword(text: str) -> Keyword:
    """Take ``name{unit}(arguments)`` apart, with unit and arguments in either order, as i-PI does."""
    unit, arguments = re.search(r"\{(.*?)\}", text), re.search(r"\((.*?)\)", text)
    name = re.split(r"[({]", text, maxsplit=1)[0].strip()
    return Keyword(name, "".join(arguments[1].split()) if arguments else "", unit[1].strip() if unit else "")


def is_property_table(path: Path) -> bool:
    """Whether a file begins with the header of a property table."""
    with open(path, "rb") as file:
        start = file.read(4096)
    return start.startswith(b"#") and b"-->" in start


def read_properties(path: Path) -> dict[str, np.ndarray]:
    """Columns of a property table, by their keyword without unit (``temperature``, ``temperature(O)``, ``volume``, ...).

    Times come in fs, temperatures in K, volumes in Å³, ``cell_h`` in Å, ``conserved`` and ``potential`` in eV; ``step`` is
    integer; the others stay as printed. Of a step that was written twice the last row counts; rows of another width (a run
    that was killed while it wrote) are left out.

    Parameters: ``path``. Returns name → (T,) or (T, size). Raises :class:`UserError` when the header has no step, or a row
    holds something that is not a number.
    """
    with open(path) as file:
        header = list(itertools.takewhile(lambda line: line.startswith("#"), file))
    columns = [match.groups() for line in header if (match := _COLUMN.match(line))]
    width = max((int(last or first) for first, last, _ in columns), default=0)
    keywords = [parse_keyword(text) for _, _, text in columns]
    names = [keyword.label for keyword in keywords]
    if "step" not in names:
        raise UserError(f"{path.name} has no column 'step'; add step to its <properties> list in the input.")
    table = _rows(path, width)
    steps = table[:, int(columns[names.index("step")][0]) - 1].round().astype(int)
    order = last_of_each_step(steps)
    values = {}
    for keyword, (first, last, _) in zip(keywords, columns, strict=True):
        block = table[order, int(first) - 1 : int(last or first)]
        if keyword.name in _DIMENSIONS:
            block = block * to_program_units(_DIMENSIONS[keyword.name], keyword.unit)
        values[keyword.label] = block[:, 0] if last is None else block
    values["step"] = steps[order]
    return values


def _rows(path: Path, width: int) -> np.ndarray:
    """Rows of ``width`` numbers; rows of another width are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no rows yet
        try:
            table = np.loadtxt(path, ndmin=2)
        except ValueError:
            with open(path) as file:
                rows = [line for line in file if not line.startswith("#") and len(line.split()) == width]
            try:
                table = np.loadtxt(rows, ndmin=2)
            except ValueError as error:
                raise UserError(f"{path.name} holds something that is not a number ({error}).") from error
    return table if table.shape[1] == width else np.empty((0, width))
