"""The enthalpy that a driver serves: its parts belong together, and the dipole that flows along a path."""

from dataclasses import replace

import numpy as np
import pytest
from ipi_inputs import water_lattice
from toy_water import ToyEvaluator, evaluate

from les_ipi.driver.fields.enthalpy import FieldEnthalpy
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.template import Template
from les_ipi.driver.serve.wire import virial_to_wire
from les_ipi.errors import UserError
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import BOHR_A, HARTREE_BOHR_EV_A, HARTREE_EV

FIELD = "0.1;-0.2;0.3"
VOLTAGE = "0.7;-1.1;0.4"


@pytest.fixture
def water():
    symbols, positions, edge = water_lattice(2)
    cell = edge * np.array([[1.0, 0, 0], [0.02, 1.01, 0], [-0.01, 0.03, 0.99]])
    return AtomicSystem(np.array([{"O": 8, "H": 1}[s] for s in symbols]), positions, cell)


@pytest.mark.parametrize("given", [{"field": FIELD}, {"voltage": VOLTAGE}])
def test_forces_and_virial_are_derivatives_of_the_enthalpy(water, given):
    enthalpy = FieldEnthalpy(**given, single_valued=True)

    def energy(positions, cell=water.cell):
        moved = replace(water, positions=positions, cell=cell)
        return enthalpy.apply(moved, evaluate(moved))[0]

    _, forces, virial = enthalpy.apply(water, evaluate(water))
    for atom, axis in ((0, 0), (4, 2), (11, 1)):
        step = np.zeros_like(water.positions)
        step[atom, axis] = 1e-5
        slope = (energy(water.positions + step) - energy(water.positions - step)) / 2e-5
        np.testing.assert_allclose(forces[atom, axis], -slope, atol=1e-7)
    for a in range(3):
        for b in range(3):
            found = []
            for sign in (1, -1):
                strain = np.eye(3)
                strain[a, b] += sign * 1e-5
                found.append(energy(water.positions @ strain, water.cell @ strain))
            np.testing.assert_allclose(virial[a, b], -(found[0] - found[1]) / 2e-5, atol=1e-6, err_msg=f"{a}{b}")
    if "field" in given:
        assert np.abs(virial - virial.T).max() > 0.01  # so the index order matters
        np.testing.assert_allclose(virial_to_wire(virial)[0, 1] * HARTREE_EV, virial[1, 0])


def test_a_server_adds_the_field_to_what_it_sends(water):
    template = Template(water.numbers, True, 0.0, "start.xyz")
    cell, positions = water.cell.T / BOHR_A, water.positions / BOHR_A
    plain = ForceServer(ToyEvaluator(), template)([cell], [positions])[0]
    driven = ForceServer(ToyEvaluator(), template, constant_field=FIELD)([cell], [positions])[0]
    results, field = evaluate(water), np.array([0.1, -0.2, 0.3])
    np.testing.assert_allclose((driven.energy - plain.energy) * HARTREE_EV, -field @ results.dipole, rtol=1e-9)
    expected = np.einsum("iab,a->ib", results.born_effective_charges, field)
    np.testing.assert_allclose((driven.forces - plain.forces) * HARTREE_BOHR_EV_A, expected, atol=1e-10)
    assert driven.extras == plain.extras


@pytest.mark.parametrize("given", [{"field": FIELD}, {"voltage": VOLTAGE}])
def test_the_dipole_of_a_path_is_that_of_a_single_valued_one(water, given):
    """Three beads in changing order along a path (and in a cell that breathes, at fixed voltage), to second order."""
    rng = np.random.default_rng(5)
    ways = 0.05 * rng.normal(size=(3, *water.positions.shape))
    breath = 0.03 * np.triu(rng.normal(size=(3, 3))) * ("voltage" in given)
    errors = []
    for steps in (10, 20):
        followed = FieldEnthalpy(**given, single_valued=False, beads=3)
        exact = FieldEnthalpy(**given, single_valued=True)
        start = []
        for number in range(steps + 1):
            part = number / steps
            strain = np.eye(3) + np.sin(2 * part) * breath
            beads = [replace(water, positions=(water.positions + np.sin(2 * part) * w + part**2 * w[::-1]) @ strain,
                             cell=water.cell @ strain) for w in ways]  # fmt: skip
            found = np.zeros(3)
            for bead in rng.permutation(3):
                results = evaluate(beads[bead])
                found[bead] = followed.apply(beads[bead], results)[0] - exact.apply(beads[bead], results)[0]
            start.append(found)
        offsets = start[-1] - start[0]
        errors.append(np.abs(offsets).max())
    moved = abs(exact.apply(beads[0], evaluate(beads[0]))[0] - evaluate(beads[0]).energy)
    assert errors[0] < 0.02 * moved
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.2)


def test_refusals(water):
    with pytest.raises(UserError, match="two ways to describe the same field"):
        FieldEnthalpy(FIELD, VOLTAGE, single_valued=True)
    with pytest.raises(UserError, match=r"above 5 V/Å"):
        FieldEnthalpy("0;0;50", single_valued=True)
    with pytest.raises(UserError, match="give three numbers"):
        FieldEnthalpy("0;x;1", single_valued=True)
    with pytest.raises(UserError, match="voltage corresponds to a field of"):
        FieldEnthalpy(voltage="0;0;90", single_valued=True).apply(water, evaluate(water))
    isolated = replace(water, cell=np.zeros((3, 3)), periodic=False)
    with pytest.raises(UserError, match="the system is isolated"):
        FieldEnthalpy(voltage=VOLTAGE, single_valued=True).apply(isolated, evaluate(isolated))
    latent = FieldEnthalpy(FIELD, single_valued=False)
    latent.apply(water, evaluate(water))
    jumped = replace(water, positions=water.positions + 1.0)
    with pytest.raises(UserError, match="moved by 1 Å between two evaluations"):
        latent.apply(jumped, evaluate(jumped))
    wider = replace(water, cell=1.001 * water.cell)
    with pytest.raises(UserError, match="give a voltage instead"):
        latent.apply(wider, evaluate(wider))
    none = ToyEvaluator()
    none.card = {"name": "short", "charge_head": "none"}
    with pytest.raises(UserError, match="'short' has no charges, so a field has no force"):
        ForceServer(none, Template(water.numbers, True, 0.0, "start.xyz"), constant_field=FIELD)
    with pytest.raises(UserError, match="net charge of 1 e"):
        ForceServer(ToyEvaluator(), Template(water.numbers, True, 1.0, "start.xyz"), constant_field=FIELD)
