"""Index orders, key names and array layouts that the whole program shares (numpy only).

Born effective charges inside the program: ``born_effective_charges[atom, polarization, displacement]``
= ∂P_α/∂r_iβ in units of e. i-PI's ``BEC`` is ``(3N, 3)``: row = (atom, displacement), column = polarization.
"""

from enum import StrEnum

import numpy as np


class Property(StrEnum):
    """Names of what an evaluation can return; :class:`les_ipi.evaluation.evaluator.Results` gives shapes and units."""

    ENERGY = "energy"
    FORCES = "forces"
    VIRIAL = "virial"
    CHARGES = "charges"
    DIPOLE = "dipole"
    QUADRUPOLE = "quadrupole"
    BORN_EFFECTIVE_CHARGES = "born_effective_charges"
    POLARIZABILITY = "polarizability"
    PIEZOELECTRIC = "piezoelectric"


class SumRule(StrEnum):
    """What to do when Born charges break the acoustic sum rule Σ_i Z_i = Q·1, where Q is the total charge.

    ``project`` subtracts the mean excess from every atom, ``report`` leaves the Born charges as they are, and
    ``raise`` refuses an excess of more than 1e-6 e per atom.
    """

    PROJECT = "project"
    REPORT = "report"
    RAISE = "raise"


class Boundary(StrEnum):
    """How a structure repeats, which decides how its charges interact."""

    #: In no direction: a molecule or a cluster in vacuum.
    ISOLATED = "isolated"
    #: Along the first two lattice vectors, with vacuum along the third.
    SLAB = "slab"
    #: Along all three lattice vectors.
    PERIODIC = "periodic"


#: Names under which other programs store the same label in extended XYZ files; the first one is ours.
LABEL_ALIASES = {
    "energy": ("energy", "REF_energy", "TotEnergy", "ref_energy"),
    "forces": ("forces", "REF_forces", "force", "ref_forces"),
    "stress": ("stress", "REF_stress", "ref_stress"),
    "born_effective_charges": ("bec", "BEC", "REF_becs", "REF_bec", "born_effective_charges"),
    "dipole": ("dipole", "REF_dipole", "total_dipole"),
    "quadrupole": ("quadrupole", "REF_quadrupole"),
    "polarizability": ("polarizability", "REF_polarizability"),
}

#: Names of the total charge (e) and of the spin multiplicity 2S + 1 in the information of a frame; the first one is ours.
TOTAL_CHARGE_NAMES = ("charge", "total_charge")
SPIN_MULTIPLICITY_NAMES = ("spin_multiplicity", "multiplicity")

#: Keys of the JSON object that the driver sends to i-PI with every evaluation.
IPI_DIPOLE_KEY = "dipole"
IPI_BEC_KEY = "BEC"
IPI_CHARGES_KEY = "charges"
IPI_PIEZOELECTRIC_KEY = "piezoelectric"

#: Columns of the table of a field-driven run (``PREFIX.field``): fs; V/Å; e·Å since the start, mean over beads; e·Å/fs;
#: Å³; Å, rows are lattice vectors; eV per bead.
FIELD_COLUMNS = (
    *("step", "time_fs", "Ex", "Ey", "Ez", "Mx", "My", "Mz", "Jx", "Jy", "Jz", "volume"),
    *("h11", "h12", "h13", "h21", "h22", "h23", "h31", "h32", "h33", "work"),
)
#: Columns and file name suffix of the dipole that is a function of the atoms (``PREFIX.anchors``): e·Å, mean over beads.
ANCHOR_COLUMNS = ("step", "Mx", "My", "Mz")
ANCHOR_SUFFIX = ".anchors"
#: What ``les-ipi run`` leaves in a run directory: the input that i-PI really ran, and the facts of the run as JSON.
EFFECTIVE_INPUT = "les_ipi_input.xml"
RUN_FILE = "les_ipi_run.json"
#: A macroscopic field above this, in V/Å, is taken for one in other units.
LARGEST_FIELD_V_A = 5.0


def born_to_ipi(born_effective_charges: np.ndarray) -> np.ndarray:
    """Reorder Born effective charges into i-PI's array, with rows (atom, displacement) and columns polarization.

    Parameters:
        born_effective_charges: array (N, 3, 3) ``[atom, polarization, displacement]`` in e.

    Returns an array (3N, 3) in e.
    """
    born = np.asarray(born_effective_charges)
    return born.transpose(0, 2, 1).reshape(-1, 3)


def born_from_ipi(rows: np.ndarray) -> np.ndarray:
    """Reorder Born effective charges from i-PI's array into that of the package; the inverse of :func:`born_to_ipi`.

    Parameters:
        rows: array (..., 3N, 3) in e, with rows (atom, displacement) and columns polarization.

    Returns an array (..., N, 3, 3) ``[atom, polarization, displacement]`` in e.
    """
    rows = np.asarray(rows)
    blocks = rows.reshape(*rows.shape[:-2], -1, 3, 3)
    return np.swapaxes(blocks, -1, -2)
