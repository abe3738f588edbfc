"""Charge equilibration: closed forms, an independent minimiser, derivatives of first and second order, fields, batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from multipole_cases import full_sphere_energy
from physics_cases import (
    NACL_MADELUNG,
    TRICLINIC,
    batch_of,
    each_boundary,
    evaluation,
    evaluator_of,
    make_model,
    rock_salt,
    water_cluster,
)
from scipy.optimize import minimize
from scipy.special import erf
from torch.fx.experimental.proxy_tensor import make_fx
from toy_frames import toy_frames, training_text, write_frames

from les_ipi import units
from les_ipi.conventions import Boundary, Property
from les_ipi.electrostatics import (
    LongRangeKernel,
    Multipoles,
    equilibrate,
    interaction_energy,
    isolated_coulomb,
    padded_modes,
    periodic_coulomb,
    slab_coulomb,
    slab_potentials,
)
from les_ipi.errors import UserError
from les_ipi.models import ChargesConfig, load_model
from les_ipi.models.derivatives import Leaves
from les_ipi.training.compiled import CompiledLoss, _Loss, fields_of
from les_ipi.training.data import load_frames
from les_ipi.training.loss import make_batch, make_targets, training_loss
from les_ipi.training.scoring import evaluate_frames
from les_ipi.training.train import prepare, train
from les_ipi.training.training_config import LossStage, read_config

SYSTEMS = {
    "isolated": replace(water_cluster(3, 0, None), total_charge=1.0),
    "periodic": replace(water_cluster(8, 1, TRICLINIC), total_charge=-1.0),
    "left-handed": water_cluster(8, 3, TRICLINIC[[1, 0, 2]]),
    "slab": replace(water_cluster(2, 2, np.diag([6.0, 6.0, 30.0])), slab=True),
}
FINE = LongRangeKernel(sigma=1.0, k_cutoff=7.5, smooth=False)


def solve(chi, hardness, matrix, total: float = 0.0):
    """One structure, numpy in and out."""
    tables = [torch.as_tensor(np.asarray(x, dtype=float))[None] for x in (chi, hardness, matrix)]
    found = equilibrate(*tables, torch.tensor([total], dtype=torch.float64), torch.ones(1, len(chi), dtype=torch.float64))
    return tuple(x[0].numpy() for x in found)


def modes_of(cell: np.ndarray, kernel: LongRangeKernel) -> torch.Tensor:
    return torch.from_numpy(padded_modes(cell[None], np.array([True]), kernel.k_cutoff))


# --- the solve -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0.0, 1.0])
def test_two_atoms_in_closed_form(total: float) -> None:
    """q₁ = [χ₂ − χ₁ + Q (J₂ + S − γ)]/(J₁ + J₂ + 2S − 2γ), γ = k_e erf(r/√2σ)/r, S = k_e √(2/π)/σ."""
    r, sigma, (x1, x2), (j1, j2) = 2.3, 1.2, (4.0, 9.0), (3.0, 5.0)
    positions = torch.tensor([[[0, 0, 0], [0, r, 0]]], dtype=torch.float64)
    matrix = isolated_coulomb(positions, LongRangeKernel(sigma=sigma))[0].numpy()
    gamma, own = units.COULOMB * erf(r / np.sqrt(2) / sigma) / r, units.COULOMB * np.sqrt(2 / np.pi) / sigma
    energy, (q1, q2), potential = solve([x1, x2], [j1, j2], matrix, total)
    expected = (x2 - x1 + total * (j2 + own - gamma)) / (j1 + j2 + 2 * own - 2 * gamma)
    assert q1 == pytest.approx(expected, rel=1e-13) and q2 == pytest.approx(total - expected, rel=1e-13)
    by_hand = x1 * q1 + x2 * q2 + 0.5 * ((j1 + own) * q1**2 + (j2 + own) * q2**2) + gamma * q1 * q2
    assert energy == pytest.approx(by_hand, rel=1e-13)
    assert potential == pytest.approx(x1 + (j1 + own) * q1 + gamma * q2, rel=1e-12)


def test_rock_salt_by_its_madelung_constant() -> None:
    """±q = χ/(J + S − k_e M/d) for ±χ on the two sublattices: Gaussians that do not overlap feel the point lattice."""
    positions, signs, cell = rock_salt(1, 5.6)
    kernel = LongRangeKernel(sigma=0.4, k_cutoff=22.0, smooth=False)
    matrix = periodic_coulomb(
        torch.from_numpy(positions)[None], torch.from_numpy(cell)[None], modes_of(cell, kernel), kernel
    )[0].numpy()
    energy, q, _ = solve(-3.0 * signs, np.full(8, 2.0), matrix)
    stiffness = 2.0 + units.COULOMB * (np.sqrt(2 / np.pi) / 0.4 - NACL_MADELUNG / 2.8)
    np.testing.assert_allclose(q, 3.0 * signs / stiffness, rtol=1e-8)
    assert energy == pytest.approx(-0.5 * 8 * 9.0 / stiffness, rel=1e-8)


def test_a_soft_chain_in_a_field_is_a_conductor() -> None:
    """Without hardness a row of Gaussians levels the potential of an applied field; hardness 1e6 keeps all charges at zero."""
    n, field = 12, 0.1
    positions = torch.zeros(1, n, 3, dtype=torch.float64)
    positions[0, :, 0] = 1.5 * torch.arange(n)
    kernel = LongRangeKernel(sigma=1.0)
    matrix, applied = isolated_coulomb(positions, kernel)[0].numpy(), -field * positions[0, :, 0].numpy()
    _, q, level = solve(applied, np.full(n, 1e-9), matrix)
    np.testing.assert_allclose(applied + matrix @ q, level, atol=1e-8)
    assert np.ptp(applied) > 1.0 and abs(q.sum()) < 1e-13 and q[-1] > 0.05
    _, stiff, _ = solve(applied, np.full(n, 1e6), matrix)
    assert np.abs(stiff).max() < 1e-5


def test_matrices_are_the_energies_of_the_rest_of_the_program() -> None:
    """½ q·A·q against the complex structure factor (triclinic) and the slab sum of multipoles, self-interaction added."""
    rng = np.random.default_rng(2)
    r, q = rng.uniform(size=(7, 3)) @ TRICLINIC, rng.normal(size=7)
    cell, positions = torch.from_numpy(TRICLINIC)[None], torch.from_numpy(r)[None]
    matrix = periodic_coulomb(positions, cell, modes_of(TRICLINIC, FINE), FINE)[0].numpy()
    none = np.zeros((7, 3)), np.zeros((7, 3, 3))
    expected = full_sphere_energy(r, q, *none, TRICLINIC, 1.0, 7.5) + FINE.isolated_self_energy * (q**2).sum()
    assert 0.5 * q @ matrix @ q == pytest.approx(expected, rel=1e-10)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10
    tall = np.diag([6.0, 6.5, 30.0])
    r = rng.uniform(size=(7, 3)) * [6.0, 6.5, 4.0]
    cell, positions = torch.from_numpy(tall)[None], torch.from_numpy(r)[None]
    kernel = replace(FINE, remove_self=False)
    moments = Multipoles(torch.from_numpy(q)[None, :, None])
    flat = interaction_energy(moments, slab_potentials(positions, cell, moments, modes_of(tall, kernel), kernel))
    matrix = periodic_coulomb(positions, cell, modes_of(tall, kernel), kernel) + slab_coulomb(positions, cell, kernel)
    assert 0.5 * q @ matrix[0].numpy() @ q == pytest.approx(flat.item(), rel=1e-10)


@pytest.mark.parametrize("total", [0.0, -2.0])
def test_an_independent_minimiser_finds_the_same_charges(total: float) -> None:
    """scipy on the energy over the wave vectors of the whole sphere, the last charge eliminated; no matrix is formed."""
    rng, n = np.random.default_rng(4), 6
    r, chi, hardness = rng.uniform(size=(n, 3)) @ TRICLINIC, 5 * rng.normal(size=n), rng.uniform(1, 6, n)
    none = np.zeros((n, 3)), np.zeros((n, 3, 3))

    def energy(free: np.ndarray) -> float:
        q = np.append(free, total - free.sum())
        coulomb = full_sphere_energy(r, q, *none, TRICLINIC, 1.0, 7.5) + FINE.isolated_self_energy * (q**2).sum()
        return chi @ q + 0.5 * hardness @ q**2 + coulomb

    cell = torch.from_numpy(TRICLINIC)[None]
    matrix = periodic_coulomb(torch.from_numpy(r)[None], cell, modes_of(TRICLINIC, FINE), FINE)[0].numpy()
    found, q, _ = solve(chi, hardness, matrix, total)
    best = minimize(energy, np.zeros(n - 1), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(q[:-1], best.x, atol=1e-6)
    assert found == pytest.approx(best.fun, abs=1e-9) and abs(q.sum() - total) < 1e-12


def test_padded_atoms_have_no_charge_and_no_effect() -> None:
    rng = np.random.default_rng(5)
    positions = torch.from_numpy(rng.normal(size=(1, 5, 3)) * 3)
    positions[:, 3:] = 0.0
    chi, hardness = torch.from_numpy(rng.normal(size=(1, 5))), torch.full((1, 5), 3.0, dtype=torch.float64)
    matrix, kernel = isolated_coulomb(positions, LongRangeKernel()), LongRangeKernel()
    mask = torch.tensor([[1.0, 1, 1, 0, 0]], dtype=torch.float64)
    total = torch.tensor([1.0], dtype=torch.float64)
    padded = equilibrate(chi, hardness, matrix, total, mask)
    alone = equilibrate(chi[:, :3], hardness[:, :3], isolated_coulomb(positions[:, :3], kernel), total, mask[:, :3])
    torch.testing.assert_close(padded.charges[:, :3], alone.charges, rtol=1e-12, atol=1e-13)
    assert float(padded.charges[:, 3:].abs().max()) == 0.0
    torch.testing.assert_close(padded.energy, alone.energy, rtol=1e-12, atol=0)


@pytest.mark.parametrize("boundary", ["isolated", "periodic"])
def test_first_and_second_derivatives_of_energy_and_charges(boundary: str) -> None:
    """torch's numerical check through the implicit solve: what forces, Born charges and the gradient of their loss need."""
    rng, n = np.random.default_rng(6), 4
    cell = torch.from_numpy(TRICLINIC)[None]
    positions = torch.from_numpy(rng.uniform(size=(n, 3)) @ TRICLINIC)[None].requires_grad_()
    chi = torch.from_numpy(rng.normal(size=(1, n))).requires_grad_()
    hardness = torch.from_numpy(rng.uniform(1, 4, size=(1, n))).requires_grad_()
    kernel, mask = LongRangeKernel(k_cutoff=2.5), torch.ones(1, n, dtype=torch.float64)
    modes, total = modes_of(TRICLINIC, kernel), torch.tensor([0.5], dtype=torch.float64)

    def energy_and_charges(r, x, j):
        matrix = isolated_coulomb(r, kernel) if boundary == "isolated" else periodic_coulomb(r, cell, modes, kernel)
        found = equilibrate(x, j, matrix, total, mask)
        return found.energy, found.charges

    assert torch.autograd.gradcheck(energy_and_charges, (positions, chi, hardness), atol=1e-7)
    assert torch.autograd.gradgradcheck(energy_and_charges, (positions, chi, hardness), atol=1e-6)


def test_forces_need_no_derivative_of_the_charges() -> None:
    """Hellmann and Feynman: at the minimum ∂E/∂r is that at fixed charges."""
    rng = np.random.default_rng(7)
    positions = torch.from_numpy(rng.normal(size=(1, 5, 3)) * 2).requires_grad_()
    chi, hardness = torch.from_numpy(rng.normal(size=(1, 5))), torch.full((1, 5), 2.0, dtype=torch.float64)
    total, mask = torch.zeros(1, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64)
    found = equilibrate(chi, hardness, isolated_coulomb(positions, LongRangeKernel()), total, mask)
    (whole,) = torch.autograd.grad(found.energy.sum(), positions)
    q = found.charges.detach()
    fixed = 0.5 * torch.einsum("bi,bij,bj->", q, isolated_coulomb(positions, LongRangeKernel()), q)
    torch.testing.assert_close(whole, torch.autograd.grad(fixed, positions)[0], rtol=1e-11, atol=1e-12)


# --- the model -------------------------------------------------------------------------------------------------------


def test_the_total_charge_is_exact_in_a_batch() -> None:
    """Structures of other sizes and cells share a batch: each has its own total charge, and its own energy."""
    model, systems = make_model("equilibration"), [*SYSTEMS.values(), water_cluster(5, 6, None), water_cluster(3, 7, TRICLINIC)]

    def totals_and_energies(part) -> list:
        batch = batch_of(model, part)
        leaves = Leaves.of(batch, torch.float64)
        found = model(batch, leaves.edges, leaves.positions, leaves.cell)
        totals = (found.screening.sqrt() * found.charges.sum((1, 2))).detach().numpy()
        return list(zip(totals, found.energy.tolist(), strict=True))

    found = each_boundary(totals_and_energies, systems)
    np.testing.assert_allclose([total for total, _ in found], [s.total_charge for s in systems], atol=1e-12)
    for (_, energy), system in zip(found, systems, strict=True):
        assert energy == pytest.approx(evaluation(model, system)[2].energy.item(), rel=1e-11)


@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_and_virial_are_derivatives_of_the_energy(name: str) -> None:
    evaluate, system, step = evaluator_of(make_model("equilibration")), SYSTEMS[name], 1e-4
    here = evaluate([system], ["energy", "forces", "virial"])[0]

    def energy(positions=system.positions, cell=system.cell) -> float:
        return evaluate([replace(system, positions=positions, cell=cell)], ["energy"])[0].energy

    for atom, axis in ((0, 0), (4, 2)):
        shift = np.zeros_like(system.positions)
        shift[atom, axis] = step
        slope = (energy(system.positions + shift) - energy(system.positions - shift)) / (2 * step)
        assert here.forces[atom, axis] == pytest.approx(-slope, abs=2e-7)
    assert np.abs(here.forces.sum(0)).max() < 1e-10
    for a, b in ((0, 0), (0, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] = step
        stretches = [np.eye(3) + s * strain for s in (1, -1, 2, -2)]
        near = [energy(system.positions @ h, system.cell @ h) for h in stretches]
        # Fourth order: of second order the differences themselves are wrong by 1e-7 of a virial of 70 eV.
        slope = (8 * (near[0] - near[1]) - (near[2] - near[3])) / (12 * step)
        assert here.virial[a, b] == pytest.approx(-slope, abs=1e-6)


def test_charges_answer_to_distant_atoms() -> None:
    """What no local head can do: an ion 12 Å away, far beyond the cutoff, polarizes a molecule."""
    model = make_model("equilibration")
    one, other = water_cluster(1, 0, None), water_cluster(1, 1, None)

    def charges(head: str, distance: float) -> np.ndarray:
        positions = np.concatenate([one.positions, other.positions + np.array([distance, 0, 0])])
        pair = replace(one, numbers=np.tile(one.numbers, 2), positions=positions, total_charge=1.0)
        chosen = model if head == "equilibration" else make_model(head)
        return evaluator_of(chosen)([pair], ["charges"])[0].charges[:3]

    assert np.abs(charges("equilibration", 12.0) - charges("equilibration", 24.0)).max() > 1e-3
    assert np.abs(charges("latent", 12.0) - charges("latent", 24.0)).max() < 1e-9


def test_born_charges_and_the_dipole_are_derivatives_in_geometry_and_field() -> None:
    """Z = ∂P/∂r by differences of the dipole; −∂H/∂E = P, and forces in a field are derivatives of the enthalpy."""
    system, step = SYSTEMS["isolated"], 1e-4
    evaluate = evaluator_of(make_model("equilibration"))
    here = evaluate([system], ["energy", "dipole", "born_effective_charges", "charges"])[0]
    np.testing.assert_allclose(here.dipole, here.charges @ system.positions, atol=1e-10)
    np.testing.assert_allclose(here.born_effective_charges.sum(0), np.eye(3), atol=1e-9)
    for atom, axis in ((0, 1), (5, 2)):
        shift = np.zeros_like(system.positions)
        shift[atom, axis] = step
        ends = [evaluate([replace(system, positions=system.positions + s * shift)], ["dipole"])[0].dipole for s in (1, -1)]
        expected = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(here.born_effective_charges[atom, :, axis], expected, atol=1e-7)
    for axis in range(3):
        field = np.zeros((1, 3))
        field[0, axis] = step
        up, down = (evaluate([system], ["energy", "forces"], fields=s * field)[0] for s in (1, -1))
        assert -(up.energy - down.energy) / (2 * step) == pytest.approx(here.dipole[axis], abs=1e-7)
        slope = (up.forces - down.forces) / (2 * step)
        np.testing.assert_allclose(slope, here.born_effective_charges[:, axis], atol=1e-6)
        # Charges flow along the field: the polarizability is positive.
        assert up.energy + down.energy < 2 * here.energy


def test_what_a_metal_does_not_have_is_refused() -> None:
    evaluate = evaluator_of(make_model("equilibration"))
    with pytest.raises(UserError, match="as in a metal"):
        evaluate([SYSTEMS["periodic"]], ["born_effective_charges"])
    with pytest.raises(UserError, match="piezoelectric"):
        evaluate([SYSTEMS["isolated"]], ["piezoelectric"])
    with pytest.raises(UserError, match="single-valued dipole"):
        evaluate([SYSTEMS["periodic"]], ["energy"], fields=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="one charge for each atom"):
        ChargesConfig(head="equilibration", channels=2)


def test_born_labels_of_crystals_do_not_stop_an_evaluation(tmp_path) -> None:
    frames = load_frames([write_frames(tmp_path / "frames.xyz", toy_frames(2, responses=True))], 4.0)
    (tmp_path / "train.toml").write_text(training_text(head="equilibration"))
    module, _ = prepare(read_config(tmp_path / "train.toml"), frames)
    metrics = evaluate_frames(evaluator_of(module.model.eval().requires_grad_(False)), frames).metrics
    assert "forces_rmse_meV_per_A" in metrics and "bec_r2" not in metrics
    (tmp_path / "train.toml").write_text(
        training_text(head="equilibration", stages="stages = [{ from_epoch = 0, born = 1.0 }]").replace('["0:2"]', '["0:1"]')
    )
    with pytest.raises(UserError, match="which the 'equilibration' head does not have"):
        train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")


def test_single_precision_is_good_enough_to_run() -> None:
    model, system = make_model("equilibration"), SYSTEMS["periodic"]
    wanted = {Property.ENERGY, Property.FORCES, Property.CHARGES}
    double, single = (evaluator_of(model, dtype)([system], wanted)[0] for dtype in (torch.float64, torch.float32))
    assert np.abs(single.forces - double.forces).max() < 1e-3
    assert abs(single.charges.sum() - system.total_charge) < 1e-5


# --- training --------------------------------------------------------------------------------------------------------


def test_slopes_of_the_training_loss_are_those_of_differences(tmp_path) -> None:
    """Energies and forces in the loss: its slope has second derivatives of the solution of the linear system."""
    write_frames(tmp_path / "frames.xyz", toy_frames(2))
    (tmp_path / "train.toml").write_text(training_text(head="equilibration", double_precision="true"))
    loaded = load_frames([tmp_path / "frames.xyz"], 4.0)
    module, _ = prepare(read_config(tmp_path / "train.toml"), loaded)
    model, stage = module.model, LossStage(energy=1.0, forces=1.0)
    batch = make_batch(loaded, model)
    targets = make_targets(loaded, module.zeros, model.species, batch.n_rows, torch.float64)
    parameters = list(model.head.parameters())
    slopes = torch.autograd.grad(training_loss(model, [(batch, targets)], stage)[0], parameters)
    rng = np.random.default_rng(0)
    for parameter, slope in zip(parameters, slopes, strict=True):
        direction = torch.from_numpy(np.asarray(rng.normal(size=tuple(parameter.shape))))
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter.add_(step * direction)
            values.append(training_loss(model, [(batch, targets)], stage)[0].item())
            with torch.no_grad():
                parameter.sub_(step * direction)
        expected = (values[0] - values[1]) / 2e-5
        assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-8)
    # What the compiled training compiles.
    inputs = (fields_of([(batch, targets)]), [p.detach() for p in model.parameters()], list(_Loss(model).buffers()))
    traced = make_fx(CompiledLoss(model)._function([Boundary.PERIODIC], stage, []))(*inputs)(*inputs)
    assert traced[0].item() == pytest.approx(training_loss(model, [(batch, targets)], stage)[0].item(), rel=1e-10)


def test_a_training_writes_a_model_that_loads(tmp_path) -> None:
    write_frames(tmp_path / "frames.xyz", toy_frames(6))
    (tmp_path / "train.toml").write_text(training_text(head="equilibration", epochs=3))
    train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "model")
    model, card = load_model(tmp_path / "model")
    assert card["charge_head"] == "equilibration" and not card["dipole_single_valued"]
    assert float(torch.nn.functional.softplus(model.head.raw_hardness).min()) > 0
