"""Messages between neighbouring atoms, and the charge that flows along them."""

import torch
from torch import Tensor


class Topology:
    """The atoms on which edges end, and the messages that a model has passed along the edges in one evaluation.

    A model that passes messages calls :meth:`pass_messages` for every layer of them and takes neighbours' messages
    from nowhere else, because :meth:`carried`, which exact Born charges need, knows only the messages that were
    passed here.

    Parameters:
        neighbors: tensor (A, M) with the row of the neighbour on which every edge ends; the atom itself where padded.
        reverse: tensor (A, M) with the place of the reverse edge in the flat table of A·M edges; the edge itself
            where padded.
    """

    def __init__(self, neighbors: Tensor, reverse: Tensor):
        self.neighbors, self.reverse = neighbors, reverse
        self._passed: list[tuple[Tensor, Tensor]] = []

    def pass_messages(self, messages: Tensor) -> Tensor:
        """Pass the messages m_j of the atoms to their neighbours k along the edges k → j.

        An edge beyond the cutoff must not contribute, so the model has to multiply what it receives by a function of
        the length of the edge that vanishes there.

        Parameters:
            messages: tensor (A, ...) with the message of every atom.

        Returns a tensor (A, M, ...) with the messages that every atom receives along its edges.
        """
        received = _Gather.apply(messages.reshape(len(messages), -1), self.neighbors, self.reverse)
        received = received.view(*self.neighbors.shape, *messages.shape[1:])
        self._passed.append((messages, received))
        return received

    @property
    def unused(self) -> bool:
        """Whether no messages have been passed through this object."""
        return not self._passed

    def carried(self, charge: Tensor, edges: Tensor, create_graph: bool = False) -> list[Tensor]:
        """Compute what messages carry away from the centre c of every edge e, as exact Born charges need it.

            H_e^a = Σ_k (r_k − r_c)_a ∂q_k/∂e

        The charge q_k of an atom depends on an edge e of another atom c through messages, which travel from c to k
        along edges e_kj = r_j − r_k. A path of messages may have any number of steps: every step k ← j adds −(e_kj)_a
        to its weight, so that the sources −(e_kj)_a ∂(Σq)/∂m_kj of all layers, brought back together, give the sum
        over paths.

        Parameters:
            charge: the sum Σ q of all charges, e.
            edges: tensor (A, M, 3) of edge vectors in Å with which the model was evaluated.
            create_graph: True keeps the graph, so that the result can be differentiated again.

        Returns a list of three tables (A, M, 3) in e for a = x, y, z, whose last index is that of ∂e; the list is
        empty if no charge flows along messages.

        Source: derived in docs/explanation/physics.md.
        """
        passed = [(sent, received) for sent, received in self._passed if sent.requires_grad]
        if not passed or not charge.requires_grad:
            return []
        options = {"create_graph": create_graph, "retain_graph": True, "allow_unused": True}
        slopes = torch.autograd.grad(charge, [received for _, received in passed], **options)
        sent = [message for (message, _), slope in zip(passed, slopes, strict=True) if slope is not None]
        slopes = [slope for slope in slopes if slope is not None]
        if not sent:
            return []
        found = []
        for component in edges.unbind(-1):
            sources = [
                _returned(-component[..., None] * slope.reshape(*component.shape, -1), self.reverse).view_as(message)
                for slope, message in zip(slopes, sent, strict=True)
            ]
            (carried,) = torch.autograd.grad(sent, edges, sources, **options)
            found.append(torch.zeros_like(edges) if carried is None else carried)
        return found


class _Gather(torch.autograd.Function):
    """Rows of the neighbours; its derivative gathers through the reverse edges, so there is no scatter."""

    @staticmethod
    def forward(ctx, rows: Tensor, neighbors: Tensor, reverse: Tensor) -> Tensor:
        ctx.save_for_backward(neighbors, reverse)
        return rows.index_select(0, neighbors.reshape(-1)).view(*neighbors.shape, -1)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, None, None]:
        neighbors, reverse = ctx.saved_tensors
        return _GatherBack.apply(slope, neighbors, reverse), None, None


class _GatherBack(torch.autograd.Function):
    """The adjoint of :class:`_Gather`, which is its own adjoint's adjoint."""

    @staticmethod
    def forward(ctx, slope: Tensor, neighbors: Tensor, reverse: Tensor) -> Tensor:
        ctx.save_for_backward(neighbors, reverse)
        return _returned(slope, reverse)

    @staticmethod
    def backward(ctx, rows: Tensor) -> tuple[Tensor, None, None]:
        neighbors, reverse = ctx.saved_tensors
        return _Gather.apply(rows, neighbors, reverse), None, None


def _returned(values: Tensor, reverse: Tensor) -> Tensor:
    """Σ over the edges k → j that end on j of values (A, M, F): (A, F)."""
    flat = values.reshape(-1, values.shape[-1])
    return flat.index_select(0, reverse.reshape(-1)).view_as(values).sum(1)
