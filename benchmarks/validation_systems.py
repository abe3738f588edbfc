"""Systems of the validation suite: what `inputs/validation/<system>` says, and where its data are."""

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from les_ipi.errors import UserError
from les_ipi.models.model_config import ChargesConfig
from les_ipi.training.training_config import LossStage, TrainConfig, read_config

INPUTS = Path(__file__).resolve().parents[1] / "inputs" / "validation"

#: Rungs: `none` is the short-range model, `q` the latent head, the others are levels of the multipole head.
Rung = Literal["none", "q", "u", "uQ", "iq", "iu", "uiq", "uiu", "uiqiu", "uQiqiu"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EnergyDifference(_Strict):
    """E(first) − E(second) of two labelled structures, compared with the difference of their labels."""

    name: str
    first: str
    second: str


class OtherLabels(_Strict):
    """Frames of another source with labels of the response, by file and slice, that a trained rung is compared with."""

    name: str
    file: str
    frames: str = ":"


class Ladder(_Strict):
    """``ladder.toml``: what is trained with the settings of ``train.toml`` beside it, and what is compared.

    ``reference_charges`` names a per-atom array of the data (e); ``exact_charges`` maps elements to the charges (e) that
    made the data; ``fragments`` names the index of the first atom of the second of two molecules, whose net force is
    compared; ``other_labels`` are files with polarizabilities, which rungs that have them predict; ``prepare`` is a script
    beside the file that writes ``frames.xyz`` from ``sources``.
    """

    title: str
    rungs: list[Rung] = Field(min_length=2)
    prepare: str | None = None
    sources: list[str] = []
    reference_charges: str | None = None
    exact_charges: dict[str, float] = {}
    fragments: str | None = None
    energy_differences: list[EnergyDifference] = []
    other_labels: list[OtherLabels] = []


class MissingData(Exception):
    """Data files of a system that are neither beside its ``train.toml`` nor under ``--data-root``."""


@dataclass(frozen=True)
class System:
    """One folder of ``inputs/validation``."""

    folder: Path
    ladder: Ladder
    settings: TrainConfig

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def files(self) -> list[str]:
        """Every data file that the system needs; a comparison with other labels is left out where they are absent."""
        own = self.ladder.sources if self.ladder.prepare else self.settings.data.files
        return [*own, *(file for d in self.ladder.energy_differences for file in (d.first, d.second))]

    def data_folder(self, data_root: Path | None, work: Path) -> Path:
        """Folder to which the files of ``train.toml`` are relative; prepares frames if the system asks for it.

        Raises :class:`MissingData` naming the files that are absent.
        """
        beside = [self.folder / file for file in self.files()]
        root = self.folder if all(file.is_file() for file in beside) else data_root
        absent = self.files() if root is None else [file for file in self.files() if not (root / file).is_file()]
        if absent:
            raise MissingData(", ".join(absent))
        if self.ladder.prepare is None:
            return root
        folder = work / self.name
        folder.mkdir(parents=True, exist_ok=True)
        script = self.folder / self.ladder.prepare
        command = [sys.executable, str(script), "--data-root", str(root), "--output", str(folder / "frames.xyz")]
        subprocess.run(command, check=True)
        return folder

    def settings_of(self, rung: Rung, effort: float) -> TrainConfig:
        """Settings of one rung; ``effort`` multiplies the number of epochs."""
        if rung == "none":
            charges = ChargesConfig(head="none")
        else:
            head = {"head": "latent"} if rung == "q" else {"head": "multipole", "level": rung}
            charges = self.settings.charges.model_copy(update=head)
        training = self.settings.training
        stages = [_scaled(stage, effort) for stage in training.stages]
        epochs = max(1, round(effort * training.max_epochs))
        training = training.model_copy(update={"max_epochs": epochs, "stages": stages})
        name = f"{self.name}-{rung}"
        return self.settings.model_copy(update={"name": name, "charges": charges, "training": training})


def _scaled(stage: LossStage, effort: float) -> LossStage:
    return stage.model_copy(update={"from_epoch": round(effort * stage.from_epoch)})


def read_systems(names: list[str] | None = None, inputs: Path = INPUTS) -> list[System]:
    """Systems of ``inputs`` by name, or all. Raises ``UserError`` for an unknown name or a bad ``ladder.toml``."""
    known = {path.parent.name: path for path in sorted(inputs.glob("*/ladder.toml"))}
    unknown = set(names or ()) - set(known)
    if unknown:
        raise UserError(f"There is no system '{min(unknown)}' in {inputs}: choose from {', '.join(known)}.")
    found = []
    for name in names or known:
        path = known[name]
        try:
            ladder = Ladder.model_validate(tomllib.loads(path.read_text()))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise UserError(f"{path} is not a valid ladder: {str(error).splitlines()[0]}: {_first(error)}.") from error
        found.append(System(path.parent, ladder, read_config(path.parent / "train.toml")))
    return found


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "not TOML"
    first = error.errors()[0]
    return f"entry '{'.'.join(map(str, first['loc']))}': {first['msg']}"
