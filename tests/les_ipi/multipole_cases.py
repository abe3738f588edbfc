"""Random multipoles in periodic, slab and isolated geometry, and energies of them written down independently."""

import math
from itertools import product

import numpy as np
import torch
from scipy.special import erf

from les_ipi import units
from les_ipi.electrostatics import LongRangeKernel, Multipoles, padded_modes
from les_ipi.electrostatics.multipoles import interaction_energy, periodic_potentials, slab_potentials, traceless
from les_ipi.electrostatics.pairs import isolated_potentials

TRICLINIC = np.array([[7.1, 0.0, 0.0], [1.3, 6.7, 0.0], [-0.9, 1.1, 7.4]])
SLAB = np.array([[6.1, 0.3, 0.0], [1.0, 5.7, 0.2], [-0.6, 0.4, 21.0]])
FINE = LongRangeKernel(sigma=1.0, k_cutoff=7.5, smooth=False)
SMOOTH = LongRangeKernel(sigma=1.0, k_cutoff=3.2, smooth=True)
BOUNDARIES = {"periodic": TRICLINIC, "left-handed": TRICLINIC[[1, 0, 2]], "slab": SLAB, "isolated": None}


def random_moments(n: int, seed: int = 0, neutral: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Charges (n, 1), dipoles (n, 3, 1) and traceless quadrupoles (n, 3, 3, 1) of order one."""
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(n, 1))
    q -= q.mean() * neutral
    Q = torch.from_numpy(rng.normal(size=(1, n, 3, 3, 1)))
    return torch.from_numpy(q), torch.from_numpy(rng.normal(size=(n, 3, 1))), traceless(Q)[0]


def random_positions(n: int, boundary: str, seed: int = 1) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    cell = BOUNDARIES[boundary]
    if cell is None:
        return torch.from_numpy(rng.uniform(-3, 3, size=(n, 3)))
    fractional = rng.uniform(size=(n, 3))
    if boundary == "slab":
        fractional[:, 2] = 0.15 * fractional[:, 2]
    return torch.from_numpy(fractional @ cell)


def potentials(positions, moments: Multipoles, boundary: str, kernel=SMOOTH, cell=None, rank=None):
    """Potentials of one structure, whose leading index is added here."""
    batched = Multipoles(*(None if x is None else x[None] for x in moments))
    if boundary == "isolated":
        return batched, isolated_potentials(positions[None], batched, kernel, rank)
    reference = BOUNDARIES[boundary]
    h = torch.from_numpy(reference) if cell is None else cell
    modes = torch.from_numpy(padded_modes(h.detach().numpy()[None], np.array([True]), kernel.k_cutoff))
    function = slab_potentials if boundary == "slab" else periodic_potentials
    return batched, function(positions[None], h[None], batched, modes, kernel, rank)


def energy(positions, moments: Multipoles, boundary: str, kernel=SMOOTH, cell=None) -> torch.Tensor:
    return interaction_energy(*potentials(positions, moments, boundary, kernel, cell))[0]


def tensor_energy(positions, q, u, Q, sigma: float = 1.0) -> float:
    """Pair by pair with the tensors T1 … T4 and the textbook recursion of B_n; plain numpy, distances above 1 Å."""
    a, eye, total = 1 / (math.sqrt(2) * sigma), np.eye(3), 0.0
    for i in range(len(q)):
        for j in range(i + 1, len(q)):
            R = positions[j] - positions[i]
            r2 = R @ R
            B = [erf(a * math.sqrt(r2)) / math.sqrt(r2)]
            for n in range(1, 5):
                tail = (-1) ** (n - 1) * (2 * a * a) ** n * math.exp(-a * a * r2) / (a * math.sqrt(math.pi))
                B.append((-(2 * n - 1) * B[-1] + tail) / r2)
            T1 = R * B[1]
            T2 = np.multiply.outer(R, R) * B[2] + eye * B[1]
            T3, T4 = np.zeros((3,) * 3), np.zeros((3,) * 4)
            for x, y, z in product(range(3), repeat=3):
                T3[x, y, z] = R[x] * R[y] * R[z] * B[3] + B[2] * (eye[x, y] * R[z] + eye[x, z] * R[y] + eye[y, z] * R[x])
                for w in range(3):
                    six = (
                        eye[x, y] * R[z] * R[w] + eye[x, z] * R[y] * R[w] + eye[x, w] * R[y] * R[z]
                        + eye[y, z] * R[x] * R[w] + eye[y, w] * R[x] * R[z] + eye[z, w] * R[x] * R[y]
                    )
                    three = eye[x, y] * eye[z, w] + eye[x, z] * eye[y, w] + eye[x, w] * eye[y, z]
                    T4[x, y, z, w] = R[x] * R[y] * R[z] * R[w] * B[4] + six * B[3] + three * B[2]
            total += q[i] * q[j] * B[0] + (q[i] * u[j] - q[j] * u[i]) @ T1 - u[i] @ T2 @ u[j]
            total += 0.5 * np.sum((q[i] * Q[j] + q[j] * Q[i]) * T2)
            total += 0.5 * np.einsum("a,abc,bc", u[j], T3, Q[i]) - 0.5 * np.einsum("a,abc,bc", u[i], T3, Q[j])
            total += 0.25 * np.einsum("ab,abcd,cd", Q[i], T4, Q[j])
    return units.COULOMB * total


def full_sphere_energy(positions, q, u, Q, cell, sigma: float, k_cutoff: float) -> float:
    """The sum over all wave vectors of a sphere with a complex structure factor, and analytic self terms."""
    G = 2 * np.pi * np.linalg.inv(cell).T
    reach = int(np.ceil(k_cutoff * np.linalg.norm(cell, axis=1).max() / (2 * np.pi)))
    n = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    k = n @ G
    k2 = (k**2).sum(1)
    k = k[(k2 > 1e-12) & (k2 <= k_cutoff**2)]
    k2 = (k**2).sum(1)
    strength = q + 1j * k @ u.T - 0.5 * np.einsum("kx,ixy,ky->ki", k, Q, k)
    S = (strength * np.exp(1j * k @ positions.T)).sum(1)
    A = units.HALF_INVERSE_EPSILON_0
    total = A / abs(np.linalg.det(cell)) * np.sum(np.exp(-0.5 * sigma**2 * k2) / k2 * np.abs(S) ** 2)
    norm = (2 * np.pi) ** 1.5
    own = (q**2).sum() / sigma + (u**2).sum() / (3 * sigma**3) + (Q**2).sum() / (10 * sigma**5)
    return float(total - A * own / norm)


def point_clusters(positions, q, u, Q, spacing: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """(positions, charges) of clusters of point charges with the moments q, u, Q up to errors of order spacing²."""
    clusters = []
    for r, charge, dipole, quadrupole in zip(positions, q, u, Q, strict=True):
        size = np.linalg.norm(dipole)
        values, vectors = np.linalg.eigh(quadrupole)
        places, charges = [np.zeros(3)], [charge]
        for sign in (1, -1):
            places.append(sign * 0.5 * spacing * dipole / size)
            charges.append(sign * size / spacing)
            for value, vector in zip(values, vectors.T, strict=True):
                places.append(sign * spacing * vector)
                charges.append(value / (2 * spacing**2))
        clusters.append((r + np.array(places), np.array(charges)))
    return clusters
