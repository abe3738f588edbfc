"""Structures, models and closed forms that several tests share (float64 throughout)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from les_ipi.evaluation.evaluator import Evaluator
from les_ipi.models import ChargesConfig, ModelConfig, ShortRangeConfig, StateConfig, build_model
from les_ipi.models.derivatives import Leaves
from les_ipi.models.les_model import LESModel
from les_ipi.structures.batch import Batch, collate
from les_ipi.structures.system import AtomicSystem, places_by_boundary

TRICLINIC = np.array([[7.1, 0.0, 0.0], [1.3, 6.7, 0.0], [-0.9, 1.1, 7.4]])
NACL_MADELUNG = 1.7475645946331822


def water_cluster(n: int, seed: int, cell: np.ndarray | None) -> AtomicSystem:
    """n molecules with random orientation and distortion on a loose lattice, periodic if a cell is given."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n ** (1 / 3)))
    spacing = 3.1 if cell is None else np.linalg.norm(cell, axis=1).min() / side
    sites = np.array([[i, j, k] for i in range(side) for j in range(side) for k in range(side)], float)[:n] * spacing
    if cell is not None:
        sites = sites / (side * spacing) @ cell
    molecule = np.array([[0, 0, 0], [0.97, 0, 0], [-0.24, 0.94, 0]])
    atoms = []
    for site in sites:
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        atoms.append(site + molecule @ rotation + rng.normal(scale=0.05, size=(3, 3)))
    box = np.zeros((3, 3)) if cell is None else cell
    return AtomicSystem(np.tile([8, 1, 1], n), np.concatenate(atoms), box, cell is not None)


def make_model(head: str = "latent", seed: int = 0, state: StateConfig | None = None, **charges) -> LESModel:
    """Random weights, standardised features and charges of a few tenths e, as training starts with."""
    torch.manual_seed(seed)
    config = ModelConfig(
        species=("H", "O"),
        short_range=ShortRangeConfig(cutoff=3.6, n_radial=5, l_max=3, channels=6, order=4, hidden=(16,)),
        charges=ChargesConfig(
            head=head, hidden=(8,), formal={"H": 1.0, "O": -2.0}, transfer_cutoff=3.0, epsilon_infinity=1.78, **charges
        ),
        state=state,
    )
    model = build_model(config).double().eval().requires_grad_(False)
    sample = [water_cluster(8, s, 6.4 * np.eye(3)) for s in range(4)]
    model.standardise(batch_of(model, sample))
    return model


def batch_of(model: LESModel, systems: list[AtomicSystem]) -> Batch:
    return collate(systems, model.species, model.cutoff, model.kernel.k_cutoff)


def evaluator_of(model: LESModel, dtype: torch.dtype = torch.float64, **options) -> Evaluator:
    return Evaluator(model.to(dtype), {}, dtype=dtype, **options)


def each_boundary(function: Callable[[list[AtomicSystem]], Sequence], systems: list[AtomicSystem]) -> list:
    """Results, in the order of the systems, of a function of structures that share a boundary."""
    found = [None] * len(systems)
    for places in places_by_boundary(systems).values():
        for place, result in zip(places, function([systems[i] for i in places]), strict=True):
            found[place] = result
    return found


def evaluation(model: LESModel, system: AtomicSystem):
    """Batch, leaves and evaluation of one structure."""
    batch = batch_of(model, [system])
    leaves = Leaves.of(batch, torch.float64)
    return batch, leaves, model(batch, leaves.edges, leaves.positions, leaves.cell)


def rock_salt(cells: int, edge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions (N, 3) Å, charges (N,) e and cell of ``cells``³ conventional NaCl cells."""
    base = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) * edge / 2
    shifts = np.array([[i, j, k] for i in range(cells) for j in range(cells) for k in range(cells)]) * edge
    positions = (base[None] + shifts[:, None]).reshape(-1, 3)
    return positions, np.tile([1.0] * 4 + [-1.0] * 4, cells**3), cells * edge * np.eye(3)
