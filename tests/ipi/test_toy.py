"""The toy itself: forces, virial and Born charges are derivatives, or every other test here means little."""

import numpy as np
from ipi_inputs import water_lattice
from toy_water import evaluate

from les_ipi.structures.system import AtomicSystem

NUMBERS = {"O": 8, "H": 1}


def system(positions, cell):
    symbols, _, _ = water_lattice(2)
    return AtomicSystem(np.array([NUMBERS[s] for s in symbols]), positions, cell)


def test_toy_derivatives():
    _, positions, edge = water_lattice(2)
    cell, step = edge * np.eye(3), 1e-5
    results = evaluate(system(positions, cell))
    for atom, axis in ((0, 0), (1, 2), (5, 1)):
        plus, minus = positions.copy(), positions.copy()
        plus[atom, axis] += step
        minus[atom, axis] -= step
        high, low = evaluate(system(plus, cell)), evaluate(system(minus, cell))
        np.testing.assert_allclose((low.energy - high.energy) / (2 * step), results.forces[atom, axis], atol=1e-7)
        np.testing.assert_allclose(
            (high.dipole - low.dipole) / (2 * step), results.born_effective_charges[atom, :, axis], atol=1e-8
        )
    for a, b in ((0, 0), (1, 2)):
        strain = np.zeros((3, 3))
        strain[a, b] = step
        deformations = (np.eye(3) + strain, np.eye(3) - strain)
        energies = [evaluate(system(positions @ f, cell @ f)).energy for f in deformations]
        np.testing.assert_allclose((energies[1] - energies[0]) / (2 * step), results.virial[a, b], atol=1e-6)
