"""Weighted squared errors of frames, in one batch for each boundary, and the predictions they compare."""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from les_ipi.models.derivatives import Leaves, atom_gradient, gradient, strain_derivative
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.structures.batch import Batch, Padding, collate
from les_ipi.structures.system import places_by_boundary
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
    """Labels of a batch. Labels that a frame does not have are NaN and do not count.

    ==============  ============  =================================================================================
    field           shape         meaning, unit
    ==============  ============  =================================================================================
    energy          (B,)          energy without reference energies, eV
    forces          (B, N, 3)     eV/Å
    stress          (B, 3, 3)     eV/Å³
    born            (B, N, 3, 3)  Born effective charges, e
    dipole          (B, 3)        e·Å
    quadrupole      (B, 3, 3)     of isolated frames only, e·Å²
    polarizability  (B, 3, 3)     Å³
    counts          (B,)          atoms of each frame
    files           (B,)          index of the file that a frame comes from
    followed        (B,)          whether the next frame of the batch (the first one for the last) is also the next one
                                  among the frames of all boundaries
    ==============  ============  =================================================================================
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
    followed: Tensor

    def to(self, device: torch.device | str) -> "Targets":
        """Copy the labels to another device."""
        return Targets(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def make_batch(frames: list[Frame], model: LESModel, padding: Padding = Padding()) -> Batch:
    """Put training frames of one boundary into a batch, with the neighbour matrices that were computed once.

    Parameters:
        frames: the frames.
        model: the model, which gives species and cutoffs.
        padding: smallest sizes of the padded tables.

    Returns the batch.
    """
    systems, neighbors = [f.system for f in frames], [f.neighbors for f in frames]
    return collate(
        systems, model.species, model.cutoff, model.kernel.k_cutoff, neighbors=neighbors, padding=padding
    )


def batches_by_boundary(frames: list[Frame], model: LESModel, padding: Padding = Padding()) -> list[Batch]:
    """Make one batch for each boundary among the frames; the parameters are those of :func:`make_batch`."""
    places = places_by_boundary([f.system for f in frames]).values()
    return [make_batch([frames[i] for i in chosen], model, padding) for chosen in places]


def make_targets(
    frames: list[Frame], zeros: np.ndarray, species: list[int], n_rows: int, dtype: torch.dtype
) -> Targets:
    """Write the labels of frames as padded tensors.

    Parameters:
        frames: the frames.
        zeros: array (n_zeros, n_species) of the reference energies in eV that are subtracted.
        species: atomic numbers of the elements.
        n_rows: number of atoms to which the frames are padded.
        dtype: arithmetic of the tensors.

    Returns the labels.
    """
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
    files, followed = torch.tensor([f.zero for f in frames]), torch.ones(B, dtype=torch.bool)
    return Targets(*(torch.from_numpy(a).to(dtype) for a in arrays), files, followed)


def make_tables(
    frames: list[Frame], model: LESModel, zeros: np.ndarray, padding: Padding = Padding()
) -> list[tuple[Batch, Targets]]:
    """Make a batch and its labels for each boundary among the frames, as :func:`training_loss` takes them.

    Parameters:
        frames: the frames.
        model: the model, which gives species and cutoffs.
        zeros: array (n_zeros, n_species) of the reference energies in eV that are subtracted.
        padding: smallest sizes of the padded tables.

    Returns a list of pairs of batch and labels.
    """
    tables = []
    for places in places_by_boundary([f.system for f in frames]).values():
        chosen = [frames[place] for place in places]
        batch = make_batch(chosen, model, padding)
        targets = make_targets(chosen, zeros, model.species, batch.n_rows, model.energy_scale.dtype)
        following = (np.array(places) + 1) % len(frames)
        tables.append((batch, replace(targets, followed=torch.from_numpy(np.roll(places, -1) == following))))
    return tables


class SquaredError(NamedTuple):
    """Sum of squared differences and their number, which add up over batches."""

    total: Tensor
    count: Tensor


def squared_error(prediction: Tensor, target: Tensor) -> SquaredError:
    """Compute the sum of squared differences over the entries whose target is not NaN, and the number of these
    entries.
    """
    known = torch.isfinite(target)
    difference = torch.where(known, prediction - torch.where(known, target, torch.zeros_like(target)), 0.0)
    return SquaredError((difference * difference).sum(), known.sum())


def training_loss(
    model: LESModel, tables: list[tuple[Batch, Targets]], stage: LossStage
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the weighted loss of frames, and its unweighted mean squared errors.

    Every mean is taken over all entries of all batches whose label is known, and is 0 where there is none.

    Parameters:
        model: the model that is trained.
        tables: a batch and its labels for each boundary, from :func:`make_tables`.
        stage: weights of the errors.

    Returns the loss, and a dictionary with the errors, named and with the units as in :class:`LossStage`.
    """
    found = [_squared_errors(model, batch, targets, stage) for batch, targets in tables]
    parts = {}
    for name in dict.fromkeys(name for errors in found for name in errors):
        totals, counts = zip(*(errors[name] for errors in found if name in errors), strict=True)
        parts[name] = sum(totals) / sum(counts).clamp(min=1)
    return sum(getattr(stage, name) * value for name, value in parts.items()), parts


def _squared_errors(model: LESModel, batch: Batch, targets: Targets, stage: LossStage) -> dict[str, SquaredError]:
    """Squared errors of the labels that the stage weighs, of frames of one boundary."""
    leaves = Leaves.of(batch, model.energy_scale.dtype)
    with of_files(model, targets.files):
        evaluation = model(batch, leaves.edges, leaves.positions, leaves.cell)
    parts = {"energy": squared_error(evaluation.energy / targets.counts, targets.energy / targets.counts)}
    if stage.forces or stage.stress:
        grad = gradient(evaluation.energy.sum(), leaves, create_graph=True)
        parts["forces"] = squared_error(-atom_gradient(batch, grad), targets.forces)
        if stage.stress:
            volume = torch.linalg.det(leaves.cell).abs()[:, None, None]
            parts["stress"] = squared_error(strain_derivative(batch, leaves, grad) / volume, targets.stress)
    n_atoms = batch.atom_mask.sum()
    if stage.charge_variation and model.head is not None:
        deviation = (evaluation.local_charges - model.head.scaled_formal_charges(batch.species)) * batch.atom_mask
        parts["charge_variation"] = SquaredError((deviation * deviation).sum(), n_atoms)
    if stage.charge_conservation and model.head is not None:
        # The sum before any projection to the wanted total: a displacement must move charge, not make it.
        made = gradient(evaluation.local_charges.sum(), leaves, create_graph=True, with_cell=False)
        by_atom = (atom_gradient(batch, made) ** 2).sum(2) * batch.atom_mask.view(batch.n_structures, -1)
        parts["charge_conservation"] = SquaredError(by_atom.sum(), n_atoms)
    if model.head is not None:
        parts.update(_response_errors(model, batch, leaves, evaluation, targets, stage))
    return parts


def _response_errors(
    model: LESModel, batch: Batch, leaves: Leaves, evaluation: Evaluation, targets: Targets, stage: LossStage
) -> dict[str, SquaredError]:
    """Squared errors of the electric labels that the stage weighs; those of whole structures per atom."""
    parts = {}
    if stage.born:
        parts["born"] = squared_error(physical_born_charges(model, batch, leaves, evaluation), targets.born)
    counts = targets.counts[:, None]
    if stage.dipole:
        parts["dipole"] = squared_error(physical_dipole(batch, leaves, evaluation) / counts, targets.dipole / counts)
    if stage.dipole_difference:
        errors = dipole_difference_errors(batch, leaves, evaluation, targets.dipole) / counts
        known = torch.isfinite(errors) & targets.followed[:, None]
        parts["dipole_difference"] = squared_error(torch.where(known, errors, 0.0), torch.where(known, 0.0, torch.nan))
    counts = counts[:, None]
    if stage.quadrupole and evaluation.quadrupole is not None:
        parts["quadrupole"] = squared_error(physical_quadrupole(evaluation) / counts, targets.quadrupole / counts)
    if stage.polarizability and model.head.induces_dipole:
        parts["polarizability"] = squared_error(
            physical_polarizability(evaluation) / counts, targets.polarizability / counts
        )
    return parts
