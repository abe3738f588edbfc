"""Comparisons of a trained model that `les-ipi evaluate` does not make: charges, energy differences, net forces."""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from validation_systems import System

from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.structures.system import AtomicSystem
from les_ipi.training.data import load_frames
from les_ipi.training.scoring import evaluate_frames, isotropic_part, r_squared, rmse


def measure(system: System, evaluator: Evaluator, held_out: list[Atoms], data: Path) -> dict[str, object]:
    """What the ladder of a system asks for beyond the errors of `les-ipi evaluate`.

    Parameters: ``held_out`` frames; ``data`` folder to which the files of the system are relative.
    Returns a table of JSON values; charges are in e, energy differences in meV, forces in meV/Å.
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
    if evaluator.model.head.induces_dipole:
        for other in ladder.other_labels:
            if (data / other.file).is_file():
                errors = polarizability_errors(evaluator, data / other.file, other.frames)
                found.setdefault("other_labels", {})[other.name] = errors
            else:
                print(f"{data / other.file} is absent: polarizabilities are not compared with it.", file=sys.stderr)
    if ladder.reference_charges or ladder.exact_charges:
        charges = [evaluator([AtomicSystem.from_ase(a)], ["charges"])[0].charges for a in held_out]
    if ladder.reference_charges:
        label = np.concatenate([a.arrays[ladder.reference_charges] for a in held_out])
        predicted = np.concatenate(charges)
        found["charges_r2"], found["charges_rmse_e"] = r_squared(label, predicted), rmse(label, predicted)
    if ladder.exact_charges:
        found |= exact_charge_errors(charges, held_out, ladder.exact_charges)
    return found


def polarizability_errors(evaluator: Evaluator, file: Path, frames: str) -> dict[str, float]:
    """Errors of Σα, Å³, against polarizabilities in a file of another source, and the mean of its labels' isotropic parts.

    In a cell labels are (ε_∞ − 1)V/4π, and the ε_∞ of the model has a part that its Σα does not carry: only the anisotropic
    part is a test of the model.
    """
    chosen = [f for f in load_frames([Path(f"{file}@{frames}")], evaluator.cutoff) if f.labels.polarizability is not None]
    metrics = evaluate_frames(evaluator, chosen).metrics
    found = {key: value for key, value in metrics.items() if key.startswith("polarizability")}
    found["polarizability_isotropic_mean_A3"] = float(np.mean([isotropic_part(f.labels.polarizability) for f in chosen]))
    return found | {"n_frames": metrics["n_frames"]}


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
