"""Training of the multipole head: the command, response labels, the compiled loss, and a polarizability nobody labelled."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.special import erf
from torch.fx.experimental.proxy_tensor import make_fx
from toy_frames import toy_frames, training_text, write_frames

from les_ipi import units
from les_ipi.conventions import Boundary
from les_ipi.models import load_model
from les_ipi.models.derivatives import Leaves
from les_ipi.training.compiled import CompiledLoss, _Loss, fields_of
from les_ipi.training.data import load_frames
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.padding import CommonShapes
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import LossStage, read_config


def multipole_text(level: str, **options: object) -> str:
    text = training_text(head="multipole", **options).replace("l_max = 1", "l_max = 2")
    return text.replace('head = "multipole"', f'head = "multipole"\nlevel = "{level}"')


def module_of(folder: Path, frames: list[Atoms], level: str, **options: object):
    write_frames(folder / "frames.xyz", frames)
    (folder / "train.toml").write_text(multipole_text(level, **options))
    loaded = load_frames([folder / "frames.xyz"], 4.0)
    return prepare(read_config(folder / "train.toml"), loaded)[0], loaded


@pytest.mark.parametrize("level", ["u", "uQiqiu"])
def test_a_training_writes_a_model_that_loads(tmp_path, level):
    write_frames(tmp_path / "frames.xyz", toy_frames(6))
    (tmp_path / "train.toml").write_text(multipole_text(level))
    train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    model, card = load_model(tmp_path / "model")
    assert card["charge_head"] == "multipole" and card["multipole_level"] == level
    assert np.isfinite(list(json.loads((tmp_path / "model" / "errors.json").read_text()).values())).all()
    assert model.head.level == level


def test_slabs_are_training_data(tmp_path):
    """Frames with pbc T T F next to molecules, at a level whose dipoles of slabs are not defined."""
    frames = toy_frames(4)
    for atoms in frames:
        results = dict(atoms.calc.results)
        atoms.cell[2, 2], atoms.pbc = 14.0, (True, True, False)
        atoms.calc = SinglePointCalculator(atoms, **results)
    frames[2].pbc, frames[3].pbc = False, False
    write_frames(tmp_path / "frames.xyz", frames)
    (tmp_path / "train.toml").write_text(multipole_text("uiqiu"))
    train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "errors.json").read_text())["n_frames"] == 2


def test_every_weight_of_the_head_is_trained(tmp_path):
    """Known defect elsewhere: heads that were never in the optimiser. All weights have gradients from energies and forces."""
    module, frames = module_of(tmp_path, toy_frames(4), "uQiqiu")
    batch = make_batch(frames, module.model)
    targets = make_targets(frames, module.zeros, module.model.species, batch.n_rows, torch.float32)
    loss, _ = training_loss(module.model, [(batch, targets)], LossStage(energy=1, forces=1))
    loss.backward()
    silent = [n for n, p in module.model.head.named_parameters() if p.grad is None or float(p.grad.abs().max()) == 0]
    assert silent == []
    trained = {id(p) for p in module.parameters()}
    assert all(id(p) in trained for p in module.model.head.parameters())


@pytest.mark.parametrize("quantity", ["born", "dipole"])
def test_response_labels_reduce_their_errors(tmp_path, quantity):
    module, frames = module_of(tmp_path, toy_frames(3, responses=True), "uiqiu")
    model, stage = module.model, LossStage(energy=0, forces=0, **{quantity: 1.0 if quantity == "born" else 100.0})
    batch = make_batch(frames, model)
    targets = make_targets(frames, module.zeros, model.species, batch.n_rows, torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    errors = []
    for _ in range(40):
        optimizer.zero_grad()
        loss, parts = training_loss(model, [(batch, targets)], stage)
        loss.backward()
        optimizer.step()
        errors.append(float(parts[quantity].detach()) ** 0.5)
    assert errors[-1] < 0.3 * errors[0]


def test_a_polarizability_is_learned_from_energies_and_forces(tmp_path):
    """An ion polarizes a neutral atom beyond the cutoff: U = −½ α E². α = 1.5 Å³ is found; a level without α cannot fit it."""
    true, frames = 1.5, []
    for r in np.linspace(4.2, 8.0, 12):

        def pair_energy(r: float) -> float:
            slope = erf(r / math.sqrt(2)) / r**2 - math.sqrt(2 / math.pi) * math.exp(-r * r / 2) / r
            return -0.5 * true * units.COULOMB * slope**2

        force = -(pair_energy(r + 1e-5) - pair_energy(r - 1e-5)) / 2e-5
        atoms = Atoms("NaAr", positions=[[0, 0, 0], [0, 0, r]])
        atoms.info["charge"] = 1.0
        forces = np.array([[0, 0, -force], [0, 0, force]])
        atoms.calc = SinglePointCalculator(atoms, energy=pair_energy(r), forces=forces)
        frames.append(atoms)
    errors, alpha = {}, None
    for level in ("q", "iu"):
        (tmp_path / level).mkdir()
        module, loaded = module_of(tmp_path / level, frames, level, double_precision="true")
        model = module.model
        batch = make_batch(loaded, model)
        targets = make_targets(loaded, module.zeros, model.species, batch.n_rows, torch.float64)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=150, line_search_fn="strong_wolfe")
        stage = LossStage(energy=1e4, forces=1e4)

        def closure():
            optimizer.zero_grad()  # noqa: B023
            loss = training_loss(model, [(batch, targets)], stage)[0]  # noqa: B023
            loss.backward()
            return loss

        optimizer.step(closure)
        errors[level] = float(training_loss(model, [(batch, targets)], stage)[1]["forces"].detach()) ** 0.5
        if level == "iu":
            leaves = Leaves.of(batch, torch.float64)
            atoms = model(batch, leaves.edges, leaves.positions, leaves.cell).polarizable
            # Nothing tells the polarizability of the ion, which feels no field.
            alpha = units.COULOMB * atoms.alpha[0, :, 2, 2, 0].detach().numpy()
            charges = atoms.moments.charges[0, :, 0].detach().numpy()
    assert errors["iu"] < 1e-3 * errors["q"]
    assert alpha[1] == pytest.approx(true, rel=1e-3)
    np.testing.assert_allclose(charges, [1.0, 0.0], atol=1e-3)


def test_the_traced_loss_is_the_eager_loss(tmp_path):
    """What the compiled training compiles: one graph of the loss and its gradient, the same on a batch it was not traced on."""
    module, frames = module_of(tmp_path, toy_frames(3), "uQiqiu", double_precision="true")
    model, stage = module.model, LossStage(energy=3.0, forces=1.0, stress=2.0)
    padding, names = CommonShapes(frames, model).of(frames), []
    function = CompiledLoss(model)._function([Boundary.PERIODIC], stage, names)
    graph = None
    for chosen in ([frames[0]], [frames[1]]):
        batch = make_batch(chosen, model, padding)
        targets = make_targets(chosen, module.zeros, model.species, batch.n_rows, torch.float64)
        inputs = (fields_of([(batch, targets)]), [p.detach() for p in model.parameters()], list(_Loss(model).buffers()))
        graph = graph or make_fx(function)(*inputs)
        loss, _, slopes = graph(*inputs)
        expected = training_loss(model, [(batch, targets)], stage)[0]
        assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
        eager = torch.autograd.grad(expected, list(model.parameters()), materialize_grads=True, allow_unused=True)
        for found, reference in zip(slopes, eager, strict=True):
            torch.testing.assert_close(found, reference, rtol=1e-8, atol=1e-10)
