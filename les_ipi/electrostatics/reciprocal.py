"""The latent Ewald sum with its derivatives in closed form: what molecular dynamics evaluates, without a graph."""

from typing import NamedTuple

import torch
from torch import Tensor

from les_ipi.electrostatics.ewald import isolated_energy, reciprocal_vectors
from les_ipi.electrostatics.window import LongRangeKernel

#: Phases kept at a time (structures × atoms × wave vectors): small enough for a processor's cache.
_PHASES_CPU, _PHASES_GPU = 2**18, 2**26


class LongRange(NamedTuple):
    """Long-range energy of B structures and its derivatives.

    =========  =========  ==========================================================
    field      shape      meaning, unit
    =========  =========  ==========================================================
    energy     (B,)       eV, float64
    potential  (B, N, C)  ∂E/∂q in V
    gradient   (B, N, 3)  ∂E/∂r at fixed charges, eV/Å
    strain     (B, 3, 3)  ∂E/∂ε under r → r(1+ε), h → h(1+ε) at fixed charges, eV
    =========  =========  ==========================================================
    """

    energy: Tensor
    potential: Tensor
    gradient: Tensor
    strain: Tensor


def window_and_slope(kernel: LongRangeKernel, k2: Tensor) -> tuple[Tensor, Tensor]:
    """w(k²) and dw/d(k²) of :meth:`LongRangeKernel.weight`, without a graph; shape of ``k2``."""
    with torch.enable_grad():
        leaf = k2.detach().requires_grad_()
        weight = kernel.weight(leaf)
        (slope,) = torch.autograd.grad(weight.sum(), leaf)
    return weight.detach(), slope


def phases_at_a_time(positions: Tensor) -> int:
    """Wave vectors to sum over at a time for positions (B, N, 3)."""
    limit = _PHASES_CPU if positions.device.type == "cpu" else _PHASES_GPU
    return max(32, limit // (positions.shape[0] * positions.shape[1]))


@torch.no_grad()
def periodic_sum(positions: Tensor, cell: Tensor, charges: Tensor, modes: Tensor, kernel: LongRangeKernel) -> LongRange:
    """:func:`les_ipi.electrostatics.ewald.periodic_energy` and its derivatives; memory O(N + K).

    With W = 2w(k²)/V and S(k) = Σ_i q_i e^{ik·r_i}: φ_i = 2 Σ_k W Re(S* e^{ik·r_i}) − 2 E_self q_i,
    ∂E/∂r_i = −2 q_i Σ_k W k Im(S* e^{ik·r_i}), ∂E/∂ε = Σ_k |S|² (−4w′(k²)/V k⊗k − W 1).

    Parameters: as there; positions (B, N, 3) folded into the cell. Source: doi:10.1038/s41524-025-01577-7.
    """
    G, volume = reciprocal_vectors(cell)
    k = modes.to(G.dtype) @ G
    k2 = (k * k).sum(-1)
    weight, slope = (2.0 * w / volume[:, None] for w in window_and_slope(kernel, k2))
    q = charges.transpose(1, 2)
    potential, gradient = torch.zeros_like(q), torch.zeros_like(positions)
    power = torch.empty_like(k2)
    step = phases_at_a_time(positions)
    for first in range(0, k.shape[1], step):
        part = slice(first, first + step)
        phase = positions @ k[:, part].transpose(1, 2)
        cosine, sine = torch.cos(phase), torch.sin(phase)
        real, imaginary = q @ cosine, q @ sine
        power[:, part] = (real * real + imaginary * imaginary).sum(1)
        real, imaginary = weight[:, None, part] * real, weight[:, None, part] * imaginary
        potential += 2.0 * (real @ cosine.transpose(1, 2) + imaginary @ sine.transpose(1, 2))
        # One matrix product for each channel and direction: Σ_k (Im cos − Re sin) k.
        for c in range(q.shape[1]):
            twist = cosine * imaginary[:, c, None] - sine * real[:, c, None]
            gradient += 2.0 * charges[:, :, c, None] * (twist @ k[:, part])
    energy = (weight.double() * power.double()).sum(1)
    strain = -2.0 * torch.einsum("bk,bka,bkc->bac", slope * power, k, k)
    strain -= energy[:, None, None].to(strain.dtype) * torch.eye(3, dtype=strain.dtype, device=strain.device)
    if kernel.remove_self:
        energy = energy - kernel.self_energy * (charges * charges).double().sum((1, 2))
        potential = potential - 2.0 * kernel.self_energy * q
    return LongRange(energy, potential.transpose(1, 2), gradient, strain)


def isolated_sum(positions: Tensor, charges: Tensor, kernel: LongRangeKernel) -> LongRange:
    """:func:`les_ipi.electrostatics.ewald.isolated_energy` and its derivatives, of one and the same size."""
    with torch.enable_grad():
        r, q = positions.detach().requires_grad_(), charges.detach().requires_grad_()
        energy = isolated_energy(r, q, kernel)
        gradient, potential = torch.autograd.grad(energy.sum(), (r, q))
    return LongRange(energy.detach().double(), potential, gradient, r.detach().transpose(1, 2) @ gradient)
