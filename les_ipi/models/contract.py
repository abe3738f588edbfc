"""What a short-range model must offer to be combined with the long-range part."""

from typing import NamedTuple

from torch import Tensor, nn

from les_ipi.models.topology import Topology


class LocalOutput(NamedTuple):
    """Per-atom output of a short-range model.

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
    """Features that turn with the structure, of order one: what dipoles and quadrupoles are read from.

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
    """A model of what atoms have from the edges within its cutoff: the base class of every short-range model.

    A subclass sets ``cutoff`` in Å and ``n_features``, and implements :meth:`forward`. The other parts are optional:
    ``energy_networks``, :meth:`set_linear_energies`, :meth:`standardise`, and :meth:`with_tensors`. Heads and trainings that
    need a part which the model does not have end with a ``UserError``.

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
        """Evaluate A atoms with M padded neighbours.

        Parameters: ``edges`` (A, M, 3) Å, centre to neighbour; ``near`` (A, M) and ``species`` (A,) elements of neighbours
        and centres as rows of the species list; ``topology`` the way of messages, None for a local model. Edges longer than
        the cutoff must not contribute.
        """
        raise NotImplementedError

    def n_tensors(self, l: int) -> int:
        """Number of equivariant features of rank l = 1 or 2, which heads with dipoles or quadrupoles need; 0 if not offered."""
        return 0

    def with_tensors(
        self, edges: Tensor, near: Tensor, species: Tensor, topology: Topology | None = None
    ) -> tuple[LocalOutput, Equivariants]:
        """:meth:`forward`, and the equivariant features that :meth:`n_tensors` counts."""
        raise NotImplementedError

    def standardise(
        self,
        edges: Tensor,
        near: Tensor,
        species: Tensor,
        topology: Topology | None = None,
        real: Tensor | None = None,
    ) -> None:
        """Adapt scales inside the model to a sample of atoms before training; a model without any does nothing.

        Parameters: as :meth:`forward`; ``real`` (A,) True for the atoms that count, None for all.
        """

    def set_linear_energies(self, weights: Tensor) -> None:
        """Make the energy w_z·B of the features B, for the start of a training: ``weights`` (n_species, F)."""
        raise NotImplementedError
