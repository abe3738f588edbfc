"""Prefactors against independent numbers and against SI arithmetic."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import constants as si

from les_ipi.analysis import constants


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


def test_absorption_is_conductivity_over_vacuum_admittance():
    power, volume, kelvin = np.array([0.3, 2.0]), 1900.0, 320.0
    expected = constants.conductivity(power, volume, kelvin) / (si.c * si.epsilon_0) / 100.0
    assert constants.absorption(power, volume, kelvin) == pytest.approx(expected, rel=1e-12)


def test_permittivity_loss_is_conductivity_over_frequency():
    power, volume, kelvin, wavenumber = 0.7, 1900.0, 320.0, np.array([50.0, 3000.0])
    omega = 2 * np.pi * si.c * 100.0 * wavenumber
    expected = constants.conductivity(power, volume, kelvin) / (si.epsilon_0 * omega)
    loss = constants.permittivity_loss(constants.absorption(power, volume, kelvin), wavenumber)
    assert loss == pytest.approx(expected, rel=1e-12)


def test_debye_dipole_gives_the_curie_increment():
    """N free dipoles μ: ε_s − ε∞ = N μ²/(3 V ε0 k_B T)."""
    mu, n, volume, kelvin = 0.4, 64, 1917.0, 300.0
    expected = n * (mu * si.e * 1e-10) ** 2 / (3 * volume * 1e-30 * si.epsilon_0 * si.k * kelvin)
    assert constants.dielectric_increment(n * mu**2, volume, kelvin) == pytest.approx(expected, rel=1e-12)


def test_both_f_sum_rules_agree_at_equipartition():
    """⟨J²⟩ = k_B T Σ|Z|²/m turns one form into the other."""
    charge2_mass, volume, kelvin = 0.51, 1000.0, 310.0
    current2 = charge2_mass * si.k * kelvin / si.atomic_mass * 1e-10  # (m/s)² in (Å/fs)² is 1e-10
    assert constants.f_sum(current2, volume, kelvin) == pytest.approx(
        constants.f_sum_of_charges(charge2_mass, volume), rel=1e-12
    )
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
