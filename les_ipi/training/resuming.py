"""What a resumed training must share with the run that it continues."""

import json
from pathlib import Path
from typing import Any

from les_ipi.errors import UserError
from les_ipi.training.training_config import TrainConfig

#: Entries that say which model is trained on which data. [training], and what the file only tells about the data, may change.
FIXED = {"seed": True, "data": {"files", "validation", "ignore", "energy_zero", "energy_networks"}}
FIXED |= {"short_range": True, "charges": True, "state": True}
#: File in the folder of the checkpoints.
NOTE = "began.json"


def remember(work: Path, config: TrainConfig, start: str | Path | None) -> None:
    """Note in the folder of the checkpoints how a run begins.

    Parameters:
        work: folder of the checkpoints.
        config: the training file of the run.
        start: model to fine-tune, or None for fresh weights.
    """
    work.mkdir(parents=True, exist_ok=True)
    began = {"from": None if start is None else str(start), "settings": _fixed(config)}
    (work / NOTE).write_text(json.dumps(began, indent=2) + "\n")


def remembered_start(work: Path, config: TrainConfig, start: str | Path | None) -> str | Path | None:
    """Find the model with which a resumed run began.

    Parameters:
        work: folder of the checkpoints.
        config: the training file of this run.
        start: model to fine-tune that the user names, or None.

    Returns a shipped name or folder, or None for fresh weights.

    Raises ``UserError`` if that is not ``start``, if data or hyper-parameters are not those of the beginning, or if
    the note is missing.
    """
    try:
        began = json.loads((work / NOTE).read_text())
    except (OSError, ValueError):
        raise UserError(f"{work / NOTE}, which says how the run began, is missing or damaged: start a new training.") from None
    if start is not None and str(start) != began["from"]:
        raise UserError(
            f"The run in {work} started from {began['from'] or 'fresh weights'}, not from {start}: resume it without --from."
        )
    _require_same(began["settings"], _fixed(config), "", work)
    return began["from"]


def _fixed(config: TrainConfig) -> dict[str, Any]:
    """Entries that may not change, without defaults, so that an option of a later version does not make old runs stale."""
    return config.model_dump(mode="json", include=FIXED, exclude_defaults=True)


def _require_same(before: dict[str, Any], now: dict[str, Any], table: str, work: Path) -> None:
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            _require_same(old, new, f"{table}{key}.", work)
        elif old != new:
            was, is_now = ("its default" if value is None else json.dumps(value) for value in (old, new))
            raise UserError(
                f"The run in {work} began with {table}{key} = {was}, and the file now has {is_now}: put it back, or train anew "
                "without --resume and with another --output. Only [training] and the description may change."
            )
