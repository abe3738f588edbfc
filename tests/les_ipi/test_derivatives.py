"""Forces, virial and Born charges of the whole model against finite differences and exact symmetries."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from physics_cases import TRICLINIC, batch_of, evaluation, evaluator_of, make_model, water_cluster
from scipy.spatial.transform import Rotation

from les_ipi.conventions import Boundary
from les_ipi.electrostatics import smallest_k_born_charges
from les_ipi.errors import UserError
from les_ipi.models.derivatives import Leaves, atom_gradient, gradient
from les_ipi.structures.system import AtomicSystem

HEADS = ["latent", "transfer"]
SYSTEMS = {
    "cubic": water_cluster(8, 1, 6.4 * np.eye(3)),
    "triclinic": water_cluster(8, 2, TRICLINIC),
    "left-handed": water_cluster(8, 3, TRICLINIC[[1, 0, 2]]),
    "isolated": water_cluster(4, 4, None),
}
EVERYTHING = ["energy", "forces", "virial", "dipole", "charges", "born_effective_charges"]


def displaced(system: AtomicSystem, atom: int, axis: int, step: float) -> AtomicSystem:
    positions = system.positions.copy()
    positions[atom, axis] += step
    return replace(system, positions=positions)


def strained(system: AtomicSystem, a: int, b: int, step: float) -> AtomicSystem:
    strain = np.eye(3)
    strain[a, b] += step
    return replace(system, positions=system.positions @ strain, cell=system.cell @ strain)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_are_minus_the_gradient(head, name):
    """Central differences of second order: error ~ step² E'''/6, below 1e-6 eV/Å at 1e-4 Å."""
    evaluate, system = evaluator_of(make_model(head), skin=0.0), SYSTEMS[name]
    forces = evaluate([system], EVERYTHING)[0].forces
    scale = np.abs(forces).max()
    for atom, axis in ((0, 0), (4, 1), (11, 2)):
        up, down = (evaluate([displaced(system, atom, axis, s)])[0].energy for s in (1e-4, -1e-4))
        assert forces[atom, axis] == pytest.approx(-(up - down) / 2e-4, abs=2e-6 * max(1.0, scale))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_virial_is_minus_the_strain_derivative(head, name):
    """All nine components, also for left-handed cells; an isolated system has a virial too."""
    evaluate, system = evaluator_of(make_model(head), skin=0.0), SYSTEMS[name]
    virial = evaluate([system], EVERYTHING)[0].virial
    for a in range(3):
        for b in range(3):
            up, down = (evaluate([strained(system, a, b, s)])[0].energy for s in (2e-5, -2e-5))
            assert virial[a, b] == pytest.approx(-(up - down) / 4e-5, abs=5e-6 * max(1.0, np.abs(virial).max()))


def test_born_charges_of_a_transfer_model_are_the_dipole_derivative():
    """Z = ∂P/∂r of the printed dipole, periodic triclinic, all nine components of three atoms."""
    evaluate, system = evaluator_of(make_model("transfer"), skin=0.0), SYSTEMS["triclinic"]
    born = evaluate([system], EVERYTHING)[0].born_effective_charges
    for atom in (0, 5, 13):
        for axis in range(3):
            up, down = (evaluate([displaced(system, atom, axis, s)], ["dipole"])[0].dipole for s in (1e-4, -1e-4))
            np.testing.assert_allclose(born[atom, :, axis], (up - down) / 2e-4, atol=1e-7)


def test_born_charges_of_an_isolated_latent_model_are_the_dipole_derivative():
    """For a molecule Σ q_i r_i is well defined: Z with the sum rule projected equals its derivative up to a uniform term.

    The projected charges differ from the raw ones by a uniform shift δq̄ whose own derivative moves Z by δq̄-terms that
    depend on the position of the atom in the molecule; differences are therefore taken on the raw dipole of the model.
    """
    model = make_model("latent")
    system = SYSTEMS["isolated"]
    batch, leaves, found = evaluation(model, system)
    grad = gradient(found.local_charges.sum(), leaves)
    total_gradient = atom_gradient(batch, grad)[0].numpy()
    evaluate = evaluator_of(model, skin=0.0, sum_rule="report")
    born = evaluate([system], EVERYTHING)[0].born_effective_charges

    def raw_dipole(s: AtomicSystem) -> np.ndarray:
        _, _, e = evaluation(model, s)
        return (e.local_charges.detach().numpy()[:, None] * s.positions).sum(0)

    for atom, axis in ((0, 0), (4, 1), (11, 2)):
        up, down = (raw_dipole(displaced(system, atom, axis, s)) for s in (1e-4, -1e-4))
        # d(Σ q r)/dr_i = q_i 1 + Σ_j r_j ∂q_j/∂r_i; Z counts charge flow from atom i: r_j − r_i.
        expected = (up - down) / 2e-4 - system.positions[atom] * total_gradient[atom, axis]
        np.testing.assert_allclose(born[atom, :, axis], expected, atol=1e-7)


@pytest.mark.parametrize("head", HEADS)
def test_fixed_charges_give_the_identity(head):
    """Charges that do not depend on geometry: Z = q·1 in a triclinic cell, local and smallest-k form."""
    model = make_model(head)
    for parameter in model.head.networks.parameters():
        parameter.zero_()
    system = SYSTEMS["triclinic"]
    result = evaluator_of(model)([system], EVERYTHING)[0]
    expected = result.charges[:, None, None] * np.eye(3)
    assert np.abs(result.charges).min() > 0.1
    np.testing.assert_allclose(result.born_effective_charges, expected, atol=1e-12)
    positions = torch.from_numpy(system.positions).requires_grad_()
    charges = torch.from_numpy(result.charges) + 0.0 * positions.sum()
    published = smallest_k_born_charges(charges, positions, torch.from_numpy(system.cell))
    np.testing.assert_allclose(published.numpy(), expected, atol=1e-9)


def test_smallest_k_form_is_damped_and_the_local_form_is_not():
    """Known defect of the published estimate: fluxes shrink by sinc(2πΔ/L), so doubling the cell changes it.

    The local form of the doubled cell is that of the single cell; the smallest-k form moves towards it.
    """
    model = make_model("latent")
    for parameter in model.head.networks.parameters():
        parameter.mul_(3.0)
    small = SYSTEMS["cubic"]
    double = AtomicSystem(
        np.tile(small.numbers, 8),
        np.concatenate([small.positions + np.array(n) @ small.cell for n in np.ndindex(2, 2, 2)]),
        2 * small.cell,
    )
    evaluate = evaluator_of(model)
    local = [evaluate([s], EVERYTHING)[0].born_effective_charges[: len(small.numbers)] for s in (small, double)]
    np.testing.assert_allclose(local[1], local[0], atol=1e-9)
    errors = []
    for system, reference in zip((small, double), local, strict=True):
        batch, leaves, _ = evaluation(model, system)
        positions = torch.from_numpy(system.positions).requires_grad_()
        edges = positions[batch.neighbors] - positions[:, None] + batch.shift
        found = model(batch, edges, positions[None], leaves.cell)
        charges = found.charges[0, :, 0] * 1.78**0.5
        published = smallest_k_born_charges(charges, positions, torch.from_numpy(system.cell)).numpy()
        published -= published.mean(0)
        errors.append(np.sqrt(np.mean((published[: len(reference)] - reference) ** 2)))
    assert errors[1] < 0.5 * errors[0]


def test_transfer_obeys_the_sum_rule_exactly():
    """Σ Z = 0 to 1e-10 e without any projection, and the net charge is zero to rounding."""
    evaluate = evaluator_of(make_model("transfer"), sum_rule="report")
    for system in SYSTEMS.values():
        result = evaluate([system], EVERYTHING)[0]
        assert np.abs(result.born_effective_charges.sum(0)).max() < 1e-10
        assert abs(result.charges.sum()) < 1e-10
        assert np.abs(result.born_effective_charges).max() > 0.3


def test_sum_rule_modes_of_the_latent_head():
    """`report` leaves the violation, `project` removes it equally from all atoms, `raise` refuses it with a sentence."""
    system = SYSTEMS["triclinic"]
    raw = evaluator_of(make_model(), sum_rule="report")([system], EVERYTHING)[0].born_effective_charges
    projected = evaluator_of(make_model(), sum_rule="project")([system], EVERYTHING)[0].born_effective_charges
    assert np.abs(raw.sum(0)).max() > 1e-3
    assert np.abs(projected.sum(0)).max() < 1e-12
    np.testing.assert_allclose(projected, raw - raw.mean(0), atol=1e-12)
    with pytest.raises(UserError, match="acoustic sum rule"):
        evaluator_of(make_model(), sum_rule="raise")([system], EVERYTHING)


def test_net_charge_is_explicit():
    """A charged molecule: charges sum to the given total, and Σ Z = Q·1."""
    system = replace(SYSTEMS["isolated"], total_charge=1.0)
    result = evaluator_of(make_model())([system], EVERYTHING)[0]
    assert result.charges.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(result.born_effective_charges.sum(0), np.eye(3), atol=1e-12)


def test_polarization_of_transfer_is_single_valued():
    """One hydrogen travels through the cell and across its boundary, by a whole lattice vector, in 160 steps.

    From step to step P changes by ∫ Z·dr (Simpson's rule with the Born charges in between), also where the atom crosses the
    boundary and meets others. Folded into the cell, the atom has the same P minus √ε_∞ q⁰ times the lattice vector that it was
    folded by. At the end the structure is that of the beginning, and P has changed by exactly √ε_∞ q⁰ times the lattice vector.
    """
    model, system, atom = make_model("transfer"), SYSTEMS["triclinic"], 4
    evaluate = evaluator_of(model)
    way, inverse = system.cell[0], np.linalg.inv(system.cell)
    reference_charge = float(model.head.formal_scale) * 1.78**0.5

    def at(fraction: float, fold: bool = False) -> AtomicSystem:
        positions = system.positions.copy()
        positions[atom] += fraction * way
        if fold:
            positions[atom] -= np.floor(positions[atom] @ inverse) @ system.cell
        return replace(system, positions=positions)

    def seen(fraction: float) -> tuple[np.ndarray, np.ndarray]:
        found = evaluate([at(fraction)], ["dipole", "born_effective_charges"])[0]
        return found.dipole, found.born_effective_charges[atom] @ way

    steps = np.linspace(0.0, 1.0, 161)
    dipoles, slopes = zip(*(seen(fraction) for fraction in steps), strict=True)
    middle = [seen(fraction)[1] for fraction in 0.5 * (steps[1:] + steps[:-1])]
    change = np.diff(dipoles, axis=0)
    simpson = (np.array(slopes[:-1]) + 4 * np.array(middle) + np.array(slopes[1:])) / 6 / 160
    np.testing.assert_allclose(change, simpson, atol=1e-4 * np.abs(change).max())
    floors = [int(np.floor(at(fraction).positions[atom] @ inverse)[0]) for fraction in steps]
    assert sorted(set(floors)) == [-1, 0]
    for fraction, dipole in list(zip(steps, dipoles, strict=True))[::20]:
        moved = at(fraction).positions[atom] - at(fraction, fold=True).positions[atom]
        assert (fraction > 0) or np.abs(moved).max() > 5.0
        folded = evaluate([at(fraction, fold=True)], ["dipole"])[0].dipole
        np.testing.assert_allclose(dipole - folded, reference_charge * moved, atol=1e-9)
    np.testing.assert_allclose(dipoles[-1] - dipoles[0], reference_charge * way, atol=1e-9)
    # A rigid translation of a neutral system leaves P unchanged.
    shifted = evaluate([replace(system, positions=system.positions + 0.4 * way)], ["dipole"])[0].dipole
    np.testing.assert_allclose(shifted, dipoles[0], atol=1e-9)


def test_polarization_difference_is_the_integral_of_born_charges():
    """P(b) − P(a) = ∫ Σ Z·dr along a path across the boundary (Gauss-Legendre in 24 panels of 8 nodes)."""
    evaluate, system = evaluator_of(make_model("transfer"), skin=0.0), SYSTEMS["cubic"]
    rng = np.random.default_rng(0)
    direction = np.zeros_like(system.positions)
    direction[:3] = [2.0, -0.7, 0.4]
    direction += rng.normal(scale=0.1, size=direction.shape)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    integral, panels = np.zeros(3), np.linspace(0, 1, 25)
    for low, high in pairwise(panels):
        for x, w in zip(nodes, weights, strict=True):
            at = replace(system, positions=system.positions + (0.5 * (high - low) * x + 0.5 * (low + high)) * direction)
            born = evaluate([at], ["born_effective_charges"])[0].born_effective_charges
            integral += 0.5 * (high - low) * w * np.einsum("iab,ib->a", born, direction)
    ends = [
        evaluate([replace(system, positions=system.positions + t * direction)], ["dipole"])[0].dipole for t in (0, 1)
    ]
    np.testing.assert_allclose(integral, ends[1] - ends[0], atol=2e-5 * np.abs(ends[1] - ends[0]).max())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ["triclinic", "isolated"])
def test_rotation_translation_permutation(head, name):
    """Energies are invariant; forces, dipoles and Born charges turn with the system; permuted atoms permute results."""
    evaluate, system = evaluator_of(make_model(head), skin=0.0), SYSTEMS[name]
    reference = evaluate([system], EVERYTHING)[0]
    R = Rotation.random(random_state=3).as_matrix()
    turned = evaluate([replace(system, positions=system.positions @ R.T, cell=system.cell @ R.T)], EVERYTHING)[0]
    assert turned.energy == pytest.approx(reference.energy, abs=1e-9)
    np.testing.assert_allclose(turned.forces, reference.forces @ R.T, atol=1e-9)
    np.testing.assert_allclose(turned.virial, R @ reference.virial @ R.T, atol=1e-8)
    np.testing.assert_allclose(turned.born_effective_charges, R @ reference.born_effective_charges @ R.T, atol=1e-9)
    shifted = evaluate([replace(system, positions=system.positions + np.array([0.3, -5.0, 2.2]))], EVERYTHING)[0]
    assert shifted.energy == pytest.approx(reference.energy, abs=1e-9)
    np.testing.assert_allclose(shifted.forces, reference.forces, atol=1e-9)
    order = np.random.default_rng(1).permutation(len(system.numbers))
    mixed = evaluate([replace(system, numbers=system.numbers[order], positions=system.positions[order])], EVERYTHING)[0]
    assert mixed.energy == pytest.approx(reference.energy, abs=1e-9)
    np.testing.assert_allclose(mixed.forces, reference.forces[order], atol=1e-9)
    np.testing.assert_allclose(mixed.charges, reference.charges[order], atol=1e-10)


@pytest.mark.parametrize("head", HEADS)
def test_replication(head):
    """Twice the cell, twice the energy, the same forces: commensurate modes and periodic neighbours."""
    evaluate, system = evaluator_of(make_model(head), skin=0.0), SYSTEMS["triclinic"]
    n = len(system.numbers)
    double = AtomicSystem(
        np.tile(system.numbers, 2),
        np.concatenate([system.positions, system.positions + system.cell[2]]),
        system.cell * np.array([[1.0], [1.0], [2.0]]),
    )
    one, two = evaluate([system], EVERYTHING)[0], evaluate([double], EVERYTHING)[0]
    assert two.energy == pytest.approx(2 * one.energy, abs=1e-8)
    np.testing.assert_allclose(two.forces[:n], one.forces, atol=1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_a_mixed_batch_is_the_sum_of_its_parts(head):
    """Different sizes, cells and periodicities in one batch: per-structure neutrality and padding leave no trace."""
    systems = [*SYSTEMS.values(), water_cluster(3, 9, None), water_cluster(5, 8, 7.0 * np.eye(3))]
    model = make_model(head)
    together = evaluator_of(model)(systems, EVERYTHING)
    for system, found in zip(systems, together, strict=True):
        alone = evaluator_of(model)([system], EVERYTHING)[0]
        for name in EVERYTHING:
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=1e-10, atol=1e-10, err_msg=name)


def test_single_precision_and_far_positions():
    """float32 forces agree with float64 to 1e-4 of their size, also when atoms have diffused 10⁴ Å away."""
    system = SYSTEMS["triclinic"]
    exact = evaluator_of(make_model())([system], EVERYTHING)[0]
    far = replace(system, positions=system.positions + np.array([1400, -900, 700]) @ system.cell)
    for other in (system, far):
        rough = evaluator_of(make_model(), torch.float32)([other], EVERYTHING)[0]
        assert np.abs(rough.forces - exact.forces).max() < 1e-4 * np.abs(exact.forces).max()
        assert rough.energy == pytest.approx(exact.energy, abs=1e-4 * np.abs(exact.forces).max())


def test_only_what_is_asked_is_returned():
    result = evaluator_of(make_model())([SYSTEMS["cubic"]], ["energy"])[0]
    assert result.energy is not None
    assert all(getattr(result, name) is None for name in EVERYTHING if name != "energy")
    with pytest.raises(UserError, match="Unknown property 'dipoles'"):
        evaluator_of(make_model())([SYSTEMS["cubic"]], ["dipoles"])


def test_verlet_lists_follow_the_dynamics():
    """Small moves and strains reuse the list and give exact results; larger ones rebuild it."""
    evaluate, fresh = evaluator_of(make_model(), skin=0.6), lambda s: evaluator_of(make_model(), skin=0.0)([s])[0]
    system = SYSTEMS["cubic"]
    evaluate([system])
    for step, builds in ((0.1, 1), (0.17, 1), (0.4, 2)):
        moved = replace(
            system, positions=system.positions + step / np.sqrt(3) * np.sign(np.sin(np.arange(72).reshape(24, 3)))
        )
        np.testing.assert_allclose(evaluate([moved])[0].forces, fresh(moved).forces, atol=1e-10)
        assert evaluate._engine.edges[Boundary.PERIODIC].lists[0].builds == builds
    shear = np.array([[0.0, 1.0, 0.5], [0.0, -0.5, 1.0], [0.0, 0.0, -1.0]])
    for strain, builds in ((0.02, 2), (-0.02, 2), (0.2, 3)):
        stretch = np.eye(3) + strain * shear
        strained = replace(moved, positions=moved.positions @ stretch, cell=moved.cell @ stretch)
        np.testing.assert_allclose(evaluate([strained])[0].forces, fresh(strained).forces, atol=1e-10)
        assert evaluate._engine.edges[Boundary.PERIODIC].lists[0].builds == builds
    # Atoms that do not follow the cell count as moved against it.
    behind = replace(strained, cell=strained.cell * 0.94)
    np.testing.assert_allclose(evaluate([behind])[0].forces, fresh(behind).forces, atol=1e-10)
    assert evaluate._engine.edges[Boundary.PERIODIC].lists[0].builds == 4


def test_a_diverged_structure_is_refused():
    positions = SYSTEMS["cubic"].positions.copy()
    positions[3, 1] = np.nan
    with pytest.raises(UserError, match="not finite"):
        evaluator_of(make_model())([replace(SYSTEMS["cubic"], positions=positions)])


@pytest.mark.parametrize("cell", [None, TRICLINIC], ids=["isolated", "periodic"])
def test_padding_does_not_touch_gradients(cell):
    """Edges beyond the list have no gradient at all (they sit outside the cutoff)."""
    model = make_model()
    batch = batch_of(model, [water_cluster(3, 5, cell), water_cluster(8, 6, cell)])
    leaves = Leaves.of(batch, torch.float64)
    found = model(batch, leaves.edges, leaves.positions, leaves.cell)
    grad = gradient(found.energy.sum(), leaves)
    far = leaves.edges.norm(dim=-1) >= model.cutoff
    assert far.any() and float(grad.edges[far].abs().max()) == 0.0
