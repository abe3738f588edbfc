"""The one reader of i-PI's files against i-PI itself: the same inputs, headers, names and numbers through both."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from ipi import read_output
from ipi.engine.atoms import Atoms
from ipi.engine.cell import Cell
from ipi.engine.properties import getall
from ipi.engine.simulation import Simulation
from ipi.utils.io import iter_file, print_file
from ipi.utils.io.backends.io_xyz import read_xyz
from ipi.utils.io.inputs.io_xml import read_array
from ipi.utils.io.inputs.io_xml import read_list as ipi_list
from ipi.utils.units import UnitMap, unit_to_internal
from toy_programs import run_toy

from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.static_field import static_field
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.errors import UserError
from les_ipi.ipi_files import (
    AtomFile,
    SimulationFile,
    bead_digits,
    is_simulation,
    parse_cell,
    parse_comment,
    parse_ipi_cell,
    parse_keyword,
    parse_simulation,
    read_list,
    read_numbers,
    read_parameters,
    read_properties,
    read_start,
    to_program_units,
)
from les_ipi.units import BOHR_A, HARTREE_EV

FS = unit_to_internal("time", "femtosecond", 1.0)
KELVIN = unit_to_internal("temperature", "kelvin", 1.0)
OUTPUT = "<output prefix='run'><properties>[step, time{femtosecond}]</properties></output>"
STEPS = "<total_steps>10</total_steps>"
START = "<file mode='xyz'>start.xyz</file>"
CELL = "# CELL(abcABC): 10 11 12 90 90 60 positions{angstrom} cell{angstrom}"
DYNAMICS = "<timestep units='femtosecond'>0.25</timestep>"
TEMPERATURE = "<temperature units='kelvin'>300</temperature>"


def input_text(output=OUTPUT, steps=STEPS, initialize=START, system="", nbeads=4, timestep=DYNAMICS, temperature=TEMPERATURE):
    return f"""<simulation verbosity='quiet'>{output}{steps}
    <ffdirect name='none'><pes>dummy</pes><parameters>{{seconds: 0}}</parameters></ffdirect>
    <system {system}><initialize nbeads='{nbeads}'>{initialize}</initialize>
      <forces><force forcefield='none'/></forces><ensemble>{temperature}</ensemble>
      <motion mode='dynamics'><dynamics mode='nve'>{timestep}</dynamics></motion></system>
    </simulation>"""


@pytest.fixture
def both(tmp_path, monkeypatch):
    """A function that reads an input by this reader and by i-PI."""

    def read(comment=CELL, **changes):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "start.xyz").write_text(f"3\n{comment}\nO 0 0 0\nH 1 0 0\nD 0 1 0\n")
        path = tmp_path / "input.xml"
        path.write_text(input_text(**changes))
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
        {"temperature": "<temperature units='electronvolt'>0.025</temperature>"},
        {"temperature": "<temperature units='millikelvin'>3e5</temperature>"},
    ],
)
def test_an_input_says_the_same_to_both(both, changes):
    if "electronvolt" in changes.get("temperature", ""):
        with pytest.raises(TypeError, match="undefined unit"):
            both(**changes)
        with pytest.raises(UserError, match="'electronvolt' is not a unit of temperature"):
            SimulationFile("input.xml").temperature_K  # noqa: B018
        return
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
        for name in ("total_steps", "outputs", "n_beads", "timestep_fs"):
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


# -- file names ----------------------------------------------------------------------------------------------

_WRITE = """
import json, os, sys
from ipi.engine.simulation import Simulation
names = {}
for directory in sys.argv[1:]:
    os.chdir(directory)
    before = set(os.listdir())
    with open("input.xml") as file:
        simulation = Simulation.load_from_xml(file)
    for output in simulation.outputs:
        output.write() if hasattr(output, "overwrite") else None
    names[directory] = sorted(set(os.listdir()) - before)
print(json.dumps(names), flush=True)
os._exit(0)
"""
_TRAJECTORIES = """<output prefix='run'><properties filename='md'>[step]</properties>
  <trajectory>positions{angstrom}</trajectory>
  <trajectory filename='v' format='ase'>velocities</trajectory>
  <trajectory filename='f' bead='1' format='pdb'>positions</trajectory>
  <trajectory filename='s' bead='-4'>forces</trajectory>
  <trajectory filename='c'>x_centroid</trajectory>
  <trajectory filename='bec' extra_type='BEC'>extras</trajectory>
  <trajectory filename='raw' extra_type='BEC'>extras_component_raw(0)</trajectory>
  <checkpoint stride='1'/></output>"""
_WHOLE = """<output prefix='run'><trajectory>positions{angstrom}</trajectory>
  <trajectory filename='v' format='ase'>velocities</trajectory>
  <trajectory filename='bec' extra_type='BEC'>extras</trajectory></output>"""
_MANY = "<output prefix='run'><trajectory filename='x' bead='-100'>positions</trajectory></output>"
_NAMED = {
    "plain": {"output": _TRAJECTORIES},
    "one": {"output": _TRAJECTORIES.replace("bead='1'", ""), "nbeads": 1},
    "nine": {"output": _TRAJECTORIES, "nbeads": 9},
    "ten": {"output": _TRAJECTORIES, "nbeads": 10},
    "hundred": {"output": _MANY, "nbeads": 100},
    "thousand": {"output": _MANY, "nbeads": 1000},
    "no prefix": {"output": _TRAJECTORIES.replace("'run'", "''")},
    "system": {"output": _TRAJECTORIES, "system": "prefix='A'"},
    "nothing": {"output": ""},
    "whole, nine": {"output": _WHOLE, "nbeads": 9},
    "whole, ten": {"output": _WHOLE, "nbeads": 10},
    "whole, no prefix": {"output": _WHOLE.replace("'run'", "''")},
    "whole, system": {"output": _WHOLE, "system": "prefix='A'"},
}


@pytest.fixture(scope="module")
def written_names(tmp_path_factory):
    """The names of the output files that i-PI opens for each of the inputs."""
    directory = tmp_path_factory.mktemp("names")
    for name, changes in _NAMED.items():
        (directory / name).mkdir()
        (directory / name / "start.xyz").write_text(f"3\n{CELL}\nO 0 0 0\nH 1 0 0\nD 0 1 0\n")
        (directory / name / "input.xml").write_text(input_text(**changes))
    command = [sys.executable, "-c", _WRITE, *(str(directory / name) for name in _NAMED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", _NAMED)
def test_names_of_output_files(written_names, name):
    directory, written = written_names
    simulation = SimulationFile(directory / name / "input.xml")
    expected = [n for output in simulation.outputs for n in output.names(simulation.n_beads) if output.kind != "checkpoint"]
    checkpoints = [output.start for output in simulation.outputs if output.kind == "checkpoint"]
    found = [n for n in written[str(directory / name)] if n not in checkpoints]
    assert sorted(expected) == sorted(found)
    if name != "nothing":  # whose checkpoint comes after a thousand steps
        assert set(checkpoints) <= set(written[str(directory / name)])


@pytest.mark.parametrize("name", [name for name in _NAMED if name.startswith("whole")])
def test_bead_files_are_found_by_name(written_names, name):
    directory = written_names[0] / name
    (directory / "other_7").write_text("a file of the user and no output of i-PI")
    simulation = SimulationFile(directory / "input.xml")
    found = simulation.bead_files(directory)
    assert set(found) == {"traj.xyz", "v.extxyz", "bec"}
    for files in found.values():
        beads = [int(path.name.partition(".xyz")[0].partition(".extxyz")[0].rsplit("_")[-1]) for path in files]
        assert beads == list(range(simulation.n_beads))


def test_a_trajectory_of_some_beads_is_no_ring_polymer(written_names):
    directory = written_names[0] / "nine"
    with pytest.raises(UserError, match=r"Bead\(s\) \[1, 2, 3, 5, 6, 7\] of run\.s\.xyz are missing"):
        SimulationFile(directory / "input.xml").bead_files(directory)


def test_bead_digits():
    assert [bead_digits(n) for n in (1, 9, 10, 99, 100, 999, 1000, 1001)] == [1, 1, 2, 2, 3, 3, 3, 4]


# -- headers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bracket", ["()", "[]", "{}"])
@pytest.mark.parametrize(
    "cell",
    ["abcABC: 10.0  11.5  12.25  80.0  90.0  100.0", "H: 10 1 2 0 11 3 0 0 12", "GENH: 1 2 10 0 11 1 12 0.5 0"],
)
def test_cells_of_comments(bracket, cell):
    kind, numbers = cell.split(":")
    comment = f"# CELL{bracket[0]}{kind}{bracket[1]}:{numbers}  Step: 3  Bead: 1 positions{{angstrom}} cell{{angstrom}}"
    _, h, *_ = read_xyz(iter(["1\n", comment + "\n", "H 0 0 0\n"]))
    np.testing.assert_allclose(parse_ipi_cell(comment, "angstrom"), h.T, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(parse_cell(comment), h.T * BOHR_A, rtol=1e-9, atol=1e-9)


def test_lattice_of_extended_xyz():
    lattice = parse_cell('Lattice="1 0 0 2 3 0 4 5 6" Properties=species:S:1:pos:R:3')
    np.testing.assert_array_equal(lattice, [[1, 0, 0], [2, 3, 0], [4, 5, 6]])
    assert parse_cell("# nothing here") is None


@pytest.mark.parametrize(
    ("key", "dimension", "unit", "mode"),
    [
        ("positions", "length", "angstrom", "xyz"),
        ("positions", "length", "automatic", "xyz"),
        ("x_centroid", "length", "nanometer", "xyz"),
        ("velocities", "velocity", "m/s", "xyz"),
        ("velocities", "velocity", "automatic", "xyz"),
        ("positions", "length", "automatic", "ase"),
    ],
)
@pytest.mark.parametrize("cell_unit", ["automatic", "angstrom"])
def test_frames_that_ipi_prints(tmp_path, key, dimension, unit, mode, cell_unit):
    """Values, cell, step, bead and units of what i-PI's own writer prints."""
    atoms, cell = Atoms(2), Cell(np.array([[10.0, 1.0, 2.0], [0.0, 11.0, 3.0], [0.0, 0.0, 12.0]]))
    atoms.names[:] = ["O", "D"] if mode == "xyz" else ["O", "H"]
    cell_unit = "automatic" if mode == "ase" else cell_unit
    values = np.array([0.1, -2.0, 3.0, 4.0e-3, 5.0, 6.0])
    text = io.StringIO()
    for step in (0, 10):
        atoms.q[:] = values + step
        title = f"Step:  {step:10d}  Bead:   {2:5d} "
        print_file(mode, atoms, cell, text, title, key, dimension, unit, cell_unit)
    path = tmp_path / ("run.x_2.xyz" if mode == "xyz" else "run.x_2.extxyz")
    path.write_text(text.getvalue())
    file = AtomFile(path)
    first = parse_comment(file.comment)
    assert (file.quantity, first.step, first.bead, file.n_atoms) == (key, 0, 2, 2)
    assert file.symbols == list(atoms.names)
    steps, found, volumes = file.read(dimension)
    np.testing.assert_array_equal(steps, [0, 10])
    expected = np.stack([values, values + 10]).reshape(2, 2, 3) * to_program_units(dimension, "")
    np.testing.assert_allclose(found, expected, rtol=6e-6)  # six digits are printed
    np.testing.assert_allclose(file.cell, np.array(cell.h).T * BOHR_A, rtol=2e-6, atol=2e-5)
    np.testing.assert_allclose(volumes, 1320.0 * BOHR_A**3, rtol=2e-5)
    if mode == "xyz" and unit != "m/s":  # i-PI's own reader does not know units with a slash
        frames = list(iter_file("xyz", io.StringIO(text.getvalue())))
        by_ipi = np.stack([frame["atoms"].q.reshape(-1, 3) for frame in frames]) * to_program_units(dimension, "")
        np.testing.assert_allclose(found, by_ipi, rtol=1e-7)


@pytest.mark.parametrize(
    "text",
    ["temperature", "temperature{kelvin}", "temperature{kelvin}(O)", "temperature(O){kelvin}", " atom_x{angstrom}( 1 ) ",
     "extras_component_raw(0)", "kinetic_md"],
)  # fmt: skip
def test_keywords(text):
    name, unit, arguments, _ = getall(text)
    keyword = parse_keyword(text)
    assert (keyword.name, keyword.unit, keyword.arguments) == (name, unit, "".join(arguments))


def test_property_tables(tmp_path):
    """A temperature of some atoms is not that of all, and i-PI's own reader finds the same columns."""
    path = tmp_path / "run.out"
    path.write_text(
        "# column   1     --> step : The current simulation time step.\n"
        "# column   2     --> time{picosecond} : The elapsed simulation time: of all.\n"
        "# column   3     --> temperature{kelvin} : The temperature.\n"
        "# column   4     --> temperature(O){kelvin} : The temperature of O.\n"
        "# column   5     --> temperature{kelvin}(H) : The temperature of H.\n"
        "# cols.    6-11  --> cell_h : The cell.\n"
        "  0.0 0.000 300.0 310.0 290.0  1 2 3 4 5 6\n"
        "  1.0 0.001 301.0 311.0 291.0  1 2 3 4 5 6\n"
    )
    found, (expected, _) = read_properties(path), read_output(path)
    assert list(found) == list(expected)
    for name, values in expected.items():
        factor = {"time": 1000.0, "cell_h": BOHR_A}.get(name, 1.0)
        np.testing.assert_allclose(found[name], values * factor, rtol=1e-9, err_msg=name)
    path.write_text(path.read_text().replace("301.0", "3.0D2"))
    with pytest.raises(UserError, match=r"run\.out holds something that is not a number"):
        read_properties(path)


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
