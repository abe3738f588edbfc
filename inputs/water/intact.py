"""Are the molecules of runs still water? Lists the runs in which every oxygen kept two hydrogens at all frames.

    python inputs/water/intact.py runs/water/trpmd-*

Counts, at every frame of the centroid positions, the hydrogens that are nearest to each oxygen. A run in which a
proton changed its molecule is named on standard error with the time, and left out of the list.
"""

import sys
from pathlib import Path

import numpy as np
from MDAnalysis.lib.distances import distance_array

from les_ipi.analysis import RunDirectory, run_universe


def first_reaction_ps(path: Path) -> float | None:
    """Time in ps of the first frame with an oxygen that has not two hydrogens, None if there is none."""
    universe = run_universe(RunDirectory(path))
    if not universe.atoms.positions.any():
        sys.exit(f"{path} holds no positions: let i-PI write <trajectory ...> x_centroid{{angstrom}} </trajectory>.")
    oxygens, hydrogens = (universe.select_atoms(f"element {element}") for element in ("O", "H"))
    for frame in universe.trajectory:
        r = distance_array(hydrogens.positions, oxygens.positions, box=universe.dimensions)
        if (np.bincount(r.argmin(1), minlength=len(oxygens)) != 2).any():
            return frame.time
    return None


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        reacted = first_reaction_ps(Path(argument))
        if reacted is None:
            print(argument)
        else:
            print(f"{argument}: a proton has left its molecule at {reacted:.2f} ps; left out", file=sys.stderr)
