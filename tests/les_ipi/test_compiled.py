"""The compiled graph gives what eager evaluation gives, and its absence is not an error."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch._functorch.config

from les_ipi.evaluation import blocks
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import ChargesConfig, ModelConfig, ShortRangeConfig, build_model
from les_ipi.structures.system import AtomicSystem

PROPERTIES = ["energy", "forces", "virial", "dipole", "charges", "born_effective_charges"]


def small_evaluator(compiled: bool, **charges) -> Evaluator:
    torch.manual_seed(0)
    short = ShortRangeConfig(cutoff=3.5, n_radial=3, l_max=1, channels=4, order=2, hidden=(4,))
    config = ModelConfig(
        species=("H", "O"), short_range=short, charges=ChargesConfig(hidden=(8,), formal={"H": 1, "O": -2}, **charges)
    )
    model = build_model(config).double().eval().requires_grad_(False)
    return Evaluator(model, {}, dtype=torch.float64, compile=compiled)


def water_box(seed: int) -> AtomicSystem:
    rng = np.random.default_rng(seed)
    lattice = np.array([[x, y, z] for x in (0, 3) for y in (0, 3) for z in (0, 3)], dtype=float)
    molecule = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    positions = (lattice[:, None] + molecule + rng.normal(scale=0.05, size=(8, 3, 3))).reshape(-1, 3)
    return AtomicSystem(np.tile([8, 1, 1], 8), positions, 6.0 * np.eye(3))


def test_compiled_equals_eager_also_when_atoms_move():
    """Same graph, different numbers: a second structure must not see constants of the first."""
    eager, fused = small_evaluator(False), small_evaluator(True)
    for seed in (1, 2):
        a, b = eager([water_box(seed)], PROPERTIES)[0], fused([water_box(seed)], PROPERTIES)[0]
        for name in PROPERTIES:
            np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-9, atol=1e-10, err_msg=name)
    assert fused._engine.blocks.compiled


HEADS = {"transfer": {"head": "transfer"}, "uiqiu": {"head": "multipole", "level": "uiqiu", "anisotropic": False}}


@pytest.mark.parametrize("name", HEADS)
def test_compiled_blocks_of_moments_and_responses(monkeypatch: pytest.MonkeyPatch, name: str):
    """The general road through two padded blocks of one compiled function, with every pass back through them."""
    monkeypatch.setattr(LocalBlocks, "padded_rows", staticmethod(lambda n_atoms, device: (32, -(-n_atoms // 32))))
    eager, fused = small_evaluator(False, **HEADS[name]), small_evaluator(True, **HEADS[name])
    for seeds in ((1, 2), (3, 4)):
        systems, wanted = [water_box(seed) for seed in seeds], [*PROPERTIES, *(["polarizability"] if name == "uiqiu" else [])]
        for a, b in zip(eager(systems, wanted), fused(systems, wanted), strict=True):
            for quantity in wanted:
                np.testing.assert_allclose(getattr(b, quantity), getattr(a, quantity), rtol=1e-9, atol=1e-10, err_msg=quantity)
    assert fused._engine.blocks.compiled


def test_compiled_in_one_thread_and_evaluated_in_another():
    """i-PI makes the evaluator in its main thread and calls it from others; Born charges take a second pass back.

    Whether torch gives the buffers of a pass away is a setting of each thread; whether that breaks the second pass depends
    on what its cache of compiled code holds, so the setting itself is looked at as well.
    """

    def evaluate() -> tuple:
        result = small_fused([water_box(1)], PROPERTIES)[0]
        return result, torch._functorch.config.donated_buffer

    small_fused = small_evaluator(True)
    with ThreadPoolExecutor(1) as threads:
        found, gives_away = threads.submit(evaluate).result()
    expected = small_evaluator(False)([water_box(1)], PROPERTIES)[0]
    assert not gives_away
    np.testing.assert_allclose(found.born_effective_charges, expected.born_effective_charges, rtol=1e-9, atol=1e-10)


def test_without_a_compiler_eager_takes_over(monkeypatch: pytest.MonkeyPatch):
    """A machine without a working compiler still gets its forces."""

    def broken(*_, **__):
        def function(*_):
            raise RuntimeError("no compiler")

        return function

    monkeypatch.setattr(torch, "compile", broken)
    fused = small_evaluator(True)
    result = fused([water_box(1)], PROPERTIES)[0]
    assert not fused._engine.blocks.compiled
    np.testing.assert_allclose(result.forces, small_evaluator(False)([water_box(1)], PROPERTIES)[0].forces, atol=1e-12)


def test_wrong_compiled_code_is_found_and_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Right values and forces with a wrong second pass, which is what code from the cache that gives its buffers away does."""

    def wrong(function, **_):
        def evaluate(edges, *rest):
            energies, output = function(edges, *rest)
            return energies, output._replace(charges=output.charges + 0.1 * (edges - edges.detach()).sum((1, 2))[:, None])

        return evaluate

    monkeypatch.setattr(torch, "compile", wrong)
    fused = small_evaluator(True)
    with caplog.at_level("WARNING"):
        found = fused([water_box(1)], PROPERTIES)[0]
    assert "wrong numbers" in caplog.text and not fused._engine.blocks.compiled
    expected = small_evaluator(False)([water_box(1)], PROPERTIES)[0]
    np.testing.assert_array_equal(found.born_effective_charges, expected.born_effective_charges)


def test_code_from_the_cache_is_distrusted_once_it_was_wrong(monkeypatch: pytest.MonkeyPatch):
    """Wrong code for every shape as long as the cache is on: all shapes are made anew, once, and right ever after."""
    monkeypatch.setattr(blocks._Compiled, "from_cache", True)
    compiled = []

    def cached(function, **_):
        def evaluate(edges, *rest):
            compiled.append(edges.shape)
            energies, output = function(edges, *rest)
            wrong = (torch.nan if torch._inductor.config.fx_graph_cache else 0.0) * (edges - edges.detach()).sum((1, 2))
            return energies, output._replace(charges=output.charges + wrong[:, None])

        return evaluate

    monkeypatch.setattr(torch, "compile", cached)
    boxes = [water_box(1), replace(water_box(2), positions=0.9 * water_box(2).positions, cell=5.4 * np.eye(3))]
    eager, fused = small_evaluator(False), small_evaluator(True)
    with ThreadPoolExecutor(1) as threads:  # whose settings end with it
        for box in boxes * 2:
            found = threads.submit(fused, [box], PROPERTIES).result()[0]
            expected = eager([box], PROPERTIES)[0].born_effective_charges
            np.testing.assert_allclose(found.born_effective_charges, expected, rtol=1e-9, atol=1e-10)
    assert len(set(compiled)) == 2 and fused._engine.blocks.compiled
