"""A run as an MDAnalysis Universe: centroid positions, cell, time, and dipoles or currents as frame data."""

import MDAnalysis as mda
import numpy as np
from MDAnalysis.coordinates.memory import MemoryReader
from MDAnalysis.lib.mdamath import triclinic_box

from les_ipi.analysis.runs.directory import RunDirectory, TimeSeries
from les_ipi.errors import UserError
from les_ipi.ipi_files import AtomFile


class RunReader(MemoryReader):
    """Memory reader whose frames carry arrays in ``ts.data``.

    Parameters: ``coordinate_array`` (T, N, 3) Å; ``frame_data`` name → (T, ...); the rest as MDAnalysis'
    ``MemoryReader`` (``dimensions``, ``dt`` in ps).
    """

    def __init__(self, coordinate_array: np.ndarray, frame_data: dict[str, np.ndarray], **kwargs):
        self.frame_data = frame_data
        super().__init__(coordinate_array, **kwargs)
        self._kwargs["frame_data"] = frame_data

    def _read_next_timestep(self, ts=None):
        ts = super()._read_next_timestep(ts)
        for name, values in self.frame_data.items():
            ts.data[name] = values[ts.frame]
        return ts


def run_universe(run: RunDirectory) -> mda.Universe:
    """MDAnalysis Universe of a run.

    Frames are those of the centroid positions if they were written, else of the first dipole or current
    record (with positions zero); ``ts.data`` holds ``dipole`` [e Å] and ``current`` [e Å/fs] where every
    frame has one, and ``step``.

    Parameters: ``run``. Returns a Universe with elements, masses, box [Å, degrees] and dt [ps].
    Raises :class:`UserError` when the run holds no time series, or names no atoms.
    """
    positions = run.positions()
    readers = {"current": run.current, "dipole": run.dipole}
    series = {name: read() for name, read in readers.items() if name in run.sources}
    frames = positions if positions is not None else next(iter(series.values()), None)
    if frames is None:
        raise UserError(f"{run.path} holds neither positions nor dipoles nor currents.")
    if not run.symbols:
        raise UserError(
            f"{run.path} does not contain its atoms: neither a start structure nor positions were found."
        )
    data = {"step": frames.steps}
    for name, signal in series.items():
        if np.isin(frames.steps, signal.steps).all():
            data[name] = signal.values[np.searchsorted(signal.steps, frames.steps)]
    shape = (frames.steps.size, len(run.symbols), 3)
    coordinates = frames.values if positions is not None else np.broadcast_to(np.zeros((), np.float32), shape)
    universe = mda.Universe.empty(len(run.symbols), trajectory=False)
    universe.add_TopologyAttr("names", list(run.symbols))
    universe.add_TopologyAttr("elements", list(run.symbols))
    reader = RunReader(coordinates, data, dimensions=_boxes(run, frames), dt=frames.dt_fs / 1000.0)
    universe.trajectory = reader
    return universe


def _boxes(run: RunDirectory, frames: TimeSeries) -> np.ndarray | None:
    """Box of every frame (T, 6) where its file tells the cells, else that of the start (6,), or None."""
    if frames.files[0].endswith("xyz"):
        steps, cells = AtomFile(run.path / frames.files[0]).read_cells()
        if np.isin(frames.steps, steps).all():
            return np.array([triclinic_box(*cell) for cell in cells[np.searchsorted(steps, frames.steps)]])
    return None if run.cell is None else triclinic_box(*run.cell)
