"""Start structure of cubic Li7La3Zr2O12: measured sites, lithium placed at random on its partly filled ones.

    python inputs/llzo/make_start.py 13.00 start.xyz

Arguments: cubic lattice parameter in Å, file. Space group Ia-3d with 8 formula units; 56 lithium atoms fill the tetrahedral 24d
and the octahedral 96h sites at random, never two within 2.2 Å. Hot runs forget the arrangement.
Source of the sites: Awaka et al., doi:10.1246/cl.2011.60.
"""

import sys

import numpy as np
from ase import Atoms
from ase.io import write
from ase.spacegroup import crystal

FRAME = {"La": (1 / 8, 0, 1 / 4), "Zr": (0, 0, 0), "O": (0.2824, 0.1009, 0.1948)}
LITHIUM = [(3 / 8, 0, 1 / 4), (0.0971, 0.1852, 0.4243)]
N_LITHIUM = 56
CLOSEST_A = 2.2


def place(sites: Atoms, rng: np.random.Generator) -> np.ndarray:
    """Indices of sites that are filled: at random, none within ``CLOSEST_A`` of another."""
    distances = sites.get_all_distances(mic=True)
    for _ in range(10_000):
        chosen: list[int] = []
        for site in rng.permutation(len(sites)):
            if len(chosen) < N_LITHIUM and (distances[site, chosen] > CLOSEST_A).all():
                chosen.append(site)
        if len(chosen) == N_LITHIUM:
            return np.array(chosen)
    raise SystemExit(f"{N_LITHIUM} lithium atoms {CLOSEST_A} Å apart do not fit: is the lattice parameter too small?")


def llzo(a: float, seed: int = 1) -> Atoms:
    """The cell with 192 atoms and lattice parameter ``a`` in Å."""
    cell = 3 * [a] + 3 * [90]
    frame = crystal(list(FRAME), list(FRAME.values()), spacegroup=230, cellpar=cell)
    sites = crystal(["Li", "Li"], LITHIUM, spacegroup=230, cellpar=cell)
    lithium = sites[place(sites, np.random.default_rng(seed))]
    return Atoms(lithium.symbols, lithium.positions, cell=frame.cell, pbc=True) + Atoms(
        frame.symbols, frame.positions, cell=frame.cell
    )


if __name__ == "__main__":
    a, path = sys.argv[1:]
    write(path, llzo(float(a)), format="extxyz")
