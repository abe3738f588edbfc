"""Starting a training from the weights of another model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel

from les_ipi.errors import UserError
from les_ipi.models.les_model import LESModel
from les_ipi.models.library import find_model
from les_ipi.models.model_config import ModelConfig
from les_ipi.models.storage import load_model
from les_ipi.training.data import Frame
from les_ipi.training.training_config import TrainConfig

#: The only hyper-parameter that may differ from the parent's, because it is a property of the medium and not of the weights.
#: Where charges are tied to it as oxidation numbers, it may not differ either.
_FREE = "epsilon_infinity"


@dataclass(frozen=True)
class Parent:
    """The model from which a fine-tuning starts: its weights, ready to be trained, its hyper-parameters and its card."""

    model: LESModel
    config: ModelConfig
    card: dict[str, Any]

    @property
    def origin(self) -> dict[str, str]:
        """What the card of the fine-tuned model says about its parent: name, data, licence and level of theory."""
        data = self.card.get("data", {})
        origin = {"name": self.card.get("name", "not stated")}
        origin |= {key: data.get(key, "not stated") for key in ("files", "source", "licence", "level_of_theory")}
        if "fine_tuned_from" in self.card:
            origin["fine_tuned_from"] = self.card["fine_tuned_from"]
        return origin

    def require_elements(self, frames: list[Frame]) -> None:
        """Raise ``UserError`` if the frames contain an element that the model does not know."""
        known = {atomic_numbers[s] for s in self.config.species}
        unknown = sorted({int(z) for f in frames for z in f.system.numbers} - known)
        if unknown:
            raise UserError(
                f"The data contain {chemical_symbols[unknown[0]]}, but the model '{self.card.get('name')}' knows "
                f"{', '.join(self.config.species)}: start without --from, or from a model of these elements."
            )


def load_parent(start: str | Path, config: TrainConfig) -> Parent:
    """Load the model from which a fine-tuning starts.

    Entries of ``[short_range]`` and ``[charges]`` that the training file gives must be those of the model, except
    ``epsilon_infinity``. Entries that the file does not give are taken from the model.

    Parameters:
        start: name of a shipped model, or a model folder.
        config: the training file.

    Returns the model with its hyper-parameters and card. Raises ``UserError`` for an entry that differs or an unknown
    model.
    """
    dtype = torch.float64 if config.training.double_precision else torch.float32
    model, card = load_model(find_model(start), dtype)
    own = ModelConfig.model_validate(card["hyper_parameters"])
    _require_same("short_range", config.short_range, own.short_range, card["name"])
    _require_same("charges", config.charges, own.charges, card["name"])
    if config.state is not None and config.state != own.state:
        raise UserError(
            f"The table [state] of the training file differs from that of the model '{card['name']}' "
            f"({'none' if own.state is None else _shown(own.state)}): remove it, or start without --from."
        )
    if _FREE in config.charges.model_fields_set:
        if own.charges.formal_scale == "oxidation" and config.charges.epsilon_infinity != own.charges.epsilon_infinity:
            raise UserError(
                f"The atoms of '{card['name']}' carry oxidation numbers, so epsilon_infinity is a part of its energy and stays "
                f"{own.charges.epsilon_infinity:g}, not {config.charges.epsilon_infinity:g} as in the file: remove the "
                "entry, or start without --from."
            )
        model.epsilon_infinity = config.charges.epsilon_infinity
        own = own.model_copy(update={"charges": own.charges.model_copy(update={_FREE: model.epsilon_infinity})})
    return Parent(model.train().requires_grad_(True), own, card)


def _require_same(table: str, given: BaseModel, own: BaseModel, name: str) -> None:
    for key in sorted(given.model_fields_set - {_FREE}):
        wanted, found = getattr(given, key), getattr(own, key, None)
        if isinstance(wanted, BaseModel) and isinstance(found, BaseModel):
            _require_same(f"{table}.{key}", wanted, found, name)
        elif wanted != found and (key, wanted) != ("core_cutoff", "auto"):
            raise UserError(
                f"The training file has {table}.{key} = {_shown(wanted)}, but the model '{name}' has {_shown(found)}: "
                "remove the entry to take the model's, or start without --from."
            )


def _shown(value: Any) -> str:
    return json.dumps(value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value)
