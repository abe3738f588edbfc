"""Switching kinetics with known t0, n and ΔP; pulses of steps and PUND; Merz' law."""

from dataclasses import replace

import numpy as np
import pytest
from loops import correlated_noise, write_field_table

from les_ipi.analysis.hysteresis.laws import merz_law
from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.analysis.hysteresis.study import study_hysteresis
from les_ipi.analysis.hysteresis.switching import find_pulses, fit_switching, kai, subtract_nonswitching
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError

E_A2 = 16.02176634
STEP_FS, T0_FS, EXPONENT, SWITCHED = 1000.0, 900.0, 1.8, 0.09


def step_response(rng, t0=T0_FS, exponent=EXPONENT, length=4000, sigma=0.004, correlation=8):
    """P after a step of the field: fast dielectric part and KAI switching."""
    time = np.arange(length) * 2.0
    on = time >= STEP_FS
    growth = 1 - np.exp(-((np.where(on, time - STEP_FS, 0.0) / t0) ** exponent))
    p = -0.045 + 0.004 * on + SWITCHED * growth + correlated_noise(rng, length, sigma, correlation)
    return Drive(time, np.where(on, 0.02, 0.0), p, label="step")


@pytest.mark.parametrize("correlation", [0, 8])
def test_kai_fit_has_honest_errors(correlation):
    pulls = {"t0": [], "n": [], "dP": []}
    rises = []
    for seed in range(100):
        pulse = find_pulses(step_response(np.random.default_rng(seed), correlation=correlation))[0]
        fit = fit_switching(pulse)
        assert fit.complete
        pulls["t0"].append((fit.t0_fs.value - T0_FS) / fit.t0_fs.error)
        pulls["n"].append((fit.exponent.value - EXPONENT) / fit.exponent.error)
        pulls["dP"].append((fit.switched_C_m2.value - SWITCHED * E_A2) / fit.switched_C_m2.error)
        rises.append(fit.rise_10_90_fs)
    for name, values in pulls.items():
        assert np.mean(np.abs(values) < 2) >= 0.9, name
        assert 0.7 < np.mean(np.square(values)) < 1.4, name
    exact = T0_FS * (np.log(10) ** (1 / EXPONENT) - np.log(10 / 9) ** (1 / EXPONENT))
    assert abs(np.mean(rises) - exact) < 3 * np.std(rises) / 10
    assert np.std(rises) < 0.06 * exact


def test_kai_is_the_avrami_law():
    assert kai(np.array([0.0, 5.0, 1e9]), 0.1, 2.0, 5.0, 3.0) == pytest.approx([0.1, 0.1 + 2 * (1 - np.exp(-1)), 2.1])


def pund(rng=None, field=0.02, t0=400.0, n=2.0, sigma=0.0):
    """Preset −, then P, U, N, D with a linear dielectric part 0.1 E."""
    time = np.arange(12_000) * 2.0
    edges = [(100, 3500, -1), (4500, 8500, 1), (9500, 13_500, 1), (14_500, 18_500, -1), (19_500, 23_500, -1)]
    e = field * sum(sign * ((time >= a) & (time < b)) for a, b, sign in edges)
    growth = [1 - np.exp(-((np.maximum(time - a, 0.0) / t0) ** n)) for a in (100, 4500, 14_500)]
    p = 0.05 * (1 - 2 * growth[0] + 2 * growth[1] - 2 * growth[2]) + 0.1 * e
    if sigma:
        p = p + correlated_noise(rng, time.size, sigma, 8)
    return Drive(time, e, p, label="pund")


def test_pund_separates_switching_from_the_dielectric_response():
    pulses = find_pulses(pund())
    assert [(pulse.sign, pulse.switches) for pulse in pulses] == [(-1, True), (1, True), (1, False), (-1, True), (-1, False)]
    switching = subtract_nonswitching(pulses)
    assert len(switching) == 2  # the preset has no partner
    for pulse in switching:
        fit = fit_switching(pulse)
        assert fit.t0_fs.value == pytest.approx(400.0, rel=1e-6)
        assert fit.exponent.value == pytest.approx(2.0, rel=1e-6)
        assert fit.switched_C_m2.value == pytest.approx(0.1 * E_A2, rel=1e-6)
        assert pulse.after == pytest.approx(0.1, abs=1e-9)  # 2 P_r
        assert pulse.polarization[0] == pytest.approx(0.0, abs=1e-9)  # no dielectric part left
    assert pulses[1].polarization[1] == pytest.approx(0.1 * 0.02, abs=1e-4)


def test_a_run_that_does_not_switch_is_left_out_of_the_study(tmp_path):
    rng = np.random.default_rng(3)
    write_field_table(tmp_path / "good", step_response(rng))
    dead = step_response(rng)
    write_field_table(tmp_path / "dead", replace(dead, polarization=correlated_noise(rng, dead.field.size, 0.004, 5)))
    study = study_hysteresis([tmp_path / "good", tmp_path / "dead"])
    assert len(study.switching) == 1 and len(study.switching[0].fits) == 1
    assert any("nothing switched" in line for line in study.warnings)
    with pytest.raises(UserError, match="nothing switched"):
        study_hysteresis([tmp_path / "dead"])


def test_pulses_that_do_not_switch_are_refused():
    rng = np.random.default_rng(0)
    time = np.arange(2000) * 2.0
    dead = Drive(time, np.where(time > 500, 0.02, 0.0), correlated_noise(rng, 2000, 0.004, 5), label="dead")
    with pytest.raises(UserError, match="nothing switched"):
        fit_switching(find_pulses(dead)[0])
    with pytest.raises(UserError, match="no field pulse"):
        find_pulses(Drive(time[:20], np.zeros(20) + 1e-9 * np.sin(time[:20]), time[:20]))


def test_short_pulse_is_called_extrapolated():
    fit = fit_switching(find_pulses(step_response(np.random.default_rng(1), t0=5000.0, sigma=0.0005))[0])
    assert not fit.complete
    assert fit.t0_fs.value == pytest.approx(5000.0, rel=0.2)


def test_merz_law_finds_a_known_activation_field():
    """t0 = t∞ exp(E_a/E) with 3 % errors at five fields: pulls of E_a and t∞."""
    fields = np.array([0.012, 0.015, 0.02, 0.03, 0.04])
    exact = 20.0 * np.exp(0.06 / fields)
    rng, pulls = np.random.default_rng(0), []
    for _ in range(200):
        times = [Estimate(t * (1 + 0.03 * rng.normal()), 0.03 * t) for t in exact]
        law = merz_law(fields, times)
        pulls.append([
            (law.activation_field_V_A.value - 0.06) / law.activation_field_V_A.error,
            (np.log(law.limiting_time_fs.value / 20.0)) * law.limiting_time_fs.value / law.limiting_time_fs.error,
        ])  # fmt: skip
    square = np.mean(np.square(pulls), axis=0)
    assert (0.7 < square).all() and (square < 1.4).all()
    assert (np.mean(np.abs(pulls) < 2, axis=0) >= 0.9).all()
    with pytest.raises(UserError, match="an error for every point"):
        merz_law(fields, [Estimate(t, float("nan")) for t in exact])
