"""Neighbour lists (vesin) as a padded matrix, with the index of every reverse edge."""

import math
from dataclasses import dataclass

import numpy as np
from vesin import NeighborList

from les_ipi.errors import UserError
from les_ipi.system import AtomicSystem


@dataclass(frozen=True)
class Neighbors:
    """Padded neighbour matrix of one structure with N atoms and at most M neighbours.

    ========  ==========  ====================================================================
    field     shape       meaning, unit
    ========  ==========  ====================================================================
    index     (N, M)      neighbour atom; the atom itself where padded
    shift     (N, M, 3)   lattice translation in Å, added to r_j − r_i; beyond the cutoff where padded
    reverse   (N, M)      flat position (row·M + column) of the edge j → i; itself where padded
    ========  ==========  ====================================================================
    """

    index: np.ndarray
    shift: np.ndarray
    reverse: np.ndarray


def neighbor_matrix(system: AtomicSystem, cutoff: float, width: int | None = None) -> Neighbors:
    """Neighbour matrix of a structure within ``cutoff`` Å; every periodic image counts as a neighbour of its own.

    Parameters: ``width`` pads the matrix to at least this many columns.
    Raises ``UserError`` if an atom has a position that is not finite.
    """
    positions = np.ascontiguousarray(system.positions, dtype=np.float64)
    if not np.isfinite(positions).all():
        raise UserError(
            "A position is not finite (NaN or infinite): the simulation has diverged; try a smaller time step."
        )
    n_atoms = len(positions)
    box = np.ascontiguousarray(system.cell, dtype=np.float64)
    i, j, s = NeighborList(cutoff=float(cutoff), full_list=True).compute(
        points=positions, box=box, periodic=bool(system.periodic), quantities="ijS"
    )
    i, j, s = i.astype(np.int64), j.astype(np.int64), s.astype(np.int64)
    order = np.argsort(i, kind="stable")
    i, j, s = i[order], j[order], s[order]
    counts = np.bincount(i, minlength=n_atoms)
    columns = max(int(counts.max(initial=0)), width or 0, 1)
    starts = np.cumsum(counts) - counts
    slot = i * columns + (np.arange(len(i)) - starts[i])

    index = np.repeat(np.arange(n_atoms)[:, None], columns, axis=1)
    shift = np.zeros((n_atoms, columns, 3))
    # Padded edges point to a place beyond the cutoff, where every radial function and its slope vanish.
    shift[..., 0] = 2.0 * cutoff
    reverse = np.arange(n_atoms * columns)
    index.reshape(-1)[slot] = j
    shift.reshape(-1, 3)[slot] = s @ box
    reverse[slot] = slot[_reverse_edges(i, j, s, n_atoms)]
    return Neighbors(index, shift, reverse.reshape(n_atoms, columns))


def _reverse_edges(i: np.ndarray, j: np.ndarray, s: np.ndarray, n_atoms: int) -> np.ndarray:
    """For every edge (i, j, S) the place of the edge (j, i, −S) in the same list."""
    reach = int(np.abs(s).max(initial=0))
    base = 2 * reach + 1

    def key(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
        image = ((t[:, 0] + reach) * base + (t[:, 1] + reach)) * base + (t[:, 2] + reach)
        return (a * n_atoms + b) * base**3 + image

    forward, backward = np.argsort(key(i, j, s)), np.argsort(key(j, i, -s))
    result = np.empty_like(i)
    result[backward] = forward
    return result


class VerletList:
    """Neighbour matrix that is kept until an atom has moved by half the skin or the cell has changed.

    Parameters: ``cutoff`` and ``skin`` in Å; ``roomy`` leaves spare columns, so that compiled code, which depends on the
    width of the matrix, does not have to be rebuilt when an atom gains a neighbour.
    """

    def __init__(self, cutoff: float, skin: float = 0.5, roomy: bool = False):
        self.cutoff = cutoff
        self.skin = skin
        self.roomy = roomy
        self._reference: AtomicSystem | None = None
        self._neighbors: Neighbors | None = None
        self.builds = 0

    def update(self, system: AtomicSystem) -> Neighbors:
        """Neighbours of ``system``, rebuilt only if needed; the list covers cutoff + skin when it is built."""
        if self._neighbors is None or not self._still_valid(system):
            width = 0 if self._neighbors is None else self._neighbors.index.shape[1]
            found = neighbor_matrix(system, self.cutoff + self.skin, width if self.roomy else None)
            if self.roomy and found.index.shape[1] > width:
                spare = 8 * math.ceil(1.2 * found.index.shape[1] / 8)
                found = neighbor_matrix(system, self.cutoff + self.skin, spare)
            self._neighbors = found
            self._reference = AtomicSystem(
                system.numbers, system.positions.copy(), system.cell.copy(), system.periodic, system.total_charge
            )
            self.builds += 1
        return self._neighbors

    def _still_valid(self, system: AtomicSystem) -> bool:
        old = self._reference
        if old is None or old.periodic != system.periodic or len(old.positions) != len(system.positions):
            return False
        if not np.array_equal(old.cell, system.cell):
            return False
        moved = ((system.positions - old.positions) ** 2).sum(1)
        # A comparison with NaN is False, so diverged positions force a rebuild, which reports them.
        return bool(moved.max(initial=0.0) < (0.5 * self.skin) ** 2)
