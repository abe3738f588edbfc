"""The socket protocol and the extras without i-PI."""

import json
import socket
import threading

import numpy as np
import pytest
from ipi_inputs import water_lattice, write_start
from toy_water import ToyEvaluator, evaluate

from les_ipi.conventions import SumRule, born_to_ipi
from les_ipi.driver.serve.client import serve
from les_ipi.driver.serve.extras import encode_extras, parse_properties
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.pes import LESDriver
from les_ipi.driver.serve.template import Template, read_template
from les_ipi.errors import UserError
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import BOHR_A, HARTREE_BOHR_EV_A, HARTREE_EV

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def water():
    symbols, positions, edge = water_lattice(2)
    numbers = np.array([{"O": 8, "H": 1}[symbol] for symbol in symbols])
    return AtomicSystem(numbers, positions, edge * np.eye(3))


def server_for(water, properties=()):
    return ForceServer(ToyEvaluator(), Template(water.numbers, True, 0.0, "start.xyz"), properties)


def message(text):
    return text.ljust(12).encode()


class FakeIpi:
    """The other end of a driver's socket."""

    def __init__(self, evaluate):
        self.socket, ours = socket.socketpair()
        self.socket.settimeout(10)
        self.outcome = []
        self.thread = threading.Thread(target=self._serve, args=(ours, evaluate))
        self.thread.start()

    def _serve(self, connection, evaluate):
        try:
            self.outcome.append(serve(connection, evaluate))
        except Exception as error:
            self.outcome.append(error)

    def ask(self, text, length=12):
        self.socket.sendall(message(text))
        return self.read(length)

    def read(self, length):
        return self.socket.recv(length, socket.MSG_WAITALL)

    def send_init(self, parameters):
        assert self.ask("STATUS") == message("NEEDINIT")
        number = np.int32(len(parameters)).tobytes()
        self.socket.sendall(message("INIT") + np.int32(0).tobytes() + number + parameters.encode())
        assert self.ask("STATUS") == message("READY")

    def end(self):
        self.socket.close()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.outcome[0]


def test_single_structure(water):
    ipi = FakeIpi(server_for(water))
    ipi.send_init(" model : x , ")
    cell = water.cell.T / BOHR_A
    positions = water.positions / BOHR_A
    ipi.socket.sendall(message("POSDATA") + cell.tobytes() + cell.tobytes() + np.int32(24).tobytes())
    ipi.socket.sendall(positions.tobytes() + message("GETFORCE"))
    assert ipi.read(12) == message("FORCEREADY")
    numbers = np.frombuffer(ipi.read(8 + 4 + 24 * 24 + 72), np.uint8).tobytes()
    expected = evaluate(water)
    np.testing.assert_allclose(np.frombuffer(numbers[:8]) * HARTREE_EV, expected.energy, rtol=1e-12)
    forces = np.frombuffer(numbers[12:-72]).reshape(-1, 3) * HARTREE_BOHR_EV_A
    np.testing.assert_allclose(forces, expected.forces, atol=1e-10)
    np.testing.assert_allclose(np.frombuffer(numbers[-72:]).reshape(3, 3) * HARTREE_EV, expected.virial, atol=1e-9)
    extras = json.loads(ipi.read(int(np.frombuffer(ipi.read(4), np.int32)[0])))
    np.testing.assert_allclose(np.array(extras["dipole"]) * BOHR_A, expected.dipole, rtol=1e-12)
    assert list(extras) == ["dipole"]
    ipi.socket.sendall(message("EXIT"))
    assert ipi.end() == 1


def test_padding_of_a_batch_is_not_evaluated(water):
    server = server_for(water)
    ipi = FakeIpi(server)
    ipi.send_init("batch_size:4")
    cell = water.cell.T / BOHR_A
    first, second = water.positions / BOHR_A, water.positions / BOHR_A + 0.1
    ipi.socket.sendall(message("POSDATA") + np.int32(24).tobytes() + cell.tobytes() * 8)
    ipi.socket.sendall(first.tobytes() + second.tobytes() * 3 + message("GETFORCE"))
    assert ipi.read(12) == message("FORCEREADY")
    energies = np.frombuffer(ipi.read(32))
    assert len(set(energies[1:])) == 1
    assert server.evaluator.structures == 2
    ipi.read(4 + 4 * (24 * 24 + 72))
    for _ in range(4):
        assert b"dipole" in ipi.read(int(np.frombuffer(ipi.read(4), np.int32)[0]))
    assert ipi.end() == 2  # i-PI went away: a clean end


def test_error_hangs_up_without_reset(water):
    """What i-PI sent and nobody read must not turn the goodbye into ECONNRESET (it would hang i-PI)."""
    ipi = FakeIpi(server_for(water))
    ipi.send_init("")
    cell = water.cell.T / BOHR_A
    wrong = water.positions[:-3] / BOHR_A
    ipi.socket.sendall(message("POSDATA") + cell.tobytes() * 2 + np.int32(21).tobytes() + wrong.tobytes())
    ipi.socket.sendall(message("GETFORCE"))
    assert ipi.read(12) == b""
    error = ipi.end()
    assert isinstance(error, UserError) and "21 atoms" in str(error)


def test_not_ipi(water):
    ipi = FakeIpi(server_for(water))
    ipi.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert "not part of i-PI's socket protocol" in str(ipi.end())


def test_extras(water):
    results = evaluate(water)
    text = encode_extras(results, parse_properties("BEC;charges"))
    values = json.loads(text)
    assert list(values) == ["dipole", "BEC", "charges"]
    np.testing.assert_allclose(values["BEC"], born_to_ipi(results.born_effective_charges), atol=1e-8)
    np.testing.assert_allclose(values["charges"], results.charges, atol=1e-8)
    with pytest.raises(UserError, match="Unknown property 'energy'"):
        parse_properties("energy")


def test_model_without_charges(water):
    evaluator = ToyEvaluator()
    evaluator.card = {"name": "short", "charge_head": "none"}
    template = Template(water.numbers, True, 0.0, "start.xyz")
    reply = ForceServer(evaluator, template)([water.cell / BOHR_A], [water.positions / BOHR_A])[0]
    assert reply.extras == "{}"
    with pytest.raises(UserError, match="'short' has no charges, so it cannot give born_effective_charges"):
        ForceServer(evaluator, template, "BEC")


def test_parameters_of_the_pes(tmp_path, monkeypatch):
    """Every parameter reaches the one who loads the model; a mistake ends i-PI with one sentence and no traceback."""
    write_start(tmp_path / "start.xyz")
    given, loaded = {"model": "toy", "template": str(tmp_path / "start.xyz")}, []

    class Driver(LESDriver):
        @staticmethod
        def load_evaluator(model, options):
            loaded.append((model, options))
            return ToyEvaluator.load(model)

    driver = Driver(**given, properties="BEC", threads=2, compile=False, sum_rule="report", long_range_accuracy=0.001,
                    constant_field="0;0;0.1", verbosity="low")  # fmt: skip
    ((model, options),) = loaded
    assert (model, options.threads, options.compile) == ("toy", 2, False)
    assert (options.sum_rule, options.long_range_accuracy) == (SumRule.REPORT, 0.001)
    assert len(driver.server.properties) == 2 and driver.server.enthalpy.field.tolist() == [0, 0, 0.1]
    for wrong, sentence in (
        (given | {"colour": "red"}, "Unknown parameter 'colour' of the les-ipi PES: it takes device, dtype, threads, "),
        ({"model": "toy"}, "<parameters> of the les-ipi PES lacks 'template': write {model: NAME, template: START.xyz}."),
        (given | {"dtype": "half"}, "Unknown dtype 'half'"),
    ):
        with pytest.raises(SystemExit) as stopped:
            Driver(**wrong)
        assert sentence in str(stopped.value) and "\n" not in str(stopped.value)


@pytest.mark.parametrize(
    "comment, periodic",
    [
        ("# CELL(abcABC): 9 9 9 90 90 90 positions{angstrom}", True),
        ('# CELL(abcABC): 90 90 90 90 90 90 pbc="F F F"', False),
        ('Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"', True),
        ('Properties=species:S:1:pos:R:3 pbc="F F F" charge=-1', False),
    ],
)
def test_template(tmp_path, comment, periodic):
    path = tmp_path / "t.xyz"
    path.write_text(f"2\n{comment}\nO 0 0 0\nH 1 0 0\n")
    template = read_template(path)
    assert (template.numbers.tolist(), template.periodic) == ([8, 1], periodic)
    assert template.total_charge == (-1 if "charge" in comment else 0)


@pytest.mark.parametrize("comment", ["# CELL(abcABC): 90 90 90 90 90 90", "Properties=species:S:1:pos:R:3"])
def test_the_charge_state_of_a_template_reaches_the_evaluator(tmp_path, comment):
    path = tmp_path / "t.xyz"
    path.write_text(f'3\n{comment} pbc="F F F" total_charge=1 multiplicity=2\nO 0 0 0\nH 1 0 0\nH 0 1 0\n')
    server = ForceServer(ToyEvaluator(), read_template(path))
    system = server.system(np.eye(3), np.zeros((3, 3)))
    assert (system.total_charge, system.multiplicity, system.periodic) == (1.0, 2, False)


def test_template_with_isotopes(tmp_path):
    path = tmp_path / "t.xyz"
    path.write_text("3\n# CELL(abcABC): 9 9 9 90 90 90\nO17 0 0 0\nD 1 0 0\nH2 0 1 0\n")
    assert read_template(path).numbers.tolist() == [8, 1, 1]
