"""An integrated current that drifts, tied to a dipole that does not."""

from dataclasses import replace

import numpy as np
import pytest
from ipi_runs import written_run
from loops import DT_FS, hysteron, hysteron_truth, triangle, write_field_table

from les_ipi.analysis.dielectric.runs import read_dielectric_run
from les_ipi.analysis.hysteresis.study import study_hysteresis
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.field_table import read_field_table
from les_ipi.conventions import ANCHOR_COLUMNS
from les_ipi.errors import UserError

EVERY = 100  # records between anchors


def drifting_run(directory, anchors=True, absolute=False, until=None):
    """A hysteron whose recorded dipole drifts by 3 µC/cm² a cycle and diffuses; returns the true drive."""
    rng = np.random.default_rng(4)
    true = hysteron(rng, wave=triangle, sigma=2e-4)
    time = true.time_fs
    walk = np.cumsum(rng.normal(size=time.size)) * 1e-5 + 0.002 * time / 4000.0
    recorded = replace(true, polarization=true.polarization + walk - true.polarization[0] - walk[0])
    table = write_field_table(directory, recorded, {"waveform": "triangle"}, dt=DT_FS)
    if anchors:
        rows = np.zeros((time[::EVERY].size, 4))
        rows[:, 0], rows[:, 3] = np.round(time / DT_FS)[::EVERY], (true.polarization * true.volume_A3)[::EVERY]
        header = f"absolute_dipole: {str(absolute).lower()}\n" + " ".join(ANCHOR_COLUMNS)
        np.savetxt(table.with_suffix(".anchors"), rows[:until], fmt="%.10g", header=header)
    return true


@pytest.mark.parametrize("absolute", [True, False])
def test_the_drift_is_gone(tmp_path, absolute):
    true = drifting_run(tmp_path, absolute=absolute)
    table = read_field_table(tmp_path)
    found = table.dipole[:, 2] / table.volume_A3
    expected = true.polarization - (0.0 if absolute else true.polarization[0])
    # What is left is the random walk between two anchors, 1e-5 sqrt(100)/2 at most on average.
    assert np.sqrt(np.mean((found - expected) ** 2)) < 6e-5
    np.testing.assert_allclose(found[::EVERY], expected[::EVERY], atol=1e-9)
    assert table.absolute_dipole is absolute


def test_the_loop_closes_with_its_known_numbers(tmp_path):
    drifting_run(tmp_path / "as-recorded", anchors=False)
    drifting_run(tmp_path / "tied", absolute=True)
    (drift,), (tied,) = (study_hysteresis([tmp_path / name]).loops for name in ("as-recorded", "tied"))
    assert any("does not close" in line for line in drift.warnings)
    assert not any("does not close" in line for line in tied.warnings)
    assert abs(tied.metrics["closure_C_m2"].value) < 3 * tied.metrics["closure_C_m2"].error
    for name, known in hysteron_truth().items():
        metric = tied.metrics[name]
        assert abs(metric.value - known) < max(4 * metric.error, 0.01 * abs(known)), name
    assert any("the dipole of the atoms in" in note for note in tied.notes)


def test_the_susceptibility_knows_no_origin(tmp_path):
    """Runs with anchors of other origins may be compared: their dipoles are those since the start."""
    true = drifting_run(tmp_path, absolute=True)
    assert abs(true.polarization[0]) > 0.01
    written_run(tmp_path)
    run, _ = read_dielectric_run(RunDirectory(tmp_path), None, None, 0.0)
    np.testing.assert_array_equal(run.dipole[0], 0.0)


def test_anchors_that_do_not_fit_are_refused(tmp_path):
    drifting_run(tmp_path / "short", until=20)
    with pytest.raises(UserError, match="does not cover steps 0 to"):
        read_field_table(tmp_path / "short")
    drifting_run(tmp_path / "holes")
    path = tmp_path / "holes" / "simulation.anchors"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:30] + lines[60:]))
    with pytest.raises(UserError, match="does not cover"):
        read_field_table(tmp_path / "holes")
    drifting_run(tmp_path / "broken")
    (tmp_path / "broken" / "simulation.anchors").write_text("# step Mx My Mz\n0 1 2\n")
    with pytest.raises(UserError, match="is not a table of step, Mx, My, Mz"):
        read_field_table(tmp_path / "broken")
