"""Small labelled structures whose energies, forces, stress, dipoles and Born charges have closed forms."""

from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

EDGE, RANGE, CHARGE = 5.6, 3.9, 0.8
OFFSETS = {"Na": -3.0, "Cl": -7.0}
SITES = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) * EDGE / 2
IMAGES = EDGE * np.array(list(product((-1, 0, 1), repeat=3)))


def strengths(unlike: np.ndarray) -> np.ndarray:
    """Depth in eV of the pair energy a (1 − r²/R²)³."""
    return np.where(unlike, -0.8, 1.6)


def toy_labels(positions: np.ndarray, charges: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, ASE sign) of the pair potential in the periodic cube."""
    vectors = positions[:, None, None] - positions[None, :, None] + IMAGES
    r2 = (vectors**2).sum(-1)
    inside = (r2 < RANGE**2) & (r2 > 1e-12)
    x = np.where(inside, 1 - r2 / RANGE**2, 0.0)
    a = strengths(charges[:, None] * charges[None] < 0)[..., None]
    slope_over_r = -6 * a / RANGE**2 * x**2
    forces = -np.einsum("ijn,ijnx->ix", slope_over_r, vectors)
    stress = 0.5 * np.einsum("ijn,ijnx,ijny->xy", slope_over_r, vectors, vectors) / EDGE**3
    return 0.5 * float(np.sum(a * x**3)), forces, stress


def toy_frames(n: int, seed: int = 0, forces: bool = True, responses: bool = False) -> list[Atoms]:
    """Distorted rock salt; ``responses`` adds stress, dipole and Born charges of rigid ions of ±0.8 e."""
    rng, frames = np.random.default_rng(seed), []
    charges = CHARGE * np.repeat([1.0, -1.0], 4)
    for _ in range(n):
        positions = SITES + rng.normal(scale=0.25, size=SITES.shape)
        energy, force, stress = toy_labels(positions, charges)
        labels = {"energy": energy + 4 * OFFSETS["Na"] + 4 * OFFSETS["Cl"]}
        if forces:
            labels["forces"] = force
        atoms = Atoms("Na4Cl4", positions, cell=[EDGE] * 3, pbc=True)
        if responses:
            labels["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            atoms.info["dipole"] = charges @ positions
            atoms.arrays["bec"] = (charges[:, None, None] * np.eye(3)).reshape(-1, 9)
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    return frames


def write_frames(path: Path, frames: list[Atoms]) -> Path:
    write(path, frames, format="extxyz")
    return path


def training_text(head: str = "latent", epochs: int = 2, stages: str = "", **training: object) -> str:
    """Text of a training file of a few hundred parameters."""
    lines = "\n".join(f"{key} = {value}" for key, value in training.items())
    return f"""name = "toy"
description = "Toy"
seed = 1

[data]
files = ["frames.xyz"]
validation = ["0:2"]

[short_range]
cutoff = 4.0
n_radial = 5
l_max = 1
channels = 4
order = 2
hidden = [8]

[charges]
head = "{head}"
hidden = [4]
formal = {{ Na = 1, Cl = -1 }}
transfer_cutoff = 3.5
transfer_n_radial = 3

[training]
max_epochs = {epochs}
batch_size = 2
ema_decay = 0.9
validate_every = 1
{lines}
{stages or "stages = [{ from_epoch = 0, energy = 1.0, forces = 1.0 }]"}
"""
