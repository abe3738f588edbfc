"""The field of a run: which of the three routes, what the drivers must send for it, and whether it can be."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from les_ipi.driver.fields.field_checks import check_protocol, check_time_steps, variable_cell
from les_ipi.driver.fields.protocol import Table, read_protocol
from les_ipi.driver.launch.simulation_input import SimulationInput, set_parameters
from les_ipi.driver.serve.template import Template, check_charges
from les_ipi.errors import UserError
from les_ipi.ipi_files import read_parameters

FIELD_FILE = "field.toml"


@dataclass(frozen=True)
class FieldSetup:
    """The field of a run, by one of three routes or none.

    ``protocol``: path of the protocol that les-ipi applies, or ""; ``constant``: field that the driver serves, as keywords
    of ``ForceServer``, or empty; ``driven``: whether i-PI's own ``driven_dynamics`` is in the input.
    """

    protocol: str = ""
    constant: dict[str, Any] = field(default_factory=dict)
    driven: bool = False

    @classmethod
    def of(
        cls,
        simulation: SimulationInput,
        directory: Path,
        run_file: Path | None,
        protocol: Path | None,
        constant: dict[str, Sequence[float] | None],
    ) -> "FieldSetup":
        """Settle the field of a run and put its protocol into the run directory.

        Parameters: ``run_file`` of the first part of a run that is resumed, whose field goes on, or None; ``constant`` the
        vectors asked for under ``constant_field`` (V/Å) and ``voltage`` (V). Raises ``UserError`` for two fields at once.
        """
        path = _protocol_file(directory, protocol, run_file is not None)
        driven = simulation.root.find(".//driven_dynamics") is not None
        served = _constant_field(simulation, constant, run_file)
        if served and (path or driven):
            raise UserError(
                "The driver serves a constant field, and i-PI applies another one (a protocol or <driven_dynamics>): use "
                "one of them."
            )
        return cls(path, served, driven)

    def properties(self, simulation: SimulationInput, asked: str | None) -> str | None:
        """The extras ``asked`` for, with those that the field needs."""
        names = [asked] if asked else []
        from_driver = [e for e in simulation.root.iter("bec") if e.get("mode") == "driver"]
        if self.protocol or from_driver:
            names.append("born_effective_charges")
        if self.protocol and variable_cell(simulation):
            names.append("piezoelectric")
        return ",".join(names) or None

    def check(self, simulation: SimulationInput, card: dict[str, Any], template: Template, drivers: int) -> None:
        """Refuse with a ``UserError`` what the field cannot be combined with."""
        if not (self.protocol or self.constant or self.driven):
            return
        check_charges(card, template)
        if self.protocol:
            check_protocol(simulation, read_protocol(self.protocol), card, template)
        if self.driven:
            check_time_steps(simulation)
        if self.constant and drivers > 1 and not card.get("dipole_single_valued"):
            raise UserError(
                f"{drivers} drivers share the beads, but with this model in a constant field one driver must follow them "
                "all: use --drivers 1, or a model with a single-valued dipole."
            )


def _protocol_file(directory: Path, given: Path | None, resume: bool) -> str:
    """The protocol (and its table) in the run directory; a resumed run goes on with that. Returns "" without one."""
    target = directory / FIELD_FILE
    if given is None:
        return str(target) if resume and target.is_file() else ""
    protocol = read_protocol(given)
    if resume:
        if not target.is_file():
            raise UserError(
                f"The run in '{directory}' was started without a field: resume it without, or start a new run."
            )
        if read_protocol(target).model_dump() != protocol.model_dump():
            raise UserError(
                f"'{given}' is not the protocol with which the run in '{directory}' was started: leave --field out."
            )
    _copy(given.resolve(), target)
    if isinstance(protocol, Table):  # perhaps a longer one, to go on with
        _copy(given.resolve().parent / protocol.file, directory / protocol.file)
    return str(target)


def _copy(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def _constant_field(
    simulation: SimulationInput, given: dict[str, Sequence[float] | None], run_file: Path | None
) -> dict[str, Any]:
    """The field that the driver serves, also written into an <ffdirect>."""
    facts = json.loads(run_file.read_text()) if run_file is not None and run_file.is_file() else {}
    parameters = read_parameters(simulation.direct[0]) if simulation.direct else {}
    found: dict[str, Any] = {}
    for name, vector in given.items():
        text = "" if vector is None else ";".join(f"{x:.15g}" for x in vector)
        found[name] = text or parameters.get(name) or facts.get(name) or ""
    if not any(found.values()):
        return {}
    found["beads"] = simulation.n_beads
    for element in simulation.direct:
        set_parameters(element, {name: value or None for name, value in found.items()})
    return found
