"""``les-ipi train`` on toy data: outputs, resuming, refusals, stages, response losses, sign of the charges."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from physics_cases import batch_of, make_model, water_cluster
from toy_frames import toy_frames, training_text, write_frames

from les_ipi import cli
from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import ModelConfig, ShortRangeConfig, build_model
from les_ipi.models.derivatives import Leaves
from les_ipi.models.storage import load_model
from les_ipi.structures.batch import Padding
from les_ipi.structures.system import AtomicSystem
from les_ipi.training.compiled import CompiledLoss
from les_ipi.training.data import Frame, Labels, load_frames, reference_energies, shortest_distances, split_blocks
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.module import PotentialModule
from les_ipi.training.padding import CommonShapes, _group_ends
from les_ipi.training.scoring import evaluate_frames
from les_ipi.training.train import canonical_sign, prepare, train
from les_ipi.training.training_config import LossStage, OptimiserConfig, read_config


def les_ipi(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command as users run it, in ``folder``."""
    command = [sys.executable, "-c", "from les_ipi.cli import main; main()", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)


def refused(monkeypatch, capsys, *arguments: object) -> str:
    """The one sentence with which the command refuses (exit status 2)."""
    monkeypatch.setattr(sys, "argv", ["les-ipi", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    text = capsys.readouterr().err
    assert stopped.value.code == 2 and text.startswith("les-ipi: ") and text.count("\n") == 1, text
    return text


def epochs_seen(run: Path) -> list[int]:
    rows = []
    for path in sorted((run / "training").glob("curves-*/metrics.csv")):
        with path.open() as handle:
            rows += [int(r["epoch"]) for r in csv.DictReader(handle) if r["train_loss"]]
    return rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """One real run, resumed once for more epochs; the learning before and after."""
    folder = tmp_path_factory.mktemp("run")
    write_frames(folder / "frames.xyz", toy_frames(10))
    (folder / "train.toml").write_text(training_text(epochs=2))
    first = les_ipi(folder, "train", "train.toml", "--output", "model", "--threads", "1")
    assert first.returncode == 0, first.stderr
    before = {"names": {p.name for p in (folder / "model").iterdir()}, "epochs": epochs_seen(folder / "model")}
    (folder / "train.toml").write_text(training_text(epochs=5))
    second = les_ipi(folder, "train", "train.toml", "--output", "model", "--resume")
    assert second.returncode == 0, second.stderr
    return folder, before


def test_a_run_writes_what_is_documented(trained) -> None:
    folder, before = trained
    outputs = {"card.json", "model.safetensors", "learning_curves.png", "parity.png", "errors.json", "training"}
    assert before["names"] == outputs
    for name in ("learning_curves.png", "parity.png"):
        assert (folder / "model" / name).read_bytes().startswith(b"\x89PNG")


def test_resume_continues_from_the_checkpoint(trained) -> None:
    folder, before = trained
    assert before["epochs"] == [0, 1]
    assert epochs_seen(folder / "model") == [0, 1, 2, 3, 4]
    checkpoint = torch.load(folder / "model" / "training" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5 * 4


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_an_interrupted_run_resumes_from_its_last_check(tmp_path, monkeypatch, optimiser) -> None:
    """A crash in epoch 5 with checks every 2 epochs: epochs 0-3 are on disk, and the resumed run starts with epoch 4."""
    write_frames(tmp_path / "frames.xyz", toy_frames(6))
    changed = f'optimiser = "{optimiser}"\nvalidate_every = 2'
    (tmp_path / "train.toml").write_text(training_text(epochs=6).replace("validate_every = 1", changed))
    config, step = read_config(tmp_path / "train.toml"), PotentialModule.training_step

    def crash(self, frames, index):
        if self.current_epoch == 5:
            raise RuntimeError("power cut")
        return step(self, frames, index)

    monkeypatch.setattr(PotentialModule, "training_step", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(config, tmp_path, tmp_path / "model")
    assert [p.name for p in (tmp_path / "model" / "training").glob("*.ckpt")] == ["last.ckpt"]
    monkeypatch.setattr(PotentialModule, "training_step", step)
    train(config, tmp_path, tmp_path / "model", resume=True)
    assert epochs_seen(tmp_path / "model")[-2:] == [4, 5]
    assert (tmp_path / "model" / "card.json").is_file()


def test_card_and_errors_belong_to_the_weights(trained) -> None:
    folder, _ = trained
    card = json.loads((folder / "model" / "card.json").read_text())
    errors = json.loads((folder / "model" / "errors.json").read_text())
    assert card["held_out_errors"] == errors and card["data"]["n_training_frames"] == 8
    evaluator = Evaluator.load(folder / "model", dtype="float32")
    held_out = load_frames([folder / "frames.xyz"], evaluator.cutoff)[:2]
    assert errors == pytest.approx(evaluate_frames(evaluator, held_out).metrics, rel=1e-4)
    model, _ = load_model(folder / "model")
    assert card["parameters"] == sum(p.numel() for p in model.parameters())


def test_an_existing_run_needs_resume(trained, monkeypatch, capsys) -> None:
    folder, _ = trained
    text = refused(monkeypatch, capsys, folder / "train.toml", "--output", folder / "model")
    assert "--resume" in text and "--output" in text


def test_resume_needs_a_checkpoint(trained, monkeypatch, capsys, tmp_path) -> None:
    folder, _ = trained
    text = refused(monkeypatch, capsys, folder / "train.toml", "--output", tmp_path / "new", "--resume")
    assert "without --resume" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channels = 4", "channels = 6", "short_range.channels = 4, and the file now has 6"),
        ('validation = ["0:2"]', 'validation = ["0:3"]', 'data.validation = ["0:2"], and'),
        ("seed = 1", "seed = 2", "seed = its default, and the file now has 2"),
    ],
)
def test_a_resumed_run_keeps_its_model_and_data(trained, monkeypatch, capsys, tmp_path, old, new, message) -> None:
    """Only [training] may change: other sizes would end in a traceback, and other frames be mixed in."""
    folder, _ = trained
    text = (folder / "train.toml").read_text()
    assert old in text
    (tmp_path / "other.toml").write_text(text.replace(old, new))
    output = ("--data-root", folder, "--output", folder / "model", "--resume")
    assert message in refused(monkeypatch, capsys, tmp_path / "other.toml", *output)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("max_epochs = 2", "max_epoch = 2", "training.max_epoch"),
        ("max_epochs = 2", "max_epochs = 0", "training.max_epochs"),
        ("max_epochs = 2", 'max_epochs = "many"', "training.max_epochs"),
        ("max_epochs = 2", "max_epochs = ", "not valid TOML"),
        ("cutoff = 4.0", "cutoff = 100.0", "short_range.cutoff"),
        ('head = "latent"', 'head = "magic"', "charges.head"),
        ("energy = 1.0, forces", "energies = 1.0, forces", "energies"),
        ("stages = [{ from_epoch = 0, energy = 1.0, forces = 1.0 }]", "stages = []", "training.stages"),
        ('name = "toy"', "", "name"),
        ('["0:2"]', '["0:100"]', "all 4 frames"),
        ('["0:2"]', '["5:7"]', "5:7"),
        ('["0:2"]', '["2"]', "'2'"),
        ('["frames.xyz"]', '["nowhere.xyz"]', "nowhere.xyz"),
        ('["frames.xyz"]', "[]", "data.files"),
    ],
)
def test_wrong_entries_are_named(monkeypatch, capsys, tmp_path, old: str, new: str, word: str) -> None:
    write_frames(tmp_path / "frames.xyz", toy_frames(4))
    text = training_text()
    assert text.count(old) == 1 or old == "cutoff = 4.0"
    (tmp_path / "train.toml").write_text(text.replace(old, new, 1))
    assert word in refused(monkeypatch, capsys, tmp_path / "train.toml", "--output", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_missing_training_file(monkeypatch, capsys, tmp_path) -> None:
    assert "train.toml" in refused(monkeypatch, capsys, tmp_path / "none.toml")


def test_data_without_forces(monkeypatch, capsys, tmp_path) -> None:
    write_frames(tmp_path / "frames.xyz", toy_frames(4, forces=False))
    (tmp_path / "train.toml").write_text(training_text())
    assert "forces" in refused(monkeypatch, capsys, tmp_path / "train.toml", "--output", tmp_path / "model")


def prepared(folder: Path, frames: list, **text: object) -> tuple[PotentialModule, list]:
    """Fresh module and its frames."""
    torch.manual_seed(0)
    write_frames(folder / "frames.xyz", frames)
    (folder / "train.toml").write_text(training_text(**text))
    config = read_config(folder / "train.toml")
    loaded = load_frames([folder / "frames.xyz"], config.short_range.cutoff)
    return prepare(config, loaded)[0], loaded


def test_stages_follow_the_epoch(tmp_path, monkeypatch) -> None:
    module, _ = prepared(tmp_path, toy_frames(2))
    first, second, third = LossStage(forces=1), LossStage(from_epoch=3, forces=2), LossStage(from_epoch=7, forces=3)
    module.settings = OptimiserConfig(stages=[second, first, third])
    found = []
    for epoch in (0, 2, 3, 6, 7, 50):
        monkeypatch.setattr(PotentialModule, "current_epoch", epoch)
        found.append(module.stage)
    assert found == [first, first, second, second, third, third]


def test_stages_are_applied_in_a_training(tmp_path) -> None:
    write_frames(tmp_path / "frames.xyz", toy_frames(6))
    stages = "stages = [{ from_epoch = 0, energy = 0, forces = 1 }, { from_epoch = 2, energy = 0, forces = 1000 }]"
    (tmp_path / "train.toml").write_text(training_text(epochs=4, stages=stages))
    train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    with (tmp_path / "model" / "training" / "curves-000" / "metrics.csv").open() as handle:
        rows = [r for r in csv.DictReader(handle) if r["train_loss"]]
    weights = [float(r["train_loss"]) / float(r["train_mse_forces"]) for r in rows]
    assert weights == pytest.approx([1, 1, 1000, 1000], rel=1e-4)


@pytest.mark.parametrize(
    ("head", "quantity", "weight"),
    [("latent", "born", 1.0), ("transfer", "born", 1.0), ("transfer", "dipole", 100.0), ("none", "stress", 1e4)],
)
def test_response_losses_reduce_their_errors(tmp_path, head: str, quantity: str, weight: float) -> None:
    module, frames = prepared(tmp_path, toy_frames(4, responses=True), head=head)
    model, stage = module.model, LossStage(energy=0, forces=0, **{quantity: weight})
    batch = make_batch(frames, model)
    targets = make_targets(frames, module.zeros, model.species, batch.n_rows, torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    errors = []
    for _ in range(60):
        optimizer.zero_grad()
        loss, parts = training_loss(model, [(batch, targets)], stage)
        loss.backward()
        optimizer.step()
        errors.append(float(parts[quantity].detach()) ** 0.5)
    assert errors[-1] < 0.2 * errors[0]


def strained(atoms: Atoms, strain: np.ndarray) -> AtomicSystem:
    copy = atoms.copy()
    copy.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    return AtomicSystem.from_ase(copy)


@pytest.mark.parametrize("head", ["latent", "transfer", "none"])
def test_stress_has_the_sign_and_order_of_ase(tmp_path, head: str) -> None:
    """σ_ab = ∂E/∂ε_ab / V by central differences as a label: loss and evaluation find no error, the loss 4σ² for −σ."""
    module, _ = prepared(tmp_path, toy_frames(3), head=head, double_precision="true")
    model = module.model.eval()
    evaluate = Evaluator(model, {}, dtype=torch.float64)
    atoms = toy_frames(1, seed=7)[0]
    atoms.set_cell(atoms.cell @ np.array([[1, 0.1, 0], [0, 1.05, -0.1], [0.1, 0, 1]]), scale_atoms=True)
    stress = np.zeros((3, 3))
    for a, b in np.ndindex(3, 3):
        strain = np.zeros((3, 3))
        strain[a, b] = 1e-4
        up, down = (evaluate([strained(atoms, s)])[0].energy for s in (strain, -strain))
        stress[a, b] = (up - down) / 2e-4 / atoms.get_volume()
    scale = np.sqrt(np.mean(stress**2))
    np.testing.assert_allclose(stress, stress.T, atol=1e-6 * scale)
    assert min(abs(stress[0, 1]), abs(stress[0, 2]), abs(stress[1, 2])) > 1e-3 * scale
    for sign, expected in ((1, 0.0), (-1, 2 * scale)):
        voigt = sign * stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((8, 3)), stress=voigt)
        frames = load_frames([write_frames(tmp_path / "strained.xyz", [atoms])], 4.0)
        batch = make_batch(frames, model)
        targets = make_targets(frames, module.zeros, model.species, batch.n_rows, torch.float64)
        found = float(training_loss(model, [(batch, targets)], LossStage(stress=1.0))[1]["stress"].detach()) ** 0.5
        assert found == pytest.approx(expected, abs=1e-5 * scale)
        metrics = evaluate_frames(evaluate, frames).metrics
        assert metrics["stress_rmse_meV_per_A3"] == pytest.approx(1e3 * expected, abs=1e-2 * scale)
        assert metrics["stress_rmse_GPa"] == pytest.approx(expected / units.GPa, abs=1e-2 * scale)


def test_charge_labels_do_not_count_without_charges(tmp_path) -> None:
    module, frames = prepared(tmp_path, toy_frames(2, responses=True), head="none")
    batch = make_batch(frames, module.model)
    targets = make_targets(frames, module.zeros, module.model.species, batch.n_rows, torch.float32)
    assert set(training_loss(module.model, [(batch, targets)], LossStage(born=1, dipole=1))[1]) == {"energy", "forces"}


def test_labels_that_a_frame_lacks_do_not_count(tmp_path) -> None:
    frames = toy_frames(3)
    del frames[1].calc.results["forces"]
    del frames[2].calc.results["energy"]
    module, loaded = prepared(tmp_path, frames)
    stage = LossStage(energy=1, forces=1)

    def parts(chosen: list) -> dict:
        batch = make_batch(chosen, module.model)
        targets = make_targets(chosen, module.zeros, module.model.species, batch.n_rows, torch.float32)
        return training_loss(module.model, [(batch, targets)], stage)[1]

    both = parts(loaded)
    assert both["forces"].item() == pytest.approx(parts([loaded[0], loaded[2]])["forces"].item(), rel=1e-4)
    assert both["energy"].item() == pytest.approx(parts(loaded[:2])["energy"].item(), rel=1e-4)


def test_canonical_sign_makes_cations_positive(tmp_path) -> None:
    module, frames = prepared(tmp_path, toy_frames(4))
    model = module.model.eval().requires_grad_(False)
    system = AtomicSystem.from_ase(toy_frames(1)[0])
    for start in (1.0, -1.0):
        model.head.sign.fill_(start)
        energy = Evaluator(model, {})([system])[0].energy
        canonical_sign(model, frames)
        result = Evaluator(model, {})([system], ["energy", "charges"])[0]
        assert result.charges[:4].mean() > 0.05 and result.charges[4:].mean() < -0.05
        assert result.energy == energy


def test_reference_energies_from_composition(tmp_path) -> None:
    rng, frames = np.random.default_rng(1), toy_frames(6)
    for atoms in frames:
        results = dict(atoms.calc.results)
        atoms.symbols[:4] = rng.permutation(["Na", "Cl", "Na", rng.choice(["Na", "Cl"])])
        results["energy"] = float(np.sum(np.where(atoms.symbols == "Na", -4.25, -12.5)))
        atoms.calc.atoms, atoms.calc.results = atoms.copy(), results
    loaded = load_frames([write_frames(tmp_path / "frames.xyz", frames)], 4.0)
    assert reference_energies(loaded, [11, 17]) == pytest.approx([-4.25, -12.5])


def test_held_out_blocks() -> None:
    assert split_blocks(8, ["1:3", "6:"]) == ([0, 3, 4, 5], [1, 2, 6, 7])
    assert split_blocks(3, []) == ([0, 1, 2], [])


def test_frames_of_a_slice_of_a_file(tmp_path) -> None:
    frames = toy_frames(6)
    file = write_frames(tmp_path / "frames.xyz", frames)
    first, last = load_frames([tmp_path / "frames.xyz@1:3", tmp_path / "frames.xyz@5:"], 4.0, "per_file")[::2]
    assert (first.zero, last.zero) == (0, 1)
    for loaded, atoms in ((first, frames[1]), (last, frames[5])):
        assert np.allclose(loaded.system.positions, atoms.positions, atol=1e-7)
        assert loaded.labels.energy == pytest.approx(atoms.get_potential_energy())
    with pytest.raises(UserError, match=r"'9:' selects none of the 6 frames"):
        load_frames([file.with_name("frames.xyz@9:")], 4.0)
    with pytest.raises(UserError, match=r"no data file .*other\.xyz:"):
        load_frames([file.with_name("other.xyz@1:3")], 4.0)


def test_shortest_distances_of_pairs(tmp_path) -> None:
    frames = toy_frames(5)
    loaded = load_frames([write_frames(tmp_path / "frames.xyz", frames)], 4.0)
    expected = {}
    for a, b in ((11, 11), (11, 17), (17, 17)):
        blocks = [f.get_all_distances(mic=True)[np.ix_(f.numbers == a, f.numbers == b)] for f in frames]
        expected[a, b] = min(block[block > 0].min() for block in blocks)
    assert shortest_distances(loaded, 4.0) == pytest.approx(expected)


def test_core_repulsion_follows_the_data(tmp_path) -> None:
    """Below the shortest distance in the data a pair is repelled, whatever the network says there."""
    module, loaded = prepared(tmp_path, toy_frames(5))
    (pair, shortest), *_ = shortest_distances(loaded, 4.0).items()
    ends = module.model.core.cutoffs
    assert float(ends[0, 0]) == pytest.approx(min(1.25 * shortest, 4.0), abs=1e-3) and pair == (11, 11)
    assert torch.equal(ends, ends.T)


def test_a_core_of_unknown_elements_is_refused() -> None:
    short = ShortRangeConfig(core_cutoff={"Na-F": 1.0})
    with pytest.raises(UserError, match="'Na-F', but the elements are Na, Cl"):
        build_model(ModelConfig(species=("Na", "Cl"), short_range=short))


def test_compiled_loss_equals_eager(tmp_path) -> None:
    """Loss, parts and gradients of all weights, also of a second batch of the same padded shape."""
    module, frames = prepared(tmp_path, toy_frames(3), double_precision="true")
    model, stage = module.model, LossStage(energy=3.0, forces=1.0, stress=2.0, charge_variation=0.1)
    compiled, padding = CompiledLoss(model), CommonShapes(frames, model).of(frames)
    for chosen in ([frames[0]], [frames[1]]):
        batch = make_batch(chosen, model, padding)
        targets = make_targets(chosen, module.zeros, model.species, batch.n_rows, torch.float64)
        expected = training_loss(model, [(make_batch(chosen, model), targets)], stage)
        found = compiled([(batch, targets)], stage)
        assert not compiled.failed and found[1].keys() == expected[1].keys()
        assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-9)
        for name, part in expected[1].items():
            assert found[1][name].item() == pytest.approx(part.item(), rel=1e-9)
        slopes = [torch.autograd.grad(x[0], list(model.parameters()), allow_unused=True) for x in (found, expected)]
        for fused, eager in zip(*slopes, strict=True):
            torch.testing.assert_close(fused, torch.zeros_like(fused) if eager is None else eager, rtol=1e-7, atol=1e-9)


def test_charge_that_is_made_where_it_should_be_moved() -> None:
    """Mean of |∂Q_tot/∂r_i|² against finite differences of the sum of the latent charges; a transfer head makes none."""
    stage = LossStage(energy=0.0, forces=0.0, charge_conservation=1.0)
    system = water_cluster(4, 1, 6.4 * np.eye(3))
    for head in ("latent", "transfer"):
        model = make_model(head)

        def total(positions: np.ndarray, model=model) -> float:
            moved = batch_of(model, [replace(system, positions=positions)])
            leaves = Leaves.of(moved, torch.float64)
            return float(model(moved, leaves.edges, leaves.positions, leaves.cell).local_charges.detach().sum())

        slopes = np.zeros_like(system.positions)
        for place in np.ndindex(slopes.shape):
            step = np.zeros_like(slopes)
            step[place] = 1e-4
            slopes[place] = (total(system.positions + step) - total(system.positions - step)) / 2e-4
        frame = Frame(system, Labels(), None)
        targets = make_targets([frame], np.zeros((1, 2)), model.species, len(system.numbers), torch.float64)
        loss, parts = training_loss(model, [(batch_of(model, [system]), targets)], stage)
        expected = (slopes**2).sum(1).mean()
        assert parts["charge_conservation"].item() == pytest.approx(expected, rel=1e-6, abs=1e-14)
        assert (expected > 1e-6) == (head == "latent") and loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-14)


def test_groups_of_shapes_are_the_cheapest_and_no_more_than_useful() -> None:
    """Against all choices of up to two cuts."""
    rng = np.random.default_rng(5)
    for spread in (0.02, 0.5, 2.0):
        edges = np.sort(np.exp(spread * rng.normal(size=9)))
        totals = {}
        for ends in ([9], *([a, 9] for a in range(1, 9)), *([a, b, 9] for b in range(2, 9) for a in range(1, b))):
            totals[tuple(ends)] = sum((e - s) * edges[e - 1] for s, e in pairwise([0, *ends]))
        found, best = _group_ends(edges), {n: min(t for e, t in totals.items() if len(e) == n) for n in (1, 2, 3)}
        assert totals[tuple(found)] == pytest.approx(best[len(found)])
        assert len(found) == 1 or best[len(found)] < 0.85 * best[1]
    assert found != [9] and _group_ends(np.ones(4)) == [4]


def test_every_frame_finds_a_shape_that_holds_it(tmp_path) -> None:
    """Boxes of 8 and 64 atoms: two shapes; a batch of both takes the larger one; unknown frames are not padded."""
    small, large = toy_frames(4), [a.repeat(2) for a in toy_frames(2, seed=3)]
    for atoms in large:
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((64, 3)))
    module, _ = prepared(tmp_path, toy_frames(2))
    frames = load_frames([write_frames(tmp_path / "mixed.xyz", small + large)], 4.0)
    shapes = CommonShapes(frames, module.model)
    assert [s.rows for s in shapes.shapes] == [8, 64]
    assert shapes.of(frames[:2]) == shapes.shapes[0] and shapes.of([frames[0], frames[5]]) == shapes.shapes[1]
    assert all(shapes.of([f]).columns >= f.neighbors.index.shape[1] for f in frames)
    assert shapes.of(load_frames([tmp_path / "mixed.xyz"], 4.0)[:1]) == Padding()
    assert 1 <= shapes.overhead < 1.3


def test_a_compiled_training_learns_the_same(tmp_path) -> None:
    write_frames(tmp_path / "frames.xyz", toy_frames(6))
    errors = []
    for choice in ("never", "always"):
        (tmp_path / "train.toml").write_text(training_text(epochs=3, compile=f'"{choice}"', double_precision="true"))
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / choice)
        errors.append(json.loads((tmp_path / choice / "errors.json").read_text())["forces_rmse_meV_per_A"])
    assert errors[1] == pytest.approx(errors[0], rel=1e-5)
