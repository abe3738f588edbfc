"""Total charges and spins: read from files, exact in every head, and inputs of the networks that vanish at the reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from physics_cases import TRICLINIC, batch_of, each_boundary, evaluation, evaluator_of, make_model, water_cluster
from torch.fx.experimental.proxy_tensor import make_fx
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.conventions import Boundary, Property
from les_ipi.driver.serve.template import read_template
from les_ipi.electrostatics import SumRule
from les_ipi.errors import UserError
from les_ipi.evaluation.autograd_engine import BatchEngine
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import StateConfig, load_model
from les_ipi.models.derivatives import Leaves, raw_born_charges
from les_ipi.models.state import state_per_atom
from les_ipi.structures.system import AtomicSystem
from les_ipi.training.compiled import CompiledLoss, _Loss, fields_of
from les_ipi.training.data import load_frames
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.train import canonical_sign, prepare, train
from les_ipi.training.training_config import LossStage, read_config

STATE = StateConfig(channels=3, spin=True)
SYSTEMS = {
    "isolated": water_cluster(3, 0, None),
    "periodic": water_cluster(8, 1, TRICLINIC),
    "slab": replace(water_cluster(2, 2, np.diag([6.0, 6.0, 30.0])), slab=True),
}
HEADS = {
    "latent": {"head": "latent"},
    "two channels": {"head": "latent", "channels": 2},
    "transfer": {"head": "transfer"},
    "multipole": {"head": "multipole", "level": "uiqiu"},
}


@pytest.mark.parametrize("name", ["charge", "total_charge"])
def test_files_name_the_charge_and_the_spin(tmp_path, name) -> None:
    atoms = Atoms("OH", positions=[[0, 0, 0], [0, 0, 1]])
    atoms.info |= {name: -1.0, "multiplicity": 3}
    (frame,) = load_frames([write_frames(tmp_path / "frames.xyz", [atoms])], 4.0)
    assert (frame.system.total_charge, frame.system.multiplicity) == (-1.0, 3)
    template = read_template(tmp_path / "frames.xyz")
    assert (template.total_charge, template.multiplicity) == (-1.0, 3)
    (tmp_path / "start.xyz").write_text(f"1\n# CELL(abcABC): 9 9 9 90 90 90 {name}=2 spin_multiplicity=2\nO 0 0 0\n")
    template = read_template(tmp_path / "start.xyz")
    assert (template.total_charge, template.multiplicity) == (2.0, 2)


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ({"charge": 1.0, "total_charge": 0.0}, "give one finite number"),
        ({"charge": "plus"}, "not a number"),
        ({"multiplicity": 0}, "multiplicity 2S"),
        ({"multiplicity": 1.5}, "multiplicity 2S"),
    ],
)
def test_contradictions_are_refused(info, sentence) -> None:
    atoms = Atoms("O")
    atoms.info |= info
    with pytest.raises(UserError, match=sentence):
        AtomicSystem.from_ase(atoms)


@pytest.mark.parametrize("state", [None, STATE], ids=["plain", "state"])
@pytest.mark.parametrize("head", HEADS)
def test_the_total_charge_is_exact_in_every_head(head, state) -> None:
    """Physical charges of molecules, crystals and slabs, and Σ Z, sum to the wanted total."""
    model = make_model(state=state, **HEADS[head])
    systems = [replace(s, total_charge=t) for s, t in zip(SYSTEMS.values(), (1.0, -2.0, 0.5), strict=True)]

    def totals_of(part) -> np.ndarray:
        batch = batch_of(model, part)
        leaves = Leaves.of(batch, torch.float64)
        found = model(batch, leaves.edges, leaves.positions, leaves.cell)
        return (found.screening.sqrt() * found.charges.sum((1, 2))).detach().numpy()

    totals = each_boundary(totals_of, systems)
    np.testing.assert_allclose(totals, [1.0, -2.0, 0.5], atol=1e-12)
    bulk = [s for s in systems if not s.slab]
    wanted = ["charges", "born_effective_charges"]
    for system, result in zip(bulk, evaluator_of(model)(bulk, wanted), strict=True):
        assert abs(result.charges.sum() - system.total_charge) < 1e-12
        total = result.born_effective_charges.sum(0)
        np.testing.assert_allclose(total, system.total_charge * np.eye(3), atol=1e-10)


def test_a_charged_transfer_head_obeys_the_sum_rule_without_projection() -> None:
    model, system = make_model("transfer"), replace(SYSTEMS["periodic"], total_charge=1.0)
    batch, leaves, found = evaluation(model, system)
    born = raw_born_charges(model, batch, leaves, found)[0].detach().sum(0).numpy() * 1.78**0.5
    np.testing.assert_allclose(born, np.eye(3), atol=1e-10)


@pytest.mark.parametrize("head", [*HEADS, "none"])
def test_the_embedding_vanishes_at_the_reference_state_only(head) -> None:
    """At Q = 0 and S = 0 any embedding gives the same model; charge and spin both change it."""
    model = make_model(state=STATE, **HEADS.get(head, {"head": "none"}))
    system, evaluate = SYSTEMS["isolated"], evaluator_of(model)

    def values(**state) -> np.ndarray:
        result = evaluate([replace(system, **state)], ["energy", "forces"])[0]
        return np.array([result.energy, *result.forces.ravel()])

    before, charged = values(), values(total_charge=1.0)
    assert np.abs(values(multiplicity=3) - before).max() > 1e-3 and np.abs(charged - before).max() > 1e-3
    model.state.outer.weight.mul_(-2.0)
    model.state.inner.weight.add_(0.3)
    np.testing.assert_array_equal(values(), before)
    assert np.abs(values(total_charge=1.0) - charged).max() > 1e-3


def test_replicas_with_their_charge_have_their_energy() -> None:
    """E(n copies, n Q) = n E(one, Q) for copies that do not interact; charge per atom is what counts."""
    model, one = make_model("none", state=StateConfig()), replace(SYSTEMS["isolated"], total_charge=1.0)
    far = np.concatenate([one.positions + np.array([40.0 * n, 0, 0]) for n in range(3)])
    many = AtomicSystem(np.tile(one.numbers, 3), far, one.cell, False, total_charge=3.0)
    alone, together, diluted = evaluator_of(model)([one, many, replace(many, total_charge=1.0)], ["energy"])
    assert together.energy == pytest.approx(3 * alone.energy, rel=1e-12)
    assert abs(diluted.energy - 3 * alone.energy) > 1e-3


def test_both_engines_agree_and_forces_are_derivatives() -> None:
    model = make_model("latent", state=STATE)
    systems = [
        replace(SYSTEMS["isolated"], total_charge=1.0, multiplicity=2),
        replace(SYSTEMS["periodic"], total_charge=-1.0),
        SYSTEMS["periodic"],
    ]
    wanted = {Property.ENERGY, Property.FORCES, Property.VIRIAL, Property.BORN_EFFECTIVE_CHARGES, Property.CHARGES}
    evaluate = evaluator_of(model)
    engine = BatchEngine(model, "cpu", torch.float64, 0.5, SumRule.PROJECT, LocalBlocks(model))
    general = each_boundary(lambda part: engine(part, wanted), systems)
    for table, result in zip(general, evaluate(systems, wanted), strict=True):
        for name in ("forces", "virial", "born_effective_charges", "charges"):
            np.testing.assert_allclose(getattr(result, name), table[name], atol=1e-9)
        assert result.energy == pytest.approx(float(table["energy"]), abs=1e-10)
    step, shifted = 1e-4, []
    for sign in (1, -1):
        positions = systems[0].positions.copy()
        positions[4, 1] += sign * step
        shifted.append(evaluate([replace(systems[0], positions=positions)], ["energy"])[0].energy)
    force = evaluate(systems[:1], ["forces"])[0].forces[4, 1]
    assert -(shifted[0] - shifted[1]) / (2 * step) == pytest.approx(force, abs=1e-7)


def test_states_are_per_atom() -> None:
    found = state_per_atom(torch.tensor([1.0, -2.0]), torch.tensor([1.0, 3.0]), torch.tensor([4.0, 8.0]))
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.0], [-0.25, 0.25]]))


def two_state_frames(n: int, seed: int) -> list[Atoms]:
    """The same molecules with Q = 0 and Q = +1: springs of different length, and an ionisation energy of 8 eV."""
    rng, frames = np.random.default_rng(seed), []
    for index in range(n):
        r, charge = rng.uniform(1.0, 2.4), index % 2
        rest = (1.5, 1.9)[charge]
        atoms = Atoms("NaCl", positions=[[0, 0, 0], [0, 0, r]])
        atoms.info["total_charge"] = float(charge)
        pull = np.array([[0, 0, 1.0], [0, 0, -1.0]]) * 2.0 * (r - rest)
        atoms.calc = SinglePointCalculator(atoms, energy=(r - rest) ** 2 + 8.0 * charge, forces=pull)
        frames.append(atoms)
    return frames


def test_one_model_learns_two_charge_states_of_one_geometry(tmp_path) -> None:
    """Without the embedding half the difference between the states is left; with it, it is learned."""
    errors = {}
    for name, table in (("without", ""), ("with", "[state]\nchannels = 2\n\n[training]")):
        text = training_text(head="none").replace("[training]", table) if table else training_text(head="none")
        (tmp_path / "train.toml").write_text(text.replace("l_max = 1", "l_max = 1\ncore_cutoff = {}"))
        write_frames(tmp_path / "frames.xyz", two_state_frames(24, 1))
        frames = load_frames([tmp_path / "frames.xyz"], 4.0)
        module, _ = prepare(read_config(tmp_path / "train.toml"), frames)
        model = module.model.double()
        held_out = load_frames([write_frames(tmp_path / "other.xyz", two_state_frames(10, 2))], 4.0)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=150, line_search_fn="strong_wolfe")
        stage, tables = LossStage(energy=1.0, forces=1.0), {}
        for kind, chosen in (("train", frames), ("held", held_out)):
            batch = make_batch(chosen, model)
            tables[kind] = batch, make_targets(chosen, module.zeros, model.species, batch.n_rows, torch.float64)

        def closure():
            optimizer.zero_grad()  # noqa: B023
            loss = training_loss(model, [tables["train"]], stage)[0]  # noqa: B023
            loss.backward()
            return loss

        optimizer.step(closure)
        errors[name] = float(training_loss(model, [tables["held"]], stage)[1]["forces"].detach()) ** 0.5
    assert errors["without"] > 0.1 and errors["with"] < 0.1 * errors["without"], errors


def test_the_traced_loss_knows_the_charge_state(tmp_path) -> None:
    """A graph traced at one charge gives the loss and the slopes of another: charges are inputs, not constants."""
    write_frames(tmp_path / "frames.xyz", toy_frames(2))
    text = training_text(double_precision="true").replace("[training]", "[state]\nchannels = 2\n\n[training]")
    (tmp_path / "train.toml").write_text(text)
    loaded = load_frames([tmp_path / "frames.xyz"], 4.0)
    module, _ = prepare(read_config(tmp_path / "train.toml"), loaded)
    model, stage, graph, losses = module.model, LossStage(energy=1.0), None, []
    for charge in (0.0, 1.0):
        frame = replace(loaded[0], system=replace(loaded[0].system, total_charge=charge))
        batch = make_batch([frame], model)
        targets = make_targets([frame], module.zeros, model.species, batch.n_rows, torch.float64)
        inputs = (fields_of([(batch, targets)]), [p.detach() for p in model.parameters()], list(_Loss(model).buffers()))
        graph = graph or make_fx(CompiledLoss(model)._function([Boundary.PERIODIC], stage, []))(*inputs)
        loss, _, slopes = graph(*inputs)
        expected = training_loss(model, [(batch, targets)], stage)[0]
        eager = torch.autograd.grad(expected, list(model.parameters()), materialize_grads=True, allow_unused=True)
        for found, reference in zip((loss, *slopes), (expected.detach(), *eager), strict=True):
            torch.testing.assert_close(found, reference, rtol=1e-8, atol=1e-10)
        losses.append(float(loss))
    assert losses[0] != losses[1]


def test_a_training_with_charge_states_loads_and_goes_on(tmp_path) -> None:
    """The embedding is in the card and the weights; its weights learn; a file that asks for another one is refused."""
    frames = toy_frames(6)
    for n, atoms in enumerate(frames):
        atoms.info["charge"] = float(n % 2)
    write_frames(tmp_path / "frames.xyz", frames)
    text = training_text().replace("[training]", "[state]\nchannels = 2\n\n[training]")
    (tmp_path / "train.toml").write_text(text)
    train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    model, card = load_model(tmp_path / "model")
    assert model.state.channels == 2 and card["data"]["total_charges_e"] == [0.0, 1.0]
    evaluate, system = Evaluator.load(tmp_path / "model", dtype="float64"), AtomicSystem.from_ase(frames[0])
    neutral, charged = evaluate([system, replace(system, total_charge=1.0)], ["energy", "charges"])
    assert neutral.energy != charged.energy and abs(charged.charges.sum() - 1.0) < 1e-12
    train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "tuned", start=tmp_path / "model")
    (tmp_path / "train.toml").write_text(text.replace("channels = 2", "channels = 3"))
    with pytest.raises(UserError, match=r"table \[state\]"):
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "other", start=tmp_path / "model")


def test_a_net_charge_fixes_the_sign(tmp_path) -> None:
    """The energy of a charged structure is not even in the charges, so the sign of a trained model is left alone."""
    frames = toy_frames(3)
    write_frames(tmp_path / "frames.xyz", frames)
    (tmp_path / "train.toml").write_text(training_text())
    loaded = load_frames([tmp_path / "frames.xyz"], 4.0)
    module, _ = prepare(read_config(tmp_path / "train.toml"), loaded)
    model = module.model.eval().requires_grad_(False)
    model.head.formal_scale.fill_(-0.4)
    charged = [replace(f, system=replace(f.system, total_charge=1.0)) for f in loaded]
    canonical_sign(model, charged[:1] + loaded)
    assert float(model.head.sign) == 1.0
    canonical_sign(model, loaded)
    assert float(model.head.sign) == -1.0
