"""Frames of the charged and polar dimers: total charges, interaction energies, one file with the held-out ends last.

    python inputs/validation/charged_dimers/prepare.py --data-root data --output frames.xyz

The label energies are those of the whole dimer; trained is the energy less that of both monomers. The first 60 frames are the
near parts of six curves (up to 10.7-12.2 Å), the last 18 their far ends (12.1-15 Å).
"""

import argparse
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

CURVES = (0, 2, 3, 4, 5, 6)


def interaction(atoms: Atoms) -> Atoms:
    """The frame with its interaction energy as energy and the charge of both monomers as total charge."""
    info = atoms.info
    image = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    image.info = {key: info[key] for key in ("dimer_id", "label", "distance")}
    image.info["second_fragment"] = int(info["indexB"])
    image.info["charge"] = float(info["chargeA"] + info["chargeB"])
    energy = atoms.get_potential_energy() - info["energyA"] - info["energyB"]
    image.calc = SinglePointCalculator(image, energy=energy, forces=atoms.get_forces())
    return image


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True, help="folder that holds molecules/charged_dimers")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    folder = options.data_root / "molecules" / "charged_dimers"
    files = [folder / f"{part}-id{curve}.xyz" for part in ("train", "test") for curve in CURVES]
    write(options.output, [interaction(a) for file in files for a in read(file, ":")], format="extxyz")


if __name__ == "__main__":
    main()
