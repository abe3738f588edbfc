"""Optimisers of a training: AdamW, or Muon for the matrices of a model with Adam for everything else."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from les_ipi.training.training_config import OptimiserConfig

#: Coefficients of the quintic Newton-Schulz iteration, and how often it is applied.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
#: Root mean square of an element of the update: that of a typical Adam step, so that both take learning rates of one size.
UPDATE_RMS = 0.2


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: all singular values become about one.

    X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X, five times, from X divided by its Frobenius norm: singular values end between 0.7
    and 1.2, which is all that an update direction needs.

    Parameters: ``matrices`` (..., A, B). Returns the same shape.
    Source: K. Jordan et al., https://kellerjordan.github.io/posts/muon (2024).
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices / (torch.linalg.matrix_norm(matrices)[..., None, None] + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are orthogonalised before each step; Adam for groups with ``matrices`` False.

    W ← (1 − lr·wd) W − lr · 0.2 √max(A, B) · orthogonalised(Nesterov momentum of the gradient). A parameter (..., A, B) with
    more than two axes is a stack of matrices, as the weights of one network per element are; ``torch.optim.Muon`` takes single
    matrices only and rounds to bfloat16.

    Parameters: ``groups`` with "params", "lr", "weight_decay" and "matrices".
    Source: arXiv:2502.16982 (scale of the update); doi:10.48550/arXiv.1412.6980 (Adam).
    """

    def __init__(self, groups: Iterable[dict], momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.99)):
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "matrices": True, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure=None):
        """Take one step; ``closure`` re-evaluates the loss, which is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["weight_decay"]:
                    parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                update = self._matrix_update if group["matrices"] else self._adam_update
                parameter.add_(update(parameter, group), alpha=-group["lr"])
        return loss

    def _matrix_update(self, parameter: Tensor, group: dict) -> Tensor:
        state, momentum = self.state[parameter], group["momentum"]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1.0 - momentum)
        direction = parameter.grad.lerp(state["momentum"], momentum)
        return orthogonalised(direction) * (UPDATE_RMS * math.sqrt(max(parameter.shape[-2:])))

    def _adam_update(self, parameter: Tensor, group: dict) -> Tensor:
        state, (first, second) = self.state[parameter], group["betas"]
        if not state:
            state.update(step=0, mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
        state["step"] += 1
        state["mean"].lerp_(parameter.grad, 1.0 - first)
        state["square"].lerp_(parameter.grad**2, 1.0 - second)
        mean = state["mean"] / (1.0 - first ** state["step"])
        square = state["square"] / (1.0 - second ** state["step"])
        return mean / (square.sqrt() + 1e-8)


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is a matrix or a stack of matrices: biases, vectors and single rows are not."""
    return parameter.ndim >= 2 and min(parameter.shape[-2:]) > 1


def make_optimiser(model: nn.Module, charge_parameters: list[nn.Parameter], settings: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser of a training, with a learning rate and a weight decay of their own for the charges.

    Parameters: ``model``; ``charge_parameters`` those of charge head and charge descriptor; ``settings``.
    """
    charges = {id(p) for p in charge_parameters}
    rest = [p for p in model.parameters() if id(p) not in charges]
    kinds = (
        (rest, settings.learning_rate, settings.weight_decay),
        (charge_parameters, settings.charge_learning_rate or settings.learning_rate, settings.charge_weight_decay),
    )
    if settings.optimiser == "adamw":
        groups = [{"params": p, "lr": lr, "weight_decay": decay} for p, lr, decay in kinds if p]
        return torch.optim.AdamW(groups, amsgrad=True)
    groups = []
    for parameters, lr, decay in kinds:
        for matrices in (True, False):
            chosen = [p for p in parameters if is_matrix(p) == matrices]
            if chosen:
                groups.append({"params": chosen, "lr": lr, "weight_decay": decay * matrices, "matrices": matrices})
    return Muon(groups)


def learning_rate_factor(step: int, total: int, warmup: int, settings: OptimiserConfig) -> float:
    """What the learning rate is multiplied by at ``step`` of ``total``: a linear rise, then the shape of ``settings.schedule``.

    It ends at a thousandth, not at zero, so that the last steps still move every weight.
    """
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, max(0.0, (step / total - 1.0) / settings.decay_fraction + 1.0))
    falling = 1.0 - progress if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return falling + 1e-3
