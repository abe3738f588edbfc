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
    (TrainConfig, "seed"): ("", "seed of the random weights and of the order of the frames"),
    (TrainConfig, "data"): ("", "the table `[data]` below"),
    (TrainConfig, "short_range"): ("", "the table `[short_range]` below"),
    (TrainConfig, "charges"): ("", "the table `[charges]` below"),
    (TrainConfig, "state"): ("", "the table `[state]` below; with it the total charge is an input of the networks"),
    (TrainConfig, "training"): ("", "the table `[training]` below"),
    (StateConfig, "channels"): ("", "length of the vector that represents a charge state"),
    (StateConfig, "spin"): ("", "whether the spin multiplicity is an input as well"),
    (StateConfig, "hidden"): ("", "hidden layers of the networks that turn this vector into an energy"),
    (DataConfig, "files"): (
        "",
        "extended XYZ files (also `.gz`), relative to `--data-root` if it is given, else to the TOML file; "
        "`file.xyz@28:46` takes a slice of the frames",
    ),
    (DataConfig, "validation"): (
        "frames",
        'slices that are held out, like `"60:75"`, counted over the frames of all files in order; take blocks',
    ),
    (DataConfig, "ignore"): (
        "",
        'labels that are not used: the name of a file as in `files` → a list like `["energy", "forces"]`',
    ),
    (DataConfig, "energy_zero"): ("", "`per_file`: every file has its own energy zero, which is fitted with the model"),
    (DataConfig, "energy_networks"): (
        "",
        "`per_file`: every file has energy networks of its own; those of the first file are kept",
    ),
    (DataConfig, "source"): ("", "where the data come from, for the card"),
    (DataConfig, "licence"): ("", "licence of the data, for the card"),
    (DataConfig, "level_of_theory"): ("", "functional or method of the labels, for the card"),
    (ShortRangeConfig, "cutoff"): ("Å", "distance within which atoms are neighbours"),
    (ShortRangeConfig, "n_radial"): ("", "radial functions for each neighbour element"),
    (ShortRangeConfig, "l_max"): ("", "largest angular momentum of the neighbour density"),
    (ShortRangeConfig, "channels"): ("", "number of learned mixtures of radial functions and neighbour elements"),
    (ShortRangeConfig, "order"): ("", "largest number of neighbour densities in a product (body order minus one)"),
    (ShortRangeConfig, "product_l_max"): ("", "largest angular momentum of the factors of a coupled product"),
    (ShortRangeConfig, "radial_decay"): (
        "",
        "smoothness prior: radial function n starts (`random`) and learns with the factor (1+n)^−decay",
    ),
    (ShortRangeConfig, "order_decay"): (
        "",
        "smoothness prior: products of ν densities are scaled by decay^max(0, ν−2)",
    ),
    (ShortRangeConfig, "feature_knee"): (
        "",
        "standard deviations beyond which a feature grows only logarithmically; this safeguards trajectories",
    ),
    (ShortRangeConfig, "first_channels"): (
        "",
        "`random`: channels start as random mixtures; `shells`: one channel for each element and radial function, a bump at "
        "one distance",
    ),
    (ShortRangeConfig, "hidden"): ("", "hidden layers of the energy network of each element"),
    (ShortRangeConfig, "core_cutoff"): (
        "Å",
        "pair of elements → distance at which its ZBL repulsion ends; `auto`: 1.25 × the shortest distance in the data; "
        "`{}`: no repulsion",
    ),
    (ChargesConfig, "head"): (
        "",
        "the [charge head](../how-to/charge_heads.md#which-head), which makes the charges; `none`: no charges",
    ),
    (ChargesConfig, "level"): (
        "",
        "which [moments](../how-to/charge_heads.md#give-atoms-dipoles-quadrupoles-and-response) atoms have (`multipole`)",
    ),
    (ChargesConfig, "anisotropic"): ("", "whether atomic polarizabilities are tensors (needs `l_max` ≥ 2) or numbers"),
    (ChargesConfig, "polarizability_scale"): (
        "Å³",
        "element → polarizability at which the training starts; 0.2 for all others",
    ),
    (ChargesConfig, "channels"): ("", "number of independent latent charges of each atom (`latent` and `multipole`)"),
    (ChargesConfig, "hidden"): ("", "hidden layers of the charge network of each element"),
    (ChargesConfig, "formal"): ("e", "element → formal charge, which is scaled by one learned factor; 0 for all others"),
    (ChargesConfig, "formal_scale"): (
        "",
        "value at which that factor starts; with `oxidation` it stays 1/√ε∞, so that atoms carry their formal charges "
        "(`transfer`, or `multipole` of level `u` or `uQ`)",
    ),
    (ChargesConfig, "descriptor"): (
        "",
        "a table that gives the charges features of their own; it takes the keys of `[short_range]` except `hidden` and "
        "`core_cutoff`",
    ),
    (ChargesConfig, "transfer_cutoff"): ("Å", "largest distance over which charge is transferred"),
    (ChargesConfig, "transfer_n_radial"): ("", "number of radial functions of the transfer"),
    (ChargesConfig, "sigma"): ("Å", "smearing σ of the charges; two of them interact as erf(r/(√2σ))/r"),
    (ChargesConfig, "k_cutoff"): ("1/Å", "radius of the sphere of wave vectors"),
    (ChargesConfig, "smooth"): ("", "whether the sphere ends smoothly, so that energies do not jump when the cell changes"),
    (ChargesConfig, "remove_self"): ("", "whether the energy of each charge in its own smeared field is subtracted"),
    (ChargesConfig, "epsilon_infinity"): ("", "electronic dielectric constant; physical charges are √ε∞ times the latent ones"),
    (OptimiserConfig, "max_epochs"): ("epochs", "length of the training"),
    (OptimiserConfig, "batch_size"): ("frames", "number of frames in a step"),
    (OptimiserConfig, "optimiser"): (
        "",
        "`adamw` (with amsgrad), or `muon` for the matrices of the model and Adam for its other weights",
    ),
    (OptimiserConfig, "schedule"): ("", "how the learning rate falls: along a cosine or along a line"),
    (OptimiserConfig, "learning_rate"): ("", "largest learning rate of the optimiser"),
    (OptimiserConfig, "charge_learning_rate"): ("", "largest learning rate of the charge head; off: `learning_rate`"),
    (OptimiserConfig, "warmup_epochs"): ("epochs", "linear rise of the learning rate at the start"),
    (OptimiserConfig, "decay_fraction"): (
        "",
        "last part of all steps, over which the learning rate falls",
    ),
    (OptimiserConfig, "weight_decay"): ("", "weight decay, decoupled from the gradient"),
    (OptimiserConfig, "charge_weight_decay"): ("", "weight decay of the charge head"),
    (OptimiserConfig, "gradient_clip"): ("", "largest norm of the gradient"),
    (OptimiserConfig, "ema_decay"): (
        "",
        "decay, for each step, of the exponential average of the weights; the average is what is saved",
    ),
    (OptimiserConfig, "early_stopping_patience"): (
        "checks",
        "number of checks without better forces after which the training stops",
    ),
    (OptimiserConfig, "validate_every"): ("epochs", "interval between two checks against held-out frames"),
    (OptimiserConfig, "double_precision"): ("", "whether the training runs in float64"),
    (OptimiserConfig, "linear_start"): (
        "",
        "whether the training begins at a least-squares solution, with linear energies and one constant charge for each "
        "element (`formal` is the first guess)",
    ),
    (OptimiserConfig, "compile"): (
        "",
        "whether loss and gradient are compiled, which is 2-3 times faster after a minute or two; `auto`: for long trainings "
        "on frames of similar size that all repeat alike (molecules, slabs or crystals)",
    ),
    (OptimiserConfig, "stages"): ("", "weights of the loss, one table for each stage"),
    (LossStage, "from_epoch"): ("epochs", "first epoch of the stage"),
    (LossStage, "energy"): ("(eV/atom)⁻²", "weight of the mean squared energy error per atom"),
    (LossStage, "forces"): ("(eV/Å)⁻²", "weight of the mean squared force error"),
    (LossStage, "stress"): ("(eV/Å³)⁻²", "weight of the mean squared stress error"),
    (LossStage, "born"): ("e⁻²", "weight of the mean squared error of Born charges (physical, sum rule imposed)"),
    (LossStage, "dipole"): ("(e·Å/atom)⁻²", "weight of the mean squared dipole error per atom"),
    (LossStage, "dipole_difference"): (
        "(e·Å/atom)⁻²",
        "weight of the mean squared error per atom of changes of the dipole between the frames of a batch, modulo the "
        "quantum; periodic frames, and a single-valued dipole",
    ),
    (LossStage, "quadrupole"): (
        "(e·Å²/atom)⁻²",
        "weight of the mean squared error per atom of the traceless quadrupole of molecules",
    ),
    (LossStage, "polarizability"): (
        "(Å³/atom)⁻²",
        "weight of the mean squared polarizability error per atom; `multipole` with `iu` in its level",
    ),
    (LossStage, "charge_variation"): (
        "e⁻²",
        "weight of the mean squared deviation of latent from scaled formal charges",
    ),
    (LossStage, "charge_conservation"): (
        "(e/Å)⁻²",
        "weight of the mean squared ∂Q_tot/∂r of the atoms, with the sum Q_tot of the latent charges; where it vanishes, "
        "displacements move charge and create none ([why](../explanation/physics.md#which-charges-the-data-determine))",
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
