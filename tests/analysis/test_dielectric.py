"""Static susceptibility against dipoles whose fluctuations and response are known, and alignment against known angles."""

import json
import sys

import numpy as np
import pytest
from ions import autoregressive, write_ions, write_positions
from ipi_runs import BOX, input_xml, write_current, written_run
from loops import write_field_table
from scipy.signal import lfilter

from les_ipi.analysis.cli import main
from les_ipi.analysis.dielectric.alignment import alignment, dipole_origins, find_molecules, molecular_axes
from les_ipi.analysis.dielectric.study import study_dielectric
from les_ipi.analysis.dielectric.susceptibility import field_response, fluctuation_susceptibility, stationary
from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.static_field import static_field
from les_ipi.errors import UserError
from les_ipi.units import EPSILON_0

KT_EV = 8.617333262e-5 * 300.0
TAU, VOLUME = 20.0, 1728.0
CHI = 3.0
#: Variance of one component of the dipole that the fluctuation-dissipation theorem demands, e² Å².
VARIANCE = CHI * EPSILON_0 * VOLUME * KT_EV


def bound_dipole(rng, n, columns=3, field=0.0, start=None):
    """An overdamped dipole in a parabola, (n, columns): the field along the last column moves its mean by ε0 χ V E."""
    decay = np.exp(-1.0 / TAU)
    noise = np.sqrt(VARIANCE * (1.0 - decay**2)) * rng.normal(size=(n - 1, columns))
    mean = np.zeros(columns)
    mean[-1] = EPSILON_0 * CHI * VOLUME * field
    first = np.sqrt(VARIANCE) * rng.normal(size=columns) + mean if start is None else start
    relaxed, _ = lfilter([1.0], [1.0, -decay], noise, axis=0, zi=decay * (first - mean)[None])
    return np.concatenate([first[None], relaxed + mean])


@pytest.mark.parametrize("length, runs", [(30, 4), (50, 4), (200, 1)])
def test_fluctuations_of_known_variance(length, runs):
    """Runs of 30 to 200 relaxation times: no bias from their unknown means, and errors of the right size."""
    values, pulls, reliable = [], [], 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        records = [bound_dipole(rng, int(length * TAU), 1)[:, 0] + 50.0 * rng.normal() for _ in range(runs)]
        estimate, enough = fluctuation_susceptibility(records, VOLUME, 300.0)
        values.append(estimate.value)
        pulls.append((estimate.value - CHI) / estimate.error)
        reliable += enough
    assert abs(np.mean(values) / CHI - 1.0) < 3 * np.std(values) / CHI / 10
    assert 0.7 < np.mean(np.square(pulls)) < 1.4
    assert np.mean(np.abs(pulls) < 2.0) >= 0.9
    assert reliable >= 80


def test_runs_shorter_than_their_correlation_are_told():
    rng = np.random.default_rng(3)
    short = [bound_dipole(rng, int(5 * TAU), 1)[:, 0] for _ in range(40)]
    assert not stationary(short).reliable


def test_errors_of_means_have_the_right_size():
    rng = np.random.default_rng(5)
    pulls = []
    for _ in range(200):
        record = bound_dipole(rng, int(60 * TAU), 1)[:, 0]
        pulls.append(record.mean() / stationary([record]).mean_error(record.size))
    assert 0.7 < np.mean(np.square(pulls)) < 1.4


def test_response_to_fields():
    """Polynomial with a cubic term, an unknown origin, and errors that cover."""
    fields = np.array([-0.2, -0.1, -0.05, 0.05, 0.1, 0.2])
    rng = np.random.default_rng(11)
    errors = np.full(fields.size, 0.01)
    pulls = []
    for _ in range(200):
        exact = 7.0 + EPSILON_0 * VOLUME * (CHI * fields - 9.0 * fields**3)
        found = field_response(fields, exact + errors * rng.normal(size=fields.size), errors, VOLUME)
        estimates = (found.susceptibility, CHI), (found.cubic, -9.0), (found.offset_eA, 7.0)
        pulls.append([(estimate.value - known) / estimate.error for estimate, known in estimates])
    assert np.all(np.mean(np.square(pulls), axis=0) > 0.7) and np.all(np.mean(np.square(pulls), axis=0) < 1.4)
    pair = field_response(np.array([-0.1, 0.1]), np.array([1.0, 2.0]), errors[:2], VOLUME)
    assert pair.cubic is None and pair.susceptibility.value == pytest.approx(1.0 / (0.2 * EPSILON_0 * VOLUME))
    with pytest.raises(UserError, match="All runs have the same field: add runs with the opposite field"):
        field_response(np.array([0.1, 0.1]), np.ones(2), errors[:2], VOLUME)


def write_run(directory, rng, strength=0.0, n=6000):
    """An i-PI run of one H⁺ and one F⁻ that move against each other: the dipole starts at zero; the field is along x."""
    dipole = bound_dipole(rng, n, field=strength, start=np.zeros(3))[:, [2, 1, 0]]
    half = np.gradient(dipole, axis=0) / 2.0
    return write_ions(directory, np.stack([half, -half], axis=1), 1.0, stride=100)


def set_field(directory, text):
    """Let a run say that its driver served a field."""
    (directory / "les_ipi_run.json").write_text(json.dumps({"dipole_single_valued": False, "epsilon_infinity": 2.0, **text}))
    return directory


@pytest.fixture
def runs(tmp_path):
    """Two runs without a field, and two in opposite fields that the driver served."""
    rng = np.random.default_rng(2)
    made = []
    for name, strength in (("free-1", 0.0), ("free-2", 0.0), ("plus", 0.02), ("minus", -0.02)):
        text = {"constant_field": f"{strength};0;0"} if strength else {}
        made.append(set_field(write_run(tmp_path / name, rng, strength), text))
    return made


def study(*runs, **options):
    return study_dielectric([RunDirectory(run) for run in runs], **options)


def test_command_compares_both_ways(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    files = [tmp_path / name for name in ("d.json", "d.png")]
    arguments = ["dielectric", *map(str, runs), "--discard-ps", "0.2", "--json", str(files[0]), "--plot", str(files[1])]
    monkeypatch.setattr(sys, "argv", ["les-analysis", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    out = capsys.readouterr().out
    assert "They agree" in out and "Susceptibility from static fields" in out
    record = json.loads(files[0].read_text())
    for key in ("susceptibility_fluctuation", "susceptibility_field"):
        found = record[key]
        assert abs(found["value"] - CHI) < 3 * found["error"] < CHI
    assert record["static_permittivity"]["value"] == pytest.approx(2.0 + CHI, abs=1.0)
    assert record["fit_probability"] > 0.01 and record["warnings"] == []
    assert files[1].stat().st_size > 10_000


@pytest.mark.parametrize("way", ["protocol", "ipi", "parameters"])
def test_every_kind_of_static_field_is_seen(runs, tmp_path, way):
    """A constant protocol, i-PI's own field, and a driver without ``les-ipi run``, each next to one run without a field."""
    run = runs[2]
    (run / "les_ipi_run.json").unlink()
    xml = run / "input.xml"
    if way == "protocol":
        time = np.arange(6000) * 1.0
        dipole = bound_dipole(np.random.default_rng(4), 6000, 1, 0.02, np.zeros(1))[:, 0]
        drive = Drive(time, np.full(6000, 0.02), dipole / VOLUME, volume_A3=VOLUME)
        write_field_table(run, drive, direction=(1.0, 0.0, 0.0), dt=1.0)
    elif way == "ipi":
        field = "<efield><amp units='v/ang'>[0.02, 0, 0]</amp></efield>"
        text = xml.read_text().replace("<motion mode='dynamics'>", "<motion mode='driven_dynamics'>")
        text = text.replace("<dynamics mode='nve'>", f"<driven_dynamics mode='eda-nve'>{field}")
        xml.write_text(text.replace("</dynamics>", "</driven_dynamics>"))
    else:
        served = "</pes_path><parameters>{model: m, constant_field: 0.02;0;0, beads: 1}</parameters>"
        xml.write_text(xml.read_text().replace("</pes_path>", served))
    found = study(runs[0], run)
    np.testing.assert_allclose(found.runs[1].field, [0.02, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(found.direction, [1.0, 0.0, 0.0])
    chi = found.response.susceptibility
    assert abs(chi.value - CHI) < 3 * chi.error < CHI


def test_a_field_may_rise_in_what_is_left_out(tmp_path):
    time = np.arange(64) * 1.0
    rising = write_run(tmp_path / "rising", np.random.default_rng(1), n=64)
    write_field_table(rising, Drive(time, 0.01 * np.minimum(time / 20.0, 1.0), 0.01 * np.cos(time), volume_A3=VOLUME))
    np.testing.assert_allclose(static_field(RunDirectory(rising), discard_ps=0.02), [0, 0, 0.01])
    with pytest.raises(UserError, match="Discarding 1 ps leaves nothing"):
        static_field(RunDirectory(rising), 1.0)
    for discard_ps in (0.0, 0.019):
        with pytest.raises(UserError, match="constant after --discard-ps"):
            static_field(RunDirectory(rising), discard_ps)


def test_along_the_field_only(runs):
    along = study(*runs, isotropic=False)
    assert along.fluctuation == along.components[0]
    with pytest.raises(UserError, match="there is no direction along which to look: leave out --no-isotropic"):
        study(*runs[:2], isotropic=False)


def test_fields_of_different_starts_are_refused(runs):
    path = runs[3] / "run.xc.xyz"
    path.write_text(path.read_text().replace("H ", "H 1", 1))
    with pytest.raises(UserError, match=r"do not begin in one structure.* start all runs in fields from one structure"):
        study(*runs)


def test_a_current_that_begins_later_is_refused(runs):
    """Its dipole is counted from another moment than that of the other runs, as after --resume --record current."""
    path = runs[3] / "run.current"
    lines = path.read_text().splitlines(keepends=True)
    header = sum(line.startswith("#") for line in lines)
    path.write_text("".join(lines[:header] + lines[header + 150 :]))
    with pytest.raises(UserError, match="write x_centroid and the current from the first step"):
        study(*runs)


def test_nonsense_is_refused(runs, tmp_path):
    time = np.arange(64) * 1.0
    changing = write_run(tmp_path / "changing", np.random.default_rng(1), n=64)
    write_field_table(changing, Drive(time, 0.01 * np.sin(time), 0.01 * np.cos(time), volume_A3=VOLUME))
    with pytest.raises(UserError, match="changes with time; a static response needs one that is constant after"):
        study(runs[0], changing)
    with pytest.raises(UserError, match="differ in beads or atoms"):
        study(runs[0], written_run(tmp_path / "water"))
    with pytest.raises(UserError, match="There is no run"):
        study()
    set_field(runs[3], {"constant_field": "0;0.02;0"})
    with pytest.raises(UserError, match="along different lines"):
        study(*runs)
    set_field(runs[3], {"voltage": "0;0;1"})
    with pytest.raises(UserError, match="was run at a fixed voltage"):
        study(*runs)
    (runs[1] / "input.xml").write_text((runs[1] / "input.xml").read_text().replace(">300<", ">600<"))
    with pytest.raises(UserError, match=r"300 K and .* at 600 K; compare runs of one state"):
        study(*runs[:2])
    current = runs[0] / "run.current"
    rows = current.read_text().splitlines()
    current.write_text("\n".join([*rows[:-1], rows[-1].rsplit(None, 1)[0] + " nan"]) + "\n")
    with pytest.raises(UserError, match="is not finite because the run broke down"):
        study(runs[0])
    still = write_ions(tmp_path / "still", np.zeros((100, 2, 3)), 1.0)
    with pytest.raises(UserError, match="never changes: does the model have charges"):
        study(still)


def test_alignment_of_known_angles():
    """Molecules at given angles to z, one of them cut by the boundary of the cell."""
    angles = np.radians([0.0, 60.0, 90.0, 150.0])
    cell = np.eye(3) * BOX
    positions = []
    for k, angle in enumerate(angles):
        axis = np.array([np.sin(angle), 0.0, np.cos(angle)])
        oxygen = np.array([3.0 * k, 3.0, 0.1])
        side = np.array([0.0, 0.76, 0.0])
        positions += [oxygen, oxygen + 0.59 * axis + side, oxygen + 0.59 * axis - side]
    frame = np.array(positions)
    frame[5] += [0.0, 0.0, BOX]
    symbols = ["O", "H", "H"] * len(angles)
    order = np.random.default_rng(0).permutation(len(symbols))
    molecules = find_molecules([symbols[k] for k in order], frame[order], cell)
    cosine = alignment(molecular_axes(np.stack([frame[order]] * 2), cell, molecules), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(cosine, np.cos(angles).mean(), atol=1e-6)
    frame[1] += 2.0
    with pytest.raises(UserError, match=r"has 1 hydrogens within 1.4 Å instead of two"):
        find_molecules(symbols, frame, cell)
    with pytest.raises(UserError, match=r"has an O-H distance of 4\.3 Å later: it has dissociated"):
        molecular_axes(np.stack([frame]), cell, molecules=np.arange(12).reshape(4, 3))


@pytest.mark.parametrize("length", [4, 12, 60])
def test_fluctuations_about_a_known_mean(length):
    """Runs of a few relaxation times only, 240 in all: their own means would hide up to half of the variance."""
    values, pulls = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        records = [bound_dipole(rng, int(length * TAU), 1)[:, 0] for _ in range(240 // length)]
        estimate, _ = fluctuation_susceptibility(records, VOLUME, 300.0, zero_mean=True)
        values.append(estimate.value)
        pulls.append((estimate.value - CHI) / estimate.error)
    assert abs(np.mean(values) / CHI - 1.0) < 3 * np.std(values) / CHI / 10
    assert 0.7 < np.mean(np.square(pulls)) < 1.4


MOLECULES, ARM, CHARGE, TURN = 8, 0.59, 1.1, 100.0


def write_water(directory, rng, n):
    """Rigid molecules that turn independently with relaxation time ``TURN`` steps; their dipole (n, 3) is c Σ axes."""
    directory.mkdir(parents=True)
    turning = autoregressive(np.exp(-1.0 / TURN), n, 6 * MOLECULES, rng).reshape(n, 2, MOLECULES, 3)
    axis = turning[:, 0] / np.linalg.norm(turning[:, 0], axis=-1, keepdims=True)
    side = np.cross(axis, turning[:, 1])
    side *= 0.76 / np.linalg.norm(side, axis=-1, keepdims=True)
    oxygen = np.broadcast_to(BOX / 2 * np.array(list(np.ndindex(2, 2, 2))), axis.shape)
    atoms = np.stack([oxygen, oxygen + ARM * axis + side, oxygen + ARM * axis - side], axis=2)
    write_positions(directory, ["O", "H", "H"] * MOLECULES, atoms.reshape(n, -1, 3), stride=5)
    (directory / "input.xml").write_text(input_xml().replace(">0.25<", ">1.0<"))
    dipole = CHARGE * ARM * axis.sum(axis=1)
    write_current(directory, np.gradient(dipole, axis=0), 1.0)
    return dipole


def test_axes_of_molecules_tell_the_origin(tmp_path):
    """Ten runs of eight relaxation times: with the origin from the molecules χ is right, without it is far too small."""
    rng, exact = np.random.default_rng(8), []
    for k in range(10):
        exact.append(write_water(tmp_path / str(k), rng, 800))
    found = study_dielectric([RunDirectory(tmp_path / str(k)) for k in range(10)])
    # The dipole is the integral of a current that was differentiated once: 0.98 instead of one.
    assert found.origins.correlation > 0.97 and found.origins.scale_e == pytest.approx(CHARGE, rel=0.02)
    for dipole, run, offset in zip(exact, found.runs, found.origins.offsets_eA, strict=True):
        assert (run.dipole - offset).mean(axis=0) == pytest.approx(dipole.mean(axis=0), abs=0.05)
    known = (CHARGE * ARM) ** 2 * MOLECULES / 3.0 / (EPSILON_0 * VOLUME * KT_EV)
    assert abs(found.fluctuation.value - known) < 3 * found.fluctuation.error < 0.6 * known
    relative, _ = fluctuation_susceptibility([dipole[:, k] for dipole in exact for k in range(3)], VOLUME, 300.0)
    assert relative.value < 0.9 * found.fluctuation.value


def turning_axes(rng, n):
    """(n, 5, 3) unit axes that turn independently with relaxation time 20."""
    axes = autoregressive(np.exp(-1.0 / 20), n, 15, rng).reshape(n, 5, 3)
    return axes / np.linalg.norm(axes, axis=-1, keepdims=True)


def test_origins_of_noisy_dipoles():
    """A tenth of the variance is not of the axes: origins of all runs, and c, within what the noise allows."""
    rng, axes = np.random.default_rng(1), []
    axes = [turning_axes(rng, 400) for _ in range(4)]
    noise = 0.3 * np.sqrt(5 / 3)
    dipoles = [k + 1.0 * a.sum(axis=1) + noise * rng.normal(size=(400, 3)) for k, a in enumerate(axes)]
    found = dipole_origins(dipoles, axes)
    assert found.scale_e == pytest.approx(1.0, abs=0.05) and 0.85 < found.correlation < 0.97
    assert found.offsets_eA == pytest.approx(np.arange(4.0)[:, None] * np.ones(3), abs=0.15)


def test_no_origin_where_axes_do_not_tell_it():
    rng = np.random.default_rng(1)
    axes = turning_axes(rng, 400)
    with pytest.raises(UserError, match=r"explain -?0\.\d\d of the variance of the dipole, less than 0.8"):
        dipole_origins([rng.normal(size=(400, 3))], [axes])
    frozen = axes[:1] + 0.2 * rng.normal(size=axes.shape)
    with pytest.raises(UserError, match=r"do not turn \(mean cosine 0\.9"):
        dipole_origins([frozen.sum(axis=1)], [frozen])


def test_a_changing_cell_tells_no_axes(tmp_path):
    rng = np.random.default_rng(2)
    write_water(tmp_path / "a", rng, 800)
    text = (tmp_path / "a" / "run.xc.xyz").read_text()
    last = text.rindex("12 12 12")
    (tmp_path / "a" / "run.xc.xyz").write_text(text[:last] + "12.2 12 12" + text[last + 8 :])
    found = study_dielectric([RunDirectory(tmp_path / "a")])
    assert found.origins is None and any("The cell changes" in warning for warning in found.warnings)


def test_water_of_different_starts_still_tells_its_alignment(tmp_path):
    rng = np.random.default_rng(3)
    for name in ("plus", "minus"):
        write_water(tmp_path / name, rng, 800)
        set_field(tmp_path / name, {"constant_field": f"0;0;{'-' * (name == 'minus')}0.02"})
    found = study_dielectric([RunDirectory(tmp_path / name) for name in ("plus", "minus")])
    assert found.response is None and all(run.cosine for run in found.runs)
    assert any("no susceptibility from fields: " in w and "do not begin in one structure" in w for w in found.warnings)
