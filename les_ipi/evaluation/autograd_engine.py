"""Evaluation of any model on padded batches by automatic differentiation: every head, property and boundary."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from les_ipi.conventions import Boundary, Property
from les_ipi.electrostatics.born import SumRule
from les_ipi.electrostatics.ewald import padded_modes
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.models.derivatives import (
    Leaves,
    atom_gradient,
    electric_response,
    gradient,
    strain_derivative,
    unwrapped_dipole,
)
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.structures.batch import Batch, collate
from les_ipi.structures.packed_edges import KeptEdges
from les_ipi.structures.system import AtomicSystem
from les_ipi.units import COULOMB, EPSILON_0

_PER_ATOM = {"forces", "charges", "born_effective_charges"}


class BatchEngine:
    """Computes physical quantities of structures that share a boundary, for every model and property.

    The electrostatics and all derivatives are those of :meth:`LESModel.forward`. Where the model allows it, what
    atoms have from their neighbourhood alone comes from ``blocks``, and derivatives are taken through them.

    Parameters:
        model: the model.
        device: device on which it is evaluated.
        dtype: arithmetic of the networks.
        skin: distance by which neighbour lists reach beyond the cutoff, Å.
        rule: what to do when Born charges do not add up to the total charge.
        blocks: the evaluation of the local part of the model.
    """

    def __init__(self, model: LESModel, device: str, dtype: torch.dtype, skin: float, rule: SumRule, blocks: LocalBlocks):
        self.model, self.device, self.dtype, self.rule = model, device, dtype, rule
        #: Neighbour lists and wave vectors of the last call with each boundary.
        self.edges = {boundary: KeptEdges(model.species, model.cutoff, skin, device) for boundary in Boundary}
        self.blocks = blocks
        self._modes: dict[Boundary, tuple[bytes, np.ndarray]] = {}

    def __call__(
        self, systems: Sequence[AtomicSystem], wanted: set[Property], fields: np.ndarray | None = None
    ) -> list[dict[str, np.ndarray]]:
        """Evaluate structures of one boundary.

        Parameters:
            systems: the structures.
            wanted: the properties to compute.
            fields: array (B, 3) with the macroscopic field on every structure in V/Å, or None. With fields, energy,
                forces and virial are those of the enthalpy U − E·M, from the same backward pass.

        Returns a dictionary for each structure, from the names of the properties to values with the shapes and units
        of :class:`les_ipi.evaluation.evaluator.Results`.
        """
        model = self.model
        batch = self._batch(systems)
        with torch.enable_grad():
            leaves = Leaves.of(batch, self.dtype)
            inside = None
            if fields is not None and (model.head.induces or model.head.equilibrates):
                # Induced dipoles and charges answer to the field: the enthalpy is not linear in it, it comes from the model.
                inside, fields = torch.from_numpy(fields).to(leaves.positions), None
            local = self.blocks.connected if model.blockwise else None
            # Born charges differentiate what is induced; permanent moments do not go through the sum.
            closed = not (self._induces and wanted & {Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC})
            evaluation = model(batch, leaves.edges, leaves.positions, leaves.cell, inside, local, closed)
            tables = self._tables(batch, leaves, evaluation, wanted, fields)
        kept = {*wanted, "dielectric_tensor"}
        host = {name: value.detach().to("cpu", torch.float64).numpy() for name, value in tables.items() if name in kept}
        sizes = [len(s.numbers) for s in systems]
        return [
            {k: v[b, :n].copy() if k in _PER_ATOM else v[b].copy() for k, v in host.items()} for b, n in enumerate(sizes)
        ]

    def _batch(self, systems: Sequence[AtomicSystem]) -> Batch:
        """The structures with edges from kept neighbour lists, and with the last wave vectors if no cell has changed."""
        n_rows = max(len(s.numbers) for s in systems)
        positions = np.zeros((len(systems), n_rows, 3))
        for b, system in enumerate(systems):
            positions[b, : len(system.numbers)] = system.positions
        boundary, model = systems[0].boundary, self.model
        edges = self.edges[boundary].update(systems, n_rows).tables(torch.from_numpy(positions).view(-1, 3).to(self.device))
        cells = np.stack([s.cell for s in systems])
        key = cells.tobytes()
        if boundary not in self._modes or self._modes[boundary][0] != key:
            periodic = np.array([s.periodic for s in systems])
            self._modes[boundary] = key, padded_modes(cells, periodic, model.kernel.k_cutoff)
        modes = self._modes[boundary][1]
        batch = collate(systems, model.species, model.cutoff, model.kernel.k_cutoff, edges=edges, modes=modes)
        return batch.to(self.device)

    @property
    def _induces(self) -> bool:
        return self.model.head is not None and self.model.head.induces

    def _tables(
        self,
        batch: Batch,
        leaves: Leaves,
        evaluation: Evaluation,
        wanted: set[Property],
        fields: np.ndarray | None,
    ) -> dict[str, Tensor]:
        """Physical quantities of the batch as tensors with a leading structure index."""
        tables: dict[str, Tensor] = {}
        scale = None if evaluation.screening is None else evaluation.screening.sqrt()
        enthalpy = evaluation.energy
        if fields is not None:
            # Latent charges feel the field √ε_e E, so that physical ones feel E.
            field = scale[:, None] * torch.from_numpy(fields).to(enthalpy)
            enthalpy = enthalpy - (field * evaluation.dipole).sum(1)
        if Property.ENERGY in wanted:
            tables["energy"] = evaluation.energy.detach().double() + self.model.composition_energy(batch)
            if fields is not None:
                tables["energy"] -= (field * unwrapped_dipole(batch, leaves, evaluation).detach()).sum(1)
        if Property.CHARGES in wanted:
            tables["charges"] = scale[:, None] * evaluation.charges.sum(-1)
        if Property.DIPOLE in wanted:
            tables["dipole"] = scale[:, None] * unwrapped_dipole(batch, leaves, evaluation).detach()
        if Property.QUADRUPOLE in wanted:
            tables["quadrupole"] = _quadrupole(batch, evaluation)
        if wanted & {Property.FORCES, Property.VIRIAL}:
            grad = gradient(enthalpy.sum(), leaves, with_cell=Property.VIRIAL in wanted)
            if Property.FORCES in wanted:
                tables["forces"] = -atom_gradient(batch, grad)
            if Property.VIRIAL in wanted:
                tables["virial"] = -strain_derivative(batch, leaves, grad)
                if fields is not None:  # the leaves are folded into the cell
                    carried = unwrapped_dipole(batch, leaves, evaluation).detach() - evaluation.dipole.detach()
                    tables["virial"] = tables["virial"] + carried[:, :, None] * field[:, None, :]
        if wanted & {Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC}:
            strains = Property.PIEZOELECTRIC in wanted
            born, strained = electric_response(self.model, batch, leaves, evaluation, self.rule, strains)
            tables["born_effective_charges"] = scale[:, None, None, None] * born
            if strained is not None:
                tables["piezoelectric"] = scale[:, None, None, None] * strained
        if Property.POLARIZABILITY in wanted and self.model.head is not None and self.model.head.induces_dipole:
            tables.update(_polarizability(batch, evaluation))
        return tables


def _quadrupole(batch: Batch, evaluation: Evaluation) -> Tensor:
    """Physical traceless second moments (B, 3, 3) in e·Å², which periodic structures do not have (NaN)."""
    if evaluation.quadrupole is None:
        return torch.full_like(batch.cell, torch.nan)
    return (evaluation.screening.sqrt()[:, None, None] * evaluation.quadrupole.detach()).double()


def _polarizability(batch: Batch, evaluation: Evaluation) -> dict[str, Tensor]:
    """Physical polarizability ε_e k_e Σα in Å³, and ε_∞ = ε_e (1 + Σα/(ε0 V)), which isolated structures do not have (NaN)."""
    latent = evaluation.polarizable.total_polarizability().detach().double()
    screening = evaluation.screening.detach().double()[:, None, None]
    dielectric = torch.full_like(latent, torch.nan)
    if batch.periodic:
        identity = torch.eye(3, dtype=torch.float64, device=latent.device)
        volume = torch.linalg.det(batch.cell).abs()[:, None, None]
        dielectric = screening * (identity + latent / (EPSILON_0 * volume))
    return {"polarizability": COULOMB * screening * latent, "dielectric_tensor": dielectric}
