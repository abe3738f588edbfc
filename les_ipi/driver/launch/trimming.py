"""Cut output files back to the step of a restart, so that a resumed run repeats nothing.

i-PI appends to its files after a restart. RESTART may lie behind the files (``safe_stride`` > 1, checkpoints,
a killed process); everything that they hold beyond the restart's step would then appear twice.
"""

from pathlib import Path

from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.ipi_files import files_starting, step_of

#: Lines of a frame before the one with the step number, by file suffix; extras start with it.
_LINES_BEFORE_STEP = {".xyz": 1, ".extxyz": 1, ".pdb": 0}


def trim_outputs(simulation: SimulationInput, directory: Path, step: int) -> None:
    """Remove property rows and trajectory frames that are later than a step.

    Parameters:
        simulation: the input of the run, which names the output files.
        directory: directory of the run.
        step: the last step that is kept.
    """
    for output in simulation.outputs:
        for path in files_starting(directory, output.start):
            if output.kind == "properties" and path.name == output.start:
                _trim_rows(path, rows=step // output.stride + 1)
            elif output.kind == "trajectory":
                _trim_frames(path, step, _LINES_BEFORE_STEP.get(path.suffix, 0))


def _trim_rows(path: Path, rows: int) -> None:
    """i-PI writes one row at step 0 and one every stride, so the row number tells the step."""
    with open(path, "r+b") as file:
        kept = end = 0
        for line in file:
            is_row = not line.lstrip().startswith(b"#")
            if is_row and (kept == rows or not line.endswith(b"\n")):
                break
            kept += is_row
            end += len(line)
        file.truncate(end)


def _trim_frames(path: Path, step: int, lines_before: int) -> None:
    with open(path, "r+b") as file:
        end, recent = 0, [0]  # offsets of the line ends seen last
        for line in file:
            written = step_of(line.decode(errors="replace")) if b"Step:" in line else None
            if written is not None and written > step:
                end = recent[max(0, len(recent) - 1 - lines_before)]
                break
            end += len(line)
            recent = [*recent[-2:], end]
        file.truncate(end)
