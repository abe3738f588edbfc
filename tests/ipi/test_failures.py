"""What goes wrong during a run ends in one sentence, nothing hung, and a RESTART that continues."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from ipi import read_output
from ipi_inputs import NVT
from test_run import wait_for_rows
from toy_programs import OFTEN_RESTARTED, PROGRAMS, run_toy

from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.driver.launch.run import drift_warning
from les_ipi.driver.launch.simulate import DriftWindow, window_steps
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.errors import UserError

TRPMD = """<dynamics mode='nvt'><timestep units='femtosecond'>{dt}</timestep>
  <thermostat mode='pile_g'><tau units='femtosecond'>1000</tau><pile_lambda>0.5</pile_lambda></thermostat></dynamics>"""


def restart_continues(path, steps, **options):
    """Resume with a healthy model and check that no row is lost or repeated."""
    assert run_toy(path, resume=True, **{"model": "toy", **options}).step == steps
    np.testing.assert_array_equal(read_output(str(path.parent / "sim.out"))[0]["step"], np.arange(steps + 1))


def child_pid(program):
    """The child of this process with ``program`` (serve, simulate) on its command line."""
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    children = subprocess.run(command, capture_output=True, text=True)
    return next(int(line.split()[0]) for line in children.stdout.splitlines() if f" {program} {{" in line)


@contextmanager
def killed(program, file, rows):
    """Kill -9 the child of this process, see :func:`child_pid`, as soon as ``file`` has more than ``rows`` lines."""

    def kill():
        wait_for_rows(file, rows)
        os.kill(child_pid(program), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


@pytest.mark.timeout(100)
@pytest.mark.parametrize("transport, batch", [("direct", 1), ("direct", 2), ("unix", 1), ("unix", 2)])
def test_not_a_number(make_input, transport, batch):
    path = make_input(transport, beads=2, batch=batch, steps=40)
    with pytest.raises(UserError, match=r"not a number.*stopped at step \d+ of 40; --resume"):
        run_toy(path, model="toy;nan_at=30")
    restart_continues(path, 40)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("transport", ["unix", "inet"])
def test_killed_driver(make_input, transport, free_port):
    path = make_input(transport, steps=150, port=free_port())
    refused = pytest.raises(UserError, match=r"Driver 0 was killed by signal 9 \(SIGKILL\).*stopped at step")
    with killed("serve", path.parent / "sim.out", 20), refused:
        run_toy(path, model="toy;delay=0.02")
    restart_continues(path, 150)


@pytest.mark.timeout(100)
def test_killed_ipi_resumes_from_a_checkpoint(make_input):
    """kill -9 within the first minute leaves no RESTART, a socket file, and rows beyond the last checkpoint."""
    checkpoint = "<checkpoint filename='chk' stride='25' overwrite='False'/>"
    path = make_input("unix", steps=120, outputs=checkpoint)
    refused = pytest.raises(UserError, match=r"i-PI was killed by signal 9 .* stopped at step (50|75|100) of 120")
    with killed("simulate", path.parent / "sim.out", 60), refused:
        run_toy(path, model="toy;delay=0.02")
    assert not (path.parent / "RESTART").exists()
    restart_continues(path, 120)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("kept", ["RESTART", "checkpoints"])
def test_a_killed_run_with_buffered_outputs_goes_on_without_a_gap(make_input, kept):
    """RESTART is kept up to date while i-PI runs, and neither it nor a checkpoint is ahead of buffered outputs."""
    outputs = "<trajectory filename='x' stride='1' flush='1000' format='xyz'> positions </trajectory>"
    if kept == "checkpoints":
        outputs = f"<checkpoint filename='chk' stride='25' overwrite='False'/> {outputs}"
    path = make_input("direct", beads=2, steps=300, outputs=outputs)
    program, programs = ("simulate-often", OFTEN_RESTARTED) if kept == "RESTART" else ("simulate", PROGRAMS)
    awaited = path.parent / ("RESTART" if kept == "RESTART" else "sim.chk_2")
    refused = pytest.raises(UserError, match=r"i-PI was killed by signal 9 .* stopped at step \d+ of 300")
    with killed(program, awaited, 1), refused:
        run_toy(path, programs, model="toy;delay=0.01")
    restart_continues(path, 300)
    for bead in "01":
        text = (path.parent / f"sim.x_{bead}.xyz").read_text()
        assert [int(step) for step in re.findall(r"Step:\s+(\d+)", text)] == list(range(301))


@pytest.mark.timeout(120)
def test_a_killed_run_loses_no_step_of_its_current(make_input):
    """The current that the analysis reads from a killed and resumed run is that of the run that was left alone."""
    common = {"motion": NVT, "steps": 120, "outputs": "<checkpoint filename='chk' stride='25' overwrite='False'/>"}
    record = {"dtype": "float64", "record_current": True, "record_stride": 1}
    whole = make_input(**common)
    run_toy(whole, model="toy", **record)
    broken = make_input(**common)
    refused = pytest.raises(UserError, match="killed by signal 9")
    with killed("simulate", broken.parent / "sim.current", 60), refused:
        run_toy(broken, model="toy;delay=0.01", **record)
    with open(broken.parent / "sim.current", "a") as half:
        half.write("  7.7000e+01  1.2")
    restart_continues(broken, 120, **record)
    expected, got = (RunDirectory(p.parent).current() for p in (whole, broken))
    np.testing.assert_array_equal(got.steps, np.arange(121))
    np.testing.assert_allclose(got.values, expected.values, rtol=1e-9, atol=1e-9 * np.abs(expected.values).max())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", ["direct", "unix"])
def test_wrong_atom_count(make_input, transport):
    path = make_input(transport)
    other = make_input(per_side=3)
    template = str(other.parent / "start.xyz")
    with pytest.raises(UserError, match=r"i-PI sent 24 atoms, but the template .* has 81"):
        run_toy(path, model="toy", template=template)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", ["direct", "unix"])
def test_cell_smaller_than_the_cutoff(make_input, transport):
    path = make_input(transport, per_side=1)
    with pytest.raises(UserError, match=r"The cell is 3.10 Å thin, but the model's cutoff is 4.00 Å"):
        run_toy(path, model="toy")


@pytest.mark.timeout(60)
def test_mistake_in_the_xml(make_input):
    path = make_input()
    path.write_text(path.read_text().replace("conserved{electronvolt}", "conservd"))
    with pytest.raises(UserError, match=r"conservd is not a recognized property"):
        run_toy(path)
    path.write_text(path.read_text().replace("conservd", "conserved"))
    assert run_toy(path).step == 100  # mended: no need for --resume


@pytest.mark.timeout(60)
@pytest.mark.parametrize("model, status", [("best", "does not exist"), ("toy;nan_at=20", "not a number")])
def test_plain_ipi_with_ffdirect(make_input, model, status):
    """Without les-ipi run: i-PI prints the sentence, ends with a non-zero status and leaves RESTART."""
    path = make_input(model=model)
    end = subprocess.run([ipi_program(), "input.xml"], cwd=path.parent, capture_output=True, text=True, timeout=50)
    assert end.returncode == 1
    sentence = [line for line in end.stderr.splitlines() if line.startswith("les-ipi error: ")]
    assert len(sentence) == 1 and status in sentence[0]
    assert "Traceback" not in end.stderr
    assert (path.parent / "RESTART").exists() == (model != "best")


def ipi_program():
    return os.path.join(os.path.dirname(sys.executable), "i-pi")


@pytest.mark.timeout(60)
def test_plain_ipi_survives_a_driver_that_fails(make_input):
    """A failing driver hangs up so that i-PI waits for the next driver and goes on with it."""
    from toy_programs import PROGRAMS

    from les_ipi.driver.launch.simulation_input import SimulationInput

    path = make_input("unix", steps=60)
    address = SimulationInput(path).sockets[0].findtext("address").strip()
    options = '{"model": "%s", "template": "start.xyz", "unix": "%s", "retry": 20}'
    ipi = subprocess.Popen([ipi_program(), "input.xml"], cwd=path.parent, stdout=subprocess.DEVNULL)
    try:
        failing = [*PROGRAMS.serve, options % ("toy;nan_at=30", address)]
        first = subprocess.run(failing, cwd=path.parent, capture_output=True, text=True, timeout=30)
        assert first.returncode == 2 and "not a number" in first.stderr
        healthy = [*PROGRAMS.serve, options % ("toy", address)]
        second = subprocess.run(healthy, cwd=path.parent, capture_output=True, text=True, timeout=30)
        assert second.returncode == 0
        assert ipi.wait(timeout=20) == 0
    finally:
        ipi.kill()
    assert len(read_output(str(path.parent / "sim.out"))[0]["step"]) == 61


@pytest.mark.timeout(30)
def test_no_server(make_input):
    from les_ipi.driver.serve.client import connect_inet, connect_unix

    start = time.monotonic()
    with pytest.raises(UserError, match="No i-PI server answers at unix socket /tmp/ipi_nobody"):
        connect_unix("nobody", retry=0.5)
    with pytest.raises(UserError, match=r"host 'no\.such\.host\.invalid' cannot be found"):
        connect_inet("no.such.host.invalid", 1)
    assert time.monotonic() - start < 20


@pytest.mark.timeout(60)
def test_a_simulation_that_blows_up_is_stopped(make_input):
    """A time step of 8 fs is beyond the stability limit of O-H vibrations; i-PI alone would go on and end with status 0."""
    path = make_input(dt=8.0, steps=100000)
    with pytest.raises(UserError, match=r"drifted by .* within a picosecond: the simulation has blown up|not a number"):
        run_toy(path)


def test_steps_of_a_picosecond():
    """0.5 fs is 20.67 atomic units of time."""
    assert window_steps(20.6707) == pytest.approx(2000.0, rel=1e-4)
    assert window_steps(0.0) == float("inf")


def test_a_steady_drift_is_not_an_explosion():
    """0.1 a step over windows of 10 steps: never more than 1 however long, while a jump shows at once."""
    window = DriftWindow(10)
    steady = [window.drift(step, 0.1 * step) for step in range(0, 1000, 2)]
    assert max(steady) == pytest.approx(1.0) and min(steady[1:]) > 0.0
    assert window.drift(1000, 150.0) > 40.0


@pytest.mark.timeout(120)
def test_a_steady_drift_is_told(make_input):
    """8 beads at 2000 K turn by 2 rad in a step of 0.5 fs, which thermostats turn into heat; classical dynamics has none."""
    assert run_toy(make_input(steps=600)).warning is None
    path = make_input(steps=600, beads=8, batch=8, kelvin=2000, motion=TRPMD)
    assert re.search(r"drifts by \+\d.* k_B T\. .* turns into heat.*baoab.*docs/how-to/driver\.md", run_toy(path).warning)


def test_which_drifts_are_told(make_input):
    """More than a quarter of k_B T = 25.9 meV in a picosecond, with a temperature and by dynamics alone."""

    def warning(drift, old="", new="", **options):
        path = make_input(**options)
        path.write_text(path.read_text().replace(old, new) if old else path.read_text())
        return drift_warning(SimulationInput(path), drift)

    assert warning(-6.4) is None and warning(None) is None
    assert "-6.6 meV/atom" in warning(-6.6) and "baoab" not in warning(-6.6)
    assert "baoab" in warning(6.6, beads=4)
    assert "baoab" not in warning(6.6, "mode='nve'", "mode='nve' splitting='baoab'", beads=4)
    assert warning(6.6, "<temperature units='kelvin'>300", "<temperature>TEMP") is None
    assert warning(6.6, "<temperature units='kelvin'>300</temperature>") is None
    assert warning(6.6, "motion mode='dynamics'", "motion mode='driven_dynamics'") is None
