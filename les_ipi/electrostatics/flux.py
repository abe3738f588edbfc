"""Dipole of induced charge relative to the moments that induce it, which Born effective charges in a crystal contain.

Induced charges Δq_j = −κ_j φ_j answer to all images of a source, so that their distance from it is not the one between two
positions in the cell. Their dipole relative to the source is nevertheless well defined. It is a sum over wave vectors that
contains the slope of the kernel.
"""

import torch
from torch import Tensor

from les_ipi.electrostatics.ewald import reciprocal_vectors
from les_ipi.electrostatics.multipoles import Multipoles
from les_ipi.electrostatics.window import LongRangeKernel, window_and_slope


def induced_charge_cloud(
    positions: Tensor,
    cell: Tensor,
    moments: Multipoles,
    receivers: Tensor,
    kappa: Tensor,
    modes: Tensor,
    kernel: LongRangeKernel,
) -> Tensor:
    """Dipole of the induced charges, each relative to the source that induces it, (B, 3) e·Å.

    D = −Σ_k Σ_j κ_j Σ_n (r_j + n − r_k) φ⁽ᵏ⁾(r_j + n) = 2 Σ_{half sphere} Im[(4 w′(k²) k S* + 2 w ∂S*/∂k) K]/V, with S of
    the moments, ∂S/∂k = Σ (i u − Q·k) e^{ik·r} and K = Σ_j κ_j e^{ik·r_j}. The term k = 0, which is the macroscopic field,
    is left out.

    Parameters: ``positions`` (B, N, 3) of the sources and ``receivers`` (B, N, 3) of κ, which are the same points but
    separate variables; ``kappa`` (B, N, C) e/V; the others are as in
    :func:`les_ipi.electrostatics.multipoles.periodic_potentials`. The result can be differentiated with respect to
    ``positions`` and ``moments``.
    Source: derived in docs/explanation/multipoles.md.
    """
    G, volume = reciprocal_vectors(cell)
    k = modes.to(G.dtype) @ G
    weight, slope = window_and_slope(kernel, (k * k).sum(-1))
    phase = positions @ k.transpose(1, 2)
    cosine, sine = torch.cos(phase), torch.sin(phase)
    q, u, Q = moments
    real, imaginary = torch.einsum("bnc,bnk->bck", q, cosine), torch.einsum("bnc,bnk->bck", q, sine)
    # ∂S/∂k, direction x.
    real_slope = imaginary_slope = torch.zeros(1, dtype=k.dtype, device=k.device)
    if u is not None:
        even, odd = torch.einsum("bnxc,bnk->bxck", u, cosine), torch.einsum("bnxc,bnk->bxck", u, sine)
        real = real - torch.einsum("bxck,bkx->bck", odd, k)
        imaginary = imaginary + torch.einsum("bxck,bkx->bck", even, k)
        real_slope, imaginary_slope = -odd, even
    if Q is not None:
        even = torch.einsum("bnxyc,bnk,bky->bxck", Q, cosine, k)
        odd = torch.einsum("bnxyc,bnk,bky->bxck", Q, sine, k)
        real = real - 0.5 * torch.einsum("bxck,bkx->bck", even, k)
        imaginary = imaginary - 0.5 * torch.einsum("bxck,bkx->bck", odd, k)
        real_slope, imaginary_slope = real_slope - even, imaginary_slope - odd
    there = receivers @ k.transpose(1, 2)
    K_real, K_imaginary = kappa.transpose(1, 2) @ torch.cos(there), kappa.transpose(1, 2) @ torch.sin(there)
    twist = 4.0 * slope[:, None] * (real * K_imaginary - imaginary * K_real)
    cloud = torch.einsum("bck,bkx->bx", twist, k)
    if u is not None or Q is not None:
        twist = real_slope * K_imaginary[:, None] - imaginary_slope * K_real[:, None]
        cloud = cloud + 2.0 * (weight[:, None, None] * twist).sum((2, 3))
    return 2.0 * cloud / volume[:, None]
