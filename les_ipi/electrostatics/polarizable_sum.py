"""Energy of multipoles and of their response in crystals, with all derivatives in closed form for molecular dynamics."""

from typing import NamedTuple

import torch
from torch import Tensor

from les_ipi.electrostatics.ewald import reciprocal_vectors
from les_ipi.electrostatics.multipoles import (
    Multipoles,
    Potentials,
    felt_by_atoms,
    interaction_energy,
    moment_rows,
    potentials_of_rows,
    structure_factor,
    waves_at_atoms,
)
from les_ipi.electrostatics.response import Response, linear_response
from les_ipi.electrostatics.window import LongRangeKernel, window_and_slope

#: Phases kept at a time (structures × atoms × wave vectors): small enough for a processor's cache.
_PHASES_CPU, _PHASES_GPU = 2**18, 2**26


class PolarizableSum(NamedTuple):
    """Energy of B structures and its derivatives, each of the shape of its variable.

    ========  ==========  ==========================================================================
    field     shape       meaning, unit
    ========  ==========  ==========================================================================
    energy    (B,)        eV
    response              induced moments
    moments               ∂E/∂q in V, ∂E/∂u in V/Å, ∂E/∂Q in V/Å², or None
    kappa     (B, N, C)   ∂E/∂κ in V², or None
    alpha                 ∂E/∂α in V²/Å², or None
    gradient  (B, N, 3)   ∂E/∂r at fixed moments, κ and α, eV/Å
    strain    (B, 3, 3)   ∂E/∂ε under r → r(1+ε), h → h(1+ε) at fixed moments, κ and α, eV
    ========  ==========  ==========================================================================
    """

    energy: Tensor
    response: Response
    moments: Multipoles
    kappa: Tensor | None
    alpha: Tensor | None
    gradient: Tensor
    strain: Tensor


@torch.no_grad()
def polarizable_sum(
    positions: Tensor,
    cell: Tensor,
    moments: Multipoles,
    kappa: Tensor | None,
    alpha: Tensor | None,
    modes: Tensor,
    kernel: LongRangeKernel,
) -> PolarizableSum:
    """E = ½ m·T·m − ½ Σ κφ² − ½ Σ E·α·E of periodic structures, with the potentials p = T·m of the moments m = (q, u, Q).

    Here T is the symmetric matrix of :func:`les_ipi.electrostatics.multipoles.periodic_potentials`, and the derivatives of
    the last two terms with respect to p are the induced moments δ = (−κφ, α·E). With all moments t = m + δ therefore

    ∂E/∂m = T·t,  ∂E/∂κ = −½ φ²,  ∂E/∂α = −½ E⊗E,  ∂E/∂r_i = m_i·∇(T·t)_i + δ_i·∇(T·m)_i,

    and a strain leaves k·r as it is, while it changes the window, the volume and the k that multiply u and Q.

    Parameters: as :func:`les_ipi.electrostatics.multipoles.periodic_potentials` and
    :func:`les_ipi.electrostatics.response.linear_response`, with positions folded into the cell. The memory grows as O(N + K).
    Source: arXiv:2605.05746 (response); the derivatives are ours.
    """
    G, volume = reciprocal_vectors(cell)
    k = modes.to(G.dtype) @ G
    weight, slope = (4.0 * w / volume[:, None] for w in window_and_slope(kernel, (k * k).sum(-1)))
    step = _phases_at_a_time(positions)
    blocks = [slice(first, first + step) for first in range(0, k.shape[1], step)]
    waves = [waves_at_atoms(positions, k[:, part]) for part in blocks] if len(blocks) == 1 else None

    def sums(given: Multipoles, wanted: int) -> tuple[Tensor, Tensor]:
        """Structure factor (2, B, C, K), and potential and derivatives at the atoms up to a rank (B, F, N)."""
        sources, factors, rows = moment_rows(given), [], 0.0
        for n, part in enumerate(blocks):
            wave = waves[n] if waves else waves_at_atoms(positions, k[:, part])
            factor = structure_factor(sources, *wave, k[:, part], given.rank)
            factors.append(torch.stack(factor))
            rows = rows + felt_by_atoms(*(weight[:, None, part] * x for x in factor), *wave, k[:, part], wanted)
        return torch.cat(factors, dim=-1), rows

    responds = kappa is not None or alpha is not None
    induced_rank = 2 if alpha is not None else 1
    S, rows = sums(moments, max(moments.rank, induced_rank) if responds else moments.rank + 1)
    rank = max(moments.rank, int(alpha is not None))
    felt = potentials_of_rows(rows, rank, moments, kernel)
    response = linear_response(felt, kappa, alpha)
    energy = interaction_energy(moments, felt) + response.energy
    total, S_total, rows_total = moments, S, rows
    if responds:
        total = _with_response(moments, response)
        S_total, rows_total = sums(total, moments.rank + 1)
    felt_total = potentials_of_rows(rows_total, moments.rank, total, kernel)
    gradient, strain = _moved(moments, rows_total)
    if responds:
        induced = _induced(response, moments)
        moved, strained = _moved(induced, rows)
        gradient, strain = gradient + moved, strain + strained
    # |S|² of the permanent moments with themselves counts half: E = Σ W (½ |S_m|² + Re S_m* S_δ).
    power = (S * (S_total - 0.5 * S)).sum((0, 2))
    strain = strain + _strain_of_waves(power, weight, slope, k)
    return PolarizableSum(
        energy,
        response,
        _slope(felt_total, moments),
        None if kappa is None else -0.5 * felt.potential**2,
        None if alpha is None else _outer(felt.field, alpha),
        gradient,
        strain,
    )


def _slope(felt: Potentials, moments: Multipoles) -> Multipoles:
    """∂E/∂m of the permanent moments from the potentials of all moments."""
    dipoles = None if moments.dipoles is None else -felt.field
    return Multipoles(felt.potential, dipoles, None if moments.quadrupoles is None else -0.5 * felt.field_gradient)


def _phases_at_a_time(positions: Tensor) -> int:
    """Wave vectors to sum over at a time for positions (B, N, 3)."""
    limit = _PHASES_CPU if positions.device.type == "cpu" else _PHASES_GPU
    return max(32, limit // (positions.shape[0] * positions.shape[1]))


def _induced(response: Response, moments: Multipoles) -> Multipoles:
    """Induced moments, whose charges are zero if only dipoles are induced."""
    charges = torch.zeros_like(moments.charges) if response.charges is None else response.charges
    return Multipoles(charges, response.dipoles)


def _with_response(moments: Multipoles, response: Response) -> Multipoles:
    induced = _induced(response, moments)
    dipoles = [x for x in (moments.dipoles, induced.dipoles) if x is not None]
    return Multipoles(moments.charges + induced.charges, sum(dipoles) if dipoles else None, moments.quadrupoles)


def _moved(moments: Multipoles, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient (B, N, 3) and the part of the strain (B, 3, 3) that moments have in rows that reach one rank higher."""
    B, N, C = moments.charges.shape
    columns = rows.transpose(1, 2)
    slope = columns[:, :, C : 4 * C].reshape(B, N, 3, C)
    gradient = (moments.charges[:, :, None] * slope).sum(-1)
    strain = torch.zeros(B, 3, 3, dtype=rows.dtype, device=rows.device)
    if moments.dipoles is not None:
        curvature = columns[:, :, 4 * C : 13 * C].reshape(B, N, 3, 3, C)
        gradient = gradient + (moments.dipoles[:, :, None] * curvature).sum((3, 4))
        strain = strain - torch.einsum("bnxc,bnyc->bxy", moments.dipoles, slope)
    if moments.quadrupoles is not None:
        third = columns[:, :, 13 * C : 40 * C].reshape(B, N, 3, 3, 3, C)
        gradient = gradient + 0.5 * torch.einsum("bnyzc,bnxyzc->bnx", moments.quadrupoles, third)
        strain = strain - torch.einsum("bnxzc,bnzyc->bxy", moments.quadrupoles, curvature)
    return gradient, strain


def _strain_of_waves(power: Tensor, weight: Tensor, slope: Tensor, k: Tensor) -> Tensor:
    """Part of the strain (B, 3, 3) that comes from the window and the volume, from |S|² and weights (B, K) and their slopes."""
    strain = -2.0 * ((slope * power)[:, None] * k.transpose(1, 2)) @ k
    identity = torch.eye(3, dtype=strain.dtype, device=strain.device)
    return strain - (weight * power).sum(1)[:, None, None] * identity


def _outer(field: Tensor, alpha: Tensor) -> Tensor:
    """−½ E⊗E of the shape of a tensor polarizability (B, N, 3, 3, C), or −½ E² of an isotropic one (B, N, C)."""
    if alpha.ndim == 3:
        return -0.5 * (field * field).sum(2)
    return -0.5 * field[:, :, :, None] * field[:, :, None]
