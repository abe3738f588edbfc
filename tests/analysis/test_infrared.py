"""Absorption of Langevin oscillators with known n·α, by both routes; peaks; refusals."""

import time

import numpy as np
import pytest
from oscillators import (
    TEMPERATURE,
    VOLUME,
    integrated_absorption,
    langevin_runs,
    sampled_absorption,
)

from les_ipi.analysis.infrared.peaks import automatic_bands, find_peaks
from les_ipi.analysis.infrared.spectrum import infrared_spectrum
from les_ipi.analysis.runs.signal import Signal, require_nyquist
from les_ipi.errors import UserError

DT = 0.5
CASES = [(1600.0, 100.0), (3400.0, 300.0)]


def signals(values, kind, dt=DT):
    return [Signal(run, kind, dt, VOLUME, TEMPERATURE) for run in values]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]:.0f}cm-1")
def oscillator(request):
    """24 runs of 25 ps: the standard error of the area is below 1 %."""
    return (*request.param, *langevin_runs(24, 50_000, DT, *request.param, seed=7))


@pytest.fixture(scope="module")
def pooled(oscillator):
    """Spectra of all runs by both routes: kind → Infrared."""
    _, _, dipole, current = oscillator
    routes = {"dipole": dipole, "current": current}
    return {kind: infrared_spectrum(signals(values, kind)) for kind, values in routes.items()}


@pytest.mark.parametrize("kind", ["dipole", "current"])
def test_area_band_and_sum_rule(oscillator, pooled, kind):
    centre, width, *_ = oscillator
    result = pooled[kind]
    assert result.area_cm2 / integrated_absorption() == pytest.approx(1.0, abs=0.02)
    assert result.f_sum_ratio == pytest.approx(1.0, abs=0.01)
    shown = result.wavenumber_cm1 > 2 * result.resolution_cm1
    exact = sampled_absorption(result.wavenumber_cm1[shown], centre, width, DT, kind)
    deviation = np.abs(result.n_alpha_cm1[shown] - exact) / result.n_alpha_error_cm1[shown]
    assert np.mean(deviation < 2.0) >= 0.90
    assert np.mean(deviation < 0.5) < 0.6  # the band is not just wide: 38 % are expected


def test_one_short_run_keeps_its_band(oscillator):
    centre, width, dipole, _ = oscillator
    inside = []
    for run in dipole[:6]:
        result = infrared_spectrum(signals([run], "dipole"))
        shown = result.wavenumber_cm1 > 2 * result.resolution_cm1
        exact = sampled_absorption(result.wavenumber_cm1[shown], centre, width, DT, "dipole")
        deviation = np.abs(result.n_alpha_cm1[shown] - exact) / result.n_alpha_error_cm1[shown]
        inside.append(np.mean(deviation < 2.0))
    assert np.mean(inside) >= 0.90


def test_routes_agree_on_one_trajectory(oscillator, pooled):
    """Same noise, so they must agree far inside the error band (folded images aside, far from the band)."""
    centre, width, *_ = oscillator
    by_dipole, by_current = pooled["dipole"], pooled["current"]
    band = np.abs(by_dipole.wavenumber_cm1 - centre) < 2 * width
    difference = np.abs(by_dipole.n_alpha_cm1 - by_current.n_alpha_cm1)[band]
    assert (difference < 0.2 * by_dipole.n_alpha_error_cm1[band]).mean() > 0.95


def test_coarse_sampling_does_not_bend_the_dipole_route():
    """At 2 fs a central difference would lose 45 % of a 3400 cm⁻¹ band; the corrected first difference
    loses none.
    """
    dipole, _ = langevin_runs(24, 12_000, 2.0, 3400.0, 100.0, seed=3)
    result = infrared_spectrum(signals(dipole, "dipole", dt=2.0))
    exact = sampled_absorption(result.wavenumber_cm1, 3400.0, 100.0, 2.0, "dipole")
    band = np.abs(result.wavenumber_cm1 - 3400.0) < 150
    assert result.n_alpha_cm1[band].sum() / exact[band].sum() == pytest.approx(1.0, abs=0.03)


def test_cepstral_estimate_follows_the_spectrum(oscillator, pooled):
    """Its error leaves out the bias of truncation, so fewer points are inside than for the band."""
    centre, width, *_ = oscillator
    result = pooled["dipole"]
    exact = sampled_absorption(result.wavenumber_cm1[4:], centre, width, DT, "dipole")
    deviation = np.abs(result.cepstral_cm1[4:] - exact) / result.cepstral_error_cm1[4:]
    assert np.mean(deviation < 3.0) > 0.85
    top = np.argmax(exact)
    assert result.cepstral_cm1[4:][top] == pytest.approx(exact[top], rel=0.1)


def test_peak_position_and_height_with_errors(oscillator, pooled):
    """n·α of the oscillator is largest at ω0, height Z²e²/(cε0 V m γ); the window lowers it by 8σ²/γ² at
    most.
    """
    centre, width, *_ = oscillator
    result = pooled["dipole"]
    (peak,) = find_peaks(result, {"band": (centre - 300, centre + 300)})
    exact = sampled_absorption(np.array([centre]), centre, width, DT, "dipole")[0]
    assert 0 < peak.position_error_cm1 < 0.1 * width
    assert abs(peak.position_cm1 - centre) < 3.5 * peak.position_error_cm1
    assert abs(peak.height_cm1 - exact) < 3.5 * peak.height_error_cm1 + 0.02 * exact
    (found,) = automatic_bands(result).values()
    assert found[0] < centre < found[1]


def test_peak_errors_are_calibrated(oscillator):
    """Single runs of 25 ps: positions and centroids scatter as their jackknife errors say (24 runs tell that to 15 %).

    The range is not symmetric about the band, so that its centroid (from the closed form) is far from the maximum.
    """
    centre, width, _, current = oscillator
    deviations, from_centroid = [], []
    for run in current:
        spectrum = infrared_spectrum(signals([run], "current"))
        peak, lopsided = find_peaks(spectrum, {"x": (centre - 400, centre + 400), "y": (centre - 200, centre + 600)})
        deviations.append((peak.position_cm1 - centre) / peak.position_error_cm1)
        x = spectrum.wavenumber_cm1[np.abs(spectrum.wavenumber_cm1 - centre - 200) <= 400]
        weight = sampled_absorption(x, centre, width, DT, "current")
        exact = (x * weight).sum() / weight.sum()
        from_centroid.append((lopsided.centroid_cm1 - exact) / lopsided.centroid_error_cm1)
    for pulls in (deviations, from_centroid):
        assert 0.6 < np.std(pulls) < 1.5
        assert abs(np.mean(pulls)) < 0.8
    assert exact - centre > 20


def test_no_peak_on_a_slope(oscillator, pooled):
    centre, *_ = oscillator
    (peak,) = find_peaks(pooled["dipole"], {"slope": (centre - 400, centre - 150)})
    assert peak.position_cm1 is None and peak.height_cm1 is None and peak.centroid_cm1 is not None
    (beyond,) = find_peaks(pooled["dipole"], {"beyond": (centre - 300, 9000.0)})
    assert beyond.centroid_cm1 is None


def test_volume_and_temperature_scale_each_run():
    """A run in twice the volume counts with half the absorption."""
    _, current = langevin_runs(2, 8000, 1.0, 1600.0, 100.0, seed=1)
    one, two = (
        infrared_spectrum([Signal(c, "current", 1.0, VOLUME, TEMPERATURE)], resolution=60.0) for c in current
    )
    mixed = infrared_spectrum(
        [
            Signal(current[0], "current", 1.0, VOLUME, TEMPERATURE),
            Signal(current[1], "current", 1.0, 2 * VOLUME, TEMPERATURE),
        ],
        resolution=60.0,
    )
    assert mixed.n_alpha_cm1 == pytest.approx(0.5 * one.n_alpha_cm1 + 0.25 * two.n_alpha_cm1, rel=1e-9)


def test_a_drifting_or_shifted_dipole_changes_nothing():
    dipole, _ = langevin_runs(1, 4000, 1.0, 1600.0, 100.0, seed=2)
    plain = infrared_spectrum(signals(dipole, "dipole", 1.0))
    drift = np.array([5.0, -3.0, 1.0]) * np.arange(4000)[:, None] * 1e-3 + 100.0
    moved = infrared_spectrum(signals(dipole + drift, "dipole", 1.0))
    assert moved.n_alpha_cm1 == pytest.approx(plain.n_alpha_cm1, rel=1e-6)
    assert moved.f_sum_ratio == pytest.approx(plain.f_sum_ratio, rel=5e-3)


def test_fifty_thousand_frames_in_a_second():
    dipole = np.random.default_rng(0).standard_normal((50_000, 3)).cumsum(axis=0)
    start = time.perf_counter()
    infrared_spectrum(signals([dipole], "dipole"))
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt_fs": 1.0}, "sampled every"),
        ({"temperature_K": 350.0}, "300 and 350 K"),
        ({"kind": "current"}, "only records of one kind can be pooled"),
        ({"values": np.full((100, 3), np.nan)}, "not finite"),
        ({"values": np.zeros((5, 3))}, "fewer than 16"),
        ({"values": np.ones((100, 3))}, "never changes"),
        ({"volume_A3": -1.0}, "positive"),
    ],
)
def test_runs_that_do_not_fit_are_refused(change, message):
    good = {
        "values": np.random.default_rng(0).standard_normal((100, 3)),
        "kind": "dipole",
        "dt_fs": DT,
        "volume_A3": VOLUME,
        "temperature_K": 300.0,
    }
    with pytest.raises(UserError, match=message):
        infrared_spectrum([Signal(**good), Signal(**(good | change))])


def test_nyquist_refuses_coarse_sampling_with_hydrogen():
    require_nyquist(4.1, ["O", "H"])
    require_nyquist(10.0, ["Na", "Cl"])
    with pytest.raises(UserError, match="fold back"):
        require_nyquist(4.2, ["O", "H"])
