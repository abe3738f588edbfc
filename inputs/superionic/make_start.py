"""Start structure of dense water: the cuprite lattice of ice X (oxygen bcc, hydrogen halfway between neighbours).

    python inputs/superionic/make_start.py 2.0 3 start-2gcc.xyz

Arguments: density in g/cm³, cubic cells along each edge (3: 54 molecules), file. Hot runs soon forget the lattice.
"""

import sys

import numpy as np
from ase import Atoms, units
from ase.io import write

OXYGEN = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]
HYDROGEN = [[0.25, 0.25, 0.25], [0.75, 0.75, 0.25], [0.75, 0.25, 0.75], [0.25, 0.75, 0.75]]


def ice_x(density_g_cm3: float, repeats: int) -> Atoms:
    """Ice X with 2 repeats³ molecules."""
    cell = Atoms("O2H4", scaled_positions=OXYGEN + HYDROGEN, cell=np.eye(3), pbc=True)
    volume = cell.get_masses().sum() / (density_g_cm3 * 1e-24 * units._Nav)
    cell.set_cell(np.eye(3) * volume ** (1 / 3), scale_atoms=True)
    return cell.repeat(repeats)


if __name__ == "__main__":
    density, repeats, path = sys.argv[1:]
    write(path, ice_x(float(density), int(repeats)), format="extxyz")
