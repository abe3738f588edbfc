"""Muon against torch's own, against its symmetry, and on a problem with a known answer."""

import numpy as np
import pytest
import torch
from torch import nn

from les_ipi.training.optimiser import Muon, learning_rate_factor, make_optimiser, orthogonalised
from les_ipi.training.training_config import OptimiserConfig

SHAPES = [(12, 30), (30, 12), (8, 8), (3, 12, 30), (2, 4, 30, 12)]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_singular_values_become_about_one(shape):
    found = torch.linalg.svdvals(orthogonalised(random(*shape)))
    # A square random matrix has singular values near zero, which five iterations only lift.
    assert found.max() < 1.25 and (found.min() > 0.65 or shape == (8, 8))


@pytest.mark.parametrize("shape", [s for s in SHAPES if s != (8, 8)], ids=str)
def test_the_direction_is_the_polar_factor(shape):
    """U Vᵀ of the singular value decomposition, up to singular values between 0.7 and 1.2."""
    matrix = random(*shape)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    overlap = torch.linalg.diagonal(u.mT @ orthogonalised(matrix) @ v.mT)
    rest = u.mT @ orthogonalised(matrix) @ v.mT - torch.diag_embed(overlap)
    assert rest.abs().max() < 1e-10 and 0.65 < overlap.min() and overlap.max() < 1.25


def test_a_stack_is_stepped_like_single_matrices():
    stack = nn.Parameter(random(3, 6, 10))
    single = [nn.Parameter(m.clone()) for m in stack.detach()]
    groups = lambda p: [{"params": p, "lr": 0.1, "weight_decay": 0.01, "matrices": True}]  # noqa: E731
    together, apart = Muon(groups([stack])), Muon(groups(single))
    for seed in range(3):
        gradient = random(3, 6, 10, seed=seed)
        stack.grad = gradient.clone()
        for parameter, g in zip(single, gradient, strict=True):
            parameter.grad = g.clone()
        together.step()
        apart.step()
    torch.testing.assert_close(stack.detach(), torch.stack([p.detach() for p in single]), rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon of its own")
@pytest.mark.parametrize("shape", [(12, 30), (30, 12)], ids=str)
def test_single_matrices_step_as_in_torch(shape):
    """torch.optim.Muon rounds its iteration to bfloat16, which has two to three digits."""
    ours, theirs = (nn.Parameter(random(*shape).float()) for _ in range(2))
    mine = Muon([{"params": [ours], "lr": 0.1, "weight_decay": 0.05, "matrices": True}])
    other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    start = ours.detach().clone()
    for seed in range(4):
        ours.grad = random(*shape, seed=seed).float()
        theirs.grad = ours.grad.clone()
        mine.step()
        other.step()
    moved = (theirs.detach() - start).norm()
    assert (ours.detach() - theirs.detach()).norm() < 0.02 * moved


def test_everything_else_steps_as_adam():
    ours, theirs = (nn.Parameter(random(7)) for _ in range(2))
    mine = Muon([{"params": [ours], "lr": 0.1, "weight_decay": 0.0, "matrices": False}])
    other = torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.99))
    for seed in range(5):
        ours.grad = random(7, seed=seed)
        theirs.grad = ours.grad.clone()
        mine.step()
        other.step()
    np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-12)


def test_a_linear_map_is_found():
    """Least squares with a falling rate ends at the map behind the data."""
    target, weights = random(6, 9, seed=1), nn.Parameter(torch.zeros(6, 9, dtype=torch.float64))
    inputs = random(200, 9, seed=2)
    optimiser = Muon([{"params": [weights], "lr": 0.5, "weight_decay": 0.0, "matrices": True}])
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.5 * (1.0 - step / 400)
        optimiser.zero_grad()
        ((inputs @ weights.T - inputs @ target.T) ** 2).mean().backward()
        optimiser.step()
    assert (weights.detach() - target).abs().max() < 5e-3


def test_groups_hold_every_weight_once():
    model = nn.ModuleDict({"body": nn.Linear(4, 8), "head": nn.Linear(8, 2), "row": nn.Linear(8, 1)})
    charges = list(model["head"].parameters())
    settings = OptimiserConfig(optimiser="muon", learning_rate=0.01, charge_learning_rate=0.02, weight_decay=0.1)
    groups = make_optimiser(model, charges, settings).param_groups
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in model.parameters())
    of = {id(p): g for g in groups for p in g["params"]}
    assert of[id(model["body"].weight)]["matrices"] and of[id(model["body"].weight)]["weight_decay"] == 0.1
    assert not of[id(model["body"].bias)]["matrices"] and not of[id(model["row"].weight)]["matrices"]
    assert of[id(model["head"].weight)]["lr"] == 0.02 and of[id(model["head"].weight)]["weight_decay"] == 0.0


def test_the_rate_rises_stays_and_falls():
    line = OptimiserConfig(schedule="linear", decay_fraction=1.0)
    rates = [learning_rate_factor(step, 1000, 100, line) for step in (0, 49, 100, 550, 1000)]
    np.testing.assert_allclose(rates, [0.01, 0.5, 0.901, 0.451, 0.001])
    late = OptimiserConfig(schedule="cosine", decay_fraction=0.2)
    rates = [learning_rate_factor(step, 1000, 100, late) for step in (500, 800, 900, 1000)]
    np.testing.assert_allclose(rates, [1.001, 1.001, 0.501, 0.001])
