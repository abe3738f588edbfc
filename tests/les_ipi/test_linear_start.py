"""Trainings that start from least squares: charges of a force field are found, the model starts where the fit says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.errors import UserError
from les_ipi.models.storage import load_model
from les_ipi.training.config import read_config
from les_ipi.training.data import load_frames
from les_ipi.training.linear_start import apply_linear_start, fit_linear_start
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.train import prepare, train

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
    return (*prepare(config, frames), frames)


def force_rmse(module, frames):
    """Force error of a model on frames, eV/Å, by the loss of the training."""
    batch = make_batch(frames, module.model)
    targets = make_targets(frames, module.zeros, module.model.species, batch.n_rows, module.model.energy_scale.dtype)
    return float(training_loss(module.model, batch, targets, module.settings.stages[0])[1]["forces"].detach()) ** 0.5


def test_charges_of_a_force_field_are_found():
    """Frames that OpenMM made with charges of ±1 e: found to 0.02 e from forces, with signs from the formal charges."""
    module, _, frames = prepared(CONTACT / "train.toml")
    found = fit_linear_start(module.model, frames)
    exact = {11: 1.0, 17: -1.0, 19: 1.0}
    assert np.abs(found.charges - [exact[z] for z in module.model.species]).max() < 0.02
    module.model.head.formal_charges.neg_()
    assert fit_linear_start(module.model, frames[::8]).charges[0] < 0
    apply_linear_start(module.model, found)
    some = frames[:: len(frames) // found.n_frames][:4]
    assert force_rmse(module, some) < 2 * found.force_rmse < 0.1 * np.sqrt(np.mean([f.labels.forces**2 for f in some]))


def test_a_training_begins_at_the_fit(tmp_path):
    """The model of step zero has the force error of the fit; its card holds the charges; a loaded model has them, too."""
    path = settings(tmp_path, linear_start="true", epochs=1, learning_rate=1e-9)
    module, config, frames = prepared(path)
    found = fit_linear_start(module.model, frames)
    assert config.charges.formal_scale == 1.0
    assert config.charges.formal == pytest.approx(dict(zip(("Na", "Cl"), found.charges, strict=True)), rel=1e-3)
    used = frames[:: len(frames) // found.n_frames]
    assert len(used) == found.n_frames
    assert force_rmse(module, used) == pytest.approx(found.force_rmse, rel=0.02)
    plain, _, _ = prepared(settings(tmp_path))
    assert force_rmse(module, frames) < 0.5 * force_rmse(plain, frames)
    train(read_config(settings(tmp_path, linear_start="true", epochs=1, learning_rate=1e-9)), tmp_path, tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    loaded, _ = load_model(tmp_path / "model", torch.float32)
    recorded = card["hyper_parameters"]["charges"]["formal"]
    assert loaded.head.scaled_formal_charges(torch.arange(2)).tolist() == pytest.approx(list(recorded.values()), rel=1e-4)
    assert card["held_out_errors"]["forces_rmse_meV_per_A"] < 2e3 * found.force_rmse


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
