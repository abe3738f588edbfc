"""Elements of a run: whether they are those of water, and charges given element by element."""

import re
from collections import Counter
from collections.abc import Sequence

from les_ipi.errors import UserError

_NUMBER = r"([-+]?\d+(?:\.\d+)?)"
_CHARGE = re.compile(rf"\s*([A-Z][a-z]?)\s*=\s*{_NUMBER}(?:/{_NUMBER})?\s*")


def is_water(symbols: Sequence[str]) -> bool:
    """True when the atoms are H and O only, two to one."""
    count = Counter(symbols)
    return set(count) == {"H", "O"} and count["H"] == 2 * count["O"]


def parse_charges(text: str, along_and_across: bool = False) -> dict[str, float | tuple[float, float]]:
    """Read charges of elements from a text such as ``H=1,O=-2``.

    Parameters:
        text: pairs ELEMENT=CHARGE, separated by commas, with charges in e.
        along_and_across: whether a charge may also be two numbers, such as ``O=-5.83/-2.56``, which are those of
            perovskite anions along and across the bond.

    Returns element → charge in e, or element → (along, across). Raises :class:`UserError` for any other text.
    """
    example = "Pb=3.90,Ti=7.06,O=-5.83/-2.56" if along_and_across else "H=1,O=-2"
    charges: dict[str, float | tuple[float, float]] = {}
    for part in text.split(","):
        match = _CHARGE.fullmatch(part)
        if not match or match[1] in charges or (match[3] and not along_and_across):
            raise UserError(f"'{part}' is not a charge of an element; write for example --charges {example}.")
        charges[match[1]] = (float(match[2]), float(match[3])) if match[3] else float(match[2])
    return charges


def require_charges(charges: dict[str, float], symbols: Sequence[str]) -> float:
    """Check that exactly the elements of a run have charges, and add the charges of all atoms.

    Parameters: ``charges``, element → charge in e; ``symbols``, the chemical symbol of each atom. Returns the total
    charge of the cell in e. Raises :class:`UserError` when an element has no charge, or a charge belongs to no atom.
    """
    missing, unknown = sorted(set(symbols) - set(charges)), sorted(set(charges) - set(symbols))
    if missing or unknown:
        what = f"no charge for {', '.join(missing)}" if missing else f"{', '.join(unknown)} is not in the run"
        raise UserError(f"--charges does not fit the atoms {', '.join(sorted(set(symbols)))}: {what}.")
    return float(sum(charges[symbol] for symbol in symbols))
