"""Time of one evaluation: energy and forces, with and without Born charges, eager and compiled.

    python benchmarks/evaluate.py water-pbe0-ts inputs/water/start.xyz --threads 1 --beads 1 8

Medians over repeated calls with slightly moved atoms (as in dynamics: the neighbour list is reused).
"""

import argparse
import json
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ase.io import read

from les_ipi import AtomicSystem, Evaluator, Property
from les_ipi.bench import benchmark

CASES = {
    "E+F": [Property.ENERGY, Property.FORCES],
    "E+F+virial+dipole": [Property.ENERGY, Property.FORCES, Property.VIRIAL, Property.DIPOLE],
    "E+F+virial+BEC": [Property.ENERGY, Property.FORCES, Property.VIRIAL, Property.BORN_EFFECTIVE_CHARGES],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("structure")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--beads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json")
    options = parser.parse_args()
    system = AtomicSystem.from_ase(read(options.structure))
    rows = []
    for compiled in (False, True):
        evaluator = Evaluator.load(options.model, threads=options.threads, compile=compiled)
        for beads in options.beads:
            for name, properties in CASES.items():
                ms = benchmark(evaluator, system, beads, properties, options.repeats).ms_median
                rows.append({"compiled": compiled, "beads": beads, "properties": name, "ms": ms})
                print(f"{'compiled' if compiled else 'eager':9s} {beads:3d} bead(s)  {name:20s} {ms:8.1f} ms", flush=True)
    if options.json:
        with open(options.json, "w") as handle:
            json.dump({"n_atoms": len(system.numbers), "threads": options.threads, "rows": rows}, handle, indent=2)


if __name__ == "__main__":
    main()
