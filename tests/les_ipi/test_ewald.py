"""The latent Ewald sum against closed forms, brute force and torch-pme."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from physics_cases import NACL_MADELUNG, TRICLINIC, rock_salt
from scipy.special import erf, erfc

from les_ipi import units
from les_ipi.electrostatics import (
    LongRangeKernel,
    half_sphere_modes,
    isolated_energy,
    padded_modes,
    periodic_energy,
    potential_at_atoms,
)
from les_ipi.electrostatics.charge_sums import periodic_sum
from les_ipi.electrostatics.mesh import MeshSum

FINE = LongRangeKernel(sigma=1.0, k_cutoff=8.0, smooth=False)
CELLS = {
    "cubic": 8.0 * np.eye(3),
    "triclinic": TRICLINIC,
    "left-handed": TRICLINIC[[1, 0, 2]],
    "flat": np.array([[4.0, 0, 0], [3.1, 9.0, 0], [0.3, -2.0, 14.0]]),
}


def random_charges(n: int, cell: np.ndarray, seed: int = 0, neutral: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    charges = rng.normal(size=n)
    return rng.uniform(size=(n, 3)) @ cell, charges - charges.mean() * neutral


def tensors(positions, cell, charges, kernel):
    modes = torch.from_numpy(padded_modes(cell[None], np.array([True]), kernel.k_cutoff))
    q = torch.as_tensor(charges)
    q = q[None, :, None] if q.ndim == 1 else q[None]
    return torch.as_tensor(positions)[None], torch.as_tensor(cell)[None], q, modes


def energy(positions, cell, charges, kernel=FINE) -> float:
    return float(periodic_energy(*tensors(positions, cell, charges, kernel), kernel)[0])


def brute_force(positions, cell, charges, kernel) -> float:
    """Full-sphere sum written as a plain loop over integer triples, without any symmetry."""
    G = 2 * np.pi * np.linalg.inv(cell).T
    total, reach = 0.0, 16
    for n in np.ndindex(2 * reach + 1, 2 * reach + 1, 2 * reach + 1):
        k = (np.array(n) - reach) @ G
        k2 = k @ k
        if 1e-12 < k2 <= kernel.k_cutoff**2:
            S = np.sum(charges * np.exp(1j * positions @ k))
            total += math.exp(-(kernel.sigma**2) * k2 / 2) / k2 * abs(S) ** 2
    total *= units.HALF_INVERSE_EPSILON_0 / abs(np.linalg.det(cell))
    return total - units.HALF_INVERSE_EPSILON_0 * np.sum(charges**2) / (kernel.sigma * (2 * np.pi) ** 1.5) * erf(
        kernel.k_cutoff * kernel.sigma / math.sqrt(2)
    )


@pytest.mark.parametrize("name", CELLS)
def test_half_sphere_holds_one_of_each_pair(name):
    """Together with their opposites the modes are exactly the triples in the sphere, in any cell."""
    cell, k_cutoff = CELLS[name], 3.0
    half = half_sphere_modes(cell, k_cutoff)
    G = 2 * np.pi * np.linalg.inv(cell).T
    grid = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), -1).reshape(-1, 3)
    inside = grid[(((grid @ G) ** 2).sum(1) <= k_cutoff**2) & (grid != 0).any(1)]
    both = {tuple(n) for n in half} | {tuple(-n) for n in half}
    assert both == {tuple(n) for n in inside}
    assert len(both) == 2 * len(half)


@pytest.mark.parametrize("name", CELLS)
def test_energy_is_the_full_sum(name):
    kernel = LongRangeKernel(sigma=1.1, k_cutoff=3.0, smooth=False)
    positions, charges = random_charges(7, CELLS[name])
    assert energy(positions, CELLS[name], charges, kernel) == pytest.approx(
        brute_force(positions, CELLS[name], charges, kernel), abs=1e-9
    )


def test_constants_are_codata():
    """1/(2 ε0) = 90.4756 eV Å/e²; a known mistyped value is 90.0474."""
    assert units.HALF_INVERSE_EPSILON_0 == pytest.approx(90.47564, abs=1e-4)
    assert units.COULOMB == pytest.approx(14.399645, abs=1e-6)


def test_self_energy_of_the_window():
    """Large cutoff: A/(σ (2π)^{3/2}) = 5.744627 eV; sharp finite cutoff: times erf(k_c σ/√2)."""
    assert LongRangeKernel(k_cutoff=12.0, smooth=False).self_energy == pytest.approx(5.744627, abs=1e-6)
    sharp = LongRangeKernel(k_cutoff=math.pi, smooth=False)
    assert sharp.self_energy == pytest.approx(sharp.isolated_self_energy * erf(math.pi / math.sqrt(2)), rel=1e-10)


def test_window_has_two_continuous_derivatives():
    """τ = 1 up to 0.75 k_c and 0 from k_c on; near either end it deviates as the cube of the distance, so energy, stress and
    elastic constants stay continuous when modes enter the sphere. Halving the distance divides the deviation by 8.
    """
    kernel = LongRangeKernel(k_cutoff=4.0)

    def taper(k: float) -> float:
        return float(kernel.taper(torch.tensor(k * k, dtype=torch.float64)))

    assert taper(2.9999) == 1.0 and taper(4.0001) == 0.0 and taper(3.5) == pytest.approx(0.5, abs=1e-12)
    for deviation in (lambda d: 1.0 - taper(3.0 + d), lambda d: taper(4.0 - d)):
        assert deviation(0.01) == pytest.approx(10 * 0.01**3, rel=0.02)
        assert deviation(0.02) / deviation(0.01) == pytest.approx(8.0, rel=0.02)


@pytest.mark.parametrize("smooth", [True, False])
def test_lone_charge_has_only_its_image_energy(smooth):
    """Wigner energy −ξ k_e/(2L) of a point charge in its background, plus A σ²/(2V) for the Gaussian's k → 0 term."""
    kernel = LongRangeKernel(sigma=1.0, k_cutoff=3.6, smooth=smooth)
    for edge in (30.0, 44.0):
        expected = -2.837297479 * units.COULOMB / (2 * edge) + units.HALF_INVERSE_EPSILON_0 / (2 * edge**3)
        found = energy(np.zeros((1, 3)), edge * np.eye(3), np.ones(1), kernel)
        # A cutoff radius that cuts through shells of modes leaves a small discretisation error of the self term.
        assert found == pytest.approx(expected, abs=2e-3)


def test_potential_is_the_charge_derivative():
    positions, charges = random_charges(6, TRICLINIC, neutral=False)
    args = tensors(positions, TRICLINIC, charges, FINE)
    q = args[2].clone().requires_grad_()
    phi = potential_at_atoms(periodic_energy(args[0], args[1], q, args[3], FINE), q)[0, :, 0].detach().numpy()
    step = 1e-4
    for i in range(6):
        up, down = charges.copy(), charges.copy()
        up[i] += step
        down[i] -= step
        difference = (energy(positions, TRICLINIC, up) - energy(positions, TRICLINIC, down)) / (2 * step)
        assert phi[i] == pytest.approx(difference, abs=1e-8)
    # Energy is quadratic in the charges: E = ½ Σ q φ.
    assert 0.5 * charges @ phi == pytest.approx(energy(positions, TRICLINIC, charges), abs=1e-10)


def test_periodic_tends_to_isolated_as_one_over_volume():
    """Residual of a neutral cluster with dipole d: (2π/3) k_e d²/V with conducting boundary, times erf corrections → L⁻³."""
    rng = np.random.default_rng(4)
    positions = rng.uniform(-1.5, 1.5, size=(5, 3))
    charges = rng.normal(size=5)
    charges -= charges.mean()
    kernel = LongRangeKernel(sigma=1.0, k_cutoff=7.0, smooth=False)
    isolated = float(
        isolated_energy(torch.as_tensor(positions)[None], torch.as_tensor(charges)[None, :, None], kernel)[0]
    )
    dipole2 = np.sum((charges @ positions) ** 2)
    for edge in (18.0, 26.0):
        residual = energy(positions, edge * np.eye(3), charges, kernel) - isolated
        expected = -2 * np.pi / 3 * units.COULOMB * dipole2 / edge**3
        assert residual == pytest.approx(expected, rel=0.02)


def test_isolated_pair_kernel():
    """k_e q1 q2 erf(r/(√2σ))/r, its value at r → 0 (11.489 eV/e² at σ = 1), and the kept self term."""
    kernel = LongRangeKernel(sigma=1.0)
    for r in (1e-5, 0.7, 3.0):
        positions = torch.tensor([[[0.0, 0, 0], [r, 0, 0]]], dtype=torch.float64)
        q = torch.tensor([[[0.7], [-0.4]]], dtype=torch.float64)
        expected = units.COULOMB * 0.7 * -0.4 * erf(r / math.sqrt(2)) / r
        assert float(isolated_energy(positions, q, kernel)[0]) == pytest.approx(expected, rel=1e-9)
        kept = float(isolated_energy(positions, q, replace(kernel, remove_self=False))[0])
        assert kept - expected == pytest.approx((0.49 + 0.16) * 5.744627, abs=1e-5)
    assert units.COULOMB * math.sqrt(2 / math.pi) == pytest.approx(11.489, abs=1e-3)


def test_madelung_constant_of_rock_salt():
    """Point-charge limit: the smeared sum plus the erfc pair sum gives the NaCl Madelung constant to 1e-7."""
    edge = 5.64
    positions, charges, cell = rock_salt(2, edge)
    smeared = energy(positions, cell, charges, LongRangeKernel(sigma=1.0, k_cutoff=9.0, smooth=False))
    delta = positions[:, None] - positions[None]
    shifts = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]) @ cell
    r = np.linalg.norm(delta[:, :, None] + shifts, axis=-1)
    pair = charges[:, None, None] * charges[None, :, None]
    r_safe = np.where(r > 1e-9, r, np.inf)
    short = 0.5 * units.COULOMB * np.sum(pair * erfc(r / math.sqrt(2)) / r_safe)
    per_ion_pair = (smeared + short) / (len(charges) / 2)
    assert -per_ion_pair * (edge / 2) / units.COULOMB == pytest.approx(NACL_MADELUNG, rel=1e-7)


@pytest.mark.parametrize("name", ["triclinic", "cubic"])
def test_parity_with_torch_pme(name):
    """torch-pme's Ewald of point charges = our smeared sum + erfc pair sum, in another program's conventions."""
    torchpme = pytest.importorskip("torchpme")
    from vesin import NeighborList

    cell = CELLS[name]
    positions, charges = random_charges(6, cell, seed=3)
    potential = torchpme.CoulombPotential(smearing=1.0, prefactor=units.COULOMB)
    calculator = torchpme.EwaldCalculator(potential, lr_wavelength=0.6, full_neighbor_list=True).to(torch.float64)
    i, j, d = NeighborList(cutoff=7.5, full_list=True).compute(
        points=positions, box=cell, periodic=True, quantities="ijd"
    )
    half_potential = calculator.forward(
        torch.as_tensor(charges)[:, None],
        torch.as_tensor(cell),
        torch.as_tensor(positions),
        torch.as_tensor(np.stack([i, j], 1).astype(np.int64)),
        torch.as_tensor(d),
    )[:, 0]
    # torch-pme returns ½ Σ_j q_j v(r_ij), so the energy is Σ_i q_i V_i.
    theirs = float((half_potential * torch.as_tensor(charges)).sum())
    short = 0.5 * units.COULOMB * np.sum(charges[i] * charges[j] * erfc(d / math.sqrt(2)) / d)
    ours = energy(positions, cell, charges, LongRangeKernel(sigma=1.0, k_cutoff=9.0, smooth=False)) + short
    assert ours == pytest.approx(theirs, rel=1e-7)


def test_channels_add_without_cross_terms():
    positions, first = random_charges(5, TRICLINIC, 1)
    _, second = random_charges(5, TRICLINIC, 2)
    both = energy(positions, TRICLINIC, np.stack([first, second], axis=1))
    assert both == pytest.approx(energy(positions, TRICLINIC, first) + energy(positions, TRICLINIC, second), abs=1e-10)


def test_replication_and_lattice_translation():
    """Energy per cell does not change when the cell is doubled or atoms move by lattice vectors (sharp sphere)."""
    positions, charges = random_charges(6, TRICLINIC)
    single = energy(positions, TRICLINIC, charges)
    double = np.concatenate([positions, positions + TRICLINIC[1]])
    cell = TRICLINIC * np.array([[1.0], [2.0], [1.0]])
    assert energy(double, cell, np.tile(charges, 2)) == pytest.approx(2 * single, rel=1e-10)
    moved = positions + np.array([[2, -1, 3]] * 3 + [[0, 0, 0]] * 3) @ TRICLINIC
    assert energy(moved, TRICLINIC, charges) == pytest.approx(single, abs=1e-9)


def cell_scan(kernel: LongRangeKernel) -> np.ndarray:
    """Energy steps in eV of 64 random charges while a 12.3 Å cell grows to 12.5 Å in 400 steps."""
    rng = np.random.default_rng(0)
    fractional, charges = rng.uniform(size=(64, 3)), 0.5 * rng.normal(size=64)
    charges -= charges.mean()
    edges = np.linspace(12.3, 12.5, 401)
    energies = [energy(fractional * edge, edge * np.eye(3), charges, kernel) for edge in edges]
    steps = np.diff(energies)
    return np.abs(steps - np.median(steps))


def test_smooth_window_has_no_jumps_in_a_cell_scan():
    """Known defect of a sharp sphere: modes that enter make jumps of tens of meV; the smooth window keeps steps below 1 meV."""
    assert cell_scan(LongRangeKernel(smooth=True)).max() < 1e-3
    assert cell_scan(LongRangeKernel(smooth=False)).max() > 5e-3


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-10])
def test_fast_transforms_give_the_exact_sum_within_the_accuracy_asked_for(name, smooth, accuracy):
    """Energy, potential, forces and strain derivative of two channels, positions far outside the cell."""
    cell = CELLS[name]
    kernel = LongRangeKernel(k_cutoff=4.0, smooth=smooth, remove_self=smooth)
    rng = np.random.default_rng(5)
    positions, charges = rng.uniform(-3, 3, size=(2, 40, 3)) @ cell, rng.normal(size=(2, 40, 2))
    modes = torch.from_numpy(padded_modes(np.stack([cell, cell]), np.array([True, True]), kernel.k_cutoff))
    r, h, q = (torch.from_numpy(x) for x in (positions, cell, charges))
    exact = periodic_sum(r, h.expand(2, 3, 3), q, modes, kernel)
    mesh = MeshSum(kernel, torch.float64, accuracy)
    for _ in range(2):
        for field, found, expected in zip(exact._fields, mesh(r, h, q), exact, strict=True):
            assert float((found - expected).norm()) < accuracy * float(expected.norm()), field
