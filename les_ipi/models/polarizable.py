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
    """Latent moments of the atoms of a batch, and the parameters of their response.

    =================  ==========================  =====================================================
    field              shape                       meaning, unit
    =================  ==========================  =====================================================
    moments                                        permanent moments as they enter the sum
    own_charges        (B, N, C)                   charges before the neutrality projection, e
    kappa              (B, N, C)                   response κ of the charge to the potential, e/V; or None
    alpha              (B, N, C) or (B,N,3,3,C)    polarizability α, a number or a tensor, e²Å²/eV; or None
    =================  ==========================  =====================================================
    """

    moments: Multipoles
    own_charges: Tensor
    kappa: Tensor | None
    alpha: Tensor | None

    @classmethod
    def of(cls, output: ChargeOutput, own: Tensor, charges: Tensor, mask: Tensor) -> "Polarizable":
        """Put the output of a charge head into the shape of structures.

        Parameters:
            output: the output of the head, with one row for each atom.
            own: tensor (B, N, C) of the charges before the neutrality projection, e.
            charges: tensor (B, N, C) of the charges after it, e.
            mask: tensor (B, N) that is 1 for real atoms and 0 where padded.

        Returns the moments and response parameters.
        """

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
        """Rank of the potentials that the energy and the response need."""
        return max(self.moments.rank, int(self.alpha is not None))

    def with_response(self, charges: Tensor, induced: Tensor | None) -> Multipoles:
        """Return the moments together with what they induce.

        Parameters:
            charges: tensor (B, N, C) of the charges that are carried, permanent and induced, e.
            induced: tensor (B, N, 3, C) of the induced dipoles in e·Å, or None.

        Returns the moments.
        """
        parts = [x for x in (self.moments.dipoles, induced) if x is not None]
        return Multipoles(charges, sum(parts) if parts else None, self.moments.quadrupoles)

    def total_polarizability(self) -> Tensor | None:
        """Compute the sum Σ_i α_i (B, 3, 3) in e²Å²/eV; None for a model without polarizabilities."""
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
    """Compute the energy of the moments of a batch, their response to each other, and the charges that atoms carry.

    Parameters:
        batch: the structures.
        positions: tensor (B, N, 3) of positions, Å.
        cell: tensor (B, 3, 3) of lattice vectors as rows, Å.
        atoms: the permanent moments and response parameters.
        kernel: smearing and window of the long-range sum.
        field: tensor (B, 3) of latent fields in V/Å, or None. The induced dipoles see the field, and the energy has
            their part of the enthalpy.
        closed: True makes the sum of periodic structures faster, with the same numbers; the energy can then be
            differentiated only once, and what is induced not at all.

    Returns the energies (B,) in eV, the response, and the carried charges (B, N, C) in e, which are the permanent and
    the induced ones without the excess of the latter.
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
