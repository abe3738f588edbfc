"""Start structure of cubic PbTiO3, which is also the non-polar reference of its dipole.

    python inputs/pbtio3/permittivity/make_start.py 3 cubic-3.xyz

Arguments: unit cells along each edge, file. The lattice parameter is that of the model at 650 K and zero stress.
"""

import sys

from ase import Atoms
from ase.io import write

A = 3.967
POSITIONS = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]

if __name__ == "__main__":
    cell = Atoms("PbTiO3", scaled_positions=POSITIONS, cell=[A, A, A], pbc=True)
    write(sys.argv[2], cell.repeat(int(sys.argv[1])), format="extxyz")
