"""From structures to physical results: the one path that the driver, training reports and scripts use."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from les_ipi.batch import Batch, collate
from les_ipi.compiled import CompiledModel
from les_ipi.conventions import Property
from les_ipi.electrostatics.born import SumRule
from les_ipi.errors import UserError
from les_ipi.models.derivatives import Leaves, atom_gradient, born_effective_charges, gradient, strain_derivative
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.models.library import find_model
from les_ipi.models.storage import load_model
from les_ipi.neighbors import VerletList
from les_ipi.system import AtomicSystem

_CHARGE_PROPERTIES = {Property.CHARGES, Property.DIPOLE, Property.BORN_EFFECTIVE_CHARGES}


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
    born_effective_charges  (N, 3, 3)  ``[atom, polarization, displacement]``, e
    ======================  =========  ==================================================================
    """

    energy: float | None = None
    forces: np.ndarray | None = None
    virial: np.ndarray | None = None
    charges: np.ndarray | None = None
    dipole: np.ndarray | None = None
    born_effective_charges: np.ndarray | None = None


class Evaluator:
    """Evaluates a model on lists of structures, reusing neighbour lists between calls.

    The structures of consecutive calls are matched by their place in the list (bead k stays at place k).

    Parameters: ``model`` and ``card`` as from :func:`les_ipi.models.load_model`; ``dtype`` of the network arithmetic
    (geometry and sums of reference energies are always float64); ``skin`` Å of the Verlet lists; ``sum_rule`` for Born
    charges; ``compile`` builds one fused graph per batch shape (tens of seconds once, then two to three times faster).
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
    ):
        self.model, self.card = model.to(device), card
        self._compiled = CompiledModel(self.model) if compile and model.head is not None else None
        self.device, self.dtype, self.skin, self.sum_rule = device, dtype, skin, sum_rule
        self.species = tuple(model.species)
        self._lists: list[VerletList] = []
        self._batch: Batch | None = None
        self._topology: tuple | None = None

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
        return cls(loaded, card, device=device, dtype=kinds[dtype], sum_rule=SumRule(sum_rule), compile=compile)

    @property
    def cutoff(self) -> float:
        """Short-range cutoff in Å."""
        return self.model.cutoff

    def __call__(
        self, systems: Sequence[AtomicSystem], properties: Iterable[Property | str] = (Property.ENERGY, Property.FORCES)
    ) -> list[Results]:
        """Evaluate structures; only what is asked for is computed.

        Raises ``UserError`` for an unknown element or property, or charges asked from a model without charges.
        """
        wanted = self._check(properties)
        batch = self._update(systems)
        with torch.enable_grad():
            leaves = Leaves.of(batch, self.dtype)
            tables = self._compiled_tables(batch, leaves, wanted)
            if tables is None:
                evaluation = self.model(batch, leaves.edges, leaves.positions, leaves.cell)
                tables = self._tables(batch, leaves, evaluation, wanted)
        host = {name: value.detach().to("cpu", torch.float64).numpy() for name, value in tables.items()}
        return [self._results(host, b, len(s.numbers)) for b, s in enumerate(systems)]

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
        return wanted

    def _update(self, systems: Sequence[AtomicSystem]) -> Batch:
        """Batch for these structures; topology tables are rebuilt only when what they depend on has changed."""
        if len(self._lists) < len(systems):
            missing = len(systems) - len(self._lists)
            self._lists += [VerletList(self.cutoff, self.skin, self._compiled is not None) for _ in range(missing)]
        lists = self._lists[: len(systems)]
        neighbors = [verlet.update(system) for verlet, system in zip(lists, systems, strict=True)]
        kept = tuple((s.numbers.tobytes(), s.cell.tobytes(), s.total_charge) for s in systems)
        topology = (tuple(v.builds for v in lists), kept)
        if self._batch is None or topology != self._topology:
            cutoff = self.cutoff + self.skin
            batch = collate(systems, self.species, cutoff, self.model.kernel.k_cutoff, neighbors=neighbors)
            self._batch, self._topology = batch.to(self.device), topology
            return self._batch
        positions = torch.zeros_like(self._batch.positions, device="cpu")
        for b, system in enumerate(systems):
            positions[b, : len(system.positions)] = torch.from_numpy(np.asarray(system.positions))
        self._batch = replace(self._batch, positions=positions.to(self.device))
        return self._batch

    def _compiled_tables(self, batch: Batch, leaves: Leaves, wanted: set[Property]) -> dict[str, Tensor] | None:
        """The same tables from the compiled graph; None if it does not apply (Born charges, no compiler)."""
        if self._compiled is None or Property.BORN_EFFECTIVE_CHARGES in wanted:
            return None
        found = self._compiled(batch, leaves)
        if found is None:
            return None
        evaluation, forces, virial = found
        tables = {"forces": forces, "virial": virial, **self._plain_tables(batch, leaves, evaluation, wanted)}
        return {name: value for name, value in tables.items() if name in wanted}

    def _tables(self, batch: Batch, leaves: Leaves, evaluation: Evaluation, wanted: set[Property]) -> dict[str, Tensor]:
        """Physical quantities of the batch as tensors with a leading structure index."""
        tables = self._plain_tables(batch, leaves, evaluation, wanted)
        if wanted & {Property.FORCES, Property.VIRIAL}:
            grad = gradient(evaluation.energy.sum(), leaves)
            if Property.FORCES in wanted:
                tables["forces"] = -atom_gradient(batch, grad)
            if Property.VIRIAL in wanted:
                tables["virial"] = -strain_derivative(batch, leaves, grad)
        if Property.BORN_EFFECTIVE_CHARGES in wanted:
            born = born_effective_charges(self.model, batch, leaves, evaluation, self.sum_rule)
            scale = self.model.screening(batch.periodic).sqrt()
            tables["born_effective_charges"] = scale[:, None, None, None] * born
        return tables

    def _plain_tables(
        self, batch: Batch, leaves: Leaves, evaluation: Evaluation, wanted: set[Property]
    ) -> dict[str, Tensor]:
        """Quantities that need no gradient."""
        tables: dict[str, Tensor] = {}
        scale = self.model.screening(batch.periodic).sqrt()
        if Property.ENERGY in wanted:
            tables["energy"] = evaluation.energy.detach().double() + self.model.composition_energy(batch)
        if Property.CHARGES in wanted:
            tables["charges"] = scale[:, None] * evaluation.charges.sum(-1)
        if Property.DIPOLE in wanted:
            tables["dipole"] = scale[:, None] * self._unwrapped_dipole(batch, leaves, evaluation)
        return tables

    def _unwrapped_dipole(self, batch: Batch, leaves: Leaves, evaluation: Evaluation) -> Tensor:
        """Latent dipole of the unwrapped positions: the model's, plus charge × lattice translation in float64."""
        translation = batch.positions - leaves.positions.detach().double()
        carrier = evaluation.translating_charges.detach().double()
        return evaluation.dipole.detach().double() + torch.einsum("bn,bnx->bx", carrier, translation)

    @staticmethod
    def _results(host: dict[str, np.ndarray], b: int, n_atoms: int) -> Results:
        per_atom = {"forces", "charges", "born_effective_charges"}
        values = {k: v[b, :n_atoms].copy() if k in per_atom else v[b].copy() for k, v in host.items()}
        if "energy" in values:
            values["energy"] = float(values["energy"])
        return Results(**values)
