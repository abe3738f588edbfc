"""les-ipi anchors on real runs: the frames that i-PI wrote, beads, free cells, and what the analysis reads."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from ipi_inputs import changed_input

from les_ipi.analysis.runs.field_table import read_field_table
from les_ipi.driver.fields.anchoring import read_frames, write_anchors
from les_ipi.driver.launch.run import RunOptions, run
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.evaluation.integrated_dipole import dipole_from_reference
from les_ipi.evaluation.options import EvaluationOptions
from les_ipi.structures.system import AtomicSystem

ONE_THREAD = EvaluationOptions(threads=1)
HYSTERESIS = Path(__file__).parents[2] / "inputs" / "pbtio3" / "hysteresis"
CUBIC = HYSTERESIS.parent / "permittivity" / "cubic-3.xyz"
FIELD = 'waveform = "triangle"\namplitude = 0.2\nperiod_fs = 200\ndirection = [0, 0, 1]\n'
CENTROIDS = "stride='2' format='xyz' cell_units='angstrom' flush='1'> x_centroid{angstrom}"


def shortened(directory: Path, source: str, changes: dict[str, str]) -> Path:
    """Ten steps of a shipped input, with a field; ``changes`` are regular expressions."""
    changes = {r"<total_steps>\d+": "<total_steps>10", r"stride='\d+' format.*?x_centroid\{angstrom\}": CENTROIDS, **changes}
    path = changed_input(HYSTERESIS / source, directory / "short.xml", ["start-3.xyz"], changes)
    path.with_name("field.toml").write_text(FIELD)
    return path


@pytest.mark.timeout(240)
def test_anchors_of_a_run(tmp_path):
    """On so short a way the integrated current and the dipole of the atoms are the same."""
    path = shortened(tmp_path / "run", "nvt-3.xml", {})
    run(RunOptions(input=path, threads=1, field=path.with_name("field.toml")))
    recorded = read_field_table(path.parent).dipole
    rows = np.loadtxt(write_anchors(path.parent, None, None, ONE_THREAD))
    np.testing.assert_array_equal(rows[:, 0], [0, 2, 4, 6, 8, 10])
    largest = np.abs(recorded).max()
    assert largest > 0.5  # e·Å
    np.testing.assert_allclose(rows[:, 1:], recorded[::2], atol=0.02 * largest)
    table = read_field_table(path.parent)
    assert table.n_anchors == 6
    np.testing.assert_allclose(table.dipole[::2], rows[:, 1:], atol=1e-6)


@pytest.mark.timeout(240)
def test_a_moving_cell_needs_a_reference_that_is_not_polar(tmp_path):
    path = shortened(tmp_path / "run", "nst-3.xml", {r"<total_steps>\d+": "<total_steps>20"})
    run(RunOptions(input=path, threads=1, field=path.with_name("field.toml")))
    with pytest.raises(UserError, match="needs a reference with inversion symmetry"):
        write_anchors(path.parent, None, None, ONE_THREAD)
    rows = np.loadtxt(write_anchors(path.parent, None, CUBIC, ONE_THREAD))
    # The start is polarized along −z by what the model has at 0 K, 84 µC/cm², its displacements being rounded.
    volume = read_field_table(path.parent).volume_A3[0]
    assert rows[0, 3] * 1602.18 / volume == pytest.approx(-84.0, abs=5.0)


@pytest.mark.timeout(240)
def test_beads_and_a_reference(tmp_path):
    beads = {
        r"nbeads='1'": "nbeads='10'",  # the first number for which i-PI writes two digits
        r"x_centroid\{angstrom\}": "positions{angstrom}",
        r"filename='xc'": "filename='pos'",
        r"mode='svr'": "mode='pile_g'",
    }
    path = shortened(tmp_path / "beads", "nvt-3.xml", beads)
    run(RunOptions(input=path, threads=1, field=path.with_name("field.toml")))
    frames = list(read_frames(path.parent, SimulationInput(path), read_template(path.with_name("start-3.xyz"))))
    assert [len(frame.beads) for frame in frames] == [10] * 6
    assert np.ptp([bead.positions for bead in frames[-1].beads], axis=0).max() > 0.01
    rows = np.loadtxt(write_anchors(path.parent, "pbtio3-pbesol", path.with_name("start-3.xyz"), ONE_THREAD))
    reference = AtomicSystem.from_ase(read(path.with_name("start-3.xyz")))
    evaluator = Evaluator.load("pbtio3-pbesol", threads=1)
    expected = np.mean([dipole_from_reference(evaluator, reference, [bead])[0] for bead in frames[-1].beads], axis=0)
    np.testing.assert_allclose(rows[-1, 1:], expected, atol=1e-4)
    assert read_field_table(path.parent).absolute_dipole
    other = tmp_path / "other.xyz"
    other.write_text("2\nno lattice\nPb 0 0 0\nO 1 1 1\n")
    with pytest.raises(UserError, match="in crystals only"):
        write_anchors(path.parent, None, other, ONE_THREAD)
    folded = read(path.with_name("start-3.xyz"))
    folded.positions[::7] += folded.cell[2] - 2 * folded.cell[0]
    folded.write(tmp_path / "folded.xyz", format="extxyz")
    with open(path.with_name("pbtio3.pos_04.xyz"), "a") as file:
        file.write("135\n# CELL(abcABC): 11.6 11.6 12.6 90 90 90 Step: 12 Bead: 4 positions{angstrom} cell{angstrom}\nPb 0 0")
    again = np.loadtxt(write_anchors(path.parent, None, tmp_path / "folded.xyz", ONE_THREAD))
    np.testing.assert_allclose(again, rows, atol=1e-4)
    path.with_name("pbtio3.pos_04.xyz").unlink()
    with pytest.raises(UserError, match="no trajectory of positions, all 10 beads, as xyz"):
        write_anchors(path.parent, None, None, ONE_THREAD)
    path.with_name("les_ipi_run.json").write_text("{")
    with pytest.raises(UserError, match="is not valid JSON"):
        write_anchors(path.parent, None, None, ONE_THREAD)
    path.with_name("pbtio3.field").unlink()
    with pytest.raises(UserError, match="has no field record"):
        write_anchors(path.parent, None, None, ONE_THREAD)


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="is no run of les-ipi run"):
        write_anchors(tmp_path, None, None, ONE_THREAD)
