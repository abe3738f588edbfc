"""The contract of short-range models, fulfilled by a toy that passes messages: evaluation, Born charges, driver, training."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from physics_cases import TRICLINIC, batch_of, evaluation, evaluator_of, water_cluster
from test_derivatives import displaced, strained
from test_multipole_model import assert_flow_is_that_of_a_large_cell
from toy_frames import toy_frames, training_text, write_frames
from toy_message_passing import ToySettings

from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.template import Template
from les_ipi.electrostatics.born import local_born_charges
from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import ChargesConfig, ModelConfig, Topology, build_model
from les_ipi.models.derivatives import Leaves, gradient, raw_born_charges
from les_ipi.models.les_model import LESModel
from les_ipi.structures.system import AtomicSystem
from les_ipi.training.compiled import CompiledLoss
from les_ipi.training.data import load_frames
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.responses import physical_born_charges
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import read_config
from les_ipi.units import BOHR_A

SMALL, MOLECULES = water_cluster(8, 2, TRICLINIC), water_cluster(4, 4, None)
BORN, STRAIN = "born_effective_charges", "piezoelectric"


def toy_model(layers: int = 1, cutoff: float = 3.0, head: str = "latent", **charges) -> LESModel:
    torch.manual_seed(3)
    config = ModelConfig(
        species=("H", "O"),
        short_range=ToySettings(kind="toy", cutoff=cutoff, layers=layers),
        charges=ChargesConfig(
            head=head, hidden=(8,), formal={"H": 1.0, "O": -2.0}, transfer_cutoff=2.5, epsilon_infinity=1.78, **charges
        ),
    )
    model = build_model(config).double().eval().requires_grad_(False)
    model.standardise(batch_of(model, [water_cluster(8, s, 6.4 * np.eye(3)) for s in range(4)]))
    for parameter in model.head.parameters():
        parameter.mul_(1.5)
    return model


def charges_at(model: LESModel, system: AtomicSystem):
    """Latent charges (N,) as a function of a tensor of positions (N, 3), and these positions."""
    batch = batch_of(model, [system])

    def charges(positions: torch.Tensor) -> torch.Tensor:
        edges = replace(batch, positions=positions[None]).edges()
        topology = Topology(batch.neighbors, batch.reverse)
        near = batch.species[batch.neighbors]
        return model.local(edges, near, batch.species, topology=topology)[1].charges.sum(1)

    return charges, batch.positions[0]


@pytest.mark.parametrize("system", [SMALL, MOLECULES], ids=["triclinic", "isolated"])
def test_forces_and_virial_are_derivatives_of_the_energy(system):
    evaluate = evaluator_of(toy_model(layers=2), skin=0.0)
    found = evaluate([system], ["energy", "forces", "virial"])[0]
    for atom, axis in ((0, 0), (4, 1)):
        up, down = (evaluate([displaced(system, atom, axis, s)])[0].energy for s in (1e-4, -1e-4))
        assert found.forces[atom, axis] == pytest.approx(-(up - down) / 2e-4, abs=2e-6 * np.abs(found.forces).max())
    for a, b in ((0, 0), (1, 2), (2, 1)):
        up, down = (evaluate([strained(system, a, b, s)])[0].energy for s in (2e-5, -2e-5))
        assert found.virial[a, b] == pytest.approx(-(up - down) / 4e-5, abs=5e-6 * np.abs(found.virial).max())


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_born_charges_of_molecules_are_the_flow_of_charge(layers):
    """Z_i = q_i 1 + Σ_k (r_k − r_i) ⊗ ∂q_k/∂r_i from all derivatives of all charges; the local formula is far from it."""
    model = toy_model(layers)
    charges, positions = charges_at(model, MOLECULES)
    slopes = torch.autograd.functional.jacobian(charges, positions)
    flow = torch.einsum("kia,kib->iab", positions[:, None] - positions[None], slopes)
    expected = charges(positions)[:, None, None] * torch.eye(3) + flow
    batch, leaves, found = evaluation(model, MOLECULES)
    born = raw_born_charges(model, batch, leaves, found)[0]
    torch.testing.assert_close(born.detach(), expected, rtol=0, atol=1e-9)
    ending_here = gradient(found.local_charges.sum(), leaves).edges.reshape(-1, 3)[batch.reverse]
    local = local_born_charges(found.local_charges, leaves.edges, ending_here)
    assert (local - expected).abs().max() > 0.1 * expected.abs().max()
    # Through the evaluator: physical charges, nothing projected.
    evaluated = evaluator_of(model, sum_rule="report")([MOLECULES], [BORN])[0].born_effective_charges
    np.testing.assert_allclose(evaluated, expected.numpy(), atol=1e-9)


@pytest.mark.parametrize(("layers", "copies"), [(1, 2), (2, 3)])
def test_born_charges_in_a_cell_are_the_flow_of_charge_in_a_large_one(layers, copies):
    """The cell repeated until no charge feels two images of an atom: there nearest images have unique vectors."""
    model = toy_model(layers)
    batch, leaves, found = evaluation(model, SMALL)
    born = raw_born_charges(model, batch, leaves, found)[0].detach()
    shifts = np.array(list(np.ndindex(copies, copies, copies))) @ SMALL.cell
    places = (SMALL.positions + shifts[:, None]).reshape(-1, 3)
    large = AtomicSystem(np.tile(SMALL.numbers, copies**3), places, copies * SMALL.cell)
    widths = 1 / np.linalg.norm(np.linalg.inv(large.cell), axis=0)
    assert widths.min() > 2 * (layers + 1) * model.cutoff
    charges, positions = charges_at(model, large)
    positions = positions.clone().requires_grad_()
    q = charges(positions)
    for atom in (0, 4, 14):
        vectors = large.positions - large.positions[atom]
        vectors -= np.round(vectors @ np.linalg.inv(large.cell)) @ large.cell
        for a in range(3):
            weighted = (torch.from_numpy(vectors[:, a].copy()) * q).sum()
            expected = torch.autograd.grad(weighted, positions, retain_graph=True)[0][atom]
            expected[a] += q[atom].detach()
            torch.testing.assert_close(born[atom, a], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("layers", [1, 3])
def test_piezoelectric_tensor_is_the_flow_of_charge_under_strain(layers):
    """Σ_k Σ_i (r_k − r_i)_c (r_i − r_k)_a ∂q_k/∂r_ib: every charge sees the strain from where it is."""
    model = toy_model(layers)
    charges, positions = charges_at(model, MOLECULES)
    slopes = torch.autograd.functional.jacobian(charges, positions)
    vectors = positions[None] - positions[:, None]
    expected = -torch.einsum("kic,kia,kib->cab", vectors, vectors, slopes)
    found = evaluator_of(model)([MOLECULES], [STRAIN])[0].piezoelectric
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)


def test_responses_in_a_batch_are_those_alone_and_obey_the_sum_rule():
    evaluate = evaluator_of(toy_model(layers=2))
    systems = [SMALL, water_cluster(7, 9, 6.4 * np.eye(3))]
    together = evaluate(systems, [BORN, STRAIN, "forces"])
    for system, one in zip(systems, together, strict=True):
        alone = evaluate([system], [BORN, STRAIN, "forces"])[0]
        for name in (BORN, STRAIN, "forces"):
            np.testing.assert_allclose(getattr(one, name), getattr(alone, name), atol=1e-10)
        assert np.abs(one.born_effective_charges.sum(0)).max() < 1e-12


@pytest.mark.parametrize("level", ["u", "uiq"])
def test_moments_flow_along_messages(level):
    """Dipoles, and the charge that they induce, of a head that reads vectors of the toy."""
    model = toy_model(cutoff=2.2, head="multipole", level=level, anisotropic=False)
    assert_flow_is_that_of_a_large_cell(model, SMALL)


def test_a_single_valued_dipole_needs_no_flow():
    model = toy_model(head="transfer")
    evaluate = evaluator_of(model, skin=0.0, sum_rule="report")
    born = evaluate([SMALL], [BORN])[0].born_effective_charges
    for atom, axis in ((0, 0), (13, 2)):
        up, down = (evaluate([displaced(SMALL, atom, axis, s)], ["dipole"])[0].dipole for s in (1e-4, -1e-4))
        np.testing.assert_allclose(born[atom, :, axis], (up - down) / 2e-4, atol=1e-7)


def test_tensors_that_a_model_lacks_are_refused():
    """Quadrupoles are read from tensors of rank 2, which the toy does not have."""
    with pytest.raises(UserError, match="needs features of l = 2"):
        toy_model(head="multipole", level="uQ")


def test_messages_out_of_sight_are_refused(monkeypatch):
    """Who takes messages of neighbours without the topology has energies and charges; Born charges would be wrong."""
    monkeypatch.setattr(Topology, "pass_messages", lambda self, messages: messages[self.neighbors])
    evaluate = evaluator_of(toy_model())
    assert np.isfinite(evaluate([SMALL], ["charges"])[0].charges).all()
    with pytest.raises(UserError, match="passes messages out of sight"):
        evaluate([SMALL], [BORN])


def test_messages_of_one_number_and_of_matrices_are_those_of_columns():
    """The shape of what is sent plays no role: neither for what is received, nor for the charge that it carries."""
    model = toy_model()
    batch, leaves, _ = evaluation(model, MOLECULES)
    distances = leaves.edges.norm(dim=-1)
    weights = torch.exp(-distances) * (distances < model.cutoff)

    def carried(shape: tuple[int, ...]) -> list[torch.Tensor]:
        topology = Topology(batch.neighbors, batch.reverse)
        received = topology.pass_messages(weights.sum(1).tanh().reshape(-1, *shape))
        assert received.shape == (*weights.shape, *shape)
        return topology.carried((weights * received.reshape(weights.shape)).sum(), leaves.edges)

    column = carried((1,))
    assert len(column) == 3 and column[0].abs().max() > 0.01
    for shape in ((), (1, 1)):
        for found, expected in zip(carried(shape), column, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_driver_sends_the_exact_born_charges():
    """Energy, forces and Born charges at i-PI's side of the wire are those of the evaluator."""
    evaluate = evaluator_of(toy_model())
    server = ForceServer(evaluate, Template(SMALL.numbers, True, 0.0, "start.xyz"), "BEC")
    reply = server([SMALL.cell.T / BOHR_A], [SMALL.positions.ravel() / BOHR_A])[0]
    expected = evaluate([SMALL], [BORN])[0].born_effective_charges
    sent = np.array(json.loads(reply.extras)["BEC"]).reshape(-1, 3, 3).transpose(0, 2, 1)
    np.testing.assert_allclose(sent, expected, atol=1e-9)
    assert reply.forces.shape == (24, 3) and np.isfinite(reply.energy)


def toy_training(folder, **settings) -> str:
    stages = "stages = [{ from_epoch = 0, energy = 1.0, forces = 1.0, born = 1.0 }]"
    native = training_text(epochs=settings.pop("epochs", 3), stages=stages, **settings)
    start, end = native.index("cutoff ="), native.index("[charges]")
    text = f'{native[:start]}kind = "toy"\ncutoff = 4.0\nlayers = 2\n\n{native[end:]}'
    write_frames(folder / "frames.xyz", toy_frames(10, responses=True))
    (folder / "train.toml").write_text(text)
    return text


def test_training_saves_a_model_that_loads(tmp_path):
    """Standardised through the contract, trained on energies, forces and Born charges, scored, saved, loaded, resumed."""
    toy_training(tmp_path, epochs=8)
    folder = train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    card = json.loads((folder / "card.json").read_text())
    assert card["hyper_parameters"]["short_range"]["kind"] == "toy" and card["hyper_parameters"]["short_range"]["layers"] == 2
    errors = card["held_out_errors"]
    assert 0 < errors["bec_rmse_e"] < 0.7 and 0 < errors["forces_rmse_meV_per_A"] < 2000
    evaluate = Evaluator.load(folder, dtype="float64")
    assert not evaluate.model.blockwise and float(evaluate.model.short_range.scale.max()) > 1.5
    text = (tmp_path / "train.toml").read_text().replace("layers = 2", "layers = 3")
    (tmp_path / "train.toml").write_text(text)
    with pytest.raises(UserError, match=r"short_range.layers = 2, and the file now has 3"):
        train(read_config(tmp_path / "train.toml"), tmp_path, folder, resume=True)


def test_born_charges_in_the_loss_have_exact_derivatives(tmp_path):
    """∂/∂w of a sum of squares of Born charges, which training descends, against central differences."""
    toy_training(tmp_path, double_precision="true")
    config = read_config(tmp_path / "train.toml")
    frames = load_frames([tmp_path / "frames.xyz"], 4.0)
    model = prepare(config, frames)[0].model
    batch = make_batch(frames[:2], model)

    def squares() -> torch.Tensor:
        leaves = Leaves.of(batch, torch.float64)
        found = model(batch, leaves.edges, leaves.positions, leaves.cell)
        return (physical_born_charges(model, batch, leaves, found) ** 2).sum()

    short = model.short_range
    slopes = torch.autograd.grad(squares(), [short.own, short.sent, short.received])
    for weights, slope in zip((short.own, short.sent, short.received), slopes, strict=True):
        values, place = weights.data.view(-1), int(slope.abs().argmax())
        sides = []
        for step in (1e-5, -1e-5):
            values[place] += step
            sides.append(squares().item())
            values[place] -= step
        assert float(slope.view(-1)[place]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("max_epochs = 3", "max_epochs = 3\nlinear_start = true"), "linear_start is not possible with this short-range model"),
        (
            ('["0:2"]', '["0:2"]\nenergy_zero = "per_file"\nenergy_networks = "per_file"'),
            'energy_networks = "per_file" is not possible with this short-range model',
        ),
    ],
)
def test_what_a_model_does_not_offer_is_refused(tmp_path, change, match):
    (tmp_path / "train.toml").write_text(toy_training(tmp_path).replace(*change))
    with pytest.raises(UserError, match=match):
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")


def test_the_loss_can_be_traced(tmp_path, monkeypatch):
    """The graph that training compiles has the value and the gradients of the loss, with Born charges from messages."""
    toy_training(tmp_path)
    config = read_config(tmp_path / "train.toml")
    frames = load_frames([tmp_path / "frames.xyz"], 4.0)
    module = prepare(config, frames)[0]
    model, batch, stage = module.model, make_batch(frames[:2], module.model), config.training.stages[0]
    targets = make_targets(frames[:2], module.zeros, model.species, batch.n_rows, torch.float32)
    # Tracing is what can fail; what the compiler makes of the graph is tested elsewhere.
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)
    traced, parts = CompiledLoss(model)([(batch, targets)], stage)
    expected = training_loss(model, [(batch, targets)], stage)[0]
    assert float(parts["born"].detach()) > 0.01
    torch.testing.assert_close(traced, expected)
    weights = list(model.parameters())
    gradients = (torch.autograd.grad(loss, weights, materialize_grads=True) for loss in (traced, expected))
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted)
