"""Energies of charges alone with their derivatives, which molecular dynamics evaluates without a graph."""

from typing import NamedTuple

import torch
from torch import Tensor

from les_ipi.electrostatics.ewald import isolated_energy
from les_ipi.electrostatics.multipoles import Multipoles
from les_ipi.electrostatics.polarizable_sum import polarizable_sum
from les_ipi.electrostatics.window import LongRangeKernel


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


def periodic_sum(positions: Tensor, cell: Tensor, charges: Tensor, modes: Tensor, kernel: LongRangeKernel) -> LongRange:
    """Energy of charges in periodic structures and its derivatives, by the general sum without other moments or response.

    Parameters: as :func:`les_ipi.electrostatics.ewald.periodic_energy`, with positions folded into the cell. The memory
    grows as O(N + K).
    Source: doi:10.1038/s41524-025-01577-7.
    """
    found = polarizable_sum(positions, cell, Multipoles(charges), None, None, modes, kernel)
    potential = found.moments.charges
    # Half of Σ q φ, added in double precision: the energy of a large structure has more digits than single precision holds.
    energy = 0.5 * (charges.double() * potential.double()).sum((1, 2))
    return LongRange(energy, potential, found.gradient, found.strain)


def isolated_sum(positions: Tensor, charges: Tensor, kernel: LongRangeKernel) -> LongRange:
    """Energy of charges in isolated structures that have the same number of atoms, and its derivatives.

    Parameters: as :func:`les_ipi.electrostatics.ewald.isolated_energy`.
    """
    # The general sum over pairs would take 3 times as long for charges alone (192 atoms, energy and forces, one thread).
    with torch.enable_grad():
        r, q = positions.detach().requires_grad_(), charges.detach().requires_grad_()
        energy = isolated_energy(r, q, kernel)
        gradient, potential = torch.autograd.grad(energy.sum(), (r, q))
    return LongRange(energy.detach().double(), potential, gradient, r.detach().transpose(1, 2) @ gradient)
