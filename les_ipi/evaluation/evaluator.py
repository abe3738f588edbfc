"""From structures to physical results: the one path that the driver, training reports and scripts use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from les_ipi.conventions import Boundary, Property
from les_ipi.electrostatics.born import SumRule
from les_ipi.errors import UserError
from les_ipi.evaluation.autograd_engine import BatchEngine
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.evaluation.closed_engine import LocalEngine
from les_ipi.models.les_model import LESModel
from les_ipi.models.library import find_model
from les_ipi.models.storage import load_model
from les_ipi.structures.system import AtomicSystem, places_by_boundary

_CHARGE_PROPERTIES = {
    Property.CHARGES,
    Property.DIPOLE,
    Property.QUADRUPOLE,
    Property.BORN_EFFECTIVE_CHARGES,
    Property.PIEZOELECTRIC,
}


@dataclass
class Results:
    """Physical results of one structure (float64); None where a property was not asked for.

    ======================  =========  ==================================================================
    field                   shape      meaning, unit
    ======================  =========  ==================================================================
    energy                  float      eV, with reference energies
    forces                  (N, 3)     eV/Å
    virial                  (3, 3)     −∂E/∂ε = −V·stress, eV
    charges                 (N,)       physical partial charges √ε_e q, e
    dipole                  (3,)       physical cell dipole of the unwrapped positions, e·Å
    quadrupole              (3, 3)     physical traceless second moment of an isolated structure about its centre of
                                       mass, Σ q (x_a x_b − r² δ_ab/3) for charges, e·Å²
    born_effective_charges  (N, 3, 3)  ``[atom, polarization, displacement]``, e
    polarizability          (3, 3)     of the whole structure or cell, with ``polarizability``, Å³
    dielectric_tensor       (3, 3)     ε_∞ with ``polarizability``; NaN for isolated structures
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
    """Evaluates a model on lists of structures, reusing neighbour lists between calls.

    The structures of consecutive calls are matched by their place in the list (bead k stays at place k).

    Parameters: ``model`` and ``card`` as from :func:`les_ipi.models.load_model`; ``dtype`` of the network arithmetic
    (geometry and sums of reference energies are always float64); ``skin`` Å of the Verlet lists; ``sum_rule`` for Born
    charges; ``compile`` fuses the local part of a model (tens of seconds once, then twice as fast); ``long_range_accuracy``
    relative error of the long-range potential and forces of large systems with charges alone, None for about the rounding
    error of ``dtype``.
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
    def load(
        cls,
        model: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        threads: int | None = None,
        sum_rule: str = "project",
        compile: bool = False,
        long_range_accuracy: float | None = None,
    ) -> "Evaluator":
        """Evaluator of a model folder or shipped model.

        Parameters: ``dtype`` "float32" or "float64"; ``threads`` of torch; ``sum_rule`` "project", "report" or "raise".
        Raises ``UserError`` for an unknown model, dtype, device or sum rule.
        """
        kinds = {"float32": torch.float32, "float64": torch.float64}
        if dtype not in kinds:
            raise UserError(f"Unknown dtype '{dtype}': use float32 or float64.")
        if sum_rule not in set(SumRule):
            raise UserError(f"Unknown sum rule '{sum_rule}': use {', '.join(SumRule)}.")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"Device '{device}' was asked for, but torch sees no CUDA GPU: use --device cpu.")
        if threads:
            torch.set_num_threads(threads)
        loaded, card = load_model(find_model(model), kinds[dtype])
        if long_range_accuracy is not None and not 0 < long_range_accuracy < 0.1:
            raise UserError(
                f"A long-range accuracy of {long_range_accuracy} was asked for: give a relative error between 0 and 0.1."
            )
        return cls(
            loaded,
            card,
            device=device,
            dtype=kinds[dtype],
            sum_rule=SumRule(sum_rule),
            compile=compile,
            long_range_accuracy=long_range_accuracy,
        )

    @property
    def cutoff(self) -> float:
        """Short-range cutoff in Å."""
        return self.model.cutoff

    @property
    def single_valued(self) -> bool:
        """Whether the dipole is a function of the (unwrapped) positions, so that a field has an energy."""
        return self.model.head is not None and self.model.head.single_valued_polarization

    @property
    def _answers_fields(self) -> bool:
        """Whether moments respond to a field, so that the model itself gives the enthalpy of isolated systems."""
        return self._has("equivariant") or self._has("equilibrates")

    def _has(self, ability: str) -> bool:
        """Whether the charge head, if any, has an ability of :class:`les_ipi.models.heads.ChargeHead`."""
        return self.model.head is not None and getattr(self.model.head, ability)

    def __call__(
        self,
        systems: Sequence[AtomicSystem],
        properties: Iterable[Property | str] = (Property.ENERGY, Property.FORCES),
        fields: np.ndarray | None = None,
    ) -> list[Results]:
        """Evaluate structures; only what is asked for is computed.

        Parameters: ``fields`` (B, 3), macroscopic fields in V/Å: energy, forces and virial are then those of the enthalpy
        U − E·M at fixed Cartesian field, at no extra cost; only for models with :attr:`single_valued`, and isolated systems
        with a multipole or equilibration head, whose response to the field makes the enthalpy quadratic in it.
        Raises ``UserError`` for an unknown element or property, charges asked from a model without charges, or a field on
        a model whose dipole is not single-valued.
        """
        wanted = self._check(properties)
        responses = wanted & {Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC}
        if responses and self._has("equilibrates") and any(s.periodic for s in systems):
            raise UserError(
                "Charges of the 'equilibration' head flow through the whole cell, as in a metal, so periodic systems have no "
                "Born charges and no piezoelectric tensor: use the latent, transfer or multipole head for them."
            )
        moments = self._has("equivariant") and not self.single_valued
        if Property.PIEZOELECTRIC in wanted and moments and any(not s.periodic or s.slab for s in systems):
            raise UserError(
                "The piezoelectric tensor of molecules and slabs with the 'multipole' head is not implemented for charges that "
                "fluctuate: use another head, or a structure that is periodic along a, b and c."
            )
        if Property.QUADRUPOLE in wanted and any(s.periodic for s in systems):
            raise UserError("A quadrupole is defined for isolated structures only: ask for it with pbc='F F F'.")
        allowed = self.single_valued or (self._answers_fields and not any(s.periodic for s in systems))
        if fields is not None and not allowed:
            raise UserError(
                "An enthalpy U − E·M needs a single-valued dipole: the transfer head, oxidation numbers with dipoles, or the "
                "multipole and equilibration heads for isolated systems. Else ask for Born charges Z, whose force is Z·E."
            )
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

    def _check(self, properties: Iterable[Property | str]) -> set[Property]:
        wanted = set()
        for name in properties:
            if name not in set(Property):
                raise UserError(f"Unknown property '{name}': choose from {', '.join(Property)}.")
            wanted.add(Property(name))
        if self.model.head is None and wanted & _CHARGE_PROPERTIES:
            raise UserError(
                "This model has no charges, so it gives no charges, dipole or Born charges: use an LES model."
            )
        if Property.PIEZOELECTRIC in wanted and (self._has("equilibrates") or self._has("induces")):
            what = "the 'equilibration' head" if self._has("equilibrates") else "induced charges and dipoles"
            raise UserError(
                f"The piezoelectric tensor of {what} is not implemented: use the latent or transfer head, or permanent moments "
                "(level q, u or uQ of the multipole head)."
            )
        if Property.POLARIZABILITY in wanted and not self._has("induces_dipole"):
            raise UserError(
                "This model has no polarizabilities: use a model with the 'multipole' head at a level with induced dipoles "
                "(iu, uiu, uiqiu, uQiqiu)."
            )
        return wanted
