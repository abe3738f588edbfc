"""An analytic evaluator with the contract of ``les_ipi.evaluation.evaluator.Evaluator``: exact, fast, and able to fail.

Flexible molecules (order O H H, unwrapped) with harmonic springs, geometry-dependent charges (a single-valued
dipole with non-symmetric Born charges), and a Gaussian repulsion between oxygens under periodic images.
A model is named ``toy`` or, with options, ``toy;nan_at=30;delay=0.01``.
"""

import time
from dataclasses import dataclass

import numpy as np

from les_ipi.errors import UserError

K_OH, R_OH, K_HH, R_HH = 40.0, 0.96, 10.0, 1.51  # eV/Å², Å
Q, Q_OH, Q_HH = 0.4, 0.6, 0.4  # e, 1/Å, 1/Å
REPULSION, RANGE = 0.6, 1.2  # eV, Å


@dataclass
class Results:
    energy: float
    forces: np.ndarray
    virial: np.ndarray
    charges: np.ndarray
    dipole: np.ndarray
    born_effective_charges: np.ndarray
    piezoelectric: np.ndarray


class ToyEvaluator:
    species = (1, 8)
    cutoff = 4.0
    card = {"name": "toy", "charge_head": "toy", "epsilon_infinity": 1.8, "dipole_single_valued": True}  # noqa: RUF012

    def __init__(self, nan_at: int = -1, delay: float = 0.0):
        self.nan_at, self.delay = int(nan_at), float(delay)
        self.calls = self.structures = 0

    @classmethod
    def load(cls, model, *_) -> "ToyEvaluator":
        name, *options = str(model).split(";")
        if name != "toy":
            raise UserError(f"The model '{model}' does not exist: use one of toy.")
        return cls(**dict(option.split("=") for option in options))

    def __call__(self, systems, properties) -> list[Results]:
        self.calls += 1
        self.structures += len(systems)
        time.sleep(self.delay)
        results = [evaluate(system) for system in systems]
        if self.calls == self.nan_at:
            results[-1].forces[0, 0] = np.nan
        return results


def evaluate(system) -> Results:
    molecules = system.positions.reshape(-1, 3, 3)
    energy, forces, virial = _springs(molecules)
    repulsion = _repulsion(molecules[:, 0], system.cell if system.periodic else None)
    energy += repulsion[0]
    forces[:, 0] += repulsion[1]
    virial += repulsion[2]
    charges, dipole, born = _electric(molecules)
    # All molecules are whole, so a strain moves atoms by their positions.
    strained = np.einsum("ia,icb->cab", system.positions, born)
    piezoelectric = strained - np.einsum("a,cb->cab", dipole, np.eye(3))
    return Results(energy, forces.reshape(-1, 3), virial, charges, dipole, born, piezoelectric)


def _bonds(molecules):
    oxygen, first, second = molecules[:, 0], molecules[:, 1], molecules[:, 2]
    vectors = (first - oxygen, second - oxygen, second - first)
    lengths = tuple(np.linalg.norm(v, axis=1) for v in vectors)
    units = tuple(v / r[:, None] for v, r in zip(vectors, lengths, strict=True))
    return vectors, lengths, units


def _springs(molecules):
    vectors, (r1, r2, rh), (u1, u2, uh) = _bonds(molecules)
    energy = 0.5 * K_OH * ((r1 - R_OH) ** 2 + (r2 - R_OH) ** 2).sum() + 0.5 * K_HH * ((rh - R_HH) ** 2).sum()
    f1, f2, fh = (
        -K_OH * (r1 - R_OH)[:, None] * u1,
        -K_OH * (r2 - R_OH)[:, None] * u2,
        -K_HH * (rh - R_HH)[:, None] * uh,
    )
    forces = np.stack([-(f1 + f2), f1 - fh, f2 + fh], axis=1)
    virial = sum(f.T @ v for f, v in zip((f1, f2, fh), vectors, strict=True))
    return energy, forces, virial


def _repulsion(oxygens, cell):
    separation = oxygens[:, None] - oxygens[None]
    if cell is not None:
        separation = separation - np.round(separation @ np.linalg.inv(cell)) @ cell
    pair = REPULSION * np.exp(-0.5 * (separation**2).sum(-1) / RANGE**2)
    np.fill_diagonal(pair, 0.0)
    pair_forces = pair[..., None] * separation / RANGE**2
    return 0.5 * pair.sum(), pair_forces.sum(1), 0.5 * np.einsum("ija,ijb->ab", pair_forces, separation)


def _electric(molecules):
    (d1, d2, _), (r1, r2, rh), (u1, u2, uh) = _bonds(molecules)
    q1 = Q * (1 + Q_OH * (r1 - R_OH) + Q_HH * (rh - R_HH))
    q2 = Q * (1 + Q_OH * (r2 - R_OH) + Q_HH * (rh - R_HH))
    identity = np.eye(3)
    along_h = Q * Q_HH * np.einsum("ma,mb->mab", d1 + d2, uh)  # [polarization, displacement of the second H]
    z1 = q1[:, None, None] * identity + Q * Q_OH * np.einsum("ma,mb->mab", d1, u1) - along_h
    z2 = q2[:, None, None] * identity + Q * Q_OH * np.einsum("ma,mb->mab", d2, u2) + along_h
    born = np.stack([-(z1 + z2), z1, z2], axis=1).reshape(-1, 3, 3)
    charges = np.stack([-(q1 + q2), q1, q2], axis=1).ravel()
    return charges, (q1[:, None] * d1 + q2[:, None] * d2).sum(0), born
