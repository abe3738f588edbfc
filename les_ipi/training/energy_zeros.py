"""Energy zeros of data sets: per-element reference energies, one row for each file whose program has a zero of its own."""

from dataclasses import replace

import numpy as np
import torch

from les_ipi.models.les_model import LESModel
from les_ipi.training.data import Frame, Labels, composition, reference_energies
from les_ipi.training.file_networks import of_files
from les_ipi.training.loss import make_batch


def refit_energy_zeros(model: LESModel, frames: list[Frame], zeros: np.ndarray) -> np.ndarray:
    """Change the energy zeros so that the model has no mean error of the energy on the frames.

        E0 + ΔE0,  ΔE0 = argmin Σ (E − E_model − n·(E0 + ΔE0))²

    ΔE0 is the minimum-norm solution for every zero on its own. Where all frames have one composition n it removes
    their mean residual, and elements that the frames lack keep their E0.

    Parameters:
        model: the model that gives E_model.
        frames: frames of the training, never held-out ones.
        zeros: array (n_zeros, n_species) of the energies E0 in eV, whose row ``frame.zero`` belongs to a frame.

    Returns an array like ``zeros``.
    """
    residuals: dict[int, list[Frame]] = {}
    for frame in frames:
        if frame.labels.energy is not None:
            expected = _network_energy(model, frame) + composition([frame], model.species)[0] @ zeros[frame.zero]
            left = replace(frame, labels=Labels(energy=frame.labels.energy - expected))
            residuals.setdefault(frame.zero, []).append(left)
    fitted = zeros.copy()
    for zero, left in residuals.items():
        fitted[zero] += reference_energies(left, model.species)
    return fitted


def on_first_zero(frames: list[Frame], zeros: np.ndarray, species: list[int]) -> list[Frame]:
    """Move the energy labels of all frames to the first energy zero: E − n·(E0_file − E0_first).

    Parameters:
        frames: the frames.
        zeros: array (n_zeros, n_species) of the energy zeros in eV.
        species: atomic numbers of the elements.

    Returns the frames with other energy labels.
    """
    moved = []
    for frame, counts in zip(frames, composition(frames, species), strict=True):
        labels = frame.labels
        if labels.energy is not None:
            labels = replace(labels, energy=labels.energy - float(counts @ (zeros[frame.zero] - zeros[0])))
        moved.append(replace(frame, labels=labels, zero=0))
    return moved


def _network_energy(model: LESModel, frame: Frame) -> float:
    """Energy in eV without reference energies."""
    scale = model.energy_scale
    batch = make_batch([frame], model).to(scale.device)
    with torch.no_grad(), of_files(model, torch.tensor([frame.zero], device=scale.device)):
        inputs = (x.to(scale.dtype) for x in (batch.edges(), batch.positions, batch.cell))
        return float(model(batch, *inputs).energy[0])
