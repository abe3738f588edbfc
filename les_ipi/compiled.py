"""Energy, forces, virial, dipole and charges of a model as one compiled graph for a fixed batch shape.

The backward pass is traced into the graph (``make_fx``) and the whole is compiled by inductor, so that molecular
dynamics pays neither Python nor autograd overhead. A shape is compiled once per process; the generated code is cached
on disk by torch. Without a working compiler the caller falls back to eager evaluation.
"""

import logging
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from les_ipi.batch import Batch
from les_ipi.models.derivatives import Leaves, atom_gradient, gradient, strain_derivative
from les_ipi.models.les_model import Evaluation, LESModel

_TENSOR_FIELDS = [f.name for f in fields(Batch) if f.name != "boundary"]
_GEOMETRY = {"positions", "cell", "shift"}


class CompiledModel:
    """Compiled evaluation; one graph per batch shape. Parameters: ``model`` in evaluation mode."""

    def __init__(self, model: LESModel):
        self.model = model
        self._state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._graphs: dict[tuple, Callable] = {}
        self.failed = False

    def __call__(self, batch: Batch, leaves: Leaves) -> tuple[Evaluation, Tensor, Tensor] | None:
        """Evaluation, forces (B, N, 3) and virial (B, 3, 3), or None if no compiler works here."""
        if self.failed:
            return None
        inputs = self._inputs(batch, leaves)
        key = (batch.boundary, *(tuple(x.shape) for x in inputs[0] + inputs[1]))
        try:
            if key not in self._graphs:
                traced = make_fx(self._function(batch.boundary))(*inputs)
                self._graphs[key] = torch.compile(traced, dynamic=False)
            with torch.no_grad():
                energy, charges, local, dipole, carried, forces, virial = self._graphs[key](*inputs)
        except Exception as error:
            # Compilers fail in many ways (none installed, no disk, unsupported platform); eager always works.
            logging.getLogger(__name__).info("torch.compile is not available here: %s", error)
            self.failed = True
            return None
        return Evaluation(energy, charges, local, dipole, carried), forces, virial

    def _inputs(self, batch: Batch, leaves: Leaves) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        geometry = [x.detach() for x in (leaves.edges, leaves.positions, leaves.cell)]
        # Geometry enters through the leaves alone; the batch only carries topology into the graph.
        topology = [getattr(batch, name) for name in _TENSOR_FIELDS if name not in _GEOMETRY]
        return geometry, topology, [v.detach() for v in self._state.values()]

    def _function(self, boundary: str) -> Callable:
        names = [name for name in _TENSOR_FIELDS if name not in _GEOMETRY]

        def evaluate(geometry: list[Tensor], topology: list[Tensor], state: list[Tensor]) -> tuple[Tensor, ...]:
            edges, positions, cell = (x.detach().requires_grad_() for x in geometry)
            leaves = Leaves(edges, positions, cell)
            batch = Batch(
                **dict(zip(names, topology, strict=True)),
                positions=positions,
                cell=cell,
                shift=edges,
                boundary=boundary,
            )
            with torch.enable_grad():
                weights = dict(zip(self._state, state, strict=True))
                found = torch.func.functional_call(self.model, weights, (batch, edges, positions, cell))
                grad = gradient(found.energy.sum(), leaves)
            forces = -atom_gradient(batch, grad)
            virial = -strain_derivative(batch, leaves, grad)
            return tuple(x.detach() for x in (*found, forces, virial))

        return evaluate
