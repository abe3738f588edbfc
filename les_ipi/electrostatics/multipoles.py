"""Potential, field and field gradient that smeared charges, dipoles and quadrupoles cause at the atoms, and their energy.

Shapes are as in :mod:`les_ipi.electrostatics.ewald`, and the channel is the last index of every moment. Every function can be
differentiated to any order, so that forces, the virial and responses follow by automatic differentiation.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from les_ipi.electrostatics.ewald import reciprocal_vectors
from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.units import HALF_INVERSE_EPSILON_0

#: Phases (structures × atoms × wave vectors) in memory at a time; the rest is computed again in the backward pass.
_PHASES = 2**23


class Multipoles(NamedTuple):
    """Latent moments of the atoms of B structures; padded atoms carry zeros.

    ===========  ===============  ====================================================================
    field        shape            meaning, unit
    ===========  ===============  ====================================================================
    charges      (B, N, C)        e
    dipoles      (B, N, 3, C)     e·Å, or None
    quadrupoles  (B, N, 3, 3, C)  traceless second moments Σ q x_a x_b, symmetric, e·Å², or None
    ===========  ===============  ====================================================================

    The source operator is q + u·∇ + ½ Q:∇∇, so Q is two thirds of the traceless moment Σ q (3 x_a x_b − r² δ_ab)/2.
    """

    charges: Tensor
    dipoles: Tensor | None = None
    quadrupoles: Tensor | None = None

    @property
    def rank(self) -> int:
        """Rank of the highest moment: 0, 1 or 2."""
        return 2 if self.quadrupoles is not None else 1 if self.dipoles is not None else 0


class Potentials(NamedTuple):
    """Potential, field and field gradient at the atoms, which are derivatives of the interaction energy.

    What a moment feels of itself is left out if the kernel removes self-interactions.

    ==============  ===============  ==================================================
    field           shape            meaning, unit
    ==============  ===============  ==================================================
    potential       (B, N, C)        φ = ∂E/∂q, V
    field           (B, N, 3, C)     −∂E/∂u, V/Å, or None
    field_gradient  (B, N, 3, 3, C)  ∇_a E_b = −2 ∂E/∂Q_ab, V/Å², or None
    ==============  ===============  ==================================================
    """

    potential: Tensor
    field: Tensor | None = None
    field_gradient: Tensor | None = None


def traceless(tensor: Tensor) -> Tensor:
    """Symmetric traceless part of (B, N, 3, 3, C) tensors."""
    symmetric = 0.5 * (tensor + tensor.transpose(2, 3))
    trace = symmetric.diagonal(dim1=2, dim2=3).sum(-1) / 3.0
    identity = torch.eye(3, dtype=tensor.dtype, device=tensor.device)[:, :, None]
    return symmetric - trace[:, :, None, None] * identity


def traceless_second_moment(positions: Tensor, moments: Multipoles, origin: Tensor) -> Tensor:
    """Quadrupole of whole structures, Σ_i (q x x + u x + x u + Q) without its trace, with x = r − origin; (B, 3, 3) e·Å².

    It is two thirds of the moment Σ q (3 x_a x_b − r² δ_ab)/2. Parameters: ``positions`` (B, N, 3) Å; ``origin`` (B, 3) Å.
    """
    x = positions - origin[:, None]
    total = torch.einsum("bnc,bnx,bny->bxy", moments.charges, x, x)
    if moments.dipoles is not None:
        mixed = torch.einsum("bnxc,bny->bxy", moments.dipoles, x)
        total = total + mixed + mixed.transpose(1, 2)
    if moments.quadrupoles is not None:
        total = total + moments.quadrupoles.sum((1, 4))
    return traceless(total[:, None, :, :, None])[:, 0, :, :, 0]


def interaction_energy(moments: Multipoles, potentials: Potentials) -> Tensor:
    """Energy of the moments in their own potentials: E = ½ Σ_i (q φ − u·E − ½ Q:∇E), (B,) eV.

    ``potentials`` must reach the rank of ``moments``.
    """
    energy = (moments.charges * potentials.potential).sum((1, 2))
    if moments.dipoles is not None:
        energy = energy - (moments.dipoles * potentials.field).sum((1, 2, 3))
    if moments.quadrupoles is not None:
        energy = energy - 0.5 * (moments.quadrupoles * potentials.field_gradient).sum((1, 2, 3, 4))
    return 0.5 * energy


def periodic_potentials(
    positions: Tensor, cell: Tensor, moments: Multipoles, modes: Tensor, kernel: LongRangeKernel, rank: int | None = None
) -> Potentials:
    """Potentials of periodic structures under conducting boundary conditions.

    S(k) = Σ_i (q_i + i k·u_i − ½ k·Q_i·k) e^{ik·r_i};  φ_i = 4 Σ_{half sphere} w(k)/V Re[e^{−ik·r_i} S(k)], and its
    derivatives with respect to r_i. The term k = 0 is left out, which means that a uniform background neutralises a net
    charge. Where there are more than 2²³ pairs of atoms and wave vectors, they are summed in blocks, and the memory grows
    as O(N + K) only.

    Parameters:
        positions: (B, N, 3) Å.
        cell: (B, 3, 3) Å, rows are lattice vectors, any triclinic cell of either handedness.
        moments: of shape (B, N, ..., C).
        modes: (B, K, 3) from :func:`les_ipi.electrostatics.ewald.padded_modes`.
        kernel: smearing and window.
        rank: 0 for the potential, 1 for the field too, 2 for the field gradient too; the rank of the moments if None.

    Returns: :class:`Potentials`.
    Source: doi:10.1038/s41524-025-01577-7; multipoles: doi:10.1063/1.481216.
    """
    rank = moments.rank if rank is None else rank
    G, volume = reciprocal_vectors(cell)
    k = modes.to(G.dtype) @ G
    weight = 4.0 * kernel.weight((k * k).sum(-1)) / volume[:, None]
    sources = moment_rows(moments)
    B, N, _ = moments.charges.shape
    step = max(32, _PHASES // (B * N))
    blocks = [slice(first, first + step) for first in range(0, k.shape[1], step)]
    arguments = [(positions, k[:, part], weight[:, part], sources, moments.rank, rank) for part in blocks]
    rows = _sum_of_blocks(_mode_block, arguments)
    return potentials_of_rows(rows, rank, moments, kernel)


def slab_correction(
    positions: Tensor, cell: Tensor, moments: Multipoles, kernel: LongRangeKernel, rank: int | None = None
) -> Potentials:
    """Potentials that turn the sum of a crystal into that of a slab, which repeats along a and b and has vacuum along c.

    They are the derivatives of the energy A/V (M² − Q Θ − Q² (L²/12 + σ²/2)), with z along a × b, the total charge Q,
    M = Σ (q z + u_z), Θ = Σ (q z² + 2 u_z z + Q_zz) and L = V/|a × b|. The interaction with images along c that remains
    decays as exp(−2π d/a), where d is the thickness of the vacuum. Positions must not be folded into the cell along c.

    Parameters and result: as :func:`periodic_potentials`, to whose potentials these are added.
    Source: doi:10.1063/1.479595 (neutral), doi:10.1063/1.3216473 (net charge); moments and smearing:
    docs/explanation/multipoles.md.
    """
    rank = moments.rank if rank is None else rank
    area = torch.linalg.cross(cell[:, 0], cell[:, 1])
    volume = (area * cell[:, 2]).sum(-1).abs()
    normal = area / area.norm(dim=-1, keepdim=True)
    length = volume / area.norm(dim=-1)
    z = (positions * normal[:, None]).sum(-1, keepdim=True)
    q = moments.charges
    total, dipole, second = q.sum(1, keepdim=True), (q * z).sum(1, keepdim=True), (q * z * z).sum(1, keepdim=True)
    if moments.dipoles is not None:
        along = torch.einsum("bnxc,bx->bnc", moments.dipoles, normal)
        dipole = dipole + along.sum(1, keepdim=True)
        second = second + 2.0 * (along * z).sum(1, keepdim=True)
    if moments.quadrupoles is not None:
        second = second + torch.einsum("bnxyc,bx,by->bc", moments.quadrupoles, normal, normal)[:, None]
    factor = (HALF_INVERSE_EPSILON_0 / volume)[:, None, None]
    size = (length**2 / 6.0 + kernel.sigma**2)[:, None, None]
    potential = factor * (2.0 * dipole * z - second - total * (z * z + size))
    field = gradient = None
    if rank >= 1:
        field = -(factor * (2.0 * dipole - 2.0 * total * z))[:, :, None] * normal[:, None, :, None]
    if rank >= 2:
        outer = (normal[:, :, None] * normal[:, None, :])[:, None, :, :, None]
        gradient = ((2.0 * factor * total)[:, :, None, None] * outer).expand(-1, q.shape[1], -1, -1, -1)
    return Potentials(potential, field, gradient)


def slab_potentials(
    positions: Tensor, cell: Tensor, moments: Multipoles, modes: Tensor, kernel: LongRangeKernel, rank: int | None = None
) -> Potentials:
    """Potentials of slabs, the sum of :func:`periodic_potentials` and :func:`slab_correction`, with the same parameters."""
    periodic = periodic_potentials(positions, cell, moments, modes, kernel, rank)
    correction = slab_correction(positions, cell, moments, kernel, rank)
    return Potentials(*(None if x is None else x + y for x, y in zip(periodic, correction, strict=True)))


def moment_rows(moments: Multipoles) -> Tensor:
    """Moments of all ranks below each other as one matrix (B, F, N), where F is C, 4C or 13C for the ranks 0, 1 and 2."""
    B, N, _ = moments.charges.shape
    parts = [x.reshape(B, N, -1) for x in moments if x is not None]
    return torch.cat(parts, dim=2).transpose(1, 2)


def potentials_of_rows(rows: Tensor, rank: int, moments: Multipoles, kernel: LongRangeKernel) -> Potentials:
    """Potentials φ, −∇φ and −∇∇φ from the rows of :func:`felt_by_atoms`, less what every moment feels of itself."""
    B, N, C = moments.charges.shape
    columns = rows.transpose(1, 2)
    field = -columns[:, :, C : 4 * C].reshape(B, N, 3, C) if rank >= 1 else None
    gradient = -columns[:, :, 4 * C : 13 * C].reshape(B, N, 3, 3, C) if rank >= 2 else None
    return _without_self(Potentials(columns[:, :, :C], field, gradient), moments, kernel)


def waves_at_atoms(positions: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """cos k·r and sin k·r (B, N, K) of positions (B, N, 3) and wave vectors (B, K, 3)."""
    phase = positions @ k.transpose(1, 2)
    return torch.cos(phase), torch.sin(phase)


def structure_factor(sources: Tensor, cosine: Tensor, sine: Tensor, k: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary part (B, C, K) of S(k) of moments up to a rank.

    Parameters: ``sources`` rows of :func:`moment_rows`; ``cosine`` and ``sine`` of k·r (B, N, K); ``k`` (B, K, 3).
    """
    even, odd = sources @ cosine, sources @ sine
    B, K, _ = k.shape
    C = sources.shape[1] // (1, 4, 13)[rank]
    direction = k.transpose(1, 2)
    real, imaginary = even[:, :C], odd[:, :C]
    if rank >= 1:
        real = real - (odd[:, C : 4 * C].view(B, 3, C, K) * direction[:, :, None]).sum(1)
        imaginary = imaginary + (even[:, C : 4 * C].view(B, 3, C, K) * direction[:, :, None]).sum(1)
    if rank >= 2:
        outer = (direction[:, :, None] * direction[:, None, :]).view(B, 9, 1, K)
        real = real - 0.5 * (even[:, 4 * C :].view(B, 9, C, K) * outer).sum(1)
        imaginary = imaginary - 0.5 * (odd[:, 4 * C :].view(B, 9, C, K) * outer).sum(1)
    return real, imaginary


def felt_by_atoms(real: Tensor, imaginary: Tensor, cosine: Tensor, sine: Tensor, k: Tensor, rank: int) -> Tensor:
    """Σ_k Re[e^{−ik·r_i} S(k)] of a weighted S (B, C, K) and its derivatives by r_i up to a rank, as rows (B, F, N)."""
    direction = k.transpose(1, 2)[:, :, None]
    with_cosine, with_sine = [real], [imaginary]
    for _ in range(rank):
        # ∇ of a cos + b sin is k (b cos − a sin); every further derivative is the slowest index.
        a, b = with_cosine[-1], with_sine[-1]
        with_cosine.append((direction * b[:, None]).flatten(1, 2))
        with_sine.append((-direction * a[:, None]).flatten(1, 2))
    return torch.cat(with_cosine, 1) @ cosine.transpose(1, 2) + torch.cat(with_sine, 1) @ sine.transpose(1, 2)


def _mode_block(positions: Tensor, k: Tensor, weight: Tensor, sources: Tensor, given: int, wanted: int) -> Tensor:
    """Contribution of some wave vectors k (B, K, 3) to φ, ∇φ and ∇∇φ at the atoms, as rows (B, F, N)."""
    waves = waves_at_atoms(positions, k)
    factor = structure_factor(sources, *waves, k, given)
    return felt_by_atoms(*(weight[:, None] * x for x in factor), *waves, k, wanted)


def _sum_of_blocks(function: Callable[..., Tensor], arguments: list[tuple]) -> Tensor:
    """Sum of a function over blocks; where there are several, each is computed again in the backward pass to save memory."""
    if len(arguments) == 1:
        return function(*arguments[0])
    total = None
    for given in arguments:
        term = checkpoint(function, *given, use_reentrant=False)
        total = term if total is None else total + term
    return total


def _without_self(potentials: Potentials, moments: Multipoles, kernel: LongRangeKernel) -> Potentials:
    """Potentials without what every moment feels of itself; a charge and a traceless quadrupole do not interact there."""
    if not kernel.remove_self:
        return potentials
    potential, field, gradient = potentials
    potential = potential - 2.0 * kernel.self_energy * moments.charges
    if field is not None and moments.dipoles is not None:
        field = field + 2.0 * kernel.dipole_self_energy * moments.dipoles
    if gradient is not None:
        # A charge has a field gradient at its own centre, isotropic and without effect on a traceless quadrupole.
        identity = torch.eye(3, dtype=field.dtype, device=field.device)[:, :, None]
        gradient = gradient - 2.0 * kernel.dipole_self_energy * moments.charges[:, :, None, None] * identity
        if moments.quadrupoles is not None:
            gradient = gradient + 4.0 * kernel.quadrupole_self_energy * moments.quadrupoles
    return Potentials(potential, field, gradient)
