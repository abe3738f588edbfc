"""One workspace a worker, with a model and labelled frames."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from documents import SHIPPED, Workspace


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """None if the shipped model is there, else a folder with a small model with random weights in its place."""
    if (SHIPPED / "card.json").is_file():
        return None
    import torch

    from les_ipi.models.model_config import ChargesConfig, ModelConfig, ShortRangeConfig, build_model
    from les_ipi.models.storage import save_model

    torch.manual_seed(1)
    config = ModelConfig(
        species=("H", "O"),
        short_range=ShortRangeConfig(
            cutoff=4.0, n_radial=4, l_max=1, channels=4, order=2, hidden=(8,), core_cutoff={"O-H": 0.9}
        ),
        charges=ChargesConfig(hidden=(8,), formal={"H": 1.0, "O": -2.0}, epsilon_infinity=1.78),
    )
    model = build_model(config)
    model.energy_scale.fill_(0.05)
    folder = tmp_path_factory.mktemp("models") / "stand-in"
    save_model(folder, model, config, {"description": "random weights"})
    return folder


@pytest.fixture(scope="session")
def workspace(tmp_path_factory, model_folder):
    """Inputs, and ``frames.xyz``: four displaced copies of the start structure labelled by the model."""
    import numpy as np
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import read, write

    from les_ipi import AtomicSystem, Evaluator

    workspace = Workspace(tmp_path_factory.mktemp("docs"), model_folder)
    start = read(workspace.path / "inputs" / "water" / "start.xyz")
    evaluator = Evaluator.load(str(model_folder or SHIPPED), threads=1)
    rng = np.random.default_rng(2)
    frames = []
    for _ in range(4):
        atoms = start.copy()
        atoms.positions += 0.02 * rng.normal(size=atoms.positions.shape)
        result = evaluator([AtomicSystem.from_ase(atoms)])[0]
        atoms.calc = SinglePointCalculator(atoms, energy=result.energy, forces=result.forces)
        frames.append(atoms)
    write(workspace.path / "frames.xyz", frames, format="extxyz")
    return workspace
