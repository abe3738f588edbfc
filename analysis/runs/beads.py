"""Bead operators: average over beads *first*, correlate afterwards (Kubo-transformed linear operators).

RPMD and TRPMD approximate the Kubo correlation function of M by that of M_P = (1/P) Σ_k M(q^k); its time
derivative is J_P = (1/P) Σ_k Σ_i Z_i(q^k)·v_i^k exactly, also with a Langevin thermostat, because
dq/dt = v.
Source: Craig and Manolopoulos, 10.1063/1.1777575; Rossi, Ceriotti and Manolopoulos, 10.1063/1.4883861.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from les_ipi.errors import UserError

#: What a gap in a record means for a spectrum.
_SPECTRUM_NEEDS = "a spectrum needs an unbroken record (use the parts before and after as separate runs)"


def stride_of(steps: np.ndarray, where: str, needs: str = _SPECTRUM_NEEDS) -> int:
    """Find the common difference of the steps of a file.

    Parameters:
        steps: the steps of the records in a file, (T,), increasing.
        where: name of the file, with which the error message begins.
        needs: end of the error message, which says why a gap matters.

    Returns the number of steps from one record to the next. Raises :class:`UserError` when there are fewer than two
    records, or a gap between them.
    """
    if steps.size < 2:
        raise UserError(f"{where} holds {steps.size} frame(s); a time series needs at least two.")
    differences = np.diff(steps)
    stride = int(np.median(differences))
    wrong = np.flatnonzero(differences != stride)
    if wrong.size:
        k = wrong[0]
        raise UserError(
            f"{where} has a gap between steps {steps[k]} and {steps[k + 1]}, expected every {stride} steps; "
            f"{needs}."
        )
    return stride


def require_all_beads(files: Sequence[Path], n_beads: int) -> None:
    """Raise :class:`UserError` unless there is one file for each bead."""
    if len(files) != n_beads:
        raise UserError(
            f"{files[0].name} and its siblings are {len(files)} file(s), but the input has {n_beads} beads; "
            "write the trajectory of every bead (no bead='...' attribute)."
        )


def common_steps(series: Mapping[str, np.ndarray]) -> np.ndarray:
    """Find the steps that all files hold, and check that the files were written with one stride.

    The files may end at different steps, as those of a run that was stopped while it wrote.

    Parameters: ``series``, name of each file → its steps (T_k,). Returns the common steps (T,). Raises
    :class:`UserError` for gaps, for different strides, and for fewer than two common steps.
    """
    strides = {name: stride_of(steps, name) for name, steps in series.items()}
    if len(set(strides.values())) > 1:
        listing = ", ".join(f"{name}: every {stride}" for name, stride in strides.items())
        raise UserError(f"The beads were not written with the same stride ({listing} steps).")
    steps = None
    for values in series.values():
        steps = values if steps is None else np.intersect1d(steps, values, assume_unique=True)
    if steps.size < 2:
        raise UserError(f"The files {', '.join(series)} have fewer than two steps in common.")
    return steps


def contract_current(
    born_rows: np.ndarray, velocities: np.ndarray, inverse_masses: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Compute the current of one bead at one step, and the sum over its Born charges that the f-sum rule needs.

        J_α = Σ_iβ Z_i,αβ v_iβ

    Parameters:
        born_rows: Born charges in e as i-PI writes them, (3N, 3): one row for each atom and direction β, one column for
            each direction α.
        velocities: velocities in Å/fs, (N, 3).
        inverse_masses: inverse masses in 1/amu, (N,), or None when they are unknown.

    Returns the current J in e Å/fs, (3,), and Σ_i |Z_i|²_F/m_i in e²/amu, which is NaN without masses.
    """
    current = born_rows.T @ velocities.reshape(-1)
    if inverse_masses is None:
        return current, np.nan
    return current, float((born_rows**2).sum(axis=1).reshape(-1, 3).sum(axis=1) @ inverse_masses)


def sum_rule_current(born_rows: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, float]:
    """Compute the spurious current that arises when Born charges violate the acoustic sum rule Σ_j Z_j = 0, and the
    residual.

        J_α = Σ_β (Σ_j Z_j,αβ/N) Σ_i v_iβ

    Subtracting this current is the same as projecting the charges, Z_i → Z_i − Σ_j Z_j/N.

    Parameters: ``born_rows`` (3N, 3) in e and ``velocities`` (N, 3) in Å/fs, both as in :func:`contract_current`.
    Returns the spurious current in e Å/fs, (3,), and the residual in e as i-PI defines it: the mean of |Σ_j Z_j|/N over
    the nine elements.
    """
    excess = born_rows.reshape(-1, 3, 3).mean(axis=0)
    return velocities.sum(axis=0) @ excess, float(np.abs(excess).mean())
