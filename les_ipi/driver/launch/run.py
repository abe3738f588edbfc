"""``les-ipi run``: one command that leads from an i-PI input to a finished (or cleanly stopped) run."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from les_ipi.conventions import EFFECTIVE_INPUT, RUN_FILE
from les_ipi.driver.fields.field_setup import FieldSetup
from les_ipi.driver.launch.addresses import claim_address, driver_address
from les_ipi.driver.launch.progress import RunProgress
from les_ipi.driver.launch.simulate import SimulateOptions
from les_ipi.driver.launch.simulation_input import SimulationInput, set_parameters
from les_ipi.driver.launch.supervise import Outcome, supervise
from les_ipi.driver.launch.trimming import trim_outputs
from les_ipi.driver.serve.driver_process import DriverOptions
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.loading import load_evaluator
from les_ipi.driver.serve.options import ServeOptions
from les_ipi.driver.serve.pes import SHIM
from les_ipi.driver.serve.template import read_template
from les_ipi.errors import UserError
from les_ipi.evaluation.options import EvaluationOptions
from les_ipi.ipi_files import RESTART, files_starting, read_parameters
from les_ipi.units import BOLTZMANN_EV_K

#: The largest interval between recorded currents: 2 fs resolves vibrations up to 8000 cm⁻¹.
_RECORD_EVERY_FS = 2.0

#: Drift of the conserved quantity in a picosecond, in k_B T, that is worth a warning: some of the heat stays in the atoms.
_LARGEST_DRIFT = 0.25


class RunOptions(ServeOptions):
    """What ``les-ipi run`` is asked for; its ``--help`` explains the options.

    An option that a driver has, too, replaces what ``<parameters>`` of the input say if it is given. The number of
    beads is that of the input.
    """

    input: Path
    drivers: int = Field(1, ge=0)
    directory: Path | None = None
    record_current: bool = False
    record_stride: int | None = Field(None, ge=1)
    resume: bool = False
    field: Path | None = None


@dataclass(frozen=True)
class Programs:
    """Command lines of the child processes, to which options are added as one JSON argument."""

    simulate: Sequence[str] = (sys.executable, "-m", "les_ipi.driver.launch.simulate")
    serve: Sequence[str] = (sys.executable, "-m", "les_ipi.driver.serve.driver_process")


@dataclass(frozen=True)
class RunResult:
    """How far a run came.

    The fields are the steps done, the steps asked for, the signal that stopped the run (None if it finished), and a
    warning for the user (or None).
    """

    step: int
    total_steps: int
    signal: int | None = None
    warning: str | None = None


def run(options: RunOptions, programs: Programs | None = None, load=load_evaluator) -> RunResult:
    """Run i-PI with everything that it needs, to the last step or to a clean stop.

    Parameters:
        options: what the user asks for.
        programs: command lines of the child processes, or None for those of this package.
        load: function that loads the evaluator, called as ``load(model)`` to check the model before anything is
            started.

    Returns a :class:`RunResult`.

    Raises ``UserError`` for every mistake in the input, and if the run ends early for another reason than a signal (a
    RESTART file exists then).
    """
    programs = programs or Programs()
    directory, simulation, restart = _prepare_directory(options)
    total_steps = simulation.total_steps
    first_step = restart.step if restart else 0
    if first_step >= total_steps:
        return RunResult(first_step, total_steps)

    simulation.fill_in_shim(SHIM, directory)
    served = _served(simulation, options)
    run_file = directory / RUN_FILE if options.resume else None
    field, served = FieldSetup.of(simulation, directory, run_file, options.field, served)
    _complete_force_fields(simulation, served, options)
    evaluator, structure = load(served.model), read_template(directory / served.template)
    field.check(simulation, evaluator.card, structure, options.drivers)
    server = ForceServer.of(evaluator, structure, served)
    addresses = [driver_address(simulation, element) for element in simulation.sockets]
    for address in addresses:
        claim_address(**address)
    _write_effective_input(simulation, restart, options, directory)
    _write_run_file(directory, served, server, simulation, first_step, field)
    n_atoms = len(server.template.numbers)
    single_valued = bool(evaluator.card.get("dipole_single_valued"))
    del server, evaluator  # the children have their own

    read_end, write_end = os.pipe()
    # What the i-PI process evaluates itself is a current now and then, which is not worth the time of a compiler.
    child = SimulateOptions(**served.given() | {"compile": False}, input=EFFECTIVE_INPUT, report_fd=write_end,
                            field=field.protocol, single_valued=single_valued)  # fmt: skip
    simulate = [*programs.simulate, child.model_dump_json()]
    drivers = [DriverOptions(**served.given(), **address) for address in addresses]
    serve = [[*programs.serve, driver.model_dump_json()] for driver in drivers] * options.drivers
    with RunProgress(first_step, total_steps, simulation.timestep_fs, n_atoms) as progress:
        outcome = supervise(simulate, serve, directory, (read_end, write_end), progress)
    result = _judge(directory, total_steps, outcome)
    return replace(result, warning=drift_warning(simulation, progress.drift_per_ps()))


# -- preparation ---------------------------------------------------------------------------------------------


def _prepare_directory(options: RunOptions) -> tuple[Path, SimulationInput, SimulationInput | None]:
    """Make the run directory with all files in it; refuse one that holds another run.

    Returns the directory, the input, and where to resume from (None: from the beginning).
    """
    simulation = SimulationInput(options.input)
    source = options.input.resolve().parent
    directory = (options.directory or source).resolve()
    restart = _find_restart(simulation, directory)
    if restart is not None and not options.resume:
        raise UserError(f"'{directory}' already holds a run: continue it with --resume, or choose another --directory.")
    if options.resume and restart is None and not (directory / RUN_FILE).exists():
        raise UserError(f"'{directory}' holds no run to resume: start without --resume.")
    if directory != source:
        directory.mkdir(parents=True, exist_ok=True)
        simulation.copy_files(source, directory)
        shutil.copy2(options.input, directory / "input.xml")
    return directory, simulation, restart


def _find_restart(simulation: SimulationInput, directory: Path) -> SimulationInput | None:
    """The most advanced of RESTART and the checkpoints (a killed i-PI leaves one that can be a minute old), if there is any."""
    starts = [output.start for output in simulation.outputs if output.kind == "checkpoint"]
    paths = [directory / RESTART, *(path for start in starts for path in files_starting(directory, start))]
    candidates = []
    for path in filter(Path.is_file, paths):
        try:
            candidates.append(SimulationInput(path))
        except UserError:
            continue  # a checkpoint that was cut short: i-PI does not write them atomically
    return max(candidates, key=lambda candidate: candidate.step, default=None)


def _served(simulation: SimulationInput, options: RunOptions) -> ServeOptions:
    """What the drivers serve: the ``<parameters>`` of an <ffdirect>, replaced by what ``options`` give.

    The path of the model becomes absolute, and so does that of the template, unless it is seen from the run directory.
    """
    if len(simulation.sockets) > 1:
        raise UserError(
            f"'{options.input}' has {len(simulation.sockets)} <ffsocket>, but les-ipi run serves one: "
            "start i-PI and the drivers yourself (see les-ipi driver --help)."
        )
    if not simulation.sockets and not simulation.direct:
        raise UserError(
            f"'{options.input}' has neither an <ffsocket> nor an <ffdirect> with <pes>custom</pes>, so "
            "there is no force field for les-ipi to serve."
        )
    given: dict[str, Any] = read_parameters(simulation.direct[0]) if simulation.direct else {}
    # A PES of the user's own may have parameters that are none of ours.
    given = {name: value for name, value in given.items() if name in ServeOptions.names()}
    model = _absolute_if_path(options.model, Path.cwd()) or _absolute_if_path(
        given.get("model"), options.input.resolve().parent
    )
    template = _absolute_if_path(options.template, Path.cwd()) or given.get("template") or simulation.start_file
    if not model:
        raise UserError(f"No model is named: give --model MODEL (or a model in the <ffdirect> of '{options.input}').")
    if not template:
        raise UserError("No start structure is named in <initialize><file>, so the atoms are unknown: give --template.")
    return ServeOptions(**given | options.given(ServeOptions) | {"model": model, "template": template})


def _complete_force_fields(simulation: SimulationInput, served: ServeOptions, options: RunOptions) -> None:
    """Write what is served into the ``<parameters>`` of every <ffdirect>.

    Model, template and what ``options`` give are written everywhere. What only the first <ffdirect> says itself is not, so that
    another one can differ from it.
    """
    if not simulation.direct:
        return
    own = read_parameters(simulation.direct[0])
    said = ServeOptions(**{name: value for name, value in own.items() if name in ServeOptions.names()}).texts()
    everywhere = {"model", "template", *options.given(ServeOptions)}
    new = {name: text for name, text in served.texts().items() if name in everywhere or said.get(name) != text}
    for element in simulation.direct:
        set_parameters(element, new)


def _absolute_if_path(name: str | None, base: Path) -> str | None:
    """A model or template that exists under ``base`` as an absolute path; other names as they are."""
    if not name:
        return None
    path = base / name
    return str(path.resolve()) if path.exists() else name


def _default_stride(timestep_fs: float) -> int:
    return max(1, int(_RECORD_EVERY_FS / timestep_fs + 1e-9))


def _write_effective_input(
    simulation: SimulationInput, restart: SimulationInput | None, options: RunOptions, directory: Path
) -> None:
    """Write what i-PI really runs: the completed input, or RESTART with its force field and length."""
    effective = simulation
    if restart is not None:
        trim_outputs(restart, directory, restart.step)
        restart.replace_force_fields(simulation)
        restart.remove_time_limit()
        restart.set_total_steps(simulation.total_steps)
        effective = restart
    if options.record_current and not effective.records_current:
        effective.record_current(options.record_stride or _default_stride(simulation.timestep_fs))
    effective.print_all_digits()
    effective.write(directory / EFFECTIVE_INPUT)
    (directory / "EXIT").unlink(missing_ok=True)  # a stale one would stop i-PI at once


def _write_run_file(
    directory: Path, served: ServeOptions, server: ForceServer, simulation: SimulationInput, first_step: int, field: FieldSetup
) -> None:
    card = server.evaluator.card
    facts = {
        "model": card.get("name", served.model),
        "model_path": served.model,
        **{key: card.get(key) for key in ("charge_head", "dipole_single_valued", "epsilon_infinity")},
        "n_atoms": len(server.template.numbers),
        "n_beads": simulation.n_beads,
        "timestep_fs": simulation.timestep_fs,
        "resumed_from_step": first_step or None,
        "field_protocol": Path(field.protocol).name or None,
        **(served.constant() if served.has_field else {}),
        **served.model_dump(mode="json", include={*EvaluationOptions.names(), "properties"}),
        "command": sys.argv,
        "versions": {name: version(name) for name in ("les-ipi", "ipi", "numpy", "torch")},
    }
    (directory / RUN_FILE).write_text(json.dumps(facts, indent=2) + "\n")


# -- the end -------------------------------------------------------------------------------------------------


def drift_warning(simulation: SimulationInput, drift: float | None) -> str | None:
    """Word a warning about a conserved quantity that drifts by more than a quarter of k_B T in a picosecond.

    Parameters:
        simulation: the input of the run, which says the temperature.
        drift: drift in meV/atom/ps, or None if it is unknown.

    Returns the sentence, or None if there is nothing to warn of.
    """
    temperature = simulation.temperature_K
    if drift is None or not temperature or not simulation.conserves:
        return None
    share = drift / (1000.0 * BOLTZMANN_EV_K * temperature)
    if abs(share) < _LARGEST_DRIFT:
        return None
    better = ", or splitting='baoab' in <dynamics>" if simulation.n_beads > 1 and simulation.splitting != "baoab" else ""
    return (
        f"Warning: the conserved quantity drifts by {drift:+.3g} meV/atom in a picosecond, {abs(share):.2g} k_B T. This error "
        "of the time step turns into heat, so that atoms, or centroids of ring polymers, can be at another temperature than "
        f"you asked for. Use a shorter time step{better} (docs/how-to/driver.md, performance hints)."
    )


def _judge(directory: Path, total_steps: int, outcome: Outcome) -> RunResult:
    """Read from RESTART how far the run came (i-PI's status does not tell), and say what happened."""
    restart = _find_restart(SimulationInput(directory / EFFECTIVE_INPUT), directory)
    step = restart.step if restart else 0
    if outcome.signal is not None or (outcome.problem is None and step >= total_steps):
        return RunResult(step, total_steps, outcome.signal)
    problem = outcome.problem or f"i-PI stopped early; see {directory / 'ipi.log'}."
    if restart is None:
        raise UserError(f"{problem} The run ended before its first step.")
    raise UserError(f"{problem} The run stopped at step {step} of {total_steps}; --resume continues it.")
