"""Start structure of tetragonal PbTiO3, polarized along −z, at the lattice parameters of the model at 0 K.

    python inputs/pbtio3/hysteresis/make_start.py 3 start-3.xyz

Arguments: unit cells along each edge, file. Displacements along z are those of the ferroelectric ground state, rounded.
"""

import sys

from ase import Atoms
from ase.io import write

A, C = 3.878, 4.194
#: Pb, Ti, O below Ti, O beside Ti (two), fractional; oxygens lie below the centres of their faces.
POSITIONS = [[0, 0, 0], [0.5, 0.5, 0.535], [0.5, 0.5, 0.112], [0.5, 0, 0.618], [0, 0.5, 0.618]]


def tetragonal(repeats: int) -> Atoms:
    """Supercell of repeats³ unit cells, 5 atoms each."""
    cell = Atoms("PbTiO3", scaled_positions=POSITIONS, cell=[A, A, C], pbc=True)
    return cell.repeat(repeats)


if __name__ == "__main__":
    write(sys.argv[2], tetragonal(int(sys.argv[1])), format="extxyz")
