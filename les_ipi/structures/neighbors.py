"""Neighbour lists (vesin): pairs that are kept while atoms move little, and the padded matrix of training batches."""

from dataclasses import dataclass, replace

import numpy as np
from vesin import NeighborList

from les_ipi.errors import UserError
from les_ipi.structures.system import AtomicSystem


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


@dataclass(frozen=True)
class Pairs:
    """All ordered pairs of atoms of one structure within a cutoff, sorted by centre; every periodic image counts on
    its own.

    =========  =======  ====================================================================
    field      shape    meaning, unit
    =========  =======  ====================================================================
    n_atoms    int      number N of atoms of the structure
    cutoff     float    largest distance of a pair, Å
    centre     (P,)     atom i
    neighbor   (P,)     atom j
    image      (P, 3)   lattice translation in units of the lattice vectors, added to r_j − r_i
    mirror     (P,)     place of the pair j → i
    =========  =======  ====================================================================
    """

    n_atoms: int
    cutoff: float
    centre: np.ndarray
    neighbor: np.ndarray
    image: np.ndarray
    mirror: np.ndarray

    def matrix(self, cell: np.ndarray) -> Neighbors:
        """Write the same pairs as a padded matrix.

        Parameters:
            cell: array (3, 3) with the lattice vectors as rows, Å.

        Returns the neighbour matrix.
        """
        counts = np.bincount(self.centre, minlength=self.n_atoms)
        columns = max(int(counts.max(initial=0)), 1)
        starts = np.cumsum(counts) - counts
        slot = self.centre * columns + (np.arange(len(self.centre)) - starts[self.centre])
        index = np.repeat(np.arange(self.n_atoms)[:, None], columns, axis=1)
        shift = np.zeros((self.n_atoms, columns, 3))
        # Padded edges point to a place beyond the cutoff, where every radial function and its slope vanish.
        shift[..., 0] = 2.0 * self.cutoff
        reverse = np.arange(self.n_atoms * columns)
        index.reshape(-1)[slot] = self.neighbor
        shift.reshape(-1, 3)[slot] = self.image @ cell
        reverse[slot] = slot[self.mirror]
        return Neighbors(index, shift, reverse.reshape(self.n_atoms, columns))


def neighbor_pairs(system: AtomicSystem, cutoff: float) -> Pairs:
    """Find all pairs of atoms of a structure within a cutoff.

    Parameters:
        system: the structure.
        cutoff: largest distance of a pair, Å.

    Returns the pairs. Raises ``UserError`` if the position of an atom is not finite.
    """
    positions = np.ascontiguousarray(system.positions, dtype=np.float64)
    if not np.isfinite(positions).all():
        raise UserError(
            "A position is not finite (NaN or infinite): the simulation has diverged; try a smaller time step."
        )
    box = np.ascontiguousarray(system.cell, dtype=np.float64)
    i, j, s = NeighborList(cutoff=float(cutoff), full_list=False).compute(
        points=positions, box=box, periodic=bool(system.periodic), quantities="ijS"
    )
    if system.slab:
        inside = s[:, 2] == 0
        i, j, s = i[inside], j[inside], s[inside]
    # Every pair once, then once more the other way round: its mirror is half a list away.
    centre, neighbor = np.concatenate([i, j]).astype(np.int64), np.concatenate([j, i]).astype(np.int64)
    image = np.concatenate([s, -s]).astype(np.int64)
    # Numpy sorts short integers in linear time.
    small = np.uint16 if len(positions) <= np.iinfo(np.uint16).max else np.int64
    order = np.argsort(centre.astype(small), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    mirror = place[(order + len(i)) % max(1, len(order))]
    return Pairs(len(positions), cutoff, centre[order], neighbor[order], image[order], mirror)


def neighbor_matrix(system: AtomicSystem, cutoff: float) -> Neighbors:
    """Compute the padded neighbour matrix of a structure.

    Parameters:
        system: the structure.
        cutoff: largest distance of a pair, Å.

    Returns the neighbour matrix. Raises ``UserError`` as :func:`neighbor_pairs` does.
    """
    return neighbor_pairs(system, cutoff).matrix(system.cell)


class VerletList:
    """List of the pairs within cutoff + skin, which is kept until a pair outside the list can have come within the
    cutoff.

    A pair that was outside is now at a distance of at least s (r_c + skin) − 2δ, with s the smallest stretch of the
    cell since then and δ the largest displacement beyond that stretch. The list therefore holds while this exceeds
    r_c, also if the cell changes all the time.

    Parameters:
        cutoff: distance r_c within which no pair may be missed, Å.
        skin: distance by which the list reaches beyond the cutoff, Å.

    The attribute ``builds`` counts how often the list was made.
    """

    def __init__(self, cutoff: float, skin: float = 0.5):
        self.cutoff, self.skin = cutoff, skin
        self._reference: AtomicSystem | None = None
        self._pairs: Pairs | None = None
        self.builds = 0

    def update(self, system: AtomicSystem) -> Pairs:
        """Return the pairs of a structure; they are searched anew only if the kept list may miss one within the
        cutoff.

        Parameters:
            system: the structure.

        Returns all pairs within cutoff + skin, or an earlier list that still holds every pair within the cutoff.
        """
        if self._pairs is None or not self._still_valid(system):
            self._pairs = neighbor_pairs(system, self.cutoff + self.skin)
            self._reference = replace(system, positions=system.positions.copy(), cell=system.cell.copy())
            self.builds += 1
        return self._pairs

    def _still_valid(self, system: AtomicSystem) -> bool:
        old = self._reference
        if old is None or len(old.positions) != len(system.positions):
            return False
        if (old.periodic, old.slab) != (system.periodic, system.slab):
            return False
        smallest, expected = 1.0, old.positions
        if old.periodic and not np.array_equal(old.cell, system.cell):
            stretch = np.linalg.solve(old.cell, system.cell)
            smallest, expected = np.linalg.svd(stretch, compute_uv=False).min(), old.positions @ stretch
        moved = np.sqrt(((system.positions - expected) ** 2).sum(1).max(initial=0.0))
        # A comparison with NaN is False, so diverged positions force a rebuild, which reports them.
        return bool(smallest * (self.cutoff + self.skin) - 2.0 * moved > self.cutoff)
