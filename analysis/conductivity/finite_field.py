"""Conductivity from the mean current in static fields."""

from collections.abc import Sequence

import numpy as np
from scipy import constants as si

from les_ipi.analysis.conductivity.estimators import ConductivityEstimate
from les_ipi.analysis.runs.signal import Signal
from les_ipi.analysis.statistics.green_kubo import green_kubo

_S_M = si.e / (1e-15 * 1e-10)  # e/(fs Å V) in S/m


def finite_field_conductivity(signals: Sequence[Signal], fields: Sequence[np.ndarray]) -> ConductivityEstimate:
    """Compute the conductivity from the mean current in static fields, by a least-squares line through the origin.

        σ = ⟨J·E⟩/(V E²)

    From opposite fields of equal weight only the odd part of the response remains. The error is the standard error of
    the mean of a correlated series, Var = S_J(0)/T, where T is the length of the run and S_J(0) belongs to the
    fluctuations around the mean.

    Parameters: ``signals``, one :class:`Signal` for each run; ``fields``, the field of each run in V/Å, (3,). Returns σ
    in S/m as :class:`ConductivityEstimate`. Raises :class:`UserError` for short records.
    """
    weights, products, variances = [], [], []
    for signal, field in zip(signals, fields, strict=True):
        strength = float(np.linalg.norm(field))
        values = signal.values if signal.kind == "current" else np.diff(signal.values, axis=0) / signal.dt_fs
        along = values @ (field / strength)
        time = along.size * signal.dt_fs
        noise = green_kubo([(along - along.mean())[:, None]], signal.dt_fs)
        weights.append(time * strength**2)
        products.append(time * strength * along.mean() / signal.volume_A3)
        variances.append((time * strength / signal.volume_A3) ** 2 * max(noise.value, 0.0) / time)
    total = sum(weights)
    names = ", ".join(f"{np.linalg.norm(field):.3g}" for field in fields)
    balance = np.linalg.norm(sum(w * f / np.linalg.norm(f) for w, f in zip(weights, fields, strict=True))) / total
    kind = "odd part" if balance < 0.1 else "one direction only, even part not removed"
    return ConductivityEstimate(
        "finite field", _S_M * sum(products) / total, _S_M * np.sqrt(sum(variances)) / total, f"{names} V/Å, {kind}"
    )
