"""Zero-frequency estimators on noise with a closed form: values within their errors, errors of the right size."""

import numpy as np
import pytest
from ions import autoregressive, autoregressive_power
from scipy import signal

from les_ipi.analysis.statistics.cepstral import cepstral_zero
from les_ipi.analysis.statistics.einstein import (
    displacement_covariance,
    einstein_fit,
    itinerant,
    mean_square_displacement,
)
from les_ipi.analysis.statistics.green_kubo import block_values, green_kubo
from les_ipi.analysis.statistics.plateau import (
    Correlation,
    correlate,
    find_plateau,
    flat_top_response,
    raised_error,
    skewed_error,
)
from les_ipi.errors import UserError

SEEDS = 150  # χ² of exact errors would scatter by 0.12


def estimates(record: np.ndarray) -> np.ndarray:
    """(value, error) of S(0) by Green-Kubo, cepstral analysis and Einstein relation, everything automatic."""
    running = green_kubo([record], 1.0)
    zero = cepstral_zero([record], 1.0, 1.0 / running.onset_fs)
    line = einstein_fit([itinerant(record, 1.0)], 1.0, round(running.onset_fs))
    return np.array([(running.value, running.error), (zero.value, zero.error), (line.slope, line.error)])


def with_band(n: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A relaxing current with a strong vibrational band on top, which carries no direct current."""
    angle, radius = 2 * np.pi * 0.1, 0.97
    noise = rng.standard_normal((n + 1000, 3))
    band = signal.lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], noise, axis=0)[999:]
    return autoregressive(0.95, n, 3, rng) + 0.7 * np.diff(band, axis=0), 3 * autoregressive_power(0.95)


@pytest.mark.parametrize("process", [0.0, 0.5, 0.9, "band"])
def test_values_within_their_errors_and_errors_of_the_right_size(process):
    """Autoregressive currents, and a relaxation under a band with a hundred times the power of the direct current."""
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        if process == "band":
            record, exact = with_band(12_000, rng)
        else:
            record, exact = autoregressive(process, 6000, 3, rng), 3 * autoregressive_power(process)
        value, error = estimates(record).T
        found.append((value - exact) / error)
    pulls = np.array(found)
    assert (np.mean(np.abs(pulls) < 2.0, axis=0) >= 0.9).all(), "Green-Kubo, cepstral, Einstein"
    chi_square = np.mean(pulls**2, axis=0)
    assert ((chi_square > 0.7) & (chi_square < 1.4)).all(), chi_square


def test_vibrations_do_not_hide_the_direct_current():
    """White noise under a bounded vibration with ten thousand times its power: short windows see nothing but leakage.

    With the smallest lag that differs from no longer one, Green-Kubo came out at 0.4 of the exact value.
    """
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((4500, 3))
        radius = np.exp(-1 / 40)
        place = signal.lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi / 12), radius**2], noise, axis=0)[499:]
        record = 0.1 * rng.standard_normal((4000, 3)) + 2.0 * np.diff(place / place.std(), axis=0)
        running = green_kubo([record], 1.0)
        found.append((running.value / 0.03, running.error / 0.03))
    values, errors = np.array(found).T
    assert abs(values.mean() - 1.0) < 3 * values.std() / np.sqrt(60) < 0.25
    assert 0.2 < np.mean(((values - 1.0) / errors) ** 2) < 1.4


def under_a_damped_band(n: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A relaxing current under a vibration of five samples that is damped within twenty, and the exact S(0)."""
    angle, radius = 2 * np.pi * 0.2, 0.9
    noise = rng.standard_normal((n + 1000, 3))
    band = signal.lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], noise, axis=0)[999:]
    return autoregressive(0.9, n, 3, rng) + 3.0 * np.diff(band, axis=0), 3 * autoregressive_power(0.9)


def test_windows_of_short_records_are_as_long_as_their_memory(monkeypatch):
    """Few samples hide the slope of short windows in the noise of longer ones: without their memory errors are too small."""
    chi_square = {}
    for rule in ("memory", "slope alone"):
        if rule == "slope alone":
            monkeypatch.setattr(Correlation, "memory", lambda self, most: 0)
        found = []
        for seed in range(SEEDS):
            record, exact = under_a_damped_band(4000, np.random.default_rng(seed))
            running = green_kubo([record], 1.0)
            found.append((running.value - exact) / running.error)
        chi_square[rule] = np.mean(np.square(found))
    assert 0.7 < chi_square["memory"] < 1.2 and chi_square["slope alone"] > 1.25 * chi_square["memory"], chi_square


def test_memory_is_where_the_correlation_function_drowns():
    """φ^k falls below three times its noise √((1+φ²)/(1−φ²)/3N) at k ≈ ln(...)/ln φ."""
    n, phi = 20_000, 0.9
    noise = np.sqrt((1 + phi**2) / (1 - phi**2) / (3 * n))
    expected = np.log(3 * noise) / np.log(phi)
    lags = [correlate([autoregressive(phi, n, 3, np.random.default_rng(seed))], 501).memory(500) for seed in range(30)]
    assert np.median(lags) == pytest.approx(expected, rel=0.15)


def test_akaike_cutoff_alone_is_biased():
    """Why the cutoff is 2P* + 1: with Akaike's P* on the whole band the pulls are far too large."""
    pulls = {"akaike": [], "chosen": []}
    for seed in range(SEEDS):
        record = autoregressive(0.9, 10_000, 3, np.random.default_rng(seed))
        zero = cepstral_zero([record], 1.0, 0.5)
        exact = 3 * autoregressive_power(0.9)
        for name, count in (("akaike", zero.akaike), ("chosen", zero.spectrum.n_coefficients)):
            pulls[name].append((zero.values[count - 1] - exact) / zero.errors[count - 1])
    assert np.mean(np.square(pulls["akaike"])) > 2.0
    assert 0.7 < np.mean(np.square(pulls["chosen"])) < 1.4


def test_flat_top_is_the_plateau_average_and_the_slope_of_the_msd():
    record = autoregressive(0.8, 4000, 3, np.random.default_rng(1))
    correlation = correlate([record], 101)
    direct = [(record[: 4000 - k] * record[k:]).sum() / (4000 - k) for k in range(101)]
    np.testing.assert_allclose(correlation.values, direct, rtol=1e-10, atol=1e-10)
    running = 2 * np.cumsum(correlation.values) - correlation.values - correlation.values[0]
    average = (running[20:41].sum() - 0.5 * (running[20] + running[40])) / 20  # trapezoidal mean over 20..40
    assert correlation.flat_top(20) == pytest.approx(average, rel=0.01)
    msd = mean_square_displacement(np.concatenate([np.zeros((1, 3)), np.cumsum(record, axis=0)]), [20, 40]).sum(axis=1)
    assert correlation.flat_top(20) == pytest.approx((msd[1] - msd[0]) / 20, rel=0.02)  # edges differ


def test_flat_top_response_is_the_transform_of_the_window():
    window = np.clip(2.0 - np.abs(np.arange(-40, 41)) / 20, 0.0, 1.0)
    theta = np.linspace(0.0, np.pi, 7)
    direct = [(window * np.cos(np.arange(-40, 41) * t)).sum() for t in theta]
    np.testing.assert_allclose(flat_top_response(np.array([20]), theta)[0], direct, atol=1e-9)


def test_gaussian_covariance_of_plateau_averages():
    """Predicted covariance against the scatter over 1500 records."""
    lags = np.array([5, 20])
    found, predicted = [], []
    for seed in range(1500):
        correlation = correlate([autoregressive(0.5, 1000, 3, np.random.default_rng(seed))], 41)
        found.append([correlation.flat_top(m) for m in lags])
        predicted.append(correlation.covariance(lags))
    np.testing.assert_allclose(np.mean(predicted, axis=0), np.cov(np.transpose(found)), rtol=0.12)


def test_covariance_of_displacements():
    """Structure-function formula against the scatter of the MSD of random walks, and the closed form at lag one."""
    lags = np.array([4, 6, 8, 16])
    walks = np.cumsum(np.random.default_rng(0).standard_normal((2000, 1500)), axis=0)
    msd = mean_square_displacement(walks, lags)
    predicted = displacement_covariance(np.arange(5.0), lags, 1, 2000, 1.0, 0.0)
    np.testing.assert_allclose(predicted, np.cov(msd), rtol=0.15)
    one = displacement_covariance(np.array([0.0, 1.0]), np.array([1]), 1, 2001, 1.0, 0.0)
    assert one[0, 0] == pytest.approx(2.0 / 2000)


def test_plateau_is_found_late_enough_and_not_needlessly_late():
    onsets = [
        find_plateau(correlate([autoregressive(0.9, 20_000, 3, np.random.default_rng(seed))], 2501), 1250).lag
        for seed in range(20)
    ]
    # The bias of the plateau average over 2m..4m is about φ^{2m}: below 5 % from m = 15 on.
    assert np.median(onsets) > 12 and np.quantile(onsets, 0.9) < 60


def test_a_current_that_never_relaxes_has_no_plateau():
    record = np.cumsum(np.random.default_rng(0).standard_normal((2000, 3)), axis=0)
    assert not green_kubo([record], 1.0).converged
    assert green_kubo([autoregressive(0.5, 2000, 3, np.random.default_rng(0))], 1.0).converged


def test_skewed_error_of_chi_square_variables():
    """Root mean square of (x − μ)/x in closed form, for ν = 30."""
    x = np.random.default_rng(0).chisquare(30, 400_000) / 30
    pulls = (x - 1.0) / np.array([skewed_error(1.0, 2.0 / 30)]) / x
    assert np.mean(pulls**2) == pytest.approx(1.0, rel=0.02)


def test_error_is_raised_only_where_blocks_scatter_more():
    rng = np.random.default_rng(0)
    raised = [raised_error(1.0 / np.sqrt(20), rng.standard_normal(20))[1] for _ in range(500)]
    assert np.mean(raised) < 0.03
    error, found = raised_error(0.1, 3.0 * rng.standard_normal(20))
    assert found and error == pytest.approx(3.0 / np.sqrt(20), rel=0.5)


def test_records_of_different_length_are_pooled():
    rng = np.random.default_rng(3)
    records = [autoregressive(0.5, n, 3, rng) for n in (3000, 8000, 8000)]
    pooled = green_kubo(records, 1.0)
    assert abs(pooled.value - 9.0) < 3 * pooled.error
    alone = green_kubo(records[:1], 1.0, onset=round(pooled.onset_fs))
    assert pooled.error < 0.6 * alone.error
    assert block_values(records, 5).size > 4


def test_units_of_time():
    record = autoregressive(0.5, 4000, 3, np.random.default_rng(0))
    one, half = green_kubo([record], 1.0), green_kubo([record], 0.5)
    assert half.value == pytest.approx(one.value / 2) and half.plateau_fs == one.plateau_fs / 2


def test_short_records_are_refused():
    with pytest.raises(UserError, match="has 40 frames"):
        green_kubo([np.zeros((40, 3))], 1.0)
    with pytest.raises(UserError, match="has 10 frames"):
        einstein_fit([np.zeros((10, 3))], 1.0, 1)
