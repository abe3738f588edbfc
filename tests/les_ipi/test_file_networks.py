"""Files of different functionals: what differs near an atom is learned apart, what they share together."""

import json

import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.errors import UserError
from les_ipi.models.storage import load_model
from les_ipi.training.data import load_frames
from les_ipi.training.file_networks import networks_per_file
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import LossStage, read_config


def two_functionals(folder, networks, epochs=25, **training):
    """Eight frames of one potential, sixteen of another whose pair energies are half as deep, with another zero."""
    frames = toy_frames(24)
    for atoms in frames[8:]:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=0.5 * energy + 30.0, forces=0.5 * forces)
    folder.mkdir(exist_ok=True)
    write_frames(folder / "first.xyz", frames[:8])
    write_frames(folder / "second.xyz", frames[8:])
    text = training_text(epochs=epochs, learning_rate=2e-2, **training)
    text = text.replace('["frames.xyz"]', '["first.xyz", "second.xyz"]')
    keys = f'["0:2", "8:10"]\nenergy_zero = "per_file"\nenergy_networks = "{networks}"'
    (folder / "train.toml").write_text(text.replace('["0:2"]', keys))
    return folder / "train.toml"


def test_another_functional_helps_only_with_networks_of_its_own(tmp_path):
    errors = {}
    for networks in ("shared", "per_file"):
        file = two_functionals(tmp_path / networks, networks)
        train(read_config(file), tmp_path / networks, tmp_path / networks / "model")
        card = json.loads((tmp_path / networks / "model" / "card.json").read_text())
        assert card["data"]["n_training_frames"] == 20
        errors[networks] = card["held_out_errors"]["forces_rmse_meV_per_A"]
        # The card of a model per file speaks of the first file alone.
        assert card["held_out_errors"]["n_frames"] == (2 if networks == "per_file" else 4)
        model, _ = load_model(tmp_path / networks / "model", torch.float32)
        assert not any("file" in name for name, _ in model.named_parameters())
    assert errors["per_file"] < 0.5 * errors["shared"]


def test_a_resumed_training_has_the_networks_of_all_files(tmp_path):
    file = two_functionals(tmp_path, "per_file", epochs=2, double_precision="true")
    train(read_config(file), tmp_path, tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    file.write_text(file.read_text().replace("max_epochs = 2", "max_epochs = 3"))
    train(read_config(file), tmp_path, tmp_path / "model", resume=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() != before


def test_a_mixed_batch_has_the_losses_of_its_frames(tmp_path):
    config = read_config(two_functionals(tmp_path, "per_file", double_precision="true"))
    frames = load_frames([tmp_path / f for f in config.data.files], 4.0, "per_file")
    module, _ = prepare(config, frames)
    model, stage = module.model, LossStage(energy=1.0, forces=1.0)

    def loss(*chosen):
        batch = make_batch(list(chosen), model)
        targets = make_targets(list(chosen), module.zeros, model.species, batch.n_rows, torch.float64)
        return float(training_loss(model, [(batch, targets)], stage)[0])

    alone = [loss(frames[0]), loss(frames[-1])]
    with networks_per_file(model, 2):
        networks = model.short_range.energy_networks
        assert [loss(frames[0]), loss(frames[-1])] == pytest.approx(alone, rel=1e-12)  # nothing differs at the start
        torch.manual_seed(2)
        for p in (networks.linear, networks.outer):
            torch.nn.init.normal_(p, std=0.3)
        first, second = loss(frames[0]), loss(frames[-1])
        assert first == pytest.approx(alone[0], rel=1e-12) and abs(second / alone[1] - 1) > 0.01
        assert loss(frames[0], frames[-1]) == pytest.approx(0.5 * (first + second), rel=1e-12)
    assert [loss(frames[0]), loss(frames[-1])] == pytest.approx(alone, rel=1e-12)
    assert np.isfinite(alone).all()


def test_networks_per_file_need_zeros_per_file(tmp_path):
    file = two_functionals(tmp_path, "per_file")
    file.write_text(file.read_text().replace('energy_zero = "per_file"\n', ""))
    with pytest.raises(UserError, match='energy_networks = "per_file" needs energy_zero = "per_file"'):
        read_config(file)


def test_ignored_labels_teach_nothing(tmp_path):
    """The second file has absurd energies and forces: the model is as good as without that file, or the same label fails."""
    errors = {}
    for ignore in ('["energy", "forces"]', "[]"):
        folder = tmp_path / str(len(errors))
        file = two_functionals(folder, "shared", epochs=10)
        frames = read(folder / "second.xyz", ":")
        for atoms in frames:
            atoms.calc = SinglePointCalculator(atoms, energy=1e4, forces=np.full((len(atoms), 3), 50.0))
        write_frames(folder / "second.xyz", frames)
        text = file.read_text().replace('["0:2", "8:10"]', '["0:2"]').replace('zero = "per_file"', 'zero = "shared"')
        file.write_text(text.replace("[data]", f'[data]\nignore = {{ "second.xyz" = {ignore} }}'))
        train(read_config(file), folder, folder / "model")
        card = json.loads((folder / "model" / "card.json").read_text())
        errors[ignore] = card["held_out_errors"]["forces_rmse_meV_per_A"]
        assert card["data"]["ignored_labels"] == {"second.xyz": json.loads(ignore)}
    ignored, taught = errors.values()
    assert ignored < 0.1 * taught


def test_ignored_labels_are_checked(tmp_path):
    file = two_functionals(tmp_path, "shared")
    text = file.read_text()
    for table, message in (
        ('{ "third.xyz" = ["energy"] }', "ignore names 'third.xyz', which is not in files"),
        ('{ "second.xyz" = ["energies"] }', "ignore names the label 'energies' of second.xyz: labels are energy, forces"),
    ):
        file.write_text(text.replace("[data]", f"[data]\nignore = {table}"))
        with pytest.raises(UserError, match=message):
            read_config(file)
