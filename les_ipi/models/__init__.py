"""Potentials: native short-range model, charge heads, the complete LES model and its files."""

from les_ipi.models.contract import LocalOutput, ShortRangeModel
from les_ipi.models.les_model import LESModel
from les_ipi.models.library import find_model, shipped_models
from les_ipi.models.model_config import ChargesConfig, ModelConfig, ShortRangeConfig, StateConfig, build_model
from les_ipi.models.storage import load_model, read_card, save_model

__all__ = [
    "ChargesConfig",
    "LESModel",
    "LocalOutput",
    "ModelConfig",
    "ShortRangeConfig",
    "ShortRangeModel",
    "StateConfig",
    "build_model",
    "find_model",
    "load_model",
    "read_card",
    "save_model",
    "shipped_models",
]
