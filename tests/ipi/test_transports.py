"""Every way into i-PI gives the same trajectory, virial and extras."""

import numpy as np
import pytest
from ipi import read_output
from ipi_inputs import water_lattice, write_start
from toy_programs import run_toy
from toy_water import evaluate

from les_ipi.conventions import born_from_ipi
from les_ipi.driver.serve.template import read_template
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import BOHR_A

EXTRAS = """<trajectory filename='bec' stride='50' extra_type='BEC'> extras </trajectory>
  <trajectory filename='mu' stride='10' extra_type='dipole'> extras </trajectory>"""
TRANSPORTS = {
    "direct, one by one": ("direct", 1, 1),
    "direct, batch": ("direct", 2, 1),
    "unix": ("unix", 1, 1),
    "unix, two drivers": ("unix", 1, 2),
    "unix, batch": ("unix", 2, 1),
    "inet": ("inet", 1, 1),
    "inet, batch": ("inet", 2, 1),
}


def columns(directory):
    values, _ = read_output(str(directory / "sim.out"))
    return values


@pytest.mark.timeout(120)
def test_all_transports_give_the_same_trajectory(make_input, free_port):
    observed = {}
    for name, (transport, batch, drivers) in TRANSPORTS.items():
        path = make_input(transport, beads=2, batch=batch, outputs=EXTRAS, port=free_port())
        result = run_toy(path, model="toy", dtype="float64", drivers=drivers, properties="born_effective_charges")
        assert (result.step, result.signal) == (100, None)
        directory = path.parent
        observed[name] = {key: columns(directory)[key] for key in ("conserved", "potential", "temperature")}
        for kind in ("bec", "mu"):
            observed[name][kind] = [np.loadtxt(directory / f"sim.{kind}_{b}", comments="#") for b in (0, 1)]
    reference = observed.pop("direct, one by one")
    assert len(reference["conserved"]) == 101
    for name, values in observed.items():
        for key, expected in reference.items():
            np.testing.assert_allclose(values[key], expected, rtol=1e-8, atol=1e-12, err_msg=f"{name}: {key}")


@pytest.mark.timeout(60)
def test_extras_have_the_index_order_of_ipi(make_input):
    path = make_input(outputs=EXTRAS, steps=1)
    run_toy(path, dtype="float64", properties="BEC")
    _, positions, edge = water_lattice(2)
    numbers = read_template(path.parent / "start.xyz").numbers
    expected = evaluate(AtomicSystem(numbers, positions, edge * np.eye(3)))
    rows = np.loadtxt(path.parent / "sim.bec_0", comments="#")
    born = born_from_ipi(rows)
    np.testing.assert_allclose(born, expected.born_effective_charges, atol=1e-6)
    assert np.abs(born - born.swapaxes(1, 2)).max() > 0.1  # so the order is really seen
    dipole = np.loadtxt(path.parent / "sim.mu_0", comments="#")
    np.testing.assert_allclose(dipole * BOHR_A, expected.dipole, atol=1e-6)


def start_values(make_input, deformation):
    """Energy (hartree), volume (bohr³) and virial a volume (xx, yy, zz, xy, xz, yz) at the start."""
    path = make_input(steps=1)
    write_start(path.parent / "start.xyz", deformation=deformation)
    text = path.read_text().replace("temperature{kelvin}]", "volume, virial_md]")
    path.write_text(text.replace("potential{electronvolt}", "potential"))
    run_toy(path, dtype="float64")
    return {key: value[0] for key, value in columns(path.parent).items()}


@pytest.mark.timeout(120)
def test_virial_is_the_strain_derivative_of_the_energy_through_ipi(make_input):
    start = start_values(make_input, np.eye(3))
    for component, a, b in ((0, 0, 0), (2, 2, 2), (3, 0, 1), (5, 1, 2)):
        energies = []
        for strain in (1e-4, -1e-4):
            deformation = np.eye(3)
            deformation[a, b] += strain
            energies.append(start_values(make_input, deformation)["potential"])
        slope = (energies[0] - energies[1]) / 2e-4
        virial = start["virial_md"][component] * start["volume"]
        np.testing.assert_allclose(virial, -slope, rtol=1e-5, atol=1e-7, err_msg=f"component {a}{b}")


@pytest.mark.timeout(60)
def test_nve_conserves_energy(make_input):
    path = make_input("unix", dt=0.25, steps=1000)
    run_toy(path, model="toy", dtype="float64")
    conserved = columns(path.parent)["conserved"]
    assert np.ptp(conserved) / 24 < 1e-3  # eV an atom, fluctuations included
    halves = conserved[:500].mean(), conserved[500:].mean()
    assert abs(halves[1] - halves[0]) / 24 < 2e-5


FIELD = """<driven_dynamics mode='eda-nve'> <timestep units='femtosecond'>{dt}</timestep>
  <efield> <amp units='v/ang'>[0.02, 0.05, 0.1]</amp> </efield> <bec mode='driver'/> </driven_dynamics>"""


@pytest.mark.timeout(60)
def test_field_does_the_work_that_the_dipole_takes(make_input):
    """i-PI's eda-nve with our BEC: conserved - E·M is constant only with the right index order and units."""
    path = make_input("unix", motion=FIELD, dt=0.1, steps=300)
    text = path.read_text().replace("motion mode='dynamics'", "motion mode='driven_dynamics'")
    text = text.replace("temperature{kelvin}]", "interaction_energy{electronvolt}]")
    path.write_text(text.replace("electronvolt", "atomic_unit"))
    run_toy(path, model="toy", dtype="float64", properties="BEC")
    values = columns(path.parent)
    work = values["interaction_energy"]
    assert np.ptp(work) > 1e-3  # hartree
    assert np.ptp(values["conserved"] - work) < 0.02 * np.ptp(work)
