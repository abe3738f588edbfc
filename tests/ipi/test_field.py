"""Fields on real i-PI runs: the work balance, the three routes, restarts, and the record."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import NVT, water_lattice
from ipi import read_output
from scipy.optimize import minimize
from toy_programs import run_toy
from toy_water import evaluate

from les_ipi.driver.field_record import COLUMNS
from les_ipi.system import AtomicSystem
from les_ipi.units import BOHR_A

CONSTANT = 'waveform = "constant"\namplitude = 0.1\ndirection = [1, 2, 2]\n'
WAVEFORMS = {
    "pulse": 'waveform = "pulse"\namplitude = 2.0\ndirection = [1, 2, 2]\ncentre_fs = 40\nsigma_fs = 10\n',
    "sinus": 'waveform = "sinus"\namplitude = 2.0\ndirection = [1, 2, 2]\nperiod_fs = 50\n',
    "triangle": 'waveform = "triangle"\namplitude = 2.0\ndirection = [1, 2, 2]\nperiod_fs = 60\n',
}
DIPOLES = "<trajectory filename='mu' stride='1' extra_type='dipole'> extras </trajectory>"
HEALTHY = {"model": "toy", "dtype": "float64"}


def protocol(path, text):
    """Write a protocol beside an input."""
    file = path.parent / "protocol.toml"
    file.write_text(text)
    return file


def drive(make_input, text, **options):
    """Run the toy with a protocol; returns the record as a table of columns, i-PI's output and the run's path."""
    path = make_input(**options)
    if options.get("kelvin"):
        relax(path)
    run_toy(path, field=protocol(path, text), **HEALTHY)
    return record(path), read_output(str(path.parent / "sim.out"))[0], path


def relax(path):
    """Replace the start structure of an input by a minimum of its energy."""
    start = path.parent / "start.xyz"
    lines = start.read_text().splitlines()
    positions = np.array([line.split()[1:] for line in lines[2:]], dtype=float)
    system = AtomicSystem(np.tile([8, 1, 1], len(positions) // 3), positions, water_lattice(2)[2] * np.eye(3))

    def energy(flat):
        found = evaluate(replace(system, positions=flat.reshape(-1, 3)))
        return found.energy, -found.forces.ravel()

    best = minimize(energy, positions.ravel(), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "maxiter": 2000}).x
    rows = [f"{line.split()[0]} {x:.12f} {y:.12f} {z:.12f}" for line, (x, y, z) in zip(lines[2:], best.reshape(-1, 3), strict=True)]
    start.write_text("\n".join([*lines[:2], *rows]) + "\n")


def record(path):
    rows = np.loadtxt(path.parent / "sim.field", ndmin=2)
    return {name: rows[:, k] for k, name in enumerate(COLUMNS)}


def vectors(table, name):
    return np.stack([table[name + axis] for axis in "xyz"], axis=1)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("beads", [1, 8])
@pytest.mark.parametrize("name", list(WAVEFORMS))
def test_work_balance(make_input, name, beads):
    """d(conserved) = E·dM within 0.5 % of the exchanged work at 0.5 fs, and shrinking as dt².

    The molecules are cold, so that the error of the integrator itself, which is there without a field, is small.
    """
    errors = []
    for dt in (1.0, 0.5):
        table, out, path = drive(
            make_input, WAVEFORMS[name], dt=dt, steps=int(80 / dt), beads=beads, batch=beads, outputs=DIPOLES, kelvin=10
        )
        exchanged = np.abs(np.diff(table["work"])).sum()
        errors.append(np.abs(out["conserved"] - out["conserved"][0] - table["work"]).max() / exchanged)
        mean = BOHR_A * np.mean([np.loadtxt(path.parent / f"sim.mu_{b}", comments="#") for b in range(beads)], axis=0)
        print(name, beads, dt, errors[-1], exchanged, np.abs(mean - mean[0] - vectors(table, "M")).max(), np.abs(vectors(table, "M")).max())
    print(errors)
    np.testing.assert_allclose(vectors(table, "M"), mean - mean[0], atol=2e-3 * np.abs(mean - mean[0]).max())
    slope = np.gradient(mean, dt, axis=0)[1:-1]
    np.testing.assert_allclose(vectors(table, "J")[1:-1], slope, atol=0.05 * np.abs(slope).max())
