"""Comparisons of a trained model that `les-ipi evaluate` does not make: charges, quadrupoles, energy differences."""

from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from validation_systems import System

from les_ipi.batch import collate
from les_ipi.evaluator import Evaluator
from les_ipi.models.derivatives import Leaves
from les_ipi.models.polarizable import respond
from les_ipi.system import AtomicSystem
from les_ipi.training.evaluate import r_squared, rmse

TRACELESS = np.eye(3) / 3.0


def measure(system: System, evaluator: Evaluator, held_out: list[Atoms], data: Path) -> dict[str, object]:
    """What the ladder of a system asks for beyond energies, forces, dipoles and Born charges.

    Parameters: ``held_out`` frames; ``data`` folder to which the files of the system are relative.
    Returns a table of JSON values; charges are in e, quadrupoles in e·Å², energy differences in meV.
    """
    ladder, found = system.ladder, {}
    differences = {
        d.name: energy_difference(evaluator, data / d.first, data / d.second) for d in ladder.energy_differences
    }
    if differences:
        found["energy_differences_meV"] = differences
    if ladder.fragments:
        found |= fragment_force(evaluator, held_out, ladder.fragments)
    if evaluator.model.head is None:
        return found
    if ladder.reference_charges or ladder.exact_charges:
        charges = [evaluator([AtomicSystem.from_ase(a)], ["charges"])[0].charges for a in held_out]
    if ladder.reference_charges:
        label = np.concatenate([a.arrays[ladder.reference_charges] for a in held_out])
        predicted = np.concatenate(charges)
        found["charges_r2"], found["charges_rmse_e"] = r_squared(label, predicted), rmse(label, predicted)
    if ladder.exact_charges:
        found |= exact_charge_errors(charges, held_out, ladder.exact_charges)
    if ladder.quadrupole:
        label = [traceless(np.reshape(a.info[ladder.quadrupole], (3, 3))) for a in held_out]
        predicted = [quadrupole(evaluator, AtomicSystem.from_ase(a)) for a in held_out]
        found["quadrupole_r2"] = r_squared(np.array(label), np.array(predicted))
    return found


def energy_difference(evaluator: Evaluator, first: Path, second: Path) -> dict[str, float]:
    """``model`` and ``reference`` E(first) − E(second) in meV."""
    pair = [read(path) for path in (first, second)]
    model = [evaluator([AtomicSystem.from_ase(a)])[0].energy for a in pair]
    label = [a.get_potential_energy() for a in pair]
    return {"model": 1e3 * (model[0] - model[1]), "reference": 1e3 * (label[0] - label[1])}


def fragment_force(evaluator: Evaluator, frames: list[Atoms], name: str) -> dict[str, float]:
    """Error and size of the net force on the second of two molecules in meV/Å: what acts between them and nothing else."""
    label, predicted = [], []
    for atoms in frames:
        second = slice(atoms.info[name], None)
        label.append(atoms.get_forces()[second].sum(0))
        predicted.append(evaluator([AtomicSystem.from_ase(atoms)])[0].forces[second].sum(0))
    return {
        "fragment_force_rmse_meV_per_A": 1e3 * rmse(np.array(label), np.array(predicted)),
        "fragment_force_rms_meV_per_A": 1e3 * float(np.sqrt(np.mean(np.square(label)))),
    }


def exact_charge_errors(charges: list[np.ndarray], frames: list[Atoms], exact: dict[str, float]) -> dict[str, object]:
    """Largest deviation of an element's mean charge and of any charge from the exact ones, and the means (e)."""
    found = np.concatenate(charges)
    symbols = np.concatenate([a.get_chemical_symbols() for a in frames])
    means = {element: float(found[symbols == element].mean()) for element in exact}
    truth = np.array([exact[s] for s in symbols])
    return {
        "mean_charges_e": means,
        "exact_charges_e": exact,
        "mean_charge_largest_deviation_e": max(abs(means[e] - exact[e]) for e in exact),
        "charge_largest_deviation_e": float(np.abs(found - truth).max()),
        "charge_rmse_e": rmse(truth, found),
    }


def traceless(moment: np.ndarray) -> np.ndarray:
    """A second moment (3, 3) without its trace."""
    return moment - np.trace(moment) * TRACELESS


def quadrupole(evaluator: Evaluator, system: AtomicSystem) -> np.ndarray:
    """Traceless second moment Σ q r_a r_b + Σ (u_a r_b + r_a u_b) + Σ Q_ab of an isolated molecule, (3, 3) e·Å².

    About the origin of the positions; induced charges and dipoles included. Physical charges of an isolated molecule are the
    latent ones.
    """
    model = evaluator.model
    batch = collate([system], model.species, model.cutoff, model.kernel.k_cutoff)
    leaves = Leaves.of(batch, evaluator.dtype)
    with torch.enable_grad():
        evaluation = model(batch, leaves.edges, leaves.positions, leaves.cell)
        atoms = evaluation.polarizable
        response = None if atoms is None else respond(batch, leaves.positions, leaves.cell, atoms, model.kernel)[1]
    positions = leaves.positions.detach()[0].double().numpy()
    charges = evaluation.charges.detach()[0].sum(-1).double().numpy()
    moment = np.einsum("n,nx,ny->xy", charges, positions, positions)
    if atoms is not None:
        for dipoles in (atoms.moments.dipoles, response.dipoles):
            if dipoles is not None:
                mixed = np.einsum("nx,ny->xy", dipoles.detach()[0].sum(-1).double().numpy(), positions)
                moment += mixed + mixed.T
        if atoms.moments.quadrupoles is not None:
            moment += atoms.moments.quadrupoles.detach()[0].sum((0, -1)).double().numpy()
    return traceless(moment)
