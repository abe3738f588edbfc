"""Langevin ions with known diffusion, conductivity and Haven ratio, in memory and as i-PI run directories."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ipi_runs import input_xml, write_current
from scipy import constants as si
from scipy import signal

VOLUME, TEMPERATURE = 12.0**3, 300.0  # Å³, K
SIGMA_UNIT = si.e**2 * 1e-20 / 1e-15 / (1e-30 * si.k)  # e² Å²/(fs Å³ k_B K) in S/m


def autoregressive(phi: float, n: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """(n, columns) of x_{k+1} = φ x_k + noise with unit variance, stationary from the start."""
    start = rng.standard_normal((1, columns))
    noise = rng.standard_normal((n - 1, columns)) * np.sqrt(1.0 - phi**2)
    return signal.lfilter([1.0], [1.0, -phi], np.concatenate([start, noise]), axis=0)


def autoregressive_power(phi: float) -> float:
    """Σ_k ⟨x_0 x_k⟩ over all k of :func:`autoregressive`: (1 + φ)/(1 − φ)."""
    return (1.0 + phi) / (1.0 - phi)


def ion_velocities(
    n_pairs: int, n_steps: int, phi: float, speed: float, correlation: float, rng: np.random.Generator
) -> np.ndarray:
    """Velocities (T, 2·n_pairs, 3), cations first; every cation moves with its own anion at the given correlation.

    Self-diffusion D = speed² dt (1 + φ)/(2(1 − φ)); σ of charges ±1 is that of independent ions times 1 − correlation.
    """
    common = autoregressive(phi, n_steps, 3 * n_pairs, rng)
    own = autoregressive(phi, n_steps, 6 * n_pairs, rng).reshape(n_steps, 2, -1)
    pairs = np.sqrt(abs(correlation)) * np.stack([common, np.sign(correlation) * common], axis=1)
    both = speed * (pairs + np.sqrt(1.0 - abs(correlation)) * own)
    return both.reshape(n_steps, 2 * n_pairs, 3)


def ion_diffusion(phi: float, speed: float, dt: float) -> float:
    """D in Å²/fs of :func:`ion_velocities`."""
    return speed**2 * dt * autoregressive_power(phi) / 2.0


def ion_conductivity(n_ions: int, diffusion: float) -> float:
    """Nernst-Einstein σ = e² N D/(V k_B T) in S/m of N ions of charge ±1."""
    return SIGMA_UNIT * n_ions * diffusion / (VOLUME * TEMPERATURE)


def integrated(velocities: np.ndarray, dt: float) -> np.ndarray:
    """Positions from velocities by the trapezoidal rule, so that both tell the same diffusion."""
    steps = 0.5 * dt * (velocities[1:] + velocities[:-1])
    return np.concatenate([np.zeros_like(velocities[:1]), np.cumsum(steps, axis=0)])


def write_positions(directory: Path, symbols: Sequence[str], positions: np.ndarray, stride: int = 1) -> None:
    """Start structure and unwrapped centroids (T, N, 3) Å of a run in the box of :data:`VOLUME`."""
    header = "# CELL(abcABC): 12 12 12 90 90 90 {step}positions{{angstrom}} cell{{angstrom}}"
    rows = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(symbols, positions[0], strict=True)]
    (directory / "start.xyz").write_text("\n".join([str(len(symbols)), header.format(step=""), *rows]) + "\n")
    template = "\n".join(f"{s} %.6f %.6f %.6f" for s in symbols) + "\n"
    with open(directory / "run.xc.xyz", "w") as file:
        for k in range(0, len(positions), stride):
            comment = header.format(step=f"Step: {k:d} Bead: 0 x_centroid{{angstrom}} ").replace("positions{angstrom} ", "")
            file.write(f"{len(symbols)}\n{comment}\n" + template % tuple(positions[k].ravel()))


def write_ions(
    directory: Path, velocities: np.ndarray, dt: float, stride: int = 1, current: bool = True, field: float = 0.0
) -> Path:
    """An i-PI run directory of H (+1) and F (−1) ions: input, start, unwrapped centroid positions, recorded current."""
    directory.mkdir(parents=True, exist_ok=True)
    n_ions = velocities.shape[1]
    symbols = ["H"] * (n_ions // 2) + ["F"] * (n_ions // 2)
    text = input_xml().replace(">0.25<", f">{dt}<")
    if field:
        block = f"<efield><amp units='v/ang'>[{field}, 0, 0]</amp></efield>"
        text = text.replace("<motion mode='dynamics'>", "<motion mode='driven_dynamics'>")
        text = text.replace("<dynamics mode='nve'>", f"<driven_dynamics mode='eda-nve'>{block}")
        text = text.replace("</dynamics>", "</driven_dynamics>")
    (directory / "input.xml").write_text(text)
    start = np.random.default_rng(0).uniform(0.0, 12.0, (n_ions, 3))
    write_positions(directory, symbols, start + integrated(velocities, dt), stride)
    if current:
        sign = np.repeat([1.0, -1.0], n_ions // 2)
        write_current(directory, np.einsum("i,tic->tc", sign, velocities), dt)
    return directory
