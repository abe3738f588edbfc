"""Trainings that start from least squares: charges of a force field are found, the model starts where the fit says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.errors import UserError
from les_ipi.models.derivatives import Leaves, atom_gradient, gradient
from les_ipi.models.storage import load_model
from les_ipi.training.data import Labels, load_frames
from les_ipi.training.linear_start import LinearStart, apply_linear_start, fit_linear_start
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import read_config

CONTACT = Path(__file__).parents[2] / "inputs" / "validation" / "nacl_kcl_contact"


def settings(folder, head="latent", **training):
    """A training file and its frames of rock salt."""
    write_frames(folder / "frames.xyz", toy_frames(12))
    (folder / "train.toml").write_text(training_text(head=head, **training))
    return folder / "train.toml"


def prepared(path):
    """A fresh module of a training file and its training frames."""
    config = read_config(path)
    frames = load_frames([path.parent / name for name in config.data.files], config.short_range.cutoff)[:64]
    torch.manual_seed(config.seed)
    return (*prepare(config, frames, config.training.linear_start), frames)


def force_rmse(module, frames):
    """Force error of a model on frames, eV/Å, by the loss of the training."""
    batch = make_batch(frames, module.model)
    targets = make_targets(frames, module.zeros, module.model.species, batch.n_rows, module.model.energy_scale.dtype)
    return float(training_loss(module.model, [(batch, targets)], module.settings.stages[0])[1]["forces"].detach()) ** 0.5


def test_charges_of_a_force_field_are_found():
    """Frames that OpenMM made with charges of ±1 e: found to 0.02 e from forces, which are ten times better than no forces."""
    path = CONTACT / "train.toml"
    config = read_config(path)
    frames = load_frames([CONTACT / name for name in config.data.files], config.short_range.cutoff)[:64]
    torch.manual_seed(config.seed)
    module, _ = prepare(config, frames)
    found = fit_linear_start(module.model, frames)
    exact = {11: 1.0, 17: -1.0, 19: 1.0}
    assert np.abs(found.charges - [exact[z] for z in module.model.species]).max() < 0.02
    assert found.n_tested == 8 and found.force_rmse < 0.1 * np.sqrt(np.mean([f.labels.forces**2 for f in frames]))
    apply_linear_start(module.model, found)
    assert force_rmse(module, frames[::16]) < 2 * found.force_rmse


def made_by_a_model(path, charges):
    """A fresh model, and frames with its forces for given charges (and weights)."""
    config = read_config(path)
    loaded = load_frames([path.parent / "frames.xyz"], config.short_range.cutoff)
    torch.manual_seed(config.seed)
    module, _ = prepare(config, loaded)
    n_features = module.model.short_range.n_features
    weights = 0.1 * np.random.default_rng(0).normal(size=(2, n_features))
    apply_linear_start(module.model, LinearStart(np.array(charges), weights, 0.0, 0, 0))
    module.model.core = None
    made = []
    for frame in loaded:
        batch = make_batch([frame], module.model)
        leaves = Leaves.of(batch, torch.float32)
        energy = module.model(batch, leaves.edges, leaves.positions, leaves.cell).energy.sum()
        forces = -atom_gradient(batch, gradient(energy, leaves))[0][batch.atom_mask].numpy()
        made.append(replace(frame, labels=Labels(energy=float(energy.detach()), forces=forces)))
    module.model.head.formal_charges.copy_(torch.tensor([0.3, -0.3]))
    return module.model, made


@pytest.mark.parametrize("charge", [0.9, 0.1])
def test_a_model_finds_itself(tmp_path, charge):
    """Forces of known weights and charges: charges to 1e-3, however weak; rows without a label do not count."""
    model, frames = made_by_a_model(settings(tmp_path), (charge, -charge))
    frames[0].labels.forces[2:5] = np.nan
    found = fit_linear_start(model, frames)
    assert found.charges == pytest.approx([charge, -charge], abs=1e-3)
    assert found.force_rmse < 1e-3 * np.sqrt(np.nanmean([f.labels.forces**2 for f in frames]))


def test_no_charges_are_no_start(tmp_path):
    model, frames = made_by_a_model(settings(tmp_path), (0.01, -0.01))
    with pytest.raises(UserError, match=r"finds no charges \(all below 0.05 e\)"):
        fit_linear_start(model, frames)


@pytest.mark.parametrize("descriptor", ["", 'first_channels = "shells"\nfeature_knee = 1000.0\n'])
def test_a_training_begins_at_the_fit(tmp_path, descriptor):
    """Without learning, the model is that of the fit: its charges, force error and card; a resumed training keeps it."""
    text = (CONTACT / "train.toml").read_text().replace("frames.xyz.gz", "frames.xyz.gz@0:14").replace("64:80", "12:14")
    text = text.replace("n_radial = 10", "n_radial = 6").replace("channels = 32", "channels = 18").replace("= 1e-3", "= 1e-9")
    text = text.replace("= 2e-4", "= 1e-9").replace("order = 2\n", f"order = 2\n{descriptor}", 1)
    for epochs in (1, 2):
        (tmp_path / "train.toml").write_text(text.replace("max_epochs = 32", f"max_epochs = {epochs}"))
        train(read_config(tmp_path / "train.toml"), CONTACT, tmp_path / "model", resume=epochs == 2)
        card = json.loads((tmp_path / "model" / "card.json").read_text())
        charges = card["hyper_parameters"]["charges"]
        assert charges["formal"] == pytest.approx({"Na": 1.0, "K": 1.0, "Cl": -1.0}, abs=0.15)
        assert charges["formal_scale"] == 1.0 and card["held_out_errors"]["forces_rmse_meV_per_A"] < 100
        loaded, _ = load_model(tmp_path / "model", torch.float32)
        assert loaded.head.formal_charges.tolist() == pytest.approx(list(charges["formal"].values()), rel=1e-6)


def test_without_charges_only_energies_are_fitted(tmp_path):
    module, config, frames = prepared(settings(tmp_path, head="none", linear_start="true"))
    assert config.charges.formal_scale == 0.3
    plain, _, _ = prepared(settings(tmp_path, head="none"))
    assert force_rmse(module, frames) < 0.5 * force_rmse(plain, frames)


@pytest.mark.parametrize(
    "change, message",
    [
        (('head = "latent"', 'head = "transfer"'), 'linear_start needs head = "latent" with one channel'),
        (("hidden = [4]", "hidden = [4]\nchannels = 2"), 'linear_start needs head = "latent" with one channel'),
        (("formal = { Na = 1, Cl = -1 }", ""), "linear_start needs formal charges"),
        (("formal = { Na = 1, Cl = -1 }", "formal = { Na = 1, Cl = 1 }"), "make every structure neutral"),
        (("[charges]", "[state]\nchannels = 2\n\n[charges]"), r"neutral structures without \[state\]"),
        (('validation = ["0:2"]', 'energy_zero = "per_file"\nenergy_networks = "per_file"'), "cannot tell functionals apart"),
    ],
)
def test_what_it_cannot_do_is_refused(tmp_path, change, message):
    path = settings(tmp_path, linear_start="true")
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=message):
        prepared(path)


def test_fine_tuning_has_no_linear_start(tmp_path):
    train(read_config(settings(tmp_path, epochs=1)), tmp_path, tmp_path / "model")
    with pytest.raises(UserError, match="linear_start is for fresh models"):
        train(read_config(settings(tmp_path, linear_start="true")), tmp_path, tmp_path / "next", start=tmp_path / "model")


def test_charged_structures_are_refused(tmp_path):
    path = settings(tmp_path)
    frames = toy_frames(4)
    frames[1].info["charge"] = 1.0
    write_frames(tmp_path / "frames.xyz", frames)
    module, _, loaded = prepared(path)
    with pytest.raises(UserError, match="linear_start is for neutral structures"):
        fit_linear_start(module.model, loaded)
