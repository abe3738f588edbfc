"""The table that says which long-range sum belongs to isolated structures, to slabs and to crystals.

All functions of the table take the same arguments, and ignore what their boundary does not have. An isolated structure has
neither a cell nor wave vectors.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from les_ipi.conventions import Boundary
from les_ipi.electrostatics.equilibration import isolated_coulomb, periodic_coulomb, slab_coulomb
from les_ipi.electrostatics.ewald import isolated_energy, periodic_energy
from les_ipi.electrostatics.multipoles import (
    Multipoles,
    Potentials,
    interaction_energy,
    periodic_potentials,
    slab_correction,
    slab_potentials,
)
from les_ipi.electrostatics.pairs import isolated_potentials
from les_ipi.electrostatics.window import LongRangeKernel


class LongRangeSum(NamedTuple):
    """The interaction of smeared moments under one boundary, in the three forms that models need.

    ==========  ===================================================  =====================================================
    field       arguments                                            result
    ==========  ===================================================  =====================================================
    potentials  positions, cell, moments, modes, kernel, rank        :class:`les_ipi.electrostatics.multipoles.Potentials`
    energy      positions, cell, charges (B, N, C), modes, kernel    energy of charges alone, (B,) eV
    coulomb     positions, cell, modes, kernel                       interaction of unit charges, (B, N, N) eV/e²
    ==========  ===================================================  =====================================================

    Arguments are as in :func:`les_ipi.electrostatics.multipoles.periodic_potentials`.
    """

    potentials: Callable[[Tensor, Tensor, Multipoles, Tensor, LongRangeKernel, int | None], Potentials]
    energy: Callable[[Tensor, Tensor, Tensor, Tensor, LongRangeKernel], Tensor]
    coulomb: Callable[[Tensor, Tensor, Tensor, LongRangeKernel], Tensor]


def _slab_energy(positions: Tensor, cell: Tensor, charges: Tensor, modes: Tensor, kernel: LongRangeKernel) -> Tensor:
    moments = Multipoles(charges)
    correction = interaction_energy(moments, slab_correction(positions, cell, moments, kernel))
    return periodic_energy(positions, cell, charges, modes, kernel) + correction


def _slab_coulomb(positions: Tensor, cell: Tensor, modes: Tensor, kernel: LongRangeKernel) -> Tensor:
    return periodic_coulomb(positions, cell, modes, kernel) + slab_coulomb(positions, cell, kernel)


#: The sum of every boundary.
SUMS = {
    Boundary.ISOLATED: LongRangeSum(
        potentials=lambda positions, cell, moments, modes, kernel, rank: isolated_potentials(
            positions, moments, kernel, rank
        ),
        energy=lambda positions, cell, charges, modes, kernel: isolated_energy(positions, charges, kernel),
        coulomb=lambda positions, cell, modes, kernel: isolated_coulomb(positions, kernel),
    ),
    Boundary.SLAB: LongRangeSum(slab_potentials, _slab_energy, _slab_coulomb),
    Boundary.PERIODIC: LongRangeSum(periodic_potentials, periodic_energy, periodic_coulomb),
}
