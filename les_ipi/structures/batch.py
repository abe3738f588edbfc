"""Structures of one boundary, of different size and cell, as one set of padded tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from les_ipi.conventions import Boundary
from les_ipi.electrostatics.ewald import padded_modes
from les_ipi.errors import UserError
from les_ipi.structures.neighbors import Neighbors, neighbor_matrix
from les_ipi.structures.system import AtomicSystem


@dataclass(frozen=True)
class Batch:
    """Structures of one boundary in padded tensors, the form in which a model evaluates them.

    B structures are padded to N atoms, M neighbours of an atom and K wave vectors; tables with one row for each atom
    have A = B·N rows.

    ==============  ============  ==================================================================
    field           shape         meaning, unit
    ==============  ============  ==================================================================
    species         (A,)          row of the element in the model's species list; 0 where padded
    atom_mask       (A,)          True for real atoms
    positions       (B, N, 3)     Å
    cell            (B, 3, 3)     Å, rows are lattice vectors; identity if isolated
    total_charge    (B,)          e
    multiplicity    (B,)          spin multiplicity 2S + 1
    neighbors       (A, M)        row of the neighbour
    shift           (A, M, 3)     lattice translation that is added to r_j − r_i, Å
    reverse         (A, M)        flat place of the reverse edge in (A·M)
    modes           (B, K, 3)     wave vectors as integer triples, zeros where padded
    boundary        Boundary      how all structures repeat, known on the host
    ==============  ============  ==================================================================
    """

    species: Tensor
    atom_mask: Tensor
    positions: Tensor
    cell: Tensor
    total_charge: Tensor
    multiplicity: Tensor
    neighbors: Tensor
    shift: Tensor
    reverse: Tensor
    modes: Tensor
    boundary: Boundary

    @property
    def n_structures(self) -> int:
        return self.positions.shape[0]

    @property
    def n_rows(self) -> int:
        return self.positions.shape[1]

    @property
    def periodic(self) -> bool:
        """Whether the structures have a cell, as crystals and slabs do."""
        return self.boundary != Boundary.ISOLATED

    def edges(self) -> Tensor:
        """Compute the edge vectors r_j − r_i + shift in Å, as a tensor (A, M, 3)."""
        flat = self.positions.reshape(-1, 3)
        return flat[self.neighbors] - flat[:, None, :] + self.shift

    def to(self, device: torch.device | str) -> "Batch":
        """Copy the batch to another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Batch(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in values.items()})


class EdgeTables(NamedTuple):
    """The edge tables of a :class:`Batch`: ``neighbors`` (A, M), ``shift`` (A, M, 3) Å, ``reverse`` (A, M)."""

    neighbors: Tensor
    shift: Tensor
    reverse: Tensor


class Padding(NamedTuple):
    """Smallest sizes of the padded tables of a batch: numbers of atoms, of neighbours of an atom and of wave vectors."""

    rows: int = 1
    columns: int = 1
    modes: int = 1


def collate(
    systems: Sequence[AtomicSystem],
    species: Sequence[int],
    cutoff: float,
    k_cutoff: float,
    *,
    neighbors: Sequence[Neighbors] | None = None,
    edges: EdgeTables | None = None,
    modes: np.ndarray | None = None,
    padding: Padding = Padding(),
) -> Batch:
    """Put structures of one boundary into a batch. Geometry is kept in float64; the model rounds it to its own
    precision.

    Parameters:
        systems: the structures.
        species: atomic numbers of the elements that the model knows, in its order.
        cutoff: short-range cutoff in Å.
        k_cutoff: radius of the sphere of wave vectors in 1/Å.
        neighbors: neighbour matrices of the structures, if they are known already; otherwise they are computed.
        edges: padded edge tables of the whole batch, if they are known already.
        modes: padded wave vectors (B, K, 3) of the structures, if they are known already.
        padding: smallest sizes of the tables, by which batches of different structures get equal shapes.

    Returns the batch.

    Raises ``UserError`` for an element that the model does not know, and ``ValueError`` for structures of several
    boundaries.
    """
    boundary, *others = {s.boundary for s in systems}
    if others:
        raise ValueError("A batch holds structures of one boundary: split the list with places_by_boundary first.")
    n_rows = max(padding.rows, *(len(s.numbers) for s in systems))
    B = len(systems)
    table = {z: row for row, z in enumerate(species)}
    kind = np.zeros((B, n_rows), dtype=np.int64)
    mask = np.zeros((B, n_rows), dtype=bool)
    positions = np.zeros((B, n_rows, 3))
    for b, system in enumerate(systems):
        n = len(system.numbers)
        kind[b, :n] = species_rows(system.numbers, table)
        mask[b, :n] = True
        positions[b, :n] = system.positions
    if edges is None:
        neighbors = neighbors or [neighbor_matrix(s, cutoff) for s in systems]
        edges = _edge_tables(neighbors, n_rows, padding.columns, cutoff)
    periodic = boundary != Boundary.ISOLATED
    if boundary == Boundary.SLAB:
        for system in systems:
            system.check_vacuum()
    cells = np.stack([s.cell if periodic else np.eye(3) for s in systems])
    if modes is None:
        modes = padded_modes(cells, np.full(B, periodic), k_cutoff, padding.modes)
    return Batch(
        species=torch.from_numpy(kind.reshape(-1)),
        atom_mask=torch.from_numpy(mask.reshape(-1)),
        positions=torch.from_numpy(positions),
        cell=torch.from_numpy(cells),
        total_charge=torch.tensor([s.total_charge for s in systems], dtype=torch.float64),
        multiplicity=torch.tensor([s.multiplicity for s in systems], dtype=torch.float64),
        neighbors=edges.neighbors,
        shift=edges.shift,
        reverse=edges.reverse,
        modes=torch.from_numpy(np.asarray(modes)),
        boundary=boundary,
    )


def _edge_tables(neighbors: Sequence[Neighbors], n_rows: int, columns: int, cutoff: float) -> EdgeTables:
    """Neighbour matrices of B structures below each other, ``n_rows`` rows each and at least ``columns`` columns."""
    B, columns = len(neighbors), max(columns, *(n.index.shape[1] for n in neighbors))
    index = np.tile(np.arange(n_rows)[:, None], (B, 1, columns)).reshape(B, n_rows, columns)
    shift = np.zeros((B, n_rows, columns, 3))
    shift[..., 0] = 2.0 * cutoff
    reverse = np.arange(n_rows * columns).reshape(n_rows, columns)[None].repeat(B, axis=0)
    for b, near in enumerate(neighbors):
        n, m = near.index.shape
        index[b, :n, :m] = near.index
        shift[b, :n, :m] = near.shift
        row, column = np.divmod(near.reverse, m)
        reverse[b, :n, :m] = row * columns + column
    offset = np.arange(B)[:, None, None]
    return EdgeTables(
        torch.from_numpy((index + offset * n_rows).reshape(-1, columns)),
        torch.from_numpy(shift.reshape(-1, columns, 3)),
        torch.from_numpy((reverse + offset * n_rows * columns).reshape(-1, columns)),
    )


def species_rows(numbers: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Find the row of every atom's element in the species list of a model.

    Parameters:
        numbers: array (N,) of atomic numbers.
        table: dictionary from atomic number to row.

    Returns an array (N,) of rows. Raises ``UserError`` for an element that the model does not know.
    """
    from ase.data import chemical_symbols

    unknown = sorted(set(np.unique(numbers).tolist()) - set(table))
    if unknown:
        raise UserError(
            f"The structure contains {', '.join(chemical_symbols[z] for z in unknown)}, but this model knows only "
            f"{', '.join(chemical_symbols[z] for z in table)}: use a model trained for these elements."
        )
    row_of = np.zeros(max(table) + 1, dtype=np.int64)
    row_of[list(table)] = list(table.values())
    return row_of[numbers]
