"""The local part of a model in blocks of atoms: cost and memory per atom that do not depend on the size of the system.

Atoms of all structures (beads, replicas) are one long list. Edges within the cutoff are packed without gaps, and the list
is cut into blocks of equal shape, which stay in the processor's cache and need one compiled function.
"""

import logging
import math
from collections.abc import Callable

import torch
import torch._functorch.config
from torch import Tensor

from les_ipi.models.les_model import LESModel
from les_ipi.neighbors import Pairs

#: Block sizes to choose from, on a processor and on a GPU.
_ROWS_CPU, _ROWS_GPU = range(256, 31, -32), [2**k for k in range(17, 5, -1)]


class PackedEdges:
    """Edges of all structures within the cutoff as a padded matrix of R rows and M columns.

    Parameters: ``pairs`` of every structure; ``species`` (R,) rows of the species list; ``cutoff`` Å; ``device``;
    ``columns`` least M.
    """

    def __init__(self, pairs: list[Pairs], species: Tensor, cutoff: float, device: str, columns: int = 0):
        starts = [0]
        for part in pairs:
            starts.append(starts[-1] + part.n_atoms)
        lengths = [0]
        for part in pairs:
            lengths.append(lengths[-1] + len(part.centre))

        def joined(name: str, offsets: list[int]) -> Tensor:
            return torch.cat([torch.from_numpy(getattr(p, name)) + o for p, o in zip(pairs, offsets, strict=False)])

        self.species, self.cutoff, self.columns = species.to(device), cutoff, columns
        self._centre, self._neighbor = joined("centre", starts).to(device), joined("neighbor", starts).to(device)
        self._mirror, self._shift = joined("mirror", lengths).to(device), joined("shift", [0] * len(pairs)).to(device)
        self._kind = self.species[self._neighbor]

    def pack(self, positions: Tensor, dtype: torch.dtype, rows: int) -> tuple[Tensor, Tensor]:
        """Edges (rows, M, 3) in Å and elements of the neighbours (rows, M) for positions (R, 3) in float64.

        M never falls and grows in steps of 8, so that compiled functions see few shapes.
        """
        vector = positions[self._neighbor] - positions[self._centre] + self._shift
        kept = ((vector * vector).sum(1) < self.cutoff**2).nonzero()[:, 0]
        centre = self._centre[kept]
        counts = torch.bincount(centre, minlength=len(positions))
        self.columns = max(self.columns, 8 * math.ceil((int(counts.max()) + 1) / 8))
        column = torch.arange(len(kept), device=kept.device) - (counts.cumsum(0) - counts)[centre]
        self._slot = centre * self.columns + column
        # Padded edges end beyond the cutoff, where every radial function and its slope vanish.
        edges = torch.full((rows * self.columns, 3), 2.0 * self.cutoff, dtype=dtype, device=positions.device)
        edges[self._slot] = vector[kept].to(dtype)
        near = torch.zeros(rows * self.columns, dtype=torch.int64, device=positions.device)
        near[self._slot] = self._kind[kept]
        place = torch.empty_like(self._centre)
        place[kept] = self._slot
        self._reverse = place[self._mirror[kept]]
        return edges.view(rows, self.columns, 3), near.view(rows, self.columns)

    def incoming(self, values: Tensor) -> Tensor:
        """For values of edges (rows, M, 3) those of the reverse edges, zero where padded."""
        found = torch.zeros_like(values).view(-1, 3)
        found[self._slot] = values.reshape(-1, 3)[self._reverse]
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

    def _local(self, edges: Tensor, near: Tensor, species: Tensor) -> tuple[Tensor, Tensor | None]:
        energies, output = self.model.local(edges, near, species)
        return energies, None if output is None else output.charges

    @staticmethod
    def padded_rows(n_atoms: int, device: str) -> tuple[int, int]:
        """Rows of a block and number of blocks with the least padding; larger blocks where there is a choice."""
        sizes = _ROWS_CPU if device == "cpu" else _ROWS_GPU
        rows = min(sizes, key=lambda size: (size * math.ceil(n_atoms / size), -size))
        return rows, math.ceil(n_atoms / rows)

    def __call__(self, edges: Tensor, near: Tensor, species: Tensor, rows: int, differentiate: bool) -> "LocalPass":
        """Evaluate all blocks; ``species`` is padded to the rows of ``edges``."""
        parts = []
        for first in range(0, len(edges), rows):
            block = slice(first, first + rows)
            leaf = edges[block].detach().requires_grad_(differentiate)
            with torch.set_grad_enabled(differentiate):
                parts.append((leaf, *self._evaluate(leaf, near[block], species[block])))
        return LocalPass(parts)

    def _evaluate(self, *block: Tensor) -> tuple[Tensor, Tensor | None]:
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
