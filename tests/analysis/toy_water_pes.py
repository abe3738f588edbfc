"""i-PI force field for tests: flexible isolated water molecules whose charges follow the geometry.

Energy per molecule: k/2 Σ (r_OH − r0)² + k'/2 (r_HH − r'0)²; dipole Σ_h q_h (r_h − r_O) with
q_h = q0 (1 + a (r_h − r0) + b (r_HH − r'0)). Dipole and its derivatives are exact. Atoms O, H, H; atomic
units.
"""

import json

import numpy as np
from ipi.pes.dummy import Dummy_driver

__DRIVER_NAME__ = "toy_water"
__DRIVER_CLASS__ = "ToyWater"

STRETCH, BEND, R_OH, R_HH = 0.45, 0.1, 1.81, 2.86
Q0, CHARGE_STRETCH, CHARGE_BEND = 0.4, 0.3, 0.2


def toy_water(positions):
    """Energy, forces (N, 3), dipole (3,) and dipole derivatives (N, displacement, polarization)."""
    oxygen, *hydrogen = positions.reshape(-1, 3, 3).transpose(1, 0, 2)
    arms = [h - oxygen for h in hydrogen]
    lengths = [np.linalg.norm(arm, axis=1) for arm in arms]
    across = hydrogen[1] - hydrogen[0]
    span = np.linalg.norm(across, axis=1)
    along = across / span[:, None]
    energy = 0.5 * BEND * ((span - R_HH) ** 2).sum()
    forces = np.zeros((len(oxygen), 3, 3))
    slope = (BEND * (span - R_HH))[:, None] * along
    forces[:, 1] += slope
    forces[:, 2] -= slope
    born = np.zeros((len(oxygen), 3, 3, 3))
    dipole = np.zeros(3)
    sides = arms[0] + arms[1]
    for k, (arm, length) in enumerate(zip(arms, lengths, strict=True), start=1):
        stretch, unit = length - R_OH, arm / length[:, None]
        energy += 0.5 * STRETCH * (stretch**2).sum()
        pull = STRETCH * stretch[:, None] * unit
        forces[:, 0] += pull
        forces[:, k] -= pull
        charge = Q0 * (1 + CHARGE_STRETCH * stretch + CHARGE_BEND * (span - R_HH))
        dipole += charge @ arm
        own = charge[:, None, None] * np.eye(3) + Q0 * CHARGE_STRETCH * unit[:, :, None] * arm[:, None, :]
        born[:, k] += own
        born[:, 0] -= own
    swing = Q0 * CHARGE_BEND * along[:, :, None] * sides[:, None, :]
    born[:, 1] -= swing
    born[:, 2] += swing
    return energy, forces.reshape(-1, 3), dipole, born.reshape(-1, 3, 3)


class ToyWater(Dummy_driver):
    """ffdirect `custom` driver."""

    def compute_structure(self, cell, pos):
        """i-PI's contract: energy, forces, virial, extras as JSON."""
        energy, forces, dipole, born = toy_water(pos)
        extras = {"dipole": dipole.tolist(), "BEC": born.reshape(-1, 3).tolist()}
        return energy, forces, np.zeros((3, 3)), json.dumps(extras)
