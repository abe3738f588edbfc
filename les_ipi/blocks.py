"""The local part of a model in blocks of atoms: cost and memory per atom that do not depend on the size of the system.

Atoms of all structures (beads, replicas) are one long list. Edges within the cutoff are packed without gaps, and the list
is cut into blocks of equal shape, which stay in the processor's cache and need one compiled function.
"""

import logging
import math
from collections.abc import Callable

import numpy as np
import torch
import torch._functorch.config
from torch import Tensor

from les_ipi.models.les_model import LESModel
from les_ipi.neighbors import Pairs

#: Block sizes to choose from, on a processor and on a GPU.
_ROWS_CPU, _ROWS_GPU = range(256, 31, -32), [2**k for k in range(17, 5, -1)]

#: Room of a structure's part in the list of pairs, as a multiple of its first number of pairs.
GROWTH = 1.1


class PackedEdges:
    """Edges of all structures within the cutoff as a padded matrix of R rows and M columns.

    Every structure owns a part of one long list of pairs, with room to grow, so that one bead's new neighbours do not touch the
    tables of the others.

    Parameters: ``species`` rows of the species list of every structure; ``cutoff`` Å; ``device``; ``columns`` least M.
    """

    def __init__(self, species: list[np.ndarray], cutoff: float, device: str, columns: int = 0):
        self.cutoff, self.columns, self.device = cutoff, columns, device
        self.starts = np.concatenate([[0], np.cumsum([len(s) for s in species])])
        self.species = torch.from_numpy(np.concatenate(species)).to(device)
        self._pairs: list[Pairs | None] = [None] * len(species)
        self._cells: list[bytes] = [b""] * len(species)
        self._parts: list[slice] = []

    def update(self, pairs: list[Pairs], cells: list[np.ndarray]) -> None:
        """Take over the pairs (and their shifts, for changed cells) of the structures that differ from the last call."""
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
        """Edges (rows, M, 3) in Å and elements of the neighbours (rows, M) for positions (R, 3) in float64.

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
        # Padded edges end beyond the cutoff, where every radial function and its slope vanish.
        edges = torch.full((rows * self.columns, 3), 2.0 * self.cutoff, dtype=dtype, device=positions.device)
        edges[self._slot] = vector.to(dtype).index_select(0, kept)
        near = torch.zeros(rows * self.columns, dtype=torch.int64, device=positions.device)
        near[self._slot] = self._kind.index_select(0, kept)
        place = torch.empty_like(self._centre)
        place[kept] = self._slot
        self._reverse = place.index_select(0, self._mirror.index_select(0, kept))
        return edges.view(rows, self.columns, 3), near.view(rows, self.columns)

    def incoming(self, values: Tensor) -> Tensor:
        """For values of edges (rows, M, 3) those of the reverse edges, zero where padded."""
        found = torch.zeros_like(values).view(-1, 3)
        found[self._slot] = values.reshape(-1, 3).index_select(0, self._reverse)
        return found.view_as(values)


class LocalBlocks:
    """Short-range energies and latent charges of packed edges, and gradients of weighted sums of them.

    Parameters: ``model`` with a local short-range model and no or a ``latent`` head; ``compile`` fuses the function of a
    block. Without a working compiler evaluation is eager.
    """

    def __init__(self, model: LESModel, compile: bool = False):
        self.model = model
        self.compiled = compile
        self._function: Callable = self._local
        if compile:
            # The pass is differentiated twice, so its buffers must survive the first time.
            torch._functorch.config.donated_buffer = False
            self._function = torch.compile(self._local, dynamic=False)

    def _local(
        self, edges: Tensor, near: Tensor, species: Tensor, state: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        energies, output = self.model.local(edges, near, species, state=state)
        return energies, None if output is None else output.charges

    @staticmethod
    def padded_rows(n_atoms: int, device: str) -> tuple[int, int]:
        """Rows of a block and number of blocks with the least padding; larger blocks where there is a choice."""
        sizes = _ROWS_CPU if device == "cpu" else _ROWS_GPU
        rows = min(sizes, key=lambda size: (size * math.ceil(n_atoms / size), -size))
        return rows, math.ceil(n_atoms / rows)

    def __call__(
        self,
        edges: Tensor,
        near: Tensor,
        species: Tensor,
        rows: int,
        differentiate: bool,
        state: Tensor | None = None,
    ) -> "LocalPass":
        """Evaluate all blocks; ``species`` and ``state``, see :meth:`LESModel.local`, are padded to the rows of ``edges``."""
        parts = []
        for first in range(0, len(edges), rows):
            block = slice(first, first + rows)
            leaf = edges[block].detach().requires_grad_(differentiate)
            with torch.set_grad_enabled(differentiate):
                states = None if state is None else state[block]
                parts.append((leaf, *self._evaluate(leaf, near[block], species[block], states)))
        return LocalPass(parts)

    def _evaluate(self, *block: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.compiled:
            try:
                return self._function(*block)
            except Exception as error:
                # Compilers fail in many ways (none installed, no disk, unsupported platform); eager always works.
                logging.getLogger(__name__).info("torch.compile is not available here: %s", error)
                self.compiled, self._function = False, self._local
        return self._function(*block)


class LocalPass:
    """One forward pass of all blocks, kept for its gradients."""

    def __init__(self, parts: list[tuple[Tensor, Tensor, Tensor | None]]):
        self._parts = parts
        self.energies = torch.cat([energy.detach() for _, energy, _ in parts])
        self.charges = None if parts[0][2] is None else torch.cat([charges.detach() for *_, charges in parts])

    def gradient(self, of_energy: bool, of_charges: Tensor | None, last: bool = True) -> Tensor:
        """∂/∂edges (rows, M, 3) of Σ E_i (if ``of_energy``) + Σ w_ic q_ic with weights (rows, C).

        ``last`` frees what the pass has kept.
        """
        found, start = [], 0
        for leaf, energy, charges in self._parts:
            outputs, weights = [], []
            if of_energy:
                outputs, weights = [energy], [torch.ones_like(energy)]
            if of_charges is not None:
                outputs.append(charges)
                weights.append(of_charges[start : start + len(leaf)])
            found += torch.autograd.grad(outputs, leaf, weights, retain_graph=not last)
            start += len(leaf)
        return torch.cat(found)
