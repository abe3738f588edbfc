"""The local part of a model in blocks of atoms: cost and memory per atom that do not depend on the size of the system.

Atoms of all structures (beads, replicas) are one long list. It is cut into blocks of equal shape, which stay in the processor's
cache and need one compiled function.
"""

import logging
import math
from collections.abc import Callable

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
from torch import Tensor

from les_ipi.models.heads import ChargeOutput
from les_ipi.models.les_model import LESModel

#: Block sizes to choose from, on a processor and on a GPU.
_ROWS_CPU, _ROWS_GPU = range(256, 31, -32), [2**k for k in range(17, 5, -1)]

#: Compiled and eager code add in different orders; what differs by more than this, relative to the largest, is another number.
_LARGEST_DEVIATION = 1e-2


class LocalBlocks:
    """Evaluates the short-range energies and head outputs of a model whose atoms depend on their own edges alone, in
    blocks.

    Without a working compiler the evaluation is eager even if ``compile`` is True.

    Parameters:
        model: the model, for which :attr:`LESModel.blockwise` must be True.
        compile: True fuses the function of a block into compiled code.
    """

    def __init__(self, model: LESModel, compile: bool = False):
        self.model = model
        self.compiled = compile
        self._function: Callable = self._local
        self._checked: set[tuple[bool, torch.Size]] = set()
        if compile:
            self._function = torch.compile(self._local, dynamic=False)

    def _local(
        self, edges: Tensor, near: Tensor, species: Tensor, state: Tensor | None
    ) -> tuple[Tensor, ChargeOutput | None]:
        return self.model.local(edges, near, species, state=state)

    @staticmethod
    def padded_rows(n_atoms: int, device: str) -> tuple[int, int]:
        """Choose the size of the blocks with the least padding, and the larger one of two that need the same padding.

        Parameters:
            n_atoms: number of atoms of all structures together.
            device: device on which the blocks are evaluated.

        Returns the number of rows of a block and the number of blocks.
        """
        sizes = _ROWS_CPU if device == "cpu" else _ROWS_GPU
        rows = min(sizes, key=lambda size: (size * math.ceil(n_atoms / size), -size))
        return rows, math.ceil(n_atoms / rows)

    def connected(
        self, edges: Tensor, near: Tensor, species: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, ChargeOutput | None]:
        """Evaluate :meth:`LESModel.local` for any number of rows, and keep the graph back to ``edges``.

        The parameters and the result are those of :meth:`LESModel.local`.
        """
        rows, n_blocks = self.padded_rows(len(edges), edges.device.type)
        missing = rows * n_blocks - len(edges)
        tables = []
        for table, fill in ((edges, 2.0 * self.model.cutoff), (near, 0), (species, 0), (state, 0)):
            if table is not None and missing:
                table = torch.cat([table, table.new_full((missing, *table.shape[1:]), fill)])
            tables.append([None] * n_blocks if table is None else table.split(rows))
        parts = [self._evaluate(*block) for block in zip(*tables, strict=True)]
        energies = _joined([energy for energy, _ in parts], len(edges))
        if parts[0][1] is None:
            return energies, None
        fields = zip(*(output for _, output in parts), strict=True)
        return energies, ChargeOutput(*(None if blocks[0] is None else _joined(blocks, len(edges)) for blocks in fields))

    def __call__(
        self,
        edges: Tensor,
        near: Tensor,
        species: Tensor,
        rows: int,
        differentiate: bool,
        state: Tensor | None = None,
    ) -> "LocalPass":
        """Evaluate energies and charges of all blocks, each with a graph of its own.

        The parameters ``edges``, ``near``, ``species`` and ``state`` are those of :meth:`LESModel.local`, all padded
        to the same number of rows. ``rows`` is the number of rows of a block, and ``differentiate`` says whether
        gradients will be asked for.

        Returns the pass, from which energies, charges and their gradients can be read.
        """
        parts = []
        for first in range(0, len(edges), rows):
            block = slice(first, first + rows)
            leaf = edges[block].detach().requires_grad_(differentiate)
            with torch.set_grad_enabled(differentiate):
                states = None if state is None else state[block]
                energies, output = self._evaluate(leaf, near[block], species[block], states)
            parts.append((leaf, energies, None if output is None else output.charges))
        return LocalPass(parts)

    def _evaluate(self, *block: Tensor | None) -> tuple[Tensor, ChargeOutput | None]:
        if self.compiled:
            _set_compiler()
            try:
                if (_Compiled.from_cache, block[0].shape) not in self._checked:
                    self._check(*block)
                    self._checked.add((_Compiled.from_cache, block[0].shape))
                return self._function(*block)
            except Exception as error:
                # Compilers fail in many ways (none installed, no disk, unsupported platform); eager always works.
                logging.getLogger(__name__).info("torch.compile is not available here: %s", error)
                self.compiled, self._function = False, self._local
        return self._function(*block)

    def _check(self, *block: Tensor | None) -> None:
        """Hold what was compiled for blocks of a new shape to the eager function; raise ``RuntimeError`` where they differ.

        torch keeps compiled code on the disk and does not tell code that gives its buffers away from code that keeps them:
        a second pass back would then read memory that the first has overwritten. Once that was seen, the process compiles
        everything anew and without the cache.
        """
        deviation = self._deviation(*block)
        if not deviation < _LARGEST_DEVIATION and _Compiled.from_cache:
            logging.getLogger(__name__).warning("Compiled code from the cache of torch gives wrong numbers: it is made anew.")
            _Compiled.from_cache = False
            _set_compiler()
            torch._dynamo.reset()
            deviation = self._deviation(*block)
        if not deviation < _LARGEST_DEVIATION:
            raise RuntimeError(f"compiled code deviates by {deviation:.2g}")

    def _deviation(self, *block: Tensor | None) -> float:
        """Largest difference of compiled and eager derivatives, relative to the largest of each pass."""
        with torch.enable_grad():
            found, expected = (_derivatives(function, *block) for function in (self._function, self._local))
        pairs = zip(found, expected, strict=True)
        # The maximum of a tensor keeps what is not a number.
        return float(torch.stack([(a - b).abs().max() / b.abs().max().clamp(min=1e-6) for a, b in pairs]).max())


class _Compiled:
    """Whether the compiled code of this process may come from the disk; when it may no more, all of it is thrown away."""

    from_cache = True


def _set_compiler() -> None:
    """Settings of the compiler, which hold for one thread, and i-PI evaluates in threads of its own."""
    functorch, inductor = torch._functorch.config, torch._inductor.config
    if functorch.donated_buffer:
        # A pass is differentiated several times, so its buffers must survive the first.
        functorch.donated_buffer = False
    if not _Compiled.from_cache and functorch.enable_autograd_cache:
        functorch.enable_autograd_cache = inductor.fx_graph_cache = False


def _derivatives(function: Callable, edges: Tensor, *rest: Tensor | None) -> list[Tensor]:
    """Gradients ∂/∂edges of the energies, of everything, and of the energies again, in passes back through one evaluation."""
    leaf = edges.detach().requires_grad_()
    energies, output = function(leaf, *rest)
    scalars = [energies.sum()]
    if parts := [x.sum() for x in output or () if x is not None and x.requires_grad]:
        scalars += [sum(parts), energies.sum()]
    return [torch.autograd.grad(scalar, leaf, retain_graph=True)[0] for scalar in scalars]


def _joined(blocks: list[Tensor], rows: int) -> Tensor:
    """The first ``rows`` rows of blocks below each other."""
    return (blocks[0] if len(blocks) == 1 else torch.cat(blocks))[:rows]


class LocalPass:
    """One forward pass of all blocks, which is kept so that gradients can be taken from it."""

    def __init__(self, parts: list[tuple[Tensor, Tensor, Tensor | None]]):
        self._parts = parts
        self.energies = torch.cat([energy.detach() for _, energy, _ in parts])
        self.charges = None if parts[0][2] is None else torch.cat([charges.detach() for *_, charges in parts])

    def gradient(self, of_energy: bool, of_charges: Tensor | None, last: bool = True) -> Tensor:
        """Compute the gradient of Σ E_i + Σ w_ic q_ic with respect to the edges.

        Parameters:
            of_energy: whether the energies E_i are in the sum.
            of_charges: tensor (rows, C) with the weights w_ic of the charges, or None to leave the charges out.
            last: True frees what the pass has kept, so that no further gradient can be taken.

        Returns the gradient (rows, M, 3).
        """
        found, start = [], 0
        for leaf, energy, charges in self._parts:
            outputs, weights = [], []
            if of_energy:
                outputs, weights = [energy], [torch.ones_like(energy)]
            # A head may give charges that do not depend on the edges.
            if of_charges is not None and charges.requires_grad:
                outputs.append(charges)
                weights.append(of_charges[start : start + len(leaf)])
            if outputs:
                found += torch.autograd.grad(outputs, leaf, weights, retain_graph=not last)
            else:
                found.append(torch.zeros_like(leaf))
            start += len(leaf)
        return torch.cat(found)
