"""Polarization of a periodic cell as a continuous function of time.

P = M/V is defined modulo e·R/V for any lattice vector R. A loop needs one branch from beginning to end: the itinerant
dipole of unwrapped positions, the integral of the current, or folded values unfolded step by step.
Source: King-Smith and Vanderbilt, 10.1103/PhysRevB.47.1651; Resta, 10.1103/RevModPhys.66.899.
"""

from dataclasses import dataclass

import numpy as np
from scipy.integrate import cumulative_trapezoid

from les_ipi.analysis.runs.field_table import FieldTable
from les_ipi.errors import UserError
from les_ipi.units import EPSILON_0


@dataclass(frozen=True)
class Drive:
    """Field and polarization of a run along the direction of its field.

    Attributes:
        time_fs: (T,) times of the records, fs.
        field: (T,) field, V/Å; at constant voltage it varies with the length of the cell.
        polarization: (T,) polarization, continuous in time, e/Å².
        absolute: False when the origin of the polarization is arbitrary.
        volume_A3: mean volume of the cell, Å³.
        work_eV: (T,) work of the field accumulated since the start, eV, or None.
        direction: (3,) unit vector along the field.
        waveform: name of the waveform of the field, or None.
        label: name of the run in messages.
        notes: sentences on how the polarization was made.
        constant_voltage: whether the voltage is prescribed and the cell changes, so that the field follows its length.
    """

    time_fs: np.ndarray
    field: np.ndarray
    polarization: np.ndarray
    absolute: bool = True
    volume_A3: float = 1.0
    work_eV: np.ndarray | None = None
    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    waveform: str | None = None
    label: str = ""
    notes: tuple[str, ...] = ()
    constant_voltage: bool = False

    @property
    def dt_fs(self) -> float:
        """Time between two records, fs."""
        return float((self.time_fs[-1] - self.time_fs[0]) / (self.time_fs.size - 1))


def unfold_dipole(
    dipole: np.ndarray, cells: np.ndarray, current: np.ndarray | None = None, dt_fs: float | None = None
) -> np.ndarray:
    """Make a continuous dipole from one that is only known modulo e times a lattice vector.

    From one record to the next M changes by what the current carries, ½(J_t + J_{t+1})Δt (nothing without a current),
    plus the smallest remainder modulo the lattice. The first record keeps its branch.

    Parameters:
        dipole: (T, 3) dipole of the cell, e Å.
        cells: (3, 3) lattice vectors as rows, Å, or (T, 3, 3) for a cell that changes.
        current: (T, 3) current, e Å/fs, or None.
        dt_fs: time between two records, fs; needed together with a current.

    Returns the continuous dipole (T, 3), e Å.

    Raises :class:`UserError` when the dipole moves so far between two records that its branch is ambiguous.
    """
    cells = np.broadcast_to(cells, (len(dipole), 3, 3))
    reduced = _reduced(dipole, cells)
    expected = np.zeros_like(reduced)
    if current is not None:
        carried = 0.5 * dt_fs * (np.asarray(current)[1:] + np.asarray(current)[:-1])
        expected[1:] = _reduced(carried, cells[1:])
    change = np.diff(reduced, axis=0) - expected[1:]
    remainder = change - np.round(change)
    worst = np.abs(remainder).max(initial=0.0)
    if worst > 0.4:
        raise UserError(f"The dipole moves by {worst:.2f} quanta of polarization between two records, so its branch is "
                        "ambiguous; record it more often, or record the current.")  # fmt: skip
    path = reduced[0] + np.concatenate([np.zeros((1, 3)), np.cumsum(remainder + expected[1:], axis=0)])
    # Only whole quanta may be added: rounding keeps the integrated current from drifting into M.
    return _cartesian(reduced + np.round(path - reduced), cells)


def integrated_current(current: np.ndarray, dt_fs: float) -> np.ndarray:
    """Integrate the current to the itinerant dipole since the start, by the trapezoidal rule.

        M(t) − M(0) = ∫_0^t J dt'

    Parameters:
        current: (T, 3) current, e Å/fs.
        dt_fs: time between two records, fs.

    Returns an array (T, 3), e Å.
    """
    return cumulative_trapezoid(current, dx=dt_fs, axis=0, initial=0.0)


def field_direction(field: np.ndarray) -> np.ndarray:
    """Determine the unit vector along which a field oscillates; its largest component is positive.

    Parameters: ``field`` (T, 3), V/Å. Returns an array (3,).

    Raises :class:`UserError` for a field that is zero throughout, and for one whose direction turns by more than 5 %.
    """
    if not np.abs(field).max() > 0:
        raise UserError("The field is zero throughout; there is no loop in this run.")
    _, sizes, axes = np.linalg.svd(field, full_matrices=False)
    if sizes[1] > 0.05 * sizes[0]:
        raise UserError("The field turns its direction during the run; a loop needs a field along one line.")
    axis = axes[0]
    return axis * np.sign(axis[np.argmax(np.abs(axis))])


def drive_of_table(
    table: FieldTable, source: str = "dipole", folded: bool = False, volume: str = "instantaneous", discard_ps: float = 0.0
) -> Drive:
    """Take the field and the polarization P = M·n/V of a run along the direction n of its field, continuous in time.

    Parameters:
        table: field table of the run, with the dipole, the current and the cell at each record.
        source: ``dipole`` for the recorded dipole (column M), or ``current`` for the integral ∫J dt of the current.
        folded: whether the dipole is only known modulo a quantum of polarization and is to be unfolded.
        volume: ``instantaneous`` for the volume V(t) of each record, or ``mean`` for its mean.
        discard_ps: time dropped from the start of the run as equilibration, ps.

    Returns :class:`Drive`.

    Raises :class:`UserError` for unknown choices, for a field that is zero or turns, when too few records are left, and
    for jumps of the dipole by a quantum of polarization.
    """
    if source not in ("dipole", "current") or volume not in ("instantaneous", "mean"):
        raise UserError(f"Choose dipole or current, and instantaneous or mean volume, not '{source}', '{volume}'.")
    direction = field_direction(table.field)
    start = int(np.searchsorted(table.time_fs - table.time_fs[0], 1000.0 * discard_ps - 1e-9))
    if table.time_fs.size - start < 16:
        raise UserError(f"Discarding {discard_ps:g} ps leaves no loop of {table.path}.")
    if source == "current":
        dipole = integrated_current(table.current, table.dt_fs)
    elif folded:
        used = table.current if table.current.any() else None
        dipole = unfold_dipole(table.dipole, table.cells, used, table.dt_fs)
    else:
        dipole = table.dipole
        _require_continuous(table)
    varies = np.ptp(table.volume_A3) > 1e-6 * table.volume_A3.mean()
    size = table.volume_A3 if volume == "instantaneous" else table.volume_A3.mean()
    origin = f"the dipole of the atoms in {table.n_anchors} frames and ∫J dt between" if table.n_anchors else "the dipole"
    note = f"P = M·n/V from {'∫J dt' if source == 'current' else origin}"
    note += f", {volume} volume" if varies else ", constant volume"
    return Drive(
        time_fs=table.time_fs[start:],
        field=(table.field @ direction)[start:],
        polarization=(dipole @ direction / size)[start:],
        absolute=table.absolute_dipole and source == "dipole",
        volume_A3=float(table.volume_A3[start:].mean()),
        work_eV=table.work_eV[start:],
        direction=tuple(float(component) for component in direction),
        waveform=table.waveform,
        label=str(table.path.parent),
        notes=(note,),
        constant_voltage=table.header.get("frame") == "reduced" and bool(varies),
    )


def susceptibility(slope: float | np.ndarray) -> float | np.ndarray:
    """Compute χ = (1/ε0) dP/dE (no unit) from the slope dP/dE in e/(V Å)."""
    return slope / EPSILON_0


def _require_continuous(table: FieldTable) -> None:
    """Refuse a dipole with jumps by a quantum, which stand out from what the current leaves unexplained."""
    carried = 0.5 * table.dt_fs * (table.current[1:] + table.current[:-1])
    unexplained = np.diff(table.dipole, axis=0) - carried
    jump = np.abs(_reduced(unexplained, table.cells[1:])).max(axis=1)
    size = np.linalg.norm(unexplained, axis=1)
    if jump.max() > 0.5 and size[np.argmax(jump)] > 12.0 * np.median(size):
        step = table.steps[1:][np.argmax(jump)]
        raise UserError(f"{table.path}: the dipole jumps by {jump.max():.2f} quanta of polarization at step {step}; "
                        "use --folded (known modulo a quantum) or --source current.")  # fmt: skip


def _reduced(vectors: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...ij->...j", vectors, np.linalg.inv(cells))


def _cartesian(reduced: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...ij->...j", reduced, cells)
