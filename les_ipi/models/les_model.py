"""The complete potential: short range + latent Ewald + reference energies."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from ase.data import atomic_masses
from torch import Tensor, nn

from les_ipi.conventions import Boundary
from les_ipi.electrostatics.ewald import reciprocal_vectors
from les_ipi.electrostatics.multipoles import Multipoles, traceless_second_moment
from les_ipi.electrostatics.response import electronic_screening, polarizability
from les_ipi.electrostatics.window import LongRangeKernel
from les_ipi.models.contract import ShortRangeModel
from les_ipi.models.equilibration_head import equilibrium_of
from les_ipi.models.heads import ChargeOutput
from les_ipi.models.polarizable import Polarizable, respond
from les_ipi.models.state import StateEmbedding, state_of_atoms
from les_ipi.models.topology import Topology
from les_ipi.structures.batch import Batch


class Evaluation(NamedTuple):
    """Result of one evaluation of a model on a batch; all tensors in it can be differentiated.

    ===================  =========  ================================================================
    field                shape      meaning, unit
    ===================  =========  ================================================================
    energy               (B,)       energy without the constant reference energies, eV
    charges              (B, N, C)  latent charges as they enter the Ewald sum, e
    local_charges        (A,)       latent charges before the neutrality projection, summed over channels, e; for the
                                    equilibration head they are the charges themselves
    dipole               (B, 3)     latent dipole of the given positions, e·Å
    translating_charges  (B, N)     charge that moves along when the atom is translated by a lattice vector, e
    screening            (B,)       ε_e, dimensionless
    atomic_dipole        (B, 3)     Σ (u + Δu) of a head with atomic dipoles, which is a part of ``dipole``, e·Å; or None
    polarizable                     moments and response parameters; None for charges of an equilibrium
    quadrupole           (B, 3, 3)  latent traceless second moment of isolated structures about the centre of mass, e·Å²;
                                    None for other structures
    topology                        the messages that were passed, or None for a local model
    ===================  =========  ================================================================

    Latent quantities are not yet multiplied by √ε_e; the evaluator does this. ``charges`` and ``dipole`` include what
    is induced.
    """

    energy: Tensor
    charges: Tensor | None
    local_charges: Tensor | None
    dipole: Tensor | None
    translating_charges: Tensor | None
    screening: Tensor | None = None
    atomic_dipole: Tensor | None = None
    polarizable: Polarizable | None = None
    quadrupole: Tensor | None = None
    topology: Topology | None = None


class LESModel(nn.Module):
    """The complete potential: a short-range model, the latent Ewald sum of its charges and constant reference
    energies.

        E = E_short(edges) + E_long(r, h, q(edges)) + Σ E0_Z

    Here r are the positions, h is the cell and q are the latent charges, which a charge head makes from the
    neighbourhood of every atom. :func:`build_model` makes such a model from its hyper-parameters.

    Parameters:
        species: atomic numbers of the elements, in the order of every table that has one row for each element.
        short_range: the short-range model, see :class:`ShortRangeModel`.
        head: the charge head, or None for a model without charges.
        kernel: smearing and window of the long-range sum.
        energy_scale: energy in eV that multiplies the short-range energy, so that raw network outputs stay of order
            one.
        core: repulsion of atoms that are very close, or None.
        charge_descriptor: features for the charge head alone, or None if it reads those of the short-range model.
        epsilon_infinity: electronic dielectric constant of the medium, dimensionless.
        state: embedding of the total charge and the spin, or None if the networks do not depend on them.

    Source: doi:10.1038/s41524-025-01577-7.
    """

    def __init__(
        self,
        species: list[int],
        short_range: ShortRangeModel,
        head: nn.Module | None,
        kernel: LongRangeKernel,
        energy_scale: float = 1.0,
        core: nn.Module | None = None,
        charge_descriptor: nn.Module | None = None,
        epsilon_infinity: float = 1.0,
        state: StateEmbedding | None = None,
    ):
        super().__init__()
        self.species = list(species)
        self.short_range, self.head, self.kernel, self.core = short_range, head, kernel, core
        self.charge_descriptor, self.state = charge_descriptor, state
        self.epsilon_infinity = epsilon_infinity
        self.register_buffer("energy_scale", torch.tensor(float(energy_scale)))
        self.register_buffer("reference_energies", torch.zeros(len(species), dtype=torch.float64))
        masses = torch.tensor([atomic_masses[z] for z in species], dtype=torch.float64)
        self.register_buffer("masses", masses, persistent=False)

    @property
    def cutoff(self) -> float:
        """Short-range cutoff in Å."""
        return self.short_range.cutoff

    @property
    def blockwise(self) -> bool:
        """Whether an atom depends on its own edges alone, so that :meth:`local` may be called for some atoms at a
        time.
        """
        return self.short_range.local

    def forward(
        self,
        batch: Batch,
        edges: Tensor,
        positions: Tensor,
        cell: Tensor,
        field: Tensor | None = None,
        local: Callable[..., tuple[Tensor, ChargeOutput | None]] | None = None,
        closed: bool = False,
    ) -> Evaluation:
        """Evaluate a batch as a differentiable function of its edges, positions and cells.

        Forces, virial and Born charges are derivatives with respect to these three tensors. Elements, neighbours and
        everything else that is not differentiated come from ``batch``. B structures have N rows and M neighbours
        each, and A = B·N.

        Parameters:
            batch: the structures.
            edges: tensor (A, M, 3) of vectors from every atom to its neighbours, Å.
            positions: tensor (B, N, 3) of atomic positions, Å.
            cell: tensor (B, 3, 3) of lattice vectors as rows, Å.
            field: tensor (B, 3) of macroscopic electric fields in V/Å, or None. With a field the energy is the
                enthalpy. This is exact for isolated systems and for heads with a single-valued dipole, whereas −E·P
                of fluctuating charges in a cell depends on which periodic images the positions are.
            local: a faster function with the arguments and result of :meth:`local`, or None for :meth:`local` itself.
            closed: True allows closed forms, which are faster, where only the energy is differentiated, and only
                once.

        Returns the energies, latent charges and moments of the batch as an :class:`Evaluation`.
        """
        B, N = batch.n_structures, batch.n_rows
        mask = batch.atom_mask.to(positions.dtype)
        state = None if self.state is None else state_of_atoms(batch, edges.dtype)
        near = batch.species[batch.neighbors]
        topology = None
        if self.blockwise:
            energies, output = (local or self.local)(edges, near, batch.species, state)
        else:
            topology = Topology(batch.neighbors, batch.reverse)
            energies, output = self.local(edges, near, batch.species, state, topology)
        energy = (energies * mask).view(B, N).sum(1)
        if output is None:
            return Evaluation(energy, None, None, None, None)
        screening = self._screening(batch, cell, output, mask)
        latent_field = None if field is None else screening.sqrt()[:, None] * field
        if self.head.equilibrates:
            found = self._equilibrated(batch, positions, cell, output, screening, latent_field)
        else:
            found = self._with_moments(batch, positions, cell, output, screening, latent_field, closed)
        return found._replace(energy=energy + found.energy, topology=topology)

    def _equilibrated(
        self,
        batch: Batch,
        positions: Tensor,
        cell: Tensor,
        output: ChargeOutput,
        screening: Tensor,
        latent_field: Tensor | None,
    ) -> Evaluation:
        """Charges of least energy, and that energy without the short range."""
        total = batch.total_charge.to(positions.dtype) / screening.sqrt()
        found = equilibrium_of(batch, positions, cell, output, self.kernel, total, latent_field)
        moments = Multipoles(found.charges[..., None])
        return Evaluation(
            found.energy,
            moments.charges,
            found.charges.flatten(),
            torch.einsum("bn,bnx->bx", found.charges, positions),
            found.charges,
            screening,
            quadrupole=self._quadrupole(batch, positions, moments),
        )

    def _with_moments(
        self,
        batch: Batch,
        positions: Tensor,
        cell: Tensor,
        output: ChargeOutput,
        screening: Tensor,
        latent_field: Tensor | None,
        closed: bool,
    ) -> Evaluation:
        """Moments that depend on the neighbourhood alone with what they induce, and their energy without the short range."""
        mask = batch.atom_mask.to(positions.dtype).view(batch.n_structures, batch.n_rows, 1)
        local = output.exchanged(batch.reverse) * mask.view(-1, 1)
        own = local.view(*mask.shape[:2], -1)
        # Transfers cancel in pairs: only what they do not carry counts, and that does not depend on the geometry.
        reference = own if output.reference_charges is None else output.reference_charges.view(mask.shape) * mask
        shift = self._shift(reference, batch, mask, screening)
        atoms = Polarizable.of(output, own, (own + shift) * mask, mask[..., 0])
        energy, response, charges = respond(batch, positions, cell, atoms, self.kernel, latent_field, closed)
        moments = atoms.with_response(charges, response.dipoles)
        carried = charges if output.reference_charges is None else (reference + shift) * mask
        carried = carried.sum(-1)
        dipole = torch.einsum("bn,bnx->bx", carried, positions)
        if output.local_dipole is not None:
            dipole = dipole + (output.local_dipole.view(*mask.shape[:2], 3) * mask).sum(1)
        atomic_dipole = None
        if moments.dipoles is not None:
            atomic_dipole = moments.dipoles.sum((1, 3))
            dipole = dipole + atomic_dipole
        if latent_field is not None:
            # The work on induced dipoles is in their quadratic energy already.
            worked = dipole if response.dipoles is None else dipole - response.dipoles.sum((1, 3))
            energy = energy - (latent_field * worked).sum(-1)
        quadrupole = self._quadrupole(batch, positions, moments)
        return Evaluation(energy, charges, local.sum(1), dipole, carried, screening, atomic_dipole, atoms, quadrupole)

    def local(
        self,
        edges: Tensor,
        near: Tensor,
        species: Tensor,
        state: Tensor | None = None,
        topology: Topology | None = None,
    ) -> tuple[Tensor, ChargeOutput | None]:
        """Evaluate what atoms have from their neighbourhood: short-range energies and the output of the charge head.

        Parameters:
            edges: tensor (A, M, 3) of vectors from every atom to its neighbours, Å.
            near: tensor (A, M) with the elements of the neighbours, as rows of the species list.
            species: tensor (A,) with the elements of the atoms, as rows of the species list.
            state: tensor (A, 2) with charge and spin per atom of the structure, which only a model with a state
                embedding needs.
            topology: neighbours of every atom, which only a short-range model that passes messages needs.

        Returns energies (A,) in eV, and the :class:`ChargeOutput` of the head or None for a model without charges.
        """
        tensors = None
        if self.head is not None and self.head.equivariant and self.charge_descriptor is None:
            (energies, features), tensors = self.short_range.with_tensors(edges, near, species, topology)
        else:
            energies, features = self.short_range(edges, near, species, topology)
        vectors = None
        if self.state is not None:
            vectors = self.state(state)
            energies = energies + self.state.energy(features, vectors, species)
        energies = self.energy_scale * energies
        if self.core is not None:
            energies = energies + self.core(edges, near, species)
        if self.head is None:
            return energies, None
        if self.head.equivariant:
            if self.charge_descriptor is not None:
                features, tensors = self.charge_descriptor.features_and_tensors(edges, near, species)
            return energies, self.head(_joined(features, vectors), tensors, species)
        if self.charge_descriptor is not None:
            features = self.charge_descriptor.features(edges, near, species)
        return energies, self.head(_joined(features, vectors), edges, near, species)

    @torch.no_grad()
    def standardise(self, *batches: Batch) -> None:
        """Adapt the scales inside the short-range model and the descriptor of the charges to sample structures,
        before a training.

        Parameters:
            batches: the sample, as batches of any boundary whose tables have the same number of columns.
        """
        rows = [len(batch.species) for batch in batches]
        starts = [sum(rows[:place]) for place in range(len(batches))]
        columns = batches[0].neighbors.shape[1]
        topology = Topology(
            torch.cat([batch.neighbors + start for batch, start in zip(batches, starts, strict=True)]),
            torch.cat([batch.reverse + start * columns for batch, start in zip(batches, starts, strict=True)]),
        )
        edges = torch.cat([batch.edges() for batch in batches]).to(self.energy_scale.dtype)
        species, real = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("species", "atom_mask"))
        for part in filter(None, (self.short_range, self.charge_descriptor)):
            part.standardise(edges, species[topology.neighbors], species, None if self.blockwise else topology, real)

    def _shift(self, charges: Tensor, batch: Batch, mask: Tensor, screening: Tensor) -> Tensor:
        """Shift (B, 1, C) in e that brings the charges (B, N, C) of every structure to the wanted total."""
        # The total applies to the sum over channels; spread it evenly over them.
        wanted = batch.total_charge.to(charges.dtype) / screening.sqrt() / charges.shape[2]
        return ((wanted[:, None] - charges.sum(1)) / mask.sum(1))[:, None]

    def screening(self, periodic: bool) -> float:
        """Electronic screening ε_e of a structure without explicit polarizabilities.

        Physical charges, dipoles and Born charges are √ε_e times the latent ones.

        Parameters:
            periodic: True for a periodic medium, False for an isolated structure.

        Returns ε_∞ for a periodic medium and 1 for an isolated structure; dimensionless.

        Source: doi:10.1038/s41524-025-01911-z.
        """
        return self.epsilon_infinity if periodic else 1.0

    def _screening(self, batch: Batch, cell: Tensor, output: ChargeOutput, mask: Tensor) -> Tensor:
        """ε_e of every structure, (B,): ε_∞/(1+χ), because explicit polarizabilities take over their part χ of ε_∞."""
        # The vacuum of a slab is no medium: its energy must not depend on how much of it there is.
        if output.alpha is None or batch.boundary != Boundary.PERIODIC:
            return torch.full_like(cell[:, 0, 0], self.screening(batch.periodic))
        alpha = output.alpha * mask.view(-1, *[1] * (output.alpha.ndim - 1))
        total = polarizability(alpha.view(batch.n_structures, batch.n_rows, *alpha.shape[1:]))
        return electronic_screening(self.screening(batch.periodic), total, reciprocal_vectors(cell)[1])

    def _quadrupole(self, batch: Batch, positions: Tensor, moments: Multipoles) -> Tensor | None:
        """Traceless second moment of isolated structures about the centre of mass."""
        if batch.periodic:
            return None
        masses = (self.masses[batch.species] * batch.atom_mask).view(batch.n_structures, -1, 1).to(positions.dtype)
        return traceless_second_moment(positions, moments, (masses * positions).sum(1) / masses.sum(1))

    def composition_energy(self, batch: Batch) -> Tensor:
        """Σ E0_Z of every structure in double precision, (B,) eV."""
        terms = self.reference_energies[batch.species] * batch.atom_mask
        return terms.view(batch.n_structures, -1).sum(1)


def _joined(features: Tensor, vectors: Tensor | None) -> Tensor:
    """Features of the charge head: those of the neighbourhood, and the vector of the charge state if there is one."""
    return features if vectors is None else torch.cat([features, vectors], dim=1)
