"""Born effective charges and piezoelectric tensors from latent charges.

The order of indices is ``[atom, polarization, displacement]`` everywhere, Z_iαβ = ∂P_α/∂r_iβ.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from les_ipi.conventions import SumRule
from les_ipi.errors import UserError

#: Largest mean |Σ_i Z_i|/N in e that ``raise`` lets pass.
SUM_RULE_TOLERANCE = 1e-6


def local_born_charges(charges: Tensor, edges: Tensor, edge_gradient: Tensor) -> Tensor:
    """Exact Born charges of local latent charges (no message passing), from one gradient of the total charge.

    Z_i = q_i 1 + Σ_j (r_j − r_i) ⊗ ∂q_j/∂r_i = q_i 1 − Σ_j e_ji ⊗ ∂Q_tot/∂e_ji, with e_ji = r_i − r_j the edge from
    the centre j to its neighbour i. Unlike the Berry-phase form at the smallest k of the cell, charge fluxes are not
    damped by sinc(2πΔ/L).

    Parameters:
        charges: (A,) e, summed over channels.
        edges: (A, M, 3) Å, vector from centre to neighbour.
        edge_gradient: (A, M, 3) e/Å, ∂Q_tot/∂edges gathered **per receiving neighbour**: row i holds the gradients
            of the edges that end on atom i (the reverse edges of its own neighbour list).

    Returns: (A, 3, 3) e.
    Source: doi:10.1038/s41524-025-01911-z (Born charges from LES); the local form is derived in docs/explanation/physics.md.
    """
    # The edge that ends on i and starts at neighbour j is minus the edge from i to j.
    flux = torch.einsum("imp,imd->ipd", edges, edge_gradient)
    return charges[:, None, None] * torch.eye(3, dtype=charges.dtype, device=charges.device) + flux


def local_piezoelectric(edges: Tensor, edge_gradient: Tensor) -> Tensor:
    """Clamped-ion proper piezoelectric tensor of local latent charges, atom by atom.

    Π_cab = ∂M_c/∂ε_ab − M_a δ_bc = −Σ_j e_c e_a ∂Q_tot/∂e_b over the edges e of a centre: the strain brings charge to the
    centre from its neighbours, as in :func:`local_born_charges`; charges that do not change contribute nothing.

    Parameters: ``edges`` (A, M, 3) Å, centre to neighbour; ``edge_gradient`` (A, M, 3) e/Å, ∂Q_tot/∂edges.
    Returns: (A, 3, 3, 3) e·Å, ``[atom, polarization, a, b]``; their sum is the tensor times the volume.
    """
    return -torch.einsum("amp,ami,amj->apij", edges, edges, edge_gradient)


def carried_piezoelectric(edges: Tensor, carried: Sequence[Tensor]) -> Tensor:
    """What messages add to :func:`local_piezoelectric`: Σ_j (e_c H^a_b + e_a H^c_b) over the edges e of a centre.

    H_e^a = Σ_k (r_k − r_i)_a ∂q_k/∂e says where the charge that an edge of i changes is found, see
    :meth:`les_ipi.models.topology.Topology.carried`.

    Parameters: ``edges`` (A, M, 3) Å, centre to neighbour; ``carried`` H^x, H^y and H^z, each (A, M, 3) e.
    Returns: (A, 3, 3, 3) e·Å, ``[atom, polarization, a, b]``.
    """
    found = torch.einsum("amp,amib->apib", edges, torch.stack(list(carried), dim=2))
    return found + found.transpose(1, 2)


def smallest_k_born_charges(charges: Tensor, positions: Tensor, cell: Tensor) -> Tensor:
    """Born charges as published, from the Berry phase at the smallest wave vectors of the cell.

    p_a = (1/2πi) Σ_i (q_i − q̄) e^{2πi s_ia};  Z_i = Σ_a h_a ⊗ Re[e^{−2πi s_ia} ∂p_a/∂r_i].
    This estimate damps the flux of charge over a distance Δ by sinc(2πΔ/L), and is kept for comparison.

    Parameters: ``charges`` (N,) e, a differentiable function of ``positions`` (N, 3) Å; ``cell`` (3, 3) Å.
    Returns: (N, 3, 3) e. Source: doi:10.1038/s41524-025-01911-z.
    """
    fractional = positions @ torch.linalg.inv(cell)
    neutral = charges - charges.mean()
    angle = 2 * math.pi * fractional
    rows = []
    for a in range(3):
        cosine = (neutral * torch.cos(angle[:, a])).sum() / (2 * math.pi)
        sine = (neutral * torch.sin(angle[:, a])).sum() / (2 * math.pi)
        (d_cos,) = torch.autograd.grad(cosine, positions, retain_graph=True)
        (d_sin,) = torch.autograd.grad(sine, positions, retain_graph=True)
        # p = (C + iS)/i = S − iC; Re[e^{−iθ}(dS − i dC)] = cosθ dS − sinθ dC.
        rows.append(torch.cos(angle[:, a, None]) * d_sin - torch.sin(angle[:, a, None]) * d_cos)
    return torch.einsum("ap,aib->ipb", cell, torch.stack(rows)).detach()


def sum_rule_residual(born: Tensor, atom_mask: Tensor) -> Tensor:
    """Mean Born charge (1/N) Σ_i Z_i of every structure: (B, N, 3, 3) and mask (B, N) → (B, 3, 3), e."""
    weight = atom_mask.to(born.dtype)
    return torch.einsum("bn,bnij->bij", weight, born) / weight.sum(1)[:, None, None]


def apply_sum_rule(born: Tensor, atom_mask: Tensor, rule: SumRule, expected: Tensor | float = 0.0) -> Tensor:
    """Enforce, leave or check Σ_i Z_i = Q·1 for each structure.

    Parameters: ``born`` (B, N, 3, 3) e; ``atom_mask`` (B, N); ``expected`` total charge Q in e, (B,) or number.
    Returns: Born charges of the same shape; padded atoms are zero. Raises ``UserError`` for ``raise`` when the mean
    residual is above 1e-6 e.
    """
    count = atom_mask.sum(1).to(born.dtype)
    identity = torch.eye(3, dtype=born.dtype, device=born.device)
    target = torch.as_tensor(expected, dtype=born.dtype, device=born.device).expand(len(count)) / count
    excess = sum_rule_residual(born, atom_mask) - target[:, None, None] * identity
    if rule == SumRule.RAISE and excess.abs().max() > SUM_RULE_TOLERANCE:
        raise UserError(
            f"The Born charges break the acoustic sum rule by {excess.abs().max():.2e} e per atom (tolerance "
            f"{SUM_RULE_TOLERANCE:g}): use sum rule 'project', or a model with a single-valued dipole, which obeys it exactly."
        )
    if rule == SumRule.PROJECT:
        born = born - excess[:, None]
    return born * atom_mask[..., None, None].to(born.dtype)
