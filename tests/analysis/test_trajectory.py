"""Reading runs: real i-PI output with one and four beads, and faulty files."""

import shutil

import numpy as np
import pytest
from ipi_runs import NVE, TRPMD, input_xml, write_current, write_dipoles, written_run
from toy_water_pes import toy_water

from les_ipi.analysis.infrared.spectrum import InfraredSpectrum
from les_ipi.analysis.infrared.study import study_infrared
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.source import choose_source
from les_ipi.analysis.runs.universe import run_universe
from les_ipi.conventions import born_from_ipi
from les_ipi.errors import UserError
from les_ipi.ipi_files import AtomFile, read_extras, read_properties
from les_ipi.units import BOHR_A

SVR = "<dynamics mode='nvt'><thermostat mode='svr'><tau>5e3</tau></thermostat></dynamics>"
RUNS = ["classical_run", "rpmd_run", "trpmd_run"]


@pytest.fixture(params=RUNS)
def run(request):
    return RunDirectory(request.getfixturevalue(request.param))


def smooth_dipole(n=400, seed=0):
    return np.cumsum(np.random.default_rng(seed).standard_normal((n, 3)), axis=0) * 0.01


def test_facts_of_a_run(run):
    assert run.temperature_K == pytest.approx(300.0, rel=1e-7)
    assert run.timestep_fs == pytest.approx(0.25, rel=1e-9)
    assert run.volume_A3 == pytest.approx(12.0**3, rel=1e-5)
    assert run.symbols == tuple("OHHOHH")
    assert run.sources == ("dipole", "bec")
    assert run.bead_dipoles.values.shape[1:] == (run.n_beads, 3)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    # Central differences err by (ω dt)²/6, 3·10⁻³ for 3500 cm⁻¹ at 0.25 fs, in phase with J; TRPMD kicks the
    # velocities within the two steps of a difference, which averages out but leaves a few per cent of noise.
    [("classical_run", 0.004), ("rpmd_run", 0.004), ("trpmd_run", 0.03)],
)
def test_current_is_the_finite_difference_of_the_mean_dipole(request, name, tolerance):
    """J_P = dM_P/dt with M_P averaged over beads and J_P from Born charges and velocities of every bead."""
    run = RunDirectory(request.getfixturevalue(name))
    dipole, (current, _) = run.dipole(), run.born_current
    assert (dipole.steps == current.steps).all()
    difference = np.gradient(dipole.values, dipole.dt_fs, axis=0)[1:-1]
    deviation = difference - current.values[1:-1]
    assert np.sqrt((deviation**2).mean()) < tolerance * current.values.std()


def test_transposed_born_charges_would_be_noticed(classical_run):
    """The index order matters: with [displacement, polarization] swapped, J is not dM/dt."""
    run = RunDirectory(classical_run)
    _, rows = read_extras(classical_run / "run.bec_0", 54)
    born = born_from_ipi(rows.reshape(-1, 18, 3))
    velocity = run._atoms("velocities")[0]
    _, velocities, _ = AtomFile(velocity).read("velocity")
    right = np.einsum("tiab,tib->ta", born, velocities)
    wrong = np.einsum("tiba,tib->ta", born, velocities)
    assert right == pytest.approx(run.born_current[0].values, abs=1e-12)
    assert np.abs(wrong - right).max() > 0.1 * right.std()


def test_routes_give_one_spectrum(run):
    by_dipole = study_infrared([run], "dipole", resolution=400.0).spectrum
    by_current = study_infrared([run], "bec", resolution=400.0).spectrum
    scale = by_current.n_alpha_cm1.max()
    assert np.abs(by_dipole.n_alpha_cm1 - by_current.n_alpha_cm1).max() < 0.02 * scale


def test_mass_sum_rule_uses_the_charges(classical_run):
    """Σ|Z|²/m from the file equals that from the force field at the start, within the change of the
    geometry.
    """
    run = RunDirectory(classical_run)
    _, charge = run.born_current
    _, _, _, born = toy_water(run.positions().values[0] / BOHR_A)
    masses = np.array([15.999, 1.008, 1.008] * 2)
    expected = ((born**2).reshape(6, 9).sum(axis=1) / masses).sum()
    assert charge == pytest.approx(expected, rel=0.1)


def test_estimator_names_the_method(classical_run, trpmd_run):
    assert RunDirectory(classical_run).input.dynamics.method == "NVE"
    study = study_infrared([RunDirectory(trpmd_run)], resolution=400.0)
    assert study.estimator.startswith("TRPMD") and "M_P" in study.estimator
    assert study.n_beads == 4 and study.source == "dipole"


def test_centroids_of_ipi_are_the_mean_of_the_beads(trpmd_run, tmp_path):
    """With i-PI's x_centroid file and without it."""
    directory = shutil.copytree(trpmd_run, tmp_path / "run")
    written = RunDirectory(directory).positions()
    assert written.files == ("run.xc.xyz",)
    (directory / "run.xc.xyz").unlink()
    averaged = RunDirectory(directory).positions()
    assert len(averaged.files) == 4
    assert (averaged.steps == written.steps).all()
    assert averaged.values == pytest.approx(written.values, abs=2e-5)


def test_universe_carries_time_box_and_dipole(run):
    universe = run_universe(run)
    assert universe.trajectory.dt == pytest.approx(2.5e-3)
    assert universe.trajectory.ts.volume == pytest.approx(1728.0, rel=1e-5)
    assert list(universe.atoms.elements) == list("OHHOHH")
    dipole, positions = run.dipole(), run.positions()
    for ts in universe.trajectory[::7]:
        k = int(np.searchsorted(dipole.steps, ts.data["step"]))
        assert ts.data["dipole"] == pytest.approx(dipole.values[k], abs=1e-12)
        assert ts.positions == pytest.approx(positions.values[ts.frame], abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"backend": "multiprocessing", "n_workers": 2}])
def test_analysis_class_equals_the_function(tmp_path, options):
    """AnalysisBase over the Universe, in serial and parallel, start and step included."""
    run = RunDirectory(written_run(tmp_path, smooth_dipole()))
    analysis = InfraredSpectrum(run_universe(run), "dipole", temperature=300.0, resolution=800.0)
    analysis.run(start=10, **options)
    shorter = RunDirectory(written_run(tmp_path / "short", smooth_dipole()[10:]))
    expected = study_infrared([shorter], resolution=800.0).spectrum
    assert analysis.results.n_alpha == pytest.approx(expected.n_alpha_cm1, rel=1e-5)
    assert analysis.results.spectrum.f_sum_ratio == pytest.approx(expected.f_sum_ratio, rel=1e-5)


def test_analysis_class_names_missing_data(tmp_path):
    universe = run_universe(RunDirectory(written_run(tmp_path, smooth_dipole())))
    with pytest.raises(UserError, match="current"):
        InfraredSpectrum(universe, "current")


def test_recorded_current_is_preferred_and_read(tmp_path):
    current = np.random.default_rng(1).standard_normal((300, 3))
    path = written_run(tmp_path, smooth_dipole(300))
    write_current(path, current, 0.25)
    run = RunDirectory(path)
    assert choose_source([run])[0] == "current"
    assert run.current().values == pytest.approx(current, rel=1e-7)
    assert run.current().dt_fs == 0.25


def test_dipole_that_is_not_single_valued_is_not_used(tmp_path):
    path = written_run(tmp_path, smooth_dipole())
    (path / "les_ipi_run.json").write_text('{"dipole_single_valued": false}')
    run = RunDirectory(path)
    with pytest.raises(UserError, match="single-valued"):
        choose_source([run])
    assert "NOT SINGLE-VALUED" in choose_source([run], "dipole")[2][0]


def test_repeated_steps_keep_the_last(tmp_path):
    """A run continued from a checkpoint repeats steps 60..79; the second copy counts."""
    path, dipole = written_run(tmp_path), smooth_dipole(120)
    write_dipoles(path, dipole[:80] + 1.0)
    old = (path / "run.mu_0").read_text()
    write_dipoles(path, dipole[60:], first=60)
    new = (path / "run.mu_0").read_text()
    (path / "run.mu_0").write_text(old + new)
    series = RunDirectory(path).dipole()
    assert series.steps.tolist() == list(range(120))
    assert series.values[60:] == pytest.approx(dipole[60:], abs=1e-7)
    assert series.values[:60] == pytest.approx(dipole[:60] + 1.0, abs=1e-7)


def test_unfinished_last_record_is_left_out(tmp_path):
    path = written_run(tmp_path, smooth_dipole(50))
    text = (path / "run.mu_0").read_text()
    (path / "run.mu_0").write_text(text[:-30])
    assert RunDirectory(path).dipole().steps.size == 49


def test_beads_cut_at_different_ends_share_what_they_have(tmp_path):
    path = written_run(tmp_path, beads=2, dynamics=TRPMD)
    write_dipoles(path, smooth_dipole(50), bead=0)
    write_dipoles(path, smooth_dipole(48, seed=1), bead=1)
    series = RunDirectory(path).dipole()
    assert series.steps.size == 48
    assert series.values == pytest.approx((smooth_dipole(50)[:48] + smooth_dipole(48, seed=1)) / 2, abs=1e-7)


def test_gap_is_refused(tmp_path):
    path, dipole = written_run(tmp_path), smooth_dipole(120)
    write_dipoles(path, dipole[:50])
    old = (path / "run.mu_0").read_text()
    write_dipoles(path, dipole[55:], first=55)
    (path / "run.mu_0").write_text(old + (path / "run.mu_0").read_text())
    with pytest.raises(UserError, match="gap between steps 49 and 55"):
        RunDirectory(path).dipole()


def test_beads_with_different_strides_are_refused(tmp_path):
    path = written_run(tmp_path, beads=2, dynamics=TRPMD)
    write_dipoles(path, smooth_dipole(50), bead=0)
    write_dipoles(path, smooth_dipole(50), bead=1, stride=2)
    with pytest.raises(UserError, match="same stride"):
        RunDirectory(path).dipole()


def test_missing_bead_is_refused(tmp_path):
    path = written_run(tmp_path, smooth_dipole(50), beads=2, dynamics=TRPMD)
    with pytest.raises(UserError, match="2 beads"):
        RunDirectory(path).dipole()
    write_dipoles(path, smooth_dipole(50), bead=2)
    with pytest.raises(UserError, match=r"\[1\]"):
        RunDirectory(path).sources  # noqa: B018


def test_missing_temperature_is_named(tmp_path):
    run = RunDirectory(written_run(tmp_path, smooth_dipole(), temperature=""))
    with pytest.raises(UserError, match="temperature"):
        study_infrared([run])
    assert study_infrared([run], temperature=310.0).spectrum.temperature_K == 310.0


def test_not_a_run_and_several_inputs(tmp_path):
    with pytest.raises(UserError, match="not a directory"):
        RunDirectory(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not an i-PI run"):
        RunDirectory(tmp_path)
    written_run(tmp_path)
    (tmp_path / "other.xml").write_text(input_xml())
    (tmp_path / "RESTART").write_text(input_xml())
    with pytest.raises(UserError, match=r"input\.xml, other\.xml.*--input"):
        RunDirectory(tmp_path)
    assert RunDirectory(tmp_path, "other.xml").input.prefix == "run"


def test_properties_come_in_program_units(classical_run):
    table = read_properties(classical_run / "run.out")
    assert table["step"].dtype.kind == "i" and table["step"][-1] == 1000
    assert table["time"][-1] == pytest.approx(250.0, rel=1e-6)
    assert table["conserved"].std() < 0.01 * table["potential"].std()
    assert 100 < table["temperature"].mean() < 500


@pytest.mark.parametrize(
    ("beads", "block", "method", "sampling"),
    [
        (1, NVE, "NVE", False),
        (1, SVR, "NVT (global)", False),
        (1, SVR.replace("svr", "langevin"), "Langevin", True),
        (8, NVE, "RPMD", False),
        (8, TRPMD, "TRPMD", False),
        (8, TRPMD.replace("pile_g", "pile_l"), "PIMD", True),
        (8, TRPMD.replace("0.5<", "1.0<"), "TRPMD (strongly damped)", False),
        (8, "<dynamics mode='nvt'><thermostat mode='nm_gle'/></dynamics>", "PIGLET", True),
    ],
)
def test_dynamics_are_recognised(tmp_path, beads, block, method, sampling):
    run = RunDirectory(written_run(tmp_path, beads=beads, dynamics=block))
    assert (run.input.dynamics.method, run.input.dynamics.sampling_only) == (method, sampling)


def test_cmd_takes_the_dipole_even_if_a_current_is_there(tmp_path):
    path = written_run(tmp_path, smooth_dipole(), beads=2, dynamics=TRPMD)
    write_dipoles(path, smooth_dipole(), bead=1)
    write_current(path, smooth_dipole(), 0.25)
    text = (path / "input.xml").read_text()
    modes = "<normal_modes><frequencies style='pa-cmd'>[1.0]</frequencies></normal_modes><forces>"
    (path / "input.xml").write_text(text.replace("<forces>", modes))
    run = RunDirectory(path)
    assert run.input.dynamics.method == "PA-CMD"
    assert choose_source([run])[0] == "dipole"
    assert "use --source dipole" in choose_source([run], "current")[2][0]


def test_restart_alone_tells_the_same(classical_run, tmp_path):
    """A directory with only RESTART (atomic units, no start file), and a start from a checkpoint."""
    text = (classical_run / "RESTART").read_text()
    (tmp_path / "RESTART").write_text(text)
    write_dipoles(tmp_path, smooth_dipole(50))
    for kind in ("RESTART", "input.xml"):
        if kind == "input.xml":
            start = "<file mode='chk'>RESTART</file>"
            xml = input_xml().replace("<file mode='xyz'>start.xyz</file>", start)
            (tmp_path / "input.xml").write_text(xml)
        run = RunDirectory(tmp_path)
        assert run.input.path.name == kind
        assert run.temperature_K == pytest.approx(300.0, rel=1e-7)
        assert run.dipole().dt_fs == pytest.approx(0.25, rel=1e-9)
        assert run.volume_A3 == pytest.approx(1728.0, rel=1e-6)
        assert run.symbols == tuple("OHHOHH")


def test_effective_input_of_les_ipi_wins(tmp_path):
    written_run(tmp_path)
    (tmp_path / "les_ipi_input.xml").write_text(input_xml(prefix="other"))
    assert RunDirectory(tmp_path).input.prefix == "other"


def test_time_step_that_changed_is_refused(tmp_path):
    path = written_run(tmp_path)
    write_current(path, smooth_dipole(100), 0.5)
    with pytest.raises(UserError, match=r"expected 0\.25 fs"):
        RunDirectory(path).current()


def test_time_column_replaces_a_missing_time_step(tmp_path):
    path = written_run(tmp_path, dynamics="<dynamics mode='nve'/>")
    write_dipoles(path, smooth_dipole(100))
    with pytest.raises(UserError, match="timestep"):
        RunDirectory(path).dipole()
    write_current(path, smooth_dipole(100), 0.5)
    assert RunDirectory(path).dipole().dt_fs == pytest.approx(0.5)


def test_long_runs_survive_the_rounding_of_printed_times(tmp_path):
    """At 2 ns eight digits resolve 0.01 fs only."""
    path = written_run(tmp_path)
    write_current(path, smooth_dipole(100), 0.25)
    text = (path / "run.current").read_text()
    rows = [f"{8_000_000 + n} {(8_000_000 + n) * 0.25:.8e} 0.1 0.2 0.3" for n in range(100)]
    (path / "run.current").write_text("\n".join([*text.splitlines()[:3], *rows]) + "\n")
    assert RunDirectory(path).current().dt_fs == 0.25


@pytest.mark.parametrize(
    ("cell", "volume"),
    [
        ("<cell mode='abc' units='angstrom'>[10, 11, 12]</cell>", 1320.0),
        ("<cell mode='abcABC' units='angstrom'>[10, 10, 10, 90, 90, 60]</cell>", 1000 * np.sqrt(0.75)),
        ("<cell mode='manual'>[10, 3, 0, 0, 10, 0, 0, 0, 10]</cell>", 1000 * BOHR_A**3),
    ],
)
def test_volume_of_an_explicit_cell(tmp_path, cell, volume):
    path = written_run(tmp_path, smooth_dipole(50))
    text = (path / "input.xml").read_text()
    (path / "input.xml").write_text(text.replace("<velocities mode", cell + "<velocities mode"))
    assert RunDirectory(path).volume_A3 == pytest.approx(volume, rel=1e-7)


def test_printed_volume_wins(tmp_path):
    path = written_run(tmp_path, smooth_dipole(50))
    header = "# column 1 --> step : s\n# column 2 --> volume{angstrom3} : v\n"
    (path / "run.thermo").write_text(header + "0 1000.0\n10 1100.0\n")
    assert RunDirectory(path).volume_A3 == pytest.approx(1050.0, rel=1e-6)
