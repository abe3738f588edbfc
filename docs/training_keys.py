"""Tables of all keys of ``train.toml`` in docs/reference/train_toml.md, from the schema that validates the file.

``python docs/training_keys.py`` rewrites the part of that page between the two markers; the tests fail while it is out
of date. Defaults and limits come from the schema; meaning and unit from :data:`MEANING`, or from the ``description`` of
a field where it has one.
"""

import re
import types
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from les_ipi.models.model_config import ChargesConfig, ShortRangeConfig, StateConfig
from les_ipi.training.training_config import DataConfig, LossStage, OptimiserConfig, TrainConfig

PAGE = Path(__file__).parent / "reference" / "train_toml.md"
BEGIN = "<!-- keys: begin (python docs/training_keys.py) -->"
END = "<!-- keys: end -->"

#: Tables in order: heading, schema. ``[charges.descriptor]`` takes the keys of ``[short_range]``.
TABLES: list[tuple[str, type[BaseModel]]] = [
    ("Top level", TrainConfig),
    ("`[data]`", DataConfig),
    ("`[short_range]`", ShortRangeConfig),
    ("`[charges]`", ChargesConfig),
    ("`[state]`", StateConfig),
    ("`[training]`", OptimiserConfig),
    ("`[[training.stages]]`", LossStage),
]

#: (schema, key) → (unit, meaning).
MEANING: dict[tuple[type[BaseModel], str], tuple[str, str]] = {
    (TrainConfig, "name"): ("", "name in the card; default of `--output`"),
    (TrainConfig, "description"): ("", "one line for the card and `les-ipi models`"),
    (TrainConfig, "seed"): ("", "seed of weights and of the order of frames"),
    (TrainConfig, "data"): ("", "table `[data]`"),
    (TrainConfig, "short_range"): ("", "table `[short_range]`"),
    (TrainConfig, "charges"): ("", "table `[charges]`"),
    (TrainConfig, "state"): ("", "table `[state]`: total charge as an input of the networks"),
    (TrainConfig, "training"): ("", "table `[training]`"),
    (StateConfig, "channels"): ("", "length of the vector that a charge state becomes"),
    (StateConfig, "spin"): ("", "the spin multiplicity is an input, too"),
    (StateConfig, "hidden"): ("", "hidden layers of the networks of its energy"),
    (DataConfig, "files"): (
        "",
        "extended XYZ files (also `.gz`), relative to `--data-root`, else to the TOML file; `file.xyz@28:46` is a slice",
    ),
    (DataConfig, "validation"): ("frames", 'held-out slices of all frames in order, like `"60:75"`; use blocks'),
    (DataConfig, "ignore"): ("", 'table: file as in `files` → its labels that are not used, like `["energy", "forces"]`'),
    (DataConfig, "energy_zero"): ("", "`per_file`: every file has its own energy zero, fitted with the model"),
    (DataConfig, "energy_networks"): ("", "`per_file`: energy networks of its own for every file; the first file's are kept"),
    (DataConfig, "source"): ("", "where the data come from, for the card"),
    (DataConfig, "licence"): ("", "licence of the data, for the card"),
    (DataConfig, "level_of_theory"): ("", "functional, for the card"),
    (ShortRangeConfig, "cutoff"): ("Å", "range of the neighbourhood"),
    (ShortRangeConfig, "n_radial"): ("", "radial functions for each neighbour element"),
    (ShortRangeConfig, "l_max"): ("", "largest angular momentum of the neighbour density"),
    (ShortRangeConfig, "channels"): ("", "mixed channels of radial functions and elements"),
    (ShortRangeConfig, "order"): ("", "largest number of neighbour densities in a product (body order minus one)"),
    (ShortRangeConfig, "product_l_max"): ("", "largest angular momentum of the factors of a coupled product"),
    (ShortRangeConfig, "radial_decay"): (
        "",
        "radial function n has weight (1+n)^−decay at first (`random`) and in learning: smoothness prior",
    ),
    (ShortRangeConfig, "order_decay"): (
        "",
        "products of ν densities are scaled by decay^max(0, ν−2): smoothness prior",
    ),
    (ShortRangeConfig, "feature_knee"): (
        "",
        "standard deviations beyond which a feature grows only logarithmically, a safeguard of trajectories",
    ),
    (ShortRangeConfig, "first_channels"): (
        "",
        "`random` mixtures, or `shells`: one for each element and radial function, a bump at one distance",
    ),
    (ShortRangeConfig, "hidden"): ("", "hidden layers of the energy network of each element"),
    (ShortRangeConfig, "core_cutoff"): (
        "Å",
        "pair of elements → distance where its ZBL repulsion ends; `auto`: 1.25 × the shortest in the data; `{}`: none",
    ),
    (ChargesConfig, "head"): (
        "",
        "`latent` (published form), `transfer` (neutral by construction), `multipole`, `equilibration` or `none`",
    ),
    (ChargesConfig, "level"): ("", "moments of `multipole`: `q`, `u`, `uQ`, `iq`, `iu`, `uiq`, `uiu`, `uiqiu` or `uQiqiu`"),
    (ChargesConfig, "anisotropic"): ("", "atomic polarizabilities are tensors (needs `l_max` ≥ 2)"),
    (ChargesConfig, "polarizability_scale"): ("Å³", "element → polarizability that training starts from; others 0.2"),
    (ChargesConfig, "channels"): ("", "independent latent charges for each atom (`latent` and `multipole`)"),
    (ChargesConfig, "hidden"): ("", "hidden layers of the charge network of each element"),
    (ChargesConfig, "formal"): ("e", "element → formal charge, scaled by one learned factor; others 0"),
    (ChargesConfig, "formal_scale"): (
        "",
        "start of that factor; `oxidation`: it stays 1/√ε∞, so that atoms (`transfer`, or `multipole` of level `u`, `uQ`) "
        "carry their formal charges",
    ),
    (ChargesConfig, "descriptor"): (
        "",
        "features of its own: keys of `[short_range]` without `hidden` and `core_cutoff`",
    ),
    (ChargesConfig, "transfer_cutoff"): ("Å", "largest distance over which charge is transferred"),
    (ChargesConfig, "transfer_n_radial"): ("", "radial functions of the transfer"),
    (ChargesConfig, "sigma"): ("Å", "smearing σ; the pair kernel is erf(r/(√2σ))/r"),
    (ChargesConfig, "k_cutoff"): ("1/Å", "radius of the k-sphere"),
    (ChargesConfig, "smooth"): ("", "smooth window, so that energies have no jumps when the cell changes"),
    (ChargesConfig, "remove_self"): ("", "subtract the energy of each charge in its own smeared field"),
    (ChargesConfig, "epsilon_infinity"): ("", "electronic dielectric constant: physical = √ε∞ × latent charges"),
    (OptimiserConfig, "max_epochs"): ("epochs", "length of the training"),
    (OptimiserConfig, "batch_size"): ("frames", "frames in a step"),
    (OptimiserConfig, "learning_rate"): ("", "largest learning rate (AdamW, amsgrad)"),
    (OptimiserConfig, "charge_learning_rate"): ("", "the same for the charge head; default: `learning_rate`"),
    (OptimiserConfig, "warmup_epochs"): ("epochs", "linear rise of the learning rate at the start"),
    (OptimiserConfig, "decay_fraction"): (
        "",
        "last part of all steps, over which the learning rate falls along a cosine",
    ),
    (OptimiserConfig, "weight_decay"): ("", "decoupled weight decay"),
    (OptimiserConfig, "charge_weight_decay"): ("", "the same for the charge head"),
    (OptimiserConfig, "gradient_clip"): ("", "largest norm of the gradient"),
    (OptimiserConfig, "ema_decay"): ("", "decay of the average of the weights, for each step; the average is saved"),
    (OptimiserConfig, "early_stopping_patience"): ("checks", "stop after this many checks without better forces"),
    (OptimiserConfig, "validate_every"): ("epochs", "interval of the checks against held-out frames"),
    (OptimiserConfig, "double_precision"): ("", "train in float64"),
    (OptimiserConfig, "linear_start"): (
        "",
        "begin at least squares: linear energies, one constant charge an element (`formal` is its first guess)",
    ),
    (OptimiserConfig, "compile"): (
        "",
        "compiled loss and gradient, 2-3 times faster after a minute or two; `auto`: long trainings, frames of similar size",
    ),
    (OptimiserConfig, "stages"): ("", "loss weights, one table for each stage"),
    (LossStage, "from_epoch"): ("epochs", "first epoch of the stage"),
    (LossStage, "energy"): ("(eV/atom)⁻²", "weight of the mean squared energy error per atom"),
    (LossStage, "forces"): ("(eV/Å)⁻²", "weight of the mean squared force error"),
    (LossStage, "stress"): ("(eV/Å³)⁻²", "weight of the mean squared stress error"),
    (LossStage, "born"): ("e⁻²", "weight of the mean squared error of Born charges (physical, sum rule imposed)"),
    (LossStage, "dipole"): ("(e·Å/atom)⁻²", "weight of the mean squared dipole error per atom"),
    (LossStage, "dipole_difference"): (
        "(e·Å/atom)⁻²",
        "the same of changes of the dipole between the frames of a batch, modulo the quantum: periodic frames, `transfer`",
    ),
    (LossStage, "quadrupole"): (
        "(e·Å²/atom)⁻²",
        "weight of the mean squared error of the traceless quadrupole of molecules per atom",
    ),
    (LossStage, "polarizability"): (
        "(Å³/atom)⁻²",
        "weight of the mean squared polarizability error per atom: `multipole` with `iu` in its level",
    ),
    (LossStage, "charge_variation"): (
        "e⁻²",
        "weight of the mean squared deviation of latent from scaled formal charges",
    ),
    (LossStage, "charge_conservation"): (
        "(e/Å)⁻²",
        "weight of the mean squared ∂Q_tot/∂r of every atom: charge is moved, not made "
        "([fields](../how-to/fields.md)); latent charges",
    ),
}

_SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}
_TYPES = {str: "text", int: "integer", float: "number", bool: "true/false"}


def type_name(annotation) -> str:
    """A type as a reader of TOML knows it: ``list of text``, ``integer``, ..."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return type_name(next(a for a in arguments if a is not type(None)))
    if origin in (list, tuple):
        return f"list of {type_name(arguments[0])}"
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "table"
    return _TYPES[annotation]


def default_of(field: FieldInfo) -> str:
    """The default as TOML writes it, or what its absence means."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "**required**"
    if value is None:
        return "off"
    if isinstance(value, BaseModel) or (isinstance(value, list) and value and isinstance(value[0], BaseModel)):
        return "its defaults"
    if isinstance(value, float) and len(repr(value)) > 8:
        return f"{value:.6g}"
    return {True: "true", False: "false"}.get(value) if isinstance(value, bool) else _literal(value)


def _literal(value) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_literal(v) for v in value) + "]"
    return repr(value)


def limits_of(field: FieldInfo) -> str:
    """Limits as text: ``> 0.5, ≤ 20``."""
    found = [f"{_SIGNS[type(m)]} {next(iter(vars_of(m)))}" for m in field.metadata if type(m) in _SIGNS]
    found += [f"at least {m.min_length}" for m in field.metadata if isinstance(m, MinLen)]
    return ", ".join(found)


def vars_of(constraint) -> tuple:
    """The value of an annotated-types constraint."""
    return tuple(getattr(constraint, name) for name in ("ge", "gt", "le", "lt") if hasattr(constraint, name))


def rows(schema: type[BaseModel]) -> list[str]:
    """One table row a key. Raises ``KeyError`` for a key without a meaning."""
    lines = []
    for key, field in schema.model_fields.items():
        if (schema, key) in MEANING:
            unit, meaning = MEANING[schema, key]
        elif field.description:
            unit, meaning = "", field.description
        else:
            raise KeyError(f"{schema.__name__}.{key} has no description: add it to MEANING in {Path(__file__).name}")
        cells = [f"`{key}`", type_name(field.annotation), default_of(field), limits_of(field), unit, meaning]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def tables() -> str:
    """All tables as Markdown."""
    stale = [f"{schema.__name__}.{key}" for schema, key in MEANING if key not in schema.model_fields]
    if stale:
        raise KeyError(f"MEANING describes keys that are gone: {', '.join(stale)}")
    parts = []
    for heading, schema in TABLES:
        head = ["| key | type | default | limits | unit | meaning |", "|---|---|---|---|---|---|"]
        parts.append("\n".join([f"## {heading}", "", *head, *rows(schema)]))
    return "\n\n".join(parts)


def page_with_tables(text: str) -> str:
    """The page with its tables replaced by the current ones."""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n\n{tables()}\n\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text()))
