"""From structures to physical results: the one path that the driver, training reports and scripts use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from les_ipi.conventions import Boundary, Property, SumRule
from les_ipi.errors import UserError
from les_ipi.evaluation.autograd_engine import BatchEngine
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.evaluation.capabilities import HeadAbilities, Request, check
from les_ipi.evaluation.closed_engine import LocalEngine
from les_ipi.evaluation.options import EvaluationOptions
from les_ipi.models.les_model import LESModel
from les_ipi.models.library import find_model
from les_ipi.models.storage import load_model
from les_ipi.structures.system import AtomicSystem, places_by_boundary


@dataclass
class Results:
    """Physical results of one structure, in float64; a field is None if its property was not asked for.

    ======================  =========  ==================================================================
    field                   shape      meaning, unit
    ======================  =========  ==================================================================
    energy                  float      energy with reference energies, eV
    forces                  (N, 3)     eV/Å
    virial                  (3, 3)     −∂E/∂ε = −V·stress, eV
    charges                 (N,)       physical partial charges √ε_e q, e
    dipole                  (3,)       physical cell dipole of the unwrapped positions, e·Å
    quadrupole              (3, 3)     physical traceless second moment of an isolated structure about its centre of
                                       mass, Σ q (x_a x_b − r² δ_ab/3) for charges, e·Å²
    born_effective_charges  (N, 3, 3)  ``[atom, polarization, displacement]``, e
    polarizability          (3, 3)     polarizability of the whole structure or cell, Å³
    dielectric_tensor       (3, 3)     ε_∞, dimensionless, which comes along with ``polarizability``; NaN for isolated
                                       structures
    piezoelectric           (3, 3, 3)  clamped-ion proper piezoelectric tensor times the volume,
                                       ``[polarization c, strain a, b]``: ∂M_c/∂ε_ab − M_a δ_bc, e·Å
    ======================  =========  ==================================================================
    """

    energy: float | None = None
    forces: np.ndarray | None = None
    virial: np.ndarray | None = None
    charges: np.ndarray | None = None
    dipole: np.ndarray | None = None
    quadrupole: np.ndarray | None = None
    born_effective_charges: np.ndarray | None = None
    polarizability: np.ndarray | None = None
    dielectric_tensor: np.ndarray | None = None
    piezoelectric: np.ndarray | None = None


class Evaluator:
    """Evaluates a model on lists of structures and reuses the neighbour lists of the call before.

    Structures of consecutive calls are matched by their place in the list, so bead k of a simulation should stay at
    place k. :meth:`load` is the usual way to make an evaluator from a model folder or a shipped model.

    Parameters:
        model: the model, as :func:`les_ipi.models.load_model` returns it.
        card: the model's card, as :func:`les_ipi.models.load_model` returns it.
        device: where the model is evaluated, for example "cpu", "cuda" or "cuda:1".
        dtype: arithmetic of the networks; geometry and sums of reference energies are always in float64.
        skin: distance in Å by which neighbour lists reach beyond the cutoff, so that they can be kept while atoms
            move.
        sum_rule: what to do when the Born charges of a structure do not add up to its total charge.
        compile: True fuses the local part of the model into compiled code, which takes tens of seconds once and then
            makes it twice as fast.
        long_range_accuracy: relative error allowed for the long-range potential and forces of large systems with
            charges alone; None means about the rounding error of ``dtype``.
    """

    def __init__(
        self,
        model: LESModel,
        card: dict[str, Any],
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        skin: float = 0.5,
        sum_rule: SumRule = SumRule.PROJECT,
        compile: bool = False,
        long_range_accuracy: float | None = None,
    ):
        self.model, self.card = model.to(device), card
        self.device, self.dtype, self.skin, self.sum_rule = device, dtype, skin, sum_rule
        self.species = tuple(model.species)
        blocks = LocalBlocks(self.model, compile)
        self._general = self._engine = BatchEngine(self.model, device, dtype, skin, sum_rule, blocks)
        if model.blockwise and (model.head is None or model.head.charges_alone):
            self._engine = LocalEngine(self.model, device, dtype, skin, sum_rule, blocks, long_range_accuracy)

    @classmethod
    def load(cls, model: str | Path, options: EvaluationOptions | None = None, **settings: Any) -> "Evaluator":
        """Make an evaluator from a model folder or from the name of a shipped model.

        Parameters:
            model: path of a model folder, or name of a shipped model.
            options: an :class:`EvaluationOptions`, or None for its defaults.
            settings: fields of :class:`EvaluationOptions` as keywords, which replace those of ``options``. These are
                ``device``, ``dtype`` ("float32" or "float64"), ``threads`` (number of threads that torch uses),
                ``compile``, ``long_range_accuracy`` and ``sum_rule`` ("project", "report" or "raise").

        Returns the evaluator.

        Raises ``UserError`` for an unknown model, option, dtype, device or sum rule.
        """
        chosen = EvaluationOptions(**(options.given(EvaluationOptions) if options else {}) | settings)
        dtype = getattr(torch, chosen.dtype)
        _check_device(chosen.device)
        if chosen.threads:
            torch.set_num_threads(chosen.threads)
        loaded, card = load_model(find_model(model), dtype)
        rest = chosen.model_dump(include={"device", "sum_rule", "compile", "long_range_accuracy"})
        return cls(loaded, card, dtype=dtype, **rest)

    @property
    def cutoff(self) -> float:
        """Short-range cutoff of the model in Å."""
        return self.model.cutoff

    @property
    def single_valued(self) -> bool:
        """Whether the dipole is a single-valued function of the unwrapped positions, so that an energy in a field is
        defined.
        """
        return self.model.head is not None and self.model.head.single_valued_polarization

    def _has(self, ability: str) -> bool:
        """Whether the charge head, if any, has an ability of :class:`les_ipi.models.heads.ChargeHead`."""
        return self.model.head is not None and getattr(self.model.head, ability)

    def __call__(
        self,
        systems: Sequence[AtomicSystem],
        properties: Iterable[Property | str] = (Property.ENERGY, Property.FORCES),
        fields: np.ndarray | None = None,
    ) -> list[Results]:
        """Evaluate a list of B structures; only the properties that are asked for are computed.

        Parameters:
            systems: the structures, which may differ in size, cell and boundary.
            properties: what to compute, as :class:`Property` or its text, for example "dipole".
            fields: array (B, 3) with the macroscopic electric field in V/Å on every structure, or None for no field.
                Energy, forces and virial are then those of the enthalpy U − E·M at fixed Cartesian field, at no extra
                cost. This is possible for models with :attr:`single_valued`, and for isolated systems with a
                multipole or equilibration head, whose response to the field makes the enthalpy quadratic in it.

        Returns a list with one :class:`Results` for each structure, in the order of ``systems``.

        Raises ``UserError`` for an unknown element or property, for charges of a model without charges, and for a
        field on a model whose dipole is not single-valued.
        """
        wanted = _known(properties)
        requests = [*(name for name in Property if name in wanted), *([] if fields is None else [Request.ENTHALPY])]
        boundaries = {system.boundary for system in systems}
        check(requests, HeadAbilities.of_head(self.model.head), boundaries, model=self.card.get("name", "unnamed"))
        found: list[Results] = [Results() for _ in systems]
        for boundary, places in places_by_boundary(systems).items():
            group = [systems[place] for place in places]
            if fields is None:
                tables = self._engine_for(boundary, wanted)(group, wanted)
            else:
                tables = self._general(group, wanted, np.asarray(fields, dtype=float)[places])
            for place, table in zip(places, tables, strict=True):
                found[place] = Results(**{k: float(v) if k == "energy" else v for k, v in table.items()})
        return found

    def _engine_for(self, boundary: Boundary, wanted: set[Property]) -> BatchEngine | LocalEngine:
        """The fastest engine that can evaluate these properties of structures of one boundary without a field."""
        responses = wanted & {Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC}
        # Only the general engine knows slabs, and Born charges of a multipole head, which for molecules are ∂P/∂r at any level.
        general = boundary == Boundary.SLAB or (self._has("equivariant") and responses)
        return self._general if general else self._engine


def _known(properties: Iterable[Property | str]) -> set[Property]:
    wanted = set()
    for name in properties:
        if name not in set(Property):
            raise UserError(f"Unknown property '{name}': choose from {', '.join(Property)}.")
        wanted.add(Property(name))
    return wanted


def _check_device(device: str) -> None:
    try:
        torch.device(device)
    except RuntimeError as error:
        raise UserError(f"Unknown device '{device}': use cpu, cuda or cuda:1.") from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"Device '{device}' was asked for, but torch sees no CUDA GPU: use --device cpu.")
