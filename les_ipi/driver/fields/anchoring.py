"""``les-ipi anchors``: the dipole of finished crystal runs from the atoms of every frame, so that it does not drift."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from les_ipi.conventions import ANCHOR_COLUMNS, ANCHOR_SUFFIX, EFFECTIVE_INPUT, RUN_FILE
from les_ipi.driver.serve.template import Template, check_charges, read_template
from les_ipi.errors import UserError
from les_ipi.evaluation.options import EvaluationOptions
from les_ipi.ipi_files import AtomFile, SimulationFile, read_parameters
from les_ipi.structures.system import AtomicSystem


@dataclass(frozen=True)
class Frame:
    """All beads of a run at one step, each of them as a structure."""

    step: int
    beads: list[AtomicSystem]


def read_frames(directory: Path, simulation: SimulationFile, template: Template) -> Iterator[Frame]:
    """Read the frames of a run one after the other.

    The frames are those of the ``positions`` of the beads, or of ``x_centroid`` where there is one bead. A frame that
    was cut off ends them.

    Parameters:
        directory: directory of the run.
        simulation: the input of the run.
        template: atoms and spin multiplicity of the system.

    Returns an iterator over the frames.

    Raises ``UserError`` if the run wrote neither of these trajectories, or if those of its beads are at different
    steps.
    """
    files = _trajectories(directory, simulation)
    for frames in zip(*(_read_xyz(path, template) for path in files), strict=False):
        steps = {step for step, _ in frames}
        if len(steps) > 1:
            raise UserError(f"The trajectories of the beads in '{directory}' are at different steps ({sorted(steps)}).")
        yield Frame(steps.pop(), [system for _, system in frames])


def _trajectories(directory: Path, simulation: SimulationFile) -> list[Path]:
    beads = simulation.n_beads
    wanted = ("positions", "x_centroid") if beads == 1 else ("positions",)
    for output in simulation.outputs:
        if output.kind == "trajectory" and output.format == "xyz" and output.keywords[0].name in wanted:
            files = [directory / name for name in output.names(beads)]
            if len(files) == beads and all(file.is_file() for file in files):
                return files
    what = "x_centroid or positions" if beads == 1 else f"positions, all {beads} beads,"
    raise UserError(f"'{directory}' has no trajectory of {what} as xyz: write one with <trajectory format='xyz'>.")


def _read_xyz(path: Path, template: Template) -> Iterator[tuple[int, AtomicSystem]]:
    numbers, multiplicity = template.numbers, template.multiplicity
    if not path.stat().st_size:
        return
    for frame in AtomFile(path).frames("length"):
        if len(frame.values) != len(numbers) or frame.cell is None:
            return
        yield frame.step, AtomicSystem(numbers, frame.values, frame.cell, multiplicity=multiplicity)


def write_anchors(directory: Path, model: str | None, reference: Path | None, options: EvaluationOptions) -> Path:
    """Compute the dipole of every frame of a finished run and write it to ``PREFIX.anchors``.

    Every row has the step and the dipole in e·Å, as the mean over beads.

    Parameters:
        directory: directory of the run.
        model: name or folder of the model, or None for the model of the run.
        reference: file of the reference structure, or None for the first frame.
        options: how the model is evaluated.

    Returns the path of the file.

    Raises ``UserError`` for a directory that is not that of a run with a field record, for systems that are not
    neutral crystals, for a reference that cannot be read, and for what :func:`dipole_from_reference` refuses.
    """
    from rich.console import Console
    from rich.progress import track

    from les_ipi.evaluation.evaluator import Evaluator
    from les_ipi.evaluation.integrated_dipole import dipole_from_reference

    simulation, facts = _read_run(directory)
    evaluator = Evaluator.load(model or facts["model_path"], options)
    template = _crystal(directory, simulation, evaluator)
    frames = list(read_frames(directory, simulation, template))
    if not frames:
        raise UserError(f"The trajectory in '{directory}' is empty: there is no dipole to compute.")
    origin = _origin(frames, reference)
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


def _read_run(directory: Path) -> tuple[SimulationFile, dict]:
    if not (directory / EFFECTIVE_INPUT).is_file() or not (directory / RUN_FILE).is_file():
        raise UserError(f"'{directory}' is no run of les-ipi run: {EFFECTIVE_INPUT} and {RUN_FILE} are not both there.")
    simulation = SimulationFile(directory / EFFECTIVE_INPUT)
    if not (directory / f"{simulation.output_prefix}.field").is_file():
        raise UserError(
            f"'{directory}' has no field record {simulation.output_prefix}.field, whose dipole the anchors would correct: "
            "run with --field (a constant field of zero also writes a record)."
        )
    try:
        return simulation, json.loads((directory / RUN_FILE).read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{directory / RUN_FILE} is not valid JSON: {error}.") from error


def _crystal(directory: Path, simulation: SimulationFile, evaluator) -> Template:
    """The template of the run, whose labels and periodicity a trajectory does not tell."""
    given = read_parameters(simulation.direct[0]) if simulation.direct else {}
    name = given.get("template") or simulation.start_file
    if name is None:
        raise UserError(f"'{directory / EFFECTIVE_INPUT}' names no start structure, so the atoms are unknown.")
    template = read_template(directory / name)
    check_charges(evaluator.card, template)
    if not template.periodic:
        raise UserError("The system of the run is isolated, so that its dipole needs no reference: anchors are for crystals.")
    return template


def _origin(frames: list[Frame], path: Path | None) -> AtomicSystem:
    """The reference of a file, else the first frame, unless the cell moves: straining a polar structure changes its dipole."""
    from ase.io import read

    first = frames[0].beads[0]
    if path is None:
        if max(np.abs(frame.beads[0].cell - first.cell).max() for frame in frames) > 1e-4:
            raise UserError(
                "The cell of the run changes, so its dipole needs a reference with inversion symmetry: give --reference FILE "
                "(the same atoms in the same order, extended xyz)."
            )
        return first
    try:
        reference = AtomicSystem.from_ase(read(path))
    except Exception as error:  # ASE raises many kinds for a file that it cannot read
        raise UserError(f"The reference '{path}' cannot be read as a structure ({error}): give an extended xyz.") from error
    if not reference.periodic or len(reference.numbers) != len(first.numbers):
        return reference  # refused with its reason where the path begins
    # Atoms of a file may stand in other images than those of the run.
    apart = first.positions @ np.linalg.inv(first.cell) - reference.positions @ np.linalg.inv(reference.cell)
    return replace(reference, positions=reference.positions + np.round(apart - apart[0]) @ reference.cell)
