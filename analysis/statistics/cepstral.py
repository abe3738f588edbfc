"""Smooth spectrum, and its value at zero frequency, from the truncated cepstrum of the log-periodogram."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, special

from les_ipi.errors import UserError


@dataclass(frozen=True)
class CepstralSpectrum:
    """Truncated cepstrum of a spectrum between the frequencies 0 and f_max.

    Attributes:
        coefficients: (P*,) coefficients C_n with n < P*.
        variance: variance of each C_n with n > 0; that of C_0 is twice as large.
        f_max: highest frequency, fs⁻¹.
        scale: factor that turns the mean spectrum of the components into the wanted spectrum.
    """

    coefficients: np.ndarray
    variance: float
    f_max: float
    scale: float

    @property
    def n_coefficients(self) -> int:
        """Number P* of coefficients that are kept."""
        return self.coefficients.size

    def evaluate(self, frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate the spectrum and its standard error at given frequencies.

        ln S(f) = C_0 + 2 Σ_{n<P*} C_n cos(πnf/f_max), with the variance v(2 + 4 Σ_n cos²(πnf/f_max)), v = ψ'(ℓ)/N.

        Parameters: ``frequency`` (F,), fs⁻¹.

        Returns S (F,) and its error σ_S (F,), NaN beyond ``f_max``.
        """
        angle = np.pi * np.asarray(frequency) / self.f_max
        n = self.n_coefficients
        # Chebyshev series in cos θ: Σ C_n cos nθ, without a (F, P*) table.
        weights = 2.0 * self.coefficients
        weights[0] /= 2.0
        logarithm = np.polynomial.chebyshev.chebval(np.cos(angle), weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            sine_sum = np.sin((2 * n - 1) * angle) / np.sin(angle)
        edge = np.abs(np.sin(angle)) < 1e-9
        cosines = np.where(edge, n - 1, (n - 1) / 2 + (sine_sum - 1.0) / 4.0)  # Σ_{n=1}^{P*-1} cos² nθ
        variance = self.variance * (2.0 + 4.0 * cosines)
        spectrum = self.scale * np.exp(logarithm)
        outside = np.asarray(frequency) > self.f_max
        spectrum[outside] = np.nan
        return spectrum, spectrum * np.sqrt(variance)


def cepstral_spectrum(
    records: Sequence[np.ndarray], dt: float, f_max: float, n_coefficients: int | None = None
) -> CepstralSpectrum:
    """Estimate a smooth two-sided spectrum, summed over components, from full-length periodograms.

    The log-periodogram L_k = ln Ŝ_k − (ψ(ℓ) − ln ℓ) is taken of the mean of ℓ periodograms (components × pieces of
    equal length; ℓ/2 at both ends). Its cepstrum is C = DCT-I(L)/(2(N_F−1)). The number P* of coefficients follows from
    Akaike's criterion, min_P [Σ_{n≥P} C_n²/var C_n + 2P], and the error of ln S(0) is sqrt(ψ'(ℓ)(4P*−2)/N). Ordinates
    above ``f_max`` are left out, as resampling does.

    Parameters:
        records: one array (T_r, C) for each run with its mean removed; they are cut into pieces of the shortest length.
        dt: time between two samples, fs.
        f_max: highest frequency that is used, fs⁻¹, at most the Nyquist frequency.
        n_coefficients: number P* of coefficients; by default that of Akaike's criterion.

    Returns :class:`CepstralSpectrum`.

    Raises :class:`UserError` for records that are too short for any spectrum.

    Source: Ercole, Marcolongo and Baroni, 10.1038/s41598-017-15843-2.
    """
    length = min(len(record) for record in records) // 2 * 2
    pieces = [
        record[k : k + length] for record in records for k in range(0, len(record) - length + 1, length)
    ]
    power = np.mean([np.abs(fft.rfft(piece, axis=0)) ** 2 for piece in pieces], axis=(0, 2)) * dt / length
    last = min(int(f_max * length * dt), length // 2)
    if last < 2:
        raise UserError(
            f"The shortest record is {length * dt:.3g} fs long, too short for any spectrum: give runs of 1 ps or more."
        )
    power = np.maximum(power[: last + 1], power.max() * 1e-300)
    n_components = records[0].shape[1]
    ell = n_components * len(pieces)
    bias = np.full(last + 1, special.digamma(ell) - np.log(ell))
    bias[0] = special.digamma(ell / 2) - np.log(ell / 2)
    if last == length // 2:
        bias[-1] = bias[0]
    if power[0] < 1e-12 * power[1]:  # the removed mean is no measurement
        power[0], bias[0] = power[1], bias[1]
    coefficients = fft.dct(np.log(power) - bias, type=1) / (2 * last)
    variance = float(special.polygamma(1, ell)) / (2 * last)
    if n_coefficients is None:
        chi_square = coefficients**2 / variance
        chi_square[0] /= 2.0
        chi_square[-1] /= 2.0
        tail = chi_square[::-1].cumsum()[::-1]  # Σ_{n≥P}
        candidates = np.arange(1, last)
        n_coefficients = int(candidates[np.argmin(tail[candidates] + 2.0 * candidates)])
    return CepstralSpectrum(
        coefficients[:n_coefficients], variance, last / (length * dt), float(n_components)
    )


@dataclass(frozen=True)
class CepstralZero:
    """Spectrum at zero frequency from a cepstrum.

    Attributes:
        value: the estimate S(0).
        error: its standard deviation.
        spectrum: the cepstrum with P coefficients from which the estimate comes.
        akaike: number of coefficients P* that Akaike's criterion asks for.
        n_coefficients: (L,) numbers of coefficients for which ``values`` and ``errors`` are given.
        values: (L,) estimate of S(0) with each number of coefficients.
        errors: (L,) standard deviation of each of them.
    """

    value: float
    error: float
    spectrum: CepstralSpectrum
    akaike: int
    n_coefficients: np.ndarray
    values: np.ndarray
    errors: np.ndarray


def cepstral_zero(records: Sequence[np.ndarray], dt: float, f_max: float) -> CepstralZero:
    """Estimate the two-sided spectrum at zero frequency, summed over components; the number of coefficients is found.

    ln S(0) = C_0 + 2 Σ_{1≤n<P} C_n with the variance ψ'(ℓ)(4P − 2)/N and P = 2P* + 1, where P* follows from Akaike's
    criterion. P* itself minimises the error of the whole spectrum and leaves a bias at zero frequency as large as the
    stated error: for AR(1) noise χ² of the pulls is 1.5 to 16 at P* and 0.8 to 1.1 at 2P* + 1, with ``f_max`` chosen as
    below. The error of S(0) is that of a log-normal variable, ⟨(1 − S/Ŝ)²⟩ = 1 − 2e^{s²/2} + e^{2s²}.

    Parameters:
        records: one array (T_r, C) of equivalent components for each run, with the mean not removed.
        dt: time between two samples, fs.
        f_max: highest frequency that is used, fs⁻¹: the inverse of the time after which the correlation function has
            vanished.

    Returns :class:`CepstralZero`.

    Source: Ercole, Marcolongo and Baroni, 10.1038/s41598-017-15843-2.
    """
    f_max = min(f_max, 0.5 / dt)
    akaike = cepstral_spectrum(records, dt, f_max).n_coefficients
    chosen = 2 * akaike + 1
    longer = cepstral_spectrum(records, dt, f_max, n_coefficients=3 * chosen)
    counts = np.arange(1, longer.n_coefficients + 1)
    logarithms = 2.0 * np.cumsum(longer.coefficients) - longer.coefficients[0]
    spread = longer.variance * (4.0 * counts - 2.0)
    values = longer.scale * np.exp(logarithms)
    errors = values * np.sqrt(1.0 - 2.0 * np.exp(spread / 2.0) + np.exp(2.0 * spread))
    chosen = min(chosen, counts.size)
    return CepstralZero(
        value=float(values[chosen - 1]),
        error=float(errors[chosen - 1]),
        spectrum=CepstralSpectrum(longer.coefficients[:chosen], longer.variance, longer.f_max, longer.scale),
        akaike=akaike,
        n_coefficients=counts,
        values=values,
        errors=errors,
    )
