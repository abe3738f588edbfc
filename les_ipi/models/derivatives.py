"""Forces, virial and Born charges from gradients with respect to edges, positions and cell."""

from dataclasses import dataclass

import torch
from torch import Tensor

from les_ipi.batch import Batch
from les_ipi.electrostatics.born import SumRule, apply_sum_rule, local_born_charges, local_piezoelectric
from les_ipi.models.les_model import Evaluation, LESModel


@dataclass(frozen=True)
class Leaves:
    """The geometric leaves of one evaluation: ``edges`` (A, M, 3), ``positions`` (B, N, 3), ``cell`` (B, 3, 3), Å."""

    edges: Tensor
    positions: Tensor
    cell: Tensor

    @classmethod
    def of(cls, batch: Batch, dtype: torch.dtype) -> "Leaves":
        """Fresh leaves that require gradients, in the dtype of the model.

        Edge vectors are formed in the precision of the batch before they are rounded, and positions are folded into
        the cell, so that single precision does not suffer from atoms that have diffused far away.
        """
        fractional = batch.positions @ torch.linalg.inv(batch.cell)
        fold = torch.floor(fractional) * batch.periodic[:, None, None]
        folded = batch.positions - fold @ batch.cell
        return cls(*(x.detach().to(dtype).clone().requires_grad_() for x in (batch.edges(), folded, batch.cell)))


def gradient(scalar: Tensor, leaves: Leaves, create_graph: bool = False) -> Leaves:
    """∂(scalar)/∂(edges, positions, cell) as another ``Leaves``; a leaf without influence has zero gradient."""
    inputs = (leaves.edges, leaves.positions, leaves.cell)
    found = torch.autograd.grad(scalar, inputs, create_graph=create_graph, retain_graph=True, allow_unused=True)
    return Leaves(*(torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)))


def atom_gradient(batch: Batch, grad: Leaves) -> Tensor:
    """Total derivative with respect to atomic positions, (B, N, 3), from the gradient of the leaves.

    An edge r_j − r_i counts minus at its centre and plus at its neighbour; the latter is gathered through the reverse
    edges, so there is no scatter.
    """
    incoming = grad.edges.reshape(-1, 3)[batch.reverse]
    edge_part = (incoming - grad.edges).sum(1)
    return grad.positions + edge_part.view_as(grad.positions)


def strain_derivative(batch: Batch, leaves: Leaves, grad: Leaves) -> Tensor:
    """∂/∂ε_ab under r → r(1+ε), h → h(1+ε): Σ e_a g_b over edges, positions and cell rows; (B, 3, 3), unit of the scalar."""
    B = batch.n_structures
    edges, edge_gradient = leaves.edges.view(B, -1, 3), grad.edges.view(B, -1, 3)
    total = edges.transpose(1, 2) @ edge_gradient
    total = total + leaves.positions.transpose(1, 2) @ grad.positions
    return total + leaves.cell.transpose(1, 2) @ grad.cell


def raw_born_charges(
    model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, create_graph: bool = False
) -> Tensor:
    """Latent Born charges (B, N, 3, 3) in e before any sum rule, ``[atom, polarization, displacement]``.

    ``latent`` head: the exact local form from one backward pass. ``transfer`` head: Z = ∂P/∂r of the single-valued
    polarization, three passes. Source: doi:10.1038/s41524-025-01911-z and docs/physics.md.
    """
    return _raw_born(model, batch, leaves, evaluation, _charge_gradients(model, leaves, evaluation, create_graph))


def electric_response(
    model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, rule: SumRule = SumRule.PROJECT
) -> tuple[Tensor, Tensor]:
    """Latent Born charges (B, N, 3, 3) in e under a sum rule, and latent piezoelectric tensors (B, 3, 3, 3) in e·Å.

    Both come from the same backward passes, without graph; multiply by √ε_e for physical ones. The expected total of the
    Born charges is the net charge of the structure, or what a transfer head gives by construction. The second is
    Π_cab = ∂M_c/∂ε_ab − M_a δ_bc (clamped ions, proper), see :func:`les_ipi.electrostatics.local_piezoelectric`.
    """
    grads = _charge_gradients(model, leaves, evaluation, False)
    mask = batch.atom_mask.view(batch.n_structures, -1)
    if model.head.single_valued_polarization:
        expected = evaluation.charges.sum((1, 2))
        strained = torch.stack([strain_derivative(batch, leaves, grad) for grad in grads], dim=1)
        identity = torch.eye(3, dtype=strained.dtype, device=strained.device)
        strained = strained - evaluation.dipole[:, None, :, None] * identity[:, None, :]
    else:
        expected = batch.total_charge.to(leaves.edges.dtype) / model.screening(batch.periodic).sqrt()
        by_atom = local_piezoelectric(leaves.edges, grads[0].edges)
        strained = by_atom.view(batch.n_structures, -1, 3, 3, 3).sum(1)
    born = _raw_born(model, batch, leaves, evaluation, grads)
    return apply_sum_rule(born.detach(), mask, rule, expected.detach()), strained.detach()


def _charge_gradients(model: LESModel, leaves: Leaves, evaluation: Evaluation, create_graph: bool) -> list[Leaves]:
    """Gradients of the three components of a single-valued dipole, or of the total latent charge."""
    if model.head.single_valued_polarization:
        return [gradient(evaluation.dipole[:, a].sum(), leaves, create_graph) for a in range(3)]
    return [gradient(evaluation.local_charges.sum(), leaves, create_graph)]


def _raw_born(model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, grads: list[Leaves]) -> Tensor:
    if model.head.single_valued_polarization:
        return torch.stack([atom_gradient(batch, grad) for grad in grads], dim=2)
    # Padded edges keep a finite length but belong to no neighbour: their gradient is zero by the cutoff.
    ending_here = grads[0].edges.reshape(-1, 3)[batch.reverse]
    born = local_born_charges(evaluation.local_charges, leaves.edges, ending_here)
    return born.view(batch.n_structures, batch.n_rows, 3, 3)
