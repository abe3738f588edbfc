"""Electrostatics of charge heads on a batch: permanent moments, their response, and the external field."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from les_ipi.conventions import Boundary
from les_ipi.electrostatics.boundaries import SUMS
from les_ipi.electrostatics.multipoles import Multipoles, interaction_energy
from les_ipi.electrostatics.polarizable_sum import polarizable_sum
from les_ipi.electrostatics.response import Response, linear_response, polarizability, without_excess
from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.models.heads import ChargeOutput
from les_ipi.structures.batch import Batch


class Polarizable(NamedTuple):
    """Moments and response of a batch; latent quantities.

    =================  ==========================  =====================================================
    field              shape                       meaning, unit
    =================  ==========================  =====================================================
    moments                                        permanent moments as they enter the sum
    own_charges        (B, N, C)                   charges before the neutrality projection, e
    kappa              (B, N, C)                   e/V, or None
    alpha              (B, N, C) or (B,N,3,3,C)    e²Å²/eV, or None
    =================  ==========================  =====================================================
    """

    moments: Multipoles
    own_charges: Tensor
    kappa: Tensor | None
    alpha: Tensor | None

    @classmethod
    def of(cls, output: ChargeOutput, own: Tensor, charges: Tensor, mask: Tensor) -> "Polarizable":
        """From the rows of a head; charges (B, N, C) before and after the neutrality projection, ``mask`` (B, N)."""

        def shaped(rows: Tensor | None) -> Tensor | None:
            if rows is None:
                return None
            return rows.view(*mask.shape, *rows.shape[1:]) * mask.view(*mask.shape, *[1] * (rows.ndim - 1))

        moments = Multipoles(charges, shaped(output.dipoles), shaped(output.quadrupoles))
        return cls(moments, own, shaped(output.kappa), shaped(output.alpha))

    @property
    def charges_alone(self) -> bool:
        """Whether there are no moments beside the permanent charges, and no response."""
        return self.rank == 0 and self.kappa is None

    @property
    def rank(self) -> int:
        """Rank of the potentials that energy and response need."""
        return max(self.moments.rank, int(self.alpha is not None))

    def with_response(self, charges: Tensor, induced: Tensor | None) -> Multipoles:
        """Moments with ``charges`` (B, N, C) that are carried and dipoles (B, N, 3, C) that are induced, or None."""
        parts = [x for x in (self.moments.dipoles, induced) if x is not None]
        return Multipoles(charges, sum(parts) if parts else None, self.moments.quadrupoles)

    def total_polarizability(self) -> Tensor | None:
        """Σ_i α_i, (B, 3, 3) e²Å²/eV, or None."""
        return None if self.alpha is None else polarizability(self.alpha)


def respond(
    batch: Batch,
    positions: Tensor,
    cell: Tensor,
    atoms: Polarizable,
    kernel: LongRangeKernel,
    field: Tensor | None = None,
    closed: bool = False,
) -> tuple[Tensor, Response, Tensor]:
    """Energy (B,) in eV, response, and the charges (B, N, C) in e that are carried: permanent and induced without excess.

    With ``field`` (B, 3) the induced dipoles see it and the energy has their part of the enthalpy. With ``closed`` the energy
    of periodic structures can be differentiated once, and what is induced cannot: faster, with the same numbers.
    """
    sums = SUMS[batch.boundary]
    if closed and field is None and batch.boundary == Boundary.PERIODIC:
        energy, *induced = _ClosedForm.apply(
            kernel, batch.modes, positions, cell, *atoms.moments, atoms.kappa, atoms.alpha
        )
        response = Response(energy, *induced)
    elif atoms.charges_alone:
        # Potentials would serve charges too, but cost more: 1.2 to 1.3 times as much in crystals and 3 times in molecules
        # (energy and forces of 192 atoms on one thread; the same in the second derivatives of a training).
        energy = sums.energy(positions, cell, atoms.moments.charges, batch.modes, kernel)
        response = Response(torch.zeros_like(energy), None, None)
    else:
        found = sums.potentials(positions, cell, atoms.moments, batch.modes, kernel, atoms.rank)
        response = linear_response(found, atoms.kappa, atoms.alpha, field)
        energy = interaction_energy(atoms.moments, found) + response.energy
    carried = atoms.moments.charges
    if response.charges is not None:
        mask = batch.atom_mask.view(batch.n_structures, -1).to(positions.dtype)
        carried = carried + without_excess(response.charges, mask)
    return energy, response, carried


class _ClosedForm(torch.autograd.Function):
    """:func:`polarizable_sum` as a function of positions, cell, moments, κ and α that knows its derivatives."""

    @staticmethod
    def forward(ctx, kernel, modes, positions, cell, q, u, Q, kappa, alpha):
        found = polarizable_sum(positions, cell, Multipoles(q, u, Q), kappa, alpha, modes, kernel)
        # A strain moves positions and cell: what the positions do not account for is the cell's.
        rest = found.strain - positions.transpose(1, 2) @ found.gradient
        by_cell = torch.linalg.inv(cell).transpose(1, 2) @ rest
        ctx.save_for_backward(found.gradient, by_cell, *found.moments, found.kappa, found.alpha)
        induced = found.response[1:]
        ctx.mark_non_differentiable(*(x for x in induced if x is not None))
        return found.energy, *induced

    @staticmethod
    @once_differentiable
    def backward(ctx, slope, *_):
        found = (None if x is None else slope.view(-1, *[1] * (x.ndim - 1)) * x for x in ctx.saved_tensors)
        return None, None, *found
