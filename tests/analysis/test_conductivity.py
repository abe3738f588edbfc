"""Conductivity, diffusion, Haven ratio and Onsager matrix of ions for which all of them are known."""

import MDAnalysis as mda
import numpy as np
import pytest
from ions import (
    SIGMA_UNIT,
    TEMPERATURE,
    VOLUME,
    autoregressive,
    integrated,
    ion_conductivity,
    ion_diffusion,
    ion_velocities,
)
from MDAnalysis.analysis.msd import EinsteinMSD
from MDAnalysis.transformations import NoJump
from scipy import constants as si

from les_ipi.analysis.conductivity.charges import species_dipoles, unwrapped
from les_ipi.analysis.conductivity.diffusion import SelfDiffusion, self_diffusion, without_drift, yeh_hummer
from les_ipi.analysis.conductivity.estimators import (
    ConductivityEstimate,
    haven_ratio,
    ionic_conductivity,
    nernst_einstein,
    paired_difference,
    species_conductivity,
)
from les_ipi.analysis.conductivity.finite_field import finite_field_conductivity
from les_ipi.analysis.runs.composition import parse_charges, require_charges
from les_ipi.analysis.runs.signal import Signal
from les_ipi.analysis.statistics.einstein import mean_square_displacement
from les_ipi.errors import UserError
from les_ipi.units import EPSILON_0

PAIRS, SPEED, STEPS, SEEDS = 4, 0.01, 5000, 120
CHARGES = {"H": 1.0, "F": -1.0}
SYMBOLS = ["H"] * PAIRS + ["F"] * PAIRS
SIGNS = np.repeat([1.0, -1.0], PAIRS)


def momentum_free(phi: float, correlation: float, seed: int, steps: int = STEPS) -> np.ndarray:
    """Velocities of ion pairs in the frame of their centre of mass (equal masses)."""
    velocities = ion_velocities(PAIRS, steps, phi, SPEED, correlation, np.random.default_rng(seed))
    return velocities - velocities.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "phi, correlation", [(0.0, 0.0), (0.9, 0.0), (0.8, 0.5)], ids=["walkers", "Langevin ions", "ion pairs"]
)
def test_ions_with_known_transport(phi, correlation):
    """σ, D, σ_NE, H_R and the Onsager matrix within their errors, and χ² of the pulls between 0.7 and 1.4 over 120 seeds.

    In the frame of the centre of mass an ion keeps 1 − (1 + ρ)/N of its diffusion; cations and anions move exactly
    opposite to each other, so that all elements of the Onsager matrix (with the signs of the charges) are σ/4.
    """
    n_ions = 2 * PAIRS
    free = ion_diffusion(phi, SPEED, 1.0)
    kept = free * (1.0 - (1.0 + correlation) / n_ions)
    sigma = ion_conductivity(n_ions, free) * (1.0 - correlation)
    independent = ion_conductivity(n_ions, kept)
    exact = np.array([sigma, sigma, sigma, kept * 0.1, independent, independent / sigma, sigma / 4, sigma / 4])
    pulls = []
    for seed in range(SEEDS):
        positions = integrated(momentum_free(phi, correlation, seed), 1.0)
        species, dipoles = species_dipoles(positions, SYMBOLS, CHARGES, None)
        signals = [Signal(dipoles.sum(axis=1), "dipole", 1.0, VOLUME, TEMPERATURE)]
        result = ionic_conductivity(signals, "charges")
        hydrogen = self_diffusion([positions], SYMBOLS, 1.0)["H"]
        nernst = nernst_einstein([positions], SYMBOLS, CHARGES, 1.0, VOLUME, TEMPERATURE)
        onsager = species_conductivity([dipoles], species, signals, result.green_kubo.plateau_fs)
        found = [(e.value, e.error) for e in result.estimates]
        found += [(hydrogen.value_cm2_s, hydrogen.error_cm2_s), (nernst.value, nernst.error)]
        found += [haven_ratio(nernst, result.estimates[0])]
        found += [(onsager.value[0, 0], onsager.error[0, 0]), (onsager.value[0, 1], onsager.error[0, 1])]
        value, error = np.array(found).T
        pulls.append((value - exact) / error)
        assert onsager.value.sum() == pytest.approx(result.estimates[0].value, rel=1e-6)
    chi_square = np.mean(np.square(pulls), axis=0)
    assert (np.mean(np.abs(pulls) < 2.0, axis=0) >= 0.9).all()
    assert ((chi_square > 0.7) & (chi_square < 1.4)).all(), chi_square


def test_prefactor_in_si_units():
    """One ion of charge e that walks with D = 1e-4 cm²/s in 1000 Å³ at 300 K: e²D/(Vk_BT) typed out in SI."""
    step = np.sqrt(2.0 * 1e-4 * 10.0)  # Å, each axis, each fs; 1 cm²/s = 10 Å²/fs
    path = np.cumsum(step * np.random.default_rng(0).standard_normal((40_000, 3)), axis=0)
    result = ionic_conductivity([Signal(path, "dipole", 1.0, 1000.0, 300.0)])
    expected = (1.602176634e-19**2 * 1e-8) / (1e-27 * 1.380649e-23 * 300.0)
    for estimate in result.estimates:
        assert abs(estimate.value - expected) < 3 * estimate.error
        assert estimate.error < 0.05 * expected
    assert SIGMA_UNIT * 1e-3 / (1000.0 * 300.0) == pytest.approx(expected)


def test_current_and_dipole_give_the_same_numbers():
    velocities = momentum_free(0.9, 0.0, 1, 8000)
    current = np.einsum("i,tic->tc", SIGNS, velocities)
    dipole = np.einsum("i,tic->tc", SIGNS, integrated(velocities, 1.0))
    one = ionic_conductivity([Signal(current, "current", 1.0, VOLUME, TEMPERATURE)])
    other = ionic_conductivity([Signal(dipole, "dipole", 1.0, VOLUME, TEMPERATURE)])
    for a, b in zip(one.estimates, other.estimates, strict=True):
        assert abs(a.value - b.value) < 0.2 * a.error


def test_sparse_dipoles_keep_the_direct_current():
    """Every tenth frame of a dipole: the difference quotient is exact at zero frequency, however sparse."""
    dipole = np.einsum("i,tic->tc", SIGNS, integrated(momentum_free(0.9, 0.0, 2, 30_000), 1.0))
    dense = ionic_conductivity([Signal(dipole, "dipole", 1.0, VOLUME, TEMPERATURE)]).estimates[2]
    sparse = ionic_conductivity([Signal(dipole[::10], "dipole", 10.0, VOLUME, TEMPERATURE)]).estimates[2]
    assert abs(dense.value - sparse.value) < sparse.error


def test_sparse_currents_are_refused():
    with pytest.raises(UserError, match="fold stretch vibrations onto zero frequency"):
        ionic_conductivity([Signal(np.ones((1000, 3)), "current", 10.0, VOLUME, TEMPERATURE)])


def test_short_runs_constant_currents_and_different_halves_warn():
    rng = np.random.default_rng(0)
    slow = ionic_conductivity([Signal(autoregressive(0.99, 2000, 3, rng), "current", 1.0, VOLUME, TEMPERATURE)])
    assert any("short compared with the plateau" in w or "no plateau" in w for w in slow.warnings)
    record = autoregressive(0.5, 20_000, 3, rng)
    assert ionic_conductivity([Signal(record, "current", 1.0, VOLUME, TEMPERATURE)]).warnings == ()
    drifting = ionic_conductivity([Signal(record + 0.1, "current", 1.0, VOLUME, TEMPERATURE)])
    assert any("standard errors from zero" in w for w in drifting.warnings)
    record[10_000:] *= 2.0
    changing = ionic_conductivity([Signal(record, "current", 1.0, VOLUME, TEMPERATURE)])
    assert any("differ by more than the statistics" in w for w in changing.warnings)


def test_turning_molecules_are_not_taken_for_ions():
    """10 ps of a Debye dipole (Δε = 77, 8 ps) have a false plateau; diffusing ions soon leave such bounds."""
    volume, steps = 1914.0, 5000
    variance = EPSILON_0 * si.value("Boltzmann constant in eV/K") * 300.0 * volume * 77.0
    dipole = np.sqrt(variance) * autoregressive(np.exp(-2.0 / 8000.0), steps, 3, np.random.default_rng(2))
    found = ionic_conductivity([Signal(dipole, "dipole", 2.0, volume, 300.0)])
    assert any("NOT KNOWN TO BE A CONDUCTIVITY" in line for line in found.warnings)
    velocities = momentum_free(0.9, 0.0, 1, 20 * STEPS)
    current = np.einsum("i,tia->ta", SIGNS, velocities)
    ions = ionic_conductivity([Signal(current, "current", 1.0, VOLUME, TEMPERATURE)])
    assert not any("NOT KNOWN" in line for line in ions.warnings)


def test_bounded_difference_of_dipoles_carries_no_current():
    """Gauge invariance: charges that differ by a bounded dipole give the same σ, to far better than σ is known."""
    pulls, others = [], []
    for seed in range(30):
        dipole = np.einsum("i,tic->tc", SIGNS, integrated(momentum_free(0.8, 0.0, seed), 1.0))
        signals = [Signal(dipole, "dipole", 1.0, VOLUME, TEMPERATURE)]
        sigma = ionic_conductivity(signals)
        bounded = 0.05 * autoregressive(0.9, STEPS, 3, np.random.default_rng(100 + seed))
        difference = paired_difference([dipole + bounded], [dipole], signals, sigma.green_kubo.plateau_fs)
        assert difference.error < 0.3 * sigma.estimates[0].error
        other = paired_difference([1.1 * dipole], [dipole], signals, sigma.green_kubo.plateau_fs)
        others.append(other.value > 4 * other.error)
        pulls.append(difference.value / difference.error)
    assert np.mean(np.abs(pulls) < 2.0) >= 0.85
    assert np.mean(others) >= 0.9  # a tenth more charge is another conductivity


def test_finite_field():
    """Mean current in opposite fields: the odd part, with an error of the right size."""
    sigma, field = 300.0, 0.02
    drift = sigma * VOLUME * field / (si.e / 1e-25)  # e Å/fs
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        signals, fields = [], []
        for sign in (1, -1):
            values = 0.05 * autoregressive(0.9, 4000, 3, rng)
            values[:, 1] += sign * drift + 0.3 * drift  # an even part that must cancel
            signals.append(Signal(values, "current", 1.0, VOLUME, TEMPERATURE))
            fields.append(np.array([0.0, sign * field, 0.0]))
        found = finite_field_conductivity(signals, fields)
        assert "odd part" in found.detail
        pulls.append((found.value - sigma) / found.error)
    assert np.mean(np.abs(pulls) < 2.0) >= 0.9 and 0.7 < np.mean(np.square(pulls)) < 1.4
    assert "one direction only" in finite_field_conductivity(signals[:1], fields[:1]).detail


def test_displacements_agree_with_mdanalysis():
    positions = np.cumsum(np.random.default_rng(0).standard_normal((300, 5, 3)), axis=0)
    universe = mda.Universe.empty(5, trajectory=False)
    universe.load_new(positions)
    reference = EinsteinMSD(universe, select="all", msd_type="xyz", fft=False).run().results.timeseries
    ours = mean_square_displacement(universe.trajectory.timeseries(order="fac").reshape(300, -1).astype(float), range(300))
    np.testing.assert_allclose(ours.sum(axis=1) / 5, reference, rtol=1e-5, atol=1e-8)


def test_unwrapping_agrees_with_mdanalysis():
    """Random walks wrapped into a triclinic cell come back, as with NoJump; unwrapped ones are left alone."""
    cell = np.array([[8.0, 0.0, 0.0], [2.0, 7.0, 0.0], [1.0, -1.5, 9.0]])
    walks = 4.0 + np.cumsum(0.3 * np.random.default_rng(0).standard_normal((400, 6, 3)), axis=0)
    folded = walks @ np.linalg.inv(cell)
    folded = (folded - np.floor(folded)) @ cell
    found, was_wrapped = unwrapped(folded, cell)
    assert was_wrapped
    np.testing.assert_allclose(found - found[0], walks - walks[0], atol=1e-9)
    universe = mda.Universe.empty(6, trajectory=False)
    box = mda.lib.mdamath.triclinic_box(*cell)
    universe.load_new(folded, dimensions=np.tile(box, (400, 1)))
    # MDAnalysis' box has a along x: the same cell here, since ours has too.
    universe.trajectory.add_transformations(NoJump())
    reference = universe.trajectory.timeseries(order="fac")
    np.testing.assert_allclose(found, reference, atol=1e-3)
    same, was_wrapped = unwrapped(walks, cell)
    assert not was_wrapped and same is walks


def test_analysis_class_and_drift():
    """The AnalysisBase class gives the numbers of the function; a common drift changes nothing."""
    positions = integrated(momentum_free(0.8, 0.0, 5, 2000), 1.0)
    drifting = positions + 0.02 * np.arange(2000)[:, None, None]
    masses = np.linspace(1.0, 3.0, 2 * PAIRS)
    np.testing.assert_allclose(without_drift(drifting, masses), without_drift(positions, masses), atol=1e-9)
    universe = mda.Universe.empty(2 * PAIRS, trajectory=False)
    universe.add_TopologyAttr("elements", SYMBOLS)
    universe.load_new(positions, dt=0.001)
    by_class = SelfDiffusion(universe.atoms).run().results.diffusion
    by_function = self_diffusion([positions], SYMBOLS, 1.0)
    for element in ("H", "F"):
        assert by_class[element].value_cm2_s == pytest.approx(by_function[element].value_cm2_s, rel=1e-4)


def test_hopping_atoms_get_the_error_of_their_scatter():
    """Rare hops are not Gaussian: the scatter among atoms gives the error, of the right size."""
    pulls, exact = [], 0.1 * 3 * 0.004 / 6
    for seed in range(60):
        rng = np.random.default_rng(seed)
        hops = (rng.random((2000, 20, 1)) < 0.004) * rng.choice([-1.0, 1.0], size=(2000, 20, 3))
        positions = np.cumsum(hops, axis=0) + 0.1 * rng.standard_normal((2000, 20, 3))
        found = self_diffusion([np.concatenate([positions, -positions], axis=1)], ["X"] * 20 + ["Y"] * 20, 1.0)["X"]
        pulls.append((found.value_cm2_s - exact) / found.error_cm2_s)
    assert np.mean(np.abs(pulls) < 2.0) >= 0.9 and 0.7 < np.mean(np.square(pulls)) < 1.4


@pytest.mark.parametrize("step", [0.0, 0.05])
def test_caged_atoms_do_not_diffuse(step):
    """Rattling alone gives zero to within 1/500 of what its first step would give; a slow walk under it is seen as it is."""
    rng = np.random.default_rng(0)
    rattling = autoregressive(0.95, 5000, 60, rng)
    first_step = 0.1 * np.square(np.diff(rattling, axis=0)).mean() / 2.0  # cm²/s
    walk = step * np.cumsum(rng.standard_normal((5000, 60)), axis=0)
    found = self_diffusion([(rattling + walk).reshape(5000, 20, 3)], ["O"] * 20, 1.0)["O"]
    exact = 0.1 * step**2 / 2.0
    assert abs(found.value_cm2_s - exact) < 3 * found.error_cm2_s
    assert 3 * found.error_cm2_s < (first_step / 500 if step == 0.0 else 0.5 * exact)


def test_yeh_hummer():
    """Water at 298 K in a box of 20 Å: 2.837297 k_BT/(6πηL), η = 0.89 mPa s, typed out in SI."""
    expected = 2.837297 * 1.380649e-23 * 298.0 / (6 * np.pi * 0.89e-3 * 20e-10) * 1e4
    assert yeh_hummer(298.0, 0.89, 8000.0) == pytest.approx(expected) == pytest.approx(3.48e-6, rel=0.01)
    with pytest.raises(UserError, match="viscosity"):
        yeh_hummer(298.0, 0.0, 8000.0)


def test_haven_ratio_and_pulls():
    ratio, error = haven_ratio(ConductivityEstimate("a", 6.0, 0.3), ConductivityEstimate("b", 3.0, 0.3))
    assert ratio == 2.0 and error == pytest.approx(2.0 * np.hypot(0.05, 0.1))
    assert ConductivityEstimate("a", 5.0, 3.0).pull(ConductivityEstimate("b", 0.0, 4.0)) == 1.0


def test_charges_of_the_command_line():
    assert parse_charges("H=1,O=-2") == {"H": 1.0, "O": -2.0}
    assert require_charges({"H": 1.0, "O": -2.0}, ("O", "H", "H")) == 0.0
    for text in ("H:1", "H=1,H=2", "H=one", "H=1/2", ""):
        with pytest.raises(UserError, match="is not a charge"):
            parse_charges(text)
    with pytest.raises(UserError, match="no charge for O"):
        require_charges({"H": 1.0}, ("O", "H"))
    with pytest.raises(UserError, match="Li is not in the run"):
        require_charges({"H": 1.0, "O": -2.0, "Li": 1.0}, ("O", "H"))
