"""Latent Ewald Summation of charges, dipoles and quadrupoles, and their linear response."""

from les_ipi.electrostatics.born import (
    SumRule,
    apply_sum_rule,
    local_born_charges,
    local_piezoelectric,
    smallest_k_born_charges,
    sum_rule_residual,
)
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
    "Equilibrium",
    "LongRangeKernel",
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
