"""Short-range models and charge heads of others: by which names files ask for them, and what unknown names are told."""

from dataclasses import replace

import numpy as np
import pytest
from physics_cases import TRICLINIC, evaluator_of, water_cluster
from pydantic import ValidationError
from toy_message_passing import ToyMessagePassing, ToySettings

from les_ipi.conventions import Property
from les_ipi.models import ChargesConfig, ModelConfig, ShortRangeConfig, build_model, register_head, registry
from les_ipi.models.heads import ChargeHead, ChargeOutput


@pytest.fixture
def tables(monkeypatch):
    """Names that a test registers are forgotten after it."""
    for table in ("_SHORT_RANGE", "_HEADS"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


def install(folder, module: str, monkeypatch) -> None:
    """Make a module of a folder the entry point of a package that registers models."""
    record = folder / "foreign-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(f"[les_ipi.models]\nforeign = {module}\n")
    monkeypatch.syspath_prepend(folder)


def test_a_package_that_cannot_be_imported_is_named(tmp_path, monkeypatch, tables):
    """Known models do not ask for it; an unknown name gets a sentence, not the traceback of the package."""
    (tmp_path / "broken_model.py").write_text("import no_such_package_anywhere\n")
    install(tmp_path, "broken_model", monkeypatch)
    assert ModelConfig(species=("H",), short_range={"kind": "ace"}).short_range.kind == "ace"
    with pytest.raises(ValidationError, match="'broken_model', which registers models, cannot be imported") as caught:
        ModelConfig(species=("H",), short_range={"kind": "foreign"})
    assert "ModuleNotFoundError: No module named 'no_such_package_anywhere'" in caught.value.errors()[0]["msg"]


def test_a_package_registers_its_model_by_an_entry_point(tmp_path, monkeypatch, tables):
    """An installed package is imported when a card or a training file asks for its name, not before."""
    (tmp_path / "foreign_model.py").write_text(
        "from toy_message_passing import ToyMessagePassing, ToySettings\n"
        "from les_ipi.models import register_short_range\n"
        'register_short_range("foreign", ToySettings, ToyMessagePassing)\n'
    )
    install(tmp_path, "foreign_model", monkeypatch)
    config = ModelConfig.model_validate({"species": ["H"], "short_range": {"kind": "foreign", "width": 2}})
    model = build_model(config)
    assert isinstance(model.short_range, ToyMessagePassing) and model.short_range.width == 2
    # A card keeps what only this model has.
    again = ModelConfig.model_validate_json(config.model_dump_json())
    assert again == config and isinstance(again.short_range, ToySettings)


def test_a_head_is_known_once_it_is_registered(tables):
    @register_head
    class FormalHead(ChargeHead):
        """λ z_formal of every atom."""

        name = "formal"
        charges_alone = True

        @classmethod
        def from_config(cls, config, inputs):
            formal = inputs.of_elements(config.formal, 0.0)
            return cls(len(formal), inputs.n_features, 0, formal, config.hidden, config.first_formal_scale)

        def forward(self, features, edges, near, species):
            return ChargeOutput(self.scaled_formal_charges(species)[:, None])

    short = ShortRangeConfig(cutoff=3.0, n_radial=3, l_max=2, channels=3, order=3, hidden=(4,))
    charges = ChargesConfig(head="formal", formal={"H": 1.0, "O": -2.0}, formal_scale=0.4)
    model = build_model(ModelConfig(species=("H", "O"), short_range=short, charges=charges)).double()
    expected = 0.4 * np.tile([-2.0, 1.0, 1.0], 8)
    for cell in (TRICLINIC, None):
        system = water_cluster(8, 2, cell)
        check_constant_charges(model.eval().requires_grad_(False), system, expected)


def check_constant_charges(model, system, expected):
    """Charges that do not depend on the geometry: Born charges are q·1, and forces the slope of the energy, in both engines."""
    wanted = {Property.FORCES, Property.VIRIAL, Property.CHARGES, Property.BORN_EFFECTIVE_CHARGES}
    evaluator, step = evaluator_of(model), np.zeros_like(system.positions)
    step[3, 1] = 1e-4
    up, down = (evaluator([replace(system, positions=system.positions + s * step)], ["energy"])[0].energy for s in (1, -1))
    for engine in (evaluator._engine, evaluator._general):
        found = engine([system], wanted)[0]
        np.testing.assert_allclose(found["charges"], expected, atol=1e-7)
        np.testing.assert_allclose(found["born_effective_charges"], expected[:, None, None] * np.eye(3), atol=1e-7)
        assert found["forces"][3, 1] == pytest.approx((down - up) / 2e-4, abs=1e-6)


@pytest.mark.parametrize("kind", ["mace", 3, ["ace"]])
def test_unknown_kinds_are_told_the_known_ones(kind):
    *others, last = map(repr, registry._SHORT_RANGE)
    assert repr("ace") in others and "toy" in last
    with pytest.raises(ValidationError, match=f"kind should be {', '.join(others)} or {last}"):
        ModelConfig(species=("H",), short_range={"kind": kind})


@pytest.mark.parametrize("settings", [{"kind": "toy", "n_radial": 0}, {"cutoff": -1.0}, {"kind": "ace", "layers": 2}])
def test_wrong_settings_are_named_by_their_place(settings):
    with pytest.raises(ValidationError) as caught:
        ModelConfig(species=("H",), short_range=settings)
    assert caught.value.errors()[0]["loc"] == ("short_range", list(settings)[-1])


def test_a_table_without_kind_is_that_of_the_native_model():
    """Training files and cards of earlier versions have none."""
    config = ModelConfig(species=("H",), short_range={"cutoff": 3.0})
    assert config.short_range == ShortRangeConfig(cutoff=3.0)
    assert config.model_dump()["short_range"]["kind"] == "ace"
