"""A training that starts from least squares: linear energies and one constant charge for each element."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import null_space
from scipy.optimize import least_squares
from torch import Tensor

from les_ipi.electrostatics.boundaries import SUMS
from les_ipi.errors import UserError
from les_ipi.models.derivatives import Leaves, atom_gradient, gradient
from les_ipi.models.les_model import LESModel
from les_ipi.structures.batch import Batch
from les_ipi.training.data import Frame, composition
from les_ipi.training.loss import make_batch

#: Rows of forces for each unknown, and the largest number of frames, as far as there are frames.
ROWS_PER_COLUMN, MOST_FRAMES = 16, 96
#: Frames in which every element should occur, and unused frames on which the fit is measured.
LEAST_OF_ELEMENT, TEST_FRAMES = 2, 8
#: Ridge relative to the mean square of a column.
RIDGE = 1e-6
#: Latent charges (e) that are all smaller leave the head without a gradient: then there is nothing to start from.
LEAST_CHARGE = 0.05


@dataclass(frozen=True)
class LinearStart:
    """What the least squares of a linear start found.

    Attributes:
        charges: latent charge of each element (n_species,) in e, or None for a model without charges.
        weights: coefficients (n_species, F) of the standardised features in eV.
        force_rmse: error of the forces in eV/Å on the tested frames.
        n_frames: number of frames that were fitted.
        n_tested: number of frames on which the error was measured; they were not among those that were fitted, unless
            there were no others.
    """

    charges: np.ndarray | None
    weights: np.ndarray
    force_rmse: float
    n_frames: int
    n_tested: int


def _check(model: LESModel, frames: list[Frame]) -> None:
    """Raise ``UserError`` for short-range models, heads, structures and frames that a linear start cannot serve."""
    head = model.head
    if not (model.short_range.linear_energies and model.short_range.local):
        raise UserError("linear_start is not possible with this short-range model, which has no linear energies: remove it.")
    if head is not None and not (head.name == "latent" and head.networks.skips[0].out_features == 1):
        raise UserError('linear_start needs head = "latent" with one channel, or "none": remove it for other heads.')
    if model.state is not None or any(frame.system.total_charge for frame in frames):
        raise UserError("linear_start is for neutral structures without [state] only: remove it from [training].")
    if not any(frame.labels.forces is not None for frame in frames):
        raise UserError("linear_start needs frames with forces, and no training frame has them: remove it from [training].")


def fit_linear_start(model: LESModel, frames: list[Frame]) -> LinearStart:
    """Fit linear short-range energies and constant charges of the elements to forces, by least squares.

        E = Σ_i w_{z_i}·B_i + Σ_{a≤b} q_a q_b Φ_ab

    B are the features of the model and Φ_ab is the energy of unit charges on the elements a and b. The weights w have
    a closed form for any charges; what is left is a quadratic form of the products q_a q_b. Its least value is
    searched, from the formal charges on, over the charges that make every structure neutral.

    Parameters:
        model: a fresh model with standardised features, and with a ``latent`` head of one channel or no head.
        frames: the frames of the training.

    Returns :class:`LinearStart`.

    Raises ``UserError`` for a short-range model, head, structures or frames that a linear start cannot serve, and
    where no charges but zero make all structures neutral.

    Source: Golub and Pereyra, doi:10.1137/0710036 (variable projection).
    """
    _check(model, frames)
    columns = len(model.species) * model.short_range.n_features
    chosen, others = _choose(model, [frame for frame in frames if frame.labels.forces is not None], ROWS_PER_COLUMN * columns)
    precise = copy.deepcopy(model).double()
    design, forces = _stacked(precise, chosen)
    n_products = design.shape[1] - columns
    scale = np.sqrt((design**2).mean(axis=0)) + 1e-12
    scaled = design / scale
    normal = scaled.T @ scaled / len(scaled) + RIDGE * np.eye(scaled.shape[1])
    right = scaled.T @ forces / len(scaled)
    charges = None
    products = np.zeros(n_products)
    if n_products:
        charges = _charges(normal, right, scale[:n_products], model, composition(frames, model.species))
        products = _products(charges)
    rest = right[n_products:] - normal[n_products:, :n_products] @ (products * scale[:n_products])
    weights = np.linalg.solve(normal[n_products:, n_products:], rest) / scale[n_products:]
    solution = np.concatenate([products, weights])
    predicted = design @ solution
    if others:
        predicted, forces = _stacked(precise, others, torch.from_numpy(solution)[:, None])
    error = predicted.ravel() - forces
    return LinearStart(
        charges, weights.reshape(len(model.species), -1), float(np.sqrt(np.mean(error**2))), len(chosen), len(others or chosen)
    )


def apply_linear_start(model: LESModel, start: LinearStart) -> None:
    """Set the linear part of the energy networks and the formal charges of a model; the other layers begin with no
    output.

    Parameters:
        model: the model to set.
        start: what :func:`fit_linear_start` found.
    """
    with torch.no_grad():
        model.short_range.set_linear_energies(torch.from_numpy(start.weights) / float(model.energy_scale))
        if start.charges is not None:
            model.head.formal_charges.copy_(torch.from_numpy(start.charges))
            model.head.formal_scale.fill_(1.0)
            networks = model.head.networks
            networks.start_linear(torch.zeros_like(torch.stack([skip.weight for skip in networks.skips])))


def _products(charges: np.ndarray) -> np.ndarray:
    """p_ab, a ≤ b, of charges."""
    a, b = np.triu_indices(len(charges))
    return charges[a] * charges[b]


def _choose(model: LESModel, frames: list[Frame], rows: int) -> tuple[list[Frame], list[Frame]]:
    """Frames to fit, in random order until there are enough rows of every element, and some of the others."""
    order = np.random.default_rng(0).permutation(len(frames))
    counts = composition(frames, model.species)
    wanted = np.minimum(LEAST_OF_ELEMENT, (counts > 0).sum(axis=0))
    chosen: list[int] = []
    for index in order:
        enough = 3 * counts[chosen].sum() >= rows or len(chosen) >= MOST_FRAMES
        missing = (counts[chosen] > 0).sum(axis=0) < wanted
        if not enough or (missing & (counts[index] > 0)).any():
            chosen.append(index)
    others = [index for index in order if index not in set(chosen)][:TEST_FRAMES]
    return [frames[i] for i in chosen], [frames[i] for i in others]


def _charges(
    normal: np.ndarray, right: np.ndarray, scale: np.ndarray, model: LESModel, counts: np.ndarray
) -> np.ndarray:
    """Charges of the elements that leave the least error once the linear energies have adapted to them, neutral everywhere."""
    n = len(scale)
    coupling = np.linalg.solve(normal[n:, n:], normal[n:, :n])
    schur = (normal[:n, :n] - normal[:n, n:] @ coupling) * scale[:, None] * scale
    best = np.linalg.solve(schur, (right[:n] - coupling.T @ right[n:]) * scale)
    values, vectors = np.linalg.eigh(schur)
    # Only the shape of the form matters to the minimum, but the stopping rule of the search has a scale.
    root = (np.sqrt((values / values[-1]).clip(1e-12))[:, None]) * vectors.T
    formal = (model.head.formal_charges * model.head.formal_scale).detach().double().numpy()
    neutral = null_space(np.unique(counts, axis=0), rcond=1e-9)
    start = neutral.T @ formal
    if not np.abs(start).max(initial=0.0) > 1e-6:
        raise UserError(
            "linear_start needs formal charges in [charges] as a first guess: give some that are not zero and that make every "
            "structure neutral."
        )
    fitted = least_squares(lambda q: root @ (_products(neutral @ q) - best), start, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    charges = neutral @ fitted.x
    if np.abs(charges).max() < LEAST_CHARGE:
        raise UserError(
            f"linear_start finds no charges (all below {LEAST_CHARGE} e) in these forces: remove it, or use head = \"none\"."
        )
    return charges


def _stacked(model: LESModel, frames: list[Frame], mixed: Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Design and forces of several frames, without rows that have no label; ``mixed`` as in :func:`_design`."""
    blocks = [_design(model, frame, mixed) for frame in frames]
    design, forces = np.concatenate([a for a, _ in blocks]), np.concatenate([f for _, f in blocks])
    known = np.isfinite(forces)
    return design[known], forces[known]


def _design(model: LESModel, frame: Frame, mixed: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """Forces (3N, columns) of unit products of charges, then of unit weights; and the reference forces (3N,).

    With ``mixed`` (columns, K) those of K combinations of these energies.
    """
    batch = make_batch([frame], model)
    leaves = Leaves.of(batch, model.energy_scale.dtype)
    mask = batch.atom_mask.to(leaves.edges.dtype)
    near = batch.species[batch.neighbors]
    elements = torch.nn.functional.one_hot(batch.species, len(model.species)).to(mask.dtype) * mask[:, None]
    features = model.short_range(leaves.edges, near, batch.species).features
    fixed = np.zeros(3 * int(batch.atom_mask.sum()))
    if model.core is not None:
        fixed = _forces(batch, leaves, (model.core(leaves.edges, near, batch.species) * mask).sum()[None])[:, 0]
    pairs = _pair_energies(model, batch, leaves, elements) if model.head is not None else features.new_zeros(0)
    if mixed is None:
        # Features of an atom depend on its own edges alone: one pass gives those of all elements at once.
        found = [_forces(batch, leaves, pairs)] if len(pairs) else []
        design = np.concatenate([*found, _forces(batch, leaves, mask @ features, elements)], axis=1)
    else:
        design = _forces(batch, leaves, torch.cat([pairs, (elements.T @ features).reshape(-1)]) @ mixed)
    return design, frame.labels.forces.reshape(-1) - fixed


def _pair_energies(model: LESModel, batch: Batch, leaves: Leaves, elements: Tensor) -> Tensor:
    """Φ_ab, a ≤ b: long-range energy that multiplies q_a q_b, from energies of unit charges on one or two elements."""

    def energy(charges: Tensor) -> Tensor:
        energy_of_charges = SUMS[batch.boundary].energy
        return energy_of_charges(leaves.positions, leaves.cell, charges[None, :, None], batch.modes, model.kernel)[0]

    alone = [energy(column) for column in elements.T]
    pairs = []
    for a in range(len(alone)):
        for b in range(a, len(alone)):
            pairs.append(alone[a] if a == b else energy(elements[:, a] + elements[:, b]) - alone[a] - alone[b])
    return torch.stack(pairs)


def _forces(batch: Batch, leaves: Leaves, energies: Tensor, elements: Tensor | None = None) -> np.ndarray:
    """Forces (3N, columns) of several energies; with ``elements`` (A, n_species) of their parts from the edges of each
    element, elements first: (3N, n_species · columns).
    """
    columns: list[list[Tensor]] = []
    for energy in energies:
        found = gradient(energy, leaves, with_cell=False)
        parts = [found]
        if elements is not None:
            parts = [replace(found, edges=found.edges * own[:, None, None]) for own in elements.T]
        columns.append([-atom_gradient(batch, part)[0][batch.atom_mask].reshape(-1) for part in parts])
    return torch.stack([column for element in zip(*columns, strict=True) for column in element], dim=1).numpy()
