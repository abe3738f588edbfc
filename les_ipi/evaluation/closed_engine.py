"""Evaluation of local models with charges alone or none: blocks of atoms, closed-form Ewald sum."""

import importlib.util
import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from les_ipi.conventions import Boundary, Property
from les_ipi.electrostatics.born import SumRule, apply_sum_rule, local_born_charges, local_piezoelectric
from les_ipi.electrostatics.charge_sums import LongRange, isolated_sum, periodic_sum
from les_ipi.electrostatics.ewald import half_sphere_modes
from les_ipi.electrostatics.mesh import MeshSum
from les_ipi.electrostatics.multipoles import Multipoles, traceless_second_moment
from les_ipi.evaluation.blocks import LocalBlocks
from les_ipi.models.les_model import LESModel
from les_ipi.models.state import state_per_atom
from les_ipi.structures.packed_edges import KeptEdges
from les_ipi.structures.system import AtomicSystem

#: Atoms × wave vectors from which fast transforms beat the exact sum (measured: about 400 atoms of water, one thread).
MESH_FROM_PHASES = 4e5


class LocalEngine:
    """Computes physical quantities of structures that share a boundary and are no slabs, for local models with
    charges alone.

    One forward pass gives energies and charges. One backward pass with the electrostatic potential as the weight of
    the charges gives all forces. One more, with weight one, gives the exact Born charges of local latent charges.

    Parameters:
        model: the model.
        device: device on which it is evaluated.
        dtype: arithmetic of the networks.
        skin: distance by which neighbour lists reach beyond the cutoff, Å.
        rule: what to do when Born charges do not add up to the total charge.
        blocks: the evaluation of the local part of the model.
        accuracy: relative error allowed for the long-range sum of large systems; None means about the rounding error
            of ``dtype``.
    """

    def __init__(
        self,
        model: LESModel,
        device: str,
        dtype: torch.dtype,
        skin: float,
        rule: SumRule,
        blocks: LocalBlocks,
        accuracy: float | None = None,
    ):
        self.model, self.device, self.dtype, self.rule = model, device, dtype, rule
        self.blocks = blocks
        #: Neighbour lists of the last call with each boundary.
        self.edges = {boundary: KeptEdges(model.species, model.cutoff, skin, device) for boundary in Boundary}
        self._modes: dict[bytes, Tensor] = {}
        # Without a library for its device (cuFINUFFT is an extra) the exact sum serves every size.
        library = "finufft" if device == "cpu" else "cufinufft"
        available = importlib.util.find_spec(library) is not None
        self._mesh = MeshSum(model.kernel, dtype, accuracy, device) if available else None

    def __call__(self, systems: Sequence[AtomicSystem], wanted: set[Property]) -> list[dict[str, np.ndarray]]:
        """Evaluate structures of one boundary.

        Parameters:
            systems: the structures.
            wanted: the properties to compute.

        Returns a dictionary for each structure, from the names of the properties to values with the shapes and units
        of :class:`les_ipi.evaluation.evaluator.Results`.
        """
        edges = self.edges[systems[0].boundary].update(systems)
        positions = torch.from_numpy(np.concatenate([s.positions for s in systems])).to(self.device, torch.float64)
        rows, n_blocks = LocalBlocks.padded_rows(len(positions), self.device)
        total = rows * n_blocks
        vectors, near = edges.pack(positions, self.dtype, total)
        species = torch.nn.functional.pad(edges.species, (0, total - len(positions)))
        mechanical = bool(wanted & {Property.FORCES, Property.VIRIAL})
        born = bool(wanted & {Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC})
        state = None if self.model.state is None else self._states(systems, total)
        local = self.blocks(vectors, near, species, rows, mechanical or born, state)
        composition = self.model.reference_energies[edges.species]
        energies = local.energies[: len(positions)].double() + composition
        tables: list[dict[str, Tensor]] = [{} for _ in systems]
        groups = _equal_structures(systems)
        summed = mechanical or Property.ENERGY in wanted
        weights, gradient = self._long_range(systems, positions, local.charges, energies, groups, edges.starts, tables, summed)
        if mechanical:
            slope = local.gradient(True, weights, last=not born)
            force = (slope - edges.incoming(slope)).sum(1)[: len(positions)].double() - gradient
            virial = -torch.einsum("rma,rmb->rab", vectors, slope)
        strained = None
        if born:
            flux = local.gradient(False, torch.ones_like(local.charges))
            raw = local_born_charges(local.charges.sum(1), vectors, edges.incoming(flux))
            if Property.PIEZOELECTRIC in wanted:
                strained = local_piezoelectric(vectors, flux)
        for b, table in enumerate(tables):
            atoms = slice(*edges.starts[b : b + 2])
            if mechanical:
                table["forces"] = force[atoms]
                table["virial"] = virial[atoms].sum(0).double() - table.pop("strain", 0.0)
            if born:
                table["born_effective_charges"] = self._born(raw[None, atoms], systems[b])
            if Property.QUADRUPOLE in wanted:
                table["quadrupole"] = self._quadrupole(systems[b], positions[atoms], table["charges"], edges.species[atoms])
            if strained is not None:
                table["piezoelectric"] = self._scale(systems[b]) * strained[atoms].double().sum(0)
        return [{k: v.to("cpu", torch.float64).numpy() for k, v in table.items() if k in wanted} for table in tables]

    def _states(self, systems: Sequence[AtomicSystem], rows: int) -> Tensor:
        """Charge and spin per atom of the structure of every atom, (rows, 2), zero where padded."""
        table = torch.tensor([(s.total_charge, s.multiplicity, len(s.numbers)) for s in systems], dtype=torch.float64)
        states = state_per_atom(*table.unbind(1)).repeat_interleave(table[:, 2].long(), dim=0)
        return torch.nn.functional.pad(states, (0, 0, 0, rows - len(states))).to(self.device, self.dtype)

    def _long_range(
        self,
        systems: Sequence[AtomicSystem],
        positions: Tensor,
        charges: Tensor | None,
        energies: Tensor,
        groups: list[range],
        starts: np.ndarray,
        tables: list[dict[str, Tensor]],
        summed: bool,
    ) -> tuple[Tensor | None, Tensor]:
        """Fill charges, dipoles and, if ``summed``, energies and strain; return ∂E/∂q per row and ∂E/∂r at fixed charges."""
        gradient = torch.zeros_like(positions)
        weights = None if charges is None else torch.zeros_like(charges)
        for group in groups:
            B, N = len(group), len(systems[group[0]].numbers)
            atoms = slice(starts[group[0]], starts[group[-1] + 1])
            energy = energies[atoms].view(B, N).sum(1)
            if charges is not None:
                scale = self._scale(systems[group[0]])
                wanted = torch.tensor([systems[b].total_charge / scale for b in group], dtype=torch.float64, device=self.device)
                raw = charges[atoms].view(B, N, -1)
                excess = raw.sum(1) - (wanted / raw.shape[2]).to(raw.dtype)[:, None]
                q = raw - excess[:, None] / N
                r = positions[atoms].view(B, N, 3)
                physical = scale * q.sum(-1).double()
                dipole = torch.einsum("bn,bnx->bx", physical, r)
                for row, b in enumerate(group):
                    tables[b].update(charges=physical[row], dipole=dipole[row])
                if summed:
                    found = self._sum(systems[group[0]], r, q)
                    energy = energy + found.energy
                    # Charges are shifted to the wanted total: a common potential does no work on them.
                    potential = found.potential - found.potential.mean(1, keepdim=True)
                    weights[atoms] = potential.reshape(B * N, -1)
                    gradient[atoms] = found.gradient.reshape(-1, 3).double()
                    for row, b in enumerate(group):
                        tables[b]["strain"] = found.strain[row].double()
            for row, b in enumerate(group):
                tables[b]["energy"] = energy[row]
        return weights, gradient

    def _sum(self, system: AtomicSystem, positions: Tensor, charges: Tensor) -> LongRange:
        if not system.periodic:
            return isolated_sum(positions.to(self.dtype), charges, self.model.kernel)
        cell = torch.from_numpy(np.asarray(system.cell, dtype=float)).to(self.device)
        if self._mesh is not None and len(system.numbers) * self._count_modes(cell) > MESH_FROM_PHASES:
            return self._mesh(positions, cell, charges)
        key = system.cell.tobytes()
        if key not in self._modes:
            self._modes = {key: torch.from_numpy(half_sphere_modes(system.cell, self.model.kernel.k_cutoff)).to(self.device)}
        # Positions are folded before they are rounded: single precision must not suffer from atoms that diffused away.
        folded = positions - torch.floor(positions @ torch.linalg.inv(cell)) @ cell
        B = len(positions)
        cells, modes = cell.to(self.dtype).expand(B, 3, 3), self._modes[key].expand(B, -1, 3)
        return periodic_sum(folded.to(self.dtype), cells, charges, modes, self.model.kernel)

    def _count_modes(self, cell: Tensor) -> float:
        """Wave vectors of half a sphere, V k_c³/12π²."""
        return float(torch.linalg.det(cell).abs()) * self.model.kernel.k_cutoff**3 / (12 * math.pi**2)

    def _scale(self, system: AtomicSystem) -> float:
        """√ε_e: physical charges over latent ones."""
        return math.sqrt(self.model.screening(system.periodic))

    def _quadrupole(self, system: AtomicSystem, positions: Tensor, charges: Tensor, species: Tensor) -> Tensor:
        """Physical traceless second moment of one structure about its centre of mass, (3, 3) e·Å²; NaN if periodic."""
        if system.periodic:
            return torch.full((3, 3), torch.nan, dtype=torch.float64)
        masses = self.model.masses[species].double()
        centre = masses @ positions / masses.sum()
        return traceless_second_moment(positions[None], Multipoles(charges[None, :, None]), centre[None])[0]

    def _born(self, raw: Tensor, system: AtomicSystem) -> Tensor:
        scale = self._scale(system)
        mask = torch.ones(raw.shape[:2], dtype=torch.bool, device=raw.device)
        return scale * apply_sum_rule(raw, mask, self.rule, system.total_charge / scale)[0]


def _equal_structures(systems: Sequence[AtomicSystem]) -> list[range]:
    """Runs of structures that share size and cell, such as the beads of a path integral."""
    runs = groupby(range(len(systems)), lambda b: (len(systems[b].numbers), systems[b].cell.tobytes()))
    return [range(members[0], members[-1] + 1) for members in (list(run) for _, run in runs)]
