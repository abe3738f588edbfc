"""Units as i-PI's files name them, converted to those of the package (eV, Å, fs, K, V/Å)."""

import io
from contextlib import redirect_stdout
from functools import cache

from les_ipi.errors import UserError
from les_ipi.units import ATOMIC_TIME_FS, BOHR_A, HARTREE_BOHR_EV_A, HARTREE_EV


@cache
def to_program_units(dimension: str, unit: str) -> float:
    """Factor from an i-PI unit to the program's unit (Å, Å/fs, e Å, Å³, eV, fs, K, V/Å).

    Lengths and energies go through atomic units, which are what a driver receives; times and temperatures are i-PI's own,
    because only i-PI's clock and thermostat count them.

    Parameters: ``dimension`` family such as ``length``, ``velocity``, ``electric-dipole``, ``volume``, ``energy``, ``time``,
    ``temperature``, ``electric-field``; ``unit`` name ('', ``automatic`` and ``atomic_unit`` are atomic units).
    Raises :class:`UserError` for an unknown unit.
    """
    from ipi.utils.units import unit_to_internal  # half a second, and only runs that are really read need it

    try:
        with redirect_stdout(io.StringIO()):  # i-PI prints its whole table before it raises
            internal = unit_to_internal(dimension, unit.strip(), 1.0)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"'{unit}' is not a unit of {dimension} that i-PI knows.") from error
    factors = {
        "length": BOHR_A,
        "velocity": BOHR_A / ATOMIC_TIME_FS,
        "electric-dipole": BOHR_A,
        "volume": BOHR_A**3,
        "energy": HARTREE_EV,
        "time": 1.0 / unit_to_internal("time", "femtosecond", 1.0),
        "temperature": 1.0 / unit_to_internal("temperature", "kelvin", 1.0),
        "electric-field": HARTREE_BOHR_EV_A,
    }
    return internal * factors[dimension]
