"""What every level of the multipole ladder costs relative to charges alone: energy and forces, all levels in one run.

    python benchmarks/levels.py water-pbe0-ts inputs/water/start.xyz --threads 1

The models have the architecture of a shipped one, another head, and fresh weights, on which the cost does not depend. Levels
take turns, so that a machine that is slower for a while slows all of them. On a busy machine `--clock cpu` counts the time of
this process alone.
"""

import argparse
import os
import statistics
import time
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from ase.io import read

from les_ipi import AtomicSystem, Evaluator
from les_ipi.models import ModelConfig, build_model, load_model
from les_ipi.models.library import find_model

LEVELS = ["q", "u", "uQ", "iq", "iu", "uiqiu", "uQiqiu"]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
#: Displacement of every coordinate between calls, Å.
MOVE_A = 0.01


def evaluator_of(name: str, like: str, eager: bool) -> Evaluator:
    """An evaluator in single precision of a level, or of the head ``transfer`` or ``equilibration``."""
    config = ModelConfig.model_validate(load_model(find_model(like))[1]["hyper_parameters"])
    head = {"head": "multipole", "level": name} if name in LEVELS else {"head": name}
    torch.manual_seed(0)
    model = build_model(config.model_copy(update={"charges": config.charges.model_copy(update=head)}))
    return Evaluator(model.eval().requires_grad_(False).float(), {}, compile=not eager)


def times_of(evaluators: dict[str, Evaluator], system: AtomicSystem, properties: list[str], calls: int, clock: str):
    """Milliseconds of every call: name → list."""
    rng, now = np.random.default_rng(0), CLOCKS[clock]
    times = {name: [] for name in evaluators}
    for call in range(3 + calls):
        moved = replace(system, positions=system.positions + rng.normal(scale=MOVE_A, size=system.positions.shape))
        for name, evaluate in evaluators.items():
            evaluate([moved], properties)  # what the others have pushed out of the cache comes back
            begin = now()
            evaluate([moved], properties)
            if call >= 3:
                times[name].append(1e3 * (now() - begin))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("structure")
    parser.add_argument("--levels", nargs="+", default=LEVELS, help="also: transfer, equilibration")
    parser.add_argument("--properties", default="energy,forces")
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    system = AtomicSystem.from_ase(read(options.structure))
    evaluators = {name: evaluator_of(name, options.model, options.eager) for name in options.levels}
    times = times_of(evaluators, system, options.properties.split(","), options.calls, options.clock)
    first = options.levels[0]
    print(f"{len(system.numbers)} atoms, {options.properties}, {options.threads} thread(s), ms ({options.clock} clock)\n")
    print(f"| level | median | best | median / {first} | best / {first} |\n|---|---|---|---|---|")
    for name, taken in times.items():
        middle, best = statistics.median(taken), min(taken)
        ratios = middle / statistics.median(times[first]), best / min(times[first])
        print(f"| {name} | {middle:.2f} | {best:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
