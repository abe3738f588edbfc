"""The command line as a user runs it: subprocesses on real and faulty run directories."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ipi_runs import BOX, TRPMD, write_current, write_dipoles, written_run
from oscillators import TEMPERATURE, langevin_runs

from les_ipi.analysis.cli import main
from les_ipi.analysis.constants import CM1_PER_INVERSE_FS
from les_ipi.analysis.infrared.measured import read_measured, water_25c
from les_ipi.analysis.infrared.peaks import WATER_BANDS
from les_ipi.analysis.runs.composition import is_water
from les_ipi.errors import UserError

COMMAND = Path(sys.executable).with_name("les-analysis")


@pytest.fixture
def les_analysis(monkeypatch, capsys):
    """The entry point with given arguments, in this process: (exit status, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["les-analysis", *(str(argument) for argument in arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as end:
            main()
        out = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, out.out, out.err)

    return call


def les_analysis_process(*arguments):
    words = [str(argument) for argument in arguments]
    return subprocess.run(
        [COMMAND, *words], capture_output=True, text=True, timeout=60, env={"COLUMNS": "160"}
    )


def test_ir_of_a_real_run_writes_table_json_csv_png(trpmd_run, tmp_path):
    files = [tmp_path / name for name in ("a.json", "a.csv", "a.png")]
    done = les_analysis_process(
        "ir", trpmd_run, "--resolution", 400, "--json", files[0], "--csv", files[1], "--plot", files[2]
    )
    assert done.returncode == 0, done.stderr
    assert "TRPMD" in done.stdout and "f-sum rule" in done.stdout and "O-H stretch" in done.stdout
    record = json.loads(files[0].read_text())
    for key in (
        "wavenumber_cm1 n_alpha_cm1 n_alpha_error_cm1 peaks f_sum_ratio source estimator temperature_K "
        "volume_A3 n_beads dt_fs total_time_ps resolution_cm1"
    ).split():
        assert key in record
    assert (record["n_beads"], record["source"], record["n_atoms"]) == (4, "dipole", 6)
    assert record["experiment"].startswith("experiment, water")
    rows = [line for line in files[1].read_text().splitlines() if not line.startswith("#")]
    assert rows[0] == "wavenumber_cm1,n_alpha_cm1,error_cm1,cepstral_cm1,experiment_cm1"
    assert len(rows) == len(record["wavenumber_cm1"]) + 1
    assert "command" in files[1].read_text() and "les-analysis ir" in files[1].read_text()
    assert files[2].read_bytes().startswith(b"\x89PNG") and files[2].stat().st_size > 20_000


def test_ir_pools_runs_and_writes_into_the_first(tmp_path, les_analysis):
    """Three starts of a 1640 cm⁻¹ oscillator: band found within its error, files beside the first run."""
    dipole, current = langevin_runs(3, 20_000, 1.0, 1640.0, 100.0, seed=11)
    paths = []
    for k in range(3):
        path = written_run(tmp_path / f"start{k}")
        text = (path / "input.xml").read_text().replace(">0.25<", ">1.0<")
        (path / "input.xml").write_text(text)
        write_dipoles(path, dipole[k])
        write_current(path, current[k], 1.0)
        paths.append(path)
    done = les_analysis("ir", *paths, "--discard-ps", 2)
    assert done.returncode == 0, done.stderr
    record = json.loads((paths[0] / "ir.json").read_text())
    assert record["source"] == "current" and record["n_runs"] == 3
    assert record["total_time_ps"] == pytest.approx(54.0)
    assert record["volume_A3"] == pytest.approx(BOX**3)
    assert record["temperature_K"] == pytest.approx(TEMPERATURE)
    bend = next(peak for peak in record["peaks"] if peak["name"] == "bend")
    assert abs(bend["position_cm1"] - 1640) < 4 * bend["position_error_cm1"] < 80
    assert bend["experiment_cm1"] == pytest.approx(1641, abs=3)
    assert (paths[0] / "ir.png").is_file() and not (paths[1] / "ir.png").exists()
    forced = les_analysis(
        "ir", *paths, "--discard-ps", 2, "--source", "dipole", "--json", tmp_path / "d.json"
    )
    assert forced.returncode == 0, forced.stderr
    by_dipole = json.loads((tmp_path / "d.json").read_text())
    near = np.abs(np.array(record["wavenumber_cm1"]) - 1640) < 150
    ratio = np.array(by_dipole["n_alpha_cm1"])[near] / np.array(record["n_alpha_cm1"])[near]
    assert ratio == pytest.approx(1.0, abs=0.02)


def test_fifty_thousand_frames_in_five_seconds(tmp_path):
    """Processor seconds of the whole command, so that other work on the machine does not decide."""
    path = written_run(tmp_path, np.random.default_rng(0).standard_normal((50_000, 3)).cumsum(axis=0) * 0.01)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = les_analysis_process("ir", path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime < 5.0


def test_check_of_a_real_run(classical_run, les_analysis):
    done = les_analysis("check", classical_run)
    assert done.returncode in (0, 1), done.stderr
    for word in ("beads and strides", "sampling", "conserved quantity", "temperature", "dipole jumps", "NVE"):
        assert word in done.stdout


def test_check_fails_for_a_wrapped_dipole(tmp_path, les_analysis):
    dipole = np.cumsum(np.random.default_rng(0).standard_normal((500, 3)), axis=0) * 0.01
    good = les_analysis("check", written_run(tmp_path / "good", dipole))
    assert good.returncode == 0, good.stdout
    dipole[250:] += [12.0, 0.0, 0.0]
    bad = les_analysis("check", written_run(tmp_path / "bad", dipole))
    assert bad.returncode == 1 and "jumps" in bad.stdout


def test_check_fails_for_beads_with_different_strides(tmp_path, les_analysis):
    dipole = np.random.default_rng(0).standard_normal((100, 3))
    path = written_run(tmp_path, dipole, beads=2, dynamics=TRPMD)
    write_dipoles(path, dipole, bead=1, stride=3)
    done = les_analysis("check", path)
    assert done.returncode == 1 and "same stride" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "bec"], "has no bec"),
        (["--source", "charges"], "no source 'charges'"),
        (["--resolution", "0.01"], "shorter than a segment"),
        (["--resolution", "-3"], "positive"),
        (["--window", "welch"], "no window 'welch'"),
        (["--peaks", "1800-1500"], "not a range"),
        (["--discard-ps", "50"], "leaves no spectrum"),
        (["--discard-ps", "-1"], "positive"),
        (["--temperature", "0"], "positive"),
        (["--max", "-5"], "shows nothing"),
        (["--experiment", "/nowhere.csv"], "not a table of wavenumber"),
        (["--json", "/nowhere/x.json"], "Cannot write"),
        (["--input", "no.xml"], "no.xml"),
        (["--quantum-correction", "fancy"], "fancy"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, arguments, message, les_analysis):
    path = written_run(tmp_path, np.random.default_rng(0).standard_normal((400, 3)))
    done = les_analysis("ir", path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith("les-analysis: ") and done.stderr.count("\n") == 1


def test_not_a_run_is_one_sentence(tmp_path, les_analysis):
    for call in (les_analysis, les_analysis_process):
        done = call("check", tmp_path)
        assert done.returncode == 2 and "not an i-PI run" in done.stderr
        assert done.stderr.count("\n") == 1


def test_quantum_correction_of_beads_is_refused(trpmd_run, les_analysis):
    done = les_analysis("ir", trpmd_run, "--resolution", 400, "--quantum-correction", "standard")
    assert done.returncode == 2 and "twice" in done.stderr


def test_sampling_thermostat_is_warned_about(tmp_path, les_analysis):
    dipole = np.random.default_rng(0).standard_normal((400, 3)).cumsum(axis=0)
    path = written_run(tmp_path, dipole, beads=2, dynamics=TRPMD.replace("pile_g", "pile_l"))
    write_dipoles(path, dipole, bead=1)
    done = les_analysis("ir", path)
    assert done.returncode == 0 and "dynamics is not physical" in done.stdout


def test_no_band_is_no_error(tmp_path, les_analysis):
    """White noise of atoms that are not water: automatic ranges find nothing, and that is told."""
    path = written_run(tmp_path, np.random.default_rng(0).standard_normal((4000, 3)).cumsum(axis=0))
    (path / "start.xyz").write_text((path / "start.xyz").read_text().replace("H ", "Na "))
    done = les_analysis("ir", path)
    assert done.returncode == 0, done.stderr
    assert json.loads((path / "ir.json").read_text())["experiment"] is None


def test_coarse_sampling_is_refused(tmp_path, les_analysis):
    path = written_run(tmp_path)
    write_dipoles(path, np.random.default_rng(0).standard_normal((400, 3)), stride=20)
    done = les_analysis("ir", path)
    assert done.returncode == 2 and "Nyquist" in done.stderr


def test_packaged_water_has_the_known_maxima():
    """Largest tabulated n·α: 185, 617, 1641, 3381; the fit moves skewed bands a little."""
    water = water_25c()
    found = list(water.peaks(WATER_BANDS).values())
    assert found == pytest.approx([185, 617, 1641, 3381], abs=25)
    loss = 2 * 1.32 * 0.1319 * 2 * np.pi * 1640.59  # n·α = n·4πkν̃ at the bend, n ≈ 1.32 and k ≈ 0.132
    assert water.at(np.array([1640.59]))[0] == pytest.approx(loss, rel=0.03)


def test_measured_table_of_two_columns(tmp_path):
    (tmp_path / "x.csv").write_text("# nu, n*alpha\n200,5\n100,3\n")
    assert read_measured(tmp_path / "x.csv").at(np.array([150.0, 50.0])).tolist()[0] == 4.0
    (tmp_path / "y.csv").write_text("hello\n")
    with pytest.raises(UserError, match="not a table of wavenumber"):
        read_measured(tmp_path / "y.csv")


def test_water_is_recognised():
    assert is_water("OHH" * 3)
    assert not is_water("OHHH") and not is_water("ODD") and not is_water(())
    assert CM1_PER_INVERSE_FS == pytest.approx(33356.40952, rel=1e-9)
