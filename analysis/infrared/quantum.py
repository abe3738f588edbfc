"""Quantum correction factors for spectra of *classical* trajectories; none belongs on path-integral data."""

from collections.abc import Callable

import numpy as np

from les_ipi.analysis.constants import CM1_PER_KELVIN
from les_ipi.errors import UserError

# Each factor multiplies the classical linear-response n·α, as a function of x = βħω > 0.
_FACTORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "harmonic": lambda x: np.ones_like(x),
    "none": lambda x: -np.expm1(-x) / x,
    "standard": lambda x: 2.0 * np.tanh(x / 2.0) / x,
    "schofield": lambda x: 2.0 * np.sinh(x / 2.0) / x,
    "mixed": lambda x: np.exp(x / 4.0) * np.sqrt(-np.expm1(-x) / x),
}
#: Names that :func:`correction_factor` knows.
CORRECTIONS = tuple(_FACTORS)


def correction_factor(name: str, wavenumber: np.ndarray, temperature: float, n_beads: int = 1) -> np.ndarray:
    """Factor on the classical n·α for a named quantum correction Q.

    n α = ω(1 − e^{−x}) Q(ω) S_M/(6ħcVε0), x = βħω; divided by its value for the harmonic (Kubo) Q = x/(1 −
    e^{−x}). ``harmonic`` is 1 (classical linear response, the only one that keeps the
    fluctuation-dissipation theorem); ``none`` Q = 1 (Gordon); ``standard`` 2/(1+e^{−x}); ``schofield``
    e^{x/2}; ``mixed`` e^{x/4}[x/(1−e^{−x})]^{1/2} (Skinner).

    Parameters: ``name``; ``wavenumber`` cm⁻¹, any shape; ``temperature`` K; ``n_beads`` of the run.
    Returns an array like ``wavenumber``. Raises :class:`UserError` for an unknown name, and for any but
    ``harmonic`` with several beads (RPMD, TRPMD and CMD already give the Kubo function). Source: Ramírez
    et al., 10.1063/1.1774986.
    """
    if name not in _FACTORS:
        raise UserError(f"There is no quantum correction '{name}'; choose one of {', '.join(CORRECTIONS)}.")
    if n_beads > 1 and name != "harmonic":
        raise UserError(
            f"Quantum correction '{name}' on a run with {n_beads} beads would count quantum effects twice: "
            "path-integral dynamics already gives the Kubo correlation function, so leave the correction out."
        )
    x = np.maximum(np.abs(np.asarray(wavenumber, dtype=float)) / (CM1_PER_KELVIN * temperature), 1e-12)
    return _FACTORS[name](x)
