"""Losses of dipole differences, quadrupoles and polarizabilities: definitions, gradients, learning, refusals, errors."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from physics_cases import TRICLINIC, evaluation, evaluator_of, make_model, water_cluster
from torch.fx.experimental.proxy_tensor import make_fx
from toy_frames import EDGE, toy_frames, training_text, write_frames

from les_ipi.electrostatics import Multipoles, traceless_second_moment
from les_ipi.errors import UserError
from les_ipi.models.derivatives import Leaves
from les_ipi.structures.batch import Padding
from les_ipi.training.compiled import CompiledLoss, _Loss, fields_of
from les_ipi.training.data import load_frames
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.padding import CommonShapes
from les_ipi.training.responses import dipole_difference_errors
from les_ipi.training.scoring import evaluate_frames
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import LossStage, read_config

#: Molecules of rigid charges and isotropic atoms: label = closed form.
CHARGE, ALPHA = {11: 0.8, 17: -0.8}, {11: 0.4, 17: 2.5}


def molecules(n: int, seed: int) -> list[Atoms]:
    """Na2Cl2 clusters whose quadrupole about the centre of mass and polarizability, with a bond term, are known."""
    rng, frames = np.random.default_rng(seed), []
    base = np.array([[0, 0, 0], [2.5, 2.5, 0], [2.5, 0, 0], [0, 2.5, 0]], float)
    for _ in range(n):
        atoms = Atoms("Na2Cl2", base + rng.normal(scale=0.2, size=(4, 3)))
        x = atoms.positions - atoms.get_center_of_mass()
        q = np.array([CHARGE[z] for z in atoms.numbers])
        atoms.info["quadrupole"] = np.einsum("i,ia,ib->ab", q, x, x)
        bonds = [x[i] - x[j] for i in range(2) for j in range(2, 4)]
        tensor = sum(np.outer(b, b) * 3.0 / (b @ b) ** 1.5 for b in bonds)
        atoms.info["polarizability"] = tensor + np.eye(3) * sum(ALPHA[z] for z in atoms.numbers)
        forces = rng.normal(scale=0.1, size=(4, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces - forces.mean(0))
        frames.append(atoms)
    return frames


def crystals(n: int, seed: int) -> list[Atoms]:
    """Rigid ions of ±0.8 e whose dipole is folded into one quantum e·a, as codes give it."""
    frames = toy_frames(n, seed=seed, responses=True)
    for atoms in frames:
        atoms.info["dipole"] = atoms.info["dipole"] % EDGE
    return frames


TEXTS = {
    "dipole_difference": ("transfer", "q", crystals),
    "quadrupole": ("latent", "q", molecules),
    "polarizability": ("multipole", "iu", molecules),
}


def module_of(folder, quantity: str, frames: list[Atoms], stages: str = "", head: str = "", **options):
    usual, level, _ = TEXTS[quantity]
    head = head or usual
    text = training_text(head=head, stages=stages, double_precision="true", **options).replace("l_max = 1", "l_max = 2")
    text = text.replace(f'head = "{head}"', f'head = "{head}"\nlevel = "{level}"')
    (folder / "train.toml").write_text(text)
    loaded = load_frames([write_frames(folder / "frames.xyz", frames)], 4.0)
    return prepare(read_config(folder / "train.toml"), loaded)[0], loaded


def tables(module, frames, padding: Padding = Padding()) -> tuple:
    batch = make_batch(frames, module.model, padding)
    return batch, make_targets(frames, module.zeros, module.model.species, batch.n_rows, torch.float64)


# --- definitions -----------------------------------------------------------------------------------------------------


def test_second_moments_are_those_of_point_charges() -> None:
    """q, u and Q of every atom as finite point charges: u = q d, Q = Σ q d d."""
    rng = np.random.default_rng(0)
    r, q = rng.normal(size=(4, 3)), rng.normal(size=4)
    places, charges, u, Q = [r], [q], np.zeros((4, 3)), np.zeros((4, 3, 3))
    for i in range(4):
        d, e = 0.3 * rng.normal(size=(5, 3)), rng.normal(size=5)
        e -= e.mean()  # no charge of its own
        places.append(r[i] + d)
        charges.append(e)
        u[i], Q[i] = e @ d, np.einsum("i,ia,ib->ab", e, d, d)
    x, e = np.concatenate(places) - [1.0, 2.0, 3.0], np.concatenate(charges)
    expected = np.einsum("i,ia,ib->ab", e, x, x)
    expected -= np.trace(expected) / 3 * np.eye(3)
    traced = np.trace(Q, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    moments = Multipoles(*(torch.from_numpy(m)[None, ..., None] for m in (q, u, Q - traced)))
    found = traceless_second_moment(torch.from_numpy(r)[None], moments, torch.tensor([[1.0, 2.0, 3.0]]).double())
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{"head": "latent"}, {"head": "transfer"}, {"head": "multipole", "level": "uQiqiu"}], ids=lambda o: o["head"]
)
def test_quadrupoles_of_the_evaluator(options) -> None:
    """About the centre of mass, wherever the molecule is; Σ q x x of the charges where there are no other moments."""
    system, model = water_cluster(3, 4, None), make_model(**options)
    moved = replace(system, positions=system.positions + np.array([5.0, -3.0, 2.0]))
    wanted = ["charges", "quadrupole"]
    here, there = evaluator_of(model)([system, moved], wanted)
    np.testing.assert_allclose(here.quadrupole, there.quadrupole, atol=1e-9)
    assert abs(np.trace(here.quadrupole)) < 1e-10
    x = system.positions - Atoms(system.numbers, system.positions).get_center_of_mass()
    bare = np.einsum("i,ia,ib->ab", here.charges, x, x)
    bare -= np.trace(bare) / 3 * np.eye(3)
    assert np.allclose(here.quadrupole, bare, atol=1e-9) == (options["head"] != "multipole")
    with pytest.raises(UserError, match="isolated structures only"):
        evaluator_of(model)([system, water_cluster(8, 4, TRICLINIC)], wanted)


def test_the_quadrupole_of_a_model_is_its_energy_in_a_field_gradient() -> None:
    """The energy of q, u and Q in the potential φ = ½ x·V·x about the centre of mass, V traceless, is ½ V:M."""
    model = make_model("multipole", level="uQ")
    system = water_cluster(2, 4, None)
    batch, _, found = evaluation(model, system)
    moments = found.polarizable.moments
    x = batch.positions[0] - torch.from_numpy(Atoms(system.numbers, system.positions).get_center_of_mass())
    V = torch.tensor([[0.3, 0.1, -0.2], [0.1, 0.4, 0.05], [-0.2, 0.05, -0.7]], dtype=torch.float64)
    energy = 0.5 * torch.einsum("n,nx,xy,ny->", moments.charges[0, :, 0], x, V, x)
    energy = energy + torch.einsum("nx,xy,ny->", moments.dipoles[0, ..., 0], V, x)
    energy = energy + 0.5 * torch.einsum("nxy,xy->", moments.quadrupoles[0, ..., 0], V)
    assert energy.item() == pytest.approx(0.5 * (found.quadrupole[0] * V).sum().item(), rel=1e-10)


def test_dipole_differences_ignore_quanta_images_and_the_branch_of_labels(tmp_path) -> None:
    """Adding lattice vectors to labels, or moving atoms by them, changes no error; a real shift of 0.1 e·Å does."""
    module, frames = module_of(tmp_path, "dipole_difference", crystals(3, 0))
    model = module.model

    def errors(chosen) -> np.ndarray:
        batch, targets = tables(module, chosen)
        leaves = Leaves.of(batch, torch.float64)
        found = model(batch, leaves.edges, leaves.positions, leaves.cell)
        return dipole_difference_errors(batch, leaves, found, targets.dipole).detach().numpy()

    before, rng = errors(frames), np.random.default_rng(1)
    changed = []
    for frame in frames:
        labels = replace(frame.labels, dipole=frame.labels.dipole + EDGE * rng.integers(-2, 3, 3))
        positions = frame.system.positions + EDGE * rng.integers(-2, 3, size=frame.system.positions.shape)
        written = Atoms("Na4Cl4", positions, cell=[EDGE] * 3, pbc=True)
        written.info["dipole"] = labels.dipole
        changed.append(written)
    moved = load_frames([write_frames(tmp_path / "moved.xyz", changed)], 4.0)
    np.testing.assert_allclose(errors(moved), before, atol=1e-9)
    shifted = replace(frames[1], labels=replace(frames[1].labels, dipole=frames[1].labels.dipole + 0.1))
    expected = before + np.array([[-0.1] * 3, [0.1] * 3, [0.0] * 3])
    np.testing.assert_allclose(errors([frames[0], shifted, frames[2]]), expected - EDGE * np.round(expected / EDGE), atol=1e-9)
    alone = errors(frames[:1])
    np.testing.assert_array_equal(alone, np.zeros((1, 3)))


def test_unlike_frames_are_no_pairs(tmp_path) -> None:
    frames = crystals(2, 0)
    results = dict(frames[1].calc.results)
    frames[1].symbols[0] = "Cl"
    frames[1].calc = SinglePointCalculator(frames[1], **results)
    module, loaded = module_of(tmp_path, "dipole_difference", frames)
    batch, targets = tables(module, loaded)
    loss, parts = training_loss(module.model, [(batch, targets)], LossStage(energy=0, forces=0, dipole_difference=1.0))
    assert float(loss.detach()) == 0.0 and float(parts["dipole_difference"]) == 0.0


# --- gradients and learning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantity", TEXTS)
def test_slopes_of_the_loss_are_those_of_differences(tmp_path, quantity) -> None:
    frames = TEXTS[quantity][2](3, 5)
    module, loaded = module_of(tmp_path, quantity, frames)
    model, stage = module.model, LossStage(energy=0, forces=0, **{quantity: 1.0})
    batch, targets = tables(module, loaded)
    loss = training_loss(model, [(batch, targets)], stage)[0]
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    rng, checked = np.random.default_rng(3), 0
    for parameter, slope in zip(parameters, slopes, strict=True):
        if float(slope.abs().max()) < 1e-9:
            continue
        direction = torch.from_numpy(np.asarray(rng.normal(size=tuple(parameter.shape))))
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter.add_(step * direction)
                values.append(float(training_loss_value(model, batch, targets, stage)))
                parameter.sub_(step * direction)
        expected = (values[0] - values[1]) / 2e-5
        assert float((slope * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-10)
        checked += 1
    assert checked >= 4


def training_loss_value(model, batch, targets, stage):
    with torch.enable_grad():
        return training_loss(model, [(batch, targets)], stage)[0].detach()


@pytest.mark.parametrize("quantity", TEXTS)
def test_a_training_with_the_loss_lowers_the_held_out_error(tmp_path, quantity) -> None:
    """The command's own path: a first stage without the label, a second with it; the error of frames that nobody saw falls."""
    maker, errors = TEXTS[quantity][2], {}
    key = {"dipole_difference": "rmse_eA", "quadrupole": "rmse_eA2", "polarizability": "rmse_A3"}[quantity]
    for name, weight in (("without", 0.0), ("with", 100.0)):
        stages = (
            "stages = [{ from_epoch = 0, energy = 0.1, forces = 0.1 }, "
            f"{{ from_epoch = 2, energy = 0.1, forces = 0.1, {quantity} = {weight} }}]"
        )
        module_of(tmp_path, quantity, maker(10, 7), stages, epochs=20, learning_rate=0.03, compile='"never"')
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / name)
        errors[name] = json.loads((tmp_path / name / "errors.json").read_text())[f"{quantity}_{key}"]
    assert errors["with"] < 0.5 * errors["without"], errors


@pytest.mark.parametrize("quantity", TEXTS)
def test_the_traced_loss_is_the_eager_loss(tmp_path, quantity) -> None:
    """What the compiled training compiles, on a batch that it was not traced on."""
    module, frames = module_of(tmp_path, quantity, TEXTS[quantity][2](4, 2))
    model, stage, graph = module.model, LossStage(energy=1.0, **{quantity: 1.0}), None
    padding = CommonShapes(frames, model).of(frames)
    for chosen in (frames[:2], frames[2:]):
        batch, targets = tables(module, chosen, padding)
        inputs = (fields_of([(batch, targets)]), [p.detach() for p in model.parameters()], list(_Loss(model).buffers()))
        graph = graph or make_fx(CompiledLoss(model)._function([batch.boundary], stage, []))(*inputs)
        loss, _, slopes = graph(*inputs)
        expected = training_loss(model, [(batch, targets)], stage)[0]
        eager = torch.autograd.grad(expected, list(model.parameters()), materialize_grads=True, allow_unused=True)
        for found, reference in zip((loss, *slopes), (expected.detach(), *eager), strict=True):
            torch.testing.assert_close(found, reference, rtol=1e-8, atol=1e-10)


# --- errors and refusals ---------------------------------------------------------------------------------------------


def test_reported_errors_are_those_of_the_labels(tmp_path) -> None:
    """R², isotropic and anisotropic parts of the polarizability, recomputed from predictions and labels."""
    module, frames = module_of(tmp_path, "polarizability", molecules(5, 3))
    evaluator = evaluator_of(module.model.eval().requires_grad_(False))
    report = evaluate_frames(evaluator, frames)
    labels = np.array([f.labels.polarizability for f in frames])
    found = np.array([r.polarizability for r in report.results])
    traces = [np.trace(x, axis1=1, axis2=2) / 3 for x in (labels, found)]
    parts = [x - t[:, None, None] * np.eye(3) for x, t in zip((labels, found), traces, strict=True)]
    for name, (label, value) in {"": (labels, found), "_isotropic": traces, "_anisotropic": parts}.items():
        metrics = report.metrics
        assert metrics[f"polarizability{name}_rmse_A3"] == pytest.approx(math.sqrt(np.mean((label - value) ** 2)))
        expected = 1 - np.sum((label - value) ** 2) / np.sum((label - label.mean()) ** 2)
        assert metrics[f"polarizability{name}_r2"] == pytest.approx(expected)
    assert metrics["polarizability_isotropic_mean_error_A3"] == pytest.approx(np.mean(traces[1] - traces[0]))
    assert {"quadrupole_rmse_eA2", "quadrupole_r2"} <= set(metrics)
    single = evaluate_frames(evaluator, frames[:1]).metrics  # one trace: it has no spread that could be explained
    assert "polarizability_isotropic_rmse_A3" in single and "polarizability_isotropic_r2" not in single


@pytest.mark.parametrize("head", ["transfer", "latent"])
def test_reported_dipole_differences_are_modulo_the_quantum(tmp_path, head: str) -> None:
    """Rigid ions of the label's charge are exact whatever the branch of the labels and the images of the atoms."""
    frames = crystals(4, 1)
    frames[2].positions[3] += [EDGE, 0, -EDGE]
    module, loaded = module_of(tmp_path, "dipole_difference", frames, head=head)
    model = module.model.eval().requires_grad_(False)
    for parameter in model.head.networks.parameters():
        parameter.zero_()
    model.head.formal_scale.fill_(0.8)
    # All atoms drift, beside their vibrations, by half a cell.
    drifted = loaded[3].system.positions + np.array([0.5 * EDGE, 0, 0])
    loaded[3] = replace(loaded[3], system=replace(loaded[3].system, positions=drifted))
    metrics = evaluate_frames(evaluator_of(model), loaded).metrics
    assert metrics["dipole_difference_rmse_eA"] < 1e-6 and metrics["dipole_difference_pairs"] == 3
    if head == "transfer":
        assert metrics["dipole_rmse_eA"] > 1.0
    else:
        assert "dipole_rmse_eA" not in metrics
    model.head.formal_scale.fill_(0.7)
    assert evaluate_frames(evaluator_of(model), loaded).metrics["dipole_difference_rmse_eA"] > 0.02


def test_dipole_differences_of_charges_that_fluctuate(tmp_path) -> None:
    """Against Σ Z·dr over many small steps from frame to frame; Born charges of the ends alone would not do."""
    frames = crystals(2, 1)
    module, loaded = module_of(tmp_path, "dipole_difference", frames, head="latent")
    model = module.model.eval().requires_grad_(False)
    for layer in model.head.networks.skips:
        layer.weight.mul_(20.0)
    evaluator = evaluator_of(model)
    start, end = (frame.system for frame in loaded)
    path, steps = end.positions - start.positions, 400
    path = path - path.mean(0)
    integral, ends = np.zeros(3), []
    for x in (np.arange(steps) + 0.5) / steps:
        between = replace(start, positions=start.positions + x * path)
        born = evaluator([between], ["born_effective_charges"])[0].born_effective_charges
        integral += np.einsum("iab,ib->a", born, path) / steps
        ends.append(born)
    predicted = evaluate_frames(evaluator, loaded).pairs["dipole_difference"][1]
    np.testing.assert_allclose(predicted, integral, atol=0.02)
    coarse = np.einsum("iab,ib->a", 0.5 * (ends[0] + ends[-1]), path)
    assert np.abs(coarse - integral).max() > 0.5


def test_no_dipole_difference_without_a_path(tmp_path) -> None:
    """Born charges are integrated in one neutral cell, and only while atoms stay near their sites; others are left out."""
    frames = crystals(4, 1)
    model = module_of(tmp_path, "dipole_difference", frames, head="latent")[0].model.eval().requires_grad_(False)
    frames[1].set_cell(1.01 * frames[1].cell.array, scale_atoms=True)
    frames[3].positions[0] += [0.4 * EDGE, 0, 0]
    loaded = load_frames([write_frames(tmp_path / "other.xyz", frames)], 4.0)
    evaluator = evaluator_of(model)
    assert "dipole_difference_rmse_eA" not in evaluate_frames(evaluator, loaded).metrics
    assert evaluate_frames(evaluator, [loaded[2], loaded[2], loaded[3]]).metrics["dipole_difference_pairs"] == 1
    charged = replace(loaded[2], system=replace(loaded[2].system, total_charge=1.0))
    assert "dipole_difference_pairs" not in evaluate_frames(evaluator, [loaded[2], charged, charged]).metrics


def test_labels_are_read_symmetric_and_traceless(tmp_path) -> None:
    atoms = Atoms("NaCl", [[0, 0, 0], [0, 0, 2]])
    atoms.info |= {"quadrupole": np.arange(9.0).reshape(3, 3), "REF_polarizability": np.arange(9.0)}
    (frame,) = load_frames([write_frames(tmp_path / "f.xyz", [atoms])], 4.0)
    matrix = np.array([[0, 2, 4], [2, 4, 6], [4, 6, 8.0]])
    np.testing.assert_allclose(frame.labels.polarizability, matrix)
    np.testing.assert_allclose(frame.labels.quadrupole, matrix - 4 * np.eye(3))
    atoms.info["quadrupole"] = np.arange(6.0)
    with pytest.raises(UserError, match="'quadrupole' of a frame has 6 numbers"):
        load_frames([write_frames(tmp_path / "f.xyz", [atoms])], 4.0)


@pytest.mark.parametrize(
    ("head", "frames", "weights", "sentence"),
    [
        ("latent", toy_frames, "polarizability = 1.0", "no training frame has the label 'polarizability'"),
        ("latent", molecules, "polarizability = 1.0", "the 'latent' head does not have at this level"),
        ("latent", crystals, "dipole = 1.0", "depends on the images of the atoms"),
        ("latent", crystals, "dipole_difference = 1.0", "needs a single-valued polarization"),
        ("none", molecules, "quadrupole = 1.0", "has no charges"),
    ],
)
def test_losses_that_cannot_be_served_are_refused(tmp_path, head, frames, weights, sentence) -> None:
    text = training_text(head=head, stages=f"stages = [{{ from_epoch = 0, {weights} }}]")
    (tmp_path / "train.toml").write_text(text)
    write_frames(tmp_path / "frames.xyz", frames(6, 0))
    with pytest.raises(UserError, match=sentence):
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    assert not (tmp_path / "model" / "card.json").exists()


def test_predictions_are_written(tmp_path) -> None:
    from ase.io import read

    from les_ipi.training.scoring import write_predictions

    module, frames = module_of(tmp_path, "polarizability", molecules(4, 3))
    report = evaluate_frames(evaluator_of(module.model.eval().requires_grad_(False)), frames)
    write_predictions(tmp_path / "out.xyz", frames, report)
    images = read(tmp_path / "out.xyz", ":")
    for image, result in zip(images, report.results, strict=True):
        np.testing.assert_allclose(image.info["polarizability"], result.polarizability, atol=1e-6)
        np.testing.assert_allclose(image.info["quadrupole"], result.quadrupole, atol=1e-6)
