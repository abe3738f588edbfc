"""Few common shapes for frames of many sizes: every shape of a batch is compiled on its own."""

import numpy as np

from les_ipi.electrostatics.ewald import half_sphere_modes
from les_ipi.models.les_model import LESModel
from les_ipi.structures.batch import Padding
from les_ipi.training.data import Frame

#: Largest number of shapes; each costs a minute or two of compilation.
MOST_SHAPES = 3
#: Another shape must save this fraction of the padded edges.
WORTHWHILE = 0.15


def frame_padding(frame: Frame, model: LESModel) -> Padding:
    """Return the numbers of atoms, of neighbours of an atom and of wave vectors of one frame."""
    modes = len(half_sphere_modes(frame.system.cell, model.kernel.k_cutoff)) if frame.system.periodic else 0
    return Padding(len(frame.system.numbers), frame.neighbors.index.shape[1], max(1, modes))


class CommonShapes:
    """Few nested shapes, at most :data:`MOST_SHAPES`, that hold all frames with the fewest padded edges.

    The attribute ``overhead`` is the number of padded edges over the number of real ones.

    Parameters:
        frames: the frames of the training.
        model: the model, which gives the cutoffs.
    """

    def __init__(self, frames: list[Frame], model: LESModel):
        own = np.array([frame_padding(f, model) for f in frames])
        order = np.argsort(own[:, 0] * own[:, 1], kind="stable")
        # Shapes are nested: the shape of a group is the largest of its frames and of all smaller ones.
        held = np.maximum.accumulate(own[order], axis=0)
        ends = _group_ends(held[:, 0] * held[:, 1])
        self.shapes = [Padding(*map(int, held[end - 1])) for end in ends]
        group = np.searchsorted(ends, np.arange(len(frames)), side="right")
        self._frames = frames  # kept alive: frames are known by identity
        self._group = {id(frames[place]): int(g) for place, g in zip(order, group, strict=True)}
        edges = [s.rows * s.columns for s in self.shapes]
        self.overhead = sum(edges[g] for g in group) / sum(f.neighbors.index.size for f in frames)

    def of(self, frames: list[Frame]) -> Padding:
        """Return the smallest shape that holds a batch of the frames given at the start; other frames get no padding."""
        groups = [self._group.get(id(f), -1) for f in frames]
        return self.shapes[max(groups)] if min(groups) >= 0 else Padding()


def _group_ends(edges: np.ndarray) -> list[int]:
    """Ends of the groups of sorted frames, given the padded ``edges`` (n,) of a group that ends at each frame."""
    n = len(edges)
    # Cuts at which the shape grows are the only useful ones.
    cuts = np.unique(np.append(np.flatnonzero(np.diff(edges)) + 1, n))
    cost = {(int(c),): c * edges[c - 1] for c in cuts}
    best = (n,)
    total = cost[best]
    for _ in range(MOST_SHAPES - 1):
        longer: dict[tuple[int, ...], float] = {}
        for ends, spent in cost.items():
            for c in cuts[cuts > ends[-1]]:
                longer[*ends, int(c)] = spent + (c - ends[-1]) * edges[c - 1]
        cost = longer
        complete = {ends: spent for ends, spent in cost.items() if ends[-1] == n}
        if not complete:
            break
        found = min(complete, key=complete.get)
        if complete[found] < (1 - WORTHWHILE) * total:
            best, total = found, complete[found]
    return list(best)
