"""The validation suite: its inputs, the labels of its generated data, and a small run of the whole chain."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import random_charges as rc
import validation
from validation_measures import exact_charge_errors, fragment_force, polarizability_errors
from validation_systems import INPUTS, MissingData, read_systems
from validation_table import END, START, report

from les_ipi.errors import UserError

SYSTEMS = read_systems()
#: The force field of inputs/validation/classical.py, written down once more.
CHARGES = {"O": -0.82, "H": 0.41, "Na": 1.0, "K": 1.0, "Cl": -1.0}
SIGMA_EPSILON = {"O": (3.165492, 0.1554253), "Na": (2.35, 0.13), "K": (3.332, 0.1), "Cl": (4.4, 0.1), "H": (1.0, 0.0)}
KCAL_MOL = 4.184 / 96.48533212


def small_suite(folder: Path, epochs: int = 20) -> Path:
    """Inputs with two systems: random charges with frames beside the file, and one whose data are nowhere."""
    settings = rc.Settings(particles=32, frames=30, held_out=6, epochs=epochs, learning_rate=0.03, ema_decay=0.95)
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "validation.md").write_text(f"before\n{START}\n{END}\nafter\n")
    for name in ("points", "absent"):
        system = folder / "inputs" / name
        system.mkdir(parents=True)
        (system / "train.toml").write_text(rc.training_file(settings, "latent"))
        ladder = 'title = "Random charges"\nrungs = ["none", "q"]\nexact_charges = { Na = 1, Cl = -1 }\n'
        (system / "ladder.toml").write_text(ladder)
    from ase.io import write

    write(folder / "inputs" / "points" / "frames.xyz", rc.make_frames(settings))
    return folder


def run(folder: Path, *options: str) -> int:
    arguments = ["--inputs", folder / "inputs", "--docs", folder / "docs", "--work", folder / "work", *options]
    return validation.main([str(a) for a in arguments])


def test_small_suite_trains_resumes_and_names_absent_data(tmp_path: Path, capsys) -> None:
    """The ladder of random charges: charges found to 0.05 e, forces five times better than without, nothing done twice."""
    folder = small_suite(tmp_path)
    assert run(folder) == 1
    assert "absent was not measured, data absent: frames.xyz" in capsys.readouterr().err
    found = json.loads((folder / "docs" / "validation.json").read_text())
    assert found["absent"]["rows"] == [] and found["absent"]["missing"] == "frames.xyz"
    none, q = found["points"]["rows"]
    assert (none["level"], q["level"], q["n_training"], q["n_held_out"]) == ("none", "q", 30, 6)
    assert q["errors"]["mean_charge_largest_deviation_e"] < 0.05
    assert 5 * q["errors"]["forces_rmse_meV_per_A"] < none["errors"]["forces_rmse_meV_per_A"]
    page = (folder / "docs" / "validation.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and report(found) in page
    assert "not measured, data absent: frames.xyz" in page
    model = folder / "work" / "points" / "q" / "model.safetensors"
    written = model.stat().st_mtime_ns
    assert run(folder, "--systems", "points") == 0
    assert model.stat().st_mtime_ns == written
    assert run(folder, "--systems", "points", "--effort", "0.5") == 2
    assert "other settings" in capsys.readouterr().err


def test_a_training_that_was_stopped_goes_on(tmp_path: Path) -> None:
    folder = small_suite(tmp_path, epochs=10)
    assert run(folder, "--systems", "points", "--rungs", "none") == 0
    row = folder / "work" / "points" / "none" / "row.json"
    first = json.loads(row.read_text())
    row.unlink()
    assert run(folder, "--systems", "points", "--rungs", "none") == 0
    again = json.loads(row.read_text())
    assert again["resumed"] and not first["resumed"]
    assert again["errors"]["forces_rmse_meV_per_A"] == pytest.approx(first["errors"]["forces_rmse_meV_per_A"], rel=1e-5)
    assert "> " in report({"points": {"title": "Points", "rungs": ["none", "q"], "rows": [again], "missing": None}})
    found = json.loads((folder / "docs" / "validation.json").read_text())
    assert [row["level"] for row in found["points"]["rows"]] == ["none"]
    assert "|  | q | not trained yet |" in report(found) and "Random charges | none, q | not trained yet" in report(found)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_every_rung_of_every_system_builds(system) -> None:
    """Settings are valid, frames are held out, and only the charge head and the length differ between rungs."""
    from les_ipi.models.model_config import ModelConfig, build_model

    assert system.settings.data.validation, "hold frames out"
    assert system.settings.data.licence != "not stated"
    for rung in system.ladder.rungs:
        settings = system.settings_of(rung, 0.5)
        assert settings.short_range == system.settings.short_range
        assert settings.training.max_epochs == round(0.5 * system.settings.training.max_epochs)
        # Descriptors that begin as shells are made for the number of elements that there are.
        species = tuple(system.ladder.exact_charges) or ("H", "O")
        model = build_model(ModelConfig(species=species, short_range=settings.short_range, charges=settings.charges))
        assert (model.head is None) == (rung == "none")
        assert getattr(model.head, "level", rung) == rung
    with pytest.raises(MissingData) if not generated(system) else does_not_raise():
        system.data_folder(None, Path("unused"))


def generated(system) -> bool:
    return (system.folder / "frames.xyz.gz").is_file()


def does_not_raise():
    from contextlib import nullcontext

    return nullcontext()


@pytest.mark.parametrize(("change", "sentence"), [("rungs = []", "rungs"), ("colour = 1", "colour")])
def test_bad_ladder_is_refused(tmp_path: Path, change: str, sentence: str) -> None:
    system = tmp_path / "bad"
    system.mkdir()
    lines = ['title = "bad"', 'rungs = ["none", "q"]']
    kept = [line for line in lines if line.split()[0] != change.split()[0]]
    (system / "ladder.toml").write_text("\n".join([*kept, change]))
    with pytest.raises(UserError, match=sentence):
        read_systems(inputs=tmp_path)
    with pytest.raises(UserError, match="no system 'unknown'"):
        read_systems(["unknown"], tmp_path)


def test_exact_charge_errors() -> None:
    from ase import Atoms

    frames = [Atoms("NaCl"), Atoms("NaCl")]
    found = exact_charge_errors([np.array([1.1, -1.0]), np.array([0.9, -0.9])], frames, {"Na": 1.0, "Cl": -1.0})
    assert found["mean_charges_e"] == pytest.approx({"Na": 1.0, "Cl": -0.95})
    assert found["mean_charge_largest_deviation_e"] == pytest.approx(0.05)
    assert found["charge_largest_deviation_e"] == pytest.approx(0.1)


def test_net_force_on_a_molecule() -> None:
    """A model without charges feels nothing between molecules beyond its cutoff; the label is what acts there."""
    import torch
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    from les_ipi.evaluation.evaluator import Evaluator
    from les_ipi.models.model_config import ChargesConfig, ModelConfig, ShortRangeConfig, build_model

    torch.manual_seed(1)
    short = ShortRangeConfig(cutoff=4.0, n_radial=4, l_max=2, channels=4, order=2, hidden=(8,))
    config = ModelConfig(species=("H", "O"), short_range=short, charges=ChargesConfig(head="none"))
    evaluator = Evaluator(build_model(config).double(), {}, dtype=torch.float64)
    atoms = Atoms("OHOH", [[0, 0, 0], [0.9, 0, 0], [7, 0, 0], [7, 1.1, 0]], info={"start": 2})
    forces = np.array([[0.1, 0, 0], [0.2, 0, 0], [-0.5, 0, 0], [0.2, 0, 0]])
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=forces)
    found = fragment_force(evaluator, [atoms], "start")
    assert found["fragment_force_rms_meV_per_A"] == pytest.approx(300 / np.sqrt(3))
    assert found["fragment_force_rmse_meV_per_A"] == pytest.approx(300 / np.sqrt(3), rel=1e-9)


def test_polarizabilities_of_another_file(tmp_path: Path) -> None:
    """Labels are those of the model and 2 Å³ more in every direction: an error of -2 Å³, and nothing else."""
    from ase import Atoms
    from ase.io import write
    from physics_cases import evaluator_of, make_model, water_cluster

    evaluator, frames = evaluator_of(make_model("multipole", level="iu")), []
    for seed in range(4):
        system = water_cluster(8, seed, 7.0 * np.eye(3))
        alpha = evaluator([system], ["polarizability"])[0].polarizability
        atoms = Atoms(system.numbers, system.positions, cell=system.cell, pbc=True)
        atoms.info["polarizability"] = alpha + (2.0 * np.eye(3) if seed else 0.0)
        frames.append(atoms)
    write(tmp_path / "alpha.xyz", frames)
    found = polarizability_errors(evaluator, tmp_path / "alpha.xyz", "1:")
    assert found["n_frames"] == 3
    assert found["polarizability_isotropic_mean_error_A3"] == pytest.approx(-2.0, abs=1e-6)
    assert found["polarizability_isotropic_mean_A3"] > 2.0
    assert found["polarizability_anisotropic_r2"] == pytest.approx(1.0, abs=1e-6)
    mean = found["polarizability_isotropic_mean_A3"]
    row = {"forces_rmse_meV_per_A": 1.0, "held_out_force_rms_meV_per_A": 1.0, "other_labels": {"eight": found}}
    row = {"level": "iu", "n_training": 1, "n_held_out": 1, "epochs": 1, "errors": row, "resumed": False, "cpu_s": 1.0}
    table = report({"water": {"title": "Water", "rungs": ["iu"], "rows": [row], "missing": None}})
    assert f"eight: R² of the anisotropic part 1.000; Σα carries {mean - 2:.1f} of {mean:.1f} Å³, the rest is in ε_∞" in table


def switched_lennard_jones(r: np.ndarray, sigma: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """4ε(x¹² − x⁶) times the switch 1 − 10t³ + 15t⁴ − 6t⁵ between 3.5 and 4.5 Å; kcal/mol."""
    t = np.clip((r - 3.5) / 1.0, 0.0, 1.0)
    x6 = (sigma / r) ** 6
    return 4 * epsilon * (x6**2 - x6) * (1 - 10 * t**3 + 15 * t**4 - 6 * t**5)


def brine_energy(positions: np.ndarray, symbols: list[str], edge: float) -> float:
    """Energy in eV of the fixed-charge force field in a cube, in numpy and without OpenMM."""
    charges = np.array([CHARGES[s] for s in symbols])
    vectors, r = rc.pair_vectors(positions, edge)
    molecule = np.arange(len(symbols))
    for o in np.flatnonzero(np.array(symbols) == "O"):
        molecule[o : o + 3] = o
    inside = (molecule[:, None] == molecule) & ~np.eye(len(symbols), dtype=bool)
    coulomb = rc.ewald(positions, charges, edge)[0]
    coulomb -= 0.5 * rc.COULOMB * np.sum(np.where(inside, charges[:, None] * charges / r, 0.0))
    sigma, epsilon = (np.array([SIGMA_EPSILON[s][i] for s in symbols]) for i in (0, 1))
    mixed = (sigma[:, None] + sigma) / 2, np.sqrt(epsilon[:, None] * epsilon)
    pairs = np.where(inside | np.eye(len(symbols), dtype=bool), 0.0, switched_lennard_jones(r, *mixed))
    energy = 0.5 * pairs.sum()
    for o in np.flatnonzero(np.array(symbols) == "O"):
        legs = -vectors[o, o + 1], -vectors[o, o + 2]
        energy += 0.5 * 1059.162 * sum((np.linalg.norm(leg) - 1.012) ** 2 for leg in legs)
        angle = np.arccos(legs[0] @ legs[1] / np.linalg.norm(legs[0]) / np.linalg.norm(legs[1]))
        energy += 0.5 * 75.90 * (angle - np.radians(113.24)) ** 2
    return coulomb + KCAL_MOL * energy


def test_labels_of_the_brine_are_those_of_its_force_field() -> None:
    """OpenMM's energies and forces against the same force field in numpy, forces by differences."""
    for atoms in read(INPUTS / "nacl_brine" / "frames.xyz.gz", "::40"):
        symbols, edge = atoms.get_chemical_symbols(), atoms.cell[0, 0]
        energy = brine_energy(atoms.positions, symbols, edge)
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=2e-6)
        for atom, axis in [(0, 0), (1, 2), (len(atoms) - 1, 1)]:
            step = np.zeros_like(atoms.positions)
            step[atom, axis] = 1e-4
            slope = (
                brine_energy(atoms.positions + step, symbols, edge) - brine_energy(atoms.positions - step, symbols, edge)
            ) / 2e-4
            assert atoms.get_forces()[atom, axis] == pytest.approx(-slope, abs=1e-5)


def coulomb_forces(atoms, charges: np.ndarray, highest_k: float = 8.0) -> np.ndarray:
    """Forces (N, 3) in eV/Å of charges smeared as in a model with σ = 1 Å, by a plain sum over wave vectors."""
    reciprocal = 2 * np.pi * np.linalg.inv(atoms.cell.array).T
    sizes = np.ceil(highest_k * atoms.cell.lengths() / (2 * np.pi)).astype(int)
    n = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in sizes), indexing="ij"), -1).reshape(-1, 3)
    k = n @ reciprocal
    square = (k**2).sum(1)
    k, square = k[(square > 1e-9) & (square < highest_k**2)], square[(square > 1e-9) & (square < highest_k**2)]
    weight = 2 * np.pi * rc.COULOMB / atoms.get_volume() * np.exp(-square / 2) / square
    phase = np.exp(1j * atoms.positions @ k.T)
    return 2 * charges[:, None] * ((weight * np.imag(phase * (charges @ phase).conj())) @ k)


def pair_forces(atoms, n_functions: int = 24, cutoff: float = 4.5) -> np.ndarray:
    """Forces (3N, functions) of pair potentials of each pair of elements: Gaussians in the distance that end at ``cutoff``."""
    from ase.neighborlist import neighbor_list

    centres = np.linspace(2.0, cutoff, n_functions)
    i, j, d, vectors = neighbor_list("ijdD", atoms, cutoff)
    kinds = np.array([{"Na": 0, "K": 1, "Cl": 2}[s] for s in atoms.get_chemical_symbols()])
    pair = np.minimum(kinds[i], kinds[j]) * 3 + np.maximum(kinds[i], kinds[j])
    values = np.exp(-0.5 * ((d[:, None] - centres) / (centres[1] - centres[0])) ** 2) * (1 - (d / cutoff) ** 2)[:, None] ** 2
    table = np.zeros((len(atoms), 3, 9, n_functions))
    np.add.at(table, (i, slice(None), pair), -vectors[:, :, None] / d[:, None, None] * values[:, None, :])
    return table.reshape(3 * len(atoms), -1)


def test_the_contact_data_determine_their_charges() -> None:
    """Beside pair potentials within 4.5 Å, the smeared Coulomb forces of the exact charges leave nothing; others do.

    Force errors on frames that were not fitted, fitted with 0, 0.95, 1 and 1.05 times the exact squared charges.
    """
    frames = read(INPUTS / "nacl_kcl_contact" / "frames.xyz.gz", ":")
    parts = []
    for chosen in (frames[:64:3], frames[64::2]):
        charges = [np.array([CHARGES[s] for s in a.get_chemical_symbols()]) for a in chosen]
        coulomb = np.concatenate([coulomb_forces(a, q).ravel() for a, q in zip(chosen, charges, strict=True)])
        total = np.concatenate([a.get_forces().ravel() for a in chosen])
        parts.append((np.concatenate([pair_forces(a) for a in chosen]), coulomb, total))
    (fitted, coulomb, total), (unseen, unseen_coulomb, unseen_total) = parts
    ridge, errors = 1e-6 * np.eye(fitted.shape[1]), {}
    for share in (0.0, 0.95, 1.0, 1.05):
        weights = np.linalg.solve(fitted.T @ fitted + ridge, fitted.T @ (total - share * coulomb))
        difference = unseen_total - share * unseen_coulomb - unseen @ weights
        errors[share] = float(np.sqrt(np.mean(difference**2)))
    print(errors)
    assert errors[1.0] < 1e-3
    assert min(errors[0.95], errors[1.05]) > 5 * errors[1.0]
    assert errors[0.0] > 50 * errors[1.0]
