"""Lead titanate at 0 K: lattice parameters, well depth, spontaneous polarization and Born charges of a model.

    python inputs/pbtio3/statics.py [MODEL]

The table of README.md. Energies of 3×3×3 unit cells in double precision; the tetragonal crystal is relaxed in c, a and the
three free coordinates, the cubic one in a.
"""

import sys

import numpy as np
from ase import Atoms
from scipy.optimize import minimize

from les_ipi import AtomicSystem, Evaluator
from les_ipi.evaluation.integrated_dipole import dipole_from_reference
from les_ipi.units import E_A2_C_M2

CELLS = 3
CUBIC = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def crystal(a: float, c: float, titanium: float = 0.0, apical: float = 0.0, planar: float = 0.0) -> AtomicSystem:
    """Supercell with displacements along z, in units of c, of Ti, O above Ti and the two O beside Ti."""
    places = CUBIC + np.outer([0, titanium, apical, planar, planar], [0, 0, 1])
    return AtomicSystem.from_ase(Atoms("PbTiO3", scaled_positions=places, cell=[a, a, c], pbc=True).repeat(CELLS))


def main(model: str) -> None:
    """Print the table."""
    evaluator = Evaluator.load(model, dtype="float64", threads=1)

    def energy(system: AtomicSystem) -> float:
        return evaluator([system], ["energy"])[0].energy / CELLS**3

    options = {"xatol": 1e-5, "fatol": 1e-7, "maxiter": 2000, "maxfev": 4000}
    cubic = minimize(lambda x: energy(crystal(x[0], x[0])), [3.92], method="Nelder-Mead", options=options)
    start = np.array([3.878, 4.194, 0.035, 0.112, 0.118])
    simplex = np.vstack([start, start + np.diag([0.02, 0.05, 0.02, 0.03, 0.03])])
    polar = minimize(
        lambda x: energy(crystal(*x)), start, method="Nelder-Mead", options={**options, "initial_simplex": simplex}
    )
    a, c, *shifts = polar.x
    print(f"cubic a {cubic.x[0]:.4f} Å")
    print(f"tetragonal a {a:.4f} Å, c {c:.4f} Å, c/a {c / a:.4f}; shifts of Ti, O, O {np.round(shifts, 4)}")
    if not (polar.success and cubic.success):
        print("Not converged: start from the lattice parameters of this model.")
    print(f"well depth {1e3 * (cubic.fun - polar.fun):.1f} meV per formula unit")
    reference, system = crystal(a, c), crystal(*polar.x)
    dipole = dipole_from_reference(evaluator, reference, [system], points=16)[0]
    print(f"P_s {abs(dipole[2]) / system.volume * E_A2_C_M2:.3f} C/m²")
    born = evaluator([crystal(cubic.x[0], cubic.x[0])], ["born_effective_charges"])[0].born_effective_charges
    names = {"Pb": born[0, 0, 0], "Ti": born[1, 1, 1], "O∥": born[2, 2, 2], "O⊥": born[2, 0, 0]}
    print("cubic Z*: " + ", ".join(f"{name} {value:.2f}" for name, value in names.items()) + " e")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "pbtio3-pbesol")
