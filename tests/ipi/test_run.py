"""les-ipi run: stop and resume, recorded current, refusals."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import toy_programs
from ipi import read_output
from ipi_inputs import NVT
from toy_programs import run_toy

from les_ipi.errors import UserError
from les_ipi.ipi_files import SimulationFile, read_parameters

POSITIONS = "<trajectory filename='pos' stride='5' format='xyz'> positions{angstrom} </trajectory>"


def start(path, model):
    """Start ``les-ipi run`` with a toy in a process of its own."""
    command = [sys.executable, toy_programs.__file__, "run", str(path), model]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_rows(path, rows, patience=60):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if path.exists() and path.read_bytes().count(b"\n") > rows:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} did not reach {rows} rows")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport, number", [("direct", signal.SIGINT), ("unix", signal.SIGTERM)])
def test_stop_and_resume_equals_an_uninterrupted_run(make_input, transport, number):
    common = dict(motion=NVT, steps=300, outputs=POSITIONS, safe_stride=10)
    healthy = {"model": "toy", "dtype": "float64"}
    whole = make_input(**common)
    run_toy(whole, **healthy)
    broken = make_input(transport, **common)
    process = start(broken, "toy;delay=0.01")
    wait_for_rows(broken.parent / "sim.out", 60)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    with pytest.raises(UserError, match="--resume"):
        run_toy(broken, **healthy)
    assert run_toy(broken, resume=True, **healthy).step == 300
    expected, got = (read_output(str(p.parent / "sim.out"))[0] for p in (whole, broken))
    np.testing.assert_array_equal(got["step"], np.arange(301))
    np.testing.assert_allclose(got["potential"], expected["potential"], rtol=1e-9)
    frames = [(p.parent / "sim.pos_0.xyz").read_text() for p in (whole, broken)]
    assert frames[1].count("Step:") == 61
    assert frames[0] == frames[1]
    assert run_toy(broken, resume=True, **healthy).step == 300  # nothing left to do


@pytest.mark.timeout(60)
def test_resume_extends_a_finished_run(make_input):
    # Two dashes end a comment in XML, and i-PI writes the name of the directory into one.
    path = make_input("unix", steps=20, name="run--2")
    run_toy(path, model="toy", dtype="float64")
    path.write_text(path.read_text().replace("<total_steps>20<", "<total_steps>35<"))
    assert run_toy(path, model="toy", dtype="float64", resume=True).step == 35
    np.testing.assert_array_equal(read_output(str(path.parent / "sim.out"))[0]["step"], np.arange(36))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("transport, beads", [("direct", 1), ("direct", 4), ("unix", 4)])
def test_recorded_current_is_the_derivative_of_the_mean_dipole(make_input, transport, beads):
    dipoles = "<trajectory filename='mu' stride='1' extra_type='dipole'> extras </trajectory>"
    path = make_input(transport, beads=beads, batch=beads, steps=80, dt=0.1, outputs=dipoles)
    run_toy(path, model="toy", dtype="float64", record_current=True, record_stride=1)
    values, _ = read_output(str(path.parent / "sim.current"))
    from les_ipi.units import BOHR_A

    dipole = BOHR_A * np.mean([np.loadtxt(path.parent / f"sim.mu_{b}", comments="#") for b in range(beads)], axis=0)
    slope = (dipole[:-4] - 8 * dipole[1:-3] + 8 * dipole[3:-1] - dipole[4:]) / (12 * 0.1)
    current = values["dipole_current"][2:-2]
    assert np.abs(current).max() > 1e-3
    np.testing.assert_allclose(current, slope, atol=2e-3 * np.abs(slope).max())


@pytest.mark.timeout(60)
def test_run_in_a_new_directory(make_input):
    path = make_input(steps=9)
    directory = path.parent / "a" / "run"
    options = {"dtype": "float64", "sum_rule": "report", "long_range_accuracy": 1e-3}
    result = run_toy(path, directory=directory, record_current=True, **options)
    assert result.step == 9
    assert (directory / "input.xml").read_text() == path.read_text()
    assert read_output(str(directory / "sim.current"))[0]["step"].tolist() == [0, 4, 8]  # 2 fs
    facts = json.loads((directory / "les_ipi_run.json").read_text())
    assert (facts["model"], facts["n_atoms"], facts["n_beads"]) == ("toy", 24, 1)
    assert facts["dipole_single_valued"] is True and facts["epsilon_infinity"] == 1.8
    assert {name: facts[name] for name in options} == options and facts["properties"] == ["dipole"]
    assert (facts["device"], facts["threads"], facts["compile"]) == ("cpu", None, False)
    assert "long_range_accuracy: 0.001" in (directory / "les_ipi_input.xml").read_text()
    assert not (path.parent / "RESTART").exists()


@pytest.mark.timeout(60)
def test_the_address_may_be_the_whole_path_of_a_socket(make_input, tmp_path):
    path = make_input("unix", steps=2)
    text = re.sub("<address>.*</address>", f"<address>/tmp/ipi-{tmp_path.name[-20:]}</address>", path.read_text())
    path.write_text(text.replace("<simulation ", "<simulation sockets_prefix='' "))
    assert run_toy(path, model="toy").step == 2


@pytest.mark.timeout(60)
def test_a_second_force_field_keeps_what_it_says_itself(make_input):
    """Model and template are the same for both, and what the command line asks for; the rest is each force field's own."""
    path = make_input(steps=1)
    text = path.read_text()
    first = re.search(r"<ffdirect name='les'>.*?</ffdirect>", text, re.S)[0]
    own = "{model: other, template: other.xyz, dtype: float32, properties: charges, device: cpu}"
    second = re.sub(r"\{.*\}", own, first).replace("name='les'", "name='coarse'")
    path.write_text(text.replace(first, first + second))
    run_toy(path, directory=path.parent / "run", sum_rule="report", threads=1)
    written = SimulationFile(path.parent / "run" / "les_ipi_input.xml").direct
    asked = {"model": "toy", "template": "start.xyz", "sum_rule": "report", "threads": "1"}
    assert read_parameters(written[0]) == asked | {"dtype": "float64"}
    assert read_parameters(written[1]) == asked | {"dtype": "float32", "properties": "charges", "device": "cpu"}
    # What the command line asks for reaches both, also where the first one says the same.
    run_toy(path, directory=path.parent / "again", dtype="float64")
    for element in SimulationFile(path.parent / "again" / "les_ipi_input.xml").direct:
        assert read_parameters(element)["dtype"] == "float64"


def test_mistakes_get_one_sentence(make_input, tmp_path, free_port):
    import socket

    def refused(match, path, **options):
        with pytest.raises(UserError, match=match) as caught:
            run_toy(path, **options)
        assert "\n" not in str(caught.value)
        assert not (path.parent / "ipi.log").exists()  # found before anything was started

    refused("does not exist", tmp_path / "nothing.xml")
    refused("model 'best' does not exist", make_input(model="best"))
    refused("--model", make_input("unix"))
    refused("Unknown property 'color'", make_input(), properties="color")
    missing = make_input()
    (missing.parent / "start.xyz").unlink()
    refused("start.xyz' does not exist", missing)
    foreign = make_input()
    start_file = foreign.parent / "start.xyz"
    start_file.write_text(start_file.read_text().replace("O ", "Na "))
    refused("contains Na, but the model 'toy' knows only H, O", foreign)
    silent = make_input()
    start_file = silent.parent / "start.xyz"
    start_file.write_text(start_file.read_text().replace("# CELL(abcABC)", "# box"))
    refused("does not say whether it is periodic", silent)
    refused("no run to resume", make_input(), resume=True)
    broken = make_input()
    broken.write_text(broken.read_text()[:-20])
    refused("not valid XML", broken)
    other = make_input(pes="/nowhere/les_pes.py")
    refused("pes_path", other)
    port = free_port()
    with socket.create_server(("localhost", port)):
        refused(f"Port {port}", make_input("inet", port=port), model="toy")
    shared = make_input("unix")
    shared.write_text(shared.read_text().replace("mode='unix'", "mode='shm'"))
    refused('mode="shm"', shared, model="toy")


@pytest.mark.timeout(60)
def test_stale_socket_file_is_removed_and_a_live_one_respected(make_input):
    import socket

    path = make_input("unix", steps=3)
    file = "/tmp/ipi_" + re.search("<address>(.*)</address>", path.read_text())[1]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(file)
        server.listen()
        with pytest.raises(UserError, match="used by a running i-PI"):
            run_toy(path, model="toy")
    assert run_toy(path, model="toy").step == 3
