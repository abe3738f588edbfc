"""Forces, virial and Born charges from gradients with respect to edges, positions and cell."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from les_ipi.conventions import Boundary
from les_ipi.electrostatics.born import (
    SumRule,
    apply_sum_rule,
    carried_piezoelectric,
    local_born_charges,
    local_piezoelectric,
)
from les_ipi.electrostatics.flux import induced_charge_cloud
from les_ipi.electrostatics.multipoles import Multipoles, periodic_potentials
from les_ipi.errors import UserError
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.models.polarizable import Polarizable
from les_ipi.structures.batch import Batch


@dataclass(frozen=True)
class Leaves:
    """The tensors from which the derivatives of one evaluation are taken, or the derivatives with respect to them.

    The fields are ``edges`` (A, M, 3), ``positions`` (B, N, 3) and ``cell`` (B, 3, 3), all in Å.
    """

    edges: Tensor
    positions: Tensor
    cell: Tensor

    @classmethod
    def of(cls, batch: Batch, dtype: torch.dtype) -> "Leaves":
        """Make fresh leaves that require gradients.

        Edge vectors are formed in the precision of the batch before they are rounded, and positions are folded into
        the cell, so that single precision does not suffer from atoms that have diffused far away.

        Parameters:
            batch: the structures.
            dtype: arithmetic of the model, to which the leaves are rounded.

        Returns the leaves.
        """
        folded = batch.positions
        if batch.periodic:
            fold = torch.floor(batch.positions @ torch.linalg.inv(batch.cell))
            if batch.boundary == Boundary.SLAB:
                # A slab has a dipole across its vacuum: its atoms stay where they are along the third vector.
                fold[..., 2] = 0.0
            folded = batch.positions - fold @ batch.cell
        return cls(*(x.detach().to(dtype).clone().requires_grad_() for x in (batch.edges(), folded, batch.cell)))


def gradient(scalar: Tensor, leaves: Leaves, create_graph: bool = False, with_cell: bool = True) -> Leaves:
    """Differentiate a number with respect to edges, positions and cell.

    Parameters:
        scalar: the number to differentiate.
        leaves: the tensors with respect to which it is differentiated.
        create_graph: True keeps the graph, so that the gradient can be differentiated again.
        with_cell: False leaves the gradient of the cell, which only strains need, at zero.

    Returns the gradients as another ``Leaves``; a leaf without influence has zero gradient.
    """
    inputs = [leaves.edges, leaves.positions, *([leaves.cell] if with_cell else [])]
    found = [None] * len(inputs)
    if scalar.requires_grad:  # the sum of charges that are constants does not
        found = torch.autograd.grad(scalar, inputs, create_graph=create_graph, retain_graph=True, allow_unused=True)
    found = [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]
    return Leaves(*found) if with_cell else Leaves(*found, torch.zeros_like(leaves.cell))


def atom_gradient(batch: Batch, grad: Leaves) -> Tensor:
    """Compute the total derivative with respect to atomic positions from the gradient of the leaves.

    An edge r_j − r_i counts minus at its centre and plus at its neighbour; the latter is gathered through the reverse
    edges, so there is no scatter.

    Parameters:
        batch: the structures.
        grad: the gradients of a number with respect to edges, positions and cell, see :func:`gradient`.

    Returns the derivative (B, N, 3) in the unit of the number per Å.
    """
    incoming = grad.edges.reshape(-1, 3)[batch.reverse]
    edge_part = (incoming - grad.edges).sum(1)
    return grad.positions + edge_part.view_as(grad.positions)


def strain_derivative(batch: Batch, leaves: Leaves, grad: Leaves) -> Tensor:
    """Compute the derivative ∂/∂ε_ab of a number when positions and cell are strained, r → r(1+ε) and h → h(1+ε).

    It is the sum Σ e_a g_b over edges, positions and rows of the cell e with their gradients g.

    Parameters:
        batch: the structures.
        leaves: the edges, positions and cells.
        grad: the gradients of the number with respect to them, see :func:`gradient`.

    Returns the derivative (B, 3, 3) in the unit of the number.
    """
    B = batch.n_structures
    edges, edge_gradient = leaves.edges.view(B, -1, 3), grad.edges.view(B, -1, 3)
    total = edges.transpose(1, 2) @ edge_gradient
    total = total + leaves.positions.transpose(1, 2) @ grad.positions
    return total + leaves.cell.transpose(1, 2) @ grad.cell


def unwrapped_dipole(batch: Batch, leaves: Leaves, evaluation: Evaluation) -> Tensor:
    """Compute the latent dipole of the unwrapped positions: that of the model, plus charge × lattice translation of
    every atom.

    Parameters:
        batch: the structures with unwrapped positions.
        leaves: the positions, folded into the cell, with which the model was evaluated.
        evaluation: what the model returned for them.

    Returns the dipoles (B, 3) in e·Å, in float64.
    """
    translation = batch.positions - leaves.positions.detach().double()
    carried = torch.einsum("bn,bnx->bx", evaluation.translating_charges.double(), translation)
    return evaluation.dipole.double() + carried


def raw_born_charges(
    model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, create_graph: bool = False
) -> Tensor:
    """Compute latent Born charges before any sum rule.

    Heads with a single-valued polarization, and the ``equilibration`` head for isolated structures, have Z = ∂P/∂r,
    which takes three backward passes. The ``latent`` head has the exact local form from one pass, and from three more
    passes the charge that flows along messages. Other ``multipole`` heads have the same form for their charges, plus
    ∂Σ(u + Δu)/∂r and the flux of induced charges.

    Parameters:
        model: the model.
        batch: the structures.
        leaves: the edges, positions and cells with which the model was evaluated.
        evaluation: what the model returned for them.
        create_graph: True keeps the graph, so that the Born charges can be differentiated again.

    Returns the Born charges (B, N, 3, 3) in e, ``[atom, polarization, displacement]``.

    Source: doi:10.1038/s41524-025-01911-z and docs/explanation/physics.md.
    """
    if _dipole_is_a_function(model):
        return _by_atom(batch, _component_gradients(evaluation.dipole, leaves, create_graph))
    if model.head.equivariant:
        return _multipole_born_charges(model, batch, leaves, evaluation, create_graph)[0]
    return _born_of_flow(batch, leaves, _flow(model, batch, leaves, evaluation, create_graph))


def electric_response(
    model: LESModel,
    batch: Batch,
    leaves: Leaves,
    evaluation: Evaluation,
    rule: SumRule,
    piezoelectric: bool,
) -> tuple[Tensor, Tensor | None]:
    """Compute latent Born charges under a sum rule and latent piezoelectric tensors, from the same backward passes.

    Both become physical when they are multiplied by √ε_e. The expected total of the Born charges is the net charge of
    the structure. The piezoelectric tensor is Π_cab = ∂M_c/∂ε_ab − M_a δ_bc (clamped ions, proper), see
    :func:`les_ipi.electrostatics.local_piezoelectric`.

    Parameters:
        model: the model.
        batch: the structures.
        leaves: the edges, positions and cells with which the model was evaluated.
        evaluation: what the model returned for them.
        rule: what to do when the Born charges do not add up to the net charge.
        piezoelectric: whether the piezoelectric tensors are computed.

    Returns the Born charges (B, N, 3, 3) in e and the piezoelectric tensors (B, 3, 3, 3) in e·Å, both without graph.
    The latter are None if they were not asked for, and for induced moments and molecules with a multipole head, where
    they are not implemented.
    """
    mask = batch.atom_mask.view(batch.n_structures, -1)
    strained = None
    if _dipole_is_a_function(model):
        grads = _component_gradients(evaluation.dipole, leaves, False)
        born, expected = _by_atom(batch, grads), evaluation.charges.sum((1, 2))
        if piezoelectric:
            strained = _proper(batch, leaves, grads, evaluation.dipole)
    elif model.head.equivariant:
        expected = batch.total_charge.to(leaves.edges.dtype) / evaluation.screening.sqrt()
        born, flow = _multipole_born_charges(model, batch, leaves, evaluation, False)
        if piezoelectric and batch.boundary == Boundary.PERIODIC and not model.head.induces:
            strained = _flow_under_strain(batch, leaves, flow)
            if flow.dipoles:
                strained = strained + _proper(batch, leaves, flow.dipoles, evaluation.atomic_dipole)
    else:
        expected = batch.total_charge.to(leaves.edges.dtype) / math.sqrt(model.screening(batch.periodic))
        flow = _flow(model, batch, leaves, evaluation, False)
        born = _born_of_flow(batch, leaves, flow)
        if piezoelectric:
            strained = _flow_under_strain(batch, leaves, flow)
    strained = None if strained is None else strained.detach()
    return apply_sum_rule(born.detach(), mask, rule, expected.detach()), strained


def _component_gradients(vector: Tensor, leaves: Leaves, create_graph: bool) -> list[Leaves]:
    """Gradients of the three components of dipoles (B, 3)."""
    return [gradient(vector[:, a].sum(), leaves, create_graph) for a in range(3)]


def _proper(batch: Batch, leaves: Leaves, grads: list[Leaves], dipole: Tensor) -> Tensor:
    """∂M_c/∂ε_ab − M_a δ_bc of dipoles M (B, 3) from the gradients of their components, (B, 3, 3, 3) e·Å."""
    strained = torch.stack([strain_derivative(batch, leaves, grad) for grad in grads], dim=1)
    identity = torch.eye(3, dtype=strained.dtype, device=strained.device)
    return strained - dipole[:, None, :, None] * identity[:, None, :]


def _dipole_is_a_function(model: LESModel) -> bool:
    """Whether Born charges are ∂P/∂r: of a single-valued polarization, or of an equilibrium, which has them if isolated."""
    return model.head.single_valued_polarization or model.head.equilibrates


class _Flow(NamedTuple):
    """What flows in a batch of fluctuating charges when atoms move.

    ``diagonal`` (B, N) charge that an atom takes along, e; ``charge`` the gradient of all charge that flows along edges;
    ``carried`` what messages carry away from the centres of edges, see :meth:`les_ipi.models.topology.Topology.carried`;
    ``dipoles`` the gradients of the components of Σ(u + Δu) and of induced charge relative to its sources, or none.
    """

    diagonal: Tensor
    charge: Leaves
    carried: list[Tensor]
    dipoles: list[Leaves]


def _flow(model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, create_graph: bool) -> _Flow:
    """The flow of permanent charge and of the charge that moments induce; derived in docs/explanation/multipoles.md."""
    local, dipole = evaluation.local_charges.sum(), evaluation.atomic_dipole
    diagonal = evaluation.local_charges.view(batch.n_structures, batch.n_rows)
    if evaluation.polarizable is not None and evaluation.polarizable.kappa is not None:
        induced, still, cloud = _induced_flow(model, batch, leaves, evaluation.polarizable)
        local, diagonal = local + induced.sum(), diagonal + induced - still
        dipole = cloud if dipole is None else dipole + cloud
    rows = [] if dipole is None else _component_gradients(dipole, leaves, create_graph)
    topology, carried = evaluation.topology, []
    if topology is not None:
        if topology.unused and model.charge_descriptor is None:
            raise UserError(
                "This short-range model passes messages out of sight, so its Born charges cannot be known: it has to pass them "
                "with Topology.pass_messages, or the charges need a descriptor of their own ([charges.descriptor])."
            )
        carried = topology.carried(local, leaves.edges, create_graph)
    return _Flow(diagonal, gradient(local, leaves, create_graph), carried, rows)


def _born_of_flow(batch: Batch, leaves: Leaves, flow: _Flow) -> Tensor:
    """Born charges (B, N, 3, 3) of what flows."""
    # Padded edges keep a finite length but belong to no neighbour: their gradient is zero by the cutoff.
    ending_here = flow.charge.edges.reshape(-1, 3)[batch.reverse]
    born = local_born_charges(flow.diagonal.reshape(-1), leaves.edges, ending_here)
    born = born.view(batch.n_structures, batch.n_rows, 3, 3)
    if flow.carried:
        # Charge that is carried has the place of a dipole that depends on edges alone.
        still = torch.zeros_like(leaves.positions), torch.zeros_like(leaves.cell)
        born = born + _by_atom(batch, [Leaves(component, *still) for component in flow.carried])
    return born + _by_atom(batch, flow.dipoles) if flow.dipoles else born


def _flow_under_strain(batch: Batch, leaves: Leaves, flow: _Flow) -> Tensor:
    """Piezoelectric tensors of charge that flows along edges and messages, (B, 3, 3, 3) e·Å."""
    found = local_piezoelectric(leaves.edges, flow.charge.edges)
    if flow.carried:
        found = found + carried_piezoelectric(leaves.edges, flow.carried)
    return found.view(batch.n_structures, -1, 3, 3, 3).sum(1)


def _multipole_born_charges(
    model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, create_graph: bool
) -> tuple[Tensor, _Flow | None]:
    """Latent Born charges (B, N, 3, 3) of a multipole head, and what flows in its periodic structures (None without any).

    The dipole of an isolated structure is a function of its positions: nothing else is needed.
    """
    if not batch.periodic:
        return _by_atom(batch, _component_gradients(evaluation.dipole, leaves, create_graph)), None
    flow = _flow(model, batch, leaves, evaluation, create_graph)
    return _born_of_flow(batch, leaves, flow), flow


def _by_atom(batch: Batch, grads: list[Leaves]) -> Tensor:
    """∂M_a/∂r_ib (B, N, 3, 3) from the gradients of the components of dipoles M."""
    return torch.stack([atom_gradient(batch, grad) for grad in grads], dim=2)


def _induced_flow(
    model: LESModel, batch: Batch, leaves: Leaves, atoms: Polarizable
) -> tuple[Tensor, Tensor, Tensor]:
    """Induced charge of a periodic batch as Born charges need it.

    Returns: Δq (B, N), which depends on the geometry through edges alone (positions held); minus the charge (B, N) that the
    moments of every atom induce in the whole cell; the dipole (B, 3) of induced charge relative to its sources, at fixed κ and
    receivers.
    """
    q, own = atoms.moments.charges, atoms.own_charges
    # The common shift of all charges is no flow between atoms.
    moments = Multipoles(own + (q - own).detach(), atoms.moments.dipoles, atoms.moments.quadrupoles)
    positions, cell, modes = leaves.positions.detach(), leaves.cell.detach(), batch.modes
    phi = periodic_potentials(positions, cell, moments, modes, model.kernel, 0).potential
    induced = -(atoms.kappa * phi).sum(-1)
    # Charge and potential change places: what κ feels of an atom is what the atom feels of charges κ.
    everywhere = replace(model.kernel, remove_self=False)
    found = periodic_potentials(positions, cell, Multipoles(atoms.kappa), modes, everywhere, moments.rank)
    answer = (moments.charges * found.potential).sum(-1)
    if moments.dipoles is not None:
        answer = answer - (moments.dipoles * found.field).sum((2, 3))
    if moments.quadrupoles is not None:
        answer = answer - 0.5 * (moments.quadrupoles * found.field_gradient).sum((2, 3, 4))
    kappa = atoms.kappa.detach()
    cloud = induced_charge_cloud(leaves.positions, cell, moments, positions, kappa, modes, model.kernel)
    return induced, answer, cloud
