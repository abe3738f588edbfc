"""``train.toml``: the whole training in one validated file."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from les_ipi.conventions import LABEL_ALIASES
from les_ipi.errors import UserError
from les_ipi.models.model_config import ChargesConfig, ShortRangeConfig, StateConfig
from les_ipi.models.registry import ShortRangeTable


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """Settings of the table ``[data]``: extended XYZ files, and which of their frames are held out.

    Attributes:
        files: names of the files, relative to ``--data-root`` or, without it, to the folder of the TOML file.
        validation: slices of the concatenated frames that are held out ("60:75"), in blocks because neighbouring
            frames of a trajectory are correlated.
        energy_zero: whether all files share one zero of energy or each has its own, as files of different programs
            do.
        energy_networks: "per_file" gives every file energy networks of its own as well, for files of different
            functionals; the model that is written, and its held-out errors, are those of the first file.
        ignore: dictionary from file to names of labels that the file has but should not teach, such as energies of
            calculations that converged Born charges only.
    """

    files: list[str] = Field(min_length=1)
    validation: list[str] = []
    ignore: dict[str, list[str]] = {}
    energy_zero: Literal["shared", "per_file"] = "shared"
    energy_networks: Literal["shared", "per_file"] = "shared"
    source: str = "not stated"
    licence: str = "not stated"
    level_of_theory: str = "not stated"

    @model_validator(mode="after")
    def _networks_need_zeros(self) -> "DataConfig":
        if self.energy_networks == "per_file" and self.energy_zero != "per_file":
            raise ValueError('energy_networks = "per_file" needs energy_zero = "per_file": add it to [data]')
        return self

    @model_validator(mode="after")
    def _ignored_labels_exist(self) -> "DataConfig":
        if self.energy_zero == "per_file" and "energy" in self.ignore.get(self.files[0], ()):
            raise ValueError(
                f"the model has the energy zero of the first file, {self.files[0]}, whose energies are ignored: put another "
                "file first"
            )
        for file, labels in self.ignore.items():
            if file not in self.files:
                raise ValueError(f"ignore names {file!r}, which is not in files: write the name as in files")
            for label in labels:
                if label not in LABEL_ALIASES:
                    raise ValueError(f"ignore names the label {label!r} of {file}: labels are {', '.join(LABEL_ALIASES)}")
        return self


class LossStage(_Strict):
    """Weights of the mean squared errors in the loss, from epoch ``from_epoch`` on.

    The errors have the units (eV/atom)² for energy, (eV/Å)² for forces, (eV/Å³)² for stress, e² for born, (e·Å/atom)²
    for dipole and dipole_difference, (e·Å²/atom)² for quadrupole and (Å³/atom)² for polarizability.
    ``dipole_difference`` compares changes between frames of a batch modulo the quantum of polarization, see
    :func:`les_ipi.training.responses.dipole_difference_errors`.

    ``charge_variation`` multiplies the mean squared deviation (e²) of the latent charges from λ × formal charge: many
    charge patterns give nearly the same far field, and this prefers the one with the least modulation.
    ``charge_conservation`` multiplies the mean of |∂Q_tot/∂r_i|² over atoms, in (e/Å)², with the sum Q_tot of the
    latent charges before it is made the wanted total: where it vanishes, the Born charges of a latent head are the
    derivatives of a dipole.
    """

    from_epoch: int = Field(0, ge=0)
    energy: float = 100.0
    forces: float = 1.0
    stress: float = 0.0
    born: float = 0.0
    dipole: float = 0.0
    dipole_difference: float = 0.0
    quadrupole: float = 0.0
    polarizability: float = 0.0
    charge_variation: float = Field(0.0, ge=0)
    charge_conservation: float = Field(0.0, ge=0)


class OptimiserConfig(_Strict):
    """Settings of the table ``[training]``: the optimiser, and an exponential moving average (EMA) of the weights.

    The averaged weights are those that are saved. ``optimiser`` is AdamW, or Muon for the matrices of the model and Adam
    for its other weights, see :mod:`les_ipi.training.optimiser`. The learning rate rises linearly over
    ``warmup_epochs``, stays constant, and falls over the last ``decay_fraction`` of the steps: along a cosine, or along a
    line with ``schedule = "linear"``. With little data AdamW generalises better after a long phase at a high, constant
    rate under a slow EMA than after a long decay, which fits the noise. With ``linear_start`` the training begins at the
    least-squares solution with linear energies and one constant charge for each element,
    :func:`les_ipi.training.linear_start.fit_linear_start`.
    """

    max_epochs: int = Field(200, ge=1)
    batch_size: int = Field(2, ge=1)
    optimiser: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["cosine", "linear"] = "cosine"
    learning_rate: float = Field(8e-3, gt=0)
    charge_learning_rate: float | None = Field(None, gt=0)
    warmup_epochs: float = Field(2.0, ge=0)
    decay_fraction: float = Field(0.2, gt=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    charge_weight_decay: float = Field(0.0, ge=0)
    gradient_clip: float = Field(10.0, gt=0)
    ema_decay: float = Field(0.9995, ge=0, lt=1)
    early_stopping_patience: int | None = Field(None, ge=1)
    validate_every: int = Field(5, ge=1)
    double_precision: bool = False
    linear_start: bool = False
    compile: Literal["auto", "always", "never"] = "auto"
    stages: list[LossStage] = Field([LossStage()], min_length=1)


class TrainConfig(_Strict):
    """A whole training file, ``train.toml``: name, data, model and training."""

    name: str
    description: str = ""
    seed: int = 1
    data: DataConfig
    short_range: ShortRangeTable = ShortRangeConfig()
    charges: ChargesConfig = ChargesConfig()
    state: StateConfig | None = None
    training: OptimiserConfig = OptimiserConfig()

    @model_validator(mode="after")
    def _one_functional_for_a_linear_start(self) -> "TrainConfig":
        if self.training.linear_start and self.data.energy_networks == "per_file":
            raise ValueError('linear_start cannot tell functionals apart: remove linear_start, or energy_networks = "per_file"')
        return self


def read_config(path: Path) -> TrainConfig:
    """Read and validate a training file.

    Parameters:
        path: the TOML file.

    Returns its content. Raises ``UserError``, which names the entry that is wrong.
    """
    if not path.is_file():
        raise UserError(f"There is no training file {path}: give the path of a train.toml.")
    try:
        return TrainConfig.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: entry '{where}': {first['msg']} (found {first['input']!r}).") from error
