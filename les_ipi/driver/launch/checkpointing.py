"""Write checkpoints from which a killed run continues without a gap.

i-PI writes RESTART only when it ends in order, and its buffered outputs (``flush`` > 1) may lie behind a checkpoint,
so that a run which was killed would lose hours, or go on with a hole in its trajectory.
"""

import os
import time
from collections.abc import Callable

from ipi.engine.outputs import CheckpointOutput
from ipi.engine.simulation import Simulation

from les_ipi.ipi_files import RESTART

#: Seconds between two RESTART files; writing one takes some milliseconds per thousand atoms and bead.
RESTART_EVERY_S = 60.0


def keep_restart(simulation: Simulation, sync: Callable[[], None], every_s: float = RESTART_EVERY_S) -> None:
    """Replace RESTART at regular times, and write no checkpoint before all other outputs are on the disk.

    RESTART holds the last state that i-PI stored (every ``safe_stride`` steps) and is always whole, because it is
    written under another name first.

    Parameters:
        simulation: i-PI's simulation.
        sync: function that brings to the disk the outputs of which i-PI does not know.
        every_s: time in s between two RESTART files.
    """
    state = simulation.chk
    write_state, write_outputs = state.write, simulation.write_outputs
    checkpoints = [output for output in simulation.outputs if isinstance(output, CheckpointOutput)]
    simulation.outputs = [output for output in simulation.outputs if output not in checkpoints]
    written = time.monotonic()

    def write_whole(store: bool = True) -> None:
        state.filename, state._continued = "RESTART.part", True  # _continued: no backup of an earlier RESTART.part
        write_state(store)
        with open("RESTART.part") as part:
            os.fsync(part)
        os.replace("RESTART.part", RESTART)

    def write_and_keep() -> None:
        nonlocal written
        write_outputs()
        due = time.monotonic() - written > every_s
        active = [checkpoint for checkpoint in checkpoints if checkpoint.active()]
        if due or active:
            _flush(simulation)
            sync()
        for checkpoint in active:
            checkpoint.write()
        if due:
            state.write(store=False)
            written = time.monotonic()

    state.write = write_whole
    simulation.write_outputs = write_and_keep


def _flush(simulation: Simulation) -> None:
    for output in simulation.outputs:
        streams = getattr(output, "out", None)  # a list where every bead has its own file
        for stream in streams if isinstance(streams, list) else [streams]:
            if stream is not None:
                stream.flush()
                os.fsync(stream)
