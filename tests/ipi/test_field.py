"""Fields on real i-PI runs: the work balance, the three routes, the ensembles, and the record."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from ipi import read_output
from ipi_inputs import NVE, water_lattice
from scipy.optimize import minimize
from toy_programs import run_toy
from toy_water import evaluate

from les_ipi.conventions import FIELD_COLUMNS
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import BOHR_A

FIELD = (0.1, 0.2, 0.2)  # V/Å
CONSTANT = 'waveform = "constant"\namplitude = 0.3\ndirection = [1, 2, 2]\n'
WAVEFORMS = {
    "pulse": 'waveform = "pulse"\namplitude = 2.0\ndirection = [1, 2, 2]\ncentre_fs = 40\nsigma_fs = 10\n',
    "sine": 'waveform = "sine"\namplitude = 2.0\ndirection = [1, 2, 2]\nperiod_fs = 50\n',
    "triangle": 'waveform = "triangle"\namplitude = 2.0\ndirection = [1, 2, 2]\nperiod_fs = 60\n',
}
DIPOLES = "<trajectory filename='mu' stride='1' extra_type='dipole'> extras </trajectory>"
HEALTHY = {"model": "toy", "dtype": "float64"}
EDA = """<driven_dynamics mode='eda-nve'> <timestep units='femtosecond'>{dt}</timestep>
  <efield> <amp units='v/ang'>[0.1, 0.2, 0.2]</amp> EXTRA </efield> <bec mode='driver'/> </driven_dynamics>"""


def protocol(path, text):
    """Write a protocol beside an input."""
    file = path.parent / "protocol.toml"
    file.write_text(text)
    return file


def output(path):
    return read_output(str(path.parent / "sim.out"))[0]


def drive(make_input, text, cold=False, edit=None, **options):
    """Run the toy with a protocol; returns the record as columns, i-PI's output and the path of the input."""
    path = make_input(**options)
    if cold:
        relax(path)
    if edit:
        path.write_text(edit(path.read_text()))
    run_toy(path, field=protocol(path, text), **HEALTHY)
    return record(path), output(path), path


def relax(path):
    """Replace the start structure of an input by a minimum of its energy, and the temperature by 10 K."""
    path.write_text(path.read_text().replace(">300<", ">10<"))
    start = path.parent / "start.xyz"
    lines = start.read_text().splitlines()
    positions = np.array([line.split()[1:] for line in lines[2:]], dtype=float)
    system = AtomicSystem(np.tile([8, 1, 1], len(positions) // 3), positions, water_lattice(2)[2] * np.eye(3))

    def energy(flat):
        found = evaluate(replace(system, positions=flat.reshape(-1, 3)))
        return found.energy, -found.forces.ravel()

    options = {"ftol": 1e-15, "maxiter": 2000}
    best = minimize(energy, positions.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(-1, 3)
    rows = [f"{line.split()[0]} {x:.12f} {y:.12f} {z:.12f}" for line, (x, y, z) in zip(lines[2:], best, strict=True)]
    start.write_text("\n".join([*lines[:2], *rows]) + "\n")


def record(path):
    rows = np.loadtxt(path.parent / "sim.field", ndmin=2)
    return {name: rows[:, k] for k, name in enumerate(FIELD_COLUMNS)}


def vectors(table, name):
    return np.stack([table[name + axis] for axis in "xyz"], axis=1)


def mean_dipole(path, beads):
    """Mean over beads of the toy's single-valued dipole, (T, 3) e·Å."""
    return BOHR_A * np.mean([np.loadtxt(path.parent / f"sim.mu_{b}", comments="#") for b in range(beads)], axis=0)


def final_positions(path):
    """All beads at the end (bohr, 16 digits)."""
    text = ET.parse(path.parent / "RESTART").getroot().findtext("system/beads/q")
    return np.array(text.strip(" []\n").replace(",", " ").split(), dtype=float)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("beads", [1, 8])
@pytest.mark.parametrize("name", list(WAVEFORMS))
def test_work_balance(make_input, name, beads):
    """d(conserved) = E·dM within 0.5 % of the exchanged work at 0.5 fs, and shrinking as dt².

    The molecules are cold, so that the error of the integrator itself, which is there without a field, is small.
    """
    errors = []
    for dt in (1.0, 0.5):
        options = {"dt": dt, "steps": int(80 / dt), "beads": beads, "batch": beads, "outputs": DIPOLES}
        table, out, path = drive(make_input, WAVEFORMS[name], cold=True, **options)
        exchanged = np.abs(np.diff(table["work"])).sum()
        errors.append(np.abs(out["conserved"] - out["conserved"][0] - table["work"]).max() / exchanged)
    assert exchanged > 1.0  # eV
    assert errors[1] < 2e-3
    assert 3.3 < errors[0] / errors[1] < 4.7
    moved = mean_dipole(path, beads)
    moved = moved - moved[0]
    np.testing.assert_allclose(vectors(table, "M"), moved, atol=2e-3 * np.abs(moved).max())
    slope = np.gradient(moved, dt, axis=0)[1:-1]
    np.testing.assert_allclose(vectors(table, "J")[1:-1], slope, atol=0.05 * np.abs(slope).max())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("beads", [1, 4])
def test_three_routes_give_the_same_trajectory(make_input, beads):
    """i-PI's own field, the enthalpy served by the driver (both transports), and the protocol, after 100 steps."""
    common = {"beads": beads, "batch": beads, "dt": 0.5, "steps": 100, "kelvin": 300}
    ends = {}
    path = make_input(motion=EDA.replace("EXTRA", ""), **common)
    path.write_text(path.read_text().replace("motion mode='dynamics'", "motion mode='driven_dynamics'"))
    run_toy(path, **HEALTHY)  # les-ipi run asks for the Born charges by itself
    ends["i-PI"] = final_positions(path)
    path = make_input(**common)
    run_toy(path, constant_field=FIELD, **HEALTHY)
    ends["driver"] = final_positions(path)
    conserved = output(path)["conserved"]
    path = make_input("unix", **common)
    run_toy(path, constant_field=FIELD, **HEALTHY)
    ends["driver, unix"] = final_positions(path)
    *_, path = drive(make_input, CONSTANT, **common)
    ends["protocol"] = final_positions(path)
    *_, path = drive(make_input, CONSTANT, transport="unix", **common)
    ends["protocol, unix"] = final_positions(path)
    path = make_input(**common)
    run_toy(path, **HEALTHY)
    free, drift = final_positions(path), np.ptp(output(path)["conserved"])
    reference = ends.pop("i-PI")
    assert np.abs(reference - free).max() > 0.05  # bohr: the field matters
    for name, found in ends.items():
        np.testing.assert_allclose(found, reference, rtol=1e-6, atol=1e-7, err_msg=name)
    assert np.ptp(conserved) < 1.1 * drift  # the enthalpy is conserved as the energy is without a field


@pytest.mark.timeout(60)
def test_protocol_equals_the_oscillating_field_of_ipi(make_input):
    """E0 sin ωt by i-PI's eda-nve, whose frequency is angular with units of cycles, and by a protocol."""
    wave = "<freq units='thz'>25</freq> <phase>-1.5707963267948966</phase>"
    path = make_input(motion=EDA.replace("EXTRA", wave), steps=100)
    path.write_text(path.read_text().replace("motion mode='dynamics'", "motion mode='driven_dynamics'"))
    run_toy(path, **HEALTHY)
    *_, other = drive(make_input, CONSTANT.replace("constant", "sine") + "period_fs = 40\n", steps=100)
    np.testing.assert_allclose(final_positions(other), final_positions(path), rtol=1e-6, atol=1e-7)


@pytest.mark.timeout(120)
def test_fixed_atoms_take_no_work(make_input):
    """Oxygens that are held fixed: i-PI would book the kicks that it takes from them as heat, step by step."""
    held = "<fixcom>False</fixcom><fixatoms>[0, 3, 6, 9, 12, 15, 18, 21]</fixatoms>" + NVE
    common = {"motion": held, "dt": 0.5, "steps": 200}
    free = make_input(**common)
    run_toy(free, **HEALTHY)
    table, out, path = drive(make_input, CONSTANT, **common)
    assert np.ptp(table["work"]) > 0.1
    assert np.ptp(out["conserved"] - table["work"]) < 1.3 * np.ptp(output(free)["conserved"])
    moved = final_positions(path).reshape(-1, 3) - final_positions(free).reshape(-1, 3)
    np.testing.assert_allclose(moved[::3], 0.0, atol=1e-12)


NVT = """<dynamics mode='nvt'><timestep units='femtosecond'>{dt}</timestep>
  <thermostat mode='THERMOSTAT'><tau units='femtosecond'>50</tau></thermostat></dynamics>"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("thermostat, beads", [("langevin", 1), ("pile_g", 4)])
def test_area_of_a_loop_is_heat_and_energy(make_input, thermostat, beads):
    """NVT: ∮E·dM = heat into the thermostat + ΔU, kinetic and spring energy included, within 3 %."""
    names = "temperature{kelvin}, kinetic_md{electronvolt}, spring{electronvolt}"
    text = CONSTANT.replace("constant", "sine").replace("0.3", "1.0") + "period_fs = 100\n"
    table, out, _ = drive(
        make_input, text, dt=0.5, steps=400, beads=beads, batch=beads, motion=NVT.replace("THERMOSTAT", thermostat),
        edit=lambda xml: xml.replace("temperature{kelvin}", names),
    )  # fmt: skip
    energy = out["potential"] + out["kinetic_md"] + out["spring"]
    heat = out["conserved"] - energy  # i-PI adds what the thermostat has taken
    heat, energy = heat - heat[0], energy - energy[0]
    for start in (0, 200):
        loop = slice(start, start + 201)
        area = np.trapezoid(vectors(table, "E")[loop], vectors(table, "M")[loop], axis=0).sum()
        exchanged = (heat + energy)[start + 200] - (heat + energy)[start]
        assert area > 1.0  # eV
        assert abs(exchanged - area) < 0.01 * area
    assert heat[-1] > 0.5 * table["work"][-1] > 0


NPT = """<dynamics mode='{mode}'><timestep units='femtosecond'>DT</timestep>
  <barostat mode='{barostat}'> <tau units='femtosecond'>100</tau> {reference}</barostat></dynamics>"""
BAROSTATS = {
    "isotropic": ("npt", "isotropic", ""),
    "flexible": ("npt", "flexible", ""),
    "anisotropic": ("nst", "anisotropic", "<h0 shape='(3,3)' units='angstrom'>[9.3,0,0,0,9.3,0,0,0,9.3]</h0>"),
}


def constant_pressure(name, dt):
    mode, barostat, reference = BAROSTATS[name]
    return NPT.format(mode=mode, barostat=barostat, reference=reference).replace("DT", str(dt))


def with_stress(text):
    """Pressure and stress of 5000 bar, at which the toy is slowly compressed, and the volume in the output."""
    stress = "<stress units='bar'>[5000, 0, 0, 0, 5000, 0, 0, 0, 5000]</stress>"
    text = text.replace("<pressure units='bar'>1</pressure>", "<pressure units='bar'>5000</pressure>")
    if "nst" in text:
        text = text.replace("<pressure units='bar'>5000</pressure>", stress)
    return text.replace("temperature{kelvin}", "temperature{kelvin}, volume, cell_h")


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    "frame, barostat, beads",
    [("reduced", "isotropic", 1), ("reduced", "flexible", 1), ("reduced", "anisotropic", 4), ("lab", "isotropic", 4),
     ("lab", "flexible", 1)],
)  # fmt: skip
def test_constant_pressure_conserves_like_the_run_without_field(make_input, frame, barostat, beads):
    """i-PI's conserved quantity less the work, in cells that change by per cents; the work is e·Δμ or E·ΔM of the toy."""
    dt = 0.5
    common = {"beads": beads, "batch": beads, "dt": dt, "steps": 120, "per_side": 3 if barostat != "isotropic" else 2}
    common["motion"] = constant_pressure(barostat, dt)
    free = make_input(**common)
    free.write_text(with_stress(free.read_text()))
    run_toy(free, **HEALTHY)
    table, out, path = drive(make_input, CONSTANT + f'frame = "{frame}"\n', outputs=DIPOLES, edit=with_stress, **common)
    cells = np.stack([table[f"h{i}{j}"] for i in (1, 2, 3) for j in (1, 2, 3)], 1).reshape(-1, 3, 3)
    assert np.ptp(table["volume"]) > 0.02 * table["volume"][0]
    np.testing.assert_allclose(np.abs(np.linalg.det(cells)), table["volume"], rtol=1e-9)
    dipole = mean_dipole(path, beads)
    field = np.tile(FIELD, (len(cells), 1))
    if frame == "reduced":
        field = np.linalg.solve(cells, (field @ cells[0].T)[..., None])[..., 0]
    np.testing.assert_allclose(vectors(table, "E"), field, rtol=1e-7)
    work = np.einsum("ta,ta->t", field, dipole)  # e·μ at fixed voltage, because e·(M h⁻¹) = E·M
    work = work - work[0]
    np.testing.assert_allclose(table["work"], work, atol=5e-4 * np.abs(work).max())
    assert np.ptp(out["conserved"] - table["work"]) < 1.3 * np.ptp(output(free)["conserved"])
    assert np.ptp(table["work"]) > 10 * np.ptp(output(free)["conserved"])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind, strength", [("constant_field", FIELD), ("voltage", (0.62, 1.24, 1.24))])
def test_enthalpy_of_the_driver_is_conserved_at_constant_pressure(make_input, kind, strength):
    """Energy, forces and virial of H belong together: i-PI conserves it as it conserves the energy without field."""
    common = {"beads": 4, "batch": 4, "dt": 0.5, "steps": 120, "motion": constant_pressure("isotropic", 0.5)}
    spread, energies = [], []
    for given in ({}, {kind: strength}):
        path = make_input(outputs=DIPOLES, **common)
        path.write_text(with_stress(path.read_text()))
        run_toy(path, **given, **HEALTHY)
        spread.append(np.ptp(output(path)["conserved"]))
        energies.append(np.ptp(mean_dipole(path, 4) @ FIELD))
        assert np.ptp(output(path)["volume"]) > 0.02 * output(path)["volume"][0]
    assert energies[1] > 10 * spread[0]
    assert spread[1] < 1.1 * spread[0]
