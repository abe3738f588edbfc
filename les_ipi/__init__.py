"""les-ipi: Latent Ewald Summation models and the i-PI driver that serves them.

Public names are imported on first use, so that ``import les_ipi`` does not load torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AtomicSystem": "les_ipi.structures.system",
    "Evaluator": "les_ipi.evaluation.evaluator",
    "Property": "les_ipi.conventions",
    "Results": "les_ipi.evaluation.evaluator",
    "UserError": "les_ipi.errors",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'les_ipi' has no attribute '{name}'")
