"""What one run tells about the static dielectric response: its field, the dipole since its start, molecules of water."""

from dataclasses import dataclass, replace

import numpy as np

from les_ipi.analysis.dielectric.alignment import alignment, find_molecules, molecular_axes
from les_ipi.analysis.dielectric.susceptibility import stationary
from les_ipi.analysis.runs.cells import read_cells
from les_ipi.analysis.runs.composition import is_water
from les_ipi.analysis.runs.directory import RunDirectory, TimeSeries
from les_ipi.analysis.runs.source import choose_source
from les_ipi.analysis.statistics.einstein import itinerant
from les_ipi.analysis.statistics.uncertainty import Estimate
from les_ipi.errors import UserError

_SAME_START_A = 1e-3
_LEAST_FRAMES = 16


@dataclass(frozen=True)
class DielectricRun:
    """What one run contributes to the static dielectric response.

    Attributes:
        path: directory of the run.
        field: (3,) static field, V/Å; zero for a run without a field.
        dipole: (T, 3) itinerant dipole since the start of the run, e Å.
        dt_fs: time between two records of the dipole, fs.
        begin_fs: time of the first record of the dipole, fs.
        volume_A3: volume of the cell, Å³.
        start: (N, 3) first positions, Å, or None where they were not recorded together with the first dipole.
        cosine: mean alignment ⟨cos θ⟩ of water molecules with the direction of the fields, or None.
        axes: (F, M, 3) axes of water molecules, Å, at the times that they share with the dipole, or None.
        dipole_at_axes: (F, 3) dipole at these common times, e Å, or None.
    """

    path: str
    field: np.ndarray
    dipole: np.ndarray
    dt_fs: float
    begin_fs: float
    volume_A3: float
    start: np.ndarray | None
    cosine: Estimate | None
    axes: np.ndarray | None
    dipole_at_axes: np.ndarray | None

    def began_like(self, other: "DielectricRun") -> bool:
        """Whether this run and another one began in the same structure, so that both dipoles have one origin.

        Start positions count as the same when they agree to 0.001 Å.

        Parameters: ``other``, the other run.
        """
        return (
            self.start is not None and other.start is not None and np.abs(self.start - other.start).max() < _SAME_START_A
        )


def read_dielectric_run(
    run: RunDirectory, field: np.ndarray | None, direction: np.ndarray | None, discard_ps: float
) -> tuple[DielectricRun, list[str]]:
    """Read the dipole of a run and, for water, the axes and the alignment of its molecules.

    Parameters:
        run: directory of the run.
        field: (3,) static field of this run, V/Å, or None for a run without a field.
        direction: (3,) unit vector along which the fields of all runs lie, or None when no run has a field.
        discard_ps: time dropped from the start of the run as equilibration, ps.

    Returns the :class:`DielectricRun` and a list of warnings.

    Raises :class:`UserError` for a dipole that is not finite or never changes.
    """
    whole, warnings = _dipole(run)
    series = whole.after(discard_ps)
    if not np.isfinite(series.values).all():
        raise UserError(f"The dipole of {run.path} is not finite because the run broke down: analyse the part before.")
    if not (np.ptp(series.values, axis=0) > 0).any():
        raise UserError(f"The dipole of {run.path} never changes: does the model have charges, and did the atoms move?")
    start = cosine = axes = at_axes = None
    water = is_water(run.symbols)
    positions = run.positions() if water or direction is not None else None
    if positions is not None:
        if positions.steps[0] == whole.steps[0]:
            start = positions.values[0]
        if water:
            turning, found = _axes(run, positions, discard_ps)
            warnings += found
            if turning is not None:
                _, of_dipole, of_axes = np.intersect1d(series.steps, turning.steps, return_indices=True)
                if of_dipole.size >= _LEAST_FRAMES:
                    axes, at_axes = turning.values[of_axes], series.values[of_dipole]
                if direction is not None:
                    cosine, found = _cosine(run, turning, direction)
                    warnings += found
    return (
        DielectricRun(
            path=str(run.path),
            field=np.zeros(3) if field is None else field,
            dipole=series.values,
            dt_fs=series.dt_fs,
            begin_fs=float(series.time_fs[0]),
            volume_A3=run.volume_A3,
            start=start,
            cosine=cosine,
            axes=axes,
            dipole_at_axes=at_axes,
        ),
        warnings,
    )


def _dipole(run: RunDirectory) -> tuple[TimeSeries, list[str]]:
    """Itinerant dipole since the start, e Å: of the field record, else from the source that suits the model."""
    table = run.field_table
    if table is not None:
        return TimeSeries(table.steps, table.dipole - table.dipole[0], "e Å", table.dt_fs, (table.path.name,)), []
    source, _, warnings = choose_source([run])
    # Born charges that do not add up to zero would carry a current of the centre of mass, which grows in the integral.
    series = run.neutral_born_current[0] if source == "bec" else run.series(source)
    values = series.values - series.values[0] if source == "dipole" else itinerant(series.values, series.dt_fs)
    return replace(series, values=values, unit="e Å"), list(warnings)


def _axes(run: RunDirectory, positions: TimeSeries, discard_ps: float) -> tuple[TimeSeries | None, list[str]]:
    """Axes of the molecules, or why they are unknown: they are an extra, without which the susceptibility still stands."""
    try:
        if run.cell is None:
            raise UserError(f"{run.path} does not contain the cell.")
        if np.ptp(read_cells(run).cells, axis=0).max() > 1e-6:
            raise UserError("The cell changes during the run, so bonds across its border cannot be found.")
        molecules = find_molecules(run.symbols, positions.values[0], run.cell)
        kept = positions.after(discard_ps)
        return replace(kept, values=molecular_axes(kept.values, run.cell, molecules), unit="Å"), []
    except UserError as error:
        return None, [f"no axes of the molecules of {run.path}: {str(error).rstrip('.')}"]


def _cosine(run: RunDirectory, axes: TimeSeries, direction: np.ndarray) -> tuple[Estimate, list[str]]:
    values = alignment(axes.values, direction)
    moments = stationary([values])
    short = [] if moments.reliable else [f"the error of <cos> of {run.path} is too small, because the run is too short"]
    return Estimate(float(values.mean()), moments.mean_error(values.size)), short
