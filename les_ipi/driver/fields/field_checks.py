"""Refuse inputs that a field cannot be combined with, before anything is started."""

from typing import Any
from xml.etree.ElementTree import Element

from les_ipi.driver.fields.protocol import VARIABLE_CELL
from les_ipi.driver.fields.waveform import Waveform
from les_ipi.driver.launch.simulation_input import SimulationInput
from les_ipi.driver.serve.template import Template
from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import HeadAbilities, Request, check
from les_ipi.ipi_files import read_list

#: Ensembles of <dynamics> that ``les-ipi run --field`` can drive.
_DRIVEN = ("nve", "nvt", "npt", "nst")


def variable_cell(simulation: SimulationInput) -> bool:
    """Whether the cell of the run moves."""
    return any(element.get("mode") in VARIABLE_CELL for element in simulation.root.iter("dynamics"))


def check_time_steps(simulation: SimulationInput) -> None:
    """Refuse multiple time steps, because the Born charges of an inner level would be those of another potential.

    Parameters:
        simulation: the input of the run.

    Raises ``UserError`` if the input has multiple time steps.
    """
    nmts = [count for element in simulation.root.iter("nmts") for count in read_list(element.text or "")]
    weights = [read_list(element.text or "") for element in simulation.root.iter("mts_weights")]
    if any(count != "1" for count in nmts) or len(nmts) > 1 or any(len(levels) > 1 for levels in weights):
        raise UserError(
            "The input has multiple time steps (<nmts> or <mts_weights>), but a field needs the Born charges of one and the "
            "same potential in every step: remove them, or the field."
        )


def check_protocol(simulation: SimulationInput, protocol: Waveform, card: dict[str, Any], template: Template) -> None:
    """Refuse what ``les-ipi run --field`` cannot drive.

    Parameters:
        simulation: the input of the run.
        protocol: the waveform of the field.
        card: the card of the model.
        template: the system.

    Raises ``UserError`` with the reason and what to do instead.
    """
    check_time_steps(simulation)
    _check_motion(simulation)
    _check_force(simulation)
    moving = variable_cell(simulation)
    if moving:
        in_lab = [Request.LAB_FIELD_AND_MOVING_CELL] if protocol.frame == "lab" else []
        check([*in_lab, Request.PRESSURE], HeadAbilities.of_card(card), [template.boundary])
    protocol.check_length(simulation.total_steps * simulation.timestep_fs)
    _check_stride(simulation, protocol.stride)


def _check_motion(simulation: SimulationInput) -> None:
    motions = list(simulation.root.iter("motion"))
    modes = [e.get("mode") for e in simulation.root.iter("dynamics")]
    if simulation.root.find(".//driven_dynamics") is not None:
        raise UserError(
            "The input has i-PI's own <driven_dynamics>, and a field protocol is given as well: use <motion mode='dynamics'> "
            "with the protocol, or <driven_dynamics> without it."
        )
    if len(motions) != 1 or len(modes) != 1 or motions[0].get("mode") != "dynamics" or modes[0] not in _DRIVEN:
        raise UserError(
            "A field protocol needs exactly one <motion mode='dynamics'>, whose <dynamics> has one of the modes "
            f"{', '.join(_DRIVEN)}, but the input has {', '.join(str(m.get('mode')) for m in motions) or 'no motion'} "
            f"({', '.join(map(str, modes)) or 'no dynamics'})."
        )
    barostats = [e.get("mode") for e in simulation.root.iter("barostat")]
    if modes[0] in VARIABLE_CELL and "stochastic-rescaling" in barostats:
        raise UserError(
            "The stochastic-rescaling barostat has no cell momentum on which the stress of a field could act: use "
            "isotropic, flexible or anisotropic."
        )


def _check_force(simulation: SimulationInput) -> None:
    forces: list[Element] = simulation.root.findall(".//forces/force")
    if len(forces) != 1 or forces[0].get("nbeads") not in (None, "", "0", str(simulation.n_beads)):
        raise UserError(
            f"The input has {len(forces)} <force> elements or one with nbeads, but a field needs the Born charges of every "
            "bead from a single <force>: remove the other elements and the attribute nbeads."
        )


def _check_stride(simulation: SimulationInput, stride: int) -> None:
    strides = [output.stride for output in simulation.outputs if output.kind == "checkpoint"]
    strides += [simulation.safe_stride, simulation.total_steps]
    wrong = [other for other in strides if other % stride]
    if wrong:
        raise UserError(
            f"The field is recorded every {stride} steps, but a run may have to be resumed from a multiple of {wrong[0]}: "
            "choose a stride of the protocol that divides safe_stride, the strides of all checkpoints, and total_steps."
        )
