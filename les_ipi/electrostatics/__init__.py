"""Latent Ewald Summation of charges, dipoles and quadrupoles, and their linear response.

This folder holds all long-range physics and can be read without the rest of the package. Its functions take positions,
cells, moments and a kernel, and know nothing of neural networks, files or i-PI. All moments are latent: physical ones are
√ε_e times as large, and that factor is applied elsewhere. A reader who is new here may take the files in this order.

1. ``window`` defines the kernel: how wide the Gaussian of a charge is, which wave vectors count, and how much energy a
   charge, a dipole or a quadrupole has with itself.
2. ``ewald`` has the energy of charges in the two forms that all others extend: E = 2 Σ_k w(k) |S(k)|² − E_self Σ q² in a
   crystal, and the sum of q_i q_j erf(r/√2σ)/r over pairs in a molecule. It also lists the wave vectors of a cell.
3. ``multipoles`` has the potential, the field and the field gradient that charges, dipoles and quadrupoles cause in a
   crystal, their energy, and the correction that turns a crystal into a slab. ``pairs`` has the same for a molecule.
4. ``response`` has what these potentials induce, Δq = −κ φ and Δu = α·E, the polarizability, and the enthalpy in an
   external field. ``equilibration`` has charges of least energy instead, which one linear system gives.
5. ``boundaries`` is the table of which sum belongs to molecules, slabs and crystals.
6. ``born`` turns charges that depend on their neighbourhood into Born effective charges and piezoelectric tensors, and
   ``flux`` adds the part of charge that is induced far away.

Three files contain no other physics and are there for speed. ``polarizable_sum`` has the energy of 3 and 4 with all its
derivatives in closed form, so that molecular dynamics needs no automatic differentiation of the sum. ``charge_sums`` has
the same for charges alone, and ``mesh`` computes it with fast Fourier transforms, which are faster in large cells.
"""

from les_ipi.electrostatics.born import (
    SumRule,
    apply_sum_rule,
    local_born_charges,
    local_piezoelectric,
    smallest_k_born_charges,
    sum_rule_residual,
)
from les_ipi.electrostatics.boundaries import SUMS, LongRangeSum
from les_ipi.electrostatics.equilibration import (
    Equilibrium,
    equilibrate,
    isolated_coulomb,
    periodic_coulomb,
    slab_coulomb,
)
from les_ipi.electrostatics.ewald import (
    half_sphere_modes,
    isolated_energy,
    padded_modes,
    periodic_energy,
    potential_at_atoms,
    reciprocal_vectors,
)
from les_ipi.electrostatics.multipoles import (
    Multipoles,
    Potentials,
    interaction_energy,
    periodic_potentials,
    slab_correction,
    slab_potentials,
    traceless,
    traceless_second_moment,
)
from les_ipi.electrostatics.pairs import isolated_potentials
from les_ipi.electrostatics.response import (
    Response,
    cell_dipole,
    electronic_screening,
    field_enthalpy,
    linear_response,
    polarizability,
    without_excess,
)
from les_ipi.electrostatics.window import LongRangeKernel

__all__ = [
    "SUMS",
    "Equilibrium",
    "LongRangeKernel",
    "LongRangeSum",
    "Multipoles",
    "Potentials",
    "Response",
    "SumRule",
    "apply_sum_rule",
    "cell_dipole",
    "electronic_screening",
    "equilibrate",
    "field_enthalpy",
    "half_sphere_modes",
    "interaction_energy",
    "isolated_coulomb",
    "isolated_energy",
    "isolated_potentials",
    "linear_response",
    "local_born_charges",
    "local_piezoelectric",
    "padded_modes",
    "periodic_coulomb",
    "periodic_energy",
    "periodic_potentials",
    "polarizability",
    "potential_at_atoms",
    "reciprocal_vectors",
    "slab_correction",
    "slab_coulomb",
    "slab_potentials",
    "smallest_k_born_charges",
    "sum_rule_residual",
    "traceless",
    "traceless_second_moment",
    "without_excess",
]
