"""Settle the field of a run: which of three ways applies it, what drivers must send for it, and whether it is possible."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from les_ipi.conventions import Property
from les_ipi.driver.fields.field_checks import check_protocol, check_time_steps, variable_cell
from les_ipi.driver.fields.protocol import read_protocol
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.driver.serve.options import ServeOptions
from les_ipi.driver.serve.template import Template, check_charges
from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import HeadAbilities, Request, check

FIELD_FILE = "field.toml"


@dataclass(frozen=True)
class FieldSetup:
    """The field of a run, which is applied by one of three routes or not at all.

    Attributes:
        protocol: path of the protocol that les-ipi applies around i-PI's steps, or "".
        constant: whether the driver serves a constant field.
        driven: whether i-PI's own ``driven_dynamics`` is in the input.
    """

    protocol: str = ""
    constant: bool = False
    driven: bool = False

    @classmethod
    def of(
        cls,
        simulation: SimulationInput,
        directory: Path,
        run_file: Path | None,
        protocol: Path | None,
        served: ServeOptions,
    ) -> tuple["FieldSetup", ServeOptions]:
        """Settle the field of a run and put its protocol into the run directory.

        Parameters:
            simulation: the input of the run.
            directory: directory of the run.
            run_file: record of the first part of a run that is resumed, whose field goes on, or None for a new run.
            protocol: the ``field.toml`` that the user names, or None.
            served: what the driver is asked to serve.

        Returns the field, and what the driver has to serve with it.

        Raises ``UserError`` for two fields at once.
        """
        path = _protocol_file(directory, protocol, run_file is not None)
        driven = simulation.root.find(".//driven_dynamics") is not None
        served = _recalled(served, run_file)
        if served.has_field and (path or driven):
            raise UserError(
                "The driver serves a constant field, and i-PI applies another one (a protocol or <driven_dynamics>): use "
                "only one of the two."
            )
        needed = []
        from_driver = [e for e in simulation.root.iter("bec") if e.get("mode") == "driver"]
        if path or from_driver:
            needed.append(Property.BORN_EFFECTIVE_CHARGES)
        if path and variable_cell(simulation):
            needed.append(Property.PIEZOELECTRIC)
        if needed:
            served = served.changed(properties=(*served.properties, *needed))
        if served.has_field:
            served = served.changed(beads=simulation.n_beads)
        return cls(path, served.has_field, driven), served

    def check(self, simulation: SimulationInput, card: dict[str, Any], template: Template, drivers: int) -> None:
        """Refuse what the field cannot be combined with.

        Parameters:
            simulation: the input of the run.
            card: the card of the model.
            template: the system.
            drivers: number of drivers that share the beads.

        Raises ``UserError`` with the reason.
        """
        if not (self.protocol or self.constant or self.driven):
            return
        check_charges(card, template)
        if self.protocol:
            check_protocol(simulation, read_protocol(self.protocol), card, template)
        if self.driven:
            check_time_steps(simulation)
        if self.constant and drivers > 1:
            several = [Request.FIELD_OF_SEVERAL_DRIVERS]
            check(several, HeadAbilities.of_card(card), [template.boundary], drivers=drivers)


def _protocol_file(directory: Path, given: Path | None, resume: bool) -> str:
    """The protocol (and its table) in the run directory; a resumed run goes on with that. Returns "" without one."""
    target = directory / FIELD_FILE
    if given is None:
        return str(target) if resume and target.is_file() else ""
    protocol = read_protocol(given)
    if resume:
        if not target.is_file():
            raise UserError(
                f"The run in '{directory}' was started without a field: resume it without --field, or start a new run."
            )
        if read_protocol(target).model_dump() != protocol.model_dump():
            raise UserError(
                f"'{given}' is not the protocol with which the run in '{directory}' was started: resume the run "
                "without --field."
            )
    _copy(given.resolve(), target)
    for name in protocol.files:  # perhaps longer ones, to go on with
        _copy(given.resolve().parent / name, directory / name)
    return str(target)


def _copy(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _recalled(served: ServeOptions, run_file: Path | None) -> ServeOptions:
    """What is served, with the field of the first part of a run that is resumed where no other is asked for."""
    facts = json.loads(run_file.read_text()) if run_file is not None and run_file.is_file() else {}
    missing = [name for name in ("constant_field", "voltage") if getattr(served, name) is None]
    return served.changed(**{name: facts.get(name) for name in missing})
