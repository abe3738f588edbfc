"""Potentials: native short-range model, charge heads, the complete LES model and its files.

Importing this package registers all heads and short-range models that come with it.
"""

from les_ipi.models import equilibration_head, heads, multipole_head  # noqa: F401 (for their names in the registry)
from les_ipi.models.contract import LocalOutput, ShortRangeModel
from les_ipi.models.les_model import LESModel
from les_ipi.models.library import find_model, shipped_models
from les_ipi.models.model_config import ChargesConfig, ModelConfig, ShortRangeConfig, StateConfig, build_model
from les_ipi.models.registry import ShortRangeSettings, register_head, register_short_range
from les_ipi.models.storage import load_model, read_card, save_model
from les_ipi.models.topology import Topology

__all__ = [
    "ChargesConfig",
    "LESModel",
    "LocalOutput",
    "ModelConfig",
    "ShortRangeConfig",
    "ShortRangeModel",
    "ShortRangeSettings",
    "StateConfig",
    "Topology",
    "build_model",
    "find_model",
    "load_model",
    "read_card",
    "register_head",
    "register_short_range",
    "save_model",
    "shipped_models",
]
