"""Activation energies: exact lines, errors of the right size, the command on real records, refusals."""

import json
import sys

import numpy as np
import pytest
from scipy import constants as si
from scipy.optimize import curve_fit

from analysis import cli
from analysis.arrhenius import fit_arrhenius
from les_ipi.errors import UserError

KELVIN = np.array([800.0, 1000.0, 1300.0])
EV_K = si.k / si.e


def law(kelvin, prefactor, activation):
    return prefactor * np.exp(-activation / (EV_K * kelvin))


def test_a_line_without_noise_is_recovered():
    fit = fit_arrhenius(KELVIN, law(KELVIN, 3e-3, 0.35), 0.01 * law(KELVIN, 3e-3, 0.35))
    assert fit.activation_eV == pytest.approx(0.35, rel=1e-12)
    assert np.exp(fit.at(300.0)[0]) == pytest.approx(law(300.0, 3e-3, 0.35), rel=1e-10)
    assert fit.p_value == pytest.approx(1.0)


def test_two_points_by_hand():
    """E_a = k ln(y2/y1)/(1/T1 − 1/T2), its error k √(r1² + r2²)/(1/T1 − 1/T2) with relative errors r."""
    fit = fit_arrhenius([1000.0, 1500.0], [2.0, 5.0], [0.2, 0.3])
    width = 1 / 1000 - 1 / 1500
    assert fit.activation_eV == pytest.approx(EV_K * np.log(2.5) / width)
    assert fit.activation_error_eV == pytest.approx(EV_K * np.hypot(0.1, 0.06) / width)
    assert fit.p_value is None


def test_agrees_with_scipy_and_errors_have_the_right_size():
    rng, pulls, extrapolated = np.random.default_rng(3), [], []
    relative = np.array([0.2, 0.1, 0.05])
    for _ in range(400):
        values = law(KELVIN, 1.0, 0.3) * np.exp(relative * rng.standard_normal(3))
        fit = fit_arrhenius(KELVIN, values, relative * values)
        pulls.append((fit.activation_eV - 0.3) / fit.activation_error_eV)
        log, error = fit.at(300.0)
        extrapolated.append((log - np.log(law(300.0, 1.0, 0.3))) / error)
    for found in (pulls, extrapolated):
        assert 0.85 < np.mean(np.square(found)) < 1.15
    solution, covariance = curve_fit(
        lambda kelvin, log, activation: log - activation / (EV_K * kelvin), KELVIN, np.log(values), sigma=relative,
        absolute_sigma=True,
    )  # fmt: skip
    assert fit.activation_eV == pytest.approx(solution[1], rel=1e-5)
    assert fit.covariance == pytest.approx(covariance, rel=1e-4)


@pytest.mark.parametrize(
    "points, message",
    [
        (([900.0, 900.0], [1.0, 1.1], [0.1, 0.1]), "needs two temperatures; there is only 900 K"),
        (([900.0, 1200.0], [1.0, -0.1], [0.1, 0.1]), "at 1200 K, -0.1 ± 0.1, is not larger than twice its error"),
        (([900.0, 1200.0], [0.15, 1.0], [0.1, 0.1]), "at 900 K, 0.15 ± 0.1, is not larger"),
    ],
)
def test_meaningless_points_are_refused(points, message):
    with pytest.raises(UserError, match=message):
        fit_arrhenius(*points)


def write_record(path, kelvin, insulating=False):
    sigma, diffusion = law(kelvin, 1e5, 0.3) / kelvin, law(kelvin, 1e-3, 0.32)
    estimates = [{"name": "Green-Kubo", "value_S_m": sigma, "error_S_m": 0.05 * sigma, "detail": ""}]
    lost = {"element": "O", "value_cm2_s": 1e-9, "error_cm2_s": 1e-8}
    moving = {"element": "Li", "value_cm2_s": diffusion, "error_cm2_s": 0.04 * diffusion}
    text = json.dumps({"temperature_K": kelvin, "estimates": [] if insulating else estimates, "diffusion": [lost, moving]})
    path.write_text(text)
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["les-analysis", "arrhenius", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def test_command_writes_table_json_and_figure(tmp_path, monkeypatch, capsys):
    """σT is fitted, not σ; an element that does not move is left out with a sentence."""
    files = [write_record(tmp_path / f"{kelvin:.0f}K.json", kelvin) for kelvin in (1200.0, 900.0)]
    assert run(monkeypatch, *files, "--at", 400) == 0
    text = capsys.readouterr().out
    assert "0.300 ±" in text and "D O is left out: The value at 900 K" in " ".join(text.split())
    record = json.loads((tmp_path / "arrhenius.json").read_text())
    assert set(record["fits"]) == {"sigma T Green-Kubo", "D Li"}
    line = record["fits"]["sigma T Green-Kubo"]
    assert line["activation_eV"] == pytest.approx(0.3) and line["temperature_K"] == [900.0, 1200.0]
    assert line["extrapolated"] == pytest.approx(law(400.0, 1e5, 0.3)) and line["unit"] == "S K/m"
    assert line["extrapolated_low"] < line["extrapolated"] < line["extrapolated_high"]
    assert (tmp_path / "arrhenius.png").stat().st_size > 10_000


def test_command_refuses_other_files_in_a_sentence(tmp_path, monkeypatch, capsys):
    good, other = write_record(tmp_path / "900K.json", 900.0), tmp_path / "other.json"
    other.write_text("{}")
    for second, message in (
        (other, "is no record of les-analysis conductivity"),
        (tmp_path / "missing.json", "Cannot read"),
        (good, "needs two temperatures; there is only 900 K"),
    ):
        assert run(monkeypatch, good, second) == 2
        text = capsys.readouterr().err
        assert message in text and "Traceback" not in text
