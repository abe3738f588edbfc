"""Where the time of one evaluation goes, and the floor that arithmetic and memory bandwidth set.

    python benchmarks/breakdown.py water-pbe0-ts inputs/water/start.xyz --repeats 1 3 --threads 1

"forward" and "backward" are the compiled model of all blocks; the shares of the parts are those of an eager forward pass.
Floors: multiply-adds of the matrix products over the speed of a large product, or bytes that must be read and written
once over the speed of a copy, whichever is larger, both measured here.
"""

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from ase.io import read

from les_ipi import AtomicSystem, Evaluator
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.structures.neighbors import neighbor_pairs


def best_ms(call: Callable[[], object], n: int = 9) -> float:
    """Shortest of ``n`` calls after one that warms up."""
    call()
    times = []
    for _ in range(n):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def machine() -> tuple[float, float]:
    """Multiply-adds per ms of a large single-precision product, and bytes per ms of a copy."""
    a, big = torch.randn(768, 768), torch.randn(2**24)
    target = torch.empty_like(big)
    return 768**3 / best_ms(lambda: a @ a), 2 * big.nbytes / best_ms(lambda: target.copy_(big))


def parts(evaluator: Evaluator, system: AtomicSystem) -> list[dict]:
    """Milliseconds and floors of every stage of an energy and force call."""
    products_per_ms, bytes_per_ms = machine()
    engine, model, N = evaluator._engine, evaluator.model, len(system.numbers)
    evaluator([system])
    edges = engine.edges[system.boundary].packed
    positions = torch.from_numpy(system.positions)
    rows, n_blocks = LocalBlocks.padded_rows(N, "cpu")
    vectors, near = edges.pack(positions, torch.float32, rows * n_blocks)
    species = torch.nn.functional.pad(edges.species, (0, rows * n_blocks - N))
    short, head = model.short_range, model.head
    forward_pass = engine.blocks(vectors, near, species, rows, True)
    charges = forward_pass.charges[:N].view(1, N, -1)
    slope = forward_pass.gradient(True, torch.ones_like(forward_pass.charges))
    both = best_ms(
        lambda: engine.blocks(vectors, near, species, rows, True).gradient(True, torch.ones_like(forward_pass.charges))
    )
    with torch.no_grad():
        forward = best_ms(lambda: engine.blocks(vectors, near, species, rows, True))
        block = (vectors[:rows], near[:rows], species[:rows])
        r = torch.sqrt((block[0] * block[0]).sum(-1))
        density, features = short.density(*block), short.features(*block)
        eager = {
            "radial functions": best_ms(lambda: short.radial(r)),
            "projection and mixing": best_ms(lambda: short.density(*block)),
            "products": best_ms(lambda: short.second_order(density)),
            "networks": best_ms(lambda: (short.energy_networks(features, block[2]), head.networks(features, block[2]))),
        }
    eager["projection and mixing"] -= eager["radial functions"]
    M, L, S, n_radial = edges.columns, (short.l_max + 1) ** 2, short.n_species, short.radial.n_radial
    C, F = short.channels, short.n_features
    weights = sum(p.numel() for module in (short.energy_networks, head.networks) for p in module.parameters())
    width = sum((2 * a + 1) * (2 * b + 1) for a, b in short.pairs)
    work = {
        "radial functions": 0,
        "projection and mixing": L * S * n_radial * (M + S * C),
        "products": short.coupling.shape[0] * width * C,
        "networks": weights,
    }
    moved = {
        "radial functions": 4 * M * (3 + n_radial),
        "projection and mixing": 4 * (M * S * n_radial + L * S * S * n_radial + L * C),
        "products": 4 * C * (width + short.coupling.shape[0]),
        "networks": 4 * F,
    }
    table = [
        {"part": "neighbour list (when rebuilt)", "ms": best_ms(lambda: neighbor_pairs(system, model.cutoff + evaluator.skin))},
        {"part": "edges from positions", "ms": best_ms(lambda: edges.pack(positions, torch.float32, rows * n_blocks))},
    ]
    for name, ms in eager.items():
        floor = N * max(work[name] / products_per_ms, moved[name] / bytes_per_ms)
        table.append({"part": f"forward: {name}", "ms": forward * ms / sum(eager.values()), "floor_ms": floor})
    floor = 2 * sum(row["floor_ms"] for row in table if "floor_ms" in row)
    table += [
        {"part": "backward", "ms": both - forward, "floor_ms": floor},
        {"part": "latent Ewald sum", "ms": best_ms(lambda: engine._sum(system, positions[None], charges))},
        {"part": "forces from edges", "ms": best_ms(lambda: (slope - edges.incoming(slope)).sum(1))},
        {"part": "whole evaluation", "ms": best_ms(lambda: evaluator([system]))},
    ]
    return [{"n_atoms": N, **row} for row in table]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("structure")
    parser.add_argument("--repeats", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    atoms = read(options.structure)
    for n in options.repeats:
        system = AtomicSystem.from_ase(atoms.repeat((n, n, n)))
        rng = np.random.default_rng(0)
        system.positions[:] += rng.normal(scale=0.01, size=system.positions.shape)
        for row in parts(Evaluator.load(options.model, threads=options.threads, compile=True), system):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
