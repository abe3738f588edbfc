"""The i-PI process of a run: i-PI with the dipole current as a property, which reports its progress on a pipe.

``python -m les_ipi.driver.launch.simulate '{"input": ..., ...}'`` is how ``les-ipi run`` starts i-PI.
"""

import json
import math
import os
import sys
import time
from functools import cache

from ipi.engine.simulation import Simulation
from ipi.utils.softexit import softexit

from les_ipi.driver.fields.driven import FieldDrive
from les_ipi.driver.fields.field_record import FieldRecord
from les_ipi.driver.fields.protocol import describe, read_protocol
from les_ipi.driver.launch.checkpointing import RESTART_EVERY_S, keep_restart
from les_ipi.driver.launch.recorded_current import CURRENT, register_current
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.loading import load_evaluator, print_error
from les_ipi.driver.serve.options import ServeOptions
from les_ipi.driver.serve.pes import LESDriver
from les_ipi.driver.serve.stopping import stop_simulation
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError
from les_ipi.units import ATOMIC_TIME_FS, HARTREE_EV

_REPORT_EVERY = 0.3
#: A drift of the conserved quantity per atom and bead, eV, that only a simulation that blows up reaches in a window of this
#: length. A steady drift below it is a fault of the time step that the user has to judge (docs/how-to/driver.md), no explosion.
_LARGEST_DRIFT_EV, _DRIFT_WINDOW_FS = 2.0, 1000.0


class SimulateOptions(ServeOptions):
    """What the i-PI process needs. It uses the model only for ``dipole_current`` with socket drivers.

    ``input`` is the file that i-PI runs, ``report_fd`` the pipe for its progress, ``field`` the path of a protocol
    (without one there is no field), and ``single_valued`` says whether the model's dipole is a function of the
    positions.
    """

    input: str
    report_fd: int
    field: str = ""
    single_valued: bool = False


def simulate(options: SimulateOptions, load=load_evaluator, restart_every_s: float = RESTART_EVERY_S) -> None:
    """Run i-PI in the current directory until it is done or stopped. Like i-PI itself, this function does not return.

    Parameters:
        options: what the process needs.
        load: function that loads the evaluator, as for :func:`run_driver`.
        restart_every_s: time in s between two RESTART files.

    Raises ``UserError`` for a mistake in the input.
    """
    with open(options.input) as file:
        records = CURRENT in file.read()

    def before_binding(simulation: Simulation) -> None:
        if records:
            register_current(simulation, cache(lambda: _current_server(simulation, options, load)))

    with open(options.input) as file:
        simulation = Simulation.load_from_xml(file, post_init_hook=before_binding)
    drive, record = _drive(simulation, options) if options.field else (None, None)
    keep_restart(simulation, record.sync if record else lambda: None, restart_every_s)
    _report_progress(simulation, options.report_fd, drive)
    softexit.hard_exit = True  # as in the i-pi program
    simulation.run()
    softexit.trigger(status=simulation.exit_status, message=simulation.exit_message)


def _current_server(simulation: Simulation, options: SimulateOptions, load) -> ForceServer:
    for forcefield in simulation.fflist.values():
        driver = getattr(forcefield, "driver", None)
        if isinstance(driver, LESDriver):
            return driver.server
    return ForceServer(load(options.model, options), read_template(options.template))


def _drive(simulation: Simulation, options: SimulateOptions) -> tuple[FieldDrive, FieldRecord]:
    """Put the field on the system and its record on the disk, one row with the outputs of every step."""
    protocol = read_protocol(options.field)
    header, path = describe(protocol), f"{simulation.output_maker.prefix}.field"
    system, start = simulation.syslist[0], simulation.step
    if start == 0:
        drive = FieldDrive(system, protocol, options.single_valued)
        record = FieldRecord.create(path, header, drive.reference)
    else:
        record, reference, past = FieldRecord.resume(path, start, header)
        drive = FieldDrive(system, protocol, options.single_valued, reference, past)
    drive.attach()
    write_outputs = simulation.write_outputs

    def write_and_record() -> None:
        write_outputs()
        done = simulation.step + 1
        try:
            if done > 0:
                drive.advance()
            if done % protocol.stride == 0:
                record.append(drive.row(done))
        except UserError as error:
            stop_simulation(str(error))

    simulation.write_outputs = write_and_record
    return drive, record


def _report_progress(simulation: Simulation, fd: int, drive: FieldDrive | None) -> None:
    """Write ``{"step", "conserved"}`` (steps done, hartree per bead as in i-PI's output) as JSON lines, a few a second.

    With a field the conserved quantity is i-PI's less the work of the field.
    """
    write_outputs = simulation.write_outputs
    last = 0.0
    window = DriftWindow(window_steps(float(simulation.syslist[0].motion.dt)))

    def write_and_report() -> None:
        nonlocal last
        write_outputs()
        now = time.monotonic()
        done = simulation.step + 1
        if now - last < _REPORT_EVERY and done != simulation.tsteps:
            return
        last = now
        system = simulation.syslist[0]
        conserved = float(system.ensemble.econs) / system.beads.nbeads - (drive.work_hartree() if drive else 0.0)
        _refuse_explosion(simulation, window.drift(done, conserved))
        try:
            os.write(fd, (json.dumps({"step": done, "conserved": conserved}) + "\n").encode())
        except BrokenPipeError:  # les-ipi run is gone: nobody would ever stop this process
            os.kill(os.getpid(), 15)

    simulation.write_outputs = write_and_report


def window_steps(dt: float) -> float:
    """Return how many steps with a time step ``dt`` (atomic units) a window has; without a time step there are
    infinitely many.
    """
    return _DRIFT_WINDOW_FS / (dt * ATOMIC_TIME_FS) if dt else math.inf


class DriftWindow:
    """Change of a quantity since the beginning of a window, which begins anew after a number of steps.

    Parameters:
        steps: number of steps of a window.
    """

    def __init__(self, steps: float):
        self._steps = steps
        self._begin: tuple[int, float] | None = None

    def drift(self, step: int, value: float) -> float:
        """Return by how much ``value`` at a step differs from that at the beginning of the window."""
        first_step, first = self._begin = self._begin or (step, value)
        if step - first_step >= self._steps:
            self._begin = (step, value)
        return value - first


def _refuse_explosion(simulation: Simulation, drift: float) -> None:
    """Stop a run whose conserved quantity drifts (hartree per bead in a window) beyond all sense; i-PI itself would go on.

    Driven dynamics is left alone: the work of its field is not in the conserved quantity.
    """
    system = simulation.syslist[0]
    per_atom = abs(drift) * HARTREE_EV / system.beads.natoms
    if per_atom > _LARGEST_DRIFT_EV and not hasattr(system.motion, "Electric_Field"):
        stop_simulation(
            f"The conserved quantity has drifted by {per_atom:.2g} eV per atom within a picosecond: the simulation has blown "
            "up. Start again from an earlier checkpoint with a smaller time step, or with a model that knows such structures."
        )


def main(argument: str, load=load_evaluator, restart_every_s: float = RESTART_EVERY_S) -> None:
    """Run i-PI with options that are given as JSON text; a mistake ends the process with one marked sentence and
    status 2.
    """
    try:
        simulate(SimulateOptions(**json.loads(argument)), load, restart_every_s)
    except UserError as error:
        print_error(str(error))
        raise SystemExit(2) from error


if __name__ == "__main__":
    main(sys.argv[1])
