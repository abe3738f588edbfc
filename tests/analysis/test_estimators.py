"""Segments, errors and cepstrum on white noise and AR(1) noise, whose spectra are known."""

import numpy as np
import pytest
from scipy import signal

from les_ipi.analysis.statistics.cepstral import cepstral_spectrum
from les_ipi.analysis.statistics.uncertainty import (
    equilibration_start,
    jackknife_error,
    mean_and_error,
    spectrum_error,
    statistical_inefficiency,
)
from les_ipi.analysis.statistics.welch import (
    block_spectra,
    derivative_response,
    mean_square_derivative,
    time_derivative,
)
from les_ipi.errors import UserError


def ar1(n, phi, shape=(), seed=0):
    """x_n = φ x_{n−1} + ξ_n, stationary, unit innovations, (n, *shape)."""
    noise = np.random.default_rng(seed).standard_normal((n + 500, *shape))
    return signal.lfilter([1.0], [1.0, -phi], noise, axis=0)[500:]


def ar1_spectrum(frequency, phi, dt):
    """S(f) = dt/|1 − φ e^{iω dt}|² for each component."""
    return dt / np.abs(1 - phi * np.exp(2j * np.pi * frequency * dt)) ** 2


def test_parseval():
    """∫ S dω/2π over all frequencies is the tapered mean square: exact, whatever the data."""
    data = np.random.default_rng(3).standard_normal((64, 3))
    spectra = block_spectra([data], 0.5, 64, "hann")
    full = spectra.mean.copy()
    full[1:-1] *= 2.0
    weights = signal.get_window("hann", 64)
    expected = ((data * weights[:, None]) ** 2).sum() / (weights @ weights)
    assert full.sum() / (4 * 64 * 0.5) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("window", ["hann", "blackman", "rectangular"])
def test_white_noise_level_and_predicted_variance(window):
    """S = dt·3, and its scatter over frequencies is the predicted one within its own statistics."""
    data = np.random.default_rng(5).standard_normal((40_000, 3))
    spectra = block_spectra([data], 0.5, 200, window)
    inside = slice(8, -8, 4)  # independent points, away from 0 and Nyquist
    assert spectra.mean.mean() == pytest.approx(1.5, rel=0.01)
    predicted = np.sqrt(spectra.gaussian_variance[inside].mean())
    observed = spectra.mean[inside].std() / spectra.mean[inside].mean()
    assert observed == pytest.approx(predicted, rel=0.25)


def test_variance_doubles_at_zero_frequency():
    data = np.random.default_rng(5).standard_normal((4000, 3))
    spectra = block_spectra([data], 0.5, 200)
    assert spectra.gaussian_variance[0] / spectra.gaussian_variance[300] == pytest.approx(2.0, rel=0.1)


def test_error_band_covers_ar1():
    """95 % of points within 2σ for a Gaussian process; with 100 realisations of the mean."""
    inside = []
    for seed in range(5):
        spectra = block_spectra([ar1(20_000, 0.8, (3,), seed)], 1.0, 500)
        error = spectrum_error(
            spectra.mean, spectra.without_each_block, spectra.gaussian_variance, 5 * spectra.bin_points
        )
        exact = 3 * ar1_spectrum(spectra.frequency, 0.8, 1.0)
        inside.append(np.mean(np.abs(spectra.mean - exact) < 2 * error))
    assert 0.90 < np.mean(inside) < 0.995


def test_error_band_sees_starts_that_differ():
    """Runs whose amplitudes differ by factors scatter more than a Gaussian process; the band must grow."""
    random = np.random.default_rng(1)
    runs = [amplitude * random.standard_normal((2000, 3)) for amplitude in np.linspace(0.2, 1.8, 12)]
    spectra = block_spectra(runs, 1.0, 200)
    error = spectrum_error(spectra.mean, spectra.without_each_block, spectra.gaussian_variance, 20)
    power = np.array([3 * (run**2).mean() for run in runs])
    assert len(spectra.counts) == 12
    assert np.median(error) == pytest.approx(power.std(ddof=1) / np.sqrt(12), rel=0.25)


def test_record_shorter_than_a_segment_is_refused():
    with pytest.raises(UserError, match="shorter than a segment"):
        block_spectra([np.zeros((10, 3))], 1.0, 20)


def test_derivative_response_is_exact_for_a_sine():
    """First difference of sin ωt has amplitude ω sinc(ωdt/2), also far above where d/dt ≈ difference."""
    dt, omega = 2.0, 2 * np.pi / 9.3
    record = np.sin(omega * np.arange(100_000) * dt)[:, None]
    ratio = (time_derivative(record, dt) ** 2).mean() / (omega**2 / 2)
    assert ratio == pytest.approx(derivative_response(omega / (2 * np.pi), dt), rel=1e-4)
    assert ratio < 0.9
    assert mean_square_derivative(record[:5000], dt) == pytest.approx(omega**2 / 2, rel=5e-3)


def test_cepstrum_of_ar1_matches_theory():
    """Scatter of ln S(0) over realisations is σ = sqrt(ψ'(ℓ)(4P*−2)/N), bias below it."""
    logs, errors = [], []
    for seed in range(60):
        estimate = cepstral_spectrum([ar1(4000, 0.5, (3,), seed)], 1.0, 0.5, n_coefficients=8)
        value, error = estimate.evaluate(np.array([0.0]))
        logs.append(np.log(value[0] / (3 * ar1_spectrum(0.0, 0.5, 1.0))))
        errors.append(error[0] / value[0])
    assert errors[0] == pytest.approx(np.sqrt(0.394934 * 30 / 4000), rel=1e-2)  # ψ'(3) = 0.394934
    assert np.std(logs) == pytest.approx(errors[0], rel=0.3)
    assert abs(np.mean(logs)) < 3 * errors[0] / np.sqrt(60) + 0.01


def test_cepstrum_chooses_few_coefficients_for_white_noise():
    estimate = cepstral_spectrum([np.random.default_rng(2).standard_normal((4000, 3))], 1.0, 0.5)
    value, error = estimate.evaluate(np.linspace(0, 0.5, 50))
    assert estimate.n_coefficients <= 4
    assert np.abs(value / 3 - 1).max() < 5 * (error / value).max()


def test_cepstral_variance_equals_the_sum_of_squares():
    """The closed form of Σ cos² against the explicit sum, ends included."""
    estimate = cepstral_spectrum([ar1(1000, 0.5, (3,))], 1.0, 0.5, n_coefficients=7)
    frequency = np.array([0.0, 0.1, 0.37, 0.5])
    angle = np.pi * frequency / estimate.f_max
    explicit = 2 + 4 * sum(np.cos(n * angle) ** 2 for n in range(1, 7))
    value, error = estimate.evaluate(frequency)
    assert (error / value) ** 2 == pytest.approx(estimate.variance * explicit, rel=1e-9)


def test_jackknife_of_a_mean_is_the_standard_error():
    data = np.random.default_rng(0).standard_normal(30)
    replicates = (data.sum() - data) / 29
    assert jackknife_error(replicates) == pytest.approx(data.std(ddof=1) / np.sqrt(30), rel=1e-12)


def test_statistical_inefficiency_of_ar1():
    """g = (1+φ)/(1−φ)."""
    assert statistical_inefficiency(ar1(200_000, 0.9)) == pytest.approx(19.0, rel=0.15)
    mean, error = mean_and_error(ar1(200_000, 0.9, seed=4))
    assert error == pytest.approx(1 / (1 - 0.9) / np.sqrt(200_000), rel=0.15)
    assert abs(mean) < 4 * error


def test_equilibration_start_skips_a_transient():
    data = ar1(4000, 0.5)
    data[:800] += np.linspace(20, 0, 800)
    assert 500 < equilibration_start(data) < 1500


def test_a_record_without_a_spectrum_is_refused():
    """Five frames hold no spectrum: one sentence instead of an empty search for the best cut-off."""
    with pytest.raises(UserError, match="too short"):
        cepstral_spectrum([np.random.default_rng(0).normal(size=(5, 3))], 1.0, 0.1)
