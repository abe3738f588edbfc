"""What a short-range model must offer to be combined with the long-range part."""

from typing import NamedTuple, Protocol

from torch import Tensor


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


class ShortRangeModel(Protocol):
    """A model that sees only edge vectors within its cutoff.

    ``local`` is True when the output of an atom depends on its own edges alone (no message passing): then the exact
    Born charges of the latent head cost one backward pass. For the ``multipole`` head a model also offers ``with_tensors``
    and ``n_tensors(l)``, see :class:`les_ipi.models.ace.ClusterExpansion`.
    """

    cutoff: float
    n_features: int
    local: bool

    def __call__(self, edges: Tensor, near: Tensor, species: Tensor) -> LocalOutput:
        """Evaluate A atoms with M padded neighbours.

        Parameters: ``edges`` (A, M, 3) Å, centre to neighbour; ``near`` (A, M) and ``species`` (A,) elements of neighbours
        and centres as rows of the species list. Edges longer than the cutoff must not contribute.
        """
        ...
