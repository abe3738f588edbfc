"""Field tables and branch-continuous polarization: units, gaps, restarts, folding by the quantum."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loops import PERIOD_FS, ellipse, folded, hysteron, hysteron_truth, sine, write_field_table

from les_ipi.analysis.hysteresis.polarization import (
    Drive,
    drive_of_table,
    field_direction,
    integrated_current,
    unfold_dipole,
)
from les_ipi.analysis.runs.field_table import find_field_table, read_field_table
from les_ipi.errors import UserError

TRICLINIC = np.array([[4.0, 0.0, 0.0], [0.5, 5.0, 0.0], [-0.3, 0.7, 6.0]])


@pytest.fixture
def table_file(tmp_path):
    return write_field_table(tmp_path / "run", ellipse(3, 0.3), {"waveform": "sine", "period_fs": 4000})


def edit(file, change):
    file.write_text(change(file.read_text()))
    return file


def test_a_table_is_read_back(table_file):
    table = read_field_table(table_file.parent)
    drive = ellipse(3, 0.3)
    assert np.allclose(table.field[:, 2], drive.field) and np.allclose(table.dipole[:, 2], drive.polarization)
    assert (table.waveform, table.absolute_dipole, table.header["period_fs"]) == ("sine", False, "4000")
    assert table.dt_fs == pytest.approx(2.0) and table.cells.shape == (table.steps.size, 3, 3)
    made = drive_of_table(table)
    assert np.allclose(made.polarization, drive.polarization) and not made.absolute
    assert made.direction == (0.0, 0.0, 1.0)


def test_units_in_brackets_are_accepted_and_checked(table_file):
    named = "step time_fs Ex[V/Å] Ey[V/Ang] Ez[V/A] Mx[e·Å] My[e*A] Mz[eA] Jx[e A/fs] Jy[eÅ/fs] Jz[e·Å/fs] volume[Å^3]"
    edit(table_file, lambda t: t.replace("step time_fs Ex Ey Ez Mx My Mz Jx Jy Jz volume", named))
    assert read_field_table(table_file).steps.size
    edit(table_file, lambda t: t.replace("Ez[V/A]", "Ez[MV/cm]"))
    with pytest.raises(UserError, match="Ez is in 'MV/cm'"):
        read_field_table(table_file)


def test_repeated_steps_of_a_restart_count_once(table_file):
    lines = table_file.read_text().splitlines()
    table_file.write_text("\n".join([*lines[:1000], *lines[900:]]) + "\n")
    assert read_field_table(table_file).steps.size == len(lines) - 3
    shifted = lines[950].split()
    shifted[4] = "0.0123"
    table_file.write_text("\n".join([*lines[:1000], " ".join(shifted), *lines[1000:]]) + "\n")
    with pytest.raises(UserError, match="did not continue the waveform"):
        read_field_table(table_file)


def test_unfinished_last_line_is_left_out(table_file):
    n = read_field_table(table_file).steps.size
    edit(table_file, lambda t: t.rstrip()[:-200])
    assert n - 2 <= read_field_table(table_file).steps.size < n


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: "\n".join(line for k, line in enumerate(t.splitlines()) if k != 500), "gap between steps"),
        (lambda t: t.replace("# step", "# stride"), "no header line"),
        (lambda t: t.replace(" volume ", " vol "), "lacks the column"),
        (lambda t: t[: t.index("\n0 ") + 1], "record"),
    ],
)
def test_broken_tables_are_refused(table_file, change, sentence):
    with pytest.raises(UserError, match=sentence):
        read_field_table(edit(table_file, change))


def rewritten(tmp_path, column, factor):
    """The ellipse with one of its columns multiplied."""
    drive = ellipse(3, 0.3)
    file = write_field_table(tmp_path / "scaled", drive)
    rows = np.loadtxt(file)
    rows[:, column] *= factor
    header = next(line for line in file.read_text().splitlines() if "time_fs" in line)
    np.savetxt(file, rows, fmt="%.12g", header=header.lstrip("# "))
    return file


@pytest.mark.parametrize(
    ("column", "factor", "sentence"),
    [
        (4, 1e3, "V/Å below 5"),
        (11, 1.89**3, "volume and cell disagree"),
        (7, 1.8897, "M must be in e Å"),
        (10, 41.3, "M must be in e Å"),
        (7, np.nan, "not finite"),
        (1, np.r_[np.ones(3000), 2 * np.ones(3001)], "time advances"),
    ],
)
def test_wrong_units_are_noticed(tmp_path, column, factor, sentence):
    with pytest.raises(UserError, match=sentence):
        read_field_table(rewritten(tmp_path, column, factor))


def test_missing_and_ambiguous_tables(tmp_path):
    with pytest.raises(UserError, match="neither a run directory"):
        find_field_table(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no field table"):
        find_field_table(tmp_path)
    (tmp_path / "a.field").touch()
    (tmp_path / "b.field").touch()
    with pytest.raises(UserError, match="several field tables"):
        find_field_table(tmp_path)


@pytest.mark.parametrize("cell", [np.diag([4.0, 5.0, 8.0]), TRICLINIC])
def test_jumps_by_lattice_vectors_are_taken_out_and_nothing_else(cell):
    """M + e R jumps by whole lattice vectors, M itself moves by less than half of one."""
    rng = np.random.default_rng(1)
    steps = rng.uniform(-0.3, 0.3, size=(200, 3))
    jumps = np.cumsum(rng.integers(-1, 2, size=(200, 3)), axis=0)
    path = np.cumsum(steps, axis=0)
    assert np.allclose(unfold_dipole((path + jumps) @ cell, cell), (path + jumps[0]) @ cell, atol=1e-10)


@pytest.mark.parametrize("with_current", [False, True])
def test_folded_dipole_is_unfolded_again(with_current):
    """A path through many quanta in a breathing triclinic cell, folded into the first cell and back."""
    rng = np.random.default_rng(0)
    time = np.arange(3000) * 0.5
    step = 1.5 if with_current else 0.3
    dipole = np.cumsum(step * rng.normal(size=(3000, 3)), axis=0)
    cells = TRICLINIC * (1 + 0.002 * np.sin(time / 50))[:, None, None]
    current = None
    if with_current:
        # A current whose trapezoid is the true increment, up to a little noise.
        rate = np.diff(dipole, axis=0) / 0.5
        current = np.zeros_like(dipole)
        for k, r in enumerate(rate):
            current[k + 1] = 2 * r - current[k]
        current += 0.05 * rng.normal(size=current.shape)
    inside = folded(dipole, cells)
    assert np.abs(inside @ np.linalg.inv(TRICLINIC)).max() < 0.52
    unfolded = unfold_dipole(inside, cells, current, 0.5)
    shift = np.round(np.einsum("ti,tij->tj", unfolded - dipole, np.linalg.inv(cells)))
    assert np.allclose(np.einsum("ti,tij->tj", shift, cells), unfolded - dipole, atol=1e-9)
    assert (shift == shift[0]).all()  # one branch throughout


def test_ambiguous_branch_is_refused():
    dipole = np.cumsum(np.full((50, 3), 1.9), axis=0)
    with pytest.raises(UserError, match="branch is ambiguous"):
        unfold_dipole(folded(dipole, 4.0 * np.eye(3)), 4.0 * np.eye(3))


def test_integrated_current_is_the_dipole():
    time, _ = sine(2, dt=1.0)
    current = np.stack([np.cos(time / 300)] * 3, axis=1)
    assert np.allclose(integrated_current(current, 1.0)[:, 0], 300 * np.sin(time / 300), atol=1e-3)


def test_three_sources_give_the_same_loop(tmp_path):
    """Dipole, ∫J dt and the folded dipole of the same run."""
    from les_ipi.analysis.hysteresis.loop import hysteresis_loop

    drive = hysteron(np.random.default_rng(0))
    drive = Drive(drive.time_fs, drive.field, drive.polarization, False, 216.0)
    table = read_field_table(write_field_table(tmp_path, drive))
    file = write_field_table(tmp_path / "folded", drive)
    rows = np.loadtxt(file)
    cells = rows[:, 12:21].reshape(-1, 3, 3)
    rows[:, 5:8] = folded(rows[:, 5:8], cells)
    header = next(line for line in file.read_text().splitlines() if "time_fs" in line)
    np.savetxt(file, rows, fmt="%.12g", header=header.lstrip("# "))
    again = read_field_table(file)
    with pytest.raises(UserError, match="jumps by"):
        drive_of_table(again)
    loops = [
        hysteresis_loop([made])
        for made in (drive_of_table(table), drive_of_table(table, "current"), drive_of_table(again, folded=True))
    ]
    for name, value in hysteron_truth().items():
        for loop in loops:
            assert loop.metrics[name].value == pytest.approx(value, rel=0.01), name


def test_direction_of_the_field():
    assert np.allclose(field_direction(np.outer(np.sin(np.arange(50.0)), [0, -3.0, 4.0])), [0, -0.6, 0.8])
    turning = np.stack([np.sin(np.arange(50.0)), np.cos(np.arange(50.0)), np.zeros(50)], axis=1)
    with pytest.raises(UserError, match="turns its direction"):
        field_direction(turning)
    with pytest.raises(UserError, match="zero throughout"):
        field_direction(np.zeros((50, 3)))


def command(*arguments):
    program = Path(sys.executable).with_name("les-analysis")
    return subprocess.run(
        [program, "hysteresis", *map(str, arguments)], capture_output=True, text=True, timeout=120,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


def test_command_pools_seeds_and_writes_json_and_figure(tmp_path):
    rng = np.random.default_rng(7)
    for seed in range(3):
        drive = hysteron(rng, sigma=0.003, jitter=3e-4, absolute=False)
        write_field_table(tmp_path / f"seed{seed}", drive, {"waveform": "sine"}, direction=(0.6, 0.0, 0.8))
    done = command(*(tmp_path / f"seed{seed}" for seed in range(3)))
    assert done.returncode == 0, done.stderr
    assert "250 GHz" in done.stdout and "18 / 3" in done.stdout
    record = json.loads((tmp_path / "seed0" / "hysteresis.json").read_text())
    (loop,) = record["loops"]
    for name, value in hysteron_truth().items():
        metric = loop["metrics"][name]
        assert abs(metric["value"] - value) < 4 * metric["error"], name
    assert len(loop["per_cycle"]["loop_area_J_m3"]) == 18 and len(loop["cycles_C_m2"]) == 18
    assert loop["frequency_GHz"] == pytest.approx(1e6 / PERIOD_FS, rel=2e-3)
    assert (tmp_path / "seed0" / "hysteresis.png").stat().st_size > 20_000


def test_command_fits_the_frequency_dependence(tmp_path):
    rng = np.random.default_rng(8)
    for k, period in enumerate((2000.0, 4000.0, 8000.0)):
        time, field = sine(7, period=period)
        lag = 0.3 * (4000.0 / period) ** 0.3
        p = 1e-3 * np.sin(2 * np.pi * time / period - lag) + 2e-5 * rng.normal(size=time.size)
        write_field_table(tmp_path / f"f{k}", Drive(time, field, p, volume_A3=1000.0))
    done = command(*(tmp_path / f"f{k}" for k in range(3)), "--json", tmp_path / "f.json", "--plot", tmp_path / "f.pdf")
    assert done.returncode == 0, done.stderr
    law = json.loads((tmp_path / "f.json").read_text())["frequency_law"]
    assert law["exponent"]["value"] == pytest.approx(0.3, abs=0.02)
    assert "b = " in done.stdout and (tmp_path / "f.pdf").stat().st_size > 5_000


def test_command_refuses_with_one_sentence(tmp_path):
    done = command(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds no field table" in done.stderr
    write_field_table(tmp_path / "short", ellipse(1, 0.3))
    done = command(tmp_path / "short")
    assert done.returncode == 2 and "complete cycle" in done.stderr and "Traceback" not in done.stderr
    write_field_table(tmp_path / "pulse", Drive(*_gaussian_pulse()))
    done = command(tmp_path / "pulse")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def _gaussian_pulse():
    time = np.arange(2000.0)
    pulse = 0.05 * np.exp(-(((time - 1000) / 100) ** 2))
    return time, pulse * np.cos(time / 50), pulse
