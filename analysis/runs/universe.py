"""A run as an MDAnalysis Universe: centroid positions, cell, time, and dipoles or currents as frame data."""

import MDAnalysis as mda
import numpy as np
from MDAnalysis.coordinates.memory import MemoryReader
from MDAnalysis.lib.mdamath import triclinic_box

from les_ipi.analysis.runs.directory import RunDirectory, TimeSeries
from les_ipi.errors import UserError
from les_ipi.ipi_files import AtomFile


class RunReader(MemoryReader):
    """A reader of MDAnalysis that keeps a trajectory in memory and adds arrays to the ``ts.data`` of its frames.

    Parameters:
        coordinate_array: positions in Å, (T, N, 3).
        frame_data: name → array (T, ...), one entry for each frame.
        kwargs: other arguments of MDAnalysis' ``MemoryReader``, such as ``dimensions`` and ``dt`` in ps.
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
    """Make an MDAnalysis Universe of a run.

    Its frames are those of the centroid positions if the run wrote them. Otherwise they are those of the recorded
    current or of the dipole, with all positions zero. In each frame ``ts.data`` holds ``step`` and, if they are known
    at all frames, ``dipole`` (3,) in e Å and ``current`` (3,) in e Å/fs.

    Parameters: ``run``, the run directory. Returns a Universe with names and elements of the atoms, the box in Å and
    degrees, and the time between frames in ps. Raises :class:`UserError` when the run holds no time series, or when its
    atoms are unknown.
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
