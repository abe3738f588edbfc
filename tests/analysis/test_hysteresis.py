"""Loop metrics against closed forms: ellipse, tanh hysteron with correlated noise and jitter; pulls of the errors."""

from dataclasses import replace

import numpy as np
import pytest
from loops import AMPLITUDE, PERIOD_FS, correlated_noise, ellipse, hysteron, hysteron_truth, sine, triangle

from les_ipi.analysis.hysteresis.cycles import BASE, change_point, find_cycles, find_tips, passage
from les_ipi.analysis.hysteresis.laws import frequency_law
from les_ipi.analysis.hysteresis.loop import hysteresis_loop
from les_ipi.analysis.hysteresis.metrics import METRICS
from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError
from les_ipi.units import EPSILON_0

E_A2 = 16.02176634  # C/m² in 1 e/Å², CODATA


@pytest.mark.parametrize("loss_angle", [0.05, 0.3, 0.9, 1.4])
def test_ellipse_has_its_closed_form(loss_angle):
    p0 = 1e-3
    loop = hysteresis_loop([ellipse(6, loss_angle, p0)])
    expected = {
        "coercive_field_MV_cm": 100 * AMPLITUDE * np.sin(loss_angle),
        "imprint_field_MV_cm": 0.0,
        "remanent_polarization_C_m2": p0 * np.sin(loss_angle) * E_A2,
        "loop_area_J_m3": np.pi * AMPLITUDE * p0 * np.sin(loss_angle) * E_A2 * 1e10,
        "dissipated_energy_per_cycle_eV": np.pi * AMPLITUDE * p0 * np.sin(loss_angle),  # of 1 Å^3
        "susceptibility_at_zero_field": p0 * np.cos(loss_angle) / AMPLITUDE / EPSILON_0,
        "recoverable_energy_J_m3": AMPLITUDE * p0 * (np.cos(loss_angle) - np.pi / 2 * np.sin(loss_angle)) * E_A2 * 1e10,
        "closure_C_m2": 0.0,
    }  # fmt: skip
    for name, value in expected.items():
        scale = p0 * E_A2 if value == 0.0 else abs(value)
        if name == "recoverable_energy_J_m3":
            scale = AMPLITUDE * p0 * E_A2 * 1e10  # a difference that passes zero
        assert loop.metrics[name].value == pytest.approx(value, abs=3e-4 * scale), name
    assert loop.n_cycles == 5
    assert loop.period_fs == pytest.approx(PERIOD_FS, rel=1e-3)
    assert any("not saturated" in line for line in loop.warnings)


def test_a_sample_that_never_switches_is_called_a_dielectric():
    """A relative dipole is centred, so that only the missing remanence tells: 5 % of P_max at a loss angle of 0.05."""
    loop = hysteresis_loop([replace(ellipse(6, 0.05), absolute=False)])
    assert any("P_r is 5 % of P_max" in line for line in loop.warnings)
    assert not any("dielectric, or" in line for line in hysteresis_loop([ellipse(6, 0.3)]).warnings)


def test_hysteron_without_noise_is_exact():
    loop = hysteresis_loop([hysteron(np.random.default_rng(0))])
    tolerance = {"susceptibility_at_tips": 5e-3}  # of 0.8 E_max (tanh is not yet 1)
    for name, value in hysteron_truth().items():
        assert loop.metrics[name].value == pytest.approx(value, rel=tolerance.get(name, 5e-4)), name
    assert loop.warnings == ()


@pytest.mark.parametrize("case", ["sine", "relative", "noisy"])
def test_errors_of_a_noisy_hysteron_are_honest(case):
    """100 repetitions of 4 runs of 6 cycles: ≥ 90 % within two standard errors, χ² of the pulls in 0.7..1.4."""
    options = {
        "sine": {"jitter": 5e-4},
        "relative": {"jitter": 5e-4, "wave": triangle, "absolute": False, "offset": 0.7},
        "noisy": {"sigma": 0.015},
    }[case]
    options = {"sigma": 0.005, "correlation_samples": 15} | options
    truth = hysteron_truth()
    pulls = {name: [] for name in truth}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        loop = hysteresis_loop([hysteron(rng, **options) for _ in range(4)])
        for name, value in truth.items():
            pulls[name].append((loop.metrics[name].value - value) / loop.metrics[name].error)
    for name, values in pulls.items():
        values = np.array(values)
        assert np.mean(np.abs(values) < 2) >= 0.90, name
        assert 0.7 < np.mean(values**2) < 1.4, name


def test_runs_that_differ_raise_the_error():
    """Runs with their own E_c: the error is that over runs, not that over many cycles."""
    pulls = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        runs = []
        for _ in range(8):
            drive = hysteron(rng, sigma=0.003)
            runs.append(replace(drive, field=drive.field + 0.0, polarization=np.interp(
                drive.time_fs - rng.normal() * 30.0, drive.time_fs, drive.polarization)))  # fmt: skip
        loop = hysteresis_loop(runs)
        metric = loop.metrics["coercive_field_MV_cm"]
        pulls.append((metric.value - hysteron_truth()["coercive_field_MV_cm"]) / metric.error)
        assert any("runs differ" in line for line in loop.warnings)
    assert 0.7 < np.mean(np.square(pulls)) < 1.6  # a t distribution with 7 degrees of freedom has 1.4


def test_nothing_is_read_from_a_single_frame():
    """A spike at the first record with P > 0, at E = 0 and at the tips changes no metric by more than its window's share."""
    clean = hysteron(np.random.default_rng(0))
    before = hysteresis_loop([clean]).metrics
    for cycle in find_cycles(clean.field)[:1]:
        e, p = clean.field, clean.polarization
        spiked = p.copy()
        rising = np.arange(cycle.rising.start, cycle.rising.stop)
        for k in (rising[np.argmax(p[rising] > 0)], rising[np.argmin(np.abs(e[rising]))], cycle.start, cycle.stop - 1):
            spiked[k] += 0.02
        after = hysteresis_loop([replace(clean, polarization=spiked)]).metrics
    for name, share in (("coercive_field_MV_cm", 0.02), ("remanent_polarization_C_m2", 0.02), ("loop_area_J_m3", 0.001)):
        assert after[name].value == pytest.approx(before[name].value, rel=share)
    assert abs(after["closure_C_m2"].value) < 0.05 * 0.02 * E_A2 * 6


def test_work_equals_loss_for_a_closed_loop():
    drive = hysteron(np.random.default_rng(3), sigma=0.002)
    middle = 0.5 * (drive.field[1:] + drive.field[:-1])
    work = np.concatenate([[0.0], np.cumsum(middle * np.diff(drive.polarization * drive.volume_A3))])
    loop = hysteresis_loop([replace(drive, work_eV=work)])
    done, lost = (loop.metrics[name] for name in ("work_per_cycle_eV", "dissipated_energy_per_cycle_eV"))
    assert abs(done.value - lost.value) < 3 * np.hypot(done.error, lost.error) + 1e-3 * lost.value
    assert not any("work" in line for line in loop.warnings)
    wrong = hysteresis_loop([replace(drive, work_eV=27.2 * work)])
    assert any("recorded work" in line for line in wrong.warnings)


def test_efficiency_counts_both_discharges():
    """Antiferroelectric-like loop without loss: everything comes back."""
    time, field = triangle(6)
    loop = hysteresis_loop([Drive(time, field, EPSILON_0 * 100.0 * field)])
    assert loop.metrics["efficiency"].value == pytest.approx(1.0, abs=1e-9)
    half = 0.5 * EPSILON_0 * 100.0 * AMPLITUDE**2 * E_A2 * 1e10
    assert loop.metrics["recoverable_energy_J_m3"].value == pytest.approx(2 * half, rel=1e-3)


def test_drift_is_reported_as_an_open_loop():
    drive = hysteron(np.random.default_rng(0), sigma=0.001)
    drift = drive.polarization + 0.004 * drive.time_fs / PERIOD_FS
    loop = hysteresis_loop([replace(drive, polarization=drift, absolute=False)])
    assert loop.metrics["closure_C_m2"].value == pytest.approx(0.004 * E_A2, rel=0.05)
    assert any("does not close" in line for line in loop.warnings)


def test_an_open_loop_is_told_even_where_its_cycles_scatter():
    """Drift by 15 % of P_max a cycle on average, so uneven that it is not significant against the scatter of the cycles."""
    drive = hysteron(np.random.default_rng(0), periods=6)
    uneven = np.interp(drive.time_fs / PERIOD_FS, np.arange(7), 0.01 * np.cumsum([0.0, 4.0, -1.5, 3.5, -1.0, 3.0, 0.5]))
    loop = hysteresis_loop([replace(drive, polarization=drive.polarization + uneven, absolute=False)])
    closure = loop.metrics["closure_C_m2"]
    assert abs(closure.value) < 4.0 * closure.error
    assert any("does not close" in line for line in loop.warnings)


def test_minor_loop_is_called_unsaturated_and_lost_cycles_are_counted():
    rng = np.random.default_rng(5)
    drive = hysteron(rng, sigma=0.002)
    stuck = drive.polarization.copy()
    late = drive.time_fs > 5.25 * PERIOD_FS
    stuck[late] = 0.05 + correlated_noise(rng, late.sum(), 0.002, 10)
    loop = hysteresis_loop([replace(drive, polarization=stuck)])
    assert int(loop.switched.sum()) == 5 and loop.n_cycles == 6
    assert any("1 of 6 cycles did not switch" in line for line in loop.warnings)
    assert loop.metrics["coercive_field_MV_cm"].value == pytest.approx(hysteron_truth()["coercive_field_MV_cm"], rel=0.02)
    with pytest.raises(UserError, match="never passes zero"):
        hysteresis_loop([replace(drive, polarization=np.full(drive.field.size, 0.05))])
    small = hysteresis_loop([ellipse(4, 0.5)])
    assert any("minor loop" in line for line in small.warnings)


def test_transient_cycles_are_found():
    drive = hysteron(np.random.default_rng(2), periods=13, sigma=0.002)
    decay = 1 - 0.5 * np.exp(-drive.time_fs / (0.7 * PERIOD_FS))
    loop = hysteresis_loop([replace(drive, polarization=drive.polarization * decay)])
    assert loop.steady_from_cycle >= 1
    assert any(f"--discard-cycles {loop.steady_from_cycle}" in line for line in loop.warnings)
    shorter = hysteresis_loop([drive], discard_cycles=4)
    assert shorter.n_cycles == loop.n_cycles - 4 and shorter.steady_from_cycle == 0


def test_a_field_that_fluctuates_with_the_cell_gives_the_same_loop():
    """Constant voltage: E = E_0 h_0/h with 1 % noise in h; errors stay honest."""
    truth, pulls = hysteron_truth(), []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        drive = hysteron(rng, sigma=0.005, jitter=5e-4, periods=13)
        breathing = drive.field * (1 + 0.01 * np.clip(correlated_noise(rng, drive.field.size, 1, 20), -3, 3))
        loop = hysteresis_loop([replace(drive, field=breathing)])
        assert loop.n_cycles == 12
        metric = loop.metrics["coercive_field_MV_cm"]
        pulls.append((metric.value - truth["coercive_field_MV_cm"]) / metric.error)
    assert np.mean(np.abs(pulls) < 2) >= 0.9
    assert np.mean(np.square(pulls)) < 1.5


def test_one_cycle_has_no_error_and_says_so():
    loop = hysteresis_loop([hysteron(np.random.default_rng(0), periods=2, sigma=0.002)])
    assert loop.n_cycles == 1 and all(np.isnan(metric.error) for metric in loop.metrics.values())
    assert any("no error bars" in line for line in loop.warnings)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (lambda x: np.abs(np.sin(x)), "changes sign"),
        (lambda x: np.sin(x) * (1 + 0.1 * x), "amplitude of the field changes"),
        (lambda x: np.sin(x / 4), "complete cycle"),
    ],
)
def test_fields_that_are_no_loop_are_refused(field, sentence):
    x = np.linspace(0, 8 * np.pi, 4001)
    with pytest.raises(UserError, match=sentence):
        hysteresis_loop([Drive(x * 100, 0.01 * field(x), np.sin(x))])


def test_at_constant_voltage_the_field_follows_the_cell():
    """Tips that differ by 8 % are another amplitude, or a cell that breathes; by 30 % they are another amplitude."""
    x = np.linspace(0, 8 * np.pi, 4001)
    for breath, refused in ((0.04, {False: True, True: False}), (0.15, {False: True, True: True})):
        field = 0.01 * np.sin(x) * (1 + breath * np.sin(x / 4))
        for voltage in (False, True):
            drive = Drive(x * 100, field, np.sin(x - 0.5), constant_voltage=voltage)
            if refused[voltage]:
                with pytest.raises(UserError, match="amplitude of the field changes"):
                    hysteresis_loop([drive])
            else:
                assert hysteresis_loop([drive]).n_cycles == 3


def test_runs_of_different_fields_do_not_pool():
    with pytest.raises(UserError, match="only runs in one field can be pooled"):
        hysteresis_loop([ellipse(4, 0.3), ellipse(4, 0.3, amplitude=0.03)])


@pytest.mark.parametrize(("phase", "tips"), [(0.0, 8), (np.pi / 2, 9), (-np.pi / 2, 9), (0.3, 8)])
def test_tips_of_any_phase(phase, tips):
    x = np.linspace(0, 8 * np.pi, 4001)
    found = find_tips(np.sin(x + phase))
    assert found.size == tips
    assert np.allclose(np.abs(np.sin(x[found] + phase)), 1.0, atol=1e-5)


def test_passage_of_a_noisy_ramp_is_unbiased():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(400):
        values = np.tanh((np.arange(400) - 163.4) / 20.0) + 0.3 * rng.normal(size=400)
        assert abs(change_point(values) - 163.4) < 20
        found.append(passage(values, 20))
    found = np.array(found)
    assert abs(found.mean() - 163.4) < 3 * found.std() / np.sqrt(400)


#: Powers of field, polarization and volume in the numbers of a cycle, and in the metrics by the unit that their name ends in.
CYCLE_POWERS = {
    **dict.fromkeys(("coercive_plus", "coercive_minus"), (1, 0, 0)),
    **dict.fromkeys(("slope_plus", "slope_minus", "slope_zero"), (-1, 1, 0)),
    **dict.fromkeys(("area", "recoverable"), (1, 1, 0)),
    "volume": (0, 0, 1),
    "work": (1, 1, 1),
}
UNIT_POWERS = {"MV_cm": (1, 0, 0), "C_m2": (0, 1, 0), "J_m3": (1, 1, 0), "eV": (1, 1, 1)}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_the_dimension_and_unit_of_its_name(name):
    """In other units of field, polarization and volume a metric changes by the powers that its name demands."""
    rng = np.random.default_rng(0)
    base = {key: rng.uniform(0.5, 1.5) * (-1 if key.endswith("minus") else 1) for key in (*BASE, "volume", "work")}
    factors = np.array([3.0, 5.0, 7.0])
    scaled = {key: value * np.prod(factors ** np.array(CYCLE_POWERS.get(key, (0, 1, 0)))) for key, value in base.items()}
    without_unit = (-1, 1, 0) if name.startswith("susceptibility") else (0, 0, 0)
    powers = np.array(next((found for unit, found in UNIT_POWERS.items() if name.endswith(unit)), without_unit))
    assert METRICS[name](scaled) == pytest.approx(METRICS[name](base) * np.prod(factors**powers), rel=1e-12)


def test_metrics_are_in_the_units_of_their_names():
    """A square loop of E_c = 1 V/Å and P_r = 1 e/Å² in a cell of 1 Å³, by hand in SI."""
    base = dict.fromkeys(("coercive_plus", "remanent_plus", "saturation_plus", "maximum_plus"), 1.0)
    base |= {key.replace("plus", "minus"): -value for key, value in base.items()}
    base |= dict.fromkeys(BASE, 0.0) | base | {"area": 4.0, "recoverable": 1.0, "volume": 1.0, "work": 4.0}
    found = {name: float(formula(base)) for name, formula in METRICS.items()}
    e = 1.602176634e-19
    assert found["coercive_field_MV_cm"] == pytest.approx(1 / 1e-10 / 1e6 / 100)  # V/Å in V/m, in MV/m, in MV/cm
    assert found["remanent_polarization_C_m2"] == found["saturation_polarization_C_m2"] == pytest.approx(e / 1e-20)
    assert found["loop_area_J_m3"] == pytest.approx(4 * e / 1e-30)
    assert found["dissipated_energy_per_cycle_eV"] == found["work_per_cycle_eV"] == 4.0
    assert (found["squareness"], found["efficiency"], found["imprint_field_MV_cm"]) == (1.0, 0.2, 0.0)


def test_frequency_law_finds_a_known_exponent():
    rng, pulls = np.random.default_rng(4), []
    f = np.array([50.0, 100.0, 200.0, 400.0, 800.0])
    for _ in range(200):
        error = 0.02 * 0.3 * f**0.25
        law = frequency_law(f, [Estimate(v, e) for v, e in zip(0.3 * f**0.25 + error * rng.normal(size=5), error, strict=True)])
        pulls.append((law.exponent.value - 0.25) / law.exponent.error)
    assert 0.7 < np.mean(np.square(pulls)) < 1.4
    with pytest.raises(UserError, match="three different"):
        frequency_law([1.0, 2.0], [Estimate(1, 0.1)] * 2)


def test_sine_and_sweep_have_the_same_static_loop():
    a = hysteresis_loop([hysteron(np.random.default_rng(0), wave=sine)]).metrics
    b = hysteresis_loop([hysteron(np.random.default_rng(0), wave=triangle)]).metrics
    for name in ("coercive_field_MV_cm", "remanent_polarization_C_m2", "loop_area_J_m3"):
        assert a[name].value == pytest.approx(b[name].value, rel=5e-4)
