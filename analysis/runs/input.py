"""The i-PI input of a run directory, and what it says: temperature, time step, beads, dynamics, start structure, cell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.analysis.runs.dynamics import Dynamics, read_dynamics
from les_ipi.conventions import EFFECTIVE_INPUT
from les_ipi.errors import UserError
from les_ipi.ipi_files import SimulationFile, is_restart_name, is_simulation, read_start


@dataclass(frozen=True)
class RunInput:
    """What an i-PI input says about a run.

    Attributes:
        path: the input (XML).
        simulation: the ``<simulation>`` that the input describes.
        n_beads: number of ring-polymer beads.
        temperature_K: temperature of the ensemble in K, or None when the input does not give it.
        timestep_fs: time step in fs, or None when the input does not give it.
        dynamics: the dynamics and its known artefacts.
        symbols: chemical symbol of each atom in the start structure, (N,), or None when it is unknown.
        cell: cell of the start structure, with the lattice vectors in Å as rows (3, 3), or None when it is unknown.
        custom_masses: whether the input sets the masses itself.
    """

    path: Path
    simulation: SimulationFile
    n_beads: int
    temperature_K: float | None
    timestep_fs: float | None
    dynamics: Dynamics
    symbols: tuple[str, ...] | None
    cell: np.ndarray | None
    custom_masses: bool

    @property
    def prefix(self) -> str:
        """The prefix with which the names of all output files begin."""
        return self.simulation.output_prefix


def find_input(directory: Path, name: str | None = None) -> Path:
    """Find the i-PI input of a run directory: the one XML file whose root is ``<simulation>``.

    The input that ``les-ipi run`` leaves, which is the one that i-PI really read, is preferred to other files. RESTART
    files and ``*.checkpoint`` count only when there is no other input.

    Parameters: ``directory`` in which i-PI ran; ``name`` of the input in it, or None to search for it. Returns the path
    of the input. Raises :class:`UserError` when there is none, or several.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the folder in which i-PI ran.")
    if name is not None:
        if not (directory / name).is_file():
            raise UserError(f"There is no input '{name}' in {directory}.")
        return directory / name
    inputs = sorted(path for path in directory.glob("*.xml") if is_simulation(path))
    if directory / EFFECTIVE_INPUT in inputs:
        return directory / EFFECTIVE_INPUT
    inputs = [path for path in inputs if not is_restart_name(path.name)] or inputs
    if not inputs:
        restarts = (path for path in directory.iterdir() if is_restart_name(path.name))
        inputs = sorted(path for path in restarts if is_simulation(path))[:1]
    if not inputs:
        raise UserError(f"{directory} is not an i-PI run: no XML file with root <simulation> is in it.")
    if len(inputs) > 1:
        names = ", ".join(path.name for path in inputs)
        raise UserError(f"{directory} holds several i-PI inputs ({names}); choose one with --input NAME.")
    return inputs[0]


def read_input(path: Path) -> RunInput:
    """Read what an i-PI input says about a run.

    Parameters: ``path`` of the input (XML). Returns :class:`RunInput`. Raises :class:`UserError` for broken XML, or
    unless the input holds exactly one ``<system>``.
    """
    simulation = SimulationFile(path)
    if len(simulation.systems) != 1:
        raise UserError(
            f"{path} has {len(simulation.systems)} <system> blocks; the analysis reads runs with exactly one."
        )
    start = read_start(simulation, path.parent)
    return RunInput(
        path=path,
        simulation=simulation,
        n_beads=simulation.n_beads,
        temperature_K=simulation.temperature_K,
        timestep_fs=simulation.timestep_fs,
        dynamics=read_dynamics(simulation),
        symbols=start.symbols,
        cell=start.cell,
        custom_masses=simulation.root.find("system/initialize/masses") is not None,
    )
