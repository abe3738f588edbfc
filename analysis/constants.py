"""Optical constants from the current spectrum: S_J gives conductivity, permittivity and absorption.

In this module S_J(ω) = ∫⟨J(0)·J(t)⟩ e^{iωt} dt is the two-sided spectrum of the current, summed over x, y and z, in (e
Å/fs)² fs. The volume V is in Å³ and the temperature T in K. The classical correlation function stands for the
Kubo-transformed one (linear response, no quantum correction).
"""

from scipy import constants as si

_CURRENT2_TIME = (si.e * 1e-10 / 1e-15) ** 2 * 1e-15  # (e Å/fs)² fs in (C m/s)² s
_VOLUME = 1e-30  # Å³ in m³
_VACUUM_ADMITTANCE = si.c * si.epsilon_0  # c ε0 in S

#: Wavenumber [cm⁻¹] of a frequency of 1 fs⁻¹ (not angular).
CM1_PER_INVERSE_FS = 1e15 / (100.0 * si.c)
#: Wavenumber [cm⁻¹] of a photon of energy k_B·1 K.
CM1_PER_KELVIN = si.k / (100.0 * si.h * si.c)
#: Re σ [S/m] = this · S_J / (V T), from σ = S_J/(6 V k_B T).
CONDUCTIVITY_PER_POWER = _CURRENT2_TIME / (6.0 * _VOLUME * si.k)
#: n·α [cm⁻¹] = this · Re σ [S/m], from n·α = Re σ/(c ε0).
N_ALPHA_PER_CONDUCTIVITY = 1.0 / _VACUUM_ADMITTANCE / 100.0
#: n·α [cm⁻¹] = this · S_J / (V T).
N_ALPHA_PER_POWER = CONDUCTIVITY_PER_POWER * N_ALPHA_PER_CONDUCTIVITY
#: ε_s − ε_∞ = this · ⟨δM²⟩ [e² Å²] / (V T), from ⟨δM²⟩/(3 V ε0 k_B T).
DIELECTRIC_PER_FLUCTUATION = (si.e * 1e-10) ** 2 / (3.0 * _VOLUME * si.epsilon_0 * si.k)
#: ∫ n·α dν̃ [cm⁻²] = this · ⟨J²⟩ [(e Å/fs)²] / (V T): the f-sum rule.
F_SUM_PER_CURRENT2 = N_ALPHA_PER_POWER / 2.0 * CM1_PER_INVERSE_FS
#: ∫ n·α dν̃ [cm⁻²] = this · Σ_i |Z_i|²_F/m_i [e²/amu] / V: the same at equipartition, ⟨J²⟩ = k_B T
#: Σ|Z_i|²_F/m_i.
F_SUM_PER_CHARGE2_MASS = F_SUM_PER_CURRENT2 * si.k / si.atomic_mass * 1e-10
#: MV/cm in 1 V/Å.
MV_CM_PER_V_A = 100.0
#: µC/cm² in 1 C/m².
UC_CM2_PER_C_M2 = 100.0


def dielectric_increment(fluctuation: float, volume: float, temperature: float) -> float:
    """Compute the static permittivity above ε_∞ from the fluctuation of the dipole.

        ε_s − ε_∞ = ⟨δM²⟩/(3 V ε0 k_B T)

    Parameters:
        fluctuation: variance ⟨δM·δM⟩ of the cell dipole in e² Å², for path integrals of the bead-averaged dipole.
        volume: volume of the cell in Å³.
        temperature: temperature in K.

    Returns a number without unit. Source: Neumann, 10.1080/00268978300102721.
    """
    return DIELECTRIC_PER_FLUCTUATION * fluctuation / (volume * temperature)


def f_sum_of_charges(charge_square_per_mass: float, volume: float) -> float:
    """Compute the integrated absorption that Born charges and masses demand at any temperature (f-sum rule).

        ∫_0^∞ n α dν̃ = e² Σ_i (|Z_i|²_F/m_i) / (12 c² ε0 V)

    Parameters: ``charge_square_per_mass`` is Σ_i |Z_i|²_F/m_i in e²/amu, with the Frobenius norm of the Born charge of
    each atom; ``volume`` is the volume of the cell in Å³. Returns the integral in cm⁻².
    """
    return F_SUM_PER_CHARGE2_MASS * charge_square_per_mass / volume
