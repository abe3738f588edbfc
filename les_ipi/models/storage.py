"""Model folders: ``model.safetensors`` + ``card.json``. Nothing is ever unpickled."""

import json
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from les_ipi import __version__
from les_ipi.errors import UserError
from les_ipi.models.les_model import LESModel
from les_ipi.models.model_config import ModelConfig, build_model
from les_ipi.units import HALF_INVERSE_EPSILON_0

FORMAT = 1
UNITS = {"energy": "eV", "length": "angstrom", "charge": "e", "born_effective_charges": "e"}


def conventions(config: ModelConfig) -> dict[str, Any]:
    """Collect what a reader of the weights must know to reproduce the numbers; every model card contains it.

    Parameters:
        config: hyper-parameters of the model.

    Returns a dictionary of index orders, signs, and the parameters of the long-range sum with their units in the
    names.
    """
    charges = config.charges
    return {
        "born_index_order": "[atom, polarization, displacement]",
        "coulomb_prefactor_eV_A_per_e2": HALF_INVERSE_EPSILON_0,
        "charge_sign": "cations positive",
        "sigma_A": charges.sigma,
        "k_cutoff_per_A": charges.k_cutoff,
        "k_window": "smooth" if charges.smooth else "sharp",
        "self_interaction": "removed" if charges.remove_self else "kept",
        "physical_charges": "sqrt(epsilon_infinity) times the latent ones in periodic systems",
    }


def save_model(folder: Path, model: LESModel, config: ModelConfig, card: dict[str, Any]) -> None:
    """Write a model folder with ``model.safetensors`` (the weights) and ``card.json`` (the card).

    Parameters:
        folder: folder to write, which is made if it does not exist; its name is the name of the model unless ``card``
            has one.
        model: the model whose weights are saved.
        config: hyper-parameters with which the model was built.
        card: what else the card should say, such as name, training data, licence and held-out errors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    head = model.head
    full = {
        "format": FORMAT,
        "name": folder.name,
        **card,
        "les_ipi_version": __version__,
        "units": UNITS,
        "conventions": conventions(config),
        "charge_head": config.charges.head,
        "multipole_level": config.charges.level if config.charges.head == "multipole" else None,
        "dipole_single_valued": bool(head is not None and head.single_valued_polarization),
        "epsilon_infinity": config.charges.epsilon_infinity,
        "hyper_parameters": config.model_dump(mode="json"),
    }
    (folder / "card.json").write_text(json.dumps(full, indent=2) + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a model, which describes how it was built and trained.

    Parameters:
        folder: model folder.

    Returns the content of ``card.json``.

    Raises ``UserError`` if the card is missing, unreadable or of another format.
    """
    path = folder / "card.json"
    if not path.is_file():
        raise UserError(f"No model card at {path}: a model is a folder with card.json and model.safetensors.")
    try:
        card = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}): restore the card from where the model came from."
        ) from error
    if not isinstance(card, dict):
        raise UserError(f"{path} is not a JSON object: restore the card from where the model came from.")
    if card.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {card.get('format')!r}, this version reads format {FORMAT}: update les-ipi."
        )
    return card


def _hyper_parameters(folder: Path, card: dict[str, Any]) -> ModelConfig:
    """Validated hyper-parameters of a card. Raises ``UserError`` naming the first wrong entry."""
    try:
        config = ModelConfig.model_validate(card.get("hyper_parameters"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("hyper_parameters", *first["loc"]))
        raise UserError(f"{folder / 'card.json'}: entry '{where}': {first['msg']}.") from error
    unknown = [s for s in config.species if s not in atomic_numbers]
    if unknown:
        raise UserError(f"{folder / 'card.json'} names '{unknown[0]}', which is no chemical element.")
    return config


def load_model(folder: Path, dtype: torch.dtype = torch.float64) -> tuple[LESModel, dict[str, Any]]:
    """Load a model from its folder, ready for evaluation.

    Parameters:
        folder: model folder with ``card.json`` and ``model.safetensors``.
        dtype: arithmetic of the networks; reference energies are always in float64.

    Returns the model, in evaluation mode, and its card.

    Raises ``UserError`` for a file that is missing or damaged, and for weights that do not fit the card.
    """
    card = read_card(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{folder} has a card but no model.safetensors: copy the weights next to card.json.")
    model = build_model(_hyper_parameters(folder, card))
    try:
        model.load_state_dict(load_file(weights))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(f"The weights in {weights} do not fit their card: {str(error).splitlines()[0]}") from error
    model.eval().requires_grad_(False)
    reference = model.reference_energies.double()
    model.to(dtype)
    model.reference_energies = reference
    return model, card
