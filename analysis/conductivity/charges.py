"""Integer oxidation numbers: their dipole, by species, from unwrapped positions."""

from collections.abc import Sequence

import numpy as np

from les_ipi.analysis.conductivity.diffusion import without_drift


def unwrapped(positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, bool]:
    """Undo the wrapping of positions into the cell, by replacing the displacement in every step by that to the nearest
    image.

    Positions stay as they are unless an atom moves by more than half a cell vector between two frames, which does not
    happen in an unwrapped trajectory.

    Parameters: ``positions`` (T, N, 3) in Å; ``cell`` (3, 3), the lattice vectors in Å as rows, the same at all times.
    Returns the positions (T, N, 3) in Å, and whether they were wrapped.
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
    """Compute the itinerant dipole of each element from its integer charge.

        M_s = z_s Σ_{i∈s} (r_i − R)

    Here R is the displacement of the centre of mass since the first frame.

    Parameters:
        positions: positions in Å, (T, N, 3), unwrapped.
        symbols: chemical symbol of each atom, (N,).
        charges: element → charge z in e.
        masses: mass of each atom in any unit, (N,), or None for equal masses.

    Returns the A elements in the order of their first atoms, and the dipoles (T, A, 3) in e Å.
    """
    elements = tuple(dict.fromkeys(symbols))
    centred = without_drift(positions, masses)
    groups = [[k for k, symbol in enumerate(symbols) if symbol == element] for element in elements]
    dipoles = [
        charges[element] * centred[:, group].sum(axis=1) for element, group in zip(elements, groups, strict=True)
    ]
    return elements, np.stack(dipoles, axis=1)
