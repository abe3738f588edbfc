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


class ShortRangeModel(Protocol):
    """A model that sees only edge vectors within its cutoff.

    ``local`` is True when the output of an atom depends on its own edges alone (no message passing): then the exact
    Born charges of the latent head cost one backward pass.
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
