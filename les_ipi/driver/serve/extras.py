"""The JSON object ("extras") that travels to i-PI with every evaluation.

=========================  =========  ==============  ===========================================
property                   key        shape           unit and index order
=========================  =========  ==============  ===========================================
dipole                     ``dipole``   (3,)          e·bohr
born_effective_charges     ``BEC``      (3N, 3)       e; row = (atom, displacement), column = field
charges                    ``charges``  (N,)          e
piezoelectric              ``piezoelectric``  (27,)   e·bohr; [polarization, strain a, b], times the volume
=========================  =========  ==============  ===========================================

i-PI parses the text at every evaluation, so it is kept short: the dipole wherever there is one, the rest on request. A
``%``-template is three times faster than ``json.dumps`` of nested lists and half as long.
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from les_ipi.conventions import (
    IPI_BEC_KEY,
    IPI_CHARGES_KEY,
    IPI_DIPOLE_KEY,
    IPI_PIEZOELECTRIC_KEY,
    LABEL_ALIASES,
    Property,
    born_to_ipi,
)
from les_ipi.driver.serve.wire import dipole_to_wire
from les_ipi.errors import UserError

#: What can be asked for; a dipole that exists is sent whether asked for or not.
EXTRA_PROPERTIES = (Property.DIPOLE, Property.BORN_EFFECTIVE_CHARGES, Property.CHARGES, Property.PIEZOELECTRIC)

_ALIASES = {alias: Property(name) for name, aliases in LABEL_ALIASES.items() if name in EXTRA_PROPERTIES
            for alias in aliases}  # fmt: skip


def parse_properties(names: str | Iterable[str]) -> tuple[Property, ...]:
    """Read which properties a driver should send, always with the dipole first.

    Parameters:
        names: the names, as a list or as a text with "," or ";" between them, for example "dipole,BEC".

    Returns the properties as a tuple without duplicates.

    Raises ``UserError`` for a name that is not in ``EXTRA_PROPERTIES``.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        # i-PI turns a text that looks like a number into one.
        names = str(names).replace(";", ",").split(",")
    asked = [Property.DIPOLE]
    for name in (name.strip() for name in names):
        if not name:
            continue
        chosen = _ALIASES.get(name, name)
        if chosen not in EXTRA_PROPERTIES:
            raise UserError(
                f"Unknown property '{name}': the driver can send {', '.join(EXTRA_PROPERTIES)} "
                "(energy, forces and virial are always sent)."
            )
        asked.append(Property(chosen))
    return tuple(dict.fromkeys(asked))


@lru_cache(maxsize=16)
def _matrix_template(rows: int) -> str:
    return "[" + ",".join(["[%.9g,%.9g,%.9g]"] * rows) + "]"


def _vector(values: np.ndarray, digits: int) -> str:
    return "[" + ",".join([f"%.{digits}g"] * len(values)) % tuple(values) + "]"


def encode_extras(results, properties: Iterable[Property]) -> str:
    """Write the extras of one evaluation as ASCII JSON.

    The dipole has 15 digits because spectra use its small differences; the large tensors have 9.

    Parameters:
        results: what an evaluator returned, as its ``Results``.
        properties: what to write, from :func:`parse_properties`.

    Returns the JSON text.
    """
    parts = []
    for name in properties:
        if name is Property.DIPOLE:
            parts.append(f'"{IPI_DIPOLE_KEY}":{_vector(dipole_to_wire(results.dipole), 15)}')
        elif name is Property.BORN_EFFECTIVE_CHARGES:
            rows = born_to_ipi(results.born_effective_charges)
            parts.append(f'"{IPI_BEC_KEY}":' + _matrix_template(len(rows)) % tuple(rows.ravel()))
        elif name is Property.PIEZOELECTRIC:
            parts.append(f'"{IPI_PIEZOELECTRIC_KEY}":{_vector(dipole_to_wire(results.piezoelectric.ravel()), 15)}')
        else:
            parts.append(f'"{IPI_CHARGES_KEY}":{_vector(np.asarray(results.charges), 9)}')
    return "{" + ",".join(parts) + "}"
