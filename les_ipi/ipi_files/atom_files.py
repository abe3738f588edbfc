"""Trajectories of atoms, one file a bead: ``.xyz`` with i-PI's comment line, and ``.extxyz`` (``format='ase'``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from les_ipi.errors import UserError
from les_ipi.ipi_files.comment_lines import parse_cell, parse_comment
from les_ipi.ipi_files.conversions import to_program_units
from les_ipi.ipi_files.steps import last_of_each_step, step_of


@dataclass(frozen=True)
class AtomFrame:
    """One frame: ``step``; ``values`` (N, 3) in the program's unit; ``cell`` (3, 3) rows in Å, None without one."""

    step: int
    values: np.ndarray
    cell: np.ndarray | None


def read_labels(file: TextIO) -> tuple[list[str], str]:
    """Labels of the atoms and comment line of the first frame of an open xyz file.

    Labels stay as they are written: i-PI knows isotopes (``D``, ``O17``). Raises ``ValueError`` for a file that does not
    start with a number of atoms, and ``IndexError`` when atoms are missing.
    """
    n_atoms, comment = int(file.readline()), file.readline()
    return [file.readline().split()[0] for _ in range(n_atoms)], comment


class AtomFile:
    """A trajectory of atoms, with the facts of its first frame.

    ``symbols`` of the atoms; ``comment`` line; ``quantity`` of the rows (``positions``, ``velocities``, ...) and its
    ``unit``; ``cell_unit``. Parameters: ``path``. Raises :class:`UserError` for a file that is no xyz.
    """

    def __init__(self, path: Path):
        self.path = path
        with open(path) as file:
            try:
                self.symbols, self.comment = read_labels(file)
            except ValueError as error:
                raise UserError(f"{path.name} does not start with a number of atoms.") from error
            except IndexError as error:
                raise UserError(f"{path.name} ends within its first frame.") from error
        self.n_atoms = len(self.symbols)
        first = parse_comment(self.comment)
        self.quantity, self.unit, self.cell_unit = first.quantity, first.unit, first.cell_unit

    @property
    def cell(self) -> np.ndarray | None:
        """Cell of the first frame as rows of lattice vectors, Å; None when the comment has none."""
        return parse_cell(self.comment, self.cell_unit)

    def read_cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (T,) and cells (T, 3, 3), rows of lattice vectors in Å, from the comment lines; empty without cells."""
        steps, cells = [], []
        with open(self.path) as file:
            for line in file:
                if (step := step_of(line)) is not None and (cell := parse_cell(line, self.cell_unit)) is not None:
                    steps.append(step)
                    cells.append(cell)
        order = last_of_each_step(np.array(steps, dtype=int))
        return np.array(steps, dtype=int)[order], np.array(cells).reshape(-1, 3, 3)[order]

    def frames(self, dimension: str) -> Iterator[AtomFrame]:
        """The frames one by one, as written: repeated steps included, an unfinished or broken frame left out.

        Parameters: ``dimension`` i-PI family of the quantity (``length``, ``velocity``).
        """
        factor = to_program_units(dimension, self.unit)
        comment, rows = None, []
        with open(self.path) as file:
            for line in file:
                if step_of(line) is not None:
                    comment, rows = line, []
                elif comment is not None:
                    rows.append(" ".join(line.split()[-3:]))
                if comment is None or len(rows) < self.n_atoms:
                    continue
                values = _numbers(" ".join(rows))
                if values.size == 3 * self.n_atoms:
                    cell = parse_cell(comment, self.cell_unit)
                    yield AtomFrame(step_of(comment), values.reshape(-1, 3) * factor, cell)
                comment = None

    def read(self, dimension: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All frames in program units.

        Parameters: ``dimension`` i-PI family of the quantity. Returns steps (T,), values (T, N, 3) and
        volumes (T,), Å³ (NaN where the comment has no cell). Raises :class:`UserError` without a complete frame.
        """
        frames = list(self.frames(dimension))
        if not frames:
            raise UserError(f"{self.path.name} holds no complete frame with a 'Step:' in its comment line.")
        steps = np.array([frame.step for frame in frames])
        order = last_of_each_step(steps)
        values = np.array([frame.values for frame in frames])
        volumes = np.array([np.nan if f.cell is None else abs(np.linalg.det(f.cell)) for f in frames])
        return steps[order], values[order], volumes[order]


def _numbers(text: str) -> np.ndarray:
    try:
        return np.array(text.split(), dtype=float)
    except ValueError:
        return np.empty(0)
