"""Integer oxidation numbers: their dipole, by species, from unwrapped positions."""

import re
from collections.abc import Sequence

import numpy as np

from les_ipi.analysis.conductivity.diffusion import without_drift
from les_ipi.errors import UserError

_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
_CHARGE = re.compile(rf"\s*([A-Z][a-z]?)\s*=\s*{_NUMBER}(?:/{_NUMBER})?\s*")


def parse_charges(text: str, along_and_across: bool = False) -> dict[str, float | tuple[float, float]]:
    """``H=1,O=-2`` as element → charge in e; raises :class:`UserError` for anything else.

    With ``along_and_across`` a charge may be two numbers, ``O=-5.83/-2.56``: of perovskite anions along and across the bond.
    """
    example = "Pb=3.90,Ti=7.06,O=-5.83/-2.56" if along_and_across else "H=1,O=-2"
    charges: dict[str, float | tuple[float, float]] = {}
    for part in text.split(","):
        match = _CHARGE.fullmatch(part)
        if not match or match[1] in charges or (match[3] and not along_and_across):
            raise UserError(f"'{part}' is no charge of an element; write for example --charges {example}.")
        charges[match[1]] = (float(match[2]), float(match[3])) if match[3] else float(match[2])
    return charges


def require_charges(charges: dict[str, float], symbols: Sequence[str]) -> float:
    """Total charge of the cell in e; raises :class:`UserError` unless exactly the elements of the run have charges."""
    missing, unknown = sorted(set(symbols) - set(charges)), sorted(set(charges) - set(symbols))
    if missing or unknown:
        what = f"no charge for {', '.join(missing)}" if missing else f"{', '.join(unknown)} is not in the run"
        raise UserError(f"--charges does not fit the atoms {', '.join(sorted(set(symbols)))}: {what}.")
    return float(sum(charges[symbol] for symbol in symbols))


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
