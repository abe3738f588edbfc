"""Random charges: does a model that sees only energies and forces find charges of exactly ±1 e?

128 particles of two kinds, +1 e and −1 e, at uncorrelated positions in a periodic cube interact by Coulomb's law and a
soft r⁻¹² repulsion. Two models with the same 4 Å short range are trained on at most 100 frames by ``les-ipi train``,
one with latent charges and one without. The reference is the Ewald sum below, which shares no code with the package.

    python benchmarks/random_charges.py --work runs/random-charges --json runs/random-charges.json
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from math import erfc
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

#: e²/(4πε0) in eV·Å (CODATA 2018).
COULOMB = 14.399645478
#: Repulsion ε (d/r)¹², shifted so that energy and force vanish at the cutoff: eV, Å, Å.
REPULSION_ENERGY, REPULSION_LENGTH, REPULSION_CUTOFF = 0.1, 1.6, 4.0
#: Ewald splitting: α·L/2 = 5 leaves erfc(5) ≈ 10⁻¹² beyond the nearest image, and k reaches exp(−k²/4α²) ≈ 10⁻¹³.
SPLITTING, HIGHEST_K = 10.0, 18
_erfc = np.frompyfunc(erfc, 1, 1)


@dataclass(frozen=True)
class Settings:
    """Size of the test. ``box`` and ``closest`` (smallest distance that is allowed) in Å."""

    particles: int = 128
    box: float = 10.0
    closest: float = 1.6
    frames: int = 100
    held_out: int = 20
    epochs: int = 60
    learning_rate: float = 0.01
    ema_decay: float = 0.998
    seed: int = 7


def pair_vectors(positions: np.ndarray, box: float) -> tuple[np.ndarray, np.ndarray]:
    """Nearest-image vectors r_i − r_j (N, N, 3) and distances (N, N), infinite on the diagonal, in a cube of edge ``box``."""
    vectors = positions[:, None] - positions[None]
    vectors -= box * np.round(vectors / box)
    distances = np.sqrt((vectors**2).sum(-1))
    np.fill_diagonal(distances, np.inf)
    return vectors, distances


def ewald(positions: np.ndarray, charges: np.ndarray, box: float) -> tuple[float, np.ndarray]:
    """Coulomb energy (eV) and forces (eV/Å) of point charges (e) in a periodic cube surrounded by a conductor."""
    alpha = SPLITTING / box
    vectors, r = pair_vectors(positions, box)
    pair = charges[:, None] * charges[None]
    screened = _erfc(alpha * r).astype(float)
    energy = 0.5 * np.sum(pair * screened / r)
    slope = pair * (screened / r**2 + 2 * alpha / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2)) / r)
    forces = np.einsum("ij,ijx->ix", slope / r, vectors)

    axis = np.arange(-HIGHEST_K, HIGHEST_K + 1)
    n = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    square = (n**2).sum(1)
    n, square = n[(square > 0) & (square <= HIGHEST_K**2)], square[(square > 0) & (square <= HIGHEST_K**2)]
    k = 2 * np.pi / box * n
    k2 = (k**2).sum(1)
    weight = 4 * np.pi / box**3 * np.exp(-k2 / (4 * alpha**2)) / k2
    phase = np.exp(1j * positions @ k.T)
    density = charges @ phase
    energy += 0.5 * np.sum(weight * np.abs(density) ** 2) - alpha / np.sqrt(np.pi) * np.sum(charges**2)
    forces += charges[:, None] * ((weight * np.imag(phase * density.conj())) @ k)
    return COULOMB * energy, COULOMB * forces


def repulsion(positions: np.ndarray, box: float) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/Å) of the soft core, the same for all pairs."""
    vectors, r = pair_vectors(positions, box)
    inside = r < REPULSION_CUTOFF
    power, edge = (REPULSION_LENGTH / r) ** 12, (REPULSION_LENGTH / REPULSION_CUTOFF) ** 12
    energy = power - edge + 12 * edge / REPULSION_CUTOFF * (np.where(inside, r, REPULSION_CUTOFF) - REPULSION_CUTOFF)
    force = 12 * (power / r - edge / REPULSION_CUTOFF)
    forces = np.einsum("ij,ijx->ix", np.where(inside, force / r, 0.0), vectors)
    return 0.5 * REPULSION_ENERGY * np.sum(energy[inside]), REPULSION_ENERGY * forces


def random_positions(settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Uniform random positions, pushed apart until no pair is closer than ``closest``; charges play no part."""
    positions = rng.uniform(0, settings.box, (settings.particles, 3))
    target = 1.05 * settings.closest
    for _ in range(2000):
        vectors, r = pair_vectors(positions, settings.box)
        if r.min() > settings.closest:
            return positions % settings.box
        push = 0.25 * np.maximum(target / r - 1.0, 0.0)
        positions = positions + np.einsum("ij,ijx->ix", push, vectors)
    raise SystemExit(f"{settings.particles} particles {settings.closest} Å apart do not fit: use a larger box.")


def exact_charges(settings: Settings) -> np.ndarray:
    """+1 e for the first half (labelled Na), −1 e for the second (Cl)."""
    return np.repeat([1.0, -1.0], settings.particles // 2)


def make_frames(settings: Settings) -> list[Atoms]:
    """Training frames followed by held-out frames, with energies and forces."""
    rng, charges, frames = np.random.default_rng(settings.seed), exact_charges(settings), []
    for _ in range(settings.frames + settings.held_out):
        positions = random_positions(settings, rng)
        coulomb, core = ewald(positions, charges, settings.box), repulsion(positions, settings.box)
        atoms = Atoms(np.where(charges > 0, "Na", "Cl"), positions, cell=[settings.box] * 3, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=coulomb[0] + core[0], forces=coulomb[1] + core[1])
        frames.append(atoms)
    return frames


def training_file(settings: Settings, head: str) -> str:
    """Text of ``train.toml``: the same but for the charge head."""
    last = settings.frames + settings.held_out
    return f"""name = "random-charges-{head}"
description = "Random charges of +1 e and -1 e"
seed = {settings.seed}

[data]
files = ["frames.xyz"]
validation = ["{settings.frames}:{last}"]
source = "benchmarks/random_charges.py"
licence = "MIT"
level_of_theory = "Coulomb and soft repulsion"

[short_range]
cutoff = 4.0
n_radial = 10
l_max = 1
channels = 8
order = 2
radial_decay = 0.0
order_decay = 1.0
hidden = [32]
core_cutoff = {{}}

[charges]
head = "{head}"
hidden = [8]
sigma = 1.0
k_cutoff = 6.283185307
smooth = true

[training]
max_epochs = {settings.epochs}
batch_size = 1
learning_rate = {settings.learning_rate}
decay_fraction = 0.6
ema_decay = {settings.ema_decay}
validate_every = 10
stages = [{{ from_epoch = 0, energy = 1.0, forces = 1.0 }}]
"""


def run_training(folder: Path, settings: Settings, head: str) -> float:
    """Train one model with the command line; returns seconds."""
    name = f"train-{head}.toml"
    (folder / name).write_text(training_file(settings, head))
    command = "import sys; from les_ipi.cli import main; sys.argv[0] = 'les-ipi'; main()"
    arguments = ["train", str(folder / name), "--output", str(folder / head), "--threads", "1"]
    start = time.perf_counter()
    with (folder / f"train-{head}.log").open("w") as log:
        subprocess.run([sys.executable, "-c", command, *arguments], check=True, stdout=log, stderr=subprocess.STDOUT)
    return time.perf_counter() - start


def force_rmse(model: Path, frames: list[Atoms]) -> float:
    """Force error in eV/Å over all components."""
    from les_ipi.evaluation.evaluator import Evaluator
    from les_ipi.structures.system import AtomicSystem

    evaluate = Evaluator.load(model)
    errors = [evaluate([AtomicSystem.from_ase(a)])[0].forces - a.get_forces() for a in frames]
    return float(np.sqrt(np.mean(np.square(errors))))


def charge_errors(model: Path, frames: list[Atoms], exact: np.ndarray) -> tuple[float, float, list[float]]:
    """Mean and largest |q − q_exact| (e) up to one global sign, and the mean charge of each kind."""
    from les_ipi.evaluation.evaluator import Evaluator
    from les_ipi.structures.system import AtomicSystem

    evaluate = Evaluator.load(model)
    found = np.array([evaluate([AtomicSystem.from_ase(a)], ["charges"])[0].charges for a in frames])
    found *= np.sign(np.sum(found * exact))
    deviation = np.abs(found - exact)
    return float(deviation.mean()), float(deviation.max()), [float(found[:, exact == s].mean()) for s in (1, -1)]


def run_test(folder: Path, settings: Settings) -> dict[str, object]:
    """Data, both trainings and the comparison; returns the numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = make_frames(settings)
    write(folder / "frames.xyz", frames)
    held_out = frames[settings.frames :]
    seconds = {head: run_training(folder, settings, head) for head in ("latent", "none")}
    mean, largest, kinds = charge_errors(folder / "latent", held_out, exact_charges(settings))
    with_les, without = (force_rmse(folder / head, held_out) for head in ("latent", "none"))
    return {
        "settings": asdict(settings),
        "charge_mean_deviation_e": mean,
        "charge_largest_deviation_e": largest,
        "mean_charges_e": kinds,
        "reference_force_rms_eV_per_A": float(np.sqrt(np.mean([a.get_forces() ** 2 for a in held_out]))),
        "force_rmse_les_eV_per_A": with_les,
        "force_rmse_no_les_eV_per_A": without,
        "force_error_ratio": without / with_les,
        "training_seconds_les": seconds["latent"],
        "training_seconds_no_les": seconds["none"],
    }


def main() -> None:
    """Command line."""
    defaults = Settings()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="new folder for data and models")
    parser.add_argument("--frames", type=int, default=defaults.frames, help="training frames")
    parser.add_argument("--epochs", type=int, default=defaults.epochs, help="epochs of each training")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="seed of data and weights")
    parser.add_argument("--json", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    numbers = run_test(
        arguments.work, Settings(frames=arguments.frames, epochs=arguments.epochs, seed=arguments.seed)
    )
    for name, value in numbers.items():
        if isinstance(value, float):
            print(f"{name:32s} {value:.5g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
