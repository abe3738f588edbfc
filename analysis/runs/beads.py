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
    """Common difference of the steps of a file.

    Parameters: ``steps`` (T,) increasing; ``where`` file name and ``needs`` end of the message. Returns the stride in steps.
    Raises :class:`UserError` when there are fewer than two steps, or a gap.
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
    """Steps that all files hold, after checking that they were written with one stride.

    Files may differ in length at the end (a run that was stopped while writing).

    Parameters: ``series`` file name → steps (T_k,). Returns steps (T,).
    Raises :class:`UserError` for gaps and for different strides.
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
    """Current of one bead at one step, and the charges that the f-sum rule asks for.

    J_α = Σ_iβ Z_i,αβ v_iβ from i-PI's rows (atom, β) and columns α; Σ_i |Z_i|²_F / m_i.

    Parameters: ``born_rows`` (3N, 3) e; ``velocities`` (N, 3) Å/fs; ``inverse_masses`` (N,) 1/amu or None.
    Returns J (3,) in e Å/fs, and Σ|Z|²/m in e²/amu (NaN without masses).
    """
    current = born_rows.T @ velocities.reshape(-1)
    if inverse_masses is None:
        return current, np.nan
    return current, float((born_rows**2).sum(axis=1).reshape(-1, 3).sum(axis=1) @ inverse_masses)


def sum_rule_current(born_rows: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, float]:
    """Current that a violated acoustic sum rule adds, Σ_β (Σ_j Z_j,αβ/N) Σ_i v_iβ, and the residual.

    Taking it off is the projection Z_i → Z_i − Σ_j Z_j/N. Parameters: as :func:`contract_current`. Returns the spurious
    current (3,) in e Å/fs, and the mean of |Σ_j Z_j|/N over the nine elements in e, as i-PI defines the residual.
    """
    excess = born_rows.reshape(-1, 3, 3).mean(axis=0)
    return velocities.sum(axis=0) @ excess, float(np.abs(excess).mean())
