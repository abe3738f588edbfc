"""Errors of a model on labelled frames."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from rich.progress import track

from les_ipi.conventions import Property
from les_ipi.evaluation.capabilities import HeadAbilities, Request, refusal
from les_ipi.evaluation.evaluator import Evaluator, Results
from les_ipi.evaluation.integrated_dipole import dipole_from_reference, on_their_sites
from les_ipi.training.data import Frame, composition
from les_ipi.units import EV_A3_GPA

#: Cells are one cell if their inverses differ by less, 1/Å.
SAME_CELL = 1e-6

#: Other electric labels and the unit in the name of their error.
_MOMENTS = {
    "dipole_difference": "eA",
    "quadrupole": "eA2",
    "polarizability": "A3",
    "polarizability_isotropic": "A3",
    "polarizability_anisotropic": "A3",
}


@dataclass
class Report:
    """Predictions of a model next to labels, and the metrics that are computed from them.

    Attributes:
        metrics: numbers under the keys that ``les-ipi evaluate`` writes as JSON.
        pairs: dictionary from a quantity to its labels and predictions, both flattened, in eV/atom, eV/Å, eV/Å³, e,
            e·Å, e·Å² or Å³.
        results: what the evaluator returned for every frame.
        offsets: energies of the elements in eV that were fitted, or None.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    results: list[Results] = field(default_factory=list)
    offsets: np.ndarray | None = None


def rmse(label: np.ndarray, prediction: np.ndarray) -> float:
    """Compute the root mean square difference of labels and predictions over all components."""
    return float(np.sqrt(np.mean((prediction - label) ** 2)))


def r_squared(label: np.ndarray, prediction: np.ndarray) -> float:
    """Compute R² = 1 − SSE/SST of labels and predictions over all components; NaN if all labels are equal."""
    spread = np.sum((label - label.mean()) ** 2)
    return float(1.0 - np.sum((prediction - label) ** 2) / spread) if spread > 0 else np.nan


def evaluate_frames(evaluator: Evaluator, frames: list[Frame], fit_offsets: bool = False) -> Report:
    """Evaluate labelled frames one by one and compare the results with every label that is present.

    Parameters:
        evaluator: the evaluator with the model.
        frames: the labelled frames.
        fit_offsets: True removes energy offsets of the elements (least squares of the errors on the composition), for
            data whose energy zero differs from that of the training set.

    Returns a :class:`Report`, in which energies are compared per atom.
    """
    report = Report()
    collected: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    composition_errors, cells = [], []
    last: dict[tuple, tuple[Frame, Results]] = {}
    for frame in track(frames, description="Evaluating", transient=True):
        result = evaluator([frame.system], _wanted(frame, evaluator))[0]
        report.results.append(result)
        _collect(frame, result, collected)
        if frame.labels.dipole is not None and _has_dipole_changes(evaluator, frame):
            kind = frame.system.numbers.tobytes(), frame.system.total_charge, frame.system.multiplicity
            pair = _dipole_difference(evaluator, *last[kind], frame) if kind in last else None
            if pair is not None:
                collected.setdefault("dipole_difference", []).append(pair)
                cells.append(frame.system.cell)
            last[kind] = frame, result
        composition_errors.append(np.nan if frame.labels.energy is None else frame.labels.energy - result.energy)
    if fit_offsets and "energy" in collected:
        report.offsets = _fit_offsets(frames, composition_errors, evaluator.species)
        shifts = iter(_offset_per_atom(frames, report.offsets, evaluator.species))
        collected["energy"] = [(label, value + next(shifts)) for label, value in collected["energy"]]
    report.pairs = {
        name: tuple(np.concatenate([np.ravel(x[side]) for x in values]) for side in (0, 1))
        for name, values in collected.items()
    }
    report.metrics = _metrics(report.pairs, len(frames))
    if cells:
        # Labels take the branch nearest to the prediction, so that R² of guesses would not be zero: this is their error.
        report.metrics["dipole_difference_chance_eA"] = float(np.sqrt(np.mean(np.square(cells)) / 4.0))
        report.metrics["dipole_difference_pairs"] = len(cells)
    return report


def _wanted(frame: Frame, evaluator: Evaluator) -> set[Property]:
    labels, wanted = frame.labels, {Property.ENERGY, Property.FORCES}
    if labels.stress is not None:
        wanted.add(Property.VIRIAL)
    head, facts = HeadAbilities.of_head(evaluator.model.head), {"loss": "", "count": 1}

    def compares(*requests: str) -> bool:
        return refusal(requests, head, [frame.system.boundary], **facts) is None

    # In a periodic system the dipole of a charge that fluctuates depends on the choice of the images, and of a slab with
    # induced moments it is not defined: no label compares with it.
    if compares(Property.DIPOLE, Request.DIPOLE_LABEL):
        wanted.add(Property.DIPOLE)
    if labels.born_effective_charges is not None and compares(Property.BORN_EFFECTIVE_CHARGES):
        wanted.add(Property.BORN_EFFECTIVE_CHARGES)
    if labels.quadrupole is not None and compares(Property.QUADRUPOLE):
        wanted.add(Property.QUADRUPOLE)
    if labels.polarizability is not None and compares(Property.POLARIZABILITY):
        wanted.add(Property.POLARIZABILITY)
    return wanted


def _has_dipole_changes(evaluator: Evaluator, frame: Frame) -> bool:
    """Whether changes of the dipole of a periodic frame are defined: as differences, or as integrals of Born charges."""
    head, system = evaluator.model.head, frame.system
    if head is None or not system.periodic or system.slab or head.equilibrates:
        return False
    return evaluator.single_valued or system.total_charge == 0


def _dipole_difference(
    evaluator: Evaluator, before: Frame, result: Results, frame: Frame
) -> tuple[np.ndarray, np.ndarray] | None:
    """Change of the dipole since the frame ``before``, with ``result``, of the same atoms, (label, prediction) in e·Å.

    Atoms take the images nearest to those of the frame before (beside a drift of all, which is the first atom's), and reduced
    dipoles P h⁻¹ are compared, as in :func:`les_ipi.training.responses.dipole_difference_errors`; the label is given in the
    branch nearest to the prediction. Without a single-valued dipole Born charges are integrated along the straight path; None
    where the cell changes or atoms diffuse.
    """
    inverse, origin = np.linalg.inv(frame.system.cell), np.linalg.inv(before.system.cell)
    moved = frame.system.positions @ inverse - before.system.positions @ origin
    jump = np.round(moved - moved[0])
    after = replace(frame.system, positions=frame.system.positions - jump @ frame.system.cell)
    if evaluator.single_valued:
        predicted = evaluator([after], [Property.DIPOLE])[0].dipole @ inverse - result.dipole @ origin
    elif np.allclose(inverse, origin, rtol=0, atol=SAME_CELL) and on_their_sites(before.system, after):
        predicted = dipole_from_reference(evaluator, before.system, [after])[0] @ inverse
    else:
        return None
    label = frame.labels.dipole @ inverse - before.labels.dipole @ origin
    label = label + np.round(predicted - label)
    return label @ frame.system.cell, predicted @ frame.system.cell


def _collect(frame: Frame, result: Results, collected: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> None:
    labels, n = frame.labels, len(frame.system.numbers)

    def add(name: str, label, prediction) -> None:
        collected.setdefault(name, []).append((np.asarray(label), np.asarray(prediction)))

    if labels.energy is not None:
        add("energy", labels.energy / n, result.energy / n)
    if labels.forces is not None:
        add("forces", labels.forces, result.forces)
    if labels.stress is not None:
        add("stress", labels.stress, -result.virial / frame.system.volume)
    if labels.born_effective_charges is not None and result.born_effective_charges is not None:
        add("born", labels.born_effective_charges, result.born_effective_charges)
        off_diagonal = ~np.eye(3, dtype=bool)
        add(
            "born_offdiagonal",
            labels.born_effective_charges[:, off_diagonal],
            result.born_effective_charges[:, off_diagonal],
        )
    if labels.dipole is not None and result.dipole is not None:
        add("dipole", labels.dipole, result.dipole)
    if result.quadrupole is not None:
        add("quadrupole", labels.quadrupole, result.quadrupole)
    if result.polarizability is not None:
        add("polarizability", labels.polarizability, result.polarizability)
        for name, part in (("isotropic", isotropic_part), ("anisotropic", anisotropic_part)):
            add(f"polarizability_{name}", part(labels.polarizability), part(result.polarizability))


def isotropic_part(tensor: np.ndarray) -> float:
    """Compute a third of the trace of a tensor (3, 3)."""
    return float(np.trace(tensor)) / 3.0


def anisotropic_part(tensor: np.ndarray) -> np.ndarray:
    """Return a tensor (3, 3) without its trace."""
    return tensor - isotropic_part(tensor) * np.eye(3)


def _composition(frames: list[Frame], species: tuple[int, ...]) -> np.ndarray:
    return composition([f for f in frames if f.labels.energy is not None], species)


def _fit_offsets(frames: list[Frame], errors: list[float], species: tuple[int, ...]) -> np.ndarray:
    known = np.array(errors)[np.isfinite(errors)]
    return np.linalg.lstsq(_composition(frames, species), known, rcond=1e-10)[0]


def _offset_per_atom(frames: list[Frame], offsets: np.ndarray, species: tuple[int, ...]) -> np.ndarray:
    counts = _composition(frames, species)
    return counts @ offsets / counts.sum(1)


def _metrics(pairs: dict[str, tuple[np.ndarray, np.ndarray]], n_frames: int) -> dict[str, float]:
    metrics: dict[str, float] = {"n_frames": n_frames}
    if "energy" in pairs:
        metrics["energy_rmse_meV_per_atom"] = 1e3 * rmse(*pairs["energy"])
    if "forces" in pairs:
        label, prediction = pairs["forces"]
        metrics["forces_rmse_meV_per_A"] = 1e3 * rmse(label, prediction)
        metrics["forces_mae_meV_per_A"] = 1e3 * float(np.mean(np.abs(prediction - label)))
    if "stress" in pairs:
        metrics["stress_rmse_meV_per_A3"] = 1e3 * rmse(*pairs["stress"])
        metrics["stress_rmse_GPa"] = EV_A3_GPA * rmse(*pairs["stress"])
    if "born" in pairs:
        metrics["bec_rmse_e"] = rmse(*pairs["born"])
        metrics["bec_r2"] = r_squared(*pairs["born"])
        metrics["bec_offdiag_r2"] = r_squared(*pairs["born_offdiagonal"])
    if "dipole" in pairs:
        metrics["dipole_rmse_eA"] = rmse(*pairs["dipole"])
        metrics["dipole_r2"] = r_squared(*pairs["dipole"])
    for name, unit in _MOMENTS.items():
        if name in pairs:
            metrics[f"{name}_rmse_{unit}"] = rmse(*pairs[name])
            if name != "dipole_difference":
                metrics[f"{name}_r2"] = r_squared(*pairs[name])
    if "polarizability_isotropic" in pairs:
        label, prediction = pairs["polarizability_isotropic"]
        metrics["polarizability_isotropic_mean_error_A3"] = float(np.mean(prediction - label))
    return {name: value for name, value in metrics.items() if not (name.endswith("_r2") and np.isnan(value))}


def write_predictions(target: Path, frames: list[Frame], report: Report) -> None:
    """Write predictions as extended XYZ: ``energy``, ``forces``, ``stress`` and electric properties under our own key
    names.

    Parameters:
        target: file to write.
        frames: the frames that were evaluated.
        report: the predictions for them.
    """
    images = []
    for frame, result in zip(frames, report.results, strict=True):
        system = frame.system
        pbc = [system.periodic, system.periodic, system.periodic and not system.slab]
        atoms = Atoms(system.numbers, system.positions, cell=system.cell, pbc=pbc)
        values = {"energy": result.energy, "forces": result.forces}
        if result.virial is not None:
            stress = -result.virial / system.volume
            values["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **values)
        if result.born_effective_charges is not None:
            atoms.arrays["bec"] = result.born_effective_charges.reshape(-1, 9)
        if result.dipole is not None:
            atoms.info["dipole"] = result.dipole
        for name in ("quadrupole", "polarizability"):
            if getattr(result, name) is not None:
                atoms.info[name] = getattr(result, name)
        images.append(atoms)
    write(target, images, format="extxyz")
