"""Predictions of electric labels for the loss: Born charges, dipoles and their differences, quadrupoles, polarizabilities."""

import torch
from torch import Tensor

from les_ipi.electrostatics.born import SumRule, apply_sum_rule
from les_ipi.models.derivatives import Leaves, raw_born_charges, unwrapped_dipole
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.structures.batch import Batch
from les_ipi.units import COULOMB


def physical_dipole(batch: Batch, leaves: Leaves, evaluation: Evaluation) -> Tensor:
    """Compute physical dipoles (B, 3) in e·Å: √ε_e times the latent dipoles of the unwrapped positions."""
    dipole = unwrapped_dipole(batch, leaves, evaluation).to(evaluation.dipole.dtype)
    return evaluation.screening.sqrt()[:, None] * dipole


def physical_quadrupole(evaluation: Evaluation) -> Tensor:
    """Compute physical quadrupoles (B, 3, 3) in e·Å²: √ε_e times the latent traceless second moments of isolated
    structures.

    They are taken about the centre of mass.
    """
    return evaluation.screening.sqrt()[:, None, None] * evaluation.quadrupole


def physical_polarizability(evaluation: Evaluation) -> Tensor:
    """Compute physical polarizabilities k_e ε_e Σ α (B, 3, 3) in Å³: what explicit polarizabilities give; complete
    where ε_e = 1.
    """
    return COULOMB * evaluation.screening[:, None, None] * evaluation.polarizable.total_polarizability()


def physical_born_charges(model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation) -> Tensor:
    """Compute physical Born charges (B, N, 3, 3) in e: √ε_e times the latent ones, with the graph kept and the sum
    rule imposed.
    """
    born = raw_born_charges(model, batch, leaves, evaluation, create_graph=True)
    scale = evaluation.screening.sqrt()
    if not model.head.single_valued_polarization:
        mask = batch.atom_mask.view(batch.n_structures, -1)
        born = apply_sum_rule(born, mask, SumRule.PROJECT, batch.total_charge.to(born.dtype) / scale)
    return scale[:, None, None, None] * born


def dipole_difference_errors(batch: Batch, leaves: Leaves, evaluation: Evaluation, labels: Tensor) -> Tensor:
    """Compute errors of the change of the dipole from one frame of a batch to the next, modulo the quantum of
    polarization.

    With reduced dipoles p = P h⁻¹, Δ_b = (p_b+1 − p_b)_model − (p_b+1 − p_b)_label and the error is (Δ − round Δ)
    h_b: a lattice vector times e, by which labels are undefined, is no error. The atoms of frame b + 1 are taken at
    the images nearest to where they are in frame b, apart from a drift of all atoms, for which that of the first atom
    is taken. The error is NaN for pairs of frames that are isolated, differ in their elements or charge states, or
    have no label. The polarization must be single-valued.

    Parameters:
        batch: the structures.
        leaves: the edges, positions and cells with which the model was evaluated.
        evaluation: what the model returned for them.
        labels: tensor (B, 3) of the dipoles of the frames, e·Å.

    Returns the errors (B, 3) in e·Å.

    Source: doi:10.1103/PhysRevB.47.1651 (quantum of polarization).
    """
    dtype = evaluation.dipole.dtype
    inverse = torch.linalg.inv(leaves.cell.detach())
    fractional = leaves.positions.detach() @ inverse
    moved = torch.roll(fractional, -1, 0) - fractional
    jump = torch.round(moved - moved[:, :1])
    scale = evaluation.screening.sqrt()[:, None]
    carried = torch.einsum("bn,bnx->bx", torch.roll(evaluation.translating_charges, -1, 0), jump)
    reduced = torch.einsum("bx,bxy->by", scale * evaluation.dipole, inverse)
    change = torch.roll(reduced, -1, 0) - reduced - scale * carried
    known = torch.einsum("bx,bxy->by", labels.to(dtype), inverse)
    change = change - (torch.roll(known, -1, 0) - known)
    wrapped = change - torch.round(change.detach())
    rows = batch.species.view(batch.n_structures, -1), batch.atom_mask.view(batch.n_structures, -1)
    alike = torch.full_like(batch.total_charge, batch.periodic, dtype=torch.bool)
    for state in (batch.total_charge, batch.multiplicity):
        alike = alike & (torch.roll(state, -1, 0) == state)
    for table in rows:
        alike = alike & (torch.roll(table, -1, 0) == table).all(1)
    error = torch.einsum("bx,bxy->by", wrapped, leaves.cell.detach())
    return torch.where(alike[:, None] & torch.isfinite(error), error, torch.full_like(error, torch.nan))
