"""The evaluator between calls, models with several latent channels, and what happens at the cutoff."""

from dataclasses import replace

import numpy as np
import pytest
from physics_cases import TRICLINIC, evaluation, evaluator_of, make_model, water_cluster

from les_ipi.errors import UserError
from les_ipi.structures.system import AtomicSystem

BORN = ["charges", "born_effective_charges"]


def test_a_new_total_charge_is_not_lost_between_calls() -> None:
    """Known defect: the batch of the last call was kept when only the net charge changed, and the old charge with it."""
    evaluate, system = evaluator_of(make_model()), water_cluster(2, 1, None)
    for total in (0.0, 1.0, -1.0, 0.0):
        result = evaluate([replace(system, total_charge=total)], BORN)[0]
        assert result.charges.sum() == pytest.approx(total, abs=1e-12)
        np.testing.assert_allclose(result.born_effective_charges.sum(0), total * np.eye(3), atol=1e-12)


def test_structures_may_change_between_calls() -> None:
    """Size, elements, periodicity and number of structures change; every answer is that of a fresh evaluator."""
    box, cluster = water_cluster(8, 2, TRICLINIC), water_cluster(4, 4, None)
    swapped = replace(box, numbers=box.numbers[[1, 0, *range(2, 24)]])
    model = make_model()
    evaluate = evaluator_of(model)
    for systems in ([box], [swapped], [box, cluster], [cluster, box], [cluster], [replace(cluster, cell=box.cell)]):
        fresh = evaluator_of(model)(systems)
        for found, expected in zip(evaluate(systems), fresh, strict=True):
            assert found.energy == pytest.approx(expected.energy, abs=1e-10)
            np.testing.assert_allclose(found.forces, expected.forces, atol=1e-10)


@pytest.mark.parametrize("total", [0.0, 1.0])
@pytest.mark.parametrize("name", ["periodic", "isolated"])
def test_several_latent_channels(name: str, total: float) -> None:
    """Three channels: charges and Σ Z are those of the sum over channels; forces are minus the gradient of the energy."""
    system = water_cluster(8, 2, TRICLINIC) if name == "periodic" else water_cluster(4, 4, None)
    system = replace(system, total_charge=total)
    evaluate = evaluator_of(make_model(channels=3), skin=0.0)
    result = evaluate([system], ["energy", "forces", *BORN])[0]
    assert result.charges.shape == (len(system.numbers),)
    assert result.charges.sum() == pytest.approx(total, abs=1e-11)
    np.testing.assert_allclose(result.born_effective_charges.sum(0), total * np.eye(3), atol=1e-11)
    for atom, axis in ((0, 0), (7, 2)):
        step = np.zeros_like(system.positions)
        step[atom, axis] = 1e-4
        up, down = (evaluate([replace(system, positions=system.positions + s * step)])[0].energy for s in (1, -1))
        scale = max(1.0, np.abs(result.forces).max())
        assert result.forces[atom, axis] == pytest.approx(-(up - down) / 2e-4, abs=2e-6 * scale)


def test_a_pair_fades_with_the_cube_of_its_distance_from_the_cutoff() -> None:
    """Short range alone: nothing beyond the cutoff, and E ∝ (r_c − r)³ just inside, so forces stay differentiable.

    Halving r_c − r divides the energy by 8, up to about 6 · 0.02/3.6 = 3 % from the next power of the cutoff polynomial and
    as much from the slope of the radial functions.
    """
    evaluate = evaluator_of(make_model("none"), skin=0.0)

    def energy(r: float) -> float:
        pair = AtomicSystem(np.array([8, 8]), np.array([[0, 0, 0], [0, 0, r]]), np.zeros((3, 3)), False)
        return evaluate([pair])[0].energy

    alone = energy(50.0)
    assert energy(evaluate.cutoff) == alone == energy(evaluate.cutoff + 1e-6)
    inside = [abs(energy(evaluate.cutoff - d) - alone) for d in (0.02, 0.01)]
    assert inside[1] > 1e-11
    assert inside[0] / inside[1] == pytest.approx(8.0, rel=0.1)


@pytest.mark.parametrize("head", ["latent", "transfer"])
def test_the_sign_of_the_charges_changes_responses_only(head: str) -> None:
    """The energy is even in the latent charges: the stored sign turns charges, P and Z and nothing else."""
    properties = ["energy", "forces", "virial", "dipole", *BORN]
    model, system = make_model(head), water_cluster(8, 2, TRICLINIC)
    before = evaluator_of(model)([system], properties)[0]
    model.head.sign.neg_()
    after = evaluator_of(model)([system], properties)[0]
    assert np.abs(before.charges).min() > 0.01
    for name in properties:
        parity = 1.0 if name in ("energy", "forces", "virial") else -1.0
        np.testing.assert_allclose(getattr(after, name), parity * getattr(before, name), atol=1e-10, err_msg=name)


@pytest.mark.parametrize("name", ["periodic", "isolated"])
def test_piezoelectric_tensor_of_a_transfer_model_is_the_strain_derivative_of_the_dipole(name: str) -> None:
    """Π_cab = ∂M_c/∂ε_ab − M_a δ_bc by finite differences; the proper tensor does not depend on the branch of M."""
    system = water_cluster(8, 2, TRICLINIC) if name == "periodic" else water_cluster(4, 4, None)
    evaluate = evaluator_of(make_model("transfer"), skin=0.0)
    found = evaluate([system], ["dipole", "piezoelectric"])[0]
    for a, b in ((0, 0), (0, 2), (2, 1)):
        dipoles = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * 1e-4
            moved = replace(system, positions=system.positions @ strain, cell=system.cell @ strain)
            dipoles.append(evaluate([moved], ["dipole"])[0].dipole)
        expected = (dipoles[0] - dipoles[1]) / 2e-4 - found.dipole[a] * np.eye(3)[b]
        np.testing.assert_allclose(found.piezoelectric[:, a, b], expected, atol=1e-6 * np.abs(found.piezoelectric).max())
    if name == "periodic":
        shift = np.zeros_like(system.positions)
        shift[4] = system.cell[1]
        other = evaluate([replace(system, positions=system.positions + shift)], ["dipole", "piezoelectric"])[0]
        assert np.abs(other.dipole - found.dipole).max() > 0.1
        np.testing.assert_allclose(other.piezoelectric, found.piezoelectric, atol=1e-10)


def test_piezoelectric_tensor_of_a_latent_model_is_its_flux_under_strain() -> None:
    """Π_cab = Σ_ij (r_j − r_i)_c (r_i − r_j)_a ∂q_j/∂r_ib, with the derivatives of all charges by finite differences."""
    system = water_cluster(3, 4, None)
    model = make_model()
    evaluate = evaluator_of(model, skin=0.0)
    found = evaluate([system], ["piezoelectric"])[0].piezoelectric
    N = len(system.numbers)
    slope = np.zeros((N, N, 3))  # of charge j with atom i along b, before the common shift to neutrality
    for i in range(N):
        for b in range(3):
            for sign in (1, -1):
                moved = system.positions.copy()
                moved[i, b] += sign * 1e-4
                local = evaluation(model, replace(system, positions=moved))[2].local_charges
                slope[:, i, b] += sign * local.detach().numpy()[:N] / 2e-4
    away = system.positions[None, :] - system.positions[:, None]  # [j, i] = r_i − r_j
    expected = -np.einsum("jic,jia,jib->cab", away, away, slope)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("charges", [{"head": "transfer"}, {"head": "multipole", "level": "uQ", "formal_scale": "oxidation"}])
@pytest.mark.parametrize("name", ["periodic", "isolated"])
def test_enthalpy_of_a_single_valued_model_from_one_pass(name: str, charges: dict) -> None:
    """U − E·M, F + ZᵀE and W + E·Π + M⊗E from the responses, and from one evaluation with the field; atoms are outside."""
    system = water_cluster(8, 2, TRICLINIC) if name == "periodic" else water_cluster(4, 4, None)
    if name == "periodic":
        system = replace(system, positions=system.positions + np.arange(-1, 7)[:, None].repeat(3, 0) * system.cell[1])
    evaluate, field = evaluator_of(make_model(**charges)), np.array([0.1, -0.2, 0.3])
    names = ["energy", "forces", "virial", "dipole"]
    plain = evaluate([system], [*names, "born_effective_charges", "piezoelectric"])[0]
    driven = evaluate([system, system], names, np.stack([field, 0 * field]))
    assert driven[0].energy == pytest.approx(plain.energy - field @ plain.dipole, abs=1e-9)
    force = np.einsum("iab,a->ib", plain.born_effective_charges, field)
    assert np.abs(force).max() > 0.01
    np.testing.assert_allclose(driven[0].forces, plain.forces + force, atol=1e-10)
    virial = np.einsum("c,cab->ab", field, plain.piezoelectric) + np.outer(plain.dipole, field)
    np.testing.assert_allclose(driven[0].virial, plain.virial + virial, atol=1e-9)
    np.testing.assert_allclose(driven[1].virial, plain.virial, atol=1e-9)
    with pytest.raises(UserError, match="needs a single-valued dipole"):
        evaluator_of(make_model())([system], names, field[None])
