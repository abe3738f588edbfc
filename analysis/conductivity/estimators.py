"""Ionic conductivity from the charge current of equilibrium runs: Green-Kubo, cepstral, Einstein, and σ(ω)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import constants as si

from les_ipi.analysis.conductivity.diffusion import displacement_fit
from les_ipi.analysis.constants import CONDUCTIVITY_PER_POWER
from les_ipi.analysis.runs.signal import Signal
from les_ipi.analysis.statistics.cepstral import CepstralZero, cepstral_zero
from les_ipi.analysis.statistics.einstein import EinsteinFit, einstein_fit, itinerant
from les_ipi.analysis.statistics.green_kubo import GreenKubo, green_kubo
from les_ipi.analysis.statistics.onsager import Onsager, onsager_matrix
from les_ipi.analysis.statistics.welch import time_derivative
from les_ipi.errors import UserError

#: Dielectric constants that polar matter reaches: a dipole that has moved no farther may belong to an insulator.
_LARGEST_PERMITTIVITY = 300.0
_HIGHEST_BAND_FS = 4500.0 * 2.99792458e-5  # fs⁻¹, above every vibration


@dataclass(frozen=True)
class ConductivityEstimate:
    """One estimate of a conductivity.

    Attributes:
        name: name of the estimator.
        value: the conductivity in S/m.
        error: its error in S/m, one standard deviation.
        detail: how the estimate was made, in words.
    """

    name: str
    value: float
    error: float
    detail: str = ""

    def pull(self, other: "ConductivityEstimate") -> float:
        """Difference from another estimate in units of the combined error, as if the two were independent."""
        return (self.value - other.value) / float(np.hypot(self.error, other.error))


@dataclass(frozen=True)
class Conductivity:
    """Three estimates of one conductivity from the same record: Green-Kubo, cepstral and Einstein.

    The curves belong to the scaled current J/(VT)^{1/2}, for which runs in different cells can be pooled. The factors
    ``to_S_m`` and ``to_dipole`` convert them.

    Attributes:
        source: name of the record.
        green_kubo: running Green-Kubo integral and its plateau, as power of the scaled current, (J/(VT)^{1/2})² fs.
        cepstral: cepstral estimate of the same power at zero frequency.
        einstein: line through the mean-square displacement of the scaled dipole, whose slope is the same power.
        volume_A3: volume of the cell in Å³, averaged over the runs.
        temperature_K: temperature in K, averaged over the runs.
        dt_fs: time between frames in fs.
        total_time_ps: length of all runs together in ps.
        n_runs: number of runs that were pooled.
        warnings: what limits the trust in the estimates, one sentence each.
        to_S_m: factor from a power at zero frequency to σ in S/m.
    """

    source: str
    green_kubo: GreenKubo
    cepstral: CepstralZero
    einstein: EinsteinFit
    volume_A3: float
    temperature_K: float
    dt_fs: float
    total_time_ps: float
    n_runs: int
    warnings: tuple[str, ...]

    to_S_m = CONDUCTIVITY_PER_POWER

    @property
    def to_dipole(self) -> float:
        """Factor from scaled mean-square displacements to those of the dipole in e² Å²."""
        return self.volume_A3 * self.temperature_K

    @property
    def estimates(self) -> tuple[ConductivityEstimate, ConductivityEstimate, ConductivityEstimate]:
        """The Green-Kubo, the cepstral and the Einstein estimate of σ, in S/m."""
        gk, cepstral, line, scale = self.green_kubo, self.cepstral, self.einstein, self.to_S_m
        return (
            ConductivityEstimate("Green-Kubo", scale * gk.value, scale * gk.error, f"plateau {gk.plateau_fs:.4g} fs"),
            ConductivityEstimate(
                "cepstral",
                scale * cepstral.value,
                scale * cepstral.error,
                f"{cepstral.spectrum.n_coefficients} coefficients up to {1e3 * cepstral.spectrum.f_max:.3g} THz",
            ),
            ConductivityEstimate(
                "Einstein",
                scale * line.slope,
                scale * line.error,
                f"GLS fit {line.first_fs:.4g} to {line.last_fs:.4g} fs, chi2 {line.chi_square:.2f}",
            ),
        )


def ionic_conductivity(signals: Sequence[Signal], source: str = "current") -> Conductivity:
    """Compute the DC conductivity of one run, or pooled over independent runs of one system.

        σ = S_J(0)/(6Vk_BT),  S_J(0) = 2∫_0^∞⟨J(0)·J(t)⟩dt = lim d⟨|∫_0^t J dt'|²⟩/dt

    From dipoles, J is the first difference, which is exact at zero frequency for any spacing of the frames. Runs are
    pooled as J/(VT)^{1/2}. No mean is subtracted, because ⟨J⟩ = 0 without a field.

    Parameters:
        signals: one :class:`Signal` for each run, all of one kind and sampling interval. Dipoles must be itinerant,
            that is without jumps when atoms cross the border of the cell.
        source: name of the record, for the result and its warnings.

    Returns :class:`Conductivity` with three estimates.

    Raises :class:`UserError` for records that are too short, that differ in spacing, or that are so sparse that
    vibrations are aliased onto zero frequency.
    """
    dt = signals[0].dt_fs
    if any(abs(signal.dt_fs - dt) > 1e-6 * dt or signal.kind != signals[0].kind for signal in signals):
        raise UserError(
            "The runs differ in the time between frames or in the kind of record; only runs that were written "
            "alike can be pooled."
        )
    if signals[0].kind == "current" and 1.0 / dt < _HIGHEST_BAND_FS:
        raise UserError(
            f"Currents recorded every {dt:g} fs fold stretch vibrations onto zero frequency; record one every "
            f"{1.0 / _HIGHEST_BAND_FS:.1f} fs or more often (dipoles and positions may be sparser)."
        )
    scales = [1.0 / np.sqrt(signal.volume_A3 * signal.temperature_K) for signal in signals]
    if signals[0].kind == "dipole":
        paths = [scale * signal.values for scale, signal in zip(scales, signals, strict=True)]
        currents = [time_derivative(path, dt) for path in paths]
    else:
        currents = [scale * signal.values for scale, signal in zip(scales, signals, strict=True)]
        paths = [itinerant(current, dt) for current in currents]
    gk = green_kubo(currents, dt)
    cepstral = cepstral_zero(currents, dt, 1.0 / gk.onset_fs)
    line = einstein_fit(paths, dt, round(gk.onset_fs / dt))
    total = sum(len(current) for current in currents) * dt
    return Conductivity(
        source=source,
        green_kubo=gk,
        cepstral=cepstral,
        einstein=line,
        volume_A3=float(np.mean([signal.volume_A3 for signal in signals])),
        temperature_K=float(np.mean([signal.temperature_K for signal in signals])),
        dt_fs=dt,
        total_time_ps=total / 1000.0,
        n_runs=len(signals),
        warnings=_warnings(currents, gk, line, total, source),
    )


def _warnings(
    currents: Sequence[np.ndarray], gk: GreenKubo, line: EinsteinFit, total: float, source: str
) -> tuple[str, ...]:
    found = []
    relative = gk.error / abs(gk.value)
    if not gk.converged:
        found.append(f"{source}: no plateau of the running integral was found, the runs are too short for this current")
    elif total < 50.0 * gk.plateau_fs or relative > 0.25:
        found.append(
            f"{source}: the runs ({total / 1000:.3g} ps) are short compared with the plateau time of "
            f"{gk.plateau_fs / 1000:.3g} ps, and the error is {100 * relative:.0f} % and itself uncertain; "
            f"for 10 % run {total / 1000 * (relative / 0.1) ** 2:.3g} ps"
        )
    # ∫J dt of a conductor grows as σt; that of bound charges ends at the fluctuations of their dielectric constant.
    bound = CONDUCTIVITY_PER_POWER * gk.value * gk.checked_fs * 1e-15 / si.epsilon_0
    if bound < _LARGEST_PERMITTIVITY:
        found.append(
            f"{source}: NOT KNOWN TO BE A CONDUCTIVITY: within {gk.checked_fs / 1000:.3g} ps the dipole moves as in an "
            f"insulator with a dielectric constant of {bound:.3g}, so this may be the motion of molecules that turn; run "
            "longer, or compare with the integer charges (--charges)"
        )
    if gk.raised or line.raised:
        found.append(
            f"{source}: parts of the runs differ by more than the statistics of one stationary process; the errors come from "
            "their scatter (not equilibrated, or rare events)"
        )
    if line.chi_square > 3.0:
        found.append(f"{source}: the mean-square displacement is not a straight line (chi2 {line.chi_square:.1f})")
    mean = np.concatenate(currents).mean(axis=0)
    # The mean itself adds 3t*⟨x⟩² to the plateau average.
    noise = max(gk.value - 3.0 * gk.plateau_fs * float(mean @ mean), 0.1 * gk.value, 1e-300)
    drift = np.abs(mean) * np.sqrt(total / (noise / 3.0))
    if drift.max() > 4.0:
        found.append(
            f"{source}: the mean current is {drift.max():.1f} standard errors from zero; is there a field or a drifting cell?"
        )
    return tuple(found)


def nernst_einstein(
    positions: Sequence[np.ndarray],
    symbols: Sequence[str],
    charges: dict[str, float],
    dt_fs: float,
    volume_A3: float,
    temperature_K: float,
) -> ConductivityEstimate:
    """Compute the conductivity that ions would have if they moved independently.

        σ_NE = e²/(Vk_BT) Σ_s N_s z_s² D_s

    It comes from one fit of Σ_i z_i² |Δr_i|², so that the error includes how the displacements of different species are
    related.

    Parameters:
        positions: positions of each run in Å, (T_r, N, 3), with the drift of the centre of mass removed.
        symbols: chemical symbol of each atom, (N,).
        charges: element → charge z in e.
        dt_fs: time between frames in fs.
        volume_A3: volume of the cell in Å³.
        temperature_K: temperature in K.

    Returns σ_NE in S/m as :class:`ConductivityEstimate`.
    """
    z = np.array([charges[symbol] for symbol in symbols])[:, None]
    charged = (z != 0.0)[:, 0]
    fit, _ = displacement_fit(
        [(x * z)[:, charged] for x in positions], dt_fs, [s for s in symbols if charges[s] != 0.0]
    )
    scale = CONDUCTIVITY_PER_POWER / (volume_A3 * temperature_K)
    return ConductivityEstimate("Nernst-Einstein", scale * fit.slope, scale * fit.error, "independent ions")


def haven_ratio(independent: ConductivityEstimate, total: ConductivityEstimate) -> tuple[float, float]:
    """Compute the Haven ratio H_R = σ_NE/σ and its error, for which the relative errors are added in squares.

    If H_R < 1, ions hop together, as in solid electrolytes. If H_R > 1, ions of opposite charge move together, as in
    ionic liquids. Some authors quote the inverse, the ionicity.

    Parameters: ``independent``, the Nernst-Einstein conductivity σ_NE; ``total``, the conductivity σ. Returns (H_R,
    error), both without unit.
    """
    ratio = independent.value / total.value
    return ratio, abs(ratio) * float(np.hypot(independent.error / independent.value, total.error / total.value))


def species_conductivity(
    dipoles: Sequence[np.ndarray], species: Sequence[str], signals: Sequence[Signal], plateau_fs: float
) -> Onsager:
    """Compute the Onsager matrix of the conductivity, whose elements add up to σ.

        σ_ab = 1/(3Vk_BT) ∫_0^∞⟨J_a(0)·J_b(t)⟩dt

    Parameters:
        dipoles: itinerant dipole of each species in e Å, (T_r, A, 3) for each run.
        species: names of the species, (A,).
        signals: signals of the same runs, which give volume, temperature and spacing.
        plateau_fs: time in fs at which the integral of the total current has converged.

    Returns :class:`Onsager`, with the matrix and its errors in S/m.
    """
    dt = signals[0].dt_fs
    records = [
        np.diff(x, axis=0) / (dt * np.sqrt(signal.volume_A3 * signal.temperature_K))
        for x, signal in zip(dipoles, signals, strict=True)
    ]
    plateau = min(max(round(plateau_fs / dt), 1), min(len(record) for record in records) // 4)
    matrix = onsager_matrix(records, species, dt, plateau)
    return Onsager(
        matrix.species, CONDUCTIVITY_PER_POWER * matrix.value, CONDUCTIVITY_PER_POWER * matrix.error
    )


def paired_difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], signals: Sequence[Signal], plateau_fs: float
) -> ConductivityEstimate:
    """Compute σ of one dipole minus σ of another along the same trajectories, with the error of the *difference*.

        S_A − S_B = S_{A−B,A+B}

    Gauge invariance demands that the dipoles of Born charges and of oxidation numbers differ by a bounded amount only.
    Then the difference of the conductivities is zero, and it is known far more exactly than either of them.

    Parameters:
        first: itinerant dipole A of each run in e Å, (T_r, 3).
        second: itinerant dipole B of each run in e Å at the same times, (T_r, 3).
        signals: signals of the same runs, which give volume, temperature and spacing.
        plateau_fs: time in fs at which the integral of the total current has converged.

    Returns the difference in S/m as :class:`ConductivityEstimate`.

    Source: Grasselli and Baroni, arXiv:1902.07256.
    """
    both = [np.stack([a - b, a + b], axis=1) for a, b in zip(first, second, strict=True)]
    matrix = species_conductivity(both, ("difference", "sum"), signals, plateau_fs)
    return ConductivityEstimate("difference", float(matrix.value[0, 1]), float(matrix.error[0, 1]), "same trajectories")
