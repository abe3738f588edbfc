"""Apply a field of any waveform to i-PI's dynamics (NVE, NVT or NPT, any number of beads), alike for every transport.

i-PI's own integrators go on as they are, between two half kicks of the field with physical Born charges Z:

.. math:: p_{iβ} ← p_{iβ} + (Δt/2) Σ_α Z_{i,αβ} E_α(t)

at E(t) before and E(t+Δt) after the step: the splitting of i-PI's ``eda-nve`` and ``eda-nvt``, hence the same trajectory.
A barostat is kicked, too, by the virial of the field,

.. math:: W_ab = Σ_c E_c C_cab  (+ M_a E_b in the lab frame),   C_cab = Π_cab − Σ_i (r_i − r̄_i)_a Z_{i,cb}

with the clamped-ion proper piezoelectric tensor Π and the centroid r̄, because i-PI's cell moves only the centroid. Without
the last term this is the ensemble of fixed reduced field (voltage), whose conserved quantity is that of i-PI less the work
∫E·dM. i-PI's conserved quantity contains no field, so d(conserved) = E·dM is the test of everything here.
"""

from dataclasses import dataclass

import numpy as np
from ipi.utils.depend import dstrip
from ipi.utils.units import unit_to_internal

from les_ipi.conventions import IPI_BEC_KEY, IPI_DIPOLE_KEY, IPI_PIEZOELECTRIC_KEY
from les_ipi.driver.fields.protocol import VARIABLE_CELL
from les_ipi.driver.fields.waveform import Waveform
from les_ipi.driver.serve.wire import ATOMIC_VELOCITY_A_FS
from les_ipi.errors import UserError
from les_ipi.units import BOHR_A, HARTREE_BOHR_EV_A, HARTREE_EV

#: i-PI's own femtosecond, which has eight digits: times must agree with i-PI's input and output.
_IPI_FS = unit_to_internal("time", "femtosecond", 1.0)


@dataclass(frozen=True)
class Drive:
    """What a field has done up to a step.

    The fields are ``dipole``, the change (3,) of the dipole since the start in e·Å as the mean over beads, and
    ``work``, the integral ∫E·dM in eV.
    """

    dipole: np.ndarray
    work: float


@dataclass(frozen=True)
class Reference:
    """The first step of a run, to which later ones refer.

    The fields are ``cell``, the cell (3, 3) of that step with lattice vectors as rows in Å, and ``dipole``, its
    dipole (3,) in e·Å, or None if the dipole of the model is not single-valued.
    """

    cell: np.ndarray
    dipole: np.ndarray | None


@dataclass(frozen=True)
class _Instant:
    """One instant in i-PI's units: centroid, beads relative to it, cell (rows), Born charges, mean C, carried dipole, field."""

    centroid: np.ndarray
    relative: np.ndarray
    cell: np.ndarray
    born: np.ndarray
    strained: np.ndarray
    carried: np.ndarray
    field: np.ndarray


class FieldDrive:
    """The field on one i-PI system. :meth:`attach` puts the kicks of the field around the step of i-PI's integrator.

    Parameters:
        system: i-PI's system, already bound.
        protocol: the waveform of the field.
        single_valued: whether the dipole of the model is a single-valued function of the positions.
        reference: the first step of a run that is resumed; None at the start of a run.
        past: what the field has done in a run that is resumed; None at the start of a run.
    """

    def __init__(
        self,
        system,
        protocol: Waveform,
        single_valued: bool,
        reference: Reference | None = None,
        past: Drive | None = None,
    ):
        self.system, self.protocol = system, protocol
        self.integrator = system.motion.integrator
        self.barostat = system.motion.barostat if system.motion.enstype in VARIABLE_CELL else None
        self._extras: dict | None = None
        self._born = self._piezoelectric = np.zeros(0)
        dipole = self._mean_dipole() * BOHR_A if single_valued else None
        self.reference = reference or Reference(self._cell() * BOHR_A, dipole)
        self.past = past or Drive(np.zeros(3), 0.0)
        self._last = self._instant()

    def attach(self) -> None:
        """Put half kicks before and after every step of i-PI's integrator."""
        step = self.integrator.step

        def driven(number=None) -> None:
            self._kick(self._time_fs)
            step(number)
            self._kick(self._time_fs + float(self.system.motion.dt) / _IPI_FS)

        self.integrator.step = driven

    def field(self, time_fs: float) -> np.ndarray:
        """Compute the Cartesian field (3,) in V/Å at a time in fs, in the present cell."""
        field = self.protocol.field(time_fs)
        if self.protocol.frame == "reduced" and self.barostat is not None:
            field = np.linalg.solve(self._cell() * BOHR_A, self.reference.cell @ field)
        return field

    def advance(self) -> Drive:
        """Add the step that was just done to the dipole and the work, by the trapezoidal rule, and return both."""
        then, now = self._last, self._instant()
        middle = 0.5 * (then.cell + now.cell)
        moved = (now.centroid @ np.linalg.inv(now.cell) - then.centroid @ np.linalg.inv(then.cell)) @ middle
        moved = (moved + now.relative - then.relative).reshape(len(now.relative), -1)
        change = 0.5 * np.einsum("kdc,kd->c", then.born + now.born, moved) / len(moved)
        if self.barostat is not None:
            strain = np.linalg.solve(middle, now.cell - then.cell)
            change = change + 0.5 * np.einsum("cab,ab->c", then.strained + now.strained, strain)
            change = change + 0.5 * (then.carried + now.carried) @ strain
        work = 0.5 * (then.field + now.field) @ change
        self.past = Drive(self.past.dipole + BOHR_A * change, self.past.work + HARTREE_EV * work)
        self._last = now
        return self.past

    def row(self, step: int) -> np.ndarray:
        """Return the row of the record after ``step`` steps, with the columns
        :data:`les_ipi.conventions.FIELD_COLUMNS`.
        """
        cell = self._cell() * BOHR_A
        return np.concatenate([
            [step, self._time_fs], self._last.field * HARTREE_BOHR_EV_A, self.past.dipole, self._current(),
            [abs(np.linalg.det(cell))], cell.ravel(), [self.past.work],
        ])  # fmt: skip

    def work_hartree(self) -> float:
        """Return the work ∫E·dM for each bead since the start of the run, in hartree."""
        return self.past.work / HARTREE_EV

    @property
    def _time_fs(self) -> float:
        return float(self.system.ensemble.time) / _IPI_FS

    def _cell(self) -> np.ndarray:
        return dstrip(self.system.cell.h).T.copy()

    def _response(self) -> tuple[np.ndarray, np.ndarray]:
        """Born charges (P, 3N, 3) and piezoelectric tensors (P, 3, 3, 3), bohr, of the present positions."""
        extras = self.system.forces.extras
        if extras is not self._extras:
            if IPI_BEC_KEY not in extras:
                raise UserError(
                    "The driver sends no Born charges, so the field has no force: start it with --properties BEC,piezoelectric."
                )
            self._born = np.asarray(extras[IPI_BEC_KEY], dtype=float)
            beads = len(self._born)
            missing = np.zeros((beads, 3, 3, 3))
            self._piezoelectric = np.reshape(extras.get(IPI_PIEZOELECTRIC_KEY, missing), missing.shape)
            self._extras = extras
        return self._born, self._piezoelectric

    def _beads(self) -> tuple[np.ndarray, np.ndarray]:
        centroid = dstrip(self.system.beads.qc).reshape(-1, 3).copy()
        return centroid, dstrip(self.system.beads.q).reshape(-1, len(centroid), 3) - centroid

    def _instant(self) -> _Instant:
        born, _ = self._response()
        centroid, relative = self._beads()
        field = self.field(self._time_fs) / HARTREE_BOHR_EV_A
        return _Instant(centroid, relative, self._cell(), born, self._strained(relative), self._carried(), field)

    def _strained(self, relative: np.ndarray) -> np.ndarray:
        """C, the change of the mean dipole with a strain of cell and centroids, (3, 3, 3) e·bohr."""
        born, piezoelectric = self._response()
        if self.barostat is None:
            return np.zeros((3, 3, 3))
        by_atom = born.reshape(*relative.shape, 3)
        return (piezoelectric.sum(0) - np.einsum("kia,kibc->cab", relative, by_atom)) / len(born)

    def _carried(self) -> np.ndarray:
        """The dipole that a strain carries along: in the lab frame M, in the reduced frame nothing; (3,) e·bohr."""
        if self.protocol.frame == "reduced" or self.barostat is None:
            return np.zeros(3)
        return self._mean_dipole()

    def _mean_dipole(self) -> np.ndarray:
        return np.mean(self.system.forces.extras[IPI_DIPOLE_KEY], axis=0)

    def _current(self) -> np.ndarray:
        """dM/dt (3,) in e·Å/fs, the mean over beads."""
        beads = self.system.beads
        current = np.einsum("kdc,kd->c", self._last.born, dstrip(beads.p) / dstrip(beads.m3)) / beads.nbeads
        if self.barostat is not None:
            rate = np.asarray(dstrip(self.barostat.p)) / float(self.barostat.m[0])
            rate = rate.T if rate.size == 9 else float(rate[0]) * np.eye(3)
            current = current + np.einsum("cab,ab->c", self._last.strained, rate) + self._last.carried @ rate
        return current * ATOMIC_VELOCITY_A_FS

    def _missing_kinetic_stress(self) -> np.ndarray:
        """Σ p_a p_b/m of the centroids above the diagonal, which i-PI 3.3 leaves out of its stress, hartree.

        Its mean is zero without a field; with one, that aligns velocities, the conserved quantity drifts if it is missing.
        """
        beads = self.system.beads
        momenta = dstrip(beads.pc).reshape(-1, 3)
        expected = beads.nbeads * momenta.T @ (momenta / dstrip(beads.m)[:, None])
        relative = (dstrip(beads.q) - dstrip(beads.qc)).reshape(-1, 3)
        forces = dstrip(self.system.forces.mts_forces[0].f).reshape(-1, 3)
        contained = self.barostat.kstress_mts(0) + relative.T @ forces
        return np.triu(expected - contained, k=1)

    def _kick(self, time_fs: float) -> None:
        field = self.field(time_fs) / HARTREE_BOHR_EV_A
        born, _ = self._response()
        beads, half = self.system.beads, 0.5 * float(self.system.motion.dt)
        force = born @ field
        force[:, self.integrator.fixatoms_dof] = 0.0  # else i-PI books what it takes from fixed atoms as heat
        beads.p += half * force
        if self.barostat is not None:
            virial = np.einsum("c,cab->ab", field, self._strained(self._beads()[1])) + np.outer(self._carried(), field)
            virial = half * beads.nbeads * virial.T
            if self.barostat.p.size == 9:
                virial = np.triu(virial) + half * self._missing_kinetic_stress()
                self.barostat.p += virial * getattr(self.barostat, "hmask", 1.0)
            else:
                self.barostat.p += np.trace(virial)
        self.integrator.pconstraints()
