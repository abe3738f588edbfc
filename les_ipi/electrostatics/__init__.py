"""Latent Ewald Summation for point-like (monopole) latent charges."""

from les_ipi.electrostatics.born import (
    SumRule,
    apply_sum_rule,
    local_born_charges,
    local_piezoelectric,
    smallest_k_born_charges,
    sum_rule_residual,
)
from les_ipi.electrostatics.ewald import (
    half_sphere_modes,
    isolated_energy,
    padded_modes,
    periodic_energy,
    potential_at_atoms,
    reciprocal_vectors,
)
from les_ipi.electrostatics.window import LongRangeKernel

__all__ = [
    "LongRangeKernel",
    "SumRule",
    "apply_sum_rule",
    "half_sphere_modes",
    "isolated_energy",
    "local_born_charges",
    "local_piezoelectric",
    "padded_modes",
    "periodic_energy",
    "potential_at_atoms",
    "reciprocal_vectors",
    "smallest_k_born_charges",
    "sum_rule_residual",
]
