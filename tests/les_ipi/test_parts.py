"""Building blocks: harmonics, couplings, radial functions, core repulsion, neighbour lists, kernel conventions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from physics_cases import TRICLINIC, water_cluster
from pydantic import ValidationError
from scipy.special import sph_harm_y

from les_ipi.conventions import born_from_ipi, born_to_ipi
from les_ipi.errors import UserError
from les_ipi.models.ace import COUPLINGS, ClusterDescriptor
from les_ipi.models.harmonics import L_SLICES, gaunt, spherical_harmonics
from les_ipi.models.model_config import ModelConfig, ShortRangeConfig, build_model
from les_ipi.models.radial import RadialBasis, polynomial_cutoff
from les_ipi.models.zbl import CoreRepulsion
from les_ipi.structures.neighbors import neighbor_matrix
from les_ipi.structures.system import AtomicSystem


def test_harmonics_against_scipy():
    """Real combinations of scipy's complex harmonics, without the Condon-Shortley phase, times √(4π/(2l+1))."""
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(20, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    theta, phi = np.arccos(unit[:, 2]), np.arctan2(unit[:, 1], unit[:, 0])
    ours = spherical_harmonics(torch.from_numpy(unit)).numpy()
    for l in range(4):
        norm = math.sqrt(4 * math.pi / (2 * l + 1))
        for m in range(-l, l + 1):
            complex_value = sph_harm_y(l, abs(m), theta, phi) * (-1) ** m
            if m == 0:
                real = complex_value.real
            else:
                real = math.sqrt(2) * (complex_value.real if m > 0 else complex_value.imag)
            np.testing.assert_allclose(ours[:, l * l + l + m], norm * real, atol=1e-12, err_msg=f"l={l} m={m}")
        np.testing.assert_allclose((ours[:, L_SLICES[l]] ** 2).sum(1), 1.0, atol=1e-12)


def test_gaunt_couplings_rotate_and_vanish():
    """(1, 1 → 2) is the traceless product of two vectors; odd sums and broken triangles vanish."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3))
    ya, yb = a[[1, 2, 0]], b[[1, 2, 0]]
    coupled = np.einsum("abc,a,b->c", gaunt(1, 1, 2), ya, yb)
    traceless = 0.5 * (np.outer(a, b) + np.outer(b, a)) - np.eye(3) * (a @ b) / 3
    # |coupled|² ∝ |traceless|²: same invariant up to the normalisation Σ G² = 1 per component.
    ratio = (coupled @ coupled) / (traceless**2).sum()
    c, d = rng.normal(size=(2, 3))
    other = np.einsum("abc,a,b->c", gaunt(1, 1, 2), c[[1, 2, 0]], d[[1, 2, 0]])
    other_traceless = 0.5 * (np.outer(c, d) + np.outer(d, c)) - np.eye(3) * (c @ d) / 3
    assert (other @ other) / (other_traceless**2).sum() == pytest.approx(ratio, rel=1e-12)
    for bad in ((1, 1, 1), (1, 1, 3), (1, 2, 2)):
        with pytest.raises(ValueError, match="vanishes"):
            gaunt(*bad)


def test_gaunt_couplings_against_wigner_3j_symbols():
    """Products of two Wigner 3j symbols (sympy, real harmonics): same tensor up to norm and the sign of Condon-Shortley."""
    from sympy.physics.wigner import real_gaunt

    for l1, l2, l3 in COUPLINGS:
        ours = gaunt(l1, l2, l3)
        theirs = np.array(
            [
                [[float(real_gaunt(l1, l2, l3, m1, m2, m3)) for m3 in range(-l3, l3 + 1)] for m2 in range(-l2, l2 + 1)]
                for m1 in range(-l1, l1 + 1)
            ]
        )
        phases = [(-1.0) ** np.arange(-l, l + 1) for l in (l1, l2, l3)]
        theirs = np.einsum("abc,a,b,c->abc", theirs, *phases)
        theirs /= np.sqrt((theirs**2).sum() / (2 * l3 + 1))
        np.testing.assert_allclose(ours, theirs, atol=1e-12, err_msg=f"{l1} {l2} {l3}")


def test_density_is_the_written_sum():
    """A_lm,c = Σ_n,z W^l_(z_i, z, n),c Σ_(j of z) R_n(r_ij) Y_lm(r_ij) by loops: pins the layout of the stored weights."""
    torch.manual_seed(0)
    model = ClusterDescriptor(2, cutoff=3.5, n_radial=3, l_max=2, channels=2, radial_decay=1.0).double()
    system = water_cluster(3, 5, None)
    species = (system.numbers == 8).astype(int)
    near = neighbor_matrix(system, 3.5)
    edges = torch.from_numpy(system.positions[near.index] - system.positions[:, None] + near.shift)
    found = model.density(edges, torch.from_numpy(species[near.index]), torch.from_numpy(species)).detach().numpy()
    mixing = model.mixing.detach().numpy().reshape(3, 2, 2, 3, 2) / np.array([1.0, 2.0, 3.0])[:, None]
    expected = np.zeros_like(found)
    for i, j in np.ndindex(9, 9):
        vector = system.positions[j] - system.positions[i]
        r = np.linalg.norm(vector)
        if i == j or r > 3.5:
            continue
        radial = model.radial(torch.tensor(r)).numpy()
        angular = spherical_harmonics(torch.from_numpy(vector / r), 2).numpy()
        for l in range(3):
            weights = radial @ mixing[l, species[i], species[j]]
            expected[i, L_SLICES[l]] += angular[L_SLICES[l], None] * weights
    # The radial prior 1/(1 + n) is stored in single precision.
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_radial_functions_end_smoothly():
    """Value, slope and curvature vanish at the cutoff; the polynomial has its published value at half way."""
    r = torch.tensor([4.0 - 1e-4, 4.0, 4.5, 9.0], dtype=torch.float64)
    assert float(polynomial_cutoff(r, 4.0)[0]) < 1e-10 and float(polynomial_cutoff(r, 4.0)[1:].abs().max()) < 1e-15
    x = 0.5
    expected = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    assert float(polynomial_cutoff(torch.tensor(2.0, dtype=torch.float64), 4.0)) == pytest.approx(expected, rel=1e-14)
    basis = RadialBasis(6, 4.0)
    assert float(basis(r[1:]).abs().max()) < 1e-14
    # Chebyshev recurrence against cos(n arccos ξ).
    distance = torch.linspace(0.5, 3.9, 30, dtype=torch.float64)
    far = math.exp(-4.0 / basis.stretch)
    xi = 2 * (np.exp(-distance.numpy() / basis.stretch) - far) / (1 - far) - 1
    cutoff = polynomial_cutoff(distance, 4.0).numpy()
    for n in range(6):
        np.testing.assert_allclose(basis(distance)[:, n].numpy(), np.cos(n * np.arccos(xi)) * cutoff, atol=1e-12)


def test_core_repulsion():
    """ZBL energy of two oxygen atoms at 0.5 Å by an independent evaluation of the universal screening function."""
    r, z = 0.5, 8.0
    a = 0.46850 / (2 * z**0.23)
    terms = ((0.18175, 3.1998), (0.50986, 0.94229), (0.28022, 0.4029), (0.02817, 0.20162))
    phi = sum(c * math.exp(-d * r / a) for c, d in terms)
    x = r / 1.5
    taper = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    expected = 14.399645 * z * z / r * phi * taper
    core = CoreRepulsion([1, 8], [[1.0, 1.0], [1.0, 1.5]]).double()
    edges = torch.tensor([[[r, 0, 0]], [[-r, 0, 0]]], dtype=torch.float64)
    energy = core(edges, torch.tensor([[1], [1]]), torch.tensor([1, 1])).sum()
    assert float(energy) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(
    "system",
    [
        water_cluster(8, 1, TRICLINIC),
        water_cluster(8, 1, TRICLINIC[[1, 0, 2]]),
        water_cluster(4, 2, None),
        AtomicSystem(np.array([8, 1]), np.array([[0, 0, 0], [0.3, 0.2, 2.6]]), np.diag([2.4, 2.9, 3.3])),
    ],
    ids=["triclinic", "left-handed", "isolated", "smaller than the cutoff"],
)
def test_neighbor_matrix_against_ase(system):
    """Same edges as ASE's neighbour list, also several images of one neighbour; every reverse edge is the opposite edge."""
    cutoff = 4.2
    found = neighbor_matrix(system, cutoff)
    edges = system.positions[found.index] - system.positions[:, None] + found.shift
    real = np.linalg.norm(edges, axis=-1) <= cutoff
    atoms = Atoms(system.numbers, system.positions, cell=system.cell, pbc=system.periodic)
    i, j, D = neighbor_list("ijD", atoms, cutoff)
    expected = sorted(map(tuple, np.round(np.column_stack([i, j, D]), 6)))
    rows = np.repeat(np.arange(len(system.numbers)), real.sum(1))
    ours = sorted(map(tuple, np.round(np.column_stack([rows, found.index[real], edges[real]]), 6)))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    flat = edges.reshape(-1, 3)
    np.testing.assert_allclose(flat[found.reverse.reshape(-1)][real.reshape(-1)], -flat[real.reshape(-1)], atol=1e-12)
    np.testing.assert_array_equal(found.reverse.reshape(-1)[found.reverse.reshape(-1)], np.arange(real.size))


def test_partial_periodicity_is_refused():
    pair = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]], cell=[5, 5, 15])
    for pbc, count in (([True, False, False], 1), ([True, False, True], 2)):
        pair.pbc = pbc
        with pytest.raises(UserError, match=f"periodic along {count} of 3"):
            AtomicSystem.from_ase(pair)
    pair.pbc = [True, True, False]
    slab = AtomicSystem.from_ase(pair)
    assert slab.periodic and slab.slab
    with pytest.raises(UserError, match=r"4.3 Å of vacuum .* largest period of 5.0 Å"):
        replace(slab, cell=np.diag([5.0, 5.0, 5.0])).check_vacuum()


def test_born_charges_are_transposed_for_ipi():
    """Row 3·atom + displacement, column polarization: a tensor without symmetry keeps every element in its place."""
    born = np.arange(18.0).reshape(2, 3, 3)
    rows = born_to_ipi(born)
    for atom, polarization, displacement in np.ndindex(2, 3, 3):
        assert rows[3 * atom + displacement, polarization] == born[atom, polarization, displacement]
    np.testing.assert_array_equal(born_from_ipi(rows), born)


def test_products_without_angular_momenta_are_refused():
    with pytest.raises(ValidationError, match="order 3 couples angular momenta, which needs l_max 2 or 3"):
        ShortRangeConfig(l_max=1, order=3)


def test_shells_are_one_at_one_distance_each():
    """ξ(r) by hand at the Chebyshev nodes: shell s is the cutoff function at node s and zero at all others."""
    basis = RadialBasis(6, 4.0)
    nodes = np.cos(np.pi * (np.arange(6) + 0.5) / 6)
    far = np.exp(-4.0 / 2.5)
    r = torch.from_numpy(-2.5 * np.log(0.5 * (nodes + 1.0) * (1.0 - far) + far))
    found = basis(r) @ basis.shells().double()
    np.testing.assert_allclose(found, np.diag(polynomial_cutoff(r, 4.0)), atol=1e-6)


def test_channels_that_begin_as_shells_are_pair_densities():
    """A_0 of a dimer: the channel of its element and distance alone, whatever the smoothness prior."""
    model = ClusterDescriptor(2, cutoff=4.0, n_radial=6, channels=12, radial_decay=1.0, first_channels="shells").double()
    node = -2.5 * math.log(0.5 * (math.cos(math.pi * 2.5 / 6) + 1.0) * (1.0 - math.exp(-1.6)) + math.exp(-1.6))
    edges = torch.tensor([[[0.0, node, 0.0]]], dtype=torch.float64)
    density = model.density(edges, torch.tensor([[1]]), torch.tensor([0]))[0, 0].detach()
    expected = np.zeros(12)
    expected[6 + 2] = float(polynomial_cutoff(torch.tensor(node), 4.0))
    np.testing.assert_allclose(density, expected, atol=1e-6)


def test_a_far_knee_leaves_features_linear():
    """x → k asinh(x/k): x itself within 1e-5 for a far knee, 3 asinh(x/3) for the default one."""
    for knee, expected in ((1e4, 40.0), (3.0, 3.0 * math.asinh(40.0 / 3.0))):
        model = ClusterDescriptor(1, n_radial=3, channels=2, order=2, feature_knee=knee).double()
        model.feature_mean[0] = -40.0
        found = model._standardised(torch.zeros(1, model.n_features, dtype=torch.float64), torch.zeros(1, dtype=torch.long))
        np.testing.assert_allclose(found.detach(), np.full((1, model.n_features), expected), rtol=1e-5)


def test_shells_need_their_number_of_channels():
    config = ModelConfig(species=("H", "O"), short_range=ShortRangeConfig(n_radial=5, channels=8, first_channels="shells"))
    with pytest.raises(UserError, match=r"2 elements times n_radial = 5, which is 10, but channels is 8: set channels = 10"):
        build_model(config)
