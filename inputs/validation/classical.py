"""Energies and forces of a fixed-charge force field, sampled with OpenMM: data whose charges are known exactly.

    python -m venv classical && classical/bin/pip install openmm ase
    classical/bin/python inputs/validation/classical.py nacl_brine --output inputs/validation/nacl_brine/frames.xyz.gz

Flexible SPC/Fw water (doi:10.1063/1.2136877), Na+ and Cl- of Smith and Dang (doi:10.1063/1.466363), K+ of Dang
(doi:10.1021/ja00131a018). Everything but Coulomb's law is switched off between 3.5 and 4.5 Å, within the cutoff of the models,
so that a short-range model can miss nothing else. The committed frames come from this script; nothing else needs OpenMM.
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from openmm import unit

CHARGES = {"O": -0.82, "H": 0.41, "Na": 1.0, "K": 1.0, "Cl": -1.0}
#: Lennard-Jones σ in Å and ε in kcal/mol; hydrogen has none.
LENNARD_JONES = {"O": (3.165492, 0.1554253), "Na": (2.350, 0.1300), "K": (3.332, 0.1000), "Cl": (4.400, 0.1000)}
BOND, ANGLE = 1.012, np.radians(113.24)
#: Force constants of E = ½ k x²: kcal/mol/Å² and kcal/mol/rad².
BOND_CONSTANT, ANGLE_CONSTANT = 1059.162, 75.90
SWITCH, CUTOFF = 3.5, 4.5
EV_KJ_MOL = 96.48533212


def water(centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """O, H, H at the equilibrium geometry in a random orientation."""
    half = ANGLE / 2
    legs = BOND * np.array([[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return centre + legs @ rotation


def liquid(n_water: int, n_pairs: int, low: np.ndarray, size: np.ndarray, sites: tuple, rng) -> tuple[list, list]:
    """Symbols and positions of water and NaCl on randomly chosen sites of a grid in the box low + [0, size)."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in sites), indexing="ij"), -1).reshape(-1, 3)
    places = low + (rng.permutation(grid)[: n_water + 2 * n_pairs] + 0.5) / sites * size
    symbols, positions = [], []
    for place in places[:n_water]:
        symbols += ["O", "H", "H"]
        positions += list(water(place, rng))
    return symbols + ["Na", "Cl"] * n_pairs, positions + list(places[n_water:])


def crystal(cations: list[str], edge: float, spacing: list[float]) -> tuple[list, list]:
    """Rock-salt (001) layers of 2 × 2 cells of lateral edge ``edge``, one cation per layer; symbols and positions."""
    symbols, positions, z = [], [], 0.0
    for layer, cation in enumerate(cations):
        for i in range(4):
            for j in range(4):
                symbols.append(cation if (i + j + layer) % 2 == 0 else "Cl")
                positions.append([i * edge / 2, j * edge / 2, z])
        z += spacing[layer]
    return symbols, positions


def nacl_brine(rng: np.random.Generator) -> Atoms:
    """32 water molecules and 4 NaCl in a cube."""
    edge = 10.4
    symbols, positions = liquid(32, 4, np.zeros(3), np.full(3, edge), (4, 4, 3), rng)
    return Atoms(symbols, positions, cell=[edge] * 3, pbc=True)


def nacl_brine_interface(rng: np.random.Generator) -> Atoms:
    """Two (001) layers of NaCl against 28 water molecules and 2 NaCl."""
    edge, gap, height = 5.64, 2.82, 7.6
    symbols, positions = crystal(["Na"] * 2, edge, [gap] * 2)
    low, size = np.array([0.0, 0.0, gap + 2.2]), np.array([2 * edge, 2 * edge, height])
    more = liquid(28, 2, low, size, (4, 4, 2), rng)
    return Atoms(symbols + more[0], positions + more[1], cell=[2 * edge, 2 * edge, gap + 4.4 + height], pbc=True)


def nacl_kcl_contact(rng: np.random.Generator) -> Atoms:
    """Two (001) layers of NaCl on two of KCl, strained to one lateral edge."""
    edge = 5.95
    symbols, positions = crystal(["Na", "Na", "K", "K"], edge, [2.7, 2.9, 3.2, 2.9])
    return Atoms(symbols, positions, cell=[2 * edge, 2 * edge, 11.7], pbc=True)


#: Structure, temperature in K, time step in fs.
SYSTEMS = {"nacl_brine": (nacl_brine, 350, 0.5), "nacl_brine_interface": (nacl_brine_interface, 350, 0.5)}
SYSTEMS["nacl_kcl_contact"] = (nacl_kcl_contact, 700, 2.0)


def force_field(atoms: Atoms, method: int, tolerance: float) -> openmm.System:
    """The force field as an OpenMM system; ``method`` and relative ``tolerance`` of its Coulomb sum."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*(openmm.Vec3(*row) for row in atoms.cell.array / 10))
    coulomb, lj = openmm.NonbondedForce(), openmm.CustomNonbondedForce(
        "4*sqrt(e1*e2)*(x^2-x); x=((s1+s2)/(2*r))^6"
    )
    lj.addPerParticleParameter("s")
    lj.addPerParticleParameter("e")
    lj.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffPeriodic)
    lj.setCutoffDistance(CUTOFF / 10)
    lj.setUseSwitchingFunction(True)
    lj.setSwitchingDistance(SWITCH / 10)
    coulomb.setNonbondedMethod(method)
    coulomb.setCutoffDistance(CUTOFF / 10)
    coulomb.setEwaldErrorTolerance(tolerance)
    bonds, angles = openmm.HarmonicBondForce(), openmm.HarmonicAngleForce()
    symbols = atoms.get_chemical_symbols()
    for symbol, mass in zip(symbols, atoms.get_masses(), strict=True):
        sigma, epsilon = LENNARD_JONES.get(symbol, (1.0, 0.0))
        system.addParticle(mass)
        coulomb.addParticle(CHARGES[symbol], 1.0, 0.0)
        lj.addParticle([sigma / 10, epsilon * 4.184])
    for o in (i for i, symbol in enumerate(symbols) if symbol == "O"):
        for h in (o + 1, o + 2):
            bonds.addBond(o, h, BOND / 10, BOND_CONSTANT * 418.4)
        angles.addAngle(o + 1, o, o + 2, ANGLE, ANGLE_CONSTANT * 4.184)
        for i, j in ((o, o + 1), (o, o + 2), (o + 1, o + 2)):
            coulomb.addException(i, j, 0.0, 1.0, 0.0)
            lj.addExclusion(i, j)
    for force in (coulomb, lj, bonds, angles):
        system.addForce(force)
    return system


def sample(name: str, n_frames: int, stride: int, seed: int) -> list[Atoms]:
    """Labelled frames, ``stride`` steps apart, of Langevin dynamics."""
    build, temperature, timestep = SYSTEMS[name]
    atoms = build(np.random.default_rng(seed))
    integrator = openmm.LangevinMiddleIntegrator(temperature, 5.0, timestep * 1e-3)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    dynamics = openmm.Context(
        force_field(atoms, openmm.NonbondedForce.PME, 1e-4), integrator, platform, {"Threads": "1"}
    )
    exact = openmm.Context(
        force_field(atoms, openmm.NonbondedForce.Ewald, 1e-7),
        openmm.VerletIntegrator(1e-3),
        openmm.Platform.getPlatformByName("Reference"),
    )
    dynamics.setPositions(atoms.positions / 10)
    openmm.LocalEnergyMinimizer.minimize(dynamics, 100.0, 200)
    dynamics.setVelocitiesToTemperature(temperature, seed)
    integrator.step(10 * stride)
    frames = []
    for _ in range(n_frames):
        integrator.step(stride)
        positions = dynamics.getState(getPositions=True).getPositions(asNumpy=True)
        exact.setPositions(positions)
        state = exact.getState(getEnergy=True, getForces=True)
        frame = Atoms(atoms.numbers, positions.value_in_unit(unit.angstrom), cell=atoms.cell, pbc=True)
        frame.calc = SinglePointCalculator(
            frame,
            energy=state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / EV_KJ_MOL,
            forces=state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom) / EV_KJ_MOL,
        )
        frames.append(frame)
    return frames


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--stride", type=int, default=400, help="steps between frames")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.output, sample(options.system, options.frames, options.stride, options.seed), format="extxyz")


if __name__ == "__main__":
    main()
