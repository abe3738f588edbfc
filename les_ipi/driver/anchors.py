"""``les-ipi anchors``: the dipole of a finished crystal run as a function of its atoms, which does not drift."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from les_ipi.conventions import ANCHOR_COLUMNS, ANCHOR_SUFFIX
from les_ipi.driver.run import EFFECTIVE_INPUT, RUN_FILE
from les_ipi.driver.xml_input import SimulationInput
from les_ipi.errors import UserError
from les_ipi.system import AtomicSystem

_STEP = re.compile(r"Step:\s+(\d+)")


@dataclass(frozen=True)
class Frame:
    """All beads of a run at one ``step``."""

    step: int
    beads: list[AtomicSystem]


def read_frames(directory: Path, simulation: SimulationInput) -> Iterator[Frame]:
    """Frames of a run: of the beads' ``positions``, or of ``x_centroid`` where there is one bead.

    Raises ``UserError`` if the run wrote neither, or files of other lengths or steps.
    """
    files = _trajectories(directory, simulation)
    for frames in zip(*(_read_xyz(path) for path in files), strict=False):
        steps = {step for step, _ in frames}
        if len(steps) > 1:
            raise UserError(f"The trajectories of the beads in '{directory}' are at different steps ({sorted(steps)}).")
        yield Frame(steps.pop(), [system for _, system in frames])


def _trajectories(directory: Path, simulation: SimulationInput) -> list[Path]:
    beads = simulation.n_beads
    for element, start in simulation.output_files:
        quantity = (element.text or "").strip().partition("{")[0]
        if element.tag == "trajectory" and (quantity == "positions" or (quantity == "x_centroid" and beads == 1)):
            digits = len(str(beads - 1))
            ends = [""] if quantity == "x_centroid" else [f"_{bead:0{digits}d}" for bead in range(beads)]
            files = [directory / f"{start}{end}.xyz" for end in ends]
            if all(file.is_file() for file in files):
                return files
    wanted = "x_centroid or positions" if beads == 1 else f"positions, all {beads} beads,"
    raise UserError(f"'{directory}' has no trajectory of {wanted} as xyz: write one with <trajectory format='xyz'>.")


def _read_xyz(path: Path) -> Iterator[tuple[int, AtomicSystem]]:
    from ase.data import atomic_numbers
    from ipi.utils.io import iter_file
    from ipi.utils.units import unit_to_user

    angstrom = unit_to_user("length", "angstrom", 1.0)
    with open(path) as file:
        for frame in iter_file("xyz", file):
            # i-PI keeps lattice vectors as columns.
            cell = frame["cell"].h.T * angstrom
            numbers = np.array([atomic_numbers[symbol] for symbol in frame["atoms"].names])
            positions = frame["atoms"].q.reshape(-1, 3) * angstrom
            yield int(_STEP.search(str(frame["comment"]))[1]), AtomicSystem(numbers, positions, cell)


def write_anchors(directory: Path, model: str | None, reference: Path | None, threads: int | None) -> Path:
    """Write ``PREFIX.anchors`` of a run: step and dipole (e·Å, mean over beads) of every frame of its trajectory.

    Parameters: ``directory`` of the run; ``model``, default the run's; ``reference`` structure, default the first frame;
    ``threads`` of torch. Returns the file. Raises ``UserError`` for a directory that is no run, unreadable references, and
    what :func:`les_ipi.polarization.dipole_from_reference` refuses.
    """
    from rich.console import Console
    from rich.progress import track

    from les_ipi.evaluator import Evaluator
    from les_ipi.polarization import dipole_from_reference

    if not (directory / EFFECTIVE_INPUT).is_file() or not (directory / RUN_FILE).is_file():
        raise UserError(f"'{directory}' is no run of les-ipi run ({EFFECTIVE_INPUT} and {RUN_FILE} are missing).")
    simulation = SimulationInput(directory / EFFECTIVE_INPUT)
    facts = json.loads((directory / RUN_FILE).read_text())
    frames = list(read_frames(directory, simulation))
    if not frames:
        raise UserError(f"The trajectory in '{directory}' is empty.")
    origin = _origin(frames, reference)
    evaluator = Evaluator.load(model or facts["model_path"], threads=threads)
    console = Console(stderr=True)
    rows = []
    for frame in track(frames, "Integrating Born charges", console=console, disable=not console.is_terminal):
        rows.append([frame.step, *dipole_from_reference(evaluator, origin, frame.beads).mean(axis=0)])
    path = directory / f"{simulation.output_prefix}{ANCHOR_SUFFIX}"
    header = (
        f"model: {evaluator.card.get('name', model)}\n"
        f"reference: {'first frame' if reference is None else reference.name}\n"
        f"absolute_dipole: {str(reference is not None).lower()}\n"
        "units: M (Born charges integrated from the reference, mean over beads) e·Å\n" + " ".join(ANCHOR_COLUMNS)
    )
    np.savetxt(path, rows, fmt=["%d", "%.10e", "%.10e", "%.10e"], header=header)
    return path


def _origin(frames: list[Frame], path: Path | None) -> AtomicSystem:
    """The reference of a file, else the first frame, unless the cell moves: straining a polar structure changes its dipole."""
    from ase.io import read

    if path is None:
        first = frames[0].beads[0]
        if max(np.abs(frame.beads[0].cell - first.cell).max() for frame in frames) > 1e-4:
            raise UserError(
                "The cell of the run changes, so its dipole needs a non-polar reference: give one with --reference (the same "
                "atoms in the same order, extended xyz)."
            )
        return first
    try:
        return AtomicSystem.from_ase(read(path))
    except Exception as error:  # ASE raises many kinds for a file that it cannot read
        raise UserError(f"The reference '{path}' cannot be read as a structure ({error}): give an extended xyz.") from error
