"""The native short-range model: an atomic cluster expansion on a padded neighbour matrix.

The density of neighbours is projected with one batched matrix product per atom; elements and radial functions are
mixed into channels only afterwards. Source of the expansion: doi:10.1103/PhysRevB.99.014104.
"""

import math

import torch
from torch import Tensor, nn

from les_ipi.models.harmonics import L_SLICES, gaunt, spherical_harmonics
from les_ipi.models.networks import ElementNetworks
from les_ipi.models.protocol import LocalOutput
from les_ipi.models.radial import RadialBasis

#: Couplings (l1, l2 → l) that build the second-order tensors; all even, so no parity-odd tensors appear.
COUPLINGS = [(1, 2, 1), (2, 3, 1), (1, 1, 2), (2, 2, 2), (3, 3, 2), (1, 3, 2), (1, 2, 3), (2, 3, 3)]


class ClusterExpansion(nn.Module):
    """Local model with products of up to four neighbour densities (five-body terms).

    A_{i,lm,c} = Σ_n,z W^{l}_{z_i,nz,c} Σ_{j∈z} R_n(r_ij) Y_lm(r̂_ij);  P_{lm,c} = Σ_paths w_c (A_{l1} ⊗ A_{l2})_{lm};
    features {A_0, A_l·A_l, P_l·A_l, P_l·P_l}, standardised per element; E_i from one small network per element.

    Parameters:
        n_species: number of elements.
        cutoff: Å.
        n_radial: radial functions per neighbour element.
        l_max: angular momentum, 1 to 3.
        channels: mixed radial-element channels.
        order: largest number of neighbour densities in a product, 2 to 4.
        hidden: hidden layers of the energy networks.
    """

    local = True

    def __init__(
        self,
        n_species: int,
        cutoff: float = 4.5,
        n_radial: int = 10,
        l_max: int = 3,
        channels: int = 32,
        order: int = 4,
        hidden: tuple[int, ...] = (64, 32),
    ):
        super().__init__()
        self.n_species, self.cutoff, self.l_max, self.channels, self.order = n_species, cutoff, l_max, channels, order
        self.radial = RadialBasis(n_radial, cutoff)
        inputs = n_species * n_radial
        self.mixing = nn.Parameter(torch.randn(n_species, l_max + 1, inputs, channels) / math.sqrt(inputs))
        self.paths = [c for c in COUPLINGS if max(c) <= l_max]
        if order >= 3:
            self.path_weights = nn.Parameter(torch.randn(len(self.paths), channels) / math.sqrt(2.0))
            self._register_couplings()
        self.n_features = channels * (1 + l_max * (order - 1))
        self.register_buffer("feature_mean", torch.zeros(n_species, self.n_features))
        self.register_buffer("feature_scale", torch.ones(n_species, self.n_features))
        self.energy_networks = ElementNetworks(n_species, (self.n_features, *hidden, 1))

    def _register_couplings(self) -> None:
        """Tabulate the couplings as a matrix from the unique products A_a A_b (a ≤ b, l ≥ 1) to (path, m)."""
        size = (self.l_max + 1) ** 2
        pairs = {}
        rows: list[tuple[int, int, int, float]] = []
        targets: list[int] = []
        path_of: list[int] = []
        for path, (l1, l2, l3) in enumerate(self.paths):
            tensor = gaunt(l1, l2, l3)
            start = len(targets)
            targets += list(range(size))[L_SLICES[l3]]
            path_of += [path] * (2 * l3 + 1)
            for m1, m2, m3 in zip(*tensor.nonzero(), strict=True):
                a, b = sorted((L_SLICES[l1].start + int(m1), L_SLICES[l2].start + int(m2)))
                pair = pairs.setdefault((a, b), len(pairs))
                rows.append((pair, start + int(m3), 0, float(tensor[m1, m2, m3])))
        matrix = torch.zeros(len(pairs), len(targets), dtype=torch.float64)
        for pair, column, _, value in rows:
            matrix[pair, column] += value
        self.register_buffer("pair_first", torch.tensor([a for a, _ in pairs]), persistent=False)
        self.register_buffer("pair_second", torch.tensor([b for _, b in pairs]), persistent=False)
        self.register_buffer("coupling", matrix.to(torch.get_default_dtype()), persistent=False)
        gather = torch.zeros(len(targets), size - 1)
        gather[torch.arange(len(targets)), torch.tensor(targets) - 1] = 1.0
        self.register_buffer("path_to_tensor", gather, persistent=False)
        self.register_buffer("path_of_column", torch.tensor(path_of), persistent=False)

    def density(self, edges: Tensor, neighbors: Tensor, species: Tensor) -> Tensor:
        """Mixed neighbour density A of shape (A, (l_max+1)², channels)."""
        r = torch.sqrt((edges * edges).sum(-1))
        angular = spherical_harmonics(edges / r[..., None], self.l_max)
        radial = self.radial(r)
        near = species[neighbors]
        one_hot = (near[..., None] == torch.arange(self.n_species, device=near.device)).to(radial.dtype)
        weighted = (one_hot[..., :, None] * radial[..., None, :]).flatten(-2)
        raw = angular.transpose(1, 2) @ weighted
        mixing = self.mixing[species]
        return torch.cat([raw[:, L_SLICES[l]] @ mixing[:, l] for l in range(self.l_max + 1)], dim=1)

    def second_order(self, density: Tensor) -> Tensor:
        """P of shape (A, (l_max+1)² − 1, channels): all couplings of two densities, weighted per channel."""
        products = density[:, self.pair_first] * density[:, self.pair_second]
        # (channels, pairs, lm): the coupling matrix with the weight of each path folded in.
        weight = self.path_weights[self.path_of_column]
        table = torch.einsum("pk,kc,kt->cpt", self.coupling, weight, self.path_to_tensor)
        return torch.bmm(products.permute(2, 0, 1), table).permute(1, 2, 0)

    def raw_features(self, edges: Tensor, neighbors: Tensor, species: Tensor) -> Tensor:
        """Invariants before standardisation, (A, F)."""
        A = self.density(edges, neighbors, species)

        def contract(x: Tensor, y: Tensor) -> list[Tensor]:
            z = x * y
            return [z[:, L_SLICES[l].start - 1 : L_SLICES[l].stop - 1].sum(1) for l in range(1, self.l_max + 1)]

        tensors = A[:, 1:]
        blocks = [A[:, 0], *contract(tensors, tensors)]
        if self.order >= 3:
            P = self.second_order(A)
            blocks += contract(P, tensors)
            if self.order >= 4:
                blocks += contract(P, P)
        return torch.cat(blocks, dim=1)

    def forward(self, edges: Tensor, neighbors: Tensor, species: Tensor) -> LocalOutput:
        """See :class:`les_ipi.models.protocol.ShortRangeModel`."""
        raw = self.raw_features(edges, neighbors, species)
        features = (raw - self.feature_mean[species]) * self.feature_scale[species]
        return LocalOutput(self.energy_networks(features, species)[:, 0], features)

    @torch.no_grad()
    def standardise(self, raw: Tensor, species: Tensor) -> None:
        """Set mean and scale of the features from a sample: ``raw`` (S, F) and ``species`` (S,)."""
        for z in range(self.n_species):
            sample = raw[species == z]
            if len(sample) > 1:
                self.feature_mean[z] = sample.mean(0)
                self.feature_scale[z] = 1.0 / torch.clamp(sample.std(0), min=1e-6)
