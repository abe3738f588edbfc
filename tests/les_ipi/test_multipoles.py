"""Charges, dipoles and quadrupoles: energies against independent sums, derivatives against finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from multipole_cases import (
    BOUNDARIES,
    FINE,
    SLAB,
    SMOOTH,
    TRICLINIC,
    energy,
    full_sphere_energy,
    point_clusters,
    potentials,
    random_moments,
    random_positions,
    tensor_energy,
)
from scipy.integrate import quad
from scipy.special import erf, erfc

from les_ipi import units
from les_ipi.electrostatics import (
    LongRangeKernel,
    Multipoles,
    isolated_energy,
    multipoles,
    padded_modes,
    periodic_energy,
)
from les_ipi.electrostatics.pairs import boys_functions


def squeezed(moments) -> list[np.ndarray]:
    return [x[..., 0].numpy() for x in moments]


@pytest.mark.parametrize("x", [0.0, 1e-8, 1e-3, 0.4, 1.999, 2.001, 7.0, 60.0])
def test_boys_functions_and_their_slopes(x):
    """Against the integral; dF_n/dx = −F_{n+1}, also by differentiation through the branches."""
    argument = torch.tensor([x], dtype=torch.float64, requires_grad=True)
    values = boys_functions(argument, 6)
    for n, value in enumerate(values[:-1]):
        exact = quad(lambda t, n=n: t ** (2 * n) * math.exp(-x * t * t), 0, 1, epsabs=1e-15)[0]
        assert value.item() == pytest.approx(exact, rel=1e-12)
        (slope,) = torch.autograd.grad(value, argument, retain_graph=True)
        assert slope.item() == pytest.approx(-values[n + 1].item(), rel=1e-10)


def test_isolated_energy_is_the_tensor_sum():
    positions = random_positions(5, "isolated")
    assert torch.pdist(positions).min() > 1.0
    moments = random_moments(5, neutral=False)
    expected = tensor_energy(positions.numpy(), *squeezed(moments), sigma=1.2)
    found = energy(positions, Multipoles(*moments), "isolated", LongRangeKernel(sigma=1.2))
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("boundary", ["periodic", "left-handed"])
def test_periodic_energy_is_the_full_complex_sum(boundary):
    """Also the self terms A q²/(σ(2π)^{3/2}), A u²/(3σ³(2π)^{3/2}) and A Q:Q/(10σ⁵(2π)^{3/2}), up to their tails at 7.5/Å.

    The largest tail is A/(60π²) k_c³ exp(−k_c²/2) Q:Q ~ 1e-9 eV for the quadrupoles.
    """
    positions, moments = random_positions(5, boundary), random_moments(5, neutral=False)
    expected = full_sphere_energy(positions.numpy(), *squeezed(moments), BOUNDARIES[boundary], 1.0, FINE.k_cutoff)
    assert float(energy(positions, Multipoles(*moments), boundary, FINE)) == pytest.approx(expected, abs=1e-8)


def test_self_terms_have_their_known_values():
    """σ = 1 Å: 5.744627 eV/e², own field 3.829752 V/Å per e Å; the window is taken into account."""
    assert FINE.self_energy == pytest.approx(5.744627, abs=1e-6)
    assert 2 * FINE.dipole_self_energy == pytest.approx(3.829752, abs=1e-6)
    assert FINE.quadrupole_self_energy == pytest.approx(FINE.self_energy / 10, rel=1e-6)


@pytest.mark.parametrize("boundary", ["periodic", "isolated"])
def test_multipoles_are_limits_of_point_charge_clusters(boundary):
    """Interaction of all minus that of each alone, from the charge-only code; errors of order h² are extrapolated."""
    positions, moments = random_positions(3, boundary, seed=4), random_moments(3, seed=2)
    q, u, Q = moments

    def charges_only(places: np.ndarray, charges: np.ndarray) -> float:
        r, c = torch.from_numpy(places)[None], torch.from_numpy(charges)[None, :, None]
        if boundary == "isolated":
            return float(isolated_energy(r, c, SMOOTH))
        modes = torch.from_numpy(padded_modes(TRICLINIC[None], np.array([True]), SMOOTH.k_cutoff))
        return float(periodic_energy(r, torch.from_numpy(TRICLINIC)[None], c, modes, SMOOTH))

    def clusters(spacing: float) -> float:
        parts = point_clusters(positions.numpy(), *squeezed(moments), spacing)
        everything = charges_only(*(np.concatenate(x) for x in zip(*parts, strict=True)))
        return everything - sum(charges_only(*part) for part in parts)

    one = [energy(positions[i : i + 1], Multipoles(q[i : i + 1], u[i : i + 1], Q[i : i + 1]), boundary) for i in range(3)]
    expected = float(energy(positions, Multipoles(q, u, Q), boundary) - sum(one))
    coarse, fine = clusters(0.08), clusters(0.04)
    assert abs(fine - expected) < 0.3 * abs(coarse - expected) < 0.01
    assert (4 * fine - coarse) / 3 == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("remove_self", [True, False])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_potentials_are_derivatives_of_the_energy(boundary, remove_self):
    """φ = ∂E/∂q, E = −∂E/∂u, ∇E = −2 ∂E/∂Q by central differences, exact for a quadratic form up to rounding."""
    kernel = replace(SMOOTH, remove_self=remove_self)
    positions, (q, u, Q) = random_positions(4, boundary), random_moments(4, neutral=False)
    _, found = potentials(positions, Multipoles(q, u, Q), boundary, kernel)

    def slope(which: int, step: torch.Tensor) -> float:
        values = []
        for sign in (1e-2, -1e-2):
            moved = [q, u, Q]
            moved[which] = moved[which] + sign * step
            values.append(float(energy(positions, Multipoles(*moved), boundary, kernel)))
        return (values[0] - values[1]) / 2e-2

    for atom in (0, 2):
        step = torch.zeros_like(q)
        step[atom] = 1.0
        assert float(found.potential[0, atom]) == pytest.approx(slope(0, step), abs=1e-9)
        step = torch.zeros_like(u)
        step[atom, 1] = 1.0
        assert float(found.field[0, atom, 1]) == pytest.approx(-slope(1, step), abs=1e-9)
        step = torch.zeros_like(Q)
        step[atom, 0, 2] = step[atom, 2, 0] = 1.0
        assert float(found.field_gradient[0, atom, 0, 2]) == pytest.approx(-slope(2, step), abs=1e-9)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_field_and_field_gradient_are_derivatives_of_the_potential(boundary):
    """A probe of charge 1e-6 e, moved: E = −∇φ and ∇E = −∇∇φ of everything else."""
    positions, (q, u, Q) = random_positions(4, boundary), random_moments(4)
    q, u, Q = (torch.where(torch.arange(4).view(-1, *[1] * (x.ndim - 1)) == 0, 0.0, x) for x in (q, u, Q))
    q[0] = 1e-6 if boundary == "isolated" else 0.0

    def at(shift: torch.Tensor):
        moved = positions.clone()
        moved[0] += shift
        return potentials(moved, Multipoles(q, u, Q), boundary, rank=2)[1]

    here, h = at(torch.zeros(3)), 1e-4
    for axis in range(3):
        step = h * torch.eye(3, dtype=torch.float64)[axis]
        up, down = at(step), at(-step)
        slope = (up.potential[0, 0] - down.potential[0, 0]) / (2 * h)
        torch.testing.assert_close(here.field[0, 0, axis], -slope, atol=1e-6, rtol=0)
        slope = (up.field[0, 0] - down.field[0, 0]) / (2 * h)
        torch.testing.assert_close(here.field_gradient[0, 0, axis], slope, atol=1e-6, rtol=0)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_forces_and_virial(boundary):
    """Autograd against central differences, with a net charge; strains of r and h together, all nine components."""
    positions, moments = random_positions(4, boundary), Multipoles(*random_moments(4, neutral=False))
    cell = None if boundary == "isolated" else torch.from_numpy(BOUNDARIES[boundary])

    def strained(strain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        frame = torch.eye(3, dtype=torch.float64) + strain
        return energy((positions + shift) @ frame, moments, boundary, cell=None if cell is None else cell @ frame)

    strain, shift = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True), torch.zeros_like(positions)
    shift.requires_grad_()
    slopes = torch.autograd.grad(strained(strain, shift), (strain, shift))
    for leaf, slope, step in ((strain, slopes[0], 1e-5), (shift, slopes[1], 1e-4)):
        for row, column in ((0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (2, 2)):
            delta = torch.zeros_like(leaf)
            delta[row, column] = step
            ends = [strained(*((s * delta, shift) if leaf is strain else (strain, s * delta))).item() for s in (1, -1)]
            assert float(slope[row, column]) == pytest.approx(
                (ends[0] - ends[1]) / (2 * step), abs=3e-7 * max(1.0, float(slope.abs().max()))
            )


@pytest.mark.parametrize("boundary", ["periodic", "slab", "isolated"])
def test_rotation_and_translation(boundary):
    positions, (q, u, Q) = random_positions(4, boundary), random_moments(4, neutral=False)
    cell = None if boundary == "isolated" else torch.from_numpy(BOUNDARIES[boundary])
    reference = float(energy(positions, Multipoles(q, u, Q), boundary))
    shifted = energy(positions + torch.tensor([0.7, -2.0, 1.1]), Multipoles(q, u, Q), boundary)
    assert float(shifted) == pytest.approx(reference, abs=1e-9)
    R = torch.linalg.qr(torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3))))[0]
    turned = Multipoles(q, torch.einsum("xy,iyc->ixc", R, u), torch.einsum("xa,yb,iabc->ixyc", R, R, Q))
    moved = energy(positions @ R.T, turned, boundary, cell=None if cell is None else cell @ R.T)
    assert float(moved) == pytest.approx(reference, abs=1e-9)


def test_replication():
    """Twice the cell is twice the energy: commensurate modes, per-atom self terms."""
    positions, moments = random_positions(4, "periodic"), random_moments(4, neutral=False)
    cell = torch.from_numpy(TRICLINIC)
    two = energy(
        torch.cat([positions, positions + cell[1]]),
        Multipoles(*(torch.cat([x, x]) for x in moments)),
        "periodic",
        cell=cell * torch.tensor([[1.0], [2.0], [1.0]]),
    )
    assert float(two) == pytest.approx(2 * float(energy(positions, Multipoles(*moments), "periodic")), abs=1e-9)


def test_the_periodic_sum_tends_to_the_isolated_one():
    """Without a net dipole the images fall as 1/L⁵ with quadrupoles; the rest at 30 Å is below 1e-4 eV and shrinks."""
    positions, (q, u, Q) = random_positions(4, "isolated"), random_moments(4)
    kernel = LongRangeKernel(sigma=1.5, k_cutoff=4.0, smooth=False)
    u = u - ((q[:, 0, None] * positions).sum(0) + u[..., 0].sum(0))[None, :, None] / 4
    alone = float(energy(positions, Multipoles(q, u, Q), "isolated", kernel))
    errors = [
        abs(float(energy(positions, Multipoles(q, u, Q), "periodic", kernel, edge * torch.eye(3, dtype=torch.float64))) - alone)
        for edge in (15.0, 30.0)
    ]
    assert errors[1] < errors[0] / 20 and errors[1] < 2e-3


def planar_energy(positions, q, area_cell, sigma: float) -> float:
    """Two-dimensional Ewald sum of Gaussian charges in closed form (no images along z), with −|z| as the k = 0 term."""
    area = np.linalg.norm(np.cross(area_cell[0], area_cell[1]))
    basis = area_cell[:2, :2]
    G = np.array(np.meshgrid(range(-14, 15), range(-14, 15))).reshape(2, -1).T @ (2 * np.pi * np.linalg.inv(basis).T)
    G = G[np.linalg.norm(G, axis=1) > 1e-9]
    length = np.linalg.norm(G, axis=1)
    total, s = 0.0, sigma / math.sqrt(2)
    for i in range(len(q)):
        for j in range(len(q)):
            d = positions[i] - positions[j]
            z = d[2]
            waves = np.exp(np.minimum(length * z, 600)) * erfc(s * length + z / (2 * s))
            waves += np.exp(np.minimum(-length * z, 600)) * erfc(s * length - z / (2 * s))
            value = np.sum(np.cos(G @ d[:2]) * waves / (4 * length))
            value -= 0.5 * (z * erf(z / (2 * s)) + 2 * s / math.sqrt(math.pi) * math.exp(-((z / (2 * s)) ** 2)))
            total += q[i] * q[j] * value
    own = units.HALF_INVERSE_EPSILON_0 / (sigma * (2 * np.pi) ** 1.5)
    return units.HALF_INVERSE_EPSILON_0 * total / area - own * float(np.sum(q * q))


@pytest.mark.parametrize("neutral", [True, False])
def test_slab_is_the_two_dimensional_sum(neutral):
    """Against the closed two-dimensional sum, neutral with a dipole and with a net charge; the third vector may be oblique."""
    cell = np.array([[6.1, 0.3, 0.0], [1.0, 5.7, 0.0], [-0.6, 0.4, 24.0]])
    rng = np.random.default_rng(3)
    positions = rng.uniform(size=(5, 3)) @ (cell * np.array([[1.0], [1.0], [0.15]]))
    q = rng.normal(size=5)
    q -= q.mean() * neutral
    kernel = replace(FINE, k_cutoff=6.5)
    moments = Multipoles(torch.from_numpy(q)[:, None])
    found = float(energy(torch.from_numpy(positions), moments, "slab", kernel, torch.from_numpy(cell)))
    uncorrected = float(energy(torch.from_numpy(positions), moments, "periodic", kernel, torch.from_numpy(cell)))
    assert found == pytest.approx(planar_energy(positions, q, cell, 1.0), abs=2e-6)
    assert abs(uncorrected - found) > 0.05


def test_slab_of_multipoles_does_not_depend_on_the_vacuum():
    """With q, u, Q and a net charge the corrected energy of 21 and 42 Å agree; without correction they differ by far."""
    positions, moments = random_positions(4, "slab"), Multipoles(*random_moments(4, neutral=False))
    tall = torch.from_numpy(SLAB * np.array([[1.0], [1.0], [2.0]]))
    cells = (torch.from_numpy(SLAB), tall)
    values = {b: [float(energy(positions, moments, b, FINE, c)) for c in cells] for b in ("slab", "periodic")}
    assert values["slab"][0] == pytest.approx(values["slab"][1], abs=2e-6)
    assert abs(values["periodic"][0] - values["periodic"][1]) > 0.1


def test_chunks_change_neither_values_nor_derivatives(monkeypatch):
    """Blocks of 32 wave vectors, recomputed backwards: the same energy, gradient and second derivative."""
    positions, moments = random_positions(4, "periodic").requires_grad_(), Multipoles(*random_moments(4))
    results = []
    for limit in (2**23, 1):
        monkeypatch.setattr(multipoles, "_PHASES", limit)
        value = energy(positions, moments, "periodic")
        (slope,) = torch.autograd.grad(value, positions, create_graph=True)
        (curvature,) = torch.autograd.grad((slope**2).sum(), positions)
        results.append((value.detach(), slope.detach(), curvature))
    for whole, blocks in zip(*results, strict=True):
        torch.testing.assert_close(blocks, whole, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("boundary", ["periodic", "isolated"])
def test_charges_alone_are_the_sum_of_the_other_modules_and_channels_add(boundary):
    positions, (q, u, Q) = random_positions(4, boundary), random_moments(4)
    first, second = (Multipoles(q, u, Q), Multipoles(2 * q, 0.5 * u, -Q))
    both = Multipoles(*(torch.cat([x, y], -1) for x, y in zip(first, second, strict=True)))
    parts = sum(float(energy(positions, m, boundary)) for m in (first, second))
    assert float(energy(positions, both, boundary)) == pytest.approx(parts, abs=1e-10)
    r, c = positions[None], q[None]
    if boundary == "isolated":
        other = isolated_energy(r, c, SMOOTH)
    else:
        modes = torch.from_numpy(padded_modes(TRICLINIC[None], np.array([True]), SMOOTH.k_cutoff))
        other = periodic_energy(r, torch.from_numpy(TRICLINIC)[None], c, modes, SMOOTH)
    assert float(energy(positions, Multipoles(q), boundary)) == pytest.approx(float(other), abs=1e-10)
