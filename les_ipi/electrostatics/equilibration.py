"""Charges that minimise an energy under a fixed total charge, which are the solution of one linear system.

Shapes are as in :mod:`les_ipi.electrostatics.ewald`, with one channel. Everything can be differentiated to any order,
because the derivative of a solution follows from the equation that it solves.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from les_ipi.electrostatics.ewald import reciprocal_vectors
from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.units import COULOMB, HALF_INVERSE_EPSILON_0


class Equilibrium(NamedTuple):
    """Charges of least energy, their energy and their chemical potential.

    =================  =======  ===================================================================================
    field              shape    meaning, unit
    =================  =======  ===================================================================================
    energy             (B,)     Σ χ q + ½ q·(J + A)·q, eV
    charges            (B, N)   e; zero where padded
    chemical_potential (B,)     ∂E/∂Q = χ_i + J_i q_i + φ_i, the same for all atoms, V
    =================  =======  ===================================================================================
    """

    energy: Tensor
    charges: Tensor
    chemical_potential: Tensor


def isolated_coulomb(positions: Tensor, kernel: LongRangeKernel) -> Tensor:
    """Interaction of unit Gaussian charges in isolated structures, A_ij = k_e erf(r/(√2σ))/r, A_ii = k_e √(2/π)/σ.

    Parameters: ``positions`` (B, N, 3) Å. Returns (B, N, N) eV/e², positive semidefinite.
    """
    delta = positions[:, :, None, :] - positions[:, None, :, :]
    same = torch.eye(positions.shape[1], dtype=positions.dtype, device=positions.device)
    # On the diagonal any distance does: it is replaced. The floor is for padded atoms, which sit on top of each other.
    r = torch.sqrt(torch.clamp((delta * delta).sum(-1) + same, min=1e-12))
    pair = COULOMB * torch.erf(r / (math.sqrt(2.0) * kernel.sigma)) / r
    return pair * (1.0 - same) + 2.0 * kernel.isolated_self_energy * same


def periodic_coulomb(positions: Tensor, cell: Tensor, modes: Tensor, kernel: LongRangeKernel) -> Tensor:
    """Interaction of unit Gaussian charges in crystals with conducting boundaries, 4 Σ_{half sphere} w(k)/V cos k·(r_i − r_j).

    Parameters: as :func:`les_ipi.electrostatics.ewald.periodic_energy`. Returns (B, N, N) eV/e², positive semidefinite;
    memory O(N K + N²).
    """
    G, volume = reciprocal_vectors(cell)
    k = modes.to(G.dtype) @ G
    weight = 4.0 * kernel.weight((k * k).sum(-1)) / volume[:, None]
    phase = positions @ k.transpose(1, 2)
    cosine, sine = torch.cos(phase), torch.sin(phase)
    weighted = weight[:, None]
    return (weighted * cosine) @ cosine.transpose(1, 2) + (weighted * sine) @ sine.transpose(1, 2)


def slab_coulomb(positions: Tensor, cell: Tensor, kernel: LongRangeKernel) -> Tensor:
    """Interaction that turns :func:`periodic_coulomb` into that of a slab, −A/V [(z_i − z_j)² + L²/6 + σ²], (B, N, N) eV/e².

    It is :func:`les_ipi.electrostatics.multipoles.slab_correction` for charges, written as a matrix.
    """
    area = torch.linalg.cross(cell[:, 0], cell[:, 1])
    volume = (area * cell[:, 2]).sum(-1).abs()
    size = area.norm(dim=-1)
    z = (positions * (area / size[:, None])[:, None]).sum(-1)
    apart = z[:, :, None] - z[:, None, :]
    extent = ((volume / size) ** 2 / 6.0 + kernel.sigma**2)[:, None, None]
    return -(HALF_INVERSE_EPSILON_0 / volume)[:, None, None] * (apart * apart + extent)


def equilibrate(
    electronegativity: Tensor, hardness: Tensor, coulomb: Tensor, total: Tensor, mask: Tensor
) -> Equilibrium:
    """Charges that minimise E(q) = Σ χ_i q_i + ½ Σ J_i q_i² + ½ Σ_ij A_ij q_i q_j under the constraint Σ q = Q.

    With a multiplier μ the condition of a minimum is the linear system (J + A) q − μ 1 = −χ, 1·q = Q. The minimum is unique
    because J is positive and A has no negative eigenvalue. Since E is stationary in q, forces need no derivative of the
    charges.

    Parameters: ``electronegativity`` (B, N) V; ``hardness`` (B, N) eV/e²; ``coulomb`` (B, N, N) eV/e², self-interaction of the
    Gaussians included; ``total`` (B,) e; ``mask`` (B, N), 1 for real atoms. Returns :class:`Equilibrium`.
    Source: doi:10.1021/j100161a070 (charge equilibration); doi:10.1038/s41467-020-20427-2 (with learned χ).
    """
    diagonal = torch.diag_embed(hardness * mask + (1.0 - mask))
    matrix = coulomb * mask[:, :, None] * mask[:, None, :] + diagonal
    border = mask[:, :, None]
    corner = torch.zeros_like(total)[:, None, None]
    bordered = torch.cat(
        [torch.cat([matrix, -border], dim=2), torch.cat([border.transpose(1, 2), corner], dim=2)], dim=1
    )
    right = torch.cat([-electronegativity * mask, total[:, None]], dim=1)
    solution = torch.linalg.solve(bordered, right)
    charges, potential = solution[:, :-1], solution[:, -1]
    # Rounding of the solve must not become a net charge.
    charges = (charges + ((total - (charges * mask).sum(1)) / mask.sum(1))[:, None]) * mask
    energy = (electronegativity * mask * charges).sum(1)
    energy = energy + 0.5 * (charges * (matrix @ charges[..., None])[..., 0]).sum(1)
    return Equilibrium(energy, charges, potential)
