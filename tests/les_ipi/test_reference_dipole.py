"""The dipole integrated from a reference: closed forms, single-valued heads, paths that do not close."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from physics_cases import TRICLINIC, evaluator_of, make_model, rock_salt, water_cluster

from les_ipi.errors import UserError
from les_ipi.evaluation.integrated_dipole import dipole_from_reference
from les_ipi.structures.system import AtomicSystem

REFERENCE = water_cluster(8, 4, TRICLINIC)


def moved(seed: int, size: float = 0.15) -> AtomicSystem:
    """The reference with displaced atoms, whose mean stays."""
    shift = np.random.default_rng(seed).normal(scale=size, size=REFERENCE.positions.shape)
    return replace(REFERENCE, positions=REFERENCE.positions + shift - shift.mean(0))


def test_difference_of_dipoles_of_a_single_valued_head():
    """Every path gives the same there, so the straight one gives the dipole that the model states."""
    evaluator = evaluator_of(make_model("transfer"))
    systems = [moved(1), moved(2)]
    stated = [evaluator([system], ["dipole"])[0].dipole - evaluator([REFERENCE], ["dipole"])[0].dipole for system in systems]
    np.testing.assert_allclose(dipole_from_reference(evaluator, REFERENCE, systems, points=64), stated, atol=1e-7)
    coarse = dipole_from_reference(evaluator, REFERENCE, systems)
    np.testing.assert_allclose(coarse, stated, atol=5e-3 * np.abs(stated).max())


def test_constant_charges_times_displacements():
    """Rock salt in which every ion of one kind has one charge: M = Σ q u, in a strained cell as well; strain gives nothing."""
    positions, signs, cell = rock_salt(1, 5.6)
    model = make_model("latent")
    reference = AtomicSystem(np.where(signs > 0, 1, 8), positions, cell)
    with torch.no_grad():
        for parameter in model.head.networks.parameters():
            parameter.zero_()  # leaves the formal charges
    evaluator = evaluator_of(model)
    charges = evaluator([reference], ["charges"])[0].charges
    assert np.abs(charges).min() > 0.01
    strain = np.eye(3) + np.array([[0.02, 0.01, 0], [0, -0.03, 0], [0, 0, 0.05]])
    strained = AtomicSystem(reference.numbers, positions @ strain, cell @ strain)
    shift = np.random.default_rng(1).normal(scale=0.2, size=positions.shape)
    polar = replace(strained, positions=strained.positions + shift + [0.3, 0.1, -0.2])
    found = dipole_from_reference(evaluator, reference, [strained, polar])
    np.testing.assert_allclose(found[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(found[1], charges @ shift, atol=1e-10)


def test_strained_crystal_of_a_single_valued_head():
    """The dipole that the model states, less that of the strained non-polar crystal."""
    positions, signs, cell = rock_salt(1, 5.6)
    reference = AtomicSystem(np.where(signs > 0, 1, 8), positions, cell)
    strain = np.eye(3) + np.array([[0.02, 0.01, 0], [0, -0.03, 0], [0, 0, 0.05]])
    still = AtomicSystem(reference.numbers, positions @ strain, cell @ strain)
    shift = np.random.default_rng(1).normal(scale=0.15, size=positions.shape)
    polar = replace(still, positions=still.positions + shift - shift.mean(0))
    evaluator = evaluator_of(make_model("transfer"))
    stated = evaluator([polar], ["dipole"])[0].dipole - evaluator([still], ["dipole"])[0].dipole
    assert np.abs(stated).max() > 0.05
    np.testing.assert_allclose(dipole_from_reference(evaluator, reference, [polar], points=64)[0], stated, atol=1e-6)


def test_born_charges_of_a_latent_head_drift_along_a_closed_path_and_this_dipole_does_not():
    """∮Z·dr over a triangle of structures is not zero, which an integrated current would add in every round."""
    evaluator = evaluator_of(make_model("latent"))
    corners = [REFERENCE, moved(1), moved(2)]
    round_trip = sum(
        dipole_from_reference(evaluator, a, [b], points=32)[0] for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
    )
    there = dipole_from_reference(evaluator, REFERENCE, [corners[1]], points=32)[0]
    assert np.abs(round_trip).max() > 1e-3 * np.abs(there).max()
    np.testing.assert_allclose(dipole_from_reference(evaluator, REFERENCE, [corners[0]])[0], 0.0, atol=1e-12)
    single = evaluator_of(make_model("transfer"))
    round_trip = sum(
        dipole_from_reference(single, a, [b], points=32)[0] for a, b in zip(corners, corners[1:] + corners[:1], strict=True)
    )
    np.testing.assert_allclose(round_trip, 0.0, atol=2e-6)


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        (replace(REFERENCE, numbers=REFERENCE.numbers[::-1]), "same atoms in the same order"),
        (replace(REFERENCE, positions=REFERENCE.positions + 4.0 * (np.arange(24) == 3)[:, None]), "away from its site"),
        (water_cluster(8, 4, None), "in crystals only"),
    ],
)
def test_refusals(system, sentence):
    with pytest.raises(UserError, match=sentence):
        dipole_from_reference(evaluator_of(make_model("latent")), REFERENCE, [system])
