"""Potentials of smeared multipoles in isolated structures, as sums over pairs that are exact at every distance."""

import math

import torch
from torch import Tensor

from les_ipi.electrostatics.multipoles import Multipoles, Potentials
from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.units import COULOMB

#: Below this x = r²/(2σ²) the Boys functions come from their series (22 terms: 1e-17), above from erf.
_SERIES_BELOW, _SERIES_TERMS = 2.0, 24


def boys_functions(x: Tensor, highest: int) -> list[Tensor]:
    """F_n(x) = ∫₀¹ t^{2n} exp(−x t²) dt for n = 0 … highest and x ≥ 0, dimensionless, shape of ``x``.

    For small x the highest function comes from its series e^{−x} Σ_m (2x)^m / ((2n+1)(2n+3)…(2n+2m+1)) and the others from
    the recursion downwards. For large x the lowest one is √(π/x) erf(√x)/2 and the others come from the recursion upwards.
    Each way is used only where it does not lose digits.
    """
    small, large = torch.clamp(x, max=_SERIES_BELOW), torch.clamp(x, min=_SERIES_BELOW)
    decay = torch.exp(-small)
    term = decay / (2 * highest + 1)
    last = term
    for m in range(1, _SERIES_TERMS):
        term = term * (2.0 * small / (2 * highest + 2 * m + 1))
        last = last + term
    below = [last]
    for n in range(highest, 0, -1):
        below.append((2.0 * small * below[-1] + decay) / (2 * n - 1))
    root = torch.sqrt(large)
    above = [0.5 * math.sqrt(math.pi) * torch.erf(root) / root]
    tail = torch.exp(-large)
    for n in range(1, highest + 1):
        above.append(((2 * n - 1) * above[-1] - tail) / (2.0 * large))
    return [torch.where(x < _SERIES_BELOW, b, a) for b, a in zip(reversed(below), above, strict=True)]


def isolated_potentials(
    positions: Tensor, moments: Multipoles, kernel: LongRangeKernel, rank: int | None = None
) -> Potentials:
    """Potentials of isolated structures with the pair kernel erf(r/(√2σ))/r and its derivatives.

    With R = r_i − r_j and B_n = ((1/R) d/dR)^n erf(aR)/R = (2a/√π) (−2a²)^n F_n(a²R²), a = 1/(√2σ):
    φ_i = k_e Σ_j [q B_0 − u·R B_1 + ½ R·Q·R B_2]_j, and its derivatives with respect to r_i.

    Parameters: ``positions`` (B, N, 3) Å; ``moments``; ``kernel``; ``rank`` as in
    :func:`les_ipi.electrostatics.multipoles.periodic_potentials`. Returns :class:`Potentials`; memory O(N²).
    Source: doi:10.1063/1.481216 (pair tensors); doi:10.1038/s41524-025-01577-7 (kernel).
    """
    rank = moments.rank if rank is None else rank
    q, u, Q = moments
    a = 1.0 / (math.sqrt(2.0) * kernel.sigma)
    R = positions[:, :, None, :] - positions[:, None, :, :]
    others = COULOMB * torch.ones(R.shape[1:3], dtype=R.dtype, device=R.device)
    if kernel.remove_self:
        others = others * (1.0 - torch.eye(R.shape[1], dtype=R.dtype, device=R.device))
    values = boys_functions(a * a * (R * R).sum(-1), moments.rank + rank)
    kernels = [2.0 * a / math.sqrt(math.pi) * (-2.0 * a * a) ** n * others * value for n, value in enumerate(values)]

    # s_n = q B_n − u·R B_{n+1} + ½ R·Q·R B_{n+2} of every pair: the scalar part of the nth derivative.
    along = None if u is None else torch.einsum("bijx,bjxc->bijc", R, u)
    twice = None if Q is None else torch.einsum("bijx,bijy,bjxyc->bijc", R, R, Q)

    def scalar(n: int) -> Tensor:
        total = kernels[n][..., None] * q[:, None]
        if along is not None:
            total = total - kernels[n + 1][..., None] * along
        if twice is not None:
            total = total + 0.5 * kernels[n + 2][..., None] * twice
        return total

    potential = scalar(0).sum(2)
    field = gradient = None
    if rank >= 1:
        slope = scalar(1)
        field = -torch.einsum("bijx,bijc->bixc", R, slope)
        if u is not None:
            field = field + torch.einsum("bij,bjxc->bixc", kernels[1], u)
        if Q is not None:
            field = field - torch.einsum("bijy,bjxyc->bixc", kernels[2][..., None] * R, Q)
    if rank >= 2:
        outer = R[..., :, None] * R[..., None, :]
        identity = torch.eye(3, dtype=R.dtype, device=R.device)[:, :, None]
        curvature = torch.einsum("bijxy,bijc->bixyc", outer, scalar(2)) + slope.sum(2)[:, :, None, None] * identity
        if u is not None:
            mixed = torch.einsum("bijx,bjyc->bixyc", kernels[2][..., None] * R, u)
            curvature = curvature - mixed - mixed.transpose(2, 3)
        if Q is not None:
            mixed = torch.einsum("bijxz,bjzyc->bixyc", kernels[3][..., None, None] * outer, Q)
            curvature = curvature + mixed + mixed.transpose(2, 3) + torch.einsum("bij,bjxyc->bixyc", kernels[2], Q)
        gradient = -curvature
    return Potentials(potential, field, gradient)
