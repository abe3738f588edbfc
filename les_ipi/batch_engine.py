"""Evaluation of any model on one padded batch with automatic differentiation: the general road, also for ``transfer`` heads."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from les_ipi.batch import Batch, collate
from les_ipi.conventions import Property
from les_ipi.electrostatics.born import SumRule
from les_ipi.errors import UserError
from les_ipi.models.derivatives import Leaves, atom_gradient, electric_response, gradient, strain_derivative
from les_ipi.models.les_model import Evaluation, LESModel
from les_ipi.system import AtomicSystem

#: Difference in e between the total charge of a structure and that of a transfer head that is let pass.
_TOTAL_CHARGE_TOLERANCE = 1e-3
_PER_ATOM = {"forces", "charges", "born_effective_charges"}


class BatchEngine:
    """Tables of physical quantities for lists of structures; see :class:`les_ipi.evaluator.Evaluator`."""

    def __init__(self, model: LESModel, device: str, dtype: torch.dtype, rule: SumRule):
        self.model, self.device, self.dtype, self.rule = model, device, dtype, rule

    def __call__(
        self, systems: Sequence[AtomicSystem], wanted: set[Property], fields: np.ndarray | None = None
    ) -> list[dict[str, np.ndarray]]:
        """One table per structure: name of the property → value as in :class:`les_ipi.evaluator.Results`.

        With ``fields`` (B, 3) V/Å energy, forces and virial are those of U − E·M, from the same backward pass.
        """
        model = self.model
        batch = collate(systems, model.species, model.cutoff, model.kernel.k_cutoff).to(self.device)
        with torch.enable_grad():
            leaves = Leaves.of(batch, self.dtype)
            evaluation = model(batch, leaves.edges, leaves.positions, leaves.cell)
            self._check_total(batch, evaluation, systems)
            tables = self._tables(batch, leaves, evaluation, wanted, fields)
        host = {name: value.detach().to("cpu", torch.float64).numpy() for name, value in tables.items() if name in wanted}
        sizes = [len(s.numbers) for s in systems]
        return [
            {k: v[b, :n].copy() if k in _PER_ATOM else v[b].copy() for k, v in host.items()} for b, n in enumerate(sizes)
        ]

    def _check_total(self, batch: Batch, evaluation: Evaluation, systems: Sequence[AtomicSystem]) -> None:
        """A transfer head has the total of its formal charges; a structure that asks for another one is refused."""
        if self.model.head is None or not self.model.head.single_valued_polarization:
            return
        totals = self.model.screening(batch.periodic).sqrt() * evaluation.charges.detach().sum((1, 2))
        for system, total in zip(systems, totals.tolist(), strict=True):
            if system.total_charge and abs(system.total_charge - total) > _TOTAL_CHARGE_TOLERANCE:
                raise UserError(
                    f"The structure has a total charge of {system.total_charge:g} e, but the model's transfer head gives "
                    f"{total:.3g} e by its formal charges: use a model with the latent head for other total charges."
                )

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
        scale = self.model.screening(batch.periodic).sqrt()
        enthalpy = evaluation.energy
        if fields is not None:
            # Latent charges feel the field √ε_e E, so that physical ones feel E.
            field = scale[:, None] * torch.from_numpy(fields).to(enthalpy)
            enthalpy = enthalpy - (field * evaluation.dipole).sum(1)
        if Property.ENERGY in wanted:
            tables["energy"] = evaluation.energy.detach().double() + self.model.composition_energy(batch)
            if fields is not None:
                tables["energy"] -= (field * _unwrapped_dipole(batch, leaves, evaluation)).sum(1)
        if Property.CHARGES in wanted:
            tables["charges"] = scale[:, None] * evaluation.charges.sum(-1)
        if Property.DIPOLE in wanted:
            tables["dipole"] = scale[:, None] * _unwrapped_dipole(batch, leaves, evaluation)
        if wanted & {Property.FORCES, Property.VIRIAL}:
            grad = gradient(enthalpy.sum(), leaves)
            if Property.FORCES in wanted:
                tables["forces"] = -atom_gradient(batch, grad)
            if Property.VIRIAL in wanted:
                tables["virial"] = -strain_derivative(batch, leaves, grad)
                if fields is not None:  # the leaves are folded into the cell
                    carried = _unwrapped_dipole(batch, leaves, evaluation) - evaluation.dipole.detach()
                    tables["virial"] = tables["virial"] + carried[:, :, None] * field[:, None, :]
        if wanted & {Property.BORN_EFFECTIVE_CHARGES, Property.PIEZOELECTRIC}:
            born, strained = electric_response(self.model, batch, leaves, evaluation, self.rule)
            tables["born_effective_charges"] = scale[:, None, None, None] * born
            tables["piezoelectric"] = scale[:, None, None, None] * strained
        return tables


def _unwrapped_dipole(batch: Batch, leaves: Leaves, evaluation: Evaluation) -> Tensor:
    """Latent dipole of the unwrapped positions: the model's, plus charge × lattice translation in float64."""
    translation = batch.positions - leaves.positions.detach().double()
    carrier = evaluation.translating_charges.detach().double()
    return evaluation.dipole.detach().double() + torch.einsum("bn,bnx->bx", carrier, translation)
