"""Losses that the data or the model cannot serve are refused before a training starts."""

from les_ipi.errors import UserError
from les_ipi.evaluation.capabilities import HeadAbilities, Request, check, refusal
from les_ipi.models.les_model import LESModel
from les_ipi.training.data import Frame, composition
from les_ipi.training.training_config import OptimiserConfig

#: Loss → the label that it compares with.
LABEL_OF = {
    "stress": "stress",
    "born": "born_effective_charges",
    "dipole": "dipole",
    "dipole_difference": "dipole",
    "quadrupole": "quadrupole",
    "polarizability": "polarizability",
}
#: Loss → what it asks of the model.
_REQUEST_OF = {
    "born": Request.BORN_LABEL,
    "dipole": Request.DIPOLE_LABEL,
    "dipole_difference": Request.DIPOLE_DIFFERENCE_LABEL,
    "quadrupole": Request.QUADRUPOLE_LABEL,
    "polarizability": Request.POLARIZABILITY_LABEL,
}
#: Losses that use only the frames with a boundary for which they are defined, and ignore the other frames.
_OF_SOME_FRAMES = (Request.DIPOLE_DIFFERENCE_LABEL, Request.QUADRUPOLE_LABEL)


def check_losses(model: LESModel, frames: list[Frame], settings: OptimiserConfig) -> None:
    """Refuse loss weights for which no frame has a label, or for which the charge head can make no prediction.

    Parameters:
        model: the model to train.
        frames: the frames of the training.
        settings: settings of the training, with the loss weights of its stages.

    Raises ``UserError`` with the reason.
    """
    for name, label in LABEL_OF.items():
        if not any(getattr(stage, name) for stage in settings.stages):
            continue
        labelled = [f for f in frames if getattr(f.labels, label) is not None]
        if not labelled:
            raise UserError(
                f"A stage of [training] weighs '{name}', but no training frame has the label '{label}': add it to the files, "
                "or set the weight to 0."
            )
        if name != "stress":
            _check_head(model, name, labelled)
        if name == "dipole_difference" and settings.batch_size < 2:
            raise UserError(
                "'dipole_difference' compares the frames of a batch, but batch_size is 1: set it to 2 or more."
            )


def check_charge_losses(model: LESModel, settings: OptimiserConfig) -> None:
    """Refuse weights on how charges fluctuate if the charges of the head are constants.

    Parameters:
        model: the model to train.
        settings: settings of the training, with the loss weights of its stages.

    Raises ``UserError`` with the reason.
    """
    for name in ("charge_variation", "charge_conservation"):
        if model.head is not None and model.head.networks is None and any(getattr(s, name) for s in settings.stages):
            raise UserError(f"A stage of [training] weighs '{name}', but the charges of this head are constants: remove it.")


def check_oxidation_numbers(model: LESModel, frames: list[Frame]) -> None:
    """Refuse frames whose oxidation numbers do not add up to the total charge, if the charge head keeps to oxidation
    numbers.

    Parameters:
        model: the model to train.
        frames: the frames of the training.

    Raises ``UserError`` for the first such frame.
    """
    if model.head is None or not model.head.fixed_scale:
        return
    numbers = model.head.formal_charges.tolist()
    for frame, counts in zip(frames, composition(frames, model.species), strict=True):
        total = float(counts @ numbers)
        if abs(total - frame.system.total_charge) > 1e-6:
            raise UserError(
                f'formal_scale = "oxidation": the oxidation numbers of a training frame are {total:g} e together, and its '
                f"total charge is {frame.system.total_charge:g} e: correct formal, or give a number as formal_scale."
            )


def _check_head(model: LESModel, name: str, labelled: list[Frame]) -> None:
    """Raise ``UserError`` if the head cannot give a label that frames have.

    Most losses need the label for every labelled frame. Those of ``_OF_SOME_FRAMES`` need it for at least one.
    """
    head, request = HeadAbilities.of_head(model.head), _REQUEST_OF[name]
    facts = {"loss": name, "count": sum(f.system.periodic for f in labelled)}
    found = sorted({f.system.boundary for f in labelled})
    if request in _OF_SOME_FRAMES:
        found = [boundary for boundary in found if refusal([request], head, [boundary], **facts) is None] or found
    check([request], head, found, **facts)
