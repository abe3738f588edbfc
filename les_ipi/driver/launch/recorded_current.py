"""The bead-averaged dipole current, which is computed only when i-PI writes it.

.. math:: J_α = dM_α/dt = (1/P) Σ_k Σ_i Σ_β Z*_i,αβ(q^k) v^k_iβ,   v = p/m

with P beads, Born effective charges Z* in e and velocities in Å/fs; unit e·Å/fs. It needs no single-valued
dipole, so it serves every charge head. Velocities are i-PI's bead momenta over physical masses: for methods
that scale the normal-mode masses (PA-CMD, CMD) they belong to the fictitious dynamics, as in i-PI's output.
"""

from collections.abc import Callable

import numpy as np
from ipi.utils.depend import dstrip

from les_ipi.conventions import Property
from les_ipi.driver.serve.force_server import ForceServer
from les_ipi.driver.serve.stopping import stop_simulation
from les_ipi.driver.serve.wire import ATOMIC_VELOCITY_A_FS
from les_ipi.errors import UserError

#: Name of the property in i-PI's XML.
CURRENT = "dipole_current"


def bead_current(server: ForceServer, cell: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Compute the dipole current J at one instant; all beads are evaluated as one batch.

    Parameters:
        server: the server that evaluates the model.
        cell: array (3, 3) in bohr with lattice vectors as columns.
        positions: array (P, 3N) with the positions of P beads in bohr.
        velocities: array (P, 3N) with their velocities in atomic units.

    Returns the mean over the beads, an array (3,) in e·Å/fs.

    Raises ``UserError`` if the current is not finite.
    """
    systems = [server.system(cell, bead) for bead in positions]
    results = server.evaluate(systems, (Property.BORN_EFFECTIVE_CHARGES,))
    born = np.stack([result.born_effective_charges for result in results])
    speeds = velocities.reshape(len(systems), -1, 3) * ATOMIC_VELOCITY_A_FS
    current = np.einsum("kiab,kib->a", born, speeds) / len(systems)
    if not np.isfinite(current).all():
        raise UserError(
            "The dipole current is not a number, because the structure is outside the range of the model: use a smaller "
            "time step, a better start or another model."
        )
    return current


def register_current(simulation, server: Callable[[], ForceServer]) -> None:
    """Add the property ``dipole_current`` to every system of an i-PI simulation that is not bound yet.

    Parameters:
        simulation: i-PI's ``Simulation``.
        server: function that returns the server which evaluates the model; it is called at the first output.
    """
    for system in simulation.syslist:
        properties = system.properties

        def current(properties=properties) -> np.ndarray:
            beads = properties.beads
            velocities = dstrip(beads.p) / dstrip(beads.m3)
            try:
                return bead_current(server(), dstrip(properties.cell.h), dstrip(beads.q), velocities)
            except UserError as error:
                stop_simulation(str(error))

        properties.property_dict[CURRENT] = {
            "func": current,
            "size": 3,
            "dimension": "undefined",
            "help": "Bead-averaged dipole current dM/dt = sum Z* v in e angstrom/fs (les-ipi)",
        }
