"""Integer oxidation numbers: their dipole, by species, from unwrapped positions."""

from collections.abc import Sequence

import numpy as np

from les_ipi.analysis.conductivity.diffusion import without_drift


def unwrapped(positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, bool]:
    """Positions continued across the borders of the cell: every step becomes its nearest image.

    Nothing is changed unless an atom jumps by more than half a cell vector between frames, which no unwrapped trajectory
    does. Parameters: ``positions`` (T, N, 3) Å; ``cell`` rows of lattice vectors, Å, constant. Returns (positions, whether
    they were wrapped).
    """
    steps = np.diff(positions, axis=0) @ np.linalg.inv(cell)
    images = np.round(steps)
    if not images.any():
        return positions, False
    continued = np.concatenate([np.zeros_like(images[:1]), np.cumsum(images, axis=0)])
    return positions - continued @ cell, True


def species_dipoles(
    positions: np.ndarray, symbols: Sequence[str], charges: dict[str, float], masses: np.ndarray | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Itinerant dipole of each element, z_s Σ_{i∈s} (r_i − R) with R the centre of mass.

    Parameters: ``positions`` (T, N, 3) Å, unwrapped; ``symbols`` (N,); ``charges`` element → z; ``masses`` (N,) or None
    (equal). Returns the elements (A,) and the dipoles (T, A, 3) in e Å.
    """
    elements = tuple(dict.fromkeys(symbols))
    centred = without_drift(positions, masses)
    groups = [[k for k, symbol in enumerate(symbols) if symbol == element] for element in elements]
    dipoles = [
        charges[element] * centred[:, group].sum(axis=1) for element, group in zip(elements, groups, strict=True)
    ]
    return elements, np.stack(dipoles, axis=1)
