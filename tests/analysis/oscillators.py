"""Langevin oscillators with exact discrete dynamics: the closed form against which spectra are tested."""

import numpy as np
from scipy import constants as si
from scipy.linalg import cholesky, expm, solve_continuous_lyapunov

from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.units import BOLTZMANN_EV_K

AMU_A2_FS2_EV = si.atomic_mass * 1e10 / si.e  # 1 amu Å²/fs² in eV
MASS, CHARGE, VOLUME, TEMPERATURE = 2.0, 0.7, 1000.0, 300.0


def langevin_runs(
    n_runs: int, n_steps: int, dt: float, centre_cm1: float, width_cm1: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Dipoles [e Å] and currents [e Å/fs], (R, T, 3), of x'' = −ω0² x − γ x' + noise, sampled exactly."""
    omega, gamma = (2 * np.pi * value / CM1_PER_INVERSE_FS for value in (centre_cm1, width_cm1))
    drift = np.array([[0.0, 1.0], [-(omega**2), -gamma]])
    velocity2 = BOLTZMANN_EV_K * TEMPERATURE / (MASS * AMU_A2_FS2_EV)
    stationary = solve_continuous_lyapunov(drift, -np.diag([0.0, 2.0 * gamma * velocity2]))
    step = expm(drift * dt)
    kick = cholesky(stationary - step @ stationary @ step.T, lower=True)
    random = np.random.default_rng(seed)
    state = cholesky(stationary, lower=True) @ random.standard_normal((2, 3 * n_runs))
    out = np.empty((n_steps, 2, 3 * n_runs))
    for n in range(n_steps):
        out[n] = state
        state = step @ state + kick @ random.standard_normal(state.shape)
    dipole, current = CHARGE * out.reshape(n_steps, 2, n_runs, 3).transpose(1, 2, 0, 3)
    return dipole, current


def langevin_absorption(wavenumber: np.ndarray, centre_cm1: float, width_cm1: float) -> np.ndarray:
    """n·α [cm⁻¹] of the same: (Z²e²/(cε0 V m)) γω²/((ω0²−ω²)²+γ²ω²)."""
    to_omega = 2 * np.pi * si.c * 100.0
    w, w0, gamma = to_omega * np.asarray(wavenumber), to_omega * centre_cm1, to_omega * width_cm1
    strength = (CHARGE * si.e) ** 2 / (si.c * si.epsilon_0 * VOLUME * 1e-30 * MASS * si.atomic_mass)
    return strength * gamma * w**2 / ((w0**2 - w**2) ** 2 + (gamma * w) ** 2) / 100.0


def sampled_absorption(
    wavenumber: np.ndarray, centre_cm1: float, width_cm1: float, dt: float, kind: str
) -> np.ndarray:
    """What a perfect estimator finds in samples ``dt`` apart: the spectrum with its folded images.

    Current: Σ_m nα(ν + mν_s). Dipole: ν² Σ_m nα(ν + mν_s)/(ν + mν_s)². ν_s is the sampling wavenumber.
    """
    images = np.maximum(np.asarray(wavenumber), 1e-6) + np.arange(-50, 51)[:, None] * CM1_PER_INVERSE_FS / dt
    folded = langevin_absorption(images, centre_cm1, width_cm1)
    if kind == "dipole":
        folded = folded * (images[50] / images) ** 2
    return folded.sum(axis=0)


def integrated_absorption() -> float:
    """∫ n·α dν̃ [cm⁻²] of the same over all wavenumbers: Z²e²/(4 c² ε0 V m)."""
    return (CHARGE * si.e) ** 2 / (4e4 * si.c**2 * si.epsilon_0 * VOLUME * 1e-30 * MASS * si.atomic_mass)
