"""Time of a path-integral step through i-PI (ffdirect, all beads in one batch) against the evaluation alone.

    python benchmarks/ipi_steps.py water-pbe0-ts inputs/water/start.xyz --beads 1 8 32 --threads 1

TRPMD at 0.5 fs from thermal velocities; the beads have spread before the clock starts. "ratio" is the median step over
beads × the median evaluation of one structure, both measured in this run.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from ase.io import read
from ipi.utils.scripting import InteractiveSimulation

from les_ipi import AtomicSystem, Evaluator, Property
from les_ipi.bench import benchmark
from les_ipi.driver.serve.pes import SHIM

INPUT = """<simulation verbosity='quiet'>
  <prng><seed>1</seed></prng>
  <ffdirect name='les'> <pes>custom</pes> <pes_path>{shim}</pes_path> <batch_size>{beads}</batch_size>
    <parameters>{{model: {model}, template: {start}, threads: {threads}, compile: True}}</parameters> </ffdirect>
  <output prefix='bench'></output>
  <system>
    <forces><force forcefield='les'/></forces>
    <initialize nbeads='{beads}'> <file mode='ase'>{start}</file>
      <velocities mode='thermal' units='kelvin'>300</velocities> </initialize>
    <ensemble><temperature units='kelvin'>300</temperature></ensemble>
    <motion mode='dynamics'> <dynamics mode='nvt'> <timestep units='femtosecond'>0.5</timestep>
      <thermostat mode='pile_g'><tau units='femtosecond'>1000</tau><pile_lambda>0.5</pile_lambda></thermostat>
    </dynamics> </motion>
  </system>
</simulation>"""

#: Steps between readings of the clock: i-PI itself takes time to start and stop.
BLOCK = 10


def step_ms(model: str, structure: Path, beads: int, threads: int, steps: int, warm_up: int) -> list[float]:
    """Mean time of a step in blocks of steps, ms."""
    start = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            text = INPUT.format(shim=SHIM, beads=beads, model=model, start=structure, threads=threads)
            simulation = InteractiveSimulation(text)
            simulation.run(warm_up)
            times = []
            for _ in range(steps // BLOCK):
                begin = time.perf_counter()
                simulation.run(BLOCK)
                times.append(1e3 * (time.perf_counter() - begin) / BLOCK)
        finally:
            os.chdir(start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("structure", type=Path)
    parser.add_argument("--beads", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warm-up", type=int, default=60)
    options = parser.parse_args()
    system = AtomicSystem.from_ase(read(options.structure))
    evaluator = Evaluator.load(options.model, threads=options.threads, compile=True)
    asked = (Property.ENERGY, Property.FORCES, Property.VIRIAL, Property.DIPOLE)
    for beads in options.beads:
        steps = step_ms(options.model, options.structure.resolve(), beads, options.threads, options.steps, options.warm_up)
        single = benchmark(evaluator, system, 1, asked, options.steps).ms_median
        ms = float(np.median(steps))
        row = {"n_beads": beads, "step_ms": ms, "step_ms_best": min(steps), "evaluation_ms": single}
        print(json.dumps({**row, "ratio": ms / (beads * single), "steps_per_second": 1e3 / ms}), flush=True)


if __name__ == "__main__":
    main()
