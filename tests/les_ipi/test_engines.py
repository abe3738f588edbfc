"""The fast engine (blocks, closed-form Ewald sum) against the general one (one batch, automatic differentiation)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read
from physics_cases import TRICLINIC, make_model, water_cluster

from les_ipi.batch_engine import BatchEngine
from les_ipi.blocks import LocalBlocks
from les_ipi.conventions import Property
from les_ipi.electrostatics.born import SumRule
from les_ipi.electrostatics.mesh import MeshSum
from les_ipi.evaluator import _CHARGE_PROPERTIES, Evaluator
from les_ipi.local_engine import LocalEngine
from les_ipi.system import AtomicSystem

CUBE = 6.4 * np.eye(3)
SYSTEMS = [
    water_cluster(8, 1, CUBE),
    water_cluster(8, 2, CUBE),
    water_cluster(5, 3, None),
    water_cluster(8, 4, TRICLINIC),
    water_cluster(20, 5, 1.4 * CUBE),
]


@pytest.mark.parametrize("head", ["latent", "none"])
@pytest.mark.parametrize("rule", [SumRule.PROJECT, SumRule.REPORT])
@pytest.mark.parametrize("channels", [1, 2])
def test_engines_agree_in_everything(head: str, rule: SumRule, channels: int) -> None:
    """Beads, other sizes, isolated and triclinic structures in one call; the block size divides none of them."""
    model = make_model(head, **({"channels": channels} if head == "latent" else {}))
    wanted = set(Property) - {Property.POLARIZABILITY} - (_CHARGE_PROPERTIES if head == "none" else set())
    general = BatchEngine(model, "cpu", torch.float64, rule)(SYSTEMS, wanted)
    fast = LocalEngine(model, "cpu", torch.float64, 0.5, rule, False)(SYSTEMS, wanted)
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
    engine = LocalEngine(model, "cpu", torch.float64, 0.3, SumRule.PROJECT, False)
    beads = [water_cluster(8, seed, CUBE) for seed in (1, 2, 3)]
    engine(beads, wanted)
    for factor in (0.97, 1.1, 0.8):
        beads[1] = replace(beads[1], positions=factor * beads[1].positions)
        fresh = LocalEngine(model, "cpu", torch.float64, 0.0, SumRule.PROJECT, False)
        for expected, found in zip(fresh(beads, wanted), engine(beads, wanted), strict=True):
            np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-11)
    assert [verlet.builds for verlet in engine._lists] == [1, 4, 1]


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
    monkeypatch.setattr("les_ipi.local_engine.MESH_FROM_PHASES", np.inf)
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
