"""The benchmark of the parts of an evaluation, which reaches into the engine: it runs, and every part took time."""

import sys
from pathlib import Path

import numpy as np
import torch
from physics_cases import evaluator_of, make_model, water_cluster

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import breakdown


def test_parts_of_an_evaluation(monkeypatch):
    monkeypatch.setattr(breakdown, "machine", lambda: (1e6, 1e6))
    monkeypatch.setattr(breakdown, "best_ms", lambda call, n=1: (call(), 1.0)[1])
    system = water_cluster(8, 1, 6.4 * np.eye(3))
    rows = breakdown.parts(evaluator_of(make_model(), torch.float32), system)
    names = [row["part"] for row in rows]
    assert {"edges from positions", "forward: networks", "backward", "latent Ewald sum", "whole evaluation"} <= set(names)
    assert len(names) == len(set(names)) == 10 and all(row["n_atoms"] == 24 for row in rows)
