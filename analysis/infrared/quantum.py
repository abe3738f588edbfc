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
    """Compute the factor by which a named quantum correction multiplies the classical n·α.

        n α = ω(1 − e^{−x}) Q(ω) S_M/(6ħcVε0),  x = βħω

    Every correction is a choice of Q. The factor is the ratio of this expression to its value for the harmonic (Kubo)
    Q, so that it is 1 for ``harmonic``.

    ==============  ==================================================================================
    ``harmonic``    Q = x/(1 − e^{−x}): classical linear response, the only one that keeps the
                    fluctuation-dissipation theorem
    ``none``        Q = 1 (Gordon)
    ``standard``    Q = 2/(1 + e^{−x})
    ``schofield``   Q = e^{x/2}
    ``mixed``       Q = e^{x/4} [x/(1 − e^{−x})]^{1/2} (Skinner)
    ==============  ==================================================================================

    Parameters:
        name: name of the correction, one of :data:`CORRECTIONS`.
        wavenumber: wavenumbers in cm⁻¹, any shape.
        temperature: temperature in K.
        n_beads: number of ring-polymer beads of the run.

    Returns the factor without unit, an array of the shape of ``wavenumber``.

    Raises :class:`UserError` for an unknown name, and with several beads for any name but ``harmonic``, because RPMD,
    TRPMD and CMD already give the Kubo function.

    Source: Ramírez et al., 10.1063/1.1774986.
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
