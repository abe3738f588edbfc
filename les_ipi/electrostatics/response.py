"""Induced charges and dipoles, the polarizability, and the enthalpy in an external field.

Induced moments answer only to the permanent ones and not to each other. Nothing is iterated therefore, and the energy is an
explicit function of the permanent moments.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from les_ipi.electrostatics.multipoles import Multipoles, Potentials, interaction_energy
from les_ipi.units import EPSILON_0


class Response(NamedTuple):
    """Induced moments and their energy.

    =======  ============  =======================================
    field    shape         meaning, unit
    =======  ============  =======================================
    energy   (B,)          −½ Σ κ φ² − ½ Σ E·α·E, eV
    charges  (B, N, C)     Δq = −κ φ, e, or None without κ
    dipoles  (B, N, 3, C)  Δu = α·E, e·Å, or None without α
    =======  ============  =======================================
    """

    energy: Tensor
    charges: Tensor | None
    dipoles: Tensor | None


def linear_response(
    potentials: Potentials, kappa: Tensor | None, alpha: Tensor | None, field: Tensor | None = None
) -> Response:
    """Charges and dipoles that the potentials of the permanent moments induce.

    Δq_i = −κ_i φ_i,  Δu_i = α_i·(E_i + E');  U = −½ Σ κ_i φ_i² − ½ Σ (E_i + E')·α_i·(E_i + E').

    Parameters:
        potentials: φ and E of the permanent moments; E is needed with ``alpha``.
        kappa: (B, N, C) e/V, not negative; or None.
        alpha: (B, N, 3, 3, C) symmetric or (B, N, C) isotropic, positive, e²Å²/eV; or None.
        field: external field E' in latent units (√ε_e times the macroscopic field), (B, 3) V/Å; polarizes dipoles only.

    Returns: :class:`Response`, with zero energy and no moments if ``kappa`` and ``alpha`` are None.
    Source: arXiv:2605.05746 (one-step response); the field as an enthalpy: docs/explanation/multipoles.md.
    """
    phi = potentials.potential
    energy = torch.zeros(phi.shape[0], dtype=phi.dtype, device=phi.device)
    charges = dipoles = None
    if kappa is not None:
        charges = -kappa * phi
        energy = energy + 0.5 * (charges * phi).sum((1, 2))
    if alpha is not None:
        local = potentials.field
        if field is not None:
            local = local + field[:, None, :, None]
        dipoles = alpha[:, :, None] * local if alpha.ndim == 3 else torch.einsum("bnxyc,bnyc->bnxc", alpha, local)
        energy = energy - 0.5 * (dipoles * local).sum((1, 2, 3))
    return Response(energy, charges, dipoles)


def polarizability(alpha: Tensor) -> Tensor:
    """Latent polarizability Σ_i α_i of a structure, (B, 3, 3) e²Å²/eV, from (B, N, 3, 3, C) or isotropic (B, N, C).

    It is minus the second derivative of :func:`field_enthalpy` by the field. The physical polarizability is ε_e times as
    large, and k_e turns its unit into Å³.
    """
    if alpha.ndim == 3:
        return alpha.sum((1, 2))[:, None, None] * torch.eye(3, dtype=alpha.dtype, device=alpha.device)
    return alpha.sum((1, 4))


def electronic_screening(epsilon_infinity: Tensor | float, latent_polarizability: Tensor, volume: Tensor) -> Tensor:
    """Screening ε_e = ε_∞/(1 + χ), χ = tr(Σα)/(3 ε0 V), that is left where atomic polarizabilities are a part of ε_∞; (B,).

    The two parts of ε_∞ = ε_e + ε_e Σα/(ε0 V) are this screening and the susceptibility of the physical polarizability.

    Parameters: ``latent_polarizability`` (B, 3, 3) e²Å²/eV; ``volume`` (B,) Å³. Source: doi:10.1038/s41524-025-01911-z.
    """
    mean = latent_polarizability.diagonal(dim1=1, dim2=2).sum(-1) / 3.0
    return epsilon_infinity / (1.0 + mean / (EPSILON_0 * volume))


def without_excess(charges: Tensor, mask: Tensor, total: Tensor | float = 0.0) -> Tensor:
    """Charges (B, N, C) shifted equally so that each channel of a structure sums to ``total`` (B,) or number, in e.

    ``mask`` (B, N) is 1 for real atoms. Induced charges need not sum to zero, but the charge that atoms carry along does.
    """
    wanted = torch.as_tensor(total, dtype=charges.dtype, device=charges.device).reshape(-1, 1)
    excess = (charges.sum(1) - wanted) / mask.sum(1, keepdim=True)
    return (charges - excess[:, None, :]) * mask[..., None]


def cell_dipole(positions: Tensor, moments: Multipoles, response: Response, mask: Tensor) -> Tensor:
    """Latent dipole P = Σ (q + Δq) r + Σ (u + Δu) of permanent and induced moments, (B, 3) e·Å.

    Induced charges count without their excess, and quadrupoles do not contribute. In a periodic cell the part of the
    charges depends on which image of an atom is given.
    """
    carried = moments.charges
    if response.charges is not None:
        carried = carried + without_excess(response.charges, mask)
    dipole = torch.einsum("bnc,bnx->bx", carried, positions)
    for dipoles in (moments.dipoles, response.dipoles):
        if dipoles is not None:
            dipole = dipole + dipoles.sum((1, 3))
    return dipole


def field_enthalpy(
    positions: Tensor,
    moments: Multipoles,
    potentials: Potentials,
    kappa: Tensor | None,
    alpha: Tensor | None,
    mask: Tensor,
    field: Tensor,
) -> Tensor:
    """Electrostatic energy in an external field, whose derivatives are forces, virial and responses; (B,) eV.

    H = E(q,u,Q) − ½ Σ κ φ² − ½ Σ (E_i + E')·α_i·(E_i + E') − E'·[Σ (q + Δq) r + Σ u],  −∂H/∂E' = P,  −∂²H/∂E'² = Σ α.

    Parameters: ``field`` (B, 3) latent, V/Å; the others as in :func:`linear_response` and :func:`cell_dipole`.
    """
    response = linear_response(potentials, kappa, alpha, field)
    permanent = cell_dipole(positions, moments, response._replace(dipoles=None), mask)
    return interaction_energy(moments, potentials) + response.energy - (field * permanent).sum(-1)
