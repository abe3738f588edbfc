"""Checkpoints that a killed run can go on from without a gap.

i-PI writes RESTART only when it ends in order, and its buffered outputs (``flush`` > 1) may lie behind a checkpoint,
so that a run which was killed would lose hours, or go on with a hole in its trajectory.
"""

import os
import time

from ipi.engine.outputs import CheckpointOutput
from ipi.engine.simulation import Simulation

#: Seconds between two RESTART files; writing one takes some milliseconds per thousand atoms and bead.
RESTART_EVERY_S = 60.0


def keep_restart(simulation: Simulation, every_s: float = RESTART_EVERY_S) -> None:
    """Replace RESTART every ``every_s`` seconds, and let no checkpoint be ahead of the outputs on the disk.

    RESTART holds the last state that i-PI stored (every ``safe_stride`` steps) and is always whole: it is written under
    another name first.
    """
    state = simulation.chk
    write_state, write_outputs = state.write, simulation.write_outputs
    written = time.monotonic()

    def write_whole(store: bool = True) -> None:
        state.filename, state._continued = "RESTART.part", True  # _continued: no backup of an earlier RESTART.part
        write_state(store)
        os.replace("RESTART.part", "RESTART")

    def write_and_keep() -> None:
        nonlocal written
        write_outputs()
        due = time.monotonic() - written > every_s
        if due or any(isinstance(o, CheckpointOutput) and o.active() for o in simulation.outputs):
            _flush(simulation)
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
