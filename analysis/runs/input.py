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
    """Facts from the input XML, and the ``simulation`` that it describes.

    ``temperature_K`` and ``timestep_fs`` are None when the XML does not give them; ``cell`` has rows of
    lattice vectors in Å; ``symbols`` come from the start structure.
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
        """Prefix of all output files."""
        return self.simulation.output_prefix


def find_input(directory: Path, name: str | None = None) -> Path:
    """The i-PI input of a run directory: the one XML file whose root is ``<simulation>``.

    What ``les-ipi run`` leaves as the input that i-PI really ran wins over other files. RESTART files and
    ``*.checkpoint`` count only when there is no input. Parameters: ``directory``; ``name`` to choose one. Raises
    :class:`UserError` when there is none, or several.
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
    """Read an i-PI input.

    Parameters: ``path`` of the XML. Raises :class:`UserError` for broken XML, several systems, or no
    <system>.
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
