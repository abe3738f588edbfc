"""Ziegler-Biersack-Littmark core repulsion."""

import torch
from torch import Tensor, nn

from les_ipi.models.radial import polynomial_cutoff
from les_ipi.units import BOHR_A, COULOMB

_AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
_DECAYS = (3.1998, 0.94229, 0.40290, 0.20162)


class CoreRepulsion(nn.Module):
    """Screened nuclear repulsion (Ziegler, Biersack and Littmark), which keeps atoms apart where no training data
    reach.

        E = ½ Σ_ij k_e Z_i Z_j/r φ(r/a) f(r/c_ij),  a = 0.8854 a_0/(Z_i^0.23 + Z_j^0.23)

    Here φ is the universal screening function, f is the polynomial cutoff and c_ij is the distance at which the
    repulsion of a pair ends.

    Parameters:
        numbers: atomic numbers Z of the species list.
        cutoffs: symmetric matrix (n_species, n_species) of the distances c_ij in Å; 0 means no repulsion.

    Source: Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Matter (1985).
    """

    def __init__(self, numbers: list[int], cutoffs: list[list[float]]):
        super().__init__()
        dtype = torch.get_default_dtype()
        self.register_buffer("numbers", torch.tensor(numbers, dtype=dtype), persistent=False)
        # A pair without repulsion gets a range below every distance.
        self.register_buffer("cutoffs", torch.tensor(cutoffs, dtype=dtype).clamp(min=1e-3), persistent=False)

    def forward(self, edges: Tensor, near: Tensor, species: Tensor) -> Tensor:
        """Compute the repulsion energies (A,) of atoms in eV; the parameters are those of
        :meth:`ShortRangeModel.forward`.
        """
        r = torch.sqrt((edges * edges).sum(-1))
        zi, zj = self.numbers[species][:, None], self.numbers[near]
        x = r * (zi**0.23 + zj**0.23) / (0.8854 * BOHR_A)
        screening = sum(a * torch.exp(-d * x) for a, d in zip(_AMPLITUDES, _DECAYS, strict=True))
        envelope = polynomial_cutoff(r / self.cutoffs[species[:, None], near], 1.0)
        return 0.5 * (COULOMB * zi * zj / r * screening * envelope).sum(1)
