"""Labelled frames from extended XYZ files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.io import read
from torch.utils.data import Dataset

from les_ipi.conventions import LABEL_ALIASES
from les_ipi.errors import UserError
from les_ipi.structures.neighbors import Neighbors, neighbor_matrix
from les_ipi.structures.system import AtomicSystem


@dataclass(frozen=True)
class Labels:
    """Reference values of one frame; None where the file has no such label.

    ======================  =========  ============================================================
    field                   shape      meaning, unit
    ======================  =========  ============================================================
    energy                  float      eV
    forces                  (N, 3)     eV/Å
    stress                  (3, 3)     with the sign of ASE, eV/Å³
    born_effective_charges  (N, 3, 3)  ``[atom, polarization, displacement]``, e
    dipole                  (3,)       e·Å
    quadrupole              (3, 3)     traceless second moment about the centre of mass, e·Å²
    polarizability          (3, 3)     symmetric, Å³
    ======================  =========  ============================================================
    """

    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    born_effective_charges: np.ndarray | None = None
    dipole: np.ndarray | None = None
    quadrupole: np.ndarray | None = None
    polarizability: np.ndarray | None = None


@dataclass(frozen=True)
class Frame:
    """A structure, its labels, its neighbour matrix and the index of the energy zero of its file."""

    system: AtomicSystem
    labels: Labels
    neighbors: Neighbors
    zero: int = 0


_Kind = TypeVar("_Kind", Atoms, Frame)


def _label(atoms: Atoms, quantity: str) -> np.ndarray | float | None:
    """The first alias of a quantity that the frame carries, in calculator results, per-frame info or arrays."""
    results = {} if atoms.calc is None else atoms.calc.results
    for name in LABEL_ALIASES[quantity]:
        for store in (results, atoms.info, atoms.arrays):
            if name in store and store[name] is not None:
                return store[name]
    return None


def _stress_matrix(stress: np.ndarray) -> np.ndarray:
    stress = np.asarray(stress, dtype=float)
    if stress.shape == (6,):
        xx, yy, zz, yz, xz, xy = stress
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return stress.reshape(3, 3)


def _symmetric_matrix(values: np.ndarray | None, name: str) -> np.ndarray | None:
    if values is None:
        return None
    if np.size(values) != 9:
        raise UserError(
            f"The label '{name}' of a frame has {np.size(values)} numbers: give the nine components of a 3 × 3 tensor."
        )
    matrix = np.asarray(values, dtype=float).reshape(3, 3)
    return 0.5 * (matrix + matrix.T)


def labels_of(atoms: Atoms) -> Labels:
    """Read the labels of an ASE frame under any of the names that are known (``conventions.LABEL_ALIASES``).

    The antisymmetric part of tensors, which is numerical noise, and the trace of a quadrupole are removed.

    Parameters:
        atoms: the frame.

    Returns the labels. Raises ``UserError`` for a tensor that does not have nine components.
    """
    energy, forces, stress, born, dipole, quadrupole, polarizability = (_label(atoms, q) for q in LABEL_ALIASES)
    quadrupole = _symmetric_matrix(quadrupole, "quadrupole")
    return Labels(
        energy=None if energy is None else float(energy),
        forces=None if forces is None else np.asarray(forces, dtype=float),
        stress=None if stress is None else _stress_matrix(stress),
        born_effective_charges=None if born is None else np.asarray(born, dtype=float).reshape(-1, 3, 3),
        dipole=None if dipole is None else np.asarray(dipole, dtype=float).reshape(3),
        quadrupole=None if quadrupole is None else quadrupole - np.trace(quadrupole) / 3.0 * np.eye(3),
        polarizability=_symmetric_matrix(polarizability, "polarizability"),
    )


def read_frames(path: Path) -> list[Atoms]:
    """Read the frames of an extended XYZ file, which may be compressed with gzip.

    Parameters:
        path: the file, for all of its frames, or ASE's ``FILE@start:stop`` for a slice of them.

    Returns the frames. Raises ``UserError`` if the file is missing or unreadable, or if the slice is malformed or
    empty.
    """
    name, _, chosen = path.name.partition("@")
    file = path.with_name(name)
    if not file.is_file():
        raise UserError(f"There is no data file {file}: check the path, or pass --data-root.")
    try:
        frames = list(read(file, ":"))
    except Exception as error:
        raise UserError(f"{file} could not be read as extended XYZ ({error}): check the file format.") from error
    return select(frames, chosen) if chosen else frames


def load_frames(
    paths: list[Path], cutoff: float, energy_zero: str = "shared", ignore: Mapping[Path, Sequence[str]] | None = None
) -> list[Frame]:
    """Read the labelled frames of several files, in their order, and find the neighbours of their atoms.

    Parameters:
        paths: the files, as for :func:`read_frames`.
        cutoff: distance in Å within which atoms are neighbours.
        energy_zero: "shared" if all files have one zero of energy, "per_file" if each has its own.
        ignore: dictionary from file to the fields of :class:`Labels` that are left out for all its frames, or None.

    Returns the frames.
    """
    frames = []
    for i, path in enumerate(paths):
        without = dict.fromkeys((ignore or {}).get(path, ()))
        for atoms in read_frames(path):
            system = AtomicSystem.from_ase(atoms)
            zero = i if energy_zero == "per_file" else 0
            frames.append(Frame(system, replace(labels_of(atoms), **without), neighbor_matrix(system, cutoff), zero))
    return frames


def frame_slice(n_frames: int, text: str) -> range:
    """Find the frames that a slice selects.

    Parameters:
        n_frames: number of frames.
        text: the slice as "start:stop" or "start:stop:step".

    Returns the indices of the frames. Raises ``UserError`` if the slice is malformed or selects nothing.
    """
    parts = text.split(":")
    try:
        selection = range(n_frames)[slice(*(int(p) if p else None for p in parts))] if len(parts) > 1 else None
    except ValueError:
        selection = None
    if selection is None:
        raise UserError(f"Frame slice {text!r} is not of the form 'start:stop' or 'start:stop:step'.")
    if len(selection) == 0:
        raise UserError(f"Frame slice {text!r} selects none of the {n_frames} frames that were read.")
    return selection


def select(frames: Sequence[_Kind], text: str) -> list[_Kind]:
    """Return the frames of one slice; ``text`` is that of :func:`frame_slice`."""
    return [frames[i] for i in frame_slice(len(frames), text)]


def split_blocks(n_frames: int, slices: list[str]) -> tuple[list[int], list[int]]:
    """Split frames into those for training and those for validation.

    Parameters:
        n_frames: number of frames.
        slices: slices that are held out for validation, such as "60:75".

    Returns the indices of the training frames and those of the validation frames. Raises ``UserError`` for a slice
    that is malformed.
    """
    held_out = {i for text in slices for i in frame_slice(n_frames, text)}
    if len(held_out) == n_frames:
        raise UserError(f"The validation slices hold out all {n_frames} frames: leave some for training.")
    return [i for i in range(n_frames) if i not in held_out], sorted(held_out)


def composition(frames: list[Frame], species: list[int] | tuple[int, ...]) -> np.ndarray:
    """Count the atoms of every element in every frame.

    Parameters:
        frames: the frames.
        species: atomic numbers of the elements.

    Returns an array (n_frames, n_species).
    """
    counts = [[np.count_nonzero(f.system.numbers == z) for z in species] for f in frames]
    return np.array(counts, dtype=float).reshape(len(frames), len(species))


def reference_energies(frames: list[Frame], species: list[int]) -> np.ndarray:
    """Fit one energy for each element to the total energies, by least squares on the composition of the frames.

    Parameters:
        frames: the frames.
        species: atomic numbers of the elements.

    Returns the energies E0 (n_species,) in eV; where the frames leave them underdetermined, those of least norm.
    """
    with_energy = [f for f in frames if f.labels.energy is not None]
    energies = np.array([f.labels.energy for f in with_energy])
    return np.linalg.lstsq(composition(with_energy, species), energies, rcond=1e-10)[0]


def shortest_distances(frames: list[Frame], cutoff: float) -> dict[tuple[int, int], float]:
    """Find the shortest distance of every pair of elements in the frames.

    Parameters:
        frames: the frames.
        cutoff: largest distance in Å that is looked at.

    Returns a dictionary from pairs of atomic numbers, the smaller one first, to distances in Å.
    """
    shortest: dict[tuple[int, int], float] = {}
    for frame in frames:
        numbers, positions = frame.system.numbers, frame.system.positions
        index = frame.neighbors.index
        r = np.linalg.norm(positions[index] - positions[:, None] + frame.neighbors.shift, axis=-1)
        first, second = np.broadcast_to(numbers[:, None], index.shape), numbers[index]
        for a in np.unique(numbers):
            for b in np.unique(numbers[numbers >= a]):
                found = r[(first == a) & (second == b) & (r < cutoff)]
                if found.size:
                    pair = (int(a), int(b))
                    shortest[pair] = min(shortest.get(pair, np.inf), float(found.min()))
    return shortest


class FrameDataset(Dataset):
    """A list of frames as a data set of torch; the training module makes the batches."""

    def __init__(self, frames: list[Frame]):
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]
