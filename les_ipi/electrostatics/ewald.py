"""Energy of smeared latent charges, as a sum over wave vectors in a crystal and over pairs of atoms in a molecule.

Tensors hold B structures that are padded to N atoms and K wave vectors, with C latent channels. Padded atoms carry no
charge, and padded wave vectors are zero, so that neither contributes. Channels do not interact with each other, and their
energies add.
"""

import math

import numpy as np
import torch
from torch import Tensor

from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.units import COULOMB


def half_sphere_modes(cell: np.ndarray, k_cutoff: float) -> np.ndarray:
    """Integer triples n of the wave vectors k = n·G inside the cutoff, with only one of k and −k.

    Since n_a = k·a/(2π) along each lattice vector a, the bound |n_a| ≤ k_c |a|/(2π) misses no wave vector of any triclinic
    cell.

    Parameters: ``cell`` (3, 3) Å, rows are lattice vectors; ``k_cutoff`` 1/Å. Returns integers of shape (K, 3).
    """
    cell = np.asarray(cell, dtype=float)
    limits = np.floor(k_cutoff * np.linalg.norm(cell, axis=1) / (2 * np.pi) + 1e-9).astype(int)
    axes = [np.arange(-m, m + 1) for m in limits]
    n = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    upper = (n[:, 0] > 0) | ((n[:, 0] == 0) & ((n[:, 1] > 0) | ((n[:, 1] == 0) & (n[:, 2] > 0))))
    n = n[upper]
    k = n @ (2 * np.pi * np.linalg.inv(cell).T)
    return n[(k**2).sum(1) <= k_cutoff**2 * (1 + 1e-12)]


def padded_modes(cells: np.ndarray, periodic: np.ndarray, k_cutoff: float, least: int = 1) -> np.ndarray:
    """Wave vectors of several structures, see :func:`half_sphere_modes`, as integers (B, K, 3) that are padded with zeros.

    Parameters: ``cells`` (B, 3, 3) Å; ``periodic`` (B,) bool, a structure with False gets zeros only; ``k_cutoff`` 1/Å;
    ``least`` is the smallest K.
    """
    lists = [
        half_sphere_modes(c, k_cutoff) if p else np.zeros((0, 3), int) for c, p in zip(cells, periodic, strict=True)
    ]
    modes = np.zeros((len(lists), max(least, *(len(n) for n in lists)), 3), dtype=np.int64)
    for row, n in zip(modes, lists, strict=True):
        row[: len(n)] = n
    return modes


def reciprocal_vectors(cell: Tensor) -> tuple[Tensor, Tensor]:
    """Reciprocal lattice vectors, the rows of G = 2π (h⁻¹)ᵀ (B, 3, 3) in 1/Å, and volumes |det h| (B,) in Å³."""
    a, b, c = cell.unbind(dim=1)
    bc, ca, ab = torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)
    determinant = (a * bc).sum(-1)
    G = 2 * math.pi * torch.stack([bc, ca, ab], dim=1) / determinant[:, None, None]
    return G, determinant.abs()


def periodic_energy(positions: Tensor, cell: Tensor, charges: Tensor, modes: Tensor, kernel: LongRangeKernel) -> Tensor:
    """Latent Ewald energy of periodic structures under conducting boundary conditions.

    E = 2 Σ_{k in half sphere} w(k) |S(k)|² − E_self Σ q²,  S(k) = Σ_i q_i exp(i k·r_i).
    The k = 0 term is left out: a net charge is neutralised by a uniform background.

    Parameters:
        positions: (B, N, 3) Å.
        cell: (B, 3, 3) Å, rows are lattice vectors, any triclinic cell of either handedness.
        charges: (B, N, C) e.
        modes: (B, K, 3) from :func:`padded_modes`.
        kernel: smearing and window.

    Returns: (B,) eV.
    Source: doi:10.1038/s41524-025-01577-7.
    """
    G, volume = reciprocal_vectors(cell)
    k = modes.to(G.dtype) @ G
    weight = 2.0 * kernel.weight((k * k).sum(-1)) / volume[:, None]
    phase = positions @ k.transpose(1, 2)
    q = charges.transpose(1, 2)
    real, imaginary = q @ torch.cos(phase), q @ torch.sin(phase)
    energy = (weight[:, None, :] * (real * real + imaginary * imaginary)).sum((1, 2))
    if kernel.remove_self:
        energy = energy - kernel.self_energy * (charges * charges).sum((1, 2))
    return energy


def isolated_energy(positions: Tensor, charges: Tensor, kernel: LongRangeKernel) -> Tensor:
    """Latent Coulomb energy of isolated structures: E = ½ k_e Σ_{i≠j} q_i q_j erf(r/(√2σ))/r (+ self term if kept).

    Parameters: ``positions`` (B, N, 3) Å; ``charges`` (B, N, C) e. Returns: (B,) eV.
    Source: doi:10.1038/s41524-025-01577-7.
    """
    delta = positions[:, :, None, :] - positions[:, None, :, :]
    r2 = (delta * delta).sum(-1)
    # The kernel is analytic at r = 0; the floor only keeps the gradient of the square root finite there.
    r = torch.sqrt(torch.clamp(r2, min=1e-12))
    pair = torch.erf(r / (math.sqrt(2.0) * kernel.sigma)) / r
    pair = pair * (1.0 - torch.eye(r.shape[-1], dtype=r.dtype, device=r.device))
    energy = 0.5 * COULOMB * (charges * (pair @ charges)).sum((1, 2))
    if not kernel.remove_self:
        energy = energy + kernel.isolated_self_energy * (charges * charges).sum((1, 2))
    return energy


def potential_at_atoms(energy: Tensor, charges: Tensor) -> Tensor:
    """Electrostatic potential φ_i = ∂E/∂q_i in V, shape of ``charges`` (B, N, C), by reverse differentiation."""
    (phi,) = torch.autograd.grad(energy.sum(), charges, create_graph=torch.is_grad_enabled(), retain_graph=True)
    return phi
