"""Physical constants and conversion factors (CODATA, from ``scipy.constants``).

Package units: eV, Å, e, fs, amu, K, V/Å. Atomic units appear only at the i-PI wire.
"""

from scipy import constants as _si

_e = _si.e
_angstrom = 1e-10

#: Vacuum permittivity in e²/(eV Å).
EPSILON_0 = _si.epsilon_0 * _angstrom / _e
#: 1/(2 ε0) in eV Å/e²: the prefactor A of the k-space sum.
HALF_INVERSE_EPSILON_0 = 1.0 / (2.0 * EPSILON_0)
#: Coulomb constant 1/(4π ε0) in eV Å/e².
COULOMB = 1.0 / (4.0 * _si.pi * EPSILON_0)
#: Boltzmann constant in eV/K.
BOLTZMANN_EV_K = _si.k / _e

#: Å per bohr, eV per hartree, fs per atomic unit of time.
BOHR_A = _si.physical_constants["Bohr radius"][0] / _angstrom
HARTREE_EV = _si.physical_constants["Hartree energy in eV"][0]
ATOMIC_TIME_FS = _si.physical_constants["atomic unit of time"][0] * 1e15
#: eV/Å per hartree/bohr.
HARTREE_BOHR_EV_A = HARTREE_EV / BOHR_A
#: 1 eV/Å³ in GPa.
EV_A3_GPA = _e / _angstrom**3 * 1e-9
#: 1 e/Å² in C/m².
E_A2_C_M2 = _e / _angstrom**2
