"""Files with energy zeros of their own: the constants are found, and nothing else depends on them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.training.data import composition, load_frames
from les_ipi.training.energy_zeros import refit_energy_zeros
from les_ipi.training.module import REFIT_ZEROS_EVERY
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import read_config

#: What the second file's energies are shifted by, eV per atom.
SHIFT = -873.25


def two_files(folder: Path, shift: float = SHIFT, **training: object) -> Path:
    """Frames 0-7 in one file, 8-13 of the same potential with another zero in a second one; 2 + 2 held out."""
    frames = toy_frames(14)
    for atoms in frames[8:]:
        atoms.calc.results["energy"] += shift * len(atoms)
    write_frames(folder / "first.xyz", frames[:8])
    write_frames(folder / "second.xyz", frames[8:])
    text = training_text(**training).replace('["frames.xyz"]', '["first.xyz", "second.xyz"]')
    text = text.replace('["0:2"]', '["0:2", "8:10"]\nenergy_zero = "per_file"')
    (folder / "train.toml").write_text(text)
    return folder / "train.toml"


def card_of(model: Path) -> dict:
    return json.loads((model / "card.json").read_text())


@pytest.mark.parametrize("compile", ["never", "always"])
def test_a_constant_between_files_changes_nothing_else(tmp_path, compile: str) -> None:
    """Same forces, same held-out errors, same shipped zero, with and without 873 eV/atom between the files."""
    cards = []
    for name, shift in (("equal", 0.0), ("shifted", SHIFT)):
        (tmp_path / name).mkdir()
        file = two_files(tmp_path / name, shift, epochs=REFIT_ZEROS_EVERY + 2, compile=f'"{compile}"', double_precision="true")
        train(read_config(file), tmp_path / name, tmp_path / name / "model")
        cards.append(card_of(tmp_path / name / "model"))
    equal, shifted = cards
    assert shifted["held_out_errors"] == pytest.approx(equal["held_out_errors"], rel=1e-3)
    zeros = [[np.array(list(c["energy_zeros_eV"][f].values())) for f in ("first.xyz", "second.xyz")] for c in cards]
    assert list(shifted["energy_zeros_eV"]["first.xyz"]) == ["Na", "Cl"]
    # Four atoms of each element: only the mean of the two is determined.
    assert zeros[1][0].mean() == pytest.approx(zeros[0][0].mean(), abs=1e-6)
    assert zeros[1][1].mean() - zeros[0][1].mean() == pytest.approx(SHIFT, abs=1e-6)
    assert Evaluator.load(tmp_path / "shifted" / "model").model.reference_energies.numpy() == pytest.approx(zeros[1][0])


def test_fitted_zeros_leave_no_mean_residual_in_any_file(tmp_path) -> None:
    config = read_config(two_files(tmp_path))
    frames = load_frames([tmp_path / f for f in config.data.files], 4.0, "per_file")
    assert [f.zero for f in frames] == 8 * [0] + 6 * [1]
    module, _ = prepare(config, frames)
    model = module.model
    evaluate = Evaluator(model.eval().requires_grad_(False), {})
    model.reference_energies.zero_()
    for zero in (0, 1):
        mine = [f for f in frames if f.zero == zero]
        energies = np.array([evaluate([f.system])[0].energy for f in mine])
        left = [f.labels.energy for f in mine] - energies - composition(mine, model.species) @ module.zeros[zero]
        assert left.mean() == pytest.approx(0.0, abs=1e-4) and left.std() > 0.01


def test_zeros_never_see_held_out_frames(tmp_path) -> None:
    """Nonsense in the held-out energies moves the errors by as much, and nothing else."""
    cards = []
    for nonsense in (0.0, 1000.0):
        file = two_files(tmp_path, epochs=1)
        frames = read(tmp_path / "second.xyz", ":")
        for atoms in frames[:2]:
            atoms.calc.results["energy"] += nonsense * len(atoms)
        write_frames(tmp_path / "second.xyz", frames)
        train(read_config(file), tmp_path, tmp_path / f"model-{nonsense:.0f}")
        cards.append(card_of(tmp_path / f"model-{nonsense:.0f}"))
    assert cards[0]["energy_zeros_eV"] == cards[1]["energy_zeros_eV"]
    errors = [c["held_out_errors"]["energy_rmse_meV_per_atom"] for c in cards]
    assert errors[0] < 1000 and errors[1] == pytest.approx(1e6 / np.sqrt(2), rel=1e-3)


def test_composition_decides_what_a_zero_can_resolve(tmp_path) -> None:
    """Two files of varying composition: both per-element zeros are found; an element without frames keeps its E0."""
    rng, files = np.random.default_rng(3), []
    expected = np.array([[-4.25, -12.5], [-100.0, -300.0]])
    for i, (name, e0) in enumerate(zip(("a.xyz", "b.xyz"), expected, strict=True)):
        frames: list[Atoms] = toy_frames(6, seed=i)
        for atoms in frames:
            results = dict(atoms.calc.results)
            atoms.symbols[:4] = rng.permutation(["Na", "Cl", "Na", rng.choice(["Na", "Cl"])])
            results["energy"] = float(np.sum(np.where(atoms.symbols == "Na", *e0)))
            atoms.calc.atoms, atoms.calc.results = atoms.copy(), results
        files.append(write_frames(tmp_path / name, frames))
    loaded = load_frames(files, 4.0, "per_file")
    module, _ = prepare(read_config(two_files(tmp_path)), loaded)
    with torch.no_grad():
        for p in module.model.parameters():
            p.zero_()
    module.model.core = None
    assert refit_energy_zeros(module.model, loaded, np.zeros((2, 2))) == pytest.approx(expected, rel=1e-6)
    kept = refit_energy_zeros(module.model, loaded[6:], np.array([[1.0, 2.0], [0.0, 0.0]]))
    assert kept == pytest.approx(np.array([[1.0, 2.0], expected[1]]), rel=1e-6)


def test_a_shared_zero_is_one(tmp_path) -> None:
    file = two_files(tmp_path, 0.0)
    file.write_text(file.read_text().replace("per_file", "shared"))
    train(read_config(file), tmp_path, tmp_path / "model")
    assert "energy_zeros_eV" not in card_of(tmp_path / "model")


def test_zeros_are_fitted_when_a_stage_begins(tmp_path, monkeypatch) -> None:
    """Forces alone leave energies adrift; a stage that begins takes their mean error away, also one that a resume brings."""
    write_frames(tmp_path / "frames.xyz", toy_frames(10))
    fits = []

    def fit(model, frames, zeros):
        fits.append(refit_energy_zeros(model, frames, zeros))
        return fits[-1]

    def run(stages: str, epochs: int, folder: str, resume: bool = False) -> np.ndarray:
        (tmp_path / "train.toml").write_text(training_text(epochs=epochs, stages=f"stages = {stages}"))
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / folder, resume=resume)
        checkpoint = torch.load(tmp_path / folder / "training" / "last.ckpt", weights_only=True)
        return checkpoint["energy_zeros"].numpy()

    monkeypatch.setattr("les_ipi.training.module.refit_energy_zeros", fit)
    forces_alone = run("[{energy = 0.0}]", 2, "model")
    assert fits == []
    resumed = run("[{energy = 0.0}]", 3, "model", resume=True)
    assert fits == [] and resumed == pytest.approx(forces_alone, rel=1e-12)
    two_stages = run("[{energy = 0.0}, {from_epoch = 2, energy = 1.0}]", 3, "two")
    assert len(fits) == 1 and two_stages == pytest.approx(fits[0], rel=1e-12)
    assert np.abs(two_stages - forces_alone).max() > 1e-3
    another = run("[{energy = 1.0}]", 4, "model", resume=True)
    assert len(fits) == 2 and another == pytest.approx(fits[1], rel=1e-12)


@pytest.mark.parametrize("stored", [True, False])
def test_checkpoints_without_zeros_have_them_fitted(tmp_path, monkeypatch, stored) -> None:
    """Those of earlier versions have no zeros: a resume fits them to the weights of the checkpoint, not to fresh ones."""
    write_frames(tmp_path / "frames.xyz", toy_frames(10))
    path, fits = tmp_path / "model" / "training" / "last.ckpt", []

    def fit(model, frames, zeros):
        fits.append((model.short_range.mixing.detach().clone(), refit_energy_zeros(model, frames, zeros)))
        return fits[-1][1]

    def run(epochs: int, resume: bool) -> dict:
        (tmp_path / "train.toml").write_text(training_text(epochs=epochs))
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model", resume=resume)
        return torch.load(path, weights_only=True)

    monkeypatch.setattr("les_ipi.training.module.refit_energy_zeros", fit)
    checkpoint = run(2, False)
    assert fits == []  # the zeros of the first stage are those of the fresh network
    first = checkpoint["energy_zeros"].numpy()
    if not stored:
        del checkpoint["energy_zeros"], checkpoint["zeros_fitted_for"]
        torch.save(checkpoint, path)
    resumed = run(3, True)["energy_zeros"].numpy()
    if stored:
        assert fits == [] and resumed == pytest.approx(first, rel=1e-12)
        return
    ((mixing, fitted),) = fits
    assert torch.equal(mixing, checkpoint["current_model_state"]["model.short_range.mixing"])
    assert resumed == pytest.approx(fitted, rel=1e-12) and np.abs(fitted - first).max() > 1e-3
