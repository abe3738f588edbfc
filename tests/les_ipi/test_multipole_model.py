"""The multipole head in the whole model: derivatives, responses in a field, constraints, training, cards."""

import math
from dataclasses import dataclass, replace
from types import MethodType

import numpy as np
import pytest
import torch
from physics_cases import TRICLINIC, batch_of, evaluation, evaluator_of, make_model, water_cluster
from scipy.spatial.transform import Rotation

from les_ipi import units
from les_ipi.electrostatics.boundaries import SUMS
from les_ipi.errors import UserError
from les_ipi.models import load_model, save_model
from les_ipi.models.derivatives import Leaves, atom_gradient, gradient, raw_born_charges
from les_ipi.models.les_model import LESModel
from les_ipi.models.model_config import ChargesConfig, ModelConfig, ShortRangeConfig, build_model
from les_ipi.structures.system import AtomicSystem

LEVELS = ["q", "u", "uQ", "iq", "iu", "uiqiu", "uQiqiu"]
SYSTEMS = {"triclinic": water_cluster(8, 2, TRICLINIC), "isolated": water_cluster(3, 4, None)}
BASIC = ["energy", "forces", "virial", "charges", "dipole", "born_effective_charges"]


def strong(level: str, **charges):
    """A model whose moments and responses matter: gates ten times those of a fresh one, which also vary with geometry."""
    model = make_model("multipole", level=level, **charges)
    if model.head.gates is not None:
        model.head.gates.output_scale = 1.0
    return model


def moved(system: AtomicSystem, atom: int, axis: int, step: float) -> AtomicSystem:
    positions = system.positions.copy()
    positions[atom, axis] += step
    return replace(system, positions=positions)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("level", LEVELS)
def test_forces_and_virial(level, name):
    evaluate, system = evaluator_of(strong(level)), SYSTEMS[name]
    result = evaluate([system], ["forces", "virial"])[0]
    scale = max(1.0, np.abs(result.forces).max())
    for atom, axis in ((0, 0), (7, 2)):
        up, down = (evaluate([moved(system, atom, axis, s)], ["energy"])[0].energy for s in (1e-4, -1e-4))
        assert result.forces[atom, axis] == pytest.approx(-(up - down) / 2e-4, abs=2e-6 * scale)
    scale = max(1.0, np.abs(result.virial).max())
    for a, b in ((0, 0), (1, 2), (2, 1)):
        ends = []
        for step in (2e-5, -2e-5):
            strain = np.eye(3)
            strain[a, b] += step
            there = replace(system, positions=system.positions @ strain, cell=system.cell @ strain)
            ends.append(evaluate([there], ["energy"])[0].energy)
        assert result.virial[a, b] == pytest.approx(-(ends[0] - ends[1]) / 4e-5, abs=5e-6 * scale)


@pytest.mark.parametrize("level", LEVELS)
def test_responses_of_a_molecule_are_field_derivatives(level):
    """Enthalpy of the model in ±E: dipole, Born charges (through forces) and polarizability to 1e-6 relative."""
    model, system = strong(level), replace(SYSTEMS["isolated"], total_charge=1.0)
    wanted = ["dipole", "born_effective_charges"] + ["polarizability"] * model.head.induces_dipole
    result = evaluator_of(model, sum_rule="report")([system], wanted)[0]
    batch, h = batch_of(model, [system]), 0.02

    def at(field: np.ndarray) -> tuple[float, np.ndarray]:
        leaves = Leaves.of(batch, torch.float64)
        found = model(batch, leaves.edges, leaves.positions, leaves.cell, torch.from_numpy(field)[None])
        return found.energy.item(), -atom_gradient(batch, gradient(found.energy.sum(), leaves))[0].numpy()

    evaluate, strength = evaluator_of(model), np.array([0.02, -0.03, 0.01])
    inside = evaluate([system], ["energy", "forces"], fields=strength[None])[0]
    enthalpy, forces = at(strength)
    np.testing.assert_allclose(inside.forces, forces, atol=1e-12)
    shift = evaluate([system], ["energy"])[0].energy - at(np.zeros(3))[0]
    assert inside.energy - shift == pytest.approx(enthalpy, abs=1e-9)
    middle = at(np.zeros(3))[0]
    scale = np.abs(result.born_effective_charges).max()
    for axis, step in enumerate(h * np.eye(3)):
        (up, pull), (down, push) = at(step), at(-step)
        assert -(up - down) / (2 * h) == pytest.approx(result.dipole[axis], rel=1e-6, abs=1e-6)
        slope = (pull - push) / (2 * h)
        np.testing.assert_allclose(slope, result.born_effective_charges[:, axis], atol=1e-6 * scale)
        alpha = -(up + down - 2 * middle) / h**2 * units.COULOMB
        expected = result.polarizability[axis, axis] if result.polarizability is not None else 0.0
        assert alpha == pytest.approx(expected, rel=1e-6, abs=1e-5)
    np.testing.assert_allclose(result.born_effective_charges.sum(0), np.eye(3), atol=1e-10)


@dataclass(frozen=True)
class ShortKernel:
    """A short-ranged kernel without macroscopic part, w ∝ k⁴ exp(−s²k²/2): every flux can be summed up in space."""

    s: float = 0.5
    k_cutoff: float = 14.0
    remove_self: bool = False

    def weight(self, k2: torch.Tensor) -> torch.Tensor:
        return 10.0 * k2**2 * torch.exp(-0.5 * self.s**2 * k2)


def assert_flow_is_that_of_a_large_cell(model: LESModel, small: AtomicSystem) -> None:
    """One atom of a 2×2×2 supercell is moved: Z_i = Σ_j δq_j (r_j − r_i) over nearest images, permanent and induced charge.

    With a kernel of short range nothing is cut off, and the numbers of the primitive cell must be those of the supercell.
    """
    model.kernel = ShortKernel()
    model._shift = MethodType(lambda self, charges, batch, mask, screening: 0.0 * charges[:, :1], model)
    model.screening = MethodType(lambda self, periodic: 1.0, model)
    batch, leaves, found = evaluation(model, small)
    born = raw_born_charges(model, batch, leaves, found)[0].detach().numpy()
    shifts = np.array(list(np.ndindex(2, 2, 2))) @ small.cell
    large = AtomicSystem(np.tile(small.numbers, 8), (small.positions + shifts[:, None]).reshape(-1, 3), 2 * small.cell)

    def charges_and_dipole(system: AtomicSystem) -> tuple[np.ndarray, np.ndarray]:
        batch, leaves, found = evaluation(model, system)
        atoms = found.polarizable
        potentials = SUMS[batch.boundary].potentials
        phi = potentials(leaves.positions, leaves.cell, atoms.moments, batch.modes, model.kernel, 2).potential
        total = atoms.moments.charges - (0.0 if atoms.kappa is None else atoms.kappa * phi)
        dipole = np.zeros(3) if found.atomic_dipole is None else found.atomic_dipole[0].detach().numpy()
        return total[0, :, 0].detach().numpy(), dipole

    whole = charges_and_dipole(large)[0]
    for atom, axis in ((0, 1), (4, 0)):
        (q1, u1), (q2, u2) = (charges_and_dipole(moved(large, atom, axis, s)) for s in (1e-4, -1e-4))
        vectors = large.positions - large.positions[atom]
        vectors -= np.round(vectors @ np.linalg.inv(large.cell)) @ large.cell
        expected = ((q1 - q2) @ vectors + u1 - u2) / 2e-4
        expected[axis] += whole[atom]
        # Central differences and what the kernel still has beyond half of the large cell: below 1e-6 of the largest element.
        np.testing.assert_allclose(born[atom, :, axis], expected, rtol=0, atol=1e-6 * np.abs(born[atom]).max())
        assert np.abs(expected).max() > 0.05


@pytest.mark.parametrize("level", ["iq", "uQiqiu"])
def test_born_charges_in_a_cell_are_the_flow_of_charge_in_a_large_one(level):
    assert_flow_is_that_of_a_large_cell(strong(level), water_cluster(8, 2, TRICLINIC))


@pytest.mark.parametrize("name", SYSTEMS)
def test_born_charges_obey_the_sum_rule_and_turn_with_the_structure(name):
    evaluate, system = evaluator_of(strong("uQiqiu")), SYSTEMS[name]
    wanted = [*BASIC, "polarizability"]
    one = evaluate([system], wanted)[0]
    assert np.abs(one.born_effective_charges.sum(0)).max() < 1e-10
    R = Rotation.random(random_state=3).as_matrix()
    turned = replace(system, positions=system.positions @ R.T + [0.3, -4.0, 1.0], cell=system.cell @ R.T)
    other = evaluate([turned], wanted)[0]
    assert other.energy == pytest.approx(one.energy, abs=1e-9)
    np.testing.assert_allclose(other.forces, one.forces @ R.T, atol=1e-8)
    np.testing.assert_allclose(other.born_effective_charges, R @ one.born_effective_charges @ R.T, atol=1e-8)
    np.testing.assert_allclose(other.polarizability, R @ one.polarizability @ R.T, atol=1e-9)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("level", LEVELS)
def test_total_charge_is_exact(level, name):
    """Permanent plus induced charge of every structure is the given total to 1e-12 e, in float64."""
    for total in (0.0, -1.0):
        system = replace(SYSTEMS[name], total_charge=total)
        charges = evaluator_of(strong(level))([system], ["charges"])[0].charges
        assert abs(charges.sum() - total) < 1e-12


def test_polarizability_and_dielectric_tensor():
    """Physical α = ε_e k_e Σα; with explicit α, ε_e = ε_∞/(1+χ) and the mean of the dielectric tensor is ε_∞ itself."""
    model, system = strong("uiqiu"), SYSTEMS["triclinic"]
    result = evaluator_of(model)([system], ["polarizability"])[0]
    assert np.trace(result.dielectric_tensor) / 3 == pytest.approx(1.78, rel=1e-10)
    volume = abs(np.linalg.det(system.cell))
    _, _, found = evaluation(model, system)
    epsilon_e = found.screening.item()
    assert 1.0 < epsilon_e < 1.78
    expected = epsilon_e * np.eye(3) + 4 * math.pi * result.polarizability / volume
    np.testing.assert_allclose(result.dielectric_tensor, expected, rtol=1e-10)
    assert np.linalg.eigvalsh(result.polarizability).min() > 0
    assert np.isnan(evaluator_of(model)([SYSTEMS["isolated"]], ["polarizability"])[0].dielectric_tensor).all()
    with pytest.raises(UserError, match="piezoelectric tensor of induced charges"):
        evaluator_of(model)([system], ["piezoelectric"])
    with pytest.raises(UserError, match="piezoelectric tensor of molecules"):
        evaluator_of(strong("u"))([SYSTEMS["isolated"]], ["piezoelectric"])
    with pytest.raises(UserError, match="equilibration heads for isolated systems"):
        evaluator_of(model)([system], ["energy"], fields=np.zeros((1, 3)))
    with pytest.raises(UserError, match="no polarizabilities"):
        evaluator_of(strong("uiq"))([system], ["polarizability"])


@pytest.mark.parametrize(("level", "channels"), [("q", 1), ("u", 2), ("uQ", 1)])
def test_piezoelectric_tensor_of_permanent_moments(level, channels):
    """By finite differences: Σ_ij (r_j − r_i)_c (r_i − r_j)_a ∂q_j/∂r_ib of the charges and ∂U_c/∂ε_ab − U_a δ_bc of U = Σu.

    Alone and in a batch with another structure; nearest images reach as far as the charges see.
    """
    model, system = strong(level, channels=channels), water_cluster(8, 2, 1.2 * TRICLINIC)
    other = replace(water_cluster(4, 3, 1.1 * TRICLINIC), total_charge=1.0)
    evaluate, n = evaluator_of(model, skin=0.0), len(system.numbers)
    alone = evaluate([system], ["piezoelectric"])[0].piezoelectric
    np.testing.assert_allclose(evaluate([other, system], ["piezoelectric"])[1].piezoelectric, alone, atol=1e-10)

    def of_strained(strain: np.ndarray) -> np.ndarray:
        strained = replace(system, positions=system.positions @ strain, cell=system.cell @ strain)
        dipole = evaluation(model, strained)[2].atomic_dipole
        return np.zeros(3) if dipole is None else dipole.detach().numpy()[0]

    expected, slope = np.zeros((3, 3, 3)), np.zeros((n, n, 3))
    for a, b in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[a, b] = 2e-5
        expected[:, a, b] = (of_strained(np.eye(3) + step) - of_strained(np.eye(3) - step)) / 4e-5
    expected -= np.einsum("a,bc->cab", of_strained(np.eye(3)), np.eye(3))
    assert level == "q" or np.abs(expected).max() > 0.05
    for i, b in np.ndindex(n, 3):  # of every charge with atom i along b, before the common shift to neutrality
        for sign in (1, -1):
            local = evaluation(model, moved(system, i, b, sign * 1e-4))[2].local_charges
            slope[:, i, b] += sign * local.detach().numpy()[:n] / 2e-4
    away = (system.positions[None, :] - system.positions[:, None]) @ np.linalg.inv(system.cell)  # [j, i] = r_i − r_j
    away = (away - np.round(away)) @ system.cell
    expected -= np.einsum("jic,jia,jib->cab", away, away, slope)
    np.testing.assert_allclose(alone, math.sqrt(1.78) * expected, atol=5e-6 * max(1.0, np.abs(expected).max()))


def test_responses_are_positive_and_level_q_is_the_latent_head():
    _, _, found = evaluation(strong("uQiqiu"), SYSTEMS["triclinic"])
    atoms = found.polarizable
    assert atoms.kappa.min() >= 0
    assert torch.linalg.eigvalsh(atoms.alpha[..., 0]).min() >= 0
    Q = atoms.moments.quadrupoles[0, ..., 0]
    assert Q.diagonal(dim1=1, dim2=2).sum(-1).abs().max() < 1e-12 and Q.abs().max() > 1e-2
    assert atoms.moments.dipoles.abs().max() > 1e-2
    multipole, latent = make_model("multipole", level="q"), make_model("latent")
    state = multipole.state_dict()
    latent.load_state_dict(state)
    for system in SYSTEMS.values():
        one, two = (evaluator_of(m)([system], BASIC)[0] for m in (multipole, latent))
        assert one.energy == pytest.approx(two.energy, abs=1e-9)
        np.testing.assert_allclose(one.forces, two.forces, atol=1e-9)
        np.testing.assert_allclose(one.charges, two.charges, atol=1e-12)
    np.testing.assert_allclose(
        *(evaluator_of(m)([SYSTEMS["triclinic"]], BASIC)[0].born_effective_charges for m in (multipole, latent)), atol=1e-9
    )


@pytest.mark.parametrize("channels", [1, 2])
def test_a_mixed_batch_is_the_sum_of_its_parts(channels):
    systems = [*SYSTEMS.values(), water_cluster(2, 9, None)]
    model = strong("uQiqiu", channels=channels)
    for system, found in zip(systems, evaluator_of(model)(systems, [*BASIC, "polarizability"]), strict=True):
        alone = evaluator_of(model)([system], [*BASIC, "polarizability"])[0]
        for key in [*BASIC, "polarizability"]:
            np.testing.assert_allclose(getattr(found, key), getattr(alone, key), rtol=1e-9, atol=1e-9, err_msg=key)


def test_the_sign_turns_all_moments_and_no_response():
    model, system = strong("uQiqiu"), SYSTEMS["isolated"]
    properties = [*BASIC, "polarizability"]
    before = evaluator_of(model)([system], properties)[0]
    model.head.sign.neg_()
    after = evaluator_of(model)([system], properties)[0]
    for key in properties:
        parity = 1 if key in ("energy", "forces", "virial", "polarizability") else -1
        np.testing.assert_allclose(getattr(after, key), parity * getattr(before, key), atol=1e-10, err_msg=key)


def test_a_saved_model_is_the_same_and_says_its_level(tmp_path):
    config = ModelConfig(
        species=("H", "O"),
        short_range=ShortRangeConfig(cutoff=3.0, n_radial=3, l_max=2, channels=3, order=3, hidden=(4,)),
        charges=ChargesConfig(head="multipole", level="uQiqiu", hidden=(4,), polarizability_scale={"O": 0.8}),
    )
    model = build_model(config).double()
    save_model(tmp_path, model, config, {})
    again, card = load_model(tmp_path)
    assert card["multipole_level"] == "uQiqiu" and card["charge_head"] == "multipole"
    system = SYSTEMS["isolated"]
    one, two = (evaluator_of(m)([system], [*BASIC, "polarizability"])[0] for m in (model.requires_grad_(False), again))
    for key in [*BASIC, "polarizability"]:
        np.testing.assert_allclose(getattr(one, key), getattr(two, key), atol=1e-12)


def test_tensors_without_l_2_are_refused():
    short = ShortRangeConfig(l_max=1, order=2)
    with pytest.raises(UserError, match="needs features of l = 2"):
        build_model(ModelConfig(species=("H",), short_range=short, charges=ChargesConfig(head="multipole", level="uQ")))
    charges = ChargesConfig(head="multipole", level="uiu", anisotropic=False)
    assert build_model(ModelConfig(species=("H",), short_range=short, charges=charges)).head.parts["alpha_tensor"] == 0


@pytest.mark.parametrize("name", SYSTEMS)
def test_single_precision(name):
    """float32 forces, Born charges and polarizabilities agree with float64 to 1e-4 of their size, also far from the cell."""
    properties, system = ["forces", "born_effective_charges", "polarizability"], SYSTEMS[name]
    exact = evaluator_of(strong("uQiqiu"))([system], properties)[0]
    shift = np.array([300.0, -200.0, 100.0]) @ system.cell
    for other in (system, replace(system, positions=system.positions + shift)):
        rough = evaluator_of(strong("uQiqiu"), torch.float32)([other], properties)[0]
        for key in properties:
            reference = getattr(exact, key)
            assert np.abs(getattr(rough, key) - reference).max() < 1e-4 * np.abs(reference).max(), key
