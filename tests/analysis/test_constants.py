"""Prefactors against independent numbers and against SI arithmetic."""

import subprocess
import sys

import numpy as np
import pytest
from oscillators import AMU_A2_FS2_EV, CHARGE, MASS, TEMPERATURE, VOLUME, langevin_absorption
from scipy import constants as si

from les_ipi.analysis import constants
from les_ipi.analysis.conductivity.estimators import ionic_conductivity
from les_ipi.analysis.infrared.spectrum import infrared_spectrum
from les_ipi.analysis.runs.signal import Signal
from les_ipi.units import BOLTZMANN_EV_K


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (constants.N_ALPHA_PER_POWER, 1.16739229e10),
        (constants.N_ALPHA_PER_CONDUCTIVITY, 3.76730313),
        (constants.CONDUCTIVITY_PER_POWER, 3.09874796e9),
        (constants.DIELECTRIC_PER_FLUCTUATION, 6.99950809e5),
    ],
)
def test_prefactor(value, expected):
    assert value == pytest.approx(expected, rel=1e-8)


def test_white_current_absorbs_alike_everywhere():
    """S_J = 3 s² Δt at every frequency, so n·α = 3 s² Δt/(6 c V ε0 k_B T), by the estimators of both quantities in SI."""
    dt, size, volume, kelvin = 1.0, 0.02, 1900.0, 320.0
    current = size * np.random.default_rng(0).normal(size=(100_000, 3))
    signal = Signal(current, "current", dt, volume, kelvin)
    power = 3 * (size * si.e * 1e-10 / 1e-15) ** 2 * dt * 1e-15
    sigma = power / (6 * volume * 1e-30 * si.k * kelvin)
    spectrum = infrared_spectrum([signal])
    assert spectrum.n_alpha_cm1[5:].mean() == pytest.approx(sigma / (si.c * si.epsilon_0) / 100.0, rel=0.01)
    estimate = ionic_conductivity([signal]).estimates[1]
    assert abs(estimate.value - sigma) < 3 * estimate.error < 0.15 * sigma


def test_absorption_gives_the_static_permittivity_back():
    """Kramers and Kronig: ε_s − ε_∞ = (2/π) ∫ loss/ν̃ dν̃, loss = n·α/(2πν̃); an oscillator has ⟨M²⟩ = 3 Z² k_BT/(m ω0²)."""
    x = np.linspace(0.05, 40_000.0, 800_000)
    loss = langevin_absorption(x, 1600.0, 300.0) / (2 * np.pi * x)
    integral = 2 / np.pi * np.trapezoid(loss / x, x)
    omega = 2 * np.pi * 1600.0 / constants.CM1_PER_INVERSE_FS
    variance = CHARGE**2 * BOLTZMANN_EV_K * TEMPERATURE / (MASS * AMU_A2_FS2_EV * omega**2)
    assert constants.dielectric_increment(3 * variance, VOLUME, TEMPERATURE) == pytest.approx(integral, rel=1e-4)


def test_debye_dipole_gives_the_curie_increment():
    """N free dipoles μ: ε_s − ε∞ = N μ²/(3 V ε0 k_B T)."""
    mu, n, volume, kelvin = 0.4, 64, 1917.0, 300.0
    expected = n * (mu * si.e * 1e-10) ** 2 / (3 * volume * 1e-30 * si.epsilon_0 * si.k * kelvin)
    assert constants.dielectric_increment(n * mu**2, volume, kelvin) == pytest.approx(expected, rel=1e-12)


def test_both_f_sum_rules_agree_at_equipartition():
    """⟨J²⟩ = k_B T Σ|Z|²/m turns one form into the other."""
    charge2_mass, volume, kelvin = 0.51, 1000.0, 310.0
    current2 = charge2_mass * si.k * kelvin / si.atomic_mass * 1e-10  # (m/s)² in (Å/fs)² is 1e-10
    of_current = constants.F_SUM_PER_CURRENT2 * current2 / (volume * kelvin)
    assert of_current == pytest.approx(constants.f_sum_of_charges(charge2_mass, volume), rel=1e-12)
    expected = (
        np.pi / (2 * si.c * si.epsilon_0 * volume * 1e-30) * charge2_mass * si.e**2 / (3 * si.atomic_mass)
    )
    expected *= 3 / (3 * 2 * np.pi * si.c * 100) / 100  # rad/s and m⁻¹ to cm⁻¹
    assert constants.f_sum_of_charges(charge2_mass, volume) == pytest.approx(expected, rel=1e-12)


def test_the_package_never_imports_torch():
    code = """
import importlib, pkgutil, sys, les_ipi.analysis
names = [found.name for found in pkgutil.walk_packages(les_ipi.analysis.__path__, "les_ipi.analysis.")]
assert "les_ipi.analysis.infrared.figure" in names and len(names) > 60
for name in names:
    importlib.import_module(name)
print('torch' in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
