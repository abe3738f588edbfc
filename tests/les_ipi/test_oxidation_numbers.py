"""Formal charges that stay oxidation numbers: what atoms carry over a closed path, and that training leaves it alone."""

from dataclasses import replace

import numpy as np
import pytest
from physics_cases import TRICLINIC, evaluator_of, make_model, water_cluster
from pydantic import ValidationError
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.errors import UserError
from les_ipi.models import ChargesConfig
from les_ipi.models.storage import load_model
from les_ipi.training.data import load_frames
from les_ipi.training.fine_tuning import load_parent
from les_ipi.training.train import canonical_sign, prepare, train
from les_ipi.training.training_config import read_config

SYSTEM = water_cluster(8, 4, TRICLINIC)


def training_file(folder, formal: str = "{ Na = 1, Cl = -1 }", charges: str = "", head: str = "transfer"):
    """A toy training whose formal charges are oxidation numbers."""
    text = training_text(head=head).replace("formal = { Na = 1, Cl = -1 }", f"formal = {formal}\n{charges}")
    text = text.replace(f'"{head}"', f'"{head}"\nformal_scale = "oxidation"\nepsilon_infinity = 2.25')
    (folder / "train.toml").write_text(text)
    write_frames(folder / "frames.xyz", toy_frames(8, responses=True))
    return read_config(folder / "train.toml")


def test_atoms_that_take_the_places_of_equal_ones_have_carried_their_oxidation_numbers():
    """Protons handed on in a ring through the cell, back into a periodic image: ΔP = Σ z Δr (doi:10.1038/s41567-019-0562-0).

    The ring's own charges are far from integers all along, and another λ carries λ√ε_∞ of them.
    """
    ring, positions = [1, 7, 14, 20], SYSTEM.positions.copy()
    positions[ring] = SYSTEM.positions[np.roll(ring, -1)]
    positions[ring[-1]] += SYSTEM.cell[0] - SYSTEM.cell[2]
    positions[3] -= SYSTEM.cell[1]  # an oxygen
    moved = replace(SYSTEM, positions=positions)
    carried = (positions - SYSTEM.positions)[ring].sum(0) - 2 * (positions - SYSTEM.positions)[3]
    for scale, expected in (("oxidation", 1.0), (0.3, 0.3 * np.sqrt(1.78))):
        evaluator = evaluator_of(make_model("transfer", formal_scale=scale))
        before, after = evaluator([SYSTEM, moved], ["dipole", "charges"])
        np.testing.assert_allclose(after.dipole - before.dipole, expected * carried, atol=1e-9)
        assert np.abs(before.charges[ring] - 1.0).max() > 0.02
    evaluator = evaluator_of(oxidized("uQ"))
    before, after = evaluator([SYSTEM, moved], ["dipole"])
    np.testing.assert_allclose(after.dipole - before.dipole, carried, atol=1e-9)


def oxidized(level: str):
    """Constant charges, and dipoles that matter."""
    model = make_model("multipole", level=level, formal_scale="oxidation")
    model.head.gates.output_scale = 1.0
    return model


@pytest.mark.parametrize("charge", [0.0, 1.0])
@pytest.mark.parametrize("level", ["u", "uQ"])
def test_born_charges_of_constant_charges_and_dipoles_are_the_derivative_of_the_dipole(level, charge):
    """Z = ∂P/∂r by finite differences of the printed dipole, far from the charges themselves; ΣZ = Q without projection.

    And a field does the work that this dipole takes: F(E) − F(0) = Z·E.
    """
    evaluator = evaluator_of(oxidized(level), sum_rule="report")
    assert evaluator.single_valued
    system = replace(SYSTEM, total_charge=charge)
    found = evaluator([system], ["born_effective_charges", "charges", "forces"])[0]
    born = found.born_effective_charges
    for atom, axis in ((0, 0), (7, 2)):
        ends = []
        for step in (1e-4, -1e-4):
            positions = system.positions.copy()
            positions[atom, axis] += step
            ends.append(evaluator([replace(system, positions=positions)], ["dipole"])[0].dipole)
        np.testing.assert_allclose(born[atom, :, axis], (ends[0] - ends[1]) / 2e-4, atol=1e-7)
    np.testing.assert_allclose(born.sum(0), charge * np.eye(3), atol=1e-10)
    shift = charge / len(system.numbers)
    np.testing.assert_allclose(found.charges, np.where(system.numbers == 1, 1.0, -2.0) + shift, atol=1e-12)
    assert np.abs(born - found.charges[:, None, None] * np.eye(3)).max() > 0.05
    field = np.array([0.02, -0.01, 0.03])
    inside = evaluator([system], ["forces"], fields=field[None])[0]
    np.testing.assert_allclose(inside.forces - found.forces, np.einsum("iab,a->ib", born, field), atol=1e-9)


@pytest.mark.parametrize(("head", "level"), [("transfer", ""), ("multipole", 'level = "u"')])
def test_training_and_fine_tuning_keep_oxidation_numbers(tmp_path, head, level):
    """λ = 1/√ε_∞ is no weight that could be trained, and fine-tuning may not change the ε_∞ that it comes from."""
    config = training_file(tmp_path, charges=level, head=head)
    module, _ = prepare(config, load_frames([tmp_path / "frames.xyz"], 4.0))
    assert float(module.model.head.formal_scale) == pytest.approx(1 / 1.5)
    assert "head.formal_scale" not in dict(module.model.named_parameters())
    first = train(config, tmp_path, tmp_path / "first")
    assert float(load_model(first)[0].head.formal_scale) == pytest.approx(1 / 1.5)
    assert load_parent(first, config).config.charges.formal_scale == "oxidation"
    other = config.model_copy(update={"charges": ChargesConfig(epsilon_infinity=4.0)})
    with pytest.raises(UserError, match=r"stays 2\.25, not 4"):
        load_parent(first, other)


def test_the_sign_is_that_of_the_oxidation_numbers(tmp_path):
    """Not that of electronegativities, which would turn lead telluride around: here sodium is told to be negative."""
    config = training_file(tmp_path, "{ Na = -1, Cl = 1 }")
    frames = load_frames([tmp_path / "frames.xyz"], 4.0)
    model = prepare(config, frames)[0].model
    canonical_sign(model, frames)
    assert float(model.head.sign) == 1.0
    by_number = training_file(tmp_path, "{ Na = -1, Cl = 1 }")
    by_number = by_number.model_copy(update={"charges": by_number.charges.model_copy(update={"formal_scale": 0.7})})
    free = prepare(by_number, frames)[0].model
    canonical_sign(free, frames)
    assert float(free.head.sign) == -1.0


@pytest.mark.parametrize(
    ("formal", "head", "charges", "message"),
    [
        ("{ Na = 1, Cl = -1 }", "latent", "", 'this head is "latent": choose one of these heads'),
        ("{ Na = 1, Cl = -1 }", "multipole", 'level = "uiq"', 'this head is "multipole" of level uiq'),
        ("{ Na = 1, Cl = -1 }", "multipole", 'level = "u"\nchannels = 2', "one charge for each atom, not 2"),
        ("{ Na = 1 }", "transfer", "", "formal has none of Cl"),
        ("{ Na = 1, Cl = -2 }", "transfer", "", "are -4 e together, and its total charge is 0 e"),
    ],
)
def test_oxidation_numbers_that_nothing_carries_are_refused(tmp_path, formal, head, charges, message):
    with pytest.raises(UserError, match=message):
        train(training_file(tmp_path, formal, charges, head), tmp_path, tmp_path / "model")


@pytest.mark.parametrize("name", ["charge_variation", "charge_conservation"])
def test_losses_of_fluctuating_charges_are_refused(tmp_path, name):
    config = training_file(tmp_path, charges='level = "u"', head="multipole")
    stage = config.training.stages[0].model_copy(update={name: 1.0})
    config = config.model_copy(update={"training": config.training.model_copy(update={"stages": [stage]})})
    with pytest.raises(UserError, match=f"weighs '{name}', but the charges of this head are constants"):
        train(config, tmp_path, tmp_path / "model")


@pytest.mark.parametrize("value", ["oxidatoin", True, float("nan")])
def test_a_factor_is_a_number_or_the_word(value):
    with pytest.raises(ValidationError, match='give a number, or "oxidation"'):
        ChargesConfig(formal_scale=value)
