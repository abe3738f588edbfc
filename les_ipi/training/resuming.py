"""What a resumed training must share with the run that it continues."""

import json
from pathlib import Path
from typing import Any

from les_ipi.errors import UserError
from les_ipi.training.config import TrainConfig

#: Entries that say which model is trained on which data; those of [training] may change on the way.
FIXED = {"seed", "data", "short_range", "charges", "state"}
#: File in the folder of the checkpoints.
NOTE = "began.json"


def remember(work: Path, config: TrainConfig, start: str | Path | None) -> None:
    """Note in the folder of the checkpoints how a run begins."""
    work.mkdir(parents=True, exist_ok=True)
    began = {"from": None if start is None else str(start), "settings": _fixed(config)}
    (work / NOTE).write_text(json.dumps(began, indent=2) + "\n")


def remembered_start(work: Path, config: TrainConfig, start: str | Path | None) -> str | Path | None:
    """Model that a resumed run began with.

    Parameters: ``work`` folder of the checkpoints; ``config`` of this run; ``start`` model to fine-tune that the user names, or
    None. Raises ``UserError`` if that is another one, or if data or hyper-parameters are not those of the beginning.
    """
    note = work / NOTE
    began = json.loads(note.read_text()) if note.is_file() else {"from": None, "settings": _fixed(config)}
    if start is not None and str(start) != began["from"]:
        raise UserError(
            f"The run in {work} started from {began['from'] or 'fresh weights'}, not from {start}: resume it without --from."
        )
    _require_same(began["settings"], _fixed(config), "", work)
    return began["from"]


def _fixed(config: TrainConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", include=FIXED)


def _require_same(before: dict[str, Any], now: dict[str, Any], table: str, work: Path) -> None:
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            _require_same(old, new, f"{table}{key}.", work)
        elif old != new:
            raise UserError(
                f"The run in {work} began with {table}{key} = {json.dumps(old)}, and the file now has {json.dumps(new)}: "
                "put it back, or train anew without --resume and with another --output. Only [training] may change."
            )
