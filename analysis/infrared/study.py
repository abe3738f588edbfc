"""From run directories to one spectrum: which source, which estimator, which warnings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from les_ipi.analysis.constants import f_sum_of_charges
from les_ipi.analysis.infrared.spectrum import Infrared, infrared_spectrum
from les_ipi.analysis.runs.directory import RunDirectory
from les_ipi.analysis.runs.signal import Signal, require_nyquist
from les_ipi.analysis.runs.source import choose_source
from les_ipi.errors import UserError


@dataclass(frozen=True)
class InfraredStudy:
    """A spectrum and where it comes from.

    ``source`` and ``reason`` why it was taken; ``estimator`` sentence; ``notes`` known artefacts of the
    method; ``warnings`` what limits trust; ``mass_f_sum_ratio`` integral over Σ|Z|²/m, None without Born
    charges.
    """

    spectrum: Infrared
    run_paths: tuple[str, ...]
    symbols: tuple[str, ...]
    n_beads: int
    source: str
    reason: str
    estimator: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    mass_f_sum_ratio: float | None
    model: str | None


def study_infrared(
    runs: Sequence[RunDirectory],
    source: str = "auto",
    discard_ps: float = 0.0,
    temperature: float | None = None,
    **options,
) -> InfraredStudy:
    """Infrared spectrum pooled over run directories.

    Parameters: ``runs``; ``source``; ``discard_ps`` of equilibration dropped from each; ``temperature`` K
    instead of the input's; ``options`` of :func:`les_ipi.analysis.infrared.spectrum.infrared_spectrum`. Returns
    :class:`InfraredStudy`. Raises :class:`UserError` for runs that do not fit together or hold no usable
    record.
    """
    if not runs:
        raise UserError("There is no run to analyse.")
    first = runs[0]
    for run in runs[1:]:
        if run.n_beads != first.n_beads or run.input.dynamics.method != first.input.dynamics.method:
            raise UserError(
                f"{first.path} is {_name(first)} and {run.path} is {_name(run)}; only runs of one kind can be pooled."
            )
        if sorted(run.symbols) != sorted(first.symbols):
            raise UserError(f"{first.path} and {run.path} hold different atoms; only runs of one system can be pooled.")
    name, reason, warnings = choose_source(runs, source)
    signals, charges = [], []
    for run in runs:
        signal, charge = _signal(run, name, discard_ps, temperature)
        require_nyquist(signal.dt_fs, run.symbols)
        signals.append(signal)
        charges.append(charge)
    spectrum = infrared_spectrum(signals, n_beads=first.n_beads, **options)
    ratio = spectrum.area_cm2 / f_sum_of_charges(float(np.mean(charges)), spectrum.volume_A3)
    dynamics = first.input.dynamics
    if dynamics.sampling_only:
        warnings += (
            f"{dynamics.method} ({dynamics.description}) samples structure; its dynamics is not physical",
        )
    return InfraredStudy(
        spectrum=spectrum,
        run_paths=tuple(str(run.path) for run in runs),
        symbols=first.symbols,
        n_beads=first.n_beads,
        source=name,
        reason=reason,
        estimator=f"{dynamics.method}: {dynamics.estimator}; no quantum correction"
        if options.get("quantum_correction", "harmonic") == "harmonic"
        else f"{dynamics.method}: {dynamics.estimator}; quantum correction '{options['quantum_correction']}'",
        notes=dynamics.artefacts,
        warnings=warnings + spectrum.warnings,
        mass_f_sum_ratio=ratio if np.isfinite(ratio) else None,
        model=first.model.get("model"),
    )


def _name(run: RunDirectory) -> str:
    return f"{run.input.dynamics.method} with {run.n_beads} bead(s)"


def _signal(
    run: RunDirectory, source: str, discard_ps: float, temperature: float | None
) -> tuple[Signal, float]:
    charge = run.born_current[1] if source == "bec" else np.nan
    series = run.series(source)
    series = series.after(discard_ps)
    kind = "dipole" if source == "dipole" else "current"
    kelvin = temperature if temperature is not None else run.temperature_K
    return Signal(series.values, kind, series.dt_fs, run.volume_A3, kelvin), charge
