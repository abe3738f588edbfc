"""Total charge and spin of a structure as inputs of the networks."""

import torch
from torch import Tensor, nn

from les_ipi.models.networks import ElementNetworks
from les_ipi.structures.batch import Batch

#: Charge in e, and unpaired electrons, per atom that count as one: what small charged molecules have.
PER_ATOM = 0.1
#: Units of the layer between the state and the vector.
_HIDDEN = 16


class StateEmbedding(nn.Module):
    """Vector e that represents the charge state of a structure, and the energy that it adds: one model for several
    charge states.

        x = (Q, 2S)/(0.1 N);  e = W [silu(V x + b) − silu(b)];  ΔE_i = Σ_c e_c g_c(B_i)

    Here Q is the total charge, S the spin, N the number of atoms and B_i the features of an atom. The charge head
    reads (B_i, e).

    e vanishes at the reference state Q = 0, S = 0, where the model is the one without embedding. x is charge and spin
    per atom, so that n copies of a structure with n times its charge have n times its energy, however large n is. It
    says how many electrons the atoms have on average, not where they are: that is up to the local features. Two
    distant fragments of different charge per atom are therefore not independent in one structure.

    Parameters:
        n_species: number of elements.
        n_features: number of features that the short-range model has for each atom.
        channels: length of the vector e.
        spin: whether the spin S is an input; False leaves it out.
        hidden: widths of the hidden layers of the networks g.

    Source: the idea of such an embedding is that of doi:10.1038/s41467-021-27504-0; the form is ours.
    """

    def __init__(self, n_species: int, n_features: int, channels: int, spin: bool, hidden: tuple[int, ...]):
        super().__init__()
        self.channels, self.spin = channels, spin
        self.inner = nn.Linear(1 + spin, _HIDDEN)
        self.outer = nn.Linear(_HIDDEN, channels, bias=False)
        self.networks = ElementNetworks(n_species, (n_features, *hidden, channels))

    def forward(self, state: Tensor) -> Tensor:
        """Compute the vectors e (..., channels) of charge states (..., 2), which are (Q, 2S)/N."""
        x = state[..., : 1 + self.spin] / PER_ATOM
        silu = nn.functional.silu
        return self.outer(silu(self.inner(x)) - silu(self.inner.bias))

    def energy(self, features: Tensor, vectors: Tensor, species: Tensor) -> Tensor:
        """Compute the energy that the charge state adds to every atom.

        Parameters:
            features: tensor (A, F) of the features of the atoms.
            vectors: tensor (A, channels) of the vectors e of the structures to which the atoms belong.
            species: tensor (A,) of the elements, as rows of the species list.

        Returns ΔE (A,) in the unit of the short-range network.
        """
        return (vectors * self.networks(features, species)).sum(-1)


def state_per_atom(total_charge: Tensor, multiplicity: Tensor, n_atoms: Tensor) -> Tensor:
    """Compute charge and spin per atom of structures.

    Parameters:
        total_charge: tensor (B,) of total charges Q, e.
        multiplicity: tensor (B,) of spin multiplicities 2S + 1.
        n_atoms: tensor (B,) of numbers N of atoms.

    Returns (Q, 2S)/N as a tensor (B, 2): charge in e and unpaired electrons, per atom.
    """
    return torch.stack([total_charge, multiplicity - 1.0], dim=-1) / n_atoms[..., None]


def state_of_atoms(batch: Batch, dtype: torch.dtype) -> Tensor:
    """Compute :func:`state_per_atom` of the structure of every row of a batch, as a tensor (A, 2)."""
    n_atoms = batch.atom_mask.view(batch.n_structures, -1).sum(1)
    states = state_per_atom(batch.total_charge, batch.multiplicity, n_atoms).to(dtype)
    return states.repeat_interleave(batch.n_rows, dim=0)
