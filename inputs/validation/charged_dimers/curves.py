"""Draw the dissociation curves of the charged and polar dimers: reference, short range alone, with charges, with dipoles.

    cd inputs/validation/charged_dimers && python curves.py --work ../../../runs/validation --output curves.png
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.io import read

from les_ipi import AtomicSystem, Evaluator

#: Kinds of the monomers: charged, polar, apolar.
NAMES = {"CC": "charged-charged", "CA": "charged-apolar", "PA": "polar-apolar"}
NAMES |= {"CP": "charged-polar", "PP": "polar-polar", "AA": "apolar-apolar"}
STYLES = {"none": ("C3", "s", "short range only"), "q": ("C0", "o", "charges (q)"), "u": ("C2", "^", "charges and dipoles (u)")}
TRAINED = 60


def energies(folder: Path, curve: list[Atoms]) -> np.ndarray:
    """Energies in eV that a trained rung gives."""
    evaluator = Evaluator.load(folder, threads=1)
    return np.array([evaluator([AtomicSystem.from_ase(a)])[0].energy for a in curve])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/validation"), help="folder of the trained rungs")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    folder = options.work / "charged_dimers"
    frames = read(folder / "frames.xyz", ":")
    figure, panels = plt.subplots(2, 3, figsize=(10, 6))
    for panel, dimer in zip(panels.flat, dict.fromkeys(a.info["dimer_id"] for a in frames), strict=True):
        curve = [a for a in frames if a.info["dimer_id"] == dimer]
        distance = np.array([a.info["distance"] for a in curve])
        reference = np.array([a.get_potential_energy() for a in curve])
        near = max(a.info["distance"] for a in frames[:TRAINED] if a.info["dimer_id"] == dimer)
        panel.axvspan((near + distance[distance > near].min()) / 2, 15.3, color="0.92", label="held out")
        panel.plot(distance, 1e3 * reference, color="k", lw=1, label="reference")
        for rung, (colour, marker, label) in STYLES.items():
            found = energies(folder / rung, curve)
            panel.plot(distance, 1e3 * found, marker, color=colour, ms=4, mfc="none", label=label)
        panel.set(title=NAMES[curve[0].info["label"]], xlabel="distance of the monomers, Å", ylabel="energy, meV")
        panel.title.set_fontsize(9)
    panels[0, 0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(options.output, dpi=130)


if __name__ == "__main__":
    main()
