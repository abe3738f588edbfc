"""A field-driven run that was stopped or killed goes on as if nothing had happened."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import toy_programs
from ipi_inputs import NVT
from test_failures import killed
from test_field import final_positions, protocol, record
from test_run import wait_for_rows
from toy_programs import run_toy

from les_ipi.errors import UserError

TRIANGLE = 'waveform = "triangle"\namplitude = 1.0\ndirection = [0, 0, 1]\nperiod_fs = 40\n'
NPT = """<dynamics mode='npt'><timestep units='femtosecond'>{dt}</timestep>
  <thermostat mode='langevin'><tau units='femtosecond'>50</tau></thermostat>
  <barostat mode='isotropic'> <tau units='femtosecond'>100</tau>
    <thermostat mode='langevin'><tau units='femtosecond'>50</tau></thermostat> </barostat></dynamics>"""
HEALTHY = {"model": "toy", "dtype": "float64"}
CHECKPOINT = "<checkpoint filename='chk' stride='25' overwrite='False'/>"


def start(path, file):
    command = [sys.executable, toy_programs.__file__, "run", str(path), "toy;delay=0.01", str(file)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def same_record(broken, whole, steps):
    """No step twice, none missing, and the same numbers: positions in RESTART have 16 digits."""
    got, expected = record(broken), record(whole)
    np.testing.assert_array_equal(got["step"], np.arange(steps + 1))
    for name, values in expected.items():
        np.testing.assert_allclose(
            got[name], values, rtol=1e-9, atol=1e-8 * max(1.0, np.abs(values).max()), err_msg=name
        )
    header = [[line for line in open(p.parent / "sim.field") if line[0] == "#"] for p in (broken, whole)]
    assert header[0] == header[1]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport, motion, beads", [("direct", NVT, 1), ("unix", NPT, 2)])
def test_stop_and_resume(make_input, transport, motion, beads):
    common = {"motion": motion, "steps": 200, "safe_stride": 10, "beads": beads}
    whole = make_input(**common)
    run_toy(whole, field=protocol(whole, TRIANGLE), **HEALTHY)
    broken = make_input(transport, **common)
    process = start(broken, protocol(broken, TRIANGLE))
    wait_for_rows(broken.parent / "sim.field", 60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert run_toy(broken, resume=True, **HEALTHY).step == 200  # the protocol lies in the run directory
    same_record(broken, whole, 200)
    np.testing.assert_allclose(final_positions(broken), final_positions(whole), rtol=1e-9, atol=1e-9)


@pytest.mark.timeout(120)
def test_kill_and_resume_from_a_checkpoint(make_input):
    """kill -9 leaves rows beyond the last checkpoint, perhaps half a row, and no RESTART."""
    common = {"motion": NVT, "steps": 120, "outputs": CHECKPOINT}
    whole = make_input(**common)
    run_toy(whole, field=protocol(whole, TRIANGLE), **HEALTHY)
    broken = make_input(**common)
    file = protocol(broken, TRIANGLE)
    with killed("simulate", broken.parent / "sim.field", 60), pytest.raises(UserError, match="killed by signal 9"):
        run_toy(broken, model="toy;delay=0.01", dtype="float64", field=file)
    table = broken.parent / "sim.field"
    with open(table, "a") as half:
        half.write("77 3.85e+01 0.000")
    assert not (broken.parent / "RESTART").exists()
    other = protocol(broken, TRIANGLE.replace("40", "44"))
    with pytest.raises(UserError, match="not the protocol with which the run"):
        run_toy(broken, resume=True, field=other, **HEALTHY)
    assert run_toy(broken, resume=True, **HEALTHY).step == 120
    same_record(broken, whole, 120)


@pytest.mark.timeout(60)
def test_a_missing_record_is_not_made_up(make_input):
    path = make_input(steps=20, motion=NVT)
    file = protocol(path, TRIANGLE)
    run_toy(path, field=file, **HEALTHY)
    path.write_text(path.read_text().replace("<total_steps>20<", "<total_steps>40<"))
    table = path.parent / "sim.field"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(rows[:-3]))
    with pytest.raises(UserError, match="no row for step 20"):
        run_toy(path, resume=True, **HEALTHY)
    table.unlink()
    with pytest.raises(UserError, match=r"field record .* is missing"):
        run_toy(path, resume=True, **HEALTHY)


@pytest.mark.timeout(60)
def test_a_driver_side_field_survives_a_resume(make_input):
    path = make_input("unix", steps=20)
    run_toy(path, constant_field=(0.0, 0.0, 0.5), **HEALTHY)
    path.write_text(path.read_text().replace("<total_steps>20<", "<total_steps>40<"))
    run_toy(path, resume=True, **HEALTHY)
    whole = make_input("unix", steps=40)
    run_toy(whole, constant_field=(0.0, 0.0, 0.5), **HEALTHY)
    np.testing.assert_allclose(final_positions(path), final_positions(whole), rtol=1e-9, atol=1e-9)


@pytest.mark.timeout(60)
def test_a_table_goes_into_the_run_directory_and_may_become_longer(make_input):
    """E(t) = 0.02 t V/Å for 10 fs and then for 20 fs; the second part needs the longer table."""
    path = make_input(steps=20)
    file = protocol(path, 'waveform = "table"\nfile = "tables/e.dat"\ndirection = [0, 1, 0]\n')
    table = path.parent / "tables" / "e.dat"
    table.parent.mkdir()
    table.write_text("0 0\n10 0.2\n")
    directory = path.parent / "run"
    run_toy(path, field=file, directory=directory, **HEALTHY)
    assert json.loads((directory / "les_ipi_run.json").read_text())["field_protocol"] == "field.toml"
    path.write_text(path.read_text().replace("<total_steps>20<", "<total_steps>40<"))
    with pytest.raises(UserError, match="covers 0 to 10 fs, but the run goes from 0 to 20 fs"):
        run_toy(path, directory=directory, resume=True, **HEALTHY)
    table.write_text("0 0\n10 0.2\n20 0.4\n")
    run_toy(path, field=file, directory=directory, resume=True, **HEALTHY)
    rows = np.loadtxt(directory / "sim.field")
    np.testing.assert_array_equal(rows[:, 0], np.arange(41))
    np.testing.assert_allclose(rows[:, 3], 0.02 * rows[:, 1], atol=1e-9)
    np.testing.assert_allclose(rows[:, 1], 0.5 * rows[:, 0], rtol=1e-12)
