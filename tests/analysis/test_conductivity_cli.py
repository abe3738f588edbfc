"""``les-analysis conductivity`` as a user runs it, on written runs with known answers and on a real one."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ions import VOLUME, autoregressive, ion_conductivity, ion_diffusion, ion_velocities, write_ions
from ipi_runs import run_ipi, write_current, written_run
from scipy import constants as si

from les_ipi.analysis.cli import main
from les_ipi.analysis.conductivity.estimators import ConductivityEstimate
from les_ipi.analysis.conductivity.record import conductivity_record, conductivity_summary
from les_ipi.analysis.conductivity.study import study_conductivity
from les_ipi.analysis.runs.beads import sum_rule_current
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.static_field import read_field
from les_ipi.errors import UserError

PHI, SPEED, CORRELATION = 0.9, 0.01, 0.5


@pytest.fixture
def les_analysis(monkeypatch, capsys):
    """The entry point with given arguments, in this process: (exit status, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["les-analysis", "conductivity", *(str(a) for a in arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as end:
            main()
        out = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, out.out, out.err)

    return call


@pytest.fixture(scope="module")
def ion_runs(tmp_path_factory):
    """Two equilibrium runs and two in opposite fields, five pairs of H⁺ and F⁻; and the exact σ in S/m."""
    folder, rng = tmp_path_factory.mktemp("ions"), np.random.default_rng(7)
    sigma = ion_conductivity(10, ion_diffusion(PHI, SPEED, 1.0)) * (1.0 - CORRELATION)
    runs = []
    for name, field in (("a", 0.0), ("b", 0.0), ("plus", 0.03), ("minus", -0.03)):
        velocities = ion_velocities(5, 8000, PHI, SPEED, CORRELATION, rng)
        velocities -= velocities.mean(axis=1, keepdims=True)
        drift = sigma * VOLUME * field / (si.e / 1e-25) / 10
        velocities[:, :5, 0] += drift
        velocities[:, 5:, 0] -= drift
        runs.append(write_ions(folder / name, velocities, 1.0, stride=4, field=field))
    return runs, sigma


def test_all_estimators_side_by_side(ion_runs, tmp_path, les_analysis):
    runs, sigma = ion_runs
    files = [tmp_path / name for name in ("s.json", "s.csv", "s.png")]
    done = les_analysis(
        *runs, "--charges", "H=1,F=-1", "--viscosity", 1, "--json", files[0], "--csv", files[1], "--plot", files[2]
    )
    assert done.returncode == 0, done.stderr
    for words in ("S/cm", "Green-Kubo (current)", "Einstein (charges)", "finite field", "Haven ratio", "H_R = sigma_NE"):
        assert words in done.stdout
    assert "The 7 estimates agree" in done.stdout and "Gauge test" in done.stdout and "infinite cell" in done.stdout
    record = json.loads(files[0].read_text())
    assert len(record["estimates"]) == 7
    for estimate in record["estimates"]:
        assert abs(estimate["value_S_m"] - sigma) < 3 * estimate["error_S_m"], estimate["name"]
        assert estimate["error_S_m"] < 0.4 * sigma
    assert np.sum(record["onsager"]["value_S_m"]) == pytest.approx(record["estimates"][3]["value_S_m"], rel=1e-3)
    assert abs(record["gauge_difference_S_m"][0]) < 1e-3 * sigma  # positions are written with six digits
    assert record["spectrum"]["sigma_S_m"] and record["diffusion"][0]["infinite_cm2_s"] > record["diffusion"][0]["value_cm2_s"]
    rows = [line for line in files[1].read_text().splitlines() if not line.startswith("#")]
    assert rows[0] == "curve,x,value,error" and sum(row.startswith("estimate") for row in rows) == 7
    assert files[2].read_bytes().startswith(b"\x89PNG") and files[2].stat().st_size > 20_000
    assert record["transported_charge_ratio"][0] == pytest.approx(1.0, abs=1e-3)
    twice = les_analysis(runs[0], "--charges", "H=2,F=-2", "--json", files[0], "--csv", files[1], "--plot", files[2])
    assert json.loads(files[0].read_text())["transported_charge_ratio"][0] == pytest.approx(0.5, abs=0.02)
    assert "The ions carry 0.50" in twice.stdout


def test_dipoles_that_are_the_same_pass_the_gauge_test(ion_runs):
    """A model with constant charges: the difference of both conductivities is zero, and so is its error."""
    run = RunDirectory(ion_runs[0][0])
    study = study_conductivity([run], charges={"H": 1.0, "F": -1.0})
    same = ConductivityEstimate("difference", 0.0, 0.0, "same trajectories")
    lines = conductivity_summary(conductivity_record(replace(study, gauge=same), "les-analysis conductivity"))
    (line,) = (line for line in lines if line.startswith("Gauge test"))
    assert line.endswith("along the same trajectories = 0 S/m (theory: 0).")


def test_charges_alone_and_default_files(ion_runs, les_analysis):
    """Without a recorded current, oxidation numbers are enough; files go beside the first run."""
    run = ion_runs[0][0]
    current = run / "run.current"
    text = current.read_text()
    current.unlink()
    try:
        done = les_analysis(run, "--charges", "H=1,F=-1")
    finally:
        current.write_text(text)
    assert done.returncode == 0, done.stderr
    record = json.loads((run / "conductivity.json").read_text())
    assert record["source"] == "charges" and len(record["estimates"]) == 3
    assert all((run / f"conductivity.{suffix}").is_file() for suffix in ("csv", "png"))


def test_fields_alone(ion_runs, tmp_path, les_analysis):
    runs, sigma = ion_runs
    done = les_analysis(*runs[2:], "--json", tmp_path / "f.json", "--csv", tmp_path / "f.csv", "--plot", tmp_path / "f.png")
    assert done.returncode == 0, done.stderr
    (estimate,) = json.loads((tmp_path / "f.json").read_text())["estimates"]
    assert abs(estimate["value_S_m"] - sigma) < 3 * estimate["error_S_m"] < 1.5 * sigma
    np.testing.assert_allclose(read_field(RunDirectory(runs[2]).input.path), [0.03, 0.0, 0.0], rtol=1e-5)


def test_short_run_warns(tmp_path, les_analysis):
    run = written_run(tmp_path / "short")
    write_current(run, autoregressive(0.99, 1500, 3, np.random.default_rng(0)), 0.25)
    done = les_analysis(run)
    assert done.returncode == 0, done.stderr
    assert "Warning" in done.stdout and ("short compared with" in done.stdout or "no plateau" in done.stdout)


def test_mistakes_are_one_sentence(ion_runs, tmp_path, les_analysis):
    run = ion_runs[0][0]
    empty = written_run(tmp_path / "empty")
    for arguments, words in (
        ((run, "--charges", "H=1"), "no charge for F"),
        ((run, "--charges", "H+"), "write for example --charges"),
        ((run, "--source", "charges"), "needs oxidation numbers"),
        ((run, "--source", "dipole"), "has no dipole"),
        ((run, "--discard-ps", "100"), "leaves no spectrum"),
        ((empty,), "holds no record"),
        ((empty, "--charges", "H=1,O=-2"), "has no positions"),
    ):
        done = les_analysis(*arguments)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, arguments


def test_oscillating_field_is_refused(ion_runs, tmp_path):
    text = (ion_runs[0][2] / "input.xml").read_text().replace("</efield>", "<freq units='thz'>3</freq></efield>")
    (tmp_path / "input.xml").write_text(text)
    with pytest.raises(UserError, match="changes with time"):
        read_field(tmp_path / "input.xml")


def test_sum_rule_projection():
    """Taking the spurious current off is the same as projecting the charges."""
    rng = np.random.default_rng(0)
    born, velocities = rng.standard_normal((4, 3, 3)), rng.standard_normal((4, 3))  # [atom, displacement, polarization]
    projected = born - born.mean(axis=0)
    spurious, residual = sum_rule_current(born.reshape(12, 3), velocities)
    current = np.einsum("iba,ib->a", born, velocities)
    np.testing.assert_allclose(current - spurious, np.einsum("iba,ib->a", projected, velocities))
    assert residual == pytest.approx(np.abs(born.sum(axis=0)).mean() / 4)


def test_real_run_of_an_insulator(tmp_path, les_analysis):
    """i-PI, two beads: Born charges times velocities carry what the dipole moves, estimate by estimate, which is no direct
    current beyond the error, and the command says that half a picosecond tells no conductivity.
    """
    run = run_ipi(tmp_path / "run", beads=2, steps=2000)
    done = les_analysis(run, "--source", "bec")
    assert done.returncode == 0, done.stderr
    record = json.loads((run / "conductivity.json").read_text())
    assert record["n_beads"] == 2 and record["sum_rule_residual_e"] < 1e-6
    assert "bead-averaged current" in done.stdout and "Acoustic sum rule" in done.stdout
    les_analysis(run, "--source", "dipole", "--json", tmp_path / "dipole.json")
    of_dipole = json.loads((tmp_path / "dipole.json").read_text())
    for current, dipole in zip(record["estimates"], of_dipole["estimates"], strict=True):
        assert current["value_S_m"] == pytest.approx(dipole["value_S_m"], rel=0.005)
        assert current["error_S_m"] == pytest.approx(dipole["error_S_m"], rel=0.005)
        assert abs(current["value_S_m"]) < 3 * current["error_S_m"]
    assert any("too short" in warning for warning in record["warnings"])
    assert any("NOT KNOWN TO BE A CONDUCTIVITY" in warning for warning in record["warnings"])


def test_command_help_names_an_example():
    command = Path(sys.executable).with_name("les-analysis")
    done = subprocess.run([command, "conductivity", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--charges" in done.stdout and "Example" in done.stdout
