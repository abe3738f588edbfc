"""What a short-range model must offer to be combined with the long-range part."""

from typing import NamedTuple

from torch import Tensor, nn

from les_ipi.models.topology import Topology


class LocalOutput(NamedTuple):
    """What a short-range model returns for every atom.

    ========  =======  ==========================================================
    field     shape    meaning, unit
    ========  =======  ==========================================================
    energy    (A,)     atomic energies without reference energies, eV
    features  (A, F)   rotation-invariant features that feed the charge head
    ========  =======  ==========================================================
    """

    energy: Tensor
    features: Tensor


class Equivariants(NamedTuple):
    """Features that turn with the structure and are of order one; atomic dipoles and quadrupoles are read from them.

    ========  ==========  ==================================================================================
    field     shape       meaning
    ========  ==========  ==================================================================================
    vectors   (A, 3, F1)  l = 1, Cartesian
    rank_two  (A, 5, F2)  l = 2, components as in :func:`les_ipi.models.harmonics.spherical_harmonics`, which
                          :func:`les_ipi.models.harmonics.cartesian_rank_two` turns into tensors; None if l_max = 1
    ========  ==========  ==================================================================================
    """

    vectors: Tensor
    rank_two: Tensor | None


class ShortRangeModel(nn.Module):
    """Base class of every short-range model, which describes an atom by the edges to its neighbours within a cutoff.

    A subclass sets ``cutoff`` in Å and ``n_features``, the length F of the feature vector of an atom, and implements
    :meth:`forward`. The other parts are optional: ``energy_networks``, :meth:`set_linear_energies`,
    :meth:`standardise` and :meth:`with_tensors`. Heads and trainings that need a part which the model does not have
    end with a ``UserError``.

    A model is registered with :func:`les_ipi.models.registry.register_short_range`.
    """

    cutoff: float
    n_features: int

    #: True if the output of an atom depends on its own edges alone. Then any number of atoms may be evaluated at a time,
    #: without a topology. Other models pass messages, and only through :meth:`les_ipi.models.topology.Topology.pass_messages`.
    local: bool = False
    #: Whether :meth:`set_linear_energies` is offered: energies may begin as linear functions of the features.
    linear_energies: bool = False

    def __init__(self):
        super().__init__()
        #: Module from features (A, F) and species (A,) to energies (A, 1), if that is all that makes the energies. A training
        #: on files of several functionals puts networks of its own in its place.
        self.energy_networks: nn.Module | None = None

    def forward(self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None) -> LocalOutput:
        """Evaluate A atoms with M padded neighbours each. Edges that are longer than the cutoff must not contribute.

        Parameters:
            edges: tensor (A, M, 3) of vectors from every atom (the centre) to its neighbours, Å.
            near: tensor (A, M) with the elements of the neighbours, as rows of the species list.
            species: tensor (A,) with the elements of the centres, as rows of the species list.
            topology: the object through which messages are passed, or None for a local model.

        Returns the energies (A,) in eV and the features (A, F) of the atoms.
        """
        raise NotImplementedError

    def n_tensors(self, l: int) -> int:
        """Number of equivariant features of one rank, which heads with dipoles or quadrupoles need.

        Parameters:
            l: the rank, 1 for vectors or 2 for traceless tensors.

        Returns the number of features; 0 if the model does not offer this rank.
        """
        return 0

    def with_tensors(
        self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None
    ) -> tuple[LocalOutput, Equivariants]:
        """Evaluate as :meth:`forward` does, and return the equivariant features that :meth:`n_tensors` counts as
        well.

        The parameters are those of :meth:`forward`.

        Returns the output of :meth:`forward` and the equivariant features.
        """
        raise NotImplementedError

    def standardise(
        self,
        edges: Tensor,
        near: Tensor,
        species: Tensor,
        topology: Topology | None = None,
        real: Tensor | None = None,
    ) -> None:
        """Adapt the scales inside the model to a sample of atoms, before a training. A model without such scales does
        nothing.

        Parameters:
            edges: as for :meth:`forward`.
            near: as for :meth:`forward`.
            species: as for :meth:`forward`.
            topology: as for :meth:`forward`.
            real: tensor (A,) that is True for the atoms that count, or None if all of them count.
        """

    def set_linear_energies(self, weights: Tensor) -> None:
        """Make the energy of an atom of element z the linear function w_z·B of its features B, as the start of a
        training.

        Parameters:
            weights: tensor (n_species, F) with the coefficients w_z, in the unit of the energies of :meth:`forward`.
        """
        raise NotImplementedError
