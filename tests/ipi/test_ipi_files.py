"""The one reader of i-PI's files against i-PI itself: the same inputs, structures, units and numbers through both."""

import subprocess
import sys

import numpy as np
import pytest
from bare_inputs import CELL, START, bare_input, three_atoms
from ipi import read_output
from ipi.engine.properties import getall
from ipi.engine.simulation import Simulation
from ipi.utils.io.inputs.io_xml import read_array
from ipi.utils.io.inputs.io_xml import read_list as ipi_list
from ipi.utils.units import UnitMap, unit_to_internal
from toy_programs import run_toy

from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.static_field import static_field
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.errors import UserError
from les_ipi.ipi_files import (
    SimulationFile,
    is_simulation,
    parse_simulation,
    read_list,
    read_numbers,
    read_parameters,
    read_start,
    to_program_units,
)
from les_ipi.units import BOHR_A, HARTREE_EV

FS = unit_to_internal("time", "femtosecond", 1.0)
KELVIN = unit_to_internal("temperature", "kelvin", 1.0)


@pytest.fixture
def both(tmp_path, monkeypatch):
    """A function that reads an input by this reader and by i-PI."""

    def read(comment=CELL, **changes):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "start.xyz").write_text(three_atoms(comment))
        path = tmp_path / "input.xml"
        path.write_text(bare_input(**changes))
        with open(path) as file:
            return SimulationFile(path), Simulation.load_from_xml(file, read_only=True)

    return read


# -- inputs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps": "<total_steps>\n  25 \t</total_steps><step> 3\n</step>"},
        {"steps": ""},
        {"output": "<output prefix=' run '><properties> [ step ] </properties></output>"},
        {"output": "<output prefix=\"'run'\"><properties>[step]</properties></output>"},
        {"output": "<output prefix=''><properties>[step]</properties></output>"},
        {"output": "<output><properties stride=' 20 '>['step', 'time']</properties></output>"},
        {"output": ""},
        {"nbeads": " 32 "},
        {"timestep": "<timestep>10</timestep>"},
        {"timestep": "<timestep units='atomic_unit'> 10 </timestep>"},
        {"timestep": "<timestep units=' picosecond '> 2.5e-4\n</timestep>"},
        {"temperature": "<temperature> 1e-3 </temperature>"},
        {"temperature": "<temperature units='millikelvin'>3e5</temperature>"},
    ],
)
def test_an_input_says_the_same_to_both(both, changes):
    simulation, ipi = both(**changes)
    system = ipi.syslist[0]
    assert (simulation.step, simulation.total_steps) == (ipi.step, ipi.tsteps)
    assert simulation.n_beads == system.beads.nbeads
    assert simulation.timestep_fs == pytest.approx(system.motion.dt / FS, rel=1e-12)
    assert simulation.temperature_K == pytest.approx(system.ensemble.temp / KELVIN, rel=1e-12)
    assert simulation.output_prefix == ipi.outtemplate.prefix
    assert [output.stride for output in simulation.outputs] == [output.stride for output in ipi.outtemplate]
    columns = [[k.label for k in o.keywords] for o in simulation.outputs if o.kind == "properties"]
    assert columns == [[getall(name)[0] for name in o.outlist] for o in ipi.outtemplate if hasattr(o, "outlist")]


@pytest.mark.parametrize(
    ("comment", "initialize"),
    [
        (CELL, START),
        (CELL.replace("cell{angstrom}", ""), START),
        (CELL.partition(" positions")[0], START.replace("xyz'", "xyz' cell_units='angstrom'")),
        ("# CELL(H): 10 1 2 0 11 3 0 0 12 positions{angstrom} cell{angstrom}", START),
        ("# CELL{GENH}: 0 0 10 0 11 1 12 0 0 positions{angstrom} cell{angstrom}", START),
        (CELL, START + "<cell mode='abc' units='angstrom'>[13, 14, 15]</cell>"),
        (CELL, "<cell mode='abc' units='angstrom'>[13, 14, 15]</cell>" + START),
        ("# positions{angstrom}", "<cell mode='abc' units='angstrom'>[13, 14, 15]</cell>" + START),
        ("# positions{angstrom}", START + "<cell mode='abcABC' units='angstrom'>[13, 14, 15, 80, 90, 100]</cell>"),
        ("# positions{angstrom}", START + "<cell> [ 20, 1, 2,\n 0, 21, 3, 0, 0, 22 ] </cell>"),
        ("# positions{angstrom}", START + "<cell mode='manual' units='angstrom'>[20,1,2,0,21,3,0,0,22]</cell>"),
        (CELL, START + "<labels mode='manual'>[C, 'N', O17]</labels>"),
        (CELL, "<positions mode='xyz'>start.xyz</positions><labels mode='xyz'>start.xyz</labels>"
               "<masses mode='xyz'>start.xyz</masses><cell>[20,1,2,0,21,3,0,0,22]</cell>"),
    ],
)  # fmt: skip
def test_the_start_is_that_of_ipi(both, tmp_path, comment, initialize):
    simulation, ipi = both(comment, initialize=initialize)
    system, start = ipi.syslist[0], read_start(simulation, tmp_path)
    assert start.symbols == tuple(system.beads.names)
    np.testing.assert_allclose(start.cell, np.array(system.cell.h).T * BOHR_A, atol=1e-12)


def test_a_structure_that_ase_reads_is_turned_as_ipi_does(both, tmp_path):
    (tmp_path / "start.cif.extxyz").write_text(
        '2\nLattice="0 5 0 0 1 6 7 0 0" Properties=species:S:1:pos:R:3 pbc="T T T"\nO 0 0 0\nH 1 0 0\n'
    )
    simulation, ipi = both(initialize="<file mode='ase'>start.cif.extxyz</file>")
    start = read_start(simulation, tmp_path)
    np.testing.assert_allclose(start.cell, np.array(ipi.syslist[0].cell.h).T * BOHR_A, rtol=1e-6, atol=1e-6)
    assert start.symbols == ("O", "H")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": "<total_steps>1e3</total_steps>"}, "<total_steps> in .* is '1e3', not a whole number"),
        ({"output": "<output><properties stride='1.5'>[step]</properties></output>"}, "stride of <properties>"),
        ({"nbeads": "four"}, "nbeads of <initialize>"),
        ({"timestep": "<timestep>0.5D0</timestep>"}, "<timestep> in .* is '0.5D0', not a number"),
        ({"timestep": "<timestep units='fortnight'>1</timestep>"}, "'fortnight' is not a unit of time"),
        ({"temperature": "<temperature units='electronvolt'>1</temperature>"}, "'electronvolt' is not a unit of temperature"),
        ({"initialize": START + "<cell>[1.0D+1, 0, 0, 0, 1, 0, 0, 0, 1]</cell>"}, "<cell> .* not a number"),
        ({"initialize": START + "<cell mode='abc'>[10, 11]</cell>"}, "has 2 numbers, expected 3"),
    ],
)
def test_what_ipi_cannot_read_is_refused_in_one_sentence(both, capsys, changes, words):
    with pytest.raises((ValueError, TypeError)):
        both(**changes)
    capsys.readouterr()
    simulation = SimulationFile("input.xml")
    with pytest.raises(UserError, match=words):
        for name in ("total_steps", "outputs", "n_beads", "timestep_fs", "temperature_K"):
            getattr(simulation, name)
        read_start(simulation, simulation.path.parent)
    assert capsys.readouterr().out == ""


# -- XML -----------------------------------------------------------------------------------------------------


def test_comments_with_dashes_and_the_line_of_an_error(tmp_path):
    path = tmp_path / "RESTART"
    path.write_text("<!--\n /home/run--2 \n-->\n<simulation>\n<step> 7 </step></simulation>")
    assert is_simulation(path) and SimulationFile(path).step == 7
    path.write_text("<!-- a--b -->\n<simulation>\n<step></simulation>")
    with pytest.raises(UserError, match=r"RESTART' is not valid XML \(mismatched tag: line 3"):
        parse_simulation(path)


@pytest.mark.parametrize(
    ("encoding", "declaration"),
    [
        ("utf-8", ""),
        ("utf-8", "<?xml version='1.0' encoding='UTF-8'?>"),
        ("utf-8-sig", "<?xml version='1.0'?>"),
        ("iso-8859-1", "<?xml version='1.0' encoding='ISO-8859-1'?>"),
        ("utf-16", "<?xml version='1.0' encoding='UTF-16'?>"),
    ],
)
def test_encodings(tmp_path, encoding, declaration):
    path = tmp_path / "input.xml"
    path.write_text(f"{declaration}<!-- Gerät--1 --><simulation><output prefix='Gerät'/></simulation>", encoding=encoding)
    assert is_simulation(path)
    assert SimulationFile(path).output_prefix == "Gerät"


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "input.xml"
    path.write_bytes("<simulation><output prefix='Gerät'/></simulation>".encode("iso-8859-1"))
    assert not is_simulation(path)
    with pytest.raises(UserError, match=r"cannot be decoded .* save it as UTF-8"):
        parse_simulation(path)


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("<simulation/>", True),
        ("<!DOCTYPE simulation [<!ENTITY x 'y'>]>\n<?style?><!-- <a> -->\n<simulation mode='md'>", True),
        ("<simulations/>", False),
        ("<!-- <simulation> --><a/>", False),
        ("", False),
    ],
)
def test_what_is_an_input(tmp_path, text, root):
    (tmp_path / "file").write_text(text)
    assert is_simulation(tmp_path / "file") is root


# -- lists, numbers, units -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[a, b]", " [ 'a' ,\n b\t] \n", "[]", "[ 1.0e0 ]", "[a,,b]"])
def test_lists(text):
    assert read_list(text) == ipi_list(text)


@pytest.mark.parametrize("text", ["[1, -2.5e-3, +3E2]", "\n [ 1.00000000e+00,\n  nan, inf ] \n", "[1.0D-3]", "[1 2]", "[1,]"])
def test_numbers(tmp_path, text):
    (tmp_path / "input.xml").write_text(f"<simulation><q shape='(1, 3)'>{text}</q></simulation>")
    element = parse_simulation(tmp_path / "input.xml").find("q")
    try:
        expected = read_array(float, text)
    except ValueError:
        with pytest.raises(UserError, match=r"<q> in .* not a number"):
            read_numbers(element, None, tmp_path)
    else:
        np.testing.assert_array_equal(read_numbers(element, None, tmp_path), expected)


@pytest.mark.parametrize(
    ("dimension", "atomic"),
    [
        ("length", BOHR_A),
        ("energy", HARTREE_EV),
        ("time", 1.0 / FS),
        ("temperature", 1.0 / KELVIN),
        ("volume", BOHR_A**3),
        ("electric-dipole", BOHR_A),
        ("electric-field", HARTREE_EV / BOHR_A),
        ("velocity", BOHR_A * FS),
    ],
)
def test_units(dimension, atomic):
    """Every unit of i-PI, and the package's own as one, to the digits of i-PI's constants."""
    own = {"length": "angstrom", "energy": "electronvolt", "time": "femtosecond", "temperature": "kelvin",
           "volume": "angstrom3", "electric-dipole": "eang", "electric-field": "v/ang"}  # fmt: skip
    for unit in UnitMap[dimension]:
        found = to_program_units(dimension, f" {unit} ")
        assert found == pytest.approx(unit_to_internal(dimension, unit) * atomic, rel=1e-6), unit
    if dimension in own:
        assert to_program_units(dimension, own[dimension]) == pytest.approx(1.0, rel=2e-7)


def test_parameters(tmp_path):
    (tmp_path / "input.xml").write_text(
        "<simulation><ffdirect><parameters>{ model: a:b , constant_field:0;0;0.1}</parameters></ffdirect><ffsocket/>"
        "</simulation>"
    )
    simulation = SimulationFile(tmp_path / "input.xml")
    assert simulation.served == {"model": "a:b", "constant_field": "0;0;0.1"}
    assert read_parameters(simulation.sockets[0]) == {}


# -- driver and analysis -------------------------------------------------------------------------------------


def test_the_reader_is_cheap_to_import():
    """Neither torch nor ASE, MDAnalysis or i-PI is loaded with it."""
    code = "import sys, les_ipi.ipi_files; print(*{'torch', 'ase', 'MDAnalysis', 'ipi', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_rewritten_input_stays_one(tmp_path, both):
    """What les-ipi run writes says the same as what it read, but for what it was told to change."""
    both()
    simulation = SimulationInput(tmp_path / "input.xml")
    simulation.set_total_steps(77)
    simulation.record_current(4)
    simulation.write(tmp_path / "changed.xml")
    changed = SimulationFile(tmp_path / "changed.xml")
    assert (changed.total_steps, changed.n_beads, changed.temperature_K) == (77, 4, simulation.temperature_K)
    assert [(o.start, o.stride) for o in changed.outputs] == [("run.out", 1), ("run.current", 4)]
    assert SimulationInput(tmp_path / "changed.xml").records_current


@pytest.mark.timeout(100)
def test_a_restart_with_two_dashes_in_its_comment_is_read_by_driver_and_analysis(make_input):
    """i-PI writes the directory of the run into a comment of RESTART, and XML forbids two dashes there."""
    path = make_input("direct", beads=2, steps=10, name="run--2")
    assert run_toy(path, model="toy").step == 10
    restart = path.parent / "RESTART"
    assert "run--2" in restart.read_text().partition("-->")[0]
    path.write_text(path.read_text().replace("<total_steps>10<", "<total_steps>14<"))
    assert run_toy(path, model="toy", resume=True).step == 14
    np.testing.assert_array_equal(read_output(path.parent / "sim.out")[0]["step"], np.arange(15))

    by_input = RunDirectory(path.parent)
    alone = path.parent / "alone--3"
    alone.mkdir()
    restart.rename(alone / "RESTART")
    by_restart = RunDirectory(alone)
    assert by_restart.input.path.name == "RESTART" and by_restart.input.simulation.step == 14
    assert by_restart.symbols == by_input.symbols == ("O", "H", "H") * 8
    assert (by_restart.n_beads, by_restart.input.prefix) == (by_input.n_beads, by_input.input.prefix) == (2, "sim")
    assert by_restart.temperature_K == pytest.approx(by_input.temperature_K, rel=1e-9)
    assert by_restart.timestep_fs == pytest.approx(by_input.timestep_fs, rel=1e-9)
    np.testing.assert_allclose(by_restart.input.cell, by_input.input.cell, rtol=1e-6, atol=1e-6)
    assert static_field(by_restart) is None
