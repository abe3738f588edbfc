"""The native short-range model: an atomic cluster expansion on a padded neighbour matrix.

The density of neighbours is projected with one batched matrix product per atom; elements and radial functions are
mixed into channels only afterwards. Source of the expansion: doi:10.1103/PhysRevB.99.014104.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from les_ipi.models.contract import Equivariants, LocalOutput, ShortRangeModel
from les_ipi.models.harmonics import L_SLICES, gaunt, spherical_harmonics
from les_ipi.models.networks import ElementNetworks
from les_ipi.models.radial import RadialBasis
from les_ipi.models.topology import Topology

#: Couplings (l1, l2 → l) that build the second-order tensors; all even, so no parity-odd tensors appear.
COUPLINGS = [(1, 2, 1), (2, 3, 1), (1, 1, 2), (2, 2, 2), (3, 3, 2), (1, 3, 2), (1, 2, 3), (2, 3, 3)]


class ClusterDescriptor(nn.Module):
    """Rotation-invariant features of an atom: products of up to four densities of its neighbours (five-body terms).

        A_{i,lm,c} = Σ_n,z W^{l}_{z_i,nz,c} Σ_{j∈z} R_n(r_ij) Y_lm(r̂_ij)
        P_{lm,c} = Σ_paths w_c (A_{l1} ⊗ A_{l2})_{lm}

    The features are {A_0, A_l·A_l, P_l·A_l, P_l·P_l}, standardised for each element and compressed by x → k
    asinh(x/k).

    The two decays are a smoothness prior: fine radial detail and many-body terms are used only as far as the data ask
    for them. Products of four densities grow with the fourth power outside the data; the compression, which leaves
    the bulk of the data as it is, keeps a trajectory that gets there from falling into a hole of the potential. A far
    knee gives this up.

    Parameters:
        n_species: number of elements.
        cutoff: distance in Å within which atoms are neighbours.
        n_radial: number of radial functions R_n for each neighbour element.
        l_max: largest angular momentum of the density, 1 to 3.
        channels: number of learned mixtures c of radial functions and neighbour elements.
        order: largest number of neighbour densities in a product, 2 to 4.
        product_l_max: largest l of the two factors of P; 2 costs a third of 3.
        radial_decay: the weights of radial function n learn with a factor (1 + n)^-radial_decay, and random ones
            start with it.
        order_decay: standardised products of ν densities are scaled by order_decay^max(0, ν - 2).
        feature_knee: number k of standard deviations beyond which a feature grows only logarithmically.
        first_channels: what the channels begin as, "random" mixtures or "shells". A shell is the density of one
            element with one of :meth:`les_ipi.models.radial.RadialBasis.shells`. Shells take n_species · n_radial
            channels, and A_0 then spans all pair potentials from the start.
    """

    def __init__(
        self,
        n_species: int,
        cutoff: float = 4.5,
        n_radial: int = 10,
        l_max: int = 3,
        channels: int = 32,
        order: int = 4,
        product_l_max: int = 2,
        radial_decay: float = 1.0,
        order_decay: float = 0.3,
        feature_knee: float = 3.0,
        first_channels: Literal["random", "shells"] = "random",
    ):
        super().__init__()
        self.n_species, self.cutoff, self.l_max, self.channels, self.order = n_species, cutoff, l_max, channels, order
        self.radial = RadialBasis(n_radial, cutoff)
        inputs = n_species * n_radial
        self.mixing = nn.Parameter(torch.randn(l_max + 1, n_species * inputs, channels) / math.sqrt(inputs))
        prior = (1.0 + torch.arange(n_radial)) ** -radial_decay
        self.register_buffer("radial_prior", prior.repeat(n_species * n_species)[:, None], persistent=False)
        if first_channels == "shells":
            with torch.no_grad():
                shells = torch.block_diag(*[self.radial.shells()] * n_species) / prior.repeat(n_species)[:, None]
                self.mixing.copy_(shells.repeat(n_species, 1))
        self.order_decay, self.feature_knee = order_decay, feature_knee
        self.paths = [c for c in COUPLINGS if max(c) <= l_max and max(c[:2]) <= product_l_max]
        self.pairs = sorted({(l1, l2) for l1, l2, _ in self.paths})
        if order >= 3:
            self.path_weights = nn.Parameter(torch.randn(len(self.paths), channels) / math.sqrt(2.0))
            # Double precision whatever the model's: rounded couplings would break rotational invariance in float64.
            self.register_buffer("coupling", self._coupling_matrix(), persistent=False)
        self.n_features = channels * (1 + l_max + (order - 2) * len({l for *_, l in self.paths}))
        self.register_buffer("order_prior", self._order_prior(), persistent=False)
        self.register_buffer("feature_mean", torch.zeros(n_species, self.n_features))
        self.register_buffer("feature_scale", torch.ones(n_species, self.n_features))

    def _coupling_matrix(self) -> Tensor:
        """Couplings as one matrix (rows: path and m; columns: pair (l1, l2) and m1, m2)."""
        columns, start = {}, 0
        for l1, l2 in self.pairs:
            columns[l1, l2] = start
            start += (2 * l1 + 1) * (2 * l2 + 1)
        blocks = []
        for l1, l2, l3 in self.paths:
            block = torch.zeros(2 * l3 + 1, start, dtype=torch.float64)
            tensor = torch.from_numpy(gaunt(l1, l2, l3)).flatten(0, 1).T
            block[:, columns[l1, l2] : columns[l1, l2] + tensor.shape[1]] = tensor
            blocks.append(block)
        return torch.cat(blocks)

    def density(self, edges: Tensor, near: Tensor, species: Tensor) -> Tensor:
        """Compute the mixed neighbour density A of every atom; the parameters are those of
        :meth:`ShortRangeModel.forward`.

        Returns a tensor (A, (l_max+1)², channels).
        """
        r = torch.sqrt((edges * edges).sum(-1))
        angular = spherical_harmonics(edges / r[..., None], self.l_max)
        radial = self.radial(r)
        kinds = torch.arange(self.n_species, device=species.device)
        is_kind = (near[..., None] == kinds).to(radial.dtype)
        weighted = (is_kind[..., :, None] * radial[..., None, :]).flatten(-2)
        raw = angular.transpose(1, 2) @ weighted
        # The element of the centre selects its mixing matrix: zero blocks instead of a gather of weights.
        centre = (species[:, None] == kinds).to(radial.dtype)
        raw = (centre[:, None, :, None] * raw[:, :, None, :]).flatten(-2)
        mixing = self.radial_prior * self.mixing
        return torch.cat([raw[:, L_SLICES[l]] @ mixing[l] for l in range(self.l_max + 1)], dim=1)

    def second_order(self, density: Tensor) -> dict[int, Tensor]:
        """Couple pairs of densities, weighted in each channel and summed over the paths.

        Parameters:
            density: tensor (A, (l_max+1)², channels) from :meth:`density`.

        Returns a dictionary from l to the tensors (A, 2l+1, channels).
        """
        products = [
            (density[:, L_SLICES[l1], None] * density[:, None, L_SLICES[l2]]).flatten(1, 2) for l1, l2 in self.pairs
        ]
        coupled = self.coupling.to(density.dtype) @ torch.cat(products, dim=1)
        tensors: dict[int, Tensor] = {}
        row = 0
        for path, (_, _, l) in enumerate(self.paths):
            term = self.path_weights[path] * coupled[:, row : row + 2 * l + 1]
            tensors[l] = tensors[l] + term if l in tensors else term
            row += 2 * l + 1
        return tensors

    def _expansion(self, edges: Tensor, near: Tensor, species: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Density and, from order 3 on, its second-order tensors."""
        density = self.density(edges, near, species)
        return density, self.second_order(density) if self.order >= 3 else {}

    def _invariants(self, density: Tensor, second: dict[int, Tensor]) -> Tensor:
        """Invariants before standardisation, (A, F)."""
        first = {l: density[:, L_SLICES[l]] for l in range(1, self.l_max + 1)}
        blocks = [density[:, 0], *(_contract(first[l], first[l]) for l in first)]
        blocks += [_contract(second[l], first[l]) for l in second]
        if self.order >= 4:
            blocks += [_contract(second[l], second[l]) for l in second]
        return torch.cat(blocks, dim=1)

    def _standardised(self, raw: Tensor, species: Tensor) -> Tensor:
        standard = (raw - self.feature_mean[species]) * self.feature_scale[species]
        return self.order_prior * self.feature_knee * torch.asinh(standard / self.feature_knee)

    def raw_features(self, edges: Tensor, near: Tensor, species: Tensor) -> Tensor:
        """Compute the invariants (A, F) before standardisation; the parameters are those of
        :meth:`ShortRangeModel.forward`.
        """
        return self._invariants(*self._expansion(edges, near, species))

    def features(self, edges: Tensor, near: Tensor, species: Tensor) -> Tensor:
        """Compute the standardised invariants (A, F); the parameters are those of :meth:`ShortRangeModel.forward`."""
        return self._standardised(self.raw_features(edges, near, species), species)

    def features_and_tensors(self, edges: Tensor, near: Tensor, species: Tensor) -> tuple[Tensor, Equivariants]:
        """Compute the standardised invariants (A, F) and the tensors of rank 1 and 2 behind them, scaled to order
        one.

        The parameters are those of :meth:`ShortRangeModel.forward`.
        """
        density, second = self._expansion(edges, near, species)
        raw = self._invariants(density, second)
        vectors = self._tensors(1, density, second, species)[:, [2, 0, 1]]
        rank_two = self._tensors(2, density, second, species) if self.l_max >= 2 else None
        return self._standardised(raw, species), Equivariants(vectors, rank_two)

    def n_tensors(self, l: int) -> int:
        """Number of tensors of rank l that :meth:`features_and_tensors` returns."""
        return 0 if l > self.l_max else self.channels * (1 + (self.order >= 4 and l in {x for *_, x in self.paths}))

    def _tensors(self, l: int, density: Tensor, second: dict[int, Tensor], species: Tensor) -> Tensor:
        """Tensors of rank l divided by their root mean square, which is the mean of an invariant: (A, 2l+1, F_l)."""
        blocks = [density[:, L_SLICES[l]]]
        starts = [l * self.channels]
        if self.order >= 4 and l in second:
            blocks.append(second[l])
            starts.append((1 + self.l_max + len(second) + list(second).index(l)) * self.channels)
        columns = torch.cat([torch.arange(s, s + self.channels, device=species.device) for s in starts])
        mean_square = self.feature_mean[:, columns][species]
        # Before standardisation the means are zero, and the tensors stay as they are.
        scale = torch.where(mean_square > 1e-12, mean_square.clamp(min=1e-12).rsqrt(), torch.ones_like(mean_square))
        return torch.cat(blocks, dim=2) * scale[:, None]

    @torch.no_grad()
    def standardise(
        self,
        edges: Tensor,
        near: Tensor,
        species: Tensor,
        topology: Topology | None = None,
        real: Tensor | None = None,
    ) -> None:
        """Set mean and scale of the features from a sample, see :meth:`les_ipi.models.contract.ShortRangeModel.standardise`."""
        raw = self.raw_features(edges, near, species)
        for z in range(self.n_species):
            chosen = species == z if real is None else (species == z) & real
            sample = raw[chosen]
            if len(sample) > 1:
                self.feature_mean[z] = sample.mean(0)
                self.feature_scale[z] = 1.0 / torch.clamp(sample.std(0), min=1e-6)

    def _order_prior(self) -> Tensor:
        """Factor order_decay^max(0, ν − 2) of every feature, (F,)."""
        second = len({l for *_, l in self.paths})
        powers = [0] * (1 + self.l_max) + [1] * second * (self.order >= 3) + [2] * second * (self.order >= 4)
        return torch.repeat_interleave(
            self.order_decay ** torch.tensor(powers, dtype=self.mixing.dtype), self.channels
        )


class ClusterExpansion(ClusterDescriptor, ShortRangeModel):
    """The native short-range model: one small network for each element turns the features of an atom into its energy.

    The features are those of :class:`ClusterDescriptor`.

    Parameters:
        n_species: number of elements.
        hidden: widths of the hidden layers of the energy networks.
        descriptor: the other parameters of :class:`ClusterDescriptor`, as keywords.
    """

    local = True
    linear_energies = True

    def __init__(self, n_species: int, hidden: tuple[int, ...] = (64, 32), **descriptor):
        super().__init__(n_species, **descriptor)
        self.energy_networks = ElementNetworks(n_species, (self.n_features, *hidden, 1))

    def forward(self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None) -> LocalOutput:
        """See :class:`les_ipi.models.contract.ShortRangeModel`."""
        features = self.features(edges, near, species)
        return LocalOutput(self.energy_networks(features, species)[:, 0], features)

    def with_tensors(
        self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None
    ) -> tuple[LocalOutput, Equivariants]:
        """Evaluate as :meth:`forward` does, and return the equivariant features of :meth:`features_and_tensors` as
        well.
        """
        features, tensors = self.features_and_tensors(edges, near, species)
        return LocalOutput(self.energy_networks(features, species)[:, 0], features), tensors

    def set_linear_energies(self, weights: Tensor) -> None:
        """See :class:`les_ipi.models.contract.ShortRangeModel`."""
        self.energy_networks.start_linear(weights[:, None])


def _contract(x: Tensor, y: Tensor) -> Tensor:
    """Σ_m x_m y_m: two tensors (A, 2l+1, channels) → (A, channels)."""
    return (x * y).sum(1)
