"""Hyper-parameters of a model: one schema for training files, model cards and construction."""

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.errors import UserError
from les_ipi.models.ace import ClusterDescriptor, ClusterExpansion
from les_ipi.models.heads import HeadInputs
from les_ipi.models.les_model import LESModel
from les_ipi.models.multipole_head import Level
from les_ipi.models.registry import (
    NATIVE,
    HeadName,
    ShortRangeSettings,
    ShortRangeTable,
    charge_head,
    register_short_range,
    short_range_entry,
)
from les_ipi.models.state import StateEmbedding
from les_ipi.models.zbl import CoreRepulsion

#: Entries of ``[short_range]`` that are not parameters of the native model.
_OUTSIDE = {"kind", "core_cutoff"}


class ShortRangeConfig(ShortRangeSettings):
    """Settings of the native short-range model, the table ``[short_range]`` with ``kind = "ace"``.

    Attributes:
        kind: name of the model, "ace".
        cutoff: distance in Å within which atoms are neighbours.
        n_radial: number of radial functions for each neighbour element.
        l_max: largest angular momentum of the neighbour density, 1 to 3.
        channels: number of learned mixtures of radial functions and neighbour elements.
        order: largest number of neighbour densities in a product, 2 to 4.
        product_l_max: largest angular momentum of the factors of a coupled product, 2 or 3.
        radial_decay: exponent of the factor (1 + n)^-radial_decay with which the weights of radial function n learn.
        order_decay: standardised products of ν densities are scaled by order_decay^max(0, ν - 2).
        feature_knee: number of standard deviations beyond which a feature grows only logarithmically.
        first_channels: what the channels begin as, "random" mixtures or "shells", which are bumps at one distance for
            one element.
        hidden: widths of the hidden layers of the energy network of each element.

    The features are defined at :class:`les_ipi.models.ace.ClusterDescriptor`.
    """

    kind: Literal["ace"] = Field(
        NATIVE, description="the short-range model: `ace` is the native one, packages can register others"
    )
    cutoff: float = Field(4.5, gt=0.5, le=20)
    n_radial: int = Field(10, ge=2, le=40)
    l_max: int = Field(3, ge=1, le=3)
    channels: int = Field(32, ge=1)
    order: int = Field(4, ge=2, le=4)
    product_l_max: int = Field(2, ge=2, le=3)
    radial_decay: float = Field(1.0, ge=0)
    order_decay: float = Field(0.3, gt=0, le=1)
    feature_knee: float = Field(3.0, ge=0.1, le=1e6)
    first_channels: Literal["random", "shells"] = "random"
    hidden: tuple[int, ...] = (64, 32)

    @model_validator(mode="after")
    def _products_need_angles(self) -> Self:
        if self.order > 2 and self.l_max < 2:
            raise ValueError(
                f"order {self.order} couples angular momenta, which needs l_max 2 or 3: raise l_max or take order 2"
            )
        return self


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChargesConfig(_Strict):
    """Settings of the long-range part of a model, the table ``[charges]`` of a training file.

    Attributes:
        head: name of the charge head; "none" gives a model without charges.
        level: moments and response of a ``multipole`` head, named as in the literature: q charges, u dipoles, Q
            quadrupoles, iq induced charges, iu induced dipoles.
        anisotropic: whether the polarizabilities of induced dipoles are tensors (True) or numbers.
        polarizability_scale: element symbols and the polarizability in Å³ from which each starts.
        channels: number of independent latent charges of every atom.
        hidden: widths of the hidden layers of the networks of the head.
        formal: element symbols and formal charges in e, which are scaled by a learned factor λ.
        formal_scale: first value of λ. "oxidation" keeps λ at 1/√ε_∞, so that atoms carry their oxidation numbers
            over a closed path. This is for a ``transfer`` head, and for a ``multipole`` head of level u or uQ, whose
            charges are then these numbers alone.
        descriptor: settings of features for the charges alone, usually of a shorter range, or None; charges that see
            only the nearest atoms are better determined by few data.
        transfer_cutoff: length in Å of the edges along which a ``transfer`` head moves charge.
        transfer_n_radial: number of radial functions of a ``transfer`` head.
        sigma: width of the Gaussian charges in Å.
        k_cutoff: largest wave vector of the long-range sum in 1/Å.
        smooth: whether the sum goes to zero smoothly at this wave vector (True) or is cut off there.
        remove_self: whether the interaction of every Gaussian charge with itself is removed.
        epsilon_infinity: electronic dielectric constant of the medium, dimensionless.
    """

    head: HeadName = "latent"
    level: Level = "q"
    anisotropic: bool = True
    polarizability_scale: dict[str, Annotated[float, Field(gt=0)]] = {}
    channels: int = Field(1, ge=1)
    hidden: tuple[int, ...] = (32, 16)
    formal: dict[str, float] = {}
    formal_scale: float | Literal["oxidation"] = 0.3
    descriptor: ShortRangeConfig | None = None
    transfer_cutoff: float = Field(3.5, gt=0.5)
    transfer_n_radial: int = Field(5, ge=2)
    sigma: float = Field(1.0, gt=0.1)
    k_cutoff: float = Field(3.141592653589793, gt=0.5)
    smooth: bool = True
    remove_self: bool = True
    epsilon_infinity: float = Field(1.0, ge=1.0)

    @field_validator("formal_scale", mode="before")
    @classmethod
    def _scale_is_a_number_or_a_word(cls, value: object) -> object:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number and value != "oxidation":
            raise ValueError('give a number, or "oxidation"')
        return value

    @model_validator(mode="after")
    def _one_equilibrium(self) -> Self:
        if self.head == "equilibration" and self.channels > 1:
            raise ValueError(f"charge equilibration has one charge for each atom, not {self.channels}: set channels = 1")
        return self

    @property
    def first_formal_scale(self) -> float:
        """Factor λ of the formal charges at the start of a training, which stays there if formal charges are
        oxidation numbers.
        """
        return self.epsilon_infinity**-0.5 if self.formal_scale == "oxidation" else self.formal_scale


class StateConfig(_Strict):
    """Settings of the table ``[state]``, which makes total charge and spin inputs of the networks.

    The fields are ``channels``, the length of the vector that represents a charge state; ``spin``, whether the spin
    multiplicity is an input as well; and ``hidden``, the widths of the hidden layers. See
    :class:`les_ipi.models.state.StateEmbedding`.
    """

    channels: int = Field(4, ge=1)
    spin: bool = False
    hidden: tuple[int, ...] = (16,)


class ModelConfig(_Strict):
    """Hyper-parameters of a model: everything that is needed to rebuild it before its weights are loaded.

    Attributes:
        species: symbols of the elements, in the order of every table that has one row for each element.
        short_range: settings of the short-range model.
        charges: settings of the charge head and of the long-range sum.
        state: settings of total charge and spin as inputs, or None if the model does not depend on them.
    """

    species: tuple[str, ...]
    short_range: ShortRangeTable = ShortRangeConfig()
    charges: ChargesConfig = ChargesConfig()
    state: StateConfig | None = None


def _native(config: ShortRangeConfig, numbers: list[int]) -> ClusterExpansion:
    return ClusterExpansion(len(numbers), **config.model_dump(exclude=_OUTSIDE))


register_short_range(NATIVE, ShortRangeConfig, _native)


def build_model(config: ModelConfig) -> LESModel:
    """Build a model with fresh weights.

    Parameters:
        config: hyper-parameters of the model. Elements without an entry in ``charges.formal`` have formal charge
            zero.

    Returns the model.

    Raises ``UserError`` for oxidation numbers with a head that does not carry them, or if an element has none, and
    for ``first_channels = "shells"`` with a number of channels that is not the number of shells.
    """
    from ase.data import atomic_numbers

    _check_oxidation_numbers(config)
    _check_shells(config)
    numbers = [atomic_numbers[s] for s in config.species]
    short, charges = config.short_range, config.charges
    short_range = short_range_entry(short.kind).build(short, numbers)
    descriptor = state = head = None
    if charges.descriptor is not None and charges.head != "none":
        descriptor = ClusterDescriptor(len(numbers), **charges.descriptor.model_dump(exclude={*_OUTSIDE, "hidden"}))
    if config.state is not None:
        state = StateEmbedding(len(numbers), short_range.n_features, **config.state.model_dump())
    if charges.head != "none":
        source = descriptor or short_range
        n_features = source.n_features + (0 if state is None else state.channels)
        inputs = HeadInputs(config.species, n_features, (source.n_tensors(1), source.n_tensors(2)))
        head = charge_head(charges.head).from_config(charges, inputs)
    kernel = LongRangeKernel(charges.sigma, charges.k_cutoff, charges.smooth, charges.remove_self)
    core = None
    if short.core_cutoff and short.core_cutoff != "auto":
        core = CoreRepulsion(numbers, _pair_table(short.core_cutoff, config.species))
    return LESModel(
        numbers,
        short_range,
        head,
        kernel,
        core=core,
        charge_descriptor=descriptor,
        epsilon_infinity=charges.epsilon_infinity,
        state=state,
    )


def _check_oxidation_numbers(config: ModelConfig) -> None:
    charges = config.charges
    if charges.formal_scale != "oxidation":
        return
    dipoles = charges.head == "multipole" and charges.level in ("u", "uQ")
    if charges.head != "transfer" and not dipoles:
        found = f'"{charges.head}"' + (f" of level {charges.level}" if charges.head == "multipole" else "")
        raise UserError(
            'formal_scale = "oxidation" is for heads whose atoms carry their formal charges, transfer and multipole of level u '
            f"or uQ, but this head is {found}: choose one of these heads, or give a number as formal_scale."
        )
    if dipoles and charges.channels > 1:
        raise UserError(f'formal_scale = "oxidation" has one charge for each atom, not {charges.channels}: set channels = 1.')
    missing = [element for element in config.species if element not in charges.formal]
    if missing:
        raise UserError(
            f'formal_scale = "oxidation" needs the oxidation number of every element, but formal has none of {missing[0]}: '
            "add it."
        )


def _check_shells(config: ModelConfig) -> None:
    for table, own in (("short_range", config.short_range), ("charges.descriptor", config.charges.descriptor)):
        ignored = table == "charges.descriptor" and config.charges.head == "none"
        if not isinstance(own, ShortRangeConfig) or ignored or own.first_channels != "shells":
            continue
        wanted = len(config.species) * own.n_radial
        if own.channels != wanted:
            raise UserError(
                f'first_channels = "shells" in [{table}] needs one channel for each of {len(config.species)} elements times '
                f"n_radial = {own.n_radial}, which is {wanted}, but channels is {own.channels}: set channels = {wanted}."
            )


def _pair_table(values: dict[str, float], species: tuple[str, ...]) -> list[list[float]]:
    """Symmetric matrix over species from "A-B" → value; pairs without an entry get zero."""
    pairs = [(f"{a}-{b}", f"{b}-{a}") for a in species for b in species]
    unknown = set(values) - {name for pair in pairs for name in pair}
    if unknown:
        raise UserError(
            f"core_cutoff has an entry {min(unknown)!r}, but the elements are {', '.join(species)}: write pairs of these "
            'elements, such as "O-O".'
        )
    return [[values.get(f"{a}-{b}", values.get(f"{b}-{a}", 0.0)) for b in species] for a in species]
