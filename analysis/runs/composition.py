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
    """``H=1,O=-2`` as element → charge in e; raises :class:`UserError` for anything else.

    With ``along_and_across`` a charge may be two numbers, ``O=-5.83/-2.56``: of perovskite anions along and across the bond.
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
    """Total charge of the cell in e; raises :class:`UserError` unless exactly the elements of the run have charges."""
    missing, unknown = sorted(set(symbols) - set(charges)), sorted(set(charges) - set(symbols))
    if missing or unknown:
        what = f"no charge for {', '.join(missing)}" if missing else f"{', '.join(unknown)} is not in the run"
        raise UserError(f"--charges does not fit the atoms {', '.join(sorted(set(symbols)))}: {what}.")
    return float(sum(charges[symbol] for symbol in symbols))
