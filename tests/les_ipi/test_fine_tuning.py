"""``les-ipi train --from``: what is kept, what is refitted, what is refused, what the card says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from toy_frames import toy_frames, training_text, write_frames

from les_ipi import cli
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models.storage import load_model
from les_ipi.training.data import load_frames
from les_ipi.training.scoring import evaluate_frames
from les_ipi.training.train import train
from les_ipi.training.training_config import read_config

#: A training file without [short_range] and [charges].
BARE = """name = "tuned"

[data]
files = ["frames.xyz"]
validation = ["0:2"]
source = "toy"
licence = "CC0"

[training]
max_epochs = {epochs}
learning_rate = {rate}
batch_size = 2
ema_decay = 0.9
validate_every = 1
stages = [{{ from_epoch = 0, energy = 1.0, forces = 1.0 }}]
"""


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained toy model and its data."""
    folder = tmp_path_factory.mktemp("parent")
    write_frames(folder / "frames.xyz", toy_frames(16))
    (folder / "train.toml").write_text(training_text(epochs=10))
    train(read_config(folder / "train.toml"), folder, folder / "model")
    return folder


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["les-ipi", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code or 0


def tuned(monkeypatch, folder: Path, parent: Path, text: str, frames: list[Atoms], *more: str) -> int:
    write_frames(folder / "frames.xyz", frames)
    (folder / "tune.toml").write_text(text)
    options = ("--output", folder / "model", "--from", parent / "model", *more)
    return command(monkeypatch, folder / "tune.toml", *options)


def card_of(folder: Path) -> dict:
    return json.loads((folder / "model" / "card.json").read_text())


def test_weights_and_scales_are_the_parents(monkeypatch, tmp_path, parent) -> None:
    """With a vanishing learning rate only the energy zero moves, by what was added to the labels."""
    frames = toy_frames(16)
    for atoms in frames:
        atoms.calc.results["energy"] += 80.0
    assert tuned(monkeypatch, tmp_path, parent, BARE.format(epochs=1, rate=1e-12), frames) == 0
    (old, _), (new, _) = load_model(parent / "model"), load_model(tmp_path / "model")
    for (name, a), b in zip(old.state_dict().items(), new.state_dict().values(), strict=True):
        if name == "reference_energies":
            assert (b - a).numpy() == pytest.approx([10.0, 10.0], abs=1e-4)  # 80 eV on 8 atoms
        else:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-7, msg=name)
    assert card_of(tmp_path)["hyper_parameters"] == card_of(parent)["hyper_parameters"]


def test_it_learns_faster_than_fresh_weights(monkeypatch, tmp_path, parent) -> None:
    held_out = card_of(parent)["held_out_errors"]["forces_rmse_meV_per_A"]
    assert tuned(monkeypatch, tmp_path, parent, BARE.format(epochs=3, rate=3e-3), toy_frames(16)) == 0
    assert card_of(tmp_path)["held_out_errors"]["forces_rmse_meV_per_A"] < 1.05 * held_out


def test_card_names_the_parent(monkeypatch, tmp_path, parent) -> None:
    assert tuned(monkeypatch, tmp_path, parent, BARE.format(epochs=1, rate=1e-3), toy_frames(6)) == 0
    origin = card_of(tmp_path)["fine_tuned_from"]
    assert origin["name"] == "toy" and origin["files"] == ["frames.xyz"] and origin["licence"] == "not stated"
    assert "fine_tuned_from" not in card_of(parent)


def test_epsilon_infinity_may_differ(monkeypatch, tmp_path, parent) -> None:
    text = BARE.format(epochs=1, rate=1e-12) + "[charges]\nepsilon_infinity = 4.0\n"
    assert tuned(monkeypatch, tmp_path, parent, text, toy_frames(6)) == 0
    assert card_of(tmp_path)["epsilon_infinity"] == 4.0
    system = load_frames([tmp_path / "frames.xyz"], 4.0)[0].system
    charges = [Evaluator.load(f / "model")([system], ["charges"])[0].charges for f in (parent, tmp_path)]
    np.testing.assert_allclose(charges[1], 2 * charges[0], rtol=1e-4, atol=1e-6)


def test_the_parents_own_file_is_accepted(monkeypatch, tmp_path, parent) -> None:
    assert tuned(monkeypatch, tmp_path, parent, training_text(epochs=1), toy_frames(6)) == 0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("[short_range]\ncutoff = 3.0", ("short_range.cutoff = 3.0", "4.0")),
        ("[short_range]\nhidden = [8, 8]", ("short_range.hidden = [8, 8]", "[8]")),
        ('[short_range]\ncore_cutoff = { "Na-Na" = 1.0 }', ("short_range.core_cutoff",)),
        ("[charges]\nformal = { Na = 2 }", ('charges.formal = {"Na": 2.0}', '{"Na": 1.0, "Cl": -1.0}')),
        ('[charges]\nhead = "transfer"', ('charges.head = "transfer"', '"latent"')),
        ("[charges]\ndescriptor = { cutoff = 3.0 }", ('charges.descriptor = {"cutoff": 3.0}', "null")),
    ],
)
def test_other_hyper_parameters_are_refused(monkeypatch, capsys, tmp_path, parent, entry: str, words: tuple) -> None:
    text = BARE.format(epochs=1, rate=1e-3) + entry + "\n"
    assert tuned(monkeypatch, tmp_path, parent, text, toy_frames(4)) == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1 and "--from" in sentence and all(w in sentence for w in words), sentence
    assert not (tmp_path / "model" / "card.json").exists()


def test_an_unknown_element_is_refused(monkeypatch, capsys, tmp_path, parent) -> None:
    frames = toy_frames(4)
    for atoms in frames:
        results = dict(atoms.calc.results)
        atoms.symbols[0] = "K"
        atoms.calc = SinglePointCalculator(atoms, **results)
    assert tuned(monkeypatch, tmp_path, parent, BARE.format(epochs=1, rate=1e-3), frames) == 2
    assert "contain K, but the model 'toy' knows Na, Cl" in capsys.readouterr().err


def test_an_unknown_parent_is_refused(monkeypatch, capsys, tmp_path) -> None:
    (tmp_path / "tune.toml").write_text(BARE.format(epochs=1, rate=1e-3))
    assert command(monkeypatch, tmp_path / "tune.toml", "--from", "nothing", "--output", tmp_path / "model") == 2
    assert "There is no model 'nothing'" in capsys.readouterr().err


def test_a_resumed_run_remembers_its_parent(monkeypatch, capsys, tmp_path, parent) -> None:
    frames = toy_frames(6)
    assert tuned(monkeypatch, tmp_path, parent, BARE.format(epochs=1, rate=1e-3), frames) == 0
    (tmp_path / "tune.toml").write_text(BARE.format(epochs=2, rate=1e-3))
    options = (tmp_path / "tune.toml", "--output", tmp_path / "model", "--resume")
    assert command(monkeypatch, *options) == 0
    assert card_of(tmp_path)["fine_tuned_from"]["name"] == "toy"
    capsys.readouterr()
    assert command(monkeypatch, *options, "--from", "water-pbe0-ts") == 2
    assert "resume it without --from" in capsys.readouterr().err


def test_errors_of_the_card_are_those_of_the_folder(monkeypatch, tmp_path, parent) -> None:
    assert tuned(monkeypatch, tmp_path, parent, BARE.format(epochs=2, rate=1e-3), toy_frames(8)) == 0
    evaluator = Evaluator.load(tmp_path / "model")
    held_out = load_frames([tmp_path / "frames.xyz"], evaluator.cutoff)[:2]
    assert card_of(tmp_path)["held_out_errors"] == pytest.approx(evaluate_frames(evaluator, held_out).metrics, rel=1e-4)
