"""Induced moments and the field enthalpy: every derivative against finite differences, and known defects of other codes."""

import math

import numpy as np
import pytest
import torch
from multipole_cases import BOUNDARIES, SMOOTH, TRICLINIC, potentials, random_positions
from scipy.special import erf

from les_ipi import units
from les_ipi.electrostatics import LongRangeKernel, Multipoles, isolated_energy
from les_ipi.electrostatics.multipoles import interaction_energy, traceless
from les_ipi.electrostatics.response import (
    cell_dipole,
    electronic_screening,
    field_enthalpy,
    linear_response,
    polarizability,
)

#: (dipoles, quadrupoles, κ, α) of the configurations of the literature.
LEVELS = {
    "q": (0, 0, 0, 0),
    "u": (1, 0, 0, 0),
    "uQ": (1, 1, 0, 0),
    "iq": (0, 0, 1, 0),
    "iu": (0, 0, 0, 1),
    "uiqiu": (1, 0, 1, 1),
    "uQiqiu": (1, 1, 1, 1),
}


def latents(positions: torch.Tensor, level: str):
    """Moments that depend on the geometry: net charge, κ ≥ 0, symmetric positive α; one channel, leading index added."""
    weight = torch.from_numpy(np.random.default_rng(7).normal(size=(5, len(positions))))
    delta = positions[None, :] - positions[:, None]
    g = torch.exp(-0.15 * (delta**2).sum(-1)) * (1 - torch.eye(len(positions), dtype=positions.dtype))
    has_u, has_Q, has_kappa, has_alpha = LEVELS[level]
    q = 0.5 * weight[0] + g @ weight[1]
    vectors = torch.einsum("ij,ijx,j->ix", g, delta, weight[2])
    tensors = torch.einsum("ij,ijx,ijy,j->ixy", g, delta, delta, weight[3])
    u = vectors[None, ..., None] if has_u else None
    Q = traceless(tensors[None, ..., None]) if has_Q else None
    kappa = (0.01 * (weight[4] + g.sum(1)) ** 2)[None, :, None] if has_kappa else None
    eye = torch.eye(3, dtype=positions.dtype)
    alpha = (0.05 * eye + 0.02 * tensors @ tensors.mT)[None, ..., None] if has_alpha else None
    return Multipoles(q[None, :, None], u, Q), kappa, alpha


def quantities(positions, level, boundary, field, cell=None):
    """Enthalpy and polarization of one structure."""
    moments, kappa, alpha = latents(positions, level)
    rank = max(moments.rank, 1)
    _, found = potentials(positions, Multipoles(*(None if m is None else m[0] for m in moments)), boundary, SMOOTH, cell, rank)
    mask = torch.ones(1, len(positions), dtype=torch.float64)
    enthalpy = field_enthalpy(positions[None], moments, found, kappa, alpha, mask, field[None])[0]
    response = linear_response(found, kappa, alpha, field[None])
    return enthalpy, cell_dipole(positions[None], moments, response, mask)[0], alpha


FIELD = torch.tensor([0.03, -0.05, 0.02], dtype=torch.float64)


@pytest.mark.parametrize("boundary", ["periodic", "slab", "isolated"])
@pytest.mark.parametrize("level", LEVELS)
def test_polarization_and_polarizability_are_field_derivatives(level, boundary):
    """H is quadratic in the field, so central differences have no error but rounding: P and Σα to 1e-6 relative."""
    positions, h = random_positions(4, boundary), 0.05
    steps = h * torch.eye(3, dtype=torch.float64)
    at = lambda field: quantities(positions, level, boundary, field)  # noqa: E731
    H0, P0, alpha = at(FIELD)
    slope = torch.stack([(at(FIELD + s)[0] - at(FIELD - s)[0]) / (2 * h) for s in steps])
    torch.testing.assert_close(P0, -slope, rtol=1e-6, atol=1e-6 * float(P0.norm()))
    second = torch.stack([(at(FIELD + s)[1] - at(FIELD - s)[1]) / (2 * h) for s in steps])
    expected = torch.zeros(3, 3, dtype=torch.float64) if alpha is None else polarizability(alpha)[0]
    torch.testing.assert_close(second, expected, rtol=1e-6, atol=1e-10)
    for s, row in zip(steps, expected, strict=True):
        curvature = (at(FIELD + s)[0] + at(FIELD - s)[0] - 2 * H0) / h**2
        assert float(-curvature) == pytest.approx(float(row @ s / h), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("boundary", ["periodic", "slab", "isolated"])
@pytest.mark.parametrize("level", LEVELS)
def test_born_charges_are_the_field_derivative_of_the_forces(level, boundary):
    """Z = ∂P/∂r (autograd) = ∂F/∂E' (difference of forces in ±E') to 1e-6 relative; forces = −∂H/∂r in the field."""
    positions = random_positions(4, boundary).requires_grad_()
    zero = torch.zeros(3, dtype=torch.float64)
    _, P, _ = quantities(positions, level, boundary, zero)
    born = torch.stack([torch.autograd.grad(P[a], positions, retain_graph=True)[0] for a in range(3)], 1)

    def forces(field: torch.Tensor) -> torch.Tensor:
        return -torch.autograd.grad(quantities(positions, level, boundary, field)[0], positions)[0]

    scale = float(born.abs().max())
    for axis in range(3):
        step = 0.1 * torch.eye(3, dtype=torch.float64)[axis]
        slope = (forces(step) - forces(-step)) / 0.2
        torch.testing.assert_close(slope, born[:, axis], rtol=0, atol=1e-6 * scale)
    total, h = forces(FIELD), 1e-4
    tolerance = 1e-6 * max(1.0, float(total.abs().max()))
    for atom, axis in ((0, 0), (3, 2)):
        step = torch.zeros_like(positions)
        step[atom, axis] = h
        ends = [float(quantities(positions.detach() + s * step, level, boundary, FIELD)[0]) for s in (1, -1)]
        assert float(total[atom, axis]) == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=tolerance)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_virial_in_a_field(boundary):
    """Strain derivative of the enthalpy at fixed E', all nine components, 0D, 2D and 3D, with the full hierarchy."""
    positions = random_positions(4, boundary)
    cell = None if boundary == "isolated" else torch.from_numpy(BOUNDARIES[boundary])

    def enthalpy(strain: torch.Tensor) -> torch.Tensor:
        frame = torch.eye(3, dtype=torch.float64) + strain
        return quantities(positions @ frame, "uQiqiu", boundary, FIELD, None if cell is None else cell @ frame)[0]

    leaf = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(enthalpy(leaf), leaf)
    for a in range(3):
        for b in range(3):
            step = torch.zeros(3, 3, dtype=torch.float64)
            step[a, b] = 1e-5
            difference = float(enthalpy(step) - enthalpy(-step)) / 2e-5
            assert float(slope[a, b]) == pytest.approx(difference, abs=1e-6 * max(1.0, float(slope.abs().max())))


def test_a_polarizable_atom_next_to_an_ion():
    """Closed form: U = −½ α E² with E = −k_e q d/dr[erf(r/√2)/r], and Δq = −κ φ with U = −½ κ φ²."""
    r, charge, alpha, kappa = 2.5, 0.8, 0.07, 0.02
    positions = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, r]], dtype=torch.float64)
    moments = Multipoles(torch.tensor([[charge], [0.0]], dtype=torch.float64))
    _, found = potentials(positions, moments, "isolated", LongRangeKernel(sigma=1.0), rank=1)
    phi = units.COULOMB * charge * erf(r / math.sqrt(2)) / r
    strength = phi / r - units.COULOMB * charge * math.sqrt(2 / math.pi) * math.exp(-r * r / 2) / r
    on_atom = torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)
    response = linear_response(found, kappa * on_atom, alpha * on_atom)
    assert float(response.dipoles[0, 1, 2]) == pytest.approx(alpha * strength, rel=1e-12)
    assert float(response.charges[0, 1]) == pytest.approx(-kappa * phi, rel=1e-12)
    assert float(response.energy[0]) == pytest.approx(-0.5 * alpha * strength**2 - 0.5 * kappa * phi**2, rel=1e-12)
    tensor = alpha * on_atom[:, :, None, None] * torch.eye(3, dtype=torch.float64)[:, :, None]
    again = linear_response(found, None, tensor)
    torch.testing.assert_close(again.dipoles, response.dipoles)


def test_field_work_on_induced_dipoles_is_counted_once():
    """Known defect: −½ E·α·(E + E') instead of the enthalpy, plus forces from u_ind(E + E').

    A bare polarizable atom in a field has U = −½ α E'² and the dipole α E'; next to an ion the term linear in E' is −E'·αE,
    not −½ of it: the energy difference in ±E' is −2 E'·P exactly.
    """
    positions = random_positions(4, "isolated")
    up, dipole_up, _ = quantities(positions, "iu", "isolated", FIELD)
    down, dipole_down, _ = quantities(positions, "iu", "isolated", -FIELD)
    middle = 0.5 * (dipole_up + dipole_down)
    assert float(up - down) == pytest.approx(float(-2 * FIELD @ middle), rel=1e-10)
    moments, _, alpha = latents(positions, "iu")
    _, found = potentials(positions, Multipoles(moments.charges[0]), "isolated", SMOOTH, rank=1)
    half_counted = -0.5 * float(torch.einsum("bnxc,bnxyc,y->", found.field, alpha, FIELD))
    charges_only = float(FIELD @ (moments.charges[0, :, 0] @ positions))
    assert abs(2 * (half_counted - charges_only) - float(up - down)) > 1e-3


def test_screening_and_susceptibility_add_to_epsilon_infinity():
    """ε_e = ε_∞/(1+χ); ε_e + k_e-free susceptibility of the physical polarizability is ε_∞ again."""
    alpha = torch.tensor([[[0.03, 0.004, 0], [0.004, 0.05, 0], [0, 0, 0.07]]], dtype=torch.float64)
    volume = torch.tensor([30.0], dtype=torch.float64)
    epsilon_e = electronic_screening(1.78, alpha, volume)
    physical = epsilon_e * alpha.diagonal(dim1=1, dim2=2).mean(1)
    assert float(epsilon_e + physical / (units.EPSILON_0 * volume)) == pytest.approx(1.78, rel=1e-12)
    assert float(epsilon_e) == pytest.approx(1.78 / (1 + 0.05 / (5.526349e-3 * 30.0)), rel=1e-6)


def test_response_energy_is_the_second_order_of_mutual_interaction():
    """E(q + λ Δ) of the induced moments with the permanent ones: first order in Δ is twice the response energy."""
    positions = random_positions(4, "isolated")
    moments, kappa, alpha = latents(positions, "uiqiu")
    bare = Multipoles(*(None if m is None else m[0] for m in moments))
    batched, found = potentials(positions, bare, "isolated", SMOOTH)
    response = linear_response(found, kappa, alpha)

    def dressed(weight: float) -> float:
        changed = Multipoles(bare.charges + weight * response.charges[0], bare.dipoles + weight * response.dipoles[0])
        return float(interaction_energy(*potentials(positions, changed, "isolated", SMOOTH))[0])

    first_order = (dressed(1e-3) - dressed(-1e-3)) / 2e-3
    assert first_order == pytest.approx(2 * float(response.energy[0]), rel=1e-8)
    assert float(response.energy[0]) < 0 and batched.rank == 1


def test_the_handedness_of_the_cell_does_not_matter():
    """Known defect: a left-handed cell taken for an isolated system. Same lattice, same numbers, either handedness."""
    positions = random_positions(4, "periodic")
    one, P, _ = quantities(positions, "uQiqiu", "periodic", FIELD)
    other, P2, _ = quantities(positions, "uQiqiu", "left-handed", FIELD, torch.from_numpy(TRICLINIC[[1, 0, 2]]))
    assert float(one) == pytest.approx(float(other), abs=1e-10)
    torch.testing.assert_close(P, P2)
    alone = float(isolated_energy(positions[None], latents(positions, "q")[0].charges, SMOOTH)[0])
    assert abs(float(quantities(positions, "q", "periodic", 0 * FIELD)[0]) - alone) > 0.1
