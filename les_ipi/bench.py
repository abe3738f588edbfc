"""``les-ipi bench``: time and memory of one evaluation, with atoms that move as in dynamics."""

import resource
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.progress import track

from les_ipi.conventions import Property
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.structures.system import AtomicSystem

#: Displacement of every coordinate between calls, Å: about one step of half a femtosecond.
MOVE_A = 0.01
#: Calls before the clock starts: neighbour lists, compilation.
WARM_UP = 3


@dataclass(frozen=True)
class Benchmark:
    """Cost of one evaluation of several copies of a structure, as ``les-ipi bench`` reports it.

    =====================  ======================================================================
    field                  meaning, unit
    =====================  ======================================================================
    n_atoms                atoms of the structure
    n_beads                copies that one call evaluates
    ms_median              median wall time of a call, ms
    ms_best                shortest wall time of a call, ms
    us_per_atom            median wall time per atom and bead, µs
    atom_steps_per_second  atoms × beads that are evaluated in a second
    peak_memory_MB         largest memory of the process, or of the GPU if the model runs there, MB
    =====================  ======================================================================
    """

    n_atoms: int
    n_beads: int
    ms_median: float
    ms_best: float
    us_per_atom: float
    atom_steps_per_second: float
    peak_memory_MB: float


def benchmark(
    evaluator: Evaluator, system: AtomicSystem, n_beads: int, properties: Iterable[Property | str], n_calls: int
) -> Benchmark:
    """Measure how long evaluations of a structure take while its atoms move a little between the calls.

    Parameters:
        evaluator: the evaluator with the model and device to measure.
        system: the structure; every call displaces its atoms by about 0.01 Å from where they are in it.
        n_beads: number of copies of the structure that every call evaluates together.
        properties: what every call computes.
        n_calls: number of calls that are timed, after three that are not.

    Returns the measured times and memory.
    """
    wanted, rng = tuple(properties), np.random.default_rng(0)
    times = []
    for call in track(range(WARM_UP + n_calls), description="Evaluating", transient=True):
        # Steps around the start, not a random walk: the structure must not melt over the calls.
        beads = [
            replace(system, positions=system.positions + rng.normal(scale=MOVE_A, size=system.positions.shape))
            for _ in range(n_beads)
        ]
        begin = time.perf_counter()
        evaluator(beads, wanted)
        if call >= WARM_UP:
            times.append(time.perf_counter() - begin)
    n_atoms, median = len(system.numbers), statistics.median(times)
    return Benchmark(
        n_atoms=n_atoms,
        n_beads=n_beads,
        ms_median=1e3 * median,
        ms_best=1e3 * min(times),
        us_per_atom=1e6 * median / (n_atoms * n_beads),
        atom_steps_per_second=n_atoms * n_beads / median,
        peak_memory_MB=_peak_memory_mb(evaluator.device),
    )


def _peak_memory_mb(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
