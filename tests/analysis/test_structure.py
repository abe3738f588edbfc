"""Lattice parameters, perovskite polarization, Lindemann ratio and g(r) of crystals with known displacements."""

import json
import os
import subprocess
import sys
from pathlib import Path

import MDAnalysis as mda
import numpy as np
import pytest
from loops import write_field_table
from MDAnalysis.coordinates.memory import MemoryReader

from les_ipi.analysis.hysteresis.polarization import Drive
from les_ipi.analysis.runs.cells import CellSeries, read_cells
from les_ipi.analysis.runs.composition import parse_charges
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.universe import run_universe
from les_ipi.analysis.structure.lattice import lattice_estimates, lattice_parameters
from les_ipi.analysis.structure.perovskite import PBTIO3_CHARGES, find_cells, local_polarization
from les_ipi.analysis.structure.study import order_estimates, study_structure
from les_ipi.analysis.structure.sublattice import lindemann_ratio, radial_distribution
from les_ipi.errors import UserError

E_A2 = 16.02176634  # C/m² in 1 e/Å²
SYMBOLS_OF_CELL = ("Pb", "Ti", "O", "O", "O")
IDEAL = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])
# Displacement of each atom of the cell along c, Å (PbTiO3-like, O∥ is the third).
SHIFT = np.array([0.0, 0.18, 0.55, 0.45, 0.45])


def perovskite(n=(2, 2, 2), a=3.9, c=4.15, shift=SHIFT, direction=(0, 0, 1)):
    """Symbols, positions and cell of a tetragonal perovskite with sublattice displacements."""
    edges = np.array([a, a, c])
    corners = np.stack(np.meshgrid(*[np.arange(k) for k in n], indexing="ij"), axis=-1).reshape(-1, 3)
    positions = ((corners[:, None] + IDEAL) * edges + shift[:, None] * np.array(direction)).reshape(-1, 3)
    return SYMBOLS_OF_CELL * len(corners), positions, np.diag(edges * np.array(n))


def born_polarization(shift, volume):
    """ΔP = (e/Ω) Σ Z* u of a unit cell, charges by hand; 3.90 + 7.06 − 5.83 − 2·2.56 = 0.01 is shared out."""
    charges = np.array([3.90, 7.06, -5.83, -2.56, -2.56]) - 0.01 / 5
    return charges @ shift / volume


@pytest.mark.parametrize("n", [(2, 2, 2), (3, 4, 5)])
@pytest.mark.parametrize("origin", [0.0, 1.7])
def test_known_displacements_give_the_polarization(n, origin):
    symbols, positions, cell = perovskite(n)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(symbols))
    positions = (positions + origin)[order]
    positions += rng.integers(-2, 3, size=(len(symbols), 3)) @ cell  # any images
    symbols = tuple(np.array(symbols)[order])
    units = find_cells(symbols, positions, cell, "Pb", "Ti", "O")
    local = local_polarization(positions[None], cell, units, symbols, PBTIO3_CHARGES)
    expected = born_polarization(SHIFT, 3.9**2 * 4.15)
    assert local.shape == (1, np.prod(n), 3)
    assert np.allclose(local[..., 2], expected, atol=1e-12)
    assert np.allclose(local[..., :2], 0.0, atol=1e-12)
    assert abs(expected * E_A2) == pytest.approx(1.0, abs=0.5)  # of the size known for PbTiO3, C/m²


def test_random_displacements_average_to_the_sum_of_charges():
    """Mean over cells = Σ Z*u/V for any displacements, with the oxygen tensor of each bond direction."""
    symbols, ideal, cell = perovskite((3, 3, 3), c=3.9, shift=np.zeros(5))
    units = find_cells(symbols, ideal, cell, "Pb", "Ti", "O")
    u = 0.2 * np.random.default_rng(1).normal(size=ideal.shape)
    local = local_polarization((ideal + u)[None], cell, units, symbols, PBTIO3_CHARGES)[0]
    tensors = np.zeros((len(symbols), 3))
    line = {2: 2, 3: 1, 4: 0}  # atom of the cell → direction of its Ti-O-Ti line
    for k in range(len(symbols)):
        kind = k % 5
        tensors[k] = {0: 3.90, 1: 7.06}.get(kind, -2.56)
        if kind in line:
            tensors[k, line[kind]] = -5.83
    tensors -= 0.01 / 5
    assert np.allclose(local.mean(axis=0), (tensors * u).sum(axis=0) / np.linalg.det(cell), atol=1e-12)


def test_perovskites_that_are_none_are_refused():
    symbols, positions, cell = perovskite()
    with pytest.raises(UserError, match="do not make a perovskite"):
        find_cells(symbols[:-1], positions[:-1], cell, "Pb", "Ti", "O")
    with pytest.raises(UserError, match="not shared evenly"):
        find_cells(symbols, np.random.default_rng(0).uniform(0, 8, positions.shape), cell, "Pb", "Ti", "O")
    units = find_cells(symbols, positions, cell, "Pb", "Ti", "O")
    with pytest.raises(UserError, match="add up to"):
        local_polarization(positions[None], cell, units, symbols, {"Pb": 2.0, "Ti": 4.0, "O": -1.0})
    with pytest.raises(UserError, match="No Born charge"):
        local_polarization(positions[None], cell, units, symbols, {"Pb": 2.0, "Ti": 4.0})


def test_lattice_parameters_of_a_triclinic_cell():
    from ase.cell import Cell

    parameters = np.array([4.0, 5.0, 6.5, 80.0, 95.0, 101.0])
    found = lattice_parameters(np.array([Cell.fromcellpar(parameters).array] * 2))
    assert np.allclose(found, parameters)
    halved = lattice_parameters(Cell.fromcellpar(parameters).array, (2, 1, 1))
    assert np.allclose(halved, [2.0, *parameters[1:]])


def test_errors_of_fluctuating_cells_are_honest():
    """AR(1) fluctuations of a known cell: c/a and a within two errors in ≥ 90 % of 100 runs."""
    from loops import correlated_noise

    pulls = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        edges = np.array([11.7, 11.7, 12.6]) + 0.05 * np.stack([correlated_noise(rng, 4000, 1, 10) for _ in range(3)], 1)
        cells = edges[:, :, None] * np.eye(3)
        result = lattice_estimates(CellSeries(np.arange(4000.0), cells, ""), (3, 3, 3))
        for name, value in (("a_A", 3.9), ("c_A", 4.2), ("tetragonality", 12.6 / 11.7)):
            pulls.append((result[name].value - value) / result[name].error)
    assert np.mean(np.abs(pulls) < 2) >= 0.9
    assert 0.7 < np.mean(np.square(pulls)) < 1.4
    assert result["polar_axis"].value == 2


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_lindemann_ratio_of_a_gaussian_crystal(sigma):
    """⟨u²⟩ = 3σ² (1 − 1/N)(1 − 1/T), d the lattice constant; a drift of the whole and a breathing cell change nothing."""
    rng, n, frames, a = np.random.default_rng(3), 5, 400, 3.0
    sites = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * a
    u = sigma * rng.normal(size=(frames, len(sites), 3))
    breath = 1 + 0.02 * np.sin(np.arange(frames))[:, None, None]
    cells = n * a * breath * np.eye(3)
    positions = (sites + u) * breath + np.linspace(0, 40, frames)[:, None, None]
    ratio, square = lindemann_ratio(positions, cells)
    expected = 3 * sigma**2 * (1 - 1 / len(sites)) * (1 - 1 / frames)
    assert abs(square.value - expected) < 3 * square.error + 1e-3 * expected
    assert square.error < 0.01 * expected
    assert ratio.value == pytest.approx(np.sqrt(expected) / a, rel=0.01)
    with pytest.raises(UserError, match="at least two frames"):
        lindemann_ratio(positions[:1], cells[0])


def universe_of(positions, edge, symbols):
    universe = mda.Universe.empty(len(symbols), trajectory=False)
    universe.add_TopologyAttr("elements", list(symbols))
    universe.trajectory = MemoryReader(positions, dimensions=np.array([edge] * 3 + [90.0] * 3), dt=1.0)
    return universe


def test_radial_distribution_of_a_crystal_counts_its_shells():
    """Simple cubic with amplitude σ: 6, 12, 8 neighbours; the first shell has mean r and variance 2σ² of a pair."""
    rng, n, a, sigma = np.random.default_rng(5), 6, 3.0, 0.08
    sites = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * a
    positions = sites + sigma * rng.normal(size=(40, len(sites), 3))
    curve = radial_distribution(universe_of(positions, n * a, ["O"] * len(sites)), "element O", "element O", bins=450)
    at = {r: curve.coordination[np.searchsorted(curve.r_A, r)] for r in (3.6, 4.7, 5.6)}
    assert at[3.6] == pytest.approx(6, abs=0.02) and at[4.7] == pytest.approx(18, abs=0.02)
    assert at[5.6] == pytest.approx(26, abs=0.05)
    weight = curve.g * curve.r_A**2 * (curve.r_A < 3.6)
    mean = (weight @ curve.r_A) / weight.sum()
    variance = weight @ (curve.r_A - mean) ** 2 / weight.sum()
    assert variance == pytest.approx(2 * sigma**2, rel=0.05)
    assert mean == pytest.approx(a + 2 * sigma**2 / a, abs=0.005)  # transverse 2·(2σ²)/(2a)


def test_radial_distribution_of_an_ideal_gas_is_one_within_its_errors():
    rng = np.random.default_rng(6)
    positions = rng.uniform(0, 12, size=(200, 60, 3))
    universe = universe_of(positions, 12.0, ["O"] * 20 + ["H"] * 40)
    for first, second in (("O", "O"), ("O", "H")):
        curve = radial_distribution(universe, f"element {first}", f"element {second}", bins=30)
        pulls = (curve.g[5:] - 1.0) / curve.error[5:]
        assert 0.5 < np.mean(pulls**2) < 2.2
    with pytest.raises(UserError, match="half the cell"):
        radial_distribution(universe, "element O", "element H", r_max=7.0)
    with pytest.raises(UserError, match="share some atoms"):
        radial_distribution(universe, "all", "element H")
    with pytest.raises(UserError, match="holds no atoms"):
        radial_distribution(universe, "element Pb", "element H")


def test_order_parameter_of_known_fluctuations():
    """⟨|P|⟩ of three Gaussian components is σ√(8/π), its rms σ√3."""
    p = 0.3 * np.random.default_rng(8).normal(size=(20_000, 3))
    found = order_estimates(p)
    assert abs(found["order_parameter_C_m2"].value - 0.3 * np.sqrt(8 / np.pi)) < 3 * found["order_parameter_C_m2"].error
    assert abs(found["rms_polarization_C_m2"].value - 0.3 * np.sqrt(3)) < 3 * found["rms_polarization_C_m2"].error
    assert abs(found["polarization_z_C_m2"].value) < 3.5 * found["polarization_z_C_m2"].error


XML = """<simulation><output prefix='simulation'>
<trajectory filename='pos' stride='10' cell_units='angstrom'> x_centroid{{angstrom}} </trajectory></output>
<system><initialize nbeads='1'><file mode='xyz'>start.xyz</file></initialize>
<ensemble><temperature units='kelvin'>{kelvin}</temperature></ensemble>
<motion mode='dynamics'><dynamics mode='npt'><timestep units='femtosecond'>1.0</timestep></dynamics></motion>
</system></simulation>"""


def npt_run(path, kelvin, scale, frames=60, seed=0):
    """A run of PbTiO3 with a fluctuating cell, displacements ``scale`` times SHIFT and thermal noise, as i-PI writes it."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True)
    (path / "input.xml").write_text(XML.format(kelvin=kelvin))
    text = ""
    for frame in range(frames):
        a, c = 3.9 + 0.01 * rng.normal(), 3.9 * (1 + 0.06 * scale) + 0.01 * rng.normal()
        symbols, positions, cell = perovskite((2, 2, 2), a, c, scale * SHIFT)
        positions = positions + 0.02 * rng.normal(size=positions.shape)
        lengths = " ".join(f"{x:10.5f}" for x in np.diag(cell))
        head = f"# CELL(abcABC): {lengths}   90.00000   90.00000   90.00000  Step: {10 * frame:10d}  Bead:       0 "
        head += "x_centroid{angstrom}  cell{angstrom}"
        rows = [f"{s:>8} {x:12.5e} {y:12.5e} {z:12.5e}" for s, (x, y, z) in zip(symbols, positions, strict=True)]
        text += f"{len(symbols)}\n{head}\n" + "\n".join(rows) + "\n"
    (path / "simulation.pos.xyz").write_text(text)
    (path / "start.xyz").write_text("\n".join(text.splitlines()[: 2 + len(symbols)]) + "\n")
    return path


def test_a_run_becomes_lattice_and_polarization(tmp_path):
    run = RunDirectory(npt_run(tmp_path / "cold", 300, 1.0))
    study = study_structure(run, sublattices=("O",), pairs=[("Ti", "O")])
    assert study.supercell == (2, 2, 2) and study.temperature_K == 300
    for name, value in (("a_A", 3.9), ("c_A", 3.9 * 1.06), ("tetragonality", 1.06)):
        assert abs(study.lattice[name].value - value) < 3 * study.lattice[name].error + 1e-5, name
    expected = born_polarization(SHIFT, 3.9**3 * 1.06) * E_A2
    assert study.order["polarization_z_C_m2"].value == pytest.approx(expected, rel=0.01)
    assert study.order["polarization_x_C_m2"].value == pytest.approx(0.0, abs=0.02)
    coordination = study.distributions["Ti-O"].coordination[-1]
    assert coordination > 5.5
    assert np.ptp([ts.dimensions[0] for ts in run_universe(run).trajectory]) > 0.01  # the box follows the cell


def test_command_draws_the_transition(tmp_path):
    runs = [npt_run(tmp_path / f"{t}K", t, s) for t, s in ((300, 1.0), (600, 0.6), (900, 0.0))]
    command = [Path(sys.executable).with_name("les-analysis"), "structure", *runs, "--sublattice", "O,Pb", "--rdf", "Ti-O"]
    done = subprocess.run(
        [*map(str, command), "--json", str(tmp_path / "s.json"), "--plot", str(tmp_path / "s.png")],
        capture_output=True, text=True, timeout=120, env=os.environ | {"COLUMNS": "160"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "c/a" in done.stdout and "lindemann ratio O" in done.stdout
    record = json.loads((tmp_path / "s.json").read_text())
    order = [run["order"]["order_parameter_C_m2"]["value"] for run in record["runs"]]
    assert order[0] > order[1] > 5 * order[2]
    assert [run["lattice"]["tetragonality"]["value"] for run in record["runs"]] == pytest.approx([1.06, 1.036, 1.0], abs=2e-3)
    assert (tmp_path / "s.png").stat().st_size > 20_000


def test_cells_come_from_the_field_table_and_the_properties(tmp_path):
    run = npt_run(tmp_path / "run", 300, 1.0, frames=3)
    header = "# column   1     --> step : The current step.\n# cols.   2-7    --> cell_h{angstrom} : The cell.\n"
    (run / "simulation.out").write_text(header + "".join(f"{k} 8.0 8.1 8.2 0.1 0.2 0.3\n" for k in range(4)))
    series = read_cells(RunDirectory(run))
    assert series.source == "simulation.out"
    assert np.allclose(series.cells[0], [[8.0, 0, 0], [0.1, 8.1, 0], [0.2, 0.3, 8.2]])
    time = np.arange(20.0)
    write_field_table(run, Drive(time, np.sin(time), np.cos(time), volume_A3=64.0))
    assert np.allclose(read_cells(RunDirectory(run)).cells, 4.0 * np.eye(3))


@pytest.mark.parametrize("text", ["Pb", "Pb=x", "Pb=1..2", "pb=1", "Pb=1,Pb=2", "O=-5/-2/-1"])
def test_charges_on_the_command_line(text):
    assert parse_charges("Pb=3.90,Ti=7.06,O=-5.83/-2.56", along_and_across=True) == PBTIO3_CHARGES
    with pytest.raises(UserError, match=r"not a charge of an element; write for example --charges Pb="):
        parse_charges(text, along_and_across=True)
