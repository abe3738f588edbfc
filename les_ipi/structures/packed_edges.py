"""Edges of all structures within the cutoff as one matrix without gaps, from neighbour lists that are kept between calls."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from les_ipi.structures.batch import EdgeTables, species_rows
from les_ipi.structures.neighbors import Pairs, VerletList
from les_ipi.structures.system import AtomicSystem

#: Room of a structure's part in the list of pairs, as a multiple of its first number of pairs.
GROWTH = 1.1


class PackedEdges:
    """Edges of all structures within the cutoff as a padded matrix of R rows (atoms) and M columns (neighbours).

    Every structure owns a part of one long list of pairs, with room to grow, so that new neighbours in one structure
    do not touch the tables of the others.

    Parameters:
        species: for every structure an array with the elements of its atoms, as rows of the species list.
        cutoff: short-range cutoff in Å.
        device: device of the tensors.
        columns: smallest number M of columns.
    """

    def __init__(self, species: list[np.ndarray], cutoff: float, device: str, columns: int = 0):
        self.cutoff, self.columns, self.device = cutoff, columns, device
        self.starts = np.concatenate([[0], np.cumsum([len(s) for s in species])])
        self.species = torch.from_numpy(np.concatenate(species)).to(device)
        self._pairs: list[Pairs | None] = [None] * len(species)
        self._cells: list[bytes] = [b""] * len(species)
        self._parts: list[slice] = []

    def update(self, pairs: list[Pairs], cells: list[np.ndarray]) -> None:
        """Take over the pairs of the structures that differ from the last call, and the shifts of structures whose
        cells changed.

        Parameters:
            pairs: the pairs of every structure.
            cells: the cell of every structure, an array (3, 3) with the lattice vectors as rows, Å.
        """
        changed = [b for b, part in enumerate(pairs) if part is not self._pairs[b]]
        if any(not self._parts or len(pairs[b].centre) > self._room(b) for b in changed):
            self._allocate([len(part.centre) for part in pairs])
            changed = list(range(len(pairs)))
        for b in changed:
            self._pairs[b] = pairs[b]
            self._write(b)
        for b, cell in enumerate(cells):
            if b in changed or cell.tobytes() != self._cells[b]:
                self._cells[b] = cell.tobytes()
                start, n = self._parts[b].start, len(pairs[b].image)
                self._shift[start : start + n] = torch.from_numpy(pairs[b].image @ cell).to(self.device)

    def _room(self, b: int) -> int:
        return self._parts[b].stop - self._parts[b].start

    def _allocate(self, lengths: list[int]) -> None:
        ends = np.cumsum([math.ceil(GROWTH * n) + 1 for n in lengths])
        self._parts = [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        total = int(ends[-1])
        self._centre, self._neighbor, self._mirror, self._kind = (
            torch.zeros(total, dtype=torch.int64, device=self.device) for _ in range(4)
        )
        self._shift = torch.zeros(total, 3, dtype=torch.float64, device=self.device)

    def _write(self, b: int) -> None:
        part, pairs, first = self._parts[b], self._pairs[b], int(self.starts[b])
        n = len(pairs.centre)
        used, rest = slice(part.start, part.start + n), slice(part.start + n, part.stop)
        for table, values, offset in (
            (self._centre, pairs.centre, first),
            (self._neighbor, pairs.neighbor, first),
            (self._mirror, pairs.mirror, part.start),
        ):
            table[used] = torch.from_numpy(values).to(self.device) + offset
        self._kind[used] = self.species[self._neighbor[used]]
        # Unused room is an atom paired with itself, beyond the cutoff.
        self._centre[rest] = self._neighbor[rest] = first
        self._shift[rest] = 2.0 * self.cutoff

    def pack(self, positions: Tensor, dtype: torch.dtype, rows: int) -> tuple[Tensor, Tensor]:
        """Compute the edge vectors within the cutoff for given positions.

        Parameters:
            positions: tensor (R, 3) of the positions of all atoms in float64, Å.
            dtype: arithmetic of the edge vectors that are returned.
            rows: number of rows of the result, at least R.

        Returns edge vectors (rows, M, 3) in Å, and the elements of the neighbours (rows, M) as rows of the species
        list.
        """
        vectors, kept = self._select(positions)
        # Padded edges end beyond the cutoff, where every radial function and its slope vanish.
        edges = torch.full((rows * self.columns, 3), 2.0 * self.cutoff, dtype=dtype, device=positions.device)
        edges[self._slot] = vectors.to(dtype)
        near = torch.zeros(rows * self.columns, dtype=torch.int64, device=positions.device)
        near[self._slot] = self._kind.index_select(0, kept)
        return edges.view(rows, self.columns, 3), near.view(rows, self.columns)

    def tables(self, positions: Tensor) -> EdgeTables:
        """Compute the edges within the cutoff as the tables of a :class:`les_ipi.structures.batch.Batch` of R rows.

        Parameters:
            positions: tensor (R, 3) of the positions of all atoms in float64, Å.

        Returns the edge tables.
        """
        _, kept = self._select(positions)
        rows = torch.arange(len(positions), device=positions.device)
        neighbors = rows.repeat_interleave(self.columns)
        neighbors[self._slot] = self._neighbor.index_select(0, kept)
        shift = torch.full((len(neighbors), 3), 2.0 * self.cutoff, dtype=torch.float64, device=positions.device)
        shift[self._slot] = self._shift.index_select(0, kept)
        reverse = torch.arange(len(neighbors), device=positions.device)
        reverse[self._slot] = self._reverse
        shape = len(positions), self.columns
        return EdgeTables(neighbors.view(shape), shift.view(*shape, 3), reverse.view(shape))

    def _select(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Edges within the cutoff and which pairs they are; their places in the matrix are kept for what follows.

        M never falls and grows in steps of 8, so that compiled functions see few shapes.
        """
        # Selecting whole rows by index_select is several times faster here than general indexing.
        vector = positions.index_select(0, self._neighbor) - positions.index_select(0, self._centre) + self._shift
        x, y, z = vector.unbind(1)
        kept = (x * x + y * y + z * z < self.cutoff**2).nonzero()[:, 0]
        centre = self._centre.index_select(0, kept)
        counts = torch.bincount(centre, minlength=len(positions))
        self.columns = max(self.columns, 8 * math.ceil((int(counts.max()) + 1) / 8))
        # Pairs are sorted by centre: the place in the matrix is the row's start plus the rank within the row.
        first = torch.arange(len(positions), device=kept.device) * self.columns - (counts.cumsum(0) - counts)
        self._slot = first.index_select(0, centre) + torch.arange(len(kept), device=kept.device)
        place = torch.empty_like(self._centre)
        place[kept] = self._slot
        self._reverse = place.index_select(0, self._mirror.index_select(0, kept))
        return vector.index_select(0, kept), kept

    def incoming(self, values: Tensor) -> Tensor:
        """Return for every edge the value of its reverse edge, and zero where padded.

        Parameters:
            values: tensor (rows, M, 3) with one vector for each edge.

        Returns a tensor of the same shape.
        """
        found = torch.zeros_like(values).view(-1, 3)
        found[self._slot] = values.reshape(-1, 3).index_select(0, self._reverse)
        return found.view_as(values)


class KeptEdges:
    """Packed edges of the structures of every call, whose neighbour lists are kept from call to call while they hold.

    Structures of consecutive calls are matched by their place in the list. The attribute ``lists`` has the neighbour
    lists, and ``packed`` the edges of the last call.

    Parameters:
        species: atomic numbers of the elements that the model knows, in its order.
        cutoff: short-range cutoff in Å.
        skin: distance by which the neighbour lists reach beyond the cutoff, Å.
        device: device of the tensors.
    """

    def __init__(self, species: Sequence[int], cutoff: float, skin: float, device: str):
        self.lists: list[VerletList] = []
        self.packed: PackedEdges | None = None
        self._cutoff, self._skin, self._device = cutoff, skin, device
        self._table = {z: row for row, z in enumerate(species)}
        self._elements: tuple[int | bytes, ...] = ()

    def update(self, systems: Sequence[AtomicSystem], n_rows: int = 0) -> PackedEdges:
        """Return the edges of these structures; only what a rebuilt neighbour list changed is written again.

        Parameters:
            systems: the structures.
            n_rows: smallest number of rows of each structure.

        Returns the packed edges. Raises ``UserError`` for an element that the model does not know.
        """
        self.lists += [VerletList(self._cutoff, self._skin) for _ in range(len(systems) - len(self.lists))]
        pairs = [verlet.update(system) for verlet, system in zip(self.lists, systems, strict=False)]
        elements = (n_rows, *(s.numbers.tobytes() for s in systems))
        if self.packed is None or elements != self._elements:
            rows = [species_rows(s.numbers, self._table) for s in systems]
            rows = [np.pad(r, (0, max(0, n_rows - len(r)))) for r in rows]
            columns = 0 if self.packed is None else self.packed.columns
            self.packed, self._elements = PackedEdges(rows, self._cutoff, self._device, columns), elements
        self.packed.update(pairs, [np.asarray(s.cell, dtype=float) for s in systems])
        return self.packed
