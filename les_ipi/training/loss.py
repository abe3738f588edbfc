"""Weighted squared errors of a batch, and the predictions they compare."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from les_ipi.models.derivatives import Leaves, atom_gradient, gradient, strain_derivative
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.structures.batch import Batch, Padding, collate
from les_ipi.training.data import Frame, composition
from les_ipi.training.file_networks import of_files
from les_ipi.training.responses import (
    dipole_difference_errors,
    physical_born_charges,
    physical_dipole,
    physical_polarizability,
    physical_quadrupole,
)
from les_ipi.training.training_config import LossStage


@dataclass(frozen=True)
class Targets:
    """Labels of a batch; frames without a label are NaN and do not count.

    ``energy`` (B,) eV without reference energies; ``forces`` (B, N, 3); ``stress`` (B, 3, 3); ``born`` (B, N, 3, 3);
    ``dipole`` (B, 3); ``quadrupole`` (B, 3, 3), isolated frames only; ``polarizability`` (B, 3, 3); ``counts`` (B,) atoms per
    frame; ``files`` (B,) index of the file that a frame comes from.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    born: Tensor
    dipole: Tensor
    quadrupole: Tensor
    polarizability: Tensor
    counts: Tensor
    files: Tensor

    def to(self, device: torch.device | str) -> "Targets":
        """Copy on another device."""
        return Targets(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def make_batch(frames: list[Frame], model: LESModel, padding: Padding = Padding()) -> Batch:
    """Batch of training frames, with the neighbour matrices that were computed once."""
    systems, neighbors = [f.system for f in frames], [f.neighbors for f in frames]
    return collate(
        systems, model.species, model.cutoff, model.kernel.k_cutoff, neighbors=neighbors, padding=padding
    )


def make_targets(
    frames: list[Frame], zeros: np.ndarray, species: list[int], n_rows: int, dtype: torch.dtype
) -> Targets:
    """Labels as padded tensors; ``zeros`` (n_zeros, n_species) are the reference energies (eV) that are subtracted."""
    B = len(frames)
    counts_by_element = composition(frames, species)
    energy = np.full(B, np.nan)
    forces = np.full((B, n_rows, 3), np.nan)
    stress = np.full((B, 3, 3), np.nan)
    born = np.full((B, n_rows, 3, 3), np.nan)
    dipole = np.full((B, 3), np.nan)
    quadrupole, polarizability = np.full((2, B, 3, 3), np.nan)
    for b, frame in enumerate(frames):
        labels, n = frame.labels, len(frame.system.numbers)
        if labels.energy is not None:
            energy[b] = labels.energy - counts_by_element[b] @ zeros[frame.zero]
        if labels.forces is not None:
            forces[b, :n] = labels.forces
        if labels.stress is not None:
            stress[b] = labels.stress
        if labels.born_effective_charges is not None:
            born[b, :n] = labels.born_effective_charges
        if labels.dipole is not None:
            dipole[b] = labels.dipole
        if labels.quadrupole is not None and not frame.system.periodic:
            quadrupole[b] = labels.quadrupole
        if labels.polarizability is not None:
            polarizability[b] = labels.polarizability
    counts = np.array([len(f.system.numbers) for f in frames], dtype=float)
    arrays = (energy, forces, stress, born, dipole, quadrupole, polarizability, counts)
    return Targets(*(torch.from_numpy(a).to(dtype) for a in arrays), torch.tensor([f.zero for f in frames]))


def mean_square(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over the entries whose target is not NaN (0 if there is none)."""
    known = torch.isfinite(target)
    difference = torch.where(known, prediction - torch.where(known, target, torch.zeros_like(target)), 0.0)
    return (difference * difference).sum() / known.sum().clamp(min=1)


def training_loss(
    model: LESModel, batch: Batch, targets: Targets, stage: LossStage
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted loss and its unweighted mean squared errors, named as in :class:`LossStage`."""
    leaves = Leaves.of(batch, model.energy_scale.dtype)
    with of_files(model, targets.files):
        evaluation = model(batch, leaves.edges, leaves.positions, leaves.cell)
    parts = {"energy": mean_square(evaluation.energy / targets.counts, targets.energy / targets.counts)}
    if stage.forces or stage.stress:
        grad = gradient(evaluation.energy.sum(), leaves, create_graph=True)
        parts["forces"] = mean_square(-atom_gradient(batch, grad), targets.forces)
        if stage.stress:
            volume = torch.linalg.det(leaves.cell).abs()[:, None, None]
            parts["stress"] = mean_square(strain_derivative(batch, leaves, grad) / volume, targets.stress)
    if stage.charge_variation and model.head is not None:
        formal = model.head.scaled_formal_charges(batch.species)
        deviation = (evaluation.local_charges - formal)[batch.atom_mask]
        parts["charge_variation"] = (deviation * deviation).mean()
    if stage.charge_conservation and model.head is not None:
        # The sum before any projection to the wanted total: a displacement must move charge, not make it.
        made = gradient(evaluation.local_charges.sum(), leaves, create_graph=True, with_cell=False)
        by_atom = (atom_gradient(batch, made) ** 2).sum(2) * batch.atom_mask.view(batch.n_structures, -1)
        parts["charge_conservation"] = by_atom.sum() / batch.atom_mask.sum()
    if model.head is not None:
        parts.update(_response_errors(model, batch, leaves, evaluation, targets, stage))
    loss = sum(getattr(stage, name) * value for name, value in parts.items())
    return loss, parts


def _response_errors(
    model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, targets: Targets, stage: LossStage
) -> dict[str, Tensor]:
    """Mean squared errors of the electric labels that the stage weighs; those of whole structures per atom."""
    parts = {}
    if stage.born:
        parts["born"] = mean_square(physical_born_charges(model, batch, leaves, evaluation), targets.born)
    counts = targets.counts[:, None]
    if stage.dipole:
        parts["dipole"] = mean_square(physical_dipole(batch, leaves, evaluation) / counts, targets.dipole / counts)
    if stage.dipole_difference:
        errors = dipole_difference_errors(batch, leaves, evaluation, targets.dipole) / counts
        known = torch.isfinite(errors)
        parts["dipole_difference"] = mean_square(torch.where(known, errors, 0.0), torch.where(known, 0.0, torch.nan))
    counts = counts[:, None]
    if stage.quadrupole and evaluation.quadrupole is not None:
        parts["quadrupole"] = mean_square(physical_quadrupole(evaluation) / counts, targets.quadrupole / counts)
    if stage.polarizability and model.head.induces_dipole:
        parts["polarizability"] = mean_square(
            physical_polarizability(evaluation) / counts, targets.polarizability / counts
        )
    return parts
