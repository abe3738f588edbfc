"""A short-range model of a few hundred weights that passes messages, as the author of another model would write one."""

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from les_ipi.models import LocalOutput, ShortRangeModel, ShortRangeSettings, Topology, register_short_range
from les_ipi.models.contract import Equivariants
from les_ipi.models.radial import RadialBasis


class ToySettings(ShortRangeSettings):
    """``[short_range] kind = "toy"``."""

    layers: int = Field(1, ge=1)
    width: int = Field(6, ge=1)
    n_radial: int = Field(4, ge=1)


class ToyMessagePassing(ShortRangeModel):
    """A layer of own edges, then ``layers`` layers in which messages of the neighbours are weighted by functions of distance.

    h⁰_i = tanh(Σ_j W R(r_ij));  m_j = tanh(M h_j);  h_i ← h_i + tanh(Σ_j (V R(r_ij)) ∘ m_j);  E_i and features from all h.
    Vectors are Σ_j (U R(r_ij)) ∘ m_j e_ij of the last messages.
    """

    def __init__(self, settings: ToySettings, numbers: list[int]):
        super().__init__()
        width, n_species = settings.width, len(numbers)
        self.cutoff, self.width, self.n_species = settings.cutoff, width, n_species
        self.n_features = width * (1 + settings.layers)
        self.radial = RadialBasis(settings.n_radial, settings.cutoff)
        inputs = n_species * settings.n_radial
        self.own = nn.Parameter(torch.randn(inputs, width) / math.sqrt(inputs))
        self.elements = nn.Parameter(torch.randn(n_species, width))
        self.sent = nn.Parameter(torch.randn(settings.layers, width, width) / math.sqrt(width))
        self.received = nn.Parameter(torch.randn(settings.layers + 1, inputs, width) / math.sqrt(inputs))
        self.energy = nn.Linear(self.n_features, 1)
        self.register_buffer("mean", torch.zeros(self.n_features))
        self.register_buffer("scale", torch.ones(self.n_features))

    def forward(self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None) -> LocalOutput:
        return self.with_tensors(edges, near, species, topology)[0]

    def n_tensors(self, l: int) -> int:
        return self.width if l == 1 else 0

    def with_tensors(
        self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None
    ) -> tuple[LocalOutput, Equivariants]:
        raw, vectors = self._layers(edges, near, species, topology)
        features = (raw - self.mean) * self.scale
        return LocalOutput(self.energy(features)[:, 0], features), Equivariants(vectors, None)

    @torch.no_grad()
    def standardise(self, edges, near, species, topology=None, real=None) -> None:
        raw = self._layers(edges, near, species, topology)[0][real]
        self.mean.copy_(raw.mean(0))
        self.scale.copy_(1.0 / raw.std(0).clamp(min=1e-3))

    def _layers(self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
        kind = (near[..., None] == torch.arange(self.n_species)).to(edges.dtype)
        basis = (kind[..., :, None] * self.radial(edges.norm(dim=-1))[..., None, :]).flatten(2)
        found = [torch.tanh(self.elements[species] + (basis @ self.own).sum(1))]
        for sent, received in zip(self.sent, self.received[:-1], strict=True):
            messages = topology.pass_messages(torch.tanh(found[-1] @ sent))
            found.append(found[-1] + torch.tanh(((basis @ received) * messages).sum(1)))
        vectors = torch.einsum("amf,amx->axf", (basis @ self.received[-1]) * messages, edges)
        return torch.cat(found, dim=1), vectors


register_short_range("toy", ToySettings, ToyMessagePassing)
