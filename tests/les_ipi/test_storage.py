"""Model folders: bit-identical round trips, refusals in one sentence, nothing unpickled."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from physics_cases import TRICLINIC, water_cluster
from safetensors.torch import load_file, save_file

import les_ipi
from les_ipi.errors import UserError
from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import ChargesConfig, ModelConfig, ShortRangeConfig, build_model
from les_ipi.models.library import find_model, shipped_models
from les_ipi.models.storage import load_model, read_card, save_model

PROPERTIES = ["energy", "forces", "virial", "charges", "dipole", "born_effective_charges"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small stored model with random weights."""
    torch.manual_seed(3)
    config = ModelConfig(
        species=("H", "O"),
        short_range=ShortRangeConfig(cutoff=3.0, n_radial=4, l_max=2, channels=4, order=3, hidden=(8,)),
        charges=ChargesConfig(formal={"H": 1, "O": -2}, hidden=(4,), epsilon_infinity=1.8),
    )
    model = build_model(config)
    model.reference_energies.copy_(torch.tensor([-13.6123456789012, -2041.8123456789], dtype=torch.float64))
    save_model(tmp_path / "small", model, config, {"name": "small", "data": {}, "held_out_errors": {}})
    return tmp_path / "small"


def refusal(action, *arguments) -> str:
    """Text of the error that users see: one line, no traceback."""
    with pytest.raises(UserError) as caught:
        action(*arguments)
    text = str(caught.value)
    assert text.count("\n") == 0
    return text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_bit_identical(folder: Path, tmp_path: Path, dtype: str) -> None:
    model, card = load_model(folder, torch.float32)
    save_model(tmp_path / "copy", model, ModelConfig.model_validate(card["hyper_parameters"]), {"name": "copy"})
    first, second = load_file(folder / "model.safetensors"), load_file(tmp_path / "copy" / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    system = water_cluster(4, 0, TRICLINIC)
    results = [Evaluator.load(f, dtype=dtype)([system], PROPERTIES)[0] for f in (folder, tmp_path / "copy")]
    for name in PROPERTIES:
        assert np.array_equal(getattr(results[0], name), getattr(results[1], name)), name


def test_reference_energies_keep_double_precision(folder: Path) -> None:
    model, _ = load_model(folder, torch.float32)
    assert model.reference_energies.dtype == torch.float64
    assert model.reference_energies.tolist() == [-13.6123456789012, -2041.8123456789]


def test_card_says_what_a_reader_needs(folder: Path) -> None:
    card = read_card(folder)
    assert card["units"]["energy"] == "eV" and card["units"]["length"] == "angstrom"
    assert card["conventions"]["born_index_order"] == "[atom, polarization, displacement]"
    assert card["hyper_parameters"]["species"] == ["H", "O"]
    assert card["epsilon_infinity"] == 1.8 and card["dipole_single_valued"] is False


def test_missing_card(folder: Path) -> None:
    (folder / "card.json").unlink()
    assert "card" in refusal(read_card, folder)


def test_missing_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in refusal(load_model, folder)


def test_card_that_is_not_json(folder: Path) -> None:
    (folder / "card.json").write_text("{ not json")
    assert "not valid JSON" in refusal(load_model, folder)


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_card_of_another_format(folder: Path, found: object) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "format": found}))
    assert "format" in refusal(load_model, folder)


@pytest.mark.parametrize("text", ["[]", "3", '"text"'])
def test_card_that_is_no_object(folder: Path, text: str) -> None:
    (folder / "card.json").write_text(text)
    assert "card.json is not a JSON object: restore the card" in refusal(load_model, folder)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("species", ["H", "Xx"], "names 'Xx', which is no chemical element"),
        ("species", "HO", "entry 'hyper_parameters.species': Input should be a valid tuple"),
        ("short_range", {"cutoff": -1}, "entry 'hyper_parameters.short_range.cutoff': Input should be greater than 0.5"),
        ("short_range", {"kind": "none"}, "entry 'hyper_parameters.short_range': kind should be 'ace'"),
        ("charges", {"head": "magic"}, "entry 'hyper_parameters.charges.head': Input should be 'latent', 'transfer'"),
        ("extra", 1, "entry 'hyper_parameters.extra': Extra inputs are not permitted"),
    ],
)
def test_card_with_wrong_hyper_parameters(folder: Path, key: str, value: object, match: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    card["hyper_parameters"][key] = value
    (folder / "card.json").write_text(json.dumps(card))
    assert match in refusal(load_model, folder)


def test_card_without_hyper_parameters(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["hyper_parameters"]
    (folder / "card.json").write_text(json.dumps(card))
    assert "entry 'hyper_parameters': Input should be a valid dictionary" in refusal(load_model, folder)


def test_weights_of_another_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if n.endswith("mixing"))
    save_file({**weights, name: weights[name][..., :-1].contiguous()}, folder / "model.safetensors")
    assert "do not fit" in refusal(load_model, folder)


def test_weights_with_a_tensor_missing(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "model.safetensors")
    assert "do not fit" in refusal(load_model, folder)


def test_weights_that_are_no_safetensors(folder: Path) -> None:
    torch.save({"a": torch.ones(2)}, folder / "model.safetensors")
    assert "do not fit" in refusal(load_model, folder)


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    text = refusal(find_model, "no-such-model")
    assert all(name in text for name in shipped_models())


def test_a_path_may_name_the_card(folder: Path) -> None:
    assert find_model(folder / "card.json") == folder


def test_nothing_is_unpickled() -> None:
    forbidden = re.compile(r"\btorch\.load\(|\b(import|from) (pickle|cloudpickle|joblib|dill)\b|allow_pickle=True")
    sources = sorted(Path(les_ipi.__file__).parent.rglob("*.py"))
    assert len(sources) > 20
    assert [p.name for p in sources if forbidden.search(p.read_text())] == []
    # Checkpoints of a resumed training are the one thing torch reads: without code.
    resuming = [p for p in sources if "ckpt_path" in p.read_text()]
    assert all("weights_only=True" in p.read_text() for p in resuming)
