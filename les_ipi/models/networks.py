"""Small per-element networks."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class ElementNetworks(nn.Module):
    """One multilayer perceptron for each element plus a parallel linear map: y = W_z x + MLP_z(x) for an atom of
    element z.

    Parameters:
        n_species: number of elements.
        sizes: number of inputs, widths of the hidden layers, and number of outputs.
        output_scale: number that multiplies the result.
    """

    def __init__(self, n_species: int, sizes: Sequence[int], output_scale: float = 1.0):
        super().__init__()
        self.output_scale = output_scale
        self.networks = nn.ModuleList()
        self.skips = nn.ModuleList()
        for _ in range(n_species):
            layers: list[nn.Module] = []
            for n_in, n_out in pairwise(sizes[:-1]):
                layers += [nn.Linear(n_in, n_out), nn.SiLU()]
            layers.append(nn.Linear(sizes[-2], sizes[-1]))
            self.networks.append(nn.Sequential(*layers))
            skip = nn.Linear(sizes[0], sizes[-1], bias=False)
            # Standardised inputs and a 1/n start keep the first outputs of order output_scale.
            nn.init.normal_(skip.weight, std=1.0 / sizes[0])
            self.skips.append(skip)

    def forward(self, x: Tensor, species: Tensor) -> Tensor:
        """Apply to each atom the network of its element.

        Parameters:
            x: tensor (A, F) of inputs.
            species: tensor (A,) of the elements, as rows of the species list.

        Returns a tensor (A, outputs).
        """
        total = None
        for z, (network, skip) in enumerate(zip(self.networks, self.skips, strict=True)):
            y = network(x) + skip(x)
            if len(self.networks) > 1:
                y = torch.where((species == z)[:, None], y, torch.zeros_like(y))
            total = y if total is None else total + y
        return self.output_scale * total

    @torch.no_grad()
    def start_linear(self, weights: Tensor) -> None:
        """Make the result the linear function W_z x; the other layers begin with no output.

        Parameters:
            weights: tensor (n_species, outputs, inputs) with the matrices W_z.
        """
        for network, skip, matrix in zip(self.networks, self.skips, weights, strict=True):
            skip.weight.copy_(matrix / self.output_scale)
            network[-1].weight.zero_()
            network[-1].bias.zero_()
