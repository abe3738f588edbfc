"""Static field of a run: of its field table, of the driver, or of i-PI's own input."""

from pathlib import Path

import numpy as np

from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.errors import UserError
from les_ipi.ipi_files import SimulationFile


def read_field(path: Path) -> np.ndarray | None:
    """Read the static field of an i-PI input, which i-PI itself applies.

    Parameters: ``path`` of the input (XML). Returns the field in V/Å, (3,), or None when there is none. Raises
    :class:`UserError` for a field that changes with time, because it has no DC response.
    """
    simulation = SimulationFile(path)
    block = next(simulation.root.iter("driven_dynamics"), None)
    field = block.find("efield") if block is not None and block.get("mode", "").startswith("eda") else None
    amplitude = field.find("amp") if field is not None else None
    if amplitude is None:
        return None
    vector = simulation.numbers(amplitude, "electric-field")
    if not vector.any():
        return None
    found = {name: field.find(name) for name in ("freq", "peak", "phase")}
    freq, peak, phase = (0.0 if e is None else simulation.quantity(e) for e in found.values())
    if freq != 0.0 or (peak > 0.0 and field.find("sigma") is not None):
        raise UserError(f"The field in {path} changes with time; the mean current needs a static one (freq 0, no pulse).")
    return vector * np.cos(phase)


def static_field(run: RunDirectory, discard_ps: float = 0.0) -> np.ndarray | None:
    """Find the static field in which a run was made, whether a protocol, the driver or i-PI itself applied it.

    Parameters:
        run: the run directory.
        discard_ps: time in ps at the start of the run that is ignored, because the field may still rise in it.

    Returns the field in V/Å, (3,), or None when there is none.

    Raises :class:`UserError` for a field that changes with time, and for a fixed voltage.
    """
    table = run.field_table
    if table is not None:
        field = table.field[table.time_fs - table.time_fs[0] > 1000.0 * discard_ps - 1e-6]
        if not field.size:
            raise UserError(f"Discarding {discard_ps:g} ps leaves nothing of the field record of {run.path}.")
        if np.ptp(field, axis=0).max() > 1e-9:
            raise UserError(
                f"The field of {run.path} changes with time; a static response needs one that is constant after --discard-ps "
                "(les-analysis hysteresis takes the others)."
            )
        return field[0] if field[0].any() else None
    # What the driver is told in <parameters> (les_ipi.driver.serve.pes), or was told on the command line.
    served = run.input.simulation.served | {k: v for k in ("constant_field", "voltage") if (v := run.model.get(k))}
    if served.get("voltage"):
        raise UserError(f"{run.path} was run at a fixed voltage; a static response needs a field: --constant-field or --field.")
    if text := served.get("constant_field"):
        field = np.array([float(x) for x in text.split(";")])
        return field if field.any() else None
    return read_field(run.input.path)
