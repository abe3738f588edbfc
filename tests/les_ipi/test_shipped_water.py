"""The shipped water model where no training data reach: molecules must neither merge nor fall apart in a trajectory."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.structures.system import AtomicSystem

START = Path(__file__).parents[2] / "inputs" / "water" / "start.xyz"


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator.load("water-pbe0-ts", threads=1)


def bonded_pairs(atoms) -> list[tuple[int, int, list[int], int]]:
    """Closest hydrogen-bonded molecules: (O, other O, atoms of the other molecule, the donated H of O)."""
    numbers, r = atoms.numbers, atoms.get_all_distances(mic=True)
    oxygens, hydrogens = np.flatnonzero(numbers == 8), np.flatnonzero(numbers == 1)
    owner = oxygens[r[np.ix_(hydrogens, oxygens)].argmin(1)]
    found = []
    for h, o in zip(hydrogens, owner, strict=True):
        acceptor = next(x for x in oxygens[np.argsort(r[h, oxygens])] if x != o)
        if r[h, acceptor] < 1.9:
            found.append((r[o, acceptor], o, acceptor, [acceptor, *hydrogens[owner == acceptor]], h))
    return [tuple(pair[1:]) for pair in sorted(found, key=lambda pair: pair[0])[:6]]


def energies(evaluator: Evaluator, atoms, moved: list[int], steps: np.ndarray) -> np.ndarray:
    found = []
    for step in steps:
        changed = atoms.copy()
        changed.positions[moved] += step
        found.append(evaluator([AtomicSystem.from_ase(changed)])[0].energy)
    return np.array(found)


def test_molecules_repel_each_other_down_to_short_distances(evaluator: Evaluator) -> None:
    """Oxygen to oxygen from 2.5 to 1.6 Å (the data end at 2.39 Å): always uphill, by more than 1 eV at 2 Å."""
    atoms = read(START)
    for o, acceptor, molecule, _ in bonded_pairs(atoms):
        vector = atoms.get_distance(o, acceptor, mic=True, vector=True)
        r = np.linalg.norm(vector)
        distances = np.arange(2.5, 1.55, -0.1)
        found = energies(evaluator, atoms, molecule, vector / r * (distances[:, None] - r))
        assert (np.diff(found) > 0).all(), found
        assert found[5] - found[0] > 0.8


def test_a_proton_does_not_leave_its_molecule_cheaply(evaluator: Evaluator) -> None:
    """O-H stretched towards the acceptor to 1.4 Å and more: an ion pair costs well over 0.5 eV in liquid water."""
    atoms = read(START)
    start = evaluator([AtomicSystem.from_ase(atoms)])[0].energy
    for o, _, _, h in bonded_pairs(atoms):
        vector = atoms.get_distance(o, h, mic=True, vector=True)
        r = np.linalg.norm(vector)
        found = energies(evaluator, atoms, [h], vector / r * (np.arange(1.4, 1.75, 0.1)[:, None] - r)) - start
        assert found.min() > 0.5, found
