"""Energy networks of files that differ in their level of theory, while the rest of a model is shared."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from les_ipi.errors import UserError
from les_ipi.models.les_model import LESModel

#: Hidden units of the correction of one file.
_HIDDEN = 32


class FileNetworks(nn.Module):
    """Energy networks of a training on several files: ε(B) for the first file and ε(B) + Δ_f(B) for file f, with the
    features B.

    Δ_f,z(B) = w·B + v·silu(W B + b) for every file and element; it is zero at the start. What the files share
    (descriptor, charges, long range) learns from all of them; how their functionals differ near an atom is left to Δ.
    Only ε is kept in the end.

    Parameters:
        first: energy networks of the first file.
        n_files: number of files.
        n_species: number of elements.
        n_features: number of features of an atom.
    """

    def __init__(self, first: nn.Module, n_files: int, n_species: int, n_features: int):
        super().__init__()
        self.first = first
        others = n_files - 1
        self.linear = nn.Parameter(torch.zeros(others, n_species, n_features))
        self.inner = nn.Parameter(torch.randn(others, n_species, n_features, _HIDDEN) / n_features**0.5)
        self.bias = nn.Parameter(torch.zeros(others, n_species, _HIDDEN))
        self.outer = nn.Parameter(torch.zeros(others, n_species, _HIDDEN))
        self.files: Tensor | None = None

    def forward(self, features: Tensor, species: Tensor) -> Tensor:
        """Compute the energies of atoms, for the files that :func:`of_files` has set.

        Parameters:
            features: tensor (A, F) of the features of the atoms.
            species: tensor (A,) of the elements, as rows of the species list.

        Returns the energies (A, 1).
        """
        energies = self.first(features, species)
        if self.files is None:
            return energies
        rows, element = features.view(len(self.files), -1, features.shape[1]), species.view(len(self.files), -1)
        place = (self.files - 1).clamp(min=0)
        difference = torch.zeros_like(rows[..., 0])
        for z in range(self.linear.shape[1]):
            hidden = nn.functional.silu(rows @ self.inner[place, z] + self.bias[place, z][:, None])
            found = (hidden * self.outer[place, z][:, None]).sum(-1) + (rows * self.linear[place, z][:, None]).sum(-1)
            difference = torch.where(element == z, found, difference)
        return energies + (difference * (self.files > 0)[:, None]).view(-1, 1)


@contextmanager
def of_files(model: LESModel, files: Tensor) -> Iterator[None]:
    """Context manager in which the model gives the energies of particular files.

    Parameters:
        model: the model, which may be one without networks of its own for each file.
        files: tensor (B,) with the index of the file from which each structure of a batch comes.
    """
    networks = model.short_range.energy_networks
    if not isinstance(networks, FileNetworks):
        yield
        return
    networks.files = files
    try:
        yield
    finally:
        networks.files = None


@contextmanager
def networks_per_file(model: LESModel, n_files: int) -> Iterator[None]:
    """Context manager in which a model is trained on several files; afterwards the model is that of the first file.

    Parameters:
        model: the model.
        n_files: number of files.

    Raises ``UserError`` for a short-range model whose energies are not those of networks on its features.
    """
    short_range = model.short_range
    first = short_range.energy_networks
    if first is None:
        raise UserError(
            'energy_networks = "per_file" is not possible with this short-range model, which has no energy networks: '
            "remove the entry."
        )
    networks = FileNetworks(first, n_files, len(model.species), short_range.n_features)
    short_range.energy_networks = networks.to(model.energy_scale)
    try:
        yield
    finally:
        short_range.energy_networks = first
