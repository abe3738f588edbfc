"""Slabs in the whole model: vacuum, forces, stress, folding, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from physics_cases import evaluator_of, make_model, water_cluster

from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.template import Template
from les_ipi.errors import UserError
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import BOHR_A

CELL = np.array([[6.4, 0.2, 0.0], [0.7, 6.3, 0.0], [0.5, -0.3, 22.0]])
BASIC = ["energy", "forces", "virial"]
MODELS = {"latent": ("latent", {}), "uQiqiu": ("multipole", {"level": "uQiqiu"})}


def slab() -> AtomicSystem:
    """Eight molecules over 5 Å of the 22 Å, all with their dipoles about along the normal."""
    rng = np.random.default_rng(6)
    sites = 3.2 * np.array(list(np.ndindex(2, 2, 2)), float)
    molecule = np.array([[0, 0, 0], [0.76, 0, 0.59], [-0.76, 0, 0.59]])
    positions = (sites[:, None] + molecule).reshape(-1, 3) + rng.normal(scale=0.1, size=(24, 3))
    return AtomicSystem(np.tile([8, 1, 1], 8), positions, CELL, True, 0.0, True)


def evaluator(kind: str):
    head, options = MODELS[kind]
    return evaluator_of(make_model(head, **options), skin=0.0)


@pytest.mark.parametrize("total", [0.0, 1.0])
@pytest.mark.parametrize("kind", MODELS)
def test_energy_does_not_depend_on_the_vacuum_but_the_periodic_one_does(kind, total):
    """Known defect: slabs taken for crystals. 22 and 33 Å give the same slab to 1e-6 eV, and different crystals.

    With k_c = 6/Å; the ripple of the window, ~exp(−σ²k_c²/2), leaves 1e-6 eV at 5/Å and 2e-4 eV at the default of π/Å.
    """
    head, options = MODELS[kind]
    evaluate, thin = evaluator_of(make_model(head, k_cutoff=6.0, **options), skin=0.0), replace(slab(), total_charge=total)
    thick = replace(thin, cell=CELL * np.array([[1.0], [1.0], [1.5]]))
    one, two = (evaluate([s], BASIC)[0] for s in (thin, thick))
    assert one.energy == pytest.approx(two.energy, abs=1e-6)
    np.testing.assert_allclose(one.forces, two.forces, atol=1e-6)
    crystals = [evaluate([replace(s, slab=False)], ["energy"])[0].energy for s in (thin, thick)]
    assert abs(crystals[0] - crystals[1]) > 3e-3


@pytest.mark.parametrize("kind", MODELS)
def test_forces_and_stress_of_a_slab(kind):
    """Known defect: stress wrong for partial periodicity. All nine strain derivatives and two forces by differences."""
    evaluate, system = evaluator(kind), slab()
    result = evaluate([system], BASIC)[0]
    for atom, axis in ((0, 2), (5, 0)):
        ends = []
        for step in (1e-4, -1e-4):
            positions = system.positions.copy()
            positions[atom, axis] += step
            ends.append(evaluate([replace(system, positions=positions)], ["energy"])[0].energy)
        tolerance = 2e-6 * max(1.0, np.abs(result.forces).max())
        assert result.forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / 2e-4, abs=tolerance)
    for a in range(3):
        for b in range(3):
            ends = []
            for step in (2e-5, -2e-5):
                strain = np.eye(3)
                strain[a, b] += step
                there = replace(system, positions=system.positions @ strain, cell=system.cell @ strain)
                ends.append(evaluate([there], ["energy"])[0].energy)
            tolerance = 5e-6 * max(1.0, np.abs(result.virial).max())
            assert result.virial[a, b] == pytest.approx(-(ends[0] - ends[1]) / 4e-5, abs=tolerance)


@pytest.mark.parametrize("kind", MODELS)
def test_a_slab_may_sit_anywhere_and_fold_in_its_plane(kind):
    evaluate, system = evaluator(kind), slab()
    reference = evaluate([system], BASIC)[0]
    shift = np.zeros((len(system.numbers), 3))
    shift[:9] = CELL[0] - 2 * CELL[1]
    for moved in (system.positions - np.array([0.0, 0.0, 3.0]), system.positions + shift):
        found = evaluate([replace(system, positions=moved)], BASIC)[0]
        assert found.energy == pytest.approx(reference.energy, abs=1e-8)
        np.testing.assert_allclose(found.forces, reference.forces, atol=1e-8)


@pytest.mark.parametrize("kind", MODELS)
def test_bulk_slab_and_molecule_in_one_batch(kind):
    """Every structure by its own periodicity."""
    systems = [slab(), water_cluster(8, 1, 6.4 * np.eye(3)), water_cluster(2, 3, None)]
    evaluate = evaluator(kind)
    for system, found in zip(systems, evaluate(systems, BASIC), strict=True):
        alone = evaluate([system], BASIC)[0]
        assert found.energy == pytest.approx(alone.energy, abs=1e-9)
        np.testing.assert_allclose(found.forces, alone.forces, atol=1e-9)
        np.testing.assert_allclose(found.virial, alone.virial, atol=1e-8)


def test_what_a_slab_cannot_give_is_refused():
    system = slab()
    folded = system.positions.copy()
    folded[0] += CELL[2]
    with pytest.raises(UserError, match="make the third lattice vector longer"):
        evaluator("latent")([replace(system, positions=folded)], ["energy"])
    with pytest.raises(UserError, match="of a slab are not defined"):
        evaluator("uQiqiu")([system], ["dipole"])
    # i-PI gets energy, forces and virial of such a slab, and no dipole.
    evaluate, template = evaluator("uQiqiu"), Template(system.numbers, True, 0.0, "start.xyz", slab=True)
    evaluate.card |= {"charge_head": "multipole", "multipole_level": "uQiqiu"}
    reply = ForceServer(evaluate, template)([system.cell.T / BOHR_A], [system.positions.ravel() / BOHR_A])[0]
    assert np.isfinite(reply.virial).all() and reply.extras == "{}"
    with pytest.raises(UserError, match="of a slab are not defined"):
        ForceServer(evaluate, template, "BEC")
    assert evaluator("latent")([system], ["born_effective_charges"])[0].born_effective_charges.shape == (24, 3, 3)
