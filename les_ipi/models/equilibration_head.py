"""Charges from charge equilibration with learned electronegativities and hardnesses."""

import math
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from les_ipi.electrostatics.boundaries import SUMS
from les_ipi.electrostatics.equilibration import Equilibrium, equilibrate
from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.models.heads import ChargeHead, ChargeOutput, HeadInputs
from les_ipi.models.registry import register_head
from les_ipi.structures.batch import Batch

if TYPE_CHECKING:
    from les_ipi.models.model_config import ChargesConfig

#: First hardness in eV/e², beside the self-interaction of the Gaussians (11.5 eV/e² for σ = 1 Å).
FIRST_HARDNESS = 2.0


@register_head
class EquilibrationHead(ChargeHead):
    """Head whose charges minimise an energy of the whole structure (charge equilibration).

    The charges minimise Σ χ q + ½ Σ J q² + ½ Σ A q q under Σ q = Q. The networks give q⁰_i = λ z_formal +
    Q_φ(features_i), the charge that an atom would take alone, from which its electronegativity is χ_i = −(J_Z +
    A_self) q⁰_i; every element learns a hardness J_Z > 0. The Gaussian self-interaction A_self = k_e √(2/π)/σ is
    always a part of A, whatever ``remove_self`` says: without it the energy of close atoms would have no minimum.

    Parameters:
        n_species: number of elements.
        n_features: number of features of an atom.
        formal_charges: formal charge z of each element in e.
        hidden: widths of the hidden layers of the networks Q_φ.
        scale: first value of λ.

    Source: doi:10.1038/s41467-020-20427-2.
    """

    name = "equilibration"
    equilibrates = True

    def __init__(
        self,
        n_species: int,
        n_features: int,
        formal_charges: list[float],
        hidden: tuple[int, ...] = (32, 16),
        scale: float = 0.3,
    ):
        super().__init__(n_species, n_features, 1, formal_charges, hidden, scale)
        # softplus(x) = FIRST_HARDNESS.
        self.raw_hardness = nn.Parameter(torch.full((n_species,), math.log(math.expm1(FIRST_HARDNESS))))

    @classmethod
    def from_config(cls, config: "ChargesConfig", inputs: HeadInputs) -> Self:
        """See :class:`les_ipi.models.heads.ChargeHead`."""
        formal = inputs.of_elements(config.formal, 0.0)
        return cls(len(formal), inputs.n_features, formal, config.hidden, config.first_formal_scale)

    def forward(
        self, features: Tensor, edges: Tensor, near: Tensor, species: Tensor
    ) -> ChargeOutput:
        """Compute the charges of lone atoms and the hardnesses.

        Parameters:
            features: tensor (A, F) of the features of the atoms.
            edges: not used by this head.
            near: not used by this head.
            species: tensor (A,) of the elements, as rows of the species list.

        Returns the output with charges (A, 1) in e and hardnesses (A,) in eV/e².
        """
        alone = self.scaled_formal_charges(species)[:, None] + self.sign * self.networks(features, species)
        return ChargeOutput(alone, hardness=nn.functional.softplus(self.raw_hardness)[species])


def equilibrium_of(
    batch: Batch,
    positions: Tensor,
    cell: Tensor,
    output: ChargeOutput,
    kernel: LongRangeKernel,
    total: Tensor,
    field: Tensor | None = None,
) -> Equilibrium:
    """Find the charges of least energy for the output of an equilibration head.

    Parameters:
        batch: the structures.
        positions: tensor (B, N, 3) of positions, Å.
        cell: tensor (B, 3, 3) of lattice vectors as rows, Å.
        output: charges of lone atoms and hardnesses, as the head returned them.
        kernel: smearing and window of the long-range sum.
        total: tensor (B,) of latent total charges, e.
        field: tensor (B, 3) of latent fields in V/Å, or None. The charges see the field, χ_i → χ_i − E·r_i, and the
            energy is then the enthalpy.

    Returns the charges of the equilibrium and its energy.
    """
    shape = batch.n_structures, batch.n_rows
    mask = batch.atom_mask.view(shape).to(positions.dtype)
    hardness = output.hardness.view(shape)
    chi = -(hardness + 2.0 * kernel.isolated_self_energy) * output.charges.view(shape)
    if field is not None:
        chi = chi - (positions * field[:, None]).sum(-1)
    coulomb = SUMS[batch.boundary].coulomb(positions, cell, batch.modes, kernel)
    return equilibrate(chi, hardness, coulomb, total, mask)
