"""Charge heads: latent charges from local features, and pairwise charge transfer."""

from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor, nn

from les_ipi.models.networks import ElementNetworks
from les_ipi.models.radial import RadialBasis
from les_ipi.models.registry import register_head

if TYPE_CHECKING:
    from les_ipi.models.model_config import ChargesConfig


class ChargeOutput(NamedTuple):
    """Latent (unscaled) charges of one batch.

    ==================  ===========  =================================================================
    field               shape        meaning, unit
    ==================  ===========  =================================================================
    charges             (A, C)       e, before any neutrality projection, and before ``transfers``
    local_dipole        (A, 3)       e·Å; the polarization is Σ q⁰ r + Σ local_dipole (transfer), or None
    reference_charges   (A,)         q⁰ in e (transfer), or None
    transfers           (A, M)       t_ij in e that the centre gives along each edge (transfer), or None
    dipoles             (A, 3, C)    e·Å (multipole), or None
    quadrupoles         (A, 3, 3, C) traceless, e·Å² (multipole), or None
    kappa               (A, C)       response of the charge, e/V (multipole), or None
    alpha               (A, C) or    atomic polarizability, isotropic or tensor, e²Å²/eV (multipole), or None
                        (A, 3, 3, C)
    hardness            (A,)         J in eV/e² (equilibration, whose ``charges`` are those of lone atoms), or None
    ==================  ===========  =================================================================
    """

    charges: Tensor
    local_dipole: Tensor | None = None
    reference_charges: Tensor | None = None
    transfers: Tensor | None = None
    dipoles: Tensor | None = None
    quadrupoles: Tensor | None = None
    kappa: Tensor | None = None
    alpha: Tensor | None = None
    hardness: Tensor | None = None

    def exchanged(self, reverse: Tensor) -> Tensor:
        """Compute the charges after all transfers, q_i + Σ_j (t_ji − t_ij).

        Parameters:
            reverse: tensor (A, M) with the flat place of the reverse edge, as in
                :class:`les_ipi.structures.batch.Batch`.

        Returns the charges (A, C) in e.
        """
        if self.transfers is None:
            return self.charges
        incoming = self.transfers.reshape(-1)[reverse]
        return self.charges + (incoming - self.transfers).sum(1, keepdim=True)


class HeadInputs(NamedTuple):
    """What a charge head is built on.

    The fields are the element symbols of the species list, the number of invariant features of an atom, and the
    numbers of equivariant features of rank 1 and 2 (0 where the short-range model has none).
    """

    species: tuple[str, ...]
    n_features: int
    n_tensors: tuple[int, int]

    def of_elements(self, values: dict[str, float], otherwise: float) -> list[float]:
        """Return one number for each element of the species list, taken from ``values``, or ``otherwise`` if it has
        none.
        """
        return [values.get(element, otherwise) for element in self.species]


class ChargeHead(nn.Module):
    """Base class of all charge heads, which make the latent charges of atoms from their features.

    The class holds what heads share: formal charges times a factor λ, learned or fixed, one network for each element
    (if the network has outputs), and the global sign of the charges.

    A head has a ``name`` and is registered with :func:`les_ipi.models.registry.register_head`. It is called with
    (features, edges, near, species), or with (features, equivariants, species) if it is ``equivariant``. It returns
    :class:`ChargeOutput`.
    """

    name: str
    #: Whether the dipole is a single-valued function of unwrapped positions.
    single_valued_polarization = False
    #: Whether the head reads vectors and tensors besides the invariant features.
    equivariant = False
    #: Whether the head has κ and α.
    induces_charge = induces_dipole = False
    #: Whether charges come from a minimisation over the whole structure.
    equilibrates = False
    #: Whether permanent charges are all there is, so that closed sums serve.
    charges_alone = False

    @property
    def induces(self) -> bool:
        """Whether charges or dipoles of atoms are induced by the other atoms."""
        return self.induces_charge or self.induces_dipole

    def __init__(
        self,
        n_species: int,
        n_features: int,
        n_outputs: int,
        formal_charges: list[float],
        hidden: tuple[int, ...],
        scale: float,
        fixed_scale: bool = False,
    ):
        super().__init__()
        self.fixed_scale = fixed_scale
        self.networks = ElementNetworks(n_species, (n_features, *hidden, n_outputs), output_scale=0.1) if n_outputs else None
        factor = torch.tensor(float(scale))
        if fixed_scale:
            # Given by the configuration, not by the weights.
            self.register_buffer("formal_scale", factor, persistent=False)
        else:
            self.formal_scale = nn.Parameter(factor)
        self.register_buffer("formal_charges", torch.tensor(formal_charges, dtype=torch.get_default_dtype()))
        self.register_buffer("sign", torch.tensor(1.0))

    @classmethod
    def from_config(cls, config: "ChargesConfig", inputs: HeadInputs) -> Self:
        """Build a head with fresh weights.

        Parameters:
            config: the table ``[charges]`` of a training file; elements without a formal charge in it have zero.
            inputs: what the short-range model offers to the head.

        Returns the head.
        """
        raise NotImplementedError

    def scaled_formal_charges(self, species: Tensor) -> Tensor:
        """Compute λ z_formal of every atom with the global sign of the charges.

        Parameters:
            species: tensor (A,) of the elements, as rows of the species list.

        Returns the charges (A,) in e.
        """
        return self.sign * self.formal_scale * self.formal_charges[species]


@register_head
class LatentHead(ChargeHead):
    """Head with charges q_i = λ z_formal + Q_φ(features_i): the published form, optionally around scaled formal
    charges.

    Parameters:
        n_species: number of elements.
        n_features: number of features of an atom.
        formal_charges: formal charge z of each element in e; zeros give the published form.
        channels: number of independent latent charges of every atom.
        hidden: widths of the hidden layers of the networks Q_φ.
        scale: first value of λ.

    Source: doi:10.1038/s41524-025-01577-7.
    """

    name = "latent"
    charges_alone = True

    def __init__(
        self,
        n_species: int,
        n_features: int,
        formal_charges: list[float],
        channels: int = 1,
        hidden: tuple[int, ...] = (32, 16),
        scale: float = 0.3,
    ):
        super().__init__(n_species, n_features, channels, formal_charges, hidden, scale)

    @classmethod
    def from_config(cls, config: "ChargesConfig", inputs: HeadInputs) -> Self:
        """See :class:`ChargeHead`."""
        formal = inputs.of_elements(config.formal, 0.0)
        return cls(
            len(formal), inputs.n_features, formal, config.channels, config.hidden, config.first_formal_scale
        )

    def forward(
        self, features: Tensor, edges: Tensor, near: Tensor, species: Tensor
    ) -> ChargeOutput:
        """Compute the latent charges of atoms.

        Parameters:
            features: tensor (A, F) of the features of the atoms.
            edges: not used by this head.
            near: not used by this head.
            species: tensor (A,) of the elements, as rows of the species list.

        Returns the output with charges (A, C) in e.
        """
        return ChargeOutput(self.scaled_formal_charges(species)[:, None] + self.sign * self.networks(features, species))


@register_head
class TransferHead(ChargeHead):
    """Head that moves charge between neighbouring atoms, so that structures are neutral by construction.

        q_i = λ z_formal + Σ_j (t_ji − t_ij),  t_ij = Σ_n c_n(features_i, z_j) φ_n(r_ij)

    Charge only moves along edges, so the sum of the charges is λ Σ z_formal, the acoustic sum rule holds exactly, and
    P = Σ_i λ z_formal r_i + Σ_ij t_ij (r_j − r_i) is a single-valued, continuous function of unwrapped coordinates.
    Where λ Σ z_formal is not the wanted total charge, all λ z_formal of the structure are shifted equally: they stay
    constants.

    When atoms end where equal atoms started, the t_ij are what they were, and every atom has carried λ z_formal along
    its way. With λ = 1/√ε_∞ and oxidation numbers z_formal, physical currents carry just these, as they must
    (doi:10.1038/s41567-019-0562-0).

    Parameters:
        n_species: number of elements.
        n_features: number of features of an atom.
        formal_charges: formal charge z of each element in e.
        cutoff: length in Å of the longest edges that carry charge.
        n_radial: number of radial functions φ_n.
        hidden: widths of the hidden layers of the networks c_n.
        scale: first value of λ.
        fixed_scale: whether λ stays at ``scale`` instead of being learned.
    """

    name = "transfer"
    single_valued_polarization = True

    def __init__(
        self,
        n_species: int,
        n_features: int,
        formal_charges: list[float],
        cutoff: float = 3.5,
        n_radial: int = 5,
        hidden: tuple[int, ...] = (32, 16),
        scale: float = 0.3,
        fixed_scale: bool = False,
    ):
        super().__init__(n_species, n_features, n_species * n_radial, formal_charges, hidden, scale, fixed_scale)
        self.n_species, self.n_radial = n_species, n_radial
        self.radial = RadialBasis(n_radial, cutoff)

    @classmethod
    def from_config(cls, config: "ChargesConfig", inputs: HeadInputs) -> Self:
        """See :class:`ChargeHead`."""
        formal = inputs.of_elements(config.formal, 0.0)
        return cls(
            len(formal),
            inputs.n_features,
            formal,
            config.transfer_cutoff,
            config.transfer_n_radial,
            config.hidden,
            config.first_formal_scale,
            config.formal_scale == "oxidation",
        )

    def forward(
        self, features: Tensor, edges: Tensor, near: Tensor, species: Tensor
    ) -> ChargeOutput:
        """Compute what atoms give to their neighbours.

        Parameters:
            features: tensor (A, F) of the features of the atoms.
            edges: tensor (A, M, 3) of vectors from every atom to its neighbours, Å.
            near: tensor (A, M) of the elements of the neighbours, as rows of the species list.
            species: tensor (A,) of the elements of the atoms, as rows of the species list.

        Returns the output with reference charges (A, 1), what every atom gives along its edges, and local dipoles.
        """
        r = torch.sqrt((edges * edges).sum(-1))
        coefficients = self.networks(features, species).view(-1, self.n_species, self.n_radial)
        by_species = self.radial(r) @ coefficients.transpose(1, 2)
        transfer = self.sign * torch.gather(by_species, 2, near[..., None])[..., 0]
        base = self.scaled_formal_charges(species)
        local_dipole = (transfer[..., None] * edges).sum(1)
        return ChargeOutput(base[:, None], local_dipole, base, transfer)
