"""Activation energies: exact lines, errors of the right size, the command on real records, refusals."""

import json
import sys

import numpy as np
import pytest
from scipy import constants as si
from scipy.optimize import curve_fit

from les_ipi.analysis import cli
from les_ipi.analysis.conductivity.arrhenius import fit_arrhenius
from les_ipi.analysis.conductivity.arrhenius_figure import plot_arrhenius
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
    """Gaussian noise up to 30 %, points below two errors included; a fit of logarithms would be off by half an error."""
    rng, pulls, extrapolated = np.random.default_rng(3), [], []
    exact = law(KELVIN, 1.0, 0.3)
    deviation = np.array([0.3, 0.1, 0.05]) * exact
    for _ in range(400):
        values = exact + deviation * rng.standard_normal(3)
        fit = fit_arrhenius(KELVIN, values, deviation)
        pulls.append((fit.activation_eV - 0.3) / fit.activation_error_eV)
        log, error = fit.at(300.0)
        extrapolated.append((log - np.log(law(300.0, 1.0, 0.3))) / error)
    for found in (pulls, extrapolated):
        assert 0.7 < np.mean(np.square(found)) < 1.4 and abs(np.mean(found)) < 0.25
    start = (fit.log_prefactor, fit.activation_eV + 0.02)
    solution, covariance = curve_fit(
        lambda kelvin, log, activation: law(kelvin, np.exp(log), activation), KELVIN, values, start, deviation, True
    )
    assert fit.activation_eV == pytest.approx(solution[1], rel=1e-4)
    assert fit.covariance == pytest.approx(covariance, rel=1e-2)


@pytest.mark.parametrize(
    "points, message",
    [
        (([900.0, 900.0], [1.0, 1.1], [0.1, 0.1]), "at two temperatures or more, but has them at 1"),
        (([900.0, 1200.0], [1.0, -0.1], [0.1, 0.1]), "at two temperatures or more, but has them at 1"),
        (([900.0, 1200.0], [0.15, 0.1], [0.1, 0.1]), "at two temperatures or more, but has them at 0"),
    ],
)
def test_meaningless_points_are_refused(points, message):
    with pytest.raises(UserError, match=message):
        fit_arrhenius(*points)


def write_record(path, kelvin, n_atoms=10):
    sigma, diffusion = law(kelvin, 1e5, 0.3) / kelvin, law(kelvin, 1e-3, 0.32)
    estimates = [{"name": "Green-Kubo", "value_S_m": sigma, "error_S_m": 0.05 * sigma, "detail": ""}]
    elements = [{"element": name, "value_cm2_s": diffusion, "error_cm2_s": 0.04 * diffusion} for name in ("Ti", "D", "Li")]
    elements += [{"element": "O", "value_cm2_s": 1e-9, "error_cm2_s": 1e-8}]
    elements += [{"element": "La", "value_cm2_s": None, "error_cm2_s": None}]
    record = {"temperature_K": kelvin, "n_atoms": n_atoms, "charges_e": None, "warnings": ["O: not reliable"]}
    path.write_text(json.dumps({**record, "estimates": estimates, "diffusion": elements}))
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["les-analysis", "arrhenius", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def test_command_writes_table_json_and_figure(tmp_path, monkeypatch, capsys):
    """σT is fitted, σ is extrapolated; elements that do not move are left out with a sentence, warnings are passed on."""
    files = [write_record(tmp_path / f"{kelvin:.0f}K.json", kelvin) for kelvin in (1200.0, 900.0)]
    assert run(monkeypatch, *files, "--at", 400) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("0.300 ±", "E_a (eV)", "S/m", "D O is left out: An activation energy needs values", "900 K: O: not reliable"):
        assert words in text
    record = json.loads((tmp_path / "arrhenius.json").read_text())
    assert set(record["fits"]) == {"sigma T Green-Kubo", "D Ti", "D D", "D Li"}
    line = record["fits"]["sigma T Green-Kubo"]
    assert line["activation_eV"] == pytest.approx(0.3) and line["temperature_K"] == [900.0, 1200.0]
    assert line["log_extrapolated"] == pytest.approx(np.log(law(400.0, 1e5, 0.3) / 400.0))
    assert (line["unit"], line["extrapolated_unit"]) == ("S K/m", "S/m")
    assert (tmp_path / "arrhenius.png").stat().st_size > 10_000


def test_lines_are_named_after_their_elements(tmp_path):
    from matplotlib.figure import Figure

    fits = {f"D {name}": fit_arrhenius([900.0, 1200.0], [1.0, 2.0], [0.1, 0.1]) for name in ("Ti", "Ta", "D", *"HCNOFPSK")}
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda figure, *_, **__: shown.append(figure))
        plot_arrhenius(tmp_path / "lines.png", fits, 300.0)
    labels = shown[0].axes[0].get_legend_handles_labels()[1]
    assert [label.split(":")[0] for label in labels] == ["Ti", "Ta", "D", *"HCNOFPSK"]


def test_command_refuses_other_files_in_a_sentence(tmp_path, monkeypatch, capsys):
    good, other = write_record(tmp_path / "900K.json", 900.0), tmp_path / "other.json"
    other.write_text("{}")
    for second, message in (
        (other, "is not a record of les-analysis conductivity"),
        (tmp_path / "missing.json", "Cannot read"),
        (good, "is given twice"),
        (write_record(tmp_path / "again.json", 900.0), "at two temperatures or more, but has them at 1"),
        (write_record(tmp_path / "large.json", 1000.0, n_atoms=20), "differ in the number of atoms"),
    ):
        assert run(monkeypatch, good, second) == 2
        text = " ".join(capsys.readouterr().err.split())
        assert message in text and "Traceback" not in text
