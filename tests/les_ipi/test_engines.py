"""Both engines against the model as it is stated, and against each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read
from physics_cases import TRICLINIC, batch_of, each_boundary, evaluator_of, make_model, water_cluster

from les_ipi.conventions import Boundary, Property
from les_ipi.electrostatics.born import SumRule
from les_ipi.electrostatics.mesh import MeshSum
from les_ipi.electrostatics.polarizable_sum import polarizable_sum
from les_ipi.evaluation.autograd_engine import BatchEngine
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.evaluation.capabilities import HeadAbilities, refusal
from les_ipi.evaluation.closed_engine import LocalEngine
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import polarizable
from les_ipi.models.derivatives import Leaves, atom_gradient, gradient, strain_derivative, unwrapped_dipole
from les_ipi.models.les_model import LESModel
from les_ipi.structures.system import AtomicSystem

CUBE = 6.4 * np.eye(3)
SYSTEMS = [
    water_cluster(8, 1, CUBE),
    water_cluster(8, 2, CUBE),
    water_cluster(5, 3, None),
    water_cluster(8, 4, TRICLINIC),
    water_cluster(20, 5, 1.4 * CUBE),
]


HEADS = {head: {"head": head} for head in ("none", "latent", "transfer", "equilibration")}
HEADS |= {level: {"head": "multipole", "level": level} for level in ("q", "u", "uQ", "iq", "iu", "uiqiu", "uQiqiu")}
HEADS["oxidation"] = {"head": "multipole", "level": "uQ", "formal_scale": "oxidation"}


def engines(model: LESModel, skin: float, rule: SumRule = SumRule.PROJECT) -> tuple[BatchEngine, LocalEngine]:
    """The general engine and that of bare charges."""
    blocks = LocalBlocks(model)
    return (
        BatchEngine(model, "cpu", torch.float64, skin, rule, blocks),
        LocalEngine(model, "cpu", torch.float64, skin, rule, blocks),
    )


def model_of(name: str, **charges) -> LESModel:
    """Any head or level, whose moments and responses matter."""
    model = make_model(**HEADS[name], **charges)
    if getattr(model.head, "gates", None) is not None:
        model.head.gates.output_scale = 1.0
    return model


def stated(model: LESModel, systems: list[AtomicSystem], fields: np.ndarray | None = None) -> list[dict[str, np.ndarray]]:
    """What the model states, by automatic differentiation: no blocks, no kept lists, no closed forms."""
    batch = batch_of(model, systems)
    leaves = Leaves.of(batch, torch.float64)
    found = model(batch, leaves.edges, leaves.positions, leaves.cell, None if fields is None else torch.from_numpy(fields))
    slope = gradient(found.energy.sum(), leaves)
    energy = (found.energy + model.composition_energy(batch)).detach().numpy()
    forces, virial = -atom_gradient(batch, slope).numpy(), -strain_derivative(batch, leaves, slope).detach().numpy()
    tables = [
        {"energy": energy[b], "forces": forces[b, : len(s.numbers)], "virial": virial[b]} for b, s in enumerate(systems)
    ]
    if found.charges is not None:
        scale = found.screening.sqrt()[:, None]
        charges, dipole = scale * found.charges.sum(-1), scale * unwrapped_dipole(batch, leaves, found)
        for b, (table, system) in enumerate(zip(tables, systems, strict=True)):
            table["charges"] = charges[b, : len(system.numbers)].detach().numpy()
            table["dipole"] = dipole[b].detach().numpy()
    return tables


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_what_the_model_states(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beads, other sizes, charged, isolated and triclinic structures in one call, atoms moved a little, and cells alone."""
    calls = []
    monkeypatch.setattr(polarizable, "polarizable_sum", lambda *a: calls.append(1) or polarizable_sum(*a))
    systems = [replace(SYSTEMS[0], total_charge=1.0), *SYSTEMS[1:3], replace(SYSTEMS[3], total_charge=-1.0), SYSTEMS[4]]
    options = {"latent": {"channels": 2}, "iu": {"remove_self": False}, "uiqiu": {"channels": 2, "anisotropic": False}}
    model = model_of(name, **options.get(name, {}))
    evaluate, rng = evaluator_of(model), np.random.default_rng(0)
    wanted = ["energy", "forces", "virial", *(["charges", "dipole"] if model.head is not None else [])]
    for chosen in (systems, systems, systems[:2], [systems[0], *systems[3:]]):
        chosen = [replace(s, positions=s.positions + 0.02 * rng.normal(size=s.positions.shape)) for s in chosen]
        found = evaluate(chosen, wanted)
        for expected, result in zip(each_boundary(lambda part: stated(model, part), chosen), found, strict=True):
            for quantity, value in expected.items():
                size = max(1.0, np.abs(value).max())
                np.testing.assert_allclose(getattr(result, quantity), value, rtol=0, atol=1e-10 * size, err_msg=quantity)
    # Closed derivatives serve the cells of every call.
    closed = name == "transfer" or (HEADS[name]["head"] == "multipole" and name != "q")
    assert len(calls) == 4 * closed


@pytest.mark.parametrize("name", ["uQ", "uQiqiu"])
def test_closed_derivatives_lose_no_digits_in_single_precision(name: str) -> None:
    """Error of forces and virial against double precision (root mean square): less than twice that of differentiation."""
    model, wanted, systems = model_of(name), ["forces", "virial"], [SYSTEMS[0], SYSTEMS[1]]
    exact = evaluator_of(model)(systems, wanted)
    evaluate = evaluator_of(model, torch.float32)
    # Born charges need derivatives of more than the energy: with them everything is differentiated automatically.
    closed, automatic = evaluate(systems, wanted), evaluate(systems, [*wanted, "born_effective_charges"])
    for quantity in wanted:
        errors = [
            np.sqrt(np.mean([(getattr(a, quantity) - getattr(b, quantity)) ** 2 for a, b in zip(exact, found, strict=True)]))
            for found in (closed, automatic)
        ]
        assert 0.0 < errors[0] < 2.0 * errors[1]


@pytest.mark.parametrize("name", ["u", "uQiqiu", "equilibration"])
def test_the_enthalpy_of_molecules_is_what_the_model_states(name: str) -> None:
    systems, fields = [replace(SYSTEMS[2], total_charge=1.0), water_cluster(3, 7, None)], np.array([[0.1, -0.2, 0.05]] * 2)
    model = model_of(name)
    found = evaluator_of(model)(systems, ["energy", "forces", "virial"], fields=fields)
    for expected, result in zip(stated(model, systems, fields), found, strict=True):
        for quantity in ("energy", "forces", "virial"):
            value = expected[quantity]
            np.testing.assert_allclose(getattr(result, quantity), value, rtol=1e-10, atol=1e-10, err_msg=quantity)


@pytest.mark.parametrize("head", ["latent", "none"])
@pytest.mark.parametrize("rule", [SumRule.PROJECT, SumRule.REPORT])
@pytest.mark.parametrize("channels", [1, 2])
def test_engines_agree_in_everything(head: str, rule: SumRule, channels: int) -> None:
    """Beads, other sizes, isolated and triclinic structures in one call; the block size divides none of them."""
    model = make_model(head, **({"channels": channels} if head == "latent" else {}))
    abilities = HeadAbilities.of_head(model.head)
    wanted = {name for name in Property if refusal([name], abilities, [Boundary.ISOLATED]) is None}
    assert len(wanted) == (3 if head == "none" else len(Property) - 1)  # no polarizability
    general, fast = engines(model, 0.5, rule)
    general, fast = (each_boundary(lambda part: engine(part, wanted), SYSTEMS) for engine in (general, fast))  # noqa: B023
    for expected, found in zip(general, fast, strict=True):
        assert expected.keys() == found.keys() == {str(name) for name in wanted}
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-11, err_msg=name)


def test_single_precision_error_of_the_shipped_model() -> None:
    """float32 network, float64 geometry and sums: far below the error of the model (0.2 meV/atom, 23 meV/Å)."""
    water = AtomicSystem.from_ase(read(Path(__file__).parents[2] / "inputs" / "water" / "start.xyz"))
    single, double = (Evaluator.load("water-pbe0-ts", dtype=name, threads=1)([water])[0] for name in ("float32", "float64"))
    assert np.abs(single.forces - double.forces).max() < 1e-4
    assert abs(single.energy - double.energy) / len(water.numbers) < 1e-6


@pytest.mark.parametrize(("atoms", "rows", "blocks"), [(192, 192, 1), (1536, 256, 6), (5184, 192, 27), (24, 32, 1)])
def test_blocks_are_chosen_with_little_padding(atoms: int, rows: int, blocks: int) -> None:
    assert LocalBlocks.padded_rows(atoms, "cpu") == (rows, blocks)


def test_one_moving_bead_rewrites_only_its_own_neighbours() -> None:
    """Lists that grow, shrink and outgrow their room give what a fresh engine gives; the other beads' lists stay."""
    model, wanted = make_model(), {Property.ENERGY, Property.FORCES}
    engine = engines(model, 0.3)[1]
    beads = [water_cluster(8, seed, CUBE) for seed in (1, 2, 3)]
    engine(beads, wanted)
    for factor in (0.97, 1.1, 0.8):
        beads[1] = replace(beads[1], positions=factor * beads[1].positions)
        fresh = engines(model, 0.0)[1]
        for expected, found in zip(fresh(beads, wanted), engine(beads, wanted), strict=True):
            np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-11)
    assert [verlet.builds for verlet in engine.edges[Boundary.PERIODIC].lists] == [1, 4, 1]


@pytest.mark.parametrize(("dtype", "accuracy"), [("float32", None), ("float64", None), ("float64", 1e-4)])
def test_a_large_system_takes_the_mesh_and_gives_the_same(dtype: str, accuracy: float | None, monkeypatch) -> None:
    """Energy, forces, virial and Born charges of 768 atoms with fast transforms against the exact sum in float64."""
    water = AtomicSystem.from_ase(read(Path(__file__).parents[2] / "inputs" / "water" / "start.xyz").repeat((2, 2, 1)))
    wanted = [Property.ENERGY, Property.FORCES, Property.VIRIAL, Property.CHARGES, Property.BORN_EFFECTIVE_CHARGES]
    fast = Evaluator.load("water-pbe0-ts", dtype=dtype, long_range_accuracy=accuracy)
    calls = []
    monkeypatch.setattr(MeshSum, "__call__", lambda self, *a, call=MeshSum.__call__: calls.append(1) or call(self, *a))
    found = fast([water], wanted)[0]
    assert calls
    monkeypatch.setattr("les_ipi.evaluation.closed_engine.MESH_FROM_PHASES", np.inf)
    exact = Evaluator.load("water-pbe0-ts", dtype="float64")([water], wanted)[0]
    assert len(calls) == 1
    # The float32 network alone is good to 1e-5 of the forces.
    bound = {"float32": 3e-5, "float64": 1e-10}[dtype] if accuracy is None else accuracy
    for name in wanted:
        expected = np.asarray(getattr(exact, name))
        if name == "energy":
            assert abs(found.energy - exact.energy) / len(water.numbers) < max(1e-6, bound)
        else:
            assert np.linalg.norm(getattr(found, name) - expected) < bound * np.linalg.norm(expected), name
