"""Formal charges that stay oxidation numbers: what atoms carry over a closed path, and that training leaves it alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
from physics_cases import TRICLINIC, evaluator_of, make_model, water_cluster
from pydantic import ValidationError
from toy_frames import toy_frames, training_text, write_frames

from les_ipi.models import ChargesConfig
from les_ipi.models.storage import load_model
from les_ipi.training.config import read_config
from les_ipi.training.train import train

SYSTEM = water_cluster(8, 4, TRICLINIC)


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


def test_training_and_fine_tuning_keep_oxidation_numbers(tmp_path):
    """λ stays 1/√ε_∞, also when a fine-tuning changes ε_∞; a model folder is all it takes."""
    write_frames(tmp_path / "frames.xyz", toy_frames(8, responses=True))
    head = '"transfer"\nformal_scale = "oxidation"\nepsilon_infinity = 2.25'
    text = training_text(head="transfer").replace('"transfer"', head)
    (tmp_path / "train.toml").write_text(text)
    first = train(read_config(tmp_path / "train.toml"), tmp_path, tmp_path / "first")
    assert float(load_model(first)[0].head.formal_scale) == pytest.approx(1 / 1.5)
    (tmp_path / "tune.toml").write_text(text.replace("2.25", "4.0"))
    second = train(read_config(tmp_path / "tune.toml"), tmp_path, tmp_path / "second", start=first)
    assert float(load_model(second)[0].head.formal_scale) == pytest.approx(0.5)
    assert json.loads((second / "card.json").read_text())["hyper_parameters"]["charges"]["formal_scale"] == "oxidation"


@pytest.mark.parametrize("charges", [{"head": "latent", "formal": {"H": 1}}, {"head": "transfer"}])
def test_oxidation_numbers_need_a_head_that_carries_them(charges):
    with pytest.raises(ValidationError, match="oxidation numbers in formal"):
        ChargesConfig(formal_scale="oxidation", **charges)
