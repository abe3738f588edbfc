"""What one run tells about the static dielectric response: its field, its dipole and the origin of that, alignment of water."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.alignment import alignment, dipole_origin, find_molecules, molecular_axes
from analysis.compare import is_water
from analysis.dielectric import stationary
from analysis.einstein import itinerant
from analysis.trajectory import RunDirectory, TimeSeries
from analysis.uncertainty import Estimate
from analysis.workflow import choose_source
from les_ipi.errors import UserError

_SAME_START_A = 1e-3
_LEAST_FRAMES = 16


@dataclass(frozen=True)
class DielectricRun:
    """One run: static ``field`` (3,) V/Å, zero without one; ``dipole`` (T, 3) e Å every ``dt_fs`` from ``begin_fs``, of the
    cell itself where ``absolute``, else since the start; ``cosine`` ⟨cos θ⟩ of water molecules, or None; ``start`` (N, 3) Å,
    the first positions, or None where they are not those of the first dipole.
    """

    path: str
    field: np.ndarray
    dipole: np.ndarray
    dt_fs: float
    begin_fs: float
    volume_A3: float
    absolute: bool
    cosine: Estimate | None
    start: np.ndarray | None

    def began_like(self, other: "DielectricRun") -> bool:
        """Whether both dipoles have one origin."""
        if self.absolute and other.absolute:
            return True
        return (
            self.start is not None and other.start is not None and np.abs(self.start - other.start).max() < _SAME_START_A
        )


def read_dielectric_run(
    run: RunDirectory, field: np.ndarray | None, direction: np.ndarray | None, discard_ps: float
) -> tuple[DielectricRun, list[str]]:
    """Read a run.

    Parameters: ``run``; its static ``field`` (3,) V/Å, or None; ``direction`` (3,) of the fields of all runs, or None;
    ``discard_ps``. Returns the run and warnings. Raises :class:`UserError` for dipoles that are not finite or do not fluctuate.
    """
    whole, warnings = _dipole(run)
    series = whole.after(discard_ps)
    if not np.isfinite(series.values).all():
        raise UserError(f"The dipole of {run.path} is not finite: the run broke down, analyse the part before.")
    if not (np.ptp(series.values, axis=0) > 0).any():
        raise UserError(f"The dipole of {run.path} never changes: has the model charges, and did the atoms move?")
    values, start, cosine, absolute = series.values, None, None, False
    positions = run.positions()
    if positions is not None:
        if positions.steps[0] == whole.steps[0]:
            start = positions.values[0]
        if is_water(run.symbols):
            axes, found = _axes(run, positions, discard_ps)
            warnings += found
            if axes is not None:
                origin = _origin(series, axes)
                values, absolute = (values, False) if origin is None else (values - origin, True)
                if direction is not None:
                    cosine, found = _cosine(run, axes, direction)
                    warnings += found
    return (
        DielectricRun(
            path=str(run.path),
            field=np.zeros(3) if field is None else field,
            dipole=values,
            dt_fs=series.dt_fs,
            begin_fs=float(series.time_fs[0]),
            volume_A3=run.volume_A3,
            absolute=absolute,
            cosine=cosine,
            start=start,
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
            raise UserError(f"{run.path} tells no cell.")
        molecules = find_molecules(run.symbols, positions.values[0], run.cell)
        kept = positions.after(discard_ps)
        return replace(kept, values=molecular_axes(kept.values, run.cell, molecules), unit="Å"), []
    except UserError as error:
        return None, [f"no alignment of the molecules of {run.path}: {str(error).rstrip('.')}"]


def _origin(dipole: TimeSeries, axes: TimeSeries) -> np.ndarray | None:
    """Offset (3,) of the itinerant dipole, e Å, from the axes at common steps; None where they do not tell."""
    _, of_dipole, of_axes = np.intersect1d(dipole.steps, axes.steps, return_indices=True)
    if of_dipole.size < _LEAST_FRAMES:
        return None
    found = dipole_origin(dipole.values[of_dipole], axes.values[of_axes])
    return None if found is None else found.offset_eA


def _cosine(run: RunDirectory, axes: TimeSeries, direction: np.ndarray) -> tuple[Estimate, list[str]]:
    values = alignment(axes.values, direction)
    moments = stationary([values])
    short = [] if moments.reliable else [f"<cos> of {run.path} has too small an error: the run is too short for it"]
    return Estimate(float(values.mean()), moments.mean_error(values.size)), short
