"""Defects known from other implementations, for the whole multipole hierarchy; each test fails if the defect is put back.

Field work counted once: test_response.py and test_multipole_model.py. Stress of slabs, slabs taken for crystals: test_slab.py.
Born charges damped at the smallest wave vector: test_derivatives.py, and the flow of induced charge in test_multipole_model.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from multipole_cases import potentials, random_moments
from physics_cases import TRICLINIC, evaluation, evaluator_of, make_model, water_cluster

from les_ipi.electrostatics import LongRangeKernel, Multipoles, apply_sum_rule, interaction_energy
from les_ipi.electrostatics.born import SumRule
from les_ipi.models.derivatives import raw_born_charges
from les_ipi.structures.neighbors import neighbor_matrix
from les_ipi.structures.system import AtomicSystem
from les_ipi.training.data import Frame, Labels
from les_ipi.training.train import canonical_sign

BORN = ["charges", "born_effective_charges"]


def steps_of_a_cell_scan(smooth: bool) -> float:
    """Largest second difference in eV while a cubic cell of 24 atoms with q, u, Q grows from 12.30 to 12.35 Å in 50 steps."""
    kernel = LongRangeKernel(smooth=smooth)
    fractional, moments = torch.from_numpy(np.random.default_rng(0).uniform(size=(24, 3))), Multipoles(*random_moments(24))
    energies = []
    for edge in np.linspace(12.30, 12.35, 51):
        cell = edge * torch.eye(3, dtype=torch.float64)
        energies.append(float(interaction_energy(*potentials(fractional * edge, moments, "periodic", kernel, cell))[0]))
    return float(np.abs(np.diff(energies, 2)).max())


def test_no_jumps_under_constant_pressure():
    """A sharp sphere makes the energy jump when wave vectors enter, more so with k u and k Q k in the structure factor."""
    assert steps_of_a_cell_scan(smooth=True) < 1e-3
    assert steps_of_a_cell_scan(smooth=False) > 2e-2


@pytest.mark.parametrize("level", ["q", "uQ", "uQiqiu"])
def test_rigid_moments_have_born_charges_q_in_a_triclinic_cell(level):
    """Charges that do not answer to geometry: Z = q·1, in any cell; with moments that turn and respond, ΣZ = 0 instead."""
    model = make_model("multipole", level=level)
    system = water_cluster(8, 2, TRICLINIC)
    if level == "q":
        for parameter in model.head.networks.parameters():
            parameter.zero_()
        result = evaluator_of(model)([system], BORN)[0]
        np.testing.assert_allclose(result.born_effective_charges, result.charges[:, None, None] * np.eye(3), atol=1e-12)
        assert np.abs(result.charges).min() > 0.1
        return
    batch, leaves, found = evaluation(model, system)
    raw = raw_born_charges(model, batch, leaves, found).detach()
    assert raw.sum(1).abs().max() > 1e-3
    projected = apply_sum_rule(raw, batch.atom_mask.view(1, -1), SumRule.PROJECT)
    assert projected.sum(1).abs().max() < 1e-12
    np.testing.assert_allclose(
        evaluator_of(model)([system], BORN)[0].born_effective_charges,
        (found.screening.sqrt().item() * projected[0]).numpy(),
        atol=1e-12,
    )


@pytest.mark.parametrize("name", ["cell", "molecule"])
def test_neutrality_is_imposed_on_every_structure_alone(name):
    """Not on the mean over a batch: two structures of different total charge keep their own, alone and together."""
    one = water_cluster(8, 2, TRICLINIC) if name == "cell" else water_cluster(3, 4, None)
    two = replace(water_cluster(2, 5, None if name == "molecule" else 6.0 * np.eye(3)), total_charge=1.0)
    model = make_model("multipole", level="uiqiu")
    together = evaluator_of(model)([one, two], BORN)
    for system, found, total in ((one, together[0], 0.0), (two, together[1], 1.0)):
        alone = evaluator_of(model)([system], BORN)[0]
        assert found.charges.sum() == pytest.approx(total, abs=1e-12)
        np.testing.assert_allclose(found.charges, alone.charges, atol=1e-11)
        np.testing.assert_allclose(found.born_effective_charges.sum(0), total * np.eye(3), atol=1e-10)


def test_the_sign_of_all_moments_is_fixed_when_a_model_is_saved():
    """Two trainings that end with opposite signs are the same model afterwards: cations positive, the same dipole."""
    system = water_cluster(3, 4, None)
    frame = Frame(system, Labels(), neighbor_matrix(system, 3.6))
    dipoles = []
    for start in (1.0, -1.0):
        model = make_model("multipole", level="uQiqiu")
        model.head.sign.fill_(start)
        canonical_sign(model, [frame])
        result = evaluator_of(model)([system], ["charges", "dipole"])[0]
        assert result.charges[system.numbers == 1].mean() > 0.05 > result.charges[system.numbers == 8].mean()
        dipoles.append(result.dipole)
    np.testing.assert_allclose(*dipoles, atol=1e-12)


def test_a_molecule_in_a_large_cell_is_no_crystal_and_a_left_handed_cell_no_molecule():
    """Periodicity is what the structure says, never the determinant of its cell."""
    molecule, model = water_cluster(1, 4, None), make_model("multipole", level="uiqiu")
    molecule = AtomicSystem(molecule.numbers, molecule.positions, 5.0 * np.eye(3), False)
    evaluate = evaluator_of(model)
    alone, crystal = (evaluate([replace(molecule, periodic=p)], ["energy"])[0].energy for p in (False, True))
    assert abs(alone - crystal) > 1e-3
    cell = water_cluster(8, 2, TRICLINIC)
    mirrored = replace(cell, cell=TRICLINIC[[1, 0, 2]])
    assert evaluate([mirrored], ["energy"])[0].energy == pytest.approx(evaluate([cell], ["energy"])[0].energy, abs=1e-9)
    assert not math.isclose(
        evaluate([replace(cell, periodic=False)], ["energy"])[0].energy, evaluate([cell], ["energy"])[0].energy, abs_tol=0.1
    )
