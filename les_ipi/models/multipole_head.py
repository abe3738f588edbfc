"""Latent multipoles and their response from invariant and equivariant features."""

import math
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor

from les_ipi.electrostatics.multipoles import traceless
from les_ipi.errors import UserError
from les_ipi.models.contract import Equivariants
from les_ipi.models.harmonics import cartesian_rank_two
from les_ipi.models.heads import ChargeHead, ChargeOutput, HeadInputs
from les_ipi.models.networks import ElementNetworks
from les_ipi.models.registry import register_head
from les_ipi.units import COULOMB

if TYPE_CHECKING:
    from les_ipi.models.model_config import ChargesConfig

#: Configurations of the literature: charges with u dipoles, Q quadrupoles, iq induced charges, iu induced dipoles.
Level = Literal["q", "u", "uQ", "iq", "iu", "uiq", "uiu", "uiqiu", "uQiqiu"]

#: First latent polarizability in Å³ of elements without an entry, and first κ in e/V: a few per cent of what they become.
DEFAULT_POLARIZABILITY_A3, FIRST_KAPPA = 0.2, 0.002


@register_head
class MultipoleHead(ChargeHead):
    """Head with charges q, dipoles u, quadrupoles Q, charge response κ and polarizability α, as far as ``level``
    names them.

        q = λ z_formal + Q_φ(B);  u = Σ_c g_c(B) A_{1,c};  Q = Σ_c g_c(B) A_{2,c} (traceless);  κ = κ₀ (1 + g(B))²
        α = α₀ M·M,  M = (1 + g(B)) 1 + Σ_c g_c(B) A_{2,c}

    Here B are the invariant features of an atom, A_1 and A_2 its features of rank 1 and 2, and g networks of B. κ is
    never negative, and α is symmetric and never negative.

    With ``fixed_scale`` the charges are λ z_formal alone and everything that flows is in u. P = Σ λ z_formal r + Σ u
    is then a single-valued function of unwrapped coordinates, as that of :class:`les_ipi.models.heads.TransferHead`.

    Parameters:
        n_species: number of elements.
        n_features: number of invariant features of an atom.
        formal_charges: formal charge z of each element in e.
        level: the moments and the response of atoms, see :class:`les_ipi.models.model_config.ChargesConfig`.
        n_tensors: numbers of features of rank l = 1 and l = 2.
        channels: number of independent sets of latent moments of every atom.
        hidden: widths of the hidden layers of the networks.
        scale: first value of λ.
        anisotropic: whether α is a tensor (True) or a number.
        polarizability_scale: α₀ of every element in Å³, or None for 0.2 Å³.
        fixed_scale: whether the charges are λ z_formal alone, with λ = ``scale``.

    Raises ``UserError`` for quadrupoles or tensor polarizabilities without features of rank 2.

    Source: arXiv:2605.05746 (moments and response); the readout is ours.
    """

    name = "multipole"
    equivariant = True

    def __init__(
        self,
        n_species: int,
        n_features: int,
        formal_charges: list[float],
        level: Level,
        n_tensors: tuple[int, int],
        channels: int = 1,
        hidden: tuple[int, ...] = (32, 16),
        scale: float = 0.3,
        anisotropic: bool = True,
        polarizability_scale: list[float] | None = None,
        fixed_scale: bool = False,
    ):
        super().__init__(
            n_species, n_features, 0 if fixed_scale else channels, formal_charges, hidden, scale, fixed_scale
        )
        self.single_valued_polarization = fixed_scale
        self.level, self.channels, self.charges_alone = level, channels, level == "q"
        self.induces_charge, self.induces_dipole = "iq" in level, "iu" in level
        self.anisotropic = anisotropic and self.induces_dipole
        permanent = level.replace("iq", "").replace("iu", "")
        self.has_dipole, self.has_quadrupole = "u" in permanent, "Q" in permanent
        if (self.has_quadrupole or self.anisotropic) and not n_tensors[1]:
            raise UserError(
                f"Level '{level}' needs features of l = 2, but l_max is 1: set l_max = 2 or 3, or, if only the "
                "polarizability needs them, anisotropic = false."
            )
        #: Gates of each quantity: name → number per channel.
        self.parts = {
            "dipole": n_tensors[0] * self.has_dipole,
            "quadrupole": n_tensors[1] * self.has_quadrupole,
            "kappa": 1 * self.induces_charge,
            "alpha": 1 * self.induces_dipole,
            "alpha_tensor": n_tensors[1] * self.anisotropic,
        }
        gates = channels * sum(self.parts.values())
        self.gates = ElementNetworks(n_species, (n_features, *hidden, gates), output_scale=0.1) if gates else None
        start = torch.tensor(polarizability_scale or [DEFAULT_POLARIZABILITY_A3] * n_species) / COULOMB
        self.register_buffer("first_alpha", start.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("cartesian", torch.from_numpy(cartesian_rank_two()), persistent=False)

    @classmethod
    def from_config(cls, config: "ChargesConfig", inputs: HeadInputs) -> Self:
        """Build a head with fresh weights, see :class:`les_ipi.models.heads.ChargeHead`.

        Raises ``UserError`` for a short-range model that offers no vectors.
        """
        if not inputs.n_tensors[0]:
            raise UserError(
                "The 'multipole' head needs vectors, which this short-range model does not offer: use the latent, transfer or "
                "equilibration head."
            )
        formal = inputs.of_elements(config.formal, 0.0)
        return cls(
            len(formal),
            inputs.n_features,
            formal,
            config.level,
            inputs.n_tensors,
            config.channels,
            config.hidden,
            config.first_formal_scale,
            config.anisotropic,
            inputs.of_elements(config.polarizability_scale, DEFAULT_POLARIZABILITY_A3),
            config.formal_scale == "oxidation",
        )

    def forward(self, features: Tensor, equivariants: Equivariants, species: Tensor) -> ChargeOutput:
        """Compute the charges and the other moments of the level.

        Parameters:
            features: tensor (A, F) of the invariant features of the atoms.
            equivariants: their features of rank 1 and 2.
            species: tensor (A,) of the elements, as rows of the species list.

        Returns the output with charges (A, C) in e, and those of dipoles, quadrupoles, κ and α that the level has.
        """
        charges = self.scaled_formal_charges(species)[:, None]
        if self.networks is not None:
            charges = charges + self.sign * self.networks(features, species)
        if self.gates is None:
            return ChargeOutput(charges)
        sizes = [self.channels * n for n in self.parts.values()]
        raw = self.gates(features, species).split(sizes, dim=1)
        gate = {name: g.view(len(g), n, self.channels) for (name, n), g in zip(self.parts.items(), raw, strict=True)}
        vectors, rank_two = equivariants
        dipoles = quadrupoles = kappa = alpha = None
        if self.has_dipole:
            dipoles = self.sign * (vectors @ gate["dipole"]) / math.sqrt(vectors.shape[-1])
        if self.has_quadrupole:
            quadrupoles = self.sign * self._tensor(rank_two, gate["quadrupole"])
            # Rounded features are traceless to their precision only; the sum needs it exactly.
            quadrupoles = traceless(quadrupoles[None])[0]
        if self.induces_charge:
            kappa = FIRST_KAPPA * (1.0 + gate["kappa"][:, 0]) ** 2
        if self.induces_dipole:
            root = 1.0 + gate["alpha"][:, 0]
            first = self.first_alpha[species]
            if self.anisotropic:
                identity = torch.eye(3, dtype=root.dtype, device=root.device)[:, :, None]
                matrix = root[:, None, None] * identity + self._tensor(rank_two, gate["alpha_tensor"])
                alpha = first[:, None, None, None] * torch.einsum("axyc,azyc->axzc", matrix, matrix)
            else:
                alpha = first[:, None] * root * root
        return ChargeOutput(charges, dipoles=dipoles, quadrupoles=quadrupoles, kappa=kappa, alpha=alpha)

    def _tensor(self, rank_two: Tensor, gates: Tensor) -> Tensor:
        """Σ_f T_f g_fc / √F as Cartesian tensors (A, 3, 3, C), from components (A, 5, F) and gates (A, F, C)."""
        weighted = rank_two @ gates / math.sqrt(rank_two.shape[-1])
        return (self.cartesian.to(weighted) @ weighted).unflatten(1, (3, 3))
