"""The output files of i-PI: their names, comment lines, headers and numbers through i-PI and through this reader."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from bare_inputs import bare_input, three_atoms
from ipi import read_output
from ipi.engine.atoms import Atoms
from ipi.engine.cell import Cell
from ipi.engine.outputs import TrajectoryOutput
from ipi.engine.properties import Trajectories, getall
from ipi.utils.io import iter_file, print_file
from ipi.utils.io.backends.io_xyz import read_xyz

from les_ipi.analysis.runs.beads import require_all_beads
from les_ipi.errors import UserError
from les_ipi.ipi_files import (
    AtomFile,
    OutputFile,
    SimulationFile,
    bead_digits,
    parse_cell,
    parse_comment,
    parse_ipi_cell,
    parse_keyword,
    read_properties,
    to_program_units,
)
from les_ipi.units import BOHR_A

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
        (directory / name / "start.xyz").write_text(three_atoms())
        (directory / name / "input.xml").write_text(bare_input(**changes))
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


def test_beads_that_the_input_does_not_ask_for_are_not_missing(written_names, tmp_path):
    """Every fourth of nine beads is 0, 4 and 8, which other trajectories of the run must not suffer from."""
    directory = written_names[0] / "nine"
    found = SimulationFile(directory / "input.xml").bead_files(directory)
    assert [path.name for path in found["s.xyz"]] == ["run.s_0.xyz", "run.s_4.xyz", "run.s_8.xyz"]
    assert len(found["traj.xyz"]) == 9
    with pytest.raises(UserError, match=r"run\.s_0\.xyz and its siblings are 3 file\(s\), but the input has 9 beads"):
        require_all_beads(found["s.xyz"], 9)
    (directory / "run.traj_3.xyz").rename(tmp_path / "kept.xyz")
    with pytest.raises(UserError, match=r"Bead\(s\) \[3\] of run\.traj\.xyz are missing"):
        SimulationFile(directory / "input.xml").bead_files(directory)
    (tmp_path / "kept.xyz").rename(directory / "run.traj_3.xyz")


@pytest.mark.parametrize("quantity", Trajectories().traj_dict)
@pytest.mark.parametrize("format", ["xyz", "ase"])
def test_every_quantity_is_written_by_bead_or_once_as_ipi_does(tmp_path, monkeypatch, quantity, format):
    monkeypatch.chdir(tmp_path)
    output = TrajectoryOutput("run.x", what=quantity, format=format)
    output.system = SimpleNamespace(beads=SimpleNamespace(nbeads=3))
    output.open_stream("w")
    output.close_stream()
    keyword = parse_keyword(f"{quantity}{{angstrom}}")
    assert sorted(path.name for path in tmp_path.iterdir()) == OutputFile("trajectory", "run.x", 1, (keyword,), format).names(3)


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
